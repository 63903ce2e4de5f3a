package mjpeg_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"passage/drivers/camera/mjpeg"
)

func read(t *testing.T, boundary, text string) (list []string, err error) {
	t.Helper()
	s := mjpeg.New(io.NopCloser(strings.NewReader(text)), boundary)
	for {
		b, at, err := s.Next()
		if err != nil {
			return list, err
		}
		if at.IsZero() {
			t.Error("a picture of no time")
		}
		list = append(list, string(b))
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ name, boundary, text, want string }{
		{"measured", "b", "--b\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nabc\r\n--b\r\ncontent-length:2\r\n\r\nde\r\n", "[abc de]"},
		{"dashes in the boundary", "--b", "--b\r\nContent-Length: 1\r\n\r\nx\r\n", "[x]"},
		{"bare line ends", "b", "--b\nContent-Length: 1\n\nx\n--b\nContent-Length: 1\n\ny\n", "[x y]"},
		{"unmeasured", "b", "--b\r\n\r\na\nb\r\n--b\r\n\r\nc\n\r\n--b--", "[a\nb c\n]"},
		{"bytes before", "b", "hello\r\n\r\n--b\r\nContent-Length: 1\r\n\r\nx", "[x]"},
	} {
		list, err := read(t, c.boundary, c.text)
		if got := fmt.Sprint(list); got != c.want || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"no boundary", strings.Repeat("x\n", 10000)},
		{"no line", strings.Repeat("x", 100000)},
		{"an endless header", "--b\r\n" + strings.Repeat("a: b\r\n", 10000)},
		{"a size of gigabytes", "--b\r\nContent-Length: 99999999999\r\n\r\n"},
		{"a negative size", "--b\r\nContent-Length: -1\r\n\r\n"},
		{"a picture without an end", "--b\r\n\r\n" + strings.Repeat("0123456789abcdef\n", mjpeg.MaxPicture/16)},
	} {
		if list, err := read(t, "b", c.text); !errors.Is(err, mjpeg.ErrStream) || len(list) > 0 {
			t.Errorf("%s: %d pictures, %v", c.name, len(list), err)
		}
	}
}

func TestDial(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
			fmt.Fprint(w, "--frame\r\nContent-Length: 3\r\n\r\nabc\r\n")
		case "/page":
			w.Header().Set("Content-Type", "text/html")
		default:
			http.Redirect(w, r, "/stream", http.StatusFound)
		}
	}))
	defer s.Close()
	c, err := mjpeg.Dial(context.Background(), s.URL+"/stream")
	if err != nil {
		t.Fatal(err)
	}
	if b, _, err := c.Next(); err != nil || string(b) != "abc" {
		t.Errorf("%q, %v", b, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/page", "/elsewhere"} {
		if _, err := mjpeg.Dial(context.Background(), s.URL+path); !errors.Is(err, mjpeg.ErrStream) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nabc\r\n--b\r\n\r\nde\r\n--b\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := mjpeg.New(io.NopCloser(bytes.NewReader(b)), "b")
		for total := 0; ; {
			p, _, err := s.Next()
			if err != nil {
				return
			}
			if total += len(p) + 1; total > len(b) {
				t.Fatalf("%d bytes of pictures in %d", total, len(b))
			}
		}
	})
}

package matcher_test

import (
	"bytes"
	"fmt"
	"image"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stream is a camera that sends what next gives, as fast as it is read.
func stream(t *testing.T, next func(n int) []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=b")
		for n := 0; r.Context().Err() == nil; n++ {
			b := next(n)
			if b == nil {
				return
			}
			if _, err := fmt.Fprintf(w, "--b\r\nContent-Length: %d\r\n\r\n%s\r\n", len(b), b); err != nil {
				return
			}
		}
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL + "/stream"
}

// Cameras of every temper, through the real, confined process.
func TestCameras(t *testing.T) {
	program, _, _ := visiond(t)
	good := asJPEG(t, page(320, 240), 80)
	large := asJPEG(t, page(3840, 2160), 30)
	for _, c := range []struct {
		name string
		next func(n int) []byte
		w, h int
		says string // part of the error instead of a picture
	}{
		{"good", func(int) []byte { return good }, 320, 240, ""},
		{"4K as fast as it can", func(int) []byte { return large }, 1280, 720, ""},
		{"garbage between pictures", func(n int) []byte {
			if n%2 == 0 {
				return []byte("garbage")
			}
			return good
		}, 320, 240, ""},
		{"garbage", func(int) []byte { return bytes.Repeat([]byte("garbage"), 100) }, 0, 0, "cannot be used"},
		{"pictures of 100 megapixels", func(int) []byte { return resized(good, 10000, 10000) }, 0, 0, "too large"},
		{"one that ends at once", func(int) []byte { return nil }, 0, 0, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			x, err := program.Capture(t.Context(), stream(t, c.next))
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			const frames = 6
			for range frames {
				f, err := x.Next()
				if err != nil || f.Width != c.w || f.Height != c.h {
					t.Fatalf("%d × %d, want %d × %d: %v", f.Width, f.Height, c.w, c.h, err)
				}
			}
			if took := time.Since(began); took < (frames-2)*time.Second/30 {
				t.Errorf("%d frames in %v: the camera is not held back", frames, took)
			}
		})
	}
	for _, url := range []string{"v4l2:///dev/no-such-camera", "file:///no/such/file.avi", "telepathy:me", "http://127.0.0.1:1/stream"} {
		if _, err := program.Capture(t.Context(), url); err == nil || !strings.Contains(err.Error(), "vision worker: capture") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Files and pipelines are opened by OpenCV, read by the confined process, and
// reported as ended when they are.
func TestCamerasOfOpenCV(t *testing.T) {
	program, _, _ := visiond(t)
	file := filepath.Join(t.TempDir(), "camera.mjpeg")
	var b []byte
	for range 12 {
		b = append(b, asJPEG(t, page(320, 240), 80)...)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	plugin, _ := filepath.Glob("/usr/lib/*/gstreamer-1.0/libgstvideotestsrc.so")
	for _, c := range []struct {
		name, url string
		here      bool
	}{
		{"a file", "file://" + file, true},
		{"a pipeline", "gst:videotestsrc num-buffers=12 ! video/x-raw,width=320,height=240,framerate=25/1 ! videoconvert ! video/x-raw,format=BGR ! appsink", len(plugin) > 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.here {
				t.Skip("gstreamer1.0-plugins-base is not installed")
			}
			x, err := program.Capture(t.Context(), c.url)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			n := 0
			for {
				f, err := x.Next()
				if err != nil {
					if !strings.Contains(err.Error(), "the stream ended") {
						t.Errorf("after %d frames: %v", n, err)
					}
					break
				}
				if f.Width != 320 || f.Height != 240 {
					t.Fatalf("%d × %d", f.Width, f.Height)
				}
				n++
			}
			if n < 1 || n > 12 {
				t.Errorf("%d frames of 12", n)
			}
		})
	}
}

// What may be held before a camera or lie in a chip instead of one face: the
// worker says what it sees, and goes on.
func TestOtherThanAFace(t *testing.T) {
	program, pack, portraits := visiond(t)
	m := warm(t, program, pack)
	face, err := os.ReadFile(filepath.Join(portraits, "p01.jpg"))
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		name  string
		b     []byte
		least int
		most  int
	}{
		{"nothing", asJPEG(t, page(400, 300), 80), 0, 0},
		{"one pixel", asPNG(t, page(1, 1)), 0, 0},
		{"a line", asPNG(t, page(900, 1)), 0, 0},
		{"a face", face, 1, 1},
		{"two faces", twice(t, face), 2, 2},
		// Photographs, where they are there.
		{"a room", photograph("no_face"), 0, 0},
		{"a couple", photograph("two_faces"), 2, 2},
		{"a group", photograph("many_faces"), 3, 4},
		{"sunglasses", photograph("sunglasses"), 1, 1},
		{"a profile", photograph("profile"), 0, 1},
	} {
		if c.b == nil {
			t.Logf("%s: no photograph", c.name)
			continue
		}
		f, err := program.Decode(t.Context(), c.b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		a, err := m.Analyse(t.Context(), f)
		if err != nil || len(a.Faces) < c.least || len(a.Faces) > c.most || (a.Descriptor == nil) != (len(a.Faces) == 0) {
			t.Errorf("%s: %d faces, %v", c.name, len(a.Faces), err)
		}
	}
}

// photograph is the first one of a kind; nil without the test data.
func photograph(kind string) []byte {
	files, _ := filepath.Glob("../../shared/data/faces/special/" + kind + "/*")
	if len(files) == 0 {
		return nil
	}
	b, _ := os.ReadFile(files[0]) // nil as well
	return b
}

// A camera of 4K at 60 pictures a second: what is handed on is the newest, small
// enough, and the worker's memory stays what it was.
func TestNewestOf4K(t *testing.T) {
	program, _, _ := visiond(t)
	const shades, each = 12, 10 // a shade lasts a sixth of a second
	var shots [shades][]byte
	for k := range shots {
		img := image.NewGray(image.Rect(0, 0, 3840, 2160))
		for i := range img.Pix {
			img.Pix[i] = byte(20*k + 10)
		}
		shots[k] = asJPEG(t, img, 50)
	}
	var sent atomic.Int64
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	x, err := program.Capture(t.Context(), stream(t, func(n int) []byte {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return nil
		}
		sent.Store(int64(n))
		return shots[n/each%shades]
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var late []int
	for range 40 {
		f, err := x.Next()
		if err != nil || f.Width != 1280 || f.Height != 720 {
			t.Fatalf("%d × %d: %v", f.Width, f.Height, err)
		}
		now := int(sent.Load()) / each % shades
		late = append(late, (now-int(f.Pixels[0])/20+shades)%shades)
	}
	slices.Sort(late)
	if late[len(late)/2] > 2 { // half a second: others may have the machine
		t.Errorf("in sixths of a second the pictures are late by %v", late)
	}
	if mb := peak(t, "capture"); mb > 256 {
		t.Errorf("the worker took %d MB", mb)
	} else {
		t.Logf("%d MB; late by %v", mb, late)
	}
}

// peak is the most memory, in MB, that a worker of this process has had
// resident.
func peak(t *testing.T, role string) int {
	t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		line, _ := os.ReadFile(filepath.Join(d, "cmdline")) // it may have ended
		status, _ := os.ReadFile(filepath.Join(d, "status"))
		if !bytes.Contains(line, []byte("\x00"+role+"\x00")) || !bytes.Contains(status, fmt.Appendf(nil, "PPid:\t%d\n", os.Getpid())) {
			continue
		}
		_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
		kb := 0
		if _, err := fmt.Sscan(string(rest), &kb); err != nil {
			t.Fatal(err)
		}
		return kb / 1024
	}
	t.Fatalf("no worker of role %s", role)
	return 0
}

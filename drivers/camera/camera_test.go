package camera_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/drivers/camera"
)

// strip is a source that shows what next makes, ten times a second; nil frames
// are a camera that says nothing.
type strip struct {
	next   func(n int) *camera.Frame
	n      int
	ends   int // frames before the stream ends; 0 for never
	closed chan struct{}
	once   sync.Once
}

func (s *strip) Next() (camera.Frame, error) {
	for {
		select {
		case <-s.closed:
			return camera.Frame{}, io.ErrClosedPipe
		case <-time.After(100 * time.Millisecond):
		}
		if s.n++; s.ends > 0 && s.n > s.ends {
			return camera.Frame{}, io.EOF
		}
		if f := s.next(s.n); f != nil {
			return *f, nil
		}
	}
}

func (s *strip) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

func picture(v byte, n int, age time.Duration) *camera.Frame {
	p := bytes.Repeat([]byte{v}, 3*32*32)
	for i := range p {
		if v > 0 {
			p[i] += byte(i * 37 % 64) // something is in it
		}
	}
	p[0] += byte(n)
	return &camera.Frame{Width: 32, Height: 32, Pixels: p, Age: age}
}

// watch runs a camera for a while of virtual time and returns how many frames
// came, what it said of its health in turn, and how often it was opened.
func watch(t *testing.T, ends int, next func(n int) *camera.Frame, refuse error, d time.Duration) (frames int, said []string, opened []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := camera.Camera{Open: func(context.Context) (camera.Source, error) {
			opened = append(opened, time.Since(began))
			if refuse != nil {
				return nil, refuse
			}
			return &strip{next: next, ends: ends, closed: make(chan struct{})}, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if err := c.Run(ctx, func(camera.Frame) { frames++ }, func(s string) {
			if len(said) == 0 || said[len(said)-1] != s {
				said = append(said, s)
			}
		}); err != nil {
			t.Error(err)
		}
	})
	return frames, said, opened
}

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		name string
		ends int
		next func(n int) *camera.Frame
		want []string
	}{
		{"good", 0, func(n int) *camera.Frame { return picture(90, n, 0) }, []string{""}},
		{"black, then uncovered", 0, func(n int) *camera.Frame {
			if n < 20 {
				return picture(0, n%5, 0)
			}
			return picture(90, n, 0)
		}, []string{"camera: black or covered", ""}},
		{"frozen", 0, func(int) *camera.Frame { return picture(90, 0, 0) }, []string{"", "camera: the picture is frozen"}},
		{"old", 0, func(n int) *camera.Frame { return picture(90, n, 2*time.Second) }, []string{"camera: frames are too old"}},
		{"silent", 0, func(n int) *camera.Frame {
			if n > 10 {
				return nil
			}
			return picture(90, n, 0)
		}, []string{"", "camera: no frame for 3 s: is it plugged in?", "", "camera: no frame for 3 s: is it plugged in?"}},
		{"covered by a hand, in the light", 0, func(n int) *camera.Frame {
			f := picture(90, n, 0)
			for i := range f.Pixels {
				f.Pixels[i] = byte(120 + n%2)
			}
			return f
		}, []string{"camera: covered: the picture shows nothing"}},
		{"empty", 0, func(int) *camera.Frame { return &camera.Frame{} }, []string{"camera: black or covered"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, said, _ := watch(t, c.ends, c.next, nil, 8500*time.Millisecond)
			if !slices.Equal(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}

// A camera that is away is tried again with growing pauses, one that ends its
// stream at once.
func TestReopens(t *testing.T) {
	_, said, opened := watch(t, 0, nil, errors.New("no such device"), 30*time.Second)
	if len(said) != 1 || !strings.Contains(said[0], "no such device") {
		t.Errorf("said %q", said)
	}
	if len(opened) < 6 || len(opened) > 12 {
		t.Errorf("opened %d times in 30 s: %v", len(opened), opened)
	}
	for i := 2; i < len(opened); i++ {
		if pause := opened[i] - opened[i-1]; pause < opened[i-1]-opened[i-2] || pause > 5*time.Second {
			t.Errorf("pause %d is %v", i, pause)
		}
	}
	frames, _, opened := watch(t, 100, func(n int) *camera.Frame { return picture(90, n, 0) }, nil, 30*time.Second)
	if frames < 250 || len(opened) != 3 {
		t.Errorf("%d frames, opened at %v", frames, opened)
	}
}

// A lens out of focus is told, but not at once: people move.
func TestOutOfFocus(t *testing.T) {
	soft := func(n int) *camera.Frame {
		const w, h = 640, 480
		f := &camera.Frame{Width: w, Height: h, Pixels: make([]byte, 3*w*h)}
		for i := range f.Pixels {
			f.Pixels[i] = byte(60 + i/3%w/5 + n%2)
		}
		return f
	}
	if _, said, _ := watch(t, 0, soft, nil, 40*time.Second); !slices.Equal(said, []string{""}) {
		t.Errorf("after 40 s it says %q", said)
	}
	if _, said, _ := watch(t, 0, soft, nil, 50*time.Second); len(said) != 2 || !strings.Contains(said[1], "out of focus") {
		t.Errorf("after 50 s it says %q", said)
	}
}

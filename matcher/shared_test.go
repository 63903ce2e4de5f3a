package matcher_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"passage/matcher"
)

// serve answers at a socket as a shared worker does, without models.
func serve(t *testing.T, path string, analyse func(matcher.Frame) (matcher.Analysis, error)) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- matcher.Serve(ctx, l, matcher.Hello{Role: "match"}, analyse) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Lanes that share a worker get each their own answers, one that talks nonsense
// costs the others nothing, and a worker that is gone is an error and comes
// back.
func TestSharedWorker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "match.sock")
	busy := 0
	widest := func(f matcher.Frame) (matcher.Analysis, error) {
		busy++ // the race detector would see two at once
		defer func() { busy-- }()
		if f.Width == 13 {
			return matcher.Analysis{}, errors.New("an unlucky picture")
		}
		return matcher.Analysis{Faces: []matcher.Face{{W: f.Width, H: 10}}}, nil
	}
	stop := serve(t, path, widest)
	nonsense, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nonsense.Close()
	fmt.Fprint(nonsense, "GET / HTTP/1.1\r\n\r\n")
	var lanes sync.WaitGroup
	for width := 10; width < 30; width++ {
		lanes.Go(func() {
			m := &matcher.Matcher{Socket: path}
			defer m.Kill()
			for range 20 {
				a, err := m.Analyse(t.Context(), matcher.Frame{Width: width, Height: 2, Pixels: make([]byte, 6*width)})
				var refused *matcher.Problem
				if width == 13 && !errors.As(err, &refused) || width != 13 && (err != nil || a.Faces[0].W != width) {
					t.Errorf("lane %d: %+v, %v", width, a, err)
				}
			}
		})
	}
	lanes.Wait()
	m := &matcher.Matcher{Socket: path}
	frame := matcher.Frame{Width: 8, Height: 1, Pixels: make([]byte, 24)}
	if _, err := m.Analyse(t.Context(), frame); err != nil {
		t.Fatal(err)
	}
	health := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() {
		running <- m.Run(ctx, func(s string) {
			select {
			case health <- s:
			case <-ctx.Done():
			}
		})
	}()
	defer func() {
		cancel()
		if err := <-running; err != nil {
			t.Error(err)
		}
	}()
	until := func(want bool) {
		t.Helper()
		deadline := time.After(15 * time.Second)
		for {
			select {
			case s := <-health:
				if (s == "") == want {
					return
				}
			case <-deadline:
				t.Fatalf("healthy was to be %v", want)
			}
		}
	}
	until(true)
	stop()
	until(false) // without being asked for a picture
	if _, err := m.Analyse(t.Context(), frame); !errors.Is(err, matcher.ErrWorker) {
		t.Errorf("without the worker: %v", err)
	}
	serve(t, path, widest)
	until(true)
}

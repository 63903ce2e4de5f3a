package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk/web"
)

// A screen ends when it has stood still, not when the lane is away, and not for
// what an earlier browser showed.
func TestWatchScreen(t *testing.T) {
	type span struct {
		until time.Duration // from the start
		what  string        // beats, silent, away, new lane
	}
	for _, c := range []struct {
		name  string
		spans []span
		ends  time.Duration // 0 for never
	}{
		{"all is well", []span{{time.Hour, "beats"}}, 0},
		{"it never shows anything", []span{{time.Hour, "silent"}}, 62 * time.Second},
		{"it stands still after a while", []span{{5 * time.Minute, "beats"}, {time.Hour, "silent"}}, 5*time.Minute + 6*time.Second},
		{"the lane is away for long", []span{{time.Minute, "beats"}, {20 * time.Minute, "away"}, {20*time.Minute + 10*time.Second, "new lane"}, {time.Hour, "beats"}}, 0},
		{"a slow start", []span{{50 * time.Second, "silent"}, {time.Hour, "beats"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
				defer cancel()
				began := time.Now()
				right := began.Add(-time.Hour) // an earlier browser's
				look := func(context.Context) (web.Beat, error) {
					now := time.Since(began)
					what := ""
					for _, s := range c.spans {
						if what == "" && now < s.until {
							what = s.what
						}
					}
					switch what {
					case "beats":
						right = time.Now()
					case "away":
						return web.Beat{}, errors.New("connection refused")
					case "new lane":
						return web.Beat{}, nil
					}
					ago := time.Since(right)
					return web.Beat{Seen: true, Frozen: ago > 6*time.Second, Ago: ago.Milliseconds()}, nil
				}
				var shows atomic.Bool
				err := watchScreen(ctx, look, &shows)
				if c.ends == 0 {
					if err != nil || !shows.Load() {
						t.Errorf("%v, fine: %v", err, shows.Load())
					}
					return
				}
				if !errors.Is(err, errFrozen) || time.Since(began) != c.ends {
					t.Errorf("%v after %v, want after %v", err, time.Since(began), c.ends)
				}
			})
		})
	}
}

// The browser ends with the command, and so do its children.
func TestScreenEndsItsBrowser(t *testing.T) {
	dir := t.TempDir()
	started, held := filepath.Join(dir, "started"), filepath.Join(dir, "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	// Both processes hold this pipe open: it ends when both are dead.
	alive, err := os.OpenFile(held, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	lane := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := os.Stat(started)
		fmt.Fprintf(w, `{"seen":true,"frozen":%v,"ago":0}`, err == nil)
	}))
	defer lane.Close()
	script := fmt.Sprintf("exec 3>%s; sleep 600 & : >%s; wait", held, started)
	if err := (screenCmd{Lane: lane.URL, Browser: []string{"--", "sh", "-c", script}}).Run(t.Context()); !errors.Is(err, errFrozen) {
		t.Error(err)
	}
	if err := alive.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(alive); err != nil {
		t.Errorf("a process of the browser is still there: %v", err)
	}
	if err := (screenCmd{Lane: lane.URL, Browser: []string{"false"}}).Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("a browser that ends at once: %v", err)
	}
	if err := (screenCmd{Browser: []string{"--"}}).Run(t.Context()); err == nil {
		t.Error("no browser is no error")
	}
}

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
	"strconv"
	"strings"
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
	pids := filepath.Join(t.TempDir(), "pids")
	lane := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b, _ := os.ReadFile(pids)
		fmt.Fprintf(w, `{"seen":true,"frozen":%v,"ago":0}`, strings.Count(string(b), "\n") == 2)
	}))
	defer lane.Close()
	script := fmt.Sprintf("sleep 600 & echo $! >>%[1]s; echo $$ >>%[1]s; wait", pids)
	err := screenCmd{Lane: lane.URL, Browser: []string{"--", "sh", "-c", script}}.Run(t.Context())
	if !errors.Is(err, errFrozen) {
		t.Error(err)
	}
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(b)) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n)); err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %d is still there: %s", n, stat)
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
	if err := (screenCmd{Lane: lane.URL, Browser: []string{"false"}}).Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("a browser that ends at once: %v", err)
	}
	if err := (screenCmd{Browser: []string{"--"}}).Run(t.Context()); err == nil {
		t.Error("no browser is no error")
	}
}

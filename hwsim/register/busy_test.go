package register

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/sqlite"
)

// More requests at once than the register takes are sent away with a time to
// come back after, and those under way end undisturbed.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		g, err := New(t.Context(), db.Writer)
		if err != nil {
			t.Fatal(err)
		}
		h := As(g.Handler(), "E1", "lane")
		g.Inject("health", "slow") // four seconds
		ask := func(ctx context.Context) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/health", nil).WithContext(ctx))
			return w
		}
		var group sync.WaitGroup
		codes := make(chan int, mostAtOnce)
		for range mostAtOnce {
			group.Go(func() { codes <- ask(t.Context()).Code })
		}
		synctest.Wait()
		began := time.Now()
		w := ask(t.Context())
		if n, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || n < 1 || n > mostLater || w.Code != http.StatusTooManyRequests || time.Since(began) != queueWithin {
			t.Errorf("one too many: %d after %s, Retry-After %q", w.Code, time.Since(began), w.Header().Get("Retry-After"))
		}
		group.Wait()
		close(codes)
		for c := range codes {
			if c != http.StatusOK {
				t.Errorf("one of those under way: %d", c)
			}
		}
		g.Inject("health", "")
		if w := ask(t.Context()); w.Code != http.StatusOK {
			t.Errorf("afterwards: %d", w.Code)
		}
	})
}

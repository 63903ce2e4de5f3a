package world_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"passage/eesclient/outbox"
	"passage/hwsim/world"
	"passage/keys"
	"passage/kiosk/devices"
	"passage/kiosk/journal"
	"passage/sqlite"
)

var many = flag.Int("many", 500, "crossings of TestMany; 100000 takes some minutes")

// taker is a register that takes every record.
type taker struct{ n atomic.Int64 }

func (k *taker) Send(context.Context, string, []byte) error {
	k.n.Add(1)
	return nil
}

// Many crossings, as fast as the shipped shell, journal and outbox can, leave a
// lane as large as it was after the first tenth: memory, descriptors,
// goroutines. Each has left one record.
func TestMany(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		db, err := sqlite.Open(ctx, filepath.Join(dir, "lane.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		ring, err := keys.Open(ctx, db, make([]byte, keys.Size))
		if err != nil {
			t.Fatal(err)
		}
		box, err := outbox.New(ctx, db, ring)
		if err != nil {
			t.Fatal(err)
		}
		store, _, err := journal.Open(ctx, db.Writer, ring, &devices.Records{Box: box, CrossingPoint: "E1"})
		if err != nil {
			t.Fatal(err)
		}
		q := world.NewQuick(store, slog.New(slog.DiscardHandler))
		var beside sync.WaitGroup
		run := func(f func(context.Context) error) {
			beside.Go(func() {
				if err := f(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		to := &taker{}
		run(store.Run)
		run(q.Run)
		run(func(ctx context.Context) error { return box.Drain(ctx, to, store.Conflict) })
		type size struct {
			heap                    uint64
			resident                float64
			descriptors, goroutines int
		}
		measure := func() size {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			open, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return size{m.HeapAlloc >> 10, resident(t), len(open), runtime.NumGoroutine()}
		}
		tenth := *many / 10
		through(ctx, q, tenth)
		first := measure()
		through(ctx, q, *many-tenth)
		for range 600 {
			if n, _, err := box.Waiting(ctx); err != nil {
				t.Fatal(err)
			} else if n == 0 {
				break
			}
			time.Sleep(time.Second) // virtual
		}
		last := measure()
		t.Logf("after %d crossings %+v, after %d %+v (KiB, MB)", tenth, first, *many, last)
		if got := to.n.Load(); got != int64(*many) {
			t.Errorf("%d records of %d crossings", got, *many)
		}
		if last.descriptors > first.descriptors+2 || last.goroutines > first.goroutines+4 || last.heap > first.heap+2048 {
			t.Error("it grows")
		}
		cancel()
		beside.Wait()
	})
}

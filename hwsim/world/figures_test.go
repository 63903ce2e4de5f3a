package world_test

import (
	"bufio"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/hwsim/world"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/sqlite"
)

var figures = flag.String("figures", "", "measure, and write the rows of docs/benchmarks.md to this file")

// TestFigures measures what docs/benchmarks.md says of a lane. It asserts no
// times: they are the machine's.
func TestFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("make bench runs this")
	}
	var rows strings.Builder
	row := func(what, target, measured, beside string) {
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", what, target, measured, beside)
		t.Log(what, measured, beside)
	}
	overhead(t, row)
	throughput(t, row)
	steady(t, row)
	if err := os.WriteFile(*figures, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func percentile(d []time.Duration, p float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

// through sends n travellers through a quick lane.
func through(ctx context.Context, q *world.Quick, n int) {
	changed := q.Shell.Watch(ctx)
	laid, done := false, 0
	for done < n {
		switch s := q.Shell.State(); {
		case s.Phase == lane.Idle && !laid && !s.Document:
			laid = true
			q.Place(true)
		case s.Phase == lane.TakeDoc && laid:
			laid = false
			done++
			q.Place(false)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
	for q.Shell.State().Phase != lane.Idle {
		<-changed
	}
}

// overhead is how long an effect takes after its event, in real time and with
// the real journal on this machine's disk.
func overhead(t *testing.T, row func(what, target, measured, beside string)) {
	dir := t.TempDir()
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
	store, _, err := journal.Open(ctx, db.Writer, ring, nowhere{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var plain, marked []time.Duration
	var taken, compared time.Time
	q := world.NewQuick(store, slog.New(slog.DiscardHandler))
	q.Pace = 100
	q.Compared = func() {
		mu.Lock()
		defer mu.Unlock()
		compared = time.Now()
	}
	q.Sent = func(c lane.Command) <-chan error {
		mu.Lock()
		defer mu.Unlock()
		switch c {
		case lane.OpenEntry:
			plain = append(plain, time.Since(taken))
		case lane.OpenExit:
			marked = append(marked, time.Since(compared))
		}
		return nil
	}
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := store.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	beside.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	const n = 1000
	watchTaken := func() { mu.Lock(); taken = time.Now(); mu.Unlock() }
	changed := q.Shell.Watch(ctx)
	for i, laid := 0, false; i < n; {
		switch s := q.Shell.State(); {
		case s.Phase == lane.Idle && !laid && !s.Document:
			laid = true
			q.Place(true)
		case s.Phase == lane.TakeDoc && laid:
			laid = false
			i++
			watchTaken()
			q.Place(false)
		}
		<-changed
	}
	for q.Shell.State().Phase != lane.Idle {
		<-changed
	}
	cancel()
	beside.Wait()
	bare := commits(t, filepath.Join(dir, "bare.db"), n)
	row("unmarked effect after its event, p50 / p99", "p99 < 2 ms", fmt.Sprintf("%.2f / %.2f ms", ms(percentile(plain, .5)), ms(percentile(plain, .99))), fmt.Sprintf("%d crossings, real time, journal on disk", n))
	row("effect that waits for the group commit, p50 / p99", "p99 < 15 ms", fmt.Sprintf("%.2f / %.2f ms", ms(percentile(marked, .5)), ms(percentile(marked, .99))),
		fmt.Sprintf("%.1f × / %.1f × a bare commit of one row on the same disk, %.2f / %.2f ms", ratio(marked, bare, .5), ratio(marked, bare, .99), ms(percentile(bare, .5)), ms(percentile(bare, .99))))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ratio(a, b []time.Duration, p float64) float64 {
	return float64(percentile(a, p)) / float64(percentile(b, p))
}

// nowhere is an outbox that keeps nothing.
type nowhere struct{}

func (nowhere) Put(*sql.Tx, kiosk.Facts, time.Time) error { return nil }
func (nowhere) Drop(*sql.Tx, string) error                { return nil }
func (nowhere) Erased()                                   {}
func (nowhere) Failing() error                            { return nil }

// commits are n commits of one row with the lane's own settings: the bare
// limit of anything that waits for this disk.
func commits(t *testing.T, path string, n int) []time.Duration {
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Writer.ExecContext(t.Context(), "CREATE TABLE x (b BLOB)"); err != nil {
		t.Fatal(err)
	}
	list := make([]time.Duration, n)
	for i := range list {
		began := time.Now()
		if _, err := db.Writer.ExecContext(t.Context(), "INSERT INTO x VALUES (zeroblob(400))"); err != nil {
			t.Fatal(err)
		}
		list[i] = time.Since(began)
	}
	return list
}

// throughput is how many crossings a second core and shell manage in virtual
// time, the store in memory, against the core alone on the same events.
func throughput(t *testing.T, row func(what, target, measured, beside string)) {
	const each = 4000
	lanes := runtime.NumCPU()
	began := time.Now()
	t.Run("throughput", func(t *testing.T) {
		for range lanes {
			t.Run("lane", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					q := world.NewQuick(nil, slog.New(slog.DiscardHandler))
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan error, 1)
					go func() { done <- q.Run(ctx) }()
					through(ctx, q, each)
					cancel()
					if err := <-done; err != nil {
						t.Error(err)
					}
				})
			})
		}
	})
	shell := float64(lanes*each) / time.Since(began).Seconds()
	core := coreAlone(t)
	row("simulated crossings through core and shell, virtual time, store in memory", "≥ 1,000 /s", fmt.Sprintf("%.0f /s", shell),
		fmt.Sprintf("%d lanes on %d cores; the core alone on the same events, one core: %.0f /s", lanes, lanes, core))
}

// coreAlone replays one crossing's events through the core.
func coreAlone(t *testing.T) float64 {
	type step struct {
		now lane.Instant
		e   lane.Event
	}
	var steps []step
	live(t, func(w *world.World) {
		w.OnStep = func(e kiosk.Entry) {
			if e.After.Transaction > 0 {
				steps = append(steps, step{e.Now, e.Event})
			}
		}
	}, func(t *testing.T, w *world.World) {
		until(t, w, 20*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Idle })
		card, err := w.Card(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Traveller("", card).Walk(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, w, 20*time.Second, func(v kiosk.View) bool { return len(v.Recent) > 0 })
	})
	rules := lane.DefaultRules()
	start := lane.State{Phase: lane.Idle, Lease: true, Gate: lane.Gate{Link: true, State: lane.GateReady, Entry: lane.LeafLocked, Exit: lane.LeafLocked}}
	const n = 50_000
	began := time.Now()
	for range n {
		s := start
		for _, x := range steps {
			s, _ = rules.Step(s, x.now, x.e)
		}
		if s.Transaction != 1 || s.Live {
			t.Fatalf("the events of a crossing do not make one: %+v", s)
		}
	}
	return n / time.Since(began).Seconds()
}

// steady is the memory of a process through ten thousand crossings with the
// shipped drivers, journal and outbox.
func steady(t *testing.T, row func(what, target, measured, beside string)) {
	const n, early = 10_000, 1_000
	var first, last float64
	liveIn(t, t.TempDir(), nil, func(t *testing.T, w *world.World) {
		for i := range n {
			if !until(t, w, 2*time.Minute, func(v kiosk.View) bool { return v.State.Phase == lane.Idle }) {
				t.Fatalf("crossing %d: the lane is %v", i, w.Shell().View().State.Phase)
			}
			card, err := w.Card(nil)
			if err != nil {
				t.Fatal(err)
			}
			if through, err := w.Traveller("", card).Walk(t.Context()); err != nil || !through {
				t.Fatal(i, through, err)
			}
			w.Gate.Forget()
			if i+1 == early {
				first = resident(t)
			}
		}
		last = resident(t)
		until(t, w, time.Minute, func(kiosk.View) bool { return w.Register.Count("record") >= n })
		if got := w.Register.Count("record"); got != n {
			t.Errorf("%d records of %d crossings", got, n)
		}
	})
	row("resident memory of a lane through 10,000 crossings", "< 80 MB, steady", fmt.Sprintf("%.0f MB after 1,000, %.0f MB after 10,000", first, last), "one process with shell, journal, outbox, drivers and all simulated devices, databases on disk; the models' workers apart")
}

// resident is the live heap and what SQLite holds, in MB.
func resident(t *testing.T) float64 {
	runtime.GC()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kb float64
		if n, _ := fmt.Sscanf(lines.Text(), "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

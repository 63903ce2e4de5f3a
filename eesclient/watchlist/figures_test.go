package watchlist

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"iter"
	mrand "math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	figures = flag.String("figures", "", "measure, and append the figures to this file as rows of a Markdown table")
	rows    = flag.Int("rows", 10_000_000, "rows of the list that is measured")
)

// spread makes n tags in rising order, evenly spread as hashes are.
func spread(n int, rnd *mrand.Rand) iter.Seq2[Row, error] {
	step := uint64(1<<63) / uint64(n+1)
	return func(yield func(Row, error) bool) {
		for i := range n {
			if !yield(Row{Tag(uint64(i)*step + rnd.Uint64N(step)), Find(1 + i%3)}, nil) {
				return
			}
		}
	}
}

// TestFigures measures a list of ten million rows: how fast it is taken over,
// how fast it answers meanwhile and afterwards, how fast a delta is.
func TestFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("measures for minutes: -figures FILE")
	}
	s := openStore(t, t.TempDir())
	now := time.Now()
	seed := [32]byte{1}
	// What the register does is done beforehand: it has cores of its own.
	send := func(h Head, list iter.Seq2[Row, error]) io.Reader {
		h.Salt = salt[:]
		var b bytes.Buffer
		if err := Write(&b, h, list, key); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	// A copy is held and asked while the next one is taken over.
	if _, err := s.Import(t.Context(), send(Head{Version: 1, At: now, Rows: 1000}, spread(1000, mrand.New(mrand.NewChaCha8(seed)))), now); err != nil {
		t.Fatal(err)
	}
	who := func() Subject {
		return Subject{Issuer: "FRA", Number: rand.Text()[:9], Surname: rand.Text()[:12], GivenNames: "ANNA", Birth: born, Nationality: "FRA"}
	}
	look := func() time.Duration {
		w := who()
		began := time.Now()
		if _, _, err := s.Find(t.Context(), "SIS", w, now); err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}
	p99 := func(list []time.Duration) time.Duration {
		slices.Sort(list)
		return list[len(list)*99/100]
	}
	whole := send(Head{Version: 2, At: now.Add(time.Second), Rows: *rows}, spread(*rows, mrand.New(mrand.NewChaCha8(seed))))
	var during []time.Duration
	var stop atomic.Bool
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for !stop.Load() {
			<-tick.C
			during = append(during, look())
		}
	})
	began := time.Now()
	n, err := s.Import(t.Context(), whole, now)
	took := time.Since(began)
	stop.Store(true)
	asking.Wait()
	if err != nil || n != *rows {
		t.Fatal(n, err)
	}
	lookups := make([]time.Duration, 100_000)
	for i := range lookups {
		lookups[i] = look()
	}
	// The same look-ups in tags that are there, all over the file.
	hits := make([]time.Duration, 100_000)
	rnd := mrand.New(mrand.NewChaCha8([32]byte{9}))
	var present []Row
	for r := range spread(*rows, mrand.New(mrand.NewChaCha8(seed))) {
		if rnd.IntN(*rows) < len(hits)+1000 {
			present = append(present, r)
		}
	}
	rnd.Shuffle(len(present), func(i, j int) { present[i], present[j] = present[j], present[i] })
	for i := range hits {
		var at, find int64
		r := present[i%len(present)]
		began := time.Now()
		if err := s.held.ask.QueryRow(int64(r.Tag), int64(r.Tag)+1, int64(r.Tag)-1).Scan(&at, &find); err != nil || find != int64(r.Find) {
			t.Fatal(find, err)
		}
		hits[i] = time.Since(began)
	}
	change := make([]Row, 10_000)
	for i, r := range present[:len(change)] {
		change[i] = r
		switch i % 3 {
		case 0:
			change[i].Find = None
		case 1:
			change[i].Tag++
		}
	}
	some := send(Head{Version: 3, Base: 2, At: now.Add(2 * time.Second), Rows: len(change)}, all(Sort(change)))
	began = time.Now()
	if _, err := s.Import(t.Context(), some, now); err != nil {
		t.Fatal(err)
	}
	delta := time.Since(began)
	info, err := os.Stat(s.held.path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(*figures, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ms := func(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d.Microseconds())/1000) }
	for _, l := range []struct{ what, target, got, beside string }{
		{fmt.Sprintf("watch list of %d rows: take-over", *rows), "≥ 200,000 rows/s", fmt.Sprintf("%.0f rows/s", float64(*rows)/took.Seconds()), fmt.Sprintf("%.1f s with signature and sync, from a stream in memory; %d MB on disk", took.Seconds(), info.Size()>>20)},
		{"look-up of one list by document, name and sound, p99", "< 1 ms", ms(p99(lookups)), "median " + ms(lookups[len(lookups)/2]) + "; of those that are on the list p99 " + ms(p99(hits))},
		{"look-up while the list is taken over, p99", "< 1 ms", ms(p99(during)), fmt.Sprintf("%d look-ups, longest %s", len(during), ms(during[len(during)-1]))},
		{"delta of 10,000 rows", "< 1 s", fmt.Sprintf("%.2f s", delta.Seconds()), "one durable transaction"},
	} {
		fmt.Fprintf(f, "| %s | %s | %s | %s |\n", l.what, l.target, l.got, l.beside)
		t.Logf("%s: %s (%s), %s", l.what, l.got, l.target, l.beside)
	}
}

package inlet

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A flood is counted whole and told seldom.
func TestBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &Book{Log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 10_000 {
			b.Shed("pages", "too many")
		}
		b.Shed("pages", "too slow")
		time.Sleep(sayEvery)
		b.Shed("pages", "too many")
		if c := b.Counts(); c[Line{"pages", "too many"}] != 10_001 || c[Line{"pages", "too slow"}] != 1 {
			t.Errorf("%v", c)
		}
		if n := strings.Count(log.String(), "\n"); n != 3 || !strings.Contains(log.String(), "count=10000") {
			t.Errorf("%d lines of log:\n%s", n, &log)
		}
	})
	var none *Book
	none.Shed("pages", "too many")
	if len(none.Counts()) != 0 {
		t.Error("nobody counts")
	}
}

// Each has a pace of its own, whoever floods; names that are forgotten are the
// quiet ones.
func TestPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Paces{Rate: 10, Burst: 20, Most: 100}
		taken := 0
		for range 5_000 {
			if p.Allow("flood") {
				taken++
			}
		}
		if taken != 20 || !p.Allow("quiet") {
			t.Errorf("%d of a flood were taken", taken)
		}
		for n := range 5_000 {
			p.Allow(fmt.Sprint("name ", n))
		}
		if len(p.by) > p.Most {
			t.Errorf("%d names are remembered", len(p.by))
		}
		if p.Allow("a name too many") {
			t.Error("a flood of names lets new ones in")
		}
		time.Sleep(3 * time.Second)
		if !p.Allow("a name too many") || !p.Allow("flood") {
			t.Error("not recovered")
		}
	})
}

// Names that are there keep what they have left, whatever new ones come, and the
// quiet ones' places go to others, of a flood as well as after it.
func TestPacesRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Paces{Rate: 1, Burst: 10, Most: 50}
		for n := range 10 {
			for range 10 { // all that they have
				if !p.Allow(fmt.Sprint("busy ", n)) {
					t.Fatalf("busy %d: refused", n)
				}
			}
		}
		for n := range 40 {
			p.Allow(fmt.Sprint("once ", n))
		}
		for second := range 30 {
			for n := range 1000 {
				p.Allow(fmt.Sprint("flood ", second, " ", n))
			}
			if len(p.by) > p.Most || p.order.Len() != len(p.by) {
				t.Fatalf("%d names are remembered, %d in order", len(p.by), p.order.Len())
			}
			for n := range 10 { // one a second is what they may
				name := fmt.Sprint("busy ", n)
				if took := p.Allow(name); took != (second > 0) || p.Allow(name) {
					t.Errorf("busy %d in second %d: %v, or more than it may", n, second, took)
				}
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		for n := range 60 {
			if !p.Allow(fmt.Sprint("new ", n)) && n < 50 {
				t.Errorf("new %d: refused after the flood", n)
			}
		}
		time.Sleep(time.Minute)
		for range 60 {
			p.Allow("late")
			p.Allow(fmt.Sprint(time.Now()))
			time.Sleep(time.Second)
		}
		if len(p.by) > 5 {
			t.Errorf("%d names are remembered long after", len(p.by))
		}
	})
}

// BenchmarkPaces is what one call costs when all the names there may be are
// remembered, and none of them is quiet.
func BenchmarkPaces(b *testing.B) {
	for _, most := range []int{1000, 10_000} {
		full := func() *Paces {
			p := &Paces{Rate: 0.001, Burst: 1_000_000, Most: most}
			for n := range most {
				p.Allow(fmt.Sprint("name ", n))
			}
			return p
		}
		b.Run(fmt.Sprint("a new name beyond ", most), func(b *testing.B) {
			p := full()
			for b.Loop() {
				if p.Allow("new") {
					b.Fatal("there was room")
				}
			}
		})
		b.Run(fmt.Sprint("one of ", most), func(b *testing.B) {
			p := full()
			for b.Loop() {
				p.Allow("name 7")
			}
		})
		b.Run(fmt.Sprint("a new name for a quiet one of ", most), func(b *testing.B) {
			p := full()
			p.Rate, p.Burst = 1e12, 1
			names := make([]string, 100_000)
			for i := range names {
				names[i] = fmt.Sprint("new ", i)
			}
			i := 0
			for b.Loop() {
				p.Allow(names[i%len(names)])
				i++
			}
		})
	}
}

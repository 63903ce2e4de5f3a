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

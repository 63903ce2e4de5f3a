package rollout

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Tally is what became of travellers in some lanes in some time.
type Tally struct {
	Crossings int
	Diverted  int
	Alarms    int             // crossings in which attack detection called an officer or diverted
	Took      []time.Duration // of the released
}

// Health compares the lanes that have a release with those that have not, in
// the same time; or, where too few travellers went through those, with their own
// hours before.
type Health struct{ With, Without, Before Tally }

// Enough is how many travellers a share or a median must rest on.
const Enough = 20

// base is what the lanes with the release are compared with.
func (h Health) base() (Tally, string) {
	if h.Without.Crossings >= Enough {
		return h.Without, "in the lanes without it"
	}
	return h.Before, "in the same lanes before"
}

// scarce says that too few travellers have crossed to judge by.
func (h Health) scarce(l Limits) string {
	if n := h.With.Crossings; n < l.Crossings {
		return fmt.Sprintf("%d of %d crossings in the lanes that have it", n, l.Crossings)
	}
	return ""
}

// breach says what became worse by more than the limits. Twenty travellers must
// stand on either side, and the difference be more than chance would make of it
// in one of forty cases (two standard errors): a quiet night stops nothing.
func (h Health) breach(l Limits) string {
	with := h.With
	base, where := h.base()
	if with.Crossings < Enough || base.Crossings < Enough {
		return ""
	}
	for _, x := range []struct {
		what  string
		a, b  int
		limit int
	}{{"diverted", with.Diverted, base.Diverted, l.Diverted}, {"attack alarms", with.Alarms, base.Alarms, l.Alarms}} {
		p, q := float64(x.a)/float64(with.Crossings), float64(x.b)/float64(base.Crossings)
		if d := p - q; 100*d > float64(x.limit) && d > 2*spread(x.a, with.Crossings, x.b, base.Crossings) {
			return fmt.Sprintf("%s: %.0f %% of %d travellers, and %.0f %% of %d %s", x.what, 100*p, with.Crossings, 100*q, base.Crossings, where)
		}
	}
	if len(with.Took) < Enough || len(base.Took) < Enough {
		return ""
	}
	a, b := median(with.Took), median(base.Took)
	if b > 0 && 100*float64(a-b)/float64(b) > float64(l.Slower) {
		return fmt.Sprintf("a crossing takes %.1f s, and %.1f s %s", a.Seconds(), b.Seconds(), where)
	}
	return ""
}

// spread is the standard error of the difference of two shares, taken together.
func spread(k, n, l, m int) float64 {
	p := float64(k+l) / float64(n+m)
	return math.Sqrt(p * (1 - p) * (1/float64(n) + 1/float64(m)))
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

package console

import (
	"math"
	"testing"

	"passage/kiosk/site"
)

// Fewer than 20 crossings are shown nowhere, and cannot be worked out from what
// is shown.
func TestSmallCells(t *testing.T) {
	for _, c := range []struct {
		name                      string
		released, diverted, other int
		count, parts, times       bool
	}{
		{"too few", 19, 0, 0, false, false, false},
		{"all released", 20, 0, 0, true, true, true},
		{"a few diverted", 40, 3, 0, true, false, true},
		{"many diverted", 40, 20, 0, true, true, true},
		{"a few others", 40, 20, 1, true, false, true},
		{"few released", 5, 40, 0, true, false, false},
	} {
		g := &group{}
		for what, n := range map[string]int{"released": c.released, "diverted_in": c.diverted, "evacuated": c.other} {
			for range n {
				g.add(site.Crossing{Outcome: what, Took: 12000})
			}
		}
		got := g.cell("k")
		if (got.Count != nil) != c.count || (got.Released != nil) != c.parts || (got.Diverted != nil) != c.parts || (got.P50 != nil) != c.times {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Nobody learns a number under 20 from a rate.
func TestShares(t *testing.T) {
	for _, c := range []struct {
		name         string
		asked, total int
		rate         bool
		low, high    float64 // about
	}{
		{"none of many", 0, 400, true, 0, .0095},
		{"a few of many", 3, 400, false, 0, .0730},
		{"as many as are not told", 19, 400, false, 0, .0730},
		{"enough", 40, 400, true, .0743, .1334},
		{"nearly all", 395, 400, false, 0, 1},
		{"all", 400, 400, true, .9905, 1},
	} {
		g := &group{}
		for i := range c.total {
			x := site.Crossing{Outcome: "released", Took: 12000, Timeline: []byte(`[{"n":"lane.INSIDE","s":1,"e":2},{"n":"officer.OFFICER","s":2,"e":3}]`)}
			if i < c.asked {
				x.Timeline = []byte(`[{"n":"lane.REVIEW","s":1,"e":2},{"n":"officer.PAD","s":1,"e":2}]`)
			}
			g.add(x)
		}
		cell := g.cell("k")
		for _, s := range []*Share{cell.Asked, cell.Alarms} {
			if s == nil || (s.Rate != nil) != c.rate || math.Abs(s.High-c.high) > 1e-3 || s.Low != nil && math.Abs(*s.Low-c.low) > 1e-3 || (s.Low != nil) != c.rate {
				t.Errorf("%s: %+v", c.name, s)
			}
		}
	}
	if cell := (&group{count: 19}).cell("k"); cell.Asked != nil {
		t.Errorf("of 19: %+v", cell.Asked)
	}
}

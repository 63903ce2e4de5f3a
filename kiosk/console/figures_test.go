package console

import (
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

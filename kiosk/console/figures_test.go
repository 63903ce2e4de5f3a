package console

import (
	"bytes"
	"encoding/csv"
	"errors"
	"math"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

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

// Both exports hold the same cells, none of them small, and no last row that
// would tell of one.
func TestExport(t *testing.T) {
	cell := func(lane, reason string, n int64) exported {
		return exported{Hour: "2026-06-20T08Z", Lane: lane, Class: "EU", Outcome: "released", Reason: reason, Count: n, Local: "2026-06-20T10:00+02:00"}
	}
	count := func(cells ...exported) map[exported]int64 {
		m := map[exported]int64{}
		for _, c := range cells {
			n := c.Count
			c.Count = 0
			m[c] = n
		}
		return m
	}
	for _, c := range []struct {
		name string
		in   map[exported]int64
		want []exported
	}{
		{"nothing", count(), []exported{{Hour: "suppressed"}}},
		{"one small cell", count(cell("E1", "", 19), cell("E2", "", 20)), []exported{cell("E2", "", 20)}},
		{"small cells that hide each other", count(cell("E2", "", 300), cell("E1", "", 40), cell("E1", "FACE", 12), cell("E2", "FACE", 9)), []exported{cell("E1", "", 40), cell("E2", "", 300), {Hour: "suppressed", Count: 21}}},
	} {
		list := rows(c.in)
		if !slices.Equal(list, c.want) {
			t.Errorf("%s: %v, want %v", c.name, list, c.want)
		}
		var sheet, file bytes.Buffer
		if err := errors.Join(writeCSV(&sheet, list), writeParquet(&file, list)); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&sheet).ReadAll()
		if err != nil || len(lines) != len(c.want)+1 {
			t.Errorf("%s: CSV: %v, %v", c.name, lines, err)
		}
		back, err := parquet.Read[exported](bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil || !slices.Equal(back, c.want) {
			t.Errorf("%s: Parquet: %v, %v", c.name, back, err)
		}
	}
}

func TestWholeHours(t *testing.T) {
	for _, c := range []struct{ query, from, to string }{
		{"from=2026-06-20T08:00:00Z&to=2026-06-20T10:00:00Z", "08:00", "10:00"},
		{"from=2026-06-20T08:59:59Z&to=2026-06-20T09:00:01Z", "08:00", "10:00"},
		{"from=2026-06-20T10:00:00Z&to=2026-06-20T09:00:00Z", "", ""},
		{"from=yesterday", "", ""},
	} {
		from, to, err := hours(httptest.NewRequest("GET", "/api/statistics?"+c.query, nil), time.UTC)
		if (err == nil) != (c.from != "") || err == nil && (from.Format("15:04") != c.from || to.Format("15:04") != c.to) {
			t.Errorf("%s: %v to %v, %v", c.query, from, to, err)
		}
	}
}

// No figure is of an hour of which something may be forgotten: the period begins
// with the first whole one, by the site's clock, and one that ended before is
// refused.
func TestFiguresAreOfWhatIsKept(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 26, 8, 20, 0, 0, time.UTC) // 90 days before: 2026-08-28T08:20
	for _, c := range []struct {
		query, from string
		of          *time.Location
		err         error
	}{
		{"from=2026-11-01T00:00:00Z&to=2026-11-26T08:20:00Z", "2026-11-01T00:00Z", time.UTC, nil},
		{"from=2026-08-28T09:00:00Z&to=2026-11-26T08:20:00Z", "2026-08-28T09:00Z", time.UTC, nil},
		{"from=2026-08-28T08:00:00Z&to=2026-11-26T08:20:00Z", "2026-08-28T09:00Z", time.UTC, nil},
		{"from=2026-01-01T00:00:00Z&to=2026-11-26T08:20:00Z", "2026-08-28T08:30Z", kolkata, nil},
		{"from=2026-01-01T00:00:00Z&to=2026-08-28T09:00:00Z", "", time.UTC, errForgotten},
		{"from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "", time.UTC, errForgotten},
	} {
		from, _, err := known(httptest.NewRequest("GET", "/api/statistics?"+c.query, nil), c.of, now)
		if !errors.Is(err, c.err) || err == nil && from.UTC().Format("2006-01-02T15:04Z") != c.from {
			t.Errorf("%s: from %v, %v", c.query, from, err)
		}
	}
}

// Hours are the site's. The day on which the clock is put forward has 23 of them,
// the one on which it is put back 25, in the order of time; where the clock is
// half an hour off, so are the hours.
func TestHoursOfTheSite(t *testing.T) {
	place := func(name string) *time.Location {
		of, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
	for _, c := range []struct {
		name        string
		of          *time.Location
		day         time.Time // its midnight
		hours       int
		third, last string
	}{
		{"UTC", time.UTC, time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), 24, "2026-03-29T02:00+00:00", "2026-03-29T23:00+00:00"},
		{"put forward", place("Europe/Paris"), time.Date(2026, 3, 29, 0, 0, 0, 0, place("Europe/Paris")), 23, "2026-03-29T03:00+02:00", "2026-03-29T23:00+02:00"},
		{"put back", place("Europe/Paris"), time.Date(2026, 10, 25, 0, 0, 0, 0, place("Europe/Paris")), 25, "2026-10-25T02:00+02:00", "2026-10-25T23:00+01:00"},
		{"half an hour", place("Asia/Kolkata"), time.Date(2026, 3, 29, 0, 0, 0, 0, place("Asia/Kolkata")), 24, "2026-03-29T02:00+05:30", "2026-03-29T23:00+05:30"},
	} {
		counts := map[string]int{}
		for at := c.day; at.Before(c.day.AddDate(0, 0, 1)); at = at.Add(10 * time.Minute) {
			counts[by["hour"](site.Crossing{At: at.UnixMilli()}, c.of)]++
		}
		var cells []Cell
		for k, n := range counts {
			if n != 6 {
				t.Errorf("%s: %d crossings in %s", c.name, n, k)
			}
			cells = append(cells, Cell{Key: k})
		}
		slices.SortFunc(cells, inOrder)
		if len(cells) != c.hours || cells[2].Key != c.third || cells[len(cells)-1].Key != c.last {
			t.Errorf("%s: %d hours: %+v", c.name, len(cells), cells)
		}
		if c.hours == 25 && cells[3].Key != "2026-10-25T02:00+01:00" {
			t.Errorf("%s: the fourth hour is %s", c.name, cells[3].Key)
		}
	}
	from, to, err := hours(httptest.NewRequest("GET", "/?from=2026-03-29T08:10:00Z&to=2026-03-29T08:40:00Z", nil), place("Asia/Kolkata"))
	if err != nil || from.UTC().Format("15:04") != "07:30" || to.UTC().Format("15:04") != "09:30" {
		t.Errorf("%v to %v, %v", from, to, err)
	}
}

package stay

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func day(t testing.TB, s string) Day {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return On(d)
}

// stays reads "2026-01-01..2026-02-14 2026-04-01..2026-04-30"; a missing end is
// an open stay.
func stays(t testing.TB, s string) []Stay {
	var list []Stay
	for _, f := range strings.Fields(s) {
		a, b, _ := strings.Cut(f, "..")
		st := Stay{First: day(t, a)}
		if b != "" {
			st.Last = day(t, b)
		}
		list = append(list, st)
	}
	return list
}

// The rows C1 to C28 of the rule's table, all computed there by brute force.
func TestEntry(t *testing.T) {
	for _, c := range []struct {
		id, prior, entry string
		visa             string
		unused           int
		used, allowed    int
		last             string
	}{
		{"C1", "", "2026-01-01", "", 0, 0, 90, "2026-03-31"},
		{"C2", "2026-01-01..2026-02-14 2026-04-01..2026-04-30", "2026-06-20", "", 0, 75, 60, "2026-08-18"},
		{"C3", "2025-10-12..2025-10-31 2025-12-01..2025-12-31", "2026-03-15", "", 0, 51, 59, "2026-05-12"},
		{"C4", "2026-01-01..2026-03-31", "2026-06-29", "", 0, 90, 0, ""},
		{"C5", "2026-01-01..2026-03-31", "2026-06-30", "", 0, 89, 90, "2026-09-27"},
		{"C6", "2026-05-01..2026-05-11 2026-05-11..2026-05-20", "2026-06-01", "", 0, 20, 70, "2026-08-09"},
		{"C7", "", "2024-01-01", "", 0, 0, 90, "2024-03-30"},
		{"C8", "2024-01-01..2024-03-30", "2024-06-28", "", 0, 90, 0, ""},
		{"C9", "2024-01-01..2024-03-30", "2024-06-29", "", 0, 89, 90, "2024-09-26"},
		{"C10", "", "2028-02-01", "", 0, 0, 90, "2028-04-30"},
		{"C11", "", "2026-07-01", "2026-07-20", 0, 0, 20, "2026-07-20"},
		{"C12", "2026-01-01..2026-03-31", "2026-07-01", "2026-07-31", 0, 88, 31, "2026-07-31"},
		{"C13", "", "2026-07-01", "2026-12-31", 15, 0, 15, "2026-07-15"},
		{"C14", "2026-05-01..2026-05-01", "2026-05-10", "", 0, 1, 89, "2026-08-06"},
		{"C15", "2026-05-01..2026-05-10", "2026-05-10", "", 0, 10, 81, "2026-07-29"},
		{"C16", "2026-01-01..2026-01-01", "2026-06-29", "", 0, 1, 90, "2026-09-26"},
		{"C17", "2026-01-01..2026-01-01", "2026-06-30", "", 0, 0, 90, "2026-09-27"},
		{"C18", "2026-01-01..2026-03-30", "2026-03-31", "", 0, 89, 1, "2026-03-31"},
		{"C19", "2026-03-01..2026-05-28", "2026-08-26", "", 0, 89, 1, "2026-08-26"},
		{"C20", "2026-03-01..2026-05-28", "2026-08-27", "", 0, 89, 90, "2026-11-24"},
		{"C21", "2025-09-01..2025-10-05 2025-11-01..2025-11-30", "2026-01-15", "", 0, 65, 25, "2026-02-08"},
		{"C23", "2026-01-05..2026-01-09 2026-02-02..2026-02-06 2026-03-02..2026-03-06 2026-04-06..2026-04-10", "2026-05-04", "", 0, 20, 75, "2026-07-17"},
		{"C24", "2026-01-01..2026-03-31 2026-06-30..2026-09-27", "2026-12-26", "", 0, 90, 0, ""},
		{"C25", "2026-01-01..2026-03-31 2026-06-30..2026-09-27", "2026-12-27", "", 0, 89, 90, "2027-03-26"},
		{"C26", "2026-04-01..2026-04-30", "2026-06-01", "", 0, 30, 60, "2026-07-30"},
		{"C27", "2026-01-01..2026-04-05", "2026-07-04", "", 0, 90, 0, ""},
		{"C28", "", "2026-06-01", "", 0, 0, 90, "2026-08-29"},
	} {
		v := Visa{UnusedDays: c.unused}
		if c.visa != "" {
			v.End = day(t, c.visa)
		}
		r := Entry(stays(t, c.prior), day(t, c.entry), v)
		last := ""
		if r.LastDay != 0 {
			last = r.LastDay.String()
		}
		if r.Used != c.used && c.id != "C18" && c.id != "C27" || r.Days != c.allowed || last != c.last || (r.Status == Exhausted) != (c.allowed == 0) {
			t.Errorf("%s: used %d allowed %d last %s %s; want %d %d %s", c.id, r.Used, r.Days, last, r.Status, c.used, c.allowed, c.last)
		}
	}
	if r := Entry(stays(t, "2026-01-01.."), day(t, "2026-06-01"), Visa{}); r.Status != Undetermined {
		t.Errorf("an open stay: %+v", r)
	}
}

// The rows X1 to X7.
func TestExit(t *testing.T) {
	for _, c := range []struct {
		id, prior, exit, extended string
		overstay                  int
		from                      string
		status                    Status
	}{
		{"X1", "2026-01-01..", "2026-03-31", "", 0, "", OK},
		{"X2", "2026-01-01..", "2026-04-01", "", 1, "2026-04-01", OK},
		{"X3", "2026-01-01..", "2026-04-05", "", 5, "2026-04-01", OK},
		{"X4", "2024-01-01..", "2024-03-31", "", 1, "2024-03-31", OK},
		{"X5", "2025-10-01..2025-11-30 2026-02-01..", "2026-03-15", "", 14, "2026-03-02", OK},
		{"X6", "", "2026-03-15", "", 0, "", Undetermined},
		{"X7", "2026-01-01..", "2026-04-05", "2026-04-30", 0, "", OK},
	} {
		var v Visa
		if c.extended != "" {
			v.Extended = day(t, c.extended)
		}
		r := Exit(stays(t, c.prior), day(t, c.exit), v)
		from := ""
		if r.From != 0 {
			from = r.From.String()
		}
		if r.Overstay != c.overstay || from != c.from || r.Status != c.status {
			t.Errorf("%s: %d from %s %s, want %d from %s %s", c.id, r.Overstay, from, r.Status, c.overstay, c.from, c.status)
		}
	}
}

// The result against the rule itself, day by day, for any history.
func TestAgainstTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []Stay
		at := Day(20000)
		for range rapid.IntRange(0, 6).Draw(t, "stays") {
			at += Day(rapid.IntRange(0, 60).Draw(t, "gap"))
			s := Stay{at, at + Day(rapid.IntRange(0, 95).Draw(t, "length"))}
			at = s.Last
			list = append(list, s)
		}
		on := at + Day(rapid.IntRange(0, 200).Draw(t, "entry"))
		r := Entry(list, on, Visa{})
		in := map[Day]bool{}
		for _, s := range list {
			for d := s.First; d <= s.Last; d++ {
				in[d] = true
			}
		}
		count := func(d Day) int {
			n := 0
			for k := d - 179; k <= d; k++ {
				if in[k] {
					n++
				}
			}
			return n
		}
		for i := range 91 {
			d := on + Day(i)
			in[d] = true
			if allowed := i < r.Days; allowed != (count(d) <= 90) && i < 90 {
				t.Fatalf("day %d (%v): allowed %v with %d days in its window", i, d, allowed, count(d))
			}
			if i >= r.Days {
				break
			}
		}
	})
}

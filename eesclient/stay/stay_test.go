package stay

import (
	"encoding/xml"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
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
		if r.Used != c.used || r.Days != c.allowed || last != c.last || (r.Status == Exhausted) != (c.allowed == 0) {
			t.Errorf("%s: used %d allowed %d last %s %s; want %d %d %s", c.id, r.Used, r.Days, last, r.Status, c.used, c.allowed, c.last)
		}
	}
	// C26: days under a permit do not count, C22: an entry stamp is lost.
	permit := stays(t, "2026-01-01..2026-02-14")
	if r := Entry(stays(t, "2026-01-01..2026-02-14 2026-04-01..2026-04-30"), day(t, "2026-06-01"), Visa{}, permit...); r.Used != 30 || r.Days != 60 || r.LastDay != day(t, "2026-07-30") {
		t.Errorf("C26: %+v", r)
	}
	for id, list := range map[string][]Stay{
		"C22":       append(stays(t, "2025-11-01..2025-11-30"), Stay{Last: day(t, "2025-10-05")}),
		"open":      stays(t, "2026-01-01.."),
		"backwards": stays(t, "2026-01-05..2026-01-01"),
	} {
		if r := Entry(list, day(t, "2026-01-15"), Visa{}); r != (Result{Status: Undetermined}) {
			t.Errorf("%s: %+v", id, r)
		}
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

// rule is the definition itself, day by day over an array: domain §5's words.
type rule struct {
	in  [1200]bool
	end int
}

func (u *rule) used(d int) int {
	n := 0
	for k := d - 179; k <= d; k++ {
		if k >= 0 && u.in[k] {
			n++
		}
	}
	return n
}

// Ten thousand histories against the definition, with overlaps, permits and
// visas: entry and, with the last stay left open, exit.
func TestAgainstTheRule(t *testing.T) {
	const zero = 20000 // the array's first day
	rnd := rand.New(rand.NewPCG(90, 180))
	overstays, exhausted := 0, 0
	for i := range 10_000 {
		var list, permits []Stay
		at := rnd.IntN(60) + 1
		for range rnd.IntN(8) {
			s := Stay{Day(at), Day(at + rnd.IntN(80))}
			list = append(list, s)
			at = max(1, int(s.Last)-rnd.IntN(10)+rnd.IntN(60))
		}
		if rnd.IntN(4) == 0 {
			p := 1 + rnd.IntN(300)
			permits = append(permits, Stay{Day(p), Day(p + rnd.IntN(90))})
		}
		on := at + rnd.IntN(120)
		var v Visa
		if rnd.IntN(3) == 0 {
			v.End = Day(on + rnd.IntN(120) - 20)
		}
		if rnd.IntN(3) == 0 {
			v.UnusedDays = 1 + rnd.IntN(90)
		}
		exit := rnd.IntN(2) == 0 && len(list) > 0
		began := on
		if exit {
			began = int(list[len(list)-1].First)
			on = max(on, began)
			list[len(list)-1].Last = Day(on)
			if rnd.IntN(4) == 0 {
				v.Extended = Day(began + rnd.IntN(120))
			}
		}
		u := rule{end: 1 << 30}
		for _, s := range list {
			for d := s.First; d <= s.Last; d++ {
				u.in[d] = true
			}
		}
		for _, p := range permits {
			for d := p.First; d <= p.Last; d++ {
				u.in[d] = false
			}
		}
		if v.End != 0 {
			u.end = int(v.End)
		}
		if v.UnusedDays > 0 {
			u.end = min(u.end, began+v.UnusedDays-1)
		}
		want := Result{Status: OK, Used: u.used(on)}
		if exit {
			for d := range on + 1 {
				if u.in[d] && (u.used(d) > 90 || d > u.end) && d > int(v.Extended) {
					want.Overstay++
					if want.From == 0 {
						want.From = Day(d)
					}
				}
			}
		}
		for d := on; want.Days < 90; d++ {
			u.in[d] = true
			if u.used(d) > 90 || d > u.end {
				break
			}
			want.Days, want.LastDay = want.Days+1, Day(d)
		}
		if !exit && want.Days == 0 {
			want.Status = Exhausted
			exhausted++
		}
		if want.Overstay > 0 {
			overstays++
		}
		// The same, far from the epoch.
		shift := func(list []Stay) []Stay {
			out := slices.Clone(list)
			for i := range out {
				out[i].First, out[i].Last = out[i].First+zero, out[i].Last+zero
			}
			return out
		}
		list, permits = shift(list), shift(permits)
		for _, d := range []*Day{&v.End, &v.Extended, &want.LastDay, &want.From} {
			if *d != 0 {
				*d += zero
			}
		}
		var got Result
		if exit {
			list[len(list)-1].Last = 0
			got = Exit(list, Day(on+zero), v, permits...)
		} else {
			got = Entry(list, Day(on+zero), v, permits...)
		}
		if got != want {
			t.Fatalf("case %d: exit %v on %v\nstays %v permits %v visa %+v\ngot  %+v\nwant %+v", i, exit, Day(on+zero), list, permits, v, got, want)
		}
		explained(t, got, list, Day(on+zero), v, exit, permits)
	}
	if overstays < 500 || exhausted < 500 {
		t.Errorf("only %d overstays and %d exhausted stays among the cases", overstays, exhausted)
	}
}

// explained checks that an explanation's days add up to the result.
func explained(t *testing.T, r Result, list []Stay, on Day, v Visa, exit bool, permits []Stay) {
	t.Helper()
	over, allowed, used := 0, 0, 0
	for i, l := range Explain(r, list, on, v, exit, permits...) {
		switch l.Kind {
		case Over:
			over++
		case Allowed:
			allowed++
		}
		if l.Day > on-180 && l.Day <= on && (l.Kind == Over || l.Kind == Counted) {
			used++
		}
		if l.Used > 90 && (l.Kind == Allowed || l.Kind == Free && l.Day > on) {
			t.Fatalf("line %d: %+v", i, l)
		}
	}
	if exit && r.Days > 0 {
		allowed++ // the day itself is counted
	}
	if !exit { // the day itself may be an earlier stay's: then it is drawn as allowed
		used = r.Used
	}
	if over != r.Overstay || allowed != r.Days || used != r.Used {
		t.Fatalf("the explanation has %d over, %d allowed, %d used; the result %+v", over, allowed, used, r)
	}
}

func TestCalendar(t *testing.T) {
	list, on := stays(t, "2026-01-01..2026-02-14 2026-04-01..2026-04-30"), day(t, "2026-06-20")
	lines := Explain(Entry(list, on, Visa{}), list, on, Visa{}, false)
	svg := Calendar(lines, on)
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"2026-08-18: allowed", "2026-08-19: refused", "2026-04-30: counted", ">2026-06<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the calendar lacks %q", want)
		}
	}
	if Calendar(Explain(Result{Status: Undetermined}, nil, on, Visa{}, false), on) != "" {
		t.Error("a calendar of what nobody knows")
	}
}

func TestReadCSV(t *testing.T) {
	want := stays(t, "2026-01-01..2026-02-14 2026-04-01..")
	for _, text := range []string{
		"entry,exit\n2026-01-01,2026-02-14\n2026-04-01,\n", "\ufeffEntry, Exit\r\n2026-01-01,2026-02-14\r\n\r\n2026-04-01,\r\n",
		"2026-01-01,2026-02-14\n2026-04-01,", "\"2026-01-01\",\"2026-02-14\"\n2026-04-01 , \n",
	} {
		if got, err := ReadCSV(strings.NewReader(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if got, err := ReadCSV(strings.NewReader(",2025-10-05\n")); err != nil || got[0].First != 0 {
		t.Errorf("an exit alone: %v, %v", got, err)
	}
	for text, at := range map[string]string{
		"entry,exit\n2026-01-01,2026-02-30\n":          "line 2, column 12: not a day",
		"2026-01-01,2026-02-14\n01.03.2026,\n":         "line 2, column 1: not a day",
		"2026-01-01\n":                                 "line 1, column 1: an entry and an exit",
		"2026-01-01,2026-01-02,x\n":                    "line 1, column 23: more than",
		"2026-03-01,2026-02-14\n":                      "line 1, column 12: the exit is before",
		"2026-01-01,2026-02-14\n,\n":                   "line 2, column 1: neither",
		"2026-01-01,\"2026":                            "line 1, column ",
		strings.Repeat("2026-01-01,\n", MostStays+1):   "line 10001, column 1: more than 10000",
		"1961-01-01,1961-01-02\n":                      "line 1, column 1: not a day",
		"entry;exit\n2026-01-01;2026-02-14\n":          "line 1, column 1: an entry and an exit",
		"2026-01-01,2026-02-14\nMUSTERMANN,KANARIEN\n": "line 2, column 1: not a day such as 2026-01-31",
	} {
		_, err := ReadCSV(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), at) || strings.Contains(err.Error(), "MUSTERMANN") {
			t.Errorf("%.60q: %v, want %s", text, err, at)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("entry,exit\n2026-01-01,2026-02-14\n2026-04-01,\n")
	f.Add(",2025-10-05\n0001-01-01,9999-12-31\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ReadCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		on := Day(20000)
		r := Entry(list, on, Visa{})
		if r.Days < 0 || r.Days > 90 || r.Used > 180 || r.Status == OK && r.Days == 0 {
			t.Errorf("%q: %+v", text, r)
		}
	})
}

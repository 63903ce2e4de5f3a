package stay

import (
	"fmt"
	"strings"
)

// Line is one day of an explanation.
type Line struct {
	Day  Day
	Kind Kind
	Used int    // counted days in the window that ends on it, itself included
	Why  string // for the days that begin or end something
}

// Kind says what a day is in an explanation.
type Kind string

const (
	Free     Kind = "free"     // not in the area
	Counted  Kind = "counted"  // a day of an earlier stay, or of the one that ends
	Excluded Kind = "excluded" // in the area, under a permit or a long-stay visa
	Allowed  Kind = "allowed"  // may be stayed
	Over     Kind = "over"     // was stayed and was not allowed
	Refused  Kind = "refused"  // the first day that may not be stayed
)

// Explain gives the days that a result rests on, one by one: the window that
// ends on the reference day, then the days of the answer up to and with the
// first that is not allowed. It has nothing to say where the result is
// undetermined.
func Explain(r Result, stays []Stay, on Day, v Visa, exit bool, excluded ...Stay) []Line {
	if r.Status != OK && r.Status != Exhausted {
		return nil
	}
	until, began := Day(0), on
	if exit {
		until = on
		if at, ok := closedBy(stays, on); ok {
			began = stays[at].First
		}
	}
	s, ok := counted(stays, until, excluded)
	if !ok {
		return nil
	}
	off, end := union(excluded), v.last(began)
	first := on - window + 1
	if r.From != 0 {
		first = min(first, r.From)
	}
	var lines []Line
	for d := first; d < on || exit && d == on; d++ {
		l := Line{Day: d, Kind: Free, Used: s.used(d)}
		switch {
		case off.has(d):
			l.Kind = Excluded
		case s.has(d) && (l.Used > limit || d > end) && d > v.Extended && exit:
			l.Kind = Over
		case s.has(d):
			l.Kind = Counted
		}
		switch {
		case d == r.From:
			l.Why = why(l.Used, d, end) + ": the first day over"
		case d == on-window+1:
			l.Why = "first day of the window that ends on " + on.String()
		}
		lines = append(lines, l)
	}
	walked := union(append(set{{on, on}}, s...))
	from := on
	if exit {
		from = on + 1
	}
	for d := from; d <= on+Day(r.Days); d++ {
		walked = union(append(walked, Stay{d, d}))
		l := Line{Day: d, Kind: Allowed, Used: walked.used(d)}
		if d >= on+Day(r.Days) {
			l.Kind, l.Why = Refused, why(l.Used, d, end)
			if d == on+limit {
				l.Why = fmt.Sprintf("%d days of stay are the most", limit)
			}
		} else if gone := d - window; s.has(gone) && !walked.has(d-window+1) {
			l.Why = gone.String() + " has left the window"
		}
		lines = append(lines, l)
	}
	return lines
}

func why(used int, d, end Day) string {
	if d > end {
		return "after " + end.String() + ", the last day of the visa"
	}
	return fmt.Sprintf("its window holds %d days, more than %d", used, limit)
}

// Calendar draws an explanation as SVG: a row for each month, a square for each
// day. It has no names and no numbers of documents.
func Calendar(lines []Line, on Day) string {
	const cell, left, top = 14, 70, 24
	if len(lines) == 0 {
		return ""
	}
	month := func(d Day) int { t := d.Date(); return t.Year()*12 + int(t.Month()) - 1 }
	first := month(lines[0].Day)
	rows := month(lines[len(lines)-1].Day) - first + 1
	var b strings.Builder
	width, height := left+31*cell+8, top+rows*(cell+4)+24
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="10" role="img" aria-label="Days of stay by month"><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", width, height, width, height)
	for d := 1; d <= 31; d += 5 {
		fmt.Fprintf(&b, `<text x="%d" y="16" fill="#555">%d</text>`+"\n", left+(d-1)*cell+1, d)
	}
	for r := range rows {
		m := first + r
		fmt.Fprintf(&b, `<text x="6" y="%d" fill="#222">%04d-%02d</text>`+"\n", top+r*(cell+4)+11, m/12, m%12+1)
	}
	// Each kind differs by shape as well as by colour.
	marks := map[Kind][2]string{
		Free: {"#eef1f4", ""}, Counted: {"#2f6db5", ""}, Excluded: {"#c9b8e8", "M3 3l8 8"}, Allowed: {"#8fcf9b", ""},
		Over: {"#b3261e", "M3 3l8 8m0-8-8 8"}, Refused: {"#fff", "M3 3l8 8m0-8-8 8"},
	}
	for _, l := range lines {
		x, y := left+(l.Day.Date().Day()-1)*cell, top+(month(l.Day)-first)*(cell+4)
		m := marks[l.Kind]
		stroke := "none"
		if l.Day == on || l.Kind == Refused {
			stroke = "#111"
		}
		fmt.Fprintf(&b, `<g transform="translate(%d %d)"><title>%v: %s, %d of %d</title><rect width="%d" height="%d" rx="2" fill="%s" stroke="%s"/>`,
			x, y, l.Day, l.Kind, l.Used, limit, cell-2, cell-2, m[0], stroke)
		if m[1] != "" {
			fmt.Fprintf(&b, `<path d="%s" stroke="#111" fill="none"/>`, m[1])
		}
		b.WriteString("</g>\n")
	}
	x := left
	for _, k := range []Kind{Counted, Excluded, Allowed, Over, Refused} {
		y := top + rows*(cell+4) + 4
		fmt.Fprintf(&b, `<g transform="translate(%d %d)"><rect width="%d" height="%d" rx="2" fill="%s" stroke="#111" stroke-width=".5"/>`, x, y, cell-2, cell-2, marks[k][0])
		if p := marks[k][1]; p != "" {
			fmt.Fprintf(&b, `<path d="%s" stroke="#111" fill="none"/>`, p)
		}
		fmt.Fprintf(&b, `<text x="%d" y="10" fill="#222">%s</text></g>`+"\n", cell+2, k)
		x += 82
	}
	b.WriteString("</svg>\n")
	return b.String()
}

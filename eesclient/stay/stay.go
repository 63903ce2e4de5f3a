// Package stay computes authorised stays: not more than 90 days in any 180-day
// period, looking back from each day of stay (Regulation (EU) 2016/399 Art.
// 6(1)). Entry and exit days both count; a day shared by two stays counts once.
package stay

import (
	"cmp"
	"slices"
	"time"
)

const (
	window = 180
	limit  = 90
)

// Day is a civil day, counted from 1970-01-01. The local date of the crossing
// point counts, not UTC.
type Day int

// On returns the day of a time, by its own clock's date.
func On(t time.Time) Day {
	y, m, d := t.Date()
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// Date returns the day at midnight UTC.
func (d Day) Date() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d Day) String() string { return d.Date().Format(time.DateOnly) }

// Status says how far the result may be relied on.
type Status string

const (
	OK           Status = "ok"
	Undetermined Status = "undetermined" // an officer must look: a record is missing
	NotSubject   Status = "not_applicable"
	Exhausted    Status = "exhausted" // entry with no day left
)

// Stay is a stay from First to Last, both included. An open stay has Last 0; an
// exit of which nobody knows the entry, such as one whose stamp is lost, has
// First 0.
type Stay struct{ First, Last Day }

// Visa limits or extends a stay beyond the rule. The zero value does neither.
type Visa struct {
	End        Day // last day of validity; 0 for none
	UnusedDays int // days left of a sticker's duration; 0 for none
	Extended   Day // stay extended to this day (Reg. 2017/2226 Art. 19); 0 for none
}

// last is the last day that the visa allows for a stay that began on a day.
func (v Visa) last(began Day) Day {
	end := Day(1 << 40)
	if v.End != 0 {
		end = v.End
	}
	if v.UnusedDays > 0 {
		end = min(end, began+Day(v.UnusedDays)-1)
	}
	return end
}

// Result is an answer with the days it rests on.
type Result struct {
	Status   Status
	Days     int // allowed from the reference day on, at most 90
	LastDay  Day // last allowed day; 0 if none
	Used     int // counted days in the window that ends on the reference day
	Overstay int // days of stay beyond what was allowed; on exit only
	From     Day // the first such day; 0 if none
}

// Bilateral says whether the result is one that an agreement of the host state
// with the traveller's could better: such waivers are exceptions (Reg. 2017/2226
// Art. 60) which the rule does not know, and an officer does.
func (r Result) Bilateral() bool { return r.Status == Exhausted || r.Overstay > 0 }

// set is a set of days: sorted ranges that neither touch nor overlap.
type set []Stay

func union(list []Stay) set {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Stay) int { return cmp.Compare(a.First, b.First) })
	var s set
	for _, r := range list {
		if n := len(s); n > 0 && r.First <= s[n-1].Last+1 {
			s[n-1].Last = max(s[n-1].Last, r.Last)
		} else {
			s = append(s, r)
		}
	}
	return s
}

// minus returns the days of s that are not in other.
func (s set) minus(other set) set {
	var left set
	for _, r := range s {
		for _, o := range other {
			if o.Last < r.First || o.First > r.Last {
				continue
			}
			if o.First > r.First {
				left = append(left, Stay{r.First, o.First - 1})
			}
			r.First = o.Last + 1
		}
		if r.First <= r.Last {
			left = append(left, r)
		}
	}
	return left
}

// from finds the first range that ends on d or later.
func (s set) from(d Day) int {
	i, _ := slices.BinarySearchFunc(s, d, func(r Stay, d Day) int { return cmp.Compare(r.Last, d) })
	return i
}

func (s set) has(d Day) bool {
	i := s.from(d)
	return i < len(s) && s[i].First <= d
}

// used counts the days within the window that ends on d.
func (s set) used(d Day) int {
	n := 0
	for _, r := range s[s.from(d-window+1):] {
		if r.First > d {
			break
		}
		n += int(min(r.Last, d)-max(r.First, d-window+1)) + 1
	}
	return n
}

// counted returns the days of stays without the excluded ones. Open stays are
// taken to last until a day. It fails for a stay that nobody can count.
func counted(stays []Stay, until Day, excluded []Stay) (set, bool) {
	closed := make([]Stay, 0, len(stays))
	for _, s := range stays {
		if s.Last == 0 {
			s.Last = until
		}
		if s.First == 0 || s.Last < s.First {
			return nil, false
		}
		closed = append(closed, s)
	}
	return union(closed).minus(union(excluded)), true
}

// run walks on from a day for as long as every day's window holds at most 90
// days and the day is not after end. The result keeps its other fields.
func (r Result) run(s set, on, end Day) Result {
	walked := 0 // days that count only because they are stayed now
	for d := on; d <= end && r.Days < limit; d++ {
		if !s.has(d) {
			walked++
		}
		if s.used(d)+walked > limit {
			break
		}
		r.Days, r.LastDay = r.Days+1, d
	}
	return r
}

// Entry computes the allowed stay for somebody who enters on a day: the longest
// run of days such that no day's window holds more than 90. Excluded days,
// under a residence permit or a long-stay visa, do not count. A stay without
// exit is an officer's: the presumption that it lasts is rebuttable (Reg.
// 2017/2226 Art. 20).
func Entry(stays []Stay, on Day, v Visa, excluded ...Stay) Result {
	s, ok := counted(stays, 0, excluded)
	if !ok {
		return Result{Status: Undetermined}
	}
	r := Result{Status: OK, Used: s.used(on)}.run(s, on, v.last(on))
	if r.Days == 0 {
		r.Status = Exhausted
	}
	return r
}

// closedBy finds the stay that an exit on a day closes: the one without exit,
// or else one that is on record as ending that day. There must be just one.
func closedBy(stays []Stay, on Day) (at int, ok bool) {
	at = -1
	for i, s := range stays {
		if s.Last == 0 {
			if at >= 0 {
				return 0, false
			}
			at = i
		}
	}
	if at < 0 {
		at = slices.IndexFunc(stays, func(s Stay) bool { return s.Last == on })
	}
	return at, at >= 0 && stays[at].First <= on
}

// Exit checks the stay that an exit on a day closes: the open one of stays.
// Days are then those that were left, from that day on.
func Exit(stays []Stay, on Day, v Visa, excluded ...Stay) Result {
	at, ok := closedBy(stays, on)
	if !ok {
		return Result{Status: Undetermined} // an exit without an entry, or two of them
	}
	s, ok := counted(stays, on, excluded)
	if !ok {
		return Result{Status: Undetermined}
	}
	end := v.last(stays[at].First)
	r := Result{Status: OK, Used: s.used(on)}
	for _, x := range s {
		for d := x.First; d <= min(x.Last, on); d++ {
			if (s.used(d) > limit || d > end) && d > v.Extended {
				if r.Overstay++; r.From == 0 {
					r.From = d
				}
			}
		}
	}
	return r.run(s, on, end)
}

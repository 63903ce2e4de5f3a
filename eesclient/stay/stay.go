// Package stay computes authorised stays: not more than 90 days in any 180-day
// period, looking back from each day of stay (Regulation (EU) 2016/399 Art.
// 6(1)). Entry and exit days both count; a day shared by two stays counts once.
package stay

import (
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

// Stay is a counted stay from First to Last, both included. An open stay has
// Last 0.
type Stay struct{ First, Last Day }

// Visa limits a stay beyond the rule. The zero value limits nothing.
type Visa struct {
	End        Day // last day of validity; 0 for none
	UnusedDays int // days left of a sticker's duration; 0 for none
	Extended   Day // stay extended to this day (Reg. 2017/2226 Art. 19)
}

// Result is an answer with the days it rests on.
type Result struct {
	Status   Status
	Days     int // allowed from the reference day on, at most 90
	LastDay  Day // last allowed day; 0 if none
	Used     int // counted days in the window that ends on the reference day
	Overstay int // days of stay beyond what was allowed
	From     Day // the first such day; 0 if none
}

// days is the set of counted days, sorted.
func days(stays []Stay, until Day) []Day {
	var set []Day
	for _, s := range stays {
		last := s.Last
		if last == 0 {
			last = until
		}
		for d := s.First; d <= last; d++ {
			set = append(set, d)
		}
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// used counts the days of a sorted set within the window that ends on d.
func used(set []Day, d Day) int {
	from, _ := slices.BinarySearch(set, d-window+1)
	to, found := slices.BinarySearch(set, d)
	if found {
		to++
	}
	return to - from
}

// Entry computes the allowed stay for somebody who enters on a day: the longest
// run of days such that no day's window holds more than 90.
func Entry(stays []Stay, on Day, v Visa) Result {
	for _, s := range stays {
		if s.Last == 0 || s.Last < s.First {
			return Result{Status: Undetermined} // no exit on record: rebuttable, an officer's
		}
	}
	set := days(stays, 0)
	r := Result{Status: OK, Used: used(set, on)}
	end := Day(1 << 40)
	if v.End != 0 {
		end = min(end, v.End)
	}
	if v.UnusedDays > 0 {
		end = min(end, on+Day(v.UnusedDays)-1)
	}
	for d := on; d <= end && r.Days < limit; d++ {
		if at, found := slices.BinarySearch(set, d); !found {
			set = slices.Insert(set, at, d)
		}
		if used(set, d) > limit {
			break
		}
		r.Days, r.LastDay = r.Days+1, d
	}
	if r.Days == 0 {
		r.Status = Exhausted
	}
	return r
}

// Exit checks the stay that an exit on a day closes: the open one of stays.
func Exit(stays []Stay, on Day, v Visa) Result {
	open := 0
	for _, s := range stays {
		if s.Last == 0 {
			open++
			if s.First > on {
				return Result{Status: Undetermined}
			}
		}
	}
	if open != 1 {
		return Result{Status: Undetermined} // an exit without an entry, or two of them
	}
	set := days(stays, on)
	r := Result{Status: OK, Used: used(set, on)}
	for _, d := range set {
		late := used(set, d) > limit || v.End != 0 && d > v.End
		if d <= on && late && d > v.Extended {
			if r.Overstay++; r.From == 0 {
				r.From = d
			}
		}
	}
	return r
}

package mrz

import (
	"strconv"
	"strings"
	"time"
)

// Date turns yymmdd into a civil date in UTC. An expiry lies within 15 years
// after today, else in the past; a birth makes an age of 0 to 99. It reports
// false for unknown or impossible parts; Known keeps the known ones. BSI
// TR-03135 §5.7.1.
func Date(yymmdd string, today time.Time, birth bool) (time.Time, bool) {
	p, ok := Known(yymmdd)
	if !ok || p.Year < 0 || p.Month == 0 || p.Day == 0 {
		return time.Time{}, false
	}
	year := today.Year()/100*100 + p.Year
	d := time.Date(year, time.Month(p.Month), p.Day, 0, 0, 0, 0, time.UTC)
	switch {
	case birth && d.After(today), !birth && year > today.Year()+15:
		year -= 100
	case !birth && year < today.Year()-85:
		year += 100
	}
	d = time.Date(year, time.Month(p.Month), p.Day, 0, 0, 0, 0, time.UTC)
	return d, d.Day() == p.Day
}

// Parts are what is known of a date. Year is -1 if unknown, and otherwise
// without its century unless the text had it; Month and Day are 0 if unknown.
type Parts struct{ Year, Month, Day int }

// Known reads yymmdd or yyyymmdd, in which unknown parts are '<' or, but for
// the year, 00 (9303-3 §4.8). It reports false for anything else; a day that
// its month may lack is left to the caller, who knows the year.
func Known(s string) (Parts, bool) {
	if len(s) != 6 && len(s) != 8 {
		return Parts{}, false
	}
	n := len(s) - 4
	year, ok1 := part(s[:n], 9999)
	month, ok2 := part(s[n:n+2], 12)
	day, ok3 := part(s[n+2:], 31)
	return Parts{year, max(month, 0), max(day, 0)}, ok1 && ok2 && ok3
}

// part reads a number up to most, -1 for fillers.
func part(s string, most int) (int, bool) {
	if strings.Trim(s, "<") == "" {
		return -1, true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && int(n) <= most
}

// agree compares two dates: Compatible if only unknown parts keep them from
// being Equal. A century that one of them lacks is no difference.
func (p Parts) agree(q Parts) Class {
	if p.Year > 99 != (q.Year > 99) && p.Year >= 0 && q.Year >= 0 {
		p.Year, q.Year = p.Year%100, q.Year%100
	}
	class := Equal
	for _, v := range [][3]int{{p.Year, q.Year, -1}, {p.Month, q.Month, 0}, {p.Day, q.Day, 0}} {
		switch a, b, unknown := v[0], v[1], v[2]; {
		case a == b:
		case a == unknown || b == unknown:
			class = max(class, Compatible)
		default:
			return Different
		}
	}
	return class
}

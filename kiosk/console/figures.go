package console

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"passage/kiosk/lane"
	"passage/kiosk/pages"
	"passage/kiosk/site"
)

// Small cells name people: those with fewer crossings are suppressed (domain
// §12).
const leastCell = 20

// Cell is one row of the statistics. An hour's key is its beginning by the site's
// clock, with the offset: a day of 25 hours has one of them twice. Counts and times are null where fewer than
// 20 crossings would stand behind them.
type Cell struct {
	Key      string `json:"key"`
	Count    *int   `json:"crossings"`
	Released *int   `json:"released"`
	Diverted *int   `json:"diverted"`
	P50      *int64 `json:"p50_ms"` // of the released
	P95      *int64 `json:"p95_ms"`
	// Of the released, whom an officer or the lane has found genuine: those for
	// whom a check called an officer first (the system's false rejection rate,
	// domain §12), and those whom attack detection called one for.
	Asked  *Share `json:"asked"`
	Alarms *Share `json:"false_alarms"`
}

// Share is a part of travellers with its 95 % confidence interval (Wilson).
// Where fewer than 20 stand behind it only the bound is told that 19 would have.
type Share struct {
	Rate *float64 `json:"rate"`
	Low  *float64 `json:"low"`
	High float64  `json:"high"`
}

// share is k of n, nil for fewer than 20.
func share(k, n int) *Share {
	switch {
	case n < leastCell:
		return nil
	case small(k):
		_, high := wilson(leastCell-1, n)
		return &Share{High: high}
	case small(n - k):
		return &Share{High: 1}
	}
	rate := float64(k) / float64(n)
	low, high := wilson(k, n)
	return &Share{&rate, &low, high}
}

// wilson is the 95 % interval of k successes in n > 0 trials.
func wilson(k, n int) (low, high float64) {
	const z = 1.959964
	p, m := float64(k)/float64(n), float64(n)
	middle, half := p+z*z/(2*m), z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (middle-half)/(1+z*z/m)), min(1, (middle+half)/(1+z*z/m))
}

// called finds for what officers had a case, in a timeline of the lane's.
var called = regexp.MustCompile(`"officer\.([A-Z_]+)"`)

// errForgotten says that a period is over for longer than crossings are kept.
var errForgotten = fmt.Errorf("crossings are kept for %d days", site.Keep/(24*time.Hour))

// period reads ?from and ?to, RFC 3339; the last 24 hours by default, a year at
// most.
func period(r *http.Request) (from, to time.Time, err error) {
	to = time.Now()
	if v := r.URL.Query().Get("to"); v != "" {
		if to, err = time.Parse(time.RFC3339, v); err != nil {
			return from, to, err
		}
	}
	from = to.Add(-24 * time.Hour)
	if v := r.URL.Query().Get("from"); v != "" {
		if from, err = time.Parse(time.RFC3339, v); err != nil {
			return from, to, err
		}
	}
	if !from.Before(to) || to.Sub(from) > 366*24*time.Hour {
		return from, to, fmt.Errorf("a period has a beginning, an end after it, and at most a year between them")
	}
	return from, to, nil
}

// hours is a period made whole by the clock of a place: two that differ by
// minutes would tell, by their difference, of the few who crossed in between.
func hours(r *http.Request, of *time.Location) (from, to time.Time, err error) {
	from, to, err = period(r)
	return hour(from, of), hour(to.Add(time.Hour-1), of), err
}

// known is the part of hours of which nothing is forgotten at now: the first
// hour that is shown is whole, and no count is less than what happened.
func known(r *http.Request, of *time.Location, now time.Time) (from, to time.Time, err error) {
	if from, to, err = hours(r, of); err != nil {
		return from, to, err
	}
	if first := hour(now.Add(time.Hour-site.Keep), of); from.Before(first) {
		from = first
	}
	if !from.Before(to) {
		return from, to, errForgotten
	}
	return from, to, nil
}

// hour is the beginning of t's hour by the clock of a place. It steps by the
// offset in force, so that it is right on days of 23 and 25 hours.
func hour(t time.Time, of *time.Location) time.Time {
	_, offset := t.In(of).Zone()
	past := (t.Unix() + int64(offset)) % 3600
	return time.Unix(t.Unix()-past, 0).In(of)
}

// clock is how an hour is written.
const clock = "2006-01-02T15:04-07:00"

// by are the ways to group, by the clock of a place.
var by = map[string]func(site.Crossing, *time.Location) string{
	"hour": func(c site.Crossing, of *time.Location) string {
		return hour(time.UnixMilli(c.At), of).Format(clock)
	},
	"lane":    func(c site.Crossing, _ *time.Location) string { return c.Lane },
	"class":   func(c site.Crossing, _ *time.Location) string { return c.Class },
	"outcome": func(c site.Crossing, _ *time.Location) string { return c.Outcome },
	"reason":  func(c site.Crossing, _ *time.Location) string { return c.Reason },
}

// unclear answers a question for figures that cannot be had: of hours that are
// forgotten, or without what it must say.
func unclear(w http.ResponseWriter, err error, more string) {
	if errors.Is(err, errForgotten) {
		pages.Problem(w, http.StatusGone, err.Error())
		return
	}
	pages.Problem(w, http.StatusBadRequest, "say from and to as in 2026-06-20T08:00:00Z, and "+more)
}

func (c *server) statistics(w http.ResponseWriter, r *http.Request, _ *session) {
	from, to, err := known(r, c.conf.Location, time.Now())
	key, ok := by[r.URL.Query().Get("by")]
	if err != nil || !ok {
		unclear(w, err, "by hour, lane, class, outcome or reason")
		return
	}
	groups := map[string]*group{}
	err = c.site.Crossings(r.Context(), r.URL.Query().Get("lane"), from, to, func(x site.Crossing) error {
		k := key(x, c.conf.Location)
		if groups[k] == nil {
			groups[k] = &group{}
		}
		groups[k].add(x)
		return nil
	})
	if err != nil {
		c.conf.Log.Error("statistics", "error", err)
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	out := []Cell{}
	for k, g := range groups {
		out = append(out, g.cell(k))
	}
	slices.SortFunc(out, inOrder)
	pages.Reply(w, http.StatusOK, map[string]any{"from": from, "to": to, "timezone": c.conf.Location.String(), "suppressed_below": leastCell, "cells": out})
}

// inOrder sorts hours by time, which is not their spelling's order when the clock
// is put back, and everything else by name.
func inOrder(a, b Cell) int {
	s, err := time.Parse(clock, a.Key)
	t, err2 := time.Parse(clock, b.Key)
	if err == nil && err2 == nil {
		return s.Compare(t)
	}
	return cmp.Compare(a.Key, b.Key)
}

type group struct {
	count, diverted int
	asked, alarms   int // of the released
	took            []int64
}

func (g *group) add(c site.Crossing) {
	g.count++
	switch c.Outcome {
	case "released":
		g.took = append(g.took, c.Took)
		g.cases(c.Timeline)
	case "diverted_out", "diverted_in":
		g.diverted++
	}
}

// cases counts a released traveller whom a check held up. A confirmation that
// the law asks for (OFFICER) is none.
func (g *group) cases(timeline []byte) {
	asked, alarm := false, false
	for _, m := range called.FindAllSubmatch(timeline, -1) {
		asked = asked || string(m[1]) != lane.OFFICER.String()
		alarm = alarm || string(m[1]) == lane.PAD.String()
	}
	if asked {
		g.asked++
	}
	if alarm {
		g.alarms++
	}
}

func (g *group) cell(key string) Cell {
	cell := Cell{Key: key}
	if g.count < leastCell {
		return cell
	}
	released := len(g.took)
	cell.Count = &g.count
	// One small part could be told from the others: then none is shown.
	if !small(released) && !small(g.diverted) && !small(g.count-released-g.diverted) {
		cell.Released, cell.Diverted = &released, &g.diverted
	}
	cell.Asked, cell.Alarms = share(g.asked, released), share(g.alarms, released)
	if released >= leastCell {
		slices.Sort(g.took)
		p50, p95 := g.took[released/2], g.took[released*95/100]
		cell.P50, cell.P95 = &p50, &p95
	}
	return cell
}

func small(n int) bool { return 0 < n && n < leastCell }

// exported is a crossing in an export: no identifier of the transaction, the
// time to the hour, by UTC and by the site's clock.
type exported struct {
	Hour    string `parquet:"hour,dict"`
	Lane    string `parquet:"lane,dict"`
	Class   string `parquet:"class,dict"`
	Outcome string `parquet:"outcome,dict"`
	Reason  string `parquet:"reason,dict"`
	Count   int64  `parquet:"crossings"`
	Local   string `parquet:"local,dict"`
}

// export writes counts by hour, lane, class, outcome and reason as CSV or
// Parquet, without cells below 20.
func (c *server) export(w http.ResponseWriter, r *http.Request, _ *session) {
	from, to, err := known(r, time.UTC, time.Now())
	format := r.URL.Query().Get("format")
	if err != nil || format != "csv" && format != "parquet" {
		unclear(w, err, "format csv or parquet")
		return
	}
	counts := map[exported]int64{}
	err = c.site.Crossings(r.Context(), "", from, to, func(x site.Crossing) error {
		at := hour(time.UnixMilli(x.At), time.UTC)
		counts[exported{Hour: at.Format("2006-01-02T15Z"), Lane: x.Lane, Class: x.Class, Outcome: x.Outcome, Reason: x.Reason, Local: at.In(c.conf.Location).Format(clock)}]++
		return nil
	})
	if err != nil {
		c.conf.Log.Error("export", "error", err)
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	w.Header().Set("Content-Disposition", "attachment; filename=crossings."+format)
	write := writeCSV
	if format == "parquet" {
		w.Header().Set("Content-Type", "application/vnd.apache.parquet")
		write = writeParquet
	} else {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	}
	pages.Hurry(w)
	if err := write(w, rows(counts)); err != nil {
		c.conf.Log.Warn("export broke off", "error", err)
	}
}

// rows are the cells of 20 and more, in order, and a last one that says how many
// crossings stand behind the others. That one is missing when they are so few
// that it would tell of a small cell itself.
func rows(counts map[exported]int64) []exported {
	var list []exported
	hidden := int64(0)
	for row, n := range counts {
		if n < leastCell {
			hidden += n
			continue
		}
		row.Count = n
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b exported) int {
		return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	if !small(int(hidden)) {
		list = append(list, exported{Hour: "suppressed", Count: hidden})
	}
	return list
}

func writeCSV(w io.Writer, list []exported) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"hour", "lane", "class", "outcome", "reason", "crossings", "local"}) // Flush tells
	for _, x := range list {
		_ = out.Write([]string{x.Hour, x.Lane, x.Class, x.Outcome, x.Reason, strconv.FormatInt(x.Count, 10), x.Local})
	}
	out.Flush()
	return out.Error()
}

func writeParquet(w io.Writer, list []exported) error { return parquet.Write(w, list) }

// crossings lists a lane's last crossings with their timelines.
func (c *server) crossings(w http.ResponseWriter, r *http.Request, _ *session) {
	list := []site.Crossing{}
	err := c.site.Crossings(r.Context(), r.URL.Query().Get("lane"), time.Now().Add(-12*time.Hour), time.Now().Add(time.Hour), func(x site.Crossing) error {
		if list = append(list, x); len(list) > 2*shownCrossings {
			list = slices.Delete(list, 0, shownCrossings)
		}
		return nil
	})
	if err != nil {
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	slices.Reverse(list)
	pages.Reply(w, http.StatusOK, list[:min(len(list), shownCrossings)])
}

const shownCrossings = 50

func (c *server) audit(w http.ResponseWriter, r *http.Request, _ *session) {
	from, to, err := period(r)
	if err != nil {
		pages.Problem(w, http.StatusBadRequest, "say from and to as in 2026-06-20T08:00:00Z")
		return
	}
	q := r.URL.Query()
	list, err := c.site.Words(r.Context(), q.Get("officer"), q.Get("lane"), q.Get("transaction"), from, to)
	if err != nil {
		c.conf.Log.Error("audit", "error", err)
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	pages.Reply(w, http.StatusOK, list)
}

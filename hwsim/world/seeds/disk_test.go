package seeds

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// disk is what survives a power cut. It keeps the journal's promises and no
// more: a commit is whole or not there, in order, and what nobody waited for is
// tried again.
type disk struct {
	last     lane.Transaction
	way      lane.Direction
	entries  []entry // that tell who is inside, since an open leaf was last seen with nobody there
	intents  map[lane.Transaction]*intent
	ghost    []write // failed, and yet in the log: a power cut brings it back
	full     bool
	slow     bool
	failNext bool
}

type entry struct {
	event lane.Event
	at    time.Time
}

type intent struct {
	visit uint64
	end   string // record, void, case
}

type write struct {
	do   func()
	done func(error)
}

// mayOpen says why the exit must not be open for a traveller, or nothing.
func (d *disk) mayOpen(visit uint64) string {
	open := false
	for _, i := range d.intents {
		if i.visit == visit && i.end == "" {
			open = true
		}
	}
	if !open {
		return "no intent is on disk"
	}
	return ""
}

func (d *disk) recovery(s *sim) kiosk.Recovery {
	was := kiosk.Recovery{Last: d.last, Direction: d.way}
	was.Inside = kiosk.Inside(func(yield func(lane.Event, time.Time) bool) {
		for _, e := range slices.Backward(d.entries) {
			if !yield(e.event, e.at) {
				return
			}
		}
	})
	for x, i := range d.intents {
		if i.end == "" && x > was.OpenIntent {
			was.OpenIntent = x
		}
	}
	for x, i := range d.intents {
		if i.end == "" && x != was.OpenIntent {
			s.settle(x, "case")
		}
	}
	return was
}

// settle ends an intent; the first end holds.
func (s *sim) settle(x lane.Transaction, end string) {
	i := s.disk.intents[x]
	if i == nil || i.end != "" {
		return
	}
	i.end = end
	s.trace("disk: %d is a %s", x, end)
	switch {
	case end == "record" && !s.gone[i.visit]:
		s.broken("a record of somebody who did not cross")
	case end == "void" && s.gone[i.visit]:
		s.broken("a void of somebody who crossed")
	}
}

// storeOf is the journal as one process holds it.
type storeOf struct{ *life }

var errDisk = errors.New("the disk fails")

func (g storeOf) put(done func(error), do func()) {
	g.sim.mu.Lock()
	g.putLocked(done, do)
	g.sim.unlock()
}

func (g storeOf) putLocked(done func(error), do func()) {
	if g.dead {
		return
	}
	g.queue = append(g.queue, write{do, done})
	g.flush()
}

func (g storeOf) flush() {
	s := g.sim
	if g.busy || g.dead || len(g.queue) == 0 {
		return
	}
	g.busy = true
	g.flight, g.queue = g.queue, nil
	wait := s.dice.between(ofCommit, ms, 6*ms)
	if s.disk.slow {
		wait = s.dice.between(ofCommit, 300*ms, 3*time.Second)
	}
	s.after(wait, func() {
		if g.dead {
			return
		}
		batch := g.flight
		g.busy, g.flight = false, nil
		var err error
		switch {
		case s.disk.full:
			err = errDisk
		case s.disk.failNext:
			s.disk.failNext = false
			s.disk.ghost = batch
			err = errDisk
		default:
			s.disk.ghost = nil // the next commit lies where it lay
			for _, w := range batch {
				w.do()
			}
		}
		if g.failing == nil {
			g.failedAt = time.Now()
		}
		g.failing = err
		if err != nil {
			var again []write
			for _, w := range batch {
				if w.done == nil {
					again = append(again, w)
				}
			}
			g.queue = append(again, g.queue...)
			s.after(s.dice.between(ofCommit, 990*ms, time.Second), g.flush)
		}
		for _, w := range batch {
			if w.done != nil {
				s.say(func(*life) { w.done(err) })
			}
		}
		if err == nil {
			g.flush()
		}
	})
}

func (g storeOf) Append(e kiosk.Entry) {
	g.sim.stepped(g.life, e)
	way, event, at := e.After.Direction, e.Event, e.At
	g.put(nil, func() {
		d := &g.sim.disk
		d.way = way
		switch e := event.(type) {
		case lane.GateSeen:
			if !e.Gate.Occupied && !e.Gate.Locked() {
				d.entries = d.entries[:0]
			}
			d.entries = append(d.entries, entry{event, at})
		case lane.Decided, lane.Renewed:
			d.entries = append(d.entries, entry{event, at})
		}
	})
}

func (g storeOf) Begin(x lane.Transaction, uuid string, _ time.Time) {
	g.sim.mu.Lock()
	g.sim.uuid = uuid
	g.putLocked(nil, func() { g.sim.disk.last = max(g.sim.disk.last, x) })
	g.sim.unlock()
}

func (g storeOf) Intend(x lane.Transaction, f kiosk.Facts, done func(error)) {
	visit, _ := strconv.ParseUint(f.Identity.Number, 10, 64)
	told := func(err error) {
		if err != nil {
			g.Void(x)
		}
		done(err)
	}
	g.put(told, func() {
		if g.sim.disk.intents[x] == nil {
			g.sim.disk.intents[x] = &intent{visit: visit}
			g.sim.trace("disk: %d is intended", x)
		}
	})
}

func (g storeOf) Record(x lane.Transaction, _ time.Time, done func(error)) {
	g.put(done, func() { g.sim.settle(x, "record") })
}
func (g storeOf) Void(x lane.Transaction) { g.put(nil, func() { g.sim.settle(x, "void") }) }
func (g storeOf) OpenCase(x lane.Transaction, _ lane.CaseReason) {
	g.put(nil, func() { g.sim.settle(x, "case") })
}

func (g storeOf) Conclude(_ lane.Transaction, e kiosk.Ended) {
	g.sim.mu.Lock()
	g.sim.trace("%v %v", e.Outcome, e.Reason)
	g.sim.outcomes[e.Outcome]++
	g.putLocked(nil, func() {})
	g.sim.unlock()
}
func (storeOf) Cases(context.Context) ([]kiosk.Case, error)          { return nil, nil }
func (storeOf) Settle(context.Context, string, string, string) error { return nil }
func (g storeOf) Failing() error {
	g.sim.mu.Lock()
	defer g.sim.mu.Unlock()
	return g.failing
}

package seeds

import (
	"context"
	"errors"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

const (
	ms = time.Millisecond
	// freed is how long after the last heartbeat the gate frees whoever is
	// inside: its watchdog, or the 5 s of a lane that never came up.
	freed = 1200 * ms
)

// trap is the gate as it is, with the person inside. It keeps ABC-LANE §7 and
// §9; its interlock holds whatever the lane asks.
type trap struct {
	lane.Gate
	ret, fromSafe bool
	fire          bool
	boot          bool // silent
	cut           bool
	waiting       bool // a traveller stands before the entry
	inside        bool
	second        bool // and another one
	blink         bool // the sensors have lost them for a moment
	closedAt      time.Time
	caught        bool
	motion        uint64 // number of the motion under way
	polling       bool
	lost          bool      // the driver has said so
	line          uint64    // counts the times that the line broke
	carrying      time.Time // until when the line is busy with an order
	nextLost      bool
	nextDeaf      bool
	nextCut       bool
	breaking      bool // while nextCut's upset lasts
	nextLate      bool
	nextBlind     bool
	nextSlow      bool
}

const blocks = lane.AlarmTailgate | lane.AlarmMulti | lane.AlarmLuggage | lane.AlarmForced | lane.AlarmWrongWay | lane.AlarmIntrusion | lane.AlarmTamper

// after runs f later, unless the bubble has ended.
func (s *sim) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		s.mu.Lock()
		f()
		s.unlock()
	})
}

// move is after for a motion that a newer one ends.
func (s *sim) move(d time.Duration, f func()) {
	n := s.gate.motion
	s.after(d, func() {
		if s.gate.motion == n && !s.gate.boot {
			f()
			s.changed()
		}
	})
}

// changed lets the lane's next poll see the gate, and measures how long
// somebody has been behind two locked leaves.
func (s *sim) changed() {
	g := &s.gate
	g.Occupied = (g.inside || g.second) && !g.blink
	caught := g.inside && g.Entry == lane.LeafLocked && g.Exit == lane.LeafLocked
	if caught && !g.caught {
		g.closedAt = time.Now()
	}
	if !caught && g.caught {
		s.captive()
	}
	g.caught = caught
	if g.Entry != lane.LeafLocked && g.Exit != lane.LeafLocked && g.State != lane.GateBoot {
		s.broken("both leaves are unlocked")
	}
	s.poll()
}

// captive compares how long somebody was held with the limit.
func (s *sim) captive() {
	held := time.Since(s.gate.closedAt)
	s.longest = max(s.longest, held)
	if held > s.limit {
		s.broken("a person was held for " + held.String())
	}
}

func (s *sim) poll() {
	g := &s.gate
	if g.polling {
		return
	}
	g.polling = true
	s.after(s.dice.between(ofPoll, ms, 50*ms), func() {
		g.polling = false
		if g.cut || g.boot || s.life == nil || s.life.report == nil {
			return
		}
		g.lost = false
		now := g.Gate
		now.Link = true
		s.say(func(l *life) { l.tell(kiosk.GateReport{Seen: now}) })
	})
}

func (s *sim) lose() {
	if s.gate.lost || s.life == nil || s.life.report == nil {
		return
	}
	s.gate.lost = true
	s.gate.line++
	s.say(func(l *life) { l.tell(kiosk.GateReport{Lost: true}) })
}

// vanish has the line take an order's answer with it: the driver loses the gate,
// and says so of both, whichever the lane hears of first.
func (s *sim) vanish(done chan<- error) {
	tell := func() { done <- kiosk.ErrGateLost }
	s.after(s.dice.between(ofOrder, 300*ms, 450*ms), func() {
		if s.dice.roll(ofOrder)%2 == 0 {
			tell()
		} else {
			s.after(s.dice.between(ofOrder, time.Microsecond, ms), tell)
		}
		s.after(s.dice.between(ofOrder, time.Microsecond, ms), func() { s.lose(); s.poll() })
	})
}

// blinks has the sensors lose who is inside now and then, for less than the 2 s
// after which a gate speaks of it, until they have gone.
func (s *sim) blinks() {
	n := s.now.N
	s.after(s.dice.between(ofBlink, 10*ms, 40*time.Second), func() {
		if s.now.N != n || !s.gate.inside {
			return
		}
		s.gate.blink = true
		s.changed()
		s.after(s.dice.between(ofBlink, ms, 1900*ms), func() {
			s.gate.blink = false
			s.changed()
			s.blinks()
		})
	})
}

func (s *sim) stop() { s.gate.motion++ }

func (s *sim) leafTime() time.Duration {
	if s.dice.oneIn(50) {
		return s.dice.between(ofLeaf, 500*ms, 2500*ms)
	}
	return s.dice.between(ofLeaf, 20*ms, 80*ms)
}

func (s *sim) walkTime() time.Duration {
	if s.dice.oneIn(50) {
		return s.dice.between(ofWalk, 500*ms, 4*time.Second)
	}
	return s.dice.between(ofWalk, 20*ms, 100*ms)
}

// leafHold is how long a leaf is told to stay open.
const leafHold = 5 * time.Second

// hold is how long a leaf stays open for nobody.
func (s *sim) hold(long bool) time.Duration {
	d := leafHold
	if long {
		d = lane.LongHold(leafHold)
	}
	return s.dice.between(ofLeaf, d-100*ms, d)
}

func (s *sim) openEntry(ret, long bool) {
	g := &s.gate
	s.stop()
	g.fromSafe = g.State == lane.GateSafe
	g.State, g.Entry, g.ret, g.Walked, g.Crossed = lane.GateEntryOpen, lane.LeafOpen, ret, false, false
	held := s.hold(long)
	if ret {
		s.leaveBack()
	} else if g.waiting && s.now.Habit != staysOut {
		s.move(s.walkTime(), func() {
			g.waiting, g.inside = false, true
			switch s.now.Habit {
			case crowds:
				g.second = true
				g.Alarms |= lane.AlarmTailgate
			case brings:
				g.Bag = true
			case walksBack:
				s.move(s.walkTime(), func() { g.inside = false; s.closeEntry() })
				return
			}
			if s.now.Habit == brings && s.now.N%2 == 0 {
				s.move(s.walkTime(), func() { g.inside = false; s.closeEntry() })
				return
			}
			s.move(s.walkTime(), func() { s.closeEntry() })
		})
	}
	s.move(held, func() { s.closeEntry() })
}

// leaveBack is the way out by the entry for whoever is inside.
func (s *sim) leaveBack() {
	g := &s.gate
	if s.now.Habit == stubborn && s.dice.oneIn(2) {
		s.move(s.dice.between(ofWalk, 2*time.Second, 20*time.Second), func() { s.leaveBack() }) // if it is open then
		return
	}
	s.move(s.walkTime(), func() {
		g.inside, g.second = false, false
		if g.State == lane.GateEntryOpen {
			s.move(s.dice.between(ofLeaf, 10*ms, 30*ms), func() { s.closeEntry() })
		}
	})
}

func (s *sim) closeEntry() {
	g := &s.gate
	if g.State != lane.GateEntryOpen {
		return
	}
	s.stop()
	g.Entry = lane.LeafClosing
	if s.dice.oneIn(40) {
		s.move(s.leafTime(), func() {
			g.Entry = lane.LeafOpen // obstructed: it opens again
			s.move(s.leafTime(), func() { s.closeEntry() })
		})
		return
	}
	s.move(s.leafTime(), func() {
		g.Entry, g.Exit = lane.LeafLocked, lane.LeafLocked
		switch {
		case g.fromSafe:
			g.State = lane.GateSafe
		case g.inside || g.second:
			g.State = lane.GateOccupied
		default:
			g.State = lane.GateReady
		}
		if g.Bag && !g.inside && !g.second {
			g.Alarms |= lane.AlarmLuggage
		}
	})
}

func (s *sim) openExit(long bool) {
	g := &s.gate
	s.stop()
	s.openings++
	if why := s.disk.mayOpen(s.now.N); why != "" {
		s.broken("the exit was opened: " + why)
	}
	g.State, g.Exit, g.Walked, g.Crossed = lane.GateExitOpen, lane.LeafOpen, false, false
	held := s.hold(long)
	if g.inside && s.now.Habit != staysIn {
		s.move(s.walkTime(), func() {
			s.leaveByExit()
			s.move(s.dice.between(ofLeaf, 10*ms, 30*ms), func() { s.closeExit() })
		})
	}
	s.move(held, func() { s.closeExit() })
}

func (s *sim) leaveByExit() {
	g := &s.gate
	g.inside = false
	s.gone[s.now.N] = true
	s.crossings++
	s.trace("traveller %d leaves by the exit", s.now.N)
	if !g.nextBlind {
		g.Walked = true
	}
	g.nextBlind = false
}

func (s *sim) closeExit() {
	g := &s.gate
	if g.State != lane.GateExitOpen {
		return
	}
	s.stop()
	g.Exit = lane.LeafClosing
	s.move(s.leafTime(), func() {
		g.Exit, g.Entry = lane.LeafLocked, lane.LeafLocked
		g.State = lane.GateReady
		if g.inside || g.second {
			g.State = lane.GateOccupied
			return
		}
		if g.Walked {
			if g.nextSlow {
				g.nextSlow = false
				s.move(s.dice.between(ofLeaf, 100*ms, 4*time.Second), func() { g.Crossed = g.State == lane.GateReady })
				return
			}
			g.Crossed = true
		}
	})
}

// fallback frees the entry, after the exit has closed.
func (s *sim) fallback() {
	g := &s.gate
	if g.boot || g.State == lane.GateFallback || g.State == lane.GateEvacuate || g.State == lane.GateFault {
		return
	}
	was := g.State
	s.stop()
	g.State = lane.GateFallback
	if was == lane.GateExitOpen && !g.Exit.Closed() {
		g.Exit = lane.LeafClosing
		if g.inside && s.dice.oneIn(2) {
			s.move(s.dice.between(ofWalk, 5*ms, 15*ms), func() { s.leaveByExit(); s.lockThenFree() })
			return
		}
		s.lockThenFree()
		return
	}
	g.Exit, g.Entry = lane.LeafLocked, lane.LeafUnlocked
	s.leaveBack()
}

func (s *sim) lockThenFree() {
	s.move(s.leafTime(), func() {
		s.gate.Exit, s.gate.Entry = lane.LeafLocked, lane.LeafUnlocked
		s.leaveBack()
	})
}

func (s *sim) free(state lane.GateState) {
	g := &s.gate
	if g.boot {
		return
	}
	s.stop()
	g.State, g.Entry, g.Exit = state, lane.LeafUnlocked, lane.LeafLocked
	s.leaveBack()
}

// power is the gate without it: its leaves can be pushed, and it boots.
func (s *sim) power(on bool) {
	g := &s.gate
	if !on {
		s.stop()
		g.line++
		g.boot, g.fire, g.second = true, false, false
		g.State, g.Entry, g.Exit, g.Alarms = lane.GateBoot, lane.LeafUnlocked, lane.LeafLocked, 0
		s.lose()
		return
	}
	s.after(s.dice.between(ofBoot, 300*ms, 900*ms), func() {
		g.boot = false
		g.State, g.Entry, g.Exit = lane.GateSafe, lane.LeafLocked, lane.LeafLocked
		g.Walked, g.Crossed = false, false
		if g.inside {
			g.Alarms |= lane.AlarmIntrusion
		}
		s.changed()
	})
}

// obey is ABC-LANE §7: the conditions, then the motion.
func (s *sim) obey(c lane.Command, long bool) (ok bool) {
	g := &s.gate
	locked := func(l lane.Leaf) bool { return l == lane.LeafLocked }
	if g.boot {
		return false
	}
	switch c {
	case lane.OpenEntry:
		if ok = g.State == lane.GateReady && locked(g.Exit) && g.Alarms&blocks == 0 && !g.Occupied && !g.Bag; ok {
			s.openEntry(false, long)
		}
	case lane.OpenExit:
		if ok = g.State == lane.GateOccupied && locked(g.Entry) && g.Alarms&blocks == 0; ok {
			s.openExit(long)
		}
	case lane.OpenReturn:
		if ok = (g.State == lane.GateSafe || g.State == lane.GateOccupied) && locked(g.Exit); ok {
			s.openEntry(true, long)
		}
	case lane.CloseAll:
		ok = true
		s.closeEntry()
		s.closeExit()
	case lane.SafeMode:
		switch g.State {
		case lane.GateSafe:
			ok = true
		case lane.GateReady, lane.GateMaintenance:
			ok = locked(g.Entry)
		case lane.GateFallback:
			ok = g.Exit.Closed()
		case lane.GateEvacuate:
			ok = !g.fire
		}
		if ok && g.State != lane.GateSafe {
			s.stop()
			g.State, g.Entry, g.Exit = lane.GateSafe, lane.LeafLocked, lane.LeafLocked
		}
	case lane.ReadyMode:
		if ok = g.State == lane.GateSafe && g.Alarms&blocks == 0 && !g.Occupied; ok {
			g.State = lane.GateReady
		}
	case lane.ClearAlarms, lane.ClearCrowd:
		ok = true
		gone := lane.AlarmDwell
		if !g.second {
			gone |= lane.AlarmTailgate | lane.AlarmMulti
		}
		if !g.Occupied {
			gone |= lane.AlarmIntrusion
		}
		if c == lane.ClearAlarms {
			gone |= lane.AlarmWrongWay | lane.AlarmForced
			if !g.Bag {
				gone |= lane.AlarmLuggage
			}
		}
		g.Alarms &^= gone
	case lane.EvacuateGate:
		ok = true
		s.free(lane.GateEvacuate)
	case lane.EndEvacuate:
		ok = true
	case lane.Maintenance:
		if ok = g.State == lane.GateSafe; ok {
			g.State = lane.GateMaintenance
		}
	case lane.ClearFaults:
		if ok = g.State == lane.GateFault; ok {
			s.stop()
			g.State, g.Entry, g.Exit = lane.GateSafe, lane.LeafLocked, lane.LeafLocked
		}
	case lane.MoveEntryOpen:
		if ok = g.State == lane.GateMaintenance; ok {
			g.Entry = lane.LeafOpen
		}
	case lane.MoveEntryClose:
		if ok = g.State == lane.GateMaintenance; ok {
			g.Entry = lane.LeafLocked
		}
	default:
		ok = true
	}
	s.changed()
	return ok
}

// gateOf is the gate as one process of the lane holds it.
type gateOf struct{ *life }

func (g gateOf) Run(ctx context.Context, _ func() bool, report func(kiosk.GateReport)) error {
	s := g.sim
	s.mu.Lock()
	if !g.dead {
		g.report = report
		s.gate.lost = false
		s.poll()
	}
	s.unlock()
	<-ctx.Done()
	return nil
}

var errLine = errors.New("no answer")

// Order carries the command over a line that may lose, delay or cut it.
func (g gateOf) Order(_ context.Context, o lane.Order) <-chan error {
	c := o.Command
	s := g.sim
	done := make(chan error, 1)
	s.mu.Lock()
	defer s.unlock()
	t := &s.gate
	answer := func(class lane.Class) { done <- &kiosk.Refusal{Class: class, Err: errLine} }
	if g.dead {
		return done
	}
	s.trace("order %v", c)
	lost, deaf, late, cut := t.nextLost, t.nextDeaf, t.nextLate, t.nextCut
	t.nextLost, t.nextDeaf, t.nextLate, t.nextCut = false, false, false, false
	gone := t.cut || t.boot
	wait := s.dice.between(ofOrder, 3*ms, 25*ms)
	if late {
		wait = s.dice.between(ofOrder, 200*ms, 900*ms)
	}
	// The line keeps its order, and what it has not carried when it breaks is
	// void (ABC-LANE §10).
	at := time.Now().Add(wait)
	if !at.After(t.carrying) {
		at = t.carrying.Add(s.dice.between(ofOrder, ms, 3*ms))
	}
	t.carrying = at
	l, line := g.life, t.line
	s.after(time.Until(at), func() {
		switch {
		case l.dead: // it was still in this process
			return
		case gone || t.cut || t.boot || t.line != line:
			s.vanish(done)
			return
		case lost:
			s.after(s.dice.between(ofOrder, 300*ms, 450*ms), func() { answer(lane.ClassService) })
			return
		}
		ok := s.obey(c, o.Long)
		s.trace("gate %v: %v, %v", c, ok, t.State)
		switch {
		case cut && t.breaking: // or somebody has mended it meanwhile
			t.line++
			t.cut = true // before any poll has shown what became of it
			s.after(freed, func() {
				if t.cut {
					s.fallback()
					s.changed()
				}
			})
			s.vanish(done)
		case deaf:
			s.after(s.dice.between(ofOrder, 300*ms, 450*ms), func() { answer(lane.ClassService) })
		case ok:
			done <- nil
		default:
			answer(lane.ClassLater)
		}
	})
	return done
}

func (g gateOf) Lights(context.Context, kiosk.Lights) error { return nil }

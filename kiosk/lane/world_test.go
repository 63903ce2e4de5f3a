package lane

import (
	"fmt"
	"time"
)

// The world is the lane together with everything it talks to: an adversarial
// gate that keeps ABC-LANE §9 and nothing more, a disk that may fail or land
// what it reported as failed, readers and registers that answer late, wrongly,
// twice or never, officers who press everything, and a power switch. It is a
// comparable value, so that the search can remember where it has been.
type world struct {
	S State
	G mantrap

	Reading, Qualifying, Comparing bool // asked, not yet answered, for S.Transaction

	Intent   [travellers + 1]uint8 // by transaction: none, asked, durable
	Settled  [travellers + 1]uint8 // none, record, void, case
	Writing  [travellers + 1]bool  // record asked
	Gone     [travellers + 1]bool  // that person has physically left by the exit
	Eligible [travellers + 1]bool  // qualified without a reason

	Pax     uint8 // whose body is inside: 0 nobody, stranger, or a transaction
	Captive uint8 // seconds behind two locked leaves without an officer's word

	Broken  bool    // the lane has seen a failure since that body came in
	Refused Command // a refusal that is on its way
	Flight  Command // a command that the line has not carried yet
	Opened  bool    // the exit has opened for somebody without a durable intent, or with a void one
	Budget  budget  // of rare events, so that the space stays finite
}

// blink is how the sensors see who is inside: they may lose them for less than
// the 2 s of SENSOR_MISMATCH, in which one timer at most runs out.
type blink uint8

const (
	awake blink = iota
	lost
	lostLong // and a timer has run out meanwhile
)

// budget bounds how often a rare event happens on one path.
type budget struct{ Restart, Reboot, Fire, Trip, Fault, Cut, Drop, Lease, Sick, Slow, Late, Blink, Delay uint8 }

const (
	travellers = 2
	stranger   = 9
	none       = 0
	asked      = 1
	durable    = 2
	record     = 1
	voided     = 2
	opened     = 3
)

// mantrap is the gate as it really is.
type mantrap struct {
	Gate
	Return, FromSafe bool // entry open for a return; entered from SAFE_CLOSED
	Freed            bool // FALLBACK directly after EXIT_OPEN
	Fire             bool // the cause of EVACUATE persists
	Blink            blink
}

// base is the instant that every world is rebased to, so that two worlds that
// differ only in when they happen are one.
const base = Instant(1000 * time.Second)

func rebase(s State, now Instant) State {
	shift := func(t *Instant, floor Instant) {
		if *t != 0 {
			*t = max(*t-now+base, floor)
		}
	}
	shift(&s.Deadline, base)
	shift(&s.Prompt, base)
	shift(&s.Trapped, base)
	shift(&s.Vector.Oldest, base-Instant(150*time.Second))
	s.Reason, s.Direction = NONE, Configured // said, never asked
	return s
}

func start() world {
	w := world{S: Start()}
	w.G.Gate = Gate{Link: true, State: GateSafe, Entry: LeafLocked, Exit: LeafLocked}
	return w
}

// move is one thing that may happen next.
type move struct {
	name string
	w    world
	bad  string // the invariant that it breaks
}

// explorer holds the rules and collects the moves of one world.
type explorer struct {
	rules  Rules
	limits [phases][2]time.Duration // asked at every move of millions
	step   func(State, Instant, Event) (State, []Effect)
	moves  []move
	ways   *ways // what led from phase to phase; nil when nobody asks
}

func newExplorer(r Rules) *explorer { return &explorer{rules: r, limits: limits(r), step: r.Step} }

func (x *explorer) add(name string, w world) {
	bad := ""
	if w.Opened {
		bad = invariants[3]
	}
	x.moves = append(x.moves, move{name, w, bad})
}

// deliver gives an event to the lane and carries out its effects in every way
// in which they may turn out.
func (x *explorer) deliver(name string, w world, e Event) { x.deliverAt(name, w, base, e) }

func (x *explorer) deliverAt(name string, w world, now Instant, e Event) {
	before := w.S
	after, effects := x.step(before, now, e)
	if after.Transaction > travellers {
		return // the edge of this world
	}
	w.S = after
	if o, _ := e.(Ordered); x.ways != nil && e != (TimeAsked{}) && o.Order != OrderMoreTime { // which lead nowhere by themselves
		x.ways[before.Phase][after.Phase] |= 1 << kind(e)
	}
	if after.Phase != Inside {
		w.Comparing = false // the shell ends a capture that nobody waits for
	}
	switch after.Phase {
	case Fault, Fallback, Evacuate:
		w.Broken = w.Pax != 0
	}
	bad := x.check(w, before, now, e, effects)
	outcomes := []world{w}
	for _, f := range effects {
		outcomes = x.carry(outcomes, f)
	}
	for i, o := range outcomes {
		if bad == "" {
			bad = o.unsettled()
		}
		if o.Opened {
			bad = invariants[3]
		}
		o.S = rebase(o.S, now)
		o.forget()
		label := name
		if len(outcomes) > 1 {
			label = fmt.Sprintf("%s/%d", name, i)
		}
		x.moves = append(x.moves, move{label, o, bad})
	}
}

func (x *explorer) carry(in []world, f Effect) []world {
	var out []world
	for _, w := range in {
		switch f := f.(type) {
		case Order:
			w.land() // the line keeps its order
			if w.Budget.Delay > 0 && f.Command <= CloseAll {
				late := w
				late.Budget.Delay--
				late.Flight = f.Command
				out = append(out, late)
			}
			if w.Budget.Drop > 0 && f.Command != EvacuateGate {
				lost := w
				lost.Budget.Drop--
				lost.Captive = 0 // the limit is the lane's, not the wire's
				out = append(out, lost)
			}
			w.obey(f.Command)
		case Read:
			w.Reading = true
		case Qualify:
			w.Reading, w.Qualifying = false, true
		case Capture:
			w.Comparing = true
		case WriteIntent:
			if w.Intent[f.Transaction] == none {
				w.Intent[f.Transaction] = asked
			}
		case Record:
			w.Writing[f.Transaction] = true
		case Void:
			w.settle(f.Transaction, voided)
		case OpenCase:
			w.settle(f.Transaction, opened)
		case Conclude:
			w.Reading, w.Qualifying, w.Comparing = false, false, false
		}
		out = append(out, w)
	}
	return out
}

// forget drops what can no longer make a difference, so that equal futures
// are one world.
func (w *world) forget() {
	for n := Transaction(1); n <= travellers; n++ {
		if n < w.S.Transaction {
			w.Eligible[n] = false
		}
		ended := w.Intent[n] == durable && w.Settled[n] != none && !w.Writing[n]
		never := w.Intent[n] == none && n < w.S.Transaction
		if ended && w.Flight != OpenExit {
			w.Settled[n] = record
		}
		if ended && (n < w.S.Transaction || !w.S.Live) || never {
			w.Gone[n] = w.Pax == uint8(n) && w.Gone[n]
		}
		if ended && n < w.S.Transaction {
			w.Intent[n], w.Settled[n] = none, none
		}
	}
}

// settle is the store's rule: the first settlement of a durable intent holds.
func (w *world) settle(t Transaction, how uint8) {
	if w.Intent[t] == durable && w.Settled[t] == none {
		w.Settled[t] = how
	}
}

// land has the gate obey a command that was under way.
func (w *world) land() {
	if c := w.Flight; c != NoCommand {
		w.Flight = NoCommand
		w.obey(c)
	}
}

// obey is ABC-LANE §7: conditions in order, then the motion.
func (w *world) obey(c Command) {
	g := &w.G
	ok := false
	leaf := func(l Leaf) bool { return l == LeafLocked }
	switch c {
	case OpenEntry:
		if ok = g.State == GateReady && leaf(g.Exit) && g.Alarms&blocking == 0 && !g.Occupied && !g.Bag; ok {
			g.State, g.Entry, g.Return, g.FromSafe, g.Walked, g.Crossed = GateEntryOpen, LeafOpen, false, false, false, false
		}
	case OpenExit:
		if ok = g.State == GateOccupied && leaf(g.Entry) && g.Alarms&blocking == 0; ok {
			g.State, g.Exit, g.Walked, g.Crossed = GateExitOpen, LeafOpen, false, false
			w.Opened = w.Pax > travellers || w.Intent[w.Pax] != durable || w.Settled[w.Pax] == voided
		}
	case OpenReturn:
		if ok = (g.State == GateSafe || g.State == GateOccupied) && leaf(g.Exit); ok {
			g.FromSafe = g.State == GateSafe
			g.State, g.Entry, g.Return, g.Walked, g.Crossed = GateEntryOpen, LeafOpen, true, false, false
		}
	case CloseAll:
		ok = true
		if g.State == GateEntryOpen {
			g.Entry = LeafClosing
		} else if g.State == GateExitOpen {
			g.Exit = LeafClosing
		}
	case SafeMode:
		switch g.State {
		case GateSafe:
			ok = true
		case GateReady, GateMaintenance:
			g.State, ok = GateSafe, true
		case GateFallback:
			if ok = g.Exit.Closed(); ok {
				g.State, g.Entry, g.Exit = GateSafe, LeafLocked, LeafLocked
			}
		case GateEvacuate:
			if ok = !g.Fire; ok {
				g.State, g.Entry, g.Exit = GateSafe, LeafLocked, LeafLocked
			}
		}
	case ReadyMode:
		if ok = g.State == GateSafe && g.Alarms&blocking == 0 && !g.Occupied; ok {
			g.State = GateReady
		}
	case ClearAlarms, ClearCrowd:
		ok = true
		gone := AlarmTailgate | AlarmMulti | AlarmDwell
		if !g.Occupied {
			gone |= AlarmIntrusion
		}
		if c == ClearAlarms {
			gone |= AlarmWrongWay | AlarmForced
			if !g.Bag {
				gone |= AlarmLuggage
			}
		}
		g.Alarms &^= gone
	case EvacuateGate:
		ok = true
		g.evacuate()
	case EndEvacuate:
		ok, g.Fire = true, false
	case Maintenance:
		if ok = g.State == GateSafe; ok {
			g.State = GateMaintenance
		}
	case ClearFaults:
		if ok = g.State == GateFault; ok {
			g.State, g.Entry, g.Exit = GateSafe, LeafLocked, LeafLocked
		}
	default:
		ok = true
	}
	if ok && w.Refused == c {
		w.Refused = NoCommand // the shell drops what an older order came to
	} else if !ok && w.Refused == NoCommand {
		w.Refused = c
	}
	w.moved()
}

// moved follows a change at the gate: behind an open leaf nobody is captive, and
// sensors that had lost somebody behind locked ones find them there.
func (w *world) moved() {
	if w.G.Locked() {
		return
	}
	w.Captive = 0
	if w.G.Blink != awake {
		w.G.Blink, w.G.Occupied = awake, true
	}
}

// seen says whether the lane has seen the gate as it is.
func (w world) seen() bool {
	g := w.G.Gate
	g.Occupied = g.Occupied || g.State == GateOccupied
	return g == w.S.Gate
}

func (g *mantrap) evacuate() {
	g.State, g.Entry, g.Exit = GateEvacuate, LeafUnlocked, LeafLocked
}

// bodies moves what is inside; Occupied follows.
func (w *world) bodies(pax uint8) {
	w.Pax = pax
	w.G.Occupied, w.G.Blink = pax != 0, awake
	if pax == 0 {
		w.Captive, w.Broken = 0, false
	}
}

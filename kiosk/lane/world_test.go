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
	Budget  budget  // of rare events, so that the space stays finite
}

// budget bounds how often a rare event happens on one path.
type budget struct{ Restart, Reboot, Fire, Trip, Fault, Cut, Drop, Lease, Sick uint8 }

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
	s.Reason = NONE // said, never asked
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
	rules Rules
	step  func(State, Instant, Event) (State, []Effect)
	moves []move
	ways  *ways // what led from phase to phase; nil when nobody asks
}

func newExplorer(r Rules) *explorer { return &explorer{rules: r, step: r.Step} }

func (x *explorer) add(name string, w world) { x.moves = append(x.moves, move{name: name, w: w}) }

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
	if x.ways != nil {
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
		if ended {
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
	if g.Entry != LeafLocked || g.Exit != LeafLocked {
		w.Captive = 0
	}
}

func (g *mantrap) evacuate() {
	g.State, g.Entry, g.Exit = GateEvacuate, LeafUnlocked, LeafLocked
}

// bodies moves what is inside; Occupied follows.
func (w *world) bodies(pax uint8) {
	w.Pax = pax
	w.G.Occupied = pax != 0
	if pax == 0 {
		w.Captive, w.Broken = 0, false
	}
}

// next lists everything that may happen in w.
func (x *explorer) next(w world) []move {
	x.moves = x.moves[:0]
	x.gateMoves(w)
	x.answers(w)
	x.people(w)
	x.time(w)
	return x.moves
}

func (x *explorer) gateMoves(w world) {
	g := w.G
	if g.Link && g.Gate != w.S.Gate {
		x.deliver("poll "+g.State.String(), w, GateSeen{g.Gate})
	}
	if g.Link && w.Refused != NoCommand {
		c, o := w.Refused, w
		o.Refused = NoCommand
		for _, class := range []Class{ClassLater, ClassService} {
			x.deliver(fmt.Sprintf("refused %v %v", c, class), o, GateRefused{c, class})
		}
	}
	do := func(name string, change func(*world)) {
		o := w
		change(&o)
		if o.G.Entry != LeafLocked || o.G.Exit != LeafLocked {
			o.Captive = 0
		}
		if o != w {
			x.add(name, o)
		}
	}
	lock := func(o *world) { o.G.Entry, o.G.Exit = LeafLocked, LeafLocked }
	// Polls (50 ms) are faster than bodies and leaves: what moves by itself
	// moves from a state that the lane has seen, or behind a dead link.
	state := g.State
	if g.Link && g.Gate != w.S.Gate {
		state = gateStates
	}
	switch state {
	case GateBoot:
		do("booted", func(o *world) { o.G.State = GateSafe; lock(o) })
	case GateEntryOpen:
		if g.Entry == LeafOpen {
			if w.Pax == 0 && !g.Return {
				do("walks in", func(o *world) { o.bodies(uint8(w.S.Transaction)) })
				do("leaves a bag", func(o *world) { o.G.Bag = true })
			}
			if w.Pax != 0 {
				do("walks back out", func(o *world) { o.bodies(0) })
				do("second person", func(o *world) { o.G.Alarms |= AlarmTailgate })
			}
			do("entry closing", func(o *world) { o.G.Entry = LeafClosing })
		} else {
			do("entry reverses", func(o *world) { o.G.Entry = LeafOpen })
			do("entry locks", func(o *world) {
				lock(o)
				switch {
				case g.Return && g.FromSafe:
					o.G.State = GateSafe
				case g.Occupied:
					o.G.State = GateOccupied
				default:
					o.G.State = GateReady
				}
				if g.Bag && !g.Occupied {
					o.G.Alarms |= AlarmLuggage
				}
			})
		}
	case GateExitOpen:
		if g.Exit == LeafOpen {
			if w.Pax != 0 && w.Pax != stranger {
				do("walks out", func(o *world) { o.Gone[w.Pax] = true; o.bodies(0); o.G.Walked = true })
				do("out, and another in", func(o *world) {
					o.Gone[w.Pax] = true
					o.bodies(stranger)
					o.G.Walked = true
					o.G.Alarms |= AlarmWrongWay
				})
				do("out, and another slips in", func(o *world) { o.Gone[w.Pax] = true; o.bodies(stranger); o.G.Walked = true })
				do("sensors lose the person", func(o *world) { o.G.Occupied = false })
				if w.Budget.Trip == 0 {
					// In FALLBACK the gate has no CROSSED event to contradict it.
					do("sensors see a ghost walk out", func(o *world) { o.G.Occupied, o.G.Walked = false, true })
				}
				do("out unseen", func(o *world) { o.Gone[w.Pax] = true; o.bodies(0) })
			}
			do("exit closing", func(o *world) { o.G.Exit = LeafClosing })
		} else {
			do("exit reverses", func(o *world) { o.G.Exit = LeafOpen })
			do("exit locks", func(o *world) {
				lock(o)
				o.G.State = GateReady
				if g.Occupied {
					o.G.State = GateOccupied
				}
				o.G.Freed = false
			})
		}
	case GateReady:
		if g.Walked && !g.Crossed && w.Pax == 0 {
			do("crossed event", func(o *world) { o.G.Crossed = true })
		}
	case GateFallback:
		if !g.Exit.Closed() {
			if w.Pax != 0 && w.Pax != stranger {
				do("walks out in fallback", func(o *world) { o.Gone[w.Pax] = true; o.bodies(0); o.G.Walked = true })
			}
			do("exit closes in fallback", func(o *world) { o.G.Exit, o.G.Entry = LeafLocked, LeafUnlocked })
		} else if w.Pax != 0 {
			do("leaves by the freed entry", func(o *world) { o.bodies(0) })
		}
	case GateEvacuate, GateFault:
		if w.Pax != 0 {
			do("leaves by the freed entry", func(o *world) { o.bodies(0) })
		}
		if g.Fire {
			do("fire is over", func(o *world) { o.G.Fire = false })
		}
	case GateMaintenance:
		if g.Bag {
			do("officer takes the bag", func(o *world) { o.G.Bag = false })
		}
	}
	if w.Budget.Trip > 0 && (g.State >= GateSafe && g.State <= GateExitOpen || g.State == GateMaintenance) {
		do("watchdog trips", func(o *world) {
			o.Budget.Trip--
			o.G.State = GateFallback
			if g.Exit.Closed() {
				o.G.Entry = LeafUnlocked
			}
			if g.Entry != LeafLocked && g.Exit.Closed() {
				o.G.Entry = LeafUnlocked
			}
		})
	}
	if w.Budget.Fire > 0 && g.State != GateEvacuate {
		do("fire", func(o *world) { o.Budget.Fire--; o.G.Fire = true; o.G.evacuate() })
	}
	if w.Budget.Fault > 0 && g.State >= GateSafe && g.State <= GateFallback {
		do("gate faults", func(o *world) { o.Budget.Fault--; o.G.State, o.G.Entry = GateFault, LeafUnlocked })
	}
	if w.Budget.Reboot > 0 && g.State != GateBoot {
		o := w
		o.Budget.Reboot--
		o.G = mantrap{Gate: Gate{Link: true, State: GateBoot, Occupied: g.Occupied, Bag: g.Bag}}
		if g.Occupied {
			o.G.Alarms = AlarmIntrusion
		}
		x.deliver("gate reboots", o, GateLost{})
	}
	if g.Link && w.Budget.Cut > 0 {
		o := w
		o.Budget.Cut--
		o.G.Link = false
		x.deliver("link cut", o, GateLost{})
	} else if !g.Link {
		do("link back", func(o *world) { o.G.Link = true })
	}
}

// answers come for the traveller of now and, when they are late, for the one
// before.
func (x *explorer) answers(w world) {
	t := w.S.Transaction
	if w.Reading && w.S.Phase == DocRead {
		o := w
		o.Reading = false
		x.deliver("read ok", o, DocumentRead{t, Finding{}})
		x.deliver("read bad", o, DocumentRead{t, Finding{Reason: PA_FAIL, Alert: true}})
	}
	if w.Qualifying && w.S.Phase == Eligible {
		o := w
		o.Qualifying = false
		x.deliver("not eligible", o, Qualified{t, Finding{Reason: EES_NOT_REG}})
		o.Eligible[t] = true
		x.deliver("eligible", o, Qualified{t, Finding{Demands: Demands(CheckSLTD, CheckRefFace)}})
		x.deliver("eligible, confirm", o, Qualified{t, Finding{Demands: Demands(CheckSIS), Confirm: true}})
	}
	// An answer that comes before Inside is only kept: the same as one that
	// comes there.
	if w.S.Live && w.S.Vector.Demands != 0 && w.S.Phase >= Inside {
		for _, a := range []struct {
			c Check
			a []Answer
		}{
			{CheckSIS, []Answer{Clear, HitAction, NotConsulted, Possible}},
			{CheckSLTD, []Answer{Clear, HitAction, NotConsulted}},
			{CheckRefFace, []Answer{Clear, FaceDiffers}},
		} {
			if !w.S.Vector.Demands.Has(a.c) || w.S.Vector.Answers[a.c] != Pending {
				continue
			}
			for _, v := range a.a {
				x.deliver(fmt.Sprintf("%v %v", a.c, v), w, Answered{t, a.c, v})
			}
		}
	}
	if w.Comparing && w.S.Phase == Inside {
		o := w
		o.Comparing = false
		for _, f := range []Face{FaceMatch, FaceNonMatch, FaceAttack, FaceSeveral, FaceUnavailable} {
			x.deliver("face "+f.String(), o, FaceCompared{t, f})
		}
	}
	for n := Transaction(1); n <= travellers; n++ {
		if w.Intent[n] == asked {
			o := w
			o.Intent[n] = durable
			x.deliver(fmt.Sprintf("intent %d durable", n), o, Intended{n})
			o.Settled[n] = voided // landed, reported as failed: the store voids it
			x.deliver(fmt.Sprintf("intent %d landed, said failed", n), o, StorageFailed{n})
			o = w
			o.Intent[n] = none
			x.deliver(fmt.Sprintf("intent %d failed", n), o, StorageFailed{n})
		}
		if w.Writing[n] {
			o := w
			o.Writing[n] = false
			x.deliver(fmt.Sprintf("record %d failed", n), o, StorageFailed{n})
			o.settle(n, record)
			x.deliver(fmt.Sprintf("record %d written", n), o, Committed{n})
			x.deliver(fmt.Sprintf("record %d landed, said failed", n), o, StorageFailed{n})
		}
	}
	if t == 2 { // stale answers for the traveller before
		x.deliver("stale intended", w, Intended{1})
		x.deliver("stale committed", w, Committed{1})
		x.deliver("stale face", w, FaceCompared{1, FaceMatch})
		x.deliver("stale eligible", w, Qualified{1, Finding{}})
		x.deliver("stale release", w, Decided{1, DecideRelease, 2, true})
	}
}

func (x *explorer) people(w world) {
	t := w.S.Transaction
	if !w.S.Document && t < travellers && w.S.Phase == Idle {
		x.deliver("document placed", w, DocumentPlaced{})
	}
	if w.S.Document {
		x.deliver("document taken", w, DocumentTaken{})
	}
	if w.Budget.Lease > 0 {
		o := w
		o.Budget.Lease--
		x.deliver("lease", o, LeaseChanged{!w.S.Lease})
	}
	if w.Budget.Sick > 0 {
		o := w
		o.Budget.Sick--
		x.deliver("health", o, HealthChanged{w.S.Unfit ^ UnfitCamera})
	}
	if w.S.Gate.Occupied && w.S.Phase != Release {
		x.deliver("help", w, Pressed{})
		for _, d := range []Decision{DecideRelease, DecideDivert, DecideHold, DecideRetryFace} {
			for n := uint8(1); n <= 2; n++ {
				o := w
				if d != DecideRelease && n == 2 {
					continue
				}
				if d == DecideHold {
					o.Captive = 0
				}
				x.deliver(fmt.Sprintf("officer %v ×%d", d, n), o, Decided{t, d, n, true})
			}
		}
		o := w
		o.Captive = 0
		x.deliver("officer renews", o, Renewed{})
	}
	if w.S.Phase == Release || w.S.Phase == Clearing {
		x.deliver("officer hold", w, Decided{t, DecideHold, 1, false})
	}
	if w.S.Phase == Hold {
		x.deliver("order review", w, Ordered{Order: OrderReview})
	}
	if w.S.Gate.Alarms != 0 || w.S.Phase == Fallback || w.S.Phase == Multi {
		x.deliver("order clear alarms", w, Ordered{Order: OrderClearAlarms})
	}
	if w.S.Phase == Fault {
		x.deliver("order clear faults", w, Ordered{Order: OrderClearFaults})
	}
	if w.S.Phase == Evacuate {
		x.deliver("order end evacuate", w, Ordered{Order: OrderEndEvacuate})
	}
	if w.S.Phase == Luggage {
		x.deliver("order maintenance", w, Ordered{Order: OrderMaintenance})
		x.deliver("order end maintenance", w, Ordered{Order: OrderEndMaintenance})
	}
	if w.S.Phase == DivertIn && w.S.Gate.Bag {
		x.deliver("order close leaf", w, Ordered{Order: OrderCloseLeaf})
	}
	if w.Budget.Fire > 0 {
		o := w
		o.Budget.Fire--
		x.deliver("order evacuate", o, Ordered{Order: OrderEvacuate, Signatures: 2})
		x.deliver("one asks to evacuate", o, Ordered{Order: OrderEvacuate, Signatures: 1})
	}
}

// time passes to the next deadline. Polls are faster than any timer, so it
// passes only when the lane has seen the gate as it is.
func (x *explorer) time(w world) {
	if w.Budget.Restart > 0 {
		x.restart(w)
	}
	if w.G.Link && (w.G.Gate != w.S.Gate || w.Refused != NoCommand) {
		return
	}
	if !w.G.Link && w.G.State != GateFallback && w.G.State != GateEvacuate && w.G.State != GateFault && w.G.State != GateBoot {
		return // the watchdog trips long before any timer of the lane
	}
	next := Instant(0)
	for _, t := range []Instant{w.S.Deadline, w.S.Prompt, w.S.Trapped} {
		if t > base && (next == 0 || t < next) {
			next = t
		}
	}
	if next == 0 {
		next = base // nothing is due; a tick still comes
	}
	if w.Pax != 0 && w.G.Occupied && w.G.Link && w.G.Entry == LeafLocked && w.G.Exit == LeafLocked {
		w.Captive = uint8(min(250, int(w.Captive)+int((next-base)/Instant(time.Second))))
	} else {
		w.Captive = 0
	}
	x.deliverAt("time passes", w, next, Tick{})
}

// restart is a power cut of the controller: memory goes, the disk stays.
func (x *explorer) restart(w world) {
	o := w
	o.Budget.Restart--
	o.S = Start()
	o.Reading, o.Qualifying, o.Comparing, o.Refused, o.Captive = false, false, false, NoCommand, 0
	o.Eligible = [travellers + 1]bool{}
	o.Broken = o.Pax != 0
	landed := o
	for n := Transaction(1); n <= travellers; n++ {
		if o.Intent[n] == asked {
			o.Intent[n], landed.Intent[n] = none, durable
		}
		if o.Writing[n] {
			o.Writing[n], landed.Writing[n] = false, false
			landed.settle(n, record)
		}
	}
	for i, v := range []world{o, landed} {
		if i == 1 && landed == o {
			break
		}
		open := Transaction(0)
		for n := Transaction(1); n <= travellers; n++ {
			if v.Intent[n] == durable && v.Settled[n] == none {
				if open != 0 {
					v.settle(open, opened) // the journal opens all but the newest
				}
				open = n
			}
		}
		x.deliver("restart", v, Started{w.S.Transaction, open})
	}
}

package lane

import (
	"fmt"
	"time"
)

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
		o.moved()
		if o != w {
			x.add(name, o)
		}
	}
	if w.Flight != NoCommand {
		do("a late "+w.Flight.String()+" is carried out", func(o *world) { o.land() })
	}
	lock := func(o *world) { o.G.Entry, o.G.Exit = LeafLocked, LeafLocked }
	// Polls (50 ms) are faster than bodies and leaves: what moves by itself
	// moves from a state that the lane has seen, or behind a dead link.
	state := g.State
	if g.Link && !w.seen() {
		state = gateStates
	}
	if g.Blink != awake {
		do("sensors find the person again", func(o *world) {
			o.G.Blink, o.G.Occupied = awake, true
			if g.State != GateOccupied {
				o.G.Alarms |= AlarmIntrusion
			}
		})
	} else if w.Budget.Blink > 0 && w.Pax != 0 && g.Occupied && (state == GateOccupied || state == GateSafe) {
		do("sensors lose the person", func(o *world) { o.Budget.Blink--; o.G.Blink, o.G.Occupied = lost, false })
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
		o.G = mantrap{Gate: Gate{Link: true, State: GateBoot, Occupied: g.Occupied, Bag: g.Bag}, Blink: g.Blink}
		o.Flight = NoCommand
		if g.Occupied {
			o.G.Alarms = AlarmIntrusion
		}
		x.deliver("gate reboots", o, GateLost{})
	}
	if g.Link && w.Budget.Cut > 0 {
		o := w
		o.Budget.Cut--
		o.G.Link, o.Flight = false, NoCommand
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
	if !w.S.Document && t < travellers && w.S.Phase == Idle && w.G.Blink == awake { // reading takes longer than a blink
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
	if w.Budget.Slow > 0 {
		x.deliver("more time, please", w, TimeAsked{})
		x.deliver("order more time", w, Ordered{Order: OrderMoreTime})
	}
	x.deliver("order direction", w, Ordered{Order: OrderDirectionExit})
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
	if w.G.Link && (!w.seen() || w.Refused != NoCommand) {
		return
	}
	if !w.G.Link && w.G.State != GateFallback && w.G.State != GateEvacuate && w.G.State != GateFault && w.G.State != GateBoot {
		return // the watchdog trips long before any timer of the lane
	}
	if w.G.Blink == lostLong {
		return // it is over before a second timer runs out
	}
	due := false
	next := Instant(0)
	for _, t := range []Instant{w.S.Deadline, w.S.Prompt, w.S.Trapped} {
		due = due || t == base
		if t > base && (next == 0 || t < next) {
			next = t
		}
	}
	if due { // the tick that was late; where it changes nothing it was none
		x.deliver("late tick", w, Tick{})
		if last := x.moves[len(x.moves)-1]; last.w != w || last.bad != "" {
			return
		}
	}
	if next == 0 {
		next = base // nothing is due; a tick still comes
	}
	switch {
	case w.Pax == 0 || !w.G.Occupied && w.G.Blink == awake || !w.G.Locked():
		w.Captive = 0
	case w.G.Link: // a lane that hears nothing cannot let out; what it knew before counts
		w.Captive = uint8(min(250, int(w.Captive)+int((next-base)/Instant(time.Second))))
	}
	if w.G.Blink == lost {
		w.G.Blink = lostLong
	}
	if w.Budget.Late > 0 {
		o := w
		o.Budget.Late--
		o.S = rebase(o.S, next)
		x.add("a limit passes before the tick", o)
	}
	x.deliverAt("time passes", w, next, Tick{})
}

// restart is a power cut of the controller: memory goes, the disk stays.
func (x *explorer) restart(w world) {
	o := w
	o.Budget.Restart--
	o.S = Start()
	o.Reading, o.Qualifying, o.Comparing, o.Refused, o.Flight = false, false, false, NoCommand, NoCommand
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
		x.deliver("restart", v, Started{w.S.Transaction, open, w.S.Direction, time.Duration(w.Captive) * time.Second})
	}
}

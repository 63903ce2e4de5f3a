package lane

import "time"

// again is how long the lane waits before it repeats a mode command that the
// gate has not followed.
const again = 2 * time.Second

// serving says whether a new traveller may be taken.
func (t *turn) serving() bool {
	s := &t.s
	return s.Lease && !s.Closed && s.Unfit == 0
}

// empty says that the gate reports nobody and nothing between its leaves.
func (g Gate) empty() bool { return !g.Occupied && !g.Bag && g.Alarms&AlarmLuggage == 0 }

// pace asks for c now and at most every two seconds again, whatever happens in
// between: a lane at rest hears many events.
func (t *turn) pace(c Command) {
	if t.s.Deadline == 0 || t.late() {
		t.ask(c)
		t.s.Deadline = t.now + Instant(again)
	}
}

// rest leaves an ended crossing for the phase that suits what is in the lane.
func (t *turn) rest() {
	s := &t.s
	s.Freeing, s.Returned, s.Moved = false, false, false
	g := s.Gate
	switch {
	case g.State == GateFallback:
		t.to(Fallback, 0)
	case g.Occupied:
		t.holdFor(ByFailure)
	case !g.empty() && permits[Luggage]&(1<<g.State) != 0:
		t.to(Luggage, 0)
		t.promptAfter(t.r.LuggageAlarm)
		t.do(Alert{s.Transaction, AlertLuggage, Urgent})
		t.ask(SafeMode)
	case g.State == GateReady && g.Alarms&blocking == 0 && t.serving():
		t.to(Idle, 0)
	default:
		t.to(OutOfService, 0)
	}
}

// conclude ends the transaction once; what was kept for it goes.
func (t *turn) conclude(o Outcome, r Reason) {
	s := &t.s
	if !s.Live {
		return
	}
	if s.Reason != NONE && o != OutcomeEvacuated {
		r = s.Reason
	}
	s.Live, s.Reason, s.Vector, s.Retried, s.Spent = false, NONE, Vector{}, false, false
	t.do(Conclude{s.Transaction, o, r})
}

// outcomeBroken is the outcome of a traveller whom the machine failed.
func (t *turn) outcomeBroken() Outcome {
	if t.s.Phase <= TakeDoc || t.s.Phase == DivertOut {
		return OutcomeDivertedOut
	}
	return OutcomeOutOfService
}

// settle opens a case for an intent that is left without record or void. An
// intent still under way settles itself: see intended.
func (t *turn) settle(why CaseReason) {
	if t.s.Intended {
		t.s.Intended = false
		t.do(OpenCase{t.s.Transaction, why})
	}
}

// void settles an intent whose traveller is proven to be inside still.
func (t *turn) void() {
	if t.s.Intended {
		t.s.Intended = false
		t.do(Void{t.s.Transaction})
	}
}

func (t *turn) holdFor(c Cause) {
	t.to(Hold, 0)
	t.s.Held = c
	if c == ByFailure {
		t.undecide()
	}
	t.promptAfter(t.r.HoldAlarm)
	t.ask(CloseAll)
	if t.s.Gate.State == GateReady {
		t.ask(SafeMode) // the gate returns a person from SAFE_CLOSED, not from READY
	}
}

// undecide forgets the inputs of a decision that can no longer be made.
func (t *turn) undecide() { t.s.Vector, t.s.Retried = Vector{}, false }

// because keeps the first reason.
func (t *turn) because(r Reason) {
	if t.s.Reason == NONE {
		t.s.Reason = r
	}
}

// divertOutside ends an attempt before the entry ever opened. The screen is
// the same for every reason and lasts as long.
func (t *turn) divertOutside(r Reason) {
	t.conclude(OutcomeDivertedOut, r)
	t.to(DivertOut, t.r.DivertOut)
}

// divertInside lets the person inside back out by the entry, as soon as the
// gate is in a state that can do it.
func (t *turn) divertInside(r Reason) {
	s := &t.s
	t.because(r)
	switch s.Gate.State {
	case GateSafe, GateOccupied:
		t.wayBack(false)
		t.ask(OpenReturn)
	case GateEntryOpen:
		t.wayBack(true)
	default:
		if s.Phase != Hold {
			t.holdFor(ByFailure)
		} else if s.Gate.State == GateReady {
			t.ask(SafeMode)
		} else {
			t.ask(CloseAll)
		}
		s.Freeing = true
	}
}

// wayBack enters DivertIn. The limit of invariant 3 rests while the way out is
// being opened and starts anew should the leaf lock on the person.
func (t *turn) wayBack(open bool) {
	s := &t.s
	t.undecide()
	t.to(DivertIn, t.r.Door)
	s.Opened, s.Freeing, s.Trapped = open, false, 0
}

func (t *turn) alarms(rises GateAlarms) {
	for _, a := range []struct {
		bits GateAlarms
		kind AlertKind
		p    Priority
	}{
		{several, AlertMulti, Urgent},
		{AlarmLuggage, AlertLuggage, Urgent},
		{AlarmForced | AlarmTamper, AlertForced, Urgent},
		{AlarmWrongWay, AlertWrongWay, Urgent},
		{AlarmIntrusion, AlertIntrusion, Urgent},
		{AlarmDwell, AlertDwell, Notice},
	} {
		if rises&a.bits != 0 {
			t.do(Alert{t.s.Transaction, a.kind, a.p})
		}
	}
}

// inside handles what all phases with a traveller between two locked leaves
// share, and says whether the turn is over.
func (t *turn) withTraveller() bool {
	s := &t.s
	if s.Gate.Alarms&several != 0 && s.Phase != Multi {
		t.because(MULTI)
		t.to(Multi, t.r.Multi)
		return true
	}
	switch e := t.e.(type) {
	case Decided:
		if e.Transaction != s.Transaction {
			return true
		}
		switch e.Decision {
		case DecideDivert, DecideReferSecondLine:
			t.divertInside(OFFICER)
			return true
		case DecideHold:
			t.because(OFFICER)
			t.renew()
			t.holdFor(ByOfficer)
			return true
		}
	case Pressed:
		if s.Phase == Intend {
			return false // the answer is yes; the way out opens
		}
		t.because(HELP)
		t.holdFor(ByHelp)
		return true
	}
	return false
}

func (t *turn) outOfService() {
	s := &t.s
	g := s.Gate
	e, _ := t.e.(Ordered)
	switch {
	case !g.Link:
	case g.Occupied:
		t.holdFor(ByFailure)
	case g.State == GateMaintenance:
		t.maintain(e.Order)
	case e.Order == OrderMaintenance:
		t.ask(Maintenance)
	case e.Order == OrderClearAlarms:
		t.ask(ClearAlarms)
	case g.State == GateBoot:
	case g.State == GateEntryOpen, g.State == GateExitOpen:
		t.pace(CloseAll) // open, and for nobody
	case !g.empty():
		t.rest()
	case g.Alarms&(several|AlarmIntrusion) != 0:
		t.pace(ClearCrowd) // they have gone
	case g.Alarms&blocking != 0:
		// Forced leaf, wrong way, tamper: a person looks and clears.
	case !t.serving():
		if g.State == GateReady {
			t.pace(SafeMode)
		}
	case g.State == GateReady:
		t.to(Idle, 0)
	case g.State == GateSafe && (s.Deadline == 0 || t.late()):
		t.do(Order{ClearCrowd}) // §10 step 9: what is over is cleared first
		t.pace(ReadyMode)
	}
}

// maintain obeys an officer while the gate is in MAINTENANCE.
func (t *turn) maintain(o OfficerOrder) {
	switch o {
	case OrderMoveEntryOpen:
		t.ask(MoveEntryOpen)
	case OrderMoveEntryClose:
		t.ask(MoveEntryClose)
	case OrderMoveExitOpen:
		t.ask(MoveExitOpen)
	case OrderMoveExitClose:
		t.ask(MoveExitClose)
	case OrderEndMaintenance:
		t.ask(ClearAlarms)
		t.ask(SafeMode)
	case OrderClearFaults:
		t.ask(ClearFaults)
	}
}

// unready says whether the empty lane has become something else than ready.
func (t *turn) unready() bool {
	s := &t.s
	if s.Gate.Occupied || !s.Gate.empty() {
		t.because(MULTI)
		t.conclude(OutcomeDivertedOut, MULTI)
		t.rest()
		return true
	}
	return false
}

func (t *turn) idle() {
	s := &t.s
	switch {
	case t.unready():
	case !t.serving() || s.Gate.Alarms&blocking != 0:
		t.to(OutOfService, 0)
	case s.Document:
		s.Transaction++
		s.Live = true
		s.Reason, s.Vector, s.Retried = NONE, Vector{}, false
		t.to(DocRead, t.r.DocRead)
		t.do(Read{s.Transaction})
	}
}

func (t *turn) docRead() {
	e, _ := t.e.(DocumentRead)
	switch {
	case t.unready():
	case !t.s.Document: // lifted too early: try again, as a new transaction
		t.conclude(OutcomeDivertedOut, CHIP_READ)
		t.rest()
	case t.mine(e.Transaction) && e.Finding.Reason != NONE:
		t.found(e.Finding)
	case t.mine(e.Transaction):
		t.to(Eligible, t.r.Qualify)
		t.do(Qualify{t.s.Transaction})
	case t.late():
		t.divertOutside(CHIP_READ)
	}
}

// found diverts for what a check found before the entry opened.
func (t *turn) found(f Finding) {
	if f.Alert {
		t.do(Alert{t.s.Transaction, AlertDocument, Urgent})
	}
	t.divertOutside(f.Reason)
}

func (t *turn) eligible() {
	e, _ := t.e.(Qualified)
	switch {
	case t.unready():
	case !t.s.Document:
		t.conclude(OutcomeDivertedOut, CHIP_READ)
		t.rest()
	case t.mine(e.Transaction) && e.Finding.Reason != NONE:
		t.found(e.Finding)
	case t.mine(e.Transaction):
		t.s.Vector.Demands, t.s.Vector.Confirm = e.Finding.Demands, e.Finding.Confirm
		t.to(TakeDoc, t.r.TakeDoc)
		t.promptAfter(t.r.TakeDocPrompt)
	case t.late():
		t.divertOutside(DB_OFF)
	}
}

func (t *turn) takeDoc() {
	s := &t.s
	switch {
	case t.unready():
	case !s.Document && s.Unfit != 0:
		t.divertOutside(s.Unfit.reason()) // better outside than inside
	case !s.Document:
		t.to(Enter, t.r.Door)
		t.ask(OpenEntry)
	case t.late():
		t.do(Alert{s.Transaction, AlertDocLeft, Urgent})
		t.divertOutside(DOC_LEFT)
	case t.prompt():
		s.Prompt = 0
		t.do(Remind{s.Transaction}, Alert{s.Transaction, AlertDocLeft, Notice})
	}
}

func (t *turn) enter() {
	s := &t.s
	g := s.Gate
	e, refused := t.e.(GateRefused)
	switch {
	case g.State == GateReady && g.Occupied:
		t.unready()
	case s.Opened && g.State != GateEntryOpen:
		t.sealed()
	case s.Opened && g.Entry == LeafClosing:
		t.to(Sealing, t.r.Door)
	case refused && e.Command == OpenEntry && e.Class == ClassLater:
		s.Refused = OpenEntry
	case refused && e.Command == OpenEntry && !s.Opened:
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.divertOutside(TIMEOUT)
	case s.Refused == OpenEntry && isSeen(t.e):
		if g.State == GateReady && g.Exit == LeafLocked && g.Alarms&blocking == 0 && g.empty() && s.Unfit == 0 {
			t.ask(OpenEntry)
		}
	case t.late() && !s.Opened:
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.divertOutside(TIMEOUT)
	case t.late():
		t.ask(CloseAll)
		t.to(Sealing, t.r.Door)
	}
}

func isSeen(e Event) bool { _, ok := e.(GateSeen); return ok }

// sealed follows the entry leaf locking: who or what is inside?
func (t *turn) sealed() {
	s := &t.s
	switch g := s.Gate; {
	case g.State == GateOccupied && g.Alarms&several != 0:
		t.because(MULTI)
		t.to(Multi, t.r.Multi)
	case g.State == GateOccupied:
		t.to(Inside, t.r.Inside)
		t.do(Capture{s.Transaction})
	case g.State == GateReady && !g.Occupied:
		t.conclude(OutcomeDivertedOut, TIMEOUT)
		t.rest()
	}
}

func (t *turn) sealing() {
	switch {
	case t.s.Gate.State != GateEntryOpen:
		t.sealed()
	case t.late():
		t.because(TIMEOUT)
		t.do(Alert{t.s.Transaction, AlertDoor, Urgent})
		t.holdFor(ByFailure)
	}
}

func (t *turn) inside() {
	s := &t.s
	if t.withTraveller() {
		return
	}
	e, _ := t.e.(FaceCompared)
	switch {
	case t.mine(e.Transaction) && e.Face != FaceUnknown:
		s.Vector.Face = e.Face
		switch e.Face {
		case FaceMatch:
			t.to(Decide, t.r.Decide)
			t.decided()
		case FaceSeveral:
			t.because(MULTI)
			t.do(Alert{s.Transaction, AlertMulti, Urgent})
			t.to(Multi, t.r.Multi)
		case FaceUnavailable:
			t.because(CAMERA)
			t.do(Alert{s.Transaction, AlertCamera, Urgent})
			t.holdFor(ByFailure)
		case FaceAttack:
			t.refer(PAD)
		default:
			t.refer(FACE)
		}
	case t.late():
		s.Vector.Face = FaceQuality
		t.refer(FACE)
	}
}

// refer puts the case before an officer.
func (t *turn) refer(r Reason) {
	t.s.Reason = r
	t.to(Review, t.r.Review)
	t.promptAfter(t.r.ReviewAlarm)
	t.do(Refer{t.s.Transaction, r})
}

// decide waits in Decide and WaitDB for the vector to be complete.
func (t *turn) decide() {
	if t.withTraveller() {
		return
	}
	t.decided()
}

// decided evaluates the vector; every release by the machine passes here.
func (t *turn) decided() {
	s := &t.s
	switch way, reason := s.Vector.judge(); {
	case way == wayHold:
		t.because(reason)
		kind := AlertHit
		if reason == EES_FACE {
			kind = AlertFace
		}
		t.do(Alert{s.Transaction, kind, Urgent})
		t.holdFor(ByDecide)
	case way == wayWait && s.Phase == Decide && t.late():
		t.to(WaitDB, t.r.WaitDB)
	case way == wayWait && t.late():
		t.divertInside(DB_OFF)
	case way == wayWait:
	case way == wayDivert:
		t.divertInside(reason)
	case way == wayReview:
		t.refer(reason)
	case s.Spent || !s.Vector.fresh(t.now, t.r):
		t.divertInside(TIMEOUT)
	default:
		t.intendNow()
	}
}

func (t *turn) intendNow() {
	t.to(Intend, t.r.Intend)
	t.s.Spent = true
	t.do(WriteIntent{t.s.Transaction})
}

func (t *turn) review() {
	s := &t.s
	if t.withTraveller() {
		return
	}
	e, decided := t.e.(Decided)
	switch {
	case decided && e.Decision == DecideRelease:
		if t.mine(e.Transaction) && !s.Spent && releasable(s.Vector, e, t.now, t.r) {
			t.intendNow()
		}
	case decided && e.Decision == DecideRetryFace && t.mine(e.Transaction) && !s.Retried && !s.Spent:
		s.Retried, s.Vector.Face, s.Reason = true, FaceUnknown, NONE
		t.to(Inside, t.r.Inside)
		t.do(Capture{s.Transaction})
	case t.late():
		t.divertInside(TIMEOUT)
	case t.prompt():
		s.Prompt = 0
		t.do(Alert{s.Transaction, AlertReview, Urgent})
	}
}

func (t *turn) intend() {
	s := &t.s
	if t.withTraveller() {
		t.void() // durable or not: the exit was never commanded
		return
	}
	e, failed := t.e.(StorageFailed)
	switch {
	case s.Intended && s.Gate.State == GateOccupied && s.Gate.Entry == LeafLocked:
		t.undecide() // the decision is on disk; should the person turn back it is void
		t.to(Release, t.r.Door)
		t.ask(OpenExit)
	case s.Intended:
		t.void()
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.holdFor(ByFailure)
	case t.late(), failed && t.mine(e.Transaction):
		t.because(TIMEOUT)
		t.do(Alert{s.Transaction, AlertStorage, Urgent})
		t.holdFor(ByFailure)
	}
}

func (t *turn) release() {
	s := &t.s
	g := s.Gate
	refusal, refused := t.e.(GateRefused)
	refused = refused && refusal.Command == OpenExit && !s.Opened && g.State == GateOccupied
	d, _ := t.e.(Decided)
	switch {
	case g.Alarms&AlarmWrongWay != 0:
		t.wrongWay()
	case g.State == GateFallback && s.Opened, g.State == GateExitOpen && g.Exit == LeafClosing:
		t.to(Clearing, t.r.Door)
	case s.Opened && g.State != GateExitOpen:
		t.cleared()
	case d.Decision == DecideHold && d.Transaction == s.Transaction:
		// The exit may be opening this instant: close it, and believe that
		// nobody went only when the gate has shown it.
		s.Keep = true
		t.ask(CloseAll)
		if g.State == GateExitOpen {
			t.to(Clearing, t.r.Door)
		}
	case refused && refusal.Class == ClassLater && !s.Keep:
		s.Refused = OpenExit
	case refused:
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.turnedBack()
	case s.Refused == OpenExit && isSeen(t.e):
		if g.State == GateOccupied && g.Entry == LeafLocked && g.Alarms&blocking == 0 {
			t.ask(OpenExit)
		}
	case t.late() && g.State == GateOccupied && g.Exit == LeafLocked:
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.turnedBack()
	case t.late():
		t.ask(CloseAll)
		t.to(Clearing, t.r.Door)
	}
}

// turnedBack voids the decision of a person who is still inside behind a
// locked exit. A void decision is not made twice: the way is back out.
func (t *turn) turnedBack() {
	s := &t.s
	t.void()
	s.Reason = TURNED
	if s.Keep {
		s.Reason = OFFICER
	} else {
		t.do(Alert{s.Transaction, AlertTurned, Urgent})
	}
	t.holdFor(ByFailure)
}

func (t *turn) wrongWay() {
	t.settle(WrongWay)
	t.conclude(OutcomeOutOfService, TURNED)
	t.holdFor(ByFailure)
}

// cleared follows the exit leaf locking: did the traveller go?
func (t *turn) cleared() {
	s := &t.s
	switch g := s.Gate; {
	case g.State != GateOccupied && g.State != GateReady:
		// consistent() names what else it may be
	case (g.State == GateOccupied || g.Occupied) && (g.Walked || g.Crossed):
		t.settle(SomeoneIn)
		t.conclude(OutcomeOutOfService, MULTI)
		t.holdFor(ByFailure)
	case g.State == GateOccupied || g.Occupied:
		t.turnedBack()
	case g.Walked:
		s.Returned = false
		t.to(CheckEmpty, t.r.CheckEmpty)
		t.emptied()
	default:
		t.mystery(NoEvidence)
	}
}

func (t *turn) clearing() {
	s := &t.s
	g := s.Gate
	d, _ := t.e.(Decided)
	switch {
	case g.Alarms&AlarmWrongWay != 0:
		t.wrongWay()
	case g.State == GateFallback && !g.Exit.Closed():
		// The gate is closing the exit before it frees the entry.
	case g.State == GateFallback && g.Walked && !g.Occupied:
		s.Returned = false
		t.to(CheckEmpty, t.r.CheckEmpty)
		t.emptied()
	case g.State == GateFallback && g.Occupied && !g.Walked:
		t.void()
		t.broken(GateFreed)
	case g.State == GateFallback:
		t.broken(GateFreed)
	case g.State != GateExitOpen:
		t.cleared()
	case d.Decision == DecideHold && d.Transaction == s.Transaction:
		s.Keep = true
		t.ask(CloseAll)
	case t.late():
		t.settle(NoEvidence)
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.conclude(OutcomeOutOfService, TIMEOUT)
		t.holdFor(ByFailure)
	}
}

// broken ends a release in the gate's own fallback.
func (t *turn) broken(why CaseReason) {
	t.settle(why)
	t.conclude(OutcomeOutOfService, TIMEOUT)
	t.do(Alert{t.s.Transaction, AlertFallback, Urgent})
	t.to(Fallback, 0)
}

// mystery ends a release of which nobody can say how it ended: an officer looks
// into the lane before it opens again.
func (t *turn) mystery(why CaseReason) {
	t.settle(why)
	t.conclude(OutcomeOutOfService, TURNED)
	t.s.Closed = true
	t.do(Alert{t.s.Transaction, AlertTurned, Urgent})
	t.rest()
}

func (t *turn) checkEmpty() { t.emptied() }

func (t *turn) emptied() {
	s := &t.s
	g := s.Gate
	switch {
	case g.Occupied && s.Returned:
		t.holdFor(ByFailure)
	case g.Occupied:
		t.settle(SomeoneIn)
		t.conclude(OutcomeOutOfService, MULTI)
		t.holdFor(ByFailure)
	case s.Returned:
		t.conclude(OutcomeDivertedIn, TIMEOUT)
		t.rest()
	case g.Walked && (g.Crossed || g.State == GateFallback):
		t.to(Commit, t.r.Commit)
		t.do(Record{s.Transaction})
	case t.late():
		t.mystery(Disagree)
	}
}

func (t *turn) commit() {
	s := &t.s
	var failed bool
	switch e := t.e.(type) {
	case Committed:
		if t.mine(e.Transaction) {
			s.Intended, s.Reason = false, NONE
			t.conclude(OutcomeReleased, NONE)
			t.rest()
			return
		}
	case StorageFailed:
		failed = t.mine(e.Transaction)
	}
	if failed || t.late() {
		t.settle(Storage)
		t.do(Alert{s.Transaction, AlertStorage, Urgent})
		s.Reason = NONE
		t.conclude(OutcomeReleased, NONE)
		t.rest()
		if s.Phase == Idle {
			t.to(OutOfService, 0)
		}
	}
}

func (t *turn) divertOut() {
	s := &t.s
	switch {
	case t.unready():
	case s.Deadline > 0 && !t.late():
	case !s.Document:
		t.rest()
	case t.late():
		s.Deadline = 0 // call once, then wait for the document to go
		t.do(Alert{s.Transaction, AlertDocLeft, Urgent})
	}
}

func (t *turn) divertIn() {
	s := &t.s
	g := s.Gate
	e, refused := t.e.(GateRefused)
	o, _ := t.e.(Ordered)
	switch {
	case s.Opened && g.State != GateEntryOpen:
		t.backOut()
	case s.Opened && g.Entry == LeafClosing:
		t.to(Returning, t.r.Door)
	case refused && e.Command == OpenReturn && !s.Opened:
		s.Refused = OpenReturn
	case s.Refused == OpenReturn && isSeen(t.e):
		t.ask(OpenReturn)
	case s.Opened && g.Bag && o.Order == OrderCloseLeaf:
		t.ask(CloseAll) // an officer closes on a bag; LEFT_LUGGAGE follows
	case t.late() && s.Opened && g.Bag:
		t.wayBack(true) // a bag keeps a return open
		t.do(Alert{s.Transaction, AlertLuggage, Urgent})
	case t.late() && s.Opened:
		t.ask(CloseAll)
		t.to(Returning, t.r.Door)
	case t.late():
		t.wayBack(false)
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.ask(OpenReturn)
	}
}

// backOut follows the entry leaf locking behind a return.
func (t *turn) backOut() {
	s := &t.s
	switch g := s.Gate; {
	case g.State == GateOccupied || g.Occupied:
		s.Trapped = t.now + Instant(t.r.Trapped)
		t.holdFor(ByFailure)
	case g.State == GateReady || g.State == GateSafe:
		s.Returned = true
		t.to(CheckEmpty, t.r.CheckEmpty)
		t.emptied()
	}
}

func (t *turn) returning() {
	s := &t.s
	switch {
	case s.Gate.State != GateEntryOpen:
		t.backOut()
	case t.late():
		s.Trapped = t.now + Instant(t.r.Trapped)
		t.do(Alert{s.Transaction, AlertDoor, Urgent})
		t.holdFor(ByFailure)
	}
}

func (t *turn) multi() {
	s := &t.s
	if t.withTraveller() {
		return
	}
	o, _ := t.e.(Ordered)
	switch {
	case o.Order == OrderClearAlarms && s.Gate.Alarms&several != 0:
		t.ask(ClearAlarms)
		s.Keep = true // an officer has looked: review once the gate agrees
	case o.Order == OrderClearAlarms, s.Keep && s.Gate.Alarms&several == 0:
		if s.Vector.Face == FaceSeveral {
			s.Vector.Face = FaceUnknown // one person is to be compared anew
		}
		t.refer(MULTI)
	case t.late():
		t.divertInside(MULTI)
	}
}

func (t *turn) luggage() {
	s := &t.s
	g := s.Gate
	o, _ := t.e.(Ordered)
	switch {
	case g.Occupied:
		t.holdFor(ByFailure)
	case g.State == GateMaintenance:
		t.maintain(o.Order)
	case s.Moved && g.empty() && g.State == GateSafe:
		t.rest()
	case o.Order == OrderMaintenance && g.State == GateReady:
		t.ask(SafeMode)
		t.ask(Maintenance)
	case o.Order == OrderMaintenance:
		t.ask(Maintenance)
	case o.Order == OrderClearAlarms:
		t.ask(ClearAlarms)
	case t.prompt():
		t.promptAfter(t.r.LuggageAlarm)
		t.do(Alert{s.Transaction, AlertLuggage, Urgent})
	}
}

func (t *turn) hold() {
	s := &t.s
	g := s.Gate
	d, decided := t.e.(Decided)
	o, _ := t.e.(Ordered)
	switch {
	case !g.Occupied && (g.State == GateSafe || g.State == GateReady):
		t.conclude(OutcomeOutOfService, TIMEOUT)
		t.rest()
	case s.Freeing && (g.State == GateSafe || g.State == GateOccupied || g.State == GateEntryOpen):
		t.divertInside(TIMEOUT)
	case decided && d.Transaction != s.Transaction:
	case d.Decision == DecideDivert || d.Decision == DecideReferSecondLine:
		t.divertInside(OFFICER)
	case d.Decision == DecideHold:
		t.renew()
		t.promptAfter(t.r.HoldAlarm)
	case o.Order == OrderReview && s.Live && g.State == GateOccupied &&
		(s.Held == ByOfficer || s.Held == ByHelp || s.Held == ByDecide):
		t.refer(s.Reason)
	case o.Order == OrderClearAlarms:
		t.ask(ClearAlarms)
	case isRenewed(t.e):
		t.promptAfter(t.r.HoldAlarm)
	case t.prompt():
		t.promptAfter(t.r.HoldAlarm)
		t.do(Alert{s.Transaction, AlertHold, Urgent})
	}
}

func isRenewed(e Event) bool { _, ok := e.(Renewed); return ok }

// over leaves one of the gate's own emergencies.
func (t *turn) over() {
	if t.s.Gate.Occupied {
		t.holdFor(ByFailure)
	} else {
		t.rest()
	}
}

func (t *turn) fallback() {
	s := &t.s
	g := s.Gate
	o, _ := t.e.(Ordered)
	switch {
	case g.State == GateFault:
		t.to(Fault, 0)
	case g.State != GateFallback:
		t.over()
	case o.Order == OrderClearAlarms:
		t.ask(ClearAlarms)
		t.ask(SafeMode)
	case !g.Occupied && s.Lease && g.Alarms&AlarmForced == 0:
		t.pace(SafeMode)
	}
}

func (t *turn) fault() {
	g := t.s.Gate
	o, _ := t.e.(Ordered)
	switch {
	case !g.Link:
	case g.State == GateFallback:
		t.to(Fallback, 0)
	case g.State != GateFault:
		t.over()
	case o.Order == OrderClearFaults:
		t.ask(ClearFaults)
	case o.Order == OrderMaintenance:
		t.ask(Maintenance)
	}
}

func (t *turn) evacuate() {
	g := t.s.Gate
	o, _ := t.e.(Ordered)
	switch {
	case g.State == GateFallback:
		t.to(Fallback, 0)
	case g.State == GateFault:
		t.to(Fault, 0)
	case g.State != GateEvacuate:
		t.over()
	case o.Order == OrderEndEvacuate || o.Order == OrderClearAlarms:
		t.ask(EndEvacuate)
		t.ask(ClearAlarms)
		t.ask(SafeMode)
	}
}

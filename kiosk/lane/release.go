package lane

// The way out by the exit, and what is known of it afterwards.

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
		if s.Refused != OpenExit {
			t.settle(NoEvidence) // not refused, perhaps on its way: the exit may open yet
		}
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

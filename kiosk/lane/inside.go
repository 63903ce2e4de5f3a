package lane

// The traveller between two locked leaves: face, decision, and the way back.

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
		t.to(Inside, t.own(t.r.Inside))
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
		t.to(Release, t.door())
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
		if (g.State == GateSafe || g.State == GateOccupied) && g.Exit == LeafLocked {
			t.ask(OpenReturn)
		}
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

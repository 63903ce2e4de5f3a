package lane

// serving says whether a new traveller may be taken.
func (t *turn) serving() bool {
	s := &t.s
	return s.Lease && !s.Closed && s.Unfit == 0
}

// empty says that the gate reports nobody and nothing between its leaves.
func (g Gate) empty() bool { return !g.Occupied && !g.Bag && g.Alarms&AlarmLuggage == 0 }

// rest leaves an ended crossing for the phase that suits what is in the lane.
func (t *turn) rest() {
	s := &t.s
	s.Freeing, s.Returned, s.Moved = false, false, false
	g := s.Gate
	if !g.Occupied {
		s.Unhurried = false // whoever wanted more time has gone
	}
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
		} else if s.Gate.State == GateReady || s.Gate.State == GateMaintenance {
			t.ask(SafeMode) // from there it returns a person
		} else {
			t.ask(CloseAll)
		}
		s.Freeing = true
	}
}

// wayBack enters DivertIn. The limit of invariant 3 rests while the way out is
// being opened, and goes on where something comes between. It ends with an open
// leaf, and starts anew should that lock on the person.
func (t *turn) wayBack(open bool) {
	s := &t.s
	t.undecide()
	t.to(DivertIn, t.door())
	s.Opened, s.Freeing = open, false
	if open {
		s.Trapped = 0
	}
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

func isSeen(e Event) bool { _, ok := e.(GateSeen); return ok }

func isRenewed(e Event) bool { _, ok := e.(Renewed); return ok }

package lane

// The traveller before the entry and through it: from the document laid down to
// the entry locked behind them.

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
		t.to(TakeDoc, t.own(t.r.TakeDoc))
		t.promptAfter(t.own(t.r.TakeDocPrompt))
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
		t.to(Enter, t.door())
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

// sealed follows the entry leaf locking: who or what is inside?
func (t *turn) sealed() {
	s := &t.s
	switch g := s.Gate; {
	case g.State == GateOccupied && g.Alarms&several != 0:
		t.because(MULTI)
		t.to(Multi, t.r.Multi)
	case g.State == GateOccupied:
		t.to(Inside, t.own(t.r.Inside))
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

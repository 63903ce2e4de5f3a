package lane

import "time"

// The lane closed, held, or freed by its gate: an officer is asked for.

// again is how long the lane waits before it repeats a mode command that the
// gate has not followed.
const again = 2 * time.Second

// pace asks for c now and at most every two seconds again, whatever happens in
// between: a lane at rest hears many events.
func (t *turn) pace(c Command) {
	if t.s.Deadline == 0 || t.late() {
		t.ask(c)
		t.s.Deadline = t.now + Instant(again)
	}
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
		t.do(Order{Command: ClearCrowd}) // §10 step 9: what is over is cleared first
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

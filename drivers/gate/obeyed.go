package gate

import (
	"fmt"
	"slices"
	"time"

	"passage/drivers/gate/regmap"
)

// name is a command's name in a register map; "" for one that maps have not.
func (c Command) name() string {
	pick := func(i uint16, of ...string) string {
		if int(i) < len(of) {
			return of[i]
		}
		return ""
	}
	switch c.Code {
	case OpenEntry, OpenExit, OpenReturn, CloseAll, ClearAlarm, ClearFault:
		return c.Code.String()
	case SetMode:
		return pick(c.Arg0, "SAFE_CLOSED", "READY", "MAINTENANCE")
	case EvacuateCommand:
		return pick(c.Arg0, "END_EVACUATE", "EVACUATE")
	case MaintMove:
		return pick(2*c.Arg0+c.Arg1, "MOVE_ENTRY_CLOSE", "MOVE_ENTRY_OPEN", "MOVE_EXIT_CLOSE", "MOVE_EXIT_OPEN")
	}
	return ""
}

// command gives a command in the controller's manner. Its result is what the
// polls show.
func (m *mapped) command(c Command, seq uint16) error {
	w := m.m.Commands[c.name()]
	if w == nil {
		return fmt.Errorf("%w: this gate takes no %s from a lane: do it at the gate", ErrOfficer, c.name())
	}
	// Such gates clear everything at once; what an officer has not seen stays.
	if others := m.last.Alarms &^ Alarms(c.Arg0); c.Code == ClearAlarm && others != 0 && m.last.Alarms&Alarms(c.Arg0) == 0 {
		return fmt.Errorf("%w: the gate clears all alarms at once, and %v is not to be cleared", ErrOfficer, others)
	}
	if m.given != nil {
		if err := m.release(m.given); err != nil {
			return err
		}
	}
	v := uint16(w.Value)
	if w.Register == regmap.Coil {
		v = 1
	}
	if err := m.put(w, v); err != nil {
		return err
	}
	m.given = &given{Command: c, w: w, seq: seq, at: time.Now(), from: m.last, result: InProgress, released: w.Release == "none"}
	return nil
}

// release takes a command's coil or register back.
func (m *mapped) release(g *given) error {
	if g.released {
		return nil
	}
	if err := m.put(g.w, 0); err != nil {
		return fmt.Errorf("release %s: %w", g.name(), err)
	}
	g.released = true
	return nil
}

// follow says in a poll what has become of the newest command, and takes it
// back when it is time.
func (m *mapped) follow(s *Snapshot) error {
	g := m.given
	if g == nil {
		return nil
	}
	since := time.Since(g.at)
	if !g.acked && (g.w.Ack == nil || m.on("commands."+g.name()+".ack")) {
		if g.acked = true; g.Code == ClearAlarm {
			m.latched &^= Alarms(g.Arg0) // where the cause persists the next poll says it again
		}
	}
	late := !g.acked && since >= ackWithin
	pulsed := g.w.Release == "pulse" && since >= time.Duration(g.w.Pulse)
	if g.w.Release == "ack" && g.acked || pulsed || late {
		if err := m.release(g); err != nil {
			return err
		}
	}
	switch {
	case g.result != InProgress:
	case late:
		g.result = TimedOut
	case g.acked:
		result, err := m.refusal()
		if err != nil {
			return err
		}
		if g.result = result; result == InProgress {
			g.result = m.effect(g, s, since)
		}
	}
	s.SeqDone, s.ResultOf, s.Result = g.seq, g.Code, g.result
	return nil
}

// refusal is what the result register says; InProgress where it says no more
// than that the command was taken.
func (m *mapped) refusal() (Result, error) {
	if m.m.Result == nil {
		return InProgress, nil
	}
	w, err := m.word("result")
	if err != nil {
		return None, err
	}
	for r, name := range resultNames {
		if name == w && r >= BadCode {
			return r, nil
		}
	}
	return InProgress, nil
}

// effect is a command's result by what is to be seen of the gate.
func (m *mapped) effect(g *given, s *Snapshot, since time.Duration) Result {
	gone := slices.Contains([]State{Fallback, Evacuate, Faulted}, s.State) && s.State != g.from.State
	open, shut := 2*m.cfg.Params.OpenMax, 2*m.cfg.Params.CloseMax+time.Second
	by := func(done, started bool, within time.Duration) Result {
		switch {
		case done:
			return OK
		case gone:
			return AbortedByIt
		case !started && since >= startWithin:
			return AbortedByIt
		case since >= within:
			return TimedOut
		}
		return InProgress
	}
	switch g.Code {
	case OpenEntry, OpenReturn:
		return by(s.Entry == Open, !s.Entry.Closed(), open)
	case OpenExit:
		return by(s.Exit == Open, !s.Exit.Closed(), open)
	case CloseAll:
		return by(s.Entry.Closed() && s.Exit.Closed(), true, shut)
	case SetMode:
		want := []State{SafeClosed, Ready, Maintenance}[g.Arg0]
		return by(s.State == want, true, shut)
	case ClearAlarm:
		return cleared(s.Alarms&Alarms(g.Arg0) == 0, since, Alarmed)
	case ClearFault:
		return cleared(s.Faults&Faults(g.Arg0) == 0, since, FaultedBy)
	case EvacuateCommand:
		if g.Arg0 == 0 {
			return OK
		}
		gone = false
		return by(s.State == Evacuate, true, startWithin)
	}
	l := []Leaf{s.Entry, s.Exit}[g.Arg0&1]
	if g.Arg1 == 1 {
		return by(l == Open, !l.Closed(), open)
	}
	return by(l == ClosedLocked, true, shut)
}

func cleared(gone bool, since time.Duration, otherwise Result) Result {
	switch {
	case gone:
		return OK
	case since >= clearWithin:
		return otherwise
	}
	return InProgress
}

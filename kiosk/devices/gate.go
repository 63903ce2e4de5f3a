// Package devices puts the drivers, the matcher and the register's client into
// the lane's words: each type here is one of the interfaces that package kiosk
// declares.
package devices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"passage/drivers/gate"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
)

// Gate drives the gate for the lane: the driver's polls become the lane's
// view, the lane's commands the protocol's.
type Gate struct {
	// Open opens the line. It is called again when the line broke.
	Open func() (Line, error)
	Conf config.Gate
	// ExitOnFailure accepts a gate that frees its exit when it is left alone.
	ExitOnFailure bool
	Log           *slog.Logger

	mu   sync.Mutex
	gate *gate.Gate
}

// Line is a serial line that can be closed.
type Line interface {
	gate.Line
	io.Closer
}

// SerialGate is a gate on the serial device of its configuration.
func SerialGate(c config.Gate, exitOnFailure bool, log *slog.Logger) *Gate {
	return &Gate{Open: func() (Line, error) { return gate.OpenPort(c.TTY, c.Baud, c.Format) }, Conf: c, ExitOnFailure: exitOnFailure, Log: log}
}

const reopen = time.Second

// Run opens the line, again and again while it is away.
func (a *Gate) Run(ctx context.Context, alive func() bool, report func(kiosk.GateReport)) error {
	for ctx.Err() == nil {
		port, err := a.Open()
		if err != nil {
			a.Log.Warn("gate line", "error", err)
			pause(ctx, reopen)
			continue
		}
		g := gate.New(port, gate.Config{
			Address: byte(a.Conf.Address), Baud: a.Conf.Baud, ExitOnFailure: a.ExitOnFailure, Alive: alive,
			Map: a.Conf.Map, FallbackFrees: a.Conf.FallbackFrees,
			Params: gate.Params{OpenMax: a.Conf.OpenMax, CloseMax: a.Conf.CloseMax, EntryHold: a.Conf.EntryHold, ExitHold: a.Conf.ExitHold},
			OnSnapshot: func(s gate.Snapshot, e *gate.Evidence) {
				report(kiosk.GateReport{Seen: seen(s, e), Detail: kiosk.GateDetail{
					Persons: int(s.Persons), Alarms: s.Alarms.Names(), Faults: s.Faults.Names(), EntryPercent: int(s.EntryPos), ExitPercent: int(s.ExitPos),
				}})
			},
			OnLost: func(err error) {
				a.Log.Warn("gate lost", "error", err)
				report(kiosk.GateReport{Lost: true})
			},
		})
		a.mu.Lock()
		a.gate = g
		a.mu.Unlock()
		err = g.Run(ctx)
		cerr := port.Close() // of a line that is gone says nothing new
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, gate.ErrLine):
			a.Log.Warn("gate line", "error", err)
			pause(ctx, reopen)
		case err != nil || cerr != nil:
			return errors.Join(err, cerr)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func leaf(l gate.Leaf) lane.Leaf {
	switch l {
	case gate.LeafUnknown:
		return lane.LeafUnknown
	case gate.ClosedLocked:
		return lane.LeafLocked
	case gate.ClosedUnlocked:
		return lane.LeafUnlocked
	case gate.Closing:
		return lane.LeafClosing
	}
	return lane.LeafOpen
}

// seen is a poll as the lane core looks at it.
func seen(s gate.Snapshot, e *gate.Evidence) lane.Gate {
	g := lane.Gate{
		Link: true, State: lane.GateState(s.State), Entry: leaf(s.Entry), Exit: leaf(s.Exit), Occupied: s.Occupied(),
		Bag: s.Zones&gate.Luggage != 0, Walked: e.Walked(), Crossed: e.Crossed(),
	}
	for _, a := range []struct {
		bits gate.Alarms
		to   lane.GateAlarms
	}{
		{gate.Tailgate, lane.AlarmTailgate},
		{gate.MultiPerson, lane.AlarmMulti},
		{gate.LeftLuggage, lane.AlarmLuggage},
		{gate.ForcedEntry | gate.ForcedExit, lane.AlarmForced},
		{gate.WrongWay, lane.AlarmWrongWay},
		{gate.Intrusion, lane.AlarmIntrusion},
		{gate.Dwell, lane.AlarmDwell},
		{gate.Tamper, lane.AlarmTamper},
	} {
		if s.Alarms&a.bits != 0 {
			g.Alarms |= a.to
		}
	}
	return g
}

// commands is the lane's words in ABC-LANE §7.
var commands = map[lane.Command]gate.Command{
	lane.OpenEntry:      {Code: gate.OpenEntry, Arg0: 1},
	lane.OpenExit:       {Code: gate.OpenExit},
	lane.OpenReturn:     {Code: gate.OpenReturn},
	lane.CloseAll:       {Code: gate.CloseAll},
	lane.SafeMode:       {Code: gate.SetMode},
	lane.ReadyMode:      {Code: gate.SetMode, Arg0: 1},
	lane.Maintenance:    {Code: gate.SetMode, Arg0: 2, Arg1: 0x4D54},
	lane.ClearAlarms:    {Code: gate.ClearAlarm, Arg0: 0xFFFF},
	lane.ClearCrowd:     {Code: gate.ClearAlarm, Arg0: uint16(gate.Tailgate | gate.MultiPerson | gate.Intrusion | gate.Dwell | gate.Watchdog)},
	lane.ClearFaults:    {Code: gate.ClearFault, Arg0: 0xFFFF},
	lane.EvacuateGate:   {Code: gate.EvacuateCommand, Arg0: 1},
	lane.EndEvacuate:    {Code: gate.EvacuateCommand},
	lane.MoveEntryOpen:  {Code: gate.MaintMove, Arg0: 0, Arg1: 1},
	lane.MoveEntryClose: {Code: gate.MaintMove, Arg0: 0, Arg1: 0},
	lane.MoveExitOpen:   {Code: gate.MaintMove, Arg0: 1, Arg1: 1},
	lane.MoveExitClose:  {Code: gate.MaintMove, Arg0: 1, Arg1: 0},
}

var errNoGate = errors.New("the gate's line is not open")

// command is an order in the protocol's terms. A leaf that is to stay open for
// long is told so with its command (ABC-LANE 1.0 §7, ARG1 of 1 to 3).
func (a *Gate) command(o lane.Order) gate.Command {
	c := commands[o.Command]
	if o.Long {
		hold := a.Conf.EntryHold
		if o.Command == lane.OpenExit {
			hold = a.Conf.ExitHold
		}
		c.Arg1 = uint16(lane.LongHold(hold).Milliseconds())
	}
	return c
}

// Order queues a command and translates its final result.
func (a *Gate) Order(ctx context.Context, o lane.Order) <-chan error {
	out := make(chan error, 1)
	a.mu.Lock()
	g := a.gate
	a.mu.Unlock()
	if g == nil {
		out <- &kiosk.Refusal{Class: lane.ClassService, Err: errNoGate}
		return out
	}
	in := g.Order(ctx, a.command(o))
	go func() {
		err := <-in
		switch {
		case err == nil:
			out <- nil
		case errors.Is(err, gate.ErrLost):
			out <- fmt.Errorf("%w: %w", kiosk.ErrGateLost, err)
		case errors.Is(err, gate.ErrLater):
			out <- &kiosk.Refusal{Class: lane.ClassLater, Err: err}
		case errors.Is(err, gate.ErrOfficer):
			out <- &kiosk.Refusal{Class: lane.ClassOfficer, Err: err}
		default:
			out <- &kiosk.Refusal{Class: lane.ClassService, Err: err}
		}
	}()
	return out
}

// Lights sets the lamps.
func (a *Gate) Lights(_ context.Context, l kiosk.Lights) error {
	a.mu.Lock()
	g := a.gate
	a.mu.Unlock()
	if g == nil {
		return errNoGate
	}
	v := gate.EntryCross
	if l.EntryArrow {
		v = gate.EntryArrow
	}
	if l.ExitArrow {
		v |= gate.ExitArrow
	} else {
		v |= gate.ExitCross
	}
	v |= map[kiosk.Lamp]gate.Lights{kiosk.Red: gate.Red, kiosk.Amber: gate.Amber, kiosk.Green: gate.Green}[l.Status]
	g.SetLights(v)
	return nil
}

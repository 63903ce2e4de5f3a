package commission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"passage/drivers/gate"
	"passage/kiosk/config"
)

// Times of the gate's steps.
const (
	longestTrip  = 5*time.Second + 500*time.Millisecond // watchdog's longest time-out, and how often it is looked at
	personWithin = 90 * time.Second                     // for somebody to do what they were told
)

const lookAtGate = "look at the gate: its log, the leaf, its curtain and drive; then run the test again"

// gateSteps need nobody in the lane.
func gateSteps(c config.Config) []Step {
	t := c.Gate
	return []Step{
		{"gate.session", "Gate: starts up with the lane's parameters", "SAFE_CLOSED, watchdog running, parameters as configured", false, gateSession},
		{"gate.watchdog", "Gate: watchdog trips when heartbeats stop", fmt.Sprintf("FALLBACK within %v, the exit locked all the time", longestTrip), false, gateWatchdog},
		{"gate.egress", "Gate: the right leaf is freed on failure", "the " + freed(c) + " leaf unlocked, the other one locked", false, gateEgress},
		{"gate.entry", "Gate: entry opens and closes in time, and keeps the exit shut", fmt.Sprintf("opening ≤ %v, closing ≤ %v, OPEN_EXIT refused meanwhile", t.OpenMax, t.CloseMax), false, gateEntry},
		{"gate.exit", "Gate: exit opens and closes in time", fmt.Sprintf("opening ≤ %v, closing ≤ %v", t.OpenMax, t.CloseMax), false, gateExit},
	}
}

func freed(c config.Config) string {
	if c.Kiosk.ExitOnFailure {
		return "configured"
	}
	return "entry"
}

// working starts the bench if it does not run, and brings the gate to rest.
func (s *Site) working(ctx context.Context) (*bench, error) {
	if s.bench == nil {
		b, err := start(ctx, s.Line, s.Conf)
		if err != nil {
			return nil, err
		}
		s.bench = b
	}
	return s.bench, s.bench.rest(ctx)
}

// ready opens the lane for a step.
func (s *Site) ready(ctx context.Context) (*bench, error) {
	b, err := s.working(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.order(ctx, gate.SetMode, 1, 0); err != nil {
		return nil, err
	}
	_, err = b.state(ctx, 2*time.Second, gate.Ready)
	s.from = b.length()
	return b, err
}

func gateSession(ctx context.Context, s *Site) Outcome {
	b, err := s.working(ctx)
	if err != nil {
		return fail("passage doctor says what is wrong with the line or the gate", "%v", err)
	}
	p, err := b.until(ctx, 5*time.Second, func(p gate.Snapshot) bool { return p.State == gate.SafeClosed && p.Watchdog == 1 })
	if err != nil {
		return fail(lookAtGate, "%v", err)
	}
	what := fmt.Sprintf("%v, watchdog running, entry %v, exit %v, boot %d", p.State, p.Entry, p.Exit, p.Boots)
	if n := b.gate.LinkErrors(); n > 0 {
		return Outcome{Warn, fmt.Sprintf("%s; %d requests had to be repeated", what, n), "check cable, shield and termination"}
	}
	return pass("%s", what)
}

func gateWatchdog(ctx context.Context, s *Site) Outcome {
	b, err := s.ready(ctx)
	if err != nil {
		return fail(lookAtGate, "%v", err)
	}
	defer b.beat(true)
	from, stopped := b.length(), time.Now()
	b.beat(false)
	p, err := b.state(ctx, longestTrip+2*time.Second, gate.Fallback)
	if err != nil {
		return fail("set the gate's watchdog time-out (WD_TIMEOUT_MS): a dead lane computer must not lock anybody in", "no FALLBACK: %v", err)
	}
	took := p.At.Sub(stopped)
	if err := pause(ctx, 400*time.Millisecond); err != nil { // for what the leaves do then
		return fail(lookAtGate, "%v", err)
	}
	for _, q := range b.raw(from) {
		if q.Exit != gate.ClosedLocked && freed(s.Conf) == "entry" {
			return fail("the exit must stay locked when the lane fails: check FALLBACK_MODE and the lock's wiring", "the exit was %v, %v after the last heartbeat", q.Exit, q.At.Sub(stopped).Round(10*time.Millisecond))
		}
	}
	if took > longestTrip {
		return fail("set the gate's watchdog time-out to 5 s or less", "FALLBACK after %.2f s", took.Seconds())
	}
	return pass("FALLBACK after %.2f s, the exit %v", took.Seconds(), p.Exit)
}

func gateEgress(ctx context.Context, s *Site) Outcome {
	b, err := s.ready(ctx)
	if err != nil {
		return fail(lookAtGate, "%v", err)
	}
	defer b.beat(true)
	b.beat(false)
	if _, err := b.state(ctx, longestTrip+2*time.Second, gate.Fallback); err != nil {
		return fail("the watchdog's step says why", "no FALLBACK: %v", err)
	}
	const todo = "wire or set the gate so that it frees its entry when it is left alone; exit_on_failure only where that is wanted"
	free := func(p gate.Snapshot) bool { return p.Entry != gate.ClosedLocked || p.Exit != gate.ClosedLocked }
	p, err := b.until(ctx, 3*time.Second, free)
	_ = pause(ctx, 400*time.Millisecond) // for the picture
	if err != nil {
		return fail(todo, "neither leaf is freed: whoever stands inside when the lane fails is locked in")
	}
	what := fmt.Sprintf("entry %v, exit %v", p.Entry, p.Exit)
	switch {
	case p.Exit != gate.ClosedLocked && !s.Conf.Kiosk.ExitOnFailure:
		return fail(todo, "%s: a cut cable opens the border", what)
	case p.Exit != gate.ClosedLocked:
		return Outcome{Warn, what + ": as lane.exit_on_failure accepts", "make sure that this is wanted: a cut cable opens the border"}
	}
	return pass("%s", what)
}

// travel is how long a leaf took from its first movement to OPEN, and from its
// first closing to its lock; 0 for what it did not do.
func travel(polls []gate.Snapshot, of func(gate.Snapshot) gate.Leaf) (opening, closing time.Duration) {
	var began, closes time.Time
	was := gate.ClosedLocked
	for _, p := range polls {
		l := of(p)
		switch {
		case was.Closed() && !l.Closed():
			began = p.At
		case l == gate.Open && was != gate.Open && !began.IsZero() && opening == 0:
			opening = p.At.Sub(began)
		case was == gate.Open && l != gate.Open:
			closes = p.At
		}
		if l.Closed() && !was.Closed() && !closes.IsZero() {
			closing = p.At.Sub(closes)
		}
		was = l
	}
	return opening, closing
}

func entryLeaf(p gate.Snapshot) gate.Leaf { return p.Entry }
func exitLeaf(p gate.Snapshot) gate.Leaf  { return p.Exit }

// timely judges a leaf's times. A poll's length is allowed beside them.
func timely(s *Site, name string, opening, closing time.Duration) Outcome {
	const poll = 100 * time.Millisecond
	what := fmt.Sprintf("opening %.2f s, closing %.2f s", opening.Seconds(), closing.Seconds())
	switch {
	case opening == 0 || closing == 0:
		return fail(lookAtGate, "the %s leaf was not seen to open and close: %s", name, what)
	case opening > s.Conf.Gate.OpenMax+poll || closing > s.Conf.Gate.CloseMax+poll:
		return fail("adjust the drive of the "+name+" leaf, or gate.open_max and gate.close_max if it may be so slow", "%s", what)
	}
	return pass("%s", what)
}

func gateEntry(ctx context.Context, s *Site) Outcome {
	b, err := s.ready(ctx)
	if err != nil {
		return fail(lookAtGate, "%v", err)
	}
	from := b.length()
	if err := b.order(ctx, gate.OpenEntry, 1, 0); err != nil {
		return fail(lookAtGate, "%v", err)
	}
	if err := b.order(ctx, gate.OpenExit, 0, 0); err == nil {
		return fail("the gate must not open its exit while the entry stands open: take it out of service", "OPEN_EXIT was obeyed while the entry stood open")
	}
	if _, err := b.until(ctx, s.Conf.Gate.EntryHold+2*s.Conf.Gate.CloseMax+2*time.Second, func(p gate.Snapshot) bool { return p.State != gate.EntryOpen }); err != nil {
		return fail(lookAtGate, "the entry does not close: %v", err)
	}
	opening, closing := travel(b.raw(from), entryLeaf)
	return timely(s, "entry", opening, closing)
}

func gateExit(ctx context.Context, s *Site) Outcome {
	b, err := s.working(ctx)
	if err != nil {
		return fail(lookAtGate, "%v", err)
	}
	if m := s.Conf.Gate.Map; m != nil && (m.Commands["MAINTENANCE"] == nil || m.Commands["MOVE_EXIT_OPEN"] == nil || m.Commands["MOVE_EXIT_CLOSE"] == nil) {
		return Outcome{Warn, "this gate's leaves cannot be moved from the lane", "the step in which somebody walks out measures the exit"}
	}
	if err := b.order(ctx, gate.SetMode, 2, 0x4D54); err != nil {
		return fail(lookAtGate, "%v", err)
	}
	s.from = b.length()
	from := s.from
	for _, open := range []uint16{1, 0} {
		if err := b.order(ctx, gate.MaintMove, 1, open); err != nil {
			return fail(lookAtGate, "%v", err)
		}
	}
	opening, closing := travel(b.raw(from), exitLeaf)
	return timely(s, "exit", opening, closing)
}

// crossed says whether the sensors and the gate prove that somebody left.
func crossed(b *bench) (string, bool) {
	walked, confirmed := b.evidence()
	words := map[bool]string{true: "", false: "not "}
	return fmt.Sprintf("%sproven by the sensors, %sconfirmed by the gate", words[walked], words[confirmed]), walked && confirmed
}

// unlocked looks through the whole test for a moment in which both leaves could
// have been passed.
func unlocked(_ context.Context, s *Site) Outcome {
	if s.bench == nil {
		return Outcome{Skip, "the gate was not worked in this run", "run the gate's steps again: --again gate"}
	}
	polls := s.bench.raw(0)
	for _, p := range polls {
		switch p.State {
		case gate.Boot, gate.Evacuate, gate.Faulted:
			continue
		}
		if p.Entry != gate.ClosedLocked && p.Exit != gate.ClosedLocked {
			return fail("take the gate out of service: the interlock of its leaves does not hold", "in %v the entry was %v and the exit %v", p.State, p.Entry, p.Exit)
		}
	}
	return pass("%d polls, at least one leaf closed and locked in each", len(polls))
}

// why is an error in one line.
func why(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "nothing happened in time"
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

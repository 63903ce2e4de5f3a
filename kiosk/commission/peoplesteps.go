package commission

import (
	"context"
	"fmt"
	"strings"
	"time"

	"passage/drivers/gate"
	"passage/drivers/gate/regmap"
	"passage/kiosk/config"
)

// peopleSteps need somebody at the lane.
func peopleSteps(config.Config) []Step {
	return []Step{
		{"document", "A test document is read", "zone and chip within 5 s", true, readDocument},
		{"walk", "One person walks through", "one person counted, every sensor heard, the crossing proven", true, walkThrough},
		{"return", "A person is sent back", "out by the entry, and no crossing", true, sendBack},
		{"luggage", "A bag is left behind", "LEFT_LUGGAGE, and the entry stays shut", true, leaveBag},
		{"two", "Two persons walk in", "an alarm, and the exit stays shut", true, twoPersons},
		{"wheelchair", "A wheelchair passes", "no leaf turns back or touches, the crossing proven", true, wheelchair},
		{"fire", "The fire alarm opens the gate", "EVACUATE within 1 s, a leaf opens; SAFE_CLOSED only after the reset", true, fireAlarm},
		{"unlocked", "The leaves were never open together", "at every poll of this test at least one leaf closed and locked, but for evacuation and faults", false, unlocked},
		{"language", "The traveller's screen changes its language by touch", "another language, without a keyboard", true, confirm("language", "Start kioskd and the traveller's screen. Touch the globe and another language: does the screen change to it?", "look at the screen's unit (systemctl status passage-screen) and its touch panel")},
		{"help", "The help button calls an officer", "an officer hears and sees it", true, confirm("help", "Press the help button inside: does an officer hear and see it at the lane's page or the console?", "look at the button's wiring, and that an officer is signed in")},
	}
}

// confirm is a step that only a person can judge.
func confirm(id, question, todo string) func(context.Context, *Site) Outcome {
	return func(ctx context.Context, s *Site) Outcome {
		yes, note, err := s.Person.Confirm(ctx, id, question)
		switch {
		case err != nil:
			return fail("ask again", "%s", why(err))
		case !yes:
			return fail(todo, "%s says no%s", s.Person.Name(), remark(note))
		}
		return pass("%s says yes%s", s.Person.Name(), remark(note))
	}
}

func remark(note string) string {
	if note == "" {
		return ""
	}
	return ": " + note
}

// inside lets somebody in and waits until the entry has locked behind them.
func (s *Site) inside(ctx context.Context, act Act) (*bench, gate.Snapshot, error) {
	b, err := s.ready(ctx)
	if err != nil {
		return nil, gate.Snapshot{}, err
	}
	if err := s.Person.Act(ctx, act); err != nil {
		return nil, gate.Snapshot{}, err
	}
	for end := time.Now().Add(personWithin); ; {
		if err := b.order(ctx, gate.OpenEntry, 1, 0); err != nil {
			return b, gate.Snapshot{}, err
		}
		p, err := b.until(ctx, personWithin, func(p gate.Snapshot) bool { return p.State == gate.Occupied || p.State == gate.Ready })
		if err != nil || p.State == gate.Occupied {
			return b, p, err
		}
		if time.Now().After(end) {
			return b, p, fmt.Errorf("%w see anybody come in within %v", errNever, personWithin)
		}
	}
}

// out opens the exit and waits until it has locked again.
func (s *Site) out(ctx context.Context, b *bench, act Act) (gate.Snapshot, error) {
	if err := s.Person.Act(ctx, act); err != nil {
		return gate.Snapshot{}, err
	}
	if err := b.order(ctx, gate.OpenExit, 0, 0); err != nil {
		return gate.Snapshot{}, err
	}
	p, err := b.until(ctx, personWithin, func(p gate.Snapshot) bool { return p.State != gate.ExitOpen })
	if err == nil && p.State != gate.Ready {
		err = fmt.Errorf("%w become READY behind the traveller: it is %v%s", errNever, p.State, troubles(p))
	}
	return p, err
}

// proven waits for the evidence of a crossing, whose last part may come an
// instant after the exit has locked.
func proven(ctx context.Context, s *Site, b *bench) Outcome {
	_, _ = b.until(ctx, 2*time.Second, func(gate.Snapshot) bool { _, ok := crossed(b); return ok })
	what, ok := crossed(b)
	if ok {
		return pass("%s", what)
	}
	if m := s.Conf.Gate.Map; m != nil {
		for _, v := range m.Judge(s.Conf.Gate.Baud, s.Conf.Gate.FallbackFrees) {
			if v.State == "officer" && strings.Contains(v.What, "crossing") {
				return Outcome{Warn, what, "as the register map says: " + v.Means}
			}
		}
	}
	return fail("check the sensors of the exit (zone B, curtain, beyond) and their order: without evidence every crossing is an officer's case", "%s", what)
}

func walkThrough(ctx context.Context, s *Site) Outcome {
	return s.through(ctx, WalkIn, WalkOut, true)
}

// through is a whole crossing; all asks for every sensor and both leaves' times.
func (s *Site) through(ctx context.Context, in, out Act, all bool) Outcome {
	b, p, err := s.inside(ctx, in)
	if err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	if p.Persons != 1 {
		return fail("check the person counter and the tailgating detector: one person must count as one", "%d persons counted%s", p.Persons, troubles(p))
	}
	if _, err := s.out(ctx, b, out); err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	o := proven(ctx, s, b)
	if o.Result == Fail {
		return o
	}
	seen, polls := gate.Sensors(0), b.raw(s.from)
	for _, p := range polls {
		seen |= p.Zones
		if p.Entry == gate.Reversing || p.Exit == gate.Reversing {
			return fail("check the curtains and the hold times: a leaf must not close on anybody", "a leaf turned back: entry %v, exit %v", p.Entry, p.Exit)
		}
	}
	var silent []string
	for i, name := range regmap.SensorNames[:6] {
		if seen>>i&1 == 0 && (s.Conf.Gate.Map == nil || s.Conf.Gate.Map.Sensors[name] != nil) {
			silent = append(silent, fmt.Sprintf("S%d %s", i, name))
		}
	}
	if all && len(silent) > 0 {
		return fail("check these sensors and their wiring", "not heard: %s", strings.Join(silent, ", "))
	}
	eo, ec := travel(polls, entryLeaf)
	xo, xc := travel(polls, exitLeaf)
	for _, t := range []Outcome{timely(s, "entry", eo, ec), timely(s, "exit", xo, xc)} {
		if t.Result == Fail {
			return t
		}
	}
	o.Measured = fmt.Sprintf("%s; entry %.1f/%.1f s, exit %.1f/%.1f s", o.Measured, eo.Seconds(), ec.Seconds(), xo.Seconds(), xc.Seconds())
	return o
}

func sendBack(ctx context.Context, s *Site) Outcome {
	b, _, err := s.inside(ctx, WalkIn)
	if err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	if p, err := s.back(ctx, b); err != nil {
		return fail(lookAtGate, "%s", why(err))
	} else if what, ok := crossed(b); ok {
		return fail("check the order of the sensors: a person who was sent back must not count as crossed", "%s", what)
	} else {
		return pass("%v again, nobody inside, no crossing", p.State)
	}
}

// back sends whoever is inside out by the entry.
func (s *Site) back(ctx context.Context, b *bench) (gate.Snapshot, error) {
	if err := s.Person.Act(ctx, WalkBack); err != nil {
		return gate.Snapshot{}, err
	}
	if err := b.order(ctx, gate.OpenReturn, 0, 0); err != nil {
		return gate.Snapshot{}, err
	}
	p, err := b.until(ctx, personWithin, func(p gate.Snapshot) bool { return p.State != gate.EntryOpen })
	if err == nil && p.State != gate.Ready && p.State != gate.SafeClosed {
		err = fmt.Errorf("%w become READY: it is %v%s", errNever, p.State, troubles(p))
	}
	return p, err
}

func leaveBag(ctx context.Context, s *Site) Outcome {
	b, _, err := s.inside(ctx, WalkIn)
	if err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	if err := s.Person.Act(ctx, PutBag); err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	p, err := s.out(ctx, b, WalkOut)
	if err == nil {
		p, err = b.until(ctx, 15*time.Second, func(p gate.Snapshot) bool { return p.Alarms&gate.LeftLuggage != 0 })
	}
	refused := b.order(ctx, gate.OpenEntry, 1, 0)
	if e := s.Person.Act(ctx, TakeBag); e != nil {
		return fail(lookAtGate, "%s", why(e))
	}
	_, gone := b.until(ctx, personWithin, func(p gate.Snapshot) bool { return p.Zones&gate.Luggage == 0 })
	switch {
	case err != nil:
		return fail("check the luggage sensor S6: a bag of cabin size must be seen anywhere between the leaves", "%s", why(err))
	case refused == nil:
		return fail("take the gate out of service: the entry opened for the next traveller with a bag inside", "OPEN_ENTRY was obeyed")
	case gone != nil:
		return fail("check the luggage sensor S6: it still sees a bag", "%s", why(gone))
	}
	return pass("%v, OPEN_ENTRY refused, gone with the bag", p.Alarms)
}

func twoPersons(ctx context.Context, s *Site) Outcome {
	b, p, err := s.inside(ctx, Two)
	if err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	p, err = b.until(ctx, 2*time.Second, func(p gate.Snapshot) bool { return p.Alarms&(gate.MultiPerson|gate.Tailgate) != 0 })
	refused := b.order(ctx, gate.OpenExit, 0, 0)
	if refused == nil {
		_, _ = b.until(ctx, personWithin, func(p gate.Snapshot) bool { return p.State != gate.ExitOpen })
	}
	_, back := s.back(ctx, b)
	switch {
	case err != nil:
		return fail("check the person counter and the tailgating detector S7: a second person must be seen", "%d counted, no alarm", p.Persons)
	case refused == nil:
		return fail("take the gate out of service: the exit opened for two", "OPEN_EXIT was obeyed, %v", p.Alarms)
	case back != nil:
		return fail(lookAtGate, "they were not let out again: %s", why(back))
	}
	return pass("%d counted, %v, OPEN_EXIT refused", p.Persons, p.Alarms)
}

func wheelchair(ctx context.Context, s *Site) Outcome {
	o := s.through(ctx, Wheel, WheelOut, false)
	if o.Result == Fail {
		return o
	}
	yes, note, err := s.Person.Confirm(ctx, "wheelchair", "Was there room and time enough, and did no leaf touch the wheelchair?")
	switch {
	case err != nil:
		return fail("ask again", "%s", why(err))
	case !yes:
		return fail("lengthen gate.entry_hold and gate.exit_hold, check the clear width of 900 mm", "%s says no%s", s.Person.Name(), remark(note))
	}
	o.Measured += remark(note)
	return o
}

func fireAlarm(ctx context.Context, s *Site) Outcome {
	b, err := s.ready(ctx)
	if err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	if err := s.Person.Act(ctx, FireOn); err != nil {
		return fail(lookAtGate, "%s", why(err))
	}
	if _, err := b.until(ctx, personWithin, func(p gate.Snapshot) bool { return p.Alarms&gate.Fire != 0 || p.State == gate.Evacuate }); err != nil {
		return fail("check the wiring of the fire contact: the gate does not hear it", "%s", why(err))
	}
	heard := time.Now()
	p, err := b.state(ctx, time.Second, gate.Evacuate)
	evacuated := time.Since(heard)
	var open error
	if err == nil {
		p, open = b.until(ctx, s.Conf.Gate.OpenMax+s.Conf.Gate.CloseMax+2*time.Second, func(p gate.Snapshot) bool { return p.Entry == gate.Open || p.Exit == gate.Open })
	}
	early := b.order(ctx, gate.SetMode, 0, 0)
	if e := s.Person.Act(ctx, FireOff); e != nil {
		return fail(lookAtGate, "%s", why(e))
	}
	// The contact has been reset when the alarm can be cleared.
	var rest error
	for end := time.Now().Add(personWithin); ; {
		if rest = b.rest(ctx); rest == nil || time.Now().After(end) || ctx.Err() != nil {
			break
		}
	}
	switch {
	case err != nil:
		return fail("the gate must go to EVACUATE by its own wiring: take it out of service", "%s", why(err))
	case open != nil:
		return fail("no leaf opens for evacuation: take the gate out of service", "%s", why(open))
	case early == nil:
		return fail("the gate must stay open while the alarm lasts: take it out of service", "it was closed while the fire contact was active")
	case rest != nil:
		return fail(lookAtGate, "after the reset: %s", why(rest))
	}
	return pass("EVACUATE %d ms after the alarm was heard, entry %v, exit %v; closed after the reset", evacuated.Milliseconds(), p.Entry, p.Exit)
}

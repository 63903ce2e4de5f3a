package lanesim

import (
	"context"
	"fmt"
	"image"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/people"
	"passage/hwsim/persona"
)

// Lane is a lane at work: its devices, its pages, its officers.
type Lane struct {
	*Devices
	*Desk
	// Hold, if there is one, is asked before the officers act; true leaves it
	// to somebody else.
	Hold func() bool

	mu  sync.Mutex
	now persona.Persona // whose script the officers follow
}

// Follow signs the officers in and follows the pages until ctx ends. ready is
// called once the lane is open.
func (l *Lane) Follow(ctx context.Context, pin string, ready func()) error {
	var err error
	for range 200 {
		if err = l.signIn(ctx, pin); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.stay(ctx) })
	group.Go(func() error { return l.decide(ctx) })
	group.Go(func() error { return l.shine(ctx, l.Eye) })
	group.Go(func() error {
		if _, ok := l.screen.wait(ctx, time.Minute, func(s Screen) bool { return s.Screen == "S1" }); !ok && ctx.Err() == nil {
			v, _ := l.view.get()
			return fmt.Errorf("lanesim: lane %s does not open: %s, gate %s, %v", l.Name, v.State, v.Gate.State, v.Unfit)
		}
		ready()
		return nil
	})
	return group.Wait()
}

// decide has the officers decide by the persona's script.
func (l *Lane) decide(ctx context.Context) error {
	guard, _ := l.officers()
	return guard.attend(ctx, l.view, func(string, ...any) {}, func(ctx context.Context, v LaneView) error {
		if l.Hold != nil && l.Hold() {
			return nil
		}
		l.mu.Lock()
		p := l.now
		l.mu.Unlock()
		return l.settle(ctx, v, p)
	})
}

// Expect tells the officers whose script they follow.
func (l *Lane) Expect(p persona.Persona) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = p
}

// Result is how a crossing went, from the gate's own truth; the reason and the
// checks are what the lane told its officers.
type Result struct {
	Outcome string
	Reason  string
	Seconds float64
	Checks  string
	UUID    string
	// Critical is the crossing's critical path in seconds: see critical.
	Critical float64
}

// Cross walks one persona through the lane and returns what became of it. live
// is the face before the camera, other somebody else's.
func (l *Lane) Cross(ctx context.Context, p persona.Persona, card *passport.Card, live, other image.Image) (Result, error) {
	l.Expect(p)
	if _, ok := l.screen.wait(ctx, 90*time.Second, func(s Screen) bool { return s.Screen == "S1" }); !ok {
		v, _ := l.view.get()
		return Result{}, fmt.Errorf("lanesim: %s: the lane is not open: %s, gate %s %v, %v", p.ID, v.State, v.Gate.State, v.Gate.Alarms, v.Unfit)
	}
	was, _ := l.view.get()
	before := len(l.Gate.Truth())
	checks := ""
	w := l.traveller(ctx, p.ID, p.Script, card, live, other)
	w.Looked = func() {
		v, _ := l.view.get()
		if list, any := v.failed(); any {
			checks = list
		}
	}
	through, err := w.Walk(ctx)
	if err == nil && !through {
		v, _ := l.view.get()
		err = fmt.Errorf("lanesim: %s is still in the lane after minutes: %s, gate %s", p.ID, v.State, v.Gate.State)
	}
	if err != nil {
		return Result{}, err
	}
	took := time.Since(w.Began())
	last := ""
	if len(was.Recent) > 0 {
		last = was.Recent[0].UUID
	}
	v, _ := l.view.wait(ctx, 40*time.Second, func(v LaneView) bool { return len(v.Recent) > 0 && v.Recent[0].UUID != last })
	r := Result{Outcome: gate.Outcome(l.Gate.Truth()[before:], p.ID), Seconds: took.Seconds(), Checks: checks}
	if len(v.Recent) > 0 && v.Recent[0].UUID != last {
		r.Reason, r.UUID, r.Seconds = v.Recent[0].Reason, v.Recent[0].UUID, v.Recent[0].Seconds
		r.Critical = critical(v.Recent[0].Spans, l.Gate.Truth()[before:])
	}
	l.nobody()
	l.recover(ctx)
	return r, nil
}

// traveller is a person with a document, before this lane.
func (l *Lane) traveller(ctx context.Context, id, script string, card *passport.Card, live, other image.Image) *people.Traveller {
	var doc *Document
	return &people.Traveller{
		ID: id, Script: script, Gate: l.Gate,
		Screen: func() string { s, _ := l.screen.get(); return s.Screen },
		Lay:    func() (err error) { doc, err = l.Lay(ctx, card); return err },
		Take:   func() error { return doc.Take() },
		Pose:   func() { l.pose(script, live, other) },
		Help:   l.Help,
		More:   l.MoreTime,
	}
}

// nobody is what the camera sees when the person has gone.
func (l *Lane) nobody() {
	l.Eye.Inject("")
	l.Eye.Place(0, 0, 0)
	l.Eye.Show()
}

// steps are those of the lane's timeline that need what the one before found,
// and cannot overlap: the chip's keys are in the MRZ, the portrait is decoded
// when it is authentic, the register compares the chosen live picture, the exit
// waits for the intent. The others are done beside them.
var steps = []string{"mrz", "chip.", "portrait", "face", "consult.REF_FACE", "lane.REVIEW", "lane.HOLD", "lane.MULTI", "intent", "record"}

// critical is the time of the longest chain of steps that could not overlap:
// what the devices needed by the lane's timeline, how long each leaf's cycle
// took from its first movement by the gate's own record, and the traveller's
// reaction to "take your document". What the lane adds to it by asking, polling
// and commanding is its own.
func critical(spans []Span, truth []gate.Record) float64 {
	sum := people.Reaction
	for _, s := range spans {
		for _, name := range steps {
			if s.Name == name || strings.HasSuffix(name, ".") && strings.HasPrefix(s.Name, name) {
				sum += time.Duration(s.End-s.Start) * time.Millisecond
				break
			}
		}
	}
	moving := time.Duration(-1)
	for _, r := range truth {
		switch {
		case r.What == "open" && moving < 0:
			moving = r.At
		case r.What == "state" && moving >= 0 && (r.Who == "OCCUPIED" || r.Who == "READY" || r.Who == "SAFE_CLOSED"):
			sum += r.At - moving
			moving = -1
		}
	}
	return sum.Seconds()
}

// recover has the officer put the lane back in order.
func (l *Lane) recover(ctx context.Context) {
	for range 40 {
		if s, _ := l.screen.get(); s.Screen == "S1" {
			return
		}
		l.tidy(ctx, l.Gate)
		if !people.Pause(ctx, 700*time.Millisecond) {
			return
		}
	}
}

// pose shows the person's face to the camera.
func (l *Lane) pose(script string, live, other image.Image) {
	a := people.Appear(script)
	var faces []image.Image
	for _, f := range a.Faces {
		faces = append(faces, []image.Image{live, other}[f])
	}
	if a.Fault != "" {
		l.Eye.Inject(a.Fault)
	}
	l.Eye.Present(a.By, faces...)
}

// failed lists the checks of the case under way that were not successful.
func (v LaneView) failed() (list string, any bool) {
	if v.Case == nil || len(v.Case.Checks) == 0 {
		return "", false
	}
	var names []string
	for _, c := range v.Case.Checks {
		if c.Code != "successful" {
			names = append(names, c.Name+" "+c.Code)
		}
	}
	return strings.Join(names, ", "), true
}

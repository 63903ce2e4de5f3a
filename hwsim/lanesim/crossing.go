package lanesim

import (
	"context"
	"fmt"
	"image"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/people"
	"passage/hwsim/persona"
	"passage/matcher/pad"
)

// Lane is a lane at work: its devices, its pages, its officers.
type Lane struct {
	*Devices
	Base string // URL of the pages

	screen *feed[Screen]
	view   *feed[LaneView]
	guard  *Officer
	second *Officer

	mu  sync.Mutex
	now persona.Persona // whose script the officers follow
}

// Follow signs the officers in and follows the pages until ctx ends. ready is
// called once the lane is open.
func (l *Lane) Follow(ctx context.Context, pin string, ready func()) error {
	l.screen, l.view = newFeed[Screen](), newFeed[LaneView]()
	var err error
	for range 200 {
		if l.guard, err = SignIn(ctx, l.Base, "anna", pin); err == nil {
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
	if l.second, err = SignIn(ctx, l.Base, "bert", pin); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.guard.Stay(ctx) })
	group.Go(func() error { return l.second.Stay(ctx) })
	group.Go(func() error { return l.screen.follow(ctx, http.DefaultClient, l.Base+"/traveller/events") })
	group.Go(func() error { return l.view.follow(ctx, l.guard.client, l.Base+"/lane/events") })
	group.Go(func() error { return l.officers(ctx) })
	group.Go(func() error { return l.shine(ctx) })
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

// shine throws the screen's light on whoever stands before it.
func (l *Lane) shine(ctx context.Context) error {
	for {
		s, change := l.screen.get()
		l.Eye.Shine(camera.Shine(map[string]pad.Light{"warm": pad.Warm, "cool": pad.Cool}[s.Light]))
		select {
		case <-ctx.Done():
			return nil
		case <-change:
		}
	}
}

// officers decide by the persona's script.
func (l *Lane) officers(ctx context.Context) error {
	return l.guard.attend(ctx, l.view, func(string, ...any) {}, func(ctx context.Context, v LaneView) error {
		l.mu.Lock()
		p := l.now
		l.mu.Unlock()
		return l.decide(ctx, v, p)
	})
}

func (l *Lane) decide(ctx context.Context, v LaneView, p persona.Persona) error {
	transaction := ""
	if v.Case != nil {
		transaction = v.Case.Transaction
	}
	decision := fit(p.Officer, v.State)
	if p.Second == "" {
		_, err := l.guard.Decide(ctx, transaction, decision, "visual_comparison")
		return err
	}
	if _, err := l.guard.Decide(ctx, transaction, decision, "face"); err != nil {
		return err
	}
	people.Pause(ctx, 50*time.Millisecond)
	code, err := l.second.Decide(ctx, transaction, p.Second, "face")
	if err == nil && code != http.StatusConflict {
		return fmt.Errorf("lanesim: the second officer's %s was answered with %d, want 409", p.Second, code)
	}
	return err
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
	l.mu.Lock()
	l.now = p
	l.mu.Unlock()
	if _, ok := l.screen.wait(ctx, 90*time.Second, func(s Screen) bool { return s.Screen == "S1" }); !ok {
		v, _ := l.view.get()
		return Result{}, fmt.Errorf("lanesim: %s: the lane is not open: %s, gate %s %v, %v", p.ID, v.State, v.Gate.State, v.Gate.Alarms, v.Unfit)
	}
	was, _ := l.view.get()
	before := len(l.Gate.Truth())
	checks := ""
	var doc *Document
	w := &people.Traveller{
		ID: p.ID, Script: p.Script, Gate: l.Gate,
		Screen: func() string { s, _ := l.screen.get(); return s.Screen },
		Lay:    func() (err error) { doc, err = l.Lay(ctx, card); return err },
		Take:   func() error { return doc.Take() },
		Pose:   func() { l.pose(p.Script, live, other) },
		Help:   l.help,
		Looked: func() {
			v, _ := l.view.get()
			if list, any := v.failed(); any {
				checks = list
			}
		},
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
	r := Result{Outcome: l.truth(p.ID, before), Seconds: took.Seconds(), Checks: checks}
	if len(v.Recent) > 0 && v.Recent[0].UUID != last {
		r.Reason, r.UUID, r.Seconds = v.Recent[0].Reason, v.Recent[0].UUID, v.Recent[0].Seconds
		r.Critical = critical(v.Recent[0].Spans, l.Gate.Truth()[before:])
	}
	l.Eye.Inject("")
	l.Eye.Place(0, 0, 0)
	l.Eye.Show()
	l.recover(ctx)
	return r, nil
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

// truth reads the outcome from the gate's own record.
func (l *Lane) truth(id string, from int) string {
	out := "diverted_out"
	for _, r := range l.Gate.Truth()[from:] {
		switch {
		case r.What == "entered" && r.Who == id && out == "diverted_out":
			out = "out_of_service"
		case r.What == "crossed" && r.Who == id:
			out = "released"
		case r.What == "went_back" && r.Who == id && out != "evacuated":
			out = "diverted_in"
		case r.What == "state" && r.Who == "EVACUATE":
			out = "evacuated"
		}
	}
	return out
}

// recover has the officer put the lane back in order.
func (l *Lane) recover(ctx context.Context) {
	for range 40 {
		v, _ := l.view.get()
		s, _ := l.screen.get()
		if s.Screen == "S1" {
			return
		}
		entry, _ := l.Gate.Leaves()
		order, bag := people.Tidy(people.Seen{State: v.State, GateState: v.Gate.State, Alarms: len(v.Gate.Alarms), Bag: v.Gate.Bag, Entry: entry})
		if bag {
			l.Gate.Remove("bag")
		}
		if order != "" {
			_, _ = l.guard.Order(ctx, order) // the next view tells
		}
		if !people.Pause(ctx, 700*time.Millisecond) {
			return
		}
	}
}

// pose shows the person's face to the camera.
func (l *Lane) pose(script string, live, other image.Image) {
	switch script {
	case "tailgate":
		l.Eye.Show(live, other)
	case "mask":
		l.Eye.Present(camera.Video, other) // somebody else's face, on a telephone
	case "help", "fire":
		l.Eye.Show() // looks elsewhere
	case "cover":
		l.Eye.Inject("covered")
	case "blur":
		l.Eye.Inject("blur")
		l.Eye.Show(live)
	default:
		l.Eye.Show(live)
	}
}

func (l *Lane) help(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Base+"/traveller/help", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
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

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

	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/persona"
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
	pause(ctx, 50*time.Millisecond)
	code, err := l.second.Decide(ctx, transaction, p.Second, "face")
	if err == nil && code != http.StatusConflict {
		return fmt.Errorf("lanesim: the second officer's %s was answered with %d, want 409", p.Second, code)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Result is how a crossing went, from the gate's own truth; the reason and the
// checks are what the lane told its officers.
type Result struct {
	Outcome string
	Reason  string
	Seconds float64
	Checks  string
	UUID    string
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
	w := &walker{l: l, p: p, id: p.ID, live: live, other: other, began: time.Now()}
	if err := w.walk(ctx, card); err != nil {
		return Result{}, err
	}
	took := time.Since(w.began)
	last := ""
	if len(was.Recent) > 0 {
		last = was.Recent[0].UUID
	}
	v, _ := l.view.wait(ctx, 40*time.Second, func(v LaneView) bool { return len(v.Recent) > 0 && v.Recent[0].UUID != last })
	r := Result{Outcome: l.truth(p.ID, before), Seconds: took.Seconds(), Checks: w.checks}
	if len(v.Recent) > 0 && v.Recent[0].UUID != last {
		r.Reason, r.UUID, r.Seconds = v.Recent[0].Reason, v.Recent[0].UUID, v.Recent[0].Seconds
	}
	l.Eye.Inject("")
	l.Eye.Mask(false)
	l.Eye.Show()
	l.recover(ctx)
	return r, nil
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
		switch {
		case s.Screen == "S1":
			return
		case v.State == "EVACUATE":
			_, _ = l.guard.Order(ctx, "end_evacuate") // the next view tells
		case v.State == "FAULT":
			_, _ = l.guard.Order(ctx, "clear_faults") // the next view tells
		case v.State == "OUT_OF_SERVICE" && len(v.Gate.Alarms) > 0:
			_, _ = l.guard.Order(ctx, "clear_alarms") // the next view tells
		case v.State == "LUGGAGE" && v.Gate.State == "MAINTENANCE" && !v.Gate.Bag:
			_, _ = l.guard.Order(ctx, "end_maintenance") // the next view tells
		case v.State == "LUGGAGE" && v.Gate.State == "MAINTENANCE":
			_, _ = l.guard.Order(ctx, "move_entry_open") // the next view tells
			if entry, _ := l.Gate.Leaves(); entry > 95 {
				l.Gate.Remove("bag")
				_, _ = l.guard.Order(ctx, "move_entry_close") // the next view tells
			}
		case v.State == "LUGGAGE":
			_, _ = l.guard.Order(ctx, "maintenance") // the next view tells
		}
		if !pause(ctx, 700*time.Millisecond) {
			return
		}
	}
}

// walker is the person in the lane.
type walker struct {
	l           *Lane
	p           persona.Persona
	id          string
	live, other image.Image
	began       time.Time
	doc         *Document
	inside      bool
	acted       bool
	back        bool
	checks      string
}

const (
	reaction = 350 * time.Millisecond
	patience = 170 * time.Second
)

func (w *walker) walk(ctx context.Context, card *passport.Card) error {
	g := w.l.Gate
	g.AddPerson(w.id, gate.Approach-0.5)
	g.Walk(w.id, gate.Approach, 1.2)
	defer g.Remove(w.id)
	if w.p.Script == "tailgate" {
		g.AddPerson(w.id+"b", gate.Approach-1)
		defer g.Remove(w.id + "b")
	}
	if !pause(ctx, 500*time.Millisecond) {
		return ctx.Err()
	}
	var err error
	if w.doc, err = w.l.Lay(ctx, card); err != nil {
		return err
	}
	defer w.doc.Take()
	w.began = time.Now()
	for time.Since(w.began) < patience {
		if !pause(ctx, 60*time.Millisecond) {
			return ctx.Err()
		}
		if done, err := w.look(ctx); done || err != nil {
			return err
		}
	}
	v, _ := w.l.view.get()
	return fmt.Errorf("lanesim: %s is still in the lane after %v: %s, gate %s", w.p.ID, patience, v.State, v.Gate.State)
}

// speed is how fast the person walks, in m/s.
func (w *walker) speed() float64 {
	if w.p.Script == "wheelchair" {
		return 0.7
	}
	return 1.3
}

// look is what a person does about what they see: one thing at a time.
func (w *walker) look(ctx context.Context) (done bool, err error) {
	s, _ := w.l.screen.get()
	v, _ := w.l.view.get()
	if v.Case != nil && len(v.Case.Checks) > 0 {
		var list []string
		for _, c := range v.Case.Checks {
			if c.Code != "successful" {
				list = append(list, c.Name+" "+c.Code)
			}
		}
		w.checks = strings.Join(list, ", ")
	}
	g := w.l.Gate
	x, _ := g.Position(w.id)
	entry, exit := g.Leaves()
	w.inside = x > gate.EntryPlane && x < gate.ExitPlane
	if w.inside && x > 0.3 {
		w.pose()
	}
	switch {
	case x >= gate.ExitPlane+1.3:
		return true, nil
	case !w.inside && x >= gate.ExitPlane:
		g.Walk(w.id, gate.Beyond, w.speed())
	case s.Screen == "S3" && w.p.Script == "forget" && !w.inside:
	case s.Screen == "S3" && entry < 80 && !w.inside:
		if !pause(ctx, reaction) {
			return true, ctx.Err()
		}
		return false, w.doc.Take()
	case !w.inside && entry >= 80 && !w.back && x < gate.EntryPlane:
		g.Walk(w.id, gate.Marks, w.speed())
		if w.p.Script == "tailgate" {
			g.Walk(w.id+"b", gate.Marks-0.4, w.speed())
		}
	case (s.Screen == "S11" || s.Screen == "S13" || w.back) && !w.inside && x < gate.EntryPlane:
		if !pause(ctx, reaction) {
			return true, ctx.Err()
		}
		g.Walk(w.id, gate.Approach-1.5, 1.3)
		return true, w.doc.Take()
	case w.inside && w.p.Script == "turn_back" && exit >= 80 && !w.back:
		return false, nil // changes their mind and stands still
	case w.inside && exit >= 80:
		if w.p.Script == "bag" && !w.acted {
			w.acted = true
			g.AddBag("bag", 1)
		}
		g.Walk(w.id, gate.Beyond, w.speed())
	case w.inside && s.Screen == "S13" && !w.back:
		w.back = true // out by the leaf that the gate has freed
		g.Walk(w.id, gate.Approach-0.6, w.speed())
		if w.p.Script == "tailgate" {
			g.Walk(w.id+"b", gate.Approach-1.2, w.speed())
		}
	case w.inside && entry >= 60 && (s.Screen == "S11" || s.Screen == "S13" || s.Screen == "S7"):
		w.back = true
		g.Walk(w.id, gate.Approach-0.6, w.speed())
		if w.p.Script == "tailgate" {
			g.Walk(w.id+"b", gate.Approach-1.2, w.speed())
		}
	case w.inside && s.Screen == "S5" && w.p.Script == "help" && !w.acted:
		w.acted = true
		return false, w.help(ctx)
	case w.inside && s.Screen == "S5" && w.p.Script == "fire" && !w.acted:
		w.acted = true
		g.Inject("fire", 0)
		time.AfterFunc(9*time.Second, func() { g.Clear("fire") })
	case s.Screen == "S1" && !w.inside && time.Since(w.began) > 8*time.Second:
		return true, w.doc.Take()
	}
	return false, nil
}

// pose shows the person's face to the camera.
func (w *walker) pose() {
	switch w.p.Script {
	case "tailgate":
		w.l.Eye.Show(w.live, w.other)
	case "mask":
		w.l.Eye.Mask(true)
		w.l.Eye.Show(w.other)
	case "help", "fire":
		w.l.Eye.Show() // looks elsewhere
	case "cover":
		w.l.Eye.Inject("covered")
	case "blur":
		w.l.Eye.Inject("blur")
		w.l.Eye.Show(w.live)
	default:
		w.l.Eye.Show(w.live)
	}
}

func (w *walker) help(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.l.Base+"/traveller/help", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

package lanesim

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/people"
	"passage/hwsim/persona"
	"passage/matcher/pad"
)

// Desk is a lane as people see it: its two pages, and two officers at them.
type Desk struct {
	base   string
	screen *feed[Screen]
	view   *feed[LaneView]

	mu   sync.Mutex
	both [2]*Officer // guard and second; they change when they sign in again
}

// NewDesk returns the desk of the lane whose pages are at base.
func NewDesk(base string) *Desk {
	return &Desk{base: base, screen: newScreen(), view: newFeed[LaneView](), both: [2]*Officer{{base, &http.Client{}}, {base, &http.Client{}}}}
}

func (d *Desk) officers() (guard, second *Officer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.both[0], d.both[1]
}

// Seen is what the traveller's screen and the lane page show now.
func (d *Desk) Seen() (Screen, LaneView) {
	s, _ := d.screen.get()
	v, _ := d.view.get()
	return s, v
}

// signIn signs both officers in.
func (d *Desk) signIn(ctx context.Context, pin string) error {
	guard, err := SignIn(ctx, d.base, "anna", pin)
	if err != nil {
		return err
	}
	second, err := SignIn(ctx, d.base, "bert", pin)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.both = [2]*Officer{guard, second}
	return nil
}

// stay follows the pages, with both officers present, until ctx ends or the
// lane has forgotten them.
func (d *Desk) stay(ctx context.Context) error {
	guard, second := d.officers()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return guard.Stay(ctx) })
	group.Go(func() error { return second.Stay(ctx) })
	group.Go(func() error { return d.screen.follow(ctx, http.DefaultClient, d.base+"/traveller/events") })
	group.Go(func() error { return d.view.follow(ctx, guard.client, d.base+"/lane/events") })
	return group.Wait()
}

// Duty says whose script the officers follow, and false while they are to leave
// everything to somebody else.
type Duty func() (p persona.Persona, theirs bool)

// Keep stays at the lane until ctx ends, whether there is one or not: it signs
// in when the lane is there, and again when it was started again. The officers
// decide by the script of whom duty names, and tidy up while nobody is between
// the leaves. The screen's light falls on whoever is before eye.
func (d *Desk) Keep(ctx context.Context, pin string, g *gate.Gate, eye *camera.Camera, duty Duty) error {
	for ctx.Err() == nil {
		if d.signIn(ctx, pin) == nil {
			guard, _ := d.officers()
			group, present := errgroup.WithContext(ctx)
			group.Go(func() error { return d.stay(present) })
			group.Go(func() error { return d.shine(present, eye) })
			group.Go(func() error {
				return guard.attend(present, d.view, func(string, ...any) {}, func(ctx context.Context, v LaneView) error {
					p, theirs := duty()
					if !theirs {
						return nil
					}
					return d.settle(ctx, v, p)
				})
			})
			group.Go(func() error {
				for people.Pause(present, 700*time.Millisecond) {
					if _, theirs := duty(); theirs && !inside(g) {
						d.tidy(present, g)
					}
				}
				return nil
			})
			_ = group.Wait() // the lane has ended, or was started again
			d.screen.set(Screen{})
			d.view.set(LaneView{})
		}
		people.Pause(ctx, time.Second)
	}
	return nil
}

// inside says whether somebody is between the leaves.
func inside(g *gate.Gate) bool {
	for _, x := range g.Persons() {
		if x > gate.EntryPlane && x < gate.ExitPlane {
			return true
		}
	}
	return false
}

// shine throws the screen's light on whoever stands before it.
func (d *Desk) shine(ctx context.Context, eye *camera.Camera) error {
	for {
		s, change := d.screen.get()
		eye.Shine(camera.Shine(map[string]pad.Light{"warm": pad.Warm, "cool": pad.Cool}[s.Light]))
		select {
		case <-ctx.Done():
			return nil
		case <-change:
		}
	}
}

// settle decides by a persona's script.
func (d *Desk) settle(ctx context.Context, v LaneView, p persona.Persona) error {
	transaction := ""
	if v.Case != nil {
		transaction = v.Case.Transaction
	}
	guard, second := d.officers()
	decision := fit(p.Officer, v.State)
	if p.Second == "" {
		_, err := guard.Decide(ctx, transaction, decision, "visual_comparison")
		return err
	}
	if _, err := guard.Decide(ctx, transaction, decision, "face"); err != nil {
		return err
	}
	people.Pause(ctx, 50*time.Millisecond)
	code, err := second.Decide(ctx, transaction, p.Second, "face")
	if err == nil && code != http.StatusConflict {
		return fmt.Errorf("lanesim: the second officer's %s was answered with %d, want 409", p.Second, code)
	}
	return err
}

// tidy gives the next order that puts the lane back in service, if it needs
// one.
func (d *Desk) tidy(ctx context.Context, g *gate.Gate) {
	_, v := d.Seen()
	entry, _ := g.Leaves()
	order, bag := people.Tidy(people.Seen{State: v.State, GateState: v.Gate.State, Alarms: len(v.Gate.Alarms), Faults: len(v.Gate.Faults), Bag: v.Gate.Bag, Entry: entry})
	if bag {
		g.Remove("bag")
	}
	if order != "" {
		guard, _ := d.officers()
		_, _ = guard.Order(ctx, order) // the next view tells
	}
}

// Decide has the guard decide on the case under way.
func (d *Desk) Decide(ctx context.Context, decision, reason string) error {
	_, v := d.Seen()
	if v.Case == nil {
		return fmt.Errorf("lanesim: no case is open in %s", v.State)
	}
	guard, _ := d.officers()
	code, err := guard.Decide(ctx, v.Case.Transaction, decision, reason)
	return answered(code, err, decision)
}

// Order has the guard give an order.
func (d *Desk) Order(ctx context.Context, order string) error {
	guard, _ := d.officers()
	code, err := guard.Order(ctx, order)
	return answered(code, err, order)
}

// answered is nil for a word that the lane has taken.
func answered(code int, err error, what string) error {
	switch {
	case err != nil:
		return err
	case code == http.StatusUnauthorized:
		return fmt.Errorf("lanesim: %s: no officer is signed in", what)
	case code >= 300:
		return fmt.Errorf("lanesim: %s: %s", what, outcome(code))
	}
	return nil
}

// Help presses the help button.
func (d *Desk) Help(ctx context.Context) error { return d.touch(ctx, "help") }

// MoreTime asks for more time at the traveller's screen.
func (d *Desk) MoreTime(ctx context.Context) error { return d.touch(ctx, "more-time") }

// touch presses a button of the traveller's screen.
func (d *Desk) touch(ctx context.Context, button string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+"/traveller/"+button, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Package people are the simulated persons of a lane: the traveller who walks
// through it and the officer who keeps it in order. They know what a person
// knows: what the screens show, and what the leaves do.
package people

import (
	"cmp"
	"context"
	"time"

	"passage/hwsim/gate"
)

// Traveller walks through one lane by a script:
//
//	""          follows the prompts
//	mask        hides behind an instrument
//	tailgate    has somebody close behind
//	bag         leaves a bag
//	turn_back   stays standing before the open exit
//	wheelchair  is slower
//	slow        needs 9 s to set off, and asks for more time
//	forget      leaves the document on the reader
//	help        presses the help button inside
//	cover       covers the camera
//	blur        moves too much for a picture
//	fire        is inside when the fire alarm sounds
type Traveller struct {
	ID     string
	Script string
	Gate   *gate.Gate
	// Screen returns what the traveller's screen shows, S1 to S15.
	Screen func() string
	// Lay lays the document on the reader, Take takes it back; Take may be
	// called more than once.
	Lay, Take func() error
	// Pose is called while the person stands before the camera.
	Pose func()
	// Help presses the help button.
	Help func(context.Context) error
	// More asks for more time; nil for a person who does not.
	More func(context.Context) error
	// Looked is called with every look around; it may be nil.
	Looked func()
	// Steered says that somebody else leads the person just now: they neither
	// follow the prompts nor lose patience. nil for nobody.
	Steered func() bool
	// Patience is how long they wait before they count as stuck; 0 for nearly
	// three minutes.
	Patience time.Duration

	began  time.Time
	inside bool
	acted  bool
	back   bool
	asked  bool
	rested [2]bool // before the way in, and before the way out
}

// Reaction is how long a person takes to act on what a screen says.
const Reaction = 350 * time.Millisecond

const (
	patience = 170 * time.Second
	rest     = 9 * time.Second // before a slow person sets off
	glance   = 60 * time.Millisecond
)

// Pause waits for d and returns false when ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Walk goes through the lane until the person has left it, on either side.
// through is false for one who is still there when their patience has ended.
func (w *Traveller) Walk(ctx context.Context) (through bool, err error) {
	g := w.Gate
	g.AddPerson(w.ID, gate.Approach-0.5)
	g.Walk(w.ID, gate.Approach, 1.2)
	defer g.Remove(w.ID)
	if w.Script == "tailgate" {
		g.AddPerson(w.ID+"b", gate.Approach-1)
		defer g.Remove(w.ID + "b")
	}
	if !Pause(ctx, 500*time.Millisecond) {
		return false, ctx.Err()
	}
	if err := w.Lay(); err != nil {
		return false, err
	}
	defer w.Take()
	w.began = time.Now()
	for time.Since(w.began) < cmp.Or(w.Patience, patience) {
		if !Pause(ctx, glance) {
			return false, ctx.Err()
		}
		if w.Looked != nil {
			w.Looked()
		}
		if w.Steered != nil && w.Steered() {
			w.began = time.Now()
			if w.led() {
				return true, nil
			}
			continue
		}
		if done, err := w.look(ctx); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// Began is when the document was laid down.
func (w *Traveller) Began() time.Time { return w.began }

// speed is how fast the person walks, in m/s.
func (w *Traveller) speed() float64 {
	if w.Script == "wheelchair" {
		return 0.7
	}
	return 1.3
}

// turn sends the person, and who follows them, back out by the entry.
func (w *Traveller) turn() {
	w.back = true
	w.Gate.Walk(w.ID, gate.Approach-0.6, w.speed())
	if w.Script == "tailgate" {
		w.Gate.Walk(w.ID+"b", gate.Approach-1.2, w.speed())
	}
}

// led is what happens to a person whom somebody leads: they show their face
// between the leaves, and are gone once they are out on either side.
func (w *Traveller) led() (gone bool) {
	x, _ := w.Gate.Position(w.ID)
	if w.inside = x > gate.EntryPlane && x < gate.ExitPlane; w.inside && x > 0.3 {
		w.Pose()
	}
	return x >= gate.ExitPlane+1.3 || x <= gate.Approach-1.4
}

// sets says whether the person sets off, inwards or outwards, once the leaf is
// open: a slow one takes their time.
func (w *Traveller) sets(ctx context.Context, off int) (bool, error) {
	if w.Script != "slow" || w.rested[off] {
		return true, nil
	}
	w.rested[off] = true
	if !Pause(ctx, rest) {
		return false, ctx.Err()
	}
	return false, nil // and looks again whether it is still open
}

// look is what a person does about what they see: one thing at a time.
func (w *Traveller) look(ctx context.Context) (done bool, err error) {
	screen := w.Screen()
	g := w.Gate
	x, _ := g.Position(w.ID)
	entry, exit := g.Leaves()
	w.inside = x > gate.EntryPlane && x < gate.ExitPlane
	if w.inside && x > 0.3 {
		w.Pose()
	}
	switch {
	case w.Script == "slow" && screen == "S2" && !w.asked && w.More != nil:
		w.asked = true
		return false, w.More(ctx)
	case x >= gate.ExitPlane+1.3:
		return true, nil
	case !w.inside && x >= gate.ExitPlane:
		g.Walk(w.ID, gate.Beyond, w.speed())
	case screen == "S3" && w.Script == "forget" && !w.inside:
	case screen == "S3" && entry < 80 && !w.inside:
		if !Pause(ctx, Reaction) {
			return true, ctx.Err()
		}
		return false, w.Take()
	case !w.inside && entry >= 80 && !w.back && x < gate.EntryPlane:
		if off, err := w.sets(ctx, 0); !off {
			return err != nil, err
		}
		g.Walk(w.ID, gate.Marks, w.speed())
		if w.Script == "tailgate" {
			g.Walk(w.ID+"b", gate.Marks-0.4, w.speed())
		}
	case (screen == "S11" || screen == "S13" || w.back) && !w.inside && x < gate.EntryPlane:
		if !Pause(ctx, Reaction) {
			return true, ctx.Err()
		}
		g.Walk(w.ID, gate.Approach-1.5, 1.3)
		return true, w.Take()
	case w.inside && w.Script == "turn_back" && exit >= 80 && !w.back:
		return false, nil // changes their mind and stands still
	case w.inside && exit >= 80:
		if off, err := w.sets(ctx, 1); !off {
			return err != nil, err
		}
		if w.Script == "bag" && !w.acted {
			w.acted = true
			g.AddBag("bag", 1)
		}
		g.Walk(w.ID, gate.Beyond, w.speed())
	case w.inside && screen == "S13":
		w.turn() // out by the leaf that the gate has freed
	case w.inside && entry >= 60 && (screen == "S11" || screen == "S12" || screen == "S13" || screen == "S7"):
		w.turn()
	case w.inside && screen == "S5" && w.Script == "help" && !w.acted:
		w.acted = true
		return false, w.Help(ctx)
	case w.inside && screen == "S5" && w.Script == "fire" && !w.acted:
		w.acted = true
		g.Inject("fire", 0)
		time.AfterFunc(9*time.Second, func() { g.Clear("fire") })
	case (screen == "S1" || screen == "S12") && !w.inside && time.Since(w.began) > 8*time.Second:
		return true, w.Take()
	}
	return false, nil
}

// Package commission takes a lane into service: it finds the devices, writes the
// configuration that they work with, runs a site acceptance test step by step,
// and reports it.
package commission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"passage/drivers/gate"
	"passage/kiosk/config"
)

// Result is how a step ended. An officer's work is a warning: the lane works,
// people have more to do.
type Result string

// Results of a step.
const (
	Pass Result = "pass"
	Warn Result = "warn"
	Fail Result = "fail"
	Skip Result = "skip"
)

// Outcome is what a step measured, and what to do where it is not good.
type Outcome struct {
	Result   Result `json:"result"`
	Measured string `json:"measured"`
	Todo     string `json:"todo,omitempty"`
}

func pass(format string, args ...any) Outcome {
	return Outcome{Result: Pass, Measured: fmt.Sprintf(format, args...)}
}

func fail(todo, format string, args ...any) Outcome {
	return Outcome{Result: Fail, Measured: fmt.Sprintf(format, args...), Todo: todo}
}

// Step is one step of the test.
type Step struct {
	ID     string // names the step in an earlier report and for --again
	Title  string
	Expect string
	Person bool // somebody must do or say something
	do     func(context.Context, *Site) Outcome
}

// Person is whoever stands at the lane.
type Person interface {
	Name() string
	// Ready is asked before a step that needs somebody; false leaves it out.
	Ready(ctx context.Context, s Step) (bool, error)
	// Act says what to do now. It returns at once: the lane's own sensors tell
	// whether it is done.
	Act(ctx context.Context, a Act) error
	// Confirm asks what only people can tell.
	Confirm(ctx context.Context, id, question string) (yes bool, note string, err error)
}

// Act is something that a person does.
type Act string

// Acts, each with the words for it in Words.
const (
	WalkIn      Act = "walk_in"
	WalkOut     Act = "walk_out"
	WalkBack    Act = "walk_back"
	PutBag      Act = "put_bag"
	TakeBag     Act = "take_bag"
	Two         Act = "two"
	Wheel       Act = "wheel_in"
	WheelOut    Act = "wheel_out"
	FireOn      Act = "fire_on"
	FireOff     Act = "fire_off"
	DocumentOn  Act = "document_on"
	DocumentOff Act = "document_off"
	Leave       Act = "leave"
)

// Words are the acts as somebody is told them.
var Words = map[Act]string{
	WalkIn: "Walk in when the entry opens, and stand on the marks.", WalkOut: "Walk out when the exit opens, and away from it.",
	WalkBack: "Walk back out when the entry opens.", PutBag: "Put a bag on the floor between the leaves, and leave it there.",
	TakeBag: "Take the bag out.", Two: "Two persons walk in close behind one another, and stand inside.",
	Wheel:    "Go in with a wheelchair, or at its pace with a trolley, and stay on the marks.",
	WheelOut: "Go out with it at the same pace.", FireOn: "Trigger the fire alarm's contact, or have it triggered.",
	FireOff: "Reset the fire alarm's contact.", DocumentOn: "Lay the test document on the reader.", DocumentOff: "Take the test document away.",
	Leave: "Leave the lane on the side that is open.",
}

// Site is a lane under test.
type Site struct {
	Conf   config.Config
	Path   string // of its configuration
	Person Person
	// Line opens the gate's line.
	Line func() (Line, error)
	Log  *slog.Logger

	bench  *bench
	reader *reading
	from   int // the first sample of the step under way
}

// Line is a serial line that can be closed.
type Line interface {
	gate.Line
	Close() error
}

// Steps are all steps for a configuration, in their order.
func Steps(c config.Config) []Step {
	list := append(deviceSteps(c), gateSteps(c)...)
	return append(list, peopleSteps(c)...)
}

// Run runs the steps of s that r has not passed yet, and tells after each: a
// test that was interrupted goes on where it was, and what failed is done again.
// It ends with the gate closed and the line free. An error is none of the
// lane's: nobody answers any more, or ctx has ended.
func (s *Site) Run(ctx context.Context, r *Report, steps []Step, tell func(*Report, *Done) error) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	r.begin(steps)
	for i, step := range steps {
		d := &r.Steps[i]
		if d.Result == Pass || d.Result == Warn {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		*d = Done{No: i + 1, ID: step.ID, Title: step.Title, Expect: step.Expect, Person: step.Person, Who: s.Person.Name(), At: time.Now()}
		if step.Person {
			go_, err := s.Person.Ready(ctx, step)
			if err != nil {
				return err
			}
			if !go_ {
				d.Outcome = Outcome{Skip, "left out", "run the test again: what was passed is kept"}
				if err := tell(r, d); err != nil {
					return err
				}
				continue
			}
		}
		if s.bench != nil {
			s.from = s.bench.length()
		}
		began := time.Now()
		d.Outcome = step.do(ctx, s)
		d.Seconds = time.Since(began).Seconds()
		if ctx.Err() != nil {
			d.Outcome = Outcome{} // interrupted, which says nothing of the lane
			return ctx.Err()
		}
		if s.bench != nil {
			d.Trace = s.bench.since(s.from)
		}
		if err := tell(r, d); err != nil {
			return err
		}
	}
	return nil
}

// close gives gate and reader back.
func (s *Site) close() error {
	var err error
	if s.bench != nil {
		err = s.bench.close()
		s.bench = nil
	}
	if s.reader != nil {
		err = errors.Join(err, s.reader.close())
		s.reader = nil
	}
	return err
}

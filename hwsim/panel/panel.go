// Package panel puts hands on simulated lanes. A person of the catalogue, or one
// somewhat like them, is dropped into a lane and follows its prompts, or is led;
// whatever can break is broken by a word; what went over the wires is read in
// the protocols' own terms; and what was done is written down as a scenario,
// which is a text, and a test when it is played again.
//
// Everything is one small language of words (Verbs): a page's buttons, an
// integrator's scripts over HTTP, a terminal and the lines of a scenario all say
// the same. The panel touches what a person beside a lane could touch, and what
// the devices are made of. It tells the lane nothing.
package panel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/people"
	"passage/hwsim/persona"
	"passage/kiosk/pages"
)

// Site is the lane that hands are laid on. Of its functions those may be nil
// that say so: the site has no such thing.
type Site struct {
	Name      string
	Direction string // entry, exit
	Gate      *gate.Gate
	People    []persona.Persona
	// Card makes p's document; i is the place in People that the portrait
	// belongs to.
	Card func(p persona.Persona, i int) (*passport.Card, error)
	// Put lays a document on the reader. take takes it back; it may be called
	// more than once.
	Put func(ctx context.Context, card *passport.Card) (take func() error, err error)
	// Pose says whose faces are before the camera, by place in People.
	Pose func(by camera.Instrument, who ...int)
	// Camera gives the camera a fault, or none: "".
	Camera func(fault string)
	// Seen is what the lane's screens show.
	Seen func() Seen
	// Help presses the help button, MoreTime the one for more time.
	Help, MoreTime func(ctx context.Context) error

	// Turn waits until the lane is free and keeps it so until done is called;
	// Expect tells the officers whose script they follow. Both may be nil.
	Turn   func(ctx context.Context) (done func(), err error)
	Expect func(p persona.Persona)

	Picture  func() ([]byte, bool)                                    // what the camera sees, a JPEG; may be nil
	Garbage  func() error                                             // the MRZ reader sends nonsense; may be nil
	Register func(what, fault string)                                 // may be nil: it is somebody else's
	Know     func(ctx context.Context, p persona.Persona) error       // the register gets to know p; may be nil
	Records  func(ctx context.Context) (int, error)                   // that the register has; may be nil
	Decide   func(ctx context.Context, decision, reason string) error // an officer's word on the case; may be nil
	Order    func(ctx context.Context, order string) error            // an officer's order; may be nil
}

// Seen is what a lane tells people by its own pages.
type Seen struct {
	Screen string   `json:"screen"` // the traveller's, S1 to S15; "" for no lane
	State  string   `json:"state"`  // the lane's, as its officers read it
	Reason string   `json:"reason,omitempty"`
	Unfit  []string `json:"unfit,omitempty"`
	Alerts []string `json:"alerts,omitempty"`
	// Last is the newest ended crossing: its UUID, and the reason that was
	// written down.
	Last       string  `json:"-"`
	LastReason string  `json:"-"`
	LastTook   float64 `json:"-"` // seconds
}

// Ended is what became of a person.
type Ended struct {
	Persona  string  `json:"persona"`
	Name     string  `json:"name"`
	Outcome  string  `json:"outcome"` // by the gate's own truth
	Reason   string  `json:"reason"`  // as the lane wrote it down
	Seconds  float64 `json:"seconds,omitempty"`
	Expected string  `json:"expected,omitempty"` // by the catalogue, if the person was as there and by themselves
}

// String is outcome and reason.
func (e Ended) String() string { return strings.TrimSpace(e.Outcome + " " + e.Reason) }

// The persons in a lane, as Walk and Look call them.
const (
	traveller = "traveller"
	second    = "second"
	bag       = "bag"
)

// Lane is a lane under somebody's hands.
type Lane struct {
	Site
	trace   trace
	streams pages.Streams

	doing sync.Mutex // one word at a time
	walks sync.WaitGroup

	mu      sync.Mutex
	ctx     context.Context // while Run runs
	who     *present
	beside  int  // the second person's place in People
	posed   bool // by a word, not by the script
	byHand  bool // officers decide nothing by themselves
	copies  int
	faults  map[string]string // of camera and register, that a word has set
	problem string
	ended   []Ended
	came    int // persons so far
	records int // of the register, when the scenario began
	tape    *tape
	play    *Progress
	halt    context.CancelFunc

	truthMu sync.Mutex // never held while the gate is asked
	truth   []gate.Record
}

// present is the person in the lane.
type present struct {
	persona.Persona
	i       int
	edited  bool
	steered bool
	led     bool // was steered at any time
	laid    bool
	card    *passport.Card
	take    func() error
	stop    context.CancelFunc
	gone    chan struct{}
}

// New returns a lane that nobody is in.
func New(s Site) *Lane {
	l := &Lane{Site: s, faults: map[string]string{}, beside: -1}
	s.Gate.Listen(func(r gate.Record) {
		l.truthMu.Lock()
		defer l.truthMu.Unlock()
		l.truth = append(l.truth, r)
		if n := len(l.truth); n > 2000 { // nobody is that long in a lane
			l.truth = slices.Clone(l.truth[n-1000:])
		}
	})
	s.Gate.Tap(l.trace.frame)
	return l
}

// Run lets people in until ctx ends, and sends away who is there then.
func (l *Lane) Run(ctx context.Context) error {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	<-ctx.Done()
	l.mu.Lock()
	l.ctx = nil
	l.mu.Unlock()
	l.walks.Wait()
	return nil
}

// ByHand says that officers are to leave decisions and orders to the panel.
func (l *Lane) ByHand() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byHand
}

// Duty is whose script the officers follow, and false while they are to leave
// everything to the panel.
func (l *Lane) Duty() (p persona.Persona, theirs bool) {
	p, _ = l.Present()
	return p, !l.ByHand()
}

// Present is the person in the lane.
func (l *Lane) Present() (p persona.Persona, here bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.who == nil {
		return persona.Persona{}, false
	}
	return l.who.Persona, true
}

// find returns a person's place in the catalogue.
func (l *Lane) find(id string) (int, error) {
	i := slices.IndexFunc(l.People, func(p persona.Persona) bool { return strings.EqualFold(p.ID, id) })
	if i < 0 {
		return 0, fmt.Errorf("panel: nobody is %q", id)
	}
	return i, nil
}

// come lets a person come, with changes as persona's Edit takes them, and lay
// their document down. A steered one then does what they are told, any other
// follows the prompts.
func (l *Lane) come(ctx context.Context, id string, changes []string, steered bool) error {
	i, err := l.find(id)
	if err != nil {
		return err
	}
	p, err := l.People[i].Edit(changes...)
	if err != nil {
		return err
	}
	if p.Lane != l.Direction {
		return fmt.Errorf("panel: %s goes through an %s lane, and this is an %s lane: add lane=%s to send them here", p.ID, p.Lane, l.Direction, l.Direction)
	}
	if len(changes) > 0 {
		l.mu.Lock()
		l.copies = l.copies%9999 + 1
		p.Copy = l.copies
		l.mu.Unlock()
		if l.Know != nil {
			if err := l.Know(ctx, p); err != nil {
				return err
			}
		}
	}
	card, err := l.Card(p, i)
	if err != nil {
		return err
	}
	if err := l.away(ctx); err != nil { // who is there goes first
		return err
	}
	done := func() {}
	if l.Turn != nil {
		if done, err = l.Turn(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		done()
		return errors.New("panel: the lane is closing down")
	}
	if l.Expect != nil {
		l.Expect(p)
	}
	x := &present{Persona: p, i: i, edited: len(changes) > 0, steered: steered, led: steered, card: card, gone: make(chan struct{})}
	walk, stop := context.WithCancel(l.ctx)
	x.stop, l.who, l.problem, l.posed = stop, x, "", false
	l.came++
	l.truthMu.Lock()
	l.truth = nil
	l.truthMu.Unlock()
	for what, fault := range p.Fault {
		l.register(what, fault)
	}
	was := l.Seen().Last
	l.walks.Go(func() {
		defer done()
		l.walk(walk, x, was)
	})
	return nil
}

// walk is a person's stay in the lane. was is the crossing that had ended
// before.
func (l *Lane) walk(ctx context.Context, x *present, was string) {
	defer close(x.gone)
	defer x.stop()
	l.trace.card(x.card)
	w := &people.Traveller{
		ID: traveller, Script: x.Script, Gate: l.Gate,
		Screen: func() string { return l.Seen().Screen },
		Lay: func() error {
			take, err := l.Put(ctx, x.card)
			if err == nil {
				l.mu.Lock()
				x.take, x.laid = take, true
				l.mu.Unlock()
			}
			return err
		},
		Take: func() error { return l.takeBack(x) },
		Pose: func() { l.pose(x) },
		Help: l.Help,
		More: l.MoreTime,
		Steered: func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return x.steered
		},
	}
	through, err := w.Walk(ctx)
	l.Gate.Remove(second)
	l.Pose(camera.Genuine)
	a := people.Appear(x.Script)
	l.mu.Lock()
	if a.Fault != "" && l.faults["camera"] == "" {
		l.Camera("")
	}
	for what := range x.Fault {
		if l.faults["register."+what] == "" {
			l.register(what, "")
		}
	}
	l.beside, l.posed = -1, false
	l.mu.Unlock()
	l.truthMu.Lock()
	e := Ended{Persona: x.ID, Name: x.Name[1] + " " + x.Name[0], Outcome: gate.Outcome(l.truth, traveller)}
	l.truthMu.Unlock()
	if !through && ctx.Err() == nil && err == nil {
		err = fmt.Errorf("panel: %s is still in the lane after minutes", x.ID)
	}
	// The lane ends a crossing when its leaves have shut.
	for end := time.Now().Add(40 * time.Second); through && ctx.Err() == nil && time.Now().Before(end); people.Pause(ctx, 50*time.Millisecond) {
		if s := l.Seen(); s.Last != was {
			e.Reason, e.Seconds = s.LastReason, s.LastTook
			break
		}
	}
	if e.Outcome == "released" {
		e.Reason = "" // why an officer was asked
	}
	if !x.edited && !x.led {
		e.Expected = strings.TrimSpace(x.Outcome + " " + x.Reason)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.who == x {
		l.who = nil
	}
	if err != nil && ctx.Err() == nil {
		l.problem = err.Error()
	}
	if through {
		l.ended = append(l.ended, e)
		if n := len(l.ended); n > 50 {
			l.ended = slices.Clone(l.ended[n-20:])
		}
	}
}

// register gives the register a fault; l.mu is held.
func (l *Lane) register(what, fault string) {
	if l.Register != nil {
		l.Register(what, fault)
	}
}

func (l *Lane) takeBack(x *present) error {
	l.mu.Lock()
	take := x.take
	x.laid = false
	l.mu.Unlock()
	if take == nil {
		return nil
	}
	return take()
}

// pose shows whoever stands before the camera to it.
func (l *Lane) pose(x *present) {
	at, two := l.Gate.Position(second)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.posed {
		return
	}
	a := people.Appear(x.Script)
	var who []int
	for _, f := range a.Faces {
		who = append(who, (x.i+5*f)%len(l.People))
	}
	if two && l.beside >= 0 && at > 0.3 && at < gate.ExitPlane {
		who = append(who, l.beside)
	}
	if a.Fault != "" && l.faults["camera"] == "" {
		l.Camera(a.Fault)
	}
	l.Pose(a.By, who...)
}

// away sends away who is there, and waits for it.
func (l *Lane) away(ctx context.Context) error {
	l.mu.Lock()
	x := l.who
	l.mu.Unlock()
	if x == nil {
		return nil
	}
	x.stop()
	select {
	case <-x.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// here is the person in the lane, whom from now on somebody leads if lead is
// true.
func (l *Lane) here(lead bool) (*present, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.who == nil {
		return nil, errors.New("panel: nobody is in the lane: send somebody, or lay a document down")
	}
	if lead {
		l.who.steered, l.who.led = true, true
	}
	return l.who, nil
}

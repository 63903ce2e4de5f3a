package kiosk

import (
	"context"
	"slices"
	"time"

	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// Alert is a call for an officer.
type Alert struct {
	ID       int
	At       time.Time
	Kind     lane.AlertKind
	Priority lane.Priority
	By       string // who acknowledged it
	// Again counts the people after the first for whom it came while nobody had
	// acknowledged it, Last is when it last did.
	Again int
	Last  time.Time

	about lane.Transaction // the last of them
}

// Recent is an ended crossing as the page lists it: no name, no face.
type Recent struct {
	UUID     string
	At       time.Time
	Class    lane.TravellerClass
	Outcome  lane.Outcome
	Reason   lane.Reason
	Took     time.Duration
	Timeline []Span
}

// View is a consistent picture of the lane for its pages.
type View struct {
	Config     Config
	State      lane.State
	Now        lane.Instant
	Since      time.Time
	Gate       GateDetail
	Unfit      map[lane.Health]string
	Notices    []string
	Registers  bool // those that every traveller needs answered at the last look
	Officers   map[string]time.Time
	Alerts     []Alert
	Recent     []Recent
	Counts     map[string]int
	Crossing   *Crossing
	Unhurried  bool  // the traveller has asked for more time
	Signatures uint8 // officers needed for a release now; 0 if not allowed
	Signed     []string
	Steps      Steps
}

// Crossing is the crossing under way, for a signed-in officer.
type Crossing struct {
	UUID     string
	Began    time.Time
	Class    lane.TravellerClass
	Identity Identity
	Document policy.Document
	Checks   []CheckResult
	Access   string
	Answers  [lane.Checks]DBAnswer
	Stay     Stay
	Face     FaceResult
	Prompt   Prompt
	Reminded bool
	Spans    []Span
}

// State returns the lane's state.
func (s *Shell) State() lane.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Direction is what the lane serves now.
func (s *Shell) Direction() policy.Direction {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy().Direction
}

// Serving says whether there is a traveller of whom the lane holds something.
func (s *Shell) Serving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pax != nil
}

// View returns what the pages show.
func (s *Shell) View() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := View{
		Config: s.cfg, State: s.state, Now: s.now(), Since: s.phaseAt, Gate: s.gate,
		Registers: s.dev.Register.Known(context.Background()), Unfit: map[lane.Health]string{}, Officers: map[string]time.Time{}, Counts: map[string]int{},
		Alerts: slices.Clone(s.alerts), Recent: slices.Clone(s.recent), Steps: s.steps.summary(),
	}
	v.Config.Policy = s.policy()
	v.Unhurried = s.state.Unhurried || s.pax == nil && time.Since(s.wished) < wishFor
	for k, w := range s.why {
		v.Unfit[k] = w
	}
	if s.dev.Notices != nil {
		v.Notices = s.dev.Notices()
	}
	for k, t := range s.lease {
		v.Officers[k] = t
	}
	for k, n := range s.counts {
		v.Counts[k] = n
	}
	for officer := range s.signed {
		v.Signed = append(v.Signed, officer)
	}
	slices.Sort(v.Signed)
	if p := s.pax; p != nil {
		v.Crossing = &Crossing{
			UUID: p.uuid, Began: p.began, Class: p.class, Identity: p.found.Identity, Document: p.found.Document,
			Checks: p.found.Checks, Access: p.found.Access,
			Answers: p.answers, Stay: p.stay, Face: p.face, Prompt: p.prompt, Reminded: p.reminded, Spans: slices.Clone(p.spans),
		}
		v.Signatures = lane.Signatures(s.state.Vector, v.Now, s.cfg.Rules)
	}
	return v
}

// Face returns a copy of a picture of the crossing under way: "chip" or
// "live".
func (s *Shell) Face(uuid, which string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pax
	if p == nil || p.uuid != uuid {
		return nil, false
	}
	var picture []byte
	switch which {
	case "chip":
		picture = p.portrait.JPEG
	case "live":
		picture = p.face.JPEG
	}
	return slices.Clone(picture), len(picture) > 0
}

// Watched says whether the traveller's screen may show their own picture: while
// they stand before the camera and until the lane has decided.
func Watched(p lane.Phase) bool {
	return p == lane.Inside || p == lane.Decide || p == lane.WaitDB || p == lane.Review
}

// Preview gives the traveller's own picture until ctx ends or the lane has
// decided.
func (s *Shell) Preview(ctx context.Context, show func(jpeg []byte) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if !Watched(s.State().Phase) {
		return nil
	}
	return s.dev.Vision.Preview(ctx, func(jpeg []byte) error {
		if !Watched(s.State().Phase) {
			stop()
			return nil
		}
		return show(jpeg)
	})
}

// Watch returns a channel that gets a token after changes, many changes to
// one token, until ctx ends.
func (s *Shell) Watch(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	s.watch[c] = struct{}{}
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watch, c)
	})
	return c
}

func (s *Shell) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// alertsKept is how many alerts a lane shows: more than there are kinds.
const alertsKept = 50

// raise adds an alert; one of its kind that nobody has acknowledged is kept until
// somebody does, and says for how many people it came.
func (s *Shell) raise(x lane.Transaction, k lane.AlertKind, p lane.Priority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	stands := slices.IndexFunc(s.alerts, func(a Alert) bool { return a.Kind == k && a.By == "" })
	if stands >= 0 && s.alerts[stands].about == x {
		return
	}
	s.log.Warn("alert", "transaction", uint32(x), "kind", k.String(), "priority", p.String())
	if stands >= 0 {
		a := &s.alerts[stands]
		a.Again, a.Last, a.about = a.Again+1, now, x
		return
	}
	s.alertN++
	s.alerts = append(s.alerts, Alert{ID: s.alertN, At: now, Kind: k, Priority: p, Last: now, about: x})
	if i := slices.IndexFunc(s.alerts, func(a Alert) bool { return a.By != "" }); i >= 0 && len(s.alerts) > alertsKept {
		s.alerts = slices.Delete(s.alerts, i, i+1)
	}
}

// remember keeps the last crossings for the page. The lock is held.
func (s *Shell) remember(uuid string, e Ended) {
	s.counts[e.Outcome.String()]++
	s.recent = append(s.recent, Recent{uuid, e.At, e.Class, e.Outcome, e.Reason, e.Took, e.Timeline})
	if len(s.recent) > 20 {
		s.recent = slices.Delete(s.recent, 0, len(s.recent)-20)
	}
}

// Steps sums up how long the last steps took, from an event's arrival to the
// hand-over of its effects.
type Steps struct {
	Count    uint64
	P50, P99 time.Duration
}

// stepTimes keeps the durations of the last steps.
type stepTimes struct {
	count uint64
	last  [stepsKept]time.Duration
}

func (t *stepTimes) add(d time.Duration) {
	t.last[t.count%stepsKept] = d
	t.count++
}

func (t *stepTimes) summary() Steps {
	n := min(t.count, stepsKept)
	if n == 0 {
		return Steps{}
	}
	sorted := slices.Clone(t.last[:n])
	slices.Sort(sorted)
	return Steps{t.count, sorted[n/2], sorted[n*99/100]}
}

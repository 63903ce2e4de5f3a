package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is how far a rollout is.
type Phase string

const (
	Running Phase = "running"
	Paused  Phase = "paused"
	Stopped Phase = "stopped" // nobody gets it any more; a signed resume goes on
	Done    Phase = "done"
)

// State is what a site keeps of a rollout. It is what Step made of it, written
// down before any lane hears of it.
type State struct {
	Phase Phase `json:"phase"`
	Stage int   `json:"stage"`
	Since int64 `json:"since"`          // Unix s, when the stage began
	Soak  int64 `json:"soak,omitempty"` // Unix s, when its lanes had taken the release; 0 before
	// Why a rollout is paused or stopped, and who has seen the alarm of one that
	// stopped by itself.
	Why       string `json:"why,omitempty"`
	Alarm     bool   `json:"alarm,omitempty"`
	Seen      string `json:"seen,omitempty"`
	Waits     string `json:"waits,omitempty"` // what the next stage waits for
	Lanes     []Lane `json:"lanes"`           // those that were given the release, in the plan's order
	Events    []Note `json:"events"`
	Forgiven  int64  `json:"forgiven,omitempty"` // Unix s of the last resume: what was wrong before it stops nothing
	Activated string `json:"activated"`          // by whom
}

// Lane is a lane that was given the release.
type Lane struct {
	ID      string `json:"id"`
	Given   int64  `json:"given"`             // Unix s
	Fit     bool   `json:"fit,omitempty"`     // it worked when it was given the release
	Taken   int64  `json:"taken,omitempty"`   // Unix s, when it had it in effect
	Bad     int64  `json:"bad,omitempty"`     // Unix s, since when it is not heard or does not work; 0 if it does
	Refused string `json:"refused,omitempty"` // why
	Waits   string `json:"waits,omitempty"`
}

// Note is something that happened to a rollout.
type Note struct {
	At   int64  `json:"at"` // Unix s
	What string `json:"what"`
	By   string `json:"by,omitempty"` // the officer; empty for the site itself
	Why  string `json:"why,omitempty"`
}

const maxNotes = 200

// Seen is a lane as the site sees it now.
type Seen struct {
	Away    bool   // not heard
	Untold  bool   // it has not said yet what it has, as after the console's start
	Broken  bool   // in FAULT or FALLBACK, or out of service though officers watch it
	Has     bool   // it has the release in effect
	Refused string // why it does not take it; empty if it does not refuse
	Waits   string // what it waits for
}

// Patience is how long a lane may be silent or out of service, as while it
// starts anew, before that counts.
const Patience = 90 * time.Second

// Start is the state of a plan that was activated.
func Start(by string, now time.Time) State {
	s := State{Phase: Running, Stage: -1, Lanes: []Lane{}, Activated: by}
	return s.note(now, "activated", by, "")
}

func (s State) note(now time.Time, what, by, why string) State {
	s.Events = append(slices.Clone(s.Events), Note{now.Unix(), what, by, why})
	if n := len(s.Events) - maxNotes; n > 0 {
		s.Events = slices.Delete(s.Events, 0, n)
	}
	return s
}

// Step is what a site does next: it writes down what the lanes have come to, and
// stops, waits, or gives the release to further lanes. digest is the plan's; a
// lane that is not in seen is not heard. Nothing but a running rollout gives the
// release to anybody, and never to more lanes than its stage permits.
func (p Plan) Step(digest string, s State, seen map[string]Seen, h Health, now time.Time) State {
	s.Lanes = slices.Clone(s.Lanes)
	for i := range s.Lanes {
		s.Lanes[i] = s.Lanes[i].look(seen, now)
	}
	s.Waits = ""
	if s.Phase != Running {
		return s
	}
	if now.Unix() > p.Until {
		return s.halt(now, "the plan has run out before all lanes had the release")
	}
	if why := p.breach(s, h, now); why != "" {
		return s.halt(now, why)
	}
	if s.Stage < 0 {
		if now.Unix() < p.From {
			s.Waits = "the plan begins at " + time.Unix(p.From, 0).UTC().Format(time.DateTime)
			return s
		}
		return p.begin(digest, s, 0, seen, now)
	}
	if s.Waits = p.waiting(s, now); s.Waits != "" {
		s.Soak = 0
		return s
	}
	if s.Soak == 0 {
		s.Soak = now.Unix()
	}
	if left := s.Soak + p.Soak - now.Unix(); left > 0 {
		s.Waits = fmt.Sprintf("watching for another %v", time.Duration(left)*time.Second)
		return s
	}
	if s.Waits = h.scarce(p.Limits); s.Waits != "" {
		return s
	}
	if s.Stage+1 < len(p.Stages) {
		return p.begin(digest, s, s.Stage+1, seen, now)
	}
	s.Phase, s.Waits = Done, ""
	return s.note(now, "done", "", "")
}

// look writes down what a lane has come to.
func (l Lane) look(seen map[string]Seen, now time.Time) Lane {
	x, heard := seen[l.ID]
	switch {
	case heard && !x.Away && !x.Broken:
		l.Bad = 0
	case l.Bad == 0:
		l.Bad = now.Unix()
	}
	if !heard || x.Away || x.Untold {
		return l // what it said last holds
	}
	l.Refused, l.Waits = x.Refused, x.Waits
	switch {
	case x.Has && l.Taken == 0:
		l.Taken = now.Unix()
	case !x.Has:
		l.Taken = 0 // its computer was replaced, or it went back by itself
	}
	return l
}

// begin gives the release to the lanes of a stage.
func (p Plan) begin(digest string, s State, stage int, seen map[string]Seen, now time.Time) State {
	s.Stage, s.Since, s.Soak = stage, now.Unix(), 0
	order := p.Order(digest)
	before := len(s.Lanes)
	for _, id := range order[before:p.Upto(stage)] {
		x, heard := seen[id]
		l := Lane{ID: id, Given: now.Unix(), Fit: heard && !x.Away && !x.Broken}
		s.Lanes = append(s.Lanes, l.look(seen, now))
	}
	return s.note(now, fmt.Sprintf("stage %d of %d: %d of %d lanes", stage+1, len(p.Stages), len(s.Lanes), len(p.Lanes)), "", "")
}

// halt stops a rollout by itself and rings.
func (s State) halt(now time.Time, why string) State {
	s.Phase, s.Why, s.Alarm, s.Seen, s.Soak = Stopped, why, true, "", 0
	return s.note(now, "stopped by itself", "", why)
}

// waiting is what keeps the stage from being watched: lanes that are heard and
// have not taken the release, or that nobody has. Lanes that were silent already
// when they were given it hold nobody up, nor do the few that the limits allow.
func (p Plan) waiting(s State, now time.Time) string {
	var late, silent []string
	taken := 0
	for _, l := range s.Lanes {
		switch {
		case l.Taken > 0:
			taken++
		case l.Refused != "": // within the limit, or it would have stopped
		case l.Bad > 0 && (!l.Fit || now.Unix()-l.Bad >= int64(Patience/time.Second)):
			silent = append(silent, l.ID)
		default:
			late = append(late, l.ID)
		}
	}
	switch {
	case len(late) > 0:
		return "not yet taken by " + names(late)
	case taken == 0 && len(silent) > 0:
		return "not heard, or broken: " + names(silent)
	case taken == 0:
		return "no lane has taken it"
	}
	return ""
}

func names(list []string) string {
	slices.Sort(list)
	if n := len(list); n > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:4], ", "), n-4)
	}
	return strings.Join(list, ", ")
}

// breach is why a rollout must stop; empty if it need not.
func (p Plan) breach(s State, h Health, now time.Time) string {
	var refused, bad []string
	fit, why := 0, ""
	for _, l := range s.Lanes {
		if l.Refused != "" && l.Given >= s.Forgiven {
			refused, why = append(refused, l.ID), l.Refused
		}
		if !l.Fit {
			continue
		}
		fit++
		if l.Bad > s.Forgiven && now.Unix()-l.Bad >= int64(Patience/time.Second) {
			bad = append(bad, l.ID)
		}
	}
	if n := len(s.Lanes); 100*len(refused) > p.Limits.Refused*n {
		return fmt.Sprintf("refused by %s: %s", names(refused), why)
	}
	if 100*len(bad) > p.Limits.Broken*fit {
		return fmt.Sprintf("%d of %d lanes that worked before are silent or out of service: %s", len(bad), fit, names(bad))
	}
	return h.breach(p.Limits)
}

// Order is what an officer may say to a rollout.
type Order string

const (
	Pause       Order = "pause"
	Resume      Order = "resume"
	Stop        Order = "stop"
	Acknowledge Order = "acknowledge"
)

// Say carries out an officer's proven order, or says why it means nothing now.
func (s State) Say(o Order, by, why string, now time.Time) (State, error) {
	switch {
	case o == Pause && s.Phase == Running:
		s.Phase, s.Why = Paused, why
	case o == Stop && (s.Phase == Running || s.Phase == Paused):
		s.Phase, s.Why = Stopped, why
	case o == Resume && (s.Phase == Paused || s.Phase == Stopped && (!s.Alarm || s.Seen != "")):
		s.Phase, s.Why, s.Alarm, s.Seen, s.Soak, s.Forgiven = Running, "", false, "", 0, now.Unix()
	case o == Acknowledge && s.Alarm && s.Seen == "":
		s.Seen = by
	case o == Resume && s.Phase == Stopped:
		return s, fmt.Errorf("%w: somebody must say first that the alarm was seen", ErrLater)
	default:
		return s, fmt.Errorf("%w: a rollout that is %s does not %s", ErrLater, s.Phase, o)
	}
	return s.note(now, map[Order]string{Pause: "paused", Stop: "stopped", Resume: "resumed", Acknowledge: "alarm seen"}[o], by, why), nil
}

// Has says whether a lane may get the release now, or may have it.
func (s State) Has(lane string) bool {
	return (s.Phase == Running || s.Phase == Done) && slices.ContainsFunc(s.Lanes, func(l Lane) bool { return l.ID == lane })
}

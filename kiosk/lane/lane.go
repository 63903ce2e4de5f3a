// Package lane decides what a two-door border-control lane does next.
//
// It is a pure function: Step(state, now, event) returns the next state and
// the effects to carry out. It performs no I/O, starts no goroutine, reads no
// clock and ranges over no map, so that a crossing can be replayed from its
// journal on another machine and the whole state space can be searched.
//
// Two rules explain most of the rest. What frees a person (close, return,
// evacuate) never waits for anything. What lets a person in (OpenExit) waits
// for everything: a complete and fresh decision, and an intent that is on disk.
//
// Events carry results, never identity: a journal of them replays after the
// traveller's data has been erased.
package lane

import (
	"errors"
	"fmt"
	"time"
)

// Instant is a monotonic time since the daemon started; 0 stands for "never"
// where a deadline is meant, so a lane's clock starts above 0.
type Instant time.Duration

// Transaction numbers one traveller's one attempt, from 1; a late answer shows
// by its number. The shell keeps which UUID a number stands for.
type Transaction uint32

// Phase is the lane's state by the name it has in the operator's manual.
type Phase uint8

// The phases in the order in which a traveller meets them, then the ones in
// which something is wrong.
const (
	OutOfService Phase = iota // doors shut, red; opens again by itself when it may
	Idle                      // green, empty, waiting for a document
	DocRead                   // chip and MRZ are being read
	Eligible                  // class, eligibility, register search
	TakeDoc                   // "take your document back"
	Enter                     // entry leaf opening or open
	Sealing                   // entry leaf closing, until closed and locked
	Inside                    // face capture
	Decide                    // the decision vector is being completed
	WaitDB                    // the same after a second: "please wait"
	Review                    // an officer decides
	Intend                    // waiting for the intent to be durable
	Release                   // exit leaf opening or open
	Clearing                  // exit leaf closing, until closed and locked
	CheckEmpty                // nobody may be left inside
	Commit                    // the crossing's record is being made durable
	DivertOut                 // neutral screen before the entry ever opened
	DivertIn                  // entry leaf open for a person who goes back
	Returning                 // entry leaf closing behind that person
	Multi                     // more than one person inside
	Luggage                   // an object and nobody inside
	Hold                      // doors shut, an officer keeps the case
	Fallback                  // the gate has freed its egress leaf by itself
	Fault                     // the gate is broken or not heard
	Evacuate                  // fire, panic or an order: out, whoever it is
	phases
)

// Rules are the lane's time limits. All must be positive.
type Rules struct {
	DocRead, Qualify           time.Duration
	TakeDocPrompt, TakeDoc     time.Duration
	Door                       time.Duration // one whole open-close cycle, see Budget
	DoorSlow                   time.Duration // the same with the leaf held for whoever asked for more time
	Inside, Decide, WaitDB     time.Duration
	ReviewAlarm, Review        time.Duration
	Intend, CheckEmpty, Commit time.Duration
	DivertOut, Multi           time.Duration
	LuggageAlarm, HoldAlarm    time.Duration
	Trapped                    time.Duration // inside without an officer's renewal
	Fresh                      time.Duration // age of the oldest answer at release
}

// DefaultRules are the times of the lane table, with the door budget of a gate
// at its factory parameters.
func DefaultRules() Rules {
	s := time.Second
	return Rules{
		DocRead: 20 * s, Qualify: 3 * s,
		TakeDocPrompt: 15 * s, TakeDoc: 30 * s,
		Door: Budget(3*s, 8*s, 3*s), DoorSlow: Budget(3*s, LongHold(8*s), 3*s),
		Inside: 25 * s, Decide: s, WaitDB: 8 * s,
		ReviewAlarm: 30 * s, Review: 60 * s,
		Intend: 2 * s, CheckEmpty: 3 * s, Commit: 2 * s,
		DivertOut: 8 * s, Multi: 20 * s,
		LuggageAlarm: 30 * s, HoldAlarm: 60 * s,
		Trapped: 120 * s, Fresh: 120 * s,
	}
}

// Budget is the longest a leaf may take to open, stay open and close without a
// reversal: 2 × open + hold + 2 × close + 1 s (ABC-LANE 1.0 §7).
func Budget(openMax, hold, closeMax time.Duration) time.Duration {
	return 2*openMax + hold + 2*closeMax + time.Second
}

// LongHold is how long a leaf stays open for a traveller who asked for more
// time: twice its usual time, as far as the gate can be told (ABC-LANE 1.0 §7).
func LongHold(hold time.Duration) time.Duration { return min(2*hold, 30*time.Second) }

// Validate reports every limit that is not positive or out of order.
func (r Rules) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"doc_read", r.DocRead},
		{"qualify", r.Qualify},
		{"take_doc_prompt", r.TakeDocPrompt},
		{"take_doc", r.TakeDoc},
		{"door", r.Door},
		{"door_slow", r.DoorSlow},
		{"inside", r.Inside},
		{"decide", r.Decide},
		{"wait_db", r.WaitDB},
		{"review_alarm", r.ReviewAlarm},
		{"review", r.Review},
		{"intend", r.Intend},
		{"check_empty", r.CheckEmpty},
		{"commit", r.Commit},
		{"divert_out", r.DivertOut},
		{"multi", r.Multi},
		{"luggage_alarm", r.LuggageAlarm},
		{"hold_alarm", r.HoldAlarm},
		{"trapped", r.Trapped},
		{"fresh", r.Fresh},
	} {
		if f.d <= 0 {
			errs = append(errs, fmt.Errorf("lane: rule %s: must be positive, not %v", f.name, f.d))
		}
	}
	if r.TakeDocPrompt >= r.TakeDoc {
		errs = append(errs, errors.New("lane: rule take_doc_prompt: must be shorter than take_doc"))
	}
	if r.DoorSlow < r.Door {
		errs = append(errs, errors.New("lane: rule door_slow: must not be shorter than door"))
	}
	if r.ReviewAlarm >= r.Review {
		errs = append(errs, errors.New("lane: rule review_alarm: must be shorter than review"))
	}
	if r.HoldAlarm >= r.Trapped {
		errs = append(errs, errors.New("lane: rule hold_alarm: must be shorter than trapped"))
	}
	return errors.Join(errs...)
}

// State is everything the lane knows. It is comparable: the search uses it as
// a map key, and replay compares it by ==.
type State struct {
	Phase       Phase
	Transaction Transaction // the current traveller's, or the last one's
	Live        bool        // Transaction has not been concluded

	Deadline Instant // when Phase gives up; 0 for never
	Prompt   Instant // when Phase raises its voice; 0 for never
	Trapped  Instant // when a person inside is let back out; 0 if nobody is

	Gate Gate // as last polled; Link is false when it is not heard

	Document bool   // something lies on the reader
	Lease    bool   // an officer is present (30 s proof)
	Closed   bool   // an officer has closed the lane
	Unfit    Health // what keeps the lane from taking a new traveller

	Vector   Vector  // the decision's inputs
	Reason   Reason  // why this traveller is diverted, reviewed or held
	Held     Cause   // who put the lane on hold
	Retried  bool    // retry_face has been used
	Opened   bool    // the gate was seen in EXIT_OPEN during this release
	Intended bool    // this transaction's intent is durable and not settled
	Freeing  bool    // a person must go back out as soon as the gate can do it
	Returned bool    // CheckEmpty comes from Returning, not from Clearing
	Keep     bool    // an officer asked to hold, or has looked at a crowd
	Spent    bool    // an intent was asked for: this transaction gets no second
	Moved    bool    // Luggage: the gate has been seen in MAINTENANCE
	Refused  Command // the gate said "later" to this; ask again when it moves

	// Unhurried: the traveller has asked for more time. Left out of a digest
	// while it is not so: journals of before it replay as they were.
	Unhurried bool `json:",omitempty"`
	// Direction is what an officer has set on a lane that can serve both; left
	// out in the same way.
	Direction Direction `json:",omitempty"`
}

// Start is the lane before it has heard anything.
func Start() State { return State{Phase: OutOfService} }

// Step returns what follows from e at now. It is total: an event that means
// nothing in s changes nothing. now never goes back.
func (r Rules) Step(s State, now Instant, e Event) (State, []Effect) {
	t := turn{r: r, s: s, now: now, e: e}
	t.observe()
	if !t.dominated() {
		t.row()
		t.consistent()
	}
	return t.s, t.fx
}

// turn is one call of Step under way.
type turn struct {
	r   Rules
	s   State
	now Instant
	e   Event
	fx  []Effect
}

// row is the transition table: one function a phase, one case a row. It is a
// switch, so that a turn stays on the stack: a lane steps ten times a second,
// and the search a hundred million times.
func (t *turn) row() {
	switch t.s.Phase {
	case OutOfService:
		t.outOfService()
	case Idle:
		t.idle()
	case DocRead:
		t.docRead()
	case Eligible:
		t.eligible()
	case TakeDoc:
		t.takeDoc()
	case Enter:
		t.enter()
	case Sealing:
		t.sealing()
	case Inside:
		t.inside()
	case Decide, WaitDB:
		t.decide()
	case Review:
		t.review()
	case Intend:
		t.intend()
	case Release:
		t.release()
	case Clearing:
		t.clearing()
	case CheckEmpty:
		t.checkEmpty()
	case Commit:
		t.commit()
	case DivertOut:
		t.divertOut()
	case DivertIn:
		t.divertIn()
	case Returning:
		t.returning()
	case Multi:
		t.multi()
	case Luggage:
		t.luggage()
	case Hold:
		t.hold()
	case Fallback:
		t.fallback()
	case Fault:
		t.fault()
	case Evacuate:
		t.evacuate()
	case phases:
	}
}

func (t *turn) do(fx ...Effect) { t.fx = append(t.fx, fx...) }

// ask sends a command to the gate and forgets what the gate refused before.
func (t *turn) ask(c Command) {
	t.s.Refused = 0
	long := false
	switch c {
	case OpenEntry, OpenExit, OpenReturn:
		long = t.s.Unhurried
	}
	t.do(Order{c, long})
}

// to enters a phase with a time limit; 0 for none.
func (t *turn) to(p Phase, limit time.Duration) {
	t.s.Phase, t.s.Deadline, t.s.Prompt, t.s.Refused, t.s.Held = p, 0, 0, 0, NotHeld
	if p != Sealing && p != Clearing && p != Returning {
		t.s.Opened = false
	}
	if p != Clearing {
		t.s.Keep = false
	}
	if limit > 0 {
		t.s.Deadline = t.now + Instant(limit)
	}
}

func (t *turn) late() bool   { return t.s.Deadline > 0 && t.now >= t.s.Deadline }
func (t *turn) prompt() bool { return t.s.Prompt > 0 && t.now >= t.s.Prompt }

// own is the time for one of the traveller's own steps.
func (t *turn) own(limit time.Duration) time.Duration {
	if t.s.Unhurried {
		return 2 * limit
	}
	return limit
}

// door is the time for a leaf that opens for a traveller to walk through.
func (t *turn) door() time.Duration {
	if t.s.Unhurried {
		return t.r.DoorSlow
	}
	return t.r.Door
}

func (t *turn) promptAfter(d time.Duration) { t.s.Prompt = t.now + Instant(d) }

// mine says whether an answer belongs to the traveller of now.
func (t *turn) mine(x Transaction) bool { return t.s.Live && x == t.s.Transaction }

// observe takes over what an event tells about the world, whatever the phase.
func (t *turn) observe() {
	s := &t.s
	switch e := t.e.(type) {
	case Started:
		if e.OpenIntent != 0 {
			// A power cut between INTENT and CROSSED: nobody knows whether
			// the traveller went, so a person must find out.
			t.do(OpenCase{e.OpenIntent, PowerCut})
		}
		s.Transaction, s.Direction = max(s.Transaction, e.Transaction), e.Direction
		if e.Waited > 0 { // a restart begins nobody's time anew
			s.Trapped = t.now + Instant(max(0, t.r.Trapped-e.Waited))
		}
	case GateSeen:
		if rises := e.Gate.Alarms &^ s.Gate.Alarms; rises != 0 {
			t.alarms(rises)
		}
		if e.Gate.neither() && !s.Gate.neither() {
			t.do(Alert{s.Transaction, AlertDoor, Urgent})
			t.ask(CloseAll) // a gate in BOOT, EVACUATE or FAULT refuses it
		}
		before := s.Gate
		s.Gate = e.Gate
		// A gate in OCCUPIED has locked somebody in: that its sensors lose them
		// for a moment, or for good, lets nobody out.
		s.Gate.Occupied = e.Gate.Occupied || e.Gate.State == GateOccupied
		switch s.Phase {
		case Enter:
			s.Opened = s.Opened || e.Gate.State == GateEntryOpen
		case DivertIn:
			if e.Gate.State == GateEntryOpen {
				s.Opened, s.Trapped = true, 0
			}
		case Release:
			s.Opened = s.Opened || e.Gate.State == GateExitOpen
		}
		s.Moved = s.Moved || (s.Phase == Luggage && e.Gate.State == GateMaintenance)
		t.limit(before)
	case GateLost:
		s.Gate = Gate{Occupied: s.Gate.Occupied, Bag: s.Gate.Bag}
	case DocumentPlaced:
		s.Document = true
	case DocumentTaken:
		s.Document = false
	case LeaseChanged:
		s.Lease = e.Held
	case HealthChanged:
		s.Unfit = e.Unfit
	case Renewed:
		t.renew()
	case TimeAsked:
		t.unhurry()
	case Answered:
		t.answered(e)
	case Intended:
		t.intended(e)
	case Ordered:
		switch e.Order {
		case OrderOpen:
			s.Closed = false
		case OrderClose:
			s.Closed = true
		case OrderMoreTime:
			t.unhurry()
		}
	}
}

// limit starts invariant 3's clock when somebody is inside, and ends it when they
// can have gone. Nobody goes through locked leaves: sensors that lose a person
// behind them for a moment, even while it runs out, don't start it anew, and a gate
// that was not heard for a moment counts as locked if it is found so. Who comes
// through an open leaf after it has run out is somebody else.
func (t *turn) limit(before Gate) {
	s := &t.s
	g := s.Gate
	shut := g.Locked() && (before.Locked() || !before.Link)
	came := g.Occupied && !before.Occupied && !shut
	leaving := s.Phase == DivertIn || s.Phase == Returning
	switch {
	case !g.Occupied && !shut:
		s.Trapped = 0
	case g.Occupied && !leaving && (s.Trapped == 0 || came && t.now >= s.Trapped):
		s.Trapped = t.now + Instant(t.r.Trapped)
	}
}

// renew is an officer's word that a person inside is being looked after.
func (t *turn) renew() {
	if t.s.Trapped > 0 {
		t.s.Trapped = t.now + Instant(t.r.Trapped)
	}
}

// unhurry gives a traveller who asks for it twice the time for their own steps,
// once, until they have gone (EN 301 549, WCAG 2.2 criterion 2.2.1); the step
// under way goes on for as long again. An open leaf keeps its time: the gate was
// told it with the command. What keeps people safe keeps its limits.
func (t *turn) unhurry() {
	s := &t.s
	if !s.Live && !s.Gate.Occupied || s.Unhurried {
		return
	}
	s.Unhurried = true
	switch s.Phase {
	case DocRead:
		s.Deadline += Instant(t.r.DocRead)
	case TakeDoc:
		s.Deadline += Instant(t.r.TakeDoc)
		if s.Prompt > 0 {
			s.Prompt += Instant(t.r.TakeDocPrompt)
		}
	case Inside:
		s.Deadline += Instant(t.r.Inside)
	}
}

// direct serves another direction from the next traveller on. Modes change only
// while the lane is empty and serves nobody (invariant 11).
func (t *turn) direct(d Direction) {
	s := &t.s
	if (s.Phase == Idle || s.Phase == OutOfService) && s.Gate.Link && s.Gate.empty() && !s.Document {
		s.Direction = d
	}
}

// answered keeps a register's answer. It has no effect of its own: all of them
// take effect in Decide, so that no door betrays a hit.
func (t *turn) answered(e Answered) {
	if !t.mine(e.Transaction) || e.Check >= Checks || t.s.Vector.Answers[e.Check] != Pending {
		return
	}
	t.s.Vector.Answers[e.Check] = e.Answer
	if t.s.Vector.Oldest == 0 {
		t.s.Vector.Oldest = t.now
	}
	if t.s.Intended && e.Answer.adverse() {
		t.do(Alert{t.s.Transaction, AlertHit, Urgent}) // too late for the door, not for the officer
	}
}

// intended notes a durable intent. One that comes when the exit may no longer
// open is voided at once: the exit was never commanded for it.
func (t *turn) intended(e Intended) {
	if t.s.Phase == Intend && t.mine(e.Transaction) {
		t.s.Intended = true
		return
	}
	if !(t.s.Intended && e.Transaction == t.s.Transaction) {
		t.do(Void(e))
	}
}

// dominated handles what comes before any phase's own rows.
func (t *turn) dominated() bool {
	s := &t.s
	switch e := t.e.(type) {
	case GateLost:
		if s.Phase != Fault {
			t.settle(LinkLost)
			t.conclude(t.outcomeBroken(), TIMEOUT)
			t.to(Fault, 0)
			t.do(Alert{s.Transaction, AlertLink, Urgent})
		}
		return true
	case Ordered:
		if e.Order == OrderEvacuate {
			if (e.Signatures >= 2 || e.OnSite) && s.Gate.Link { // a lost gate frees who is inside by itself
				t.ask(EvacuateGate)
			}
			return true
		}
		if d := e.Order.Direction(); d != Configured {
			t.direct(d)
			return true
		}
	case Pressed:
		t.do(Alert{s.Transaction, AlertHelp, Urgent})
	}
	if s.Gate.Link && s.Gate.State == GateEvacuate && s.Phase != Evacuate {
		t.settle(Evacuated)
		t.conclude(OutcomeEvacuated, FIRE)
		t.to(Evacuate, 0)
		t.do(Alert{s.Transaction, AlertEvacuate, Urgent})
		return true
	}
	if s.Trapped > 0 && t.now >= s.Trapped {
		switch s.Phase {
		case Inside, Decide, WaitDB, Review, Intend, Multi, Hold:
			// Invariant 3: nobody is kept inside without an officer's word.
			t.do(Alert{s.Transaction, AlertDwell, Urgent})
			t.void() // an intent that is durable this very instant opened nothing
			t.divertInside(TIMEOUT)
			if s.Phase != DivertIn {
				t.renew() // it frees as soon as it can, and calls again only then
			}
			return true
		}
	}
	return false
}

// consistent checks the pair of lane phase and gate state after a turn.
func (t *turn) consistent() {
	s := &t.s
	if !s.Gate.Link || permitted(s) {
		return
	}
	switch s.Gate.State {
	case GateFault:
		t.settle(GateBroken)
		t.conclude(t.outcomeBroken(), TIMEOUT)
		t.to(Fault, 0)
		t.do(Alert{s.Transaction, AlertFault, Urgent})
	case GateFallback:
		t.settle(GateFreed)
		t.conclude(t.outcomeBroken(), TIMEOUT)
		t.to(Fallback, 0)
		t.do(Alert{s.Transaction, AlertFallback, Urgent})
	case GateEntryOpen, GateExitOpen, GateEvacuate, GateBoot, GateSafe, GateReady, GateOccupied, GateMaintenance:
		if s.Phase == OutOfService && !s.Gate.Occupied || s.Phase == Hold && s.Held == ByFailure && s.Gate.Occupied {
			return // it is already what follows
		}
		t.settle(Unexpected)
		t.conclude(t.outcomeBroken(), TIMEOUT)
		if s.Gate.Occupied {
			t.holdFor(ByFailure)
		} else {
			t.rest()
		}
		t.do(Alert{s.Transaction, AlertState, Urgent})
	}
}

// Package kiosk runs one lane: it feeds the pure core of package lane with
// what the devices report, journals every step, and carries out the effects.
//
// One goroutine owns the lane's state. Everything slow runs beside it and
// comes back as an event; everything that frees a person is sent before any
// disk is waited for.
package kiosk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// Limits of the shell itself, beside the lane's own rules.
const (
	tickEvery  = 100 * time.Millisecond
	aliveFor   = 500 * time.Millisecond // a heartbeat needs a step as young as this
	leaseFor   = 30 * time.Second
	stopWithin = 4 * time.Second // of the 5 s that a clean stop may take
	stepsKept  = 200
	wishFor    = time.Minute // a wish for more time, before a document is laid down
)

// Config is what a lane is.
type Config struct {
	Lane     string // name shown to people
	Site     string
	Rules    lane.Rules
	Policy   policy.Policy
	Location *time.Location // of the crossing point; days are counted there
	// SiteKey tags document numbers for the neighbours; 32 bytes.
	SiteKey []byte
	// BothWays: an officer may set the other direction than the policy's.
	BothWays bool
	// ExitOnFailure repeats the gate's FALLBACK_MODE bit 0: a cut cable opens
	// the border. It is shown to the supervisor for as long as it holds.
	ExitOnFailure bool
}

// Devices are what a lane is made of.
type Devices struct {
	Gate       Gate
	Reader     Reader
	Vision     Vision
	Register   Register
	Neighbours Neighbours
	Store      Store
	// Notices are what an officer should know and that stops nothing; nil for
	// nothing.
	Notices func() []string
}

// Recovery is what the store remembers of an earlier process.
type Recovery struct {
	Last       lane.Transaction // highest number ever used
	OpenIntent lane.Transaction // an intent without record, void or case; 0 for none
	Direction  lane.Direction   // that an officer set last
	Closed     bool             // an officer had closed the lane
	// Inside is since when somebody has been inside without an officer's word,
	// by the wall clock; zero for nobody.
	Inside time.Time
}

// Inside finds Recovery.Inside in the events of a journal, newest first, with
// the times at which they came. It looks back for some times the limit of
// invariant 3: who came before that is overdue.
func Inside(newestFirst iter.Seq2[lane.Event, time.Time]) (since time.Time) {
	var newest time.Time
	for e, at := range newestFirst {
		if newest.IsZero() {
			newest = at
		} else if newest.Sub(at) > 10*time.Minute {
			return since
		}
		switch e := e.(type) {
		case lane.Renewed:
			return at
		case lane.Decided:
			if e.Decision == lane.DecideHold {
				return at
			}
		case lane.GateSeen:
			if e.Gate.Occupied || e.Gate.State == lane.GateOccupied {
				since = at
			} else if !e.Gate.Locked() { // behind locked leaves the sensors may have lost them
				return since
			}
		}
	}
	return since
}

// waited is how long somebody has been inside. A clock that was set back says
// nothing; one that was set forward lets them out early, by the way they came.
func (r Recovery) waited() time.Duration {
	if r.Inside.IsZero() {
		return 0
	}
	return max(1, time.Since(r.Inside))
}

// Shell runs one lane.
type Shell struct {
	cfg Config
	dev Devices
	log *slog.Logger

	start  time.Time
	events queue
	lights chan Lights
	alive  atomic.Int64 // when the last step ended, in Instant
	logged atomic.Pointer[string]
	group  *errgroup.Group
	ctx    context.Context
	orders map[lane.Command]int // how many of each were given; the loop's own

	mu     sync.Mutex // guards all below; the loop writes, pages read
	state  lane.State
	gate   GateDetail
	pax    *traveller
	unfit  lane.Health
	why    map[lane.Health]string
	lease  map[string]time.Time // officer → until
	alerts []Alert
	recent []Recent
	counts map[string]int
	alertN int
	// placedAt is when the document came to rest, phaseAt when the phase began.
	placedAt, phaseAt time.Time
	wished            time.Time // when somebody asked for more time before laying a document down
	evacuators        []vote
	watch             map[chan struct{}]struct{}
	signed            map[string]lane.Decision // officer → release signed for this case
	shown             Lights
	steps             stepTimes
}

// New returns a lane that Run starts.
func New(cfg Config, dev Devices, log *slog.Logger) *Shell {
	if dev.Neighbours == nil {
		dev.Neighbours = Alone{}
	}
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	s := &Shell{
		cfg: cfg, dev: dev, start: time.Now(),
		events: newQueue(), lights: make(chan Lights, 1), orders: map[lane.Command]int{},
		state: lane.Start(), why: map[lane.Health]string{}, lease: map[string]time.Time{},
		counts: map[string]int{}, watch: map[chan struct{}]struct{}{}, signed: map[string]lane.Decision{},
	}
	s.log = slog.New(crossingLog{log.Handler(), &s.logged})
	return s
}

// now is the lane's clock: above 0 and never going back.
func (s *Shell) now() lane.Instant { return lane.Instant(time.Since(s.start)) + 1 }

// Alive says whether the core finished a step within the last 500 ms. The
// gate's heartbeat is sent only while it did.
func (s *Shell) Alive() bool {
	return s.now()-lane.Instant(s.alive.Load()) <= lane.Instant(aliveFor)
}

// Run works the lane until ctx ends, then stops cleanly within five seconds:
// an empty lane is closed and locked; with a person inside an officer is
// called and the heartbeats end, so that the gate frees its entry.
func (s *Shell) Run(ctx context.Context, was Recovery) error {
	devices, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, work := errgroup.WithContext(devices)
	s.group, s.ctx = group, work

	s.events.put(lane.Started{Transaction: was.Last, OpenIntent: was.OpenIntent, Direction: was.Direction, Waited: was.waited()})
	if was.Closed {
		s.events.put(lane.Ordered{Order: lane.OrderClose, Signatures: 1})
	}
	group.Go(func() error { return s.runGate(work) })
	group.Go(func() error { return s.runReader(work) })
	group.Go(func() error { return s.runVision(work) })
	group.Go(func() error { return s.light(work) })
	group.Go(func() error {
		defer stop()
		return s.loop(ctx, work)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// loop is the one goroutine that steps the lane. The ends of ctx and work come
// in by the queue, like all else: it turns hundreds of times a crossing, and
// each channel that it listens to is paid for at every turn.
func (s *Shell) loop(ctx, work context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var giveUp time.Time // zero until ctx ends
	defer context.AfterFunc(ctx, func() {
		s.events.put(func() {
			s.log.Info("stopping")
			s.setUnfit(lane.UnfitStopping, "stopping")
			giveUp = time.Now().Add(stopWithin)
		})
	})()
	defer context.AfterFunc(work, func() { s.events.put(func() {}) })()
	for work.Err() == nil {
		select {
		case <-s.events.ready:
			for _, v := range s.events.take() {
				s.handle(v)
			}
		case <-tick.C:
			s.housekeep()
			s.step(lane.Tick{})
			if !giveUp.IsZero() && (s.stopped() || time.Now().After(giveUp)) {
				return context.Canceled
			}
		}
	}
	return context.Cause(work)
}

// stopped says whether a clean stop may end: the lane is empty and locked, or
// somebody is inside and the officer has been called.
func (s *Shell) stopped() bool {
	st := s.state
	if st.Gate.Occupied {
		s.raise(st.Transaction, lane.AlertHold, lane.Urgent)
		return true
	}
	return !st.Gate.Link || st.Gate.State != lane.GateReady && st.Gate.Entry == lane.LeafLocked && st.Gate.Exit == lane.LeafLocked
}

// request is an event whose sender waits to hear whether it meant anything.
type request struct {
	event lane.Event
	reply chan bool
}

func (s *Shell) handle(v any) {
	switch v := v.(type) {
	case lane.Event:
		s.step(v)
	case request:
		v.reply <- s.step(v.event)
	case func():
		v()
	}
}

// step is the only caller of the core. It returns whether anything followed.
func (s *Shell) step(e lane.Event) bool {
	began := time.Now()
	now := s.now()
	before := s.state
	after, effects := s.cfg.Rules.Step(before, now, e)
	changed := after != before || len(effects) > 0
	s.mu.Lock()
	s.state = after
	s.mu.Unlock()
	if changed {
		s.dev.Store.Append(Entry{Now: now, At: began, Event: e, Effects: effects, After: after})
		_, polled := e.(lane.GateSeen)
		silent := polled && after.Phase == before.Phase && len(effects) == 0
		if !silent && s.log.Enabled(s.ctx, slog.LevelInfo) {
			s.log.Info("step", "event", lane.Name(e), "phase", after.Phase.String(), "transaction", uint32(after.Transaction), "effects", names(effects))
		}
	}
	if after.Phase != before.Phase {
		s.entered(before, after)
	}
	if after.Unhurried && !before.Unhurried {
		s.prolong()
	}
	for _, f := range effects {
		s.carry(f)
	}
	s.alive.Store(int64(s.now()))
	if changed {
		s.mu.Lock()
		s.steps.add(time.Since(began))
		s.mu.Unlock()
		s.show()
		s.notify()
	}
	return changed
}

func names(effects []lane.Effect) []string {
	list := make([]string, len(effects))
	for i, f := range effects {
		list[i] = lane.Name(f)
		if o, ok := f.(lane.Order); ok {
			list[i] = o.Command.String()
		}
	}
	return list
}

// carry starts an effect. It never blocks.
func (s *Shell) carry(f lane.Effect) {
	switch f := f.(type) {
	case lane.Order:
		s.order(f)
	case lane.Read:
		s.begin(f.Transaction)
		s.spawn(f.Transaction, s.read)
	case lane.Qualify:
		s.spawn(f.Transaction, s.qualify)
	case lane.Capture:
		s.spawn(f.Transaction, s.capture)
	case lane.WriteIntent:
		s.writeIntent(f.Transaction)
	case lane.Record:
		began := s.sinceStart()
		s.dev.Store.Record(f.Transaction, time.Now(), func(err error) {
			s.events.put(func() { s.span("record", began, s.sinceStart()) })
			s.written(err, lane.Committed(f), f.Transaction)
		})
	case lane.Void:
		s.dev.Store.Void(f.Transaction)
	case lane.OpenCase:
		s.dev.Store.OpenCase(f.Transaction, f.Why)
		s.log.Warn("reconciliation case opened", "transaction", uint32(f.Transaction), "why", f.Why.String())
	case lane.Refer:
		s.mu.Lock()
		clear(s.signed)
		s.mu.Unlock()
	case lane.Remind:
		s.mu.Lock()
		if s.pax != nil {
			s.pax.reminded = true
		}
		s.mu.Unlock()
	case lane.Alert:
		s.raise(f.Transaction, f.Kind, f.Priority)
	case lane.Conclude:
		s.conclude(f)
	}
}

// written turns a store's completion into an event.
func (s *Shell) written(err error, ok lane.Event, x lane.Transaction) {
	if err != nil {
		s.log.Error("storage failed", "transaction", uint32(x), "error", err)
		s.events.put(lane.StorageFailed{Transaction: x})
		return
	}
	s.events.put(ok)
}

func (s *Shell) writeIntent(x lane.Transaction) {
	s.mu.Lock()
	p := s.pax
	if p == nil || p.number != x {
		s.mu.Unlock()
		s.events.put(lane.StorageFailed{Transaction: x})
		return
	}
	facts := Facts{
		UUID: p.uuid, Direction: p.policy.Direction, Class: p.class, File: p.file,
		Identity: p.found.Identity, Document: p.found.Document, Stay: p.stay, Answers: s.state.Vector.Answers, Level: "central",
	}
	began := time.Since(p.began)
	s.mu.Unlock()
	if slices.Contains(facts.Answers[:], lane.LocalCopy) {
		facts.Level = "local"
	}
	s.dev.Store.Intend(x, facts, func(err error) {
		s.events.put(func() { s.span("intent", began, s.sinceStart()) })
		s.written(err, lane.Intended{Transaction: x}, x)
	})
}

// policy is the configured one, for the direction that the lane serves now. The
// lock is held.
func (s *Shell) policy() policy.Policy {
	p := s.cfg.Policy
	switch s.state.Direction {
	case lane.TowardsEntry:
		p.Direction = policy.Entry
	case lane.TowardsExit:
		p.Direction = policy.Exit
	}
	return p
}

// order sends a command to the gate and turns its refusal into an event. An
// order whose answer got lost is given up only after a while, in which the gate
// may have carried it out and the next traveller have come. When the same
// command has been given again, the answer to the first one says nothing: taken
// for the newer one's, it would void an intent while the exit opens.
func (s *Shell) order(o lane.Order) {
	c, result := o.Command, s.dev.Gate.Order(s.ctx, o)
	s.orders[c]++
	nth := s.orders[c]
	s.group.Go(func() error {
		var err error
		select {
		case err = <-result:
		case <-s.ctx.Done():
			return nil
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrGateLost):
			// No refusal: taken for one, it would void an intent while the exit
			// opens. The loss itself is reported.
			s.log.Warn("gate lost", "command", c.String(), "error", err)
			return nil
		}
		class := lane.ClassService
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			class = refusal.Class
		}
		s.events.put(func() { // compared where orders are given
			late := s.orders[c] != nth
			s.log.Warn("gate refused", "command", c.String(), "class", class.String(), "late", late, "error", err)
			if !late {
				s.step(lane.GateRefused{Command: c, Class: class})
			}
		})
		return nil
	})
}

func (s *Shell) runGate(ctx context.Context) error {
	var last lane.Gate
	err := s.dev.Gate.Run(ctx, s.Alive, func(r GateReport) {
		if r.Lost {
			last = lane.Gate{}
			s.events.put(lane.GateLost{})
			return
		}
		s.mu.Lock()
		moved := s.gate.EntryPercent != r.Detail.EntryPercent || s.gate.ExitPercent != r.Detail.ExitPercent
		s.gate = r.Detail
		s.mu.Unlock()
		if r.Seen != last {
			last = r.Seen
			s.events.put(lane.GateSeen{Gate: r.Seen})
		} else if moved {
			s.notify()
		}
	})
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("kiosk: gate: %w", err)
}

func (s *Shell) runReader(ctx context.Context) error {
	err := s.dev.Reader.Watch(ctx, func(present bool) {
		if present {
			s.events.put(func() { s.placed(); s.step(lane.DocumentPlaced{}) })
		} else {
			s.events.put(lane.DocumentTaken{})
		}
	})
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("kiosk: reader: %w", err)
}

func (s *Shell) runVision(ctx context.Context) error {
	err := s.dev.Vision.Run(ctx, func(camera, matcher string) {
		s.events.put(func() {
			s.setUnfit(lane.UnfitCamera, camera)
			s.setUnfit(lane.UnfitMatcher, matcher)
		})
	})
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("kiosk: vision: %w", err)
}

// SetHealth tells the lane about something it depends on: why is empty when
// all is well.
func (s *Shell) SetHealth(h lane.Health, why string) {
	s.events.put(func() { s.setUnfit(h, why) })
}

func (s *Shell) setUnfit(h lane.Health, why string) {
	s.mu.Lock()
	was := s.unfit
	if why == "" {
		s.unfit &^= h
		delete(s.why, h)
	} else {
		s.unfit |= h
		s.why[h] = why
	}
	now := s.unfit
	s.mu.Unlock()
	if now != was {
		s.log.Info("health", "unfit", uint16(now), "why", why)
		s.step(lane.HealthChanged{Unfit: now})
	}
}

// Rest takes the lane out of service if it serves nobody and knows that nobody is
// in it, between one event and the next; ok says whether it did. undo gives it
// back, and closed says that an officer keeps it closed.
func (s *Shell) Rest(ctx context.Context) (undo func(), closed, ok bool) {
	if ctx.Err() != nil {
		return func() {}, false, false
	}
	answer := make(chan bool, 1)
	s.events.put(func() {
		st := s.state
		empty := st.Phase == lane.Idle || st.Phase == lane.OutOfService
		if empty = empty && !s.Serving() && st.Gate.Link && !st.Gate.Occupied; empty {
			s.setUnfit(lane.UnfitStopping, "taking a release")
		}
		closed = st.Closed
		answer <- empty
	})
	undo = func() { s.SetHealth(lane.UnfitStopping, "") }
	select {
	case ok = <-answer:
	case <-ctx.Done():
		// The lane may come to it yet: what it then does is undone after it.
		undo()
		return undo, false, false
	}
	if !ok {
		undo = func() {}
	}
	return undo, closed, ok
}

// housekeep does what only time brings about: leases end, a store fails.
func (s *Shell) housekeep() {
	now := time.Now()
	s.mu.Lock()
	for officer, until := range s.lease {
		if now.After(until) {
			delete(s.lease, officer)
		}
	}
	held := len(s.lease) > 0
	s.mu.Unlock()
	if held != s.state.Lease {
		s.step(lane.LeaseChanged{Held: held})
	}
	why := ""
	if err := s.dev.Store.Failing(); err != nil {
		why = err.Error()
	}
	s.setUnfit(lane.UnfitStorage, why)
}

// light keeps the gate's lamps at what the lane shows, newest wish only.
func (s *Shell) light(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-s.lights:
			if err := s.dev.Gate.Lights(ctx, l); err != nil && ctx.Err() == nil {
				s.log.Warn("gate lights", "error", err)
				s.mu.Lock()
				s.shown = Lights{Status: 255} // ask again with the next change
				s.mu.Unlock()
			}
		}
	}
}

func (s *Shell) show() {
	l := Lights{Status: Red}
	switch s.state.Phase {
	case lane.Idle:
		l.EntryArrow, l.Status = false, Green
	case lane.TakeDoc, lane.Enter:
		l.EntryArrow, l.Status = true, Green
	case lane.Release, lane.Clearing:
		l.ExitArrow, l.Status = true, Green
	case lane.DocRead, lane.Eligible, lane.Sealing, lane.Inside, lane.Decide, lane.WaitDB, lane.Review, lane.Intend,
		lane.CheckEmpty, lane.Commit, lane.DivertOut, lane.DivertIn, lane.Returning:
		l.Status = Amber
	}
	s.mu.Lock()
	same := l == s.shown
	s.shown = l
	s.mu.Unlock()
	if same || !s.state.Gate.Link {
		return
	}
	select {
	case <-s.lights:
	default:
	}
	s.lights <- l
}

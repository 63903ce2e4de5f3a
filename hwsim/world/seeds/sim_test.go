package seeds

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// sim is one lane and all that it deals with.
type sim struct {
	mu    sync.Mutex
	calls []func() // into the lane, once mu is free
	ctx   context.Context
	began time.Time
	text  *strings.Builder // the trace; nil for none

	dice  dice
	gate  trap
	disk  disk
	life  *life // the lane's process of now; nil while it has no power
	lives sync.WaitGroup

	now    visit
	armed  []upset
	active int // upsets that have not ended
	limit  time.Duration
	bell   chan struct{}
	uuid   string
	word   func(context.Context, *kiosk.Shell) // the officer's last
	state  lane.State
	gone   map[uint64]bool

	laidAt                   time.Time // when the document was laid down or taken
	presentAt                time.Time // when an officer said so last
	sickAt                   time.Time // when camera or models failed
	document, away, closed   bool
	chipDead, camera, models bool
	registers                kind // registerAway and so on; 0 for well
	crossings, openings      int
	steps                    int
	longest                  time.Duration
	outcomes                 [8]int
	cover                    *coverage
	violation                string
	over                     chan struct{} // closed by the first violation
}

// coverage is what the seeds have met.
type coverage struct {
	upsets [kinds][phases]int
	states map[lane.State]struct{}
}

// life is one process of the lane: what belongs to it goes with it.
type life struct {
	sim      *sim
	began    time.Time
	shell    *kiosk.Shell
	stop     context.CancelFunc
	dead     bool
	report   func(kiosk.GateReport)
	present  func(bool)
	health   func(camera, matcher string)
	queue    []write
	flight   []write
	busy     bool
	failing  error
	failedAt time.Time // since when it fails
}

// say calls into the lane when the lock is free.
func (s *sim) say(f func(*life)) {
	l := s.life
	s.calls = append(s.calls, func() { f(l) })
}

// unlock frees the lock and says what was to be said meanwhile.
func (s *sim) unlock() {
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

func (s *sim) trace(format string, args ...any) {
	if s.text != nil {
		fmt.Fprintf(s.text, "%12.6f  "+format+"\n", append([]any{time.Since(s.began).Seconds()}, args...)...)
	}
}

func (s *sim) broken(why string) {
	s.trace("BROKEN: %s", why)
	if s.violation == "" {
		s.violation = fmt.Sprintf("%s (traveller %d, lane %v, gate %v)", why, s.now.N, s.state.Phase, s.gate.State)
		close(s.over)
	}
}

func (s *sim) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

func (s *sim) outside() { s.ring() }

var rules = func() lane.Rules {
	r := lane.DefaultRules()
	r.Door = lane.Budget(3*time.Second, 5*time.Second, 3*time.Second)
	return r
}()

// start gives the lane power.
func (s *sim) start() {
	l := &life{sim: s, began: time.Now()}
	ctx, stop := context.WithCancel(s.ctx)
	l.stop = stop
	l.shell = kiosk.New(kiosk.Config{Lane: "X1", Rules: rules, Policy: policy.Default(policy.Exit)},
		kiosk.Devices{Gate: gateOf{l}, Reader: readerOf{l}, Vision: visionOf{l}, Register: registerOf{l}, Store: storeOf{l}}, slog.New(slog.DiscardHandler))
	was := s.disk.recovery(s)
	s.life = l
	s.trace("the lane starts, its last transaction %d, open intent %d", was.Last, was.OpenIntent)
	s.lives.Go(func() {
		if err := l.shell.Run(ctx, was); err != nil {
			s.mu.Lock()
			s.broken("the lane's process ended: " + err.Error())
			s.unlock()
		}
	})
}

// crash takes the lane's power; landed is a commit under way that is on disk.
func (s *sim) crash(landed bool) {
	l := s.life
	if l == nil {
		return
	}
	l.dead = true
	s.life = nil
	for _, w := range s.disk.ghost {
		w.do()
	}
	s.disk.ghost = nil
	if landed {
		for _, w := range l.flight {
			w.do()
		}
	}
	s.trace("the lane has no power")
	l.stop()
	s.after(freed, func() {
		if s.life == nil {
			s.fallback()
			s.changed()
		}
	})
}

// stepped is called with every step of the core that changed something, before
// its effects are carried out.
func (s *sim) stepped(l *life, e kiosk.Entry) {
	s.mu.Lock()
	defer s.unlock()
	if l.dead {
		return
	}
	before := s.state
	s.state = e.After
	s.steps++
	if s.text != nil {
		names := make([]string, len(e.Effects))
		for i, f := range e.Effects {
			names[i] = fmt.Sprintf("%s%v", lane.Name(f), f)
		}
		s.trace("%s %v -> %v %s", lane.Name(e.Event), e.Event, e.After.Phase, strings.Join(names, " "))
	}
	s.judge(before, e)
	if s.cover != nil {
		was := e.After
		was.Transaction, was.Vector.Oldest = 0, 0
		was.Deadline, was.Prompt, was.Trapped = 0, 0, 0
		s.cover.states[was] = struct{}{}
	}
	if e.After.Phase == before.Phase {
		return
	}
	s.ring()
	s.armed = slices.DeleteFunc(s.armed, func(u upset) bool {
		if u.Phase != e.After.Phase {
			return false
		}
		s.active++
		s.after(u.After, func() { s.upset(u) })
		return true
	})
}

// judge compares a step with the rules that no lane may break, written without
// the core's own tables.
func (s *sim) judge(before lane.State, e kiosk.Entry) {
	after := e.After
	g := after.Gate
	for _, f := range e.Effects {
		switch f := f.(type) {
		case lane.Order:
			switch f.Command {
			case lane.OpenEntry:
				if after.Document || g.Occupied || g.Bag || after.Unfit != 0 {
					s.broken("the entry was ordered open for nobody who may come in")
				}
				if s.life.failing != nil && time.Since(s.life.failedAt) > 300*time.Millisecond {
					s.broken("a traveller was let in with a disk that fails")
				}
			case lane.OpenExit:
				if g.Entry != lane.LeafLocked || !after.Live {
					s.broken("the exit was ordered open beside the entry, or for nobody")
				}
			case lane.EvacuateGate:
				if o, ok := e.Event.(lane.Ordered); !ok || o.Signatures < 2 && !o.OnSite {
					s.broken("evacuated on one word from afar")
				}
			}
		case lane.WriteIntent:
			if why := unfavourable(before, after, e); why != "" {
				s.broken("an intent was written: " + why)
			}
		case lane.Read:
			if !after.Lease || after.Unfit != 0 || after.Closed {
				s.broken("a traveller was taken without an officer, or by an unfit lane")
			}
			// The same by what is, and not by what the lane believes of it.
			const late = 300 * time.Millisecond
			switch {
			case time.Since(s.presentAt) > 30*time.Second+late:
				s.broken("a traveller was taken with nobody present")
			case (s.camera || s.models) && time.Since(s.sickAt) > late:
				s.broken("a traveller was taken by a lane that cannot see")
			}
		}
	}
	switch {
	case g.Link && g.State == lane.GateEvacuate && after.Phase != lane.Evacuate:
		s.broken("the gate evacuates and the lane does not")
	case after.Phase == lane.Idle && (g.Occupied || g.Bag || !g.Link):
		s.broken("the lane is open with somebody or something inside")
	}
}

// unfavourable says why nobody may be let through, or nothing.
func unfavourable(before, s lane.State, e kiosk.Entry) string {
	v := s.Vector
	if !s.Live || v.Oldest == 0 || e.Now-v.Oldest > lane.Instant(120*time.Second) {
		return "the answers are too old, or there are none"
	}
	d, officer := e.Event.(lane.Decided)
	if officer && (before.Phase != lane.Review || d.Decision != lane.DecideRelease || d.Transaction != s.Transaction || d.Signatures < 1) {
		return "no officer released this traveller"
	}
	if !officer && (v.Face != lane.FaceMatch || v.Confirm) {
		return "the face does not match, or an officer must confirm"
	}
	if officer && v.Face == lane.FaceAttack && d.Signatures < 2 {
		return "one officer overrode an attack"
	}
	for c := range lane.Checks {
		if !v.Demands.Has(c) {
			continue
		}
		switch a := v.Answers[c]; {
		case a == lane.Clear, a == lane.NotApplicable, a == lane.LocalCopy:
		case a == lane.Pending:
			return c.String() + " has not answered"
		case !officer:
			return c.String() + " is not clear"
		case a == lane.HitAction && (c == lane.CheckSLTD || c == lane.CheckLost):
			return "a stolen document"
		case (a == lane.HitAction || a == lane.Possible || a == lane.HitInquiry) && d.Signatures < 2:
			return "one officer overrode a hit"
		}
	}
	return ""
}

// upset breaks something.
func (s *sim) upset(u upset) {
	g := &s.gate
	s.trace("upset: %v", u)
	if s.cover != nil {
		s.cover.upsets[u.Kind][s.state.Phase]++
	}
	end := func() {}
	set := func(what *bool) { *what = true; end = func() { *what = false } }
	switch u.Kind {
	case orderLost:
		g.nextLost = true
	case answerLost:
		g.nextDeaf = true
	case orderLate:
		g.nextLate = true
	case cableCut:
		set(&g.cut)
		g.line++
		s.after(s.dice.between(ofOrder, 150*ms, 300*ms), func() {
			if g.cut {
				s.lose()
			}
		})
		s.after(freed, func() {
			if g.cut {
				s.fallback()
				s.changed()
			}
		})
		end = func() { g.cut = false; s.poll() }
	case gatePower:
		s.power(false)
		end = func() { s.power(true) }
	case gateJam:
		if g.State >= lane.GateSafe && g.State <= lane.GateFallback {
			s.free(lane.GateFault)
		}
	case gateTrip:
		s.fallback()
	case gateForced:
		g.Alarms |= lane.AlarmForced
		s.fallback()
	case fireAlarm:
		g.fire = true
		s.free(lane.GateEvacuate)
		end = func() { g.fire = false }
	case crossedLate:
		g.nextSlow = true
	case blindExit:
		g.nextBlind = true
	case cardGone:
		s.lay(false)
	case cardTwice:
		if s.document {
			s.lay(false)
			s.after(s.dice.between(ofReaction, 50*ms, 150*ms), func() { s.lay(true) })
		}
	case cardDead:
		set(&s.chipDead)
	case cameraGone:
		set(&s.camera)
		s.sick()
		end = func() { s.camera = false; s.sick() }
	case modelsGone:
		set(&s.models)
		s.sick()
		end = func() { s.models = false; s.sick() }
	case registerAway, registerOdd, registerSlow, registerMute:
		s.registers = u.Kind
		end = func() { s.registers = 0 }
	case diskFull:
		set(&s.disk.full)
	case fsyncFails:
		s.disk.failNext = true
	case fsyncSlow:
		set(&s.disk.slow)
	case powerLost, powerLanded:
		if s.life == nil {
			break
		}
		s.crash(u.Kind == powerLanded)
		u.Last += 1500 * ms
		end = s.start
	case clockJump:
		s.fit(lane.UnfitClock, "the clock is out")
		end = func() { s.fit(lane.UnfitClock, "") }
	case leaseLost:
		set(&s.away)
		u.Last += 29 * time.Second
	case wordTwice:
		if s.word != nil {
			s.speak(s.word)
		}
	case wordWrong:
		uuid := s.uuid
		s.speak(func(ctx context.Context, shell *kiosk.Shell) {
			for d := lane.DecideRelease; d <= lane.DecideReferSecondLine; d++ {
				_ = shell.Decide(ctx, anna, uuid, d, "finger", "slipped", "")
			}
			for _, o := range []lane.OfficerOrder{lane.OrderReview, lane.OrderEndEvacuate, lane.OrderClearAlarms, lane.OrderClearFaults, lane.OrderEndMaintenance, lane.OrderCloseLeaf} {
				_ = shell.Order(ctx, anna, o)
			}
		})
	case evacuateOrder:
		s.order(lane.OrderEvacuate)
	case laneClosed:
		s.closed = true
		s.order(lane.OrderClose)
		end = func() { s.closed = false; s.order(lane.OrderOpen) }
	case helpButton:
		s.say(func(l *life) {
			if l != nil {
				l.shell.Help()
			}
		})
	case kinds:
	}
	if !u.Kind.lasting() {
		u.Last = 0
	}
	s.after(u.Last+time.Duration(u.Kind)+1, func() {
		end()
		s.active--
		s.changed()
		s.ring()
	})
	s.changed()
}

func (s *sim) fit(h lane.Health, why string) {
	s.say(func(l *life) {
		if l != nil {
			l.shell.SetHealth(h, why)
		}
	})
}

// sick tells the lane how camera and models are.
func (s *sim) sick() {
	camera, models := "", ""
	s.sickAt = time.Now()
	if s.camera {
		camera = "unplugged"
	}
	if s.models {
		models = "the worker is away"
	}
	s.say(func(l *life) {
		if l != nil && l.health != nil {
			l.health(camera, models)
		}
	})
}

// lay lays the document on the reader or takes it off.
func (s *sim) lay(there bool) {
	if s.document == there {
		return
	}
	s.document, s.laidAt = there, time.Now()
	s.trace("document on the reader: %v", there)
	s.say(func(l *life) {
		if l != nil && l.present != nil {
			l.present(there)
		}
	})
}

var (
	anna = kiosk.Officer{ID: "anna", Role: "guard", OnSite: true}
	ben  = kiosk.Officer{ID: "ben", Role: "supervisor", OnSite: true}
)

// speak has an officer speak to the lane, in a goroutine of their own.
func (s *sim) speak(f func(context.Context, *kiosk.Shell)) {
	l := s.life
	if l == nil {
		return
	}
	s.lives.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, time.Second)
		defer cancel()
		f(ctx, l.shell)
	})
}

func (s *sim) order(o lane.OfficerOrder) {
	s.speak(func(ctx context.Context, shell *kiosk.Shell) { _ = shell.Order(ctx, anna, o) })
}

// day is one on which the rules of law hold.
var day = time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)

// play runs the visits in this bubble's time. It returns with everything ended.
func (s *sim) play(ctx context.Context, visits []visit) {
	time.Sleep(time.Until(day)) // virtual, and nothing moves yet
	ctx, cancel := context.WithCancel(ctx)
	s.ctx, s.began = ctx, time.Now()
	s.bell, s.over = make(chan struct{}, 1), make(chan struct{})
	s.gone, s.disk.intents = map[uint64]bool{}, map[lane.Transaction]*intent{}
	s.gate.Gate = lane.Gate{State: lane.GateSafe, Entry: lane.LeafLocked, Exit: lane.LeafLocked}
	s.dice.next(0)
	s.mu.Lock()
	s.start()
	s.unlock()
	s.lives.Go(func() { s.officer(ctx) })
	for _, v := range visits {
		if !s.visit(v) {
			break
		}
	}
	s.mu.Lock()
	if s.life != nil {
		s.life.dead = true
	}
	s.mu.Unlock()
	cancel()
	s.lives.Wait()
}

// visit is one traveller, from the closed document to the open lane. It returns
// false after a violation.
func (s *sim) visit(v visit) bool {
	if !s.until("the lane does not open", func() bool { return s.state.Phase == lane.Idle }) {
		return false
	}
	s.mu.Lock()
	s.dice.next(v.N)
	s.now, s.armed, s.word = v, slices.Clone(v.Upsets), nil
	s.limit = rules.Trapped + rules.Door + 2*time.Second
	for _, u := range v.Upsets {
		s.limit += u.Last + 5*time.Second
		if u.Kind == powerLost || u.Kind == powerLanded || u.Kind == leaseLost {
			s.limit += 2 * time.Minute
		}
	}
	s.trace("%v", v)
	s.gate.waiting = true
	s.lay(true)
	s.unlock()
	pending := false
	ok := s.until("the lane is stuck", func() bool {
		p := s.state.Phase
		mayTake := p == lane.TakeDoc && v.Habit != forgets || p != lane.TakeDoc && p != lane.Idle && p != lane.DocRead && p != lane.Eligible || s.state.Transaction == 0
		if p == lane.Idle && s.document && s.life != nil && s.life.began.After(s.laidAt) {
			mayTake = true // it was there before the lane was
		}
		if s.document && !pending && mayTake {
			pending = true
			longest := 120 * ms
			if s.dice.oneIn(30) {
				longest = 2 * time.Second
			}
			s.after(s.dice.between(ofReaction, 20*ms, longest), func() { pending = false; s.lay(false); s.ring() })
		}
		if s.gate.waiting && !s.document && p != lane.TakeDoc && p != lane.Enter && p != lane.Idle {
			s.gate.waiting = false // sent away, or the lane has closed
		}
		if p == lane.Idle && !s.document && s.gate.State == lane.GateReady {
			s.gate.waiting = false
		}
		return p == lane.Idle && !s.document && !s.state.Document && !s.gate.inside && !s.gate.waiting && s.active == 0 && s.calm()
	})
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.unlock()
	s.armed = nil
	s.count(v)
	return s.violation == ""
}

// calm says whether the disk has everything.
func (s *sim) calm() bool {
	l := s.life
	return l != nil && !l.busy && len(l.queue) == 0 && l.failing == nil
}

// count compares what the disk says of a traveller with what they did.
func (s *sim) count(v visit) {
	records, cases := 0, 0
	for _, x := range slices.Sorted(maps.Keys(s.disk.intents)) {
		i := s.disk.intents[x]
		switch i.end {
		case "record":
			records++
		case "case":
			cases++
		case "":
			s.broken("an intent has no end")
		}
		delete(s.disk.intents, x)
	}
	switch gone := s.gone[v.N]; {
	case gone && records+cases != 1:
		s.broken(fmt.Sprintf("a crossing with %d records and %d open cases", records, cases))
	case !gone && records > 0:
		s.broken("a record without a crossing")
	}
	delete(s.gone, v.N)
}

// until waits for something that a lane must reach within some minutes.
func (s *sim) until(else_ string, ok func() bool) bool {
	end := time.Now().Add(15 * time.Minute)
	for {
		time.Sleep(time.Microsecond) // whatever happens at this instant has happened
		s.mu.Lock()
		done, bad := ok(), s.violation != ""
		if !done && !bad && time.Now().After(end) {
			s.broken(fmt.Sprintf("%s: %+v, gate %+v, %d upsets", else_, s.state, s.gate.Gate, s.active))
			bad = true
		}
		s.unlock()
		if done || bad {
			return done && !bad
		}
		t := time.NewTimer(700 * ms)
		select {
		case <-s.bell:
		case <-t.C:
		case <-s.over:
		}
		t.Stop()
	}
}

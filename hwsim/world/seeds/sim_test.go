package seeds

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
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
	look   func() bool   // what play waits for; see until
	bell   chan struct{} // look said yes, or a rule is broken
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
	pictures                 [][]byte // of travellers, handed to this life of the lane
	longest                  time.Duration
	outcomes                 [8]int
	met                      *tally // nil for nobody who counts
	violation                string
}

// life is one process of the lane: what belongs to it goes with it.
type life struct {
	sim      *sim
	began    time.Time
	shell    *kiosk.Shell
	stop     context.CancelFunc
	dead     bool
	line     sync.Mutex // a driver tells what it sees from one goroutine
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

// tell is a report of the gate's driver.
func (l *life) tell(r kiosk.GateReport) {
	l.line.Lock()
	defer l.line.Unlock()
	l.report(r)
}

// unlock frees the lock and says what was to be said meanwhile. Whatever
// changed, changed under the lock: here is where people look around.
func (s *sim) unlock() {
	if s.look != nil && s.look() {
		s.ring()
	}
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
		s.ring()
	}
}

func (s *sim) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

var rules = func() lane.Rules {
	r := lane.DefaultRules()
	r.Door = lane.Budget(3*time.Second, leafHold, 3*time.Second)
	r.DoorSlow = lane.Budget(3*time.Second, lane.LongHold(leafHold), 3*time.Second)
	return r
}()

// start gives the lane power.
func (s *sim) start() {
	l := &life{sim: s, began: time.Now()}
	ctx, stop := context.WithCancel(s.ctx)
	l.stop = stop
	l.shell = kiosk.New(kiosk.Config{Lane: "X1", BothWays: true, Rules: rules, Policy: policy.Default(policy.Exit)},
		kiosk.Devices{Gate: gateOf{l}, Reader: readerOf{l}, Vision: visionOf{l}, Register: registerOf{l}, Store: storeOf{l}}, s.logger())
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

// crash takes the lane's power or its process; landed is a commit under way that
// is on disk.
func (s *sim) crash(landed bool) {
	l := s.life
	if l == nil {
		return
	}
	l.dead = true
	s.life, s.pictures = nil, nil // memory goes with the power
	for _, w := range s.disk.ghost {
		w.do()
	}
	s.disk.ghost = nil
	if landed {
		for _, w := range l.flight {
			w.do()
		}
	}
	s.trace("the lane is gone")
	l.stop()
	s.after(freed, func() {
		if s.life == nil {
			s.fallback()
			s.changed()
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
	s.bell = make(chan struct{}, 1)
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
	s.limit = rules.Trapped + rules.DoorSlow + 2*time.Second
	for _, u := range v.Upsets {
		s.limit += u.Last + 5*time.Second
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
			s.after(s.dice.between(ofReaction, 20*ms, longest), func() { pending = false; s.lay(false) })
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
	s.armed = nil
	s.count(v)
	shell := s.life.shell
	s.unlock()
	s.forgotten(shell)
	s.mu.Lock()
	defer s.mu.Unlock()
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

// until waits for something that a lane must reach within some minutes. ok is
// asked whenever something has changed, and must still say so when everything
// of that instant has happened.
func (s *sim) until(else_ string, ok func() bool) bool {
	end := time.NewTimer(15 * time.Minute)
	defer end.Stop()
	synctest.Wait() // who looks at once sees the lane before what they have just done, or after it, by chance
	s.mu.Lock()
	s.look = ok
	s.unlock()
	for {
		late := false
		select {
		case <-s.bell:
		case <-end.C:
			late = true
		}
		synctest.Wait()
		s.mu.Lock()
		done := ok()
		if !done && late && s.violation == "" {
			s.broken(fmt.Sprintf("%s: %+v, gate %+v, %d upsets", else_, s.state, s.gate.Gate, s.active))
		}
		bad := s.violation != ""
		if done || bad {
			s.look = nil
		}
		s.unlock()
		if done || bad {
			return done && !bad
		}
	}
}

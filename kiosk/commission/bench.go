package commission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"passage/drivers/gate"
	"passage/kiosk/config"
)

// Sample is the gate at one moment of a step.
type Sample struct {
	MS    int64  `json:"ms"` // since the step began
	State string `json:"state"`
	Entry int    `json:"entry"` // percent open
	Exit  int    `json:"exit"`
	Locks uint8  `json:"locks"` // bit 0 entry locked, bit 1 exit locked
	Zones uint8  `json:"zones"` // S0 to S7
}

// bench works the gate for a test, and keeps what it showed.
type bench struct {
	gate *gate.Gate
	line Line
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	alive   bool
	last    gate.Snapshot
	here    bool
	ev      gate.Evidence
	polls   []gate.Snapshot
	lost    error
	ended   error
	changed chan struct{}
}

// mostPolls bounds what a test keeps: two hours at 50 ms.
const mostPolls = 150_000

// start opens the line and works the gate until close.
func start(ctx context.Context, open func() (Line, error), c config.Config) (*bench, error) {
	line, err := open()
	if err != nil {
		return nil, err
	}
	b := &bench{line: line, alive: true, changed: make(chan struct{}), done: make(chan struct{})}
	b.gate = gate.New(line, gate.Config{
		Address: byte(c.Gate.Address), Baud: c.Gate.Baud, Map: c.Gate.Map, FallbackFrees: c.Gate.FallbackFrees, ExitOnFailure: c.Kiosk.ExitOnFailure,
		Params: gate.Params{OpenMax: c.Gate.OpenMax, CloseMax: c.Gate.CloseMax, EntryHold: c.Gate.EntryHold, ExitHold: c.Gate.ExitHold},
		Alive:  func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.alive },
		OnSnapshot: func(s gate.Snapshot, e *gate.Evidence) {
			b.tell(func() {
				b.last, b.here, b.ev, b.lost = s, true, *e, nil
				if len(b.polls) < mostPolls {
					b.polls = append(b.polls, s)
				}
			})
		},
		OnLost: func(err error) { b.tell(func() { b.here, b.lost = false, err }) },
	})
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(b.done)
		err := b.gate.Run(ctx)
		b.tell(func() { b.ended, b.here = err, false })
	}()
	return b, nil
}

func (b *bench) tell(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	close(b.changed)
	b.changed = make(chan struct{})
}

// close lets the gate close its leaves and ends.
func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if p, err := b.until(ctx, 100*time.Millisecond, func(gate.Snapshot) bool { return true }); err == nil && p.State == gate.Ready {
		_ = b.order(ctx, gate.SetMode, 0, 0) // it is locked all the same
	}
	b.stop()
	<-b.done
	return b.line.Close()
}

// beat switches the heartbeats off and on.
func (b *bench) beat(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alive = on
}

func (b *bench) length() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.polls)
}

// raw are the polls since the n-th.
func (b *bench) raw(n int) []gate.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]gate.Snapshot(nil), b.polls[min(n, len(b.polls)):]...)
}

// since are the polls from the n-th on, without those that repeat the one before.
func (b *bench) since(n int) []Sample {
	var list []Sample
	polls := b.raw(n)
	for i, p := range polls {
		s := Sample{MS: p.At.Sub(polls[0].At).Milliseconds(), State: p.State.String(), Entry: int(p.EntryPos), Exit: int(p.ExitPos), Zones: uint8(p.Zones)}
		if p.Entry == gate.ClosedLocked {
			s.Locks |= 1
		}
		if p.Exit == gate.ClosedLocked {
			s.Locks |= 2
		}
		if k := len(list); k > 1 && i < len(polls)-1 && same(list[k-1], s) && same(list[k-2], s) {
			list[k-1].MS = s.MS
			continue
		}
		list = append(list, s)
	}
	return list
}

func same(a, b Sample) bool { a.MS = b.MS; return a == b }

// errNever says that the gate did not do what a step waited for.
var errNever = errors.New("the gate did not")

// until waits for a poll that ok likes.
func (b *bench) until(ctx context.Context, within time.Duration, ok func(gate.Snapshot) bool) (gate.Snapshot, error) {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		b.mu.Lock()
		s, here, changed, ended, lost := b.last, b.here, b.changed, b.ended, b.lost
		b.mu.Unlock()
		if ended != nil {
			return s, ended
		}
		if here && ok(s) {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, ctx.Err()
		case <-end.C:
			if lost != nil {
				return s, lost
			}
			return s, fmt.Errorf("%w within %v: it is %v, entry %v, exit %v%s", errNever, within, s.State, s.Entry, s.Exit, troubles(s))
		}
	}
}

// troubles are a poll's alarms and faults in words.
func troubles(s gate.Snapshot) string {
	text := ""
	if s.Alarms != 0 {
		text += fmt.Sprintf(", alarms %v", s.Alarms)
	}
	if s.Faults != 0 {
		text += fmt.Sprintf(", faults %v", s.Faults)
	}
	return text
}

func (b *bench) state(ctx context.Context, within time.Duration, want gate.State) (gate.Snapshot, error) {
	return b.until(ctx, within, func(s gate.Snapshot) bool { return s.State == want })
}

func (b *bench) evidence() (walked, crossed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ev.Walked(), b.ev.Crossed()
}

// order gives a command and waits for its result.
func (b *bench) order(ctx context.Context, c gate.Code, arg0, arg1 uint16) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	select {
	case err := <-b.gate.Order(ctx, gate.Command{Code: c, Arg0: arg0, Arg1: arg1}):
		b.mu.Lock()
		defer b.mu.Unlock()
		if text := troubles(b.last); err != nil && text != "" {
			err = fmt.Errorf("%w%s", err, text)
		}
		return err
	case <-b.done:
		return b.ended
	}
}

// rest brings the gate back to SAFE_CLOSED, whatever a step left: people are let
// out by the entry, alarms and faults are cleared where their cause is gone.
func (b *bench) rest(ctx context.Context) error {
	var s gate.Snapshot
	var err error
	for range 12 {
		if s, err = b.until(ctx, 25*time.Second, func(s gate.Snapshot) bool {
			return s.State != gate.Boot && (s.State == gate.SafeClosed || s.Watchdog == 1)
		}); err != nil {
			return err
		}
		switch {
		case s.Faults != 0:
			_ = b.order(ctx, gate.ClearFault, 0xFFFF, 0) // the next poll tells
		case s.State == gate.SafeClosed && s.Occupied():
			_ = b.order(ctx, gate.OpenReturn, 0, 0)
		case s.Alarms != 0 && s.State != gate.EntryOpen && s.State != gate.ExitOpen && b.order(ctx, gate.ClearAlarm, 0xFFFF, 0) == nil:
		case s.State == gate.SafeClosed && s.Alarms&gate.BlockingAlarms == 0:
			return nil
		case s.State == gate.EntryOpen, s.State == gate.ExitOpen:
			_, _ = b.until(ctx, 20*time.Second, func(now gate.Snapshot) bool { return now.State != s.State })
		case s.State == gate.Occupied:
			_ = b.order(ctx, gate.OpenReturn, 0, 0)
		default:
			_ = b.order(ctx, gate.SetMode, 0, 0)
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w come back to rest: it is %v, entry %v, exit %v%s", errNever, s.State, s.Entry, s.Exit, troubles(s))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

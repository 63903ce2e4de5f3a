// Package gate drives a gate that speaks ABC-LANE 1.0 over Modbus RTU.
//
// Gate.Run is the one goroutine that owns the line. In each slot of 50 ms it
// polls, sends a heartbeat if the lane is alive, fetches events, and carries
// out at most one command, which that very poll authorises: a stale poll never
// authorises motion. What happened is told through callbacks.
package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/grid-x/modbus"

	"passage/drivers/gate/regmap"
)

const (
	pollEvery      = 50 * time.Millisecond
	lostPollEvery  = 200 * time.Millisecond
	heartbeatEvery = 200 * time.Millisecond // ≤ 250 ms (§6)
	bootWithin     = 20 * time.Second
	finalWithin    = 40 * time.Second // of a motion; 2 × the longest limit, and more
	staleFor       = 3 * time.Second  // an order waits for a fresh poll
	eventsAtOnce   = 5                // fits a slot at 19,200 (§12)
	blindFor       = 500 * time.Millisecond
)

// The classes say what the caller does next, not what went wrong (§11 R3).
var (
	ErrLater   = errors.New("ask again when the gate has moved")
	ErrOfficer = errors.New("call an officer")
	ErrService = errors.New("take the lane out of service")
)

// ErrLost says of an order that the link was lost, or the gate restarted, before
// its result came: the gate may have carried it out, and goes on with it. OnLost
// is called as well, soon after or before. It comes with ErrService.
var ErrLost = errors.New("nobody knows what became of it")

// Command is one command with its arguments (§7).
type Command struct {
	Code       Code
	Arg0, Arg1 uint16
}

// Lights are the coils 0 to 7: arrows, crosses, status lamps, buzzer.
type Lights uint8

const (
	EntryArrow Lights = 1 << iota
	EntryCross
	ExitArrow
	ExitCross
	Green
	Red
	Amber
	Buzzer
)

// Params are the parameters that the kiosk sets at start-up (§6).
type Params struct {
	OpenMax, CloseMax, EntryHold, ExitHold time.Duration
	FallbackMode                           uint16
}

// Config is how a gate is driven. All callbacks are called from Run's
// goroutine and must not block.
type Config struct {
	Address byte // 1–247
	Baud    int
	Params  Params
	// Map is the register map of a gate that speaks something else; nil for
	// ABC-LANE.
	Map *regmap.Map
	// FallbackFrees is the leaf ("entry", "exit") that such a gate frees when it
	// is left alone, where its map has no register for that.
	FallbackFrees string
	// ExitOnFailure accepts FALLBACK_MODE bit 0: the exit is freed on failure.
	ExitOnFailure bool
	Alive         func() bool
	OnSnapshot    func(Snapshot, *Evidence)
	OnLost        func(error)
}

// Gate is a gate on a serial line.
type Gate struct {
	cfg  Config
	wire *wire
	ctl  controller

	mu     sync.Mutex
	queue  []*order
	ended  bool    // nobody works the gate any more
	lights *Lights // wished, not yet written

	last     Snapshot
	good     bool // last is of this run of the gate
	evidence Evidence
	beat     uint16
	beaten   time.Time
	running  []*order // accepted, result not final
	params   bool     // as configured
}

// order is a command on its way.
type order struct {
	Command
	ctx    context.Context
	done   chan error
	seq    uint16
	given  time.Time
	sent   time.Time
	result Result
}

// moves says whether a command may start a motion that could hurt or let in:
// those need a fresh poll (R3).
func (c Command) moves() bool {
	switch c.Code {
	case OpenEntry, OpenExit, OpenReturn, MaintMove:
		return true
	case SetMode:
		return c.Arg0 == 1
	}
	return false
}

// stills says whether a command ends motion or frees people: nothing that was
// ordered before keeps it waiting.
func (c Command) stills() bool {
	return c.Code == CloseAll || c.Code == SetMode && c.Arg0 == 0 || c.frees()
}

func (c Command) frees() bool { return c.Code == EvacuateCommand && c.Arg0 == 1 }

// controller is the far end of the line as Gate needs it, whatever registers it
// has. Its calls are made one at a time, from Run's goroutine.
type controller interface {
	// identify says how the gate calls itself; a fatalError if it is another's.
	identify() (string, error)
	// poll reads the gate as it is now.
	poll() (Snapshot, error)
	// begin is called with the first poll of a session.
	begin(Snapshot) error
	// settle sets the parameters where the state allows it, and says whether they
	// are as configured; a fatalError for a gate that must not be worked with.
	settle(context.Context, Snapshot) (bool, error)
	// pending says whether events are left to fetch after a poll.
	pending(Snapshot) bool
	// events fetches what has happened, some of it.
	events(Snapshot) ([]Event, error)
	heartbeat(uint16) error
	// command gives a command. The polls tell under seq what becomes of it.
	command(c Command, seq uint16) error
	lights(Lights) error
}

// New returns a gate on line. Run works it.
func New(line Line, cfg Config) *Gate {
	regs := newRegisters(line, cfg.Address, cfg.Baud)
	g := &Gate{cfg: cfg, wire: regs.wire}
	if cfg.Map != nil {
		g.ctl = newMapped(regs, cfg)
	} else {
		g.ctl = &native{registers: regs, cfg: cfg}
	}
	return g
}

// Order queues a command without blocking. Its final result arrives on the
// channel: nil for OK, else an error that wraps one class or ctx's error.
// Commands are executed in the order of the calls, one a slot.
func (g *Gate) Order(ctx context.Context, c Command) <-chan error {
	o := &order{Command: c, ctx: ctx, done: make(chan error, 1), given: time.Now()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		o.done <- o.lost(ErrLink)
		return o.done
	}
	g.queue = append(g.queue, o)
	return o.done
}

// lost is the result of an order that nobody knows the end of.
func (o *order) lost(why error) error {
	return fmt.Errorf("gate: %v: %w: %w: %w", o.Code, ErrService, ErrLost, why)
}

// SetLights has the coils written in one of the next slots; only the newest
// wish counts.
func (g *Gate) SetLights(l Lights) {
	g.mu.Lock()
	g.lights = &l
	g.mu.Unlock()
}

// Run works the gate until ctx ends. It returns an error only for a gate that
// can never be used (another product, another protocol version, a forbidden
// FALLBACK_MODE), or one that wraps ErrLine: the line is to be opened anew.
func (g *Gate) Run(ctx context.Context) error {
	defer g.end()
	for {
		err := g.session(ctx)
		g.fail(err)
		if ctx.Err() != nil {
			return nil
		}
		if fatal := (*fatalError)(nil); errors.As(err, &fatal) {
			return fmt.Errorf("gate: run: %w", err)
		}
		g.cfg.OnLost(err)
		err = g.found(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("gate: run: %w", err)
		}
	}
}

// end ends the orders that come when nobody works the gate any more.
func (g *Gate) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.fail(ErrLink)
}

// fatalError is a gate that this driver must not work with.
type fatalError struct{ error }

// fail ends every order that waits: after a loss none of them is repeated.
func (g *Gate) fail(err error) {
	g.mu.Lock()
	orders := append(g.queue, g.running...)
	g.queue, g.running = nil, nil
	g.mu.Unlock()
	for _, o := range orders {
		o.done <- o.lost(err)
	}
}

// found polls a lost gate until two polls in a row are good, or the line is
// found to be broken.
func (g *Gate) found(ctx context.Context) error {
	for good := 0; good < 2; {
		if err := sleep(ctx, lostPollEvery); err != nil {
			return err
		}
		_, err := g.ctl.poll()
		// Orders given while the link is down are void.
		g.fail(ErrLink)
		switch {
		case errors.Is(err, ErrLine):
			return err
		case err == nil:
			good++
		default:
			good = 0
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// session starts the gate up and works it until the link is lost or the gate
// restarts (§10).
func (g *Gate) session(ctx context.Context) error {
	g.good = false
	if _, err := g.ctl.identify(); err != nil {
		return err
	}
	s, err := g.booted(ctx)
	if err != nil {
		return err
	}
	g.last, g.good = s, true
	if err := g.ctl.begin(s); err != nil {
		return err
	}
	g.evidence = Evidence{}
	if g.params, err = g.ctl.settle(ctx, s); err != nil {
		return err
	}
	for g.ctl.pending(s) {
		if _, err := g.ctl.events(s); err != nil {
			return err
		}
		if s, err = g.ctl.poll(); err != nil {
			return err
		}
	}
	g.beat = s.Heartbeat
	for range 3 { // three refreshes arm the watchdog, also after a trip
		if g.cfg.Alive() {
			if err := g.heartbeat(); err != nil {
				return err
			}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := g.slot(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// booted polls until the gate has left BOOT.
func (g *Gate) booted(ctx context.Context) (Snapshot, error) {
	for end := time.Now().Add(bootWithin); ; {
		s, err := g.ctl.poll()
		if err != nil {
			return s, err
		}
		if s.Version>>8 != 1 {
			return s, &fatalError{fmt.Errorf("the gate speaks protocol %d.%d, this driver 1.x", s.Version>>8, s.Version&0xff)}
		}
		if s.State != Boot {
			return s, nil
		}
		if time.Now().After(end) {
			return s, fmt.Errorf("the gate is still booting after %v", bootWithin)
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return s, err
		}
	}
}

// errRestarted says that the gate's state is of another run (R4).
var errRestarted = errors.New("the gate has restarted")

// errBlind says that the gate answers, and for some time has told nothing new
// that could be believed: its line works, it does not. A lane that went on would
// show as open what nobody sees (R5: as bad replies; §2: three of them are a
// lost link).
var errBlind = fmt.Errorf("no newer poll within %v that can be believed", blindFor)

// slot is one turn: poll, heartbeat, events, one command.
func (g *Gate) slot(ctx context.Context) error {
	began := time.Now()
	s, err := g.ctl.poll()
	bad := errors.Is(err, ErrBadPoll)
	switch {
	case err != nil && !bad:
		return err
	case bad, s.Boots == g.last.Boots && s.Uptime == g.last.Uptime:
		// As a bad reply, or not newer: it authorises nothing (R5, R2).
		if time.Since(g.last.At) > blindFor {
			return errors.Join(errBlind, err)
		}
		return sleep(ctx, pollEvery)
	}
	if !s.follows(g.last) {
		return fmt.Errorf("%w: boot %d after %d, uptime %d ms after %d ms", errRestarted, s.Boots, g.last.Boots, s.Uptime, g.last.Uptime)
	}
	g.last = s
	if time.Since(g.beaten) >= heartbeatEvery && g.cfg.Alive() {
		if err := g.heartbeat(); err != nil {
			return err
		}
	}
	var events []Event
	if g.ctl.pending(s) {
		if events, err = g.ctl.events(s); err != nil {
			return err
		}
	}
	g.evidence.See(s, events)
	g.results(s, events)
	g.cfg.OnSnapshot(s, &g.evidence)
	if !g.params && s.State == SafeClosed {
		if g.params, err = g.ctl.settle(ctx, s); err != nil {
			return err
		}
	}
	if err := g.obey(s); err != nil {
		return err
	}
	if err := g.light(s); err != nil {
		return err
	}
	return sleep(ctx, pollEvery-time.Since(began))
}

// heartbeat counts up, skipping 0 (§6).
func (g *Gate) heartbeat() error {
	if g.beat++; g.beat == 0 {
		g.beat = 1
	}
	if err := g.ctl.heartbeat(g.beat); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	g.beaten = time.Now()
	return nil
}

// results ends orders whose final result a poll or an event tells.
func (g *Gate) results(s Snapshot, events []Event) {
	still := g.running[:0]
	for _, o := range g.running {
		if s.SeqDone == o.seq && s.ResultOf == o.Code {
			o.result = s.Result
		}
		for _, e := range events {
			if r := Result(e.Arg >> 8); e.Code == EventCommand && byte(e.Arg) == byte(o.seq) && r != InProgress {
				o.result = r
			}
		}
		switch {
		case o.result != None && o.result != InProgress:
			o.done <- o.final(s)
		case o.ctx.Err() != nil:
			o.done <- fmt.Errorf("gate: %v: %w", o.Code, o.ctx.Err())
		case time.Since(o.sent) > finalWithin:
			o.done <- fmt.Errorf("gate: %v: %w: no final result within %v", o.Code, ErrOfficer, finalWithin)
		case o.result == None && time.Since(o.sent) > time.Second && s.SeqDone != o.seq:
			// The reply said yes and the polls say it never ran: void.
			o.done <- fmt.Errorf("gate: %v: %w: the gate did not execute it", o.Code, ErrService)
		default:
			still = append(still, o)
		}
	}
	g.running = still
}

func (o *order) final(s Snapshot) error {
	if o.result == OK {
		return nil
	}
	return fmt.Errorf("gate: %v: %w: %v in state %v", o.Code, class(o.result), o.result, s.State)
}

// class is rule R3's table.
func class(r Result) error {
	switch {
	case r == Alarmed, r == Occupancy, r == Busy:
		return ErrLater
	case r == FaultedBy, r == Locked, r >= TimedOut:
		return ErrOfficer
	}
	return ErrService
}

// next takes the order out of the queue that may be sent after a poll: the oldest
// one, but no motion after a stale poll, and none for which somebody would have to
// wait who is to be freed, or a leaf that is to close. Motions that such an order
// has overtaken are over before they began.
func (g *Gate) next(s Snapshot) *order {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return nil
	}
	at := slices.IndexFunc(g.queue, func(o *order) bool { return o.frees() })
	if o := g.queue[0]; at < 0 {
		at = 0
		if o.moves() && time.Since(s.At) > Fresh && time.Since(o.given) < staleFor {
			// A stale poll never authorises motion: the next one may.
			if at = slices.IndexFunc(g.queue, func(o *order) bool { return o.stills() }); at < 0 {
				return nil
			}
		}
	}
	o := g.queue[at]
	var left []*order
	for _, before := range g.queue[:at] {
		if before.moves() {
			before.done <- fmt.Errorf("gate: %v: %w: %v came before it was sent", before.Code, ErrLater, o.Code)
		} else {
			left = append(left, before)
		}
	}
	g.queue = append(left, g.queue[at+1:]...)
	return o
}

// obey sends the queued order that this poll authorises.
func (g *Gate) obey(s Snapshot) error {
	o := g.next(s)
	if o == nil {
		return nil
	}
	if o.ctx.Err() != nil {
		o.done <- fmt.Errorf("gate: %v: %w", o.Code, o.ctx.Err())
		return nil
	}
	if why := authorised(o.Command, s, time.Now()); why != nil {
		o.done <- fmt.Errorf("gate: %v: %w", o.Code, why)
		return nil
	}
	if o.seq = s.SeqDone + 1; o.seq == 0 {
		o.seq = 1
	}
	err := g.ctl.command(o.Command, o.seq)
	var refused *modbus.Error
	switch {
	case errors.Is(err, ErrLater), errors.Is(err, ErrOfficer):
		o.done <- fmt.Errorf("gate: %v: %w", o.Code, err)
		return nil
	case errors.As(err, &refused) && refused.ExceptionCode == modbus.ExceptionCodeServerDeviceFailure:
		o.done <- fmt.Errorf("gate: %v: %w: %w", o.Code, ErrLater, err)
		return nil
	case errors.As(err, &refused):
		o.done <- fmt.Errorf("gate: %v: %w: %w", o.Code, ErrService, err)
		return nil
	}
	o.sent = time.Now()
	g.running = append(g.running, o)
	if err != nil {
		return fmt.Errorf("command %v: %w", o.Code, err)
	}
	return nil
}

// authorised applies the kiosk's own interlock (R3, R6, R7) to the poll that
// has just been made: motion needs a fresh poll that meets §7's conditions
// itself. Closing, evacuating and the safe mode need none.
func authorised(c Command, s Snapshot, now time.Time) error {
	ready := c.Code == SetMode && c.Arg0 == 1
	switch {
	case !c.moves():
		return nil
	case now.Sub(s.At) > Fresh:
		return fmt.Errorf("%w: the poll is %v old", ErrLater, now.Sub(s.At))
	case s.NeitherClosed() && s.State != Boot && s.State != Evacuate && s.State != Faulted:
		return fmt.Errorf("%w: both leaves stand open", ErrOfficer)
	case (c.Code == OpenEntry || c.Code == OpenReturn) && s.Exit != ClosedLocked:
		return fmt.Errorf("%w: the exit is %v", ErrLater, s.Exit)
	case c.Code == OpenExit && s.Entry != ClosedLocked:
		return fmt.Errorf("%w: the entry is %v", ErrLater, s.Entry)
	case c.Code == OpenEntry && s.State != Ready, c.Code == OpenExit && s.State != Occupied,
		c.Code == OpenReturn && s.State != SafeClosed && s.State != Occupied, ready && s.State != SafeClosed && s.State != Ready:
		return fmt.Errorf("%w: the gate is %v", ErrLater, s.State)
	case s.Watchdog != 1:
		return fmt.Errorf("%w: the watchdog is not running", ErrLater)
	case c.Code != OpenReturn && c.Code != MaintMove && s.Alarms&BlockingAlarms != 0:
		return fmt.Errorf("%w: %v", ErrLater, s.Alarms&BlockingAlarms)
	case c.Code == OpenEntry && s.Zones&(ZoneA|ZoneB|Luggage) != 0, ready && s.Occupied():
		return fmt.Errorf("%w: the mantrap is not empty", ErrLater)
	case c.Code == OpenExit && (s.Persons == 0 || s.Persons == 255):
		return fmt.Errorf("%w: the gate counts %d persons", ErrLater, s.Persons)
	}
	return nil
}

// light writes the wished lights, where the state allows it.
func (g *Gate) light(s Snapshot) error {
	g.mu.Lock()
	l := g.lights
	if l == nil || s.State == Boot || s.State == Fallback || s.State == Evacuate || s.State == Faulted {
		g.mu.Unlock()
		return nil
	}
	g.lights = nil
	g.mu.Unlock()
	err := g.ctl.lights(*l)
	var refused *modbus.Error
	if err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("lights: %w", err)
	}
	return nil
}

// LinkErrors returns how many attempts had to be repeated since the start.
func (g *Gate) LinkErrors() int { return g.wire.errors }

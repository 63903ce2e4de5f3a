// Package gate is a simulated gate that speaks ABC-LANE 1.0: a mantrap with
// two leaves, its sensors, its state machine and its Modbus RTU server. It was
// written from the protocol page alone and shares no code with the driver.
//
// The gate is a deterministic machine with an explicit clock: Advance moves it
// on in steps of 10 ms, Handle answers one frame. Serve runs it in real time on
// a pseudo-terminal, paced to the baud rate.
package gate

import (
	"slices"
	"sync"
	"time"
)

const tick = 10 * time.Millisecond

// Gate states (§9).
const (
	boot uint8 = iota
	safeClosed
	ready
	entryOpen
	occupiedState
	exitOpen
	fallback
	evacuate
	faulted
	maintenance
)

// StateNames are the states by number.
var StateNames = []string{"BOOT", "SAFE_CLOSED", "READY", "ENTRY_OPEN", "OCCUPIED", "EXIT_OPEN", "FALLBACK", "EVACUATE", "FAULT", "MAINTENANCE"}

// State causes (§9).
const (
	causeNormal uint8 = iota
	causeReturn
	causeCommand
	causeWatchdog
	causeFire
	causeEgress
	causePower
	causeForced
	causeJam
	causeLock
	causeSelfTest
)

// Fault bits (§5).
const (
	ftEntryJam uint16 = 1 << iota
	ftExitJam
	ftEntrySlow
	ftExitSlow
	ftEntryForce
	ftExitForce
	ftSensorStuck
	ftSensorMismatch
	ftLockEntry
	ftLockExit
	ftSupplyLow
	ftTempRange
	ftEvtOverflow
	ftParamDefaulted
	ftSelfTest
	ftBothOpen
)

const ftBlocking = ftEntryJam | ftExitJam | ftEntryForce | ftExitForce | ftLockEntry | ftLockExit | ftSupplyLow | ftSelfTest | ftBothOpen

// Alarm bits (§5).
const (
	alFire uint16 = 1 << iota
	alEgress
	alTailgate
	alMulti
	alLuggage
	alForcedEntry
	alForcedExit
	alWrongWay
	alDwell
	alEntryBlocked
	alExitBlocked
	alIntrusion
	alWatchdog
	alTamper
)

const alBlocking = alTailgate | alMulti | alLuggage | alForcedEntry | alForcedExit | alWrongWay | alIntrusion | alTamper

// Parameter indices from 0x0100 (§6).
const (
	pOpenMax = iota
	pCloseMax
	pEntryHold
	pExitHold
	pClear
	pDwell
	pBlocked
	pForce
	pRevMode
	pRevMax
	pFallback
	pWatchdog
	pRespDelay
	pAddr
	pBaud
	pFormat
	params
)

var paramRange = [params][3]uint16{ // least, most, default
	{500, 10000, 3000},
	{500, 10000, 3000},
	{500, 30000, 8000},
	{500, 30000, 8000},
	{100, 2000, 300},
	{5, 600, 60},
	{1, 60, 10},
	{30, 150, 80},
	{1, 2, 1},
	{1, 10, 3},
	{0, 3, 0},
	{300, 5000, 1000},
	{0, 50, 0},
	{1, 247, 1},
	{1, 3, 1},
	{0, 1, 0},
}

// Config is what a simulated gate is built like.
type Config struct {
	Serial              string
	OpenTime, CloseTime time.Duration // of a full movement; default 1.2 s and 1.5 s
	BootTime            time.Duration // default 1 s
}

// Gate is a simulated gate. Its methods may be called from several goroutines.
type Gate struct {
	Ready func() // called when Serve's line is there; nil for nobody

	mu  sync.Mutex
	cfg Config
	now time.Duration // since the simulation began

	param [params]uint16
	boots uint16
	addr  byte

	// all below is volatile
	bootAt time.Duration
	state  uint8
	cause  uint8
	since  time.Duration // in this state
	entry  *leaf
	exit   *leaf

	bodies  []*body
	zones   uint8
	edges   [8]uint8
	flips   [8]uint32 // the same without an end, and the rising ones alone
	rises   [8]uint32
	inside  int
	persons int
	most    int // ARG0 of the last OPEN_ENTRY
	stuck   [8]bool
	wrong   int

	faults, alarms uint16
	coils          uint16

	seqDone, resultCode uint16
	result              uint8
	lastCommand         [3]uint16
	running             *running

	hb       uint16
	wd       uint16 // 0 disarmed, 1 running, 2 tripped
	wdAt     time.Duration
	streak   int
	unheard  time.Duration // how long occupied without a running watchdog
	heardAt  time.Duration
	evacReq  bool
	fire     bool // inputs
	egress   bool
	tamper   bool
	battery  bool
	returned bool // entry open for a return
	fromSafe bool
	seen     bool // occupied was seen in ENTRY_OPEN
	left     bool // S5 rose in EXIT_OPEN
	hold     time.Duration
	holdAt   time.Duration // when OPEN was reached; 0 not yet
	closing  bool
	clearAt  time.Duration
	luggage  time.Duration
	mismatch time.Duration
	stuckFor [2]time.Duration
	temp     int16
	supply   uint16

	events    [256]event
	head      uint16
	acked     uint16
	linkErr   uint16
	crossings uint32
	foreign   *foreign // nil: ABC-LANE
	off       bool     // without power
	truth     []Record
	listeners []func(Record)
	taps      []func(Frame)
	faultsIn  map[string]int      // injected link faults and how often still
	injected  map[string]struct{} // physical faults that are on
}

type event struct {
	seq  uint16
	at   uint32
	code uint16
	arg  uint16
}

type running struct {
	code, seq uint16
	until     time.Duration
}

// New returns a gate that has just been switched on.
func New(cfg Config) *Gate {
	if cfg.OpenTime == 0 {
		cfg.OpenTime = 1200 * time.Millisecond
	}
	if cfg.CloseTime == 0 {
		cfg.CloseTime = 1500 * time.Millisecond
	}
	if cfg.BootTime == 0 {
		cfg.BootTime = time.Second
	}
	if cfg.Serial == "" {
		cfg.Serial = "SIM-0001"
	}
	g := &Gate{cfg: cfg, temp: 231, supply: 24050, faultsIn: map[string]int{}, injected: map[string]struct{}{}}
	for i, r := range paramRange {
		g.param[i] = r[2]
	}
	g.start(1)
	return g
}

// start boots: volatile state goes, parameters and the counter stay.
func (g *Gate) start(cause uint16) {
	g.boots++
	g.bootAt = g.now
	g.addr = byte(g.param[pAddr])
	g.state, g.cause, g.since = boot, causeNormal, g.now
	if g.entry == nil {
		g.entry, g.exit = &leaf{id: 0}, &leaf{id: 1}
	}
	for _, l := range []*leaf{g.entry, g.exit} {
		*l = leaf{id: l.id, pos: l.pos, stuckAt: l.stuckAt, slow: l.slow}
		l.drive(-1)
	}
	g.faults, g.alarms, g.coils = 0, 0, 0x0A
	g.seqDone, g.resultCode, g.result, g.running, g.lastCommand = 0, 0, 0, nil, [3]uint16{}
	g.hb, g.wd, g.streak, g.evacReq = 0, 0, 0, false
	g.returned, g.fromSafe, g.seen, g.left, g.closing = false, false, false, false, false
	g.head, g.acked, g.events = 0, 0, [256]event{}
	g.zones, g.edges = 0, [8]uint8{}
	g.sense()
	for k := range g.edges {
		g.edges[k] = g.zones >> k & 1
	}
	g.persons = 0
	if g.occupied() {
		g.persons = 255
	}
	g.event(1, cause)
	g.tell("state", StateNames[boot])
}

// Advance moves the gate's clock to now.
func (g *Gate) Advance(now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance(now)
}

func (g *Gate) advance(now time.Duration) {
	for g.now+tick <= now {
		g.now += tick
		g.move(tick)
		if !g.off {
			g.turn()
		} else {
			g.sense()
		}
	}
}

// turn is 10 ms of the gate's controller.
func (g *Gate) turn() {
	before := g.zones
	g.sense()
	g.entry.turn(g, g.param[pOpenMax], g.param[pCloseMax], g.level(1))
	g.exit.turn(g, g.param[pOpenMax], g.param[pCloseMax], g.level(4))
	g.inputs()
	g.watch()
	g.conditions(before)
	g.global()
	g.machine(before)
	g.motion()
}

// inputs latches what is wired to the gate.
func (g *Gate) inputs() {
	if g.fire {
		g.setAlarm(alFire)
	}
	if g.egress {
		g.setAlarm(alEgress)
	}
	if g.tamper {
		g.setAlarm(alTamper)
	}
	if g.supply < 21600 {
		g.setFault(ftSupplyLow)
	}
	if g.temp < -200 || g.temp > 600 {
		g.setFault(ftTempRange)
	}
}

// watch is the watchdog (§6).
func (g *Gate) watch() {
	limit := time.Duration(g.param[pWatchdog]) * time.Millisecond
	if g.wd == 1 && g.now-g.wdAt > limit {
		g.wd, g.streak = 2, 0
		g.setAlarm(alWatchdog)
		g.event(13, g.hb)
		if g.state >= safeClosed && g.state <= exitOpen || g.state == maintenance {
			g.fall(causeWatchdog)
		}
	}
	// Occupied and unwatched for 5 s, gaps below 2 s ignored (§9).
	if g.wd != 1 && g.occupied() {
		g.unheard += tick
		g.heardAt = g.now
	} else if g.now-g.heardAt >= 2*time.Second {
		g.unheard = 0
	}
	if g.unheard >= 5*time.Second && (g.state == safeClosed || g.state == ready || g.state == occupiedState) {
		g.unheard = 0
		g.fall(causeWatchdog)
	}
}

// conditions sets the faults and alarms of §5 that are read from sensors.
func (g *Gate) conditions(before uint8) {
	if g.level(7) && (g.state == entryOpen || g.state == occupiedState) {
		g.setAlarm(alTailgate)
	}
	if g.level(6) && !g.occupied() && g.entry.closed() && g.exit.closed() && !g.returned {
		if g.luggage += tick; g.luggage >= 2*time.Second {
			g.setAlarm(alLuggage)
		}
	} else {
		g.luggage = 0
	}
	if g.state == occupiedState && !g.occupied() {
		if g.mismatch += tick; g.mismatch >= 2*time.Second {
			g.setFault(ftSensorMismatch)
		}
	} else {
		g.mismatch = 0
	}
	for i, k := range []int{1, 4} {
		l := []*leaf{g.entry, g.exit}[i]
		if g.level(k) && l.closed() && !g.level(0) && !g.level(2) && !g.level(3) && !g.level(5) {
			if g.stuckFor[i] += tick; g.stuckFor[i] > time.Minute {
				g.setFault(ftSensorStuck)
			}
		} else {
			g.stuckFor[i] = 0
		}
	}
	if g.state == occupiedState && g.now-g.since > time.Duration(g.param[pDwell])*time.Second {
		g.setAlarm(alDwell)
	}
	was := before&0x0C != 0
	if g.occupied() && !was && (g.state == safeClosed || g.state == ready) {
		g.setAlarm(alIntrusion)
	}
	if !g.entry.closed() && !g.exit.closed() && g.state != boot {
		g.setFault(ftBothOpen)
	}
	for _, l := range []*leaf{g.entry, g.exit} {
		if l.state == lsForced {
			g.setAlarm(alForcedEntry << l.id)
		}
	}
}

// global are the transitions from many states, highest first (§9).
func (g *Gate) global() {
	switch {
	case g.state != evacuate && (g.alarms&(alFire|alEgress) != 0 && (g.fire || g.egress) || g.evacReq):
		cause := causeCommand
		if g.fire {
			cause = causeFire
		} else if g.egress {
			cause = causeEgress
		}
		g.enter(evacuate, cause)
	case g.faults&ftBlocking != 0 && g.state >= safeClosed && g.state <= fallback:
		cause := causeJam
		if g.faults&(ftLockEntry|ftLockExit|ftBothOpen) != 0 {
			cause = causeLock
		} else if g.faults&ftSupplyLow != 0 {
			cause = causePower
		}
		g.enter(faulted, cause)
	case (g.entry.state == lsForced || g.exit.state == lsForced) && g.state >= safeClosed && g.state <= exitOpen:
		g.fall(causeForced)
	}
}

func (g *Gate) fall(cause uint8) {
	g.enter(fallback, cause)
}

// enter changes the state and starts what it does on entry.
func (g *Gate) enter(s, cause uint8) {
	if g.running != nil && !g.keeps(s) {
		g.finish(34)
	}
	old := g.state
	g.state, g.cause, g.since = s, cause, g.now
	g.event(2, uint16(old)<<8|uint16(s))
	g.tell("state", StateNames[s])
	switch s {
	case safeClosed, ready, occupiedState:
		g.closing, g.returned = false, false
	case fallback:
		g.entry.drive(-1)
		g.exit.drive(-1)
	case evacuate:
		g.egressLeaf(1).lock(g, false)
		g.otherLeaf(1).drive(-1)
	case faulted:
		g.entry.stop(g)
		g.exit.stop(g)
		g.egressLeaf(0).lock(g, false)
	}
	if s == occupiedState {
		g.persons = max(g.inside, 1)
		if g.persons > g.most && g.most > 0 {
			g.setAlarm(alMulti)
		}
	}
}

// keeps says whether the running command goes on in state s: a motion whose
// own state it is.
func (g *Gate) keeps(s uint8) bool {
	switch g.running.code {
	case 1, 3:
		return s == entryOpen
	case 2:
		return s == exitOpen
	case 4, 5:
		return true
	}
	return false
}

func (g *Gate) egressLeaf(bit int) *leaf {
	if g.param[pFallback]>>bit&1 == 1 {
		return g.exit
	}
	return g.entry
}

func (g *Gate) otherLeaf(bit int) *leaf {
	if g.egressLeaf(bit) == g.entry {
		return g.exit
	}
	return g.entry
}

// machine is §9's table.
func (g *Gate) machine(before uint8) {
	switch g.state {
	case boot:
		switch {
		case g.entry.locked() && g.exit.locked() && g.now-g.bootAt >= g.cfg.BootTime:
			if g.occupied() {
				g.setAlarm(alIntrusion)
			}
			g.enter(safeClosed, causeNormal)
		case g.now-g.bootAt >= 15*time.Second:
			g.setFault(ftSelfTest)
			g.enter(faulted, causeSelfTest)
		}
	case entryOpen:
		g.seen = g.seen || g.occupied()
		g.autoClose(g.entry, g.entryClear(), g.returned && g.level(6))
		if g.entry.locked() && g.entry.moved {
			g.entryLocked()
		}
	case exitOpen:
		if rise := g.zones &^ before; rise>>5&1 == 1 {
			g.left = true
		}
		clear := g.left && !g.level(2) && !g.level(3) && !g.level(4)
		g.autoClose(g.exit, clear, false)
		if g.exit.locked() && g.exit.moved {
			if g.occupied() {
				g.enter(occupiedState, causeNormal)
			} else {
				n := max(1, g.persons)
				g.persons = 0
				g.event(10, uint16(n))
				g.enter(ready, causeNormal)
			}
		}
	case fallback:
		if g.otherLeaf(0).locked() {
			g.egressLeaf(0).lock(g, false)
		}
	case evacuate:
		if g.running == nil && g.otherLeaf(1).locked() && g.egressLeaf(1).pos < 100 {
			g.egressLeaf(1).drive(1)
		}
	case faulted:
		if g.faults&ftBlocking == 0 {
			// A leaf that has met somebody opens again (I3), and is closed when
			// they are out of its way.
			if !g.level(1) {
				g.entry.drive(-1)
			}
			if !g.level(4) {
				g.exit.drive(-1)
			}
			if g.entry.locked() && g.exit.locked() {
				g.enter(safeClosed, causeNormal)
			}
		} else {
			g.egressLeaf(0).lock(g, false)
		}
	}
}

func (g *Gate) entryClear() bool {
	if g.returned {
		return !g.level(1) && !g.level(2) && !g.level(3) && !g.level(6)
	}
	return g.seen && !g.level(1)
}

// entryLocked follows the entry's locking (§9).
func (g *Gate) entryLocked() {
	switch {
	case g.occupied():
	case g.returned:
		g.event(12, 0)
		g.persons = 0
	default:
		g.event(11, 0)
		g.persons = 0
	}
	switch {
	case g.returned && g.fromSafe:
		g.enter(safeClosed, causeReturn)
	case g.occupied():
		g.enter(occupiedState, causeNormal)
	default:
		g.enter(ready, causeNormal)
	}
}

// autoClose closes l when it has been clear for T_CLEAR_MS, or when its hold
// has expired; keep holds it open (a bag in a return).
func (g *Gate) autoClose(l *leaf, clear, keep bool) {
	if l.state == lsOpen && g.holdAt == 0 {
		g.holdAt = g.now
	}
	if g.closing || g.holdAt == 0 {
		return
	}
	if !clear {
		g.clearAt = 0
	} else if g.clearAt == 0 {
		g.clearAt = g.now
	}
	waited := g.clearAt > 0 && g.now-g.clearAt >= time.Duration(g.param[pClear])*time.Millisecond
	expired := g.now-g.holdAt >= g.hold && !keep
	if waited || expired {
		g.closing = true
		l.drive(-1)
	}
}

// open starts an open-close cycle.
func (g *Gate) open(l *leaf, hold uint16, fallbackHold int) {
	if hold == 0 {
		hold = g.param[fallbackHold]
	}
	g.hold = time.Duration(hold) * time.Millisecond
	g.holdAt, g.clearAt, g.closing, g.seen, g.left, g.wrong = 0, 0, false, false, false, 0
	l.moved = false
	l.drive(1)
	l.set(g, lsOpening)
}

// motion ends running commands (§7).
func (g *Gate) motion() {
	r := g.running
	if r == nil {
		return
	}
	switch {
	case r.code == 1 && g.entry.state == lsOpen, r.code == 3 && g.entry.state == lsOpen, r.code == 2 && g.exit.state == lsOpen,
		r.code == 4 && g.entry.closed() && g.exit.closed(),
		r.code == 9 && g.moved():
		g.finish(1)
	case r.code == 5 && g.entry.locked() && g.exit.locked():
		g.enter(safeClosed, causeNormal)
		g.finish(1)
	case g.faults&(ftEntryJam|ftExitJam) != 0 && g.entry.reversals+g.exit.reversals >= int(g.param[pRevMax]):
		g.finish(33)
	case g.now > r.until:
		g.finish(32)
	}
}

// moved says whether a MAINT_MOVE has reached its end.
func (g *Gate) moved() bool {
	l := g.entry
	if g.lastCommand[1] == 1 {
		l = g.exit
	}
	if g.lastCommand[2] == 1 {
		return l.state == lsOpen
	}
	return l.locked()
}

func (g *Gate) finish(result uint8) {
	r := g.running
	g.running = nil
	if g.seqDone == r.seq {
		g.result = result
	}
	g.event(3, uint16(result)<<8|r.seq&0xff)
}

func (g *Gate) setFault(bit uint16) {
	if g.faults&bit == 0 {
		g.faults |= bit
		g.event(6, position(bit))
		g.tell("fault", FaultNames[position(bit)])
	}
}

func (g *Gate) setAlarm(bit uint16) {
	if g.alarms&bit == 0 {
		g.alarms |= bit
		g.event(8, position(bit))
		g.tell("alarm", AlarmNames[position(bit)])
	}
}

// FaultNames and AlarmNames are the bits' names (§5).
var (
	FaultNames = []string{
		"ENTRY_JAM", "EXIT_JAM", "ENTRY_SLOW", "EXIT_SLOW", "ENTRY_FORCE", "EXIT_FORCE", "SENSOR_STUCK", "SENSOR_MISMATCH",
		"LOCK_ENTRY", "LOCK_EXIT", "SUPPLY_LOW", "TEMP_RANGE", "EVT_OVERFLOW", "PARAM_DEFAULTED", "SELF_TEST", "BOTH_OPEN",
	}
	AlarmNames = []string{
		"FIRE", "EGRESS_BUTTON", "TAILGATE", "MULTI_PERSON", "LEFT_LUGGAGE", "FORCED_ENTRY", "FORCED_EXIT", "WRONG_WAY",
		"DWELL", "ENTRY_BLOCKED", "EXIT_BLOCKED", "INTRUSION", "WATCHDOG", "TAMPER",
	}
)

func position(bit uint16) uint16 {
	for i := range uint16(16) {
		if bit == 1<<i {
			return i
		}
	}
	return 0
}

// event appends to the ring (§8).
func (g *Gate) event(code, arg uint16) {
	if g.head-g.acked >= 256 {
		if g.faults&ftEvtOverflow == 0 {
			g.faults |= ftEvtOverflow
		}
	}
	if code == 10 {
		g.crossings++
	}
	g.head++
	g.events[g.head%256] = event{g.head, g.uptime(), code, arg}
}

func (g *Gate) uptime() uint32 { return uint32((g.now - g.bootAt).Milliseconds()) }

func (g *Gate) oldest() uint16 {
	if g.head < 256 && g.events[(g.head+1)%256].code == 0 {
		return 1
	}
	return g.head - 255
}

// Power switches the gate's power.
func (g *Gate) Power(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case on && g.off:
		g.off = false
		g.start(1)
	case !on && !g.off:
		g.off = true
		g.entry.stop(g)
		g.exit.stop(g)
		g.egressLeaf(0).lock(g, false)
	}
}

// State returns the present state's name and number.
func (g *Gate) State() (name string, number int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return StateNames[g.state], int(g.state)
}

// Leaves returns how far the leaves stand open, 0 to 100.
func (g *Gate) Leaves() (entry, exit float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.entry.pos, g.exit.pos
}

// Outputs returns the lamps and locks as they are (§5).
func (g *Gate) Outputs() uint16 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outputs()
}

func (g *Gate) outputs() uint16 {
	o := g.coils & 0xff
	for _, pair := range []uint16{0, 2} { // arrow and cross: cross only
		if o>>pair&3 == 3 {
			o &^= 1 << pair
		}
	}
	switch g.state {
	case boot, fallback, evacuate, faulted:
		o = 1<<1 | 1<<3 | 1<<5 | 1<<15
		if g.state == evacuate {
			if g.egressLeaf(1) == g.entry {
				o = o&^(1<<1) | 1
			} else {
				o = o&^(1<<3) | 1<<2
			}
		}
	}
	for i, l := range []*leaf{g.entry, g.exit} {
		if l.engaged {
			o |= 1 << (8 + i)
		}
		if l.dir != 0 {
			o |= 1 << (12 + i)
		}
	}
	if g.fire {
		o |= 1 << 10
	}
	if g.state == fallback || g.state == evacuate || g.state == faulted {
		o |= 1 << 11
	}
	if g.battery {
		o |= 1 << 14
	}
	return o
}

// Inject switches a physical fault on: fire, egress_button, tamper, battery,
// stuck_s1, stuck_s4, jam_entry, jam_exit, slow_entry, slow_exit,
// force_entry, force_exit; or a link fault (see Serve) for the next count
// frames. It reports whether the name is known.
func (g *Gate) Inject(name string, count int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inject(name, true, count)
}

// Clear switches a fault off.
func (g *Gate) Clear(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inject(name, false, 0)
}

func (g *Gate) inject(name string, on bool, count int) bool {
	switch name {
	case "fire":
		g.fire = on
	case "egress_button":
		g.egress = on
	case "tamper":
		g.tamper = on
	case "battery":
		if on != g.battery {
			g.event(16, map[bool]uint16{true: 1}[on])
		}
		g.battery = on
	case "stuck_s1":
		g.stuck[1] = on
	case "stuck_s4":
		g.stuck[4] = on
	case "jam_entry":
		g.entry.jam(on)
	case "jam_exit":
		g.exit.jam(on)
	case "slow_entry":
		g.entry.slow = on
	case "slow_exit":
		g.exit.slow = on
	case "force_entry":
		g.entry.force(on)
	case "force_exit":
		g.exit.force(on)
	default:
		if !slices.ContainsFunc(LinkFaults, func(f Fault) bool { return f.Name == name }) {
			return false
		}
		delete(g.faultsIn, name)
		if on {
			g.faultsIn[name] = count
		}
		return true
	}
	delete(g.injected, name)
	if on {
		g.injected[name] = struct{}{}
	}
	return true
}

// Fault is an injectable fault.
type Fault struct{ Name, Text string }

// PhysicalFaults and LinkFaults list what Inject knows (§14).
var (
	PhysicalFaults = []Fault{
		{"fire", "fire relay active"},
		{"egress_button", "egress button pressed"},
		{"tamper", "tamper contact open"},
		{"battery", "running on battery"},
		{"stuck_s1", "entry curtain stuck active"},
		{"stuck_s4", "exit curtain stuck active"},
		{"jam_entry", "entry leaf does not move"},
		{"jam_exit", "exit leaf does not move"},
		{"slow_entry", "entry leaf slower than its limit"},
		{"slow_exit", "exit leaf slower than its limit"},
		{"force_entry", "entry leaf forced open"},
		{"force_exit", "exit leaf forced open"},
	}
	LinkFaults = []Fault{
		{"drop_request", "a request is lost"},
		{"drop_reply", "a reply is lost; the command ran"},
		{"late_reply", "a reply comes 150 ms late"},
		{"corrupt_request", "a request arrives with a wrong CRC"},
		{"corrupt_reply", "a reply arrives with a wrong CRC"},
		{"noise", "noise bytes before a reply"},
		{"partial", "a reply is cut short"},
		{"wrong_slave", "a reply from another address"},
	}
)

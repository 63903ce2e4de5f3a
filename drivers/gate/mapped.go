package gate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"passage/drivers/gate/regmap"
)

// mapped is a gate that speaks by a register map. It puts what the registers
// say into ABC-LANE's words; what they cannot say stays at the value that lets
// nobody through.
type mapped struct {
	*registers
	cfg  Config
	m    *regmap.Map
	plan []regmap.Request
	read map[string]Reading // of the newest poll

	known     bool
	clock     uint32
	uptime    float64 // ms
	boots     uint16
	crossings uint32
	crossed   []Event
	counters  map[string]uint32 // edge counters of the poll before
	edges     [8]int
	levels    Sensors
	leaves    [2]Leaf // as last known, for limit switches on the way
	bagSince  time.Time
	latched   Alarms // that were concluded, until they are cleared as any other

	beats    int
	beat     uint16
	last     Snapshot
	given    *given
	switched Lights
	lit      bool
}

// given is the newest command.
type given struct {
	Command
	w        *regmap.Write
	seq      uint16
	at       time.Time
	from     Snapshot
	acked    bool
	released bool
	result   Result
}

// Times of a controller that tells less than ABC-LANE does.
const (
	ackWithin   = time.Second     // from a command to its acknowledgement
	startWithin = 2 * time.Second // to the first movement
	clearWithin = time.Second     // to a cleared bit
	bagAfter    = 2 * time.Second // as LEFT_LUGGAGE (§5)
	nearlyShut  = 2               // per cent at which a closed leaf's position counts as 0
	armedAfter  = 3               // heartbeats (§6)
)

func newMapped(r *registers, cfg Config) *mapped {
	return &mapped{registers: r, cfg: cfg, m: cfg.Map, plan: cfg.Map.Plan(cfg.Map.Polled()), counters: map[string]uint32{}}
}

// identify refuses a map that must not work a lane, and another device.
func (m *mapped) identify() (string, error) {
	if err := regmap.Refused(m.m.Judge(m.cfg.Baud, m.cfg.FallbackFrees)); err != nil {
		return "", &fatalError{fmt.Errorf("register map %q: %w", m.m.Name, err)}
	}
	return m.greet()
}

// greet asks who is there, whatever the map is worth.
func (m *mapped) greet() (string, error) {
	if want := m.m.Identity.Product; want != "" {
		data, err := m.raw(43, []byte{14, 1, 0})
		if err != nil {
			return "", fmt.Errorf("identify: %w", err)
		}
		if got := object(data, 1); got != want {
			return "", &fatalError{fmt.Errorf("this is another device: product code %.20q, the map says %.20q", got, want)}
		}
		return fmt.Sprintf("%.60q by FC43/14", object(data, 0)+" "+want+" "+object(data, 2)), nil
	}
	p := m.m.Identity.Model
	if p == nil {
		return m.m.Name, nil
	}
	got, err := m.some([]regmap.Named{{Name: "identity.model", Point: p}})
	if err != nil {
		return "", fmt.Errorf("identify: %w", err)
	}
	if raw := int64(got["identity.model"].Raw); raw != *m.m.Identity.Equals {
		return "", &fatalError{fmt.Errorf("this is another device: model %d in %v, the map says %d", raw, p, *m.m.Identity.Equals)}
	}
	return fmt.Sprintf("%s, model %d", m.m.Name, *m.m.Identity.Equals), nil
}

// Reading is one point as it was read.
type Reading struct {
	regmap.Named
	Raw uint32
}

// some reads points.
func (m *mapped) some(points []regmap.Named) (map[string]Reading, error) {
	return m.fetch(m.m.Plan(points), points)
}

func (m *mapped) fetch(plan []regmap.Request, points []regmap.Named) (map[string]Reading, error) {
	type cell struct {
		register string
		at       uint16
	}
	image := map[cell]uint16{}
	for _, r := range plan {
		v, err := m.request(r)
		if err != nil {
			return nil, fmt.Errorf("%s %d to %d: %w", r.Register, int(r.At)+m.m.First, int(r.At)+int(r.Count)-1+m.m.First, err)
		}
		for i, x := range v {
			image[cell{r.Register, r.At + uint16(i)}] = x
		}
	}
	out := make(map[string]Reading, len(points))
	for _, p := range points {
		regs := make([]uint16, p.Words)
		for i := range regs {
			regs[i] = image[cell{p.Register, p.At + uint16(i)}]
		}
		out[p.Name] = Reading{p, p.Value(regs)}
	}
	return out, nil
}

// isSilent says that nobody answers, which no other register will change.
func isSilent(err error) bool { return errors.Is(err, ErrLink) }

// request reads registers, or bits, each as 0 or 1.
func (m *mapped) request(r regmap.Request) ([]uint16, error) {
	var b []byte
	var err error
	switch r.Register {
	case regmap.Coil:
		b, err = m.ReadCoils(r.At, r.Count)
	case regmap.Discrete:
		b, err = m.ReadDiscreteInputs(r.At, r.Count)
	case regmap.Input:
		return exactly(r.Count)(m.input(r.At, r.Count))
	default:
		return exactly(r.Count)(m.holding(r.At, r.Count))
	}
	if err != nil {
		return nil, err
	}
	v := make([]uint16, r.Count)
	for i := range v {
		if i/8 >= len(b) {
			return nil, fmt.Errorf("%w: %d bytes for %d bits", ErrBadPoll, len(b), r.Count)
		}
		v[i] = uint16(b[i/8] >> (i % 8) & 1)
	}
	return v, nil
}

// exactly refuses an answer of another length.
func exactly(n uint16) func([]uint16, error) ([]uint16, error) {
	return func(v []uint16, err error) ([]uint16, error) {
		if err == nil && len(v) != int(n) {
			err = fmt.Errorf("%w: %d registers, want %d", ErrBadPoll, len(v), n)
		}
		return v, err
	}
}

func (m *mapped) poll() (Snapshot, error) {
	at := time.Now() // R1: of the first request, however many there are
	read, err := m.fetch(m.plan, m.m.Polled())
	if err != nil {
		return Snapshot{}, fmt.Errorf("poll: %w", err)
	}
	m.read = read
	s, err := m.decode(at)
	if err != nil {
		return s, err
	}
	if err := m.follow(&s); err != nil {
		return s, fmt.Errorf("poll: %w", err)
	}
	m.last = s
	return s, nil
}

// on is a bit of the newest poll; false where the map has none.
func (m *mapped) on(name string) bool { return m.read[name].Raw == 1 }

// word is what a point says, and whether the map knows the value.
func (m *mapped) word(name string) (string, error) {
	r := m.read[name]
	w, ok := r.Word(r.Raw)
	if !ok {
		return "", fmt.Errorf("%w: %s is %d, which the map does not know", ErrBadPoll, name, r.Raw)
	}
	return w, nil
}

// decode puts the newest poll into ABC-LANE's words.
func (m *mapped) decode(at time.Time) (Snapshot, error) {
	s := Snapshot{At: at, Version: 0x0100}
	w, err := m.word("state")
	if err != nil {
		return s, err
	}
	s.State = State(slices.Index(regmap.StateNames, w))
	for i, leaf := range []struct {
		name string
		to   *Leaf
		pos  *uint8
	}{{"entry", &s.Entry, &s.EntryPos}, {"exit", &s.Exit, &s.ExitPos}} {
		if *leaf.to, *leaf.pos, err = m.leaf(leaf.name, m.leaves[i]); err != nil {
			return s, err
		}
		m.leaves[i] = *leaf.to
	}
	for i, name := range regmap.SensorNames {
		if m.on("sensors." + name) {
			s.Zones |= 1 << i
		}
	}
	for i, name := range regmap.FaultNames {
		if m.on("faults." + name) {
			s.Faults |= 1 << i
		}
	}
	for i, name := range regmap.AlarmNames {
		if m.on("alarms." + name) {
			s.Alarms |= 1 << i
		}
	}
	if r, ok := m.read["temperature"]; ok {
		s.TempTenths = int16(math.Round(10 * r.Number(r.Raw)))
	}
	if r, ok := m.read["supply"]; ok {
		s.SupplyMV = uint16(math.Round(1000 * r.Number(r.Raw)))
	}
	m.count(&s)
	m.conclude(&s)
	s.Heartbeat, s.Watchdog = m.beat, 0
	switch {
	case m.m.Watchdog.State != nil:
		w, err := m.word("watchdog.state")
		if err != nil {
			return s, err
		}
		s.Watchdog = uint16(slices.Index(regmap.WatchdogNames, w))
	default:
		if s.State == Fallback && m.last.State != Fallback {
			m.beats = 0 // whatever tripped it, the lane has to be heard anew
		}
		switch {
		case m.beats >= armedAfter:
			s.Watchdog = 1
		case s.State == Fallback:
			s.Watchdog = 2
		}
	}
	return s, nil
}

// leaf is a leaf by its register or its limit switches; was is how it stood.
func (m *mapped) leaf(name string, was Leaf) (Leaf, uint8, error) {
	var l Leaf
	if _, ok := m.read[name+".state"]; ok {
		w, err := m.word(name + ".state")
		if err != nil {
			return l, 0, err
		}
		l = Leaf(slices.Index(regmap.LeafNames, w))
	} else {
		closed, locked, open := m.on(name+".closed"), m.on(name+".locked"), m.on(name+".open")
		switch {
		case closed && open, locked && !closed:
			return l, 0, fmt.Errorf("%w: %s closed %v, locked %v, open %v", ErrBadPoll, name, closed, locked, open)
		case locked:
			l = ClosedLocked
		case closed:
			l = ClosedUnlocked
		case open:
			l = Open
		case was == Open, was == Closing:
			l = Closing
		default:
			l = Opening
		}
	}
	position := map[bool]uint8{true: 100}[l == Open]
	if !l.Closed() && l != Open {
		position = 50
	}
	if r, ok := m.read[name+".position"]; ok {
		v := r.Number(r.Raw)
		if v < -nearlyShut || v > 100+nearlyShut || l.Closed() && v > nearlyShut {
			return l, 0, fmt.Errorf("%w: %s is %v at %.0f %%", ErrBadPoll, name, l, v)
		}
		if position = uint8(min(100, max(0, math.Round(v)))); l.Closed() {
			position = 0
		}
	}
	return l, position, nil
}

// count follows the clock and the counters.
func (m *mapped) count(s *Snapshot) {
	delta := func(name string, was uint32) (now, d uint32) {
		r, ok := m.read[name]
		if !ok {
			return 0, 0
		}
		return r.Raw, (r.Raw - was) & r.Most()
	}
	now, d := delta("clock", m.clock)
	if m.known && d > m.m.Clock.Most()/2 { // the clock went back: the controller has started again
		m.boots++
		m.uptime, m.known = 0, false
	} else if m.known {
		m.uptime += float64(d) * m.m.Clock.Scale
	}
	m.clock = now
	s.Uptime, s.Boots = uint32(uint64(m.uptime)), m.boots+uint16(m.read["boots"].Raw)
	crossings, more := delta("crossings", m.crossings)
	if m.known && more > 0 && more <= m.m.Crossings.Most()/2 {
		m.crossed = append(m.crossed, Event{Uptime: s.Uptime, Code: EventCrossed, Arg: uint16(more)})
	}
	m.crossings = crossings
	for i, sensor := range regmap.SensorNames {
		name := "edges." + sensor
		if _, ok := m.read[name]; !ok {
			continue
		}
		count, d := delta(name, m.counters[name])
		m.counters[name] = count
		if most := m.read[name].Most(); !m.known || d > most/2 {
			continue // a counter that jumps is none
		}
		if m.m.EdgesCount == "rises" {
			// A fall is what lies between two rises, or the level: never counted
			// before it has happened by more than the poll's own length.
			d = 2 * d
			if m.levels>>i&1 == 1 && s.Zones>>i&1 == 0 {
				d++
			} else if m.levels>>i&1 == 0 && s.Zones>>i&1 == 1 && d > 0 {
				d--
			}
		}
		m.edges[i] += int(d)
	}
	for i, e := range m.edges {
		s.Edges[i] = uint8(e)
	}
	m.levels, m.known = s.Zones, true
}

// conclude says what a gate's own logic would say of the sensors, where the map
// has no bit for it.
func (m *mapped) conclude(s *Snapshot) {
	has := func(alarm string) bool { _, ok := m.read["alarms."+alarm]; return ok }
	s.Persons = 255
	if r, ok := m.read["persons"]; ok {
		if w, _ := r.Word(r.Raw); w != "unknown" {
			s.Persons = uint16(min(254, max(0, math.Round(r.Number(r.Raw)))))
		}
	} else {
		switch {
		case s.Alarms&MultiPerson != 0:
			s.Persons = 2
		case s.Occupied():
			s.Persons = 1
		default:
			s.Persons = 0
		}
	}
	latch := func(name string, alarm Alarms, on bool) {
		if on && !has(name) {
			m.latched |= alarm
		}
	}
	latch("MULTI_PERSON", MultiPerson, s.State == Occupied && s.Persons > 1 && s.Persons != 255)
	latch("TAILGATE", Tailgate, s.Zones&TailgateDetector != 0 && (s.State == EntryOpen || s.State == Occupied))
	latch("INTRUSION", Intrusion, s.Occupied() && (s.State == SafeClosed || s.State == Ready))
	if s.Zones&Luggage == 0 || s.Occupied() || !s.Entry.Closed() || !s.Exit.Closed() {
		m.bagSince = time.Time{}
	} else if m.bagSince.IsZero() {
		m.bagSince = s.At
	}
	latch("LEFT_LUGGAGE", LeftLuggage, !m.bagSince.IsZero() && s.At.Sub(m.bagSince) >= bagAfter)
	s.Alarms |= m.latched
}

// begin takes the first poll as where everything starts.
func (m *mapped) begin(Snapshot) error {
	m.given, m.crossed, m.beats, m.lit = nil, nil, 0, false
	return nil
}

func (m *mapped) pending(Snapshot) bool { return len(m.crossed) > 0 }

func (m *mapped) events(Snapshot) ([]Event, error) {
	list := m.crossed
	m.crossed = nil
	return list, nil
}

// heartbeat writes beat in the controller's manner.
func (m *mapped) heartbeat(beat uint16) error {
	w := m.m.Watchdog.Heartbeat
	v := beat
	if w.Style == "toggle" {
		v &= 1
	} else if w.Most < math.MaxUint16 {
		v = (beat-1)%uint16(w.Most) + 1
	}
	if err := m.put(w, v); err != nil {
		return err
	}
	m.beats, m.beat = m.beats+1, beat
	return nil
}

// put writes a register, or switches a coil.
func (m *mapped) put(w *regmap.Write, v uint16) error {
	var err error
	if w.Register == regmap.Coil {
		if v != 0 {
			v = 0xFF00
		}
		_, err = m.WriteSingleCoil(w.At, v)
	} else {
		_, err = m.WriteSingleRegister(w.At, v)
	}
	return err
}

// settle reads which leaf is freed on failure and the times, and writes those
// that differ.
func (m *mapped) settle(ctx context.Context, s Snapshot) (done bool, err error) {
	got, err := m.some(m.m.Settled())
	if err != nil {
		return false, fmt.Errorf("parameters: %w", err)
	}
	frees := m.cfg.FallbackFrees
	if r, ok := got["egress.fallback"]; ok {
		if frees, ok = r.Word(r.Raw); !ok {
			return false, &fatalError{fmt.Errorf("egress.fallback is %d, which the map does not know", r.Raw)}
		}
	}
	if frees != "entry" && !m.cfg.ExitOnFailure {
		return false, &fatalError{errors.New("the gate frees its exit on failure: a cut cable would open the border; set exit_on_failure only if that is wanted")}
	}
	done = true
	p := m.cfg.Params
	for name, want := range map[string]time.Duration{"open_max": p.OpenMax, "close_max": p.CloseMax, "entry_hold": p.EntryHold, "exit_hold": p.ExitHold} {
		x := m.m.Parameters[name]
		if x.Point == nil {
			if fixed := time.Duration(x.Fixed); fixed > want {
				return false, &fatalError{fmt.Errorf("the gate's %s is fixed at %v: the lane's timers rest on %v; set gate.%s to %v or more", name, fixed, want, name, fixed)}
			}
			continue
		}
		raw := uint32(math.Round(float64(want.Milliseconds()) / x.Point.Scale))
		if got["parameters."+name+".point"].Raw == raw {
			continue
		}
		if x.Point.Width == 16 && raw > math.MaxUint16 {
			return false, &fatalError{fmt.Errorf("%s %v does not fit into %v", name, want, x.Point)}
		}
		if s.State != SafeClosed && s.State != Maintenance {
			done = false
			continue
		}
		if err := busy(ctx, func() error { return m.store(x.Point, raw) }); err != nil {
			return false, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	return done, nil
}

// store writes a value of one or two registers.
func (m *mapped) store(p *regmap.Point, raw uint32) error {
	if p.Words == 1 {
		_, err := m.WriteSingleRegister(p.At, uint16(raw))
		return err
	}
	v := []uint16{uint16(raw >> 16), uint16(raw)}
	if p.Order == "low" {
		slices.Reverse(v)
	}
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, v[0]), v[1])
	_, err := m.WriteMultipleRegisters(p.At, 2, b)
	return err
}

func (m *mapped) lights(l Lights) error {
	for i, name := range regmap.LightNames {
		w, bit := m.m.Lights[name], Lights(1)<<i
		if w == nil || m.lit && (l^m.switched)&bit == 0 {
			continue
		}
		v := uint16(0)
		if l&bit != 0 {
			v = uint16(max(1, w.Value))
		}
		if err := m.put(w, v); err != nil {
			return err
		}
		m.switched = m.switched&^bit | l&bit
	}
	m.lit = true
	return nil
}

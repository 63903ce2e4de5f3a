package gate

import (
	"math"
	"slices"
	"strconv"
	"time"

	"passage/drivers/gate/regmap"
)

// foreign is the same gate behind another maker's registers: what a register
// map says, from the other side. It shares the file's reader with the driver and
// nothing else: which bits a value has on the wire is worked out here again.
type foreign struct {
	m      *regmap.Map
	points []regmap.Named
	held   map[regmap.Write]uint16 // what was last written, by place
	acks   map[string]bool         // commands that are acknowledged, by name
	beats  uint16
	was    uint16
	regs   map[uint16]uint16 // parameters' words, as written so far
}

// Speak makes the gate answer by a register map instead of ABC-LANE. It trips
// after the map's watchdog time, and calls itself as the map wants.
func (g *Gate) Speak(m *regmap.Map) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.foreign = &foreign{m: m, points: m.Points(), held: map[regmap.Write]uint16{}, acks: map[string]bool{}, regs: map[uint16]uint16{}}
	if ms := time.Duration(m.Watchdog.Timeout).Milliseconds(); ms > 0 {
		g.param[pWatchdog] = uint16(min(ms, math.MaxUint16))
	}
}

// place is where a write goes, whatever is written.
func place(register string, at uint16) regmap.Write { return regmap.Write{Register: register, At: at} }

func (f *foreign) function(g *Gate, fc byte, d []byte) ([]byte, byte) {
	space := map[byte]string{1: regmap.Coil, 2: regmap.Discrete, 3: regmap.Holding, 4: regmap.Input}
	switch fc {
	case 1, 2, 3, 4:
		if len(d) != 4 || word(d[2:]) == 0 || word(d[2:]) > 125 {
			return nil, exValue
		}
		return f.read(g, space[fc], word(d), word(d[2:]))
	case 5, 6:
		if len(d) != 4 || fc == 5 && word(d[2:]) != 0 && word(d[2:]) != 0xFF00 {
			return nil, exValue
		}
		register, v := regmap.Holding, word(d[2:])
		if fc == 5 {
			register, v = regmap.Coil, min(1, v)
		}
		if ex := f.write(g, register, word(d), v); ex != 0 {
			return nil, ex
		}
		return d, 0
	case 16:
		if len(d) < 5 || int(d[4]) != len(d)-5 || int(d[4]) != 2*int(word(d[2:])) {
			return nil, exValue
		}
		for i := range word(d[2:]) {
			if ex := f.write(g, regmap.Holding, word(d)+i, word(d[5+2*i:])); ex != 0 {
				return nil, ex
			}
		}
		return d[:4], 0
	case 43:
		if f.m.Identity.Product == "" {
			return nil, exFunction
		}
		out := []byte{14, 1, 1, 0, 0, 2, 0, 7}
		out = append(out, "example"...)
		return append(append(out, 1, byte(len(f.m.Identity.Product))), f.m.Identity.Product...), 0
	}
	return nil, exFunction
}

// read answers for addresses that the map names, and for those between them.
func (f *foreign) read(g *Gate, register string, at, n uint16) ([]byte, byte) {
	lowest, highest := math.MaxInt, -1
	v := make([]uint16, n)
	for _, p := range f.points {
		if p.Register != register {
			continue
		}
		lowest, highest = min(lowest, int(p.At)), max(highest, int(p.At)+p.Words-1)
		for i, w := range f.cells(g, p) {
			if k := int(p.At) + i - int(at); k >= 0 && k < int(n) {
				v[k] |= w
			}
		}
	}
	if int(at) < lowest || int(at)+int(n)-1 > highest {
		return nil, exAddress
	}
	if register == regmap.Coil || register == regmap.Discrete {
		out := make([]byte, 1+(n+7)/8)
		out[0] = byte(len(out) - 1)
		for i, x := range v {
			out[1+i/8] |= byte(x) << (i % 8)
		}
		return out, 0
	}
	return g.words(0, n, func(a uint16) uint16 { return v[a] }), 0
}

// cells is a point as it lies in its registers.
func (f *foreign) cells(g *Gate, p regmap.Named) []uint16 {
	v := f.value(g, p)
	if p.Register == regmap.Coil || p.Register == regmap.Discrete {
		return []uint16{uint16(v)}
	}
	if p.Bit != nil {
		v <<= *p.Bit
	} else if p.Mask != nil {
		for low := *p.Mask; low&1 == 0; low >>= 1 {
			v <<= 1
		}
		v &= *p.Mask
	}
	switch {
	case p.Words == 1:
		return []uint16{uint16(v)}
	case p.Order == "low":
		return []uint16{uint16(v), uint16(v >> 16)}
	}
	return []uint16{uint16(v >> 16), uint16(v)}
}

// value is what a point holds, before it is put into its bits.
func (f *foreign) value(g *Gate, p regmap.Named) uint32 {
	yes := func(on bool) uint32 {
		if on != p.Invert {
			return 1
		}
		return 0
	}
	called := func(w string) uint32 {
		for text, meant := range p.Values {
			if n, err := strconv.ParseUint(text, 0, 32); err == nil && meant == w {
				return uint32(n)
			}
		}
		return math.MaxUint16 // a state that this controller has no number for
	}
	counts := func(x float64) uint32 { return uint32(int64(math.Round(x / p.Scale))) }
	if i := slices.IndexFunc(regmap.SensorNames, func(s string) bool { return p.Name == "sensors."+s }); i >= 0 {
		return yes(g.level(i))
	}
	if i := slices.IndexFunc(regmap.SensorNames, func(s string) bool { return p.Name == "edges."+s }); i >= 0 {
		n := g.rises[i]
		if f.m.EdgesCount == "edges" {
			n = g.flips[i]
		}
		return n & p.Bits()
	}
	if i := slices.IndexFunc(FaultNames, func(s string) bool { return p.Name == "faults."+s }); i >= 0 {
		return yes(g.faults>>i&1 == 1)
	}
	if i := slices.IndexFunc(AlarmNames, func(s string) bool { return p.Name == "alarms."+s }); i >= 0 {
		return yes(g.alarms>>i&1 == 1)
	}
	if i := slices.IndexFunc(regmap.ParameterNames, func(s string) bool { return p.Name == "parameters."+s+".point" }); i >= 0 {
		return counts(float64(g.param[pOpenMax+i]))
	}
	for name := range f.m.Commands {
		if p.Name == "commands."+name+".ack" {
			return yes(f.acks[name])
		}
	}
	leaf := map[string]*leaf{"entry.": g.entry, "exit.": g.exit}
	for prefix, l := range leaf {
		switch p.Name {
		case prefix + "state":
			return called(leafNames[l.state])
		case prefix + "position":
			return counts(math.Round(l.pos))
		case prefix + "closed":
			return yes(l.closed())
		case prefix + "locked":
			return yes(l.locked())
		case prefix + "open":
			return yes(l.state == lsOpen)
		}
	}
	switch p.Name {
	case "identity.model":
		return uint32(*f.m.Identity.Equals)
	case "clock":
		return counts(float64(g.uptime())) & p.Bits()
	case "boots":
		return uint32(g.boots) & p.Bits()
	case "state":
		return called(StateNames[g.state])
	case "persons":
		if g.persons == 255 && len(p.Values) > 0 {
			return called("unknown")
		}
		return counts(float64(g.persons))
	case "crossings":
		return g.crossings & p.Bits()
	case "temperature":
		return counts(float64(g.temp)/10) & p.Bits()
	case "supply":
		return counts(float64(g.supply) / 1000)
	case "watchdog.state":
		return called([]string{"DISARMED", "RUNNING", "TRIPPED"}[g.wd])
	case "egress.fallback":
		return called([]string{"entry", "exit"}[g.param[pFallback]&1])
	case "result":
		return called(f.result(g.result))
	}
	return 0
}

// result is a result in the words of a map, which lacks some of ABC-LANE's.
func (f *foreign) result(r uint8) string {
	if w := resultWords[r]; slices.Contains(regmap.ResultNames, w) {
		return w
	}
	return "NONE"
}

// orders are a map's commands as the gate's own: code and arguments.
var orders = map[string][3]uint16{
	"OPEN_ENTRY": {1, 1}, "OPEN_EXIT": {2}, "OPEN_RETURN": {3}, "CLOSE_ALL": {4}, "SAFE_CLOSED": {5, 0}, "READY": {5, 1}, "MAINTENANCE": {5, 2, 0x4D54},
	"CLEAR_ALARM": {6, 0xFFFF}, "CLEAR_FAULT": {7, 0xFFFF}, "EVACUATE": {8, 1}, "END_EVACUATE": {8, 0},
	"MOVE_ENTRY_OPEN": {9, 0, 1}, "MOVE_ENTRY_CLOSE": {9, 0, 0}, "MOVE_EXIT_OPEN": {9, 1, 1}, "MOVE_EXIT_CLOSE": {9, 1, 0},
}

// write takes one register or coil. A coil gives its command when it rises.
func (f *foreign) write(g *Gate, register string, at, v uint16) byte {
	was := f.held[place(register, at)]
	f.held[place(register, at)] = v
	known := false
	if w := f.m.Watchdog.Heartbeat; w != nil && w.Register == register && w.At == at {
		if v != f.was || f.beats == 0 {
			f.was = v
			if f.beats++; f.beats == 0 {
				f.beats = 1
			}
			g.heartbeat(f.beats)
		}
		known = true
	}
	for name, w := range f.m.Commands {
		if w.Register != register || w.At != at {
			continue
		}
		known = true
		switch {
		case register == regmap.Coil && v == 1 && was == 0, register == regmap.Holding && int(v) == w.Value && was != v:
			o := orders[name]
			seq := g.seqDone + 1
			if seq == 0 {
				seq = 1
			}
			g.command([]uint16{o[0], o[1], o[2], seq})
			f.acks[name] = true
		case v == 0:
			f.acks[name] = false
		}
	}
	for i, name := range regmap.LightNames {
		if w := f.m.Lights[name]; w != nil && w.Register == register && w.At == at {
			known = true
			if !g.steady() {
				return exState
			}
			g.coils &^= 1 << i
			if v != 0 {
				g.coils |= 1 << i
			}
		}
	}
	for i, name := range regmap.ParameterNames {
		x := f.m.Parameters[name]
		if register != regmap.Holding || x == nil || x.Point == nil || at < x.Point.At || int(at) >= int(x.Point.At)+x.Point.Words {
			continue
		}
		f.regs[at] = v
		if int(at) == int(x.Point.At)+x.Point.Words-1 { // the last word completes it
			raw := uint32(f.regs[x.Point.At])
			if x.Point.Words == 2 && x.Point.Order == "low" {
				raw |= uint32(v) << 16
			} else if x.Point.Words == 2 {
				raw = raw<<16 | uint32(v)
			}
			return g.parameters(uint16(0x100+pOpenMax+i), []uint16{uint16(math.Round(float64(raw) * x.Point.Scale))})
		}
		known = true
	}
	if !known {
		return exAddress
	}
	return 0
}

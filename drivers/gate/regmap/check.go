package regmap

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Named is a point with the name that it has in the file.
type Named struct {
	Name string
	*Point
}

// Points are all points of a map, in a fixed order.
func (m *Map) Points() []Named {
	var list []Named
	add := func(name string, p *Point) {
		if p != nil {
			list = append(list, Named{name, p})
		}
	}
	many := func(name string, of map[string]*Point) {
		for _, k := range sorted(of) {
			add(name+"."+k, of[k])
		}
	}
	add("identity.model", m.Identity.Model)
	add("clock", m.Clock)
	add("boots", m.Boots)
	add("state", m.State)
	for _, l := range []struct {
		name string
		leaf *Leaf
	}{{"entry", &m.Entry}, {"exit", &m.Exit}} {
		add(l.name+".state", l.leaf.State)
		add(l.name+".position", l.leaf.Position)
		add(l.name+".closed", l.leaf.Closed)
		add(l.name+".locked", l.leaf.Locked)
		add(l.name+".open", l.leaf.Open)
	}
	many("sensors", m.Sensors)
	many("edges", m.Edges)
	add("persons", m.Persons)
	add("crossings", m.Crossings)
	many("faults", m.Faults)
	many("alarms", m.Alarms)
	add("temperature", m.Temperature)
	add("supply", m.Supply)
	add("watchdog.state", m.Watchdog.State)
	add("egress.fallback", m.Egress.Fallback)
	for _, k := range sorted(m.Parameters) {
		add("parameters."+k+".point", m.Parameters[k].Point)
	}
	for _, k := range sorted(m.Commands) {
		add("commands."+k+".ack", m.Commands[k].Ack)
	}
	add("result", m.Result)
	return list
}

// still says whether a point is read once, not with every poll.
func still(name string) bool {
	return name == "identity.model" || name == "egress.fallback" || strings.HasPrefix(name, "parameters.")
}

// check completes the map and names what is wrong with it.
func (m *Map) check(p *problems) {
	if strings.TrimSpace(m.Name) == "" {
		p.add("name", "is missing")
	}
	if m.First != 0 && m.First != 1 {
		p.add("first_address", "%d: a maker's list begins with 0 or 1", m.First)
		m.First = 0
	}
	if m.WordOrder == "" {
		m.WordOrder = "high"
	}
	if m.WordOrder != "high" && m.WordOrder != "low" {
		p.add("word_order", "%q is neither \"high\" nor \"low\"", m.WordOrder)
		m.WordOrder = "high"
	}
	if m.Poll.Most == 0 {
		m.Poll.Most = 60
	}
	if m.Poll.Most < 2 || m.Poll.Most > 125 {
		p.add("poll.most", "%d is not within 2 to 125", m.Poll.Most)
		m.Poll.Most = 60
	}
	if m.Poll.Gap < 0 || m.Poll.Gap > 60 {
		p.add("poll.gap", "%d is not within 0 to 60", m.Poll.Gap)
		m.Poll.Gap = 0
	}
	m.checkPoints(p)
	m.checkWrites(p)
	m.overlaps(p)
}

func (m *Map) checkPoints(p *problems) {
	count, level := kind{count: true}, kind{bit: true}
	known := func(key string, has []string, of []string) {
		for _, k := range has {
			if !slices.Contains(of, k) {
				p.add(key+"."+k, "is none of %s", strings.Join(of, ", "))
			}
		}
	}
	m.point(p, "identity.model", m.Identity.Model, kind{})
	if (m.Identity.Model == nil) != (m.Identity.Equals == nil) {
		p.add("identity", "model and equals belong together")
	}
	m.point(p, "clock", m.Clock, count)
	m.point(p, "boots", m.Boots, count)
	m.point(p, "state", m.State, kind{names: StateNames})
	for _, l := range []struct {
		name string
		leaf *Leaf
	}{{"entry", &m.Entry}, {"exit", &m.Exit}} {
		m.point(p, l.name+".state", l.leaf.State, kind{names: LeafNames})
		m.point(p, l.name+".position", l.leaf.Position, kind{})
		m.point(p, l.name+".closed", l.leaf.Closed, level)
		m.point(p, l.name+".locked", l.leaf.Locked, level)
		m.point(p, l.name+".open", l.leaf.Open, level)
		if l.leaf.State != nil && (l.leaf.Closed != nil || l.leaf.Locked != nil || l.leaf.Open != nil) {
			p.add(l.name, "has a state or limit switches, not both")
		}
	}
	known("sensors", sorted(m.Sensors), SensorNames)
	known("edges", sorted(m.Edges), SensorNames)
	known("faults", sorted(m.Faults), FaultNames)
	known("alarms", sorted(m.Alarms), AlarmNames)
	for _, group := range []struct {
		name string
		of   map[string]*Point
		kind kind
	}{{"sensors", m.Sensors, level}, {"edges", m.Edges, count}, {"faults", m.Faults, level}, {"alarms", m.Alarms, level}} {
		for _, k := range sorted(group.of) {
			m.point(p, group.name+"."+k, group.of[k], group.kind)
		}
	}
	switch {
	case len(m.Edges) > 0 && m.EdgesCount != "edges" && m.EdgesCount != "rises":
		p.add("edges_count", "%q is neither \"edges\" nor \"rises\"", m.EdgesCount)
	case len(m.Edges) == 0 && m.EdgesCount != "":
		p.add("edges_count", "means nothing without edges")
	}
	persons := kind{}
	if m.Persons != nil && len(m.Persons.Values) > 0 {
		persons.names = []string{"unknown"}
	}
	m.point(p, "persons", m.Persons, persons)
	m.point(p, "crossings", m.Crossings, count)
	m.point(p, "temperature", m.Temperature, kind{})
	m.point(p, "supply", m.Supply, kind{})
	m.point(p, "watchdog.state", m.Watchdog.State, kind{names: WatchdogNames, all: []string{"RUNNING"}})
	m.point(p, "egress.fallback", m.Egress.Fallback, kind{names: EgressNames})
	m.point(p, "result", m.Result, kind{names: ResultNames, all: []string{"OK"}})
	if t := time.Duration(m.Watchdog.Timeout); t < 0 {
		p.add("watchdog.timeout", "%v is negative", t)
	}
	known("parameters", sorted(m.Parameters), ParameterNames)
	for _, k := range sorted(m.Parameters) {
		x, key := m.Parameters[k], "parameters."+k
		m.point(p, key+".point", x.Point, count)
		fixed := time.Duration(x.Fixed)
		switch {
		case (x.Point == nil) == (fixed == 0):
			p.add(key, "has a point or is fixed")
		case x.Point != nil && x.Point.Register != Holding:
			p.add(key+".point.register", "only a holding register can be written")
		case x.Point == nil && (fixed < 500*time.Millisecond || fixed > 30*time.Second):
			p.add(key+".fixed", "%v is not within 500ms to 30s", fixed)
		}
	}
}

func (m *Map) checkWrites(p *problems) {
	for _, k := range sorted(m.Commands) {
		key := "commands." + k
		if !slices.Contains(CommandNames, k) {
			p.add(key, "is none of %s", strings.Join(CommandNames, ", "))
		}
		w := m.Commands[k]
		if w.Release == "" {
			w.Release = "none"
			if w.Register == Coil {
				p.add(key, "a coil stays on until it is released: say release = \"ack\" or \"pulse\"")
			}
		}
		m.write(p, key, w)
		switch {
		case !slices.Contains([]string{"ack", "pulse", "none"}, w.Release):
			p.add(key+".release", "%q is none of ack, pulse, none", w.Release)
		case w.Release == "ack" && w.Ack == nil:
			p.add(key+".ack", "is missing: release waits for it")
		case w.Release == "pulse" && (w.Pulse < Duration(20*time.Millisecond) || w.Pulse > Duration(2*time.Second)):
			p.add(key+".pulse", "%v is not within 20ms to 2s", time.Duration(w.Pulse))
		}
		if w.Release != "pulse" && w.Pulse != 0 {
			p.add(key+".pulse", "means nothing without release = \"pulse\"")
		}
		if w.Register == Holding && w.Value == 0 {
			p.add(key+".value", "is missing")
		}
		m.point(p, key+".ack", w.Ack, kind{bit: true})
		if w.Style != "" || w.Most != 0 {
			p.add(key+".style", "is a heartbeat's")
		}
		if m.Result != nil && w.Ack == nil {
			p.add(key+".ack", "is missing: without it nobody knows whether result is this command's or the last one's")
		}
	}
	for _, k := range sorted(m.Lights) {
		key := "lights." + k
		if !slices.Contains(LightNames, k) {
			p.add(key, "is none of %s", strings.Join(LightNames, ", "))
		}
		w := m.Lights[k]
		m.write(p, key, w)
		if w.Register == Holding && w.Value == 0 {
			w.Value = 1
		}
		if w.Release != "" || w.Ack != nil || w.Pulse != 0 || w.Style != "" || w.Most != 0 {
			p.add(key, "a light is only switched")
		}
		w.Release = "hold"
	}
	if w := m.Watchdog.Heartbeat; w != nil {
		const key = "watchdog.heartbeat"
		m.write(p, key, w)
		if w.Style == "" && w.Register == Coil {
			w.Style = "toggle"
		} else if w.Style == "" {
			w.Style = "count"
		}
		if w.Most == 0 {
			w.Most = math.MaxUint16
		}
		switch {
		case w.Style != "toggle" && w.Style != "count", w.Style == "count" && w.Register == Coil:
			p.add(key+".style", "%q: a register counts or toggles, a coil toggles", w.Style)
		case w.Style == "count" && (w.Most < 2 || w.Most > math.MaxUint16):
			p.add(key+".most", "%d is not within 2 to 65535", w.Most)
		}
		if w.Release != "" || w.Ack != nil || w.Pulse != 0 || w.Value != 0 {
			p.add(key, "is a register or coil, a style and, for count, the most")
		}
	}
}

func (m *Map) write(p *problems, key string, w *Write) {
	if w.Register != Coil && w.Register != Holding {
		p.add(key+".register", "%q: only a coil or a holding register can be written", w.Register)
	}
	if w.Address < m.First || w.Address-m.First > math.MaxUint16 {
		p.add(key+".address", "%d is not within %d to %d", w.Address, m.First, math.MaxUint16+m.First)
		return
	}
	w.At = uint16(w.Address - m.First)
	if w.Value < 0 || w.Value > math.MaxUint16 {
		p.add(key+".value", "%d is not within 0 to 65535", w.Value)
	}
}

// overlaps refuses two things in the same bits, and two that are written to the
// same place alike: one of the two is a slip.
func (m *Map) overlaps(p *problems) {
	type cell struct {
		register string
		at       uint16
	}
	type claim struct {
		name string
		bits uint32
	}
	held := map[cell][]claim{}
	for _, x := range m.Points() {
		if x.Words == 0 || strings.HasSuffix(x.Name, ".ack") {
			continue // one that was refused already; commands may share their acknowledgement
		}
		for i := range x.Words {
			c := cell{x.Register, x.At + uint16(i)}
			bits := x.Bits()
			if x.Words == 2 && (i == 0) == (x.Order == "high") {
				bits >>= 16
			} else if x.Words == 2 {
				bits &= math.MaxUint16
			}
			for _, was := range held[c] {
				if was.bits&bits != 0 {
					p.add(x.Name, "overlaps %s in %s %d", was.name, c.register, int(c.at)+m.First)
				}
			}
			held[c] = append(held[c], claim{x.Name, bits})
		}
	}
	type order struct {
		cell
		value int
	}
	given := map[order]string{}
	write := func(name string, w *Write) {
		if w == nil {
			return
		}
		at := order{cell{w.Register, w.At}, w.Value}
		if was, twice := given[at]; twice {
			p.add(name, "is written as %s is", was)
		}
		given[at] = name
	}
	write("watchdog.heartbeat", m.Watchdog.Heartbeat)
	for _, k := range sorted(m.Commands) {
		write("commands."+k, m.Commands[k])
	}
	for _, k := range sorted(m.Lights) {
		write("lights."+k, m.Lights[k])
	}
}

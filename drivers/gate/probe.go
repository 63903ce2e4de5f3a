package gate

import (
	"fmt"

	"passage/drivers/gate/regmap"
)

// Probed is a gate as it answered.
type Probed struct {
	Name     string
	Snapshot Snapshot
	Repeated int // requests that got no good reply at once
}

// probePolls is how often a probe polls: a line that spoils a frame now and then
// shows it.
const probePolls = 8

// Probe asks the gate on a line how it calls itself and polls it a few times. It
// writes nothing: no heartbeat, no parameter. Of cfg it takes address, rate and
// map.
func Probe(line Line, cfg Config) (p Probed, err error) {
	g := New(line, cfg)
	if p.Name, err = g.ctl.identify(); err != nil {
		return p, fmt.Errorf("gate: probe: %w", err)
	}
	for range probePolls {
		if p.Snapshot, err = g.ctl.poll(); err != nil {
			return p, fmt.Errorf("gate: probe: %w", err)
		}
	}
	if v := p.Snapshot.Version; v>>8 != 1 {
		return p, fmt.Errorf("gate: probe: the gate speaks protocol %d.%d, this driver 1.x", v>>8, v&0xff)
	}
	p.Repeated = g.LinkErrors()
	return p, nil
}

// Decoded is a point of a register map as it was read, in words; Wrong says why
// that cannot be.
type Decoded struct {
	Name  string `json:"name"`
	At    string `json:"at"`
	Raw   uint32 `json:"raw"`
	Word  string `json:"word"`
	Wrong string `json:"wrong,omitempty"`
}

// ReadMap reads every point of a register map on a line. It writes nothing, and
// reads on where the controller refuses a register: every refusal is told at its
// points. It fails only where nobody answers, or another device does.
func ReadMap(line Line, cfg Config) (name string, list []Decoded, err error) {
	m := newMapped(newRegisters(line, cfg.Address, cfg.Baud), cfg)
	if name, err = m.greet(); err != nil {
		return "", nil, fmt.Errorf("gate: read: %w", err)
	}
	points := m.m.Points()
	for _, r := range m.m.Plan(points) {
		var here []regmap.Named
		for _, p := range points {
			if p.Register == r.Register && p.At >= r.At && int(p.At)+p.Words <= int(r.At)+int(r.Count) {
				here = append(here, p)
			}
		}
		got, err := m.fetch([]regmap.Request{r}, here)
		if isSilent(err) {
			return name, list, fmt.Errorf("gate: read: %w", err)
		}
		for _, p := range here {
			d := Decoded{Name: p.Name, At: p.String()}
			if err != nil {
				d.Wrong = err.Error()
			} else {
				d.Raw = got[p.Name].Raw
				d.Word, d.Wrong = plausible(p, d.Raw)
			}
			list = append(list, d)
		}
	}
	return name, list, nil
}

// plausible puts a value into words and says what cannot be about it.
func plausible(p regmap.Named, raw uint32) (word, wrong string) {
	switch {
	case len(p.Values) > 0:
		w, ok := p.Word(raw)
		if !ok && p.Name != "persons" {
			return "", "the map has no word for it"
		} else if ok {
			return w, ""
		}
	case p.Binary():
		return map[uint32]string{0: "no", 1: "yes"}[raw], ""
	}
	v := p.Number(raw)
	limits := map[string][2]float64{
		"entry.position": {-nearlyShut, 100 + nearlyShut}, "exit.position": {-nearlyShut, 100 + nearlyShut}, "persons": {0, 9},
		"temperature": {-40, 85}, "supply": {5, 60},
		"parameters.open_max.point": {500, 10000}, "parameters.close_max.point": {500, 10000},
		"parameters.entry_hold.point": {500, 30000}, "parameters.exit_hold.point": {500, 30000},
	}
	if l, ok := limits[p.Name]; ok && (v < l[0] || v > l[1]) {
		wrong = fmt.Sprintf("is not within %g to %g: check address, scale and word order", l[0], l[1])
	}
	return fmt.Sprintf("%g", v), wrong
}

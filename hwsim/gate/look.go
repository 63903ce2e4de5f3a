package gate

import (
	"maps"
	"slices"
	"time"
)

// leafNames are the leaf states by number (§4).
var leafNames = []string{"UNKNOWN", "CLOSED_LOCKED", "CLOSED_UNLOCKED", "OPENING", "OPEN", "CLOSING", "REVERSING", "STOPPED", "JAMMED", "FORCED"}

// Look is what somebody who stands beside the gate sees at one moment.
type Look struct {
	At       time.Duration // since the simulation began
	Powered  bool
	State    string
	Leaves   [2]LeafLook // entry, exit
	Zones    uint8       // S0 to S7
	Outputs  uint16      // §5
	Faults   []string
	Alarms   []string
	Persons  uint16 // the gate's own estimate
	Watchdog string // DISARMED, RUNNING, TRIPPED
	Bodies   []Body
	Injected []string // the faults that are on
}

// LeafLook is one leaf.
type LeafLook struct {
	Open  float64 // percent
	State string
}

// Body is a person or a bag at X metres, on the way to Target.
type Body struct {
	ID        string
	X, Target float64
	Bag       bool
}

// Look looks.
func (g *Gate) Look() Look {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := Look{
		At: g.now, Powered: !g.off, State: StateNames[g.state], Zones: g.zones, Outputs: g.outputs(), Persons: uint16(g.persons),
		Faults: named(g.faults, FaultNames), Alarms: named(g.alarms, AlarmNames), Watchdog: []string{"DISARMED", "RUNNING", "TRIPPED"}[g.wd],
	}
	for i, leaf := range []*leaf{g.entry, g.exit} {
		l.Leaves[i] = LeafLook{leaf.pos, leafNames[leaf.state]}
	}
	for _, b := range g.bodies {
		l.Bodies = append(l.Bodies, Body{b.id, b.x, b.target, b.bag})
	}
	l.Injected = slices.Sorted(maps.Keys(g.injected))
	for name := range g.faultsIn {
		l.Injected = append(l.Injected, name)
	}
	slices.Sort(l.Injected)
	return l
}

func named(bits uint16, names []string) []string {
	list := []string{}
	for i, n := range names {
		if bits>>i&1 == 1 {
			list = append(list, n)
		}
	}
	return list
}

// Outcome is what became of the person id, from records of the gate's truth
// alone: released, diverted_out, diverted_in or evacuated; out_of_service for
// one who is still between the leaves.
func Outcome(truth []Record, id string) string {
	out := "diverted_out"
	for _, r := range truth {
		switch {
		case r.What == "entered" && r.Who == id && out == "diverted_out":
			out = "out_of_service"
		case r.What == "crossed" && r.Who == id:
			out = "released"
		case r.What == "went_back" && r.Who == id && out != "evacuated":
			out = "diverted_in"
		case r.What == "state" && r.Who == "EVACUATE":
			out = "evacuated"
		}
	}
	return out
}

// Frame is what one request and its reply looked like on the line.
type Frame struct {
	At       time.Duration // since the simulation began
	Request  []byte
	Reply    []byte // nil for silence
	Injected string // the link fault that spoiled it, "" for none
}

// Tap calls f for every request from now on, with the gate locked: f must not
// call the gate, and must not keep it waiting.
func (g *Gate) Tap(f func(Frame)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taps = append(g.taps, f)
}

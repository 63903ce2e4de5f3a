package panel

import (
	"maps"
	"slices"
)

// View is a lane as a page draws it.
type View struct {
	Name      string    `json:"name"`
	Direction string    `json:"direction"`
	At        int64     `json:"at"` // ms since the simulation began
	Powered   bool      `json:"powered"`
	Gate      string    `json:"gate"`
	Entry     Leaf      `json:"entry"`
	Exit      Leaf      `json:"exit"`
	Zones     uint8     `json:"zones"`
	Outputs   uint16    `json:"outputs"`
	Faults    []string  `json:"faults"`
	Alarms    []string  `json:"alarms"`
	Estimate  uint16    `json:"estimate"` // persons, by the gate
	Watchdog  string    `json:"watchdog"`
	Bodies    []Body    `json:"bodies"`
	Injected  []string  `json:"injected"`
	Document  bool      `json:"document"` // lies on the reader
	Person    *Person   `json:"person,omitempty"`
	Seen      Seen      `json:"seen"`
	Ended     []Ended   `json:"ended"` // newest first
	ByHand    bool      `json:"by_hand"`
	Problem   string    `json:"problem,omitempty"`
	Recording int       `json:"recording"` // lines; 0 for none
	Play      *Progress `json:"play,omitempty"`
}

// Leaf is a door leaf.
type Leaf struct {
	Open  float64 `json:"open"` // percent
	State string  `json:"state"`
}

// Body is a person or a bag in the plan.
type Body struct {
	ID     string  `json:"id"`
	X      float64 `json:"x"` // metres behind the entry leaf
	Target float64 `json:"target"`
	Bag    bool    `json:"bag,omitempty"`
}

// Person is whom the panel let in.
type Person struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Script  string `json:"script,omitempty"`
	Edited  bool   `json:"edited,omitempty"`
	Steered bool   `json:"steered,omitempty"`
}

// Look is the lane as it is.
func (l *Lane) Look() View {
	g := l.Gate.Look()
	v := View{
		Name: l.Name, Direction: l.Direction, At: g.At.Milliseconds(), Powered: g.Powered, Gate: g.State, Entry: Leaf(g.Leaves[0]), Exit: Leaf(g.Leaves[1]),
		Zones: g.Zones, Outputs: g.Outputs, Faults: g.Faults, Alarms: g.Alarms, Estimate: g.Persons, Watchdog: g.Watchdog, Bodies: []Body{}, Injected: []string{}, Seen: l.Seen(), Ended: []Ended{},
	}
	for _, b := range g.Bodies {
		v.Bodies = append(v.Bodies, Body(b))
	}
	v.Injected = append(v.Injected, g.Injected...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, where := range slices.Sorted(maps.Keys(l.faults)) {
		name := where + "=" + l.faults[where]
		if where == "camera" {
			name = where + "." + l.faults[where]
		}
		v.Injected = append(v.Injected, name)
	}
	if x := l.who; x != nil {
		v.Person = &Person{x.ID, x.Name[1] + " " + x.Name[0], x.State, x.Script, x.edited, x.steered}
		v.Document = x.laid
	}
	v.Ended = append(v.Ended, l.ended...)
	slices.Reverse(v.Ended)
	v.ByHand, v.Problem = l.byHand, l.problem
	if l.tape != nil {
		v.Recording = len(l.tape.lines)
	}
	if l.play != nil {
		p := *l.play
		v.Play = &p
	}
	return v
}

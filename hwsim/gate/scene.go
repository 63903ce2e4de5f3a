package gate

import (
	"slices"
	"time"
)

// The lane runs along x, in metres: the entry leaf stands at 0, the exit leaf
// at ExitPlane. Bodies are points that trip every sensor whose field they are
// in; the fields overlap in the order in which a walker meets them.
const (
	EntryPlane = 0.0
	ExitPlane  = 2.2

	Approach = -0.6 // where a traveller stands at the reader
	Marks    = 0.8  // where a traveller stands before the camera
	Beyond   = 4.0  // gone

	passable = 80.0 // percent open that lets a person through
)

// fields are the sensors' reach, S0 to S5.
var fields = [6][2]float64{
	{-1.2, -0.10}, {-0.25, 0.25}, {0, 1.2}, {1.1, 2.2}, {2.05, 2.6}, {2.3, 3.4},
}

// body is a person or a bag.
type body struct {
	id     string
	x      float64
	target float64
	speed  float64 // m/s; 0 for a bag
	bag    bool
}

// AddPerson puts a person at x, standing.
func (g *Gate) AddPerson(id string, x float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bodies = append(g.bodies, &body{id: id, x: x, target: x, speed: 1})
}

// Walk sends a person to x at speed metres a second. A shut leaf stops them.
func (g *Gate) Walk(id string, x, speed float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.find(id); b != nil {
		b.target, b.speed = x, speed
	}
}

// AddBag leaves a bag at x.
func (g *Gate) AddBag(id string, x float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bodies = append(g.bodies, &body{id: id, x: x, target: x, bag: true})
}

// Remove takes a person or a bag out of the scene.
func (g *Gate) Remove(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bodies = slices.DeleteFunc(g.bodies, func(b *body) bool { return b.id == id })
}

// Position returns where a person or bag is.
func (g *Gate) Position(id string) (x float64, here bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.find(id); b != nil {
		return b.x, true
	}
	return 0, false
}

// Persons returns the positions of all persons, by id.
func (g *Gate) Persons() map[string]float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := make(map[string]float64)
	for _, b := range g.bodies {
		if !b.bag {
			m[b.id] = b.x
		}
	}
	return m
}

func (g *Gate) find(id string) *body {
	for _, b := range g.bodies {
		if b.id == id {
			return b
		}
	}
	return nil
}

// move walks everybody for dt.
func (g *Gate) move(dt time.Duration) {
	for _, b := range g.bodies {
		if b.bag || b.x == b.target {
			continue
		}
		step := b.speed * dt.Seconds()
		next := min(b.target, b.x+step)
		if b.target < b.x {
			next = max(b.target, b.x-step)
		}
		if g.stops(b.x, next, EntryPlane, g.entry) || g.stops(b.x, next, ExitPlane, g.exit) {
			continue
		}
		was := b.x
		b.x = next
		switch {
		case was <= EntryPlane && next > EntryPlane:
			g.tell("entered", b.id)
		case was > EntryPlane && next <= EntryPlane:
			g.tell("went_back", b.id)
		case was < ExitPlane && next >= ExitPlane:
			g.tell("crossed", b.id)
		case was >= ExitPlane && next < ExitPlane:
			g.tell("came_back", b.id)
		}
	}
}

// stops says whether a leaf at plane bars the way from x to next.
func (g *Gate) stops(x, next, plane float64, l *leaf) bool {
	crosses := x <= plane && next > plane || x > plane && next <= plane || x < plane && next >= plane
	// A leaf that the gate has freed is pushed open by hand, and so is one that
	// stood still half-way, once nothing holds it and the motors are off.
	still := (l.state == lsJammed || l.state == lsStopped) && !l.stuckAt
	loose := l.state == lsClosedUnlocked || still && l == g.egressLeaf(0)
	freed := loose && (g.state == fallback || g.state == faulted || g.state == evacuate)
	return crosses && l.pos < passable && !freed
}

// sense derives every level from positions, then applies stuck sensors.
func (g *Gate) sense() {
	var levels uint8
	inside, people, near := 0, 0, 0
	for _, b := range g.bodies {
		between := b.x > EntryPlane && b.x < ExitPlane
		if b.bag {
			if between {
				levels |= 1 << 6
			}
			continue
		}
		for k, f := range fields {
			if b.x >= f[0] && b.x <= f[1] {
				levels |= 1 << k
			}
		}
		if between {
			inside++
		}
		people++
		if b.x > -0.3 && b.x < 1.2 {
			near++
		}
	}
	if near > 1 && inside > 0 && !g.entry.closed() {
		levels |= 1 << 7 // two bodies close behind one another under the detector
	}
	for k, v := range g.stuck {
		if v {
			levels |= 1 << k
		}
	}
	for k := range 8 {
		if (levels^g.zones)>>k&1 == 1 {
			g.edges[k]++
			g.flips[k]++
			g.rises[k] += uint32(levels >> k & 1)
		}
	}
	if rise := levels &^ g.zones; g.state == exitOpen {
		g.wrongWay(rise)
	}
	g.zones = levels
	g.inside = inside
}

// wrongWay follows S5, S4, S3 rising in that order while the exit is open.
func (g *Gate) wrongWay(rise uint8) {
	for k, want := range []uint8{5, 4, 3} {
		if g.wrong == k && rise>>want&1 == 1 {
			g.wrong++
		}
	}
	if g.wrong == 3 {
		g.setAlarm(alWrongWay)
		g.wrong = 0
	}
}

func (g *Gate) level(k int) bool { return g.zones>>k&1 == 1 }
func (g *Gate) occupied() bool   { return g.level(2) || g.level(3) }

// Record is one line of the gate's truth, which it tells tests and the demo
// besides the wire.
type Record struct {
	At   time.Duration
	What string // entered, went_back, crossed, came_back, state, command, alarm, fault, open, opened_exit, watchdog
	Who  string // a person's id, a state, a command and its result
}

func (g *Gate) tell(what, who string) {
	r := Record{g.now, what, who}
	g.truth = append(g.truth, r)
	for _, f := range g.listeners {
		f(r)
	}
}

// Truth returns everything that happened.
func (g *Gate) Truth() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.truth)
}

// Forget drops what Truth would return, for those who run long.
func (g *Gate) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.truth = nil
}

// Listen calls f for every record from now on, with the gate locked: f must
// not call the gate.
func (g *Gate) Listen(f func(Record)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners = append(g.listeners, f)
}

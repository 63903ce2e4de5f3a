package lane

// GateState is the gate's own state (ABC-LANE 1.0 §9).
type GateState uint8

const (
	GateBoot GateState = iota
	GateSafe
	GateReady
	GateEntryOpen
	GateOccupied
	GateExitOpen
	GateFallback
	GateEvacuate
	GateFault
	GateMaintenance
	gateStates
)

// Leaf is what the lane needs to know of a leaf.
type Leaf uint8

const (
	LeafUnknown  Leaf = iota
	LeafLocked        // CLOSED_LOCKED
	LeafUnlocked      // CLOSED_UNLOCKED
	LeafOpen          // opening, open, reversing, stopped, jammed or forced
	LeafClosing
)

// Closed says whether the leaf is mechanically shut.
func (l Leaf) Closed() bool { return l == LeafLocked || l == LeafUnlocked }

// GateAlarms is the part of the gate's ALARMS that the lane acts on.
type GateAlarms uint8

const (
	AlarmTailgate GateAlarms = 1 << iota
	AlarmMulti
	AlarmLuggage
	AlarmForced // FORCED_ENTRY or FORCED_EXIT
	AlarmWrongWay
	AlarmIntrusion
	AlarmDwell
	AlarmTamper
)

// blocking alarms make the gate refuse OPEN_ENTRY, OPEN_EXIT and READY.
const blocking = AlarmTailgate | AlarmMulti | AlarmLuggage | AlarmForced | AlarmWrongWay | AlarmIntrusion | AlarmTamper

const several = AlarmTailgate | AlarmMulti

// Gate is one fresh poll as the lane sees it. The zero value is a gate that
// is not heard.
type Gate struct {
	Link        bool
	State       GateState
	Entry, Exit Leaf
	Occupied    bool // S2 or S3
	Bag         bool // S6
	Alarms      GateAlarms
	// Both start anew when a leaf begins to open. Walked: since then, S4 then S5 rose and S3 fell
	// (§9 crossing evidence). Crossed: the gate's CROSSED event came since.
	Walked, Crossed bool
}

// Locked says that nobody comes in or goes out.
func (g Gate) Locked() bool { return g.Entry == LeafLocked && g.Exit == LeafLocked }

// neither says that both leaves are away from their closed position. No
// command of the lane's leads there; a gate that shows it is broken (§11 R7).
func (g Gate) neither() bool {
	return g.Entry != LeafUnknown && g.Exit != LeafUnknown && !g.Entry.Closed() && !g.Exit.Closed()
}

// permits is the table of lane phases and the gate states that go with them.
// CLEARING, CHECK_EMPTY and COMMIT tolerate FALLBACK when the exit was open
// before it: the crossing is still judged by its evidence.
var permits = [phases]uint16{
	OutOfService: 1<<GateBoot | 1<<GateSafe | 1<<GateReady | 1<<GateMaintenance,
	Idle:         1 << GateReady,
	DocRead:      1 << GateReady,
	Eligible:     1 << GateReady,
	TakeDoc:      1 << GateReady,
	DivertOut:    1 << GateReady,
	Enter:        1<<GateReady | 1<<GateEntryOpen,
	Sealing:      1 << GateEntryOpen,
	Returning:    1 << GateEntryOpen,
	Inside:       1 << GateOccupied,
	Decide:       1 << GateOccupied,
	WaitDB:       1 << GateOccupied,
	Intend:       1 << GateOccupied,
	Multi:        1 << GateOccupied,
	Review:       1 << GateOccupied,
	Release:      1<<GateOccupied | 1<<GateExitOpen,
	Clearing:     1<<GateExitOpen | 1<<GateFallback,
	CheckEmpty:   1<<GateReady | 1<<GateSafe | 1<<GateFallback,
	Commit:       1<<GateReady | 1<<GateSafe | 1<<GateFallback,
	DivertIn:     1<<GateSafe | 1<<GateOccupied | 1<<GateEntryOpen,
	Hold:         1<<GateBoot | 1<<GateSafe | 1<<GateReady | 1<<GateEntryOpen | 1<<GateOccupied | 1<<GateExitOpen,
	Luggage:      1<<GateBoot | 1<<GateSafe | 1<<GateReady | 1<<GateMaintenance,
	Fallback:     1 << GateFallback,
	Fault:        1 << GateFault,
	Evacuate:     1 << GateEvacuate,
}

// permitted says whether s pairs its phase with a gate state that belongs to it.
func permitted(s *State) bool { return permits[s.Phase]&(1<<s.Gate.State) != 0 }

// Permits lists the gate states that may be seen in p, for pictures and tests.
func Permits(p Phase) []GateState {
	var list []GateState
	for g := GateBoot; g < gateStates; g++ {
		if permits[p]&(1<<g) != 0 {
			list = append(list, g)
		}
	}
	return list
}

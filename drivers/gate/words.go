package gate

import (
	"fmt"
	"strings"
)

// State is the gate's state (§9).
type State uint8

const (
	Boot State = iota
	SafeClosed
	Ready
	EntryOpen
	Occupied
	ExitOpen
	Fallback
	Evacuate
	Faulted
	Maintenance
	states
)

// Leaf is a leaf's state (§4).
type Leaf uint8

const (
	LeafUnknown Leaf = iota
	ClosedLocked
	ClosedUnlocked
	Opening
	Open
	Closing
	Reversing
	Stopped
	Jammed
	Forced
	leaves
)

// Closed says whether the leaf is mechanically shut.
func (l Leaf) Closed() bool { return l == ClosedLocked || l == ClosedUnlocked }

// Faults are the bits of FAULTS (§5).
type Faults uint16

const (
	EntryJam Faults = 1 << iota
	ExitJam
	EntrySlow
	ExitSlow
	EntryForce
	ExitForce
	SensorStuck
	SensorMismatch
	LockEntry
	LockExit
	SupplyLow
	TempRange
	EvtOverflow
	ParamDefaulted
	SelfTest
	BothOpen
)

// Alarms are the bits of ALARMS (§5).
type Alarms uint16

const (
	Fire Alarms = 1 << iota
	EgressButton
	Tailgate
	MultiPerson
	LeftLuggage
	ForcedEntry
	ForcedExit
	WrongWay
	Dwell
	EntryBlocked
	ExitBlocked
	Intrusion
	Watchdog
	Tamper
)

// BlockingAlarms refuse OPEN_ENTRY, OPEN_EXIT and SET_MODE(1).
const BlockingAlarms = Tailgate | MultiPerson | LeftLuggage | ForcedEntry | ForcedExit | WrongWay | Intrusion | Tamper

// Sensors are the bits of ZONES, S0 to S7 (§1).
type Sensors uint8

const (
	EntryApproach Sensors = 1 << iota
	EntryCurtain
	ZoneA
	ZoneB
	ExitCurtain
	ExitClear
	Luggage
	TailgateDetector
)

// Code is a command (§7).
type Code uint16

const (
	OpenEntry Code = iota + 1
	OpenExit
	OpenReturn
	CloseAll
	SetMode
	ClearAlarm
	ClearFault
	EvacuateCommand
	MaintMove
	Reset
)

// Result is a command's result (§7).
type Result uint8

const (
	None       Result = 0
	OK         Result = 1
	InProgress Result = 2

	BadCode     Result = 16
	BadArg      Result = 17
	Interlock   Result = 18
	BadState    Result = 19
	NoWatchdog  Result = 20
	FaultedBy   Result = 21
	Alarmed     Result = 22
	Locked      Result = 23
	Occupancy   Result = 24
	Busy        Result = 25
	TimedOut    Result = 32
	Obstructed  Result = 33
	AbortedByIt Result = 34
)

var (
	stateNames = [states]string{"BOOT", "SAFE_CLOSED", "READY", "ENTRY_OPEN", "OCCUPIED", "EXIT_OPEN", "FALLBACK", "EVACUATE", "FAULT", "MAINTENANCE"}
	leafNames  = [leaves]string{"UNKNOWN", "CLOSED_LOCKED", "CLOSED_UNLOCKED", "OPENING", "OPEN", "CLOSING", "REVERSING", "STOPPED", "JAMMED", "FORCED"}
	faultNames = [16]string{
		"ENTRY_JAM", "EXIT_JAM", "ENTRY_SLOW", "EXIT_SLOW", "ENTRY_FORCE", "EXIT_FORCE", "SENSOR_STUCK", "SENSOR_MISMATCH",
		"LOCK_ENTRY", "LOCK_EXIT", "SUPPLY_LOW", "TEMP_RANGE", "EVT_OVERFLOW", "PARAM_DEFAULTED", "SELF_TEST", "BOTH_OPEN",
	}
	alarmNames = [14]string{
		"FIRE", "EGRESS_BUTTON", "TAILGATE", "MULTI_PERSON", "LEFT_LUGGAGE", "FORCED_ENTRY", "FORCED_EXIT", "WRONG_WAY",
		"DWELL", "ENTRY_BLOCKED", "EXIT_BLOCKED", "INTRUSION", "WATCHDOG", "TAMPER",
	}
	codeNames = [...]string{
		"", "OPEN_ENTRY", "OPEN_EXIT", "OPEN_RETURN", "CLOSE_ALL", "SET_MODE", "CLEAR_ALARM", "CLEAR_FAULT", "EVACUATE",
		"MAINT_MOVE", "RESET",
	}
	resultNames = map[Result]string{
		None: "NONE", OK: "OK", InProgress: "IN_PROGRESS", BadCode: "BAD_CODE", BadArg: "BAD_ARG", Interlock: "INTERLOCK",
		BadState: "BAD_STATE", NoWatchdog: "WATCHDOG", FaultedBy: "FAULTED", Alarmed: "ALARMED", Locked: "LOCKED",
		Occupancy: "OCCUPANCY", Busy: "BUSY", TimedOut: "TIMEOUT", Obstructed: "OBSTRUCTED", AbortedByIt: "ABORTED",
	}
)

func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

func (l Leaf) String() string {
	if l < leaves {
		return leafNames[l]
	}
	return fmt.Sprintf("leaf state %d", uint8(l))
}

func (c Code) String() string {
	if c > 0 && int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("command %d", uint16(c))
}

func (r Result) String() string {
	if n, ok := resultNames[r]; ok {
		return n
	}
	return fmt.Sprintf("result %d", uint8(r))
}

// Names lists the set bits in the protocol's words.
func (f Faults) Names() []string { return bitNames(uint16(f), faultNames[:]) }

// Names lists the set bits in the protocol's words.
func (a Alarms) Names() []string { return bitNames(uint16(a), alarmNames[:]) }

func (f Faults) String() string { return strings.Join(f.Names(), " ") }
func (a Alarms) String() string { return strings.Join(a.Names(), " ") }

func bitNames(v uint16, names []string) []string {
	var list []string
	for i, n := range names {
		if v&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return list
}

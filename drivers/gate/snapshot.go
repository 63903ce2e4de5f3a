package gate

import (
	"errors"
	"fmt"
	"time"
)

// inputs is the number of input registers of one poll (§4).
const inputs = 26

// Fresh is how old a poll may be that authorises motion (§11 R2).
const Fresh = 150 * time.Millisecond

// Snapshot is one poll: the gate as it was at At.
type Snapshot struct {
	At         time.Time // request start, on this machine's monotonic clock; R1
	Version    uint16
	Boots      uint16
	Uptime     uint32 // ms since boot, wraps
	State      State
	Cause      uint8
	Entry      Leaf
	Exit       Leaf
	EntryPos   uint8 // 0 closed to 100 open
	ExitPos    uint8
	Zones      Sensors
	Persons    uint16 // 255: unknown
	Edges      [8]uint8
	Faults     Faults
	Alarms     Alarms
	EventHead  uint16
	EventTail  uint16 // oldest sequence in the ring
	SeqDone    uint16
	ResultOf   Code
	Result     Result
	Heartbeat  uint16 // as echoed
	Watchdog   uint16 // 0 disarmed, 1 running, 2 tripped
	WatchdogMS uint16
	TempTenths int16 // 0.1 °C
	SupplyMV   uint16
	Outputs    uint16
	LinkErrors uint16
}

// ErrBadPoll says that a poll contradicts itself (R5): it authorises nothing.
var ErrBadPoll = errors.New("the poll contradicts itself")

// decode reads the 26 input registers of one poll.
func decode(v []uint16, at time.Time) (Snapshot, error) {
	if len(v) != inputs {
		return Snapshot{}, fmt.Errorf("%w: %d registers, want %d", ErrBadPoll, len(v), inputs)
	}
	s := Snapshot{
		At: at, Version: v[0], Boots: v[1], Uptime: uint32(v[2])<<16 | uint32(v[3]),
		State: State(v[4]), Cause: uint8(v[4] >> 8),
		Entry: Leaf(v[5] >> 8), EntryPos: uint8(v[5]), Exit: Leaf(v[6] >> 8), ExitPos: uint8(v[6]),
		Zones: Sensors(v[7]), Persons: v[8], Faults: Faults(v[13]), Alarms: Alarms(v[14]),
		EventHead: v[15], EventTail: v[16], SeqDone: v[17], ResultOf: Code(v[18] >> 8), Result: Result(v[18]),
		Heartbeat: v[19], Watchdog: v[20], WatchdogMS: v[21], TempTenths: int16(v[22]), SupplyMV: v[23], Outputs: v[24], LinkErrors: v[25],
	}
	for k := range 4 {
		s.Edges[2*k], s.Edges[2*k+1] = uint8(v[9+k]), uint8(v[9+k]>>8)
	}
	if s.State >= states || s.Entry >= leaves || s.Exit >= leaves {
		return s, fmt.Errorf("%w: %v, entry %v, exit %v", ErrBadPoll, s.State, s.Entry, s.Exit)
	}
	for k, e := range s.Edges {
		if e&1 != uint8(s.Zones)>>k&1 {
			return s, fmt.Errorf("%w: edge counter of S%d is %d", ErrBadPoll, k, e)
		}
	}
	if s.Entry.Closed() && s.EntryPos != 0 || s.Exit.Closed() && s.ExitPos != 0 {
		return s, fmt.Errorf("%w: a closed leaf stands open", ErrBadPoll)
	}
	return s, nil
}

// Occupied says whether somebody stands between the leaves: S2 or S3.
func (s Snapshot) Occupied() bool { return s.Zones&(ZoneA|ZoneB) != 0 }

// NeitherClosed says that both leaves stand open (R7).
func (s Snapshot) NeitherClosed() bool { return !s.Entry.Closed() && !s.Exit.Closed() }

// follows says whether s can be a later poll of the same run of the gate (R2,
// R4).
func (s Snapshot) follows(before Snapshot) bool {
	d := s.Uptime - before.Uptime
	return s.Boots == before.Boots && d > 0 && d < 1<<31
}

// Evidence collects what the sensors tell about a person who crosses, from the
// moment a leaf begins to open (§9 crossing evidence). The zero value is ready.
type Evidence struct {
	last    Snapshot
	known   bool
	edges   [8]uint8 // when the leaf began to open
	zones   Sensors
	s4      bool // the exit curtain was broken
	s5      bool // and then somebody stood beyond it
	s3      bool // zone B was left
	crossed bool
}

// See takes a poll, and the events that came with it.
func (e *Evidence) See(s Snapshot, events []Event) {
	opens := e.known && (e.last.Entry.Closed() && !s.Entry.Closed() || e.last.Exit.Closed() && !s.Exit.Closed())
	if !e.known || opens || s.Boots != e.last.Boots {
		before := e.last
		*e = Evidence{known: true}
		if opens {
			e.edges, e.zones = before.Edges, before.Zones
		} else {
			e.edges, e.zones = s.Edges, s.Zones
		}
	}
	e.last = s
	if s.State == ExitOpen || s.State == Fallback || s.State == Ready || s.State == Occupied {
		e.s4 = e.s4 || e.rises(s, 4) > 0
		e.s5 = e.s5 || e.s4 && e.rises(s, 5) > 0
		e.s3 = e.s3 || e.falls(s, 3) > 0
	}
	for _, v := range events {
		e.crossed = e.crossed || v.Code == EventCrossed
	}
}

// rises and falls count a sensor's edges since the leaf began to open.
func (e *Evidence) rises(s Snapshot, k int) int {
	n := int(s.Edges[k] - e.edges[k])
	if e.zones>>k&1 == 0 {
		return (n + 1) / 2
	}
	return n / 2
}

func (e *Evidence) falls(s Snapshot, k int) int {
	n := int(s.Edges[k] - e.edges[k])
	if e.zones>>k&1 == 1 {
		return (n + 1) / 2
	}
	return n / 2
}

// Walked says that S4 then S5 rose and S3 fell and is clear.
func (e *Evidence) Walked() bool {
	return e.s4 && e.s5 && e.s3 && e.last.Zones&(ZoneA|ZoneB) == 0
}

// Crossed says that the gate reported a crossing.
func (e *Evidence) Crossed() bool { return e.crossed }

// EventCode is an event of the gate's ring (§8).
type EventCode uint16

const (
	EventBoot EventCode = iota + 1
	EventState
	EventCommand
	EventDoor
	EventReversal
	EventFaultSet
	EventFaultClear
	EventAlarmSet
	EventAlarmClear
	EventCrossed
	EventNoEntry
	EventReturned
	EventWatchdogTrip
	EventWatchdogResume
	EventParam
	EventPower
)

// Event is one entry of the gate's ring.
type Event struct {
	Seq    uint16
	Uptime uint32 // ms, the gate's clock
	Code   EventCode
	Arg    uint16
}

const (
	ringAt   = 0x1000
	ringSize = 256
	slotSize = 5
)

// decodeEvents reads the slots of a window whose first slot should hold
// sequence next. It stops at the first slot that was overwritten.
func decodeEvents(v []uint16, next uint16) (list []Event, overwritten bool) {
	for ; len(v) >= slotSize; v, next = v[slotSize:], next+1 {
		e := Event{Seq: v[0], Uptime: uint32(v[1])<<16 | uint32(v[2]), Code: EventCode(v[3]), Arg: v[4]}
		if e.Seq != next || e.Code == 0 {
			return list, true
		}
		list = append(list, e)
	}
	return list, false
}

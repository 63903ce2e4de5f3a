package gate

import (
	"errors"
	"testing"
	"time"
)

// worked is the poll of §13, row 3.
var worked = []uint16{
	0x0100, 0x0001, 0x0000, 0x06E2, 0x0002, 0x0100, 0x0100, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 1, 0x0501, 3, 1, 0x0382, 0x00E7, 0x5DF2, 0x030A, 0,
}

func TestDecode(t *testing.T) {
	s, err := decode(worked, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if s.Uptime != 1762 || s.State != Ready || s.Entry != ClosedLocked || s.Exit != ClosedLocked || s.EventHead != 4 || s.SeqDone != 1 ||
		s.ResultOf != SetMode || s.Result != OK || s.Watchdog != 1 || s.WatchdogMS != 898 || s.TempTenths != 231 || s.SupplyMV != 24050 {
		t.Errorf("got %+v", s)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		index int
		value uint16
	}{
		{"unknown state", 4, 0x000A},
		{"unknown leaf state", 5, 0x0A00},
		{"a level without its edge", 7, 0x0004},
		{"an edge without its level", 9, 0x0001},
		{"closed and open at once", 6, 0x0132},
	} {
		v := append([]uint16(nil), worked...)
		v[c.index] = c.value
		if _, err := decode(v, time.Now()); !errors.Is(err, ErrBadPoll) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := decode(worked[:25], time.Now()); err == nil {
		t.Error("25 registers are taken for a poll")
	}
}

func TestAuthorised(t *testing.T) {
	now := time.Now()
	good := Snapshot{At: now, State: Ready, Entry: ClosedLocked, Exit: ClosedLocked, Watchdog: 1, Persons: 0}
	inside := good
	inside.State, inside.Persons = Occupied, 1
	for _, c := range []struct {
		name   string
		poll   Snapshot
		change func(*Snapshot)
		code   Code
		arg    uint16
		class  error
	}{
		{"entry", good, func(*Snapshot) {}, OpenEntry, 1, nil},
		{"exit", inside, func(*Snapshot) {}, OpenExit, 0, nil},
		{"stale", good, func(s *Snapshot) { s.At = now.Add(-Fresh - 1) }, OpenEntry, 1, ErrLater},
		{"entry while the exit is open", good, func(s *Snapshot) { s.Exit = Open }, OpenEntry, 1, ErrLater},
		{"exit while the entry closes", inside, func(s *Snapshot) { s.Entry = Closing }, OpenExit, 0, ErrLater},
		{"exit for nobody", inside, func(s *Snapshot) { s.Persons = 0 }, OpenExit, 0, ErrLater},
		{"exit for a crowd of unknown size", inside, func(s *Snapshot) { s.Persons = 255 }, OpenExit, 0, ErrLater},
		{"alarm", inside, func(s *Snapshot) { s.Alarms = Tailgate }, OpenExit, 0, ErrLater},
		{"return in spite of an alarm", inside, func(s *Snapshot) { s.Alarms = Tailgate }, OpenReturn, 0, nil},
		{"no watchdog", inside, func(s *Snapshot) { s.Watchdog = 2 }, OpenReturn, 0, ErrLater},
		{"both open", inside, func(s *Snapshot) { s.Entry, s.Exit = Open, Open }, OpenReturn, 0, ErrOfficer},
		{"bag", good, func(s *Snapshot) { s.Zones = Luggage }, OpenEntry, 1, ErrLater},
		{"close on a stale poll", good, func(s *Snapshot) { s.At = now.Add(-time.Hour); s.Watchdog = 0 }, CloseAll, 0, nil},
		{"evacuate on a stale poll", good, func(s *Snapshot) { s.At = now.Add(-time.Hour) }, EvacuateCommand, 1, nil},
		{"safe mode on a stale poll", good, func(s *Snapshot) { s.At = now.Add(-time.Hour) }, SetMode, 0, nil},
		{"ready while occupied", good, func(s *Snapshot) { s.State, s.Zones = SafeClosed, ZoneA }, SetMode, 1, ErrLater},
	} {
		p := c.poll
		c.change(&p)
		if err := authorised(Command{c.code, c.arg, 0}, p, now); !errors.Is(err, c.class) || (c.class == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.class)
		}
	}
}

// The evidence must not be had by turning back, by reaching out, or by
// somebody who comes in from outside.
func TestEvidence(t *testing.T) {
	type poll struct {
		zones Sensors
		edges [8]uint8
	}
	at := func(e *Evidence, exit Leaf, p poll) {
		e.See(Snapshot{State: ExitOpen, Entry: ClosedLocked, Exit: exit, Zones: p.zones, Edges: p.edges}, nil)
	}
	for _, c := range []struct {
		name  string
		polls []poll
		want  bool
	}{
		{"walks out", []poll{{ZoneB | ExitCurtain, [8]uint8{0, 0, 2, 1, 1, 0}}, {ExitClear, [8]uint8{0, 0, 2, 2, 2, 1}}}, true},
		{"all in one poll", []poll{{ExitClear, [8]uint8{0, 0, 2, 2, 2, 1}}}, true},
		{"reaches out and turns back", []poll{{ZoneB | ExitCurtain, [8]uint8{0, 0, 2, 1, 1, 0}}, {ZoneA, [8]uint8{0, 0, 3, 2, 2, 0}}}, false},
		{"only the curtain", []poll{{ExitCurtain | ZoneA, [8]uint8{0, 0, 1, 0, 1, 0}}}, false},
		{"passes by outside", []poll{{ZoneA | ExitClear, [8]uint8{0, 0, 1, 0, 0, 1}}, {ZoneA, [8]uint8{0, 0, 1, 0, 0, 2}}}, false},
		{"another one stays", []poll{{ZoneA | ExitClear, [8]uint8{0, 0, 1, 2, 2, 1}}}, false},
	} {
		var e Evidence
		at(&e, ClosedLocked, poll{ZoneA, [8]uint8{0, 0, 1}})
		at(&e, Opening, poll{ZoneA, [8]uint8{0, 0, 1}})
		for _, p := range c.polls {
			at(&e, Open, p)
		}
		if e.Walked() != c.want {
			t.Errorf("%s: walked %v", c.name, e.Walked())
		}
		if e.Crossed() {
			t.Errorf("%s: crossed without the event", c.name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 4, 52, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		v := append([]uint16(nil), worked...)
		for i := 0; i+1 < len(b) && i/2 < len(v); i += 2 {
			v[i/2] = uint16(b[i])<<8 | uint16(b[i+1])
		}
		if s, err := decode(v, time.Now()); err == nil && (s.State >= states || s.Occupied() != (s.Edges[2]&1 == 1 || s.Edges[3]&1 == 1)) {
			t.Errorf("accepted %+v", s)
		}
		var e Evidence
		s, _ := decode(v, time.Now())
		e.See(s, nil)
		if n := length(append(b, 1, 4, 2)[:3], nil); n > 3+255+2 {
			t.Errorf("a reply of %d bytes is waited for", n)
		}
		object(b, 1)
		list, _ := decodeEvents(v, v[0])
		for i, e := range list {
			if e.Seq != v[0]+uint16(i) {
				t.Errorf("event %d has sequence %d", i, e.Seq)
			}
		}
	})
}

package gate

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bench is a gate on a bench: frames in, frames out, a clock.
type bench struct {
	*testing.T
	g   *Gate
	now time.Duration
	hb  uint16
	seq uint16
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, g: New(Config{})}
	b.pass(2 * time.Second)
	return b
}

func (b *bench) pass(d time.Duration) {
	for end := b.now + d; b.now < end; {
		b.now += 50 * time.Millisecond
		b.g.Advance(b.now)
		if b.hb > 0 {
			b.beat()
		}
	}
}

// until passes time until the gate is in a state.
func (b *bench) until(state string) {
	b.Helper()
	for range 1000 {
		if s, _ := b.g.State(); s == state {
			return
		}
		b.pass(50 * time.Millisecond)
	}
	s, _ := b.g.State()
	b.Fatalf("the gate is %s and never becomes %s", s, state)
}

func (b *bench) frame(fc byte, words ...uint16) []byte {
	f := []byte{1, fc}
	if fc == 16 {
		f = append(f, byte(words[0]>>8), byte(words[0]), 0, byte(len(words)-1), byte(2*(len(words)-1)))
		words = words[1:]
	}
	for _, w := range words {
		f = append(f, byte(w>>8), byte(w))
	}
	c := crc(f)
	return append(f, byte(c), byte(c>>8))
}

func (b *bench) beat() {
	b.hb++
	b.g.Handle(b.frame(6, 0x10, b.hb))
}

func (b *bench) input(at uint16) uint16 {
	r := b.g.Handle(b.frame(4, at, 1))
	return word(r[3:])
}

// command sends one and returns its first result.
func (b *bench) command(code, a0, a1 uint16) uint8 {
	b.Helper()
	b.seq = b.input(0x11) + 1
	r := b.g.Handle(b.frame(16, 0, code, a0, a1, b.seq))
	if len(r) != 8 {
		b.Fatalf("command %d: reply % X", code, r)
	}
	return uint8(b.input(0x12))
}

func (b *bench) want(what string, got, want uint8) {
	b.Helper()
	if got != want {
		b.Errorf("%s: result %d, want %d", what, got, want)
	}
}

// The byte vectors of §2 and the conformance steps of §15 that need no clock.
func TestVectors(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct{ request, reply string }{
		{"01 06 00 10 00 01 49 CF", "01 06 00 10 00 01 49 CF"},
		{"01 06 00 10 00 02 09 CE", "01 06 00 10 00 02 09 CE"},
		{"01 10 0000 0004 08 0005 0001 0000 0001 1F 7A", "01 10 00 00 00 04 C1 CA"},
		{"01 0F 00 00 00 02 01 01 1F 57", "01 0F 00 00 00 02 D4 0A"},
		{"01 10 0000 0004 08 0001 0001 0000 0002 1A BB", "01 10 00 00 00 04 C1 CA"},
	} {
		if got := b.g.Handle(unhex(t, c.request)); hex.EncodeToString(got) != strings.ToLower(strings.ReplaceAll(c.reply, " ", "")) {
			t.Errorf("%s: got % X, want %s", c.request, got, c.reply)
		}
	}
	if s, _ := b.g.State(); s != "ENTRY_OPEN" {
		t.Errorf("the gate is %s after OPEN_ENTRY", s)
	}
}

func TestExceptions(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name  string
		frame []byte
		ex    byte
	}{
		{"unlisted function", b.frame(8, 0, 0), exFunction},
		{"27 registers", b.frame(4, 0, 27), exAddress},
		{"no registers", b.frame(4, 0, 0), exValue},
		{"too many", b.frame(4, 0, 126), exValue},
		{"past the ring", b.frame(4, 0x14FF, 2), exAddress},
		{"one of the command's registers", b.frame(6, 0, 1), exAddress},
		{"three of them", b.frame(16, 0, 1, 0, 0), exAddress},
		{"heartbeat 0", b.frame(6, 0x10, 0), exValue},
		{"fallback mode 4", b.frame(6, 0x10A, 4), exValue},
		{"watchdog 100", b.frame(6, 0x10B, 100), exValue},
		{"sequence 0", b.frame(16, 0, 4, 0, 0, 0), exValue},
		{"sequence behind", b.frame(16, 0, 4, 0, 0, 0x9000), exValue},
		{"acknowledge the future", b.frame(6, 0x11, 4000), exValue},
		{"coil 10", b.frame(5, 10, 0xFF00), exAddress},
		{"coil neither on nor off", b.frame(5, 0, 1), exValue},
	} {
		if r := b.g.Handle(c.frame); len(r) != 5 || r[2] != c.ex {
			t.Errorf("%s: % X, want exception %d", c.name, r, c.ex)
		}
	}
	for _, silent := range [][]byte{nil, {1, 4}, b.frame(4, 0, 26)[:7], append(b.frame(4, 0, 26), 0x55), {2, 4, 0, 0, 0, 1, 0x31, 0xF9}, {0, 6, 0, 16, 0, 1, 0x48, 0x1E}} {
		if r := b.g.Handle(silent); r != nil {
			t.Errorf("% X is answered with % X", silent, r)
		}
	}
}

// cross walks one person through the whole lane.
func (b *bench) cross() {
	b.Helper()
	b.beat()
	b.g.AddPerson("p", Approach)
	b.want("READY", b.command(5, 1, 0), 1)
	b.want("OPEN_ENTRY", b.command(1, 1, 0), 2)
	b.g.Walk("p", Marks, 1)
	b.until("OCCUPIED")
	if n := b.input(8); n != 1 {
		b.Errorf("%d persons", n)
	}
	b.want("OPEN_EXIT", b.command(2, 0, 0), 2)
	b.g.Walk("p", Beyond, 1)
	b.until("READY")
}

func TestCrossing(t *testing.T) {
	b := newBench(t)
	b.cross()
	var story []string
	for _, r := range b.g.Truth() {
		if r.What == "state" || r.What == "entered" || r.What == "crossed" {
			story = append(story, r.What+" "+r.Who)
		}
	}
	want := "state BOOT, state SAFE_CLOSED, state READY, state ENTRY_OPEN, entered p, state OCCUPIED, state EXIT_OPEN, crossed p, state READY"
	if got := strings.Join(story, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// EDGES of the worked crossing, §13: two edges for each sensor passed.
	for k, want := range []uint16{0x0202, 0x0202, 0x0202} {
		if got := b.input(uint16(9 + k)); got != want {
			t.Errorf("EDGES of S%d and S%d: 0x%04X, want 0x%04X", 2*k, 2*k+1, got, want)
		}
	}
	crossed := false
	for n := uint16(1); n <= b.input(0x0F); n++ {
		crossed = crossed || b.input(0x1000+5*(n%256)+3) == 10
	}
	if !crossed {
		t.Error("no CROSSED event")
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.want("READY without watchdog", b.command(5, 1, 0), 20)
	b.beat()
	b.want("unknown command", b.command(77, 0, 0), 16)
	b.want("OPEN_ENTRY for nobody", b.command(1, 0, 0), 17)
	b.want("OPEN_ENTRY in SAFE_CLOSED", b.command(1, 1, 0), 19)
	b.want("OPEN_EXIT in SAFE_CLOSED", b.command(2, 0, 0), 19)
	b.want("READY", b.command(5, 1, 0), 1)
	b.want("OPEN_ENTRY", b.command(1, 1, 0), 2)
	b.want("OPEN_EXIT while the entry opens", b.command(2, 0, 0), 18)
	b.want("RESET while moving", b.command(10, 0x5253, 0), 19)
	b.pass(3 * time.Second)
	if s, _ := b.g.State(); s != "ENTRY_OPEN" {
		t.Errorf("a refused command disturbed the motion: %s", s)
	}
	head := b.input(0x0F)
	if r := b.g.Handle(b.frame(16, 0, 10, 0x5253, 0, b.seq)); len(r) != 8 || b.input(0x0F) != head {
		t.Error("a repeat was executed again")
	}
}

func TestWatchdogFreesTheEntry(t *testing.T) {
	b := newBench(t)
	b.beat()
	b.g.AddPerson("p", Approach)
	b.command(5, 1, 0)
	b.command(1, 1, 0)
	b.g.Walk("p", Marks, 1)
	b.until("OCCUPIED")
	b.hb = 0 // the kiosk dies
	b.pass(1500 * time.Millisecond)
	if s, _ := b.g.State(); s != "FALLBACK" || b.input(0x14) != 2 || b.input(4)>>8 != uint16(causeWatchdog) {
		t.Fatalf("state %s, watchdog %d", s, b.input(0x14))
	}
	b.pass(time.Second)
	if b.input(5)>>8 != uint16(lsClosedUnlocked) || b.input(6)>>8 != uint16(lsClosedLocked) {
		t.Errorf("entry 0x%04X, exit 0x%04X: the entry must be free and the exit locked", b.input(5), b.input(6))
	}
	b.hb = 100
	b.pass(time.Second)
	b.want("SAFE_CLOSED after three heartbeats", b.command(5, 0, 0), 1)
	b.until("SAFE_CLOSED")
}

func TestFireFreesEverybody(t *testing.T) {
	b := newBench(t)
	b.beat()
	b.g.AddPerson("p", Approach)
	b.command(5, 1, 0)
	b.command(1, 1, 0)
	b.g.Walk("p", Marks, 1)
	b.until("OCCUPIED")
	b.g.Inject("fire", 0)
	b.pass(500 * time.Millisecond)
	if s, _ := b.g.State(); s != "EVACUATE" || b.g.entry.engaged {
		t.Fatalf("after 500 ms the gate is %s and its entry lock engaged %v", s, b.g.entry.engaged)
	}
	b.g.Walk("p", Approach, 1)
	b.pass(5 * time.Second)
	if x, _ := b.g.Position("p"); x != Approach {
		t.Errorf("the person is at %.1f", x)
	}
	b.want("SET_MODE while it burns", b.command(5, 0, 0), 22)
	b.g.Clear("fire")
	b.want("CLEAR_ALARM", b.command(6, 0xFFFF, 0), 1)
	b.command(5, 0, 0)
	b.until("SAFE_CLOSED")
}

// A leaf that reversed in front of somebody closes once they have gone.
func TestClosesAfterAReversal(t *testing.T) {
	b := newBench(t)
	b.beat()
	b.g.AddPerson("p", Approach)
	b.command(5, 1, 0)
	b.command(1, 1, 0)
	b.pass(2 * time.Second)
	b.want("CLOSE_ALL", b.command(4, 0, 0), 2)
	b.pass(200 * time.Millisecond)
	b.g.Walk("p", 0, 2)
	b.pass(3 * time.Second)
	if e, _ := b.g.Leaves(); e < 50 {
		t.Fatalf("the leaf stands at %.0f %% with somebody in it", e)
	}
	b.g.Walk("p", Approach, 1)
	b.until("READY")
}

func TestTailgate(t *testing.T) {
	b := newBench(t)
	b.beat()
	b.g.AddPerson("a", Approach)
	b.g.AddPerson("b", Approach-0.4)
	b.command(5, 1, 0)
	b.command(1, 1, 0)
	b.g.Walk("a", Marks+0.4, 1)
	b.g.Walk("b", Marks-0.2, 1)
	b.until("OCCUPIED")
	if b.input(0x0E)&(alTailgate|alMulti) != alTailgate|alMulti || b.input(8) != 2 {
		t.Errorf("alarms %016b, %d persons", b.input(0x0E), b.input(8))
	}
	b.want("OPEN_EXIT for two", b.command(2, 0, 0), 22)
	b.want("OPEN_RETURN", b.command(3, 0, 0), 2)
	b.g.Walk("a", Approach-0.6, 1)
	b.g.Walk("b", Approach-1, 1)
	b.until("READY")
}

func TestLuggage(t *testing.T) {
	b := newBench(t)
	b.beat()
	b.g.AddPerson("p", Approach)
	b.command(5, 1, 0)
	b.command(1, 1, 0)
	b.g.Walk("p", Marks, 1)
	b.until("OCCUPIED")
	b.g.AddBag("bag", 1)
	b.command(2, 0, 0)
	b.g.Walk("p", Beyond, 1)
	b.until("READY")
	b.pass(3 * time.Second)
	b.want("OPEN_ENTRY over a bag", b.command(1, 1, 0), 22)
	b.want("SAFE", b.command(5, 0, 0), 1)
	b.want("MAINTENANCE", b.command(5, 2, 0x4D54), 1)
	b.want("MAINT_MOVE", b.command(9, 0, 1), 2)
	b.pass(2 * time.Second)
	b.g.Remove("bag")
	b.command(9, 0, 0)
	b.pass(3 * time.Second)
	b.want("CLEAR_ALARM", b.command(6, 0xFFFF, 0), 1)
	b.want("SAFE", b.command(5, 0, 0), 1)
}

// I1 to I3 in every step of a long life among random commands, persons and
// faults.
func TestInvariants(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 20
	}
	for seed := range uint64(n) {
		life(t, seed, 1500)
	}
}

func life(t *testing.T, seed uint64, steps int) {
	r := newRand(seed)
	b := newBench(t)
	b.beat()
	var sinceFree time.Duration
	for i := range steps {
		entryWas, exitWas := b.g.entry.closed(), b.g.exit.closed()
		switch r.IntN(12) {
		case 0, 1, 2:
			b.command(uint16(1+r.IntN(9)), uint16(r.IntN(3)), 0)
		case 3:
			b.command(5, uint16(r.IntN(2)), 0)
		case 4:
			b.g.AddPerson(string(rune('a'+i%20)), Approach)
		case 5, 6:
			b.g.Walk(string(rune('a'+r.IntN(20))), []float64{Approach, Marks, Beyond}[r.IntN(3)], 1)
		case 7:
			b.command(6, 0xFFFF, 0)
			b.command(7, 0xFFFF, 0)
		case 8:
			f := PhysicalFaults[r.IntN(10)].Name
			b.g.Inject(f, 0)
			defer b.g.Clear(f)
		case 9:
			b.g.Clear(PhysicalFaults[r.IntN(len(PhysicalFaults))].Name)
		case 10:
			b.hb = uint16(r.IntN(2)) * (b.hb + 1)
		}
		b.pass(50 * time.Millisecond)
		// I1: a leaf leaves closed only while the other one is locked, in all
		// that the gate drives by itself.
		if entryWas && b.g.entry.dir > 0 && !b.g.exit.locked() || exitWas && b.g.exit.dir > 0 && !b.g.entry.locked() {
			t.Fatalf("seed %d step %d: a leaf is driven open while the other is not locked", seed, i)
		}
		// I2: FALLBACK, EVACUATE and FAULT free their egress leaf within 500 ms
		// of the other one being closed.
		if name, _ := b.g.State(); name == "FALLBACK" || name == "EVACUATE" || name == "FAULT" {
			if b.g.entry.engaged && b.g.exit.closed() && b.g.exit.engaged {
				sinceFree += 50 * time.Millisecond
			} else {
				sinceFree = 0
			}
			if sinceFree > 500*time.Millisecond {
				t.Fatalf("seed %d step %d: both leaves locked for %v in %s", seed, i, sinceFree, name)
			}
		} else {
			sinceFree = 0
		}
	}
}

// FuzzHandle: an answer is a valid frame of the function that was asked for, or
// its exception; no request opens both leaves.
func FuzzHandle(f *testing.F) {
	b := &bench{}
	f.Add(b.frame(4, 0, 26))
	f.Add(b.frame(16, 0, 1, 1, 0, 2))
	f.Add([]byte{1, 0x2B, 14, 1, 0, 0x70, 0x77})
	f.Fuzz(func(t *testing.T, frame []byte) {
		g := New(Config{})
		g.Advance(2 * time.Second)
		if len(frame) > 2 {
			c := crc(frame[:len(frame)-2])
			frame = append(frame[:len(frame)-2:len(frame)-2], byte(c), byte(c>>8))
		}
		r := g.Handle(frame)
		if r != nil && (crc(r) != 0 || r[0] != 1 || r[1]|0x80 != frame[1]|0x80 || len(r) > 256) {
			t.Errorf("% X is answered with % X", frame, r)
		}
		g.Advance(4 * time.Second)
		if !g.entry.closed() && !g.exit.closed() {
			t.Error("both leaves are open")
		}
	})
}

package gate_test

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/drivers/gate"
	simgate "passage/hwsim/gate"
)

var port = flag.String("port", "", "serial device of a real gate: it will move")

// cable joins the driver to a simulated gate in virtual time.
type cable struct {
	*simgate.Cable
	sim *simgate.Gate
}

func newCable(t *testing.T) cable {
	sim := simgate.New(simgate.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	line, done := sim.Connect(ctx)
	t.Cleanup(func() { cancel(); <-done })
	return cable{line, sim}
}

// lane is a driver at work, with what it reported.
type lane struct {
	*testing.T
	gate  *gate.Gate
	polls chan gate.Snapshot
	lost  chan error
	ev    *gate.Evidence
	alive bool
	mu    sync.Mutex
}

func work(t *testing.T, line gate.Line, cfg gate.Config) *lane {
	l := &lane{T: t, polls: make(chan gate.Snapshot, 1), lost: make(chan error, 16), alive: true}
	cfg.Address, cfg.Baud = 1, 19200
	cfg.Params = gate.Params{OpenMax: 3 * time.Second, CloseMax: 3 * time.Second, EntryHold: 8 * time.Second, ExitHold: 7 * time.Second}
	cfg.Alive = func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.alive }
	cfg.OnSnapshot = func(s gate.Snapshot, e *gate.Evidence) {
		c := *e
		l.mu.Lock()
		l.ev = &c
		l.mu.Unlock()
		select {
		case <-l.polls:
		default:
		}
		l.polls <- s
	}
	cfg.OnLost = func(err error) { l.lost <- err }
	l.gate = gate.New(line, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.gate.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// until waits for a poll in a state.
func (l *lane) until(want gate.State) gate.Snapshot {
	l.Helper()
	for end := time.After(40 * time.Second); ; {
		select {
		case s := <-l.polls:
			if s.State == want {
				return s
			}
		case <-end:
			l.Fatalf("the gate never became %v", want)
		}
	}
}

func (l *lane) order(c gate.Code, a0, a1 uint16) error {
	return <-l.gate.Order(l.Context(), gate.Command{Code: c, Arg0: a0, Arg1: a1})
}

func (l *lane) must(c gate.Code, a0, a1 uint16) {
	l.Helper()
	if err := l.order(c, a0, a1); err != nil {
		l.Fatal(err)
	}
}

// ready has the gate take travellers.
func (l *lane) ready() gate.Snapshot {
	l.until(gate.SafeClosed)
	l.must(gate.SetMode, 1, 0)
	return l.until(gate.Ready)
}

// testGate is one crossing on any gate; walk moves the person, if one can.
func testGate(l *lane, walk func(to string)) {
	s := l.ready()
	if s.Watchdog != 1 {
		l.Errorf("watchdog %d", s.Watchdog)
	}
	l.gate.SetLights(gate.EntryArrow | gate.ExitCross | gate.Green)
	l.must(gate.OpenEntry, 1, 0)
	if err := l.order(gate.OpenExit, 0, 0); err == nil {
		l.Fatal("the exit opened while the entry stood open")
	}
	walk("marks")
	if s := l.until(gate.Occupied); !s.Occupied() || s.Persons != 1 {
		l.Errorf("occupied %v, %d persons", s.Occupied(), s.Persons)
	}
	l.must(gate.OpenExit, 0, 0)
	walk("beyond")
	l.until(gate.Ready)
	for range 10 { // the CROSSED event comes with a later window
		l.until(gate.Ready)
		l.mu.Lock()
		walked, crossed := l.ev.Walked(), l.ev.Crossed()
		l.mu.Unlock()
		if walked && crossed {
			return
		}
	}
	l.Errorf("no evidence of the crossing: walked %v, crossed %v", l.ev.Walked(), l.ev.Crossed())
}

func TestGate(t *testing.T) {
	t.Run("sim", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCable(t)
			c.sim.AddPerson("p", simgate.Approach)
			testGate(work(t, c, gate.Config{}), walkIn(c.sim))
		})
	})
	t.Run("pty", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes the real time of a crossing")
		}
		sim := simgate.New(simgate.Config{})
		sim.AddPerson("p", simgate.Approach)
		path := filepath.Join(t.TempDir(), "gate")
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- sim.Serve(ctx, path) }()
		p := openWhenThere(t, path)
		t.Cleanup(func() {
			p.Close()
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		testGate(work(t, p, gate.Config{}), walkIn(sim))
	})
	t.Run("device", func(t *testing.T) {
		if *port == "" {
			t.Skip("needs hardware: -port=/dev/ttyUSB0, and somebody who walks")
		}
		p, err := gate.OpenPort(*port, 19200, "8E1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		testGate(work(t, p, gate.Config{}), func(to string) { t.Log("please walk to", to) })
	})
}

func walkIn(sim *simgate.Gate) func(string) {
	return func(to string) {
		sim.Walk("p", map[string]float64{"marks": simgate.Marks, "beyond": simgate.Beyond}[to], 1)
	}
}

// openWhenThere opens a pty as soon as its link appears.
func openWhenThere(t *testing.T, path string) *gate.Port {
	t.Helper()
	var err error
	for range 200 {
		var p *gate.Port
		if p, err = gate.OpenPort(path, 19200, "8E1"); err == nil {
			return p
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal(err)
	return nil
}

// Every fault of the link in §14: no command is lost, none runs twice, no door
// moves on a stale poll, and the driver finds back by itself.
func TestLinkFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		every int // every n-th frame is spoiled
		spoil func(request, reply []byte) ([]byte, time.Duration)
	}{
		{"reply dropped", 5, func(_, _ []byte) ([]byte, time.Duration) { return nil, 0 }},
		{"reply 150 ms late", 7, func(_, r []byte) ([]byte, time.Duration) { return r, 150 * time.Millisecond }},
		{"reply 400 ms late", 7, func(_, r []byte) ([]byte, time.Duration) { return r, 400 * time.Millisecond }},
		{"corrupt reply", 4, func(_, r []byte) ([]byte, time.Duration) {
			if len(r) > 3 {
				r[3] ^= 0x40
			}
			return r, 0
		}},
		{"wrong slave", 4, func(_, r []byte) ([]byte, time.Duration) {
			if len(r) > 0 {
				r[0] = 9
			}
			return r, 0
		}},
		{"noise before the reply", 6, func(_, r []byte) ([]byte, time.Duration) { return append([]byte{0, 0xFF, 7}, r...), 0 }},
		{"partial reply", 6, func(_, r []byte) ([]byte, time.Duration) { return r[:len(r)/2], 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := newCable(t)
				line.sim.AddPerson("p", simgate.Approach)
				n := 0
				line.Spoil(func(request, reply []byte) ([]byte, time.Duration) {
					if n++; n%c.every == 0 {
						return c.spoil(request, reply)
					}
					return reply, 0
				})
				l := work(t, line, gate.Config{})
				t.Cleanup(func() {
					if t.Failed() {
						t.Log(line.sim.Truth())
					}
				})
				testGate(l, walkIn(line.sim))
				if l.gate.LinkErrors() == 0 {
					t.Error("nothing was repeated: the fault did not happen")
				}
				opened := 0
				for _, r := range line.sim.Truth() {
					if r.What == "opened_exit" {
						opened++
					}
				}
				if opened != 1 {
					t.Errorf("the exit opened %d times", opened)
				}
			})
		})
	}
}

func TestLinkLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newCable(t)
		l := work(t, line, gate.Config{})
		l.until(gate.SafeClosed)
		l.must(gate.SetMode, 1, 0)
		line.Cut(true)
		if err := <-l.lost; !errors.Is(err, gate.ErrLink) {
			t.Fatalf("lost with %v", err)
		}
		if err := l.order(gate.OpenEntry, 1, 0); !errors.Is(err, gate.ErrService) {
			t.Errorf("an order over a dead line: %v", err)
		}
		l.until2(line, gate.Fallback)
		line.Cut(false)
		if s := l.until(gate.Fallback); s.Watchdog != 1 {
			t.Errorf("watchdog %d after the link is back", s.Watchdog)
		}
		l.must(gate.SetMode, 0, 0)
		l.until(gate.SafeClosed)
	})
}

// until2 waits for the gate itself, beyond the wire.
func (l *lane) until2(c cable, want gate.State) {
	for range 400 {
		if s, _ := c.sim.State(); s == want.String() {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	l.Fatalf("the gate itself never became %v", want)
}

// A frozen lane core ends the heartbeats: the watchdog trips within its
// time-out and half a second (conformance step 27).
func TestFrozenCore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newCable(t)
		l := work(t, line, gate.Config{})
		l.until(gate.SafeClosed)
		l.must(gate.SetMode, 1, 0)
		l.mu.Lock()
		l.alive = false
		l.mu.Unlock()
		frozen := time.Now()
		l.until(gate.Fallback)
		if d := time.Since(frozen); d > 1500*time.Millisecond {
			t.Errorf("the watchdog tripped after %v", d)
		}
	})
}

func TestRestartIsALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newCable(t)
		l := work(t, line, gate.Config{})
		l.until(gate.SafeClosed)
		l.must(gate.SetMode, 1, 0)
		line.sim.Power(false)
		<-l.lost
		line.sim.Power(true)
		if s := l.until(gate.SafeClosed); s.Boots != 2 || s.Watchdog != 1 {
			t.Errorf("boot %d, watchdog %d", s.Boots, s.Watchdog)
		}
	})
}

func TestRefusesAGateThatOpensTheBorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newCable(t)
		g := gate.New(line, gate.Config{
			Address: 1, Baud: 19200, Params: gate.Params{FallbackMode: 1, OpenMax: 3 * time.Second, CloseMax: 3 * time.Second, EntryHold: 8 * time.Second, ExitHold: 8 * time.Second},
			Alive: func() bool { return true }, OnSnapshot: func(gate.Snapshot, *gate.Evidence) {}, OnLost: func(error) {},
		})
		if err := g.Run(t.Context()); err == nil {
			t.Error("FALLBACK_MODE bit 0 was accepted without exit_on_failure")
		}
	})
}

// polled says whether a request is a poll, ordered whether it is a command.
func polled(request []byte) bool { return request[1] == 4 && request[2] == 0 && request[3] == 0 }

func ordered(request []byte, c gate.Code) bool {
	return request[1] == 16 && request[2] == 0 && request[3] == 0 && request[8] == byte(c)
}

// The line breaks between an order and its echo: the gate has carried it out, and
// nobody may say that it was refused.
func TestLostOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newCable(t)
		line.sim.AddPerson("p", simgate.Approach)
		l := work(t, line, gate.Config{})
		l.until(gate.SafeClosed)
		l.must(gate.SetMode, 1, 0)
		l.must(gate.OpenEntry, 1, 0)
		line.sim.Walk("p", simgate.Marks, 1)
		l.until(gate.Occupied)
		broken := false
		line.Spoil(func(request, reply []byte) ([]byte, time.Duration) {
			if broken = broken || ordered(request, gate.OpenExit); broken {
				return nil, 0
			}
			return reply, 0
		})
		if err := l.order(gate.OpenExit, 0, 0); !errors.Is(err, gate.ErrLost) {
			t.Errorf("the order came to %v", err)
		}
		<-l.lost
		l.until2(line, gate.ExitOpen)
	})
}

// A gate that answers and tells nothing that could be believed, or nothing new,
// is lost: nobody sees what happens in it.
func TestBlindGate(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(reply, first []byte) []byte
	}{
		{"polls contradict themselves", func(reply, _ []byte) []byte {
			reply[3+2*7+1] ^= 4 // ZONES, and not its edge counter
			return reply
		}},
		{"polls repeat themselves", func(_, first []byte) []byte { return append([]byte(nil), first...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := newCable(t)
				l := work(t, line, gate.Config{})
				l.ready()
				var first []byte
				line.Spoil(func(request, reply []byte) ([]byte, time.Duration) {
					if !polled(request) {
						return reply, 0
					}
					if first == nil {
						first = append([]byte(nil), reply...)
					}
					return sum(c.spoil(reply, first)), 0
				})
				select {
				case <-l.lost:
				case <-time.After(2 * time.Second):
					t.Error("it went on as if it saw the gate")
				}
			})
		})
	}
}

// sum puts the right CRC under a changed frame.
func sum(frame []byte) []byte {
	crc := uint16(0xFFFF)
	for _, b := range frame[:len(frame)-2] {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	frame[len(frame)-2], frame[len(frame)-1] = byte(crc), byte(crc>>8)
	return frame
}

// A link that comes back does not start the watchdog of a lane whose core stands
// still: the gate would wait again for somebody who does not work it.
func TestFrozenCoreAndLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newCable(t)
		l := work(t, line, gate.Config{})
		l.until(gate.SafeClosed)
		l.mu.Lock()
		l.alive = false
		l.mu.Unlock()
		line.Cut(true)
		<-l.lost
		l.until2(line, gate.Fallback)
		line.Cut(false)
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			if s := l.until(gate.Fallback); s.Watchdog == 1 {
				t.Fatal("the watchdog runs again")
			}
		}
	})
}

// What frees people or shuts a leaf waits for no fresh poll, and not behind a
// motion that does.
func TestNothingKeepsClosingWaiting(t *testing.T) {
	for _, c := range []gate.Command{{Code: gate.CloseAll}, {Code: gate.SetMode}, {Code: gate.EvacuateCommand, Arg0: 1}} {
		t.Run(c.Code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := newCable(t)
				l := work(t, line, gate.Config{})
				l.ready()
				n := 0
				line.Spoil(func(request, reply []byte) ([]byte, time.Duration) {
					if polled(request) {
						if n++; n%2 == 1 { // the answer to the repeat is stale
							return nil, 0
						}
					}
					return reply, 0
				})
				l.until(gate.Ready)
				l.until(gate.Ready)
				began := time.Now()
				open := l.gate.Order(t.Context(), gate.Command{Code: gate.OpenEntry, Arg0: 1})
				if err := <-l.gate.Order(t.Context(), c); err != nil {
					t.Error(err)
				}
				if d := time.Since(began); d > 1200*time.Millisecond {
					t.Errorf("it took %v", d)
				}
				if err := <-open; !errors.Is(err, gate.ErrLater) {
					t.Errorf("the motion before it: %v", err)
				}
				for _, r := range line.sim.Truth() {
					if r.What == "opened_entry" {
						t.Error("the entry opened")
					}
				}
			})
		})
	}
}

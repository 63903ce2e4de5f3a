package gate_test

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"passage/drivers/gate"
	"passage/drivers/gate/regmap"
	simgate "passage/hwsim/gate"
)

// exampleMap is one of examples/gates.
func exampleMap(t *testing.T, name string) *regmap.Map {
	t.Helper()
	m, err := regmap.Load(filepath.Join("..", "..", "examples", "gates", name+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What travellers do, on our own protocol and by both register maps: the same
// body, because a lane must not notice the difference.
func TestCrossings(t *testing.T) {
	crossings := map[string]func(l *lane, sim *simgate.Gate){
		"released":  func(l *lane, sim *simgate.Gate) { testGate(l, walkIn(sim)) },
		"diverted":  diverted,
		"evacuated": evacuated,
		"luggage":   luggage,
		"tailgate":  tailgate,
	}
	for _, speaks := range []string{"ABC-LANE", "counters", "status-word"} {
		for name, cross := range crossings {
			t.Run(speaks+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCable(t)
					cfg := gate.Config{}
					if speaks != "ABC-LANE" {
						cfg.Map, cfg.FallbackFrees = exampleMap(t, speaks), "entry"
						c.sim.Speak(cfg.Map)
					}
					c.sim.AddPerson("p", simgate.Approach)
					t.Cleanup(func() {
						if t.Failed() {
							t.Log(c.sim.Truth())
						}
					})
					cross(work(t, c, cfg), c.sim)
				})
			})
		}
	}
}

// enter lets the person in, and as many as come with them.
func enter(l *lane, sim *simgate.Gate) {
	l.until(gate.SafeClosed)
	l.must(gate.SetMode, 1, 0)
	l.until(gate.Ready)
	l.must(gate.OpenEntry, 1, 0)
	sim.Walk("p", simgate.Marks, 1)
	l.until(gate.Occupied)
}

func diverted(l *lane, sim *simgate.Gate) {
	enter(l, sim)
	l.must(gate.OpenReturn, 0, 0)
	sim.Walk("p", simgate.Approach, 1)
	l.until(gate.Ready)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ev.Walked() || l.ev.Crossed() {
		l.Errorf("a person who was sent back has walked %v, crossed %v", l.ev.Walked(), l.ev.Crossed())
	}
}

func evacuated(l *lane, sim *simgate.Gate) {
	enter(l, sim)
	sim.Inject("fire", 0)
	s := l.until(gate.Evacuate)
	if s.Alarms&gate.Fire == 0 {
		l.Errorf("alarms %v", s.Alarms)
	}
	for sim.Walk("p", simgate.Approach, 1); l.until(gate.Evacuate).Occupied(); {
	}
	if err := l.order(gate.SetMode, 0, 0); err == nil {
		l.Error("the gate was closed while it burns")
	}
	sim.Clear("fire")
	l.must(gate.ClearAlarm, 0xFFFF, 0)
	l.must(gate.SetMode, 0, 0)
	l.until(gate.SafeClosed)
}

func luggage(l *lane, sim *simgate.Gate) {
	enter(l, sim)
	sim.AddBag("bag", 1)
	l.must(gate.OpenExit, 0, 0)
	sim.Walk("p", simgate.Beyond, 1)
	var s gate.Snapshot
	for s = l.until(gate.Ready); s.Alarms&gate.LeftLuggage == 0; s = l.until(gate.Ready) {
		if s.Zones&gate.Luggage == 0 {
			l.Fatal("the bag is not seen")
		}
	}
	if err := l.order(gate.OpenEntry, 1, 0); !errors.Is(err, gate.ErrLater) {
		l.Errorf("OPEN_ENTRY with a bag inside: %v", err)
	}
}

func tailgate(l *lane, sim *simgate.Gate) {
	sim.AddPerson("q", simgate.Approach-0.3)
	l.until(gate.SafeClosed)
	l.must(gate.SetMode, 1, 0)
	l.until(gate.Ready)
	l.must(gate.OpenEntry, 1, 0)
	sim.Walk("p", simgate.Marks, 1)
	sim.Walk("q", simgate.Marks-0.3, 1)
	s := l.until(gate.Occupied)
	for range 5 { // the count and the alarm follow the state
		s = l.until(gate.Occupied)
	}
	if s.Persons != 2 || s.Alarms&(gate.MultiPerson|gate.Tailgate) == 0 {
		l.Errorf("%d persons, %v", s.Persons, s.Alarms)
	}
	if err := l.order(gate.OpenExit, 0, 0); !errors.Is(err, gate.ErrLater) {
		l.Errorf("the exit for two: %v", err)
	}
	l.must(gate.OpenReturn, 0, 0)
	sim.Walk("p", simgate.Approach-1, 1)
	sim.Walk("q", simgate.Approach-1.5, 1)
	l.until(gate.Ready)
}

// A foreign gate is left, lost and found as ours is.
func TestForeignWatchdog(t *testing.T) {
	for _, speaks := range []string{"counters", "status-word"} {
		t.Run(speaks, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCable(t)
				m := exampleMap(t, speaks)
				c.sim.Speak(m)
				l := work(t, c, gate.Config{Map: m, FallbackFrees: "entry"})
				l.until(gate.SafeClosed)
				l.must(gate.SetMode, 1, 0)
				l.mu.Lock()
				l.alive = false
				l.mu.Unlock()
				frozen := time.Now()
				l.until(gate.Fallback)
				if d := time.Since(frozen); d > time.Duration(m.Watchdog.Timeout)+500*time.Millisecond {
					t.Errorf("the watchdog tripped after %v", d)
				}
				l.mu.Lock()
				l.alive = true
				l.mu.Unlock()
				for l.until(gate.Fallback).Watchdog != 1 && m.Watchdog.State != nil {
				}
				for range 20 {
					l.until(gate.Fallback)
				}
				l.must(gate.SetMode, 0, 0)
				l.until(gate.SafeClosed)
				c.sim.Power(false)
				<-l.lost
				c.sim.Power(true)
				l.until(gate.SafeClosed)
				l.must(gate.SetMode, 1, 0)
				l.until(gate.Ready)
			})
		})
	}
}

// Gates that a lane must not work with are left alone.
func TestForeignRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*gate.Config, *simgate.Gate)
	}{
		{"nobody knows which leaf it frees", func(c *gate.Config, _ *simgate.Gate) { c.FallbackFrees = "" }},
		{"it frees the exit", func(c *gate.Config, _ *simgate.Gate) { c.FallbackFrees = "exit" }},
		{"it has no watchdog", func(c *gate.Config, _ *simgate.Gate) { c.Map.Watchdog.Heartbeat = nil }},
		{"its doors are slower than the timers", func(c *gate.Config, _ *simgate.Gate) {
			c.Map.Parameters["open_max"].Fixed = regmap.Duration(4 * time.Second)
		}},
		{"another device", func(c *gate.Config, sim *simgate.Gate) {
			other := exampleMap(t, "status-word")
			other.Identity.Product = "PUMP"
			sim.Speak(other)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := newCable(t)
				cfg := gate.Config{
					Address: 1, Baud: 19200, Map: exampleMap(t, "status-word"), FallbackFrees: "entry",
					Params: gate.Params{OpenMax: 3 * time.Second, CloseMax: 3 * time.Second, EntryHold: 8 * time.Second, ExitHold: 8 * time.Second},
					Alive:  func() bool { return true }, OnSnapshot: func(gate.Snapshot, *gate.Evidence) {}, OnLost: func(err error) { t.Error(err) },
				}
				line.sim.Speak(cfg.Map)
				c.change(&cfg, line.sim)
				if err := gate.New(line, cfg).Run(t.Context()); err == nil {
					t.Error("it was worked with")
				} else {
					t.Log(err)
				}
			})
		})
	}
}

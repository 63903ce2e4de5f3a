package regmap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// example is one of examples/gates as text.
func example(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "gates", name+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExamples(t *testing.T) {
	for name, frees := range map[string]string{"counters": "", "status-word": "entry"} {
		m, err := Parse([]byte(example(t, name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := Refused(m.Judge(19200, frees)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each problem is named at its place.
func TestParseRefuses(t *testing.T) {
	text := example(t, "counters")
	for _, c := range []struct{ name, old, new, want string }{
		{"syntax", "name = ", "name ", "line 10, column"},
		{"unknown key", "[persons]\nregister", "[persons]\nregistre", "persons.registre: unknown key"},
		{"no name", `name = "Example Counters"`, `name = " "`, "line 10, column 1: name: is missing"},
		{"first address", "first_address = 1", "first_address = 2", "line 11, column 1: first_address"},
		{"word order", `word_order = "low"`, `word_order = "middle"`, "word_order"},
		{"poll too long", "most = 40", "most = 126", "poll.most: 126"},
		{"no such space", `fallback = { register = "holding"`, `fallback = { register = "memory"`, "egress.fallback.register"},
		{"address below the first", `model = { register = "input", address = 1 }`, `model = { register = "input", address = 0 }`, "identity.model.address: 0 is not within 1"},
		{"address too great", "address = 112 }", "address = 70000 }", "parameters.close_max.point.address"},
		{"overlap", `luggage = { register = "discrete", address = 7 }`, `luggage = { register = "discrete", address = 8 }`, "sensors.tailgate: overlaps sensors.luggage in discrete 8"},
		{"overlap of 32 bits", `exit_curtain = { register = "input", address = 23, width = 32 }`, `exit_curtain = { register = "input", address = 22, width = 32 }`, "overlaps edges.exit_curtain in input 22"},
		{"same coil twice", `OPEN_EXIT = { register = "coil", address = 2`, `OPEN_EXIT = { register = "coil", address = 1`, "commands.OPEN_EXIT: is written as commands.OPEN_ENTRY is"},
		{"written where it is read", `READY = { register = "coil"`, `READY = { register = "input"`, "commands.READY.register"},
		{"a coil that falls by itself", `CLOSE_ALL = { register = "coil", address = 4, release = "ack"`, `CLOSE_ALL = { register = "coil", address = 4, release = "none"`, ""},
		{"release without ack", `, ack = { register = "discrete", address = 54 }`, "", "commands.READY.ack: is missing"},
		{"no such state", `20 = "READY"`, `20 = "PREPARED"`, `state.values.20: "PREPARED" is none of`},
		{"value twice", `2 = "CLOSED_UNLOCKED", 3 = "OPENING", 4 = "OPEN", 5 = "CLOSING"`, `2 = "CLOSED_UNLOCKED", 3 = "OPENING", 4 = "OPEN", 0x4 = "CLOSING"`, "already means"},
		{"value too great", `90 = "MAINTENANCE"`, `90000 = "MAINTENANCE"`, "is not a number of 0 to 65535"},
		{"no such alarm", "DWELL =", "DWELLING =", "alarms.DWELLING"},
		{"an alarm that is no bit", `TAMPER = { register = "discrete", address = 44 }`, `TAMPER = { register = "input", address = 40 }`, "alarms.TAMPER: is one bit"},
		{"a time without a unit", `timeout = "1s"`, `timeout = "1"`, "duration"},
		{"a counter of what", `edges_count = "edges"`, `edges_count = "falls"`, "edges_count"},
		{"scale", "scale = 0.01", "scale = 1e9", "supply.scale"},
		{"fixed and read", `open_max = { point = { register = "holding", address = 111 } }`, `open_max = { point = { register = "holding", address = 111 }, fixed = "3s" }`, "parameters.open_max: has a point or is fixed"},
	} {
		if !strings.Contains(text, c.old) {
			t.Fatalf("%s: the example has no %q", c.name, c.old)
		}
		_, err := Parse([]byte(strings.Replace(text, c.old, c.new, 1)))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line ")):
			t.Errorf("%s: %v, want %q and its line", c.name, err, c.want)
		}
	}
	if _, err := Parse(make([]byte, maxSize+1)); err == nil {
		t.Error("a file without an end is read")
	}
}

// What a gate cannot say is either work for officers or a reason to refuse it:
// each point that is taken away is named.
func TestJudge(t *testing.T) {
	refused, officer := "refused", "officer"
	for _, c := range []struct {
		name   string
		remove func(*Map)
		state  string
		what   string
	}{
		{"nothing", func(*Map) {}, "", ""},
		{"identity", func(m *Map) { m.Identity = Identity{} }, refused, "identity"},
		{"clock", func(m *Map) { m.Clock = nil }, refused, "clock"},
		{"a clock of seconds", func(m *Map) { m.Clock.Scale = 1000 }, refused, "clock"},
		{"state", func(m *Map) { m.State = nil }, refused, "state"},
		{"state FALLBACK", func(m *Map) { delete(m.State.words, 60) }, refused, "state"},
		{"entry leaf", func(m *Map) { m.Entry = Leaf{} }, refused, "entry leaf"},
		{"exit leaf locked", func(m *Map) { delete(m.Exit.State.words, 1) }, refused, "exit leaf"},
		{"zone B", func(m *Map) { delete(m.Sensors, "zone_b") }, refused, "who is inside"},
		{"count and alarm", func(m *Map) { m.Persons = nil; delete(m.Alarms, "MULTI_PERSON") }, refused, "how many are inside"},
		{"count alone", func(m *Map) { m.Persons = nil }, "", ""},
		{"luggage", func(m *Map) { delete(m.Sensors, "luggage"); delete(m.Alarms, "LEFT_LUGGAGE") }, refused, "luggage"},
		{"edge counters", func(m *Map) { m.Edges = nil }, officer, "evidence of a crossing"},
		{"crossings", func(m *Map) { m.Crossings = nil }, officer, "the gate's own word of a crossing"},
		{"watchdog", func(m *Map) { m.Watchdog.Heartbeat = nil }, refused, "watchdog"},
		{"a slow watchdog", func(m *Map) { m.Watchdog.Timeout = Duration(6 * time.Second) }, refused, "watchdog"},
		{"a hasty watchdog", func(m *Map) { m.Watchdog.Timeout = Duration(200 * time.Millisecond) }, refused, "watchdog"},
		{"egress", func(m *Map) { m.Egress.Fallback = nil }, refused, "leaf freed on failure"},
		{"OPEN_RETURN", func(m *Map) { delete(m.Commands, "OPEN_RETURN") }, refused, "OPEN_RETURN"},
		{"MAINTENANCE", func(m *Map) { delete(m.Commands, "MAINTENANCE") }, officer, "MAINTENANCE"},
		{"a parameter", func(m *Map) { delete(m.Parameters, "exit_hold") }, refused, "parameter exit_hold"},
		{"forced exit", func(m *Map) { delete(m.Alarms, "FORCED_EXIT") }, officer, "alarm FORCED_EXIT"},
		{"requests", func(m *Map) { m.Poll.Gap = 0; m.Poll.Most = 2 }, refused, "poll"},
	} {
		m, err := Parse([]byte(example(t, "counters")))
		if err != nil {
			t.Fatal(err)
		}
		c.remove(m)
		found := false
		for _, v := range m.Judge(19200, "") {
			if v.State != "good" && v.What != c.what {
				t.Errorf("without %s: %+v", c.name, v)
			}
			if v.State == c.state && v.What == c.what && v.Means != "" {
				found = true
			}
		}
		if c.what != "" && !found {
			t.Errorf("without %s: %s is not %s", c.name, c.what, c.state)
		}
	}
}

func TestValue(t *testing.T) {
	bit, mask := 9, uint32(0x0FF0)
	for _, c := range []struct {
		name string
		p    Point
		regs []uint16
		raw  uint32
		num  float64
	}{
		{"a register", Point{Width: 16, Words: 1, Scale: 1}, []uint16{0xFFFE}, 0xFFFE, 65534},
		{"signed", Point{Width: 16, Words: 1, Signed: true, Scale: 0.1}, []uint16{0xFFFE}, 0xFFFE, -0.2},
		{"high word first", Point{Width: 32, Words: 2, Order: "high", Scale: 1}, []uint16{1, 2}, 1<<16 | 2, 65538},
		{"low word first", Point{Width: 32, Words: 2, Order: "low", Scale: 1}, []uint16{1, 2}, 2<<16 | 1, 131073},
		{"signed, of 32", Point{Width: 32, Words: 2, Order: "low", Signed: true, Scale: 2}, []uint16{0xFFFF, 0xFFFF}, 0xFFFFFFFF, -2},
		{"a bit", Point{Width: 16, Words: 1, Bit: &bit, Scale: 1}, []uint16{0x0200}, 1, 1},
		{"a bit that is on when 0", Point{Width: 16, Words: 1, Bit: &bit, Invert: true, Scale: 1}, []uint16{0x0200}, 0, 0},
		{"a mask", Point{Width: 16, Words: 1, Mask: &mask, Scale: 1}, []uint16{0x1234}, 0x23, 35},
	} {
		if raw := c.p.Value(c.regs); raw != c.raw || c.p.Number(raw) != c.num {
			t.Errorf("%s: %d, %g; want %d, %g", c.name, raw, c.p.Number(raw), c.raw, c.num)
		}
	}
}

// Whatever the file, a map that is accepted can be judged and planned, every
// request is one that Modbus knows, and every point is in one.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"counters", "status-word"} {
		f.Add([]byte(example(f, name)))
	}
	f.Add([]byte("name = \"x\"\nstate = {register=\"input\", address=65535, width=32}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		if refused := Refused(m.Judge(19200, "")); refused == nil && (m.State == nil || m.Watchdog.Heartbeat == nil || m.Commands["OPEN_EXIT"] == nil) {
			t.Error("a gate without essentials is accepted")
		}
		for _, list := range [][]Named{m.Polled(), m.Settled()} {
			plan := m.Plan(list)
			for _, r := range plan {
				if r.Count == 0 || r.Count > 2000 || (r.Register == Input || r.Register == Holding) && r.Count > 125 || int(r.At)+int(r.Count) > 1<<16 {
					t.Errorf("request %+v", r)
				}
			}
			for _, p := range list {
				within := false
				for _, r := range plan {
					within = within || r.Register == p.Register && p.At >= r.At && int(p.At)+p.Words <= int(r.At)+int(r.Count)
				}
				if !within {
					t.Errorf("%s is never read", p.Name)
				}
			}
		}
	})
}

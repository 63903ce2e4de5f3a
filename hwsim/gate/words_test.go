package gate

import (
	"strings"
	"testing"
	"time"
)

func frame(b ...byte) []byte {
	c := crc(b)
	return append(b, byte(c), byte(c>>8))
}

// What goes over the line is told in the protocol's words: gate-protocol's own
// worked crossing, and everything that spoils it.
func TestTell(t *testing.T) {
	g := New(Config{})
	g.Advance(2 * time.Second)
	var told []Told
	r := &Reader{}
	g.Tap(func(f Frame) { told = append(told, r.Tell(f)) })
	clock := func() time.Duration { return g.now }
	ask := func(b ...byte) Told {
		t.Helper()
		g.exchange(frame(b...), clock)
		return told[len(told)-1]
	}
	poll := []byte{1, 4, 0, 0, 0, 0x1A}
	for _, c := range []struct {
		name    string
		inject  string
		ask     []byte
		words   []string
		routine bool
		bad     bool
	}{
		{"the first poll", "", poll, []string{"STATE SAFE_CLOSED", "ENTRY_DOOR CLOSED_LOCKED 0 %", "PROTO_VER 1.0"}, false, false},
		{"a poll with nothing new", "", poll, []string{"poll"}, true, false},
		{"a heartbeat", "", []byte{1, 6, 0, 0x10, 0, 1}, []string{"HEARTBEAT 1"}, true, false},
		{"a poll that shows it", "", poll, []string{"WD_STATE RUNNING"}, false, false},
		{"SET_MODE", "", []byte{1, 16, 0, 0, 0, 4, 8, 0, 5, 0, 1, 0, 0, 0, 1}, []string{"SET_MODE(1, 0), sequence 1"}, false, false},
		{"its result", "", poll, []string{"STATE READY", "CMD_RESULT SET_MODE OK"}, false, false},
		{"OPEN_EXIT refused", "", []byte{1, 16, 0, 0, 0, 4, 8, 0, 2, 0, 0, 0, 0, 0, 2}, []string{"OPEN_EXIT(0, 0), sequence 2"}, false, false},
		{"why", "", poll, []string{"CMD_RESULT OPEN_EXIT BAD_STATE"}, false, false},
		{"lights", "", []byte{1, 15, 0, 0, 0, 2, 1, 1}, []string{"lights entry arrow"}, false, false},
		{"events", "", []byte{1, 4, 0x10, 5, 0, 10}, []string{"#1 BOOT 1", "#2 DOOR entry"}, false, false},
		{"a parameter, refused", "", []byte{1, 6, 1, 0x0B, 3, 0xE8}, []string{"WD_TIMEOUT_MS := 1000", "exception 04"}, false, true},
		{"a strange address", "", []byte{1, 4, 0, 0x50, 0, 1}, []string{"exception 02"}, false, true},
		{"another's address", "", []byte{2, 4, 0, 0, 0, 0x1A}, []string{"silence"}, false, true},
		{"a lost reply", "drop_reply", poll, []string{"silence", "[drop_reply]"}, false, true},
		{"a spoilt reply", "corrupt_reply", poll, []string{"nobody can read", "[corrupt_reply]"}, false, true},
		{"a foreign reply", "wrong_slave", poll, []string{"nobody can read", "[wrong_slave]"}, false, true},
		{"a lost request", "drop_request", poll, []string{"silence", "[drop_request]"}, false, true},
		{"who", "", []byte{1, 17}, []string{"ABC-LANE 1.0"}, false, false},
	} {
		if c.inject != "" {
			g.Inject(c.inject, 1)
		}
		is := ask(c.ask...)
		for _, w := range c.words {
			if !strings.Contains(is.Text, w) {
				t.Errorf("%s: %q does not say %q", c.name, is.Text, w)
			}
		}
		if is.Routine != c.routine || is.Bad != c.bad {
			t.Errorf("%s: %q is routine %v, bad %v; want %v, %v", c.name, is.Text, is.Routine, is.Bad, c.routine, c.bad)
		}
	}
}

func FuzzTell(f *testing.F) {
	f.Add([]byte{1, 4, 0, 0, 0, 0x1A}, []byte{1, 4, 2, 0, 0})
	f.Add([]byte{1, 16, 0, 0, 0, 4, 8, 0, 1, 0, 1, 0, 0, 0, 2}, []byte{1, 16, 0, 0, 0, 4})
	f.Add([]byte{1, 43, 14, 1, 0}, []byte{1, 43, 14, 1, 0x83, 0, 0, 1, 0, 1, 'A'})
	f.Fuzz(func(t *testing.T, q, a []byte) {
		r := &Reader{}
		for range 2 {
			if told := r.Tell(Frame{Request: frame(q...), Reply: frame(a...)}); told.Text == "" {
				t.Error("nothing is told")
			}
			r.Tell(Frame{Request: q, Reply: a})
		}
	})
}

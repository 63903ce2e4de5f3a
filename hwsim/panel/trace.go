package panel

import (
	"fmt"
	"sync"
	"time"

	"passage/hwsim/gate"
	"passage/hwsim/passport"
)

// Line is one exchange that went over a wire.
type Line struct {
	N       int64  `json:"n"`       // counts up
	At      int64  `json:"at"`      // Unix ms
	Wire    string `json:"wire"`    // gate, chip
	Text    string `json:"text"`    // in the protocol's words
	Raw     string `json:"raw"`     // as it went, in hexadecimal
	Bad     bool   `json:"bad"`     // silence, a refusal, or spoilt by a fault
	Routine bool   `json:"routine"` // a poll that shows nothing new, a heartbeat
}

// kept is how many lines of news, and as many of routine, a lane keeps. A
// minute of polls must not push out what somebody wants to read.
const kept = 2000

// rawMost is how much of a frame is shown raw, in bytes.
const rawMost = 600

// trace is what went over a lane's wires lately.
type trace struct {
	mu      sync.Mutex
	gate    gate.Reader
	n       int64
	news    ring
	routine ring
}

// ring is the last lines of a kind.
type ring struct {
	lines []Line
	from  int // the oldest
}

func (r *ring) add(l Line) {
	if len(r.lines) < kept {
		r.lines = append(r.lines, l)
		return
	}
	r.lines[r.from] = l
	r.from = (r.from + 1) % kept
}

// since returns the lines after the n-th, oldest first.
func (r *ring) since(n int64) []Line {
	var out []Line
	for i := range r.lines {
		if l := r.lines[(r.from+i)%len(r.lines)]; l.N > n {
			out = append(out, l)
		}
	}
	return out
}

func (t *trace) add(l Line, request, reply []byte) {
	t.n++
	l.N, l.At = t.n, time.Now().UnixMilli()
	l.Raw = raw(request) + " → " + raw(reply)
	if l.Routine {
		t.routine.add(l)
		return
	}
	t.news.add(l)
}

func raw(b []byte) string {
	if len(b) > rawMost {
		return fmt.Sprintf("% X … %d bytes", b[:rawMost], len(b))
	}
	return fmt.Sprintf("% X", b)
}

// frame takes one off the gate's line.
func (t *trace) frame(f gate.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.gate.Tell(f)
	t.add(Line{Wire: "gate", Text: is.Text, Bad: is.Bad, Routine: is.Routine}, f.Request, f.Reply)
}

// card listens to a card.
func (t *trace) card(c *passport.Card) {
	c.Tap = func(e passport.Exchange) {
		text, bad := e.Tell()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.add(Line{Wire: "chip", Text: text, Bad: bad}, e.Command, e.Reply)
	}
}

// since returns the news after the n-th line, with routine if that is wanted.
func (t *trace) since(n int64, routine bool) []Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.news.since(n)
	if routine {
		out = merge(out, t.routine.since(n))
	}
	return out
}

// merge puts two lists in the order of their numbers.
func merge(a, b []Line) []Line {
	out := make([]Line, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].N < b[0].N {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}

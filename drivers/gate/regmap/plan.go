package regmap

import (
	"cmp"
	"slices"
	"time"
)

// Request is one read.
type Request struct {
	Register  string
	At, Count uint16
}

// Plan groups points into requests: neighbours of one space go together, over
// gaps of at most Poll.Gap, in at most Poll.Most registers.
func (m *Map) Plan(points []Named) []Request {
	list := slices.Clone(points)
	slices.SortStableFunc(list, func(a, b Named) int {
		return cmp.Or(cmp.Compare(a.Register, b.Register), cmp.Compare(a.At, b.At))
	})
	var out []Request
	for _, p := range list {
		end := int(p.At) + p.Words
		if n := len(out); n > 0 {
			last := &out[n-1]
			most := m.Poll.Most
			if p.Register == Coil || p.Register == Discrete {
				most *= 16
			}
			if last.Register == p.Register && int(p.At) <= int(last.At)+int(last.Count)+m.Poll.Gap && end-int(last.At) <= most {
				last.Count = uint16(max(int(last.Count), end-int(last.At)))
				continue
			}
		}
		out = append(out, Request{p.Register, p.At, uint16(p.Words)})
	}
	return out
}

// Polled are the points of every poll, Settled those that are read once.
func (m *Map) Polled() []Named { return m.some(false) }

// Settled are identity, egress and parameters.
func (m *Map) Settled() []Named { return m.some(true) }

func (m *Map) some(once bool) []Named {
	return slices.DeleteFunc(m.Points(), func(p Named) bool { return still(p.Name) != once })
}

// BusTime is how long one poll takes on the line: characters of 11 bits, and
// per request 10 ms in which a controller turns around and two silences of 3.5
// characters.
func (m *Map) BusTime(baud int) time.Duration {
	char := 11 * time.Second / time.Duration(max(baud, 1))
	var sum time.Duration
	for _, r := range m.Plan(m.Polled()) {
		n := 2 * int(r.Count)
		if r.Register == Coil || r.Register == Discrete {
			n = (int(r.Count) + 7) / 8
		}
		sum += time.Duration(8+5+n)*char + 10*time.Millisecond + 7*char
	}
	return sum
}

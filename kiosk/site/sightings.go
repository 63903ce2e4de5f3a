package site

import (
	"errors"
	"sync"
	"time"

	"passage/kiosk/fleet"
)

// Rules are when a document that lanes have seen is not fine although each lane
// by itself would think so (domain: cross-gate correlation). The zero value
// knows only the first rule, which is always on: in use, or used within the last
// two minutes, in another lane.
type Rules struct {
	// PassingBack is for how long a document that passed may not pass in the
	// same direction again without having passed in the other; 0 is off.
	PassingBack time.Duration
	// Attempts is how many times a document may be tried within AttemptsFor
	// without passing; 0 is off.
	Attempts    int
	AttemptsFor time.Duration
}

const (
	usedFor       = 2 * time.Minute
	mostSightings = 500_000     // documents that are remembered at once
	perLane       = 120         // claims of one lane within usedFor
	sweepEvery    = time.Minute // what is too old is forgotten
)

// sightings is what the site remembers of documents: keyed hashes, in memory
// only. Whoever has the memory, and not the lanes' key, has no document.
type sightings struct {
	rules Rules

	mu    sync.Mutex
	seen  map[string]*sighting
	busy  map[string]int // claims by lane since the last sweep
	swept time.Time
}

type sighting struct {
	lane    string
	at      time.Time
	tries   []time.Time // since it passed last
	passed  time.Time
	towards string // direction of the last passing
}

func newSightings(r Rules) *sightings {
	return &sightings{rules: r, seen: map[string]*sighting{}, busy: map[string]int{}}
}

var errSighting = errors.New("site: that is no sighting of a document")

// note takes what a lane saw and says what speaks against it, or nothing.
func (x *sightings) note(lane string, s fleet.Sighting, now time.Time) (fleet.Correlation, error) {
	if err := s.Sound(); err != nil {
		return fleet.Correlation{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweep(now)
	if x.busy[lane]++; x.busy[lane] > perLane || len(x.seen) >= mostSightings && x.seen[s.Tag] == nil {
		return fleet.Correlation{}, errSighting // a lane that floods must not make the others forget
	}
	d := x.seen[s.Tag]
	if s.Passed {
		if d == nil || d.lane != lane {
			return fleet.Correlation{}, errSighting // it is not in this lane
		}
		d.at, d.passed, d.towards, d.tries = now, now, s.Direction, nil
		return fleet.Correlation{}, nil
	}
	if d == nil {
		d = &sighting{}
		x.seen[s.Tag] = d
	}
	why := fleet.Nothing
	switch r := x.rules; {
	case d.lane != "" && d.lane != lane && now.Sub(d.at) <= usedFor:
		why = fleet.Elsewhere
	case r.PassingBack > 0 && d.towards == s.Direction && now.Sub(d.passed) <= r.PassingBack:
		why = fleet.PassedBack
	case r.Attempts > 0 && len(d.tries) >= r.Attempts && now.Sub(d.tries[len(d.tries)-r.Attempts]) <= r.AttemptsFor:
		why = fleet.TooOften
	}
	d.lane, d.at = lane, now
	if d.tries = append(d.tries, now); len(d.tries) > max(1, x.rules.Attempts) {
		d.tries = d.tries[1:]
	}
	return fleet.Correlation{Why: why}, nil
}

// sweep forgets what no rule needs any more. The lock is held.
func (x *sightings) sweep(now time.Time) {
	if now.Sub(x.swept) < sweepEvery {
		return
	}
	x.swept = now
	clear(x.busy)
	for tag, d := range x.seen {
		if now.Sub(d.at) > max(usedFor, x.rules.AttemptsFor) && (d.towards == "" || now.Sub(d.passed) > x.rules.PassingBack) {
			delete(x.seen, tag)
		}
	}
}

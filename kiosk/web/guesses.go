package web

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limits of guessing a PIN. A guess counts before it is looked at, so that many
// at once are no more than many in turn. After tries wrong ones the officer's
// PIN is not taken for pause, and for twice as long each time after the next
// wrong one: a PIN of four digits lasts for months and not for an afternoon.
const (
	tries     = 5
	pause     = 30 * time.Second
	mostPause = 15 * time.Minute
	toldFor   = time.Hour // after the last wrong PIN
)

// guesses are the wrong PINs of each officer since the last right one. Names
// that nobody has are not kept.
type guesses struct {
	mu sync.Mutex
	by map[string]guessed
}

type guessed struct {
	wrong int
	until time.Time // no PIN is taken before
	last  time.Time
}

// try counts a guess as a wrong one, or says how long none is taken.
func (g *guesses) try(officer string, now time.Time) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.by[officer]
	if now.Before(x.until) {
		return x.until.Sub(now)
	}
	x.wrong, x.last = x.wrong+1, now
	if over := x.wrong - tries; over >= 0 {
		x.until = now.Add(min(pause<<min(over, 10), mostPause))
	}
	if g.by == nil {
		g.by = map[string]guessed{}
	}
	g.by[officer] = x
	return 0
}

// right forgets an officer's wrong guesses.
func (g *guesses) right(officer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.by, officer)
}

// notices tell a lane's officers whose PIN is being tried, for an hour after
// the last time.
func (g *guesses) notices(now time.Time) (list []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, x := range g.by {
		if x.wrong >= tries && now.Sub(x.last) < toldFor {
			list = append(list, fmt.Sprintf("somebody tries PINs at this lane's page: %d wrong ones of officer %s", x.wrong, id))
		}
	}
	slices.Sort(list)
	return list
}

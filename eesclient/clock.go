package eesclient

import (
	"slices"
	"time"
)

// MostApart is how far a lane's clock may be from the register's before the
// lane takes no new traveller (domain §8, invariant 12).
const MostApart = 2 * time.Second

const (
	// mostTrip is the longest round trip that tells the time: its middle is
	// wrong by half of it at most, a quarter of MostApart.
	mostTrip = time.Second
	heard    = 5 // of which the median counts
	enough   = 3 // before one of them may be an outlier
)

// Clock compares this machine's clock with a register's. The time comes over
// mutual TLS, in answers to questions whose round trip bounds its error; the
// median of several keeps one bad answer from closing a lane. It is not safe
// for concurrent use; the zero value has heard nothing.
type Clock struct{ apart []time.Duration }

// Heard takes note of the register's time in an answer to a question of our
// time began that came when it was ended.
func (c *Clock) Heard(at, began, ended time.Time) {
	trip := ended.Sub(began)
	if trip < 0 || trip > mostTrip {
		return
	}
	// By the wall clock: the monotonic one does not show a clock that was set.
	c.apart = append(c.apart, at.Sub(began.Round(0).Add(trip/2)))
	c.apart = c.apart[max(0, len(c.apart)-heard):]
}

// Apart says how far the register's clock is ahead of ours, as the median of
// what was heard last; false as long as that is too little.
func (c *Clock) Apart() (time.Duration, bool) {
	if len(c.apart) < enough {
		return 0, false
	}
	list := slices.Sorted(slices.Values(c.apart))
	return list[len(list)/2], true
}

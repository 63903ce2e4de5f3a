package host

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of the clock. A lane whose clock may be further off than MostOffset
// takes no new traveller (domain §8, invariant 12).
const (
	MostOffset = 2 * time.Second
	clockEvery = 10 * time.Second
)

// Clock is what the kernel knows of its own clock (adjtimex(2)).
type Clock struct {
	Synchronised bool          // a time daemon has disciplined it lately
	Offset       time.Duration // what is still to be corrected
	MaxError     time.Duration // bound of the error, which grows while nobody disciplines it
}

// ReadClock asks the kernel. chrony, systemd-timesyncd and ntpd report there.
func ReadClock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("host: adjtimex: %w", err)
	}
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	return Clock{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		Offset:       time.Duration(t.Offset) * unit, MaxError: time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}

// Wrong says why the clock cannot date a crossing, or is empty.
func (c Clock) Wrong() string {
	switch {
	case !c.Synchronised:
		return "the clock is not synchronised: does a time daemon run, and does it reach its servers?"
	case c.Offset.Abs() > MostOffset:
		return fmt.Sprintf("the clock is off by %v", c.Offset.Round(time.Millisecond))
	case c.MaxError > MostOffset:
		return fmt.Sprintf("the clock may be off by %v: nobody has set it for long", c.MaxError.Round(time.Millisecond))
	}
	return ""
}

// WatchClock tells, at once and every ten seconds until ctx ends, what is wrong
// with the clock.
func WatchClock(ctx context.Context, tell func(why string)) error {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		why := ""
		if c, err := ReadClock(); err != nil {
			why = err.Error()
		} else {
			why = c.Wrong()
		}
		tell(why)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

package host

import (
	"context"
	"runtime/debug"
	"time"
)

// Times of Forget: the first collection comes when answers that were late have
// come, the second one when the register has the record.
const (
	forgetAfter = 2 * time.Second
	forgetAgain = 8 * time.Second
)

// Forget has what the program still holds of a traveller in unused memory
// collected once they have left, and the pages given back, until ctx ends. Go
// overwrites what it frees where GODEBUG has clobberfree=1, as the lane's unit
// does; it would do so by itself only within minutes. busy says whether there is
// a traveller, and changes when to ask; drop lets go of what holds old bytes in
// use, such as the buffers of idle connections.
func Forget(ctx context.Context, changes <-chan struct{}, busy func() bool, drop func()) error {
	return forget(ctx, changes, busy, func() {
		drop()
		debug.FreeOSMemory()
	})
}

func forget(ctx context.Context, changes <-chan struct{}, busy func() bool, collect func()) error {
	due := time.NewTimer(0)
	due.Stop()
	was, again := false, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			is := busy()
			if was && !is {
				due.Reset(forgetAfter)
				again = true
			}
			was = is
		case <-due.C:
			collect()
			if again {
				due.Reset(forgetAgain)
				again = false
			}
		}
	}
}

package watchlist

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// behind is how much a take-over stands back behind the lane's other work, as a
// niceness: a look-up that comes meanwhile gets the core at once.
const behind = 15

// yielding does long work on a thread that lets all others go first.
func yielding(work func() error) error {
	done := make(chan error, 1)
	go func() {
		// It stays locked: the thread, and with it its niceness, ends with the
		// goroutine.
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), behind) // without it the work is done as well
		done <- work()
	}()
	return <-done
}

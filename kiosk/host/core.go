package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NoCore keeps a crash from writing the program's memory to a disk or a
// collector's pipe, where a traveller would be in it, and other programs of the
// same user from reading it (core(5), prctl(2) PR_SET_DUMPABLE).
func NoCore() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("host: core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("host: core dumps: %w", err)
	}
	return nil
}

// Package tty makes raw pseudo-terminals for simulated serial devices.
package tty

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// Open makes a raw pseudo-terminal and links path to its far end. The slave
// stays open here, so that clients may come and go.
func Open(path string) (master, slave *os.File, err error) {
	master, slave, err = pty.Open()
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*os.File, *os.File, error) {
		return nil, nil, errors.Join(err, master.Close(), slave.Close())
	}
	t, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		return fail(err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, t); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fail(fmt.Errorf("%s exists and is not a link", path))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(err)
	}
	if err := os.Symlink(slave.Name(), path); err != nil {
		return fail(err)
	}
	// The runtime's poller lets Close end a blocked Read; Fd would undo that.
	fd, err := unix.Dup(int(master.Fd()))
	if err != nil {
		return fail(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fail(err)
	}
	name := master.Name()
	if err := master.Close(); err != nil {
		return fail(err)
	}
	return os.NewFile(uintptr(fd), name), slave, nil
}

// shareEvery is how soon a line is there again for whoever lost it.
const shareEvery = 100 * time.Millisecond

// Share takes exclusive use of the far end (tty_ioctl(2), TIOCEXCL) back from
// whoever claims it, until ctx ends or slave is closed. A line of hardware forgets
// the claim of a program that was killed, as nobody has it open any more; this one
// is open here, and without Share only root would get in again.
func Share(ctx context.Context, slave *os.File) {
	line, err := slave.SyscallConn()
	if err != nil {
		return // it is closed
	}
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for line.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TIOCNXCL, 0) }) == nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

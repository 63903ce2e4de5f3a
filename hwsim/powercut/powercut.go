//go:build linux

// Package powercut is a computer's disk whose power can be cut: an ext4 file
// system in a file of its own, which stops in one instant, as it does for xfstests,
// and comes back with what was synced. It needs root and a loop device.
package powercut

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	size = 256 << 20 // bytes at most; the file is sparse
	// shutdown is EXT4_IOC_SHUTDOWN (linux/fs/ext4/ext4.h), noLogFlush its flag
	// by which nothing is written any more, not even the file system's journal.
	shutdown   = 0x8004587d
	noLogFlush = 2
	// The file system writes nothing by itself that nobody has synced.
	options = "loop,commit=300"
)

// Disk is a mounted file system. It is one owner's.
type Disk struct {
	Dir   string // where its files are
	image string
}

// New makes an empty disk whose files are in dir, which it makes. It returns an
// error where a disk cannot be mounted, as it needs root and a loop device.
func New(ctx context.Context, dir string) (*Disk, error) {
	d := &Disk{Dir: dir, image: dir + ".ext4"}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("powercut: %w", err)
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, fmt.Errorf("powercut: %w", err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, fmt.Errorf("powercut: %w", err)
	}
	if err := tell(ctx, "mkfs.ext4", "-q", "-F", d.image); err != nil {
		return nil, err
	}
	return d, d.mount(ctx)
}

func (d *Disk) mount(ctx context.Context) error {
	return tell(ctx, "mount", "-o", options, d.image, d.Dir)
}

func tell(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("powercut: %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Sync brings everything to the disk.
func (d *Disk) Sync() error { return d.ask(unix.Syncfs) }

// Cut stops the disk: from now on it takes nothing and gives nothing, and what
// was not synced is lost.
func (d *Disk) Cut() error {
	return d.ask(func(fd int) error { return unix.IoctlSetPointerInt(fd, shutdown, noLogFlush) })
}

// ask asks something of the file system.
func (d *Disk) ask(what func(fd int) error) error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return fmt.Errorf("powercut: %w", err)
	}
	defer f.Close()
	if err := what(int(f.Fd())); err != nil {
		return fmt.Errorf("powercut: %s: %w", d.Dir, err)
	}
	return nil
}

// Return brings a disk back after Cut, when nobody writes to it any more.
// Nothing of it is cached: it is another disk with what this one kept, as a process
// with its own view of what is mounted may hold on to the old one.
func (d *Disk) Return(ctx context.Context) error {
	kept := d.image + ".kept"
	if err := tell(ctx, "cp", "--sparse=always", d.image, kept); err != nil {
		return err
	}
	Abandon(d.Dir)
	if err := os.Rename(kept, d.image); err != nil {
		return fmt.Errorf("powercut: %w", err)
	}
	return d.mount(ctx)
}

// Close gives the disk up. Its files stay, as files of the folder.
func (d *Disk) Close() error {
	kept := d.Dir + ".kept"
	if err := os.CopyFS(kept, os.DirFS(d.Dir)); err != nil {
		return fmt.Errorf("powercut: %w", err)
	}
	Abandon(d.Dir)
	return errors.Join(os.Remove(d.image), os.Remove(d.Dir), os.Rename(kept, d.Dir))
}

// Abandon takes a disk's files away from dir, if there are any.
func Abandon(dir string) {
	for unix.Unmount(dir, unix.MNT_DETACH) == nil { // one may lie upon another
	}
}

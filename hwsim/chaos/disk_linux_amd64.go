package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Disk is what a power cut would leave of the files in a folder, by the calls
// that a traced process makes: what was synced. A sync of it can fail as it does
// on Linux: what was to be written is dropped and counts as clean, the process
// reads it back as before, and the next sync that succeeds has not brought it to
// the disk.
type Disk struct {
	Fails int // the n-th sync of a file fails; 0 for none
	Syncs int // so far
	// ReadOnly is the first of Refused calls that the disk refuses, as a file
	// system does that was made read-only beneath open files (ext4's
	// errors=remount-ro); 0 for none.
	ReadOnly, Refused int
	Calls             int // writes, syncs and truncations so far

	dir   string
	files map[string]*platter
}

// platter is one file.
type platter struct {
	kept  []byte   // on disk
	dirty []extent // written since
}

type extent struct{ from, to int64 }

// Take takes the files of a folder for what is on the disk.
func (d *Disk) Take(dir string) error {
	d.dir, d.files = dir, map[string]*platter{}
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("chaos: disk: %w", err)
	}
	for _, f := range list {
		path := filepath.Join(dir, f.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("chaos: disk: %w", err)
		}
		d.files[path] = &platter{kept: b}
	}
	return nil
}

// at is the file behind a descriptor of a process; nil if it is none of the
// disk's. SQLite's shared memory is made anew after a power cut.
func (d *Disk) at(pid, fd int) (string, *platter) {
	if d == nil {
		return "", nil
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil || filepath.Dir(path) != d.dir || strings.HasSuffix(path, "-shm") {
		return "", nil
	}
	p := d.files[path]
	if p == nil {
		p = &platter{}
		d.files[path] = p
	}
	return path, p
}

// wrote notes a write that has been made.
func (d *Disk) wrote(pid, fd int, from, n int64) {
	if _, p := d.at(pid, fd); p != nil && n > 0 {
		p.dirty = append(p.dirty, extent{from, from + n})
	}
}

// fails says whether a sync that begins shall fail, and drops what it was to
// bring to the disk.
func (d *Disk) fails(pid, fd int) bool {
	_, p := d.at(pid, fd)
	if p == nil {
		return false
	}
	if d.Syncs++; d.Syncs != d.Fails {
		return false
	}
	p.dirty = nil
	return true
}

// readOnly counts a call that would change a file, and says whether it is
// refused.
func (d *Disk) readOnly(pid, fd int) bool {
	if _, p := d.at(pid, fd); p == nil {
		return false
	}
	d.Calls++
	return d.ReadOnly > 0 && d.Calls >= d.ReadOnly && d.Calls < d.ReadOnly+d.Refused
}

// synced notes a sync that has succeeded.
func (d *Disk) synced(pid, fd int) error {
	path, p := d.at(pid, fd)
	if p == nil {
		return nil
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("chaos: disk: %w", err)
	}
	if len(now) < len(p.kept) {
		p.kept = p.kept[:len(now)]
	}
	p.kept = append(p.kept, make([]byte, len(now)-len(p.kept))...)
	for _, x := range p.dirty {
		x.to = min(x.to, int64(len(now)))
		if x.from < x.to {
			copy(p.kept[x.from:x.to], now[x.from:x.to])
		}
	}
	p.dirty = nil
	return nil
}

// PowerCut leaves of the files what was on the disk. Nobody may have them open.
func (d *Disk) PowerCut() error {
	var all error
	for path, p := range d.files {
		if strings.HasSuffix(path, "-shm") {
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				all = errors.Join(all, err)
			}
			continue
		}
		all = errors.Join(all, os.WriteFile(path, p.kept, 0o600))
	}
	return all
}

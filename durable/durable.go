// Package durable writes files that a power cut leaves whole: as they were, or
// as they are to be, and on disk when a call has returned. Errors are those of
// package os, which name the file.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Replace makes path hold b with that mode, in the place of what is there.
func Replace(path string, b []byte, mode fs.FileMode) error {
	return write(path, b, mode, os.Rename)
}

// Create makes path hold b with that mode. It fails with fs.ErrExist where there
// is one already, whoever made it meanwhile.
func Create(path string, b []byte, mode fs.FileMode) error {
	return write(path, b, mode, os.Link)
}

// write writes beside path, and has put bring it there.
func write(path string, b []byte, mode fs.FileMode, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it has another name by then, if it was renamed
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(mode), Hand(f.Name()), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := put(f.Name(), path); err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

// Hand gives a file or folder that root has made to whom the folder around it is
// for: to that one's owner; or where that is root, to its group to read. So what
// an operator's command leaves is of use to the unit's user. Folders of root's
// alone hand nothing on, and what others make stays theirs.
func Hand(path string) (err error) {
	if os.Geteuid() != 0 {
		return nil
	}
	around, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	to, ok := around.Sys().(*syscall.Stat_t)
	if !ok || to.Uid == 0 && to.Gid == 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode() & (fs.ModePerm | fs.ModeSetgid)
	if to.Uid == 0 {
		mode |= mode >> 3 & 0o050
	}
	return errors.Join(f.Chown(int(to.Uid), int(to.Gid)), f.Chmod(mode))
}

// Sync returns when a file, or the names in a folder, are on disk.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

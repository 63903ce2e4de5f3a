package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"passage/durable"
)

func TestWrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	holds := func(want string, mode fs.FileMode) {
		t.Helper()
		b, err := os.ReadFile(path)
		info, err2 := os.Stat(path)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if string(b) != want || info.Mode().Perm() != mode {
			t.Errorf("%q with %v, want %q with %v", b, info.Mode(), want, mode)
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != 1 {
			t.Errorf("left beside it: %v, %v", list, err)
		}
	}
	if err := durable.Create(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	holds("one", 0o600)
	if err := durable.Create(path, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	holds("one", 0o600)
	if err := durable.Replace(path, []byte("three"), 0o644); err != nil {
		t.Fatal(err)
	}
	holds("three", 0o644)
	if err := durable.Replace(filepath.Join(dir, "none", "a"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

// What root leaves is of use to whom the folder around it is for, and to nobody
// else.
func TestHand(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes things for others")
	}
	const somebody = 54321
	for _, c := range []struct {
		name       string
		uid, gid   int // of the folder
		file, made fs.FileMode
	}{
		{"root's own", 0, 0, 0o600, 0o700},
		{"root's, for a group to read", 0, somebody, 0o640, 0o750},
		{"somebody's", somebody, somebody, 0o600, 0o700},
	} {
		dir := t.TempDir()
		if err := os.Chown(dir, c.uid, c.gid); err != nil {
			t.Fatal(err)
		}
		file, made := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
		err := errors.Join(durable.Create(file, nil, 0o600), os.Mkdir(made, 0o700), durable.Hand(made))
		if err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]fs.FileMode{file: c.file, made: c.made} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if s := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != mode || int(s.Uid) != c.uid || int(s.Gid) != c.gid {
				t.Errorf("%s: %s is %d:%d %v, want %d:%d %v", c.name, path, s.Uid, s.Gid, info.Mode(), c.uid, c.gid, mode)
			}
		}
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chown(dir, somebody, somebody), os.Symlink("/etc/passwd", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := durable.Hand(filepath.Join(dir, "link")); err == nil {
		t.Error("what a link leads to is handed over")
	}
}

package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

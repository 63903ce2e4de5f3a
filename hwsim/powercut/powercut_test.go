//go:build linux

package powercut

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"passage/durable"
)

// What was synced is there after a cut, byte by byte; what was not is lost, be it
// a file, more of one, or a new name.
func TestCut(t *testing.T) {
	d, err := New(t.Context(), filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Skip("no disk can be mounted here:", err)
	}
	t.Cleanup(func() { Abandon(d.Dir) })
	at := func(name string) string { return filepath.Join(d.Dir, name) }
	if err := durable.Replace(at("kept"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("lost"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(at("kept"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(" and new"); err != nil {
		t.Fatal(err)
	}
	if err := d.Cut(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("!"); err == nil {
		if err = f.Sync(); err == nil {
			t.Error("a disk without power has taken something")
		}
	}
	defer f.Close() // whoever still has a file of it open does not keep it from coming back
	if err := d.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(at("kept")); string(b) != "old" {
		t.Errorf("what was synced: %q, %v", b, err)
	}
	if _, err := os.Stat(at("lost")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(at("kept")); string(b) != "old" {
		t.Errorf("after its end: %q, %v", b, err)
	}
	if _, err := os.Stat(d.image); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its image: %v", err)
	}
}

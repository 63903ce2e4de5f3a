package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"passage/keys"
	"passage/sqlite"
)

// Rotation waits for the lane, and the master key that it came from opens
// nothing any more.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	master := bytes.Repeat([]byte{1}, keys.Size)
	ring, err := keys.Open(t.Context(), db, master)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, "next.key32")
	if err := (keysNewCmd{next}).Run(); err != nil {
		t.Fatal(err)
	}
	if err := rotate(t.Context(), ring, keysRotateCmd{To: next, NoWait: true}, "before", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open(t.Context(), db, master); !errors.Is(err, keys.ErrKey) {
		t.Errorf("the former master key: %v", err)
	}
	if list, err := ring.List(t.Context(), places); err != nil || len(list) != 2 || !list[1].Retired.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	if err := rotate(t.Context(), ring, keysRotateCmd{}, "", time.Millisecond); err == nil {
		t.Error("a key was destroyed that a running lane may seal with")
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"passage/keys"
	"passage/sqlite"
)

// Rotation waits for the lane, which works all the while; the master key that it
// came from opens nothing any more.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	next := filepath.Join(dir, "next.key32")
	if err := (keysNewCmd{next}).Run(); err != nil {
		t.Fatal(err)
	}
	master, path := bytes.Repeat([]byte{1}, keys.Size), filepath.Join(dir, "lane.db")
	synctest.Test(t, func(t *testing.T) {
		open := func(master []byte) (*keys.Ring, *sqlite.DB) {
			db, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			ring, err := keys.Open(t.Context(), db, master)
			if err != nil {
				t.Fatal(errors.Join(err, db.Close()))
			}
			return ring, db
		}
		lane, working := open(master)
		defer working.Close()
		ctx, stop := context.WithCancel(t.Context())
		kept := make(chan error, 1)
		go func() { kept <- lane.Keep(ctx) }()
		tool, db := open(master)
		defer db.Close()
		if err := rotate(t.Context(), tool, keysRotateCmd{To: next, NoWait: true}, "before", keys.Adopted); err == nil {
			t.Error("another master key without waiting for the lane")
		}
		if err := rotate(t.Context(), tool, keysRotateCmd{}, "before", time.Millisecond); err == nil {
			t.Error("a key was destroyed that a running lane may seal with")
		}
		before := lane.Seal(places[0], 1, []byte("before"))
		if err := rotate(t.Context(), tool, keysRotateCmd{To: next}, "before", keys.Adopted); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the lane looks at the ring again, and goes on
		after := lane.Seal(places[0], 2, []byte("after"))
		if _, err := keys.Open(t.Context(), db, master); !errors.Is(err, keys.ErrKey) {
			t.Errorf("the former master key: %v", err)
		}
		secret, err := keys.Load(next)
		if err != nil {
			t.Fatal(err)
		}
		again, other := open(secret)
		defer other.Close()
		for name, r := range map[string]*keys.Ring{"working": lane, "started again": again} {
			if got, err := r.Unseal(places[0], 2, after); err != nil || string(got) != "after" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		// It lay nowhere in the database, so that nobody wrapped it anew.
		if _, err := again.Unseal(places[0], 1, before); err == nil {
			t.Error("the destroyed key opens something still")
		}
		if list, err := again.List(t.Context(), places); err != nil || len(list) != 1 || !list[0].Retired.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		stop()
		if err := <-kept; err != nil {
			t.Errorf("the lane ended: %v", err)
		}
	})
}

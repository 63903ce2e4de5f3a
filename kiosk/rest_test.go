package kiosk_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// A lane rests between two travellers only, and takes nobody while it does.
func TestRest(t *testing.T) {
	work(t, func(b *bench) {
		b.Place(true)
		b.until(lane.TakeDoc)
		if _, _, ok := b.shell.Rest(b.t.Context()); ok {
			t.Fatal("it rested with a document on its reader")
		}
		b.Place(false)
		b.until(lane.Release)
		if _, _, ok := b.shell.Rest(b.t.Context()); ok {
			t.Fatal("it rested with somebody inside")
		}
		b.until(lane.Idle)
		undo, closed, ok := b.shell.Rest(b.t.Context())
		if !ok || closed {
			t.Fatalf("an empty lane: rested %v, closed %v", ok, closed)
		}
		b.until(lane.OutOfService)
		b.Place(true)
		synctest.Wait()
		if s := b.shell.State(); s.Phase != lane.OutOfService {
			t.Errorf("a resting lane took a document: %s", s.Phase)
		}
		b.Place(false)
		undo()
		b.until(lane.Idle)
		if err := b.shell.Order(b.t.Context(), kiosk.Officer{ID: "sam", Role: "supervisor"}, lane.OrderClose); err != nil {
			t.Fatal(err)
		}
		b.until(lane.OutOfService)
		undo, closed, ok = b.shell.Rest(b.t.Context())
		if !ok || !closed {
			t.Errorf("a closed lane: rested %v, closed %v", ok, closed)
		}
		undo()
		late, cancel := context.WithCancel(b.t.Context())
		cancel()
		if _, _, ok := b.shell.Rest(late); ok {
			t.Error("it rested for somebody who has gone")
		}
	})
}

// A lane that an officer closed stays closed when it starts anew.
func TestStartClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := world.NewQuick(nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- q.Shell.Run(ctx, kiosk.Recovery{Closed: true}) }()
		synctest.Wait()
		if s := q.Shell.State(); !s.Closed || s.Phase == lane.Idle {
			t.Errorf("closed %v, %s", s.Closed, s.Phase)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

package kiosk_test

import (
	"slices"
	"testing"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// Since when somebody is inside, from what a lane has journalled: event by event,
// some seconds apart.
func TestInside(t *testing.T) {
	const locked, open, free = lane.LeafLocked, lane.LeafOpen, lane.LeafUnlocked
	seen := func(s lane.GateState, entry, exit lane.Leaf, occupied bool) lane.Event {
		return lane.GateSeen{Gate: lane.Gate{Link: true, State: s, Entry: entry, Exit: exit, Occupied: occupied}}
	}
	idle, opening := seen(lane.GateReady, locked, locked, false), seen(lane.GateEntryOpen, open, locked, false)
	steps, caught := seen(lane.GateEntryOpen, open, locked, true), seen(lane.GateOccupied, locked, locked, true)
	blink := seen(lane.GateSafe, locked, locked, false)
	leaves, left := seen(lane.GateExitOpen, locked, open, true), seen(lane.GateExitOpen, locked, open, false)
	hold := lane.Decided{Transaction: 1, Decision: lane.DecideHold}
	for _, x := range []struct {
		name   string
		events []lane.Event
		since  int // index of the event from which time counts; -1 for nobody
	}{
		{"a new journal", nil, -1},
		{"nobody has come yet", []lane.Event{lane.Started{}, idle, lane.DocumentPlaced{}, opening}, -1},
		{"stepping in", []lane.Event{idle, opening, steps}, 2},
		{"inside", []lane.Event{idle, opening, steps, caught, lane.Pressed{}, lane.Tick{}}, 2},
		{"the sensors lost them", []lane.Event{idle, opening, steps, caught, blink}, 2},
		{"the sensors found them again", []lane.Event{idle, opening, steps, caught, blink, caught}, 2},
		{"the line was cut", []lane.Event{idle, opening, steps, caught, lane.GateLost{}}, 2},
		{"the lane restarted before", []lane.Event{idle, opening, steps, caught, lane.Started{Waited: 1}, caught, lane.Started{Waited: 2}}, 2},
		{"an officer renewed", []lane.Event{idle, opening, steps, caught, lane.Renewed{}, lane.Tick{}}, 4},
		{"an officer holds them", []lane.Event{idle, opening, steps, caught, hold, lane.Tick{}}, 4},
		{"an officer decided otherwise", []lane.Event{idle, opening, steps, caught, lane.Decided{Transaction: 1, Decision: lane.DecideRetryFace}}, 2},
		{"gone by the exit", []lane.Event{idle, opening, steps, caught, leaves, left}, -1},
		{"gone, and the gate is ready again", []lane.Event{opening, steps, caught, lane.Renewed{}, leaves, left, idle, lane.DocumentPlaced{}}, -1},
		{"back out by the entry", []lane.Event{opening, steps, caught, steps, opening, idle}, -1},
		{"one after the other", []lane.Event{opening, steps, caught, leaves, left, idle, opening, steps, caught}, 7},
		{"somebody who was there before the doors were seen", []lane.Event{lane.Started{}, idle, seen(lane.GateSafe, locked, locked, true)}, 2},
		{"freed, and not gone", []lane.Event{opening, steps, caught, seen(lane.GateFallback, free, locked, true)}, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			begin := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
			at := func(i int) time.Time { return begin.Add(time.Duration(i) * 7 * time.Second) }
			got := kiosk.Inside(func(yield func(lane.Event, time.Time) bool) {
				for i, e := range slices.Backward(x.events) {
					if !yield(e, at(i)) {
						return
					}
				}
			})
			want := time.Time{}
			if x.since >= 0 {
				want = at(x.since)
			}
			if !got.Equal(want) {
				t.Errorf("since %v, want %v", got, want)
			}
		})
	}
}

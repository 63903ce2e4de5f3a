package world_test

import (
	"testing"
	"time"

	"passage/eesclient/api"
	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// opens waits until the lane takes travellers.
func opens(t *testing.T, w *world.World) {
	t.Helper()
	if !until(t, w, 20*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Idle }) {
		t.Fatalf("the lane does not open: %+v", w.Shell().View())
	}
}

// crosses sends somebody in and returns how it ended.
func crosses(t *testing.T, w *world.World, script string, asks bool) kiosk.Recent {
	t.Helper()
	opens(t, w)
	card, err := w.Card(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for _, n := range w.Shell().View().Counts {
		before += n
	}
	p := w.Traveller(script, card)
	if !asks {
		p.More = nil
	}
	if through, err := p.Walk(t.Context()); err != nil || !through {
		t.Fatal(through, err)
	}
	if !until(t, w, 30*time.Second, func(v kiosk.View) bool {
		n := 0
		for _, c := range v.Counts {
			n += c
		}
		return n > before
	}) {
		t.Fatalf("nothing is concluded: %+v", w.Shell().View().State)
	}
	list := w.Shell().View().Recent
	return list[len(list)-1]
}

// A person who needs nine seconds to set off finds the leaf closed after six;
// one who asked for more time walks through, and the next one is served as before.
func TestMoreTimeHoldsTheLeaves(t *testing.T) {
	live(t, nil, func(t *testing.T, w *world.World) {
		if r := crosses(t, w, "slow", false); r.Outcome != lane.OutcomeDivertedOut || r.Reason != lane.TIMEOUT {
			t.Errorf("without more time: %v %v", r.Outcome, r.Reason)
		}
		if r := crosses(t, w, "slow", true); r.Outcome != lane.OutcomeReleased {
			t.Errorf("with more time: %v %v", r.Outcome, r.Reason)
		}
		if w.Shell().View().Unhurried {
			t.Error("the next traveller inherits the time")
		}
		if r := crosses(t, w, "slow", false); r.Outcome != lane.OutcomeDivertedOut {
			t.Errorf("the next one: %v %v", r.Outcome, r.Reason)
		}
	})
}

// A wish made before the document is laid down holds for whoever lays one down
// within a minute.
func TestAWishBeforehand(t *testing.T) {
	live(t, nil, func(t *testing.T, w *world.World) {
		opens(t, w)
		w.Shell().MoreTime()
		if !w.Shell().View().Unhurried {
			t.Error("the screen does not show the wish")
		}
		if r := crosses(t, w, "slow", false); r.Outcome != lane.OutcomeReleased {
			t.Errorf("after a wish: %v %v", r.Outcome, r.Reason)
		}
		opens(t, w)
		w.Shell().MoreTime()
		time.Sleep(61 * time.Second) // virtual
		if w.Shell().View().Unhurried {
			t.Error("a wish outlives its minute")
		}
		if r := crosses(t, w, "slow", false); r.Outcome != lane.OutcomeDivertedOut {
			t.Errorf("a minute after a wish: %v %v", r.Outcome, r.Reason)
		}
	})
}

// A lane that serves both directions changes on a supervisor's word while it is
// empty; what it writes is of the new kind, and a restart changes nothing.
func TestTheDirectionChanges(t *testing.T) {
	live(t, func(w *world.World) {
		w.BothWays, w.Decision = true, "release"
		w.Rule = func(p *policy.Policy) { p.Listed = append(p.Listed, policy.Listed{Nationality: "BRA"}) }
	}, func(t *testing.T, w *world.World) {
		opens(t, w)
		ctx := t.Context()
		guard, sam := kiosk.Officer{ID: "anna", Role: "guard", OnSite: true}, kiosk.Officer{ID: "sam", Role: "supervisor"}
		if err := w.Shell().Order(ctx, guard, lane.OrderDirectionEntry); err == nil {
			t.Error("a guard changes the direction")
		}
		if r := crosses(t, w, "", false); r.Outcome != lane.OutcomeReleased {
			t.Fatalf("towards exit: %v %v", r.Outcome, r.Reason)
		}
		kinds(t, w, api.RecordKindExit)
		opens(t, w)
		if err := w.Shell().Order(ctx, sam, lane.OrderDirectionEntry); err != nil {
			t.Fatal(err)
		}
		if d := w.Shell().Direction(); d != "entry" {
			t.Fatalf("the lane serves %s", d)
		}
		w.Crash()
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		opens(t, w)
		if d := w.Shell().View().Config.Policy.Direction; d != "entry" {
			t.Fatalf("after a restart the lane serves %s", d)
		}
		if r := crosses(t, w, "", false); r.Outcome != lane.OutcomeReleased {
			t.Errorf("towards entry: %v %v", r.Outcome, r.Reason)
		}
		kinds(t, w, api.RecordKindExit, api.RecordKindEntry)
	})
}

// kinds compares the register's records, once they are there.
func kinds(t *testing.T, w *world.World, want ...api.RecordKind) {
	t.Helper()
	until(t, w, 10*time.Second, func(kiosk.View) bool { return w.Register.Count("record") >= len(want) })
	list, err := w.Register.Records(t.Context())
	if err != nil || len(list) != len(want) {
		t.Fatalf("records %+v, %v", list, err)
	}
	for i, r := range list {
		if r.Kind != want[i] {
			t.Errorf("record %d is of kind %s, want %s", i, r.Kind, want[i])
		}
	}
}

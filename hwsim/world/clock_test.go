package world_test

import (
	"testing"
	"time"

	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// A lane whose clock is not the register's takes no new traveller, and opens
// again when it is (domain §8, invariant 12).
func TestClockApart(t *testing.T) {
	live(t, nil, func(t *testing.T, w *world.World) {
		in := func(p lane.Phase) func(kiosk.View) bool {
			return func(v kiosk.View) bool { return v.State.Phase == p }
		}
		if !until(t, w, 20*time.Second, in(lane.Idle)) {
			t.Fatal("the lane does not open")
		}
		time.Sleep(30 * time.Second) // virtual
		w.Register.Inject("health", "past")
		if !until(t, w, 25*time.Second, in(lane.OutOfService)) {
			t.Fatalf("the lane is %v", w.Shell().View().State.Phase)
		}
		if why := w.Shell().View().Unfit[lane.UnfitClock]; why != "the register's clock and this one are 1h0m0s apart" {
			t.Errorf("why: %q", why)
		}
		card, err := w.Card(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Field.Put(card)
		time.Sleep(10 * time.Second) // virtual
		if p := w.Shell().View().State.Phase; p != lane.OutOfService {
			t.Errorf("with a document: %v", p)
		}
		w.Field.Put(nil)
		w.Register.Inject("health", "")
		if !until(t, w, 30*time.Second, in(lane.Idle)) {
			t.Errorf("the lane does not open again: %v", w.Shell().View().State.Phase)
		}
	})
}

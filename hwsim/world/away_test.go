package world_test

import (
	"testing"
	"time"

	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
)

// The site, and with it every officer's word, is away for ten minutes. The
// lease of 30 s ends while a traveller is under way: the lane finishes with them,
// takes nobody else, and is open again within 5 s of the site's return. What
// happened is in the journal and in the register once (ruling 16).
func TestSiteAwayTenMinutes(t *testing.T) {
	live(t, nil, func(t *testing.T, w *world.World) {
		idle := func(v kiosk.View) bool { return v.State.Phase == lane.Idle }
		if !until(t, w, 20*time.Second, idle) {
			t.Fatalf("the lane does not open: %+v", w.Shell().View())
		}
		w.Away.Store(true)
		left := time.Now()
		time.Sleep(22 * time.Second)
		card, err := w.Card(nil)
		if err != nil {
			t.Fatal(err)
		}
		walked := make(chan error, 1)
		go func() {
			_, err := w.Traveller("", card).Walk(t.Context())
			walked <- err
		}()
		if !until(t, w, 20*time.Second, func(v kiosk.View) bool { return !v.State.Lease }) {
			t.Fatal("a lease of 30 s does not end")
		}
		ended, phase := time.Since(left), w.Shell().View().State.Phase
		if ended < 20*time.Second || ended > 31*time.Second || phase == lane.Idle || phase == lane.OutOfService {
			t.Fatalf("the lease ended after %v in %v: nobody was under way", ended, phase)
		}
		if err := <-walked; err != nil {
			t.Fatal(err)
		}
		closed := func(v kiosk.View) bool { return v.State.Phase == lane.OutOfService }
		if !until(t, w, 20*time.Second, closed) {
			t.Fatalf("without an officer the lane is in %v", w.Shell().View().State.Phase)
		}
		v := w.Shell().View()
		if len(v.Recent) != 1 || v.Recent[0].Outcome != lane.OutcomeReleased {
			t.Fatalf("the traveller under way: %+v", v.Recent)
		}
		for time.Since(left) < 10*time.Minute {
			time.Sleep(time.Second)
			if v := w.Shell().View(); v.State.Phase != lane.OutOfService || v.State.Gate.Occupied {
				t.Fatalf("after %v without an officer: %v", time.Since(left), v.State.Phase)
			}
		}
		w.Away.Store(false)
		back := time.Now()
		if !until(t, w, time.Minute, idle) {
			t.Fatal("the lane stays closed")
		}
		if took := time.Since(back); took > 5*time.Second {
			t.Errorf("open again %v after the site's return, want 5 s at most", took)
		}
		until(t, w, 10*time.Second, func(kiosk.View) bool { return w.Register.Count("record") > 0 })
		if list, err := w.Register.Records(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%d records, %v", len(list), err)
		}
		if good, err := journal.Check(t.Context(), w.DB.Reader); err != nil || good == 0 {
			t.Errorf("journal: %d good entries, %v", good, err)
		}
	})
}

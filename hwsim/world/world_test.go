package world_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// live runs a lane in virtual time with an officer on duty; story gets it when
// it is open.
func live(t *testing.T, prepare func(w *world.World), story func(t *testing.T, w *world.World)) {
	t.Helper()
	liveIn(t, "", prepare, story)
}

// liveIn is live with the databases in a folder.
func liveIn(t *testing.T, dir string, prepare func(w *world.World), story func(t *testing.T, w *world.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w, err := world.New(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			cancel()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		if prepare != nil {
			prepare(w)
		}
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		off := make(chan error, 1)
		go func() { off <- w.Officer(ctx) }()
		defer func() {
			cancel()
			if err := <-off; err != nil {
				t.Error(err)
			}
			_ = w.Stop() // ended with ctx
		}()
		story(t, w)
	})
}

func until(t *testing.T, w *world.World, within time.Duration, ok func(kiosk.View) bool) bool {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok(w.Shell().View()) {
			return true
		}
	}
	return false
}

func TestACrossing(t *testing.T) {
	live(t, nil, func(t *testing.T, w *world.World) {
		if !until(t, w, 20*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Idle }) {
			t.Fatalf("the lane does not open: %+v", w.Shell().View())
		}
		card, err := w.Card(nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if through, err := w.Traveller("", card).Walk(t.Context()); err != nil || !through {
			t.Fatal(through, err)
		}
		until(t, w, 20*time.Second, func(v kiosk.View) bool { return len(v.Recent) > 0 })
		v := w.Shell().View()
		if len(v.Recent) != 1 || v.Recent[0].Outcome != lane.OutcomeReleased {
			t.Fatalf("recent %+v, alerts %+v, state %+v", v.Recent, v.Alerts, v.State)
		}
		t.Logf("crossed in %v of virtual time", time.Since(began))
		until(t, w, 10*time.Second, func(kiosk.View) bool { return w.Register.Count("record") > 0 })
		list, err := w.Register.Records(t.Context())
		if err != nil || len(list) != 1 || list[0].Kind != "exit" {
			t.Fatalf("records %+v, %v", list, err)
		}
	})
}

// With a copy of the files the lane finds the traveller's file and stay while
// the EES is away, and says how old the answer is; a face that nobody verified
// still releases nobody.
func TestTheExtractAnswers(t *testing.T) {
	live(t, func(w *world.World) {
		if err := w.Local(); err != nil {
			t.Fatal(err)
		}
		for _, o := range []string{"search", "stay", "verifyFace"} {
			w.Register.Inject(o, "down")
		}
	}, func(t *testing.T, w *world.World) {
		time.Sleep(2 * time.Hour) // virtual
		if !until(t, w, 20*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Idle }) {
			t.Fatal("the lane does not open")
		}
		card, err := w.Card(nil)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.Traveller("", card).Walk(t.Context())
			done <- err
		}()
		if !until(t, w, 30*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Inside }) {
			t.Fatalf("%+v, %+v", w.Shell().View().State, w.Shell().View().Recent)
		}
		c := w.Shell().View().Crossing
		for _, check := range []lane.Check{lane.CheckFile, lane.CheckStay} {
			if a := c.Answers[check]; a.Answer != lane.LocalCopy || a.Age < 2*time.Hour || a.Age > 3*time.Hour {
				t.Errorf("%v: %v, %v old", check, a.Answer, a.Age)
			}
		}
		if c.Stay.Overstay != 0 || c.Stay.Status != "ok" {
			t.Errorf("stay %+v", c.Stay)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		until(t, w, 20*time.Second, func(v kiosk.View) bool { return len(v.Recent) > 0 })
		if r := w.Shell().View().Recent; len(r) != 1 || r[0].Outcome != lane.OutcomeDivertedIn || r[0].Reason != lane.DB_OFF {
			t.Errorf("recent %+v", r)
		}
	})
}

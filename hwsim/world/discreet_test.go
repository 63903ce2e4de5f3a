package world_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/eesclient/stay"
	"passage/hwsim/register"
	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// A discreet hit never reaches the lane: with and without one, all that the
// lane does and shows is the same at the same instants, and the register has
// told an officer. A hit that is no secret shows that the comparison would see
// one.
func TestDiscreetHit(t *testing.T) {
	play := func(hit string) (story []string, alerts int) {
		live(t, func(w *world.World) {
			y, m, d := time.Now().UTC().Date()
			today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
			p := register.Person{
				Number: world.Number, Issuer: "BRA", File: "F-1", Reference: true, Face: "match", Surname: "AMOSTRA", GivenNames: "BIA", Nationality: "BRA", Still: true,
				Birth: today.AddDate(-35, 0, 0).Format(time.DateOnly), Stays: []stay.Stay{{First: stay.On(today.AddDate(0, 0, -10))}},
			}
			if hit != "" {
				p.Hits = map[string]string{"SIS": hit}
			}
			if err := w.Register.Load(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			shown := ""
			w.OnStep = func(e kiosk.Entry) {
				var b strings.Builder
				fmt.Fprintf(&b, "%v %s %v", time.Since(began), lane.Name(e.Event), e.After.Phase)
				for _, f := range e.Effects {
					fmt.Fprintf(&b, " %s", lane.Name(f))
				}
				if now := fmt.Sprint(e.After.Screen()); now != shown {
					shown = now
					fmt.Fprintf(&b, ", shows %s", now)
				}
				story = append(story, b.String())
			}
		}, func(t *testing.T, w *world.World) {
			if !until(t, w, 20*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Idle }) {
				t.Fatal("the lane does not open")
			}
			card, err := w.Card(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Traveller("", card).Walk(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, w, 30*time.Second, func(v kiosk.View) bool { return len(v.Recent) > 0 })
			list, err := w.Register.Alerted(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			alerts = len(list)
		})
		return story, alerts
	}
	without, none := play("")
	discreet, told := play("DISCREET")
	open, _ := play("HIT_ACTION")
	if len(without) < 20 || none != 0 || told != 1 {
		t.Errorf("%d steps; the register alerts %d times without, %d times with a discreet hit", len(without), none, told)
	}
	for i := range max(len(without), len(discreet)) {
		if i >= len(without) || i >= len(discreet) || without[i] != discreet[i] {
			t.Fatalf("step %d betrays the hit:\n%q\n%q", i, without[min(i, len(without)-1):][:1], discreet[min(i, len(discreet)-1):][:1])
		}
	}
	if slices.Equal(without, open) {
		t.Error("a hit that is no secret changes nothing: the comparison sees nothing")
	}
}

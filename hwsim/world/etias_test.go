package world_test

import (
	"testing"
	"time"

	"passage/eesclient/stay"
	"passage/hwsim/register"
	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// While travel authorisations are demanded, who enters with one goes through;
// who has none, or one that has ended, goes back out to the officer, and so
// does everybody while nobody can say.
func TestTravelAuthorisation(t *testing.T) {
	for _, c := range []struct {
		name, mode, authorisation, fault string
		outcome                          lane.Outcome
		reason                           lane.Reason
		answer                           lane.Answer
	}{
		{"valid", "on", "valid", "", lane.OutcomeReleased, lane.NONE, lane.Clear},
		{"none", "on", "", "", lane.OutcomeDivertedIn, lane.ETIAS, lane.Unauthorised},
		{"expired", "on", "expired", "", lane.OutcomeDivertedIn, lane.ETIAS, lane.Unauthorised},
		{"revoked, grace", "grace", "revoked", "", lane.OutcomeDivertedIn, lane.ETIAS, lane.Unauthorised},
		{"none, not demanded", "off", "", "", lane.OutcomeReleased, lane.NONE, lane.Pending},
		{"away", "on", "valid", "down", lane.OutcomeDivertedIn, lane.DB_OFF, lane.NotConsulted},
		{"an answer that is none", "on", "valid", "nonsense", lane.OutcomeDivertedIn, lane.DB_OFF, lane.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			live(t, func(w *world.World) {
				w.Rule = func(p *policy.Policy) {
					in := policy.Default(policy.Entry)
					in.Production, in.TCNEntry, in.ETIAS = false, "auto_supervised", c.mode
					in.Listed = append(in.Listed, policy.Listed{Nationality: "BRA"})
					*p = in
				}
				y, m, d := time.Now().UTC().Date()
				today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
				if err := w.Register.Load(t.Context(), register.Person{
					Number: world.Number, Issuer: "BRA", File: "F-1", Reference: true, Face: "match", Surname: "AMOSTRA", GivenNames: "BIA", Nationality: "BRA", Still: true,
					Birth: today.AddDate(-35, 0, 0).Format(time.DateOnly), ETIAS: c.authorisation,
					Stays: []stay.Stay{{First: stay.On(today.AddDate(0, 0, -60)), Last: stay.On(today.AddDate(0, 0, -50))}},
				}); err != nil {
					t.Fatal(err)
				}
				w.Register.Inject("authorisation", c.fault)
			}, func(t *testing.T, w *world.World) {
				if !until(t, w, 20*time.Second, func(v kiosk.View) bool { return v.State.Phase == lane.Idle }) {
					t.Fatal("the lane does not open")
				}
				card, err := w.Card(nil)
				if err != nil {
					t.Fatal(err)
				}
				var answer lane.Answer
				w.OnStep = func(e kiosk.Entry) {
					if a, ok := e.Event.(lane.Answered); ok && a.Check == lane.CheckETIAS {
						answer = a.Answer
					}
				}
				if _, err := w.Traveller("", card).Walk(t.Context()); err != nil {
					t.Fatal(err)
				}
				until(t, w, 30*time.Second, func(v kiosk.View) bool { return len(v.Recent) > 0 })
				r := w.Shell().View().Recent
				if len(r) != 1 || r[0].Outcome != c.outcome || r[0].Reason != c.reason || answer != c.answer {
					t.Errorf("recent %+v, answer %v", r, answer)
				}
			})
		})
	}
}

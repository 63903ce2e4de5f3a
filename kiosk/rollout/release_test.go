package rollout_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/hwsim/passkey"
	"passage/kiosk/officer"
	"passage/kiosk/rollout"
)

var now = time.Date(2026, 6, 20, 8, 0, 0, 0, time.UTC)

// port is a site with its officers: tom, a technician, sam and lea, supervisors,
// and gus, a guard.
type port struct {
	t      testing.TB
	people map[string]*passkey.Officer
	roster *officer.Roster
}

func newPort(t testing.TB) *port {
	t.Helper()
	p := &port{t, map[string]*passkey.Officer{}, &officer.Roster{Site: "Testport", Version: 1, Until: now.AddDate(0, 6, 0), RPID: "console.test", Origins: []string{"https://console.test"}}}
	for id, role := range map[string]officer.Role{"tom": officer.Technician, "sam": officer.Supervisor, "lea": officer.Supervisor, "gus": officer.Guard} {
		o, err := passkey.SignIn(id, "console.test", now.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		row, err := o.Row(role)
		if err != nil {
			t.Fatal(err)
		}
		p.people[id], p.roster.Officers = o, append(p.roster.Officers, row)
	}
	return p
}

func (p *port) say(id string, w officer.Word, touched bool) []byte {
	p.t.Helper()
	w.Lane = officer.Site
	if w.At == 0 {
		w.At = now.UnixMilli()
	}
	b, err := p.people[id].Say(w, touched)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func release(kind rollout.Kind, number uint64, content []byte) rollout.Release {
	sum := sha256.Sum256(content)
	return rollout.Release{Site: "Testport", Kind: kind, Number: number, Name: "a test", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Made: now.Unix()}
}

// offer is a release that tom proposed and sam activated for E1 and E2.
func (p *port) offer(r rollout.Release, change ...func(*rollout.Plan)) rollout.Offer {
	p.t.Helper()
	o := rollout.Offer{Release: encode(p.t, r)}
	plan := rollout.Plan{Release: rollout.Digest(o.Release), Lanes: []string{"E1", "E2"}, Stages: []int{50, 100}, Soak: 600, From: now.Unix(), Until: now.Add(24 * time.Hour).Unix()}
	for _, c := range change {
		c(&plan)
	}
	o.Plan = encode(p.t, plan)
	o.Proposal = p.say("tom", officer.Word{Kind: officer.Propose, Value: plan.Release}, true)
	o.Activation = p.say("sam", officer.Word{Kind: officer.Activate, Value: rollout.Digest(o.Plan), Text: "new law"}, true)
	return o
}

// A lane takes what two officers signed, when its turn has come.
func TestProve(t *testing.T) {
	p := newPort(t)
	o := p.offer(release(rollout.Configuration, 7, []byte("x")))
	order := rollout.Plan{Lanes: []string{"E1", "E2"}, Stages: []int{50, 100}}.Order(rollout.Digest(o.Plan))
	v, err := o.Prove(p.roster, order[0], now.Add(time.Hour))
	if err != nil || v.Number != 7 || v.Proposer != "tom" || v.Activator != "sam" || v.Why != "new law" {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := o.Prove(p.roster, order[1], now.Add(9*time.Minute)); !errors.Is(err, rollout.ErrLater) {
		t.Errorf("the second stage's lane in the first one's time: %v", err)
	}
	if _, err := o.Prove(p.roster, order[1], now.Add(11*time.Minute)); err != nil {
		t.Errorf("in its own: %v", err)
	}
}

// Everything that whoever owns the console could try, and what chance brings.
func TestProveRefuses(t *testing.T) {
	p := newPort(t)
	good := release(rollout.Configuration, 7, []byte("x"))
	mallory, err := passkey.SignIn("sam", "console.test", now.Add(-time.Hour)) // her own keys in sam's name
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, why string
		offer     func() rollout.Offer
		at        time.Time
		roster    func(*officer.Roster)
	}{
		{name: "by one person", why: "cannot activate", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Proposal = p.say("sam", officer.Word{Kind: officer.Propose, Value: rollout.Digest(o.Release)}, true)
			return o
		}},
		{name: "activated by a technician", why: "not a right", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Proposal = p.say("sam", officer.Word{Kind: officer.Propose, Value: rollout.Digest(o.Release)}, true)
			o.Activation = p.say("tom", officer.Word{Kind: officer.Activate, Value: rollout.Digest(o.Plan)}, true)
			return o
		}},
		{name: "proposed by a guard", why: "not a right", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Proposal = p.say("gus", officer.Word{Kind: officer.Propose, Value: rollout.Digest(o.Release)}, true)
			return o
		}},
		{name: "activated by nobody", why: "cannot be read", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Activation = nil
			return o
		}},
		{name: "activated with keys of the console's own", why: "not one of officer", offer: func() rollout.Offer {
			o := p.offer(good)
			b, err := mallory.Say(officer.Word{Lane: officer.Site, Kind: officer.Activate, Value: rollout.Digest(o.Plan), At: now.UnixMilli()}, true)
			if err != nil {
				t.Fatal(err)
			}
			o.Activation = b
			return o
		}},
		{name: "with a stolen session, and no touch", why: "not touched", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Activation = p.say("sam", officer.Word{Kind: officer.Activate, Value: rollout.Digest(o.Plan)}, false)
			return o
		}},
		{name: "another release than the one proposed", why: "something else", offer: func() rollout.Offer {
			o := p.offer(good)
			other := p.offer(release(rollout.Configuration, 7, []byte("y")))
			o.Release, o.Plan, o.Activation = other.Release, other.Plan, other.Activation
			return o
		}},
		{name: "another plan than the one activated", why: "something else", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Plan = p.offer(good, func(p *rollout.Plan) { p.Stages = []int{100} }).Plan
			return o
		}},
		{name: "a plan of another release", why: "another release", offer: func() rollout.Offer {
			o := p.offer(good)
			other := p.offer(release(rollout.Configuration, 8, []byte("y")))
			o.Plan, o.Activation = other.Plan, other.Activation
			return o
		}},
		{name: "an activation for a proposal", why: "something else", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Proposal = p.say("lea", officer.Word{Kind: officer.Activate, Value: rollout.Digest(o.Release)}, true)
			return o
		}},
		{name: "of another site", why: "for site", offer: func() rollout.Offer {
			r := good
			r.Site = "Elsewhere"
			return p.offer(r)
		}},
		{name: "for other lanes", why: "not for lane E1", offer: func() rollout.Offer {
			return p.offer(good, func(p *rollout.Plan) { p.Lanes = []string{"E2", "E3"} })
		}},
		{name: "of a kind nobody knows", why: "no kind", offer: func() rollout.Offer {
			r := good
			r.Kind = "program"
			return p.offer(r)
		}},
		{name: "too large", why: "are the most", offer: func() rollout.Offer {
			r := good
			r.Size = rollout.Configuration.Most() + 1
			return p.offer(r)
		}},
		{name: "a plan too large to be read", why: "larger than", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Plan = append(o.Plan, bytes.Repeat([]byte(" "), 1<<20)...)
			return o
		}},
		{name: "something behind it", why: "cannot be read", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Release = append(o.Release, '{')
			return o
		}},
		{name: "too late", why: "run out", offer: func() rollout.Offer { return p.offer(good) }, at: now.Add(25 * time.Hour)},
		{name: "by a clock that is a day behind", why: "is the clock right?", offer: func() rollout.Offer { return p.offer(good) }, at: now.Add(-24 * time.Hour)},
		{name: "in a session that had run out", why: "run out", offer: func() rollout.Offer {
			o := p.offer(good)
			o.Activation = p.say("sam", officer.Word{Kind: officer.Activate, Value: rollout.Digest(o.Plan), At: now.Add(8 * time.Hour).UnixMilli()}, true)
			return o
		}, at: now.Add(9 * time.Hour)},
		{name: "by somebody who has left", why: "knows no officer", offer: func() rollout.Offer { return p.offer(good) }, roster: func(r *officer.Roster) {
			r.Officers = slices.DeleteFunc(slices.Clone(r.Officers), func(o officer.Officer) bool { return o.ID == "tom" })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := *p.roster
			if c.roster != nil {
				c.roster(&r)
			}
			if c.at.IsZero() {
				c.at = now.Add(time.Hour)
			}
			_, err := c.offer().Prove(&r, "E1", c.at)
			if !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want a refusal that says %q", err, c.why)
			}
		})
	}
	o := p.offer(good)
	for _, r := range []*officer.Roster{nil, {Until: now}} {
		if _, err := o.Prove(r, "E1", now.Add(time.Hour)); !errors.Is(err, rollout.ErrLater) {
			t.Errorf("without a roster that holds: %v", err)
		}
	}
}

// FuzzProve: an offer that two officers did not sign, octet for octet, is taken by
// nobody.
func FuzzProve(f *testing.F) {
	p := newPort(f)
	o := p.offer(release(rollout.Configuration, 7, []byte("x")), func(p *rollout.Plan) { p.Soak = 0 })
	f.Add([]byte(o.Release), []byte(o.Proposal), []byte(o.Plan), []byte(o.Activation))
	f.Add([]byte(`{}`), []byte(`{}`), []byte(`{}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, release, proposal, plan, activation []byte) {
		v, err := rollout.Offer{Release: release, Proposal: proposal, Plan: plan, Activation: activation}.Prove(p.roster, "E1", now.Add(time.Hour))
		if err == nil && (!bytes.Equal(release, o.Release) || !bytes.Equal(plan, o.Plan) || v.Number != 7) {
			t.Errorf("a lane takes %q by plan %q", release, plan)
		}
	})
}

// FuzzParse: what a plan or a report says when it was read is what is written.
func FuzzParse(f *testing.F) {
	p := newPort(f)
	o := p.offer(release(rollout.Trust, 1, nil))
	f.Add([]byte(o.Plan))
	f.Add([]byte(o.Release))
	f.Add(encode(f, []rollout.Status{{Kind: rollout.Trust, Why: "why"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if plan, err := rollout.ParsePlan(b); err == nil {
			for _, l := range plan.Lanes {
				if _, err := plan.Due("d", l); err != nil {
					t.Errorf("lane %s of the plan has no turn: %v", l, err)
				}
			}
			if plan.Upto(len(plan.Stages)-1) != len(plan.Lanes) {
				t.Error("the last stage leaves lanes out")
			}
		}
		if r, err := rollout.ParseRelease(b); err == nil && (r.Size > r.Kind.Most() || r.Number == 0) {
			t.Errorf("took %+v", r)
		}
		if list, err := rollout.ParseStatus(b); err == nil {
			text := encode(t, list) // may be longer, as it escapes what is no plain text
			if again, err := rollout.ParseStatus(text); len(text) <= rollout.MaxStatus && (err != nil || !slices.Equal(list, again)) {
				t.Errorf("%+v becomes %+v, %v", list, again, err)
			}
		}
	})
}

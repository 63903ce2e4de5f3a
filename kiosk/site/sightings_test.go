package site

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"passage/kiosk/fleet"
)

func tag(n int) string { return fmt.Sprintf("%032x", n) }

func TestSightings(t *testing.T) {
	rules := Rules{PassingBack: 12 * time.Hour, Attempts: 3, AttemptsFor: 10 * time.Minute}
	type step struct {
		at        time.Duration
		lane      string
		direction string
		passed    bool
		want      string
	}
	in := func(at time.Duration, lane string, want string) step { return step{at, lane, "entry", false, want} }
	for _, c := range []struct {
		name  string
		rules Rules
		steps []step
	}{
		{"in two lanes at once", Rules{}, []step{in(0, "E1", ""), in(30*time.Second, "E2", fleet.Elsewhere)}},
		{"the same lane again", Rules{}, []step{in(0, "E1", ""), in(30*time.Second, "E1", "")}},
		{"another lane after two minutes", Rules{}, []step{in(0, "E1", ""), in(121*time.Second, "E2", "")}},
		{"the second try elsewhere keeps it in use", Rules{}, []step{in(0, "E1", ""), in(100*time.Second, "E2", fleet.Elsewhere), in(200*time.Second, "E1", fleet.Elsewhere)}},
		{"entry, entry", rules, []step{in(0, "E1", ""), {20 * time.Second, "E1", "entry", true, ""}, in(time.Hour, "E2", fleet.PassedBack)}},
		{"entry, exit, entry", rules, []step{
			in(0, "E1", ""),
			{20 * time.Second, "E1", "entry", true, ""},
			{time.Hour, "X1", "exit", false, ""},
			{time.Hour + 20*time.Second, "X1", "exit", true, ""},
			in(2*time.Hour, "E2", ""),
		}},
		{"entry, entry the next day", rules, []step{in(0, "E1", ""), {20 * time.Second, "E1", "entry", true, ""}, in(13*time.Hour, "E2", "")}},
		{"entry, entry where that is no rule", Rules{}, []step{in(0, "E1", ""), {20 * time.Second, "E1", "entry", true, ""}, in(time.Hour, "E2", "")}},
		{"the fourth attempt", rules, []step{in(0, "E1", ""), in(time.Minute, "E1", ""), in(2*time.Minute, "E1", ""), in(3*time.Minute, "E1", fleet.TooOften)}},
		{"the fourth attempt, slowly", rules, []step{in(0, "E1", ""), in(5*time.Minute, "E1", ""), in(10*time.Minute, "E1", ""), in(15*time.Minute, "E1", "")}},
		{"attempts end by passing", rules, []step{
			in(0, "E1", ""), in(time.Minute, "E1", ""), in(2*time.Minute, "E1", ""),
			{2*time.Minute + 20*time.Second, "E1", "entry", true, ""},
			{3 * time.Minute, "E1", "exit", false, ""},
		}},
	} {
		x := newSightings(c.rules)
		for i, s := range c.steps {
			got, err := x.note(s.lane, fleet.Sighting{Tag: tag(1), Direction: s.direction, Passed: s.passed}, time.Unix(1e9, 0).Add(s.at))
			if err != nil || got.Why != s.want {
				t.Errorf("%s, step %d: %q, %v; want %q", c.name, i, got.Why, err, s.want)
			}
		}
	}
}

// A lane that floods, or tells of a document that is not in it, changes nothing
// for the others.
func TestSightingsOfALiar(t *testing.T) {
	now := time.Unix(1e9, 0)
	x := newSightings(Rules{PassingBack: time.Hour})
	if _, err := x.note("E1", fleet.Sighting{Tag: tag(1), Direction: "entry"}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := x.note("E2", fleet.Sighting{Tag: tag(1), Direction: "entry", Passed: true}, now); err == nil {
		t.Error("E2 says that a document passed which is in E1")
	}
	refused := 0
	for i := range 1000 {
		if _, err := x.note("E2", fleet.Sighting{Tag: tag(100 + i), Direction: "entry"}, now); err != nil {
			refused++
		}
	}
	if refused < 800 || len(x.seen) > 200 {
		t.Errorf("of a flood %d were refused, %d documents are remembered", refused, len(x.seen))
	}
	if got, err := x.note("E3", fleet.Sighting{Tag: tag(1), Direction: "entry"}, now); err != nil || got.Why != fleet.Elsewhere {
		t.Errorf("after the flood: %+v, %v", got, err)
	}
	x.note("E3", fleet.Sighting{Tag: tag(2), Direction: "entry"}, now.Add(3*time.Hour))
	if len(x.seen) != 1 {
		t.Errorf("%d documents are remembered after three hours", len(x.seen))
	}
}

// FuzzSighting feeds the site what a lane may say of a document.
func FuzzSighting(f *testing.F) {
	f.Add([]byte(`{"tag":"` + tag(1) + `","direction":"entry"}`))
	f.Add([]byte(`{"tag":"` + strings.Repeat("x", 200) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s fleet.Sighting
		if json.Unmarshal(b, &s) != nil {
			return
		}
		x := newSightings(Rules{})
		_, err := x.note("E1", s, time.Unix(1e9, 0))
		if err != nil && len(x.seen) != 0 {
			t.Errorf("%q is refused and remembered", b)
		}
		for kept := range x.seen {
			if len(kept) != 32 {
				t.Errorf("%q is remembered", kept)
			}
		}
	})
}

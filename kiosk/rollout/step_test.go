package rollout

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 6, 20, 8, 0, 0, 0, time.UTC)

func aPlan(lanes int, stages ...int) Plan {
	p := Plan{Release: strings.Repeat("0", 64), Stages: stages, Soak: 600, From: start.Unix(), Until: start.Add(48 * time.Hour).Unix(), Limits: Limits{Broken: 10, Diverted: 10, Alarms: 5, Slower: 30}}
	for n := range lanes {
		p.Lanes = append(p.Lanes, fmt.Sprintf("L%04d", n))
	}
	return p
}

func TestPlanValidate(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*Plan)
	}{
		{"good", "", func(*Plan) {}},
		{"no lanes", "1 to", func(p *Plan) { p.Lanes = nil }},
		{"twice", "each is there once", func(p *Plan) { p.Lanes[1] = p.Lanes[0] }},
		{"unsorted", "sorted", func(p *Plan) { slices.Reverse(p.Lanes) }},
		{"no lane's name", "sorted", func(p *Plan) { p.Lanes[0] = "lane.*" }},
		{"falling", "rise", func(p *Plan) { p.Stages = []int{50, 20, 100} }},
		{"not to the end", "100", func(p *Plan) { p.Stages = []int{5, 25} }},
		{"nothing first", "rise", func(p *Plan) { p.Stages = []int{0, 100} }},
		{"for ever", "at most", func(p *Plan) { p.Until = p.From + int64(MostLife/time.Second) + 1 }},
		{"watched for ever", "watched", func(p *Plan) { p.Soak = int64(MostSoak/time.Second) + 1 }},
		{"a limit of 101 %", "percents", func(p *Plan) { p.Limits.Broken = 101 }},
	} {
		p := aPlan(10, 5, 25, 100)
		c.change(&p)
		if err := p.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// How many lanes a stage permits, and that who they are follows from the plan.
func TestOrder(t *testing.T) {
	for _, c := range []struct{ lanes, stage, want int }{{1, 0, 1}, {3, 0, 1}, {10, 0, 1}, {40, 0, 2}, {59, 0, 2}, {100, 1, 25}, {7, 1, 1}, {8, 1, 2}, {8, 2, 8}} {
		if got := aPlan(c.lanes, 5, 25, 100).Upto(c.stage); got != c.want {
			t.Errorf("%d lanes, stage %d: %d, want %d", c.lanes, c.stage, got, c.want)
		}
	}
	p := aPlan(40, 5, 25, 100)
	one, two := p.Order("a"), p.Order("b")
	if !slices.Equal(one, p.Order("a")) || slices.Equal(one, two) || !slices.Equal(slices.Sorted(slices.Values(one)), p.Lanes) {
		t.Error("the order does not follow from plan and lane alone")
	}
	for i, id := range one {
		due, err := p.Due("a", id)
		stage := map[bool]int{i >= 2: 1, i >= 10: 2}[true]
		if err != nil || !due.Equal(start.Add(time.Duration(stage)*10*time.Minute)) {
			t.Errorf("lane %d of the order is due at %v, %v", i, due, err)
		}
	}
	if _, err := p.Due("a", "X1"); err == nil {
		t.Error("a lane that is not of the plan has its turn")
	}
}

// play lets a plan run: change says what the lanes do in each step of ten
// seconds, until the rollout stands or an hour has passed.
func play(p Plan, change func(sec int, s State, seen map[string]Seen) Health) (State, int) {
	s := Start("lea", start)
	seen := map[string]Seen{}
	for _, l := range p.Lanes {
		seen[l] = Seen{}
	}
	sec := 0
	for ; sec < 3600 && s.Phase == Running; sec += 10 {
		for _, l := range s.Lanes {
			x := seen[l.ID]
			x.Has = true
			seen[l.ID] = x
		}
		h := change(sec, s, seen)
		s = p.Step("d", s, seen, h, start.Add(time.Duration(sec)*time.Second))
	}
	return s, sec
}

// What becomes of a plan of forty lanes, in two, ten and all.
func TestStep(t *testing.T) {
	calm := func(int, State, map[string]Seen) Health { return Health{} }
	first := aPlan(40, 5, 25, 100).Order("d")[0]
	worse := func(h Health) func(int, State, map[string]Seen) Health {
		return func(_ int, s State, _ map[string]Seen) Health {
			if s.Stage < 1 {
				return Health{}
			}
			return h
		}
	}
	took := func(n int, d time.Duration) []time.Duration { return slices.Repeat([]time.Duration{d}, n) }
	for _, c := range []struct {
		name   string
		change func(int, State, map[string]Seen) Health
		limits func(*Limits)
		phase  Phase
		lanes  int
		why    string
	}{
		{"all goes well", calm, nil, Done, 40, ""},
		{"a lane refuses", func(sec int, _ State, seen map[string]Seen) Health {
			seen[first] = Seen{Refused: "policy.ees_mode"}
			return Health{}
		}, nil, Stopped, 2, "policy.ees_mode"},
		{"a lane refuses, and one of two may", func(sec int, _ State, seen map[string]Seen) Health {
			seen[first] = Seen{Refused: "policy.ees_mode"}
			return Health{}
		}, func(l *Limits) { l.Refused = 50 }, Done, 40, ""},
		{"a lane does not come back", func(sec int, s State, seen map[string]Seen) Health {
			if len(s.Lanes) > 0 {
				seen[first] = Seen{Away: true, Has: true}
			}
			return Health{}
		}, nil, Stopped, 2, "silent or out of service: " + first},
		{"a lane falls over later", func(sec int, s State, seen map[string]Seen) Health {
			if sec > 900 {
				seen[first] = Seen{Broken: true, Has: true}
			}
			return Health{}
		}, func(l *Limits) { l.Broken = 9 }, Stopped, 10, "1 of 10"},
		{"a lane starts anew", func(sec int, s State, seen map[string]Seen) Health {
			seen[first] = Seen{Away: sec >= 100 && sec < 180, Has: true}
			return Health{}
		}, nil, Done, 40, ""},
		{"a lane was off before", func(sec int, s State, seen map[string]Seen) Health {
			seen[first] = Seen{Away: true}
			return Health{}
		}, nil, Done, 40, ""},
		{"more are diverted", worse(Health{With: Tally{Crossings: 100, Diverted: 30}, Without: Tally{Crossings: 100, Diverted: 10}}), nil, Stopped, 10, "diverted: 30 % of 100 travellers, and 10 % of 100 in the lanes without it"},
		{"more than before", worse(Health{With: Tally{Crossings: 100, Diverted: 30}, Without: Tally{Crossings: 19, Diverted: 19}, Before: Tally{Crossings: 300, Diverted: 30}}), nil, Stopped, 10, "in the same lanes before"},
		{"more, by chance perhaps", worse(Health{With: Tally{Crossings: 20, Diverted: 5}, Without: Tally{Crossings: 20, Diverted: 2}}), nil, Done, 40, ""},
		{"more, and nobody knows of how many", worse(Health{With: Tally{Crossings: 19, Diverted: 19}, Without: Tally{Crossings: 100}}), nil, Done, 40, ""},
		{"attack alarms", worse(Health{With: Tally{Crossings: 200, Alarms: 20}, Without: Tally{Crossings: 200, Alarms: 2}}), nil, Stopped, 10, "attack alarms"},
		{"slower", worse(Health{With: Tally{Crossings: 20, Took: took(20, 14*time.Second)}, Without: Tally{Crossings: 20, Took: took(20, 10*time.Second)}}), nil, Stopped, 10, "14.0 s, and 10.0 s"},
		{"a little slower", worse(Health{With: Tally{Crossings: 20, Took: took(20, 13*time.Second)}, Without: Tally{Crossings: 20, Took: took(20, 10*time.Second)}}), nil, Done, 40, ""},
		{"too few travellers to judge", calm, func(l *Limits) { l.Crossings = 1 }, Running, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := aPlan(40, 5, 25, 100)
			if c.limits != nil {
				c.limits(&p.Limits)
			}
			s, _ := play(p, c.change)
			if s.Phase != c.phase || len(s.Lanes) != c.lanes || !strings.Contains(s.Why, c.why) || s.Alarm != (c.phase == Stopped) {
				t.Errorf("%s, %d lanes, %q, alarm %v; waits for %q", s.Phase, len(s.Lanes), s.Why, s.Alarm, s.Waits)
			}
		})
	}
}

// Who may say what, when, and that an alarm must be seen before one goes on.
func TestSay(t *testing.T) {
	for _, c := range []struct {
		from  Phase
		alarm bool
		seen  string
		order Order
		want  Phase
	}{
		{Running, false, "", Pause, Paused},
		{Running, false, "", Stop, Stopped},
		{Paused, false, "", Resume, Running},
		{Paused, false, "", Stop, Stopped},
		{Stopped, false, "", Resume, Running},
		{Stopped, true, "lea", Resume, Running},
		{Stopped, true, "", Acknowledge, Stopped},
		{Stopped, true, "", Resume, ""},
		{Stopped, true, "lea", Acknowledge, ""},
		{Stopped, false, "", Pause, ""},
		{Running, false, "", Resume, ""},
		{Done, false, "", Resume, ""},
		{Done, false, "", Stop, ""},
		{Running, false, "", "faster", ""},
	} {
		s, err := State{Phase: c.from, Alarm: c.alarm, Seen: c.seen}.Say(c.order, "sam", "because", start)
		if (err == nil) != (c.want != "") || err == nil && (s.Phase != c.want || len(s.Events) != 1 || s.Events[0].By != "sam") {
			t.Errorf("%s, alarm %v seen by %q, %s: %+v, %v", c.from, c.alarm, c.seen, c.order, s, err)
		}
	}
}

var (
	seeds = flag.Int("seeds", 300, "how many simulated rollouts")
	seed  = flag.Uint64("seed", 0, "play this one again")
)

// TestSimulation plays rollouts with lanes that fail, lie, fall silent and come
// back, a console that starts anew, and officers who say anything at any time.
func TestSimulation(t *testing.T) {
	from, to := uint64(1), uint64(*seeds)
	if *seed > 0 {
		from, to = *seed, *seed
	}
	ends := map[Phase]int{}
	for n := from; n <= to; n++ {
		ends[simulate(t, n)]++
	}
	t.Logf("rollouts by their end: %v", ends)
	if *seed == 0 && (ends[Done] == 0 || ends[Stopped] == 0 || ends[Running] == 0) {
		t.Error("the simulation misses ends")
	}
}

func simulate(t *testing.T, seed uint64) Phase {
	r := rand.New(rand.NewPCG(seed, 7))
	p := aPlan(1+r.IntN(60), [][]int{{5, 25, 100}, {100}, {1, 2, 50, 100}}[r.IntN(3)]...)
	p.Soak = int64(r.IntN(1200))
	p.Limits.Broken, p.Limits.Refused = r.IntN(30), r.IntN(30)
	digest := fmt.Sprint(seed)
	order := p.Order(digest)
	s := Start("lea", start)
	seen := map[string]Seen{}
	reached := map[string]bool{} // lanes that ever could get it
	trouble := r.Float64() * .05
	for step := range 600 {
		now := start.Add(time.Duration(step) * 10 * time.Second)
		for _, l := range p.Lanes {
			x := seen[l]
			switch v := r.Float64(); {
			case v < trouble:
				x.Away = !x.Away
			case v < 2*trouble:
				x.Broken = !x.Broken
			case v < 2.2*trouble:
				x.Refused = "it does not hold"
			case v < .3 && s.Has(l) && x.Refused == "":
				x.Has = true
			}
			seen[l] = x
		}
		before := s
		if r.Float64() < .02 { // the console starts anew
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if s = (State{}); json.Unmarshal(b, &s) != nil {
				t.Fatal("the state cannot be read back")
			}
		}
		resumed := false
		for r.Float64() < .05 { // officers race
			o := []Order{Pause, Resume, Stop, Acknowledge}[r.IntN(4)]
			if x, err := s.Say(o, "sam", "", now); err == nil {
				s = x
				resumed = resumed || o == Resume
			}
		}
		said := s
		h := Health{With: Tally{Crossings: r.IntN(60), Diverted: 0}, Without: Tally{Crossings: 100, Diverted: 0}}
		if r.Float64() < trouble/5 {
			h.With = Tally{Crossings: 50, Diverted: 50}
		}
		s = p.Step(digest, s, seen, h, now)
		for _, l := range p.Lanes {
			if s.Has(l) {
				reached[l] = true
			}
		}
		permitted := 0
		if s.Stage >= 0 {
			permitted = p.Upto(s.Stage)
		}
		var given []string
		for _, l := range s.Lanes {
			given = append(given, l.ID)
		}
		switch {
		case len(reached) > permitted || len(given) > permitted:
			t.Fatalf("seed %d, step %d: %d lanes could get it, stage %d permits %d", seed, step, len(reached), s.Stage, permitted)
		case !slices.Equal(given, order[:len(given)]):
			t.Fatalf("seed %d, step %d: other lanes than the plan's", seed, step)
		case said.Phase != Running && len(s.Lanes) != len(said.Lanes):
			t.Fatalf("seed %d, step %d: a %s rollout went on", seed, step, said.Phase)
		case before.Phase == Stopped && s.Phase != Stopped && !resumed:
			t.Fatalf("seed %d, step %d: a stopped rollout is %s, and nobody resumed it", seed, step, s.Phase)
		case s.Stage > before.Stage+1:
			t.Fatalf("seed %d, step %d: from stage %d to %d", seed, step, before.Stage, s.Stage)
		case s.Stage > before.Stage && before.Stage >= 0 && (before.Soak == 0 || now.Unix() < before.Soak+p.Soak):
			t.Fatalf("seed %d, step %d: stage %d began too early", seed, step, s.Stage)
		case s.Phase == Stopped && s.Alarm && before.Phase == Running && s.Why == "":
			t.Fatalf("seed %d, step %d: stopped and nobody knows why", seed, step)
		}
	}
	return s.Phase
}

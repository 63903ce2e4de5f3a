package lane

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// invariants are what the search asks of every step. Each has the number it
// has in the safety case (docs/architecture.md).
var invariants = []string{
	"1 the lane orders a leaf open only while the other one is locked",
	"2 evacuation dominates every phase at once",
	"3 nobody stays between locked leaves beyond the limit without an officer's word",
	"4 the exit opens only for a durable intent of the traveller inside",
	"5 an intent is written only for a complete, fresh and favourable decision, or an officer's release within the override table",
	"6 a record is written only for a person who left by the exit",
	"7 the lane is idle only when it is empty",
	"8 every durable intent ends in exactly one record, void or case",
	"9 a void is written only for a person who did not leave by the exit",
	"10 after a restart, link loss, fallback or fault with a person inside the lane never releases",
	"11 phase and gate state are a permitted pair after every poll",
	"12 the entry opens only for an eligible traveller who has taken the document, into an empty mantrap",
	"13 a new traveller is taken only while an officer is present and the lane is fit, and is let in only while it is fit",
	"14 every diverted traveller sees the same screen",
	"15 one officer alone cannot order an evacuation from afar",
	"16 a transaction has at most one intent",
	"17 asking for more time moves nothing but the traveller's own steps, each to twice its length at most, and once",
	"18 the direction changes only while the lane is empty and serves nobody",
}

// check returns the invariant that a step breaks, or "".
func (x *explorer) check(w world, before State, now Instant, e Event, effects []Effect) string {
	s := w.S
	t := s.Transaction
	for _, f := range effects {
		switch f := f.(type) {
		case Order:
			switch f.Command {
			case OpenEntry:
				if before.Gate.Exit != LeafLocked && s.Gate.Exit != LeafLocked {
					return invariants[0]
				}
				if !w.Eligible[t] || s.Document || s.Gate.Occupied || s.Gate.Bag || !s.Live {
					return invariants[11]
				}
				if s.Unfit != 0 {
					return invariants[12]
				}
			case OpenReturn:
				if s.Gate.Exit != LeafLocked {
					return invariants[0]
				}
			case OpenExit:
				if s.Gate.Entry != LeafLocked {
					return invariants[0]
				}
				if w.Intent[t] != durable || w.Settled[t] != none || !s.Live {
					return invariants[3]
				}
				if w.Broken {
					return invariants[9]
				}
			case EvacuateGate:
				if o, ok := e.(Ordered); !ok || (o.Signatures < 2 && !o.OnSite) {
					return invariants[14]
				}
			}
		case WriteIntent:
			if w.Intent[t] != none {
				return invariants[15]
			}
			if !x.favourable(before, s, now, e) {
				return invariants[4]
			}
		case Record:
			if !w.Gone[f.Transaction] {
				return invariants[5]
			}
		case Void:
			if w.Gone[f.Transaction] && w.Settled[f.Transaction] == none && w.Intent[f.Transaction] == durable {
				return invariants[8]
			}
		case Read:
			if !s.Lease || s.Unfit != 0 || s.Closed {
				return invariants[12]
			}
		}
	}
	if !x.unhurried(before, s, now, e, effects) {
		return invariants[16]
	}
	if s.Direction != before.Direction {
		_, started := e.(Started)
		if !started && (s.Live || s.Document || s.Gate.Occupied || s.Gate.Bag || s.Phase != Idle && s.Phase != OutOfService) {
			return invariants[17]
		}
	}
	if s.Gate.Link && s.Gate.State == GateEvacuate && s.Phase != Evacuate {
		return invariants[1]
	}
	if s.Phase == Idle && (s.Gate.Occupied || s.Gate.Bag || !s.Gate.Link) {
		return invariants[6]
	}
	if _, polled := e.(GateSeen); polled && s.Gate.Link && !permitted(&s) {
		// the rule for any other pair
		inside := s.Gate.Occupied || s.Gate.State == GateOccupied
		if s.Phase != Hold && s.Phase != OutOfService || inside != (s.Phase == Hold) {
			return invariants[10]
		}
	}
	if int(w.Captive) > int((x.rules.Trapped+x.rules.Door)/time.Second) {
		return invariants[2]
	}
	switch s.Phase {
	case DivertOut, DivertIn, Returning:
		if s.Screen() != ScreenOfficer {
			return invariants[13]
		}
	}
	return ""
}

// favourable is invariant 5, written without the core's own tables.
func (x *explorer) favourable(before, s State, now Instant, e Event) bool {
	v := s.Vector
	if !s.Live || s.Gate.State != GateOccupied || v.Oldest == 0 || now-v.Oldest > Instant(120*time.Second) {
		return false
	}
	alone, two := true, true // may the machine, may two officers
	one := true
	if v.Face != FaceMatch || v.Confirm {
		alone = false
	}
	if v.Face == FaceAttack {
		one = false
	}
	if v.Face != FaceMatch && v.Face != FaceNonMatch && v.Face != FaceQuality && v.Face != FaceAttack {
		two = false
	}
	for c := range Checks {
		if !v.Demands.Has(c) {
			continue
		}
		switch a := v.Answers[c]; {
		case a == Clear, a == NotApplicable, a == LocalCopy:
		case a == Pending, a == FaceDiffers, a == FaceNoUse, a == Unauthorised, a == HitAction && (c == CheckSLTD || c == CheckLost):
			alone, one, two = false, false, false
		case a == HitAction, a == Possible, a == HitInquiry:
			alone, one = false, false
		default:
			alone = false
		}
	}
	d, officer := e.(Decided)
	if !officer {
		return alone
	}
	if before.Phase != Review || d.Decision != DecideRelease || d.Transaction != s.Transaction {
		return false
	}
	return two && (one || d.Signatures >= 2) && d.Signatures >= 1
}

// limits is invariant 17's own table: what a traveller does, and how long it may
// take without and with more time. The phases that it lacks have no limit.
func limits(r Rules) [phases][2]time.Duration {
	return [phases][2]time.Duration{
		DocRead: {r.DocRead, 2 * r.DocRead}, TakeDoc: {r.TakeDoc, 2 * r.TakeDoc}, Enter: {r.Door, r.DoorSlow},
		Inside: {r.Inside, 2 * r.Inside}, Release: {r.Door, r.DoorSlow}, DivertIn: {r.Door, r.DoorSlow},
		Eligible: {r.Qualify, r.Qualify}, Sealing: {r.Door, r.Door}, Decide: {r.Decide, r.Decide}, WaitDB: {r.WaitDB, r.WaitDB},
		Review: {r.Review, r.Review}, Intend: {r.Intend, r.Intend}, Clearing: {r.Door, r.Door}, CheckEmpty: {r.CheckEmpty, r.CheckEmpty},
		Commit: {r.Commit, r.Commit}, DivertOut: {r.DivertOut, r.DivertOut}, Returning: {r.Door, r.Door}, Multi: {r.Multi, r.Multi},
	}
}

// unhurried is invariant 17.
func (x *explorer) unhurried(before, s State, now Instant, e Event, effects []Effect) bool {
	for _, f := range effects {
		if o, ok := f.(Order); ok && o.Long && !s.Unhurried {
			return false
		}
	}
	limit := x.limits[s.Phase]
	if most := limit[0]; most > 0 {
		if s.Unhurried {
			most = limit[1]
		}
		if s.Deadline > now+Instant(most) {
			return false
		}
	}
	o, _ := e.(Ordered)
	if _, asked := e.(TimeAsked); !asked && o.Order != OrderMoreTime {
		return true
	}
	// What would have followed anyway follows, too.
	ref, _ := x.step(before, now, Tick{})
	switch {
	case before.Unhurried:
		return s == ref
	case before.late(now):
		return true // it is no longer too late
	}
	moved := s.Deadline != ref.Deadline || s.Prompt != ref.Prompt
	ref.Unhurried, ref.Deadline, ref.Prompt = s.Unhurried, s.Deadline, s.Prompt
	own := limit[0] != limit[1]
	return s == ref && (!moved || own)
}

// late says whether something is due, which follows whatever comes next.
func (s State) late(now Instant) bool {
	return s.Deadline > 0 && now >= s.Deadline || s.Prompt > 0 && now >= s.Prompt || s.Trapped > 0 && now >= s.Trapped
}

// unsettled is invariant 8: outside the phases in which a crossing is under
// way, no durable intent is left without its end.
func (w world) unsettled() string {
	for n := Transaction(1); n <= travellers; n++ {
		if w.Intent[n] != durable || w.Settled[n] != none || w.Writing[n] {
			continue
		}
		if n != w.S.Transaction {
			return invariants[7]
		}
		switch w.S.Phase {
		case Intend, Release, Clearing, CheckEmpty, Commit:
		default:
			return invariants[7]
		}
	}
	return ""
}

// search visits every world that can be reached and returns how many there
// are, or the shortest way to a broken invariant.
func search(x *explorer, from world, most int) (worlds, moves int, trace []string) {
	type node struct {
		w      world
		parent int32
	}
	nodes := []node{{from, -1}}
	seen := map[world]struct{}{from: {}}
	for i := 0; i < len(nodes) && i < most; i++ {
		for _, m := range x.next(nodes[i].w) {
			moves++
			if m.bad != "" {
				trace = []string{m.name + " → " + m.w.S.Phase.String(), "BROKEN: " + m.bad}
				for n := int32(i); nodes[n].parent >= 0; n = nodes[n].parent {
					trace = append([]string{x.label(nodes[nodes[n].parent].w, nodes[n].w)}, trace...)
				}
				return len(nodes), moves, trace
			}
			if _, ok := seen[m.w]; !ok {
				seen[m.w] = struct{}{}
				nodes = append(nodes, node{m.w, int32(i)})
			}
		}
	}
	return len(nodes), moves, nil
}

// label finds the move that led from one world to the next.
func (x *explorer) label(from, to world) string {
	for _, m := range x.next(from) {
		if m.w == to {
			return fmt.Sprintf("%s → %v (gate %v)", m.name, to.S.Phase, to.G.State)
		}
	}
	return "?"
}

// budgets are the searches: each lets one or two rare things happen, so that
// together they cover every pair without multiplying all of them.
var budgets = []struct {
	name string
	b    budget
	long bool
}{
	{"nothing rare", budget{}, false},
	{"officer goes and comes back", budget{Lease: 2}, true},
	{"something fails and is mended", budget{Sick: 2}, true},
	{"lost command", budget{Drop: 1}, true},
	{"fire", budget{Fire: 1}, true},
	{"fault", budget{Fault: 1}, true},
	{"link cut and watchdog", budget{Cut: 1, Trip: 1}, true},
	{"gate reboot", budget{Reboot: 1}, true},
	{"watchdog and restart", budget{Trip: 1, Restart: 1}, true},
	{"more time is asked for", budget{Slow: 1}, true},
	{"an answer comes before the tick", budget{Late: 1}, true},
	{"sensors blink, watchdog and restart", budget{Blink: 1, Trip: 1, Restart: 1}, true},
	{"late command and link cut", budget{Delay: 1, Cut: 1}, true},
}

const most = 10_000_000

// coarse are rules in which all times are multiples of 30 s, in the order of
// the real ones: the search needs which deadline comes first, not by how much.
func coarse() Rules {
	const s = 30 * time.Second
	return Rules{
		DocRead: s, Qualify: s, TakeDocPrompt: s, TakeDoc: 2 * s, Door: s, DoorSlow: 2 * s, Inside: s, Decide: s, WaitDB: s, ReviewAlarm: s,
		Review: 2 * s, Intend: s, CheckEmpty: s, Commit: s, DivertOut: s, Multi: s, LuggageAlarm: s, HoldAlarm: 2 * s,
		Trapped: 4 * s, Fresh: 4 * s,
	}
}

func TestSearch(t *testing.T) {
	total := 0
	only := os.Getenv("LANE_SEARCH")
	var all ways
	for _, b := range budgets {
		if only != "" && only != b.name || only == "" && b.long && testing.Short() {
			continue
		}
		w := start()
		w.Budget = b.b
		w.Budget.Lease++ // an officer comes
		began := time.Now()
		x := newExplorer(coarse())
		if b.b.Late+b.b.Blink+b.b.Delay == 0 { // the picture shows the ordinary ways
			x.ways = &all
		}
		worlds, moves, trace := search(x, w, most)
		if trace != nil {
			t.Fatalf("%s: after %d worlds:\n  %s", b.name, worlds, strings.Join(trace, "\n  "))
		}
		if worlds >= most {
			t.Fatalf("%s: more than %d worlds: the search did not end", b.name, most)
		}
		total += worlds
		t.Logf("%-36s %9d worlds %10d moves %6.1f s", b.name, worlds, moves, time.Since(began).Seconds())
	}
	t.Logf("searched %d states, %d invariants hold", total, len(invariants))
	if only == "" && !testing.Short() {
		picture(t, &all)
	}
}

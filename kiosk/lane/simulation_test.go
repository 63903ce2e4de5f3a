package lane

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
)

var seed = flag.Uint64("seed", 0, "run only this seed of TestSimulation, and print its trace")

// pick chooses a move: what a normal day is made of often, what interrupts it
// now and then.
func pick(r *rand.Rand, w world, moves []move) move {
	total := 0
	weight := func(m move) int {
		if m.w == w {
			return 1
		}
		if m.name == "lease" && !w.S.Lease {
			return 60
		}
		if m.name == "document taken" && w.S.Phase != TakeDoc {
			return 1
		}
		for _, p := range []string{
			"officer", "help", "more time", "order", "lease", "restart", "fire", "gate reboots", "gate faults", "watchdog", "link cut", "one asks",
			"stale", "refused", "sensors", "face non", "face att", "face sev", "face una", "SIS hit", "SIS not", "SIS pos", "SLTD hit", "SLTD not", "REF_FACE face", "face non", "face att", "face sev", "face una", "SIS hit", "SIS not", "SIS pos", "SLTD hit", "SLTD not", "REF_FACE face", "second person", "leaves a bag", "walks back", "not eligible", "read bad", "out unseen", "out, and",
		} {
			if strings.HasPrefix(m.name, p) {
				return 1
			}
		}
		if strings.HasPrefix(m.name, "time passes") {
			return 3 // most of a lane happens well before its deadlines
		}
		return 60
	}
	for _, m := range moves {
		total += weight(m)
	}
	at := r.IntN(total)
	for _, m := range moves {
		if at -= weight(m); at < 0 {
			return m
		}
	}
	return moves[0]
}

// TestSimulation walks the same world as the search at random, with the real
// times and many rare events on one path: the search covers every short story,
// this some long ones.
func TestSimulation(t *testing.T) {
	seeds, steps := uint64(4000), 400
	if testing.Short() {
		seeds = 300
	}
	rare := budget{Restart: 2, Reboot: 2, Fire: 2, Fault: 2, Cut: 2, Drop: 3, Lease: 100, Trip: 3, Slow: 1}
	from := uint64(1)
	if *seed != 0 {
		from, seeds = *seed, *seed
	}
	events, crossings := 0, 0
	for n := from; n <= seeds; n++ {
		r := rand.New(rand.NewPCG(n, 7))
		x := newExplorer(DefaultRules())
		begin := func() world {
			w := start()
			w.Budget = rare
			return w
		}
		w := begin()
		var trace []string
		for range steps {
			moves := x.next(w)
			if w.S.Transaction == travellers && !w.S.Live && w.Pax == 0 {
				w = begin() // all travellers of this world are through: the next life
				continue
			}
			m := pick(r, w, moves)
			trace = append(trace, m.name+" → "+m.w.S.Phase.String())
			events++
			if m.bad != "" {
				t.Fatalf("seed %d, step %d: %s\n  %s", n, len(trace), m.bad, strings.Join(trace, "\n  "))
			}
			if m.w.S.Phase == Commit && w.S.Phase != Commit {
				crossings++
			}
			w = m.w
		}
		if *seed != 0 {
			t.Log(strings.Join(trace, "\n"))
		}
	}
	t.Logf("%d seeds, %d events, %d crossings", seeds-from+1, events, crossings)
	if crossings == 0 && *seed == 0 {
		t.Error("nobody crossed: the simulation does not reach what it is for")
	}
}

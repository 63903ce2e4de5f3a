package seeds

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk/lane"
)

var (
	seconds = flag.Int("seconds", 0, "play random seeds for so long, and print what they met")
	workers = flag.Int("workers", 1, "seeds that are played at once")
	only    = flag.Uint64("seed", 0, "play only this seed, and print its trace")
	first   = flag.Uint64("first", 1, "the first seed")
)

// perSeed is how many travellers a seed has.
const perSeed = 100

// run plays visits in a bubble of their own.
func run(t *testing.T, seed uint64, visits []visit, text *strings.Builder, cover *coverage) *sim {
	t.Helper()
	s := &sim{text: text, cover: cover, dice: dice{seed: seed}}
	synctest.Test(t, func(t *testing.T) { s.play(t.Context(), visits) })
	return s
}

// shrink leaves out travellers and upsets as long as a rule is still broken.
func shrink(t *testing.T, seed uint64, visits []visit) []visit {
	t.Helper()
	fails := func(list []visit) bool { return run(t, seed, list, nil, nil).violation != "" }
	for size := len(visits) / 2; size > 0; size /= 2 {
		for at := 0; at < len(visits); {
			fewer := slices.Concat(visits[:at], visits[min(at+size, len(visits)):])
			if fails(fewer) {
				visits = fewer
			} else {
				at += size
			}
		}
	}
	for i := range visits {
		for k := 0; k < len(visits[i].Upsets); {
			fewer := slices.Clone(visits)
			fewer[i].Upsets = slices.Delete(slices.Clone(visits[i].Upsets), k, k+1)
			if fails(fewer) {
				visits = fewer
			} else {
				k++
			}
		}
		plain := slices.Clone(visits)
		plain[i].Habit, plain[i].Lazy = follows, false
		if fails(plain) {
			visits = plain
		}
	}
	return visits
}

// report prints a violation by its shortest story.
func report(t *testing.T, seed uint64, visits []visit, why string) {
	t.Helper()
	short := shrink(t, seed, visits)
	var text strings.Builder
	run(t, seed, short, &text, nil)
	var b strings.Builder
	for _, v := range short {
		fmt.Fprintf(&b, "  %v\n", v)
	}
	t.Errorf("BROKEN: %s\nseed %d, shrunk to %d of %d travellers:\n%s%s", why, seed, len(short), len(visits), b.String(), text.String())
}

// A seed played twice is the same history, byte for byte.
func TestTheSameTwice(t *testing.T) {
	n := uint64(12)
	if testing.Short() {
		n = 3
	}
	for seed := uint64(1); seed <= n; seed++ {
		var a, b strings.Builder
		run(t, seed, draw(seed, perSeed), &a, nil)
		run(t, seed, draw(seed, perSeed), &b, nil)
		if a.String() != b.String() {
			x, y := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
			for i := range min(len(x), len(y)) {
				if x[i] != y[i] {
					t.Fatalf("seed %d, line %d of %d and %d:\n%s\n%s\nafter\n%s", seed, i, len(x), len(y), x[i], y[i], strings.Join(x[max(0, i-12):i], "\n"))
				}
			}
			t.Fatalf("seed %d: one history is longer: %d and %d lines", seed, len(x), len(y))
		}
	}
}

// TestSeeds plays seeds: some in every run of the tests, or as many as a time
// allows.
func TestSeeds(t *testing.T) {
	if *only != 0 {
		var text strings.Builder
		s := run(t, *only, draw(*only, perSeed), &text, nil)
		fmt.Print(text.String())
		if s.violation != "" {
			report(t, *only, draw(*only, perSeed), s.violation)
		}
		return
	}
	var total sim
	all := coverage{states: map[lane.State]struct{}{}}
	var next atomic.Uint64
	next.Store(*first - 1)
	last := *first + 30
	if testing.Short() {
		last = *first + 6
	}
	began, spent := time.Now(), processor()
	end := began.Add(time.Duration(*seconds) * time.Second)
	var mu sync.Mutex
	seeds := 0
	t.Run("workers", func(t *testing.T) {
		for range *workers {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				mine := coverage{states: map[lane.State]struct{}{}}
				for !t.Failed() {
					seed := next.Add(1)
					if *seconds > 0 && time.Now().After(end) || *seconds == 0 && seed > last {
						break
					}
					visits := draw(seed, perSeed)
					s := run(t, seed, visits, nil, &mine)
					mu.Lock()
					seeds++
					total.crossings += s.crossings
					total.openings += s.openings
					total.steps += s.steps
					total.longest = max(total.longest, s.longest)
					for i, n := range s.outcomes {
						total.outcomes[i] += n
					}
					mu.Unlock()
					if s.violation != "" {
						report(t, seed, visits, s.violation)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for k := range mine.upsets {
					for p, n := range mine.upsets[k] {
						all.upsets[k][p] += n
					}
				}
				for x := range mine.states {
					all.states[x] = struct{}{}
				}
			})
		}
	})
	took, used := time.Since(began).Seconds(), processor().Seconds()-spent.Seconds()
	if total.crossings == 0 {
		t.Error("nobody crossed: the seeds do not reach what they are for")
	}
	if *seconds > 0 {
		table(&all)
		met, cells := 0, 0
		for k := range all.upsets {
			for _, n := range all.upsets[k] {
				cells++
				if n > 0 {
					met++
				}
			}
		}
		fmt.Printf("\n%d seeds of %d travellers in %.0f s by %d at once: %.0f seeds/s, %.0f travellers/s, %.0f crossings/s, %.0f steps/s\n", seeds, perSeed, took, *workers,
			float64(seeds)/took, float64(seeds*perSeed)/took, float64(total.crossings)/took, float64(total.steps)/took)
		fmt.Printf("%.0f s of processor time: %.0f crossings/s per core, %.0f travellers/s per core\n", used, float64(total.crossings)/used, float64(seeds*perSeed)/used)
		fmt.Printf("%d travellers left by the exit; outcomes:", total.crossings)
		for o, n := range total.outcomes {
			if n > 0 {
				fmt.Printf(" %v %d", lane.Outcome(o), n)
			}
		}
		fmt.Printf("\n%d different states; faults × states met: %d of %d; longest between two locked leaves: %v\n", len(all.states), met, cells, total.longest.Round(time.Millisecond))
	} else {
		t.Logf("%d seeds, %d crossings, %d steps, %d states", seeds, total.crossings, total.steps, len(all.states))
	}
}

// processor is the time that this process has computed.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// table prints how often each fault began in each state.
func table(c *coverage) {
	w := os.Stdout
	fmt.Fprintf(w, "faults × states, how often a fault began there\n%-24s", "")
	for p := range phases {
		fmt.Fprintf(w, "%7s", short(lane.Phase(p).String()))
	}
	fmt.Fprintln(w)
	for k := range c.upsets {
		fmt.Fprintf(w, "%-24s", kindNames[k])
		for _, n := range c.upsets[k] {
			switch {
			case n == 0:
				fmt.Fprintf(w, "%7s", "·")
			case n >= 100_000:
				fmt.Fprintf(w, "%6dk", n/1000)
			default:
				fmt.Fprintf(w, "%7d", n)
			}
		}
		fmt.Fprintln(w)
	}
}

// short is a state's name in six letters.
func short(name string) string {
	a, b, two := strings.Cut(name, "_")
	if !two {
		return name[:min(6, len(name))]
	}
	b = strings.ReplaceAll(b, "_", "")
	a = a[:min(3, len(a))]
	return a + b[:min(6-len(a), len(b))]
}

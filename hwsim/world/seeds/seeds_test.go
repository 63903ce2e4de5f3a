package seeds

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk/lane"
)

var (
	seconds = flag.Int("seconds", 0, "play random seeds for so long, and print what they met")
	workers = flag.Int("workers", 1, "processes that play them, each on one core")
	only    = flag.Uint64("seed", 0, "play only this seed, and print its trace")
	first   = flag.Uint64("first", 1, "the first seed")
	stride  = flag.Uint64("stride", 1, "from one seed to the next")
	totals  = flag.String("totals", "", "be one of the workers, and leave the totals in this file")
)

// perSeed is how many travellers a seed has.
const perSeed = 100

// run plays visits in a bubble of their own.
func run(t *testing.T, seed uint64, visits []visit, text *strings.Builder, met *tally) *sim {
	t.Helper()
	s := &sim{text: text, met: met, dice: dice{seed: seed}}
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

// Stories in which seeds have once broken a rule.
func TestOnce(t *testing.T) {
	for _, x := range []struct {
		name   string
		seed   uint64
		visits []visit
	}{
		{"a refusal of the traveller before is taken for this one's", 10004504, []visit{
			{N: 70, Upsets: []upset{{Kind: answerLost, Phase: lane.Inside, After: 3262788}}},
			{N: 73},
		}},
		{"a way out that is ordered into a dead line ends the limit", 153785, []visit{
			{N: 101, Habit: masked, TCN: true, Lazy: true, Upsets: []upset{{Kind: cableCut, Phase: lane.DivertIn, After: 721348, Last: 1155905212}}},
		}},
		{"the limit runs out while the sensors have lost the person", 123763, []visit{
			{N: 48, Lazy: true, Upsets: []upset{{Kind: gateJam, Phase: lane.Release, After: 1005}, {Kind: sensorsBlink, Phase: lane.Fault, After: 1894378}}},
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var text strings.Builder
			if s := run(t, x.seed, x.visits, &text, nil); s.violation != "" {
				t.Errorf("%s\n%s", s.violation, text.String())
			}
		})
	}
}

// TestSeeds plays seeds: some in every run of the tests, or as many as a time
// allows.
func TestSeeds(t *testing.T) {
	end := time.Now().Add(time.Duration(*seconds) * time.Second)
	switch {
	case *only != 0:
		var text strings.Builder
		s := run(t, *only, draw(*only, perSeed), &text, nil)
		fmt.Print(text.String())
		if s.violation != "" {
			report(t, *only, draw(*only, perSeed), s.violation)
		}
	case *seconds == 0:
		last := *first + 30
		if testing.Short() {
			last = *first + 6
		}
		all := playSeeds(t, func(seed uint64) bool { return seed <= last })
		if all.Crossings == 0 {
			t.Error("nobody crossed: the seeds do not reach what they are for")
		}
		t.Logf("%d seeds, %d crossings, %d steps, %d states", all.Seeds, all.Crossings, all.Steps, len(all.States))
	case *totals != "":
		all := playSeeds(t, func(uint64) bool { return time.Now().Before(end) })
		if err := all.save(*totals); err != nil {
			t.Fatal(err)
		}
	default:
		byWorkers(t)
	}
}

// playSeeds plays seeds until one breaks a rule, or more says no.
func playSeeds(t *testing.T, more func(seed uint64) bool) *tally {
	all := newTally()
	for seed := *first; more(seed); seed += *stride {
		visits := draw(seed, perSeed)
		s := run(t, seed, visits, nil, all)
		all.add(seed, s)
		if s.violation != "" {
			report(t, seed, visits, s.violation)
			break
		}
	}
	all.Used = processor()
	return all
}

// byWorkers has processes play seeds, each on one core, and prints what they
// met. A lane is one loop with goroutines that hand it what they found: on one
// core none of them wakes another core, which would cost a third of the time.
func byWorkers(t *testing.T) {
	began, all := time.Now(), newTally()
	folder := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range *workers {
		group.Go(func() {
			file := filepath.Join(folder, strconv.Itoa(i))
			c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSeeds$", "-test.timeout=0", "-seconds", strconv.Itoa(*seconds),
				"-first", strconv.FormatUint(*first+uint64(i), 10), "-stride", strconv.Itoa(*workers), "-totals", file)
			c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400")
			out, err := c.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = all.join(file)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("%v\n%s", err, out)
				stop()
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	if all.Crossings == 0 {
		t.Error("nobody crossed: the seeds do not reach what they are for")
	}
	all.print(time.Since(began))
}

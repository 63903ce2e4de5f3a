package seeds

import (
	"encoding/gob"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"passage/kiosk/lane"
)

// tally is what seeds have met: those of one process, or of all.
type tally struct {
	Seeds, Crossings, Openings, Steps int
	First, Last                       uint64
	Longest                           time.Duration // between two locked leaves
	Outcomes                          [8]int
	Upsets                            [kinds][phases]int
	States                            map[lane.State]bool
	Used                              time.Duration // of processor time

	last lane.State // saves looking up what was there just now
}

func newTally() *tally { return &tally{First: *first, States: map[lane.State]bool{}} }

// state counts a state, its times and its number apart.
func (t *tally) state(s lane.State) {
	s.Transaction, s.Vector.Oldest = 0, 0
	s.Deadline, s.Prompt, s.Trapped = 0, 0, 0
	if s != t.last {
		t.last = s
		t.States[s] = true
	}
}

// add counts a seed; its upsets and states have been counted while it played.
func (t *tally) add(seed uint64, s *sim) {
	t.Seeds++
	t.Last = seed
	t.Crossings += s.crossings
	t.Openings += s.openings
	t.Steps += s.steps
	t.Longest = max(t.Longest, s.longest)
	for i, n := range s.outcomes {
		t.Outcomes[i] += n
	}
}

func (t *tally) save(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := gob.NewEncoder(f).Encode(t); err != nil {
		return err
	}
	return f.Close()
}

// join adds what another process has left in a file.
func (t *tally) join(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var o tally
	if err := gob.NewDecoder(f).Decode(&o); err != nil {
		return err
	}
	t.Seeds += o.Seeds
	t.Crossings += o.Crossings
	t.Openings += o.Openings
	t.Steps += o.Steps
	t.Used += o.Used
	t.Last = max(t.Last, o.Last)
	t.Longest = max(t.Longest, o.Longest)
	for i, n := range o.Outcomes {
		t.Outcomes[i] += n
	}
	for k := range o.Upsets {
		for p, n := range o.Upsets[k] {
			t.Upsets[k][p] += n
		}
	}
	for s := range o.States {
		t.States[s] = true
	}
	return nil
}

// print shows what was met within a time, and how fast.
func (t *tally) print(took time.Duration) {
	table(t)
	met, cells := 0, 0
	for k := range t.Upsets {
		for _, n := range t.Upsets[k] {
			cells++
			if n > 0 {
				met++
			}
		}
	}
	people, wall, used := float64(t.Seeds*perSeed), took.Seconds(), t.Used.Seconds()
	fmt.Printf("\nseeds %d to %d: %d of %d travellers in %.0f s by %d at once: %.0f seeds/s, %.0f travellers/s, %.0f crossings/s, %.0f steps/s\n", t.First, t.Last, t.Seeds, perSeed, wall, *workers,
		float64(t.Seeds)/wall, people/wall, float64(t.Crossings)/wall, float64(t.Steps)/wall)
	fmt.Printf("%.0f s of processor time: %.0f crossings/s per core, %.0f travellers/s per core\n", used, float64(t.Crossings)/used, people/used)
	fmt.Printf("%d travellers left by the exit; outcomes:", t.Crossings)
	for o, n := range t.Outcomes {
		if n > 0 {
			fmt.Printf(" %v %d", lane.Outcome(o), n)
		}
	}
	fmt.Printf("\n%d different states; faults × states met: %d of %d; longest between two locked leaves: %v\n", len(t.States), met, cells, t.Longest.Round(time.Millisecond))
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
func table(c *tally) {
	w := os.Stdout
	fmt.Fprintf(w, "faults × states, how often a fault began there\n%-24s", "")
	for p := range phases {
		fmt.Fprintf(w, "%7s", short(lane.Phase(p).String()))
	}
	fmt.Fprintln(w)
	for k := range c.Upsets {
		fmt.Fprintf(w, "%-24s", kindNames[k])
		for _, n := range c.Upsets[k] {
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

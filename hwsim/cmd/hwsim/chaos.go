package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/gate"
	"passage/hwsim/lanesim"
	"passage/hwsim/people"
	"passage/hwsim/persona"
	"passage/hwsim/powercut"
	"passage/kiosk/site"
	"passage/kiosk/web"
	"passage/sqlite"
)

type chaosCmd struct {
	For     time.Duration `default:"10m" help:"How long programs are killed."`
	Seed    uint64        `help:"Draws who is killed when, and for how long; 0 draws a new one."`
	Dir     string        `default:".cache/chaos" help:"Work folder; emptied first."`
	Port    int           `default:"8380" help:"First of the ports on loopback."`
	VPCD    bool          `name:"vpcd" help:"Use the built-in reader even where pcscd could run."`
	Figures string        `help:"Write the rows of docs/benchmarks.md to this file."`
}

func (chaosCmd) Help() string {
	return `Example, after make build: two minutes, as a seed has drawn them before.

  hwsim chaos --for 2m --seed 7

kioskd, its workers, the register, the console and pcscd are killed with
SIGKILL and started again while travellers walk through three lanes. As root,
the computers of the lanes, the register and the console also lose their power:
their disks, ext4 in a file, keep what was synced and nothing else.

In the end whoever went out by an exit, by the gate's own record, has exactly
one record in the register or one open case at the lane, every lane is open,
empty and locked, and takes one more traveller.`
}

// chaos is the run under way.
type chaos struct {
	chaosCmd
	*demo
	list     []persona.Persona
	register *program
	began    time.Time

	closing atomic.Bool // no further traveller comes
	visits  atomic.Int64

	mu    sync.Mutex
	left  []left
	kills map[string]int
	back  map[*program][]time.Duration // start → the gate's watchdog runs
	cold  []time.Duration              // power comes back → the gate's watchdog runs
	runs  map[*program]int64           // the start that was counted last
}

func (c chaosCmd) Run(ctx context.Context) error {
	list, err := persona.All()
	if err != nil {
		return err
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()%1_000_000 + 1
	}
	x := &chaos{
		chaosCmd: c, demo: newDemo(demoCmd{Dir: c.Dir, Port: c.Port, VPCD: c.VPCD, Lanes: wholeLanes}, nil),
		kills: map[string]int{}, back: map[*program][]time.Duration{}, runs: map[*program]int64{},
	}
	for _, p := range list {
		// Who needs a fault of the register, a second lane or a fire is none
		// of this: the rest come as they are.
		if len(p.Fault) == 0 && p.DocumentOf == "" && slices.Contains([]string{"", "wheelchair", "turn_back", "forget", "help"}, p.Script) {
			x.list = append(x.list, p)
		}
	}
	x.again = time.Second
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, work := errgroup.WithContext(ctx)
	err = x.run(work, group)
	cancel()
	err = errors.Join(err, group.Wait())
	for _, d := range x.disks {
		err = errors.Join(err, d.Close())
	}
	if err != nil {
		return fmt.Errorf("chaos: seed %d: %w; logs are in %s", x.Seed, err, x.Dir)
	}
	return x.settle(context.WithoutCancel(ctx))
}

func (x *chaos) run(ctx context.Context, group *errgroup.Group) error {
	for _, name := range x.computers() { // of a run that was killed
		powercut.Abandon(x.disk(name))
	}
	if err := x.prepare(); err != nil {
		return err
	}
	if err := x.mount(ctx); err != nil {
		fmt.Println("chaos: nothing loses its power here:", err)
	}
	stop, err := x.pcscd(ctx)
	group.Go(func() error { <-ctx.Done(); stop(); return nil })
	if err != nil {
		fmt.Println("chaos: pcscd cannot be used here, the built-in reader takes its place:", err)
	}
	dir := x.Dir
	x.register = &program{
		name: "register", log: filepath.Join(dir, "register.log"), again: time.Second,
		args: []string{"hwsim", "register", "--dir", dir, "--listen", fmt.Sprintf("127.0.0.1:%d", x.Port+30), "--lane", "entry", "--lane", "entry2", "--lane", "exit"},
	}
	group.Go(func() error { return x.register.run(ctx) })
	hash, err := web.HashPIN(pin)
	if err != nil {
		return err
	}
	if x.site, err = startConsole(ctx, group, filepath.Join(dir, "site"), x.Port+50, areas(x.places), 2*time.Second); err != nil {
		return err
	}
	for i := range x.places {
		at := &x.places[i]
		l, err := x.lane(ctx, group, at, hash)
		if err != nil {
			return err
		}
		l.Gate.Listen(x.hear(at.name, x.kiosks[at.name]))
		duties := []lanesim.Shift{{ID: "anna", Tidy: true}, {ID: "bert"}} // an attack is released by two
		for k := range duties {
			d := &duties[k]
			d.PIN, d.Decision, d.Reason, d.Say = pin, "release", "visual_comparison", x.diary(at.name+"-"+d.ID)
		}
		group.Go(func() error { return l.Endure(ctx, duties...) })
	}
	for _, at := range x.places {
		if err := x.lanes[at.name].Open(ctx, time.Minute); err != nil {
			return err
		}
	}
	for _, d := range x.disks { // what an operator has laid there long ago
		if err := d.Sync(); err != nil {
			return err
		}
	}
	fmt.Printf("chaos: seed %d, three lanes, passports by %s; for %v\n", x.Seed, x.places[0].reader, x.For)
	x.began = time.Now()
	walking, walk := errgroup.WithContext(ctx)
	for i, at := range x.places {
		walking.Go(func() error { return x.people(walk, i, x.lanes[at.name]) })
	}
	killing, end := context.WithTimeout(walk, x.For)
	defer end()
	x.tell(killing)
	x.killer(killing, x.victims(ctx))
	x.closing.Store(true)
	fmt.Println("chaos: the last kill is over; everybody may leave")
	if err := walking.Wait(); err != nil {
		return err
	}
	return x.after(ctx)
}

// computers are the names of those that can lose their power: the lanes', the
// register's and the site's.
func (x *chaos) computers() []string {
	names := []string{"register", "site"}
	for _, at := range x.places {
		names = append(names, at.name)
	}
	return names
}

// disk is where the disk of a computer is mounted. The console's folder is one.
func (x *chaos) disk(computer string) string {
	if computer == "site" {
		return filepath.Join(x.Dir, computer)
	}
	return filepath.Join(x.Dir, computer+".disk")
}

// mount gives every computer its disk. Without the right to it nobody gets one.
func (x *chaos) mount(ctx context.Context) error {
	disks := map[string]*powercut.Disk{}
	for _, name := range x.computers() {
		d, err := powercut.New(ctx, x.disk(name))
		if err != nil {
			for _, d := range disks {
				err = errors.Join(err, d.Close())
			}
			return err
		}
		disks[name] = d
	}
	x.disks = disks
	return os.Symlink(filepath.Join("register.disk", "ees.db"), filepath.Join(x.Dir, "ees.db"))
}

// diary writes what somebody does into a file of their own.
func (x *chaos) diary(name string) func(string, ...any) {
	f, err := os.Create(filepath.Join(x.Dir, name+".log"))
	if err != nil {
		return func(string, ...any) {}
	}
	return func(format string, args ...any) {
		fmt.Fprintf(f, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// hear takes the gate's own record: who went out, and when its watchdog runs
// again after kioskd was killed.
func (x *chaos) hear(lane string, kiosk *program) func(gate.Record) {
	said := x.diary(lane + "-gate")
	return func(r gate.Record) {
		now := time.Now()
		said("%s %s", r.What, r.Who)
		x.mu.Lock()
		defer x.mu.Unlock()
		switch r.What {
		case "crossed":
			x.left = append(x.left, left{lane, r.Who, now})
		case "watchdog":
			if born := kiosk.born.Load(); kiosk.pid() != 0 && born != x.runs[kiosk] {
				x.runs[kiosk] = born
				from := kiosk.from.Load()
				took := now.Sub(time.Unix(0, from))
				// A lane that is back before the gate has missed it starts no watchdog.
				if from != born {
					x.cold = append(x.cold, took)
				} else if !x.began.IsZero() && time.Unix(0, born).After(x.began) {
					x.back[kiosk] = append(x.back[kiosk], took)
				}
			}
		}
	}
}

// people sends travellers through a lane, one after the other.
func (x *chaos) people(ctx context.Context, n int, l *lanesim.Lane) error {
	rng := rand.New(rand.NewPCG(x.Seed, uint64(100+n)))
	usual, odd := x.guests(n)
	for v := 0; ; v++ {
		if err := l.Open(ctx, 4*time.Minute); err != nil {
			return err
		}
		if x.closing.Load() {
			return nil
		}
		i := usual[rng.IntN(len(usual))]
		if rng.IntN(6) == 0 {
			i = odd[rng.IntN(len(odd))]
		}
		if err := x.visit(ctx, l, fmt.Sprintf("%s-%d %s", l.Name, v, x.list[i].ID), i); err != nil {
			return err
		}
		x.visits.Add(1)
	}
}

// guests are the travellers of a lane by their places in the list: who is let
// through, and who is not or does something else. No other lane has them: a
// document is in one lane only.
func (x *chaos) guests(n int) (usual, odd []int) {
	for i, p := range x.list {
		switch {
		case p.Lane != x.places[n].direction || p.Lane == "entry" && i%2 != n:
		case p.Outcome == "released" && p.Script == "":
			usual = append(usual, i)
		default:
			odd = append(odd, i)
		}
	}
	return usual, odd
}

func (x *chaos) visit(ctx context.Context, l *lanesim.Lane, id string, i int) error {
	p := x.list[i]
	card, err := x.from.Card(p, i, x.files, x.today)
	if err != nil {
		return err
	}
	return l.Visit(ctx, id, p.Script, card, x.pictures[i%len(x.pictures)], x.pictures[(i+5)%len(x.pictures)])
}

// victim is something that can be killed.
type victim struct {
	name   string
	weight int
	kill   func(rng *rand.Rand, down time.Duration) bool
	long   time.Duration // an outage that is one, and not a restart
}

func (x *chaos) victims(ctx context.Context) []victim {
	list := []victim{
		{"register", 3, func(_ *rand.Rand, down time.Duration) bool { return x.register.kill(down) }, 20 * time.Second},
		{"consoled", 3, func(_ *rand.Rand, down time.Duration) bool { return x.site.program.kill(down) }, 20 * time.Second},
	}
	cut := func(computer string, p *program) func(*rand.Rand, time.Duration) bool {
		return func(_ *rand.Rand, down time.Duration) bool {
			done, err := p.cut(ctx, x.disks[computer], down)
			if err != nil {
				fmt.Printf("chaos: the power of %s: %v\n", computer, err)
			}
			return done
		}
	}
	if x.disks != nil {
		list = append(list,
			victim{"power of the register", 1, cut("register", x.register), 10 * time.Second},
			victim{"power of the site", 1, cut("site", x.site.program), 10 * time.Second})
	}
	for _, at := range x.places {
		k := x.kiosks[at.name]
		if x.disks != nil {
			list = append(list, victim{"power of a lane", 3, cut(at.name, k), 9 * time.Second})
		}
		list = append(list,
			victim{"kioskd", 3, func(_ *rand.Rand, down time.Duration) bool { return k.kill(down) }, 9 * time.Second},
			victim{"visiond", 2, func(rng *rand.Rand, _ time.Duration) bool { return killWorker(rng, k.pid()) }, 0})
	}
	if x.cards != nil {
		list = append(list, victim{"pcscd", 2, func(_ *rand.Rand, down time.Duration) bool {
			if x.cards.Kill() != nil {
				return false
			}
			people.Pause(ctx, down)
			if err := x.cards.Again(ctx, x.cardsLog); err != nil && ctx.Err() == nil {
				fmt.Println("chaos: pcscd does not start again:", err)
			}
			return true
		}, 4 * time.Second})
	}
	return list
}

// killer kills, one after the other, until ctx ends; then everything is
// started again.
func (x *chaos) killer(ctx context.Context, list []victim) {
	rng := rand.New(rand.NewPCG(x.Seed, 0))
	said := x.diary("killer")
	total := 0
	for _, v := range list {
		total += v.weight
	}
	for {
		wait := 500*time.Millisecond + time.Duration(rng.Int64N(int64(9*time.Second)))
		down := time.Duration(rng.Int64N(int64(time.Second)))
		long := rng.IntN(5) == 0
		at := rng.IntN(total)
		if !people.Pause(ctx, wait) {
			return
		}
		i := 0
		for ; at >= list[i].weight; i++ {
			at -= list[i].weight
		}
		v := list[i]
		if long {
			down += v.long
		}
		said("kills %s, down for %v", v.name, down.Round(time.Millisecond))
		if v.kill(rng, down) {
			x.mu.Lock()
			x.kills[v.name]++
			x.mu.Unlock()
		}
	}
}

// killWorker kills one of the processes that a kioskd has started.
func killWorker(rng *rand.Rand, parent int) bool {
	workers := children(parent)
	if parent == 0 || len(workers) == 0 {
		return false
	}
	p, err := os.FindProcess(workers[rng.IntN(len(workers))])
	return err == nil && p.Kill() == nil
}

// children are the processes that parent has started, in the order of their
// numbers.
func children(parent int) []int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range lists {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(b)) {
			pid := 0
			if _, err := fmt.Sscan(f, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// tell says every half minute how far it is.
func (x *chaos) tell(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	go func() { // ends with ctx; it only reads
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			x.mu.Lock()
			kills := 0
			for _, n := range x.kills {
				kills += n
			}
			out := len(x.left)
			x.mu.Unlock()
			fmt.Printf("chaos: %5.0f s: %d kills, %d visits, %d people went out\n", time.Since(x.began).Seconds(), kills, x.visits.Load(), out)
		}
	}()
}

// after shows that every lane is well: empty, locked, and takes one more
// traveller; and waits until the register and the site have everything.
func (x *chaos) after(ctx context.Context) error {
	var each errgroup.Group
	for n, at := range x.places {
		each.Go(func() error {
			l := x.lanes[at.name]
			usual, _ := x.guests(n)
			for try, i := range usual[:min(3, len(usual))] {
				if err := l.Open(ctx, time.Minute); err != nil {
					return err
				}
				id := fmt.Sprintf("%s-last-%d", l.Name, try)
				if err := x.visit(ctx, l, id, i); err != nil {
					return err
				}
				x.mu.Lock()
				out := slices.ContainsFunc(x.left, func(p left) bool { return p.who == id })
				x.mu.Unlock()
				if out {
					if err := l.Open(ctx, time.Minute); err != nil {
						return err
					}
					entry, exit := l.Gate.Leaves()
					if entry != 0 || exit != 0 || len(l.Gate.Persons()) != 0 {
						return fmt.Errorf("lane %s: entry %.0f %% open, exit %.0f %%, with %v", l.Name, entry, exit, l.Gate.Persons())
					}
					return nil
				}
			}
			return fmt.Errorf("lane %s is open and lets nobody through", l.Name)
		})
	}
	if err := each.Wait(); err != nil {
		return err
	}
	return x.drained(ctx)
}

// drained waits until the register has every record, and the site every
// journal.
func (x *chaos) drained(ctx context.Context) error {
	hub, closing, err := site.OpenDatabase(ctx, filepath.Join(x.Dir, "site"))
	if err != nil {
		return err
	}
	defer closing()
	for _, at := range x.places {
		db, err := sqlite.Open(ctx, x.base(at.name)+".db")
		if err != nil {
			return err
		}
		defer db.Close()
		waiting, here, there, broken := 0, int64(0), int64(0), 0
		for range 120 {
			if err := db.Reader.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM outbox WHERE state='waiting'), (SELECT max(seq) FROM entry)").Scan(&waiting, &here); err != nil {
				return fmt.Errorf("lane %s: %w", at.name, err)
			}
			if err := hub.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0), count(broken) FROM position WHERE lane=?", at.name).Scan(&there, &broken); err != nil {
				return fmt.Errorf("site: lane %s: %w", at.name, err)
			}
			if waiting == 0 && there >= here || broken > 0 || !people.Pause(ctx, 500*time.Millisecond) {
				break
			}
		}
		if waiting > 0 || there < here || broken > 0 {
			return fmt.Errorf("lane %s: %d records have not reached the register; the site has %d of %d entries, %d broken", at.name, waiting, there, here, broken)
		}
	}
	return nil
}

// table prints what was killed and what came of it.
func (x *chaos) table(a accounts) {
	ends := map[string]int{}
	for _, i := range a.intents {
		ends[i.end]++
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nkilled\ttimes")
	for _, name := range slices.Sorted(maps.Keys(x.kills)) {
		fmt.Fprintf(w, "%s\t%d\n", name, x.kills[name])
	}
	fmt.Fprintln(w, "\nvisits\twent out\trecords\tcases\tvoid")
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\n", x.visits.Load(), len(a.left), ends["record"], ends["case"], ends["void"])
	_ = w.Flush() // standard output
}

// ready is the time from kioskd's start to the gate's watchdog, sorted.
func (x *chaos) ready() []time.Duration {
	var all []time.Duration
	for _, l := range x.back {
		all = append(all, l...)
	}
	slices.Sort(all)
	return all
}

// settle reads what all have written, when all have ended.
func (x *chaos) settle(ctx context.Context) error {
	a := accounts{left: x.left}
	for _, at := range x.places {
		list, err := intentsOf(ctx, at.name, x.base(at.name)+".db")
		if err != nil {
			return err
		}
		a.intents = append(a.intents, list...)
	}
	reg, end, err := openRegister(ctx, filepath.Join(x.Dir, "ees.db"), "")
	if err != nil {
		return err
	}
	defer end()
	if a.records, err = recordsOf(ctx, reg); err != nil {
		return err
	}
	x.table(a)
	all := x.ready()
	if len(all) > 0 {
		fmt.Printf("\nkioskd killed and started again → the gate's watchdog runs: median %.2f s, worst %.2f s of %d\n", all[len(all)/2].Seconds(), all[len(all)-1].Seconds(), len(all))
	}
	slices.Sort(x.cold)
	if n := len(x.cold); n > 0 {
		fmt.Printf("a lane's power comes back → the gate's watchdog runs: median %.2f s, worst %.2f s of %d, the computer's own boot excluded\n", x.cold[n/2].Seconds(), x.cold[n-1].Seconds(), n)
	}
	wrong := a.balance()
	for _, why := range wrong {
		fmt.Println("WRONG:", why)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("chaos: seed %d: %d accounts do not fit; everything is in %s", x.Seed, len(wrong), x.Dir)
	}
	fmt.Printf("seed %d: nothing lost, nothing twice, no lane stuck\n", x.Seed)
	if x.Figures == "" || len(all) == 0 {
		return nil
	}
	var kills []string
	for _, name := range slices.Sorted(maps.Keys(x.kills)) {
		kills = append(kills, fmt.Sprintf("%s %d", name, x.kills[name]))
	}
	text := fmt.Sprintf("| programs killed, power cut, at random for %v: crossings lost, made twice; lanes stuck or left open | 0 | 0 | seed %d: %s; %d visits, %d people went out |\n",
		x.For, x.Seed, strings.Join(kills, ", "), x.visits.Load(), len(x.left)) +
		fmt.Sprintf("| kioskd started again after a kill → it commands its gate again | < 3 s | %.2f s median, %.2f s worst | of %d; the gate's own record of its watchdog; beside whatever else was killed |\n", all[len(all)/2].Seconds(), all[len(all)-1].Seconds(), len(all))
	if n := len(x.cold); n > 0 {
		text += fmt.Sprintf("| a lane's power comes back → kioskd commands its gate again | < 3 s | %.2f s median, %.2f s worst | of %d; the file system's recovery included, the computer's boot and the gate's not |\n", x.cold[n/2].Seconds(), x.cold[n-1].Seconds(), n)
	}
	if err := os.WriteFile(x.Figures, []byte(text), 0o644); err != nil {
		return fmt.Errorf("chaos: figures: %w", err)
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/crowd"
	"passage/kiosk/fleet"
	"passage/kiosk/site"
)

type fleetCmd struct {
	Lanes    int           `default:"1000" help:"How many."`
	For      time.Duration `default:"2m" help:"How long they work once all are connected."`
	Consoles int           `default:"3" help:"Officers' pages that watch the lanes meanwhile."`
	Reviews  int           `default:"10" help:"One crossing in so many waits for an officer."`
	Dir      string        `default:".cache/fleet" help:"Work folder; emptied first."`
	Port     int           `default:"8290" help:"First of three ports on loopback."`
	Figures  string        `help:"Write the rows of docs/benchmarks.md to this file."`
}

func (fleetCmd) Help() string {
	return `Example, after make build: a thousand lanes on one console, and what they cost.

  hwsim fleet --lanes 1000 --for 2m

The lanes have no devices; their clients, journals, keys and connections are
the shipped ones, and so is consoled, in a process of its own.`
}

// crowded is the load under way.
type crowded struct {
	fleetCmd
	site  *siteConsole
	lanes map[string]*crowd.Lane

	measuring atomic.Bool
	mu        sync.Mutex
	lags      []time.Duration // state of a lane changed → told to a page
	answers   []time.Duration // word sent → lane's answer
	late      int             // words to which a lane said that it was over
	away      int             // lanes that a page was told to be away
}

func (c fleetCmd) Run(ctx context.Context) error {
	if c.Lanes < 1 {
		return fmt.Errorf("fleet: %d lanes: one at least", c.Lanes)
	}
	if err := workFolder(c.Dir); err != nil {
		return err
	}
	x := &crowded{fleetCmd: c, lanes: map[string]*crowd.Lane{}}
	for i := range c.Lanes {
		id := fmt.Sprintf("L%04d", i+1)
		x.lanes[id] = &crowd.Lane{ID: id, Seed: uint64(i), Reviews: c.Reviews}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, work := errgroup.WithContext(ctx)
	err := x.run(work, group)
	cancel()
	return errors.Join(err, group.Wait())
}

func (x *crowded) run(ctx context.Context, group *errgroup.Group) error {
	ids := slices.Sorted(maps.Keys(x.lanes))
	var err error
	if x.site, err = startConsole(ctx, group, x.Dir, x.Port, []area{{"Hall", ids}}, 0); err != nil {
		return err
	}
	group.Go(func() error { return x.site.sign(ctx) })
	officers, err := x.officers(ctx)
	if err != nil {
		return err
	}
	creds, err := x.enrol(ctx, ids)
	if err != nil {
		return err
	}
	lanes, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	for _, id := range ids {
		group.Go(func() error { return x.lanes[id].Run(lanes, creds[id]) })
	}
	reviews := make(chan crowd.Seen, 1024)
	up := make(chan struct{})
	for i, o := range officers {
		group.Go(func() error { return o.Watch(ctx, x.see(i == 0, up, reviews)) })
	}
	for range 4 {
		group.Go(func() error { return x.decide(ctx, officers[0], reviews) })
	}
	select {
	case <-up:
		fmt.Printf("fleet: %d lanes connected after %.1f s\n", x.Lanes, time.Since(began).Seconds())
	case <-time.After(3 * time.Minute):
		return fmt.Errorf("fleet: not all lanes were heard within three minutes")
	case <-ctx.Done():
		return ctx.Err()
	}
	// A crossing's time for the storm of connections to settle.
	if err := pause(ctx, 15*time.Second); err != nil {
		return err
	}
	console := x.site.program.pid()
	busy := [2]time.Duration{processor(console), processor(os.Getpid())}
	x.measuring.Store(true)
	if err := pause(ctx, x.For); err != nil {
		return err
	}
	x.measuring.Store(false)
	busy = [2]time.Duration{processor(console) - busy[0], processor(os.Getpid()) - busy[1]}
	most := peak(console)
	total, stored, broken, err := x.settle(ctx)
	if err != nil {
		return err
	}
	stop()
	return x.report(busy, most, total, stored, broken)
}

// processor is the processor time that a process has used.
func processor(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte(") ")) // its name may hold anything
	f := bytes.Fields(after)
	if len(f) < 13 {
		return 0
	}
	var ticks time.Duration
	for _, n := range f[11:13] { // utime and stime, in hundredths of a second
		v, err := strconv.ParseInt(string(n), 10, 64)
		if err != nil {
			return 0
		}
		ticks += time.Duration(v)
	}
	return ticks * 10 * time.Millisecond
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// officers registers those who watch, and signs them in when the roster has
// them.
func (x *crowded) officers(ctx context.Context) ([]*crowd.Officer, error) {
	var list []*crowd.Officer
	for i := range x.Consoles {
		id := fmt.Sprintf("officer%d", i+1)
		page, err := x.site.invite(ctx, id, "Officer", "supervisor")
		if err != nil {
			return nil, err
		}
		o, err := crowd.Register(ctx, id, page)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	for _, o := range list {
		err := o.SignIn(ctx)
		for range 20 {
			if err == nil {
				break
			}
			if err := pause(ctx, time.Second); err != nil {
				return nil, err
			}
			err = o.SignIn(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// enrol gives every lane credentials, by the console's own door.
func (x *crowded) enrol(ctx context.Context, ids []string) (map[string]fleet.Credentials, error) {
	b, err := os.ReadFile(x.site.key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || len(block.Bytes) != ed25519.SeedSize {
		return nil, fmt.Errorf("fleet: %s is no roster key", x.site.key)
	}
	public, _ := ed25519.NewKeyFromSeed(block.Bytes).Public().(ed25519.PublicKey)
	out := map[string]fleet.Credentials{}
	for i, id := range ids {
		code, err := site.Code(ctx, x.site.dir, id, "crowd")
		if err != nil {
			return nil, err
		}
		_, creds, err := fleet.Enrol(ctx, fmt.Sprintf("https://127.0.0.1:%d", x.Port+2), code, filepath.Join(x.site.dir, "lane-"+id))
		if err != nil {
			return nil, err
		}
		out[id], x.lanes[id].RosterKey = creds, public
		if (i+1)%250 == 0 {
			fmt.Printf("fleet: %d lanes enrolled\n", i+1)
		}
	}
	return out, nil
}

// see takes what a page is told. The first page says when all lanes are up and
// hands on the cases that wait.
func (x *crowded) see(first bool, up chan struct{}, reviews chan<- crowd.Seen) func([]crowd.Seen) {
	since := make(map[string]int64, x.Lanes)
	once := sync.OnceFunc(func() { close(up) })
	return func(list []crowd.Seen) {
		now := time.Now().UnixMilli()
		measuring := x.measuring.Load()
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, s := range list {
			if s.Away && measuring {
				x.away++
			}
			before, known := since[s.ID]
			if s.View.Since == 0 || s.View.Since == before {
				continue
			}
			since[s.ID] = s.View.Since
			if known && measuring {
				x.lags = append(x.lags, time.Duration(now-s.View.Since)*time.Millisecond)
			}
			if first && s.View.Under != nil && s.View.Under.Review {
				select {
				case reviews <- s:
				default:
				}
			}
		}
		if first && len(since) == x.Lanes {
			once()
		}
	}
}

// decide releases whoever waits.
func (x *crowded) decide(ctx context.Context, o *crowd.Officer, reviews <-chan crowd.Seen) error {
	for {
		var s crowd.Seen
		select {
		case <-ctx.Done():
			return nil
		case s = <-reviews:
		}
		took, a, err := o.Decide(ctx, s.ID, s.View.Under.Transaction, "release", "visual_comparison")
		if ctx.Err() != nil {
			return nil
		}
		x.mu.Lock()
		switch {
		case err == nil && a.OK && x.measuring.Load():
			x.answers = append(x.answers, took)
		case err != nil && x.measuring.Load():
			x.late++
		}
		x.mu.Unlock()
	}
}

// settle compares what the lanes have concluded with what the site has stored,
// which must be the same soon after.
func (x *crowded) settle(ctx context.Context) (total, stored, broken int64, err error) {
	db, closing, err := site.OpenDatabase(ctx, x.site.dir)
	if err != nil {
		return 0, 0, 0, err
	}
	defer closing()
	before := int64(0)
	for _, l := range x.lanes {
		before += l.Crossings.Load()
	}
	for range 30 {
		if err := pause(ctx, time.Second); err != nil {
			return 0, 0, 0, err
		}
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM crossing").Scan(&stored); err != nil {
			return 0, 0, 0, err
		}
		if stored >= before {
			break
		}
	}
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM position WHERE broken IS NOT NULL").Scan(&broken)
	return before, stored, broken, err
}

func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)-1, int(float64(len(list))*p))]
}

func (x *crowded) report(busy [2]time.Duration, most float64, total, stored, broken int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.lags) == 0 || len(x.answers) == 0 {
		return errors.New("fleet: nothing was measured")
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
	text := fmt.Sprintf("| %d lanes on one consoled, in real time: a lane's state changes → the page is told, p99 | < 1 s | %s | median %s, worst %s, of %d changes over %v on %d pages; %d times a lane was away |\n",
		x.Lanes, ms(percentile(x.lags, 0.99)), ms(percentile(x.lags, 0.5)), ms(percentile(x.lags, 1)), len(x.lags), x.For, x.Consoles, x.away) +
		fmt.Sprintf("| consoled resident meanwhile, peak | < 400 MB | %.0f MB | with its NATS server and all journals; from its start on, %d enrolments included |\n", most, x.Lanes) +
		fmt.Sprintf("| processors that this took | — | %.2f consoled, %.2f the lanes | of %d in this machine: seconds of processor time a second, of consoled and of the one process with all lanes and pages |\n",
			busy[0].Seconds()/x.For.Seconds(), busy[1].Seconds()/x.For.Seconds(), runtime.NumCPU()) +
		fmt.Sprintf("| review decided → lane's answer at the page, p99 | < 100 ms | %s | median %s, worst %s, of %d words under that load; %d came too late or got no answer |\n",
			ms(percentile(x.answers, 0.99)), ms(percentile(x.answers, 0.5)), ms(percentile(x.answers, 1)), len(x.answers), x.late) +
		fmt.Sprintf("| crossings that the lanes concluded and the site stored | all, once | %d of %d at least | %d journals with a gap or a broken chain |\n", min(stored, total), total, broken)
	fmt.Print(text)
	if broken > 0 || stored < total {
		return errors.New("fleet: the site lacks what the lanes have sent")
	}
	if x.Figures == "" {
		return nil
	}
	if err := os.WriteFile(x.Figures, []byte(text), 0o644); err != nil {
		return fmt.Errorf("fleet: figures: %w", err)
	}
	return nil
}

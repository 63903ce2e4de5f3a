package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/lanesim"
	"passage/hwsim/panel"
	"passage/hwsim/pcscd"
	"passage/hwsim/persona"
	"passage/hwsim/powercut"
	"passage/hwsim/register"
	"passage/hwsim/register/testca"
	"passage/kiosk/web"
)

type demoCmd struct {
	Once    bool     `help:"Send every traveller once, print a table, and exit 0 only if all went as expected."`
	Only    []string `help:"Only these travellers, such as P01,P10."`
	JSON    bool     `name:"json" help:"The table as JSON."`
	Dir     string   `default:".cache/demo" help:"Work folder; emptied first."`
	Lanes   int      `default:"3" help:"How many lanes, 1 to 90. Those beyond the third share one visiond and have the built-in reader."`
	Port    int      `default:"8180" help:"First of the ports on loopback."`
	VPCD    bool     `name:"vpcd" help:"Use the built-in reader even where pcscd could run."`
	Quiet   bool     `help:"Do not print each crossing."`
	Figures string   `help:"Write the rows of docs/benchmarks.md to this file."`
}

// row is one line of the table.
type row struct {
	Persona   string  `json:"persona"`
	Lane      string  `json:"lane"`
	Name      string  `json:"name"`
	Expected  string  `json:"expected"`
	Got       string  `json:"outcome"`
	Seconds   float64 `json:"seconds"`
	Transport string  `json:"transport"`
	Matcher   string  `json:"matcher"` // own, or shared by the lanes beyond the third
	Checks    string  `json:"checks"`
	Critical  float64 `json:"critical_path"` // seconds
	OK        bool    `json:"as_expected"`
}

// demo is the demonstration under way.
type demo struct {
	demoCmd
	today time.Time
	reg   *register.Register
	lanes map[string]*lanesim.Lane
	stageSet
	hands  []*panel.Lane
	used   map[string]chan struct{} // a lane is somebody's: of the demonstration, or of the panel
	places []place
	turns  chan struct{} // one for each traveller under way

	alone  sync.RWMutex             // held for writing by who has the register to themselves
	laid   map[string]chan struct{} // by persona: the crossing is over
	kiosks map[string]*program      // by lane
	again  time.Duration            // how soon kioskd is started again when it ends; 0: it must not
	site   *siteConsole
	disks  map[string]*powercut.Disk // by lane: where its own files are, if not in the work folder

	cards    *pcscd.Service // nil where it cannot be used
	cardsLog *os.File

	// Called once the lanes are open, and before they end: for who watches.
	opened, closing func(context.Context) error
}

func (demoCmd) Help() string {
	return `Example, after make build: every traveller once, and a table.

  hwsim demo --once

Or two of them, while you watch http://127.0.0.1:8180/lane:

  hwsim demo --once --only P01,P10`
}

func (c demoCmd) Run(ctx context.Context) error {
	if c.Lanes < 1 || c.Lanes > mostLanes {
		return fmt.Errorf("demo: %d lanes: 1 to %d can be had", c.Lanes, mostLanes)
	}
	list, err := persona.All()
	if err != nil {
		return err
	}
	if len(c.Only) > 0 {
		all := list
		list = nil
		for _, id := range c.Only {
			i := slices.IndexFunc(all, func(p persona.Persona) bool { return p.ID == id })
			if i < 0 {
				return fmt.Errorf("demo: no traveller is called %q; hwsim personas lists them", id)
			}
			list = append(list, all[i])
		}
	}
	return newDemo(c, list).run(ctx, list)
}

func newDemo(c demoCmd, list []persona.Persona) *demo {
	nothing := func(context.Context) error { return nil }
	x := &demo{demoCmd: c, today: today(), lanes: map[string]*lanesim.Lane{}, used: map[string]chan struct{}{}, laid: map[string]chan struct{}{}, kiosks: map[string]*program{}, opened: nothing, closing: nothing, places: lineUp(c.Lanes, c.Port), turns: make(chan struct{}, atOnce(c.Lanes))}
	for _, p := range list {
		x.laid[p.ID] = make(chan struct{})
	}
	return x
}

// prepare makes what the lanes are given: portraits, issuers, certificates.
func (x *demo) prepare() error {
	if err := workFolder(x.Dir); err != nil {
		return err
	}
	set, err := newStageSet(".cache/portraits", filepath.Join(x.Dir, "trust"))
	if err != nil {
		return err
	}
	x.stageSet = *set
	var names []string
	for _, p := range x.places {
		names = append(names, p.name)
	}
	_, err = certificates(x.Dir, registerNames(names...), time.Now())
	return err
}

func (x *demo) run(ctx context.Context, list []persona.Persona) error {
	if err := x.prepare(); err != nil {
		return err
	}
	for i, p := range x.list { // the register and the panel know the same people
		if j := slices.IndexFunc(list, func(q persona.Persona) bool { return q.ID == p.ID }); j >= 0 {
			x.list[i] = list[j]
		}
	}
	stop, err := x.pcscd(ctx)
	defer stop()
	if err != nil {
		fmt.Println("demo: pcscd cannot be used here, the built-in reader takes its place:", err)
	}
	for _, p := range x.places[:min(wholeLanes, len(x.places))] {
		fmt.Printf("demo: passports of lane %s by %s\n", p.name, p.reader)
	}
	if hall := x.crowdedHall(); hall != "" {
		fmt.Println("demo:", hall)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, work := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		_ = group.Wait() // its error was seen, or the demonstration is over
	}()
	if err := x.register(work, group); err != nil {
		return err
	}
	hash, err := web.HashPIN(pin)
	if err != nil {
		return err
	}
	if x.site, err = startConsole(work, group, filepath.Join(x.Dir, "site"), x.Port+50, areas(x.places), 0); err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	group.Go(func() error { return x.site.sign(work) })
	if err := x.share(work, group); err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	if err := x.open(work, group, hash); err != nil {
		return errors.Join(cancelled(cancel, group), err)
	}
	for _, p := range x.places[:min(wholeLanes, len(x.places))] {
		fmt.Printf("demo: %-7s http://%s/traveller  http://%s/lane\n", p.name, p.page, p.page)
	}
	if more := x.places[min(wholeLanes, len(x.places)):]; len(more) > 0 {
		fmt.Printf("demo: %s to %s from http://%s to http://%s in the same way\n", more[0].name, more[len(more)-1].name, more[0].page, more[len(more)-1].page)
	}
	fmt.Printf("demo: officer anna, PIN %s\n", pin)
	fmt.Printf("demo: console  %s\n", x.site.pages)
	at := fmt.Sprintf("127.0.0.1:%d", x.Port+70)
	serve, err := panel.Listen(at, x.hands...)
	if err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	group.Go(func() error { return serve(work) })
	fmt.Printf("demo: panel    http://%s\n", at)
	for _, o := range [][3]string{{"gina", "Gina Garde", "guard"}, {"sam", "Sam Saal", "supervisor"}} {
		page, err := x.site.invite(work, o[0], o[1], o[2])
		if err != nil {
			return errors.Join(err, cancelled(cancel, group))
		}
		fmt.Printf("demo: to sign in there as %s, register a passkey at %s\n", o[2], page)
	}
	if err := x.opened(work); err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	if x.Once {
		rows, err := x.once(work, list)
		if err != nil {
			return err
		}
		if err := x.closing(work); err != nil {
			return err
		}
		if err := x.table(rows); err != nil {
			return err
		}
		if len(rows) != len(list) {
			return errors.Join(fmt.Errorf("demo: %d of %d travellers did not get through", len(list)-len(rows), len(list)), group.Wait())
		}
		return nil
	}
	for work.Err() == nil {
		if _, err := x.once(work, list); err != nil && work.Err() == nil {
			return err
		}
		for _, p := range list {
			x.laid[p.ID] = make(chan struct{})
		}
	}
	return nil
}

// cancelled ends what was started and says what it said.
func cancelled(cancel func(), group *errgroup.Group) error {
	cancel()
	return group.Wait()
}

func (x *demo) register(ctx context.Context, group *errgroup.Group) error {
	reg, end, err := openRegister(ctx, filepath.Join(x.Dir, "ees.db"), "")
	if err != nil {
		return err
	}
	if err := acquaint(ctx, reg, x.list, x.today); err != nil {
		return errors.Join(err, end())
	}
	x.reg = reg
	ready := make(chan struct{})
	group.Go(func() error {
		defer end()
		return x.reg.Serve(ctx, fmt.Sprintf("127.0.0.1:%d", x.Port+30), testca.Files(x.Dir, "register"), func(string) { close(ready) })
	})
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return errors.New("demo: the register did not start")
	}
}

// open starts the lanes, three of them at a time, and returns when all are open.
func (x *demo) open(ctx context.Context, group *errgroup.Group, hash string) error {
	starting := make(chan struct{}, wholeLanes)
	for i := range x.places {
		select {
		case starting <- struct{}{}:
		case <-ctx.Done():
			return nil // whoever ended it says why
		}
		l, err := x.lane(ctx, group, &x.places[i], hash)
		if err != nil {
			return err
		}
		group.Go(func() error { return l.Follow(ctx, pin, func() { <-starting }) })
		if n := i + 1; n > wholeLanes && n%10 == 0 {
			fmt.Printf("demo: %d lanes started\n", n)
		}
	}
	for range cap(starting) {
		select {
		case starting <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
	}
	if len(x.places) > wholeLanes {
		x.settle(ctx)
	}
	return nil
}

// settle waits until all lanes of a crowded hall have been open for five seconds,
// a minute at most: the last ones begin in the noise of their own start.
func (x *demo) settle(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for since := began; time.Since(since) < 5*time.Second && time.Since(began) < time.Minute; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, l := range x.lanes {
			if _, v := l.Desk.Seen(); v.State != "IDLE" {
				since = time.Now()
			}
		}
	}
}

// base is where a lane's own files are: its store at base.db.
func (x *demo) base(lane string) string {
	if d := x.disks[lane]; d != nil {
		return filepath.Join(d.Dir, lane)
	}
	return filepath.Join(x.Dir, lane)
}

// lane starts one lane: devices and kioskd.
func (x *demo) lane(ctx context.Context, group *errgroup.Group, p *place, hash string) (*lanesim.Lane, error) {
	name := p.name
	d := &lanesim.Devices{Name: name, Dir: x.Dir, Camera: p.camera, Dial: p.dial, Steady: x.again > 0}
	if len(x.places) > wholeLanes {
		d.Resting = resting
	}
	ready := make(chan struct{})
	group.Go(func() error { return d.Run(ctx, func() { close(ready) }) })
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, errors.New("demo: the devices did not start")
	}
	desk, err := deskConf(p.page, x.base(name), hash)
	if err != nil {
		return nil, err
	}
	devices := laneConf(d, p.direction, p.conf, p.shared, filepath.Join(x.Dir, "trust"))
	if len(x.places) > wholeLanes {
		devices = strings.Replace(devices, "light = true", "light = false", 1)
	}
	conf := devices +
		registerConf(fmt.Sprintf("127.0.0.1:%d", x.Port+30), testca.Files(x.Dir, name)) + desk +
		fmt.Sprintf(`[site]
listen = %q
peers = [%s]
key = "a demonstration's site key, 32 bytes or more"
[host]
metrics = %q
`, p.site, x.peers(p), p.metrics)
	fleet, err := x.site.enrol(ctx, name)
	if err != nil {
		return nil, err
	}
	conf += fleet
	path := filepath.Join(x.Dir, name+".toml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	kiosk := &program{name: "demo: kioskd of the " + name + " lane", args: []string{"kioskd", "--config", path}, log: filepath.Join(x.Dir, name+".log"), again: x.again}
	x.kiosks[name] = kiosk
	group.Go(func() error { return kiosk.run(ctx) })
	l := &lanesim.Lane{Devices: d, Desk: lanesim.NewDesk("http://" + p.page)}
	x.lanes[name] = l
	used := make(chan struct{}, 1)
	x.used[name] = used
	site := x.stageSet.site(d, l.Desk, p.direction, x.reg)
	site.Expect = l.Expect
	site.Turn = func(ctx context.Context) (func(), error) {
		select {
		case used <- struct{}{}:
			return func() { <-used }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	hands := panel.New(site)
	l.Hold = hands.ByHand
	x.hands = append(x.hands, hands)
	group.Go(func() error { return hands.Run(ctx) })
	return l, nil
}

// once sends every persona through its lane, the lanes in parallel.
func (x *demo) once(ctx context.Context, list []persona.Persona) ([]row, error) {
	var mu sync.Mutex
	var rows []row
	group, ctx := errgroup.WithContext(ctx)
	queues := map[string]chan int{"entry": make(chan int, len(list)), "exit": make(chan int, len(list))}
	for i, p := range list {
		queues[p.Lane] <- i
	}
	for _, q := range queues {
		close(q)
	}
	for at := range x.places {
		p := &x.places[at]
		group.Go(func() error {
			for {
				select { // whose turn it is goes round
				case x.turns <- struct{}{}:
				case <-ctx.Done():
					return nil
				}
				i, more := <-queues[p.direction]
				if !more {
					<-x.turns
					return nil
				}
				r := x.cross(ctx, p, list[i], i)
				<-x.turns
				if ctx.Err() != nil {
					return nil
				}
				mu.Lock()
				rows = append(rows, r)
				mu.Unlock()
				if !x.Quiet && !x.JSON {
					mark := "✓"
					if !r.OK {
						mark = "✗ expected " + r.Expected
					}
					fmt.Printf("%s %-6s %-22s %5.1f s  %s %s\n", r.Persona, p.name, r.Name, r.Seconds, r.Got, mark)
				}
			}
		})
	}
	err := group.Wait()
	return rows, err
}

func (x *demo) cross(ctx context.Context, at *place, p persona.Persona, i int) row {
	r := row{Persona: p.ID, Lane: p.Lane, Name: p.Name[1] + " " + p.Name[0], Expected: strings.TrimSpace(p.Outcome + " " + p.Reason), Transport: at.reader, Matcher: at.matcherOf()}
	if c := x.laid[p.DocumentOf]; c != nil {
		select { // the same document must be in use in the other lane
		case <-c:
		case <-time.After(60 * time.Second):
		case <-ctx.Done():
		}
	}
	select { // the panel may have somebody in the lane
	case x.used[at.name] <- struct{}{}:
	case <-ctx.Done():
		return r
	}
	defer func() { <-x.used[at.name] }()
	card, err := x.from.Card(p, i, x.files, x.today)
	if err != nil {
		r.Got = err.Error()
		return r
	}
	if len(p.Fault) > 0 {
		// A register that is down is down for every lane: these travellers
		// have the place to themselves.
		x.alone.Lock()
		defer x.alone.Unlock()
	} else {
		x.alone.RLock()
		defer x.alone.RUnlock()
	}
	for what, fault := range p.Fault {
		x.reg.Inject(what, fault)
		defer x.reg.Inject(what, "")
	}
	records := x.reg.Count("record")
	res, err := x.lanes[at.name].Cross(ctx, p, card, x.pictures[i%len(x.pictures)], x.pictures[(i+5)%len(x.pictures)])
	close(x.laid[p.ID])
	if err != nil {
		r.Got = err.Error()
		return r
	}
	r.Got, r.Seconds, r.Checks, r.Critical = res.Outcome, res.Seconds, res.Checks, res.Critical
	if res.Outcome != "released" {
		r.Got = strings.TrimSpace(res.Outcome + " " + res.Reason)
	} else if !x.recorded(ctx, res.UUID, records) {
		r.Got = "released, but not recorded"
	}
	if p.Hits["SIS"] == "DISCREET" {
		if alerts, err := x.reg.Alerted(ctx); err != nil || len(alerts) == 0 {
			r.Got += ", but no officer was alerted by the register"
		}
	}
	r.OK = r.Got == r.Expected
	return r
}

// recorded waits for the crossing's one record in the register.
func (x *demo) recorded(ctx context.Context, uuid string, _ int) bool {
	for range 50 {
		list, err := x.reg.Records(ctx)
		if err != nil {
			return false
		}
		n := 0
		for _, rec := range list {
			if rec.Transaction.String() == uuid {
				n++
			}
		}
		if n > 0 {
			return n == 1
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false
}

func (x *demo) table(rows []row) error {
	good := 0
	for _, r := range rows {
		if r.OK {
			good++
		}
	}
	if x.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(rows); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\npersona\tlane\texpected\toutcome\tseconds\tpath\tpassport\tmatcher\tchecks not successful")
		for _, r := range rows {
			fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%.1f\t%.1f\t%s\t%s\t%s\n", r.Persona, r.Name, r.Lane, r.Expected, r.Got, r.Seconds, r.Critical, r.Transport, r.Matcher, r.Checks)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if err := x.figures(rows); err != nil {
		return err
	}
	if hall := x.crowdedHall(); hall != "" && !x.JSON {
		fmt.Println(hall)
	}
	fmt.Printf("%d crossings, %d as expected\n", len(rows), good)
	if good != len(rows) {
		return fmt.Errorf("%d crossings went otherwise; logs are in %s. TIMEOUT and CAMERA may only mean that this machine had other work", len(rows)-good, x.Dir)
	}
	return nil
}

// figures says how fast and how large the lanes were: crossing time over the
// critical path of those who were released, and the memory of kioskd.
func (x *demo) figures(rows []row) error {
	var ratios []float64
	for _, r := range rows {
		if strings.HasPrefix(r.Got, "released") && r.Critical > 0 {
			ratios = append(ratios, r.Seconds/r.Critical)
		}
	}
	if len(ratios) == 0 {
		return nil
	}
	slices.Sort(ratios)
	median, worst := ratios[len(ratios)/2], ratios[len(ratios)-1]
	most := 0.0
	for _, k := range x.kiosks {
		most = max(most, peak(k.pid()))
	}
	out := os.Stdout
	if x.JSON {
		out = os.Stderr
	}
	fmt.Fprintf(out, "crossing time ÷ critical path: %.2f median, %.2f worst of %d released; kioskd: %.0f MB resident at most\n", median, worst, len(ratios), most)
	if x.Figures == "" {
		return nil
	}
	text := fmt.Sprintf("| demonstration: crossing time ÷ critical path | ≤ 1.10 | %.2f median, %.2f worst | %d released travellers on %d lanes, %s |\n", median, worst, len(ratios), len(x.places), x.places[0].reader) +
		fmt.Sprintf("| demonstration: kioskd resident, peak | < 80 MB | %.0f MB | the largest of %d processes after %d crossings |\n", most, len(x.places), len(rows))
	if err := os.WriteFile(x.Figures, []byte(text), 0o644); err != nil {
		return fmt.Errorf("demo: figures: %w", err)
	}
	return nil
}

// peak is the most memory that a process has had resident, in MB; 0 if nobody
// can tell.
func peak(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}

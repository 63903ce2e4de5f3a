// Package world runs a whole lane in one process and by the caller's clock:
// the real shell, journal, policy and drivers, with simulated devices at the
// far end of each. In a bubble of testing/synctest that clock is virtual, and
// minutes of a lane take milliseconds.
//
// What is not the shipped code is the wires themselves (memory instead of
// terminals and sockets) and the models of package matcher's workers.
package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/drivers/camera"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/gate/regmap"
	serial "passage/drivers/mrz"
	"passage/eesclient"
	"passage/eesclient/extract"
	"passage/eesclient/outbox"
	"passage/eesclient/stay"
	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/people"
	"passage/hwsim/register"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/devices"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
	"passage/matcher"
	"passage/sqlite"
)

// World is one exit lane, one traveller and one officer.
type World struct {
	Gate     *gate.Gate
	Line     *gate.Cable
	Field    *Field
	Eyes     *Eyes
	Register *register.Register
	DB       *sqlite.DB // the lane's; it survives the lane's process

	// Map is the register map of a gate that speaks it; nil for ABC-LANE.
	Map *regmap.Map

	// Decision is what the officer decides in REVIEW; in HOLD and MULTI the
	// answer is always divert. Away is an officer who is not there.
	Decision string
	Away     atomic.Bool
	// Duty, if there is one, says what the officer decides in REVIEW, and false
	// while they are to leave everything to somebody else.
	Duty func() (decision string, theirs bool)
	// Zone is what the MRZ reader makes of a document's zone; nil for nothing
	// special.
	Zone func(lines []string) []byte
	// OnStep is called with every journalled step, from the lane's own
	// goroutine: it must not call the lane.
	OnStep func(kiosk.Entry)
	// Rule changes the policy, that of an exit, before the lane starts; nil for
	// none.
	Rule func(*policy.Policy)
	// BothWays: an officer may set the lane's direction.
	BothWays bool
	// Slow delays every completion of the store.
	Slow func(what string) time.Duration
	// Log gets the lane's log; nil for nobody.
	Log io.Writer

	dir    string // of the databases; empty in memory
	laneDB string // the lane's in it
	cuts   int    // power cuts so far
	ctx    context.Context
	stop   context.CancelFunc
	still  <-chan struct{} // the gate's own clock has stopped
	clerks *errgroup.Group
	zones  *wire
	trust  *pki.Store
	signer *testpki.Signer
	client *eesclient.Client
	db     *sqlite.DB // the register's
	key    []byte     // of the site
	ring   *keys.Ring
	local  *extract.Extract // set by Local

	mu   sync.Mutex
	lane *running
	runs int
}

// running is one process of the lane.
type running struct {
	shell *kiosk.Shell
	stop  context.CancelFunc
	ended chan error
	kill  context.CancelFunc // of what runs beside the shell
	power chan struct{}      // closed by a power cut

	beside sync.WaitGroup // what runs beside the shell
}

var errPower = errors.New("the power is cut")

func (l *running) dead() bool {
	select {
	case <-l.power:
		return true
	default:
		return false
	}
}

// socket is the gate's line as one process holds it: what a dead one writes
// goes nowhere.
type socket struct {
	*gate.Cable
	of *running
}

func (s socket) Write(b []byte) (int, error) {
	if s.of.dead() {
		return len(b), nil
	}
	return s.Cable.Write(b)
}

// slot is the card reader as one process holds it.
type slot struct {
	*Field
	of *running
}

func (s slot) Watch(ctx context.Context, present func(bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.of.power:
		case <-ctx.Done():
		}
		cancel()
	}()
	err := s.Field.Watch(ctx, present)
	if s.of.dead() {
		return errPower
	}
	return err
}

// Number of the traveller's document.
const Number = "X0T4711"

const traveller = 7 // the face on the chip, as the first pixel of a frame

// New builds a lane that has not been started, with the databases of lane and
// register in dir, or in memory for "". All goroutines that it starts end with
// Close. It waits for a day on which lanes may work: virtual time begins in the
// year 2000.
func New(ctx context.Context, dir string) (*World, error) {
	time.Sleep(time.Until(inForce))
	path := func(name string) string {
		if dir == "" {
			return ":memory:"
		}
		return filepath.Join(dir, name)
	}
	w := &World{Field: &Field{change: make(chan struct{})}, Eyes: &Eyes{gone: make(chan struct{}), died: make(chan struct{}, 1)}, zones: newWire(), Decision: "divert", dir: dir, laneDB: "lane.db", key: make([]byte, 32)}
	ring, err := keys.Fixed(w.key)
	if err != nil {
		return nil, err
	}
	w.ring = ring
	w.ctx, w.stop = context.WithCancel(ctx)
	w.clerks = &errgroup.Group{}
	w.Gate = gate.New(gate.Config{})
	w.Line, w.still = w.Gate.Connect(w.ctx)
	now := time.Now()
	office, err := testpki.NewAuthority("BR", now)
	if err != nil {
		return nil, err
	}
	if w.signer, err = office.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0)); err != nil {
		return nil, err
	}
	if w.trust, err = office.Store(); err != nil {
		return nil, err
	}
	if w.db, err = sqlite.Open(w.ctx, path("register.db")); err != nil {
		return nil, err
	}
	if w.DB, err = sqlite.Open(w.ctx, path(w.laneDB)); err != nil {
		return nil, err
	}
	if w.Register, err = register.New(w.ctx, w.db.Writer); err != nil {
		return nil, err
	}
	y, m, d := now.UTC().Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	if err := w.Register.Load(w.ctx, register.Person{
		Number: Number, Issuer: "BRA", File: "F-1", Reference: true, Face: "match", Surname: "AMOSTRA", GivenNames: "BIA", Nationality: "BRA", Still: true,
		Birth: today.AddDate(-35, 0, 0).Format(time.DateOnly), Stays: []stay.Stay{{First: stay.On(today.AddDate(0, 0, -10))}},
	}); err != nil {
		return nil, err
	}
	w.client = eesclient.Over("http://register", inProcess{register.As(w.Register.Handler(), "X1", "lane")})
	return w, nil
}

// Card makes the traveller's passport; faults are hwsim/passport's.
func (w *World) Card(faults map[string]int) (*passport.Card, error) {
	today := time.Now().UTC()
	card, err := passport.New(passport.Profile{
		MRZ: mrz.MRZ{
			Size: mrz.TD3, Code: "P", Issuer: "BRA", Nationality: "BRA", Surname: "AMOSTRA", GivenNames: "BIA", Number: Number,
			Birth: today.AddDate(-35, 0, 0).Format("060102"), Sex: "F", Expiry: today.AddDate(5, 0, 0).Format("060102"),
		},
		Portrait: append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, append(make([]byte, 12000), traveller)...), Width: 360, Height: 480,
		Access: passport.BAC, Faults: faults,
	}, w.signer)
	if err != nil {
		return nil, err
	}
	card.Rate = 424
	return card, nil
}

// Local gives the lane a copy of the register's files, taken now.
func (w *World) Local() error {
	var err error
	if w.local, err = extract.New(w.ctx, w.DB.Writer, w.ring, w.Register.ExtractKey()); err != nil {
		return err
	}
	in, err := w.client.Extract(w.ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = w.local.Import(w.ctx, in, time.Now())
	return err
}

// Start starts the lane's process, as kioskd's main does.
func (w *World) Start() error {
	out := w.Log
	if out == nil {
		out = io.Discard
	}
	log := slog.New(slog.NewTextHandler(out, nil))
	over, kill := context.WithCancel(w.ctx)
	box, err := outbox.New(over, w.DB, w.ring)
	if err != nil {
		kill()
		return err
	}
	store, was, err := journal.Open(over, w.DB.Writer, w.ring, &devices.Records{Box: box, CrossingPoint: "X1"})
	if err != nil {
		kill()
		return err
	}
	if w.BothWays {
		if was.Direction, err = journal.Direction(over, w.DB.Reader); err != nil {
			kill()
			return err
		}
	}
	l := &running{ended: make(chan error, 1), kill: kill, power: make(chan struct{})}
	p := policy.Default(policy.Exit)
	p.Production = false
	if w.Rule != nil {
		w.Rule(&p)
	}
	reg := devices.NewRegister(w.client, w.local)
	shell := kiosk.New(kiosk.Config{Lane: "X1", Site: "Simulation", Rules: Rules(), Policy: p, SiteKey: w.key, BothWays: w.BothWays}, kiosk.Devices{
		Gate: &devices.Gate{
			Open: func() (devices.Line, error) { return socket{w.Line, l}, nil },
			Conf: config.Gate{Baud: 19200, Address: 1, OpenMax: 3 * time.Second, CloseMax: 3 * time.Second, EntryHold: hold, ExitHold: hold, Map: w.Map, FallbackFrees: "entry"}, Log: log,
		},
		Reader: &devices.Reader{
			Cards: slot{w.Field, l}, Trust: w.trusted, Location: time.UTC, Log: log,
			Zones: func() (devices.ZoneSource, io.Closer, error) { return serial.New(w.zones, serial.STX), w.zones, nil },
		},
		Vision:   &devices.Vision{Camera: &camera.Camera{Open: w.Eyes.open}, Matcher: w.Eyes, Decoder: w.Eyes, Policy: matching()},
		Register: reg,
		Store:    &watched{Journal: store, w: w, of: l},
	}, log)
	run, stop := context.WithCancel(over)
	l.shell, l.stop = shell, stop
	for _, f := range []func() error{
		func() error { return store.Run(over) },
		func() error { return box.Drain(over, w.client, store.Conflict) },
		func() error { return reg.Watch(over, func(why string) { shell.SetHealth(lane.UnfitClock, why) }) },
	} {
		l.beside.Add(1)
		w.clerks.Go(func() error {
			defer l.beside.Done()
			return f()
		})
	}
	w.mu.Lock()
	w.lane = l
	w.runs++
	w.mu.Unlock()
	go func() { l.ended <- shell.Run(run, was) }()
	return nil
}

func (w *World) trusted() *pki.Store {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trust
}

const hold = 6 * time.Second

// Rules are the lane's times for the gate's parameters.
func Rules() lane.Rules {
	r := lane.DefaultRules()
	r.Door = lane.Budget(3*time.Second, hold, 3*time.Second)
	r.DoorSlow = lane.Budget(3*time.Second, lane.LongHold(hold), 3*time.Second)
	return r
}

// Shell is the lane's process of now.
func (w *World) Shell() *kiosk.Shell {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lane.shell
}

// Crash ends the lane's process as a power cut does: nothing more is said,
// written or sent.
func (w *World) Crash() {
	w.mu.Lock()
	l := w.lane
	w.mu.Unlock()
	close(l.power)
	l.kill()
	<-l.ended
}

// CutPower ends the lane's process as a power cut does, and leaves of its disk
// what had been synced: what waited for the next commit is gone, and torn is all
// that was written of it. It is for a world with a folder.
func (w *World) CutPower(torn []byte) error {
	w.mu.Lock()
	l := w.lane
	w.mu.Unlock()
	// With the writer's connection in hand no commit is under way: one that was
	// has landed.
	c, err := w.DB.Writer.Conn(w.ctx)
	if err != nil {
		return fmt.Errorf("world: power cut: %w", err)
	}
	close(l.power)
	w.cuts++
	was, is := filepath.Join(w.dir, w.laneDB), fmt.Sprintf("lane-%d.db", w.cuts)
	for _, part := range []string{"", "-wal"} {
		b, err := os.ReadFile(was + part)
		if part == "-wal" {
			b = append(b, torn...)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(w.dir, is+part), b, 0o600)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("world: power cut: %w", err), c.Close())
		}
	}
	if err := c.Close(); err != nil {
		return fmt.Errorf("world: power cut: %w", err)
	}
	l.kill()
	<-l.ended
	l.beside.Wait()
	if err := w.DB.Close(); err != nil {
		return fmt.Errorf("world: power cut: %w", err)
	}
	for _, part := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(was + part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("world: power cut: %w", err)
		}
	}
	w.laneDB = is
	w.DB, err = sqlite.Open(w.ctx, filepath.Join(w.dir, is))
	return err
}

// Stop ends the lane's process as SIGTERM does, and returns its error.
func (w *World) Stop() error {
	w.mu.Lock()
	l := w.lane
	w.mu.Unlock()
	l.stop()
	err := <-l.ended
	l.kill()
	return err
}

// Close ends everything.
func (w *World) Close() error {
	w.stop()
	<-w.still
	err := w.clerks.Wait()
	for _, db := range []*sqlite.DB{w.db, w.DB} {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// anna is the officer.
var anna = kiosk.Officer{ID: "anna", Role: "guard", OnSite: true}

// Officer is on duty until ctx ends: present, decides, tidies up.
func (w *World) Officer(ctx context.Context) error {
	var last time.Time
	asked := ""
	for people.Pause(ctx, 400*time.Millisecond) {
		if w.Away.Load() {
			continue
		}
		s := w.Shell()
		if time.Since(last) >= 8*time.Second || last.IsZero() {
			s.Present(anna.ID, true)
			last = time.Now()
		}
		v := s.View()
		state := v.State.Phase.String()
		uuid := ""
		if v.Crossing != nil {
			uuid = v.Crossing.UUID
		}
		switch key := state + uuid; {
		case state == "REVIEW" || state == "HOLD" || state == "MULTI":
			if key == asked && state != "HOLD" { // in HOLD the gate may not have been able to follow
				continue
			}
			if !people.Pause(ctx, 1200*time.Millisecond) {
				return nil
			}
			asked = key
			decision, theirs := w.Decision, true
			if w.Duty != nil {
				decision, theirs = w.Duty()
			}
			if !theirs {
				continue
			}
			if state != "REVIEW" {
				decision = "divert"
			}
			var d lane.Decision
			if err := d.UnmarshalText([]byte(decision)); err != nil {
				return fmt.Errorf("world: officer: %w", err)
			}
			soon, cancel := context.WithTimeout(ctx, time.Second)
			_ = s.Decide(soon, anna, uuid, d, "visual_comparison", "", "") // the next look tells
			cancel()
		default:
			asked = ""
			entry, _ := w.Gate.Leaves()
			order, bag := people.Tidy(people.Seen{State: state, GateState: v.State.Gate.State.String(), Alarms: len(v.Gate.Alarms), Faults: len(v.Gate.Faults), Bag: v.State.Gate.Bag, Entry: entry})
			if bag {
				w.Gate.Remove("bag")
			}
			if state == "OUT_OF_SERVICE" && v.State.Closed && order == "" {
				order = "open" // looked into the lane
			}
			if order == "" {
				continue
			}
			if w.Duty != nil {
				if _, theirs := w.Duty(); !theirs {
					continue
				}
			}
			var o lane.OfficerOrder
			if err := o.UnmarshalText([]byte(order)); err != nil {
				return fmt.Errorf("world: officer: %w", err)
			}
			soon, cancel := context.WithTimeout(ctx, time.Second)
			_ = s.Order(soon, anna, o) // the next look tells
			cancel()
		}
	}
	return nil
}

// Traveller is the person of this world with their passport.
func (w *World) Traveller(script string, card *passport.Card) *people.Traveller {
	return &people.Traveller{
		ID: "bia", Script: script, Gate: w.Gate,
		Screen: func() string { return screenOf(w.Shell().View()) },
		Lay: func() error {
			w.Field.Put(card)
			send := zone
			if w.Zone != nil {
				send = w.Zone
			}
			w.zones.sent <- send(card.MRZ())
			return nil
		},
		Take: func() error { w.Field.Put(nil); return nil },
		Pose: func() {
			switch script {
			case "stranger":
				w.Eyes.See(traveller + 1)
			case "help", "fire", "absent":
				w.Eyes.See(0)
			default:
				w.Eyes.See(traveller)
			}
		},
		Help: func(context.Context) error { w.Shell().Help(); return nil },
		More: func(context.Context) error { w.Shell().MoreTime(); return nil },
	}
}

// screenOf is what the traveller's screen shows.
func screenOf(v kiosk.View) string { return fmt.Sprintf("S%d", v.State.Screen()) }

// Garbage makes the MRZ reader send nonsense.
func (w *World) Garbage() { w.zones.sent <- []byte("\x02\xFF\x00?<<<\x03P<UTO\x03") }

// watched is the journal as one process holds it, with a window.
type watched struct {
	*journal.Journal
	w  *World
	of *running
}

func (s *watched) Append(e kiosk.Entry) {
	if s.of.dead() {
		return
	}
	s.Journal.Append(e)
	if s.w.OnStep != nil {
		s.w.OnStep(e)
	}
}

// later is a completion that takes its time; a dead process hears of none.
func (s *watched) later(what string, done func(error)) func(error) {
	d := time.Duration(0)
	if s.w.Slow != nil {
		d = s.w.Slow(what)
	}
	return func(err error) {
		if s.of.dead() {
			return
		}
		if d == 0 {
			done(err)
			return
		}
		time.AfterFunc(d, func() { done(err) })
	}
}

func (s *watched) Intend(x lane.Transaction, f kiosk.Facts, done func(error)) {
	if !s.of.dead() {
		s.Journal.Intend(x, f, s.later("intent", done))
	}
}

func (s *watched) Record(x lane.Transaction, at time.Time, done func(error)) {
	if !s.of.dead() {
		s.Journal.Record(x, at, s.later("record", done))
	}
}

func (s *watched) Void(x lane.Transaction) {
	if !s.of.dead() {
		s.Journal.Void(x)
	}
}

func (s *watched) OpenCase(x lane.Transaction, why lane.CaseReason) {
	if !s.of.dead() {
		s.Journal.OpenCase(x, why)
	}
}

// matching is the default policy with thresholds for the simulated worker's
// descriptors, which are equal or at right angles.
func matching() matcher.Policy {
	p := matcher.DefaultPolicy()
	p.Threshold, p.Early = 0.5, 0.9
	return p
}

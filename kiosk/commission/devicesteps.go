package commission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/trust"
	"passage/eesclient"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/devices"
	"passage/kiosk/doctor"
	"passage/kiosk/fleet"
	"passage/kiosk/policy"
)

// expects is what doctor's checks want, in words for the report.
var expects = map[string]string{
	"clock": "synchronised, at most 2 s off", "power": "on mains, or no supply configured", "store": "the lane's store and key can be used, with room on the disk",
	"trust store": "authorities and revocation lists, not old", "gate": "answers, without fault or alarm", "MRZ reader": "its line opens",
	"document reader": "there", "camera": "fresh frames, well exposed, in focus", "model pack": "loads and works",
	"register": "answers, with SIS, SLTD, FPR and LOST; clocks at most 2 s apart", "console": "answers, or none configured",
}

// deviceSteps look at every device as doctor does, and measure what a lane's
// speed rests on.
func deviceSteps(c config.Config) []Step {
	var list []Step
	for _, d := range doctor.Checks() {
		list = append(list, Step{"device." + strings.ReplaceAll(strings.ToLower(d.Name), " ", "-"), "Device: " + d.Name, expects[d.Name], false, func(ctx context.Context, s *Site) Outcome {
			f := d.Look(ctx, s.Conf)
			return Outcome{map[string]Result{"ok": Pass, "warn": Warn}[f.State], strings.ReplaceAll(f.Found, "\n", "; "), f.Todo}.or(Fail)
		}})
	}
	list = append(list,
		Step{"disk", "Disk: time to make an intent durable", fmt.Sprintf("99 of 100 small writes within %v", diskGood), false, diskSync},
		Step{"register.trip", "Register: round trip", fmt.Sprintf("19 of 20 answers within %v", tripGood), false, roundTrip},
		Step{"certificates", "Certificates: days left", fmt.Sprintf("%d days or more", certificateDays), false, certificates})
	return list
}

// or fills in a result that is missing.
func (o Outcome) or(r Result) Outcome {
	if o.Result == "" {
		o.Result = r
	}
	return o
}

// Limits of the measurements.
const (
	diskGood        = 15 * time.Millisecond // a marked effect's p99
	diskBad         = 100 * time.Millisecond
	tripGood        = 300 * time.Millisecond
	tripBad         = 1500 * time.Millisecond // a consultation's deadline
	certificateDays = 30
	readGood        = 5 * time.Second
)

// worst is the k-th longest of a list, 0 the longest of all.
func worst(list []time.Duration, k int) time.Duration {
	slices.Sort(list)
	return list[len(list)-1-k]
}

// judge compares a time with what is good and what no lane can work with.
func judge(what string, t, good, bad time.Duration, todo string) Outcome {
	o := Outcome{Pass, fmt.Sprintf("%s %.1f ms", what, float64(t.Microseconds())/1000), ""}
	switch {
	case t > bad:
		o.Result, o.Todo = Fail, todo
	case t > good:
		o.Result, o.Todo = Warn, todo
	}
	return o
}

func diskSync(ctx context.Context, s *Site) Outcome {
	const todo = "put the store on a local disk that is not shared with other work"
	f, err := os.CreateTemp(filepath.Dir(s.Conf.Store.Path), ".acceptance-")
	if err != nil {
		return fail(todo, "%v", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for range 100 {
		if ctx.Err() != nil {
			return fail("", "interrupted")
		}
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return fail(todo, "%v", err)
		}
		if err := f.Sync(); err != nil {
			return fail(todo, "%v", err)
		}
		took = append(took, time.Since(began))
	}
	return judge("99 of 100 within", worst(took, 1), diskGood, diskBad, todo)
}

func roundTrip(ctx context.Context, s *Site) Outcome {
	const todo = "measure the network between here and the register; a slow one makes every traveller wait"
	r := s.Conf.Register
	client, err := eesclient.New(r.URL, eesclient.Files{CA: r.CA, Cert: r.Cert, Key: r.Key})
	if err != nil {
		return fail("look at [register]", "%v", err)
	}
	defer client.CloseIdle()
	var took []time.Duration
	for range 20 {
		began := time.Now()
		if _, err := client.Health(ctx, nil); err != nil {
			return fail(todo, "%v", err)
		}
		took = append(took, time.Since(began))
	}
	return judge("19 of 20 within", worst(took, 1), tripGood, tripBad, todo)
}

func certificates(_ context.Context, s *Site) Outcome {
	leaves := map[string]func() (*x509.Certificate, error){"register": func() (*x509.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(s.Conf.Register.Cert, s.Conf.Register.Key)
		return pair.Leaf, err
	}}
	if s.Conf.Fleet.Dir != "" {
		c, err := fleet.Load(s.Conf.Fleet.Dir, s.Conf.Fleet.Renewed)
		if err != nil {
			return fail("enrol the lane again", "%v", err)
		}
		leaves["console"] = c.Leaf
	}
	var what []string
	least := 1 << 20
	for _, name := range []string{"register", "console"} {
		leaf, ok := leaves[name]
		if !ok {
			continue
		}
		c, err := leaf()
		if err != nil {
			return fail("put certificate and key where the configuration says", "%s: %v", name, err)
		}
		days := int(time.Until(c.NotAfter).Hours() / 24)
		least = min(least, days)
		what = append(what, fmt.Sprintf("%s %d days, until %s", name, days, c.NotAfter.Format(time.DateOnly)))
	}
	o := Outcome{Pass, strings.Join(what, "; "), ""}
	switch {
	case least < 0:
		o.Result, o.Todo = Fail, "renew the certificates"
	case least < certificateDays:
		o.Result, o.Todo = Warn, "renew the certificates before the lane opens for travellers"
	}
	return o
}

// reading is the document reader at work.
type reading struct {
	reader *devices.Reader
	stop   context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	there  bool
	moved  chan struct{}
}

// read starts the document reader.
func (s *Site) read(ctx context.Context) (*reading, error) {
	if s.reader != nil {
		return s.reader, nil
	}
	rule, err := trust.ReadRule(s.Conf.Trust.Persons, s.Conf.Trust.TwoPersons)
	if err != nil {
		return nil, err
	}
	live, err := trust.Open(s.Conf.Trust.Dir, rule, s.Log)
	if err != nil {
		return nil, err
	}
	r := &reading{done: make(chan struct{}), moved: make(chan struct{})}
	if r.reader, err = devices.NewReader(s.Conf, func() *pki.Store { return live.Store() }, s.Log); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(r.done)
		_ = r.reader.Watch(ctx, func(there bool) { // it ends with ctx
			r.mu.Lock()
			defer r.mu.Unlock()
			r.there = there
			close(r.moved)
			r.moved = make(chan struct{})
		})
	}()
	s.reader = r
	return r, nil
}

func (r *reading) close() error {
	r.stop()
	<-r.done
	return r.reader.Close()
}

// wait blocks until a document lies there, or none does.
func (r *reading) wait(ctx context.Context, there bool, within time.Duration) error {
	end := time.After(within)
	for {
		r.mu.Lock()
		is, moved := r.there, r.moved
		r.mu.Unlock()
		if is == there {
			return nil
		}
		select {
		case <-moved:
		case <-end:
			return fmt.Errorf("nothing within %v", within)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readDocument reads a test document and says how long that took. Nothing of the
// document is kept.
func readDocument(ctx context.Context, s *Site) Outcome {
	r, err := s.read(ctx)
	if err != nil {
		return fail("passage doctor says what is wrong with the readers", "%v", err)
	}
	if err := s.Person.Act(ctx, DocumentOn); err != nil {
		return fail("ask again", "%s", why(err))
	}
	if err := r.wait(ctx, true, personWithin); err != nil {
		return fail("no chip is noticed: check the reader and lay the document flat on it", "%s", why(err))
	}
	began := time.Now()
	got, err := r.reader.Read(ctx, func(kiosk.Identity, policy.Document) {})
	took := time.Since(began)
	if e := s.Person.Act(ctx, DocumentOff); e != nil {
		return fail("ask again", "%s", why(e))
	}
	if err != nil {
		return fail("read it with passage emrtd read; try another document", "%s", why(err))
	}
	what := fmt.Sprintf("%.2f s, %s, %d commands, %d bytes, chip: %v", took.Seconds(), got.Access, got.APDUs, got.Bytes, got.Document.Verdict)
	if took > readGood {
		return Outcome{Warn, what, "a fast reader reads a passport in two to three seconds: check its driver, its place, and other radio nearby"}
	}
	if err := r.wait(ctx, false, personWithin); err != nil {
		return Outcome{Warn, what, "the reader does not notice that the document was taken away: " + why(err)}
	}
	return pass("%s", what)
}

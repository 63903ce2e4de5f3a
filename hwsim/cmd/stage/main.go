// Stage serves the traveller's screen, the lane page and the site's console
// with lanes that do as they are told: no device, no chance, no waiting. The
// browser tests and the pictures of the documentation are made on it.
//
// The pages and the way of an officer's word are the shipped ones: a site with
// its NATS server, lanes that enrolled there, passkeys and proven words. Only
// what is behind a lane is played. The faces are drawn: they are nobody's.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	simulated "passage/hwsim/directory"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/console"
	"passage/kiosk/directory"
	"passage/kiosk/fleet"
	"passage/kiosk/intercom"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/pages"
	"passage/kiosk/site"
	"passage/kiosk/web"
	"passage/sqlite"
)

type stage struct {
	Port   int  `default:"9480" help:"The traveller's screen and the lane page of E1. The cues are taken at PORT+1, the console is at PORT+50, one that locks after 8 s at PORT+51, and one with a directory at PORT+52; that is at PORT+53."`
	Crowd  int  `help:"That many further lanes on the plan, as busy as lanes are."`
	Silent bool `help:"No training banner: for pictures."`

	log   *slog.Logger
	dir   string
	key   ed25519.PrivateKey
	site  *site.Site
	lanes map[string]*player
}

func main() {
	var s stage
	kong.Parse(&s, kong.Name("stage"), kong.Description(`Serves the pages with played lanes, for browser tests and pictures.

  curl -d '{"phase":"INSIDE","issuer":"POL","hint":"closer"}' localhost:9481/scene/E1`))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := s.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "stage:", err)
		stop()
		os.Exit(1)
	}
}

var areas = []config.Area{
	{Name: "Arrivals, hall A", Lanes: []string{"E1", "E2", "E3", "E4"}},
	{Name: "Departures, hall B", Lanes: []string{"X1", "X2", "X3"}},
}

func (s *stage) run(ctx context.Context) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "passage-stage-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	if _, s.key, err = ed25519.GenerateKey(nil); err != nil {
		return err
	}
	if s.site, err = site.Open(ctx, site.Config{Dir: s.dir, Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Pace: 100 * time.Millisecond, Log: s.log}); err != nil {
		return err
	}
	defer s.site.Close()
	conf := console.Config{
		Name: "Port of Nowhere", RPID: "localhost", Origins: s.origins(), RosterKey: s.key.Public().(ed25519.PublicKey),
		Plan: config.Plan{Areas: areas}, Ratio: 6, Training: !s.Silent, Idle: 10 * time.Minute, Log: s.log,
	}
	pages, err := console.New(s.site, conf)
	if err != nil {
		return err
	}
	conf.Idle = 8 * time.Second
	hasty, err := console.New(s.site, conf)
	if err != nil {
		return err
	}
	conf.Idle = 10 * time.Minute
	organised, people, err := s.organise(conf)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.site.Run(ctx) })
	group.Go(func() error { return organised.Run(ctx) })
	enrol, err := tls.Listen("tcp", "127.0.0.1:0", s.site.TLS())
	if err != nil {
		return err
	}
	group.Go(func() error { return serve(ctx, enrol, console.Enrolment(s.site, s.log)) })
	s.lanes = map[string]*player{}
	for _, a := range areas {
		for _, id := range a.Lanes {
			if s.lanes[id], err = s.join(ctx, group, id, enrol.Addr().String()); err != nil {
				return err
			}
		}
	}
	pin, err := web.HashPIN("4711")
	if err != nil {
		return err
	}
	own, err := web.New(s.lanes["E1"], []web.Officer{{ID: "anna", Name: "Anna Amt", Role: "guard", PIN: pin}})
	if err != nil {
		return err
	}
	for port, h := range map[int]http.Handler{s.Port: own, s.Port + 1: s.cues(people), s.Port + 50: pages, s.Port + 51: hasty, s.Port + 52: organised, s.Port + 53: people} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		group.Go(func() error { return serve(ctx, l, h) })
	}
	own.Intercom(s.lanes["E1"].booth)
	if s.Crowd > 0 {
		group.Go(func() error { return s.crowd(ctx) })
	}
	fmt.Printf("stage: pages http://localhost:%d, cues at :%d, console %s\n", s.Port, s.Port+1, s.origin())
	return group.Wait()
}

func (s *stage) origin() string { return fmt.Sprintf("http://localhost:%d", s.Port+50) }

// origins are those of the console and of its doubles.
func (s *stage) origins() []string {
	return []string{s.origin(), fmt.Sprintf("http://localhost:%d", s.Port+51), s.organised()}
}

func (s *stage) organised() string { return fmt.Sprintf("http://localhost:%d", s.Port+52) }

// organise makes a console whose officers a directory names, and that directory.
func (s *stage) organise(conf console.Config) (*console.Console, *simulated.Provider, error) {
	issuer, callback := fmt.Sprintf("http://localhost:%d", s.Port+53), s.organised()+"/directory/callback"
	people, err := simulated.New(issuer, "passage", "of the stage", callback)
	if err != nil {
		return nil, nil, err
	}
	d, err := directory.New(directory.Config{
		Issuer: issuer, Client: "passage", Secret: "of the stage", Redirect: callback, Groups: "groups", Roles: map[string]officer.Role{"guards": officer.Guard, "leads": officer.Supervisor},
	})
	if err != nil {
		return nil, nil, err
	}
	conf.Directory = &console.Directory{Directory: d, Recheck: time.Second, Offline: time.Hour}
	c, err := console.New(s.site, conf)
	return c, people, err
}

func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: stdlog.New(io.Discard, "", 0)}
	return pages.Serve(ctx, server, l, pages.Door{Name: "stage", Most: 512, Each: 256})
}

// join enrols a lane and runs its end of the fleet, with a journal that holds a
// morning's crossings.
func (s *stage) join(ctx context.Context, group *errgroup.Group, id, address string) (*player, error) {
	code, err := s.site.Code(ctx, id, "stage")
	if err != nil {
		return nil, err
	}
	_, creds, err := fleet.Enrol(ctx, "https://"+address, code, filepath.Join(s.dir, "lane-"+id))
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, filepath.Join(s.dir, id+".db"))
	if err != nil {
		return nil, err
	}
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		return nil, err
	}
	j, _, err := journal.Open(ctx, db.Writer, ring, nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p := newPlayer(id)
	if id == "E1" {
		p.booth = &intercom.Booth{Lane: intercom.Of(p.View), Changed: p.watchers.wake, Log: s.log}
	}
	group.Go(func() error {
		defer db.Close()
		var both errgroup.Group
		both.Go(func() error { return j.Run(ctx) })
		both.Go(func() error { return s.takes(ctx, p, db.Reader, creds) })
		return both.Wait()
	})
	morning(j, id)
	return p, nil
}

// morning journals crossings of the last hours, more of them where more people
// come, with times that vary as they do.
func morning(j *journal.Journal, id string) {
	n := lane.Transaction(0)
	now := time.Now()
	for hour := 5; hour >= 0; hour-- {
		for i := range 24 + 9*((hour*5+int(id[1]))%4) {
			n++
			at := now.Add(-time.Duration(hour)*time.Hour - time.Duration(i)*time.Minute/2)
			took := 10*time.Second + time.Duration((i*37+hour*11)%70)*100*time.Millisecond
			e := kiosk.Ended{At: at, Class: lane.EU, Outcome: lane.OutcomeReleased, Took: took, Timeline: steps(took)}
			switch {
			case i%3 == 1:
				e.Class = lane.TCN_LISTED
			case i%9 == 5:
				e.Outcome, e.Reason, e.Took = lane.OutcomeDivertedOut, lane.NAT, 6*time.Second
			case i%13 == 6:
				e.Took += 9 * time.Second
				why := lane.FACE
				if i%2 == 0 {
					why = lane.PAD
				}
				e.Timeline = append(steps(e.Took), kiosk.Span{Name: "officer." + why.String(), Start: e.Took / 2, End: e.Took * 3 / 4})
			case i%17 == 8:
				e.Outcome, e.Reason, e.Took = lane.OutcomeDivertedIn, lane.FACE, 48*time.Second
			}
			step := lane.Instant(n) * lane.Instant(time.Second)
			j.Begin(n, fmt.Sprintf("0191d3c4-%04x-7000-8000-0000%04x%04x", n, id[0], id[1]), at.Add(-e.Took))
			j.Append(kiosk.Entry{Now: step, At: at.Add(-e.Took), Event: lane.DocumentPlaced{}, After: lane.State{Transaction: n}})
			j.Append(kiosk.Entry{Now: step + 1, At: at, Event: lane.Tick{}, Effects: []lane.Effect{lane.Conclude{Transaction: n, Outcome: e.Outcome, Reason: e.Reason}}, After: lane.State{Transaction: n}})
			j.Conclude(n, e)
		}
	}
}

// steps are a crossing's, as parts of the time that it took.
func steps(took time.Duration) []kiosk.Span {
	var list []kiosk.Span
	for _, x := range []struct {
		name       string
		start, end float64
	}{
		{"lane.DOC_READ", 0, .24},
		{"chip", .02, .22},
		{"consult.sis", .05, .16},
		{"consult.sltd", .05, .13},
		{"consult.file", .05, .2},
		{"lane.TAKE_DOC", .24, .33},
		{"lane.ENTER", .33, .52},
		{"lane.SEALING", .52, .61},
		{"lane.INSIDE", .61, .75},
		{"face", .62, .74},
		{"lane.RELEASE", .75, .92},
		{"lane.CLEARING", .92, .98},
		{"lane.COMMIT", .98, 1},
	} {
		list = append(list, kiosk.Span{Name: x.name, Start: time.Duration(x.start * float64(took)), End: time.Duration(x.end * float64(took))})
	}
	return list
}

// cues are how a test tells the stage what to play.
func (s *stage) cues(people *simulated.Provider) http.Handler {
	mux := http.NewServeMux()
	fail := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	mux.HandleFunc("POST /scene/{lane}", func(w http.ResponseWriter, r *http.Request) {
		p := s.lanes[r.PathValue("lane")]
		if p == nil {
			http.NotFound(w, r)
			return
		}
		var c scene
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		err := d.Decode(&c)
		if err == nil {
			p.play(c)
		}
		fail(w, err)
	})
	mux.HandleFunc("GET /said/{lane}", func(w http.ResponseWriter, r *http.Request) {
		p := s.lanes[r.PathValue("lane")]
		if p == nil {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(p.log()) // the test has gone otherwise
	})
	mux.HandleFunc("POST /officer", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		code, err := s.site.Invite(r.Context(), site.Invited{Officer: q.Get("id"), Name: q.Get("name"), Role: officer.Role(q.Get("role"))}, "stage")
		if err != nil {
			fail(w, err)
			return
		}
		origin := s.origin()
		if q.Has("organised") {
			origin = s.organised()
		}
		fmt.Fprintf(w, "%s/register#code=%s", origin, code)
	})
	mux.HandleFunc("POST /person", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		var who *simulated.Person
		if q.Has("name") {
			who = &simulated.Person{Name: q.Get("name"), Groups: q["group"]}
		}
		people.Put(q.Get("subject"), who)
		fail(w, nil)
	})
	mux.HandleFunc("POST /roster", func(w http.ResponseWriter, r *http.Request) {
		fail(w, s.site.SignDraft(r.Context(), officer.Roster{
			Site: "Port of Nowhere", Until: time.Now().AddDate(0, 1, 0), RPID: "localhost", Origins: s.origins(),
		}, s.key))
	})
	return mux
}

// crowd shows many lanes to the console, a fifth of them changed every tenth of
// a second: twice what lanes with a traveller each every 15 s bring about.
func (s *stage) crowd(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	views := make([]web.View, s.Crowd)
	for n := range views {
		p := newPlayer(fmt.Sprintf("L%04d", n+1))
		views[n] = web.Overview(p.View())
	}
	busy := []string{"IDLE", "DOC_READ", "ELIGIBLE", "TAKE_DOC", "ENTER", "SEALING", "INSIDE", "DECIDE", "RELEASE", "CLEARING", "COMMIT"}
	for turn := 0; ; turn++ {
		now := time.Now()
		for n := range views {
			if turn > 0 && (n+turn)%5 != 0 {
				continue
			}
			v := &views[n]
			v.State, v.Since = busy[(n/3+turn/5)%len(busy)], now.UnixMilli()
			if n%97 == 0 && (turn/40)%2 == 1 {
				v.State = "REVIEW"
			}
			v.Under = nil
			if v.State != "IDLE" {
				v.Under = &web.Summary{Transaction: fmt.Sprintf("%032x", n), Began: now.UnixMilli(), Class: "EU", Review: v.State == "REVIEW", Reason: map[bool]string{true: "FACE"}[v.State == "REVIEW"]}
			}
			v.Gate.Entry, v.Gate.Exit = map[string]int{"ENTER": 100, "SEALING": (turn * 20) % 100}[v.State], map[string]int{"RELEASE": 100, "CLEARING": (turn * 20) % 100}[v.State]
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			s.site.Hub().Seen(v.Lane, b, now)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watchers tells those who look at a lane that it changed.
type watchers struct {
	mu   sync.Mutex
	list []chan struct{}
}

func (w *watchers) add(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	w.list = append(w.list, c)
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, x := range w.list {
			if x == c {
				w.list = append(w.list[:i], w.list[i+1:]...)
				return
			}
		}
	})
	return c
}

func (w *watchers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.list {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Package site is the site's end of the fleet: the NATS server that its lanes
// speak to, their credentials, and what the site keeps of their journals.
//
// By default one process holds it all. NATS then listens with mutual TLS 1.3,
// and each lane has a user that may touch its own subjects only. What the site
// keeps is made from the lanes' journals and can be made again from them.
package site

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"passage/kiosk/fleet"
	"passage/kiosk/inlet"
	"passage/sqlite"
)

// Config is what a site is.
type Config struct {
	Dir   string   // keys, the NATS store and the site's database
	Fleet string   // host:port that lanes speak to
	Hosts []string // names and addresses by which lanes reach it, the first one is told to them
	// NATS are the tls:// addresses of a cluster's servers that take the place of
	// the embedded one, and Replicas how many of them hold each journal.
	NATS     []string
	Replicas int
	Leafs    string // host:port for the servers of sites, at a country's console; empty: none
	Rules    Rules  // across lanes
	Volume   Volume // of each lane's journal
	Above    Above  // the country's server, at a site's console; the zero value: none
	// Pace is how often rollouts are looked at; 0 is every two seconds.
	Pace time.Duration
	Log  *slog.Logger
	Book *inlet.Book // counts what the site turns away; nil: nobody does
}

// Site is a running site.
type Site struct {
	conf Config
	keys *keys
	nats *server.Server
	nc   *nats.Conn
	sys  *nats.Conn // to a cluster, for who is shut out
	name string     // of the site in its country
	db   *sqlite.DB
	hub  *Hub
	seen *sightings
	port int

	rolling  sync.Mutex // guards rollouts and said
	rollouts []*Rollout // all of them, newest first
	said     map[string]report

	views *views

	questions, complaints, renewals inlet.Paces // of each lane

	holding *holding

	accounts sync.Mutex // guards account, which revocations and lanes held back change, and out
	account  *jwt.AccountClaims
	out      int64 // last row of revoked that the servers know
	resolver *server.MemAccResolver
}

const (
	dedupFor = 10 * time.Minute
	started  = 10 * time.Second
	within   = 2 * time.Second

	questionsPace = 20 // of one lane a second: it asks when it joins, and for each traveller
)

// fleetInlet is the site's name for what comes from lanes.
const fleetInlet = "fleet"

// Open starts the site's server and opens its store. Close it.
func Open(ctx context.Context, conf Config) (*Site, error) {
	if len(conf.Hosts) == 0 {
		return nil, errors.New("site: say by which names lanes reach this machine")
	}
	s := &Site{
		conf: conf, hub: NewHub(), seen: newSightings(conf.Rules), said: map[string]report{},
		questions: inlet.Paces{Rate: questionsPace, Burst: 5 * questionsPace, Most: maxLanes},
		// One who floods must not fill the log either.
		complaints: inlet.Paces{Rate: 0.1, Burst: 3, Most: maxLanes},
		renewals:   inlet.Paces{Rate: rate.Every(time.Hour), Burst: renewalsAtOnce, Most: maxLanes},
	}
	s.views, s.holding = newViews(s.hub, conf.Book), newHolding(conf.Volume)
	var err error
	if s.keys, err = loadKeys(filepath.Join(conf.Dir, "keys")); err != nil {
		return nil, err
	}
	if s.db, err = openStore(ctx, filepath.Join(conf.Dir, "site.db")); err != nil {
		return nil, err
	}
	open := s.listen
	if len(conf.NATS) > 0 {
		open = s.reach
	}
	err = open(ctx)
	if err == nil {
		err = s.stream()
	}
	if err == nil {
		err = s.loadRollouts(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the server after its connections.
func (s *Site) Close() {
	for _, nc := range []*nats.Conn{s.nc, s.sys} {
		if nc != nil {
			nc.Close()
		}
	}
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			s.conf.Log.Warn("site: store", "error", err)
		}
	}
}

// listen starts NATS in operator mode: every user's JWT is signed by the
// site's account, and the account's by its operator.
func (s *Site) listen(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.conf.Fleet)
	n, err2 := strconv.Atoi(port)
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("site: address of the fleet: %w", err)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	operator, account, system, err := s.claims(ctx)
	if err != nil {
		return err
	}
	resolver := &server.MemAccResolver{}
	s.resolver = resolver
	for _, a := range []*jwt.AccountClaims{account, system} {
		text, err := a.Encode(s.keys.operator)
		if err != nil {
			return fmt.Errorf("site: account: %w", err)
		}
		if err := resolver.Store(a.Subject, text); err != nil {
			return fmt.Errorf("site: account: %w", err)
		}
	}
	s.account = account
	options := &server.Options{
		ServerName: "passage-site", Host: host, Port: n, NoSigs: true, NoLog: true,
		TLSConfig: s.keys.serverTLS(tls.RequireAndVerifyClientCert, s.conf.Hosts), TLS: true, TLSTimeout: 5, AuthTimeout: 5, AllowNonTLS: false,
		TrustedOperators: []*jwt.OperatorClaims{operator}, AccountResolver: resolver, SystemAccount: system.Subject,
		JetStream: true, StoreDir: filepath.Join(s.conf.Dir, "nats"), JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 200 << 30,
		MaxPayload: 1 << 20, MaxPending: 16 << 20, WriteDeadline: 5 * time.Second, PingInterval: 5 * time.Second, MaxPingsOut: 2,
		SyncInterval: time.Second, // a lane sends again what the site has lost
	}
	if err := s.leafs(options); err != nil {
		return err
	}
	if s.nats, err = server.NewServer(options); err != nil {
		return fmt.Errorf("site: nats: %w", err)
	}
	// An account that is known before the start has its JetStream when the server
	// listens. Else the link to a country brings it in later, beside our own
	// connection, and may remove the folder in which our stream is being made.
	if _, err := s.nats.LookupAccount(account.Subject); err != nil {
		return fmt.Errorf("site: account: %w", err)
	}
	s.nats.Start()
	if !s.nats.ReadyForConnections(started) {
		return errors.New("site: nats: it did not start within ten seconds: is the address free?")
	}
	if a, ok := s.nats.Addr().(*net.TCPAddr); ok {
		s.port = a.Port
	}
	own, err := s.keys.own()
	if err != nil {
		return err
	}
	mine := []nats.Option{nats.InProcessServer(s.nats), nats.Name("console"), own, nats.ErrorHandler(s.overrun)}
	if s.name != "" { // the country answers there
		mine = append(mine, nats.CustomInboxPrefix(siteInbox(s.name)))
	}
	if s.nc, err = nats.Connect("", mine...); err != nil {
		return fmt.Errorf("site: nats: %w", err)
	}
	return nil
}

// overrun is told when more comes than the site can take: the oldest waits no
// longer.
func (s *Site) overrun(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		s.conf.Book.Shed(fleetInlet, "more than can be taken")
		return
	}
	s.conf.Log.Warn("site: nats", "error", err)
}

// reach takes a cluster for the site's server.
func (s *Site) reach(ctx context.Context) error {
	if s.conf.Leafs != "" || s.conf.Above.URL != "" {
		return errors.New("site: with a cluster, leaf nodes are in the servers' own configuration")
	}
	_, account, _, err := s.claims(ctx)
	if err != nil {
		return err
	}
	s.account = account
	return s.join()
}

// stream makes the stream of journals, or takes the one that is there.
func (s *Site) stream() error {
	js, err := s.nc.JetStream(nats.MaxWait(started))
	if err != nil {
		return fmt.Errorf("site: nats: %w", err)
	}
	stream := &nats.StreamConfig{
		Name: fleet.Stream, Subjects: []string{fleet.Journals}, Storage: nats.FileStorage, MaxAge: Keep, Duplicates: dedupFor,
		Discard: nats.DiscardOld, Replicas: max(1, s.conf.Replicas),
	}
	if s.conf.Leafs != "" {
		stream.Subjects = append(stream.Subjects, countryJournals)
	}
	if _, err = js.AddStream(stream); errors.Is(err, nats.ErrStreamNameAlreadyInUse) {
		_, err = js.UpdateStream(stream)
	}
	if err != nil {
		return fmt.Errorf("site: stream: %w", err)
	}
	return nil
}

// claims are the operator's, the account's and the system account's: the same
// at every start, with the users that have been shut out since.
func (s *Site) claims(ctx context.Context) (*jwt.OperatorClaims, *jwt.AccountClaims, *jwt.AccountClaims, error) {
	var public [3]string
	for i, k := range []interface{ PublicKey() (string, error) }{s.keys.operator, s.keys.account, s.keys.system} {
		var err error
		if public[i], err = k.PublicKey(); err != nil {
			return nil, nil, nil, fmt.Errorf("site: keys: %w", err)
		}
	}
	operator := jwt.NewOperatorClaims(public[0])
	operator.Name, operator.SystemAccount = "site", public[2]
	account := jwt.NewAccountClaims(public[1])
	account.Name = "lanes"
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	system := jwt.NewAccountClaims(public[2])
	system.Name = "system"
	// An operator's own text is checked when it is decoded: it signs itself.
	text, err := operator.Encode(s.keys.operator)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("site: operator: %w", err)
	}
	if operator, err = jwt.DecodeOperatorClaims(text); err != nil {
		return nil, nil, nil, fmt.Errorf("site: operator: %w", err)
	}
	list, last, err := s.revoked(ctx, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, r := range list {
		account.RevokeAt(r.User, r.At)
	}
	s.out = last
	return operator, account, system, nil
}

// own is the console's connection: everything of the account.
func (k *keys) own() (nats.Option, error) { return userOf(k.account) }

// userOf is a user of an account who may do everything there.
func userOf(account nkeys.KeyPair) (nats.Option, error) {
	kp, err := createUser()
	if err != nil {
		return nil, err
	}
	text, err := jwt.NewUserClaims(kp.public).Encode(account)
	if err != nil {
		return nil, fmt.Errorf("site: user: %w", err)
	}
	return nats.UserJWT(func() (string, error) { return text, nil }, kp.pair.Sign), nil
}

// Address is where lanes reach the server.
func (s *Site) Address() string {
	if len(s.conf.NATS) > 0 {
		return s.conf.NATS[0]
	}
	return "tls://" + net.JoinHostPort(s.conf.Hosts[0], strconv.Itoa(s.port))
}

// every calls do once in every d, until ctx ends.
func every(ctx context.Context, d time.Duration, do func(now time.Time)) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			do(now)
		}
	}
}

// Run serves the lanes until ctx ends.
func (s *Site) Run(ctx context.Context) error {
	for _, subject := range []string{fleet.Views, countryViews} {
		views, err := s.nc.Subscribe(subject, func(m *nats.Msg) { s.views.seen(laneOf(m.Subject), m.Data) })
		if err != nil {
			return fmt.Errorf("site: %w", err)
		}
		// Views of a second ago are worth nothing: what cannot be taken is dropped.
		if err := views.SetPendingLimits(50_000, 64<<20); err != nil {
			return fmt.Errorf("site: %w", err)
		}
	}
	if _, err := s.nc.Subscribe(fleet.Asked, func(m *nats.Msg) { s.answer(ctx, m) }); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if _, err := s.nc.Subscribe(fleet.Fetches, func(m *nats.Msg) { s.fetch(ctx, m) }); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if _, err := s.nc.Subscribe(fleet.Held, s.refuse); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	lanes, err := s.Lanes(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	for _, id := range lanes {
		s.hub.expect(id)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.project(ctx) })
	group.Go(func() error { return s.hub.watch(ctx) })
	group.Go(func() error { return s.keepOut(ctx) })
	group.Go(func() error { return s.letGo(ctx) })
	group.Go(func() error { return s.retain(ctx) })
	group.Go(func() error { return s.views.catchUp(ctx) })
	group.Go(func() error { return s.announce(ctx) })
	group.Go(func() error { return s.relay(ctx) })
	group.Go(func() error { return s.roll(ctx) })
	return group.Wait()
}

// laneOf is the lane that a view or a journal is of: ID, or SITE.ID of another
// site's.
func laneOf(subject string) string {
	parts := strings.Split(subject, ".")
	if len(parts) == 4 && parts[0] == "country" {
		return parts[1] + "." + parts[3]
	}
	return between(subject)
}

// between is the id in lane.ID.view.
func between(subject string) string {
	parts := strings.Split(subject, ".")
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// answer tells a lane what it must know. The subject says which lane asks; its
// credentials let it use no other's.
func (s *Site) answer(ctx context.Context, m *nats.Msg) {
	parts := strings.Split(m.Subject, ".")
	if len(parts) != 4 {
		return
	}
	if !s.questions.Allow(parts[2]) {
		s.conf.Book.Shed(fleetInlet, "a lane's questions too fast")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var out any
	var err error
	switch lane, what := parts[2], parts[3]; what {
	case "roster":
		out, err = s.Roster(ctx)
	case "journal":
		out, err = s.got(ctx, lane, m.Data)
	case "head":
		out, err = s.head(ctx, lane, m.Data)
	case "release":
		out, err = s.offers(lane, m.Data)
	case "renew":
		out, err = s.renew(ctx, lane, m.Data)
	case "document":
		var seen fleet.Sighting
		if err = json.Unmarshal(m.Data, &seen); err == nil {
			out, err = s.seen.note(lane, seen, time.Now())
		}
	default:
		return
	}
	var b []byte
	if err == nil {
		b, err = json.Marshal(out)
	}
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil && ctx.Err() == nil && s.complaints.Allow(parts[2]) {
		s.conf.Log.Warn("site: a lane's question", "subject", m.Subject, "error", err)
	}
}

// TLS is what the site's own pages for lanes are served with.
func (s *Site) TLS() *tls.Config { return s.keys.serverTLS(tls.NoClientCert, s.conf.Hosts) }

// Book counts what the site turns away.
func (s *Site) Book() *inlet.Book { return s.conf.Book }

// Hub is what the lanes look like now.
func (s *Site) Hub() *Hub { return s.hub }

// Ask puts a question to a lane and returns its answer's bytes. It fails with
// nats.ErrNoResponders or a time-out for a lane that is not there.
func (s *Site) Ask(ctx context.Context, lane string, q fleet.Ask) ([]byte, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("site: ask: %w", err)
	}
	return s.request(ctx, fleet.Subject(lane, "ask"), b)
}

// Carry takes an officer's word to a lane and brings its answer. What the lane
// answered is what counts; the site proves nothing.
func (s *Site) Carry(ctx context.Context, lane string, envelope []byte) (fleet.Answer, error) {
	var a fleet.Answer
	b, err := s.request(ctx, fleet.Subject(lane, "do"), envelope)
	if err != nil {
		return a, err
	}
	if a, err = fleet.ParseAnswer(b); err != nil {
		return a, fmt.Errorf("site: lane %s answers nonsense: %w", lane, err)
	}
	return a, nil
}

func (s *Site) request(ctx context.Context, subject string, b []byte) ([]byte, error) {
	if err := fleet.Valid(between(subject)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m, err := s.nc.RequestWithContext(ctx, subject, b)
	if err != nil {
		return nil, fmt.Errorf("site: %s: %w", subject, err)
	}
	return m.Data, nil
}

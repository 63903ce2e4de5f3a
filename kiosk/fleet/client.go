package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"passage/kiosk"
	"passage/kiosk/intercom"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/rollout"
	"passage/kiosk/web"
)

// Credentials are the files that enrolment left on the lane.
type Credentials struct {
	URL  string // tls://host:port of the site's server
	CA   string // the site's certificate authority, PEM
	Cert string // this lane's certificate
	Key  string // its key
	User string // its NATS user: JWT and seed, in nsc's form
	// Renewed is where the lane keeps certificate and key of its own renewal, in
	// one file; empty for one that renews nothing.
	Renewed string
}

// Client is one lane's end of the fleet. Run it once.
type Client struct {
	Lane      string
	Direction func() string // entry or exit, now
	Desk      web.Desk
	Journal   *sql.DB // for reading
	RosterKey ed25519.PublicKey
	// RosterFile keeps the newest roster, so that no older one comes back after
	// a restart; empty keeps none.
	RosterFile string
	Log        *slog.Logger
	// Head signs for the journal so far; nil gives the site no heads. HeadKey
	// verifies it.
	Head    func(context.Context) ([]byte, error)
	HeadKey string
	// Releases is the lane's memory of configuration and trust material that its
	// site rolls out; nil for a lane that takes none.
	Releases *rollout.Keeper

	Booth *intercom.Booth // nil without an intercom

	to     Credentials
	ear    officer.Ear
	again  chan struct{} // the site wants to be asked where the journal goes on
	offer  chan struct{} // and for releases
	mu     sync.Mutex
	nc     *nats.Conn // nil before the first connection
	served []seen     // cases that officers were shown, newest last
}

// seen is a case as it was shown: what a decision may rest on.
type seen struct{ transaction, digest string }

const (
	viewEvery = time.Second            // at least; a lane not heard for long is not fine
	viewWhole = 10 * time.Second       // an unchanged view is told in full again
	viewMost  = 100 * time.Millisecond // between two
	gather    = time.Second            // the steps of this long make one batch
	within    = 2 * time.Second        // an answer to a request
	askEvery  = 30 * time.Second       // the roster again
	shownKept = 32
	dialFor   = 5 * time.Second
)

// TLS is the client's side of mutual TLS 1.3. The files are read at every
// handshake, so that a renewed certificate needs no restart.
func (c Credentials) TLS() (*tls.Config, error) {
	pool, err := c.roots()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Pair() },
	}, nil
}

// Run speaks to the site until ctx ends. A site that is away is tried again
// for ever: the lane works on without it for as long as its officers' leases
// hold.
func (c *Client) Run(ctx context.Context, to Credentials) error {
	if err := Valid(c.Lane); err != nil {
		return err
	}
	conf, err := to.TLS()
	if err != nil {
		return err
	}
	c.to = to
	return c.run(ctx, to.URL, nats.Secure(conf), nats.UserCredentials(to.User))
}

// again is how long a lane waits before it dials once more. A site that starts
// again has a thousand lanes at its door: they come spread over two seconds, and
// a handshake that waits its turn is not given up for a new one.
func again(int) time.Duration { return 300*time.Millisecond + rand.N(2*time.Second) }

// ErrShutOut says that the site does not let this computer in.
var ErrShutOut = errors.New("fleet: the site does not let this computer in: it was shut out, or another one took the lane's place")

// Greet joins the site as the lane, says nothing, and leaves. It fails with
// ErrShutOut, with an error of TLS, or because nobody is there.
func Greet(ctx context.Context, to Credentials) error { return greet(ctx, to, nil) }

// greet is Greet, with another pair than the one that counts.
func greet(ctx context.Context, to Credentials, pair *tls.Certificate) error {
	conf, err := to.TLS()
	if err != nil {
		return err
	}
	if pair != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	wait := dialFor
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	nc, err := nats.Connect(to.URL, nats.Secure(conf), nats.UserCredentials(to.User), nats.Timeout(wait), nats.NoReconnect(), nats.IgnoreDiscoveredServers())
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAuthExpired):
		return ErrShutOut
	case err != nil:
		return fmt.Errorf("fleet: %w", err)
	}
	nc.Close()
	return nil
}

func (c *Client) run(ctx context.Context, url string, more ...nats.Option) error {
	c.ear.Lane, c.ear.Since = c.Lane, time.Now()
	c.recallRoster()
	c.again, c.offer = make(chan struct{}, 1), make(chan struct{}, 1)
	options := append([]nats.Option{
		nats.Name("lane " + c.Lane), nats.CustomInboxPrefix(Inbox(c.Lane)), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.Timeout(dialFor), nats.CustomReconnectDelay(again), nats.ReconnectBufSize(-1),
		nats.IgnoreDiscoveredServers(), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.Log.Warn("site lost", "error", err) }),
		nats.ReconnectHandler(func(*nats.Conn) { c.Log.Info("site heard again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.Log.Warn("site", "error", err) }),
	}, more...)
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	defer nc.Close()
	c.mu.Lock()
	c.nc = nc
	c.mu.Unlock()
	changed, asked := make(chan struct{}, 1), make(chan struct{}, 1)
	group, ctx := errgroup.WithContext(ctx)
	for subject, handle := range map[string]nats.MsgHandler{
		Subject(c.Lane, "do"):  func(m *nats.Msg) { c.reply(m, c.do(ctx, m.Data)) },
		Subject(c.Lane, "ask"): func(m *nats.Msg) { c.ask(ctx, m) },
		Changed: func(*nats.Msg) {
			for _, c := range []chan struct{}{changed, asked} {
				select {
				case c <- struct{}{}:
				default:
				}
			}
		},
	} {
		if _, err := nc.Subscribe(subject, handle); err != nil {
			return fmt.Errorf("fleet: %s: %w", subject, err)
		}
	}
	group.Go(func() error { return c.views(ctx, nc, asked) })
	group.Go(func() error { return c.roster(ctx, nc, changed) })
	group.Go(func() error { return c.forward(ctx, nc) })
	group.Go(func() error { return c.heads(ctx, nc) })
	group.Go(func() error { return c.releases(ctx, nc) })
	group.Go(func() error { return c.renewals(ctx, nc) })
	return group.Wait()
}

func (c *Client) reply(m *nats.Msg, a Answer) {
	b, err := json.Marshal(a)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		c.Log.Warn("site: answer", "error", err)
	}
}

// views publishes what the lane looks like after each change, and says every
// second that it is there, so that silence means something.
func (c *Client) views(ctx context.Context, nc *nats.Conn, asked <-chan struct{}) error {
	changes := c.Desk.Watch(ctx)
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	var said telling
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		b, err := json.Marshal(web.Overview(c.Desk.View()))
		if err != nil {
			return fmt.Errorf("fleet: view: %w", err)
		}
		if len(b) <= MaxView && nc.IsConnected() {
			_ = nc.Publish(Subject(c.Lane, "view"), said.next(b, nc.Stats().Reconnects, time.Now())) // the next one is a second away
		}
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
			said = telling{}
		case <-changes:
		case <-tick.C:
		}
		pause.Reset(viewMost)
	}
}

// telling is what the site was told last. A view that has not changed since is
// told by an empty message, but now and then, and to a site that has come back,
// in full.
type telling struct {
	view []byte
	at   time.Time
	link uint64
}

func (t *telling) next(view []byte, link uint64, now time.Time) []byte {
	if bytes.Equal(view, t.view) && link == t.link && now.Sub(t.at) < viewWhole {
		return nil
	}
	*t = telling{view, now, link}
	return view
}

// roster asks for the roster now, when the site says that something changed,
// and now and then.
func (c *Client) roster(ctx context.Context, nc *nats.Conn, changed <-chan struct{}) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-wait.C:
		}
		next := askEvery
		if err := c.fetchRoster(ctx, nc); err != nil {
			next = 2 * time.Second
			if nc.IsConnected() && ctx.Err() == nil {
				c.Log.Warn("no roster of officers from the site", "error", err)
			}
		}
		wait.Reset(next)
	}
}

func (c *Client) fetchRoster(ctx context.Context, nc *nats.Conn) error {
	m, err := request(ctx, nc, Question(c.Lane, "roster"), nil)
	if err != nil {
		return err
	}
	var s officer.Signed
	if err := json.Unmarshal(m.Data, &s); err != nil {
		return fmt.Errorf("fleet: roster: %w", err)
	}
	if len(s.Roster) == 0 {
		return nil // a site that has just been set up
	}
	return c.takeRoster(s)
}

func request(ctx context.Context, nc *nats.Conn, subject string, body []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, fmt.Errorf("fleet: %s: %w", subject, err)
	}
	return m, nil
}

// codes are why a lane refuses a word, for pages to translate.
var codes = map[string]error{
	"not_now": kiosk.ErrNotNow, "stale": kiosk.ErrStale, "second": kiosk.ErrSecond, "reason": kiosk.ErrReason,
	"not_allowed": kiosk.ErrNotAllowed, "unproven": officer.ErrWord,
}

// refused turns the lane's errors into codes.
func refused(err error) Answer {
	a := Answer{Error: strings.ToValidUTF8(fmt.Sprintf("%.*s", maxError/4, err), "")}
	for code, is := range codes {
		if errors.Is(err, is) {
			a.Code = code
		}
	}
	a.OK = a.Code == "second"
	return a
}

// Errors that this package adds to the lane's.
var (
	errRight = fmt.Errorf("%w: not a right of this role", kiosk.ErrNotAllowed)
	errFresh = fmt.Errorf("%w: this needs the passkey once more", kiosk.ErrNotAllowed)
	errShown = fmt.Errorf("%w: it rests on a case that this lane did not show", kiosk.ErrStale)
)

// do takes an officer's word: proven first, then within the officer's rights,
// then within the lane's own rules.
func (c *Client) do(ctx context.Context, b []byte) Answer {
	said, err := c.ear.Hear(b, time.Now())
	if err != nil {
		c.Log.Warn("word refused", "error", err)
		return refused(err)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := c.act(ctx, said); err != nil {
		return refused(err)
	}
	return Answer{OK: true}
}

func (c *Client) act(ctx context.Context, w officer.Said) error {
	o := kiosk.Officer{ID: w.Officer.ID, Role: string(w.Officer.Role)}
	needs := Needs(w.Word)
	if len(needs) == 0 {
		return kiosk.ErrNotNow
	}
	if !slices.ContainsFunc(needs, w.Officer.Role.May) {
		return errRight
	}
	switch w.Kind {
	case officer.Decision:
		return c.decide(ctx, o, w)
	case officer.Order:
		var order lane.OfficerOrder
		if err := order.UnmarshalText([]byte(w.Value)); err != nil {
			return kiosk.ErrNotNow
		}
		if order.Direction() != lane.Configured && !w.Again {
			return errFresh // a change of mode (domain: the supervisor's second factor)
		}
		return c.Desk.Order(ctx, o, order)
	case officer.SettleCase:
		return c.Desk.SettleCase(ctx, o.ID, w.Transaction, w.Value)
	case officer.Intercom:
		return c.speak(o.ID, w)
	}
	return c.attend(ctx, o.ID, w)
}

// Needs lists the rights of which any one lets an officer say a word; there is
// none for a word that no lane takes.
func Needs(w officer.Word) []officer.Right {
	switch w.Kind {
	case officer.Decision, officer.Intercom:
		return []officer.Right{officer.Decide}
	case officer.Order:
		var order lane.OfficerOrder
		if err := order.UnmarshalText([]byte(w.Value)); err != nil {
			return nil
		}
		return orderRights[order]
	case officer.Renew, officer.Present, officer.Absent, officer.Acknowledge:
		return []officer.Right{officer.Attend}
	case officer.SettleCase:
		return []officer.Right{officer.Settle}
	}
	return nil
}

// speak has an officer call the traveller, or hang up.
func (c *Client) speak(id string, w officer.Said) error {
	switch {
	case c.Booth == nil:
		return fmt.Errorf("%w: this lane has no intercom", kiosk.ErrNotNow)
	case w.Value == "call":
		return c.Booth.Call(id, w.Transaction, w.Text, time.Now())
	case w.Value == "end":
		return c.Booth.Hang(id, time.Now())
	}
	return kiosk.ErrNotNow
}

func (c *Client) attend(ctx context.Context, id string, w officer.Said) error {
	switch w.Kind {
	case officer.Renew:
		return c.Desk.Renew(ctx)
	case officer.Acknowledge:
		n, err := strconv.Atoi(w.Value)
		if err != nil {
			return kiosk.ErrStale
		}
		return c.Desk.Acknowledge(n, id)
	}
	c.Desk.Present(id, w.Kind == officer.Present)
	return nil
}

// orderRights says which right an order needs; any one is enough.
var orderRights = map[lane.OfficerOrder][]officer.Right{
	lane.OrderOpen: {officer.Steer}, lane.OrderClose: {officer.Steer, officer.Decide},
	lane.OrderReview: {officer.Decide}, lane.OrderClearAlarms: {officer.Decide, officer.Steer},
	lane.OrderEvacuate: {officer.Evacuate, officer.Decide}, lane.OrderEndEvacuate: {officer.Evacuate},
	lane.OrderClearFaults: {officer.Maintain, officer.Steer}, lane.OrderMaintenance: {officer.Maintain, officer.Decide},
	lane.OrderEndMaintenance: {officer.Maintain, officer.Decide}, lane.OrderCloseLeaf: {officer.Maintain, officer.Decide},
	lane.OrderMoveEntryOpen: {officer.Maintain, officer.Decide}, lane.OrderMoveEntryClose: {officer.Maintain, officer.Decide},
	lane.OrderMoreTime: {officer.Attend}, lane.OrderDirectionEntry: {officer.Configure}, lane.OrderDirectionExit: {officer.Configure},
	lane.OrderMoveExitOpen: {officer.Maintain, officer.Decide}, lane.OrderMoveExitClose: {officer.Maintain, officer.Decide},
}

// decide wants to know what a release rests on: a case that this lane showed.
// Where the override table asks for two officers, each touches the passkey for
// this very word.
func (c *Client) decide(ctx context.Context, o kiosk.Officer, w officer.Said) error {
	var d lane.Decision
	if err := d.UnmarshalText([]byte(w.Value)); err != nil {
		return kiosk.ErrNotNow
	}
	if d == lane.DecideRelease {
		if !c.shown(w.Transaction, w.Evidence) {
			return errShown
		}
		if c.Desk.View().Signatures > 1 && !w.Again {
			return errFresh
		}
	}
	return c.Desk.Decide(ctx, o, w.Transaction, d, w.Reason, w.Text, w.Reference)
}

// ask answers a question of the site.
func (c *Client) ask(ctx context.Context, m *nats.Msg) {
	var q Ask
	var out []byte
	err := json.Unmarshal(m.Data, &q)
	if err == nil {
		switch q.What {
		case AskAgain, AskRelease:
			to := c.again
			if q.What == AskRelease {
				to = c.offer
			}
			select {
			case to <- struct{}{}:
			default:
			}
			return
		case AskCase:
			if k := web.CaseUnderWay(c.Desk.View()); k != nil {
				out, err = json.Marshal(k)
				c.show(k.Transaction, out)
			}
		case AskCases:
			var list []web.CaseView
			if list, err = web.OpenCases(ctx, c.Desk); err == nil {
				out, err = json.Marshal(list)
			}
		case AskStay:
			if k := c.Desk.View().Crossing; k != nil && k.UUID == q.Transaction {
				out = []byte(k.Stay.Calendar)
			}
		case AskCall:
			if c.Booth != nil {
				out, err = c.Booth.State(time.Now())
			}
		case AskFace:
			out, _ = c.Desk.Face(q.Transaction, q.Which)
		}
	}
	if err == nil {
		err = m.Respond(out)
	}
	if err != nil {
		c.Log.Warn("site: question", "error", err)
	}
}

// show remembers what an officer was shown.
func (c *Client) show(transaction string, b []byte) {
	digest := sha256.Sum256(b)
	s := seen{transaction, hex.EncodeToString(digest[:])}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.served, s) {
		return
	}
	if c.served = append(c.served, s); len(c.served) > shownKept {
		c.served = slices.Delete(c.served, 0, len(c.served)-shownKept)
	}
}

func (c *Client) shown(transaction, digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.served, seen{transaction, digest})
}

// correlate is how long a traveller waits for the site's word on a document.
const correlate = time.Second

// Claim tells the site that a document is used here and says whether something
// speaks against it. A site that is away, or slow, cannot hold up a lane:
// correlation is an aid, not a condition.
func (c *Client) Claim(ctx context.Context, tag string) bool {
	a, err := c.sight(ctx, Sighting{Tag: tag, Direction: c.Direction()})
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Warn("site: document not compared with other lanes", "error", err)
		}
		return false
	}
	if a.Why != Nothing {
		c.Log.Info("site: something speaks against a document", "why", fmt.Sprintf("%.20q", a.Why))
	}
	return a.Why != Nothing
}

// Passed tells the site that the traveller of a document was released.
func (c *Client) Passed(ctx context.Context, tag string) {
	if _, err := c.sight(ctx, Sighting{Tag: tag, Direction: c.Direction(), Passed: true}); err != nil && ctx.Err() == nil {
		c.Log.Warn("site: not told that a document passed", "error", err)
	}
}

func (c *Client) sight(ctx context.Context, s Sighting) (Correlation, error) {
	var a Correlation
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	if nc == nil || !nc.IsConnected() {
		return a, errAway
	}
	b, err := json.Marshal(s)
	if err != nil {
		return a, fmt.Errorf("fleet: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, correlate)
	defer cancel()
	m, err := request(ctx, nc, Question(c.Lane, "document"), b)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("fleet: document: %w", err)
	}
	return a, nil
}

var errAway = errors.New("fleet: the site is away")

// Package console serves the supervisors of a site: all lanes live, one case at
// a time, figures and the audit.
//
// It carries officers' words and cannot make them: each is signed in the
// browser and proven at the lane (package officer). What it shows of a
// traveller comes from the lane at the moment of asking and is kept nowhere.
package console

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"passage/kiosk/config"
	"passage/kiosk/directory"
	"passage/kiosk/fleet"
	"passage/kiosk/inlet"
	"passage/kiosk/officer"
	"passage/kiosk/pages"
	"passage/kiosk/site"
	"passage/kiosk/web"
)

//go:embed static
var files embed.FS

// Config is what a console is.
type Config struct {
	Name      string   // of the site, shown to people
	RPID      string   // host name of the pages
	Origins   []string // their addresses
	RosterKey ed25519.PublicKey
	Plan      config.Plan
	Ratio     int            // gates that one officer may watch; at most officer.MostLanes
	Training  bool           // the lanes are simulated: every page says so
	Idle      time.Duration  // after which a page without an officer's hand locks
	Location  *time.Location // of the site: figures are by its clock; nil for UTC
	Directory *Directory     // nil: a passkey alone signs in
	Log       *slog.Logger
}

const (
	deltas    = 100 * time.Millisecond
	maxBody   = officer.MaxEnvelope
	cookie    = "passage_console"
	signInFor = 2 * time.Minute
	// Of one officer: words and signs of life a second, and whatever the page asks.
	wordsPace, asksPace = 5, 40
	strangersPace       = 10 // requests a second of an address where nobody has signed in
	mostSessions        = 4096
)

type server struct {
	conf Config
	site *site.Site
	ear  officer.Ear // hears words that are for the site

	mu       sync.Mutex
	sessions map[string]*session
	invited  map[string]*invitation
	named    map[string]*named

	streams                pages.Streams
	words, asks, strangers pages.Pace
}

// session is one signed-in page on one device.
type session struct {
	officer officer.Officer
	rights  []officer.Right // the role's, or what the directory leaves of them
	key     []byte          // of the certified session
	until   time.Time
	seen    time.Time
	device  [32]byte
	person  *directory.Person // nil where there is no directory
	asked   time.Time         // when the directory was asked about them
}

func (x *session) may(right officer.Right) bool { return slices.Contains(x.rights, right) }

// Console is the pages of a site's officers. Run asks its directory again and
// again; without a directory there is nothing to run.
type Console struct {
	http.Handler
	server *server
}

// New returns the console's pages.
func New(s *site.Site, conf Config) (*Console, error) {
	if conf.Ratio <= 0 || conf.Ratio > officer.MostLanes {
		return nil, fmt.Errorf("console: an officer watches 1 to %d gates, not %d", officer.MostLanes, conf.Ratio)
	}
	if conf.Idle <= 0 {
		return nil, errors.New("console: a page locks after some time without an officer's hand")
	}
	if conf.Location == nil {
		conf.Location = time.UTC
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	pace := func(why, say string, every rate.Limit, burst int) pages.Pace {
		return pages.Pace{
			Paces: inlet.Paces{Rate: every, Burst: burst, Most: mostSessions},
			Line:  inlet.Line{Inlet: "console", Why: why}, Say: say, Book: s.Book(),
		}
	}
	c := &server{
		conf: conf, site: s, ear: officer.Ear{Lane: officer.Site, Since: time.Now()}, sessions: map[string]*session{}, invited: map[string]*invitation{}, named: map[string]*named{},
		streams: pages.Streams{Name: "console", Each: 8, Book: s.Book()},

		words:     pace("an officer's words too fast", "too many words at once: wait a moment", wordsPace, 4*wordsPace),
		asks:      pace("an officer's requests too fast", "too many requests: wait a moment", asksPace, 4*asksPace),
		strangers: pace("sign-in too fast", "too many attempts: wait a moment", strangersPace, 6*strangersPace),
	}
	mux := http.NewServeMux()
	shared, names := web.Shared()
	for _, name := range names {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, shared, name) })
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	page := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, static, name) }
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Permissions-Policy", pages.Microphone) // officers speak with travellers
		page("console.html")(w, r)
	})
	mux.HandleFunc("GET /register", page("register.html"))
	mux.HandleFunc("GET /manifest.webmanifest", page("manifest.webmanifest"))
	mux.HandleFunc("GET /sw.js", page("sw.js"))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /api/register/begin", c.stranger(c.beginRegister))
	mux.HandleFunc("POST /api/register/finish", c.stranger(c.finishRegister))
	mux.HandleFunc("POST /api/sign-in/begin", c.stranger(c.beginSignIn))
	mux.HandleFunc("POST /api/sign-in/finish", c.stranger(c.finishSignIn))
	mux.HandleFunc("GET /api/me", c.me)
	mux.HandleFunc("POST /api/sign-out", c.with("", c.signOut))
	mux.HandleFunc("POST /api/here", c.with("", func(w http.ResponseWriter, _ *http.Request, _ *session) { w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("GET /api/events", c.with("", c.events))
	mux.HandleFunc("POST /api/word/{lane}", c.with("", c.word))
	mux.HandleFunc("POST /api/present", c.with(officer.Attend, c.present))
	mux.HandleFunc("GET /api/lane/{lane}/case", c.with(officer.SeeCase, c.ask(fleet.AskCase, "application/json")))
	mux.HandleFunc("GET /api/lane/{lane}/call", c.with(officer.Decide, c.ask(fleet.AskCall, "application/json")))
	mux.HandleFunc("GET /api/lane/{lane}/cases", c.with(officer.Settle, c.ask(fleet.AskCases, "application/json")))
	mux.HandleFunc("GET /api/lane/{lane}/face/{transaction}/{which}", c.with(officer.SeeCase, c.ask(fleet.AskFace, "image/jpeg")))
	mux.HandleFunc("GET /api/lane/{lane}/stay/{transaction}", c.with(officer.SeeCase, c.ask(fleet.AskStay, "image/svg+xml")))
	mux.HandleFunc("GET /api/cases", c.with(officer.Settle, c.openCases))
	mux.HandleFunc("GET /api/crossings", c.with("", c.crossings))
	mux.HandleFunc("GET /api/statistics", c.with(officer.Figures, c.statistics))
	mux.HandleFunc("GET /api/export", c.with(officer.Figures, c.export))
	mux.HandleFunc("GET /api/audit", c.with(officer.Audit, c.audit))
	mux.HandleFunc("GET /api/releases", c.with(officer.Prepare, c.releases))
	mux.HandleFunc("GET /api/releases/stopped", c.with(officer.Prepare, c.stopped))
	mux.HandleFunc("GET /api/releases/content/{sha}", c.with(officer.Prepare, c.content))
	mux.HandleFunc("POST /api/releases/draft", c.with(officer.Prepare, c.draft))
	mux.HandleFunc("POST /api/releases/word", c.with(officer.Prepare, c.steer))
	mux.HandleFunc("POST /api/enrol/code", c.with(officer.Enrol, c.code))
	mux.HandleFunc("POST /api/enrol/revoke", c.with(officer.Enrol, c.steer))
	mux.HandleFunc("POST /api/invite", c.with(officer.Enrol, c.invite))
	c.directoryRoutes(mux)
	return &Console{pages.Guard(http.NewCrossOriginProtection().Handler(mux), 2*maxBody, "'self' blob:", "manifest-src 'self'; worker-src 'self'; "), c}, nil
}

// Enrolment returns the pages that lane computers call: no officer signs in
// there.
func Enrolment(s *site.Site, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	pace := pages.Pace{
		Paces: inlet.Paces{Rate: enrolPace, Burst: 10 * enrolPace, Most: 1024},
		Line:  inlet.Line{Inlet: "enrolment", Why: "too fast"}, Say: "too many attempts: wait a moment", Book: s.Book(),
	}
	mux.HandleFunc("GET /enrol/authority", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.Authority()) })
	mux.HandleFunc("POST /enrol", func(w http.ResponseWriter, r *http.Request) {
		var q fleet.Request
		if !pace.Admits(w, pages.Host(r)) {
			return
		}
		if !pages.Read(w, r, &q) {
			return
		}
		e, err := s.Enrol(r.Context(), q)
		if err != nil {
			log.Warn("enrolment refused", "from", r.RemoteAddr, "error", err)
			pages.Problem(w, http.StatusForbidden, err.Error())
			return
		}
		log.Info("lane enrolled", "lane", e.Lane, "from", r.RemoteAddr)
		pages.Reply(w, http.StatusOK, e)
	})
	return pages.Guard(mux, 2*maxBody, "'self' blob:", "manifest-src 'self'; worker-src 'self'; ")
}

// enrolPace is how many attempts to enrol one address has a second.
const enrolPace = 20

// device binds a session to the browser that opened it.
func device(r *http.Request) [32]byte { return sha256.Sum256([]byte(r.UserAgent())) }

// current is the session of a request as it is now, nil if there is none that
// holds.
func (c *server) current(r *http.Request) *session {
	k, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.sessions[k.Value]
	now := time.Now()
	if x == nil || now.Sub(x.seen) > c.conf.Idle || now.After(x.until) || x.device != device(r) {
		delete(c.sessions, k.Value)
		return nil
	}
	// What the page sends by itself keeps nobody signed in; an officer's hand
	// (/api/here) does.
	if r.Method != http.MethodGet && r.URL.Path != "/api/present" {
		x.seen = now
	}
	y := *x
	return &y
}

// with lets officers in who have a right; "" asks for none in particular.
func (c *server) with(right officer.Right, next func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := c.current(r)
		switch {
		case x == nil:
			pages.Problem(w, http.StatusUnauthorized, "sign in first")
		case right != "" && !x.may(right):
			pages.Problem(w, http.StatusForbidden, "this is not a right of your role")
		case !c.asks.Admits(w, x.officer.ID):
		default:
			next(w, r, x)
		}
	}
}

// stranger paces what anybody may ask who has not signed in.
func (c *server) stranger(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.strangers.Admits(w, pages.Host(r)) {
			next(w, r)
		}
	}
}

// roster is the roster in force.
func (c *server) roster(ctx context.Context) (*officer.Roster, error) {
	signed, err := c.site.Roster(ctx)
	if err != nil {
		return nil, err
	}
	return signed.Open(c.conf.RosterKey, time.Now())
}

// beginSignIn says what the passkey is to sign: the session key that the
// browser made, for whom and how long.
func (c *server) beginSignIn(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Officer string `json:"officer"`
		Key     []byte `json:"key"` // PKIX, P-256
	}
	if !pages.Read(w, r, &q) {
		return
	}
	roster, err := c.roster(r.Context())
	if err != nil {
		pages.Problem(w, http.StatusServiceUnavailable, "there is no roster of officers yet: the holder of the roster key must sign one")
		return
	}
	now := time.Now()
	s := officer.Session{Officer: q.Officer, Key: q.Key, Issued: now.Unix(), Expires: now.Add(officer.MostSession).Unix()}
	// An unknown officer gets a question like anybody's: the page does not tell
	// who works here.
	o, _ := roster.Find(q.Officer)
	if _, refusal := c.vouched(r, o); refusal != "" {
		pages.Problem(w, http.StatusForbidden, refusal)
		return
	}
	ids := [][]byte{}
	for _, p := range o.Passkeys {
		ids = append(ids, p.ID)
	}
	pages.Reply(w, http.StatusOK, map[string]any{"session": s, "challenge": s.Challenge(roster.RPID), "rp_id": roster.RPID, "passkeys": ids})
}

func (c *server) finishSignIn(w http.ResponseWriter, r *http.Request) {
	var s officer.Session
	if !pages.Read(w, r, &s) {
		return
	}
	roster, err := c.roster(r.Context())
	if err != nil {
		pages.Problem(w, http.StatusServiceUnavailable, "there is no roster of officers")
		return
	}
	now := time.Now()
	if age := now.Unix() - s.Issued; age > int64(signInFor/time.Second) {
		pages.Problem(w, http.StatusForbidden, "that took too long: sign in again")
		return
	}
	o, err := roster.Certified(s, now)
	if err != nil {
		c.conf.Log.Warn("sign-in refused", "officer", s.Officer, "error", err)
		pages.Problem(w, http.StatusForbidden, "officer and passkey do not fit")
		return
	}
	who, refusal := c.vouched(r, o)
	if refusal != "" {
		c.conf.Log.Warn("sign-in refused", "officer", o.ID, "error", refusal)
		pages.Problem(w, http.StatusForbidden, refusal)
		return
	}
	x := &session{officer: o, rights: officer.Rights[o.Role], key: bytes.Clone(s.Key), until: time.Unix(s.Expires, 0), seen: now, device: device(r)}
	if who != nil {
		x.person, x.asked, x.rights = who, who.At, o.Role.Within(who.Roles)
		c.used(w, r)
		c.confirm(r.Context(), o.ID, *who)
	}
	token := rand.Text() + rand.Text()
	c.mu.Lock()
	for k, x := range c.sessions {
		if now.Sub(x.seen) > c.conf.Idle || now.After(x.until) {
			delete(c.sessions, k)
		}
	}
	c.sessions[token] = x
	c.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	c.conf.Log.Info("signed in", "officer", o.ID, "role", o.Role)
	pages.Reply(w, http.StatusOK, c.about(x))
}

// Me is what a page is told about who is signed in.
type Me struct {
	Officer string          `json:"officer"`
	Name    string          `json:"name"`
	Role    officer.Role    `json:"role"`
	Rights  []officer.Right `json:"rights"`
	Site    string          `json:"site"`
	Plan    config.Plan     `json:"plan"`
	Ratio   int             `json:"ratio"`
	IdleMS  int64           `json:"idle_ms"` // after which the page locks
	// Training says that the lanes are simulated.
	Training bool `json:"training,omitempty"`
	// Narrowed says that the directory leaves fewer rights than the role has.
	Narrowed bool `json:"narrowed,omitempty"`
}

func (c *server) about(x *session) Me {
	o := x.officer
	return Me{o.ID, o.Name, o.Role, x.rights, c.conf.Name, c.conf.Plan, c.conf.Ratio, c.conf.Idle.Milliseconds(), c.conf.Training, len(x.rights) < len(officer.Rights[o.Role])}
}

func (c *server) me(w http.ResponseWriter, r *http.Request) {
	x := c.current(r)
	if x == nil {
		pages.Reply(w, http.StatusOK, map[string]any{"site": c.conf.Name, "training": c.conf.Training, "directory": c.first(r)})
		return
	}
	pages.Reply(w, http.StatusOK, c.about(x))
}

func (c *server) signOut(w http.ResponseWriter, r *http.Request, _ *session) {
	if k, err := r.Cookie(cookie); err == nil {
		c.mu.Lock()
		delete(c.sessions, k.Value)
		c.mu.Unlock()
	}
	w.WriteHeader(http.StatusNoContent)
}

// events streams the lanes: all of them first, then what changes, gathered for
// a tenth of a second.
func (c *server) events(w http.ResponseWriter, r *http.Request, x *session) {
	leave, ok := c.streams.Open(w, r, x.officer.ID)
	if !ok {
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	stamp := uint64(0)
	beat := time.NewTicker(5 * time.Second)
	defer beat.Stop()
	for first := true; ; first = false {
		list, now, wake := c.site.Hub().Since(stamp)
		stamp = now
		if len(list) > 0 || first {
			b, err := json.Marshal(map[string]any{"at": time.Now().UnixMilli(), "lanes": list})
			if err != nil {
				return
			}
			if c.streams.Send(w, "data: %s\n\n", b) != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-wake:
			select {
			case <-r.Context().Done():
				return
			case <-time.After(deltas):
			}
		case <-beat.C:
			if c.current(r) == nil {
				return // locked: the page asks to sign in again
			}
			if c.streams.Send(w, ": here\n\n") != nil {
				return
			}
		}
	}
}

// open reads a word that a page sent: it must be the signed-in officer's.
func (c *server) open(w http.ResponseWriter, r *http.Request, x *session) (officer.Word, []byte, bool) {
	var word officer.Word
	var env officer.Envelope
	if !c.words.Admits(w, x.officer.ID) {
		return word, nil, false
	}
	b, err := readAll(r)
	if err == nil {
		err = json.Unmarshal(b, &env)
	}
	if err == nil {
		err = json.Unmarshal(env.Word, &word)
	}
	switch {
	case err != nil:
		pages.Problem(w, http.StatusBadRequest, "the request cannot be read")
		return word, nil, false
	case env.Session.Officer != x.officer.ID || !bytes.Equal(env.Session.Key, x.key):
		pages.Problem(w, http.StatusForbidden, "this word is of another session")
		return word, nil, false
	}
	// The lane knows the roster's rights. What the directory took away is refused
	// here: nothing else carries the word there.
	if needs := fleet.Needs(word); slices.ContainsFunc(needs, x.officer.Role.May) && !slices.ContainsFunc(needs, x.may) {
		c.conf.Log.Warn("word refused: the directory has taken the right", "officer", x.officer.ID, "kind", word.Kind)
		pages.Problem(w, http.StatusForbidden, "the directory no longer gives you this right")
		return word, nil, false
	}
	return word, b, true
}

// word carries an officer's word to its lane, and keeps it with the lane's
// answer.
func (c *server) word(w http.ResponseWriter, r *http.Request, x *session) {
	word, b, ok := c.open(w, r, x)
	if !ok {
		return
	}
	id := r.PathValue("lane")
	a, err := c.site.Carry(r.Context(), id, b)
	said := a.Code
	switch {
	case err != nil:
		said = "unreachable"
	case said == "":
		said = "accepted"
	}
	row := site.Word{At: time.Now().UnixMilli(), Officer: x.officer.ID, Lane: id, Kind: string(word.Kind), Value: word.Value, Txn: word.Transaction, Reason: word.Reason, Answer: said}
	if keep := c.site.Keep(context.WithoutCancel(r.Context()), row, b); keep != nil {
		c.conf.Log.Error("a word was not kept", "error", keep)
	}
	switch {
	case err != nil:
		pages.Problem(w, http.StatusGatewayTimeout, "the lane does not answer: go there, or use its own page")
	case a.OK && a.Code == "second":
		pages.Reply(w, http.StatusAccepted, a)
	case a.OK:
		pages.Reply(w, http.StatusOK, a)
	case a.Code == "stale" || a.Code == "not_now":
		pages.Reply(w, http.StatusConflict, a)
	default:
		pages.Reply(w, http.StatusForbidden, a)
	}
}

// present carries an officer's sign of life to all lanes that the officer has
// an eye on: no more than the site allows.
func (c *server) present(w http.ResponseWriter, r *http.Request, x *session) {
	word, b, ok := c.open(w, r, x)
	if !ok {
		return
	}
	if word.Kind != officer.Present || len(word.Lanes) == 0 || len(word.Lanes) > c.conf.Ratio {
		pages.Problem(w, http.StatusForbidden, fmt.Sprintf("an officer watches 1 to %d gates here", c.conf.Ratio))
		return
	}
	answers := make(map[string]string, len(word.Lanes))
	var mu sync.Mutex
	var carrying sync.WaitGroup
	for _, id := range slices.Compact(slices.Sorted(slices.Values(word.Lanes))) {
		carrying.Go(func() {
			said := "accepted"
			if a, err := c.site.Carry(r.Context(), id, b); err != nil {
				said = "unreachable"
			} else if !a.OK {
				said = a.Code
			}
			mu.Lock()
			defer mu.Unlock()
			answers[id] = said
		})
	}
	carrying.Wait()
	pages.Reply(w, http.StatusOK, answers)
}

// ask brings what a lane says about the case under way. The bytes are the
// lane's own: the page hashes them as the evidence of a decision.
func (c *server) ask(what, kind string) func(http.ResponseWriter, *http.Request, *session) {
	return func(w http.ResponseWriter, r *http.Request, _ *session) {
		b, err := c.site.Ask(r.Context(), r.PathValue("lane"), fleet.Ask{What: what, Transaction: r.PathValue("transaction"), Which: r.PathValue("which")})
		switch {
		case errors.Is(err, nats.ErrNoResponders), err != nil:
			pages.Problem(w, http.StatusGatewayTimeout, "the lane does not answer")
		case len(b) == 0:
			pages.Problem(w, http.StatusNotFound, "nothing there now")
		default:
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(b) // the client has gone otherwise
		}
	}
}

func (c *server) code(w http.ResponseWriter, r *http.Request, x *session) {
	var q struct {
		Lane string `json:"lane"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	code, err := c.site.Code(r.Context(), q.Lane, x.officer.ID)
	if err != nil {
		pages.Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	c.conf.Log.Info("enrolment code made", "lane", q.Lane, "officer", x.officer.ID)
	pages.Reply(w, http.StatusOK, map[string]string{"code": code})
}

func readAll(r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	_, err := b.ReadFrom(r.Body)
	return b.Bytes(), err
}

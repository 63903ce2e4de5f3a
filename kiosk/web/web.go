// Package web serves one lane's two pages: the traveller's screen and the
// guard's lane page. What the traveller's page is told has no field for a
// reason, a score or a hit, so that none can leak.
package web

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"passage/kiosk"
	"passage/kiosk/inlet"
	"passage/kiosk/intercom"
	"passage/kiosk/lane"
	"passage/kiosk/pages"
	"passage/kiosk/policy"
)

// Desk is what officers ask of a lane, at its own page and from the site.
type Desk interface {
	View() kiosk.View
	Watch(ctx context.Context) <-chan struct{}
	Decide(ctx context.Context, o kiosk.Officer, transaction string, d lane.Decision, reason, text, reference string) error
	Order(ctx context.Context, o kiosk.Officer, order lane.OfficerOrder) error
	Renew(ctx context.Context) error
	Present(officer string, here bool)
	Acknowledge(id int, officer string) error
	Cases(ctx context.Context) ([]kiosk.Case, error)
	SettleCase(ctx context.Context, officer, transaction, finding string) error
	Face(transaction, which string) ([]byte, bool)
}

// Lane is what the pages need of a lane.
type Lane interface {
	Desk
	Preview(ctx context.Context, show func(jpeg []byte) error) error
	Help()
	MoreTime()
}

// Officer may sign in. PIN is pbkdf2-sha256$iterations$salt$hash in
// hexadecimal, as HashPIN makes it.
type Officer struct{ ID, Name, Role, PIN string }

const (
	iterations = 200_000
	idle       = 10 * time.Minute
	maxBody    = 8 << 10
	cookie     = "passage_officer"
	screens    = 2           // that may show the traveller's picture at once
	chosenFor  = time.Minute // a language, before a document is placed
)

// HashPIN makes a PIN's hash for the configuration.
func HashPIN(pin string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	h, err := pbkdf2.Key(sha256.New, pin, salt, iterations, 32)
	if err != nil {
		return "", fmt.Errorf("web: hash: %w", err)
	}
	return fmt.Sprintf("pbkdf2-sha256$%d$%x$%x", iterations, salt, h), nil
}

func checkPIN(hash, pin string) bool {
	f := strings.Split(hash, "$")
	if len(f) != 4 {
		return false
	}
	n, err := strconv.Atoi(f[1])
	salt, err2 := hex.DecodeString(f[2])
	want, err3 := hex.DecodeString(f[3])
	if errors.Join(err, err2, err3) != nil || n < 1 || n > 10_000_000 || len(want) != 32 {
		return false
	}
	got, err := pbkdf2.Key(sha256.New, pin, salt, n, 32)
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1
}

// server is the pages' state.
type server struct {
	lane     Lane
	officers map[string]Officer
	texts    map[string]map[string]string

	mu       sync.Mutex
	sessions map[string]*session
	guesses  guesses
	viewers  atomic.Int32
	streams  pages.Streams
	hashing  chan struct{}
	touches  pages.Pace
	book     *inlet.Book
	heart    heart
	lang     string // chosen by touch for the traveller of now
	langFor  string // their transaction; "" before the document is placed
	langAt   time.Time
	chosen   chan struct{}   // closed at the next choice; nil while nobody waits
	booth    *intercom.Booth // nil without an intercom
}

type session struct {
	officer kiosk.Officer
	name    string
	seen    time.Time
}

// New returns the pages of a lane.
func New(l Lane, officers []Officer) (*Pages, error) {
	t, err := texts()
	if err != nil {
		return nil, err
	}
	s := &server{
		lane: l, officers: map[string]Officer{}, texts: t, sessions: map[string]*session{},
		streams: pages.Streams{Name: "pages", Most: streams, Each: eachStream}, hashing: make(chan struct{}, hashing),
		touches: pages.Pace{
			Paces: inlet.Paces{Rate: touches, Burst: 3 * touches, Most: 4 * mostGuests},
			Line:  inlet.Line{Inlet: "pages", Why: "touched too fast"}, Say: "too many requests: wait a moment",
		},
	}
	for _, o := range officers {
		s.officers[o.ID] = o
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	page := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, static, name) }
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/lane", http.StatusSeeOther) })
	mux.HandleFunc("GET /traveller", s.listening(page("traveller.html")))
	mux.HandleFunc("GET /traveller/call", s.screenOnly(s.ring))
	mux.HandleFunc("POST /traveller/call", s.touch(s.screenOnly(s.answer)))
	mux.HandleFunc("GET /lane", page("lane.html"))
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /traveller/texts", func(w http.ResponseWriter, _ *http.Request) { pages.Reply(w, http.StatusOK, s.texts) })
	mux.HandleFunc("GET /traveller/events", func(w http.ResponseWriter, r *http.Request) { s.stream(w, r, "", func() any { return s.traveller() }) })
	mux.HandleFunc("GET /traveller/preview", s.preview)
	mux.HandleFunc("POST /traveller/help", s.touch(func(w http.ResponseWriter, _ *http.Request) { l.Help(); w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("POST /traveller/more-time", s.touch(func(w http.ResponseWriter, _ *http.Request) { l.MoreTime(); w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("POST /traveller/language", s.touch(s.language))
	mux.HandleFunc("GET /traveller/stay", s.stay)
	mux.HandleFunc("POST /traveller/beat", s.touch(s.hearBeat))
	mux.HandleFunc("GET /traveller/beat", s.tellBeat)
	mux.HandleFunc("GET /lane/events", s.laneEvents)
	mux.HandleFunc("POST /lane/api/sign-in", s.signIn)
	mux.HandleFunc("POST /lane/api/sign-out", s.officer(s.signOut))
	mux.HandleFunc("POST /lane/api/presence", s.officer(func(w http.ResponseWriter, _ *http.Request, o *session) {
		l.Present(o.officer.ID, true)
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("POST /lane/api/here", s.officer(func(w http.ResponseWriter, _ *http.Request, _ *session) { w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("POST /lane/api/decide", s.officer(s.decide))
	mux.HandleFunc("POST /lane/api/order", s.officer(s.order))
	mux.HandleFunc("GET /lane/api/cases", s.officer(s.cases))
	mux.HandleFunc("GET /lane/face/{transaction}/{which}", s.officer(s.face))
	mux.HandleFunc("GET /lane/stay/{transaction}", s.officer(s.calendar))
	return &Pages{pages.Guard(http.NewCrossOriginProtection().Handler(mux), maxBody, "'self'", ""), s}, nil
}

// stream sends what make returns now and after every change, until the client
// goes. who has signed in; "" for nobody.
func (s *server) stream(w http.ResponseWriter, r *http.Request, who string, make func() any) {
	leave, ok := s.streams.Open(w, r, who)
	if !ok {
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	changes := s.lane.Watch(r.Context())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := ""
	for n := 0; ; n++ {
		chosen := s.choice()
		b, err := json.Marshal(make())
		if err != nil {
			return
		}
		if now := string(b); now != last {
			last = now
			err = s.streams.Send(w, "data: %s\n\n", b)
		} else if n%10 == 0 {
			err = s.streams.Send(w, ": here\n\n")
		}
		if err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changes:
		case <-chosen:
		case <-tick.C:
		}
	}
}

// choice is closed when the traveller next chooses a language.
func (s *server) choice() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chosen == nil {
		s.chosen = make(chan struct{})
	}
	return s.chosen
}

// Traveller is all that the traveller's screen is told.
type Traveller struct {
	Screen    string `json:"screen"` // S1 to S13
	Lang      string `json:"lang"`
	Hint      string `json:"hint,omitempty"`    // closer, back, look, one, or another of the matcher's
	Light     string `json:"light,omitempty"`   // warm, cool: what the screen shines
	Preview   bool   `json:"preview,omitempty"` // the traveller's own picture may be shown
	Left      bool   `json:"document_left,omitempty"`
	Seconds   int    `json:"seconds_left,omitempty"`
	More      string `json:"more_time,omitempty"` // ask: they may ask for more time; given: they have
	Stay      bool   `json:"stay,omitempty"`      // they may ask how long they may stay
	Direction string `json:"direction"`
	Call      string `json:"call,omitempty"` // an officer speaks with them: which call
}

func (s *server) traveller() Traveller {
	v := s.lane.View()
	t := Traveller{Screen: fmt.Sprintf("S%d", v.State.Screen()), Lang: "en", Direction: string(v.Config.Policy.Direction)}
	id := ""
	if v.Crossing != nil {
		id = v.Crossing.UUID
		if l, ok := byState[v.Crossing.Document.Issuer]; ok {
			t.Lang = l
		}
		t.Hint, t.Light = string(v.Crossing.Prompt.Hint), string(v.Crossing.Prompt.Light)
		t.Preview = kiosk.Watched(v.State.Phase)
		t.Left = v.Crossing.Reminded && v.State.Phase == lane.TakeDoc
	}
	s.mu.Lock()
	// Whoever chose before placing a document keeps the choice; whoever chose
	// and went away does not hand it on.
	if s.langFor == "" && time.Since(s.langAt) > chosenFor {
		s.lang = ""
	} else if s.langFor == "" {
		s.langFor = id
	}
	if s.lang != "" && s.langFor == id {
		t.Lang = s.lang
	}
	s.mu.Unlock()
	_, _, t.Stay = stayOf(v)
	t.More = moreTime(v)
	t.Call = s.call()
	switch v.State.Phase {
	case lane.TakeDoc, lane.Inside, lane.Release:
		if left := time.Duration(v.State.Deadline - v.Now); v.State.Deadline > 0 && left > 0 {
			t.Seconds = int(left.Round(time.Second) / time.Second)
		}
	}
	return t
}

// moreTime says whether a traveller may ask for more time for what they still
// have to do. An open leaf closes when it was told to.
func moreTime(v kiosk.View) string {
	switch v.State.Phase {
	case lane.Idle, lane.DocRead, lane.Eligible, lane.TakeDoc, lane.Enter, lane.Sealing, lane.Inside, lane.Decide, lane.WaitDB, lane.Review:
		if !v.Unhurried {
			return "ask"
		}
		return "given"
	case lane.Intend, lane.Release, lane.Clearing, lane.DivertIn:
		if v.Unhurried {
			return "given"
		}
	}
	return ""
}

// preview streams the traveller's own picture to the screen before them, and
// to nobody else: it is answered on this machine only, while the traveller is
// before the camera. Nothing of it is stored or cached.
func (s *server) preview(w http.ResponseWriter, r *http.Request) {
	if !pages.Local(r) {
		pages.Problem(w, http.StatusForbidden, "the picture is for the lane's own screen")
		return
	}
	if s.viewers.Add(1) > screens {
		s.viewers.Add(-1)
		pages.Problem(w, http.StatusTooManyRequests, "the picture is shown already")
		return
	}
	defer s.viewers.Add(-1)
	if !kiosk.Watched(s.lane.View().State.Phase) {
		pages.Problem(w, http.StatusNotFound, "nobody is before the camera")
		return
	}
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=picture")
	if _, err := io.WriteString(w, "--picture\r\n"); err != nil {
		return
	}
	_ = s.lane.Preview(r.Context(), func(jpeg []byte) error { // the screen has gone otherwise
		// The boundary behind a picture is what makes browsers show it.
		if err := s.streams.Send(w, "Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n--picture\r\n", len(jpeg), jpeg); err != nil {
			return fmt.Errorf("web: preview: %w", err)
		}
		return nil
	})
}

// stayOf is what a traveller may ask about their stay: how long, and nothing of
// why. It is known to them from the moment on which the exit opens, for those
// whose days are counted, and to nobody else.
func stayOf(v kiosk.View) (days int, last string, ok bool) {
	if c := v.Crossing; c != nil && (v.State.Phase == lane.Release || v.State.Phase == lane.Clearing) && v.Config.Policy.Direction == policy.Entry {
		return c.Stay.Days, c.Stay.LastDay, c.Stay.Status == "ok" && c.Stay.Overstay == 0 && c.Stay.LastDay != ""
	}
	return 0, "", false
}

func (s *server) stay(w http.ResponseWriter, _ *http.Request) {
	days, last, ok := stayOf(s.lane.View())
	if !ok {
		pages.Problem(w, http.StatusNotFound, "nothing to tell now")
		return
	}
	pages.Reply(w, http.StatusOK, map[string]any{"days": days, "last_day": last})
}

func (s *server) language(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Lang string `json:"lang"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	if _, ok := s.texts[q.Lang]; !ok {
		pages.Problem(w, http.StatusBadRequest, "no such language")
		return
	}
	id := ""
	if c := s.lane.View().Crossing; c != nil {
		id = c.UUID
	}
	s.mu.Lock()
	s.lang, s.langFor, s.langAt = q.Lang, id, time.Now()
	if s.chosen != nil {
		close(s.chosen)
		s.chosen = nil
	}
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	v := s.lane.View()
	status := http.StatusOK
	if v.State.Phase == lane.Fault {
		status = http.StatusServiceUnavailable
	}
	pages.Reply(w, status, map[string]any{"lane": v.Config.Lane, "state": v.State.Phase.String(), "unfit": reasons(v)})
}

func reasons(v kiosk.View) []string {
	var list []string
	for _, w := range v.Unfit {
		list = append(list, w)
	}
	return list
}

// current returns the session of a request, if it is alive.
func (s *server) current(r *http.Request) *session {
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.sessions[c.Value]
	if x == nil || time.Since(x.seen) > idle {
		delete(s.sessions, c.Value)
		return nil
	}
	// What the page sends by itself keeps nobody signed in; an officer's hand
	// (here) does.
	if r.Method != http.MethodGet && r.URL.Path != "/lane/api/presence" {
		x.seen = time.Now()
	}
	return x
}

func (s *server) officer(next func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := s.current(r)
		if x == nil {
			pages.Problem(w, http.StatusUnauthorized, "sign in first")
			return
		}
		next(w, r, x)
	}
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Officer string `json:"officer"`
		PIN     string `json:"pin"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	o, known := s.officers[q.Officer]
	select {
	case s.hashing <- struct{}{}:
	default:
		s.book.Shed("sign-in", "too many at once")
		pages.Problem(w, http.StatusTooManyRequests, "others are signing in: try again")
		return
	}
	wait, fits := time.Duration(0), false
	if known {
		wait = s.guesses.try(q.Officer, time.Now())
		fits = wait == 0 && checkPIN(o.PIN, q.PIN)
	}
	<-s.hashing
	switch {
	case wait > 0:
		s.book.Shed("sign-in", "too many attempts")
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		pages.Problem(w, http.StatusTooManyRequests, "too many attempts: wait "+(wait+time.Second).Truncate(time.Second).String())
		return
	case !fits:
		pages.Problem(w, http.StatusForbidden, "officer and PIN do not fit")
		return
	}
	s.guesses.right(q.Officer)
	key := s.admit(o)
	s.lane.Present(o.ID, true)
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: key, Path: "/lane", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	pages.Reply(w, http.StatusOK, map[string]string{"officer": o.ID, "name": o.Name, "role": o.Role})
}

// admit opens a session for an officer whose PIN fits, in the place of the one
// that has been quiet longest if there are too many.
func (s *server) admit(o Officer) (key string) {
	key = rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sessions, func(_ string, x *session) bool { return time.Since(x.seen) > idle })
	if len(s.sessions) >= mostSigned {
		quiet := ""
		for k, x := range s.sessions {
			if quiet == "" || x.seen.Before(s.sessions[quiet].seen) {
				quiet = k
			}
		}
		delete(s.sessions, quiet)
		s.book.Shed("sign-in", "too many sessions")
	}
	s.sessions[key] = &session{officer: kiosk.Officer{ID: o.ID, Role: o.Role, OnSite: true}, name: o.Name, seen: time.Now()}
	return key
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request, x *session) {
	if c, err := r.Cookie(cookie); err == nil {
		s.mu.Lock()
		delete(s.sessions, c.Value)
		s.mu.Unlock()
	}
	s.lane.Present(x.officer.ID, false)
	w.WriteHeader(http.StatusNoContent)
}

// answer turns an officer's error into a status.
func answer(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		pages.Reply(w, http.StatusOK, map[string]string{"result": "accepted"})
	case errors.Is(err, kiosk.ErrSecond):
		pages.Reply(w, http.StatusAccepted, map[string]string{"result": "waiting for a second officer"})
	case errors.Is(err, kiosk.ErrReason):
		pages.Problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, kiosk.ErrNotAllowed):
		pages.Problem(w, http.StatusForbidden, err.Error())
	default:
		pages.Problem(w, http.StatusConflict, err.Error())
	}
}

func (s *server) decide(w http.ResponseWriter, r *http.Request, x *session) {
	var q struct {
		Transaction string        `json:"transaction"`
		Decision    lane.Decision `json:"decision"`
		Reason      string        `json:"reason"`
		Text        string        `json:"text"`
		Reference   string        `json:"reference"`
	}
	if pages.Read(w, r, &q) {
		answer(w, s.lane.Decide(r.Context(), x.officer, q.Transaction, q.Decision, q.Reason, q.Text, q.Reference))
	}
}

func (s *server) order(w http.ResponseWriter, r *http.Request, x *session) {
	var q struct {
		Order string `json:"order"`
		ID    string `json:"id"`
		Text  string `json:"text"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	switch q.Order {
	case "renew":
		answer(w, s.lane.Renew(r.Context()))
	case "acknowledge":
		n, err := strconv.Atoi(q.ID)
		if err != nil {
			pages.Problem(w, http.StatusBadRequest, "no alert has this number")
			return
		}
		answer(w, s.lane.Acknowledge(n, x.officer.ID))
	case "settle_case":
		answer(w, s.lane.SettleCase(r.Context(), x.officer.ID, q.ID, q.Text))
	default:
		var o lane.OfficerOrder
		if o.UnmarshalText([]byte(q.Order)) != nil || o == lane.NoOrder {
			pages.Problem(w, http.StatusBadRequest, "no such order")
			return
		}
		answer(w, s.lane.Order(r.Context(), x.officer, o))
	}
}

// CaseView is an open reconciliation case: an intent of which nobody knows
// whether its traveller went.
type CaseView struct {
	Transaction string `json:"transaction"`
	At          int64  `json:"at"` // Unix ms
	Why         string `json:"why"`
}

// OpenCases lists a lane's open reconciliation cases, oldest first.
func OpenCases(ctx context.Context, of interface {
	Cases(ctx context.Context) ([]kiosk.Case, error)
},
) ([]CaseView, error) {
	list, err := of.Cases(ctx)
	if err != nil {
		return nil, fmt.Errorf("web: cases: %w", err)
	}
	out := []CaseView{}
	for _, c := range list {
		out = append(out, CaseView{c.Transaction, c.At.UnixMilli(), c.Why})
	}
	return out, nil
}

func (s *server) cases(w http.ResponseWriter, r *http.Request, _ *session) {
	list, err := OpenCases(r.Context(), s.lane)
	if err != nil {
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	pages.Reply(w, http.StatusOK, list)
}

func (s *server) face(w http.ResponseWriter, r *http.Request, _ *session) {
	b, ok := s.lane.Face(r.PathValue("transaction"), r.PathValue("which"))
	if !ok {
		pages.Problem(w, http.StatusNotFound, "no such picture now")
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	_, _ = w.Write(b) // the client has gone otherwise
}

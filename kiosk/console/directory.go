package console

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/kiosk/directory"
	"passage/kiosk/officer"
	"passage/kiosk/pages"
)

// Where an organisation has a directory, an officer needs two things: the
// directory names them, and their passkey certifies a session key. A browser
// goes to the directory first and comes back as a person; the person and the
// passkey make a session.

// Directory is a site's way to its organisation's directory.
type Directory struct {
	*directory.Directory
	Recheck time.Duration // between two questions about somebody who is signed in
	Offline time.Duration // for which its last word holds while it is silent; 0: not at all
}

// named is somebody whom the directory has just named in one browser.
type named struct {
	who    directory.Person
	until  time.Time
	device [32]byte
}

const (
	browserCookie = "passage_browser" // ties a sign-in at the directory to this browser
	personCookie  = "passage_person"
	namedFor      = 5 * time.Minute
	mostNamed     = 1000
	askedAtOnce   = 8 // of the directory, when sessions are looked at again
	lookAgain     = 5 * time.Second
)

func (c *server) directoryRoutes(mux *http.ServeMux) {
	if c.conf.Directory == nil {
		return
	}
	mux.HandleFunc("POST /api/directory/begin", c.stranger(c.beginDirectory))
	mux.HandleFunc("GET /directory/callback", c.stranger(c.finishDirectory))
	mux.HandleFunc("POST /directory/ended", c.stranger(c.endedAtDirectory))
}

// directoryPages are where a browser may come back to.
var directoryPages = []string{"/", "/register"}

// beginDirectory says where the directory asks who it is.
func (c *server) beginDirectory(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Page string `json:"page"`
		Anew bool   `json:"anew"` // the directory shall ask again: it is somebody else
	}
	if !pages.Read(w, r, &q) {
		return
	}
	if !slices.Contains(directoryPages, q.Page) {
		pages.Problem(w, http.StatusBadRequest, "nobody comes back to that page")
		return
	}
	browser := rand.Text()
	if k, err := r.Cookie(browserCookie); err == nil && len(k.Value) == len(browser) {
		browser = k.Value
	}
	address, err := c.conf.Directory.Begin(r.Context(), browser, q.Page, q.Anew)
	if err != nil {
		c.conf.Log.Warn("sign-in at the directory", "error", err)
		pages.Reply(w, http.StatusServiceUnavailable, map[string]any{"title": "the directory does not answer", "alone_ms": c.conf.Directory.Offline.Milliseconds()})
		return
	}
	// Lax: the directory's page sends the browser back to us, which is a visit
	// from another site.
	http.SetCookie(w, &http.Cookie{Name: browserCookie, Value: browser, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil, MaxAge: 3600})
	pages.Reply(w, http.StatusOK, map[string]string{"address": address})
}

// finishDirectory takes a browser back from the directory. The code in its
// address has been used when the next page shows.
func (c *server) finishDirectory(w http.ResponseWriter, r *http.Request) {
	browser := ""
	if k, err := r.Cookie(browserCookie); err == nil {
		browser = k.Value
	}
	who, page, err := c.conf.Directory.Finish(r.Context(), browser, r.URL.Query())
	if page == "" {
		page = "/"
	}
	if err != nil {
		c.conf.Log.Warn("sign-in at the directory", "error", err)
		why := "refused"
		switch {
		case errors.Is(err, directory.ErrLate):
			why = "late"
		case errors.Is(err, directory.ErrSilent):
			why = "silent"
		}
		http.Redirect(w, r, page+"#directory="+why, http.StatusSeeOther)
		return
	}
	if o, ok := c.known(r.Context(), who.Identity); ok && len(o.Role.Within(who.Roles)) == 0 {
		c.unconfirm(r.Context(), o.ID)
	}
	token := rand.Text() + rand.Text()
	now := time.Now()
	c.mu.Lock()
	for k, n := range c.named {
		if now.After(n.until) {
			delete(c.named, k)
		}
	}
	if len(c.named) < mostNamed {
		c.named[token] = &named{who, now.Add(namedFor), device(r)}
	}
	c.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: personCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil, MaxAge: int(namedFor / time.Second)})
	http.Redirect(w, r, page, http.StatusSeeOther)
}

// person is whom the directory has named in this browser; nil for nobody.
func (c *server) person(r *http.Request) *directory.Person {
	k, err := r.Cookie(personCookie)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.named[k.Value]
	if n == nil || time.Now().After(n.until) || n.device != device(r) {
		return nil
	}
	who := n.who
	return &who
}

// used forgets the person of a browser: a session has them now.
func (c *server) used(w http.ResponseWriter, r *http.Request) {
	if k, err := r.Cookie(personCookie); err == nil {
		c.mu.Lock()
		delete(c.named, k.Value)
		c.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: personCookie, Path: "/", MaxAge: -1})
	}
}

// first is what the sign-in page knows of the directory.
type first struct {
	Name    string `json:"name"`              // of the directory
	Person  string `json:"person,omitempty"`  // whom it has named
	Officer string `json:"officer,omitempty"` // who that is here; empty for nobody
}

func (c *server) first(r *http.Request) *first {
	if c.conf.Directory == nil {
		return nil
	}
	f := &first{Name: c.conf.Directory.Name()}
	who := c.person(r)
	if who == nil {
		return f
	}
	if f.Person = who.Name; f.Person == "" {
		f.Person = "somebody without a name"
	}
	o, _ := c.known(r.Context(), who.Identity)
	f.Officer = o.ID
	return f
}

// known is the officer of the roster who is this person.
func (c *server) known(ctx context.Context, who officer.Identity) (officer.Officer, bool) {
	roster, err := c.roster(ctx)
	if err != nil {
		return officer.Officer{}, false
	}
	return roster.Known(who)
}

// vouched is whom the directory names as the officer who signs in: in this
// browser just now, or, while the directory is silent, the last time. A refusal
// is for the page; nil and "" where a site has no directory.
func (c *server) vouched(r *http.Request, o officer.Officer) (*directory.Person, string) {
	if c.conf.Directory == nil {
		return nil, ""
	}
	who := c.person(r)
	if who == nil {
		return c.alone(r.Context(), o)
	}
	switch {
	case o.Directory == nil || *o.Directory != who.Identity:
		return nil, "the directory names somebody else"
	case len(o.Role.Within(who.Roles)) == 0:
		return nil, "the directory gives you no group that may do anything here"
	}
	return who, ""
}

// alone is for a directory that does not answer: what it said last holds for a
// while.
func (c *server) alone(ctx context.Context, o officer.Officer) (*directory.Person, string) {
	const refusal = "sign in at the directory first"
	if o.Directory == nil || !errors.Is(c.conf.Directory.Answers(ctx), directory.ErrSilent) {
		return nil, refusal
	}
	roles, at, err := c.site.Confirmed(ctx, o.ID, *o.Directory)
	if err != nil || time.Since(at) > c.conf.Directory.Offline || len(o.Role.Within(roles)) == 0 {
		return nil, "the directory does not answer, and has not named you for too long: use the lane's own page"
	}
	return &directory.Person{Identity: *o.Directory, Roles: roles, At: at}, ""
}

// confirm keeps what the directory said of an officer.
func (c *server) confirm(ctx context.Context, id string, who directory.Person) {
	if err := c.site.Confirm(context.WithoutCancel(ctx), id, who.Identity, who.Roles, who.At); err != nil {
		c.conf.Log.Error("the directory's word was not kept", "error", err)
	}
}

// unconfirm forgets it: the directory has said no since.
func (c *server) unconfirm(ctx context.Context, id string) {
	if err := c.site.Unconfirm(context.WithoutCancel(ctx), id); err != nil {
		c.conf.Log.Error("the directory's word was not forgotten", "error", err)
	}
}

// Run asks the directory again about those who are signed in, until ctx ends:
// who has left it is signed out, who has lost a group loses its rights.
func (c *Console) Run(ctx context.Context) error {
	if c.server.conf.Directory == nil {
		return nil
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.server.recheck(ctx, time.Now())
		}
	}
}

// recheck asks about all sessions whose turn it is at now.
func (c *server) recheck(ctx context.Context, now time.Time) {
	due := map[string]session{}
	c.mu.Lock()
	for token, x := range c.sessions {
		if x.person != nil && now.Sub(x.asked) >= c.conf.Directory.Recheck {
			x.asked = now
			due[token] = *x
		}
	}
	c.mu.Unlock()
	var asking errgroup.Group
	asking.SetLimit(askedAtOnce)
	for token, x := range due {
		asking.Go(func() error {
			who, err := c.conf.Directory.Again(ctx, *x.person)
			if ctx.Err() == nil {
				c.heard(ctx, token, x.officer, who, err, now)
			}
			return nil
		})
	}
	_ = asking.Wait() // nobody fails: each answer is dealt with
}

// heard is what becomes of a session after an answer of the directory.
func (c *server) heard(ctx context.Context, token string, o officer.Officer, who directory.Person, err error, now time.Time) {
	rights, end := o.Role.Within(who.Roles), ""
	switch {
	case errors.Is(err, directory.ErrSilent):
		if now.Sub(who.At) > c.conf.Directory.Offline {
			end = "the directory is silent for too long"
		}
	case errors.Is(err, directory.ErrLate):
		end = "the directory must name the officer anew"
	case err != nil || len(rights) == 0:
		end = "the directory no longer names the officer, or gives no group"
		c.unconfirm(ctx, o.ID)
	default:
		c.confirm(ctx, o.ID, who)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.sessions[token]
	switch {
	case x == nil: // signed out meanwhile
	case end != "":
		delete(c.sessions, token)
		c.conf.Log.Warn("signed out", "officer", o.ID, "why", end, "error", err)
	default:
		if len(rights) < len(x.rights) {
			c.conf.Log.Warn("rights lost at the directory", "officer", o.ID, "left", rights)
		}
		x.person, x.rights = &who, rights
	}
}

// endedAtDirectory takes the directory's word that somebody has signed out
// there (OpenID Connect Back-Channel Logout 1.0 §2.5).
func (c *server) endedAtDirectory(w http.ResponseWriter, r *http.Request) {
	ends, err := c.conf.Directory.Ended(r.Context(), r.PostFormValue("logout_token"))
	if err != nil {
		c.conf.Log.Warn("sign-out at the directory", "error", err)
		pages.Problem(w, http.StatusBadRequest, "this is no logout token for us")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for token, x := range c.sessions {
		if x.person != nil && ends(*x.person) {
			delete(c.sessions, token)
			c.conf.Log.Info("signed out at the directory", "officer", x.officer.ID)
		}
	}
	for token, n := range c.named {
		if ends(n.who) {
			delete(c.named, token)
		}
	}
	w.WriteHeader(http.StatusOK)
}

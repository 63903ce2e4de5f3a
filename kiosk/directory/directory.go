// Package directory asks an organisation's OpenID provider who somebody is and
// which roles their groups give them: OpenID Connect Core 1.0, authorization
// code flow, with PKCE (RFC 7636).
//
// The answer lets an officer register a passkey and sign in with it. It signs
// nothing: what a lane believes is the roster, and the session key that the
// officer's passkey certified (package officer). A provider that lies can keep
// officers out; it lets nobody in whom the roster does not know by this very
// subject, and gives nobody a right that the roster does not.
package directory

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"passage/kiosk/officer"
)

// Config is a client's registration at a provider.
type Config struct {
	Issuer   string // as the provider writes it
	Client   string // id of the client
	Secret   string // empty for a public client
	Redirect string // where the provider sends people back, character by character
	Scopes   []string
	Groups   string                  // the claim that lists groups; dots lead into objects
	Roles    map[string]officer.Role // what a group is here; all others are nothing
	Hosts    []string                // host:port of endpoints that are not at the issuer's
	CA       *x509.CertPool          // nil for the system's
	Within   time.Duration           // for one request to the provider; 0 for 5 s
}

// Person is what the directory said of somebody.
type Person struct {
	officer.Identity
	Name  string // for people
	Roles []officer.Role
	At    time.Time // when it was said

	sid     string // of the session at the provider
	refresh string
}

// The classes say what happens next.
var (
	ErrLate    = errors.New("directory: this sign-in was used already, or took too long: begin again")
	ErrRefused = errors.New("directory: refused")
	ErrSilent  = errors.New("directory: no answer")
)

const (
	most     = 1 << 20  // bytes of an answer
	mostID   = 32 << 10 // bytes of an ID token
	flowFor  = 10 * time.Minute
	mostFlow = 4096
	mostCode = 4096
	// A token is made for this sign-in and no other; clocks may differ by as much.
	issuedWithin = 5 * time.Minute
	// Without a refresh token the directory cannot be asked again: the person
	// signs in anew after this long.
	aloneFor = time.Hour

	learnedFor = 10 * time.Minute // endpoints
	heardFor   = 15 * time.Second // that the provider is there
	silentFor  = 5 * time.Second  // after a failure nobody waits for another one
)

// algorithms are the signatures that are taken: none by a shared secret, and
// never "none" (RFC 8725 §3.1).
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// Directory is a client of one provider.
type Directory struct {
	conf      Config
	transport *http.Transport
	hosts     []string
	secure    bool

	mu    sync.Mutex
	flows map[string]flow // by state

	learning sync.Mutex // held while the provider is asked what it is
	learned  provider
	at       time.Time
	failed   time.Time
	doubt    atomic.Bool // something has failed since
}

// flow is a sign-in under way.
type flow struct {
	browser, nonce, verifier, page string
	until                          time.Time
}

// New checks nothing that needs the network.
func New(conf Config) (*Directory, error) {
	u, err := url.Parse(conf.Issuer)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("directory: %q is no address of an issuer", conf.Issuer)
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: conf.CA}, MaxResponseHeaderBytes: 64 << 10,
	}
	return &Directory{conf: conf, transport: t, hosts: append([]string{u.Host}, conf.Hosts...), secure: u.Scheme == "https", flows: map[string]flow{}}, nil
}

// Name is how people call the provider: its host.
func (d *Directory) Name() string {
	u, _ := url.Parse(d.conf.Issuer) // New has
	return u.Hostname()
}

// may says whether an address is one of the provider's. What a provider names
// is never asked elsewhere: else it could have us ask our own network.
func (d *Directory) may(u *url.URL) error {
	if !slices.Contains(d.hosts, u.Host) || d.secure && u.Scheme != "https" || u.User != nil {
		return fmt.Errorf("%w: %s://%s is neither the issuer's host nor one of directory.hosts", ErrRefused, u.Scheme, u.Host)
	}
	return nil
}

// asking is one question and answer with the provider: it keeps to the
// provider's hosts, follows no redirect, reads so much and no more, and notes
// whether the provider failed to answer, which errors of the libraries do not
// tell.
type asking struct {
	d      *Directory
	mu     sync.Mutex
	silent bool
}

func (a *asking) RoundTrip(q *http.Request) (*http.Response, error) {
	if err := a.d.may(q.URL); err != nil {
		return nil, err
	}
	r, err := a.d.transport.RoundTrip(q)
	if err != nil || r.StatusCode >= 500 || r.StatusCode == http.StatusTooManyRequests {
		a.mu.Lock()
		a.silent = true
		a.mu.Unlock()
		a.d.doubt.Store(true)
	}
	if err != nil {
		return nil, err
	}
	r.Body = http.MaxBytesReader(nil, r.Body, most)
	return r, nil
}

func (a *asking) client() *http.Client {
	return &http.Client{
		Transport: a, Timeout: cmp.Or(a.d.conf.Within, 5*time.Second), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// context is for the libraries.
func (a *asking) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, a.client())
}

// class wraps an error in ErrSilent or ErrRefused.
func (a *asking) class(what string, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var said *oauth2.RetrieveError
	switch {
	case a.silent:
		return fmt.Errorf("%w: %s", ErrSilent, what)
	case errors.Is(err, ErrRefused):
		return err
	case errors.As(err, &said):
		// The body of an answer may hold what nobody should read in a log.
		return fmt.Errorf("%w: %s: %.40q", ErrRefused, what, said.ErrorCode)
	}
	return fmt.Errorf("%w: %s: %w", ErrRefused, what, err)
}

// provider is what the provider says of itself.
type provider struct {
	*oidc.Provider
	oauth2.Config
	facts
}

// facts are the parts of OpenID Connect Discovery 1.0 §3 that we use.
type facts struct {
	AuthorizeAt string   `json:"authorization_endpoint"`
	TokenAt     string   `json:"token_endpoint"`
	KeysAt      string   `json:"jwks_uri"`
	InfoAt      string   `json:"userinfo_endpoint"`
	Methods     []string `json:"token_endpoint_auth_methods_supported"`
	PKCE        []string `json:"code_challenge_methods_supported"`
	Grants      []string `json:"grant_types_supported"`
	Listed      []string `json:"claims_supported"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
}

// learn says what the provider is, as it said at most so long ago.
func (d *Directory) learn(ctx context.Context, old time.Duration) (provider, error) {
	d.learning.Lock()
	defer d.learning.Unlock()
	now := time.Now()
	switch {
	case d.learned.Provider != nil && now.Sub(d.at) < old && !d.doubt.Load():
		return d.learned, nil
	case now.Sub(d.failed) < silentFor:
		return provider{}, fmt.Errorf("%w: it was asked a moment ago", ErrSilent)
	}
	// Who asks may go away; others wait for the answer.
	a := &asking{d: d}
	p, err := d.discover(a.context(context.WithoutCancel(ctx)))
	if err != nil {
		if err = a.class("discovery", err); errors.Is(err, ErrSilent) {
			d.failed = time.Now()
		}
		return p, err
	}
	d.learned, d.at = p, time.Now()
	d.doubt.Store(false)
	return p, nil
}

func (d *Directory) discover(ctx context.Context) (provider, error) {
	var p provider
	var err error
	if p.Provider, err = oidc.NewProvider(ctx, d.conf.Issuer); err != nil {
		return p, err
	}
	if err := p.Claims(&p.facts); err != nil {
		return p, err
	}
	for _, address := range []string{p.AuthorizeAt, p.TokenAt, p.KeysAt} {
		u, err := url.Parse(address)
		if err != nil {
			return p, fmt.Errorf("an endpoint cannot be read: %w", err)
		}
		if err := d.may(u); err != nil {
			return p, err
		}
	}
	endpoint := p.Provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader // the default of Discovery 1.0 §3
	if d.conf.Secret == "" || len(p.Methods) > 0 && !slices.Contains(p.Methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	p.Config = oauth2.Config{
		ClientID: d.conf.Client, ClientSecret: d.conf.Secret, Endpoint: endpoint, RedirectURL: d.conf.Redirect,
		Scopes: slices.Compact(append([]string{oidc.ScopeOpenID}, d.conf.Scopes...)),
	}
	return p, nil
}

// Answers says whether the provider is there: nil, or why not.
func (d *Directory) Answers(ctx context.Context) error {
	_, err := d.learn(ctx, heardFor)
	return err
}

// Begin returns the address at which somebody signs in. browser is a secret of
// the browser that asks: only there the sign-in is taken back. page is for
// Finish. anew has the provider ask again who it is.
func (d *Directory) Begin(ctx context.Context, browser, page string, anew bool) (string, error) {
	p, err := d.learn(ctx, heardFor)
	if err != nil {
		return "", err
	}
	state := rand.Text() + rand.Text()
	f := flow{browser: browser, nonce: rand.Text() + rand.Text(), verifier: oauth2.GenerateVerifier(), page: page, until: time.Now().Add(flowFor)}
	d.keep(state, f)
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)}
	if anew {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return p.AuthCodeURL(state, options...), nil
}

// keep holds a flow. Where there are too many, those that are old go first:
// somebody begins sign-ins to be in the way, and people take seconds.
func (d *Directory) keep(state string, f flow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.flows) >= mostFlow {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(d.flows)), func(a, b string) int { return d.flows[a].until.Compare(d.flows[b].until) })
		delete(d.flows, oldest)
	}
	d.flows[state] = f
}

// take returns the flow of a state, once, to the browser that began it.
func (d *Directory) take(state, browser string) (flow, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.flows[state]
	if !ok || subtle.ConstantTimeCompare([]byte(f.browser), []byte(browser)) != 1 {
		return f, ErrLate
	}
	delete(d.flows, state)
	if time.Now().After(f.until) {
		return f, ErrLate
	}
	return f, nil
}

// Finish takes what the provider sent back with a browser: the person, and the
// page that Begin was given, which an error brings, too, where it is known. It
// fails with ErrLate, ErrRefused or ErrSilent.
func (d *Directory) Finish(ctx context.Context, browser string, q url.Values) (Person, string, error) {
	f, err := d.take(q.Get("state"), browser)
	if err != nil {
		return Person{}, f.page, err
	}
	who, err := d.exchange(ctx, f, q)
	return who, f.page, err
}

func (d *Directory) exchange(ctx context.Context, f flow, q url.Values) (Person, error) {
	var who Person
	switch code := q.Get("code"); {
	case q.Has("iss") && q.Get("iss") != d.conf.Issuer: // RFC 9207
		return who, fmt.Errorf("%w: the answer is another provider's", ErrRefused)
	case q.Has("error"):
		return who, fmt.Errorf("%w: the provider says %.40q", ErrRefused, q.Get("error"))
	case code == "" || len(code) > mostCode:
		return who, fmt.Errorf("%w: no code", ErrRefused)
	}
	p, err := d.learn(ctx, learnedFor)
	if err != nil {
		return who, err
	}
	a := &asking{d: d}
	ctx = a.context(ctx)
	t, err := p.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(f.verifier))
	if err != nil {
		return who, a.class("token", err)
	}
	id, claims, err := d.verify(ctx, p, t)
	if err != nil {
		return who, a.class("ID token", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) != 1 {
		return who, fmt.Errorf("%w: ID token: it was made for another sign-in", ErrRefused)
	}
	who = Person{Identity: officer.Identity{Issuer: id.Issuer, Subject: id.Subject}, At: time.Now(), refresh: t.RefreshToken}
	if err := who.Identity.Validate(); err != nil {
		return who, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	who.sid, _ = claims["sid"].(string)
	groups, told := find(claims, d.conf.Groups)
	if !told && p.InfoAt != "" {
		if claims, err = d.userInfo(ctx, p, t, who.Subject); err != nil {
			return who, a.class("userinfo", err)
		}
		groups, _ = find(claims, d.conf.Groups)
	}
	who.Name, who.Roles = called(claims), d.roles(groups)
	return who, nil
}

// verify reads the ID token of an answer and checks all of OpenID Connect Core
// 1.0 §3.1.3.7 but the nonce, which the caller knows. Keys are fetched each
// time: a key that the provider has withdrawn is worth nothing at once.
func (d *Directory) verify(ctx context.Context, p provider, t *oauth2.Token) (*oidc.IDToken, map[string]any, error) {
	raw, _ := t.Extra("id_token").(string)
	if raw == "" || len(raw) > mostID {
		return nil, nil, fmt.Errorf("there is none, or it is larger than %d bytes", mostID)
	}
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: d.conf.Client, SupportedSigningAlgs: algorithms}).Verify(ctx, raw)
	if err != nil {
		return nil, nil, err
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, nil, err
	}
	party, _ := claims["azp"].(string)
	switch {
	case id.Issuer != d.conf.Issuer:
		return nil, nil, errors.New("another issuer's")
	case len(id.Audience) > 1 && party == "", party != "" && party != d.conf.Client:
		return nil, nil, errors.New("it is for another client")
	case time.Since(id.IssuedAt).Abs() > issuedWithin:
		return nil, nil, errors.New("it was not made now, or one of the clocks is wrong")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(t.AccessToken); err != nil {
			return nil, nil, err
		}
	}
	return id, claims, nil
}

// userInfo asks what the provider says of the subject now (§5.3).
func (d *Directory) userInfo(ctx context.Context, p provider, t *oauth2.Token, subject string) (map[string]any, error) {
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(t))
	if err != nil {
		return nil, errors.New("it is not told") // the library's error quotes the answer
	}
	if info.Subject != subject {
		return nil, errors.New("it is about somebody else")
	}
	var claims map[string]any
	return claims, info.Claims(&claims)
}

// Again asks what the directory says of somebody now. Without an answer it
// fails with ErrSilent, for somebody who has left with ErrRefused, and with
// ErrLate where only a new sign-in can tell.
func (d *Directory) Again(ctx context.Context, who Person) (Person, error) {
	if who.refresh == "" {
		if err := d.Answers(ctx); err != nil {
			return who, err
		}
		if time.Since(who.At) > aloneFor {
			return who, ErrLate
		}
		return who, nil
	}
	p, err := d.learn(ctx, learnedFor)
	if err != nil {
		return who, err
	}
	a := &asking{d: d}
	ctx = a.context(ctx)
	t, err := p.TokenSource(ctx, &oauth2.Token{RefreshToken: who.refresh}).Token()
	if err != nil {
		return who, a.class("refresh", err)
	}
	who.refresh = t.RefreshToken // a provider may give a new one each time
	var claims map[string]any
	if p.InfoAt != "" {
		if claims, err = d.userInfo(ctx, p, t, who.Subject); err != nil {
			return who, a.class("userinfo", err)
		}
	}
	groups, told := find(claims, d.conf.Groups)
	if !told && t.Extra("id_token") != nil {
		id, fresh, err := d.verify(ctx, p, t)
		if err != nil {
			return who, a.class("ID token", err)
		}
		if id.Subject != who.Subject {
			return who, fmt.Errorf("%w: ID token: it is about somebody else", ErrRefused)
		}
		groups, _ = find(fresh, d.conf.Groups)
	}
	who.Roles, who.At = d.roles(groups), time.Now()
	return who, nil
}

// Ended reads a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4): it
// says whose sessions end.
func (d *Directory) Ended(ctx context.Context, raw string) (func(Person) bool, error) {
	if len(raw) > mostID {
		return nil, fmt.Errorf("%w: logout token: larger than %d bytes", ErrRefused, mostID)
	}
	p, err := d.learn(ctx, learnedFor)
	if err != nil {
		return nil, err
	}
	a := &asking{d: d}
	ctx = a.context(ctx)
	t, err := p.VerifierContext(ctx, &oidc.Config{ClientID: d.conf.Client, SupportedSigningAlgs: algorithms}).VerifyLogout(ctx, raw)
	if err != nil {
		return nil, a.class("logout token", err)
	}
	return func(who Person) bool {
		return who.Issuer == t.Issuer && (t.Subject == "" || t.Subject == who.Subject) && (t.SessionID == "" || t.SessionID == who.sid)
	}, nil
}

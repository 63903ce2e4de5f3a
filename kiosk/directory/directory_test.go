package directory_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	simulated "passage/hwsim/directory"
	"passage/kiosk/directory"
	"passage/kiosk/officer"
)

const redirect = "https://console.example/directory/callback"

// world is a provider on loopback and a client of it.
type world struct {
	t        *testing.T
	provider *simulated.Provider
	server   *httptest.Server
	conf     directory.Config
	client   *directory.Directory
}

func newWorld(t *testing.T, secret string) *world {
	t.Helper()
	w := &world{t: t}
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.provider.ServeHTTP(out, r) }))
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	var err error
	if w.provider, err = simulated.New(w.server.URL, "passage", secret, redirect); err != nil {
		t.Fatal(err)
	}
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt", Groups: []string{"border-guards", "choir"}})
	pool := x509.NewCertPool()
	pool.AddCert(w.server.Certificate())
	w.conf = directory.Config{
		Issuer: w.server.URL, Client: "passage", Secret: secret, Redirect: redirect, Groups: "groups", CA: pool,
		Roles: map[string]officer.Role{"border-guards": officer.Guard, "border-leads": officer.Supervisor},
	}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.client, err = directory.New(w.conf); err != nil {
		w.t.Fatal(err)
	}
}

// begin starts a sign-in.
func (w *world) begin(browser string) string {
	w.t.Helper()
	address, err := w.client.Begin(w.t.Context(), browser, "/", false)
	if err != nil {
		w.t.Fatal(err)
	}
	return address
}

// choose says at the provider who it is, and returns what comes back.
func (w *world) choose(address, subject string) url.Values {
	w.t.Helper()
	c := w.server.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := c.PostForm(address, url.Values{"subject": {subject}})
	if err != nil {
		w.t.Fatal(err)
	}
	r.Body.Close()
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), redirect+"?") {
		w.t.Fatalf("%d: sent to %q: %v", r.StatusCode, to, err)
	}
	return to.Query()
}

func (w *world) signIn(subject string) (directory.Person, error) {
	w.t.Helper()
	who, page, err := w.client.Finish(w.t.Context(), "b", w.choose(w.begin("b"), subject))
	if page != "/" {
		w.t.Errorf("page %q", page)
	}
	return who, err
}

func TestSignIn(t *testing.T) {
	for _, secret := range []string{"", "s3cret of the client"} {
		w := newWorld(t, secret)
		who, err := w.signIn("s-anna")
		if err != nil {
			t.Fatal(err)
		}
		if want := (officer.Identity{Issuer: w.server.URL, Subject: "s-anna"}); who.Identity != want || who.Name != "Anna Amt" || !slices.Equal(who.Roles, []officer.Role{officer.Guard}) {
			t.Errorf("it is %+v", who)
		}
	}
}

// Whatever is wrong with an answer, nobody is named.
func TestFinishRefuses(t *testing.T) {
	id := func(change func(map[string]any)) func(*world) {
		return func(w *world) {
			w.provider.Twist = func(what string, v map[string]any) {
				if what == "id" {
					change(v)
				}
			}
		}
	}
	sign := func(algorithm jose.SignatureAlgorithm, key any) func(*world) {
		return func(w *world) {
			w.provider.Sign = func(payload []byte) string {
				if key == nil {
					public, _ := w.provider.Key()
					der, err := x509.MarshalPKIXPublicKey(public.Public())
					if err != nil {
						t.Error(err)
					}
					key = der
				}
				s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
				if err != nil {
					t.Error(err)
					return ""
				}
				j, err := s.Sign(payload)
				if err != nil {
					t.Error(err)
					return ""
				}
				text, _ := j.CompactSerialize()
				return text
			}
		}
	}
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(change func(url.Values)) func(url.Values) { return change }
	for _, c := range []struct {
		name   string
		set    func(*world)
		answer func(url.Values)
		want   error
	}{
		{"a state that nobody gave", nil, answer(func(q url.Values) { q.Set("state", "made up") }), directory.ErrLate},
		{"no state", nil, answer(func(q url.Values) { q.Del("state") }), directory.ErrLate},
		{"a code that nobody gave", nil, answer(func(q url.Values) { q.Set("code", "made up") }), directory.ErrRefused},
		{"no code", nil, answer(func(q url.Values) { q.Del("code") }), directory.ErrRefused},
		{"a huge code", nil, answer(func(q url.Values) { q.Set("code", strings.Repeat("x", 1<<20)) }), directory.ErrRefused},
		{"an error", nil, answer(func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }), directory.ErrRefused},
		{"another provider's answer", nil, answer(func(q url.Values) { q.Set("iss", "https://other.example") }), directory.ErrRefused},
		{"wrong nonce", id(func(v map[string]any) { v["nonce"] = "other" }), nil, directory.ErrRefused},
		{"no nonce", id(func(v map[string]any) { delete(v, "nonce") }), nil, directory.ErrRefused},
		{"another audience", id(func(v map[string]any) { v["aud"] = "payroll" }), nil, directory.ErrRefused},
		{"two audiences, and not whose", id(func(v map[string]any) { v["aud"] = []string{"passage", "payroll"} }), nil, directory.ErrRefused},
		{"another authorised party", id(func(v map[string]any) { v["aud"] = []string{"passage", "payroll"}; v["azp"] = "payroll" }), nil, directory.ErrRefused},
		{"another issuer", id(func(v map[string]any) { v["iss"] = "https://other.example" }), nil, directory.ErrRefused},
		{"expired", id(func(v map[string]any) { v["exp"] = time.Now().Add(-time.Second).Unix() }), nil, directory.ErrRefused},
		{"no expiry", id(func(v map[string]any) { delete(v, "exp") }), nil, directory.ErrRefused},
		{"made an hour ago", id(func(v map[string]any) { v["iat"] = time.Now().Add(-time.Hour).Unix() }), nil, directory.ErrRefused},
		{"made in an hour", id(func(v map[string]any) { v["iat"] = time.Now().Add(time.Hour).Unix() }), nil, directory.ErrRefused},
		{"no subject", id(func(v map[string]any) { delete(v, "sub") }), nil, directory.ErrRefused},
		{"a subject that no roster takes", id(func(v map[string]any) { v["sub"] = "anna\n" }), nil, directory.ErrRefused},
		{"a huge subject", id(func(v map[string]any) { v["sub"] = strings.Repeat("a", 256) }), nil, directory.ErrRefused},
		{"another access token", id(func(v map[string]any) { v["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" }), nil, directory.ErrRefused},
		{"a huge token", id(func(v map[string]any) { v["groups"] = slices.Repeat([]string{"border-guards"}, 3000) }), nil, directory.ErrRefused},
		{"an answer without end", id(func(v map[string]any) { v["name"] = strings.Repeat("a", 2<<20) }), nil, directory.ErrRefused},
		{"no signature", func(w *world) {
			w.provider.Sign = func(payload []byte) string {
				return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
			}
		}, nil, directory.ErrRefused},
		{"HS256 with the public key", sign(jose.HS256, nil), nil, directory.ErrRefused},
		{"HS256 with the client's secret", sign(jose.HS256, []byte(strings.Repeat("secret", 8))), nil, directory.ErrRefused},
		{"another issuer's key", sign(jose.ES256, foreign), nil, directory.ErrRefused},
		{"no token at all", func(w *world) { w.provider.Sign = func([]byte) string { return "" } }, nil, directory.ErrRefused},
		{"no token but letters", func(w *world) { w.provider.Sign = func([]byte) string { return "a.b.c" } }, nil, directory.ErrRefused},
		{"a provider that fails", func(w *world) {
			w.provider.Before = func(out http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					out.WriteHeader(http.StatusBadGateway)
				}
				return r.URL.Path == "/token"
			}
		}, nil, directory.ErrSilent},
		{"keys that are not told", func(w *world) {
			w.provider.Before = func(out http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/keys" {
					out.WriteHeader(http.StatusServiceUnavailable)
				}
				return r.URL.Path == "/keys"
			}
		}, nil, directory.ErrSilent},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "s3cret")
			if c.set != nil {
				c.set(w)
			}
			q := w.choose(w.begin("b"), "s-anna")
			if c.answer != nil {
				c.answer(q)
			}
			who, _, err := w.client.Finish(t.Context(), "b", q)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if len(who.Roles) > 0 {
				t.Errorf("it gives roles: %v", who.Roles)
			}
		})
	}
}

// A sign-in is taken once, and back in the browser that began it.
func TestFinishOnce(t *testing.T) {
	w := newWorld(t, "")
	one, two := w.begin("b"), w.begin("b") // two tabs, or a double click
	q := w.choose(one, "s-anna")
	if _, _, err := w.client.Finish(t.Context(), "another browser", q); !errors.Is(err, directory.ErrLate) {
		t.Errorf("in another browser: %v", err)
	}
	if _, _, err := w.client.Finish(t.Context(), "b", q); err != nil {
		t.Errorf("the first tab: %v", err)
	}
	if _, _, err := w.client.Finish(t.Context(), "b", q); !errors.Is(err, directory.ErrLate) {
		t.Errorf("back and again: %v", err)
	}
	if _, _, err := w.client.Finish(t.Context(), "b", w.choose(two, "s-anna")); err != nil {
		t.Errorf("the second tab: %v", err)
	}
	// A code of one sign-in does not fit another one: PKCE.
	stolen, own := w.choose(w.begin("b"), "s-anna"), w.choose(w.begin("b"), "s-anna")
	own.Set("code", stolen.Get("code"))
	if _, _, err := w.client.Finish(t.Context(), "b", own); !errors.Is(err, directory.ErrRefused) {
		t.Errorf("a stolen code: %v", err)
	}
}

// A key may change between two sign-ins, and in the middle of one.
func TestRotation(t *testing.T) {
	w := newWorld(t, "")
	if _, err := w.signIn("s-anna"); err != nil {
		t.Fatal(err)
	}
	q := w.choose(w.begin("b"), "s-anna")
	if err := w.provider.Rotate(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.client.Finish(t.Context(), "b", q); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
}

// What a provider names is asked at its own hosts only, and where it sends us
// is not followed.
func TestInnerAddresses(t *testing.T) {
	asked := make(chan string, 16)
	inner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer inner.Close()
	for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		w := newWorld(t, "")
		w.provider.Twist = func(what string, v map[string]any) {
			if what == "discovery" {
				v[endpoint] = inner.URL + "/secrets"
			}
		}
		if _, err := w.client.Begin(t.Context(), "b", "/", false); !errors.Is(err, directory.ErrRefused) {
			t.Errorf("%s elsewhere: %v", endpoint, err)
		}
	}
	w := newWorld(t, "")
	w.provider.Twist = func(what string, v map[string]any) {
		switch what {
		case "discovery":
			v["userinfo_endpoint"] = inner.URL + "/secrets"
		case "id":
			delete(v, "groups")
		}
	}
	if _, err := w.signIn("s-anna"); !errors.Is(err, directory.ErrRefused) {
		t.Errorf("userinfo elsewhere: %v", err)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/token", "/keys"} {
		w := newWorld(t, "")
		w.provider.Before = func(out http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				http.Redirect(out, r, inner.URL+"/secrets", http.StatusTemporaryRedirect)
			}
			return r.URL.Path == path
		}
		address, err := w.client.Begin(t.Context(), "b", "/", false)
		if err == nil {
			_, _, err = w.client.Finish(t.Context(), "b", w.choose(address, "s-anna"))
		}
		if !errors.Is(err, directory.ErrRefused) {
			t.Errorf("%s redirects: %v", path, err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the inner network was asked: %s", <-asked)
	}
}

// A provider that does not answer is silent, and not asked by everybody at once.
func TestSilence(t *testing.T) {
	w := newWorld(t, "")
	who, err := w.signIn("s-anna")
	if err != nil {
		t.Fatal(err)
	}
	w.server.CloseClientConnections()
	w.server.Close()
	if _, err := w.client.Again(t.Context(), who); !errors.Is(err, directory.ErrSilent) {
		t.Errorf("again: %v", err)
	}
	w.open() // a console that was started while the directory is down
	for range 3 {
		if err := w.client.Answers(t.Context()); !errors.Is(err, directory.ErrSilent) {
			t.Errorf("answers: %v", err)
		}
	}
	slow := newWorld(t, "")
	hold := make(chan struct{})
	defer close(hold)
	slow.provider.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
		return true
	}
	slow.conf.Within = 50 * time.Millisecond
	slow.open()
	if _, err := slow.client.Begin(t.Context(), "b", "/", false); !errors.Is(err, directory.ErrSilent) {
		t.Errorf("a slow one: %v", err)
	}
}

// Groups are read again: what the directory says now counts.
func TestAgain(t *testing.T) {
	w := newWorld(t, "s3cret")
	who, err := w.signIn("s-anna")
	if err != nil {
		t.Fatal(err)
	}
	again := func(want ...officer.Role) {
		t.Helper()
		was := who.At
		if who, err = w.client.Again(t.Context(), who); err != nil || !slices.Equal(who.Roles, want) || who.At.Before(was) {
			t.Errorf("%v %v, want %v", who.Roles, err, want)
		}
	}
	again(officer.Guard)
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt", Groups: []string{"border-leads", "border-guards"}})
	again(officer.Guard, officer.Supervisor)
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt"})
	again()
	// By the ID token, where userinfo does not tell.
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt", Groups: []string{"border-leads"}})
	w.provider.Twist = func(what string, v map[string]any) {
		if what == "info" {
			delete(v, "groups")
		}
	}
	again(officer.Supervisor)
	w.provider.Twist = func(what string, v map[string]any) { v["sub"] = "s-ben" }
	if _, err := w.client.Again(t.Context(), who); !errors.Is(err, directory.ErrRefused) {
		t.Errorf("somebody else: %v", err)
	}
	w.provider.Twist = nil
	if who, err = w.signIn("s-anna"); err != nil {
		t.Fatal(err)
	}
	w.provider.Put("s-anna", nil)
	if _, err := w.client.Again(t.Context(), who); !errors.Is(err, directory.ErrRefused) {
		t.Errorf("somebody who left: %v", err)
	}
	// Without a refresh token the word holds for a while, and then nobody knows.
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt", Groups: []string{"border-guards"}})
	w.provider.Brief = true
	if who, err = w.signIn("s-anna"); err != nil {
		t.Fatal(err)
	}
	again(officer.Guard)
	who.At = who.At.Add(-2 * time.Hour)
	if _, err := w.client.Again(t.Context(), who); !errors.Is(err, directory.ErrLate) {
		t.Errorf("without a refresh token, later: %v", err)
	}
}

func TestEnded(t *testing.T) {
	w := newWorld(t, "")
	who, err := w.signIn("s-anna")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token := func(change func(map[string]any)) string {
		v := map[string]any{
			"iss": w.server.URL, "aud": "passage", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1", "sub": "s-anna",
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}
		change(v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := w.provider.Signed(b)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, c := range []struct {
		name   string
		change func(map[string]any)
		good   bool
		ends   bool
	}{
		{"hers", func(map[string]any) {}, true, true},
		{"her session", func(v map[string]any) { delete(v, "sub"); v["sid"] = "session of s-anna" }, true, true},
		{"another session", func(v map[string]any) { v["sid"] = "on the phone" }, true, false},
		{"somebody else's", func(v map[string]any) { v["sub"] = "s-ben" }, true, false},
		{"nobody's", func(v map[string]any) { delete(v, "sub") }, false, false},
		{"another client's", func(v map[string]any) { v["aud"] = "payroll" }, false, false},
		{"an ID token", func(v map[string]any) { delete(v, "events"); v["nonce"] = "x" }, false, false},
		{"expired", func(v map[string]any) { v["exp"] = now.Add(-time.Minute).Unix() }, false, false},
	} {
		ends, err := w.client.Ended(t.Context(), token(c.change))
		if (err == nil) != c.good || err == nil && ends(who) != c.ends {
			t.Errorf("%s: %v, want good %v and ends %v", c.name, err, c.good, c.ends)
		}
	}
	if _, err := w.client.Ended(t.Context(), strings.Repeat("a", 1<<20)); !errors.Is(err, directory.ErrRefused) {
		t.Errorf("a huge one: %v", err)
	}
}

// An abandoned sign-in is dropped when others crowd in; the newest ones stay.
func TestCrowd(t *testing.T) {
	w := newWorld(t, "")
	first := w.choose(w.begin("b"), "s-anna")
	for range 4096 {
		w.begin("flood")
	}
	if _, _, err := w.client.Finish(t.Context(), "b", first); !errors.Is(err, directory.ErrLate) {
		t.Errorf("the oldest of too many: %v", err)
	}
	if _, err := w.signIn("s-anna"); err != nil {
		t.Errorf("the newest: %v", err)
	}
}

// Trust in the provider's TLS is needed.
func TestStranger(t *testing.T) {
	w := newWorld(t, "")
	w.conf.CA = x509.NewCertPool()
	w.open()
	err := w.client.Answers(context.Background())
	if !errors.Is(err, directory.ErrSilent) {
		t.Errorf("an authority that is not ours: %v", err)
	}
	if _, err := tls.Dial("tcp", strings.TrimPrefix(w.server.URL, "https://"), &tls.Config{RootCAs: w.conf.CA}); err == nil {
		t.Error("the server's certificate is one of the system's")
	}
}

// Each fault of a provider's set-up is found before an officer meets it.
func TestCheck(t *testing.T) {
	twist := func(key string, v any) func(*world) {
		return func(w *world) {
			w.provider.Twist = func(what string, facts map[string]any) {
				if what == "discovery" {
					facts[key] = v
				}
			}
		}
	}
	for _, c := range []struct {
		name    string
		set     func(*world)
		finding string
		bad     bool
	}{
		{"all well", func(*world) {}, "", false},
		{"another issuer", twist("issuer", "https://other.example"), "provider", true},
		{"an endpoint elsewhere", twist("token_endpoint", "https://169.254.169.254/token"), "provider", true},
		{"an endpoint in clear", func(w *world) {
			twist("token_endpoint", strings.Replace(w.server.URL, "https", "http", 1)+"/token")(w)
		}, "provider", true},
		{"no keys there", func(w *world) { twist("jwks_uri", w.server.URL+"/none")(w) }, "keys", true},
		{"plain PKCE", twist("code_challenge_methods_supported", []string{"plain"}), "PKCE", true},
		{"PKCE unsaid", twist("code_challenge_methods_supported", nil), "PKCE", false},
		{"no refresh tokens", twist("grant_types_supported", []string{"authorization_code"}), "asked again", false},
		{"HS256 only", twist("id_token_signing_alg_values_supported", []string{"HS256"}), "signatures", true},
		{"no groups", twist("claims_supported", []string{"sub"}), "groups", false},
	} {
		w := newWorld(t, "")
		c.set(w)
		found := ""
		bad := false
		for _, f := range w.client.Check(t.Context()) {
			if f.Todo != "" {
				found, bad = found+f.Check, bad || f.Bad
			}
		}
		if found != c.finding || bad != c.bad {
			t.Errorf("%s: found %q, bad %v; want %q, %v", c.name, found, bad, c.finding, c.bad)
		}
	}
}

// Package directory is a simulated OpenID provider: people with groups, a page
// on which somebody says who they are, and signed tokens (OpenID Connect Core
// 1.0, Discovery 1.0, RFC 6749, RFC 7636). It is written from the standards and
// shares no code with the client that is tested against it.
package directory

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Person is somebody in the directory.
type Person struct {
	Name   string
	Groups []string
}

// Provider is an OpenID provider with one client. Its fields but People may be
// changed while nothing is asked.
type Provider struct {
	Issuer, Client, Secret, Redirect string

	// How it misbehaves: nil for not at all. Twist changes an object before it is
	// sent or signed: "discovery", "id" or "info". Sign makes a token of a payload
	// in place of the provider's key. Before sees each request first, and answers
	// it where it returns true.
	Twist  func(what string, v map[string]any)
	Sign   func(payload []byte) string
	Before func(w http.ResponseWriter, r *http.Request) bool
	// Brief gives no refresh tokens.
	Brief bool

	mu      sync.Mutex
	people  map[string]Person
	key     *ecdsa.PrivateKey
	keyID   string
	codes   map[string]grant
	access  map[string]string // token → subject
	refresh map[string]string
}

// grant is what a code stands for.
type grant struct{ subject, nonce, challenge string }

// New makes a provider with a fresh key.
func New(issuer, client, secret, redirect string) (*Provider, error) {
	p := &Provider{
		Issuer: issuer, Client: client, Secret: secret, Redirect: redirect,
		people: map[string]Person{}, codes: map[string]grant{}, access: map[string]string{}, refresh: map[string]string{},
	}
	return p, p.Rotate()
}

// Rotate replaces the key: tokens signed by the old one are worth nothing.
func (p *Provider) Rotate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.keyID = key, rand.Text()
	return nil
}

// Key is the key in use.
func (p *Provider) Key() (crypto.Signer, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key, p.keyID
}

// Put adds a person or changes them; a nil person leaves.
func (p *Provider) Put(subject string, who *Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who == nil {
		delete(p.people, subject)
		return
	}
	p.people[subject] = *who
}

// Person is who has this subject.
func (p *Provider) Person(subject string) (Person, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.people[subject]
	return who, ok
}

// Signed is a payload signed by the provider's key (RFC 7515 §3.1).
func (p *Provider) Signed(payload []byte) (string, error) {
	key, id := p.Key()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		return "", fmt.Errorf("directory: %w", err)
	}
	j, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("directory: %w", err)
	}
	return j.CompactSerialize()
}

func (p *Provider) twist(what string, v map[string]any) map[string]any {
	if p.Twist != nil {
		p.Twist(what, v)
	}
	return v
}

// ServeHTTP answers at the provider's endpoints.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.Before != nil && p.Before(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/openid-configuration":
		reply(w, http.StatusOK, p.twist("discovery", map[string]any{
			"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token", "jwks_uri": p.Issuer + "/keys",
			"userinfo_endpoint": p.Issuer + "/userinfo", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
			"grant_types_supported": []string{"authorization_code", "refresh_token"}, "claims_supported": []string{"sub", "name", "groups"},
		}))
	case "GET /keys":
		key, id := p.Key()
		reply(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: id, Use: "sig", Algorithm: "ES256"}}})
	case "GET /authorize", "POST /authorize":
		p.authorize(w, r)
	case "POST /token":
		p.token(w, r)
	case "GET /userinfo":
		p.userInfo(w, r)
	default:
		http.NotFound(w, r)
	}
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Directory</title>
<h1>Who are you?</h1>
{{range $subject, $who := .}}<form method="post"><button name="subject" value="{{$subject}}">{{$who.Name}}</button></form>
{{end}}</html>`))

// authorize asks who it is, and sends them back with a code (Core §3.1.2).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != p.Client || q.Get("redirect_uri") != p.Redirect {
		http.Error(w, "no such client, or it is not to be answered there", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {p.Issuer}}
	switch {
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("state") == "" || q.Get("nonce") == "":
		back.Set("error", "invalid_request")
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		p.mu.Lock()
		people := maps.Clone(p.people)
		p.mu.Unlock()
		_ = page.Execute(w, people) // the client has gone otherwise
		return
	default:
		subject := r.PostFormValue("subject")
		if _, ok := p.Person(subject); !ok {
			back.Set("error", "access_denied")
			break
		}
		code := rand.Text()
		p.mu.Lock()
		p.codes[code] = grant{subject, q.Get("nonce"), q.Get("code_challenge")}
		p.mu.Unlock()
		back.Set("code", code)
	}
	http.Redirect(w, r, p.Redirect+"?"+back.Encode(), http.StatusSeeOther)
}

// token changes a code, or a refresh token, for tokens: each once.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) { reply(w, status, map[string]string{"error": code}) }
	id, secret, basic := r.BasicAuth()
	id, _ = url.QueryUnescape(id) // RFC 6749 §2.3.1
	secret, _ = url.QueryUnescape(secret)
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != p.Client || secret != p.Secret {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	var g grant
	var ok bool
	p.mu.Lock()
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		code := r.PostFormValue("code")
		g, ok = p.codes[code]
		delete(p.codes, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		ok = ok && r.PostFormValue("redirect_uri") == p.Redirect && base64.RawURLEncoding.EncodeToString(sum[:]) == g.challenge
	case "refresh_token":
		old := r.PostFormValue("refresh_token")
		g.subject, ok = p.refresh[old]
		delete(p.refresh, old)
	}
	who, here := p.people[g.subject]
	p.mu.Unlock()
	if !ok || !here {
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	now := time.Now()
	claims := map[string]any{
		"iss": p.Issuer, "sub": g.subject, "aud": p.Client, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "name": who.Name, "groups": who.Groups, "sid": "session of " + g.subject,
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	payload, err := json.Marshal(p.twist("id", claims))
	if err != nil {
		refuse(http.StatusInternalServerError, "server_error")
		return
	}
	var token string
	if p.Sign != nil {
		token = p.Sign(payload)
	} else if token, err = p.Signed(payload); err != nil {
		refuse(http.StatusInternalServerError, "server_error")
		return
	}
	out := map[string]any{"token_type": "Bearer", "expires_in": 300, "id_token": token}
	p.mu.Lock()
	access, again := rand.Text(), rand.Text()
	p.access[access] = g.subject
	out["access_token"] = access
	if !p.Brief {
		p.refresh[again] = g.subject
		out["refresh_token"] = again
	}
	p.mu.Unlock()
	reply(w, http.StatusOK, out)
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	var who Person
	ok := false
	p.mu.Lock()
	subject := p.access[trim(r.Header.Get("Authorization"))]
	who, ok = p.people[subject]
	p.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	reply(w, http.StatusOK, p.twist("info", map[string]any{"sub": subject, "name": who.Name, "groups": slices.Clone(who.Groups)}))
}

func trim(header string) string {
	const scheme = "Bearer "
	return header[min(len(header), len(scheme)):]
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone otherwise
}

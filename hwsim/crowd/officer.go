package crowd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"time"

	"passage/hwsim/passkey"
	"passage/kiosk/fleet"
	"passage/kiosk/officer"
)

// Officer is an officer's page at a console: it signs in with a simulated
// passkey, watches the lanes and says words.
type Officer struct {
	ID string

	origin  string
	http    *http.Client
	passkey *passkey.Passkey
	key     *ecdsa.PrivateKey
	session officer.Session
}

// Register makes a passkey at the address of an invitation. The officer can
// sign in once a roster has it.
func Register(ctx context.Context, id, page string) (*Officer, error) {
	u, err := url.Parse(page)
	if err != nil {
		return nil, fmt.Errorf("crowd: register: %w", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("crowd: register: %w", err)
	}
	key, err := passkey.New(u.Hostname())
	if err != nil {
		return nil, err
	}
	o := &Officer{ID: id, origin: u.Scheme + "://" + u.Host, http: &http.Client{Jar: jar}, passkey: key}
	code := u.Query().Get("code")
	var begun struct {
		Options struct {
			PublicKey struct{ Challenge string } `json:"publicKey"`
		}
	}
	if err := o.call(ctx, http.MethodPost, "/api/register/begin", map[string]string{"code": code}, &begun); err != nil {
		return nil, err
	}
	challenge, err := base64.RawURLEncoding.DecodeString(begun.Options.PublicKey.Challenge)
	if err != nil {
		return nil, fmt.Errorf("crowd: register: %w", err)
	}
	made, err := o.passkey.Create(o.origin, challenge)
	if err != nil {
		return nil, err
	}
	return o, o.call(ctx, http.MethodPost, "/api/register/finish", map[string]any{"code": code, "response": made}, nil)
}

// SignIn makes a session key and has the passkey certify it.
func (o *Officer) SignIn(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("crowd: sign in: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("crowd: sign in: %w", err)
	}
	var begun struct {
		Session   officer.Session `json:"session"`
		Challenge []byte          `json:"challenge"`
	}
	if err := o.call(ctx, http.MethodPost, "/api/sign-in/begin", map[string]any{"officer": o.ID, "key": public}, &begun); err != nil {
		return err
	}
	o.key, o.session = key, begun.Session
	if o.session.Assertion, err = o.passkey.Get(o.origin, begun.Challenge); err != nil {
		return err
	}
	return o.call(ctx, http.MethodPost, "/api/sign-in/finish", o.session, nil)
}

// call makes a request; out takes the answer, as bytes or from JSON.
func (o *Officer) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("crowd: %s: %w", path, err)
	}
	q, err := http.NewRequestWithContext(ctx, method, o.origin+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("crowd: %s: %w", path, err)
	}
	resp, err := o.http.Do(q)
	if err != nil {
		return fmt.Errorf("crowd: %s: %w", path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	switch raw, _ := out.(*[]byte); {
	case err != nil:
	case resp.StatusCode >= http.StatusBadRequest:
		err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(got))
	case raw != nil:
		*raw = got
	case out != nil:
		err = json.Unmarshal(got, out)
	}
	if err != nil {
		return fmt.Errorf("crowd: %s: %w", path, err)
	}
	return nil
}

// Decide looks at the case under way on a lane and gives a decision on it. It
// returns how long the lane's answer to the word took; fleet.Answer says what
// it was.
func (o *Officer) Decide(ctx context.Context, id, transaction, decision, reason string) (time.Duration, fleet.Answer, error) {
	var a fleet.Answer
	var seen []byte
	if err := o.call(ctx, http.MethodGet, "/api/lane/"+id+"/case", nil, &seen); err != nil {
		return 0, a, err
	}
	digest := sha256.Sum256(seen)
	word := officer.Word{Lane: id, Kind: officer.Decision, Transaction: transaction, Value: decision, Reason: reason, Evidence: hex.EncodeToString(digest[:]), At: time.Now().UnixMilli()}
	text, err := json.Marshal(word)
	if err != nil {
		return 0, a, fmt.Errorf("crowd: decide: %w", err)
	}
	sum := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, o.key, sum[:])
	if err != nil {
		return 0, a, fmt.Errorf("crowd: decide: %w", err)
	}
	e := officer.Envelope{Session: o.session, Word: text, Signature: make([]byte, 64)}
	r.FillBytes(e.Signature[:32])
	s.FillBytes(e.Signature[32:])
	began := time.Now()
	err = o.call(ctx, http.MethodPost, "/api/word/"+id, e, &a)
	return time.Since(began), a, err
}

// Seen is a lane as the console's page is told of it.
type Seen struct {
	ID   string `json:"id"`
	Away bool   `json:"away"`
	View struct {
		State string `json:"state"`
		Since int64  `json:"since"` // Unix ms, of the state
		Under *struct {
			Transaction string `json:"transaction"`
			Review      bool   `json:"review"`
		} `json:"under"`
	} `json:"view"`
}

// Watch reads the console's stream until ctx ends and hands on each message:
// all lanes at first, then those that changed.
func (o *Officer) Watch(ctx context.Context, see func([]Seen)) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, o.origin+"/api/events", nil)
	if err != nil {
		return fmt.Errorf("crowd: watch: %w", err)
	}
	resp, err := o.http.Do(q)
	if err != nil {
		return fmt.Errorf("crowd: watch: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReaderSize(resp.Body, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("crowd: watch: %w", errors.Join(err, fmt.Errorf("%s", resp.Status)))
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		var m struct {
			Lanes []Seen `json:"lanes"`
		}
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("crowd: watch: %w", err)
		}
		see(m.Lanes)
	}
}

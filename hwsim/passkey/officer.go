package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"passage/kiosk/officer"
)

// Officer is an officer at a page: a passkey, and a session key that it has
// certified.
type Officer struct {
	Passkey *Passkey
	origin  string
	key     *ecdsa.PrivateKey
	session officer.Session
}

// SignIn makes an officer who signed in at a time, for eight hours, on the page
// at https://rpID.
func SignIn(id, rpID string, at time.Time) (*Officer, error) {
	p, err := New(rpID)
	if err != nil {
		return nil, err
	}
	o := &Officer{Passkey: p, origin: "https://" + rpID}
	if o.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("passkey: officer: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&o.key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("passkey: officer: %w", err)
	}
	o.session = officer.Session{Officer: id, Key: public, Issued: at.Unix(), Expires: at.Add(8 * time.Hour).Unix()}
	o.session.Assertion, err = p.Get(o.origin, o.session.Challenge(rpID))
	return o, err
}

// Row is the officer's row of a roster.
func (o *Officer) Row(role officer.Role) (officer.Officer, error) {
	public, err := o.Passkey.Public()
	return officer.Officer{ID: o.session.Officer, Name: o.session.Officer, Role: role, Passkeys: []officer.Passkey{{ID: o.Passkey.ID, Key: public}}}, err
}

// Say signs a word, as JSON. Touched says that the passkey is touched for it.
func (o *Officer) Say(w officer.Word, touched bool) ([]byte, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("passkey: word: %w", err)
	}
	e := officer.Envelope{Session: o.session, Word: text, Signature: make([]byte, 64)}
	digest := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, o.key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("passkey: word: %w", err)
	}
	r.FillBytes(e.Signature[:32])
	s.FillBytes(e.Signature[32:])
	if touched {
		if e.Fresh, err = o.Passkey.Get(o.origin, officer.FreshChallenge(text)); err != nil {
			return nil, err
		}
	}
	return json.Marshal(e)
}

package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"passage/durable"
)

// A lane's certificate is renewed over the connection that it has: the lane makes
// a new key, asks for a certificate of it, tries both at the site's door, and only
// then keeps them, in one file in the place of the last renewed pair. Whatever
// happens before that write changes nothing on the lane; after it the new pair is
// whole. The pair of the enrolment is the operator's and stays as it is.
//
// What shuts a lane's computer out is its NATS user, which no renewal changes: its
// certificates, old and new, are worth nothing once the site has revoked that.

// Renewal is a lane's question for a certificate of a new key.
type Renewal struct {
	CSR  []byte `json:"csr"`  // PKCS #10 for the lane's id, DER; signed with the new key
	User []byte `json:"user"` // signature of the lane's NATS user over what it asks
}

// Renewed is the site's answer: a certificate, DER.
type Renewed struct {
	Cert []byte `json:"cert"`
}

const (
	maxRenewal = 4 << 10 // bytes of a question, and of an answer

	renewFirst = time.Minute // after the lane's start, at most
	renewEvery = time.Hour   // is looked whether it is time, and asked again after a refusal
	renewAway  = time.Minute // the same, while the site is away
)

// renewalOf is what a lane's user signs: no site can take it for another word.
func renewalOf(lane string, csr []byte) []byte {
	return append([]byte("passage: renew the certificate of lane "+lane+"\n"), csr...)
}

// ProveRenewal returns the key for which a lane asks for a certificate: a P-256
// key that the lane has, and for which the user asks that the lane enrolled with.
func ProveRenewal(lane, user string, b []byte) (*ecdsa.PublicKey, error) {
	var in Renewal
	if len(b) > maxRenewal {
		return nil, fmt.Errorf("fleet: renewal: %d bytes", len(b))
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("fleet: renewal: %w", err)
	}
	by, err := nkeys.FromPublicKey(user)
	if err == nil {
		err = by.Verify(renewalOf(lane, in.CSR), in.User)
	}
	if err != nil {
		return nil, fmt.Errorf("fleet: renewal: it is not the lane's user who asks: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(in.CSR)
	if err != nil {
		return nil, fmt.Errorf("fleet: renewal: %w", err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("fleet: renewal: a lane's key is one of P-256")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("fleet: renewal: who asks has not the key: %w", err)
	}
	if csr.Subject.CommonName != lane {
		return nil, fmt.Errorf("fleet: renewal: lane %s asks for the name %.40q", lane, csr.Subject.CommonName)
	}
	return key, nil
}

// Pair is the certificate and key that the lane shows its site now: those of its
// enrolment, or the renewed ones if the same authority signed them for the same
// lane and they end later. Renewed ones that are none cost nothing but themselves.
func (c Credentials) Pair() (*tls.Certificate, error) {
	enrolled, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	renewed, err := tls.LoadX509KeyPair(c.Renewed, c.Renewed)
	if err != nil || !renewed.Leaf.NotAfter.After(enrolled.Leaf.NotAfter) || renewed.Leaf.Subject.CommonName != enrolled.Leaf.Subject.CommonName {
		return &enrolled, nil
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	if signedFor(renewed.Leaf, roots, renewed.Leaf.NotBefore) != nil {
		return &enrolled, nil
	}
	return &renewed, nil
}

// Leaf is the certificate of Pair.
func (c Credentials) Leaf() (*x509.Certificate, error) {
	pair, err := c.Pair()
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// roots is the authority that enrolled the lane.
func (c Credentials) roots() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	b, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("fleet: %s has no certificate", c.CA)
	}
	return pool, nil
}

// signedFor says whether a certificate lets a client in, at that time.
func signedFor(leaf *x509.Certificate, roots *x509.CertPool, at time.Time) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// due says whether less than a third of a certificate's life is left.
func due(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/3
}

// renewing is a lane's way to a new pair.
type renewing struct {
	lane  string
	to    Credentials
	ask   func(context.Context, []byte) ([]byte, error) // the site
	greet func(context.Context, *tls.Certificate) error // the site's door, with the new pair
}

// step renews the lane's pair if it is time, and says whether it did. After an
// error everything is as it was.
func (r renewing) step(ctx context.Context, now time.Time) (bool, error) {
	fail := func(err error) (bool, error) { return false, fmt.Errorf("fleet: renew: %w", err) }
	old, err := r.to.Leaf()
	if err != nil {
		return fail(err)
	}
	if !due(old, now) {
		return false, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	question, err := r.question(key)
	if err != nil {
		return fail(err)
	}
	answer, err := r.ask(ctx, question)
	if err != nil {
		return fail(err)
	}
	roots, err := r.to.roots()
	if err != nil {
		return fail(err)
	}
	leaf, err := r.take(answer, roots, &key.PublicKey, old, now)
	if err != nil {
		return fail(err)
	}
	if err := r.greet(ctx, &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}); err != nil {
		return fail(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fail(err)
	}
	defer clear(der)
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	defer clear(both)
	if err := durable.Replace(r.to.Renewed, both, 0o600); err != nil {
		return fail(err)
	}
	return true, nil
}

// question asks for a certificate of key, by the lane's user.
func (r renewing) question(key *ecdsa.PrivateKey) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: r.lane}}, key)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(r.to.User)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	user, err := jwt.ParseDecoratedUserNKey(b)
	if err != nil {
		return nil, err
	}
	defer user.Wipe()
	sig, err := user.Sign(renewalOf(r.lane, csr))
	if err != nil {
		return nil, err
	}
	return json.Marshal(Renewal{CSR: csr, User: sig})
}

// take returns the certificate of an answer: of this key, for this lane and
// nothing else, by the authority that enrolled it, and worth having.
func (r renewing) take(b []byte, roots *x509.CertPool, key *ecdsa.PublicKey, old *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	var in Renewed
	if len(b) > maxRenewal {
		return nil, fmt.Errorf("an answer of %d bytes", len(b))
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	leaf, err := x509.ParseCertificate(in.Cert)
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	switch err := signedFor(leaf, roots, now); {
	case err != nil:
		return nil, fmt.Errorf("the answer: %w", err)
	case !key.Equal(leaf.PublicKey):
		return nil, errors.New("the certificate is for another key")
	case leaf.Subject.CommonName != r.lane || leaf.IsCA:
		return nil, fmt.Errorf("the certificate is for %.40q", leaf.Subject.CommonName)
	case !leaf.NotAfter.After(old.NotAfter) || due(leaf, now):
		return nil, fmt.Errorf("the certificate ends on %s: do the clocks of lane and site agree?", leaf.NotAfter.Format(time.DateOnly))
	}
	return leaf, nil
}

// renewals renews the lane's certificate when it is time, until ctx ends.
func (c *Client) renewals(ctx context.Context, nc *nats.Conn) error {
	if c.to.Renewed == "" {
		return nil
	}
	paced(ctx, nc.IsConnected, func(now time.Time) {
		if err := c.renew(ctx, nc, now); err != nil && ctx.Err() == nil {
			c.Log.Warn("the site's certificate for this lane is not renewed: this is tried again", "error", err)
		}
	})
	return nil
}

// paced calls look while the site is there, until ctx ends: every hour or two,
// whatever came of it. A thousand lanes that were enrolled on one day come apart.
func paced(ctx context.Context, there func() bool, look func(time.Time)) {
	wait := time.NewTimer(randv2.N(renewFirst))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		next := renewAway
		if there() {
			look(time.Now())
			next = renewEvery
		}
		wait.Reset(next + randv2.N(next))
	}
}

// renew takes a step, and has the connection use a new pair.
func (c *Client) renew(ctx context.Context, nc *nats.Conn, now time.Time) error {
	r := renewing{
		c.Lane, c.to,
		func(ctx context.Context, b []byte) ([]byte, error) {
			m, err := request(ctx, nc, Question(c.Lane, "renew"), b)
			if err != nil {
				return nil, err
			}
			return m.Data, nil
		},
		func(ctx context.Context, pair *tls.Certificate) error { return greet(ctx, c.to, pair) },
	}
	done, err := r.step(ctx, now)
	if err != nil || !done {
		return err
	}
	c.Log.Info("the site's certificate for this lane is renewed")
	if err := nc.ForceReconnect(); err != nil {
		return fmt.Errorf("fleet: renew: %w", err)
	}
	return nil
}

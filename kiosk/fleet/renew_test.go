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
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// notary is a site's authority in a test.
type notary struct {
	tb  testing.TB
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// newUser is a NATS user, and its account's word for it.
func newUser(tb testing.TB) (user nkeys.KeyPair, public, token string) {
	tb.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		tb.Fatal(err)
	}
	if public, err = user.PublicKey(); err != nil {
		tb.Fatal(err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		tb.Fatal(err)
	}
	if token, err = jwt.NewUserClaims(public).Encode(account); err != nil {
		tb.Fatal(err)
	}
	return user, public, token
}

func newNotary(tb testing.TB, now time.Time) notary {
	tb.Helper()
	n := notary{tb: tb, key: newKey(tb)}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	n.ca = c
	n.ca = n.sign(c, &n.key.PublicKey)
	return n
}

func (n notary) sign(c *x509.Certificate, of any) *x509.Certificate {
	n.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, n.ca, of, n.key)
	if err != nil {
		n.tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		n.tb.Fatal(err)
	}
	return leaf
}

// client is a lane's certificate of 90 days.
func client(name string, from time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: from.AddDate(0, 0, 90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func pems(tb testing.TB, c *x509.Certificate, key *ecdsa.PrivateKey) (cert, secret []byte) {
	tb.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// bench is the lane E1, enrolled on a day, and its site.
type bench struct {
	t        *testing.T
	site     notary
	enrolled time.Time
	user     string
	asked    int
	greeted  int
	r        renewing
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, enrolled: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	b.site = newNotary(t, b.enrolled)
	key := newKey(t)
	cert, secret := pems(t, b.site.sign(client("E1", b.enrolled), &key.PublicKey), key)
	user, public, token := newUser(t)
	b.user = public
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	to := credentials(dir)
	to.Renewed = filepath.Join(dir, "lane.db.site.pem")
	ca, _ := pems(t, b.site.ca, b.site.key)
	for path, body := range map[string][]byte{to.CA: ca, to.Cert: cert, to.Key: secret, to.User: creds} {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.r = renewing{
		lane: "E1", to: to,
		greet: func(_ context.Context, pair *tls.Certificate) error { b.greeted++; return nil },
	}
	return b
}

// answers has the site answer as it should, on that day.
func (b *bench) answers(now time.Time) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, q []byte) ([]byte, error) {
		b.asked++
		key, err := ProveRenewal("E1", b.user, q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(Renewed{b.site.sign(client("E1", now.Add(-time.Hour)), key).Raw})
	}
}

// day is so many days after the enrolment.
func (b *bench) day(n int) time.Time { return b.enrolled.AddDate(0, 0, n) }

// shows fails unless the lane shows a pair that fits and ends on that day.
func (b *bench) shows(end time.Time) {
	b.t.Helper()
	pair, err := b.r.to.Pair()
	if err != nil {
		b.t.Fatal(err)
	}
	if key, ok := pair.PrivateKey.(*ecdsa.PrivateKey); !ok || !key.PublicKey.Equal(pair.Leaf.PublicKey) {
		b.t.Error("a certificate and another's key")
	}
	if d := pair.Leaf.NotAfter.Sub(end); d < -2*time.Hour || d > 2*time.Hour {
		b.t.Errorf("it shows a certificate that ends on %v, not %v", pair.Leaf.NotAfter, end)
	}
}

// A year of a lane: it asks when less than a third of the certificate's life is
// left and not before, and again of the renewed one.
func TestRenewalInTime(t *testing.T) {
	b := newBench(t)
	var on []int
	for day := range 200 {
		b.r.ask = b.answers(b.day(day))
		done, err := b.r.step(t.Context(), b.day(day))
		if err != nil {
			t.Fatal(err)
		}
		if done {
			on = append(on, day)
			b.shows(b.day(day + 90))
		}
	}
	if len(on) != 3 || on[0] != 61 || on[1] != 121 && on[1] != 122 || b.asked != 3 || b.greeted != 3 {
		t.Errorf("renewed on the days %v, asked %d times, greeted %d times", on, b.asked, b.greeted)
	}
}

// Wherever the lane dies or the site fails, the lane has a pair that fits and lets
// it in, and renews it the next time.
func TestRenewalCutShort(t *testing.T) {
	lost := errors.New("lost")
	now := 70
	for name, fault := range map[string]func(*bench){
		"the question is lost": func(b *bench) {
			b.r.ask = func(context.Context, []byte) ([]byte, error) { return nil, lost }
		},
		"the answer is lost": func(b *bench) {
			ask := b.r.ask
			b.r.ask = func(ctx context.Context, q []byte) ([]byte, error) {
				_, err := ask(ctx, q)
				return nil, errors.Join(err, lost)
			}
		},
		"the new pair is not let in": func(b *bench) {
			b.r.greet = func(context.Context, *tls.Certificate) error { return lost }
		},
		"the pair cannot be kept": func(b *bench) { b.r.to.Renewed = filepath.Join(b.t.TempDir(), "no", "folder") },
		"the user cannot be read": func(b *bench) { b.r.to.User = "" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.r.ask = b.answers(b.day(now))
			good := b.r
			fault(b)
			if done, err := b.r.step(t.Context(), b.day(now)); done || err == nil {
				t.Errorf("renewed: %v, %v", done, err)
			}
			if _, err := os.Stat(good.to.Renewed); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was left: %v", err)
			}
			b.shows(b.day(90))
			b.r = good
			if done, err := b.r.step(t.Context(), b.day(now)); !done || err != nil {
				t.Errorf("not renewed afterwards: %v, %v", done, err)
			}
			b.shows(b.day(now + 90))
		})
	}
}

// A renewed pair that is torn, foreign or of another lane costs nothing but
// itself: the lane shows the one of its enrolment.
func TestRenewedFileOfNoUse(t *testing.T) {
	b := newBench(t)
	b.r.ask = b.answers(b.day(70))
	if done, err := b.r.step(t.Context(), b.day(70)); !done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}
	whole, err := os.ReadFile(b.r.to.Renewed)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(b.r.to.Renewed); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	put := func(body []byte) {
		t.Helper()
		if err := os.WriteFile(b.r.to.Renewed, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range len(strings.TrimSpace(string(whole))) {
		put(whole[:n])
		b.shows(b.day(90))
	}
	key, stranger := newKey(t), newNotary(t, b.enrolled)
	for name, c := range map[string]*x509.Certificate{
		"another authority's": stranger.sign(client("E1", b.day(70)), &key.PublicKey),
		"another lane's":      b.site.sign(client("E2", b.day(70)), &key.PublicKey),
		"an older one":        b.site.sign(client("E1", b.day(-1)), &key.PublicKey),
		"another key's":       b.site.sign(client("E1", b.day(70)), &newKey(t).PublicKey),
	} {
		t.Run(name, func(t *testing.T) {
			cert, secret := pems(t, c, key)
			put(append(cert, secret...))
			b.shows(b.day(90))
		})
	}
	put(whole)
	b.shows(b.day(160))
}

// What is not the answer to the lane's question changes nothing, and is not tried
// at the site's door.
func TestForgedRenewals(t *testing.T) {
	b := newBench(t)
	now := b.day(70)
	stranger := newNotary(t, b.enrolled)
	altered := func(change func(*x509.Certificate)) *x509.Certificate {
		c := client("E1", now.Add(-time.Hour))
		change(c)
		return c
	}
	for name, answer := range map[string]func(key any) []byte{
		"nothing":              func(any) []byte { return nil },
		"no certificate":       func(any) []byte { return []byte("no") },
		"much":                 func(any) []byte { return make([]byte, maxRenewal) },
		"an authority's forge": func(key any) []byte { return stranger.sign(client("E1", now), key).Raw },
		"another key's":        func(any) []byte { return b.site.sign(client("E1", now), &newKey(t).PublicKey).Raw },
		"another lane's":       func(key any) []byte { return b.site.sign(client("E2", now), key).Raw },
		"an authority": func(key any) []byte {
			return b.site.sign(altered(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), key).Raw
		},
		"a server's": func(key any) []byte {
			return b.site.sign(altered(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), key).Raw
		},
		"one that is over": func(key any) []byte { return b.site.sign(client("E1", b.day(-100)), key).Raw },
		"one of tomorrow":  func(key any) []byte { return b.site.sign(client("E1", b.day(71)), key).Raw },
		"the same end": func(key any) []byte {
			return b.site.sign(altered(func(c *x509.Certificate) { c.NotAfter = b.day(90) }), key).Raw
		},
		"one that is due": func(key any) []byte {
			return b.site.sign(altered(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = b.day(0), b.day(91) }), key).Raw
		},
	} {
		t.Run(name, func(t *testing.T) {
			b.r.ask = func(_ context.Context, q []byte) ([]byte, error) {
				key, err := ProveRenewal("E1", b.user, q)
				if err != nil {
					t.Fatal(err)
				}
				return json.Marshal(Renewed{answer(key)})
			}
			if done, err := b.r.step(t.Context(), now); done || err == nil {
				t.Errorf("taken: %v", done)
			}
			b.shows(b.day(90))
		})
	}
	if b.greeted != 0 {
		t.Errorf("%d of them were tried", b.greeted)
	}
}

// A question counts for the lane whose user asks it, by a key that the lane has.
func TestProveRenewal(t *testing.T) {
	b := newBench(t)
	q, err := b.r.question(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ProveRenewal("E1", b.user, q); err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	b.r.lane = "E2"
	named, err := b.r.question(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	var in Renewal
	if err := json.Unmarshal(q, &in); err != nil {
		t.Fatal(err)
	}
	altered := func(change func(*Renewal)) []byte {
		r := Renewal{append([]byte(nil), in.CSR...), append([]byte(nil), in.User...)}
		change(&r)
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	user := func(r *Renewal) { // the lane's user asks for it
		b.r.lane = "E1"
		file, err := os.ReadFile(b.r.to.User)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := jwt.ParseDecoratedUserNKey(file)
		if err == nil {
			r.User, err = pair.Sign(renewalOf("E1", r.CSR))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr := func(name string, key *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for name, c := range map[string]struct {
		lane, user string
		body       []byte
	}{
		"another lane's name":             {"E2", b.user, q},
		"another lane's user":             {"E1", other.user, q},
		"asked as another lane":           {"E1", b.user, named},
		"a request with another's name":   {"E1", b.user, altered(func(r *Renewal) { r.CSR = csr("E2", newKey(t)); user(r) })},
		"a key that the lane has not":     {"E1", b.user, altered(func(r *Renewal) { r.CSR[len(r.CSR)-1] ^= 1; user(r) })},
		"another request under the words": {"E1", b.user, altered(func(r *Renewal) { r.CSR = csr("E1", newKey(t)) })},
		"another curve":                   {"E1", b.user, altered(func(r *Renewal) { r.CSR = csr("E1", p384); user(r) })},
		"no request":                      {"E1", b.user, altered(func(r *Renewal) { r.CSR = []byte("no"); user(r) })},
		"no user":                         {"E1", "", q},
		"nothing":                         {"E1", b.user, nil},
		"much":                            {"E1", b.user, make([]byte, maxRenewal+1)},
	} {
		if _, err := ProveRenewal(c.lane, c.user, c.body); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A lane looks soon after its start, and then every hour or two, whatever comes of
// it; while its site is away it waits for it, and asks nothing.
func TestRenewalPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		back := began.Add(3 * time.Hour)
		ctx, cancel := context.WithDeadline(t.Context(), began.AddDate(0, 0, 10))
		defer cancel()
		var looks []time.Time
		paced(ctx, func() bool { return !time.Now().Before(back) }, func(now time.Time) { looks = append(looks, now) })
		if len(looks) < 120 || len(looks) > 240 {
			t.Fatalf("looked %d times in ten days", len(looks))
		}
		if late := looks[0].Sub(back); late < 0 || late > 2*renewAway {
			t.Errorf("it looked %v after its site had come back", late)
		}
		for i := range len(looks) - 1 {
			if d := looks[i+1].Sub(looks[i]); d < renewEvery || d > 2*renewEvery {
				t.Errorf("it looked again after %v", d)
			}
		}
	})
}

package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/web"
	"passage/sqlite"
)

// strict is a lane to which nobody may get through without a proven word.
type strict struct {
	web.Desk
	t *testing.T
}

func (s strict) Decide(context.Context, kiosk.Officer, string, lane.Decision, string, string, string) error {
	s.t.Error("an unproven word decided")
	return nil
}

func (s strict) Order(context.Context, kiosk.Officer, lane.OfficerOrder) error {
	s.t.Error("an unproven word gave an order")
	return nil
}

func (strict) View() kiosk.View { return kiosk.View{} }

func (strict) Cases(context.Context) ([]kiosk.Case, error) { return nil, nil }

func (strict) Face(string, string) ([]byte, bool) { return nil, false }

// FuzzDo feeds a lane words that nobody signed.
func FuzzDo(f *testing.F) {
	r := &officer.Roster{Version: 1, Until: time.Now().AddDate(1, 0, 0), RPID: "localhost", Origins: []string{"https://localhost"}, Officers: []officer.Officer{{ID: "anna", Role: officer.Guard}}}
	word, err := json.Marshal(officer.Word{Lane: "E1", Kind: officer.Order, Value: "open", At: time.Now().UnixMilli()})
	if err != nil {
		f.Fatal(err)
	}
	e, err := json.Marshal(officer.Envelope{Session: officer.Session{Officer: "anna", Expires: time.Now().Add(time.Hour).Unix()}, Word: word})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e)
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Client{Lane: "E1", Desk: strict{t: t}, Log: slog.New(slog.DiscardHandler)}
		c.ear.Lane = "E1"
		if err := c.ear.Take(r); err != nil {
			t.Fatal(err)
		}
		if a := c.do(t.Context(), b); a.OK || a.Code == "" {
			t.Errorf("%q is answered by %+v", b, a)
		}
	})
}

// FuzzAsk feeds a lane questions. Without a connection no answer can leave:
// what is tried is that none harms.
func FuzzAsk(f *testing.F) {
	f.Add([]byte(`{"what":"face","transaction":"t","which":"chip"}`))
	f.Add([]byte(`{"what":"cases"}`))
	f.Add([]byte(`{"what":"case"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Client{Lane: "E1", Desk: strict{t: t}, Log: slog.New(slog.DiscardHandler)}
		c.ask(t.Context(), &nats.Msg{Data: b})
		if len(c.served) != 0 {
			t.Errorf("%q made the lane show a case where there is none", b)
		}
	})
}

// FuzzRoster feeds a lane what a site may answer to its question: without the
// roster key's signature nobody gets a say.
func FuzzRoster(f *testing.F) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := officer.Roster{RPID: "localhost", Origins: []string{"https://localhost"}, Until: time.Now().AddDate(1, 0, 0)}.Sign(private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Roster, good.Signature)
	f.Add([]byte(`{}`), make([]byte, ed25519.SignatureSize))
	f.Fuzz(func(t *testing.T, roster, signature []byte) {
		_, err := officer.Signed{Roster: roster, Signature: signature}.Open(public, time.Now())
		if signed := string(roster) == string(good.Roster) && string(signature) == string(good.Signature); (err == nil) != signed {
			t.Errorf("%q: %v", roster, err)
		}
	})
}

// FuzzGot feeds a lane what a site may say about its journal: it goes on after
// an entry that is its own, or not at all.
func FuzzGot(f *testing.F) {
	db, err := sqlite.Open(f.Context(), filepath.Join(f.TempDir(), "lane.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := journal.Open(f.Context(), db.Writer, ring, nil); err != nil {
		f.Fatal(err)
	}
	if _, err := db.Writer.Exec("INSERT INTO entry (seq, run, now, at, txn, event, body, effects, state, chain) VALUES (1, 1, 1, 1, 1, 'Tick', X'', X'', X'', ?)", bytes.Repeat([]byte{7}, 32)); err != nil {
		f.Fatal(err)
	}
	for _, got := range []Got{{}, {Seq: 1, Chain: bytes.Repeat([]byte{7}, 32)}, {Seq: 1, Chain: []byte("x")}, {Seq: 9}, {Seq: -1}, {Problem: "no"}} {
		b, err := json.Marshal(got)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		at, err := arrived(t.Context(), db.Reader, b)
		if err == nil && at != 0 && at != 1 || err != nil && at != -1 {
			t.Errorf("%q: goes on after %d, %v", b, at, err)
		}
	})
}

// FuzzAnswer feeds the site what a lane may answer to a word: what reaches
// officers' pages is a code of ours and a short line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"ok":true}`))
	f.Add([]byte(`{"code":"stale","error":"kiosk: the case is over"}`))
	f.Add([]byte(`{"code":"<script>"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnswer(b)
		if err != nil {
			return
		}
		if len(a.Error) > maxError || a.Code != "" && codes[a.Code] == nil || strings.ContainsAny(a.Error, "\n\r\x1b") {
			t.Errorf("%q passes as %+v", b, a)
		}
	})
}

// FuzzEnrolment feeds a lane what a console may give it for its code: it takes
// credentials that are for its own keys, from the authority that the code named.
func FuzzEnrolment(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	_, public, token := newUser(f)
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
	sign := func(c *x509.Certificate, of any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, authority, of, key)
		if err != nil {
			f.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	ca := sign(authority, &key.PublicKey)
	block, _ := pem.Decode(ca)
	if authority, err = x509.ParseCertificate(block.Bytes); err != nil {
		f.Fatal(err)
	}
	cert := sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "E1"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}, &key.PublicKey)
	good := Enrolment{Lane: "E1", Fleet: "tls://127.0.0.1:4222", CA: ca, Cert: cert, JWT: token}
	if err := good.sound(authority, &key.PublicKey, public); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Lane, good.Fleet, good.CA, good.Cert, good.JWT)
	f.Add("E1", "nats://127.0.0.1:4222", ca, cert, token)
	f.Add("../E1", "tls://x:1", cert, ca, "")
	f.Fuzz(func(t *testing.T, lane, address string, ca, cert []byte, token string) {
		e := Enrolment{Lane: lane, Fleet: address, CA: ca, Cert: cert, JWT: token}
		if e.sound(authority, &key.PublicKey, public) != nil {
			return
		}
		if !bytes.Equal(e.CA, good.CA) || Valid(e.Lane) != nil || !strings.HasPrefix(e.Fleet, "tls://") {
			t.Errorf("taken: %+v", e)
		}
		if _, err := tls.X509KeyPair(e.Cert, pem.EncodeToMemory(pemKey(t, key))); err != nil {
			t.Errorf("a certificate for other keys: %v", err)
		}
	})
}

// FuzzRenewed feeds a lane what a site may answer to its question for a new
// certificate: it takes one for its key and its name, of its authority.
func FuzzRenewed(f *testing.F) {
	now := time.Now()
	site, stranger, key := newNotary(f, now), newNotary(f, now), newKey(f)
	old := site.sign(client("E1", now.AddDate(0, 0, -80)), &key.PublicKey)
	good := site.sign(client("E1", now.Add(-time.Hour)), &key.PublicKey)
	roots := x509.NewCertPool()
	roots.AddCert(site.ca)
	r := renewing{lane: "E1"}
	for _, c := range []*x509.Certificate{good, old, site.ca, stranger.sign(client("E1", now), &key.PublicKey), site.sign(client("E2", now), &key.PublicKey)} {
		b, err := json.Marshal(Renewed{c.Raw})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		if _, err := r.take(b, roots, &key.PublicKey, old, now); (err == nil) != (c == good) {
			f.Fatalf("%v: %v", c.Subject, err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if leaf, err := r.take(b, roots, &key.PublicKey, old, now); err == nil && !leaf.Equal(good) {
			t.Errorf("taken: %v", leaf.Subject)
		}
	})
}

// FuzzRenewal feeds the site what a lane may ask for: without the signatures of
// the lane's user and of the new key it signs nothing.
func FuzzRenewal(f *testing.F) {
	user, public, _ := newUser(f)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "E1"}}, newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	sig, err := user.Sign(renewalOf("E1", csr))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr, sig)
	f.Add(csr[:len(csr)-1], sig)
	f.Fuzz(func(t *testing.T, ask, by []byte) {
		b, err := json.Marshal(Renewal{ask, by})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ProveRenewal("E1", public, b); err == nil && !bytes.Equal(ask, csr) {
			t.Errorf("signed for %x", ask)
		}
		_, _ = ProveRenewal("E1", public, ask) // the form itself harms nobody either
	})
}

func pemKey(t *testing.T, key *ecdsa.PrivateKey) *pem.Block {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
}

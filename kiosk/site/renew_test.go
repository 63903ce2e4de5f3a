package site

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"passage/kiosk/fleet"
	"passage/kiosk/inlet"
)

// The site signs for the computer that it knows as the lane: not for one that was
// shut out or replaced, not for another lane, and not without end.
func TestRenew(t *testing.T) {
	dir := t.TempDir()
	k, err := loadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := openStore(t.Context(), filepath.Join(dir, "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &Site{conf: Config{Log: slog.New(slog.DiscardHandler)}, keys: k, db: db, renewals: inlet.Paces{Rate: rate.Every(time.Hour), Burst: renewalsAtOnce, Most: maxLanes}}
	enrol := func(lane string) user {
		t.Helper()
		u, err := createUser()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Writer.Exec("INSERT INTO lane VALUES (?,?,?) ON CONFLICT DO UPDATE SET user=excluded.user", lane, u.public, 1); err != nil {
			t.Fatal(err)
		}
		return u
	}
	asks := func(lane string, u user) (*ecdsa.PrivateKey, []byte) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: lane}, DNSNames: []string{"console.example"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := u.pair.Sign(append([]byte("passage: renew the certificate of lane "+lane+"\n"), csr...))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(fleet.Renewal{CSR: csr, User: sig})
		if err != nil {
			t.Fatal(err)
		}
		return key, b
	}
	first, other := enrol("E1"), enrol("E2")
	key, body := asks("E1", first)
	out, err := s.renew(t.Context(), "E1", body)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(out.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Subject.String() != "CN=E1" || !key.PublicKey.Equal(leaf.PublicKey) || leaf.IsCA || len(leaf.DNSNames) > 0 || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || leaf.CheckSignatureFrom(k.ca) != nil {
		t.Errorf("the site signed %v for %v %v", leaf.Subject, leaf.DNSNames, leaf.ExtKeyUsage)
	}
	if _, err := s.renew(t.Context(), "E2", body); err == nil {
		t.Error("a lane's question counts for another one")
	}
	if _, body := asks("E1", other); refused(t, s, "E1", body) == nil {
		t.Error("a lane gets another's name")
	}
	enrol("E1")
	if refused(t, s, "E1", body) == nil {
		t.Error("a computer that was replaced is signed for")
	}
	if _, err := Revoke(t.Context(), db.Writer, "E2"); err != nil {
		t.Fatal(err)
	}
	if _, body := asks("E2", other); !errors.Is(refused(t, s, "E2", body), ErrNoLane) {
		t.Error("a computer that was shut out is signed for")
	}
	busy := enrol("E3")
	_, body = asks("E3", busy)
	for range renewalsAtOnce {
		if _, err := s.renew(t.Context(), "E3", body); err != nil {
			t.Fatal(err)
		}
	}
	if refused(t, s, "E3", body) == nil {
		t.Error("a lane gets certificates without end")
	}
}

func refused(t *testing.T, s *Site, lane string, body []byte) error {
	t.Helper()
	out, err := s.renew(t.Context(), lane, body)
	if err != nil && out.Cert != nil {
		t.Error("an error and a certificate")
	}
	return err
}

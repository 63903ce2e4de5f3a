package fleet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
)

// aged gives a computer a certificate of its site of which a ninth is left.
func (a *airport) aged(c *computer) {
	a.t.Helper()
	path := filepath.Join(a.dir, "keys", "ca.pem")
	authority, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		a.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	now := time.Now()
	old := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: c.id}, NotBefore: now.AddDate(0, 0, -80), NotAfter: now.AddDate(0, 0, 10),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, old, authority.Leaf, key.Public(), authority.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for path, b := range map[string]*pem.Block{c.creds.Cert: {Type: "CERTIFICATE", Bytes: der}, c.creds.Key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// A lane renews its certificate at its site and goes on with it, without a
// restart and after one. The word that shuts it out shuts out both of its pairs,
// and who was shut out renews nothing.
func TestRenewalAtTheSite(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	a.aged(c)
	c.creds.Renewed = c.path + ".site.pem"
	c.start()
	c.cross(1)
	a.has("E1", 1, 20)
	leaf := func() *x509.Certificate {
		t.Helper()
		l, err := c.creds.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	old := leaf()
	if err := c.client.Renew(t.Context(), old.NotBefore.AddDate(0, 0, 59)); err != nil || !leaf().Equal(old) {
		t.Fatalf("renewed before it was time: %v", err)
	}
	if err := c.client.Renew(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	renewed := leaf()
	if renewed.Equal(old) || time.Until(renewed.NotAfter) < 89*24*time.Hour || renewed.Subject.CommonName != "E1" || old.PublicKey.(*ecdsa.PublicKey).Equal(renewed.PublicKey) {
		t.Fatalf("the lane shows %v until %v", renewed.Subject, renewed.NotAfter)
	}
	until(t, "the lane is connected again", func() bool {
		in, times := c.client.Joined()
		return in && times > 0
	})
	c.cross(1)
	a.has("E1", 2, 40)
	if err := c.client.Renew(t.Context(), time.Now()); err != nil || !leaf().Equal(renewed) {
		t.Errorf("renewed twice: %v", err)
	}
	c.stop()
	c.start()
	c.cross(1)
	a.has("E1", 3, 60)

	if err := a.site.Revoke(t.Context(), "E1"); err != nil {
		t.Fatal(err)
	}
	enrolled := c.creds
	enrolled.Renewed = ""
	for name, creds := range map[string]fleet.Credentials{"renewed": c.creds, "enrolled": enrolled} {
		if err := fleet.Greet(t.Context(), creds); err == nil {
			t.Errorf("a computer that was shut out comes in with its %s pair", name)
		}
	}
	until(t, "the lane is cut off", func() bool { in, _ := c.client.Joined(); return !in })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.client.Renew(ctx, renewed.NotAfter.Add(-time.Hour)); err == nil || !leaf().Equal(renewed) {
		t.Errorf("a computer that was shut out renews: %v", err)
	}
}

// A lane's user may ask in its own name only.
func TestRenewalInAnothersName(t *testing.T) {
	a := newAirport(t)
	a.computer("E1")
	other := a.computer("E2")
	refused := make(chan error, 1)
	nc := other.dial(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}))
	defer nc.Close()
	if err := nc.Publish(fleet.Question("E1", "renew"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; err == nil {
		t.Error("it was let through")
	}
}

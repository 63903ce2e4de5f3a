package fleet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"passage/kiosk/fleet"
)

// Half of a code is a secret that makes a computer a lane: it is told nobody
// whose answers are not sealed, though they name the right authority.
func TestEnrolmentInTheClear(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	authority, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	var told atomic.Int32
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			told.Add(1)
		}
		_, _ = w.Write(authority)
	}))
	defer between.Close()
	if _, _, err := fleet.Enrol(t.Context(), between.URL, "SECRET-"+fleet.Fingerprint(authority), t.TempDir()); err == nil || told.Load() > 0 {
		t.Errorf("%v, and the secret was told %d times", err, told.Load())
	}
}

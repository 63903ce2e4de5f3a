package site

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"passage/durable"
	"passage/kiosk/fleet"
)

// keys are what a site owns: a certificate authority for its lanes, and the
// operator and account of its NATS server. They are made at the first start and
// lie in one folder, readable by its owner only. Whoever has them can be any
// lane; nobody who has them can be an officer.
type keys struct {
	ca       *x509.Certificate
	caKey    *ecdsa.PrivateKey
	operator nkeys.KeyPair
	account  nkeys.KeyPair
	system   nkeys.KeyPair
}

// Validity of what the site signs.
const (
	caYears  = 20
	laneDays = 90
)

func loadKeys(dir string) (*keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("site: keys: %w", err)
	}
	k := &keys{}
	for name, p := range map[string]struct {
		to   *nkeys.KeyPair
		make func() (nkeys.KeyPair, error)
	}{
		"operator.seed": {&k.operator, nkeys.CreateOperator}, "account.seed": {&k.account, nkeys.CreateAccount}, "system.seed": {&k.system, nkeys.CreateAccount},
	} {
		kp, err := seed(filepath.Join(dir, name), p.make)
		if err != nil {
			return nil, err
		}
		*p.to = kp
	}
	return k, k.authority(dir)
}

func seed(path string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		kp, err := create()
		if err != nil {
			return nil, fmt.Errorf("site: keys: %w", err)
		}
		if b, err = kp.Seed(); err != nil {
			return nil, fmt.Errorf("site: keys: %w", err)
		}
		return kp, newSecret(path, b)
	}
	if err != nil {
		return nil, fmt.Errorf("site: keys: %w", err)
	}
	kp, err := nkeys.FromSeed(b)
	if err != nil {
		return nil, fmt.Errorf("site: keys: %s: %w", path, err)
	}
	return kp, nil
}

func newSecret(path string, b []byte) error {
	if err := durable.Create(path, b, 0o600); err != nil {
		return fmt.Errorf("site: keys: %w", err)
	}
	return nil
}

// authority loads the site's certificate authority, or makes it.
func (k *keys) authority(dir string) error {
	path := filepath.Join(dir, "ca.pem")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = newAuthority(); err == nil {
			err = newSecret(path, b)
		}
	}
	if err != nil {
		return fmt.Errorf("site: authority: %w", err)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			k.ca, err = x509.ParseCertificate(block.Bytes)
		case "EC PRIVATE KEY":
			k.caKey, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			return fmt.Errorf("site: authority: %s: %w", path, err)
		}
	}
	if k.ca == nil || k.caKey == nil {
		return fmt.Errorf("site: authority: %s lacks the certificate or its key", path)
	}
	return nil
}

func newAuthority() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Passage site"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(caYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})...), nil
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7F
	return new(big.Int).SetBytes(b)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// certify signs a certificate of a lane, or of the site's own servers.
func (k *keys) certify(name string, public any, usage x509.ExtKeyUsage, hosts ...string) ([]byte, error) {
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, laneDays),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, k.ca, public, k.caKey)
	if err != nil {
		return nil, fmt.Errorf("site: certify %s: %w", name, err)
	}
	return der, nil
}

// serverTLS is mutual TLS 1.3 with a certificate that is made anew well before
// it runs out.
func (k *keys) serverTLS(auth tls.ClientAuthType, hosts []string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(k.ca)
	r := &renewing{make: func() (*tls.Certificate, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("site: %w", err)
		}
		der, err := k.certify(hosts[0], &key.PublicKey, x509.ExtKeyUsageServerAuth, hosts...)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{der, k.ca.Raw}, PrivateKey: key}, nil
	}}
	return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: auth, ClientCAs: pool, GetCertificate: r.get}
}

// user makes a NATS user that may touch one lane's subjects.
func (k *keys) user(lane, public string) (string, error) {
	c := jwt.NewUserClaims(public)
	c.Name = lane
	c.Pub.Allow.Add("lane."+lane+".>", "site.ask."+lane+".*")
	c.Sub.Allow.Add(fleet.Subject(lane, "do"), fleet.Subject(lane, "ask"), fleet.Inbox(lane)+".>", fleet.Changed)
	c.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: 5 * time.Second}
	c.Limits.Payload = 1 << 20
	c.Limits.Subs = 64
	return c.Encode(k.account)
}

// Package testpki makes throw-away authorities for virtual passports: country
// signing certificates, document signers, revocation lists, master lists. All
// follow the profiles of ICAO Doc 9303-12 as far as readers look, and none is
// ever trusted outside a test trust store.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/text/language"

	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/pki"
)

// Authority is a country signing authority.
type Authority struct {
	Country string // two letters as its certificates write it
	Cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	mu      sync.Mutex
	serial  int64
	revoked []x509.RevocationListEntry
	now     time.Time
}

// Country returns how a state writes itself in certificates: "DE" for "D",
// ISO 3166 two letters else.
func Country(issuer string) string {
	special := map[string]string{"D": "DE", "GBO": "GB", "GBD": "GB", "UTO": "UT", "XXB": "DE"}
	if c, ok := special[issuer]; ok {
		return c
	}
	if r, err := language.ParseRegion(issuer); err == nil {
		return r.String()
	}
	return "XX"
}

// NewAuthority makes a country signing authority that is valid now.
func NewAuthority(country string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("testpki: %w", err)
	}
	a := &Authority{Country: country, key: key, serial: 1, now: now}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{country}, Organization: []string{"Passage test state"}, CommonName: "CSCA " + country},
		NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(12, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("testpki: CSCA: %w", err)
	}
	a.Cert, err = x509.ParseCertificate(der)
	return a, err
}

// Signer is a document signer.
type Signer struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewSigner issues a document signer certificate.
func (a *Authority) NewSigner(from, to time.Time) (*Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("testpki: %w", err)
	}
	a.mu.Lock()
	a.serial++
	serial := a.serial
	a.mu.Unlock()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{Country: []string{a.Country}, Organization: []string{"Passage test state"}, CommonName: fmt.Sprintf("DS %d", serial)},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.Cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("testpki: DSC: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	return &Signer{c, key}, err
}

// Revoke puts a signer on the authority's list with a CRLReason.
func (a *Authority) Revoke(s *Signer, reason int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = append(a.revoked, x509.RevocationListEntry{SerialNumber: s.Cert.SerialNumber, RevocationTime: a.now.AddDate(0, 0, -10), ReasonCode: reason})
}

// CRL returns the authority's revocation list in DER.
func (a *Authority) CRL() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: a.now.AddDate(0, 0, -1), NextUpdate: a.now.AddDate(0, 3, 0), RevokedCertificateEntries: a.revoked,
	}, a.Cert, a.key)
}

// Write puts the certificates and revocation lists of authorities into dir, as
// a reader's trust store loads them.
func Write(dir string, list ...*Authority) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("testpki: write: %w", err)
	}
	for _, a := range list {
		crl, err := a.CRL()
		if err != nil {
			return fmt.Errorf("testpki: CRL of %s: %w", a.Country, err)
		}
		for name, b := range map[string][]byte{"csca-" + a.Country + ".cer": a.Cert.Raw, "crl-" + a.Country + ".crl": crl} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				return fmt.Errorf("testpki: write: %w", err)
			}
		}
	}
	return nil
}

var (
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidLDS        = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 1}
	oidSHA256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidECDSA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidType       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
)

type algorithm struct{ OID asn1.ObjectIdentifier }

// SOD signs the hashes of data groups (Doc 9303-10 App D, RFC 5652).
func (s *Signer) SOD(groups map[int][]byte) ([]byte, error) {
	type hash struct {
		N int
		V []byte
	}
	var hashes []hash
	for n := 1; n <= 16; n++ {
		if b, ok := groups[n]; ok {
			h := sha256.Sum256(b)
			hashes = append(hashes, hash{n, h[:]})
		}
	}
	content, err := asn1.Marshal(struct {
		Version int
		Alg     algorithm
		Hashes  []hash
	}{0, algorithm{oidSHA256}, hashes})
	if err != nil {
		return nil, fmt.Errorf("testpki: SOD: %w", err)
	}
	return s.sign(content)
}

// sign makes a CMS SignedData over content.
func (s *Signer) sign(content []byte) ([]byte, error) {
	must := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			panic("testpki: " + err.Error()) // constants of ours
		}
		return b
	}
	digest := sha256.Sum256(content)
	attr := func(oid asn1.ObjectIdentifier, value []byte) []byte {
		return lds.Make(0x30, must(oid), lds.Make(0x31, value))
	}
	attrs := append(attr(oidType, must(oidLDS)), attr(oidDigest, must(digest[:]))...)
	toSign := sha256.Sum256(lds.Make(0x31, attrs))
	signature, err := s.key.Sign(rand.Reader, toSign[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("testpki: sign: %w", err)
	}
	sha := must(algorithm{oidSHA256})
	info := lds.Make(0x30, must(1), lds.Make(0x30, s.Cert.RawIssuer, must(s.Cert.SerialNumber)), sha, lds.Make(0xA0, attrs),
		must(algorithm{oidECDSA256}), must(signature))
	encap := lds.Make(0x30, must(oidLDS), lds.Make(0xA0, must(content)))
	data := lds.Make(0x30, must(3), lds.Make(0x31, sha), encap, lds.Make(0xA0, s.Cert.Raw), lds.Make(0x31, info))
	return lds.Make(0x77, lds.Make(0x30, must(oidSignedData), lds.Make(0xA0, data))), nil
}

// Store is a trust store of this one authority with its revocation list.
func (a *Authority) Store() (*pki.Store, error) {
	der, err := a.CRL()
	if err != nil {
		return nil, err
	}
	certs, lists, refused := pki.ParseAny(a.Cert.Raw)
	_, crls, more := pki.ParseAny(der)
	if err := errors.Join(append(refused, more...)...); err != nil {
		return nil, fmt.Errorf("testpki: %w", err)
	}
	return pki.NewStore(certs, append(lists, crls...)), nil
}

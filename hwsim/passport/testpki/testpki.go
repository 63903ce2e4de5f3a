// Package testpki makes throw-away authorities for virtual passports: country
// signing certificates and their links, document signers, revocation lists,
// master and deviation lists, and the chain of an inspection system. All
// follow the profiles of ICAO Doc 9303-12 and BSI TR-03110 as far as readers
// look, a seed repeats them, and none is ever trusted outside a test trust
// store.
package testpki

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
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
	Country string   // two letters as its certificates write it
	Cert    []byte   // DER
	Links   [][]byte // certificates of this key by the authority's earlier ones
	key     *key
	random  io.Reader
	name    []byte
	claims  []byte // the key identifier that its certificates name
	now     time.Time
	rolled  int

	mu      sync.Mutex
	serial  int64
	revoked []revocation
}

type revocation struct {
	serial int64
	reason int
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
	return Make(country, now, Suite{}, rand.Reader)
}

// Make is NewAuthority with a suite of its own and a source of randomness,
// which all that the authority issues is drawn from.
func Make(country string, now time.Time, s Suite, random io.Reader) (*Authority, error) {
	return create(country, "CSCA "+country, now, s, random)
}

// impostor is an authority that has taken a's name and names a's key.
func (a *Authority) impostor() (*Authority, error) {
	b, err := Make(a.Country, a.now, Suite{}, a.random)
	if err == nil {
		b.claims = a.claims
	}
	return b, err
}

func create(country, common string, now time.Time, s Suite, random io.Reader) (*Authority, error) {
	k, err := newKey(s, random)
	if err != nil {
		return nil, fmt.Errorf("testpki: CSCA: %w", err)
	}
	a := &Authority{Country: country, key: k, random: random, serial: 1, now: now, name: name(country, common), claims: keyID(k.public())}
	a.Cert, err = a.issue(certificate{serial: 1, subject: a.name, key: k.public(), from: now.AddDate(-3, 0, 0), to: now.AddDate(12, 0, 0), ca: true})
	return a, err
}

// Roll replaces the authority's key: the next one has a certificate of its own
// and a link that the old key signed.
func (a *Authority) Roll(s Suite) (*Authority, error) {
	next, err := create(a.Country, fmt.Sprintf("CSCA %s %d", a.Country, a.rolled+2), a.now, s, a.random)
	if err != nil {
		return nil, err
	}
	next.rolled = a.rolled + 1
	link, err := a.issue(certificate{serial: a.next(), subject: next.name, key: next.key.public(), from: a.now.AddDate(0, -1, 0), to: a.now.AddDate(12, 0, 0), ca: true})
	next.Links = append(append(next.Links, a.Links...), link)
	return next, err
}

func (a *Authority) next() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
	return a.serial
}

// Signer is a document signer, or another end entity that signs CMS.
type Signer struct {
	Cert   []byte // DER
	key    *key
	serial int64
	issuer []byte
	random io.Reader
}

// NewSigner issues a document signer certificate.
func (a *Authority) NewSigner(from, to time.Time) (*Signer, error) {
	return a.Issue(Suite{}, from, to)
}

// Issue is NewSigner with a suite of its own.
func (a *Authority) Issue(s Suite, from, to time.Time) (*Signer, error) {
	return a.signer(s, certificate{from: from, to: to}, "DS")
}

func (a *Authority) signer(s Suite, c certificate, title string) (*Signer, error) {
	k, err := newKey(s, a.random)
	if err != nil {
		return nil, fmt.Errorf("testpki: DSC: %w", err)
	}
	c.serial, c.key = a.next(), k.public()
	c.subject = name(a.Country, fmt.Sprintf("%s %d", title, c.serial))
	cert, err := a.issue(c)
	return &Signer{cert, k, c.serial, a.name, a.random}, err
}

// name is a distinguished name.
func name(country, common string) []byte {
	part := func(arc int, tag uint32, text string) []byte {
		return lds.Make(0x31, lds.Make(0x30, der(asn1.ObjectIdentifier{2, 5, 4, arc}), lds.Make(tag, []byte(text))))
	}
	return lds.Make(0x30, part(6, 0x13, country), part(10, 0x0C, "Passage test state"), part(3, 0x0C, common))
}

// certificate is what an authority fills in.
type certificate struct {
	serial   int64
	subject  []byte
	key      []byte // SubjectPublicKeyInfo
	from, to time.Time
	usedTo   time.Time // end of the private key's usage; zero for not told
	ca       bool
	purpose  asn1.ObjectIdentifier // extended key usage
}

func moment(t time.Time) []byte {
	t = t.UTC()
	if t.Year() >= 2050 {
		return lds.Make(0x18, []byte(t.Format("20060102150405Z")))
	}
	return lds.Make(0x17, []byte(t.Format("060102150405Z")))
}

// keyID is the SHA-1 of the public key's bits (RFC 5280 §4.2.1.2).
func keyID(spki []byte) []byte {
	t, _, _ := lds.Next(spki)
	parts, err := lds.All(t.Value)
	if err != nil || len(parts) != 2 {
		return nil
	}
	h := sha1.Sum(parts[1].Value[1:])
	return h[:]
}

func extension(arc int, critical bool, value []byte) []byte {
	var c []byte
	if critical {
		c = []byte{1, 1, 0xFF}
	}
	return lds.Make(0x30, der(asn1.ObjectIdentifier{2, 5, 29, arc}), c, lds.Make(0x04, value))
}

func authorityKey(id []byte) []byte { return extension(35, false, lds.Make(0x30, lds.Make(0x80, id))) }

// issue signs a certificate (Doc 9303-12 §7.1).
func (a *Authority) issue(c certificate) ([]byte, error) {
	ext := [][]byte{authorityKey(a.claims), extension(14, false, lds.Make(0x04, keyID(c.key)))}
	if c.ca {
		ext = append(ext, extension(15, true, []byte{3, 2, 1, 6}), extension(19, true, lds.Make(0x30, []byte{1, 1, 0xFF}, der(0))))
	} else {
		ext = append(ext, extension(15, true, []byte{3, 2, 7, 0x80}))
	}
	if !c.usedTo.IsZero() {
		period := lds.Make(0x30, lds.Make(0x80, []byte(c.from.UTC().Format("20060102150405Z"))), lds.Make(0x81, []byte(c.usedTo.UTC().Format("20060102150405Z"))))
		ext = append(ext, extension(16, false, period))
	}
	if c.purpose != nil {
		ext = append(ext, extension(37, true, lds.Make(0x30, der(c.purpose))))
	}
	tbs := lds.Make(0x30, lds.Make(0xA0, der(2)), der(c.serial), a.key.algorithm(), a.name, lds.Make(0x30, moment(c.from), moment(c.to)),
		c.subject, c.key, lds.Make(0xA3, lds.Make(0x30, ext...)))
	return a.signed(tbs)
}

// signed appends algorithm and signature, as certificates and lists have them.
func (a *Authority) signed(tbs []byte) ([]byte, error) {
	signature, err := a.key.sign(a.random, tbs)
	if err != nil {
		return nil, fmt.Errorf("testpki: issue: %w", err)
	}
	return lds.Make(0x30, tbs, a.key.algorithm(), lds.Make(0x03, []byte{0}, signature)), nil
}

// Revoke puts a signer on the authority's list with a CRLReason.
func (a *Authority) Revoke(s *Signer, reason int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = append(a.revoked, revocation{s.serial, reason})
}

// CRL returns the authority's revocation list in DER.
func (a *Authority) CRL() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var entries []byte
	for _, r := range a.revoked {
		reason := extension(21, false, []byte{0x0A, 1, byte(r.reason)})
		entries = append(entries, lds.Make(0x30, der(r.serial), moment(a.now.AddDate(0, 0, -10)), lds.Make(0x30, reason))...)
	}
	if entries != nil {
		entries = lds.Make(0x30, entries)
	}
	ext := lds.Make(0xA0, lds.Make(0x30, authorityKey(keyID(a.key.public())), extension(20, false, der(1))))
	return a.signed(lds.Make(0x30, der(1), a.key.algorithm(), a.name, moment(a.now.AddDate(0, 0, -1)), moment(a.now.AddDate(0, 3, 0)), entries, ext))
}

// Write puts the certificates and revocation lists of authorities into dir, as
// a reader's trust store loads them.
func Write(dir string, list ...*Authority) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("testpki: write: %w", err)
	}
	for i, a := range list {
		crl, err := a.CRL()
		if err != nil {
			return fmt.Errorf("testpki: CRL of %s: %w", a.Country, err)
		}
		files := map[string][]byte{fmt.Sprintf("csca-%s-%d.cer", a.Country, i): a.Cert, fmt.Sprintf("crl-%s-%d.crl", a.Country, i): crl}
		for k, link := range a.Links {
			files[fmt.Sprintf("link-%s-%d-%d.cer", a.Country, i, k)] = link
		}
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				return fmt.Errorf("testpki: write: %w", err)
			}
		}
	}
	return nil
}

// Store is a trust store of this one authority with its revocation list.
func (a *Authority) Store() (*pki.Store, error) { return Trust(a) }

// Trust is a trust store of authorities with their links and lists.
func Trust(list ...*Authority) (*pki.Store, error) {
	var files []pki.File
	var names []string
	for _, a := range list {
		crl, err := a.CRL()
		if err != nil {
			return nil, err
		}
		for _, b := range append([][]byte{a.Cert, crl}, a.Links...) {
			files, names = append(files, pki.ParseFile(b)), append(names, a.Country)
		}
	}
	s := pki.Gather(files, names)
	if err := errors.Join(s.Refused...); err != nil {
		return nil, fmt.Errorf("testpki: %w", err)
	}
	return s, nil
}

package pki

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxPath is the longest chain of link certificates that is followed.
const maxPath = 5

// CRL is a certificate revocation list (RFC 5280 §5).
type CRL struct {
	Issuer     Name
	ThisUpdate time.Time
	NextUpdate time.Time // zero if not told
	Revoked    map[string]Revocation
	tbs        []byte
	algorithm  elem
	signature  []byte
}

// Revocation is one entry; Reason is the CRLReason, 0 if not told.
type Revocation struct {
	At     time.Time
	Reason int
}

// ParseCRL reads a list in DER.
func ParseCRL(b []byte) (*CRL, error) {
	l, err := parseCRL(b)
	if err != nil {
		return nil, fmt.Errorf("pki: CRL: %w", err)
	}
	return l, nil
}

func parseCRL(b []byte) (*CRL, error) {
	e, _, err := next(b)
	if err != nil {
		return nil, err
	}
	r := e.read()
	tbs, alg, sig := r.take(0x30), r.take(0x30), r.take(0x03)
	if r.err != nil {
		return nil, r.err
	}
	l := &CRL{tbs: tbs.raw, algorithm: alg, Revoked: map[string]Revocation{}}
	if l.signature, err = bitString(sig); err != nil {
		return nil, err
	}
	t := tbs.read()
	t.maybe(0x02)
	t.take(0x30)
	issuer, this := t.take(0x30), t.any()
	if t.err != nil {
		return nil, t.err
	}
	if l.Issuer, err = parseName(issuer); err != nil {
		return nil, err
	}
	if l.ThisUpdate, err = parseTime(this); err != nil {
		return nil, err
	}
	for _, tag := range []byte{0x17, 0x18} {
		if next, ok := t.maybe(tag); ok {
			if l.NextUpdate, err = parseTime(next); err != nil {
				return nil, err
			}
		}
	}
	if list, ok := t.maybe(0x30); ok {
		entries, err := list.children()
		if err != nil {
			return nil, err
		}
		for _, x := range entries {
			if err := l.entry(x); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

func (l *CRL) entry(x elem) error {
	r := x.read()
	serial, at := r.take(0x02), r.any()
	if r.err != nil {
		return r.err
	}
	when, err := parseTime(at)
	if err != nil {
		return err
	}
	v := Revocation{At: when}
	if exts, ok := r.maybe(0x30); ok {
		list, err := exts.children()
		if err != nil {
			return err
		}
		for _, e := range list {
			p := e.read()
			oid := p.take(0x06)
			p.maybe(0x01)
			value := p.take(0x04)
			if p.err == nil && bytes.Equal(oid.body, []byte{0x55, 0x1D, 21}) && len(value.body) == 3 && value.body[0] == 0x0A {
				v.Reason = int(value.body[2])
			}
		}
	}
	l.Revoked[string(serial.body)] = v
	return nil
}

// Store is an immutable set of trust anchors and revocation lists. A new one
// replaces an old one as a whole, so that updates need no restart.
type Store struct {
	anchors []*Certificate
	bySKI   map[string][]*Certificate
	byName  map[string][]*Certificate
	byState map[string][]*Certificate
	crls    map[string][]*CRL // by issuer
	Refused []error
	Newest  time.Time // of the files it was loaded from
}

// NewStore indexes trust anchors and lists; duplicates are dropped.
func NewStore(anchors []*Certificate, crls []*CRL) *Store {
	s := &Store{
		bySKI: map[string][]*Certificate{}, byName: map[string][]*Certificate{}, byState: map[string][]*Certificate{}, crls: map[string][]*CRL{},
	}
	seen := map[[32]byte]bool{}
	for _, c := range anchors {
		if h := sha256.Sum256(c.Raw); !seen[h] {
			seen[h] = true
			s.anchors = append(s.anchors, c)
			s.bySKI[string(c.SKI)] = append(s.bySKI[string(c.SKI)], c)
			s.byName[c.Subject.folded] = append(s.byName[c.Subject.folded], c)
			s.byState[c.Subject.Country] = append(s.byState[c.Subject.Country], c)
		}
	}
	for _, l := range crls {
		s.crls[l.Issuer.folded] = append(s.crls[l.Issuer.folded], l)
	}
	return s
}

// Len returns the number of trust anchors.
func (s *Store) Len() int { return len(s.anchors) }

// Anchors returns the trust anchors.
func (s *Store) Anchors() []*Certificate { return s.anchors }

// CRLs returns the number of revocation lists.
func (s *Store) CRLs() int {
	n := 0
	for _, l := range s.crls {
		n += len(l)
	}
	return n
}

// LoadDir reads every file of a directory: master lists (.ml), certificates
// and revocation lists in DER or PEM. What cannot be read is reported in
// Refused and left out; a directory without any anchor is an error.
//
// Whoever can write to the directory decides what is trusted: the certificates
// of a master list are taken because the list lies there.
func LoadDir(dir string) (*Store, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("pki: load: %w", err)
	}
	var anchors []*Certificate
	var crls []*CRL
	var refused []error
	var newest time.Time
	for _, f := range files {
		if f.IsDir() || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if info, err := f.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("pki: load: %w", err)
		}
		c, l, bad := ParseAny(b)
		anchors, crls = append(anchors, c...), append(crls, l...)
		for _, err := range bad {
			refused = append(refused, fmt.Errorf("%s: %w", f.Name(), err))
		}
	}
	s := NewStore(anchors, crls)
	s.Refused, s.Newest = refused, newest
	if s.Len() == 0 {
		return nil, fmt.Errorf("pki: load: %s has no country signing certificate", dir)
	}
	return s, nil
}

// ParseAny reads whatever a trust file may be: PEM blocks, a certificate, a
// revocation list or a master list in DER.
func ParseAny(b []byte) (certs []*Certificate, crls []*CRL, refused []error) {
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		for {
			var block *pem.Block
			if block, b = pem.Decode(b); block == nil {
				return certs, crls, refused
			}
			c, l, bad := parseDER(block.Bytes)
			certs, crls, refused = append(certs, c...), append(crls, l...), append(refused, bad...)
		}
	}
	return parseDER(b)
}

func parseDER(b []byte) ([]*Certificate, []*CRL, []error) {
	c, certErr := ParseCertificate(b)
	if certErr == nil {
		return []*Certificate{c}, nil, nil
	}
	l, crlErr := ParseCRL(b)
	if crlErr == nil {
		return nil, []*CRL{l}, nil
	}
	s, list, refused, mlErr := ParseMasterList(b)
	if mlErr == nil {
		if _, err := s.Verify(list); err != nil {
			return nil, nil, []error{fmt.Errorf("master list: %w", err)}
		}
		return list, nil, refused
	}
	return nil, nil, []error{fmt.Errorf("neither certificate (%w), revocation list (%w) nor master list (%w)", certErr, crlErr, mlErr)}
}

// Why a chain could not be made.
var (
	ErrUnknownIssuer = errors.New("pki: the issuer is not on the trusted list")
	ErrForgedIssuer  = errors.New("pki: a trusted certificate has the issuer's name, but did not sign")
)

// Chain finds the trust anchor that signed c: by key identifier, by name, then
// any of the state's. A name without a valid signature is no chain.
func (s *Store) Chain(c *Certificate) ([]*Certificate, error) { return s.chain(c, 0) }

func (s *Store) chain(c *Certificate, depth int) ([]*Certificate, error) {
	if depth > maxPath {
		return nil, fmt.Errorf("%w: the chain is too long", ErrUnknownIssuer)
	}
	named := false
	tried := map[*Certificate]bool{}
	for i, list := range [][]*Certificate{s.bySKI[string(c.AKI)], s.byName[c.Issuer.folded], s.byState[c.Issuer.Country]} {
		for _, a := range list {
			if tried[a] || i == 0 && len(c.AKI) == 0 {
				continue
			}
			tried[a] = true
			if c.Signed(a) == nil {
				return []*Certificate{a}, nil
			}
			named = named || i <= 1
		}
	}
	if named {
		return nil, ErrForgedIssuer
	}
	return nil, ErrUnknownIssuer
}

// Revoked looks a certificate up in its issuer's lists. known is false where
// there is no authentic list.
func (s *Store) Revoked(c, issuer *Certificate) (r Revocation, revoked, known bool) {
	for _, l := range s.crls[c.Issuer.folded] {
		if _, err := issuer.Key.verify(l.algorithm, 0, l.tbs, l.signature); err != nil {
			continue
		}
		known = true
		if v, ok := l.Revoked[string(c.Serial)]; ok {
			return v, true, true
		}
	}
	return Revocation{}, false, known
}

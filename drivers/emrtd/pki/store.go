package pki

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxPath is the longest chain of link certificates that is followed.
const maxPath = 5

// Material is what a trust store is made of.
type Material struct {
	// Anchors are trusted for themselves: whoever chose them vouches for them.
	Anchors []*Certificate
	// Links are country signing certificates that count once a chain of them
	// ends at an anchor.
	Links []*Certificate
	// Signers finds document signers that a document does not bring along; nil
	// for none.
	Signers    Signers
	CRLs       []*CRL
	Deviations []Deviation
	// Updated is when the material was last confirmed to be current.
	Updated time.Time
}

// Store is an immutable set of trust material. A new one replaces an old one
// as a whole, so that updates need no restart; it may be used concurrently.
type Store struct {
	Refused []error
	Newest  time.Time // when the material was last confirmed

	material   Material
	anchors    []*Certificate
	trusted    map[*Certificate]bool
	bySKI      map[string][]*Certificate
	byName     map[string][]*Certificate
	byState    map[string][]*Certificate
	crls       []*CRL
	deviations []Deviation
	signers    Signers

	// One signer signs a hundred thousand documents: its chain is found once.
	mu     sync.Mutex
	chains map[[32]byte]chained
	lists  map[*CRL]bool // whether a list is authentic
}

type chained struct {
	path []*Certificate
	err  error
}

// maxChains bounds the memory of found chains; there are some ten thousand
// document signers in the world.
const maxChains = 4096

// New indexes trust material; duplicates are dropped.
func New(m Material) *Store {
	s := &Store{
		trusted: map[*Certificate]bool{}, bySKI: map[string][]*Certificate{}, byName: map[string][]*Certificate{}, byState: map[string][]*Certificate{},
		material: m, crls: m.CRLs, deviations: m.Deviations, signers: m.Signers, Newest: m.Updated,
		chains: map[[32]byte]chained{}, lists: map[*CRL]bool{},
	}
	seen := map[[32]byte]bool{}
	add := func(c *Certificate, trusted bool) {
		h := sha256.Sum256(c.Raw)
		if seen[h] {
			return
		}
		seen[h] = true
		if trusted {
			s.trusted[c] = true
			s.anchors = append(s.anchors, c)
		}
		s.bySKI[string(c.SKI)] = append(s.bySKI[string(c.SKI)], c)
		s.byName[c.Subject.folded] = append(s.byName[c.Subject.folded], c)
		s.byState[c.Subject.Country] = append(s.byState[c.Subject.Country], c)
	}
	for _, c := range m.Anchors {
		add(c, true)
	}
	for _, c := range m.Links {
		add(c, false)
	}
	return s
}

// NewStore is a store of anchors and revocation lists alone.
func NewStore(anchors []*Certificate, crls []*CRL) *Store {
	return New(Material{Anchors: anchors, CRLs: crls})
}

// Len returns the number of trust anchors.
func (s *Store) Len() int { return len(s.anchors) }

// Anchors returns the trust anchors.
func (s *Store) Anchors() []*Certificate { return s.anchors }

// CRLs returns the number of revocation lists.
func (s *Store) CRLs() int { return len(s.crls) }

// Signers finds a document signer that the document did not bring along.
func (s *Store) Signers(issuer Name, serial, ski []byte) []*Certificate {
	if s.signers == nil {
		return nil
	}
	return s.signers.Signers(issuer, serial, ski)
}

// Why a chain could not be made.
var (
	ErrUnknownIssuer = errors.New("pki: the issuer is not on the trusted list")
	ErrForgedIssuer  = errors.New("pki: the trusted certificate that is named as the issuer did not sign")
)

// Chain finds the certificates from the one that signed c up to a trust
// anchor: by key identifier, by name, then any of the state's. A name without
// a valid signature is no chain (ErrUnknownIssuer: states give a new key the
// old name); a key identifier without one is a forgery (ErrForgedIssuer).
func (s *Store) Chain(c *Certificate) ([]*Certificate, error) {
	key := sha256.Sum256(c.Raw)
	s.mu.Lock()
	known, ok := s.chains[key]
	s.mu.Unlock()
	if ok {
		return known.path, known.err
	}
	path, err := s.chain(c, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.chains) >= maxChains {
		clear(s.chains)
	}
	s.chains[key] = chained{path, err}
	return path, err
}

// chain looks for the issuer of c; below are the links that led to c.
func (s *Store) chain(c *Certificate, below []*Certificate) ([]*Certificate, error) {
	if len(below) >= maxPath {
		return nil, fmt.Errorf("%w: the chain is too long", ErrUnknownIssuer)
	}
	forged := false
	tried := map[*Certificate]bool{c: true}
	for i, list := range [][]*Certificate{s.bySKI[string(c.AKI)], s.byName[c.Issuer.folded], s.byState[c.Issuer.Country]} {
		if i == 0 && len(c.AKI) == 0 {
			continue
		}
		for _, a := range list {
			if tried[a] || slices.Contains(below, a) {
				continue
			}
			tried[a] = true
			// A link must say that it is an authority's: else whoever an authority
			// certified for anything could certify others. RFC 5280 §6.1.4.
			if !a.may(keyCertSign) || !s.trusted[a] && !a.Authority() {
				continue
			}
			if !c.mayBeSigned(a) || c.Signed(a) != nil {
				forged = forged || i == 0 && a.Subject.Country == c.Issuer.Country
				continue
			}
			if s.trusted[a] {
				return []*Certificate{a}, nil
			}
			if path, err := s.chain(a, append(slices.Clone(below), c)); err == nil {
				return append([]*Certificate{a}, path...), nil
			}
		}
	}
	if forged {
		return nil, ErrForgedIssuer
	}
	return nil, ErrUnknownIssuer
}

// OutOfForce returns the first certificate of a path that is not valid at now, nil
// if none is. A path ends where one of the store's anchors has the name and the
// key: states have keys certified anew, and new authorities need no link in the
// end.
func (s *Store) OutOfForce(path []*Certificate, now time.Time) *Certificate {
	for _, a := range path {
		if slices.ContainsFunc(s.byName[a.Subject.folded], func(c *Certificate) bool { return s.trusted[c] && c.ValidAt(now) && c.Key.same(a.Key) }) {
			return nil
		}
		if !a.ValidAt(now) {
			return a
		}
	}
	return nil
}

// Standing looks a certificate and the path that Chain found for it up in the
// authentic lists of their issuers, and of those who took an issuer's name
// over by a link certificate (Doc 9303-12 App D.3).
func (s *Store) Standing(c *Certificate, path []*Certificate, now time.Time) Standing {
	out := s.standing(c, now)
	for _, link := range path {
		if v := s.standing(link, now); v.Revoked != nil && out.Revoked == nil {
			out.Known, out.Revoked = true, v.Revoked
		}
	}
	return out
}

func (s *Store) standing(c *Certificate, now time.Time) Standing {
	names := []Name{c.Issuer}
	for i := 0; i < len(names) && i < maxPath; i++ {
		for _, link := range s.byState[c.Issuer.Country] {
			if link.Issuer.Same(names[i]) && !slices.ContainsFunc(names, link.Subject.Same) {
				names = append(names, link.Subject)
			}
		}
	}
	var newest, from *CRL
	var out Standing
	for _, l := range s.crls {
		if !slices.ContainsFunc(names, l.Issuer.Same) || s.authentic(l) != nil {
			continue
		}
		if v, ok := l.revoked[string(c.Serial)]; ok && (out.Revoked == nil || out.Revoked.Soft()) {
			out.Revoked, from = &v, l
		}
		if newest == nil || l.ThisUpdate.After(newest.ThisUpdate) {
			newest = l
		}
	}
	if out.Revoked != nil && out.Revoked.Soft() && from.ThisUpdate.Before(newest.ThisUpdate) {
		out.Revoked = nil // what was on hold is no longer
	}
	if newest != nil {
		out.Known, out.Until = true, newest.NextUpdate
		out.Stale = !newest.NextUpdate.IsZero() && now.After(newest.NextUpdate)
	}
	return out
}

// authentic says whether a trusted authority of its state signed a list.
func (s *Store) authentic(l *CRL) error {
	s.mu.Lock()
	good, known := s.lists[l]
	s.mu.Unlock()
	if !known {
		for _, c := range s.byState[l.Issuer.Country] {
			if !c.may(cRLSign) || l.Signed(c) != nil {
				continue
			}
			good = s.trusted[c]
			if !good {
				_, err := s.Chain(c)
				good = err == nil
			}
			if good {
				break
			}
		}
		s.mu.Lock()
		s.lists[l] = good
		s.mu.Unlock()
	}
	if !good {
		return errNoCRLSigner
	}
	return nil
}

// Deviations are those that apply to a document.
func (s *Store) Deviations(d Document) []Deviation {
	var list []Deviation
	for _, v := range s.deviations {
		if v.match(d) {
			list = append(list, v)
		}
	}
	return list
}

// AcceptCRL says whether a list is authentic by the store's authorities.
func (s *Store) AcceptCRL(l *CRL) error { return s.authentic(l) }

// Purposes of those who sign lists (Doc 9303-12 §7.1, BSI TR-03129-2 §7).
var (
	PurposeMasterList    = []int{2, 23, 136, 1, 1, 3}
	PurposeDeviationList = []int{2, 23, 136, 1, 1, 8}
)

// AcceptList says whether a signed list is authentic: its signature verifies,
// its signer is meant to sign such lists, and a chain leads to one of the store's
// anchors, which may be the signer.
func (s *Store) AcceptList(list *Signed, purpose []int) (*Certificate, error) {
	v, err := list.Verify(s)
	if err != nil {
		return v.Signer, err
	}
	if list.info.attrs == nil {
		return v.Signer, errNoAttributes
	}
	if s.trusted[s.same(v.Signer)] && v.Signer.Authority() {
		return v.Signer, nil // a CSCA may sign a list itself
	}
	// Document signers have no purpose of their own: who names none is one of
	// those, and could otherwise bring in authorities.
	if p := v.Signer.Purposes; !slices.ContainsFunc(p, func(o asn1.ObjectIdentifier) bool { return o.Equal(purpose) }) {
		return v.Signer, fmt.Errorf("%w: its signer is meant for %v, not for such lists", ErrPurpose, p)
	}
	// The signing authority may come along: it is a link then.
	with := New(Material{Anchors: s.anchors, Links: list.Certs})
	if _, err := with.Chain(v.Signer); err != nil {
		return v.Signer, err
	}
	return v.Signer, nil
}

// AcceptDeviations is AcceptList for a deviation list, which must be of the state
// that it has been taken for.
func (s *Store) AcceptDeviations(l *DeviationList) error {
	signer, err := s.AcceptList(l.Signed, PurposeDeviationList)
	if err == nil && signer.Issuer.Country != l.State {
		err = fmt.Errorf("pki: the list is of %s, and the certificates that came with it are of %q", signer.Issuer.Country, l.State)
	}
	return err
}

// same returns the store's own copy of a certificate.
func (s *Store) same(c *Certificate) *Certificate {
	for _, o := range s.bySKI[string(c.SKI)] {
		if bytes.Equal(o.Raw, c.Raw) {
			return o
		}
	}
	return nil
}

// File is what a trust file holds.
type File struct {
	Certs      []*Certificate
	CRLs       []*CRL
	Lists      []*MasterList
	Deviations []*DeviationList
	Refused    []error
}

// ParseFile reads whatever a trust file may be: the PKD's LDIF, PEM blocks, or
// a certificate, a revocation list, a master list or a deviation list in DER.
func ParseFile(b []byte) File {
	var f File
	if IsLDIF(b[:min(len(b), 512)]) {
		err := ReadLDIF(bytes.NewReader(b), func(_ int, value []byte) error {
			f.der(bytes.Clone(value))
			return nil
		})
		if err != nil {
			f.Refused = append(f.Refused, err)
		}
		return f
	}
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		f.der(b)
		return f
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return f
		}
		f.der(block.Bytes)
	}
}

// der tells what an object is by its own structure; where it is nothing known
// the reason is that of what it resembles most.
func (f *File) der(b []byte) {
	c, certErr := ParseCertificate(b)
	if certErr == nil {
		f.Certs = append(f.Certs, c)
		return
	}
	l, crlErr := ParseCRL(b)
	if crlErr == nil {
		f.CRLs = append(f.CRLs, l)
		return
	}
	m, mlErr := ParseMasterList(b)
	if mlErr == nil {
		f.Lists = append(f.Lists, m)
		return
	}
	d, dlErr := ParseDeviationList(b)
	if dlErr == nil {
		f.Deviations = append(f.Deviations, d)
		return
	}
	f.Refused = append(f.Refused, fmt.Errorf("neither certificate (%w), revocation list (%w), master list (%w) nor deviation list (%w)", certErr, crlErr, mlErr, dlErr))
}

// Authority says whether a certificate is a country signing authority's: it
// says so, or it is of the time before extensions and signed itself.
func (c *Certificate) Authority() bool {
	return (c.CA || !c.constrained && c.SelfIssued()) && c.may(keyCertSign)
}

// LoadDir reads every file of a directory: master lists, deviation lists,
// certificates and revocation lists in DER or PEM. What cannot be read is
// reported in Refused and left out; a directory without any anchor is an error.
//
// Whoever can write to the directory decides what is trusted: the certificates
// of a master list are taken because the list lies there. Package trust has
// signed stores.
func LoadDir(dir string) (*Store, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("pki: load: %w", err)
	}
	var all []File
	var names []string
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
		all, names = append(all, ParseFile(b)), append(names, f.Name())
	}
	s := Gather(all, names)
	s.Newest = newest
	if s.Len() == 0 {
		return nil, fmt.Errorf("pki: load: %s has no country signing certificate", dir)
	}
	return s, nil
}

// Gather makes a store of files that somebody vouches for by handing them over.
// Lists must still be signed by an authority that is among them, themselves
// included: a damaged list is refused.
func Gather(files []File, names []string) *Store { return New(Material{}).With(files, names) }

// With is the store with files beside it that somebody vouches for by handing
// them over.
func (s *Store) With(files []File, names []string) *Store {
	m := s.material
	m.Anchors, m.Links, m.CRLs, m.Deviations = slices.Clone(m.Anchors), slices.Clone(m.Links), slices.Clone(m.CRLs), slices.Clone(m.Deviations)
	refused := slices.Clone(s.Refused)
	known := certificates{}
	for i, f := range files {
		for _, err := range f.Refused {
			refused = append(refused, fmt.Errorf("%s: %w", names[i], err))
		}
		for _, c := range f.Certs {
			switch {
			case !c.Authority():
				known = append(known, c)
			case c.SelfIssued():
				m.Anchors = append(m.Anchors, c)
			default:
				m.Links = append(m.Links, c)
			}
		}
		m.CRLs = append(m.CRLs, f.CRLs...)
	}
	for i, f := range files {
		for _, l := range f.Lists {
			if _, err := New(Material{Anchors: append(slices.Clone(m.Anchors), l.Certs...)}).AcceptList(l.Signed, PurposeMasterList); err != nil {
				refused = append(refused, fmt.Errorf("%s: master list: %w", names[i], err))
				continue
			}
			m.Anchors = append(m.Anchors, l.Certs...)
			for _, err := range l.Refused {
				refused = append(refused, fmt.Errorf("%s: %w", names[i], err))
			}
		}
	}
	with := New(m)
	for i, f := range files {
		for _, l := range f.Deviations {
			if err := with.AcceptDeviations(l); err != nil {
				refused = append(refused, fmt.Errorf("%s: deviation list: %w", names[i], err))
				continue
			}
			l.Everywhere()
			m.Deviations = append(m.Deviations, l.Deviations...)
		}
	}
	if len(known) > 0 {
		m.Signers = either{known, m.Signers}
	}
	with = New(m)
	with.Refused = refused
	return with
}

// either asks one place, then another, which may be nil.
type either struct{ first, second Signers }

func (e either) Signers(issuer Name, serial, ski []byte) []*Certificate {
	found := e.first.Signers(issuer, serial, ski)
	if e.second != nil {
		found = append(found, e.second.Signers(issuer, serial, ski)...)
	}
	return found
}

// certificates are document signers in memory.
type certificates []*Certificate

func (list certificates) Signers(issuer Name, serial, ski []byte) []*Certificate {
	var found []*Certificate
	for _, c := range list {
		if ski != nil && bytes.Equal(c.SKI, ski) || serial != nil && bytes.Equal(c.Serial, serial) && c.Issuer.Same(issuer) {
			found = append(found, c)
		}
	}
	return found
}

// States counts the anchors of each state, in the order of their codes.
func (s *Store) States() []State {
	var list []State
	for state, certs := range s.byState {
		n := 0
		for _, c := range certs {
			if s.trusted[c] {
				n++
			}
		}
		if n > 0 {
			list = append(list, State{state, n})
		}
	}
	slices.SortFunc(list, func(a, b State) int { return cmp.Compare(a.Code, b.Code) })
	return list
}

// State is one state's number of trusted certificates.
type State struct {
	Code    string
	Anchors int
}

// ParseAny reads a trust file's certificates and revocation lists.
func ParseAny(b []byte) (certs []*Certificate, crls []*CRL, refused []error) {
	f := ParseFile(b)
	for _, l := range f.Lists {
		if _, err := New(Material{Anchors: l.Certs}).AcceptList(l.Signed, PurposeMasterList); err != nil {
			f.Refused = append(f.Refused, err)
			continue
		}
		f.Certs = append(f.Certs, l.Certs...)
		f.Refused = append(f.Refused, l.Refused...)
	}
	return f.Certs, f.CRLs, f.Refused
}

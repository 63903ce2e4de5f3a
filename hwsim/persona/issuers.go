package persona

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

// Issuers are the states that issue documents: a country signing authority
// each, and a signer for every fault that a persona's has.
type Issuers struct {
	mu      sync.Mutex
	states  map[string]*testpki.Authority
	signers map[string]*testpki.Signer // by country as in certificates, and fault
	trusted []*testpki.Authority
	changed func([]*testpki.Authority) error
}

// NewIssuers makes the issuers of a list's documents.
func NewIssuers(list []Persona) (*Issuers, error) {
	x := &Issuers{states: map[string]*testpki.Authority{}, signers: map[string]*testpki.Signer{}}
	for _, p := range list {
		if _, _, err := x.signer(p); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// signer returns who signs p's document, and whether there is somebody new to
// trust or to revoke.
func (x *Issuers) signer(p Persona) (s *testpki.Signer, news bool, err error) {
	c := testpki.Country(p.State)
	if s := x.signers[c+p.PKI]; s != nil {
		return s, false, nil
	}
	a := x.states[c]
	if a == nil {
		if a, err = testpki.NewAuthority(c, time.Now()); err != nil {
			return nil, false, err
		}
		x.states[c] = a
		x.trusted = append(x.trusted, a)
	}
	s, also, err := a.Flawed(p.PKI)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", p.ID, err)
	}
	if x.signers[c+p.PKI] = s; also != nil {
		x.trusted = append(x.trusted, also)
	}
	return s, true, nil
}

// Publish calls to with the authorities that lanes must trust, now and whenever
// a document needs another one or a revocation.
func (x *Issuers) Publish(to func(trusted []*testpki.Authority) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.changed = to
	return to(slices.Clone(x.trusted))
}

// Card is the document of the catalogue's i-th person, or of somebody like
// them. Who has no chip of their own in the catalogue has the usual ones in
// turn.
func (x *Issuers) Card(p Persona, i int, portraits [][]byte, today time.Time) (*passport.Card, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name := p.Profile
	if name == "" {
		name = []string{"pace", "icao-ext", "pace", "bac"}[i%4]
	}
	prof, err := passport.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ID, err)
	}
	signer, news, err := x.signer(p)
	if err == nil && news && x.changed != nil {
		err = x.changed(slices.Clone(x.trusted))
	}
	if err != nil {
		return nil, err
	}
	prof.MRZ, prof.Portrait, prof.Width, prof.Height, prof.Faults = p.MRZ(today), portraits[i%len(portraits)], 360, 480, p.Chip
	prof.MaxLe = p.MaxLe
	card, err := passport.New(prof, signer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ID, err)
	}
	card.Rate = 424
	return card, nil
}

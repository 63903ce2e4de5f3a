package main

import (
	"fmt"
	"time"

	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/persona"
)

// today is the day that the catalogue's offsets count from.
func today() time.Time {
	y, m, d := time.Now().UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// issuers are the states that issue the catalogue's documents: a country
// signing authority each, and a signer for every fault that a persona's has.
type issuers struct {
	signers map[string]*testpki.Signer // by country as in certificates, and fault
	trusted []*testpki.Authority
}

func newIssuers(list []persona.Persona) (*issuers, error) {
	x := &issuers{signers: map[string]*testpki.Signer{}}
	states := map[string]*testpki.Authority{}
	for _, p := range list {
		c := testpki.Country(p.State)
		a := states[c]
		if a == nil {
			var err error
			if a, err = testpki.NewAuthority(c, time.Now()); err != nil {
				return nil, err
			}
			states[c] = a
			x.trusted = append(x.trusted, a)
		}
		if x.signers[c+p.PKI] != nil {
			continue
		}
		s, also, err := a.Flawed(p.PKI)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.ID, err)
		}
		x.signers[c+p.PKI] = s
		if also != nil {
			x.trusted = append(x.trusted, also)
		}
	}
	return x, nil
}

// write makes the lanes' trust store.
func (x *issuers) write(dir string) error { return testpki.Write(dir, x.trusted...) }

// card is the document of the catalogue's i-th person. Who has no chip of
// their own in the catalogue has the usual ones in turn.
func (x *issuers) card(p persona.Persona, i int, portraits [][]byte, today time.Time) (*passport.Card, error) {
	name := p.Profile
	if name == "" {
		name = []string{"pace", "icao-ext", "pace", "bac"}[i%4]
	}
	prof, err := passport.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ID, err)
	}
	prof.MRZ, prof.Portrait, prof.Width, prof.Height, prof.Faults = p.MRZ(today), portraits[i%len(portraits)], 360, 480, p.Chip
	prof.MaxLe = p.MaxLe
	card, err := passport.New(prof, x.signers[testpki.Country(p.State)+p.PKI])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ID, err)
	}
	card.Rate = 424
	return card, nil
}

package main

import (
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
// signing authority and a signer each.
type issuers struct {
	signers map[string]*testpki.Signer // by country as in certificates
	revoked *testpki.Signer
	trusted []*testpki.Authority
}

func newIssuers(list []persona.Persona) (*issuers, error) {
	x := &issuers{signers: map[string]*testpki.Signer{}}
	now := time.Now()
	for _, p := range list {
		c := testpki.Country(p.State)
		if x.signers[c] != nil {
			continue
		}
		a, err := testpki.NewAuthority(c, now)
		if err != nil {
			return nil, err
		}
		if x.signers[c], err = a.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0)); err != nil {
			return nil, err
		}
		if c == "DE" {
			if x.revoked, err = a.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0)); err != nil {
				return nil, err
			}
			a.Revoke(x.revoked, 3)
		}
		if p.PKI != "unknown" { // else left out of the trust store
			x.trusted = append(x.trusted, a)
		}
	}
	return x, nil
}

// write makes the lanes' trust store.
func (x *issuers) write(dir string) error { return testpki.Write(dir, x.trusted...) }

// card is the document of the catalogue's i-th person; every fourth chip has
// BAC alone.
func (x *issuers) card(p persona.Persona, i int, portraits [][]byte, today time.Time) (*passport.Card, error) {
	prof := passport.Profile{MRZ: p.MRZ(today), Portrait: portraits[i%len(portraits)], Width: 360, Height: 480, Access: passport.PACE, Faults: map[string]int{}}
	if i%4 == 3 {
		prof.Access = passport.BAC
	}
	if p.Chip != "" {
		prof.Faults[p.Chip] = 1
	}
	s := x.signers[testpki.Country(p.State)]
	if p.PKI == "revoked" {
		s = x.revoked
	}
	card, err := passport.New(prof, s)
	if err != nil {
		return nil, err
	}
	card.Rate = 424
	return card, nil
}

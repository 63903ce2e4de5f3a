package testpki

import (
	"fmt"
	"io"
	"time"

	"passage/drivers/emrtd/pki"
)

// Fault is something wrong with who signed a document.
type Fault struct{ Name, Text string }

// Faults are those that a signer can have.
var Faults = []Fault{
	{"revoked", "the document signer is on its state's revocation list, as superseded"},
	{"revoked_soft", "the document signer is on hold by its state's revocation list"},
	{"expired_signer", "the document signer is no longer valid"},
	{"late_signer", "the document signer's key was used beyond its certificate's validity"},
	{"future_signer", "the document signer is not yet valid"},
	{"list_signer", "the document was signed with the certificate of a signer of lists"},
	{"old_csca", "the authority is no longer valid, and the document signer outlives it"},
	{"unknown_csca", "the trust store does not have the authority"},
	{"rogue_csca", "another authority has taken the state's name and names its key"},
	{"wrong_country", "the signer is of another state than the document"},
	{"no_link", "the state has changed its key, and the trust store has the old one and no link"},
}

// Flawed issues a signer with one of Faults, or "" for none, valid from half a
// year ago for ten years. also is another authority that a reader must trust
// for the fault to show, nil mostly.
func (a *Authority) Flawed(fault string) (s *Signer, also *Authority, err error) {
	issuer := a
	c := certificate{from: a.now.AddDate(0, -6, 0), to: a.now.AddDate(10, 0, 0)}
	switch fault {
	case "", "revoked", "revoked_soft":
	case "expired_signer":
		c.from, c.to = a.now.AddDate(-5, 0, 0), a.now.AddDate(0, 0, -1)
	case "late_signer":
		c.to, c.usedTo = a.now.AddDate(0, 0, -1), a.now.AddDate(0, 0, 30)
	case "future_signer":
		c.from = a.now.AddDate(0, 1, 0)
	case "list_signer":
		c.purpose = oidListSigner
	case "old_csca":
		if issuer, err = create(a.Country, "CSCA "+a.Country+" of old", a.now.AddDate(-13, 0, 0), Suite{}, a.random); err == nil {
			issuer.now = a.now
		}
		also = issuer
	case "unknown_csca":
		issuer, err = create(a.Country, "CSCA "+a.Country+" unknown", a.now, Suite{}, a.random)
	case "rogue_csca":
		issuer, err = a.impostor()
	case "wrong_country":
		other := "LU"
		if a.Country == other {
			other = "DE"
		}
		issuer, err = Make(other, a.now, Suite{}, a.random)
		also = issuer
	case "no_link":
		issuer, err = a.Roll(Suite{})
	default:
		return nil, nil, fmt.Errorf("testpki: no fault is called %q", fault)
	}
	if err != nil {
		return nil, nil, err
	}
	if s, err = issuer.signer(Suite{}, c, "DS"); err != nil {
		return nil, nil, err
	}
	switch fault {
	case "revoked":
		issuer.Revoke(s, 4)
	case "revoked_soft":
		issuer.Revoke(s, 6)
	}
	return s, also, nil
}

// Office issues a state's documents: the signer, and whom readers trust.
type Office struct {
	Signer  *Signer
	Trusted []*Authority
}

// NewOffice sets up an office of a state whose signer has one of Faults, or ""
// for none.
func NewOffice(country string, now time.Time, fault string, random io.Reader) (*Office, error) {
	a, err := Make(country, now, Suite{}, random)
	if err != nil {
		return nil, err
	}
	s, also, err := a.Flawed(fault)
	if err != nil {
		return nil, err
	}
	o := &Office{s, []*Authority{a}}
	if also != nil {
		o.Trusted = append(o.Trusted, also)
	}
	return o, nil
}

// Store is the trust store of a reader that trusts the office.
func (o *Office) Store() (*pki.Store, error) { return Trust(o.Trusted...) }

package testpki

import (
	"fmt"
	"io"
	"time"

	"passage/drivers/emrtd/pki"
)

// Fault is something wrong with who signed a document.
type Fault struct{ Name, Text string }

// Faults are those that an Office can have.
var Faults = []Fault{
	{"revoked", "the document signer is on its state's revocation list, as superseded"},
	{"revoked_soft", "the document signer is revoked for a key compromise, which readers decide on by their rules"},
	{"expired_signer", "the document signer is no longer valid"},
	{"late_signer", "the document signer's key was used beyond its certificate's validity"},
	{"future_signer", "the document signer is not yet valid"},
	{"unknown_csca", "the trust store does not have the state"},
	{"rogue_csca", "another authority has taken the state's name"},
	{"wrong_country", "the signer is of another state than the document"},
	{"no_link", "the state has changed its key, and the trust store has the old one and no link"},
}

// Office issues a state's documents: the signer, and whom readers trust.
type Office struct {
	Signer  *Signer
	Trusted []*Authority
}

// NewOffice sets up an office of a state with one of Faults, or "" for none.
// Its signer is valid from half a year ago for ten years.
func NewOffice(country string, now time.Time, fault string, random io.Reader) (*Office, error) {
	trusted, err := Make(country, now, Suite{}, random)
	if err != nil {
		return nil, err
	}
	issuer := trusted
	from, to := now.AddDate(0, -6, 0), now.AddDate(10, 0, 0)
	other := "FR"
	if country == other {
		other = "DE"
	}
	switch fault {
	case "", "revoked", "revoked_soft", "late_signer":
	case "expired_signer":
		from, to = now.AddDate(-5, 0, 0), now.AddDate(0, 0, -1)
	case "future_signer":
		from = now.AddDate(0, 1, 0)
	case "unknown_csca": // somebody else is trusted
		trusted, err = Make(other, now, Suite{}, random)
	case "rogue_csca":
		issuer, err = Make(country, now, Suite{}, random)
	case "wrong_country":
		issuer, err = Make(other, now, Suite{}, random)
		trusted = issuer
	case "no_link":
		issuer, err = trusted.Roll(Suite{})
	default:
		return nil, fmt.Errorf("testpki: no fault is called %q", fault)
	}
	if err != nil {
		return nil, err
	}
	c := certificate{from: from, to: to}
	if fault == "late_signer" {
		c.to, c.usedTo = now.AddDate(0, 0, -1), now.AddDate(0, 0, 30)
	}
	s, err := issuer.signer(Suite{}, c, "DS")
	if err != nil {
		return nil, err
	}
	switch fault {
	case "revoked":
		issuer.Revoke(s, 4)
	case "revoked_soft":
		issuer.Revoke(s, 1)
	}
	return &Office{s, []*Authority{trusted}}, nil
}

// Store is the trust store of a reader that knows whom the office's state is.
func (o *Office) Store() (*pki.Store, error) { return Trust(o.Trusted...) }

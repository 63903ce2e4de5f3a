package emrtd

import (
	"errors"
	"fmt"
	"time"

	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
)

// passive is Passive Authentication under way (Doc 9303-11 §5.1): the security
// object first, then each group as it arrives.
type passive struct {
	r       *reading
	object  *pki.SecurityObject
	signed  Verdict // ChipGenuine stands for "signature and chain hold"
	altered int     // the first group that differs; 0 for none
	missing []int
}

// passive judges the security object.
func (r *reading) passive(raw []byte) *passive {
	p := &passive{r: r, signed: Forged}
	defer r.step("passive authentication")()
	o, err := pki.ParseSOD(raw)
	if err != nil {
		r.check("security object", Failed, "%v", err)
		return p
	}
	p.object = o
	v, err := o.Signed.Verify(r.o.Trust.Anchors())
	if errors.Is(err, pki.ErrNoSigner) {
		r.check("document signer", Undetermined, "%v", err)
		p.signed = IssuerUnknown
		return p
	}
	if err != nil {
		r.check("security object", Failed, "%v", err)
		return p
	}
	weak := ""
	if v.Weak {
		weak = ", SHA-1 is weak"
	}
	r.check("security object", Successful, "%s%s", v.Algorithm, weak)
	p.signed = p.chain(v.Signer)
	return p
}

// chain judges the document signer's certificate.
func (p *passive) chain(c *pki.Certificate) Verdict {
	r := p.r
	path, err := r.o.Trust.Chain(c)
	switch {
	case errors.Is(err, pki.ErrForgedIssuer):
		r.check("issuer", Failed, "%v", err)
		return Forged
	case err != nil:
		r.check("issuer", Undetermined, "%v", err)
		return IssuerUnknown
	}
	r.check("issuer", Successful, "signed by a trusted authority of %s", c.Issuer.Country)
	rev, revoked, known := r.o.Trust.Revoked(c, path[0])
	switch {
	case revoked && (rev.Reason == 1 || rev.Reason == 5 || rev.Reason >= 32):
		r.check("revocation", Undetermined, "revoked with status %d", rev.Reason)
		return RevokedSoft
	case revoked:
		r.check("revocation", Failed, "revoked with status %d", rev.Reason)
		return Revoked
	case !known:
		r.check("revocation", NotSupported, "no authentic revocation list")
	default:
		r.check("revocation", Successful, "not revoked")
	}
	return p.validity(c)
}

// validity judges the signer at the time of signing where it is known: the
// private key usage period tells its bounds.
func (p *passive) validity(c *pki.Certificate) Verdict {
	now := p.r.o.Now
	if !now.Before(c.NotBefore) && !now.After(c.NotAfter) {
		p.r.check("signer validity", Successful, "until %s", c.NotAfter.Format(time.DateOnly))
		return ChipGenuine
	}
	if !c.UsedTo.IsZero() && c.UsedTo.After(c.NotAfter) {
		p.r.check("signer validity", Failed, "signed after its validity")
		return Suspicious
	}
	p.r.check("signer validity", Failed, "valid from %s to %s, time of signing unknown", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
	return Expired
}

// group compares a file with its signed hash.
func (p *passive) group(n int, file []byte) {
	if p.object == nil {
		return
	}
	name := fmt.Sprintf("DG%d hash", n)
	same, listed := p.object.Matches(n, file)
	switch {
	case !listed:
		p.r.check(name, Failed, "not in the security object")
	case !same:
		p.r.check(name, Failed, "the file is not the signed one")
	default:
		p.r.check(name, Successful, "%v", p.object.Hash)
		return
	}
	if p.altered == 0 {
		p.altered = n
	}
}

// countries that write their certificates otherwise than their MRZ: MRZ issuer
// to certificate country (Doc 9303-3 §5, Doc 9303-12).
var countries = map[string]string{
	"D": "DE", "GBR": "GB", "GBD": "GB", "GBN": "GB", "GBO": "GB", "GBP": "GB", "GBS": "GB", "UTO": "UT", "EUE": "EU", "UNO": "UN",
	"RKS": "KS", "XOM": "XO",
}

// verdict is the outcome table, from the gravest finding down.
func (p *passive) verdict(chip Code) Verdict {
	r := p.r
	printed, inside := r.key, r.doc.MRZ
	same := sameMRZ(printed, inside)
	if same {
		r.check("DG1 and MRZ", Successful, "the same")
	} else {
		r.check("DG1 and MRZ", Failed, "differ")
	}
	return p.outcome(same, chip, p.sameCountry)
}

// outcome needs to know whether DG1 is the printed zone, what the chip proved,
// and whether the signer is of the document's state, which is asked last.
func (p *passive) outcome(same bool, chip Code, country func() bool) Verdict {
	switch {
	case p.signed == Forged, p.signed == Revoked, p.signed == Suspicious:
		return p.signed
	case p.altered != 0:
		return Altered
	case !same:
		return Mismatch
	case chip == Failed:
		return Clone
	case p.signed != ChipGenuine:
		return p.signed
	case !country():
		return Forged
	case len(p.missing) > 0:
		return Incomplete
	case chip == Successful:
		return ChipGenuine
	}
	return CopyPossible
}

func sameMRZ(a, b mrz.MRZ) bool {
	la, lb := a.Lines(), b.Lines()
	if len(la) != len(lb) {
		return false
	}
	for i := range la {
		if la[i] != lb[i] {
			return false
		}
	}
	return true
}

// sameCountry compares the issuer in the MRZ with the signer's country.
func (p *passive) sameCountry() bool {
	issuer := p.r.doc.MRZ.Issuer
	want, special := countries[issuer]
	for _, c := range p.object.Signed.Certs {
		got := c.Issuer.Country
		if special && got == want || got == issuer {
			p.r.check("issuing state", Successful, "%s", got)
			return true
		}
		if !special && len(got) == 2 && alpha2Of(issuer) == got {
			p.r.check("issuing state", Successful, "%s", got)
			return true
		}
	}
	p.r.check("issuing state", Failed, "the signer is not of the document's state")
	return false
}

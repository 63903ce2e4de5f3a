package emrtd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
)

// Passive is what Passive Authentication found about the security object, part
// by part. Names are those that tools for certificates use.
type Passive struct {
	Issuer             string // of the document signer, in words
	DigestAlgorithm    string // "sha256"
	SignatureAlgorithm string // "ecdsa-SHA256", "RSA-PSS(sha256,mgf1-sha256,salt32)"
	Signature          Code
	Chain              Code
	Revocation         Code
	// Deviations are the state's words about this document, for an officer.
	Deviations []pki.Deviation
}

// passive is Passive Authentication under way (Doc 9303-11 §5.1): the security
// object first, then each group as it arrives.
type passive struct {
	r       *reading
	object  *pki.SecurityObject // nil if it cannot be read
	signer  *pki.Certificate    // nil if it is not known
	path    []*pki.Certificate  // from the signer's issuer to a trust anchor
	signed  string              // the table's word so far
	altered int                 // the first group that differs; 0 for none
	missing []int
}

// passive judges the security object.
func (r *reading) passive(raw []byte) *passive {
	defer r.step("passive authentication")()
	r.doc.Passive = Passive{Signature: Aborted, Chain: Aborted, Revocation: Aborted}
	p := &passive{r: r, signed: wrong}
	o, err := pki.ParseSOD(raw)
	if o == nil {
		r.doc.Passive.Signature = Failed
		r.check("security object", Failed, "%v", err)
		return p
	}
	v, bad := o.Signed.Verify(r.o.Trust)
	found := &r.doc.Passive
	found.DigestAlgorithm, found.SignatureAlgorithm = v.Digest, v.Algorithm
	if p.signer = v.Signer; p.signer != nil {
		found.Issuer = p.signer.Issuer.String()
	}
	if err == nil {
		p.object = o
	}
	if err = errors.Join(err, bad); errors.Is(err, pki.ErrNoSigner) {
		found.Signature, found.Chain = Undetermined, Undetermined
		r.check("document signer", Undetermined, "%v", err)
		p.signed = noIssuer
		return p
	}
	if err != nil {
		found.Signature = Failed
		r.check("security object", Failed, "%v", err)
	} else {
		found.Signature = Successful
		r.check("security object", Successful, "%s", object(v, p.signer))
	}
	if p.signer == nil {
		return p
	}
	if chain := p.chain(); err == nil {
		p.signed = chain
	}
	return p
}

// object describes a security object whose signature verifies.
func object(v pki.Verification, signer *pki.Certificate) string {
	parts := []string{fmt.Sprintf("%s over %s, %v", v.Algorithm, v.Digest, signer.Key)}
	if v.Weak {
		parts = append(parts, "SHA-1 is weak")
	}
	if v.Note != "" {
		parts = append(parts, v.Note)
	}
	return strings.Join(parts, "; ")
}

// chain judges the signer's certificate: its authority and its standing.
func (p *passive) chain() string {
	r, found := p.r, &p.r.doc.Passive
	if err := p.signer.SignsDocuments(); err != nil {
		found.Chain, found.Revocation = Failed, Undetermined
		r.check("issuer", Failed, "%v", err)
		return wrong
	}
	path, err := r.o.Trust.Chain(p.signer)
	if err != nil {
		found.Chain, found.Revocation = Undetermined, Undetermined
		if errors.Is(err, pki.ErrForgedIssuer) {
			found.Chain = Failed
			r.check("issuer", Failed, "%v", err)
			return wrong
		}
		r.check("issuer", Undetermined, "%v", err)
		return noIssuer
	}
	p.path, found.Chain = path, Successful
	links := ""
	if len(path) > 1 {
		links = fmt.Sprintf(" by %d link certificates", len(path)-1)
	}
	r.check("issuer", Successful, "signed by a trusted authority of %s%s", p.signer.Issuer.Country, links)
	return p.standing()
}

// standing asks the revocation lists. Whether none is there is told, and is no
// finding: many states publish none.
func (p *passive) standing() string {
	r, found := p.r, &p.r.doc.Passive
	s := r.o.Trust.Standing(p.signer, p.path, r.o.Now)
	word := good
	switch {
	case s.Revoked != nil && s.Revoked.Soft():
		found.Revocation, word = Undetermined, revokedSoft
		r.check("revocation", Undetermined, "on hold since %s", s.Revoked.At.Format(time.DateOnly))
	case s.Revoked != nil:
		found.Revocation, word = Failed, revokedHard
		r.check("revocation", Failed, "revoked on %s for reason %d", s.Revoked.At.Format(time.DateOnly), s.Revoked.Reason)
	case !s.Known:
		found.Revocation = NotSupported
		r.check("revocation", NotSupported, "no authentic revocation list")
	case s.Stale:
		found.Revocation, word = Undetermined, stale
		r.check("revocation", Undetermined, "the newest list was to be replaced by %s", s.Until.Format(time.DateOnly))
	default:
		found.Revocation = Successful
		r.check("revocation", Successful, "not revoked")
	}
	return word
}

// validity judges the signer now and, where it is known, at the time of
// signing: the document's date of issue (DG12), else the bounds that the
// private key usage period sets. Its authority is judged now: whoever gets hold
// of a key of long ago can write any date below it.
func (p *passive) validity(issued time.Time) string {
	c, now := p.signer, p.r.o.Now
	period := fmt.Sprintf("valid from %s to %s", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
	word := good
	switch {
	case !issued.IsZero() && (issued.AddDate(0, 0, 1).Before(c.NotBefore) || issued.After(c.NotAfter)):
		p.r.check("signer validity at issue", Failed, "%s, the document was issued on %s", period, issued.Format(time.DateOnly))
		word = notAtSigning
	case !issued.IsZero():
		p.r.check("signer validity at issue", Successful, "%s, the document was issued on %s", period, issued.Format(time.DateOnly))
	case !c.UsedTo.IsZero() && c.UsedTo.After(c.NotAfter) && !c.ValidAt(now):
		p.r.check("signer validity at issue", Failed, "%s, its key may have signed until %s", period, c.UsedTo.Format(time.DateOnly))
		word = notAtSigning
	}
	switch {
	case c.ValidAt(now):
		p.r.check("signer validity", Successful, "%s", period)
	default:
		p.r.check("signer validity", Failed, "%s, now is %s", period, now.Format(time.DateOnly))
		if word == good {
			word = notNow
		}
	}
	if a := p.r.o.Trust.OutOfForce(p.path, now); a != nil {
		p.r.check("issuer validity", Failed, "valid from %s to %s, now is %s", a.NotBefore.Format(time.DateOnly), a.NotAfter.Format(time.DateOnly), now.Format(time.DateOnly))
		if word == good {
			word = notNow
		}
	}
	return word
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

// same says whether a group is the signed one.
func (p *passive) same(n int, file []byte) bool {
	if p.object == nil {
		return false
	}
	same, _ := p.object.Matches(n, file)
	return same
}

// verdict weighs everything, DG1 against the printed zone included.
func (p *passive) verdict(chip proof) Verdict {
	const name = "DG1 and MRZ"
	same := true
	switch {
	case p.r.key.Size == 0:
		p.r.check(name, NotSupported, "the printed zone was not read")
	case p.r.doc.MRZ.Size == 0:
		p.r.check(name, Undetermined, "the chip has no zone that can be read")
	case sameMRZ(p.r.key, p.r.doc.MRZ):
		p.r.check(name, Successful, "the same")
	default:
		same = false
		p.r.check(name, Failed, "differ")
	}
	return p.outcome(same, chip)
}

// outcome collects the evidence and asks the decision table. same says whether
// DG1 is the printed zone.
func (p *passive) outcome(same bool, chip proof) Verdict {
	e := Evidence{Signed: p.signed, Hashes: good, Zone: good, State: good, CA: word(chip.CA), AA: word(chip.AA)}
	issued := p.issued()
	if len(p.path) > 0 {
		v := p.validity(issued)
		switch e.Signed {
		case good, stale:
			if v != good {
				e.Signed = v
			}
		case revokedSoft:
			if v == notAtSigning {
				e.Signed = v
			}
		}
	}
	switch {
	case p.altered != 0:
		e.Hashes = wrong
	case len(p.missing) > 0:
		e.Hashes = unreadable
	}
	if !same {
		e.Zone = wrong
	}
	if p.object != nil && p.r.doc.MRZ.Issuer != "" && !p.sameState() {
		e.State = wrong
	}
	p.deviate(&e, issued)
	rule := decide(e)
	p.r.doc.Evidence, p.r.doc.Because = e, rule.Because
	return rule.Verdict
}

// deviate applies what states say about their own documents (Doc 9303-12 §10):
// a failure that is known is a defect, a key that is compromised proves
// nothing, and everything is passed on as advice.
func (p *passive) deviate(e *Evidence, issued time.Time) {
	m := p.r.doc.MRZ
	list := p.r.o.Trust.Deviations(pki.Document{Signer: p.signer, State: certified(m.Issuer), Code: strings.TrimRight(m.Code, "<"), Number: m.Number, Issued: issued})
	p.r.doc.Passive.Deviations = list
	defect := func(column *string, values ...string) {
		if slices.Contains(values, *column) {
			*column = wrongKnown
		}
	}
	for _, d := range list {
		p.r.check("deviation", Undetermined, "%s: %s", d.Code, d.Advice)
		switch d.Kind {
		case pki.DefectSignature:
			defect(&e.Signed, wrong)
		case pki.DefectCertificate:
			defect(&e.Signed, wrong, notAtSigning, notNow)
			defect(&e.State, wrong)
		case pki.DefectHash, pki.DefectGroup:
			defect(&e.Hashes, wrong, unreadable)
		case pki.DefectMRZ:
			defect(&e.Zone, wrong)
		case pki.DefectChip:
			defect(&e.CA, chipFailed)
			defect(&e.AA, chipFailed)
		case pki.DefectKey:
			// Whoever has the key passes: a success is that of a clone.
			if e.CA != notOffered {
				e.CA = chipFailed
			}
			if e.AA != notOffered {
				e.AA = chipFailed
			}
		case pki.DefectRevoked:
			switch {
			case e.Signed == good && d.Soft():
				e.Signed = revokedSoft
			case e.Signed != wrong && !d.Soft():
				e.Signed = revokedHard
			}
		}
	}
}

// issued is the date of issue in DG12, zero if it was not read, is not the
// signed one, or is no date.
func (p *passive) issued() time.Time {
	file := p.r.doc.Files[lds.Group(12).Name]
	if p.object == nil || file == nil {
		return time.Time{}
	}
	if same, _ := p.object.Matches(12, file); !same {
		return time.Time{}
	}
	body, found := lds.Find(file, 0x6C)
	if !found {
		return time.Time{}
	}
	date, found := lds.Find(body, 0x5F26)
	if !found {
		return time.Time{}
	}
	if len(date) == 4 { // packed decimal, as first versions of the standard had it
		date = fmt.Appendf(nil, "%x", date)
	}
	t, err := time.Parse("20060102", string(date))
	if err != nil {
		return time.Time{}
	}
	return t
}

// countries that write their certificates otherwise than their MRZ: MRZ issuer
// to certificate country (Doc 9303-3 §5, Doc 9303-12).
var countries = map[string]string{
	"D": "DE", "GBR": "GB", "GBD": "GB", "GBN": "GB", "GBO": "GB", "GBP": "GB", "GBS": "GB", "UTO": "UT", "EUE": "EU", "UNO": "UN",
	"UNA": "UN", "UNK": "UN", "RKS": "KS", "XOM": "XO", "XPO": "XP", "ZIM": "ZW",
}

// certified is how certificates write the state that issues in the MRZ as issuer,
// "" if nobody says.
func certified(issuer string) string {
	if c, special := countries[issuer]; special {
		return c
	}
	return alpha2Of(issuer)
}

func sameMRZ(a, b mrz.MRZ) bool { return slices.Equal(a.Lines(), b.Lines()) }

// sameState compares the issuer in the MRZ with the signer's country and that
// of its authority.
func (p *passive) sameState() bool {
	issuer := p.r.doc.MRZ.Issuer
	if p.signer == nil {
		p.r.check("issuing state", Undetermined, "the signer is not known")
		return true
	}
	want := certified(issuer)
	agrees := func(got string) bool { return got == issuer || want != "" && got == want }
	for _, c := range append([]*pki.Certificate{p.signer}, p.path...) {
		// The signer's own name need not have a country; its issuer's must.
		if got := c.Issuer.Country; !agrees(got) {
			p.r.check("issuing state", Failed, "the document is of %s, a certificate of %s", issuer, got)
			return false
		}
	}
	if got := p.signer.Subject.Country; got != "" && !agrees(got) {
		p.r.check("issuing state", Failed, "the document is of %s, its signer of %s", issuer, got)
		return false
	}
	p.r.check("issuing state", Successful, "%s", p.signer.Issuer.Country)
	return true
}

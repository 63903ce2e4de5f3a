package pki

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	oidDeviationList = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 7}
	oidDefectList    = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 3, 1, 5}
)

// Defect is what a deviation is about, as far as it changes a verdict.
type Defect string

const (
	DefectSignature   Defect = "signature"   // the security object's or the signer's
	DefectCertificate Defect = "certificate" // encoding, validity
	DefectHash        Defect = "hash"        // of a data group
	DefectGroup       Defect = "group"       // a data group is malformed
	DefectCOM         Defect = "com"         // EF.COM lists other groups
	DefectMRZ         Defect = "mrz"         // wrong data or check digit
	DefectChip        Defect = "chip"        // a protocol fails
	DefectKey         Defect = "key"         // chip or active authentication keys are compromised
	DefectRevoked     Defect = "revoked"     // the signer, as by a revocation list
	DefectOther       Defect = "other"       // advice, and no more
)

// defects are the deviation types of Doc 9303-12 §10.2 and the defect types of
// BSI TR-03129-2 §7 with what a border does about them.
var defects = []struct {
	oid    asn1.ObjectIdentifier
	kind   Defect
	advice string
}{
	{deviation(1, 1), DefectSignature, "the document signer's certificate is known to have a wrong signature"},
	{deviation(1, 2), DefectCertificate, "the document signer's certificate is known to be encoded wrongly"},
	{deviation(1, 3), DefectCertificate, "the country signing certificate is known to be encoded wrongly"},
	{deviation(1, 4), DefectKey, "the active authentication key is compromised: a success proves nothing"},
	{deviation(2, 1), DefectGroup, "a data group is known to be encoded wrongly"},
	{deviation(2, 2), DefectHash, "a data group's hash is known to be wrong"},
	{deviation(2, 3), DefectSignature, "the security object is known to have a wrong signature"},
	{deviation(2, 4), DefectCOM, "EF.COM is known to list other groups than the security object"},
	{deviation(3, 1), DefectMRZ, "the machine readable zone is known to have wrong data"},
	{deviation(3, 2), DefectMRZ, "the machine readable zone is known to have a wrong check digit"},
	{deviation(4), DefectChip, "the chip is known to fail"},
	{deviation(5), DefectOther, "a deviation for national use"},
	{defect(1, 1), DefectRevoked, "the document signer is revoked"},
	{defect(1, 2), DefectCertificate, "the document signer's certificate is malformed and was replaced"},
	{defect(1, 3), DefectKey, "the chip authentication keys are compromised: a success proves nothing"},
	{defect(1, 4), DefectKey, "the active authentication keys are compromised: a success proves nothing"},
	{defect(2, 1), DefectGroup, "data groups are known to be encoded wrongly"},
	{defect(2, 2), DefectSignature, "the security object is known to be invalid"},
	{defect(4, 1), DefectChip, "EF.CardSecurity is known to be encoded wrongly"},
	{defect(4, 2), DefectChip, "EF.ChipSecurity is known to be encoded wrongly"},
	{defect(4, 3), DefectChip, "the chip is known to need a power-down between protocols"},
}

func deviation(arcs ...int) asn1.ObjectIdentifier {
	return append(slices.Clone(oidDeviationList), arcs...)
}

func defect(arcs ...int) asn1.ObjectIdentifier {
	return append(slices.Clone(oidDefectList), arcs...)
}

// Deviation is a state's word that some of its documents deviate.
type Deviation struct {
	Kind   Defect
	Code   string // its object identifier
	Advice string // what an officer is told
	Status int    // DefectRevoked: the status code of the defect list

	by       string // the state that says so
	anywhere bool   // and of other states' documents, too
	of       documents
}

// Soft says that a defect list's status is not final: on hold (1), or one that
// the standard leaves open (5, 32 and above). BSI TR-03129-2 §7.
func (d Deviation) Soft() bool { return d.Status == 1 || d.Status == 5 || d.Status >= 32 }

// documents are those that deviate; what is told must agree, all of it.
type documents struct {
	kind        string // document code of the MRZ
	issuer      Name   // with serial
	serial, ski []byte
	digest      []byte // SHA-256 of the certificate; any other length is of another hash
	from, to    time.Time
	numbers     []numbers
}

// numbers are document numbers that differ in their last digits only, from lo
// to hi. Lists write every number; most are in rows of thousands.
type numbers struct {
	prefix string
	digits int
	lo, hi uint64
}

func number(s string) numbers {
	cut := len(strings.TrimRight(s, "0123456789"))
	cut = max(cut, len(s)-18)
	n := numbers{prefix: s[:cut], digits: len(s) - cut}
	n.lo, _ = strconv.ParseUint(s[cut:], 10, 64) // 18 digits fit; none is 0
	n.hi = n.lo
	return n
}

func (n numbers) compare(o numbers) int {
	if c := strings.Compare(n.prefix, o.prefix); c != 0 {
		return c
	}
	if n.digits != o.digits {
		return n.digits - o.digits
	}
	switch {
	case n.hi < o.lo:
		return -1
	case n.lo > o.hi:
		return 1
	}
	return 0
}

// rows joins single numbers.
func rows(list []string) []numbers {
	all := make([]numbers, len(list))
	for i, s := range list {
		all[i] = number(s)
	}
	slices.SortFunc(all, numbers.compare)
	var out []numbers
	for _, n := range all {
		if k := len(out) - 1; k >= 0 && out[k].prefix == n.prefix && out[k].digits == n.digits && n.lo <= out[k].hi+1 {
			out[k].hi = max(out[k].hi, n.hi)
			continue
		}
		n.prefix = strings.Clone(n.prefix)
		out = append(out, n)
	}
	return out
}

// Document is what a deviation is looked up by. Issued is zero if unknown. State
// is the issuer as certificates write it; the signer's counts where it is known.
type Document struct {
	Signer *Certificate
	State  string
	Code   string // document code of the MRZ
	Number string
	Issued time.Time
}

func (v Deviation) match(d Document) bool {
	state := d.State
	if d.Signer != nil {
		state = d.Signer.Issuer.Country
	}
	return (v.anywhere || v.by != "" && v.by == state) && v.of.match(d)
}

func (o *documents) match(d Document) bool {
	c := d.Signer
	switch {
	case o.kind != "" && o.kind != d.Code:
		return false
	case o.serial != nil && (c == nil || !bytes.Equal(c.Serial, o.serial) || !c.Issuer.Same(o.issuer)):
		return false
	case o.ski != nil && (c == nil || !bytes.Equal(c.SKI, o.ski)):
		return false
	case o.digest != nil && (c == nil || !bytes.Equal(o.digest, digest(c.Raw))):
		return false
	case !o.from.IsZero() && (d.Issued.IsZero() || d.Issued.Before(o.from) || d.Issued.After(o.to)):
		return false
	case o.numbers != nil:
		_, found := slices.BinarySearchFunc(o.numbers, number(d.Number), numbers.compare)
		return found
	}
	return o.serial != nil || o.ski != nil || o.digest != nil || !o.from.IsZero()
}

func digest(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// DeviationList is a state's signed list of documents that deviate: the
// deviation list of Doc 9303-12 §10 or the defect list of BSI TR-03129-2 §7.
type DeviationList struct {
	Raw        []byte
	Signed     *Signed
	State      string // its signer's; whether that is true is asked of AcceptDeviations
	Deviations []Deviation
}

// Everywhere lets a defect list speak of the documents of other states: it is
// what one state has found out about all that it sees. A deviation list is of its
// own state's documents, whoever vouches for it.
func (l *DeviationList) Everywhere() {
	if l.Signed.ContentType.Equal(oidDefectList) {
		for i := range l.Deviations {
			l.Deviations[i].anywhere = true
		}
	}
}

// ParseDeviationList reads a list of either kind; whether it is authentic is
// asked of Signed.
func ParseDeviationList(b []byte) (*DeviationList, error) {
	s, e, err := listContent(b, oidDeviationList...)
	parse := parseDeviation
	if s == nil {
		if s, e, err = listContent(b, oidDefectList...); err == nil {
			parse = parseDefect
		}
	}
	if err != nil {
		return nil, fmt.Errorf("pki: deviation list: %w", err)
	}
	l := &DeviationList{Raw: b, Signed: s}
	if c, _, err := s.signerCert(nil); err == nil {
		l.State = c.Issuer.Country
	}
	r := e.read()
	r.take(0x02)
	if r.more() && r.rest[0] != 0x31 {
		r.any() // digest algorithm
	}
	entries, err := r.take(0x31).children()
	if err := errors.Join(r.end(), err); err != nil {
		return nil, fmt.Errorf("pki: deviation list: %w", err)
	}
	for i, x := range entries {
		d, err := parse(x)
		if err != nil {
			return nil, fmt.Errorf("pki: deviation list: entry %d: %w", i+1, err)
		}
		for k := range d {
			d[k].by = l.State
		}
		l.Deviations = append(l.Deviations, d...)
	}
	return l, nil
}

func parseDeviation(e elem) ([]Deviation, error) {
	r := e.read()
	docs, what := r.take(0x30), r.take(0x31)
	if err := r.end(); err != nil {
		return nil, err
	}
	of, err := parseDocuments(docs)
	if err != nil {
		return nil, err
	}
	descriptions, err := what.children()
	if err != nil {
		return nil, err
	}
	var list []Deviation
	for _, x := range descriptions {
		p := x.read()
		text, _ := p.maybe(0x13)
		oid := oidOf(p.take(0x06))
		p.maybe(0xA0)
		p.maybe(0xA1)
		if err := p.end(); err != nil {
			return nil, err
		}
		d := known(oid)
		if len(text.body) > 0 {
			d.Advice += ": " + printable(text.body)
		}
		d.of = of
		list = append(list, d)
	}
	return list, nil
}

// known is the deviation of a type; a type that nobody knows is advice.
func known(oid asn1.ObjectIdentifier) Deviation {
	for _, k := range defects {
		if k.oid.Equal(oid) {
			return Deviation{Kind: k.kind, Code: oid.String(), Advice: k.advice}
		}
	}
	return Deviation{Kind: DefectOther, Code: oid.String(), Advice: "a deviation of unknown kind"}
}

// printable keeps what may be shown of a foreign text.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b[:min(len(b), 200)]))
}

func parseDocuments(e elem) (documents, error) {
	var o documents
	r := e.read()
	if t, ok := r.maybe(0x80); ok {
		o.kind = strings.TrimRight(string(t.body), "< ")
	}
	if id, ok := r.maybe(0xA1); ok {
		if err := o.named(id); err != nil {
			return o, err
		}
	} else if id, ok := r.maybe(0x82); ok {
		o.ski = id.body
	} else if id, ok := r.maybe(0x83); ok {
		o.digest = id.body
	}
	if p, ok := r.maybe(0xA4); ok {
		t := p.read()
		from, to := t.any(), t.any()
		err := t.end()
		if err == nil {
			o.from, err = parseTime(from)
		}
		if err == nil {
			o.to, err = parseTime(to)
		}
		if err != nil {
			return o, err
		}
	}
	if n, ok := r.maybe(0xA5); ok {
		list, err := n.children()
		if err != nil {
			return o, err
		}
		all := make([]string, len(list))
		for i, x := range list {
			all[i] = string(x.body)
		}
		o.numbers = rows(all)
	}
	return o, r.end()
}

// named reads an IssuerAndSerialNumber.
func (o *documents) named(e elem) error {
	r := e.read()
	name, serial := r.take(0x30), r.take(0x02)
	if err := r.end(); err != nil {
		return err
	}
	o.serial = plain(serial.body)
	var err error
	o.issuer, err = parseName(name)
	return err
}

func parseDefect(e elem) ([]Deviation, error) {
	var of documents
	r := e.read()
	if id, ok := r.maybe(0x30); ok {
		if err := of.named(id); err != nil {
			return nil, err
		}
	} else {
		of.ski = r.take(0x80).body
	}
	if h, ok := r.maybe(0x04); ok {
		of.digest = h.body
	}
	what, err := r.take(0x31).children()
	if err := errors.Join(r.end(), err); err != nil {
		return nil, err
	}
	var list []Deviation
	for _, x := range what {
		p := x.read()
		d := known(oidOf(p.take(0x06)))
		if p.more() {
			if v := p.any(); d.Kind == DefectRevoked && v.tag == 0x0A && len(v.body) == 1 {
				d.Status = int(v.body[0])
			}
		}
		if err := p.end(); err != nil {
			return nil, err
		}
		d.of = of
		list = append(list, d)
	}
	return list, nil
}

package pki

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"

	"passage/drivers/emrtd/lds"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidLDSSecurity   = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 1}
	oidMasterList    = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 2}
)

// maxCerts bounds the certificates of a security object.
const maxCerts = 16

// Signed is a CMS SignedData with its content (RFC 5652 §5).
type Signed struct {
	ContentType asn1.ObjectIdentifier
	Content     []byte
	Certs       []*Certificate
	signer      elem
}

// ParseSigned reads a SignedData. Indefinite lengths and constructed strings
// are made definite first.
func ParseSigned(b []byte) (*Signed, error) {
	flat, rest, err := der(b)
	if err != nil {
		return nil, fmt.Errorf("pki: CMS: %w", err)
	}
	if bytes.ContainsFunc(rest, func(r rune) bool { return r != 0 && r != 0xFF && r != '\uFFFD' }) {
		return nil, fmt.Errorf("pki: CMS: %w: %d bytes follow", ErrASN1, len(rest))
	}
	s, err := parseSigned(flat)
	if err != nil {
		return nil, fmt.Errorf("pki: CMS: %w", err)
	}
	return s, nil
}

func parseSigned(b []byte) (*Signed, error) {
	top, _, err := next(b)
	if err != nil {
		return nil, err
	}
	r := top.read()
	oid := oidOf(r.take(0x06))
	inner := r.take(0xA0).read().take(0x30)
	if r.err != nil || !oid.Equal(oidSignedData) {
		return nil, errors.Join(fmt.Errorf("%w: no SignedData", ErrASN1), r.err)
	}
	d := inner.read()
	d.take(0x02)
	d.take(0x31)
	encap := d.take(0x30).read()
	if d.err != nil {
		return nil, d.err
	}
	s := &Signed{ContentType: oidOf(encap.take(0x06))}
	content := encap.take(0xA0).read().take(0x04)
	if encap.err != nil {
		return nil, encap.err
	}
	s.Content = content.body
	if certs, ok := d.maybe(0xA0); ok {
		list, err := certs.children()
		if err != nil {
			return nil, err
		}
		if len(list) > maxCerts {
			return nil, fmt.Errorf("%w: %d certificates", ErrASN1, len(list))
		}
		for _, e := range list {
			if c, err := ParseCertificate(e.raw); err == nil {
				s.Certs = append(s.Certs, c)
			}
		}
	}
	d.maybe(0xA1)
	infos := d.take(0x31).read()
	s.signer = infos.take(0x30)
	return s, errors.Join(d.err, infos.err)
}

// signerInfo is the first SignerInfo's parts.
type signerInfo struct {
	issuer, serial, ski []byte
	digest              crypto.Hash
	attrs               *elem
	algorithm           elem
	signature           []byte
}

func (s *Signed) info() (signerInfo, error) {
	var i signerInfo
	r := s.signer.read()
	r.take(0x02)
	if sid, ok := r.maybe(0x30); ok {
		n := sid.read()
		i.issuer, i.serial = n.take(0x30).raw, n.take(0x02).body
		if n.err != nil {
			return i, n.err
		}
	} else if ski, ok := r.maybe(0x80); ok {
		i.ski = ski.body
	}
	digest := r.take(0x30)
	if r.err != nil {
		return i, r.err
	}
	var err error
	if i.digest, err = hashOf(digest); err != nil {
		return i, err
	}
	if a, ok := r.maybe(0xA0); ok {
		i.attrs = &a
	}
	i.algorithm = r.take(0x30)
	i.signature = r.take(0x04).body
	return i, r.err
}

// signerCert finds the signer's certificate among those that came along and
// the others that are known: by issuer and serial, by key identifier, and, as
// names are written in many ways, by serial alone.
func (s *Signed) signerCert(i signerInfo, known []*Certificate) (*Certificate, bool) {
	all := append(append([]*Certificate(nil), s.Certs...), known...)
	for _, c := range all {
		if i.ski != nil && bytes.Equal(c.SKI, i.ski) {
			return c, true
		}
		if i.serial != nil && bytes.Equal(c.Serial, i.serial) && bytes.Equal(c.Issuer.Raw, i.issuer) {
			return c, true
		}
	}
	for _, c := range s.Certs {
		if i.serial != nil && bytes.Equal(c.Serial, i.serial) {
			return c, true
		}
	}
	if len(s.Certs) == 1 {
		return s.Certs[0], true
	}
	return nil, false
}

// Verification is what verifying a SignedData found.
type Verification struct {
	Signer    *Certificate
	Algorithm string // for the report
	Weak      bool   // SHA-1
}

// ErrNoSigner says that the signer's certificate is nowhere to be found.
var ErrNoSigner = errors.New("pki: the signer's certificate is missing")

// Verify checks message digest and signature (RFC 5652 §5.4). known are
// certificates from elsewhere, for objects that do not bring their signer's.
func (s *Signed) Verify(known []*Certificate) (Verification, error) {
	var v Verification
	i, err := s.info()
	if err != nil {
		return v, fmt.Errorf("pki: CMS: %w", err)
	}
	cert, ok := s.signerCert(i, known)
	if !ok {
		return v, ErrNoSigner
	}
	v.Signer = cert
	if !i.digest.Available() {
		return v, fmt.Errorf("pki: CMS: hash %v is not available", i.digest)
	}
	message := s.Content
	if i.attrs != nil {
		if err := s.checkAttrs(i); err != nil {
			return v, err
		}
		message = append([]byte{0x31}, i.attrs.raw[1:]...)
	}
	used, err := cert.Key.verify(i.algorithm, i.digest, message, i.signature)
	if err != nil && i.attrs != nil {
		// As read it fails: some states sign the sorted set.
		if sorted, ok := sortSet(*i.attrs); ok {
			used, err = cert.Key.verify(i.algorithm, i.digest, sorted, i.signature)
		}
	}
	v.Algorithm = fmt.Sprintf("%s with %v, %v", used.name, used.hash, cert.Key)
	v.Weak = used.hash == crypto.SHA1
	return v, err
}

// checkAttrs compares content type and message digest with the content.
func (s *Signed) checkAttrs(i signerInfo) error {
	list, err := i.attrs.children()
	if err != nil {
		return fmt.Errorf("pki: CMS: %w", err)
	}
	seen := false
	for _, a := range list {
		r := a.read()
		oid := oidOf(r.take(0x06))
		values, err := r.take(0x31).children()
		if err != nil || r.err != nil || len(values) == 0 {
			return fmt.Errorf("pki: CMS: %w: attribute", ErrASN1)
		}
		switch {
		case oid.Equal(oidMessageDigest):
			seen = true
			if !bytes.Equal(values[0].body, sum(i.digest, s.Content)) {
				return fmt.Errorf("%w: the content was changed", ErrSignature)
			}
		case oid.Equal(oidContentType):
			if !oidOf(values[0]).Equal(s.ContentType) {
				return fmt.Errorf("%w: content type", ErrSignature)
			}
		}
	}
	if !seen {
		return fmt.Errorf("%w: no message digest", ErrSignature)
	}
	return nil
}

func sortSet(e elem) ([]byte, bool) {
	list, err := e.children()
	if err != nil {
		return nil, false
	}
	for i := range list {
		for k := i + 1; k < len(list); k++ {
			if bytes.Compare(list[k].raw, list[i].raw) < 0 {
				list[i], list[k] = list[k], list[i]
			}
		}
	}
	var body []byte
	for _, x := range list {
		body = append(body, x.raw...)
	}
	return encode(0x31, body), true
}

// SecurityObject is the LDS security object: the hashes of the data groups
// (Doc 9303-10 §4.6.2, App D).
type SecurityObject struct {
	Signed *Signed
	Hash   crypto.Hash
	Hashes map[int][]byte // by data group
	LDS    string         // "1.7", "1.8"; from ldsVersionInfo if there
}

// ParseSOD reads EF.SOD.
func ParseSOD(b []byte) (*SecurityObject, error) {
	t, _, err := lds.Next(b)
	if err != nil {
		return nil, fmt.Errorf("pki: SOD: %w", err)
	}
	if t.Tag != lds.SOD.Tag {
		return nil, fmt.Errorf("pki: SOD: begins with tag %X", t.Tag)
	}
	s, err := ParseSigned(t.Value)
	if err != nil {
		return nil, fmt.Errorf("pki: SOD: %w", err)
	}
	if !s.ContentType.Equal(oidLDSSecurity) {
		return nil, fmt.Errorf("pki: SOD: content type %v", s.ContentType)
	}
	o, err := parseSecurityObject(s.Content)
	if err != nil {
		return nil, fmt.Errorf("pki: SOD: %w", err)
	}
	o.Signed = s
	return o, nil
}

func parseSecurityObject(b []byte) (*SecurityObject, error) {
	e, _, err := next(b)
	if err != nil {
		return nil, err
	}
	r := e.read()
	version, alg, hashes := r.take(0x02), r.take(0x30), r.take(0x30)
	if r.err != nil {
		return nil, r.err
	}
	o := &SecurityObject{Hashes: map[int][]byte{}, LDS: "1.7"}
	if o.Hash, err = hashOf(alg); err != nil {
		return nil, err
	}
	list, err := hashes.children()
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		p := h.read()
		n, v := p.take(0x02), p.take(0x04)
		if p.err != nil {
			return nil, p.err
		}
		if len(n.body) != 1 || n.body[0] < 1 || n.body[0] > 16 {
			return nil, fmt.Errorf("%w: data group number", ErrASN1)
		}
		if _, twice := o.Hashes[int(n.body[0])]; twice {
			return nil, fmt.Errorf("%w: two hashes for DG%d", ErrASN1, n.body[0])
		}
		o.Hashes[int(n.body[0])] = v.body
	}
	if len(version.body) == 1 && version.body[0] == 1 {
		o.LDS = "1.8"
	}
	return o, nil
}

// Matches says whether a data group has the hash that was signed. listed is
// false for a group that the object does not mention.
func (o *SecurityObject) Matches(group int, file []byte) (same, listed bool) {
	want, ok := o.Hashes[group]
	if !ok {
		return false, false
	}
	return bytes.Equal(want, sum(o.Hash, file)), true
}

// ParseMasterList reads a signed list of country signing certificates (Doc
// 9303-12 §9). refused counts entries that could not be read.
func ParseMasterList(b []byte) (s *Signed, list []*Certificate, refused []error, err error) {
	if s, err = ParseSigned(b); err != nil {
		return nil, nil, nil, fmt.Errorf("pki: master list: %w", err)
	}
	if !s.ContentType.Equal(oidMasterList) {
		return nil, nil, nil, fmt.Errorf("pki: master list: content type %v", s.ContentType)
	}
	e, _, err := next(s.Content)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("pki: master list: %w", err)
	}
	r := e.read()
	r.take(0x02)
	entries, err := r.take(0x31).children()
	if err := errors.Join(r.err, err); err != nil {
		return nil, nil, nil, fmt.Errorf("pki: master list: %w", err)
	}
	for _, x := range entries {
		c, err := ParseCertificate(x.raw)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		list = append(list, c)
	}
	return s, list, refused, nil
}

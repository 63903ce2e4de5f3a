package pki

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"passage/drivers/emrtd/lds"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidLDSSecurity   = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 1}
	oidMasterList    = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 2}
)

// Limits of a security object.
const (
	maxCerts   = 16
	maxSigners = 1 // states sign once; a second signature could mean anything
)

// Signed is a CMS SignedData with its content (RFC 5652 §5).
type Signed struct {
	ContentType asn1.ObjectIdentifier
	Content     []byte
	Certs       []*Certificate
	// Refused says which of the certificates that came along are unreadable.
	Refused []error
	info    signerInfo
}

// ParseSigned reads a document's SignedData, of at most 64 KiB. Indefinite
// lengths and constructed strings are made definite first.
func ParseSigned(b []byte) (*Signed, error) {
	if len(b) > maxObject {
		return nil, fmt.Errorf("pki: CMS: %w: %d bytes", ErrASN1, len(b))
	}
	return parseSigned(b, maxElements)
}

func parseSigned(b []byte, elements int) (*Signed, error) {
	flat, rest, err := der(b, elements)
	if err != nil {
		return nil, fmt.Errorf("pki: CMS: %w", err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("pki: CMS: %w: %d bytes follow", ErrASN1, len(rest))
	}
	s, err := parseSignedData(flat)
	if err != nil {
		return nil, fmt.Errorf("pki: CMS: %w", err)
	}
	return s, nil
}

func parseSignedData(b []byte) (*Signed, error) {
	top, err := only(b)
	if err != nil {
		return nil, err
	}
	r := top.read()
	oid := oidOf(r.take(0x06))
	outer := r.take(0xA0).read()
	inner := outer.take(0x30)
	if err := errors.Join(r.end(), outer.end()); err != nil || !oid.Equal(oidSignedData) {
		return nil, errors.Join(fmt.Errorf("%w: no SignedData", ErrASN1), err)
	}
	d := inner.read()
	version, digests, encap := d.take(0x02), d.take(0x31), d.take(0x30).read()
	if d.err != nil {
		return nil, d.err
	}
	if err := algorithms(version, digests); err != nil {
		return nil, err
	}
	s := &Signed{ContentType: oidOf(encap.take(0x06))}
	wrapped := encap.take(0xA0).read()
	s.Content = wrapped.take(0x04).body
	if err := errors.Join(encap.end(), wrapped.end()); err != nil {
		return nil, err
	}
	if certs, ok := d.maybe(0xA0); ok {
		list, err := certs.children()
		if err != nil {
			return nil, err
		}
		if len(list) > maxCerts {
			return nil, fmt.Errorf("%w: %d certificates", ErrASN1, len(list))
		}
		for _, e := range list {
			c, err := ParseCertificate(e.raw)
			if err != nil {
				s.Refused = append(s.Refused, err)
				continue
			}
			s.Certs = append(s.Certs, c)
		}
	}
	d.maybe(0xA1)
	infos, err := d.take(0x31).children()
	if err := errors.Join(d.end(), err); err != nil {
		return nil, err
	}
	if len(infos) == 0 || len(infos) > maxSigners {
		return nil, fmt.Errorf("%w: %d signers", ErrASN1, len(infos))
	}
	s.info, err = parseSignerInfo(infos[0])
	return s, err
}

// algorithms reads what SignedData says about itself and nobody signed: it is
// not used, but a length that was changed there must not pass.
func algorithms(version, digests elem) error {
	if len(version.body) != 1 || version.body[0] > 5 {
		return fmt.Errorf("%w: version", ErrASN1)
	}
	list, err := digests.children()
	if err != nil {
		return err
	}
	for _, a := range list {
		if _, err := hashOf(a); err != nil {
			return err
		}
	}
	return nil
}

// signerInfo is a SignerInfo's parts.
type signerInfo struct {
	issuer      Name
	serial, ski []byte
	digest      crypto.Hash
	attrs       *elem
	algorithm   elem
	signature   []byte
}

func parseSignerInfo(e elem) (signerInfo, error) {
	var i signerInfo
	if e.tag != 0x30 {
		return i, fmt.Errorf("%w: no SignerInfo", ErrASN1)
	}
	r := e.read()
	r.take(0x02)
	if sid, ok := r.maybe(0x30); ok {
		n := sid.read()
		name, serial := n.take(0x30), n.take(0x02)
		err := n.end()
		if err == nil {
			i.issuer, err = parseName(name)
		}
		if err != nil {
			return i, err
		}
		i.serial = plain(serial.body)
	} else {
		i.ski = r.take(0x80).body
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
	r.maybe(0xA1)
	return i, r.end()
}

// Signers finds certificates that are not in the object itself, by issuer and
// serial number or by key identifier: nil stands for whatever is not known.
type Signers interface {
	Signers(issuer Name, serial, ski []byte) []*Certificate
}

// signerCert finds the signer's certificate: by key identifier, by issuer and
// serial number, and, as names are written in many ways, by serial number
// alone and as the only one there is. note says what did not agree.
func (s *Signed) signerCert(elsewhere Signers) (c *Certificate, note string, err error) {
	i := s.info
	named := func(c *Certificate) bool {
		if i.ski != nil {
			return bytes.Equal(c.SKI, i.ski)
		}
		return bytes.Equal(c.Serial, i.serial) && c.Issuer.Same(i.issuer)
	}
	for _, c := range s.Certs {
		if named(c) {
			return c, "", nil
		}
	}
	if elsewhere != nil {
		for _, c := range elsewhere.Signers(i.issuer, i.serial, i.ski) {
			if named(c) {
				return c, "the certificate is not in the document", nil
			}
		}
	}
	for _, c := range s.Certs {
		if i.serial != nil && bytes.Equal(c.Serial, i.serial) {
			return c, "the signer's issuer is written otherwise than in its certificate", nil
		}
	}
	if len(s.Certs) == 1 {
		return s.Certs[0], "the signer is named otherwise than in its certificate", nil
	}
	return nil, "", errors.Join(append([]error{ErrNoSigner}, s.Refused...)...)
}

// Verification is what verifying a SignedData found. Signer is nil if its
// certificate is missing.
type Verification struct {
	Signer    *Certificate
	Digest    string // "sha256"
	Algorithm string // "ecdsa-SHA256", "RSA-PSS(sha256,mgf1-sha256,salt32)"
	Weak      bool   // SHA-1 signs or is the digest
	Note      string // what is odd, and no reason to refuse
}

// ErrNoSigner says that the signer's certificate is nowhere to be found.
var ErrNoSigner = errors.New("pki: the signer's certificate is missing")

// Verify checks message digest and signature (RFC 5652 §5.4). elsewhere may be
// nil; it is asked for objects that do not bring their signer's certificate.
func (s *Signed) Verify(elsewhere Signers) (Verification, error) {
	i := s.info
	v := Verification{Digest: hashName(i.digest)}
	scheme, err := schemeOf(i.algorithm, i.digest)
	if err != nil {
		return v, err
	}
	v.Algorithm, v.Weak = scheme.name, scheme.hash == crypto.SHA1 || i.digest == crypto.SHA1
	cert, note, err := s.signerCert(elsewhere)
	if err != nil {
		return v, err
	}
	v.Signer, v.Note = cert, note
	message := s.Content
	if i.attrs != nil {
		if err := s.checkAttrs(); err != nil {
			return v, err
		}
		message = append([]byte{0x31}, i.attrs.raw[1:]...)
	}
	_, err = cert.Key.verify(i.algorithm, i.digest, message, i.signature)
	if err != nil && i.attrs != nil {
		// As read it fails: some states sign the sorted set.
		if sorted, ok := sortSet(*i.attrs); ok {
			if _, again := cert.Key.verify(i.algorithm, i.digest, sorted, i.signature); again == nil {
				return v, nil
			}
		}
	}
	return v, err
}

// checkAttrs compares content type and message digest with the content.
func (s *Signed) checkAttrs() error {
	list, err := s.info.attrs.children()
	if err != nil {
		return fmt.Errorf("pki: CMS: %w", err)
	}
	digest, kind := false, false
	for _, a := range list {
		r := a.read()
		oid := oidOf(r.take(0x06))
		set := r.take(0x31)
		values, err := set.children()
		if err := errors.Join(err, r.end()); err != nil {
			return fmt.Errorf("pki: CMS: attribute: %w", err)
		}
		switch {
		case oid.Equal(oidMessageDigest):
			if len(values) != 1 || digest || values[0].tag != 0x04 || !bytes.Equal(values[0].body, sum(s.info.digest, s.Content)) {
				return fmt.Errorf("%w: the content was changed", ErrSignature)
			}
			digest = true
		case oid.Equal(oidContentType):
			if len(values) != 1 || kind || !oidOf(values[0]).Equal(s.ContentType) {
				return fmt.Errorf("%w: content type", ErrSignature)
			}
			kind = true
		}
	}
	switch {
	case !digest:
		return fmt.Errorf("%w: no message digest", ErrSignature)
	case !kind: // RFC 5652 §11.1: without it content of one type passes as another's
		return fmt.Errorf("%w: no content type", ErrSignature)
	}
	return nil
}

// errNoAttributes is about what Doc 9303 demands of everything that states sign
// in CMS: signed attributes. Without them the signature is over the content
// alone, which may be the attributes of something else (RFC 5652 §5.3).
var errNoAttributes = fmt.Errorf("%w: no signed attributes", ErrSignature)

// sortSet writes the attributes as DER wants them: a SET OF in ascending order.
func sortSet(e elem) ([]byte, bool) {
	list, err := e.children()
	if err != nil {
		return nil, false
	}
	slices.SortFunc(list, func(a, b elem) int { return bytes.Compare(a.raw, b.raw) })
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

// ParseSOD reads EF.SOD. Where only its content is not acceptable the object
// that comes with the error has Signed alone, so that it can be told who is
// said to have signed it.
func ParseSOD(b []byte) (*SecurityObject, error) {
	t, rest, err := lds.Next(b)
	if err != nil {
		return nil, fmt.Errorf("pki: SOD: %w", err)
	}
	if t.Tag != lds.SOD.Tag {
		return nil, fmt.Errorf("pki: SOD: begins with tag %X", t.Tag)
	}
	if !padding(rest) {
		return nil, fmt.Errorf("pki: SOD: %w: %d bytes follow that are no filler", ErrASN1, len(rest))
	}
	s, err := ParseSigned(t.Value)
	if err != nil {
		return nil, fmt.Errorf("pki: SOD: %w", err)
	}
	o := &SecurityObject{Signed: s}
	if !s.ContentType.Equal(oidLDSSecurity) {
		return o, fmt.Errorf("pki: SOD: content type %v", s.ContentType)
	}
	if s.info.attrs == nil {
		return o, fmt.Errorf("pki: SOD: %w", errNoAttributes)
	}
	full, err := parseSecurityObject(s.Content)
	if err != nil {
		return o, fmt.Errorf("pki: SOD: %w", err)
	}
	full.Signed = s
	return full, nil
}

func parseSecurityObject(b []byte) (*SecurityObject, error) {
	flat, rest, err := der(b, maxElements)
	if err != nil || len(rest) > 0 {
		return nil, errors.Join(fmt.Errorf("%w: LDS security object", ErrASN1), err)
	}
	e, err := only(flat)
	if err != nil {
		return nil, err
	}
	if e.tag != 0x30 {
		return nil, fmt.Errorf("%w: LDS security object", ErrASN1)
	}
	r := e.read()
	version, alg, hashes := r.take(0x02), r.take(0x30), r.take(0x30)
	info, versioned := r.maybe(0x30)
	if err := r.end(); err != nil {
		return nil, err
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
		if err := p.end(); err != nil {
			return nil, err
		}
		if len(v.body) != o.Hash.Size() {
			return nil, fmt.Errorf("%w: a hash of %d bytes", ErrASN1, len(v.body))
		}
		if len(n.body) != 1 || n.body[0] < 1 || n.body[0] > 16 {
			return nil, fmt.Errorf("%w: data group number", ErrASN1)
		}
		if _, twice := o.Hashes[int(n.body[0])]; twice {
			return nil, fmt.Errorf("%w: two hashes for DG%d", ErrASN1, n.body[0])
		}
		o.Hashes[int(n.body[0])] = v.body
	}
	switch {
	case len(version.body) == 1 && version.body[0] == 0 && !versioned:
	case len(version.body) == 1 && version.body[0] == 1 && versioned:
		o.LDS = "1.8"
		p := info.read()
		p.any()
		p.any()
		if err := p.end(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: version % X of the security object", ErrASN1, version.body)
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

package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"passage/drivers/emrtd/curve"
)

const (
	maxCert = 8 << 10
	maxRSA  = 8192
)

// Certificate is as much of an X.509 certificate as travel documents need. It
// is read leniently: explicit curve parameters, missing NULLs, negative
// serials and odd extensions occur in certificates that are in force.
type Certificate struct {
	Raw       []byte
	Serial    []byte
	Issuer    Name
	Subject   Name
	NotBefore time.Time
	NotAfter  time.Time
	Key       *PublicKey
	SKI, AKI  []byte
	CA        bool
	Purposes  []asn1.ObjectIdentifier // extended key usage
	// UsedFrom and UsedTo are the private key usage period; zero if not told.
	UsedFrom, UsedTo time.Time

	constrained bool // basic constraints are there
	usage       byte // first octet of the key usage
	limited     bool // key usage is there
	tbs         []byte
	algorithm   elem
	signature   []byte
}

// Name is a distinguished name: its bytes and the parts that are compared.
type Name struct {
	Raw     []byte
	Country string // upper case, two letters usually
	folded  string
}

// Same says whether two names mean the same, whatever string types and case
// they are written in.
func (n Name) Same(o Name) bool {
	return bytes.Equal(n.Raw, o.Raw) || n.folded != "" && n.folded == o.folded
}

// Folded is the form in which names are compared.
func (n Name) Folded() []byte { return []byte(n.folded) }

// attributes are the parts of a name in words.
var attributes = map[string]string{
	"550403": "Common Name", "550404": "Surname", "550405": "Serial Number", "550406": "Country", "550407": "Locality",
	"550408": "State/Province", "550409": "Street Address", "55040A": "Organization", "55040B": "Organizational Unit",
	"55040C": "Title", "550411": "Postal Code", "550461": "Organization Identifier",
	"2A864886F70D010901": "Email Address", "0992268993F22C640119": "Domain Component",
}

var oidCountry = []byte{0x55, 4, 6}

// String writes the name in words, the most particular part first.
func (n Name) String() string {
	e, err := only(n.Raw)
	if err != nil {
		return ""
	}
	parts, err := nameParts(e)
	if err != nil {
		return ""
	}
	// Names are written from the state down or from the holder up.
	if len(parts) > 0 && bytes.Equal(parts[0].oid, oidCountry) {
		slices.Reverse(parts)
	}
	var order []string
	values := map[string][]string{}
	separator := ", "
	for _, p := range parts {
		label, ok := attributes[strings.ToUpper(hex.EncodeToString(p.oid))]
		if !ok {
			label = oidOf(elem{raw: encode(0x06, p.oid)}).String()
		}
		if values[label] == nil {
			order = append(order, label)
		} else {
			separator = "; "
		}
		values[label] = append(values[label], p.text)
	}
	var out []string
	for _, label := range order {
		out = append(out, label+": "+strings.Join(values[label], ", "))
	}
	return strings.Join(out, separator)
}

// Bits of the key usage (RFC 5280 §4.2.1.3), in its first octet.
const (
	digitalSignature = 0x80
	keyCertSign      = 0x04
	cRLSign          = 0x02
)

// may says whether the key may be used so. Certificates of the first years have
// no key usage: theirs may.
func (c *Certificate) may(use byte) bool { return !c.limited || c.usage&use != 0 }

// ErrPurpose says that a certificate is for something else.
var ErrPurpose = errors.New("pki: the certificate is for something else")

// SignsDocuments says whether a certificate's holder may sign security objects.
// An authority issues other certificates, too: for seals, for lists, for its own
// servers. Who holds one of those makes no passports. Doc 9303-12 §7.1.
func (c *Certificate) SignsDocuments() error {
	switch {
	case c.CA:
		return fmt.Errorf("%w: it is an authority's", ErrPurpose)
	case !c.may(digitalSignature):
		return fmt.Errorf("%w: its key signs no data", ErrPurpose)
	}
	for _, p := range c.Purposes {
		if len(p) > len(oidICAO) && p[:len(oidICAO)].Equal(oidICAO) {
			return fmt.Errorf("%w: %v", ErrPurpose, p)
		}
	}
	return nil
}

// oidICAO is id-icao-mrtd-security, below which lie the purposes of those who
// sign lists and seals. Document signers have none of their own.
var oidICAO = asn1.ObjectIdentifier{2, 23, 136, 1, 1}

// ValidAt says whether a time lies within the certificate's validity.
func (c *Certificate) ValidAt(t time.Time) bool {
	return !t.Before(c.NotBefore) && !t.After(c.NotAfter)
}

// ID is the certificate's SHA-256 in hexadecimal.
func (c *Certificate) ID() string {
	h := sha256.Sum256(c.Raw)
	return hex.EncodeToString(h[:])
}

// SelfIssued says whether subject and issuer are the same.
func (c *Certificate) SelfIssued() bool { return c.Issuer.Same(c.Subject) }

// ParseCertificate reads one certificate.
func ParseCertificate(b []byte) (*Certificate, error) {
	if len(b) > maxCert {
		return nil, fmt.Errorf("pki: certificate: %d bytes", len(b))
	}
	c, err := parseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("pki: certificate: %w", err)
	}
	return c, nil
}

func parseCertificate(b []byte) (*Certificate, error) {
	if _, _, err := der(b, maxElements); err != nil {
		return nil, err
	}
	whole, err := only(b)
	if err != nil {
		return nil, err
	}
	if whole.tag != 0x30 {
		return nil, fmt.Errorf("%w: begins with tag %02X", ErrASN1, whole.tag)
	}
	r := whole.read()
	tbs, alg, sig := r.take(0x30), r.take(0x30), r.take(0x03)
	if err := r.end(); err != nil {
		return nil, err
	}
	c := &Certificate{Raw: whole.raw, tbs: tbs.raw, algorithm: alg}
	if c.signature, err = bitString(sig); err != nil {
		return nil, err
	}
	t := tbs.read()
	t.maybe(0xA0)
	serial := t.take(0x02)
	inner := t.take(0x30)
	issuer, validity, subject, spki := t.take(0x30), t.take(0x30), t.take(0x30), t.take(0x30)
	if t.err != nil {
		return nil, t.err
	}
	// The outer one is not signed: it has to be the one that is. RFC 5280
	// §4.1.1.2.
	if !bytes.Equal(inner.raw, alg.raw) {
		return nil, fmt.Errorf("%w: two signature algorithms", ErrASN1)
	}
	c.Serial = plain(serial.body)
	if c.Issuer, err = parseName(issuer); err != nil {
		return nil, err
	}
	if c.Subject, err = parseName(subject); err != nil {
		return nil, err
	}
	v := validity.read()
	from, to := v.any(), v.any()
	if v.err != nil {
		return nil, v.err
	}
	if c.NotBefore, err = parseTime(from); err != nil {
		return nil, err
	}
	if c.NotAfter, err = parseTime(to); err != nil {
		return nil, err
	}
	if c.Key, err = ParsePublicKey(spki.raw); err != nil {
		return nil, err
	}
	t.maybe(0x81)
	t.maybe(0x82)
	if ext, ok := t.maybe(0xA3); ok {
		c.extensions(ext)
	}
	return c, t.end()
}

// plain drops the zeros before a serial number: states write the same number
// with and without them.
func plain(serial []byte) []byte {
	for len(serial) > 1 && serial[0] == 0 {
		serial = serial[1:]
	}
	return serial
}

func bitString(e elem) ([]byte, error) {
	if len(e.body) < 1 || e.body[0] != 0 {
		return nil, fmt.Errorf("%w: bit string", ErrASN1)
	}
	return e.body[1:], nil
}

func parseTime(e elem) (time.Time, error) {
	layouts := []string{"060102150405Z", "0601021504Z", "060102150405-0700"}
	if e.tag == 0x18 {
		layouts = []string{"20060102150405Z", "20060102150405.999Z", "20060102150405-0700"}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, string(e.body)); err == nil {
			if e.tag == 0x17 && t.Year() >= 2050 {
				t = t.AddDate(-100, 0, 0)
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: time", ErrASN1)
}

// namePart is one attribute of a name.
type namePart struct {
	oid  []byte
	text string
}

func nameParts(e elem) ([]namePart, error) {
	rdns, err := e.children()
	if err != nil {
		return nil, err
	}
	var parts []namePart
	for _, rdn := range rdns {
		atvs, err := rdn.children()
		if err != nil {
			return nil, err
		}
		for _, atv := range atvs {
			r := atv.read()
			oid, value := r.take(0x06), r.any()
			if err := r.end(); err != nil {
				return nil, err
			}
			if !strings.ContainsRune(stringTypes, rune(value.tag)) || len(oid.body) == 0 || oid.body[len(oid.body)-1]&0x80 != 0 {
				return nil, fmt.Errorf("%w: name", ErrASN1)
			}
			parts = append(parts, namePart{oid.body, decodeString(value)})
		}
	}
	return parts, nil
}

func parseName(e elem) (Name, error) {
	n := Name{Raw: e.raw}
	parts, err := nameParts(e)
	if err != nil {
		return n, err
	}
	var b strings.Builder
	for _, p := range parts {
		text := strings.ToUpper(strings.Join(strings.Fields(p.text), " "))
		if bytes.Equal(p.oid, oidCountry) {
			n.Country = text
		}
		b.WriteString(hex.EncodeToString(p.oid))
		b.WriteByte('=')
		b.WriteString(text)
		b.WriteByte(',')
	}
	n.folded = b.String()
	return n, nil
}

// stringTypes are the tags of UTF8, numeric, printable, teletex, IA5, visible,
// general, universal and BMP strings.
const stringTypes = "\x0C\x12\x13\x14\x16\x1A\x1B\x1C\x1E"

// decodeString reads the string types that occur; BMPString is UTF-16.
func decodeString(e elem) string {
	if e.tag != 0x1E {
		return string(e.body)
	}
	var s []rune
	for i := 0; i+1 < len(e.body); i += 2 {
		s = append(s, rune(e.body[i])<<8|rune(e.body[i+1]))
	}
	return string(s)
}

// extensions takes what it understands and skips the rest.
func (c *Certificate) extensions(e elem) {
	list, err := e.children()
	if err != nil || len(list) == 0 {
		return
	}
	exts, err := list[0].children()
	if err != nil {
		return
	}
	for _, x := range exts {
		r := x.read()
		oid := r.take(0x06)
		r.maybe(0x01)
		value := r.take(0x04)
		if r.err != nil || len(oid.body) != 3 || oid.body[0] != 0x55 || oid.body[1] != 0x1D {
			continue
		}
		v, err := only(value.body)
		if err != nil {
			continue
		}
		switch oid.body[2] {
		case 37:
			list, err := v.children()
			if err != nil {
				continue
			}
			for _, p := range list {
				c.Purposes = append(c.Purposes, oidOf(p))
			}
		case 14:
			c.SKI = v.body
		case 35:
			if id, ok := v.read().maybe(0x80); ok {
				c.AKI = id.body
			}
		case 15:
			if len(v.body) > 1 {
				c.limited, c.usage = true, v.body[1]
			}
		case 19:
			b, ok := v.read().maybe(0x01)
			c.constrained = true
			c.CA = ok && len(b.body) == 1 && b.body[0] != 0
		case 16:
			r := v.read()
			if t, ok := r.maybe(0x80); ok {
				c.UsedFrom, _ = parseTime(elem{tag: 0x18, body: t.body})
			}
			if t, ok := r.maybe(0x81); ok {
				c.UsedTo, _ = parseTime(elem{tag: 0x18, body: t.body})
			}
		}
	}
}

// PublicKey is an RSA key or a point of a known curve.
type PublicKey struct {
	RSA   *rsa.PublicKey
	Curve *curve.Curve
	Point curve.Point
	// Explicit says that the curve's parameters were written out.
	Explicit bool
}

func (k *PublicKey) same(o *PublicKey) bool {
	if k.RSA != nil || o.RSA != nil {
		return k.RSA != nil && o.RSA != nil && k.RSA.Equal(o.RSA)
	}
	return k.Curve == o.Curve && k.Point.Equal(o.Point)
}

func (k *PublicKey) String() string {
	if k.RSA != nil {
		return fmt.Sprintf("RSA-%d", k.RSA.N.BitLen())
	}
	return k.Curve.Name
}

var (
	oidRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPSS    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidEC     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidECDH   = asn1.ObjectIdentifier{1, 3, 132, 1, 12}
	curveOIDs = []struct {
		oid  asn1.ObjectIdentifier
		name string
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 1}, "secp192r1"},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 33}, "secp224r1"},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, "secp256r1"},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 34}, "secp384r1"},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 35}, "secp521r1"},
		{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 3}, "brainpoolP192r1"},
		{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 5}, "brainpoolP224r1"},
		{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7}, "brainpoolP256r1"},
		{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 9}, "brainpoolP320r1"},
		{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 11}, "brainpoolP384r1"},
		{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 13}, "brainpoolP512r1"},
	}
)

// CurveOID returns a named curve's object identifier.
func CurveOID(name string) asn1.ObjectIdentifier {
	for _, c := range curveOIDs {
		if c.name == name {
			return c.oid
		}
	}
	return nil
}

func oidOf(e elem) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(e.raw, &oid); err != nil || len(oid) > 32 {
		return nil
	}
	return oid
}

// ErrKey says that a public key is not acceptable.
var ErrKey = errors.New("pki: public key")

// ParsePublicKey reads a SubjectPublicKeyInfo.
func ParsePublicKey(spki []byte) (*PublicKey, error) {
	e, err := only(spki)
	if err != nil {
		return nil, err
	}
	r := e.read()
	alg, bits := r.take(0x30), r.take(0x03)
	if err := r.end(); err != nil {
		return nil, err
	}
	key, err := bitString(bits)
	if err != nil {
		return nil, err
	}
	a := alg.read()
	oid := oidOf(a.take(0x06))
	switch {
	case oid.Equal(oidRSA), oid.Equal(oidPSS):
		return parseRSA(key)
	case oid.Equal(oidEC), oid.Equal(oidECDH):
		c, explicit, err := parseCurve(a.any())
		if err != nil {
			return nil, err
		}
		p, err := c.Decode(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return &PublicKey{Curve: c, Point: p, Explicit: explicit}, nil
	}
	return nil, fmt.Errorf("%w: algorithm %v", ErrKey, oid)
}

func parseRSA(b []byte) (*PublicKey, error) {
	e, err := only(b)
	if err != nil {
		return nil, err
	}
	r := e.read()
	n, x := r.take(0x02), r.take(0x02)
	if err := r.end(); err != nil {
		return nil, err
	}
	mod, exp := new(big.Int).SetBytes(n.body), new(big.Int).SetBytes(x.body)
	if mod.BitLen() < 1024 || mod.BitLen() > maxRSA || mod.Bit(0) == 0 || exp.BitLen() > 32 || exp.Bit(0) == 0 || exp.Cmp(big.NewInt(3)) < 0 {
		return nil, fmt.Errorf("%w: RSA of %d bits with an exponent of %d", ErrKey, mod.BitLen(), exp.BitLen())
	}
	return &PublicKey{RSA: &rsa.PublicKey{N: mod, E: int(exp.Int64())}}, nil
}

// parseCurve reads a named curve or explicit parameters, which must be those
// of a known curve.
func parseCurve(e elem) (c *curve.Curve, explicit bool, err error) {
	if e.tag == 0x06 {
		oid := oidOf(e)
		for _, k := range curveOIDs {
			if k.oid.Equal(oid) {
				c, _ := curve.ByName(k.name)
				return c, false, nil
			}
		}
		return nil, false, fmt.Errorf("%w: curve %v", ErrKey, oid)
	}
	if e.tag != 0x30 {
		return nil, false, fmt.Errorf("%w: no curve", ErrKey)
	}
	r := e.read()
	r.take(0x02)
	field, coeff, g, n := r.take(0x30), r.take(0x30), r.take(0x04), r.take(0x02)
	if h, ok := r.maybe(0x02); ok && !bytes.Equal(h.body, []byte{1}) {
		return nil, true, fmt.Errorf("%w: cofactor", ErrKey)
	}
	if r.err != nil {
		return nil, true, r.err
	}
	f := field.read()
	f.take(0x06)
	prime := f.take(0x02)
	k := coeff.read()
	a, b := k.take(0x04), k.take(0x04)
	if err := errors.Join(f.err, k.err); err != nil {
		return nil, true, err
	}
	i := func(e elem) *big.Int { return new(big.Int).SetBytes(e.body) }
	p := i(prime)
	for _, k := range curveOIDs {
		known, ok := curve.ByName(k.name)
		if !ok || known.P.Cmp(p) != 0 {
			continue
		}
		point, err := known.Decode(g.body)
		if err != nil {
			return nil, true, fmt.Errorf("%w: generator: %w", ErrKey, err)
		}
		if c, ok := curve.Known(p, i(a), i(b), point, i(n)); ok {
			return c, true, nil
		}
	}
	return nil, true, fmt.Errorf("%w: explicit parameters of no known curve", ErrKey)
}

var hashOIDs = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 4}, crypto.SHA224},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// hashOf returns the hash of an AlgorithmIdentifier.
func hashOf(alg elem) (crypto.Hash, error) {
	oid := oidOf(alg.read().take(0x06))
	for _, h := range hashOIDs {
		if h.oid.Equal(oid) {
			return h.hash, nil
		}
	}
	return 0, fmt.Errorf("pki: hash %v is not known", oid)
}

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
	// UsedFrom and UsedTo are the private key usage period; zero if not told.
	UsedFrom, UsedTo time.Time

	tbs       []byte
	algorithm elem
	signature []byte
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

func (n Name) String() string { return n.folded }

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
	whole, _, err := next(b)
	if err != nil {
		return nil, err
	}
	r := whole.read()
	tbs, alg, sig := r.take(0x30), r.take(0x30), r.take(0x03)
	if r.err != nil {
		return nil, r.err
	}
	c := &Certificate{Raw: whole.raw, tbs: tbs.raw, algorithm: alg}
	if c.signature, err = bitString(sig); err != nil {
		return nil, err
	}
	t := tbs.read()
	t.maybe(0xA0)
	serial := t.take(0x02)
	t.take(0x30)
	issuer, validity, subject, spki := t.take(0x30), t.take(0x30), t.take(0x30), t.take(0x30)
	if t.err != nil {
		return nil, t.err
	}
	c.Serial = serial.body
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
	t.maybe(0xA1)
	t.maybe(0xA2)
	if ext, ok := t.maybe(0xA3); ok {
		c.extensions(ext)
	}
	return c, nil
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

func parseName(e elem) (Name, error) {
	n := Name{Raw: e.raw}
	rdns, err := e.children()
	if err != nil {
		return n, err
	}
	var parts []string
	for _, rdn := range rdns {
		atvs, err := rdn.children()
		if err != nil {
			return n, err
		}
		for _, atv := range atvs {
			r := atv.read()
			oid, value := r.take(0x06), r.any()
			if r.err != nil {
				return n, r.err
			}
			text := strings.ToUpper(strings.Join(strings.Fields(decodeString(value)), " "))
			if bytes.Equal(oid.body, []byte{0x55, 4, 6}) {
				n.Country = text
			}
			parts = append(parts, hex.EncodeToString(oid.body)+"="+text)
		}
	}
	n.folded = strings.Join(parts, ",")
	return n, nil
}

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
		v, _, err := next(value.body)
		if err != nil {
			continue
		}
		switch oid.body[2] {
		case 14:
			c.SKI = v.body
		case 35:
			if id, ok := v.read().maybe(0x80); ok {
				c.AKI = id.body
			}
		case 19:
			b, ok := v.read().maybe(0x01)
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
	e, _, err := next(spki)
	if err != nil {
		return nil, err
	}
	r := e.read()
	alg, bits := r.take(0x30), r.take(0x03)
	if r.err != nil {
		return nil, r.err
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
	e, _, err := next(b)
	if err != nil {
		return nil, err
	}
	r := e.read()
	n, x := r.take(0x02), r.take(0x02)
	if r.err != nil {
		return nil, r.err
	}
	mod, exp := new(big.Int).SetBytes(n.body), new(big.Int).SetBytes(x.body)
	if mod.BitLen() < 1024 || mod.BitLen() > maxRSA || exp.BitLen() > 31 || exp.Bit(0) == 0 || exp.Cmp(big.NewInt(3)) < 0 {
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
	r := e.read()
	r.take(0x02)
	field, coeff, g, n := r.take(0x30), r.take(0x30), r.take(0x04), r.take(0x02)
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
	shell := &curve.Curve{P: i(prime), A: i(a), B: i(b), N: i(n)}
	if shell.P.BitLen() > 521 || shell.P.BitLen() < 160 || shell.P.Bit(0) == 0 {
		return nil, true, fmt.Errorf("%w: a field of %d bits", ErrKey, shell.P.BitLen())
	}
	if !shell.P.ProbablyPrime(0) {
		return nil, true, fmt.Errorf("%w: the field is not prime", ErrKey)
	}
	point, err := shell.Decode(g.body)
	if err != nil {
		return nil, true, fmt.Errorf("%w: generator: %w", ErrKey, err)
	}
	known, ok := curve.Known(shell.P, shell.A, shell.B, point, shell.N)
	if !ok {
		return nil, true, fmt.Errorf("%w: explicit parameters of no known curve", ErrKey)
	}
	return known, true, nil
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

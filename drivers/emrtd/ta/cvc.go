// Package ta is Terminal Authentication version 1, the reader's side: card
// verifiable certificates, the path from the chip's trust point to the
// terminal, and its proof. BSI TR-03110-1 §3.5, certificates TR-03110-3 App C.
package ta

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // linked for the algorithms that name them
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/lds"
)

// Errors of certificates.
var (
	ErrCertificate = errors.New("ta: malformed certificate")
	ErrSignature   = errors.New("ta: signature is wrong")
)

// Role is what a certificate's holder is.
type Role uint8

const (
	InspectionSystem Role = iota // or another terminal
	ForeignDV                    // document verifier, foreign or not official
	DomesticDV                   // document verifier, official domestic
	CVCA                         // country verifying authority
)

func (r Role) String() string {
	return [...]string{"terminal", "foreign document verifier", "document verifier", "country verifying authority"}[r&3]
}

// Rights of an inspection system (TR-03110-3 table 19).
const (
	ReadFingers byte = 1 << 0 // DG3
	ReadIris    byte = 1 << 1 // DG4
)

// Certificate is a card verifiable certificate.
type Certificate struct {
	Raw                []byte
	Authority, Holder  string // CAR and CHR
	Role               Role
	Type               asn1.ObjectIdentifier // of the terminal: id-IS, id-AT, id-ST
	Rights             []byte                // discretionary data without the role's bits; nil for none
	Effective, Expires time.Time             // days; the last one is included

	algorithm algorithm
	rsa       *rsa.PublicKey
	curve     *curve.Curve // nil where the authority's counts
	point     []byte
	body      []byte // what is signed
	signature []byte
}

// algorithm is a signature algorithm by its identifier.
type algorithm struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
	rsa  bool
	pss  bool
}

var (
	idTA       = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 2}
	algorithms = []struct {
		kind, n int
		hash    crypto.Hash
		pss     bool
	}{
		{1, 1, crypto.SHA1, false},
		{1, 2, crypto.SHA256, false},
		{1, 3, crypto.SHA1, true},
		{1, 4, crypto.SHA256, true},
		{1, 5, crypto.SHA512, false},
		{1, 6, crypto.SHA512, true},
		{2, 1, crypto.SHA1, false},
		{2, 2, crypto.SHA224, false},
		{2, 3, crypto.SHA256, false},
		{2, 4, crypto.SHA384, false},
		{2, 5, crypto.SHA512, false},
	}
)

func algorithmOf(oid asn1.ObjectIdentifier) (algorithm, bool) {
	if len(oid) != len(idTA)+2 || !oid[:len(idTA)].Equal(idTA) {
		return algorithm{}, false
	}
	for _, a := range algorithms {
		if oid[len(idTA)] == a.kind && oid[len(idTA)+1] == a.n {
			return algorithm{oid, a.hash, a.kind == 1, a.pss}, true
		}
	}
	return algorithm{}, false
}

const (
	maxCertificate = 8 << 10
	maxRSA         = 8192
)

// Parse reads one certificate (tag 7F21).
func Parse(b []byte) (*Certificate, error) {
	c, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return c, nil
}

func parse(b []byte) (*Certificate, error) {
	if len(b) > maxCertificate {
		return nil, fmt.Errorf("%d bytes", len(b))
	}
	top, rest, err := lds.Next(b)
	if err != nil || top.Tag != 0x7F21 || len(rest) > 0 {
		return nil, errors.Join(errors.New("no certificate"), err)
	}
	parts, err := lds.All(top.Value)
	if err != nil || len(parts) != 2 || parts[0].Tag != 0x7F4E || parts[1].Tag != 0x5F37 {
		return nil, errors.Join(errors.New("no body and signature"), err)
	}
	c := &Certificate{Raw: top.Raw, body: parts[0].Raw, signature: parts[1].Value}
	body, err := lds.All(parts[0].Value)
	if err != nil {
		return nil, err
	}
	fields := map[uint32][]byte{}
	for _, t := range body {
		if _, twice := fields[t.Tag]; twice {
			return nil, fmt.Errorf("two data objects %X", t.Tag)
		}
		fields[t.Tag] = t.Value
	}
	if v := fields[0x5F29]; len(v) != 1 || v[0] != 0 {
		return nil, fmt.Errorf("profile %X", v)
	}
	if c.Authority, err = reference(fields[0x42]); err != nil {
		return nil, err
	}
	if c.Holder, err = reference(fields[0x5F20]); err != nil {
		return nil, err
	}
	// A certificate without dates and authorisation, as hardware modules have
	// for themselves, is readable and leads nowhere.
	if _, dated := fields[0x5F24]; dated || fields[0x7F4C] != nil {
		if c.Effective, err = date(fields[0x5F25]); err != nil {
			return nil, err
		}
		if c.Expires, err = date(fields[0x5F24]); err != nil {
			return nil, err
		}
		if err := c.authorisation(fields[0x7F4C]); err != nil {
			return nil, err
		}
	}
	return c, c.key(fields[0x7F49])
}

// reference is country, mnemonic and sequence number: at most 16 characters.
func reference(b []byte) (string, error) {
	if len(b) < 4 || len(b) > 16 {
		return "", fmt.Errorf("a reference of %d characters", len(b))
	}
	for _, c := range b {
		if c < 0x20 || c == 0x7F {
			return "", errors.New("a reference with control characters")
		}
	}
	return string(b), nil
}

// date is six unpacked digits: yymmdd of this century.
func date(b []byte) (time.Time, error) {
	if len(b) != 6 {
		return time.Time{}, fmt.Errorf("a date of %d digits", len(b))
	}
	for _, d := range b {
		if d > 9 {
			return time.Time{}, errors.New("a date that is none")
		}
	}
	n := func(i int) int { return 10*int(b[i]) + int(b[i+1]) }
	t := time.Date(2000+n(0), time.Month(n(2)), n(4), 0, 0, 0, 0, time.UTC)
	if int(t.Month()) != n(2) || t.Day() != n(4) {
		return time.Time{}, errors.New("a date that is none")
	}
	return t, nil
}

func (c *Certificate) authorisation(b []byte) error {
	oid, ok := lds.Find(b, 0x06)
	rights, ok2 := lds.Find(b, 0x53)
	if !ok || !ok2 || len(rights) == 0 || len(rights) > 8 {
		return errors.New("no authorisation")
	}
	var err error
	if c.Type, err = identifier(oid); err != nil {
		return err
	}
	c.Role = Role(rights[0] >> 6)
	c.Rights = append([]byte{rights[0] & 0x3F}, rights[1:]...)
	return nil
}

func identifier(b []byte) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(lds.Make(0x06, b), &oid); err != nil || len(oid) > 32 {
		return nil, errors.New("an object identifier that is none")
	}
	return oid, nil
}

// key reads the public key; an elliptic curve's domain parameters are those of
// a known curve, or the authority's where they are left out.
func (c *Certificate) key(b []byte) error {
	v := map[uint32][]byte{}
	list, err := lds.All(b)
	if err != nil {
		return err
	}
	for _, t := range list {
		v[t.Tag] = t.Value
	}
	oid, err := identifier(v[0x06])
	if err != nil {
		return err
	}
	var ok bool
	if c.algorithm, ok = algorithmOf(oid); !ok {
		return fmt.Errorf("algorithm %v", oid)
	}
	n := func(tag uint32) *big.Int { return new(big.Int).SetBytes(v[tag]) }
	if c.algorithm.rsa {
		mod, e := n(0x81), n(0x82)
		if mod.BitLen() < 1024 || mod.BitLen() > maxRSA || e.BitLen() > 31 || e.Bit(0) == 0 || e.Cmp(big.NewInt(3)) < 0 {
			return fmt.Errorf("RSA of %d bits with an exponent of %d", mod.BitLen(), e.BitLen())
		}
		c.rsa = &rsa.PublicKey{N: mod, E: int(e.Int64())}
		return nil
	}
	if c.point = v[0x86]; len(c.point) == 0 {
		return errors.New("no public point")
	}
	if _, explicit := v[0x81]; !explicit {
		return nil
	}
	shell := &curve.Curve{P: n(0x81), A: n(0x82), B: n(0x83), N: n(0x85)}
	if shell.P.BitLen() < 160 || shell.P.BitLen() > 521 || shell.P.Bit(0) == 0 {
		return fmt.Errorf("a field of %d bits", shell.P.BitLen())
	}
	g, err := shell.Decode(v[0x84])
	if err != nil {
		return err
	}
	if c.curve, ok = curve.Known(shell.P, shell.A, shell.B, g, shell.N); !ok {
		return errors.New("domain parameters of no known curve")
	}
	return nil // whether the point is on it is asked when it is used
}

// SelfSigned says whether the holder is its own authority.
func (c *Certificate) SelfSigned() bool { return c.Authority == c.Holder }

// Verify checks the certificate's signature with the authority's key. Domain
// parameters that the authority left out are its own authority's: from.
func (c *Certificate) Verify(authority *Certificate, from *curve.Curve) error {
	return authority.verify(from, c.body, c.signature)
}

// Curve is the key's curve, which is from where the certificate names none; nil
// for RSA.
func (c *Certificate) Curve(from *curve.Curve) *curve.Curve {
	if c.curve != nil || c.rsa != nil {
		return c.curve
	}
	return from
}

func (c *Certificate) verify(from *curve.Curve, message, signature []byte) error {
	h := c.algorithm.hash.New()
	h.Write(message)
	digest := h.Sum(nil)
	switch {
	case c.algorithm.pss:
		if err := rsa.VerifyPSS(c.rsa, c.algorithm.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: c.algorithm.hash}); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil
	case c.rsa != nil:
		if err := rsa.VerifyPKCS1v15(c.rsa, c.algorithm.hash, digest, signature); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil
	}
	k := c.Curve(from)
	if k == nil {
		return fmt.Errorf("%w: the authority's domain parameters are missing", ErrSignature)
	}
	p, err := k.Decode(c.point)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	n := (k.N.BitLen() + 7) / 8
	if len(signature) != 2*n {
		return fmt.Errorf("%w: %d bytes, want r and s of %d", ErrSignature, len(signature), n)
	}
	if !k.Verify(p, digest, new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])) {
		return ErrSignature
	}
	return nil
}

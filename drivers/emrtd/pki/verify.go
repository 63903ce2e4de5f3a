package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // linked for signatures of older documents; weak ones are flagged
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("pki: signature is wrong")

// algorithms that name their hash.
var signatureOIDs = []struct {
	oid  asn1.ObjectIdentifier
	ec   bool
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, false, crypto.SHA1},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 14}, false, crypto.SHA224},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, false, crypto.SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, false, crypto.SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, false, crypto.SHA512},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, true, crypto.SHA1},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 1}, true, crypto.SHA224},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, true, crypto.SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, true, crypto.SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, true, crypto.SHA512},
}

// scheme is what an AlgorithmIdentifier asks for.
type scheme struct {
	name string
	hash crypto.Hash
	pss  bool
	mgf  crypto.Hash
	salt int
}

// schemeOf reads a signature's AlgorithmIdentifier. Where it names no hash
// (plain rsaEncryption or an EC key's own OID) the digest algorithm's counts.
func schemeOf(alg elem, digest crypto.Hash) (scheme, error) {
	r := alg.read()
	oid := oidOf(r.take(0x06))
	if r.err != nil {
		return scheme{}, r.err
	}
	if oid.Equal(oidPSS) {
		return pssScheme(r)
	}
	for _, s := range signatureOIDs {
		if s.oid.Equal(oid) {
			name := "RSA"
			if s.ec {
				name = "ECDSA"
			}
			return scheme{name: name, hash: s.hash}, nil
		}
	}
	if oid.Equal(oidRSA) || oid.Equal(oidEC) {
		return scheme{name: "as the digest", hash: digest}, nil
	}
	return scheme{}, fmt.Errorf("pki: signature algorithm %v is not known", oid)
}

// pssScheme reads RSASSA-PSS-params (RFC 4055 §3.1); defaults are SHA-1, MGF1
// with SHA-1 and 20 bytes.
func pssScheme(r *reader) (scheme, error) {
	s := scheme{"RSA-PSS", crypto.SHA1, true, crypto.SHA1, 20}
	params, ok := r.maybe(0x30)
	if !ok {
		return s, nil
	}
	p := params.read()
	var err error
	if h, ok := p.maybe(0xA0); ok {
		if s.hash, err = hashOf(h.read().take(0x30)); err != nil {
			return s, err
		}
	}
	if m, ok := p.maybe(0xA1); ok {
		mgf := m.read().take(0x30).read()
		mgf.take(0x06)
		if s.mgf, err = hashOf(mgf.take(0x30)); err != nil {
			return s, err
		}
	}
	if n, ok := p.maybe(0xA2); ok {
		v := n.read().take(0x02).body
		if len(v) == 0 || len(v) > 2 {
			return s, fmt.Errorf("%w: salt length", ErrASN1)
		}
		s.salt = int(new(big.Int).SetBytes(v).Int64())
	}
	return s, p.err
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// verify checks a signature of message. It returns the scheme for the report.
func (k *PublicKey) verify(alg elem, digest crypto.Hash, message, signature []byte) (scheme, error) {
	s, err := schemeOf(alg, digest)
	if err != nil {
		return s, err
	}
	if !s.hash.Available() {
		return s, fmt.Errorf("pki: hash %v is not available", s.hash)
	}
	d := sum(s.hash, message)
	switch {
	case k.RSA != nil && s.pss:
		err = verifyPSS(k.RSA, s, d, signature)
	case k.RSA != nil:
		err = rsa.VerifyPKCS1v15(k.RSA, s.hash, d, signature)
	default:
		err = k.verifyEC(d, signature)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return s, nil
}

func (k *PublicKey) verifyEC(digest, signature []byte) error {
	e, rest, err := next(signature)
	if err != nil || e.tag != 0x30 || len(rest) > 0 {
		return errors.New("an ECDSA signature must be a sequence of r and s")
	}
	r := e.read()
	a, b := r.take(0x02), r.take(0x02)
	if r.err != nil || len(r.list) > 0 {
		return errors.New("an ECDSA signature must be a sequence of r and s")
	}
	if !k.Curve.Verify(k.Point, digest, new(big.Int).SetBytes(a.body), new(big.Int).SetBytes(b.body)) {
		return errors.New("ECDSA")
	}
	return nil
}

// verifyPSS is EMSA-PSS-VERIFY of RFC 8017 §9.1.2; the standard library's does
// not take a mask hash of its own.
func verifyPSS(k *rsa.PublicKey, s scheme, digest, signature []byte) error {
	if s.mgf == s.hash {
		return rsa.VerifyPSS(k, s.hash, digest, signature, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.hash})
	}
	bits := k.N.BitLen() - 1
	n, hl := (bits+7)/8, s.hash.Size()
	c := new(big.Int).SetBytes(signature)
	if c.Cmp(k.N) >= 0 || n < hl+s.salt+2 {
		return errors.New("PSS: length")
	}
	m := c.Exp(c, big.NewInt(int64(k.E)), k.N)
	if (m.BitLen()+7)/8 > n {
		return errors.New("PSS: length")
	}
	em := m.FillBytes(make([]byte, n))
	db, h := em[:n-hl-1], em[n-hl-1:n-1]
	top := byte(0xFF) >> (8*n - bits)
	if em[n-1] != 0xBC || db[0]&^top != 0 {
		return errors.New("PSS: trailer")
	}
	mask := mgf1(s.mgf, h, len(db))
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= top
	pad := len(db) - s.salt - 1
	if db[pad] != 1 || bytes.ContainsFunc(db[:pad], func(r rune) bool { return r != 0 }) {
		return errors.New("PSS: padding")
	}
	want := sum(s.hash, append(append(make([]byte, 8), digest...), db[pad+1:]...))
	if !bytes.Equal(want, h) {
		return errors.New("PSS")
	}
	return nil
}

func mgf1(h crypto.Hash, seed []byte, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		out = append(out, sum(h, append(bytes.Clone(seed), byte(i>>24), byte(i>>16), byte(i>>8), byte(i)))...)
	}
	return out[:n]
}

// Signed says whether c was signed by the key of issuer.
func (c *Certificate) Signed(issuer *Certificate) error {
	_, err := issuer.Key.verify(c.algorithm, crypto.SHA256, c.tbs, c.signature)
	return err
}

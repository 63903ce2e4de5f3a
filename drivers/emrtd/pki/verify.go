package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // linked for signatures of older documents; weak ones are flagged
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("pki: signature is wrong")

// signatureOIDs name their hash.
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
	ec   bool
	pss  bool
	mgf  crypto.Hash
	salt int
}

var oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}

// hashName is how certificates' tools write a hash: "sha256".
func hashName(h crypto.Hash) string {
	return strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
}

// schemeOf reads a signature's AlgorithmIdentifier. Where it names no hash
// (plain rsaEncryption or an EC key's own OID) the digest algorithm's counts;
// where it does, that one, even if the digest algorithm differs.
func schemeOf(alg elem, digest crypto.Hash) (scheme, error) {
	r := alg.read()
	oid := oidOf(r.take(0x06))
	if r.err != nil {
		return scheme{}, r.err
	}
	switch {
	case oid.Equal(oidPSS):
		return pssScheme(r)
	case oid.Equal(oidRSA):
		return scheme{name: "rsaEncryption", hash: digest}, nil
	case oid.Equal(oidEC):
		return scheme{name: "ecPublicKey", hash: digest, ec: true}, nil
	}
	for _, s := range signatureOIDs {
		if s.oid.Equal(oid) {
			name := hashName(s.hash) + "WithRSA"
			if s.ec {
				name = "ecdsa-" + strings.ToUpper(hashName(s.hash))
			}
			return scheme{name: name, hash: s.hash, ec: s.ec}, nil
		}
	}
	return scheme{}, fmt.Errorf("pki: signature algorithm %v is not known", oid)
}

// pssScheme reads RSASSA-PSS-params (RFC 4055 §3.1); defaults are SHA-1, MGF1
// with SHA-1 and 20 bytes.
func pssScheme(r *reader) (s scheme, err error) {
	s = scheme{hash: crypto.SHA1, pss: true, mgf: crypto.SHA1, salt: 20}
	defer func() {
		s.name = fmt.Sprintf("RSA-PSS(%s,mgf1-%s,salt%d)", hashName(s.hash), hashName(s.mgf), s.salt)
	}()
	params, ok := r.maybe(0x30)
	if !ok {
		return s, r.err
	}
	p := params.read()
	if h, ok := p.maybe(0xA0); ok {
		if s.hash, err = hashOf(h.read().take(0x30)); err != nil {
			return s, err
		}
	}
	if m, ok := p.maybe(0xA1); ok {
		mgf := m.read().take(0x30).read()
		if oid := oidOf(mgf.take(0x06)); !oid.Equal(oidMGF1) {
			return s, fmt.Errorf("pki: mask generation function %v is not known", oid)
		}
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
	if t, ok := p.maybe(0xA3); ok && !bytes.Equal(t.body, []byte{2, 1, 1}) {
		return s, fmt.Errorf("%w: trailer field", ErrASN1)
	}
	return s, p.end()
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
	case k.RSA != nil && s.ec, k.RSA == nil && !s.ec:
		err = fmt.Errorf("%s with a key of %v", s.name, k)
	case k.RSA != nil:
		err = verifyPKCS1(k.RSA, s.hash, d, signature)
	default:
		err = k.verifyEC(d, signature)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return s, nil
}

var errECDSA = errors.New("an ECDSA signature must be a sequence of r and s")

// signaturePair reads r and s in DER. The bare concatenation that some issuers
// write is malformed.
func signaturePair(signature []byte) (r, s *big.Int, err error) {
	e, err := only(signature)
	if err != nil || e.tag != 0x30 {
		return nil, nil, errECDSA
	}
	p := e.read()
	a, b := p.take(0x02), p.take(0x02)
	if p.end() != nil || len(a.body) == 0 || len(b.body) == 0 || a.body[0]&0x80 != 0 || b.body[0]&0x80 != 0 {
		return nil, nil, errECDSA
	}
	return new(big.Int).SetBytes(a.body), new(big.Int).SetBytes(b.body), nil
}

// nist are the curves that the standard library computes several times faster.
var nist = map[string]elliptic.Curve{
	"secp224r1": elliptic.P224(), "secp256r1": elliptic.P256(), "secp384r1": elliptic.P384(), "secp521r1": elliptic.P521(),
}

func (k *PublicKey) verifyEC(digest, signature []byte) error {
	r, s, err := signaturePair(signature)
	if err != nil {
		return err
	}
	ok := false
	if c := nist[k.Curve.Name]; c != nil {
		ok = ecdsa.Verify(&ecdsa.PublicKey{Curve: c, X: k.Point.X, Y: k.Point.Y}, digest, r, s)
	} else {
		ok = k.Curve.Verify(k.Point, digest, r, s)
	}
	if !ok {
		return errors.New("ECDSA")
	}
	return nil
}

// couldVerify says cheaply whether a signature may come from the key: of its
// kind and of its size. A signature of a curve has no more bits than the
// curve's order, and fewer by 64 only once in 2^128.
func (k *PublicKey) couldVerify(s scheme, signature []byte) bool {
	if k.RSA != nil {
		return !s.ec && len(signature) == (k.RSA.N.BitLen()+7)/8
	}
	if !s.ec {
		return false
	}
	r, v, err := signaturePair(signature)
	if err != nil {
		return false
	}
	bits := max(r.BitLen(), v.BitLen())
	return bits <= k.Curve.N.BitLen() && bits > k.Curve.N.BitLen()-64
}

// open is RSAVP1 (RFC 8017 §5.2.2) into n octets. The standard library takes
// no exponent above 2^31-1, which Doc 9303 does not forbid.
func open(k *rsa.PublicKey, signature []byte, n int) ([]byte, error) {
	c := new(big.Int).SetBytes(signature)
	if len(signature) != (k.N.BitLen()+7)/8 || c.Cmp(k.N) >= 0 {
		return nil, errors.New("RSA: length")
	}
	m := c.Exp(c, big.NewInt(int64(k.E)), k.N)
	if (m.BitLen()+7)/8 > n {
		return nil, errors.New("RSA: length")
	}
	return m.FillBytes(make([]byte, n)), nil
}

// maxExponent is the standard library's limit.
const maxExponent = 1<<31 - 1

// digestInfos are the DER prefixes of RFC 8017 §9.2, note 1.
var digestInfos = map[crypto.Hash][]byte{
	crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00, 0x04, 0x14},
	crypto.SHA224: {0x30, 0x2D, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05, 0x00, 0x04, 0x1C},
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// verifyPKCS1 is RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.2). The expected message is
// built and compared whole: nothing of what the signer wrote is parsed.
func verifyPKCS1(k *rsa.PublicKey, h crypto.Hash, digest, signature []byte) error {
	if k.E <= maxExponent {
		return rsa.VerifyPKCS1v15(k, h, digest, signature)
	}
	n := (k.N.BitLen() + 7) / 8
	em, err := open(k, signature, n)
	if err != nil {
		return err
	}
	tail := append(bytes.Clone(digestInfos[h]), digest...)
	if n < len(tail)+11 {
		return errors.New("PKCS #1: length")
	}
	want := append([]byte{0, 1}, bytes.Repeat([]byte{0xFF}, n-len(tail)-3)...)
	want = append(append(want, 0), tail...)
	if !bytes.Equal(em, want) {
		return errors.New("PKCS #1")
	}
	return nil
}

// verifyPSS is EMSA-PSS-VERIFY of RFC 8017 §9.1.2; the standard library's does
// not take a mask hash of its own, nor no salt: 0 means any salt there.
func verifyPSS(k *rsa.PublicKey, s scheme, digest, signature []byte) error {
	if s.mgf == s.hash && s.salt > 0 && k.E <= maxExponent {
		return rsa.VerifyPSS(k, s.hash, digest, signature, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.hash})
	}
	if !s.mgf.Available() {
		return fmt.Errorf("PSS: hash %v is not available", s.mgf)
	}
	bits := k.N.BitLen() - 1
	n, hl := (bits+7)/8, s.hash.Size()
	if n < hl+s.salt+2 {
		return errors.New("PSS: length")
	}
	em, err := open(k, signature, n)
	if err != nil {
		return err
	}
	db, h := em[:n-hl-1], em[n-hl-1:n-1]
	top := byte(0xFF) >> (8*n - bits)
	if em[n-1] != 0xBC || db[0]&^top != 0 {
		return errors.New("PSS: trailer")
	}
	for i, x := range mgf1(s.mgf, h, len(db)) {
		db[i] ^= x
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

// mayBeSigned says cheaply whether Signed is worth asking.
func (c *Certificate) mayBeSigned(issuer *Certificate) bool {
	s, err := schemeOf(c.algorithm, crypto.SHA256)
	return err == nil && issuer.Key.couldVerify(s, c.signature)
}

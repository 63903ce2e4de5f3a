package testpki

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/pki"
)

// Suite is how an authority or a signer signs. The zero value is ECDSA on
// P-256 with SHA-256.
type Suite struct {
	Hash     crypto.Hash // SHA-256 unless set
	Curve    string      // of ECDSA, such as brainpoolP384r1
	Explicit bool        // the curve's parameters are written out
	Bits     int         // of an RSA modulus, a multiple of 8; 0 for ECDSA
	Exponent int         // of RSA; 65537 unless set
	PSS      bool        // RSASSA-PSS, else PKCS #1 v1.5
}

func (s Suite) filled() Suite {
	if s.Hash == 0 {
		s.Hash = crypto.SHA256
	}
	if s.Curve == "" {
		s.Curve = "secp256r1"
	}
	if s.Exponent == 0 {
		s.Exponent = 65537
	}
	return s
}

// Seed is a source of randomness that repeats.
func Seed(seed uint64) io.Reader {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(b)
}

// key is a private key with its suite.
type key struct {
	Suite
	rsa   *RSAKey
	curve *curve.Curve
	ec    curve.Key
}

func newKey(s Suite, random io.Reader) (*key, error) {
	k := &key{Suite: s.filled()}
	var err error
	if k.Bits > 0 {
		k.rsa, err = NewRSAKey(random, k.Bits, k.Exponent)
		return k, err
	}
	c, ok := curve.ByName(k.Curve)
	if !ok {
		return nil, fmt.Errorf("testpki: no curve is called %q", k.Curve)
	}
	k.curve = c
	k.ec, err = c.Generate(random, c.G)
	return k, err
}

func (k *key) public() []byte {
	if k.rsa != nil {
		return k.rsa.Public()
	}
	return ECKey(k.curve, k.ec.Public, k.Explicit)
}

var (
	oidHashes = map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1: {1, 3, 14, 3, 2, 26}, crypto.SHA224: {2, 16, 840, 1, 101, 3, 4, 2, 4}, crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
		crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
	}
	oidECDSA = map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1: {1, 2, 840, 10045, 4, 1}, crypto.SHA224: {1, 2, 840, 10045, 4, 3, 1}, crypto.SHA256: {1, 2, 840, 10045, 4, 3, 2},
		crypto.SHA384: {1, 2, 840, 10045, 4, 3, 3}, crypto.SHA512: {1, 2, 840, 10045, 4, 3, 4},
	}
	rsaArcs = map[crypto.Hash]int{crypto.SHA1: 5, crypto.SHA224: 14, crypto.SHA256: 11, crypto.SHA384: 12, crypto.SHA512: 13}
	null    = []byte{5, 0}
)

func oidPKCS1(arc int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, arc}
}

// algorithm is the AlgorithmIdentifier of the key's signatures.
func (k *key) algorithm() []byte {
	if k.rsa == nil {
		return lds.Make(0x30, der(oidECDSA[k.Hash]))
	}
	if !k.PSS {
		return lds.Make(0x30, der(oidPKCS1(rsaArcs[k.Hash])), null)
	}
	hash := hashAlgorithm(k.Hash)
	params := lds.Make(0x30, lds.Make(0xA0, hash), lds.Make(0xA1, lds.Make(0x30, der(oidPKCS1(8)), hash)), lds.Make(0xA2, der(k.Hash.Size())))
	return lds.Make(0x30, der(oidPKCS1(10)), params)
}

func hashAlgorithm(h crypto.Hash) []byte { return lds.Make(0x30, der(oidHashes[h]), null) }

func digest(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

// sign makes a signature as X.509 and CMS write it.
func (k *key) sign(random io.Reader, message []byte) ([]byte, error) {
	if k.rsa != nil {
		return k.signRSA(random, message)
	}
	r, s, err := k.curve.Sign(random, k.ec.D, digest(k.Hash, message))
	if err != nil {
		return nil, fmt.Errorf("testpki: sign: %w", err)
	}
	return der(struct{ R, S *big.Int }{r, s}), nil
}

// plain makes a signature as card verifiable certificates write it: r ‖ s.
func (k *key) plain(random io.Reader, message []byte) ([]byte, error) {
	if k.rsa != nil {
		return k.signRSA(random, message)
	}
	r, s, err := k.curve.Sign(random, k.ec.D, digest(k.Hash, message))
	if err != nil {
		return nil, fmt.Errorf("testpki: sign: %w", err)
	}
	n := (k.curve.N.BitLen() + 7) / 8
	return append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...), nil
}

func (k *key) signRSA(random io.Reader, message []byte) ([]byte, error) {
	var block []byte
	var err error
	if k.PSS {
		block, err = encodePSS(random, k.Hash, message, k.rsa.N.BitLen()-1)
	} else {
		block, err = encodePKCS1(k.Hash, message, k.rsa.N.BitLen())
	}
	if err != nil {
		return nil, err
	}
	return k.rsa.Private(new(big.Int).SetBytes(block)).FillBytes(make([]byte, (k.rsa.N.BitLen()+7)/8)), nil
}

// encodePKCS1 is EMSA-PKCS1-v1_5 (RFC 8017 §9.2).
func encodePKCS1(h crypto.Hash, message []byte, bits int) ([]byte, error) {
	t := lds.Make(0x30, hashAlgorithm(h), lds.Make(0x04, digest(h, message)))
	fill := (bits+7)/8 - 3 - len(t)
	if fill < 8 {
		return nil, errors.New("testpki: the modulus is too short for the digest")
	}
	return bytes.Join([][]byte{{0, 1}, bytes.Repeat([]byte{0xFF}, fill), {0}, t}, nil), nil
}

// encodePSS is EMSA-PSS with MGF1 of the same hash and a salt of the digest's
// length (RFC 8017 §9.1.1).
func encodePSS(random io.Reader, h crypto.Hash, message []byte, bits int) ([]byte, error) {
	n, size := (bits+7)/8, h.Size()
	if n < 2*size+2 {
		return nil, errors.New("testpki: the modulus is too short for the digest")
	}
	salt := make([]byte, size)
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("testpki: salt: %w", err)
	}
	tag := digest(h, bytes.Join([][]byte{make([]byte, 8), digest(h, message), salt}, nil))
	db := append(append(make([]byte, n-2*size-2), 1), salt...)
	for i, b := range mgf1(h, tag, len(db)) {
		db[i] ^= b
	}
	db[0] &= 0xFF >> (8*n - bits)
	return append(append(db, tag...), 0xBC), nil
}

func mgf1(h crypto.Hash, seed []byte, n int) []byte {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		out = append(out, digest(h, append(bytes.Clone(seed), 0, 0, 0, i))...)
	}
	return out[:n]
}

// RSAKey is an RSA key pair that a seed repeats, which crypto/rsa's are not.
type RSAKey struct {
	N, P, Q *big.Int
	E       int
	dp, dq  *big.Int
	inverse *big.Int // of Q modulo P
}

// NewRSAKey makes a key with a modulus of bits, a multiple of 16.
func NewRSAKey(random io.Reader, bits, e int) (*RSAKey, error) {
	one, exponent := big.NewInt(1), big.NewInt(int64(e))
	for {
		p, err := prime(random, bits/2, exponent)
		if err != nil {
			return nil, err
		}
		q, err := prime(random, bits-bits/2, exponent)
		if err != nil {
			return nil, err
		}
		n := new(big.Int).Mul(p, q)
		if n.BitLen() != bits || p.Cmp(q) == 0 {
			continue
		}
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
		return &RSAKey{n, p, q, e, new(big.Int).ModInverse(exponent, p1), new(big.Int).ModInverse(exponent, q1), new(big.Int).ModInverse(q, p)}, nil
	}
}

// small primes sift candidates before the expensive test.
var small = func() (list []uint64) {
	for n := uint64(3); n < 8000; n += 2 {
		whole := true
		for _, p := range list {
			if n%p == 0 {
				whole = false
				break
			}
		}
		if whole {
			list = append(list, n)
		}
	}
	return list
}()

// prime draws a starting point and takes the next prime p with gcd(p-1, e)
// = 1.
func prime(random io.Reader, bits int, e *big.Int) (*big.Int, error) {
	b := make([]byte, (bits+7)/8)
	one := big.NewInt(1)
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("testpki: prime: %w", err)
		}
		p := new(big.Int).SetBytes(b)
		p.SetBit(p, bits-1, 1).SetBit(p, bits-2, 1).SetBit(p, 0, 1)
		rest := make([]uint64, len(small))
		for i, s := range small {
			rest[i] = new(big.Int).Mod(p, new(big.Int).SetUint64(s)).Uint64()
		}
		for step := uint64(0); step < 1<<16; step += 2 {
			if divides(rest, step) {
				continue
			}
			c := new(big.Int).Add(p, new(big.Int).SetUint64(step))
			if c.BitLen() == bits && new(big.Int).GCD(nil, nil, new(big.Int).Sub(c, one), e).Cmp(one) == 0 && c.ProbablyPrime(8) {
				return c, nil
			}
		}
	}
}

func divides(rest []uint64, step uint64) bool {
	for i, s := range small {
		if (rest[i]+step)%s == 0 {
			return true
		}
	}
	return false
}

// Public is the SubjectPublicKeyInfo.
func (k *RSAKey) Public() []byte {
	return lds.Make(0x30, lds.Make(0x30, der(oidPKCS1(1)), null), lds.Make(0x03, []byte{0}, lds.Make(0x30, der(k.N), der(k.E))))
}

// Private is m^d modulo N.
func (k *RSAKey) Private(m *big.Int) *big.Int {
	a, b := new(big.Int).Exp(m, k.dp, k.P), new(big.Int).Exp(m, k.dq, k.Q)
	h := new(big.Int).Sub(a, b)
	h.Mul(h, k.inverse).Mod(h, k.P)
	return h.Mul(h, k.Q).Add(h, b)
}

// ECKey is a point's SubjectPublicKeyInfo with the curve by name, or with its
// parameters written out as most states do.
func ECKey(c *curve.Curve, p curve.Point, explicit bool) []byte {
	params := der(pki.CurveOID(c.Name))
	if explicit {
		params = explicitParameters(c)
	}
	return lds.Make(0x30, lds.Make(0x30, der(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}), params), lds.Make(0x03, []byte{0}, c.Encode(p)))
}

// explicitParameters are ECParameters of a prime field (BSI TR-03111 §5.2.1).
func explicitParameters(c *curve.Curve) []byte {
	element := func(v *big.Int) []byte { return lds.Make(0x04, v.FillBytes(make([]byte, c.Len()))) }
	field := lds.Make(0x30, der(asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}), der(c.P))
	return lds.Make(0x30, der(1), field, lds.Make(0x30, element(c.A), element(c.B)), lds.Make(0x04, c.Encode(c.G)), der(c.N), der(1))
}

// der marshals values of ours, which cannot fail.
func der(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic("testpki: " + err.Error())
	}
	return b
}

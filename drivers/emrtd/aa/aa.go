// Package aa verifies Active Authentication: the chip signs a challenge with a
// key that cannot be copied. ICAO Doc 9303-11 §6.1.
package aa

import (
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"passage/drivers/emrtd/pki"
)

// ErrSignature says that the chip does not have the key of its DG15.
var ErrSignature = errors.New("aa: the chip's signature is wrong")

var oidAA = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 5}

// ecHashes are the hashes of signature algorithms: those of the plain format, which
// Doc 9303-11 §9.2 asks for (BSI TR-03111 §5.2.1), and of X9.62, by which some
// may name the same hash.
var ecHashes = map[string]crypto.Hash{
	"0.4.0.127.0.7.1.1.4.1.1": crypto.SHA1, "0.4.0.127.0.7.1.1.4.1.2": crypto.SHA224, "0.4.0.127.0.7.1.1.4.1.3": crypto.SHA256,
	"0.4.0.127.0.7.1.1.4.1.4": crypto.SHA384, "0.4.0.127.0.7.1.1.4.1.5": crypto.SHA512,
	"1.2.840.10045.4.1": crypto.SHA1, "1.2.840.10045.4.3.1": crypto.SHA224, "1.2.840.10045.4.3.2": crypto.SHA256,
	"1.2.840.10045.4.3.3": crypto.SHA384, "1.2.840.10045.4.3.4": crypto.SHA512,
}

// Hash finds the hash for ECDSA among the SecurityInfos of DG14. Without one the
// digest has the key's length.
func Hash(infos [][]byte, key *pki.PublicKey) crypto.Hash {
	for _, raw := range infos {
		var v struct {
			OID       asn1.ObjectIdentifier
			Version   int
			Algorithm asn1.ObjectIdentifier
		}
		if _, err := asn1.Unmarshal(raw, &v); err == nil && v.OID.Equal(oidAA) {
			if h, ok := ecHashes[v.Algorithm.String()]; ok {
				return h
			}
		}
	}
	switch bits := keyBits(key); {
	case bits <= 224:
		return crypto.SHA224
	case bits <= 256:
		return crypto.SHA256
	case bits <= 384:
		return crypto.SHA384
	}
	return crypto.SHA512
}

func keyBits(k *pki.PublicKey) int {
	if k.RSA != nil {
		return k.RSA.N.BitLen()
	}
	return k.Curve.N.BitLen()
}

// Verify checks the answer to INTERNAL AUTHENTICATE over the reader's 8-byte
// challenge.
func Verify(key *pki.PublicKey, hash crypto.Hash, challenge, signature []byte) error {
	if key.RSA != nil {
		return verifyRSA(key.RSA, challenge, signature)
	}
	n := (key.Curve.N.BitLen() + 7) / 8
	if len(signature) != 2*n {
		return fmt.Errorf("%w: %d bytes, want r and s of %d", ErrSignature, len(signature), n)
	}
	h := hash.New()
	h.Write(challenge)
	r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
	if !key.Curve.Verify(key.Point, h.Sum(nil), r, s) {
		return ErrSignature
	}
	return nil
}

// trailers of ISO/IEC 9796-2 digital signature scheme 1.
var trailers = map[byte]crypto.Hash{0x33: crypto.SHA1, 0x34: crypto.SHA256, 0x35: crypto.SHA512, 0x36: crypto.SHA384, 0x38: crypto.SHA224}

// verifyRSA opens the signature (ISO/IEC 9796-2 scheme 1): f or n - f ends in
// nibble C.
func verifyRSA(key *rsa.PublicKey, challenge, signature []byte) error {
	s := new(big.Int).SetBytes(signature)
	if s.Cmp(key.N) >= 0 {
		return ErrSignature
	}
	f := s.Exp(s, big.NewInt(int64(key.E)), key.N)
	if new(big.Int).And(f, big.NewInt(15)).Int64() != 12 {
		f.Sub(key.N, f)
	}
	return verifyMessage(f.Bytes(), challenge)
}

// verifyMessage compares the digest in a message representative, without
// leading zeros, with that of the recovered part and the challenge: header 6A
// (partial recovery, the message fills the block), M1, digest, trailer.
func verifyMessage(m, challenge []byte) error {
	if len(m) < 64 || m[0] != 0x6A {
		return fmt.Errorf("%w: no message of ISO/IEC 9796-2", ErrSignature)
	}
	hash, tail := crypto.SHA1, 1
	switch m[len(m)-1] {
	case 0xBC:
	case 0xCC:
		var ok bool
		if hash, ok = trailers[m[len(m)-2]]; !ok {
			return fmt.Errorf("%w: trailer %02XCC", ErrSignature, m[len(m)-2])
		}
		tail = 2
	default:
		return fmt.Errorf("%w: trailer %02X", ErrSignature, m[len(m)-1])
	}
	end := len(m) - tail
	start := end - hash.Size()
	if start < 1 {
		return fmt.Errorf("%w: no room for a digest", ErrSignature)
	}
	h := hash.New()
	h.Write(m[1:start])
	h.Write(challenge)
	if subtle.ConstantTimeCompare(h.Sum(nil), m[start:end]) != 1 {
		return ErrSignature
	}
	return nil
}

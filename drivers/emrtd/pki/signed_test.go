package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"

	"passage/drivers/emrtd/lds"
)

// Without its attributes a signature may be one of something else.
func TestSignedAttributes(t *testing.T) {
	signer := state(t, "UT").signs(t)
	sha := encode(0x30, encodeOID(t, hashOIDs[2].oid))
	hash := encode(0x30, slices.Concat([]byte{2, 1, 1}, encode(0x04, make([]byte, 32))))
	content := encode(0x30, slices.Concat([]byte{2, 1, 0}, sha, encode(0x30, hash)))
	for _, c := range []struct {
		name  string
		attrs []asn1.ObjectIdentifier
		good  bool
	}{
		{"both", []asn1.ObjectIdentifier{oidContentType, oidMessageDigest}, true},
		{"no content type", []asn1.ObjectIdentifier{oidMessageDigest}, false},
		{"no digest", []asn1.ObjectIdentifier{oidContentType}, false},
		{"none", nil, false},
	} {
		o, err := ParseSOD(lds.Make(lds.SOD.Tag, signer.signWith(t, oidLDSSecurity, content, c.attrs)))
		if err == nil {
			_, err = o.Signed.Verify(nil)
		}
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The algorithm beside a signature is not signed; the one inside is.
func TestTwoAlgorithms(t *testing.T) {
	c := state(t, "UT").cert
	e, err := only(c.Raw)
	if err != nil {
		t.Fatal(err)
	}
	r := e.read()
	tbs, _, signature := r.take(0x30), r.take(0x30), r.take(0x03)
	other := encode(0x30, encodeOID(t, signatureOIDs[8].oid))
	if _, err := ParseCertificate(encode(0x30, slices.Concat(tbs.raw, other, signature.raw))); !errors.Is(err, ErrASN1) {
		t.Errorf("another algorithm outside: %v", err)
	}
}

// What the parameters of RSASSA-PSS say is what is verified.
func TestPSSParameters(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	digest := sha256.Sum256(message)
	sign := func(salt int) []byte {
		b, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sha := encode(0x30, encodeOID(t, hashOIDs[2].oid))
	algorithm := func(mgf asn1.ObjectIdentifier, salt byte) elem {
		params := slices.Concat(encode(0xA0, sha), encode(0xA1, encode(0x30, slices.Concat(encodeOID(t, mgf), sha))), encode(0xA2, []byte{2, 1, salt}))
		e, err := only(encode(0x30, slices.Concat(encodeOID(t, oidPSS), encode(0x30, params))))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	none := rsaWithoutSalt(key, digest[:])
	for _, c := range []struct {
		name      string
		algorithm elem
		signature []byte
		good      bool
	}{
		{"salt of 32, said so", algorithm(oidMGF1, 32), sign(32), true},
		{"salt of 20, said 32", algorithm(oidMGF1, 32), sign(20), false},
		{"salt of 32, said none", algorithm(oidMGF1, 0), sign(32), false},
		{"no salt, said so", algorithm(oidMGF1, 0), none, true},
		{"another mask", algorithm(oidRSA, 32), sign(32), false},
	} {
		_, err := (&PublicKey{RSA: &key.PublicKey}).verify(c.algorithm, crypto.SHA256, message, c.signature)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// rsaWithoutSalt is RSASSA-PSS-SIGN with an empty salt (RFC 8017 §9.1.1), which
// the standard library does not make.
func rsaWithoutSalt(key *rsa.PrivateKey, digest []byte) []byte {
	h := sum(crypto.SHA256, append(make([]byte, 8), digest...))
	db := make([]byte, 256-32-1)
	db[len(db)-1] = 1
	for i, x := range mgf1(crypto.SHA256, h, len(db)) {
		db[i] ^= x
	}
	db[0] &= 0x7F
	em := new(big.Int).SetBytes(slices.Concat(db, h, []byte{0xBC}))
	return em.Exp(em, key.D, key.N).FillBytes(make([]byte, 256))
}

package aa

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"

	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/pki"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// activeInfo is ActiveAuthenticationInfo with ecdsa-plain and the n-th hash.
func activeInfo(t *testing.T, n int) [][]byte {
	t.Helper()
	return activeInfoOf(t, asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 1, 1, 4, 1, n})
}

func activeInfoOf(t *testing.T, algorithm asn1.ObjectIdentifier) [][]byte {
	t.Helper()
	b, err := asn1.Marshal(struct {
		OID       asn1.ObjectIdentifier
		Version   int
		Algorithm asn1.ObjectIdentifier
	}{oidAA, 1, algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{b}
}

// Doc 9303-11 App F, which prints no public key: the message alone; and
// signatures made by an independent implementation.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("../../../../shared/data/emrtd/vectors.json")
	if err != nil {
		t.Skipf("the shared vectors are not there: %v", err)
	}
	var file struct{ Vectors []json.RawMessage } // others have inputs of other shapes
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	type vector struct {
		ID    string
		Input struct {
			DG15, Signature string
			Challenge       string `json:"RND_IFD"`
		}
		Want struct{ F string } `json:"expected"`
	}
	var list []vector
	for _, row := range file.Vectors {
		if !bytes.Contains(row, []byte(`"AA-`)) {
			continue
		}
		var v vector
		if err := json.Unmarshal(row, &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	if len(list) != 6 {
		t.Errorf("%d vectors", len(list))
	}
	for _, v := range list {
		challenge := unhex(v.Input.Challenge)
		if v.Want.F != "" {
			if err := verifyMessage(unhex(v.Want.F), challenge); err != nil {
				t.Errorf("%s: message: %v", v.ID, err)
			}
		}
		if v.Input.DG15 == "" {
			continue
		}
		spki, err := lds.ParseDG15(unhex(v.Input.DG15))
		if err != nil {
			t.Fatal(err)
		}
		key, err := pki.ParsePublicKey(spki)
		if err != nil {
			t.Fatal(err)
		}
		hash := Hash(nil, key)
		if strings.Contains(v.ID, "sha384") && key.RSA == nil {
			hash = Hash(activeInfo(t, 4), key)
		}
		signature := unhex(v.Input.Signature)
		if err := Verify(key, hash, challenge, signature); err != nil {
			t.Errorf("%s: %v", v.ID, err)
		}
		for _, i := range []int{0, len(signature) / 2, len(signature) - 1} {
			bad := bytes.Clone(signature)
			bad[i] ^= 1
			if err := Verify(key, hash, challenge, bad); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: byte %d changed: %v", v.ID, i, err)
			}
		}
		challenge[7] ^= 1
		if err := Verify(key, hash, challenge, signature); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: another challenge: %v", v.ID, err)
		}
	}
}

// Every trailer, with both roots of the signature, and a modulus that is no
// power of two long.
func TestTrailers(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1800)
	if err != nil {
		t.Fatal(err)
	}
	public := &pki.PublicKey{RSA: &key.PublicKey}
	challenge := unhex("F173589974BF40C6")
	sign := func(m []byte, other bool) []byte {
		s := new(big.Int).SetBytes(m)
		s.Exp(s, key.D, key.N)
		if other {
			s.Sub(key.N, s)
		}
		return s.FillBytes(make([]byte, (key.N.BitLen()+7)/8))
	}
	message := func(hash crypto.Hash, trailer ...byte) []byte {
		m1 := make([]byte, (key.N.BitLen()+7)/8-1-hash.Size()-len(trailer))
		rand.Read(m1)
		h := hash.New()
		h.Write(m1)
		h.Write(challenge)
		return append(append(append([]byte{0x6A}, m1...), h.Sum(nil)...), trailer...)
	}
	for hash, trailer := range map[crypto.Hash][]byte{
		crypto.SHA1: {0xBC}, crypto.SHA224: {0x38, 0xCC}, crypto.SHA256: {0x34, 0xCC}, crypto.SHA384: {0x36, 0xCC}, crypto.SHA512: {0x35, 0xCC},
	} {
		m := message(hash, trailer...)
		for _, other := range []bool{false, true} {
			if err := Verify(public, 0, challenge, sign(m, other)); err != nil {
				t.Errorf("%v, other root %v: %v", hash, other, err)
			}
		}
	}
	if err := Verify(public, 0, challenge, sign(message(crypto.SHA1, 0x33, 0xCC), false)); err != nil {
		t.Errorf("SHA-1 by its long trailer: %v", err)
	}
	full := message(crypto.SHA256, 0x34, 0xCC)
	full[0] = 0x4A
	for name, bad := range map[string][]byte{
		"a hash that does not exist": message(crypto.SHA1, 0x37, 0xCC), "no trailer": message(crypto.SHA1, 0x5C), "another header": full, "no message": {1},
	} {
		if err := Verify(public, 0, challenge, sign(bad, false)); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Verify(public, 0, challenge, key.N.Bytes()); !errors.Is(err, ErrSignature) {
		t.Errorf("the modulus as a signature: %v", err)
	}
}

// The hash of an ECDSA key is DG14's, else it has the key's length.
func TestHash(t *testing.T) {
	for _, c := range []struct {
		infos [][]byte
		bits  int
		want  crypto.Hash
	}{
		{activeInfo(t, 1), 256, crypto.SHA1},
		{activeInfo(t, 5), 256, crypto.SHA512},
		{activeInfo(t, 9), 256, crypto.SHA256},
		{activeInfoOf(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}), 384, crypto.SHA256}, // X9.62
		{activeInfoOf(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}), 384, crypto.SHA384},
		{nil, 192, crypto.SHA224},
		{nil, 320, crypto.SHA384},
		{nil, 521, crypto.SHA512},
	} {
		key := &pki.PublicKey{RSA: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), uint(c.bits-1))}}
		if got := Hash(c.infos, key); got != c.want {
			t.Errorf("%X, %d bits: %v, want %v", c.infos, c.bits, got, c.want)
		}
	}
}

// FuzzMessage: no message is taken for a challenge that it was not made for.
func FuzzMessage(f *testing.F) {
	f.Add(append([]byte{0x6A}, make([]byte, 127)...))
	f.Add(append(append([]byte{0x6A}, make([]byte, 125)...), 0x34, 0xCC))
	f.Fuzz(func(t *testing.T, m []byte) {
		if err := verifyMessage(m, []byte("8 bytes!")); err == nil {
			t.Errorf("%X is taken", m)
		}
	})
}

package curve

import (
	"crypto/ecdh"
	"crypto/rand"
	"math/big"
	"testing"
)

// Every curve's constants: the base point lies on it and has the order N.
func TestConstants(t *testing.T) {
	for _, c := range all {
		if !c.On(c.G) {
			t.Errorf("%s: G is not on the curve", c.Name)
		}
		less := new(big.Int).Sub(c.N, big.NewInt(1))
		p := c.Mul(less, c.G)
		if p.Infinite() || p.X.Cmp(c.G.X) != 0 || p.Y.Cmp(new(big.Int).Sub(c.P, c.G.Y)) != 0 {
			t.Errorf("%s: (N-1)·G is not -G", c.Name)
		}
		if !c.Add(p, c.G).Infinite() {
			t.Errorf("%s: N·G is not infinity", c.Name)
		}
		if !c.P.ProbablyPrime(20) || !c.N.ProbablyPrime(20) {
			t.Errorf("%s: p or n is not prime", c.Name)
		}
	}
}

func TestAgainstTheStandardLibrary(t *testing.T) {
	c, _ := ByID(12)
	for range 20 {
		k, err := c.Generate(rand.Reader, c.G)
		if err != nil {
			t.Fatal(err)
		}
		private, err := ecdh.P256().NewPrivateKey(k.D.FillBytes(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		public := private.PublicKey().Bytes() // 4, x, y
		if !k.Public.Equal(Point{new(big.Int).SetBytes(public[1:33]), new(big.Int).SetBytes(public[33:])}) {
			t.Fatal("k·G differs")
		}
	}
}

// Multiplication by nistec is that by the curve equation.
func TestConstantTime(t *testing.T) {
	for _, c := range all {
		if c.mul == nil {
			continue
		}
		plain := *c
		plain.mul = nil
		k, err := c.Generate(rand.Reader, c.G)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*big.Int{k.D, big.NewInt(0), big.NewInt(1), big.NewInt(16), c.N, new(big.Int).Add(c.N, k.D)} {
			if a, b := c.Mul(d, k.Public), plain.Mul(d, k.Public); !a.Equal(b) {
				t.Errorf("%s: %v times a point differ", c.Name, d)
			}
		}
		if p := c.Mul(k.D, Point{big.NewInt(1), big.NewInt(1)}); !p.Infinite() {
			t.Errorf("%s: a point off the curve is multiplied", c.Name)
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, c := range all {
		k, err := c.Generate(rand.Reader, c.G)
		if err != nil {
			t.Fatal(err)
		}
		b := c.Encode(k.Public)
		if p, err := c.Decode(b); err != nil || !p.Equal(k.Public) {
			t.Errorf("%s: %v", c.Name, err)
		}
		short := append([]byte{2 + byte(k.Public.Y.Bit(0))}, b[1:1+c.Len()]...)
		if p, err := c.Decode(short); err != nil || !p.Equal(k.Public) {
			t.Errorf("%s compressed: %v", c.Name, err)
		}
		b[len(b)-1] ^= 1
		if _, err := c.Decode(b); err == nil {
			t.Errorf("%s: a point off the curve is accepted", c.Name)
		}
	}
	c, _ := ByID(13)
	for _, bad := range [][]byte{nil, {0}, {4}, make([]byte, 65), append([]byte{4}, make([]byte, 64)...)} {
		if _, err := c.Decode(bad); err == nil {
			t.Errorf("% X is accepted", bad)
		}
	}
}

func TestECDSA(t *testing.T) {
	digest := make([]byte, 32)
	for _, c := range all {
		rand.Read(digest)
		k, err := c.Generate(rand.Reader, c.G)
		if err != nil {
			t.Fatal(err)
		}
		r, s, err := c.Sign(rand.Reader, k.D, digest)
		if err != nil || !c.Verify(k.Public, digest, r, s) {
			t.Errorf("%s: own signature is refused, %v", c.Name, err)
		}
		digest[0] ^= 1
		if c.Verify(k.Public, digest, r, s) {
			t.Errorf("%s: a signature of something else is accepted", c.Name)
		}
		if c.Verify(k.Public, digest, big.NewInt(0), s) || c.Verify(k.Public, digest, r, c.N) {
			t.Errorf("%s: r or s out of range is accepted", c.Name)
		}
	}
}

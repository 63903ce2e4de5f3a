package dh

import (
	"crypto/rand"
	"errors"
	"math/big"
	"testing"
)

func TestGroups(t *testing.T) {
	one := big.NewInt(1)
	for id, bits := range [][2]int{{1024, 160}, {2048, 224}, {2048, 256}} {
		g, ok := ByID(id)
		if !ok || g.P.BitLen() != bits[0] || g.Q.BitLen() != bits[1] || !g.P.ProbablyPrime(20) || !g.Q.ProbablyPrime(20) {
			t.Fatalf("group %d is not RFC 5114's", id)
		}
		if new(big.Int).Exp(g.G, g.Q, g.P).Cmp(one) != 0 || g.G.Cmp(one) == 0 {
			t.Errorf("group %d: the generator's order is not q", id)
		}
		a, err := g.Generate(rand.Reader, g.G)
		b, err2 := g.Generate(rand.Reader, g.G)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		pa, err := g.Decode(append([]byte{0}, g.Encode(a.Public)...))
		if err != nil {
			t.Fatal(err)
		}
		if g.Shared(b, pa).Cmp(g.Shared(a, b.Public)) != 0 {
			t.Errorf("group %d: two secrets", id)
		}
		last := new(big.Int).Sub(g.P, one)
		for name, y := range map[string]*big.Int{"0": new(big.Int), "1": one, "p-1": last, "p": g.P, "p+1": new(big.Int).Add(g.P, one), "a non-residue": nonResidue(g)} {
			if _, err := g.Decode(y.Bytes()); !errors.Is(err, ErrKey) {
				t.Errorf("group %d takes %s: %v", id, name, err)
			}
		}
		if k, ok := Known(g.P, g.G, nil); !ok || k != g {
			t.Errorf("group %d is not known by its parameters", id)
		}
		if _, ok := Known(g.P, big.NewInt(4), g.Q); ok {
			t.Errorf("group %d with a forged generator is known", id)
		}
	}
}

func nonResidue(g *Group) *big.Int {
	for n := int64(2); ; n++ {
		if y := big.NewInt(n); big.Jacobi(y, g.P) == -1 {
			return y
		}
	}
}

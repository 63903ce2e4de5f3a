package curve

import (
	"crypto/rand"
	"math/big"
	"testing"
)

// The field is what math/big says it is, at its edges too.
func TestField(t *testing.T) {
	for _, c := range all {
		f := newField(c.P)
		edge := []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(2), new(big.Int).Sub(c.P, big.NewInt(1)), new(big.Int).Rsh(c.P, 1)}
		for range 20 {
			x, err := rand.Int(rand.Reader, c.P)
			if err != nil {
				t.Fatal(err)
			}
			edge = append(edge, x)
		}
		for _, x := range edge {
			for _, y := range edge {
				a, b := f.in(x), f.in(y)
				var product, sum, difference limbs
				f.mul(&product, &a, &b)
				f.add(&sum, &a, &b)
				f.sub(&difference, &a, &b)
				for _, r := range []struct {
					name string
					got  *big.Int
					want *big.Int
				}{
					{"·", f.out(&product), new(big.Int).Mul(x, y)},
					{"+", f.out(&sum), new(big.Int).Add(x, y)},
					{"-", f.out(&difference), new(big.Int).Sub(x, y)},
				} {
					if r.got.Cmp(r.want.Mod(r.want, c.P)) != 0 {
						t.Fatalf("%s: %x %s %x is %x", c.Name, x, r.name, y, r.got)
					}
				}
			}
		}
	}
}

// Sums, by the slow addition; with the cases in which points are equal,
// opposite or at infinity.
func TestSum(t *testing.T) {
	for _, c := range all {
		slow := func(k int64, p Point) (q Point) {
			for range k {
				q = c.Add(q, p)
			}
			return q
		}
		g2 := c.Add(c.G, c.G)
		for a := int64(0); a < 19; a++ {
			for b := int64(0); b < 19; b += 3 {
				got := c.sum(term{big.NewInt(a), c.G}, term{big.NewInt(b), g2})
				if want := slow(a+2*b, c.G); !got.Equal(want) {
					t.Fatalf("%s: %dG + %d(2G)", c.Name, a, b)
				}
			}
		}
		minus := new(big.Int).Sub(c.N, big.NewInt(4))
		if p := c.sum(term{minus, c.G}, term{big.NewInt(2), g2}); !p.Infinite() {
			t.Errorf("%s: (n-4)G + 4G is not infinite", c.Name)
		}
		if p := c.sum(term{c.N, c.G}); !p.Infinite() {
			t.Errorf("%s: nG is not infinite", c.Name)
		}
	}
}

// A secret's product is the same as a public number's, and nothing of how it is
// computed depends on the secret.
func TestTimes(t *testing.T) {
	for _, c := range all {
		last := new(big.Int).Sub(c.N, big.NewInt(1))
		secrets := []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(2), big.NewInt(15), big.NewInt(16), big.NewInt(17), last, new(big.Int).Rsh(c.N, 1), new(big.Int).Rsh(c.N, 9)}
		for range 8 {
			k, err := rand.Int(rand.Reader, c.N)
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, k)
		}
		p := c.sum(term{big.NewInt(77), c.G})
		for _, k := range secrets {
			if got, want := c.times(k, p), c.sum(term{k, p}); !got.Equal(want) {
				t.Errorf("%s: %x·P", c.Name, k)
			}
			digits, value := c.digits(k), new(big.Int)
			for i := len(digits) - 1; i >= 0; i-- {
				if digits[i] < 1 || digits[i] > 16 {
					t.Fatalf("%s: %x has the digit %d", c.Name, k, digits[i])
				}
				value.Lsh(value, 4).Add(value, big.NewInt(int64(digits[i])))
			}
			if len(digits) != len(c.digits(last)) || value.Mod(value, c.N).Cmp(k) != 0 {
				t.Errorf("%s: %x is %d", c.Name, k, digits)
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"} {
		c, _ := ByName(name)
		key, err := c.Generate(rand.Reader, c.G)
		if err != nil {
			b.Fatal(err)
		}
		digest := make([]byte, 32)
		r, s, err := c.Sign(rand.Reader, key.D, digest)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !c.Verify(key.Public, digest, r, s) {
					b.Fatal("wrong")
				}
			}
		})
	}
}

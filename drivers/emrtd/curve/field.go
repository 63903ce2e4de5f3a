package curve

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// limbs hold a field element of at most 576 bits, least significant first; 521
// is the largest of the standard's.
type limbs [9]uint64

// field is arithmetic modulo an odd prime in Montgomery form, x·2^(64n) mod p,
// about ten times faster than math/big with a division after each product. It
// is not constant time.
type field struct {
	p       *big.Int
	n       int // limbs in use
	m       limbs
	inverse uint64 // -1/p mod 2^64
	square  limbs  // 2^(128n) mod p, which brings a number into the form
	one     limbs
}

func newField(p *big.Int) *field {
	f := &field{p: p, n: (p.BitLen() + 63) / 64}
	f.m = split(p)
	x := f.m[0] // p·p = 1 mod 8; each step doubles the bits that are right
	for range 5 {
		x *= 2 - f.m[0]*x
	}
	f.inverse = -x
	r := new(big.Int).Lsh(big.NewInt(1), uint(64*f.n))
	f.one = split(new(big.Int).Mod(r, p))
	f.square = split(r.Mul(r, r).Mod(r, p))
	return f
}

func split(x *big.Int) (z limbs) {
	var b [8 * len(z)]byte
	x.FillBytes(b[:])
	for i := range z {
		z[i] = binary.BigEndian.Uint64(b[len(b)-8*(i+1):])
	}
	return z
}

// in brings a number from 0 to p-1 into Montgomery form.
func (f *field) in(x *big.Int) limbs {
	z := split(x)
	f.mul(&z, &z, &f.square)
	return z
}

func (f *field) out(x *limbs) *big.Int {
	var z limbs
	f.mul(&z, x, &limbs{1})
	var b [8 * len(z)]byte
	for i, w := range z {
		binary.BigEndian.PutUint64(b[len(b)-8*(i+1):], w)
	}
	return new(big.Int).SetBytes(b[:])
}

// mul sets z = x·y/2^(64n) mod p: a row of the product, then a multiple of p
// that makes its lowest limb zero, and so on (CIOS).
func (f *field) mul(z, x, y *limbs) {
	var t [len(z) + 2]uint64
	n := f.n
	for i := range n {
		var carry, c uint64
		for j := range n {
			hi, lo := bits.Mul64(x[j], y[i])
			lo, c = bits.Add64(lo, t[j], 0)
			hi += c
			t[j], c = bits.Add64(lo, carry, 0)
			carry = hi + c
		}
		t[n], c = bits.Add64(t[n], carry, 0)
		t[n+1] = c
		q := t[0] * f.inverse
		hi, lo := bits.Mul64(q, f.m[0])
		_, c = bits.Add64(lo, t[0], 0)
		carry = hi + c
		for j := 1; j < n; j++ {
			hi, lo := bits.Mul64(q, f.m[j])
			lo, c = bits.Add64(lo, t[j], 0)
			hi += c
			t[j-1], c = bits.Add64(lo, carry, 0)
			carry = hi + c
		}
		t[n-1], c = bits.Add64(t[n], carry, 0)
		t[n] = t[n+1] + c
	}
	copy(z[:n], t[:n])
	f.reduce(z, t[n])
}

// reduce subtracts p once from z with a carry above it, if it is not smaller.
func (f *field) reduce(z *limbs, carry uint64) {
	var d limbs
	var borrow uint64
	for i := range f.n {
		d[i], borrow = bits.Sub64(z[i], f.m[i], borrow)
	}
	if carry >= borrow {
		*z = d
	}
}

func (f *field) add(z, x, y *limbs) {
	var c uint64
	for i := range f.n {
		z[i], c = bits.Add64(x[i], y[i], c)
	}
	f.reduce(z, c)
}

func (f *field) sub(z, x, y *limbs) {
	var b, c uint64
	for i := range f.n {
		z[i], b = bits.Sub64(x[i], y[i], b)
	}
	if b == 0 {
		return
	}
	for i := range f.n {
		z[i], c = bits.Add64(z[i], f.m[i], c)
	}
}

// projective is (X/Z², Y/Z³); Z is 0 at infinity.
type projective struct{ x, y, z limbs }

// plane is a curve over a field.
type plane struct {
	*field
	a limbs
}

func (g *plane) infinite(p *projective) bool { return p.z == limbs{} }

// double sets r = 2p ("dbl-2007-bl" of the Explicit-Formulas Database).
func (g *plane) double(r, p *projective) {
	if g.infinite(p) || p.y == (limbs{}) {
		*r = projective{x: g.one, y: g.one}
		return
	}
	var xx, yy, zz, s, m, t limbs
	g.mul(&xx, &p.x, &p.x)
	g.mul(&yy, &p.y, &p.y)
	g.mul(&zz, &p.z, &p.z)
	g.mul(&s, &p.x, &yy)
	g.add(&s, &s, &s)
	g.add(&s, &s, &s) // 4xy²
	g.mul(&t, &zz, &zz)
	g.mul(&t, &t, &g.a)
	g.add(&m, &xx, &xx)
	g.add(&m, &m, &xx)
	g.add(&m, &m, &t) // 3x² + az⁴
	var z limbs
	g.mul(&z, &p.y, &p.z)
	g.add(&r.z, &z, &z)
	g.mul(&r.x, &m, &m)
	g.sub(&r.x, &r.x, &s)
	g.sub(&r.x, &r.x, &s)
	g.sub(&s, &s, &r.x)
	g.mul(&s, &s, &m)
	g.mul(&yy, &yy, &yy)
	for range 3 {
		g.add(&yy, &yy, &yy) // 8y⁴
	}
	g.sub(&r.y, &s, &yy)
}

// plus sets r = p + q.
func (g *plane) plus(r, p, q *projective) {
	switch {
	case g.infinite(p):
		*r = *q
		return
	case g.infinite(q):
		*r = *p
		return
	}
	var pz, qz, u, v, s, t limbs
	g.mul(&pz, &p.z, &p.z)
	g.mul(&qz, &q.z, &q.z)
	g.mul(&u, &p.x, &qz)
	g.mul(&v, &q.x, &pz)
	g.mul(&s, &p.y, &qz)
	g.mul(&s, &s, &q.z)
	g.mul(&t, &q.y, &pz)
	g.mul(&t, &t, &p.z)
	g.sub(&v, &v, &u) // h
	g.sub(&t, &t, &s) // r
	if v == (limbs{}) {
		if t == (limbs{}) {
			g.double(r, p)
			return
		}
		*r = projective{x: g.one, y: g.one}
		return
	}
	var hh, hhh, z limbs
	g.mul(&z, &p.z, &q.z)
	g.mul(&r.z, &z, &v)
	g.mul(&hh, &v, &v)
	g.mul(&hhh, &hh, &v)
	g.mul(&u, &u, &hh)
	g.mul(&r.x, &t, &t)
	g.sub(&r.x, &r.x, &hhh)
	g.sub(&r.x, &r.x, &u)
	g.sub(&r.x, &r.x, &u)
	g.sub(&u, &u, &r.x)
	g.mul(&u, &u, &t)
	g.mul(&s, &s, &hhh)
	g.sub(&r.y, &u, &s)
}

// term is k·p of a sum.
type term struct {
	k *big.Int // from 0 to the order
	p Point    // finite
}

// digits writes k, from 0 to the order, to the base of 16 with digits from 1 to 16,
// least significant first: as many for every k. The number is k and a fixed
// multiple of the order.
func (c *Curve) digits(k *big.Int) []byte {
	n := (c.N.BitLen()+3)/4 + 1
	least := new(big.Int).Lsh(big.NewInt(1), uint(4*n)) // of n digits: each is 1
	least.Sub(least, big.NewInt(1)).Div(least, big.NewInt(15))
	more := new(big.Int).Add(least, c.N)
	more.Sub(more, big.NewInt(1)).Div(more, c.N).Mul(more, c.N)
	// Digits from 0 to 15 of what is left, and 1 for each.
	left := more.Add(more, k).Sub(more, least)
	list := make([]byte, n)
	for i := range list {
		for b := range 4 {
			list[i] |= byte(left.Bit(4*i+b)) << b
		}
		list[i]++
	}
	return list
}

// times is k·p for a secret k from 0 to the order: as many doublings and additions
// for every k, in the same order. How many of its windows are zero, and how long
// it is, would tell enough of a signature's nonce to find the key from many.
func (c *Curve) times(k *big.Int, p Point) Point {
	f := newField(c.P)
	g := &plane{f, f.in(c.A)}
	var table [17]projective
	table[0], table[1] = projective{x: f.one, y: f.one}, projective{f.in(p.X), f.in(p.Y), f.one}
	for i := 2; i < len(table); i++ {
		g.plus(&table[i], &table[i-1], &table[1])
	}
	digits := c.digits(k)
	total := table[digits[len(digits)-1]]
	for i := len(digits) - 2; i >= 0; i-- {
		for range 4 {
			d := total
			g.double(&total, &d)
		}
		s := total
		g.plus(&total, &s, &table[digits[i]])
	}
	return c.affine(jacobian{f.out(&total.x), f.out(&total.y), f.out(&total.z)})
}

// sum returns the sum of the terms, which are public: windows of four bits, all terms at once.
func (c *Curve) sum(terms ...term) Point {
	f := newField(c.P)
	g := &plane{f, f.in(c.A)}
	infinity := projective{x: f.one, y: f.one}
	tables := make([][16]projective, len(terms))
	most := 0
	for i, t := range terms {
		table := &tables[i]
		table[0], table[1] = infinity, projective{f.in(t.p.X), f.in(t.p.Y), f.one}
		for k := 2; k < len(table); k++ {
			g.plus(&table[k], &table[k-1], &table[1])
		}
		most = max(most, t.k.BitLen())
	}
	total := infinity
	for at := (most + 3) / 4 * 4; at > 0; at -= 4 {
		for range 4 {
			d := total
			g.double(&total, &d)
		}
		for i, t := range terms {
			w := t.k.Bit(at-1)<<3 | t.k.Bit(at-2)<<2 | t.k.Bit(at-3)<<1 | t.k.Bit(at-4)
			if w > 0 {
				s := total
				g.plus(&total, &s, &tables[i][w])
			}
		}
	}
	return c.affine(jacobian{f.out(&total.x), f.out(&total.y), f.out(&total.z)})
}

package passport

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/dh"
)

// agreement is the arithmetic of a key agreement: a curve or a MODP group by
// its standardised id (Doc 9303-11 §9.5.1).
type agreement interface {
	order() *big.Int
	prime() *big.Int
	base() public
	decode(b []byte) (public, error)
	encode(p public) []byte
	mul(k *big.Int, p public) public
	// generic is s·G + H, integrated the element that r stands for (§4.4.3.3).
	generic(s *big.Int, h public) public
	integrated(r *big.Int) public
	// secret is what both sides know, and compress a key as Terminal
	// Authentication names it (§7.1).
	secret(p public) []byte
	compress(p public) []byte
	// tag is the data object of a public key in tokens: 86 or 84.
	tag() uint32
}

// public is an element: a point of a curve, or a number of a group.
type public struct {
	point curve.Point
	y     *big.Int
}

var errElement = errors.New("passport: not an element")

// agreementOf returns the arithmetic of standardised domain parameters.
func agreementOf(id int) (agreement, error) {
	if c, ok := curve.ByID(id); ok {
		return onCurve{c}, nil
	}
	if g, ok := dh.ByID(id); ok {
		return inGroup{g}, nil
	}
	return nil, fmt.Errorf("passport: no domain parameters %d", id)
}

// privateKey draws a number from 1 to order-1. 64 bits more than the order
// hide the bias.
func privateKey(random io.Reader, order *big.Int) (*big.Int, error) {
	b := make([]byte, (order.BitLen()+7)/8+8)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("passport: random: %w", err)
	}
	one := big.NewInt(1)
	d := new(big.Int).SetBytes(b)
	return d.Mod(d, new(big.Int).Sub(order, one)).Add(d, one), nil
}

// pair is a key pair.
type pair struct {
	d *big.Int
	p public
}

func newPair(random io.Reader, a agreement, base public) (pair, error) {
	d, err := privateKey(random, a.order())
	if err != nil {
		return pair{}, err
	}
	return pair{d, a.mul(d, base)}, nil
}

type onCurve struct{ c *curve.Curve }

func (a onCurve) order() *big.Int { return a.c.N }
func (a onCurve) prime() *big.Int { return a.c.P }
func (a onCurve) base() public    { return public{point: a.c.G} }
func (a onCurve) tag() uint32     { return 0x86 }

func (a onCurve) decode(b []byte) (public, error) {
	p, err := a.c.Decode(b)
	return public{point: p}, err
}
func (a onCurve) encode(p public) []byte          { return a.c.Encode(p.point) }
func (a onCurve) mul(k *big.Int, p public) public { return public{point: a.c.Mul(k, p.point)} }
func (a onCurve) secret(p public) []byte          { return a.c.X(p.point) }
func (a onCurve) compress(p public) []byte        { return a.c.X(p.point) }

func (a onCurve) generic(s *big.Int, h public) public {
	return public{point: a.c.Add(a.c.Mul(s, a.c.G), h.point)}
}

// integrated maps a field element to a point: Doc 9303-11 Appendix B, the
// affine form for p ≡ 3 mod 4, which is all curves but P-224.
func (a onCurve) integrated(t *big.Int) public {
	p := a.c.P
	m := func(x, y *big.Int) *big.Int { v := new(big.Int).Mul(x, y); return v.Mod(v, p) }
	rhs := func(x *big.Int) *big.Int {
		v := m(m(x, x), x)
		v.Add(v, m(a.c.A, x)).Add(v, a.c.B)
		return v.Mod(v, p)
	}
	one := big.NewInt(1)
	alpha := new(big.Int).Neg(m(t, t))
	alpha.Mod(alpha, p)
	// x2 = -b/a · (1 + 1/(α + α²))
	v := new(big.Int).Add(alpha, m(alpha, alpha))
	if v.Mod(v, p).Sign() == 0 {
		return public{} // no such point; one t in 2^(bits-1)
	}
	v.ModInverse(v, p).Add(v, one)
	x2 := m(new(big.Int).Sub(p, a.c.B), new(big.Int).ModInverse(a.c.A, p))
	x2 = m(x2, v)
	h2 := rhs(x2)
	u := m(m(m(t, t), t), h2)
	e := new(big.Int).Add(p, one) // h2^(p-1-(p+1)/4)
	e.Rsh(e, 2)
	e.Sub(new(big.Int).Sub(p, one), e)
	root := new(big.Int).Exp(h2, e, p)
	if m(m(root, root), h2).Cmp(one) == 0 {
		return public{point: curve.Point{X: x2, Y: m(root, h2)}}
	}
	return public{point: curve.Point{X: m(alpha, x2), Y: m(root, u)}}
}

type inGroup struct{ g *dh.Group }

func (a inGroup) order() *big.Int { return a.g.Q }
func (a inGroup) prime() *big.Int { return a.g.P }
func (a inGroup) base() public    { return public{y: a.g.G} }
func (a inGroup) tag() uint32     { return 0x84 }

func (a inGroup) decode(b []byte) (public, error) {
	y, err := a.g.Decode(b)
	return public{y: y}, err
}
func (a inGroup) encode(p public) []byte { return a.g.Encode(p.y) }
func (a inGroup) mul(k *big.Int, p public) public {
	return public{y: new(big.Int).Exp(p.y, k, a.g.P)}
}
func (a inGroup) secret(p public) []byte { return a.g.Encode(p.y) }

func (a inGroup) compress(p public) []byte {
	h := sha1.Sum(a.g.Encode(p.y))
	return h[:]
}

func (a inGroup) generic(s *big.Int, h public) public {
	v := new(big.Int).Exp(a.g.G, s, a.g.P)
	return public{y: v.Mul(v, h.y).Mod(v, a.g.P)}
}

// integrated raises r into the subgroup: r^((p-1)/q).
func (a inGroup) integrated(r *big.Int) public {
	e := new(big.Int).Sub(a.g.P, big.NewInt(1))
	e.Div(e, a.g.Q)
	return public{y: new(big.Int).Exp(r, e, a.g.P)}
}

// finite says whether an element can be encoded and generates anything.
func finite(p public) bool {
	if p.y != nil {
		return p.y.Cmp(big.NewInt(1)) > 0
	}
	return !p.point.Infinite()
}

package pace

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"math/big"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/dh"
)

func bigInt(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

// points is a curve with a run's generator.
type points struct {
	curve *curve.Curve
	base  curve.Point
	key   curve.Key
}

func (p *points) generate(random io.Reader) ([]byte, error) {
	var err error
	if p.key, err = p.curve.Generate(random, p.base); err != nil {
		return nil, err
	}
	return p.curve.Encode(p.key.Public), nil
}

// check also refuses the reader's own key and its negative: a chip that echoes
// needs no password.
func (p *points) check(theirs []byte) ([]byte, error) {
	q, err := p.curve.Decode(theirs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	if q.X.Cmp(p.key.Public.X) == 0 {
		return nil, fmt.Errorf("%w: our own key came back", ErrPoint)
	}
	return p.curve.Encode(q), nil
}

func (p *points) shared(theirs []byte) (curve.Point, error) {
	q, err := p.curve.Decode(theirs)
	if err != nil {
		return q, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	h := p.curve.Mul(p.key.D, q)
	if h.Infinite() {
		return h, ErrPoint
	}
	return h, nil
}

func (p *points) agree(theirs []byte) ([]byte, error) {
	h, err := p.shared(theirs)
	if err != nil {
		return nil, err
	}
	return p.curve.X(h), nil
}

// generic is s·G + H, H the mapping keys' shared point (§4.4.3.3.1).
func (p *points) generic(nonce, theirs []byte) error {
	h, err := p.shared(theirs)
	if err != nil {
		return err
	}
	return p.set(p.curve.Add(p.curve.Mul(bigInt(nonce), p.curve.G), h))
}

func (p *points) set(base curve.Point) error {
	if base.Infinite() {
		return fmt.Errorf("%w: the mapped generator is the point at infinity", ErrPoint)
	}
	p.base = base
	return nil
}

// integrated maps a field element to a point (§4.4.3.3.2 and Appendix B).
func (p *points) integrated(random []byte) error {
	t := bigInt(random)
	q, err := encodePoint(p.curve, t.Mod(t, p.curve.P))
	if err != nil {
		return err
	}
	return p.set(q)
}

func (p *points) size() int           { return p.curve.P.BitLen() }
func (p *points) tag() uint32         { return 0x86 }
func (p *points) x(key []byte) []byte { return key[1 : 1+p.curve.Len()] }

// mappable says whether the point encoding exists: its square root needs
// p ≡ 3 mod 4.
func mappable(c *curve.Curve) bool { return c.P.Bit(0) == 1 && c.P.Bit(1) == 1 }

// encodePoint is the point encoding of Doc 9303-11 Appendix B, in affine
// coordinates, for a cofactor of 1.
func encodePoint(c *curve.Curve, t *big.Int) (curve.Point, error) {
	p := c.P
	mod := func(v *big.Int) *big.Int { return v.Mod(v, p) }
	mul := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }
	rhs := func(x *big.Int) *big.Int {
		v := mul(x, x)
		return mod(v.Add(mul(v.Add(v, c.A), x), c.B))
	}
	alpha := mul(t, t)
	alpha = mod(alpha.Neg(alpha))
	sum := mod(new(big.Int).Add(alpha, mul(alpha, alpha)))
	inverse, inverseA := new(big.Int).ModInverse(sum, p), new(big.Int).ModInverse(c.A, p)
	if inverse == nil || inverseA == nil {
		return curve.Point{}, fmt.Errorf("%w: the nonces map to no point", ErrPoint)
	}
	x2 := mul(mul(c.B, inverseA), inverse.Add(inverse, big.NewInt(1)))
	x2 = mod(x2.Neg(x2))
	x3 := mul(alpha, x2)
	h2 := rhs(x2)
	u := mul(mul(mul(t, t), t), h2)
	// h2 to the power of p-1-(p+1)/4.
	e := new(big.Int).Add(p, big.NewInt(1))
	e.Sub(new(big.Int).Sub(p, big.NewInt(1)), e.Rsh(e, 2))
	a := new(big.Int).Exp(h2, e, p)
	q := curve.Point{X: x2, Y: mul(a, h2)}
	if mul(mul(a, a), h2).Cmp(big.NewInt(1)) != 0 {
		q = curve.Point{X: x3, Y: mul(a, u)}
	}
	if !c.On(q) {
		return curve.Point{}, fmt.Errorf("%w: the nonces map to no point", ErrPoint)
	}
	return q, nil
}

// numbers is a MODP group with a run's generator.
type numbers struct {
	group *dh.Group
	base  *big.Int
	key   dh.Key
}

func (n *numbers) generate(random io.Reader) ([]byte, error) {
	var err error
	if n.key, err = n.group.Generate(random, n.base); err != nil {
		return nil, err
	}
	return n.group.Encode(n.key.Public), nil
}

func (n *numbers) check(theirs []byte) ([]byte, error) {
	y, err := n.group.Decode(theirs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	if y.Cmp(n.key.Public) == 0 {
		return nil, fmt.Errorf("%w: our own key came back", ErrPoint)
	}
	return n.group.Encode(y), nil
}

func (n *numbers) agree(theirs []byte) ([]byte, error) {
	y, err := n.group.Decode(theirs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	return n.group.Encode(n.group.Shared(n.key, y)), nil
}

// generic is gˢ·h, h the mapping keys' shared secret (§4.4.3.3.1).
func (n *numbers) generic(nonce, theirs []byte) error {
	h, err := n.agree(theirs)
	if err != nil {
		return err
	}
	g := new(big.Int).Exp(n.group.G, bigInt(nonce), n.group.P)
	return n.set(g.Mul(g, bigInt(h)).Mod(g, n.group.P))
}

func (n *numbers) set(base *big.Int) error {
	if base.Cmp(big.NewInt(1)) <= 0 {
		return fmt.Errorf("%w: the mapped generator is the neutral element", ErrPoint)
	}
	n.base = base
	return nil
}

// integrated raises the number to the cofactor, which puts it into the
// subgroup (§4.4.3.3.2).
func (n *numbers) integrated(random []byte) error {
	p := n.group.P
	e := new(big.Int).Sub(p, big.NewInt(1))
	r := bigInt(random)
	return n.set(new(big.Int).Exp(r.Mod(r, p), e.Div(e, n.group.Q), p))
}

func (n *numbers) size() int   { return n.group.P.BitLen() }
func (n *numbers) tag() uint32 { return 0x84 }

func (n *numbers) x(key []byte) []byte {
	h := sha1.Sum(bytes.TrimLeft(key, "\x00"))
	return h[:]
}

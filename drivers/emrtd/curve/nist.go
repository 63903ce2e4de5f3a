package curve

import "math/big"

// nistPoint is what the points of package nistec have in common.
type nistPoint[P any] interface {
	SetBytes([]byte) (P, error)
	ScalarMult(P, []byte) (P, error)
	Bytes() []byte
}

// constantTime multiplies on a NIST curve in constant time, and some ten times
// faster than math/big does. ok is false for a point that is not on the curve.
func constantTime[P nistPoint[P]](empty func() P) func(c *Curve, k *big.Int, p Point) (q Point, ok bool) {
	return func(c *Curve, k *big.Int, p Point) (Point, bool) {
		base, err := empty().SetBytes(c.Encode(p))
		if err != nil {
			return Point{}, false
		}
		product, err := empty().ScalarMult(base, k.FillBytes(make([]byte, (c.N.BitLen()+7)/8)))
		if err != nil {
			return Point{}, false
		}
		b := product.Bytes()
		if len(b) != 1+2*c.Len() {
			return Point{}, true // infinity is one zero octet
		}
		return Point{new(big.Int).SetBytes(b[1 : 1+c.Len()]), new(big.Int).SetBytes(b[1+c.Len():])}, true
	}
}

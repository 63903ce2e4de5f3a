// Package curve is short-Weierstrass arithmetic over the standardised domain
// parameters of ICAO Doc 9303-11 §9.5.1: NIST and brainpool, ids 8 to 18.
//
// PACE needs point addition and a base point of its own, which crypto/ecdh
// does not offer. Multiplication on the NIST curves from 224 bits is constant
// time. On the others it takes the same steps for every secret, but not always the
// same time for a step. The secrets that pass are PACE's nonces, ephemeral keys of
// one reading, and the nonces of Terminal Authentication's signatures.
package curve

import (
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"

	"filippo.io/nistec"
)

// Curve is y² = x³ + ax + b over the field of p, with base point (Gx, Gy) of
// prime order N and cofactor 1.
type Curve struct {
	ID   int // of the standardised domain parameters; 0 for none
	Name string
	P    *big.Int
	A, B *big.Int
	G    Point
	N    *big.Int

	mul func(c *Curve, k *big.Int, p Point) (q Point, ok bool) // nil for ours
}

// Point is an affine point; a nil X is the point at infinity.
type Point struct{ X, Y *big.Int }

// Infinite says whether p is the point at infinity.
func (p Point) Infinite() bool { return p.X == nil }

// Equal says whether p and q are the same point.
func (p Point) Equal(q Point) bool {
	if p.Infinite() || q.Infinite() {
		return p.Infinite() && q.Infinite()
	}
	return p.X.Cmp(q.X) == 0 && p.Y.Cmp(q.Y) == 0
}

// ErrPoint says that bytes are no point of the curve, or the one at infinity.
var ErrPoint = errors.New("curve: not a point of the curve")

func hexInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("curve: constant " + s)
	}
	return n
}

func make5639(id int, name, p, a, b, x, y, q string) *Curve {
	return &Curve{ID: id, Name: name, P: hexInt(p), A: hexInt(a), B: hexInt(b), G: Point{hexInt(x), hexInt(y)}, N: hexInt(q)}
}

func nist(id int, name string, e elliptic.Curve, mul func(*Curve, *big.Int, Point) (Point, bool)) *Curve {
	c := e.Params()
	return &Curve{id, name, c.P, new(big.Int).Sub(c.P, big.NewInt(3)), c.B, Point{c.Gx, c.Gy}, c.N, mul}
}

// all are the curves with their standardised ids (Doc 9303-11 table 6); the
// brainpool parameters are those of RFC 5639.
var all = []*Curve{
	make5639(8, "secp192r1",
		"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFFFFFFFFFC",
		"64210519E59C80E70FA7E9AB72243049FEB8DEECC146B9B1", "188DA80EB03090F67CBF20EB43A18800F4FF0AFD82FF1012",
		"07192B95FFC8DA78631011ED6B24CDD573F977A11E794811", "FFFFFFFFFFFFFFFFFFFFFFFF99DEF836146BC9B1B4D22831"),
	make5639(9, "brainpoolP192r1",
		"C302F41D932A36CDA7A3463093D18DB78FCE476DE1A86297", "6A91174076B1E0E19C39C031FE8685C1CAE040E5C69A28EF",
		"469A28EF7C28CCA3DC721D044F4496BCCA7EF4146FBF25C9", "C0A0647EAAB6A48753B033C56CB0F0900A2F5C4853375FD6",
		"14B690866ABD5BB88B5F4828C1490002E6773FA2FA299B8F", "C302F41D932A36CDA7A3462F9E9E916B5BE8F1029AC4ACC1"),
	nist(10, "secp224r1", elliptic.P224(), constantTime(nistec.NewP224Point)),
	make5639(11, "brainpoolP224r1",
		"D7C134AA264366862A18302575D1D787B09F075797DA89F57EC8C0FF", "68A5E62CA9CE6C1C299803A6C1530B514E182AD8B0042A59CAD29F43",
		"2580F63CCFE44138870713B1A92369E33E2135D266DBB372386C400B", "0D9029AD2C7E5CF4340823B2A87DC68C9E4CE3174C1E6EFDEE12C07D",
		"58AA56F772C0726F24C6B89E4ECDAC24354B9E99CAA3F6D3761402CD", "D7C134AA264366862A18302575D0FB98D116BC4B6DDEBCA3A5A7939F"),
	nist(12, "secp256r1", elliptic.P256(), constantTime(nistec.NewP256Point)),
	make5639(13, "brainpoolP256r1",
		"A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377", "7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9",
		"26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6", "8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262",
		"547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997", "A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7"),
	make5639(14, "brainpoolP320r1",
		"D35E472036BC4FB7E13C785ED201E065F98FCFA6F6F40DEF4F92B9EC7893EC28FCD412B1F1B32E27", "3EE30B568FBAB0F883CCEBD46D3F3BB8A2A73513F5EB79DA66190EB085FFA9F492F375A97D860EB4",
		"520883949DFDBC42D3AD198640688A6FE13F41349554B49ACC31DCCD884539816F5EB4AC8FB1F1A6", "43BD7E9AFB53D8B85289BCC48EE5BFE6F20137D10A087EB6E7871E2A10A599C710AF8D0D39E20611",
		"14FDD05545EC1CC8AB4093247F77275E0743FFED117182EAA9C77877AAAC6AC7D35245D1692E8EE1", "D35E472036BC4FB7E13C785ED201E065F98FCFA5B68F12A32D482EC7EE8658E98691555B44C59311"),
	nist(15, "secp384r1", elliptic.P384(), constantTime(nistec.NewP384Point)),
	make5639(16, "brainpoolP384r1",
		"8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B412B1DA197FB71123ACD3A729901D1A71874700133107EC53", "7BC382C63D8C150C3C72080ACE05AFA0C2BEA28E4FB22787139165EFBA91F90F8AA5814A503AD4EB04A8C7DD22CE2826",
		"04A8C7DD22CE28268B39B55416F0447C2FB77DE107DCD2A62E880EA53EEB62D57CB4390295DBC9943AB78696FA504C11", "1D1C64F068CF45FFA2A63A81B7C13F6B8847A3E77EF14FE3DB7FCAFE0CBD10E8E826E03436D646AAEF87B2E247D4AF1E",
		"8ABE1D7520F9C2A45CB1EB8E95CFD55262B70B29FEEC5864E19C054FF99129280E4646217791811142820341263C5315", "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B31F166E6CAC0425A7CF3AB6AF6B7FC3103B883202E9046565"),
	make5639(17, "brainpoolP512r1",
		"AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA703308717D4D9B009BC66842AECDA12AE6A380E62881FF2F2D82C68528AA6056583A48F3",
		"7830A3318B603B89E2327145AC234CC594CBDD8D3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CA",
		"3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CADC083E67984050B75EBAE5DD2809BD638016F723",
		"81AEE4BDD82ED9645A21322E9C4C6A9385ED9F70B5D916C1B43B62EEF4D0098EFF3B1F78E2D0D48D50D1687B93B97D5F7C6D5047406A5E688B352209BCB9F822",
		"7DDE385D566332ECC0EABFA9CF7822FDF209F70024A57B1AA000C55B881F8111B2DCDE494A5F485E5BCA4BD88A2763AED1CA2B2FA8F0540678CD1E0F3AD80892",
		"AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA70330870553E5C414CA92619418661197FAC10471DB1D381085DDADDB58796829CA90069"),
	nist(18, "secp521r1", elliptic.P521(), constantTime(nistec.NewP521Point)),
}

// ByID returns the standardised curve with that id.
func ByID(id int) (*Curve, bool) {
	for _, c := range all {
		if c.ID == id {
			return c, true
		}
	}
	return nil, false
}

// ByName returns the curve with that name.
func ByName(name string) (*Curve, bool) {
	for _, c := range all {
		if c.Name == name {
			return c, true
		}
	}
	return nil, false
}

// Known returns the standardised curve with exactly these parameters. Unknown
// parameters are refused: a forged generator defeats ECDSA.
func Known(p, a, b *big.Int, g Point, n *big.Int) (*Curve, bool) {
	for _, c := range all {
		if c.P.Cmp(p) == 0 && c.A.Cmp(a) == 0 && c.B.Cmp(b) == 0 && c.G.Equal(g) && c.N.Cmp(n) == 0 {
			return c, true
		}
	}
	return nil, false
}

// Len is the length of a field element in bytes.
func (c *Curve) Len() int { return (c.P.BitLen() + 7) / 8 }

// On says whether p is a finite point of the curve with coordinates in range.
func (c *Curve) On(p Point) bool {
	if p.Infinite() || p.X.Sign() < 0 || p.Y.Sign() < 0 || p.X.Cmp(c.P) >= 0 || p.Y.Cmp(c.P) >= 0 {
		return false
	}
	y2 := new(big.Int).Mul(p.Y, p.Y)
	return y2.Sub(y2, c.rhs(p.X)).Mod(y2, c.P).Sign() == 0
}

func (c *Curve) rhs(x *big.Int) *big.Int {
	v := new(big.Int).Mul(x, x)
	v.Add(v, c.A).Mul(v, x).Add(v, c.B)
	return v.Mod(v, c.P)
}

// jacobian is (X/Z², Y/Z³).
type jacobian struct{ x, y, z *big.Int }

func (c *Curve) toJacobian(p Point) jacobian {
	if p.Infinite() {
		return jacobian{big.NewInt(1), big.NewInt(1), new(big.Int)}
	}
	return jacobian{p.X, p.Y, big.NewInt(1)}
}

func (c *Curve) affine(j jacobian) Point {
	if j.z.Sign() == 0 {
		return Point{}
	}
	inv := new(big.Int).ModInverse(j.z, c.P)
	sq := new(big.Int).Mul(inv, inv)
	x := new(big.Int).Mul(j.x, sq)
	y := new(big.Int).Mul(j.y, sq.Mul(sq, inv))
	return Point{x.Mod(x, c.P), y.Mod(y, c.P)}
}

func (c *Curve) double(p jacobian) jacobian {
	if p.z.Sign() == 0 || p.y.Sign() == 0 {
		return jacobian{big.NewInt(1), big.NewInt(1), new(big.Int)}
	}
	m := func(a, b *big.Int) *big.Int { v := new(big.Int).Mul(a, b); return v.Mod(v, c.P) }
	y2 := m(p.y, p.y)
	s := m(p.x, y2)
	s.Lsh(s, 2)
	z2 := m(p.z, p.z)
	w := m(p.x, p.x)
	w.Mul(w, big.NewInt(3)).Add(w, m(c.A, m(z2, z2))).Mod(w, c.P)
	x := m(w, w)
	x.Sub(x, new(big.Int).Lsh(s, 1)).Mod(x, c.P)
	y := m(w, new(big.Int).Sub(s, x))
	y.Sub(y, new(big.Int).Lsh(m(y2, y2), 3)).Mod(y, c.P)
	z := m(p.y, p.z)
	z.Lsh(z, 1).Mod(z, c.P)
	return jacobian{x, y, z}
}

func (c *Curve) add(p, q jacobian) jacobian {
	if p.z.Sign() == 0 {
		return q
	}
	if q.z.Sign() == 0 {
		return p
	}
	m := func(a, b *big.Int) *big.Int { v := new(big.Int).Mul(a, b); return v.Mod(v, c.P) }
	pz2, qz2 := m(p.z, p.z), m(q.z, q.z)
	u1, u2 := m(p.x, qz2), m(q.x, pz2)
	s1, s2 := m(p.y, m(qz2, q.z)), m(q.y, m(pz2, p.z))
	if u1.Cmp(u2) == 0 {
		if s1.Cmp(s2) != 0 {
			return jacobian{big.NewInt(1), big.NewInt(1), new(big.Int)}
		}
		return c.double(p)
	}
	h := new(big.Int).Sub(u2, u1)
	r := new(big.Int).Sub(s2, s1)
	h2 := m(h, h)
	h3 := m(h, h2)
	v := m(u1, h2)
	x := m(r, r)
	x.Sub(x, h3).Sub(x, new(big.Int).Lsh(v, 1)).Mod(x, c.P)
	y := m(r, new(big.Int).Sub(v, x))
	y.Sub(y, m(s1, h3)).Mod(y, c.P)
	return jacobian{x, y, m(h, m(p.z, q.z))}
}

// Add returns p + q.
func (c *Curve) Add(p, q Point) Point { return c.affine(c.add(c.toJacobian(p), c.toJacobian(q))) }

// Mul returns k·p. A p that is not on the curve gives the point at infinity on
// the NIST curves and nonsense on the others: Decode checks.
func (c *Curve) Mul(k *big.Int, p Point) Point {
	k = new(big.Int).Mod(k, c.N)
	if p.Infinite() {
		return p
	}
	if c.mul != nil {
		if q, ok := c.mul(c, k, p); ok {
			return q
		}
		return Point{}
	}
	return c.times(k, p)
}

// Encode writes a point uncompressed: 04 ‖ x ‖ y, padded to the field's
// length. BSI TR-03111 §3.2.1.
func (c *Curve) Encode(p Point) []byte {
	n := c.Len()
	b := make([]byte, 1+2*n)
	b[0] = 4
	p.X.FillBytes(b[1 : 1+n])
	p.Y.FillBytes(b[1+n:])
	return b
}

// X returns a point's x-coordinate, padded to the field's length: the shared
// secret of a key agreement.
func (c *Curve) X(p Point) []byte { return p.X.FillBytes(make([]byte, c.Len())) }

// Decode reads an uncompressed or compressed point and verifies that it lies
// on the curve.
func (c *Curve) Decode(b []byte) (Point, error) {
	n := c.Len()
	switch {
	case len(b) == 1+2*n && b[0] == 4:
		p := Point{new(big.Int).SetBytes(b[1 : 1+n]), new(big.Int).SetBytes(b[1+n:])}
		if !c.On(p) {
			return Point{}, ErrPoint
		}
		return p, nil
	case len(b) == 1+n && (b[0] == 2 || b[0] == 3):
		x := new(big.Int).SetBytes(b[1:])
		if x.Cmp(c.P) >= 0 {
			return Point{}, ErrPoint
		}
		y := new(big.Int).ModSqrt(c.rhs(x), c.P)
		if y == nil {
			return Point{}, ErrPoint
		}
		if y.Bit(0) != uint(b[0]&1) {
			y.Sub(c.P, y)
		}
		return Point{x, y}, nil
	}
	return Point{}, fmt.Errorf("%w: %d bytes", ErrPoint, len(b))
}

// Key is an ephemeral key pair.
type Key struct {
	D      *big.Int
	Public Point
}

// Generate makes a key pair over base point g.
func (c *Curve) Generate(random io.Reader, g Point) (Key, error) {
	// 64 bits more than the order, so that the bias does not matter (FIPS
	// 186-5 A.2.1).
	b := make([]byte, (c.N.BitLen()+7)/8+8)
	if _, err := io.ReadFull(random, b); err != nil {
		return Key{}, fmt.Errorf("curve: generate: %w", err)
	}
	d := new(big.Int).SetBytes(b)
	d.Mod(d, new(big.Int).Sub(c.N, big.NewInt(1))).Add(d, big.NewInt(1))
	return Key{d, c.Mul(d, g)}, nil
}

// Verify checks an ECDSA signature (r, s) of a digest. It works for every
// curve of this package.
func (c *Curve) Verify(q Point, digest []byte, r, s *big.Int) bool {
	if !c.On(q) || r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(c.N) >= 0 || s.Cmp(c.N) >= 0 {
		return false
	}
	e := new(big.Int).SetBytes(digest)
	if extra := 8*len(digest) - c.N.BitLen(); extra > 0 {
		e.Rsh(e, uint(extra))
	}
	w := new(big.Int).ModInverse(s, c.N)
	u1 := e.Mul(e, w)
	u2 := new(big.Int).Mul(r, w)
	p := c.sum(term{u1.Mod(u1, c.N), c.G}, term{u2.Mod(u2, c.N), q})
	return !p.Infinite() && new(big.Int).Mod(p.X, c.N).Cmp(r) == 0
}

// Sign makes an ECDSA signature of a digest with private key d. An inspection
// system's lives for months, and any chip may ask for signatures: what is done with
// d and the nonce is blinded, as math/big is not constant time.
func (c *Curve) Sign(random io.Reader, d *big.Int, digest []byte) (r, s *big.Int, err error) {
	e := new(big.Int).SetBytes(digest)
	if extra := 8*len(digest) - c.N.BitLen(); extra > 0 {
		e.Rsh(e, uint(extra))
	}
	for {
		k, err := c.Generate(random, c.G)
		if err != nil {
			return nil, nil, err
		}
		blind, err := rand.Int(rand.Reader, new(big.Int).Sub(c.N, big.NewInt(1)))
		if err != nil {
			return nil, nil, fmt.Errorf("curve: sign: %w", err)
		}
		blind.Add(blind, big.NewInt(1))
		mul := func(a, b *big.Int) *big.Int { v := new(big.Int).Mul(a, b); return v.Mod(v, c.N) }
		r = new(big.Int).Mod(k.Public.X, c.N)
		s = mul(mul(blind, r), d) // s = (e + r·d)/k, both sides of the line times blind
		s.Add(s, mul(blind, e))
		s = mul(s, new(big.Int).ModInverse(mul(blind, k.D), c.N))
		if r.Sign() > 0 && s.Sign() > 0 {
			return r, s, nil
		}
	}
}

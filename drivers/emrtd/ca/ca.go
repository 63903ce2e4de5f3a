// Package ca is Chip Authentication version 1, the reader's side: the chip has
// the private key of its DG14, or the session's new keys do not fit. ICAO Doc
// 9303-11 §6.2.
package ca

import (
	"crypto/sha1"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/dh"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/pki"
)

// ErrKey says that a key of DG14 cannot be used.
var ErrKey = errors.New("ca: the chip's key cannot be used")

var (
	oidKey      = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 1} // id-PK
	oidProtocol = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 3} // id-CA
	oidStandard = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 1, 2}    // standardizedDomainParameters
	oidPKCS3    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 3, 1}
	oidX942     = asn1.ObjectIdentifier{1, 2, 840, 10046, 2, 1}
)

// Key is one static public key of the chip: a point, or a number of a group.
type Key struct {
	ID    []byte // reference, nil if the chip has one key only
	Curve *curve.Curve
	Point curve.Point
	Group *dh.Group
	Y     *big.Int
}

// Variant is one way to authenticate the chip: a protocol and a key for it.
type Variant struct {
	Key
	OID    asn1.ObjectIdentifier
	Cipher kdf.Cipher
	Note   string // what was unusual in DG14; "" for nothing
}

func (v Variant) String() string {
	kind, where := "DH", ""
	if v.Curve != nil {
		kind, where = "ECDH", "/"+v.Curve.Name
	}
	return fmt.Sprintf("CA-%s-%v%s", kind, v.Cipher, where)
}

// Keys returns the chip authentication keys among SecurityInfos of DG14 or
// EF.CardSecurity. Those that cannot be used are in refused.
func Keys(infos [][]byte) (keys []Key, refused []error) {
	for _, raw := range infos {
		var v struct {
			OID asn1.ObjectIdentifier
			Key asn1.RawValue
			ID  *big.Int `asn1:"optional"`
		}
		rest, err := asn1.Unmarshal(raw, &v)
		if err != nil || len(rest) > 0 || !kind(v.OID, oidKey, 1) {
			continue
		}
		k, err := parseKey(v.Key.FullBytes)
		if err == nil && v.ID != nil {
			if k.ID = v.ID.Bytes(); v.ID.Sign() < 0 || len(k.ID) > 8 {
				err = fmt.Errorf("%w: reference %v", ErrKey, v.ID)
			} else if len(k.ID) == 0 {
				k.ID = []byte{0}
			}
		}
		if err != nil {
			refused = append(refused, err)
			continue
		}
		keys = append(keys, k)
	}
	return keys, refused
}

// kind says whether oid is base and n arcs more.
func kind(oid, base asn1.ObjectIdentifier, n int) bool {
	return len(oid) == len(base)+n && oid[:len(base)].Equal(base)
}

// Variants matches protocols with keys, strongest cipher first. A key without
// a protocol is taken for 3DES, as its first chips were; a protocol of the
// other kind than its key counts as the key's.
func Variants(infos [][]byte) (list []Variant, refused []error) {
	keys, refused := Keys(infos)
	for _, k := range keys {
		found := false
		for _, raw := range infos {
			var v struct {
				OID     asn1.ObjectIdentifier
				Version int
				ID      *big.Int `asn1:"optional"`
			}
			if _, err := asn1.Unmarshal(raw, &v); err != nil || !kind(v.OID, oidProtocol, 2) || v.Version != 1 {
				continue
			}
			c := kdf.Cipher(v.OID[len(v.OID)-1])
			if v.OID[len(v.OID)-1] < 1 || c > kdf.AES256 || v.ID != nil && len(k.ID) > 0 && v.ID.Cmp(new(big.Int).SetBytes(k.ID)) != 0 {
				continue
			}
			found = true
			list = append(list, variant(k, c, v.OID[len(v.OID)-2]))
		}
		if !found {
			x := variant(k, kdf.TDES, 0)
			x.Note = "DG14 names no protocol for its key"
			list = append(list, x)
		}
	}
	// Strongest first; stable, so that the chip's order decides between equals.
	for i := range list {
		for j := i; j > 0 && list[j].Cipher > list[j-1].Cipher; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list, refused
}

func variant(k Key, c kdf.Cipher, said int) Variant {
	kind := 1
	if k.Curve != nil {
		kind = 2
	}
	v := Variant{Key: k, Cipher: c, OID: append(append(asn1.ObjectIdentifier(nil), oidProtocol...), kind, int(c))}
	if said != 0 && said != kind {
		v.Note = "DG14 names a protocol of another kind than its key"
	}
	return v
}

// parseKey reads a SubjectPublicKeyInfo: an elliptic curve key as everywhere,
// or Diffie-Hellman in the ways of PKCS #3, X9.42 and BSI TR-03110.
func parseKey(spki []byte) (Key, error) {
	var v struct {
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	if rest, err := asn1.Unmarshal(spki, &v); err != nil || len(rest) > 0 {
		return Key{}, fmt.Errorf("%w: no SubjectPublicKeyInfo", ErrKey)
	}
	if v.Algorithm.OID.Equal(oidStandard) {
		return standardKey(v.Algorithm.Params, v.Key.Bytes)
	}
	if !v.Algorithm.OID.Equal(oidPKCS3) && !v.Algorithm.OID.Equal(oidX942) {
		k, err := pki.ParsePublicKey(spki)
		if err != nil {
			return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if k.RSA != nil {
			return Key{}, fmt.Errorf("%w: it is an RSA key", ErrKey)
		}
		return Key{Curve: k.Curve, Point: k.Point}, nil
	}
	// PKCS #3 goes on with a length, X9.42 with q.
	var p struct {
		P, G *big.Int
		N    *big.Int      `asn1:"optional"`
		More asn1.RawValue `asn1:"optional"`
		Rest asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(v.Algorithm.Params.FullBytes, &p); err != nil {
		return Key{}, fmt.Errorf("%w: domain parameters", ErrKey)
	}
	q := p.N
	if v.Algorithm.OID.Equal(oidPKCS3) {
		q = nil
	}
	if g, ok := dh.Known(p.P, p.G, q); ok {
		return number(g, v.Key.Bytes)
	}
	return explicitKey(p.P, p.G, v.Key.Bytes)
}

// standardKey is one over standardised domain parameters, told by their id.
func standardKey(params asn1.RawValue, key []byte) (Key, error) {
	var id int
	if _, err := asn1.Unmarshal(params.FullBytes, &id); err != nil {
		return Key{}, fmt.Errorf("%w: domain parameters", ErrKey)
	}
	if c, ok := curve.ByID(id); ok {
		p, err := c.Decode(key)
		if err != nil {
			return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return Key{Curve: c, Point: p}, nil
	}
	if g, ok := dh.ByID(id); ok {
		return number(g, key)
	}
	return Key{}, fmt.Errorf("%w: domain parameters %d", ErrKey, id)
}

// number reads a public key of a known group.
func number(g *dh.Group, key []byte) (Key, error) {
	y, err := unsigned(key)
	if err != nil {
		return Key{}, err
	}
	if y, err = g.Decode(y.Bytes()); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return Key{Group: g, Y: y}, nil
}

func unsigned(b []byte) (*big.Int, error) {
	var y *big.Int
	if rest, err := asn1.Unmarshal(b, &y); err != nil || len(rest) > 0 || y.Sign() <= 0 {
		return nil, fmt.Errorf("%w: no number", ErrKey)
	}
	return y, nil
}

// explicitKey is one over a group that is not standardised, as in the standard's
// own example. The order of its subgroup is not known, and need not be: the key
// counts only once DG14 is the signed one, and ours is used once.
func explicitKey(p, g *big.Int, key []byte) (Key, error) {
	y, err := unsigned(key)
	if err != nil {
		return Key{}, err
	}
	one := big.NewInt(1)
	last := new(big.Int).Sub(p, one)
	within := func(n *big.Int) bool { return n.Cmp(one) > 0 && n.Cmp(last) < 0 }
	if p.BitLen() < 1024 || p.BitLen() > 4096 || p.Bit(0) == 0 || !within(g) || !within(y) || !p.ProbablyPrime(0) {
		return Key{}, fmt.Errorf("%w: a group of %d bits", ErrKey, p.BitLen())
	}
	return Key{Group: &dh.Group{ID: -1, P: p, G: g, Q: last.Rsh(last, 1)}, Y: y}, nil
}

// Run is one Chip Authentication: the reader's ephemeral key and what follows
// from it.
type Run struct {
	Public []byte // as on the wire
	Short  []byte // x-coordinate or SHA-1, which Terminal Authentication signs
	Secret []byte // for the new session's keys
}

// Start makes an ephemeral key and agrees.
func (v Variant) Start(random io.Reader) (Run, error) {
	if v.Curve != nil {
		k, err := v.Curve.Generate(random, v.Curve.G)
		if err != nil {
			return Run{}, err
		}
		h := v.Curve.Mul(k.D, v.Point)
		if h.Infinite() {
			return Run{}, fmt.Errorf("%w: the secret is the point at infinity", ErrKey)
		}
		return Run{v.Curve.Encode(k.Public), v.Curve.X(k.Public), v.Curve.X(h)}, nil
	}
	k, err := v.Group.Generate(random, v.Group.G)
	if err != nil {
		return Run{}, err
	}
	h := v.Group.Shared(k, v.Y)
	if h.Cmp(big.NewInt(1)) <= 0 || new(big.Int).Sub(v.Group.P, h).Cmp(big.NewInt(1)) == 0 {
		return Run{}, fmt.Errorf("%w: the secret is of a small subgroup", ErrKey)
	}
	digest := sha1.Sum(k.Public.Bytes())
	return Run{v.Group.Encode(k.Public), digest[:], v.Group.Encode(h)}, nil
}

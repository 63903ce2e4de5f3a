// Package pace is Password Authenticated Connection Establishment with generic
// mapping over elliptic curves, the arithmetic of the reader's side. ICAO Doc
// 9303-11 §4.4. Integrated mapping, chip authentication mapping and DH groups
// are told apart in Info and refused by Supported.
package pace

import (
	"crypto/sha1"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

// Mapping is how the nonce becomes a base point.
type Mapping uint8

const (
	GM  Mapping = iota + 1 // generic
	IM                     // integrated
	CAM                    // chip authentication
)

// Info is one PACEInfo.
type Info struct {
	OID       asn1.ObjectIdentifier
	Mapping   Mapping
	ECDH      bool
	Cipher    kdf.Cipher
	Parameter int // id of the standardised domain parameters
}

var base = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4} // id-PACE

func (i Info) String() string {
	return fmt.Sprintf("PACE-%s-%s-%v/%d", map[bool]string{true: "ECDH", false: "DH"}[i.ECDH], [...]string{"?", "GM", "IM", "CAM"}[i.Mapping], i.Cipher, i.Parameter)
}

// Parse reads the PACEInfos among SecurityInfos; others are skipped.
func Parse(infos [][]byte) []Info {
	var list []Info
	for _, raw := range infos {
		var v struct {
			OID       asn1.ObjectIdentifier
			Version   int
			Parameter int `asn1:"optional,default:-1"`
		}
		if _, err := asn1.Unmarshal(raw, &v); err != nil || len(v.OID) != len(base)+2 || !v.OID[:len(base)].Equal(base) || v.Version != 2 {
			continue
		}
		kind, c := v.OID[len(base)], v.OID[len(base)+1]
		if kind < 1 || kind > 6 || kind == 5 || c < 1 || c > 4 {
			continue
		}
		i := Info{OID: v.OID, Cipher: kdf.Cipher(c), Parameter: v.Parameter}
		switch kind {
		case 1, 2:
			i.Mapping, i.ECDH = GM, kind == 2
		case 3, 4:
			i.Mapping, i.ECDH = IM, kind == 4
		case 6:
			i.Mapping, i.ECDH = CAM, true
		}
		list = append(list, i)
	}
	return list
}

// Supported says whether this package can run the variant.
func (i Info) Supported() bool {
	_, ok := curve.ByID(i.Parameter)
	return ok && i.ECDH && i.Mapping == GM
}

// Errors of a run.
var (
	ErrPoint = errors.New("pace: the chip sent a key that is not allowed")
	ErrToken = errors.New("pace: the chip's token is wrong: wrong password, or no genuine chip")
)

// Run is one PACE under way.
type Run struct {
	info   Info
	curve  *curve.Curve
	random io.Reader
	nonce  []byte
	map1   curve.Key
	base   curve.Point
	key    curve.Key
	secret []byte
}

// PasswordKey is the secret of the MRZ password: SHA-1 of the MRZ information,
// all 20 bytes. A CAN is its digits. §9.7.3.
func PasswordKey(information string) []byte {
	h := sha1.Sum([]byte(information))
	return h[:]
}

// Start decrypts the nonce with the password's key.
func Start(i Info, password, encrypted []byte, random io.Reader) (*Run, error) {
	c, ok := curve.ByID(i.Parameter)
	if !ok || !i.Supported() {
		return nil, fmt.Errorf("pace: %v is not supported", i)
	}
	block, err := kdf.Block(i.Cipher, kdf.Derive(i.Cipher, password, kdf.Password))
	if err != nil {
		return nil, err
	}
	if len(encrypted) == 0 || len(encrypted) > 64 {
		return nil, fmt.Errorf("pace: a nonce of %d bytes", len(encrypted))
	}
	nonce, err := kdf.CBC(block, make([]byte, block.BlockSize()), encrypted, false)
	if err != nil {
		return nil, fmt.Errorf("pace: nonce: %w", err)
	}
	return &Run{info: i, curve: c, random: random, nonce: nonce}, nil
}

// Map returns the reader's mapping key, then MapWith takes the chip's.
func (r *Run) Map() ([]byte, error) {
	var err error
	if r.map1, err = r.curve.Generate(r.random, r.curve.G); err != nil {
		return nil, err
	}
	return r.curve.Encode(r.map1.Public), nil
}

// MapWith computes the new base point: s·G + H, H the mapping keys' shared
// point.
func (r *Run) MapWith(chip []byte) error {
	p, err := r.point(chip, r.map1)
	if err != nil {
		return err
	}
	r.base = Generic(r.curve, r.nonce, r.curve.Mul(r.map1.D, p))
	if r.base.Infinite() {
		return ErrPoint
	}
	return nil
}

// Generic is the generic mapping of §4.4.3.3.1.
func Generic(c *curve.Curve, nonce []byte, h curve.Point) curve.Point {
	return c.Add(c.Mul(bigInt(nonce), c.G), h)
}

// Agree returns the reader's public key over the new base point, then
// AgreeWith takes the chip's and computes the shared secret.
func (r *Run) Agree() ([]byte, error) {
	var err error
	if r.key, err = r.curve.Generate(r.random, r.base); err != nil {
		return nil, err
	}
	return r.curve.Encode(r.key.Public), nil
}

// AgreeWith takes the chip's public key; it must differ from the reader's.
func (r *Run) AgreeWith(chip []byte) error {
	p, err := r.point(chip, r.key)
	if err != nil {
		return err
	}
	shared := r.curve.Mul(r.key.D, p)
	if shared.Infinite() {
		return ErrPoint
	}
	r.secret = r.curve.X(shared)
	return nil
}

func (r *Run) point(b []byte, own curve.Key) (curve.Point, error) {
	p, err := r.curve.Decode(b)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	if p.X.Cmp(own.Public.X) == 0 {
		return p, fmt.Errorf("%w: our own key came back", ErrPoint)
	}
	return p, nil
}

// Token is the authentication token over a public key: the MAC of its public
// key data object with the variant's OID. §4.4.3.4.
func Token(i Info, secret []byte, point []byte) ([]byte, error) {
	oid, err := asn1.Marshal(i.OID)
	if err != nil {
		return nil, fmt.Errorf("pace: token: %w", err)
	}
	data := lds.Make(0x7F49, oid, lds.Make(0x86, point))
	if i.Cipher == kdf.TDES {
		data = kdf.Pad(data, 8)
	}
	return kdf.Authenticate(i.Cipher, kdf.Derive(i.Cipher, secret, kdf.MAC), data)
}

// OwnToken is the token that the reader sends, over the chip's key.
func (r *Run) OwnToken(chip []byte) ([]byte, error) { return Token(r.info, r.secret, chip) }

// Finish verifies the chip's token, over the reader's key, and returns the
// shared secret for the session's keys.
func (r *Run) Finish(token []byte) ([]byte, error) {
	want, err := Token(r.info, r.secret, r.curve.Encode(r.key.Public))
	if err != nil {
		return nil, err
	}
	if !kdf.Equal(want, token) {
		return nil, ErrToken
	}
	return r.secret, nil
}

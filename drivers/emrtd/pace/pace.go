// Package pace is Password Authenticated Connection Establishment, the reader's
// side: generic, integrated and chip authentication mapping over elliptic
// curves and MODP groups. ICAO Doc 9303-11 §4.4.
//
// A run goes Start, Map, MapWith, Agree, AgreeWith, OwnToken, Finish, and for
// the chip authentication mapping Genuine. It sends nothing itself.
package pace

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/dh"
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
	Parameter int // id of the standardised domain parameters; -1 if none is named
}

var base = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4} // id-PACE

func (i Info) String() string {
	return fmt.Sprintf("PACE-%s-%s-%v/%d", map[bool]string{true: "ECDH", false: "DH"}[i.ECDH], [...]string{"?", "GM", "IM", "CAM"}[min(int(i.Mapping), 3)], i.Cipher, i.Parameter)
}

// Parse reads the PACEInfos among SecurityInfos; others are skipped. An info
// that names no standardised parameters has explicit ones: it is listed, and
// not supported.
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

// Supported says whether the variant exists and its parameters are
// standardised: Doc 9303-11 table 6. The integrated mapping needs a field of
// p ≡ 3 mod 4, which secp224r1 has not; the chip authentication mapping knows
// no 3DES.
func (i Info) Supported() bool {
	if i.Mapping == CAM && (i.Cipher == kdf.TDES || !i.ECDH) {
		return false
	}
	if !i.ECDH {
		_, ok := dh.ByID(i.Parameter)
		return ok
	}
	c, ok := curve.ByID(i.Parameter)
	return ok && (i.Mapping != IM || mappable(c))
}

// Errors of a run.
var (
	ErrPoint   = errors.New("pace: the chip sent a key that is not allowed")
	ErrToken   = errors.New("pace: the chip's token is wrong: wrong password, or no genuine chip")
	ErrMapping = errors.New("pace: the chip's mapping key is not that of its static key: a copy")
)

// group is the arithmetic of one run: a curve's or a MODP group's, with the
// generator that the mapping made. Keys are as on the wire.
type group interface {
	// generate makes an ephemeral key over the present generator.
	generate(random io.Reader) ([]byte, error)
	// check refuses a key that is none of the group, or the reader's own, and
	// returns it at its fixed length: that counts in the token, whatever leading
	// zeros the chip sent.
	check(theirs []byte) ([]byte, error)
	// agree returns the secret with a key that was checked, padded to the
	// group's length.
	agree(theirs []byte) ([]byte, error)
	// generic and integrated set the generator: §4.4.3.3.
	generic(nonce, theirs []byte) error
	integrated(random []byte) error
	// size is the length of the field in bits.
	size() int
	// tag is that of the key in the token's input: 86 or 84.
	tag() uint32
	// x is the key's short form, which Terminal Authentication signs.
	x(key []byte) []byte
}

// Run is one PACE under way.
type Run struct {
	info      Info
	group     group
	random    io.Reader
	nonce     []byte
	own       []byte // the nonce that the integrated mapping adds
	mapped    []byte // the chip's mapping key
	key, chip []byte // the second pair of public keys
	secret    []byte
}

// PasswordMRZ is the secret of the MRZ password: SHA-1 of the MRZ information,
// all 20 bytes. The CAN's is its digits. §9.7.3.
func PasswordMRZ(information string) []byte {
	return kdf.Secret(information)
}

// Start decrypts the nonce with the password's key.
func Start(i Info, password, encrypted []byte, random io.Reader) (*Run, error) {
	return start(i, kdf.Derive(i.Cipher, password, kdf.Password), encrypted, random)
}

func start(i Info, key, encrypted []byte, random io.Reader) (*Run, error) {
	if !i.Supported() {
		return nil, fmt.Errorf("pace: %v is not supported", i)
	}
	block, err := kdf.Block(i.Cipher, key)
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
	r := &Run{info: i, random: random, nonce: nonce}
	if i.ECDH {
		c, _ := curve.ByID(i.Parameter)
		r.group = &points{curve: c, base: c.G}
	} else {
		g, _ := dh.ByID(i.Parameter)
		r.group = &numbers{group: g, base: g.G}
	}
	return r, nil
}

// Map returns what the reader sends for the mapping: a key, or the integrated
// mapping's own nonce, as long as the cipher's key. MapWith takes the answer.
func (r *Run) Map() ([]byte, error) {
	if r.info.Mapping != IM {
		return r.group.generate(r.random)
	}
	r.own = make([]byte, r.info.Cipher.KeyLen())
	if _, err := io.ReadFull(r.random, r.own); err != nil {
		return nil, fmt.Errorf("pace: random: %w", err)
	}
	return r.own, nil
}

// MapWith computes the new generator from the chip's mapping data; the
// integrated mapping has none.
func (r *Run) MapWith(chip []byte) error {
	if r.info.Mapping == IM {
		b, err := pseudorandom(r.info.Cipher, r.nonce, r.own, r.group.size())
		if err != nil {
			return err
		}
		return r.group.integrated(b)
	}
	var err error
	if r.mapped, err = r.group.check(chip); err != nil {
		return err
	}
	return r.group.generic(r.nonce, r.mapped)
}

// Agree returns the reader's public key over the new generator, then AgreeWith
// takes the chip's and computes the shared secret.
func (r *Run) Agree() ([]byte, error) {
	var err error
	r.key, err = r.group.generate(r.random)
	return r.key, err
}

// AgreeWith takes the chip's public key; it must differ from the reader's.
func (r *Run) AgreeWith(chip []byte) error {
	var err error
	if r.chip, err = r.group.check(chip); err != nil {
		return err
	}
	r.secret, err = r.group.agree(r.chip)
	return err
}

// token is the authentication token over a public key: the MAC of its public
// key data object with the variant's OID. §4.4.3.4.
func (r *Run) token(public []byte) ([]byte, error) {
	oid, err := asn1.Marshal(r.info.OID)
	if err != nil {
		return nil, fmt.Errorf("pace: token: %w", err)
	}
	data := lds.Make(0x7F49, oid, lds.Make(r.group.tag(), public))
	if r.info.Cipher == kdf.TDES {
		data = kdf.Pad(data, 8)
	}
	return kdf.Authenticate(r.info.Cipher, kdf.Derive(r.info.Cipher, r.secret, kdf.MAC), data)
}

// OwnToken is the token that the reader sends, over the chip's key.
func (r *Run) OwnToken() ([]byte, error) { return r.token(r.chip) }

// Finish verifies the chip's token, over the reader's key, and returns the
// shared secret for the session's keys.
func (r *Run) Finish(token []byte) ([]byte, error) {
	want, err := r.token(r.key)
	if err != nil {
		return nil, err
	}
	if !kdf.Equal(want, token) {
		return nil, ErrToken
	}
	return r.secret, nil
}

// ChipID is the chip's identifier in Terminal Authentication: the short form
// of its ephemeral key, an x-coordinate or a SHA-1. TR-03110-1 §3.4.
func (r *Run) ChipID() []byte { return r.group.x(r.chip) }

// Genuine checks the chip authentication data of the last answer (data object
// 8A) with the chip's static key, which must lie on the curve of the run: the
// chip's mapping key is that many times the static one. §4.4.3.5.
func (r *Run) Genuine(encrypted []byte, static curve.Point) error {
	p, ok := r.group.(*points)
	if !ok || r.info.Mapping != CAM {
		return fmt.Errorf("pace: %v authenticates no chip", r.info)
	}
	block, err := kdf.Block(r.info.Cipher, kdf.Derive(r.info.Cipher, r.secret, kdf.Encryption))
	if err != nil {
		return err
	}
	// The initial vector is the encryption of -1.
	iv := bytes.Repeat([]byte{0xFF}, block.BlockSize())
	block.Encrypt(iv, iv)
	if len(encrypted) == 0 || len(encrypted) > 128 {
		return fmt.Errorf("pace: chip authentication data of %d bytes", len(encrypted))
	}
	b, err := kdf.CBC(block, iv, encrypted, false)
	if err != nil {
		return fmt.Errorf("pace: chip authentication data: %w", err)
	}
	if b, err = kdf.Unpad(b); err != nil {
		return fmt.Errorf("%w: %w", ErrMapping, err)
	}
	factor := bigInt(b)
	if factor.Sign() == 0 || factor.Cmp(p.curve.N) >= 0 || !p.curve.On(static) {
		return fmt.Errorf("%w: out of range", ErrMapping)
	}
	if got := p.curve.Mul(factor, static); got.Infinite() || !kdf.Equal(p.curve.Encode(got), r.mapped) {
		return ErrMapping
	}
	return nil
}

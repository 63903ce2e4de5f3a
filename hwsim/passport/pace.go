package passport

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

// Mapping is how PACE makes a base point of its nonce.
type Mapping uint8

const (
	GM  Mapping = iota + 1 // generic
	IM                     // integrated
	CAM                    // generic, and it proves the chip
)

func (m Mapping) String() string { return [...]string{"?", "gm", "im", "cam"}[min(int(m), 3)] }

// Variant is one way of PACE that a chip offers: ids 0 to 2 are DH groups, 8 to
// 18 elliptic curves.
type Variant struct {
	Mapping   Mapping
	Cipher    kdf.Cipher
	Parameter int
}

// Valid says whether the standard knows the variant: IM needs a field with
// p ≡ 3 mod 4, CAM a curve and AES (Doc 9303-11 §4.4.1).
func (v Variant) Valid() bool {
	a, err := agreementOf(v.Parameter)
	if err != nil || v.Cipher < kdf.TDES || v.Cipher > kdf.AES256 {
		return false
	}
	_, ec := a.(onCurve)
	switch v.Mapping {
	case GM:
		return true
	case IM:
		return !ec || a.prime().Bit(0) == 1 && a.prime().Bit(1) == 1
	case CAM:
		return ec && v.Cipher != kdf.TDES
	}
	return false
}

// Name is the variant as profiles are named: pace-gm-aes128-13.
func (v Variant) Name() string {
	return fmt.Sprintf("pace-%v-%s-%d", v.Mapping, [...]string{"?", "3des", "aes128", "aes192", "aes256"}[min(int(v.Cipher), 4)], v.Parameter)
}

// Variants returns every valid one.
func Variants() []Variant {
	var list []Variant
	for m := GM; m <= CAM; m++ {
		for c := kdf.TDES; c <= kdf.AES256; c++ {
			for id := range 19 {
				if v := (Variant{m, c, id}); v.Valid() {
					list = append(list, v)
				}
			}
		}
	}
	return list
}

// oid is the variant's protocol: id-PACE, the mapping and agreement, the
// cipher.
func (v Variant) oid() asn1.ObjectIdentifier {
	kind := map[Mapping]int{GM: 2, IM: 4, CAM: 6}[v.Mapping]
	if v.Parameter < 8 {
		kind--
	}
	return asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4, kind, int(v.Cipher)}
}

// Passwords of MSE:Set AT.
const (
	passwordMRZ = 1
	passwordCAN = 2
)

// paceRun is PACE on the card's side (§4.4.4).
type paceRun struct {
	variant  Variant
	a        agreement
	password byte
	stage    int
	nonce    []byte
	mapping  pair // generic mapping's; CAM proves the chip with it
	base     public
	own      pair
	theirs   public
	secret   []byte
}

// setPACE is MSE:Set AT for mutual authentication.
func (c *Card) setPACE(cmd apdu.Command) uint16 {
	c.v.pace = nil
	oid, ok := lds.Find(cmd.Data, 0x80)
	password, ok2 := lds.Find(cmd.Data, 0x83)
	if !ok || !ok2 || len(password) != 1 {
		return 0x6A80
	}
	if c.on("pace_unsupported") {
		return 0x6A80
	}
	id, named := lds.Find(cmd.Data, 0x84)
	if named && c.on("pace_unnamed") {
		return 0x6A80
	}
	var fit []Variant
	for _, v := range c.profile.PACE {
		if bytes.Equal(oid, der(v.oid())[2:]) && (!named || len(id) == 1 && int(id[0]) == v.Parameter) {
			fit = append(fit, v)
		}
	}
	if len(fit) == 0 {
		return 0x6A80
	}
	if len(fit) > 1 || password[0] == passwordCAN && c.profile.CAN == "" || password[0] != passwordMRZ && password[0] != passwordCAN {
		return 0x6A88
	}
	a, err := agreementOf(fit[0].Parameter)
	if err != nil {
		return 0x6A80
	}
	c.v.pace = &paceRun{variant: fit[0], a: a, password: password[0]}
	return 0x9000
}

// paceStep answers one GENERAL AUTHENTICATE of PACE.
func (c *Card) paceStep(dyn []byte) ([]byte, uint16) {
	p := c.v.pace
	p.stage++
	steps := []func(*paceRun, []byte) ([]byte, uint16){c.paceNonce, c.paceMap, c.paceAgree, c.paceToken}
	out, status := steps[p.stage-1](p, dyn)
	if status != 0x9000 || p.stage == len(steps) {
		c.v.pace = nil
	}
	return out, status
}

func (c *Card) paceNonce(p *paceRun, _ []byte) ([]byte, uint16) {
	n := 16
	if p.variant.Mapping == IM && p.variant.Cipher >= kdf.AES192 {
		n = 32 // l is a multiple of the block and not shorter than the key
	}
	p.nonce = make([]byte, n)
	if !c.on("pace_zero_nonce") && !c.draw(p.nonce) {
		return nil, 0x6F00
	}
	secret := []byte(c.profile.CAN)
	if p.password == passwordMRZ {
		h := sha1.Sum([]byte(c.profile.MRZ.Information()))
		secret = h[:]
	}
	block, err := kdf.Block(p.variant.Cipher, kdf.Derive(p.variant.Cipher, secret, kdf.Password))
	if err != nil {
		return nil, 0x6F00
	}
	z, err := kdf.CBC(block, make([]byte, block.BlockSize()), p.nonce, true)
	if err != nil {
		return nil, 0x6F00
	}
	return lds.Make(0x80, z), 0x9000
}

func (c *Card) paceMap(p *paceRun, dyn []byte) ([]byte, uint16) {
	b, _ := lds.Find(dyn, 0x81)
	if p.variant.Mapping == IM {
		if len(b) != p.variant.Cipher.KeyLen() {
			return nil, 0x6A80
		}
		r, err := pseudoRandom(p.variant.Cipher, p.nonce, b, p.a.prime())
		if err != nil {
			return nil, 0x6F00
		}
		if p.base = p.a.integrated(r); !finite(p.base) {
			return nil, 0x6A80
		}
		return lds.Make(0x82), 0x9000
	}
	theirs, err := p.a.decode(b)
	if err != nil {
		return nil, 0x6A80
	}
	if p.mapping, err = newPair(c.random, p.a, p.a.base()); err != nil {
		return nil, 0x6F00
	}
	p.base = p.a.generic(new(big.Int).SetBytes(p.nonce), p.a.mul(p.mapping.d, theirs))
	if !finite(p.base) {
		return nil, 0x6A80
	}
	return lds.Make(0x82, c.spoilKey(1, p.a.encode(p.mapping.p), b)), 0x9000
}

func (c *Card) paceAgree(p *paceRun, dyn []byte) ([]byte, uint16) {
	b, _ := lds.Find(dyn, 0x83)
	var err error
	if p.theirs, err = p.a.decode(b); err != nil {
		return nil, 0x6A80
	}
	if p.own, p.secret, err = c.agree(p.a, p.base, p.theirs); err != nil {
		return nil, 0x6F00
	}
	if !finite(p.own.p) {
		return nil, 0x6A80
	}
	return lds.Make(0x84, c.spoilKey(2, p.a.encode(p.own.p), b)), 0x9000
}

// agree draws a key over base and computes the secret with theirs. The fault
// leading_zero draws until the secret begins with a zero octet, which careless
// readers drop.
func (c *Card) agree(a agreement, base, theirs public) (own pair, secret []byte, err error) {
	for range 20_000 {
		if own, err = newPair(c.random, a, base); err != nil {
			return own, nil, err
		}
		shared := a.mul(own.d, theirs)
		if !finite(shared) {
			return own, nil, errElement
		}
		if secret = a.secret(shared); !c.on("leading_zero") || secret[0] == 0 {
			return own, secret, nil
		}
	}
	return own, nil, errElement
}

func (c *Card) paceToken(p *paceRun, dyn []byte) ([]byte, uint16) {
	token := func(key public) []byte {
		data := lds.Make(0x7F49, der(p.variant.oid()), lds.Make(p.a.tag(), p.a.encode(key)))
		if p.variant.Cipher == kdf.TDES {
			data = kdf.Pad(data, 8)
		}
		t, err := kdf.Authenticate(p.variant.Cipher, kdf.Derive(p.variant.Cipher, p.secret, kdf.MAC), data)
		if err != nil {
			return nil
		}
		return t
	}
	got, _ := lds.Find(dyn, 0x85)
	if !kdf.Equal(got, token(p.own.p)) {
		c.stats.WrongPasswords++
		if p.password == passwordCAN {
			c.canLeft = max(0, c.canLeft-1)
			return nil, 0x63C0 | uint16(c.canLeft)
		}
		return nil, 0x6300
	}
	mine := token(p.theirs)
	if c.on("pace_token") {
		mine[0] ^= 1
	}
	c.stats.Authentications++
	c.canLeft = canTries
	c.v.next = newChannel(p.variant.Cipher, p.secret, make([]byte, p.variant.Cipher.BlockLen()))
	c.v.idIC = p.a.compress(p.own.p)
	out := lds.Make(0x86, mine)
	for i, name := range c.trustPoints() {
		out = append(out, lds.Make(0x87+uint32(i), []byte(name))...)
	}
	if p.variant.Mapping == CAM {
		data, err := c.camData(p)
		if err != nil {
			return nil, 0x6F00
		}
		out = append(out, lds.Make(0x8A, data)...)
	}
	return out, 0x9000
}

// camData proves that the chip has the private key of its EF.CardSecurity: the
// mapping's secret key divided by it (§4.4.3.3.3).
func (c *Card) camData(p *paceRun) ([]byte, error) {
	static := c.cam.d
	if c.on("wrong_ca_key") {
		static = new(big.Int).Add(static, big.NewInt(1))
	}
	n := p.a.order()
	ca := new(big.Int).ModInverse(static, n)
	ca.Mul(ca, p.mapping.d).Mod(ca, n)
	return sealCAM(p.variant.Cipher, p.secret, ca.FillBytes(make([]byte, (n.BitLen()+7)/8)))
}

// sealCAM encrypts the chip authentication data with IV = E(KSEnc, -1).
func sealCAM(c kdf.Cipher, secret, data []byte) ([]byte, error) {
	block, err := kdf.Block(c, kdf.Derive(c, secret, kdf.Encryption))
	if err != nil {
		return nil, err
	}
	iv := bytes.Repeat([]byte{0xFF}, block.BlockSize())
	block.Encrypt(iv, iv)
	return kdf.CBC(block, iv, kdf.Pad(data, block.BlockSize()), true)
}

// spoilKey applies the faults of public keys at one of PACE's two exchanges.
func (c *Card) spoilKey(exchange int, own, theirs []byte) []byte {
	switch {
	case c.profile.Faults["pace_echo"] == exchange:
		return theirs
	case c.profile.Faults["pace_infinity"] == exchange:
		return []byte{0}
	case c.profile.Faults["pace_off_curve"] == exchange:
		own[len(own)-1] ^= 1
	}
	return own
}

var constants = map[int][2][]byte{
	16: {unhex("a668892a7c41e3ca739f40b057d85904"), unhex("a4e136ac725f738b01c1f60217c188ad")},
	32: {
		unhex("d463d65234124ef7897054986dca0a174e28df758cbaa03f240616414d5a1676"),
		unhex("54bd7255f0aaf831bec3423fcf39d69b6cbf066677d0faae5aadd99df8e53517"),
	},
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("passport: constant " + s)
	}
	return b
}

// pseudoRandom is R_p(s, t) of the integrated mapping: a chain of CBC
// encryptions that is 64 bits longer than p, modulo p (§4.4.3.3.2).
func pseudoRandom(c kdf.Cipher, s, t []byte, p *big.Int) (*big.Int, error) {
	consts, ok := constants[len(s)]
	if !ok {
		return nil, fmt.Errorf("passport: a nonce of %d bytes", len(s))
	}
	encrypt := func(key, data []byte) ([]byte, error) {
		var block cipher.Block
		block, err := kdf.Block(c, key[:c.KeyLen()])
		if err != nil {
			return nil, err
		}
		return kdf.CBC(block, make([]byte, block.BlockSize()), data, true)
	}
	k, err := encrypt(t, s)
	if err != nil {
		return nil, err
	}
	var out []byte
	for 8*len(out) < p.BitLen()+64 {
		x, err := encrypt(k, consts[1])
		if err != nil {
			return nil, err
		}
		out = append(out, x...)
		if k, err = encrypt(k, consts[0]); err != nil {
			return nil, err
		}
	}
	r := new(big.Int).SetBytes(out)
	return r.Mod(r, p), nil
}

// draw fills b from the card's source of randomness.
func (c *Card) draw(b []byte) bool {
	_, err := io.ReadFull(c.random, b)
	return err == nil
}

// standardCurve is a curve of this package by id; ids of ours exist.
func standardCurve(id int) *curve.Curve {
	k, _ := curve.ByID(id)
	return k
}

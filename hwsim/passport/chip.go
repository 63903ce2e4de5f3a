package passport

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"encoding/asn1"
	"fmt"
	"math/big"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/hwsim/passport/testpki"
)

// ChipAuth is a chip's key for Chip Authentication (§6.2). The zero value has
// none.
type ChipAuth struct {
	Parameter int // 0 to 2: DH, else a curve, by standardised id
	Cipher    kdf.Cipher
	KeyID     int  // named in DG14 and by the reader; 0 for the only key
	NoInfo    bool // DG14 has the key alone: the reader guesses the protocol
	KATOnly   bool // old chips answer MSE:Set KAT alone
	ATOnly    bool // chips that answer MSE:Set AT alone, 3DES or not
}

func (a ChipAuth) on() bool { return a.Cipher != 0 }

// protocol is id-CA-ECDH or id-CA-DH with the cipher.
func (a ChipAuth) protocol() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 3, kindOf(a.Parameter), int(a.Cipher)}
}

// kindOf is the arc for DH, 1, or ECDH, 2.
func kindOf(parameter int) int {
	if parameter < 8 {
		return 1
	}
	return 2
}

// infos are the key and the protocol as DG14 has them.
func (a ChipAuth) infos(key pair) ([][]byte, error) {
	arith, err := agreementOf(a.Parameter)
	if err != nil {
		return nil, err
	}
	var id []byte
	if a.KeyID != 0 {
		id = der(a.KeyID)
	}
	public := lds.Make(0x30, der(asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 1, kindOf(a.Parameter)}), subjectKey(arith, key.p, true), id)
	if a.NoInfo {
		return [][]byte{public}, nil
	}
	return [][]byte{lds.Make(0x30, der(a.protocol()), der(1), id), public}, nil
}

// subjectKey is a SubjectPublicKeyInfo: curves with their parameters written
// out or by name, groups as PKCS #3.
func subjectKey(a agreement, p public, explicit bool) []byte {
	switch a := a.(type) {
	case onCurve:
		return testpki.ECKey(a.c, p.point, explicit)
	case inGroup:
		alg := lds.Make(0x30, der(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 3, 1}), lds.Make(0x30, der(a.g.P), der(a.g.G)))
		return lds.Make(0x30, alg, lds.Make(0x03, []byte{0}, der(p.y)))
	}
	return nil
}

// setKAT is MSE:Set KAT: the reader's key, and the new session at once.
func (c *Card) setKAT(cmd apdu.Command) uint16 {
	if !c.profile.CA.on() || c.profile.CA.ATOnly || c.profile.CA.Cipher != kdf.TDES || c.v.sm == nil {
		return 0x6A80
	}
	key, ok := lds.Find(cmd.Data, 0x91)
	if id, named := lds.Find(cmd.Data, 0x84); !ok || !c.keyNamed(id, named) {
		return 0x6A80
	}
	return c.authenticateChip(key)
}

// keyNamed says whether a private key reference fits the chip's key.
func (c *Card) keyNamed(id []byte, named bool) bool {
	if c.profile.CA.KeyID == 0 {
		return !named
	}
	return named && new(big.Int).SetBytes(id).Cmp(big.NewInt(int64(c.profile.CA.KeyID))) == 0
}

// setCA is MSE:Set AT for Chip Authentication; the key follows in GENERAL
// AUTHENTICATE.
func (c *Card) setCA(cmd apdu.Command) uint16 {
	c.v.chip = false
	oid, _ := lds.Find(cmd.Data, 0x80)
	if id, named := lds.Find(cmd.Data, 0x84); !c.profile.CA.on() || c.v.sm == nil || !c.keyNamed(id, named) || !bytes.Equal(oid, der(c.profile.CA.protocol())[2:]) {
		return 0x6A80
	}
	if c.profile.CA.KATOnly {
		return 0x6A86
	}
	c.v.chip = true
	return 0x9000
}

// chipStep is GENERAL AUTHENTICATE of Chip Authentication.
func (c *Card) chipStep(dyn []byte) ([]byte, uint16) {
	c.v.chip = false
	key, ok := lds.Find(dyn, 0x80)
	if !ok {
		return nil, 0x6A80
	}
	return nil, c.authenticateChip(key)
}

// authenticateChip agrees on new keys with the reader's ephemeral key. The
// answer still goes under the old ones.
func (c *Card) authenticateChip(key []byte) uint16 {
	a, err := agreementOf(c.profile.CA.Parameter)
	if err != nil {
		return 0x6F00
	}
	theirs, err := a.decode(key)
	if err != nil {
		return 0x6A80
	}
	d := c.ca.d
	if c.on("wrong_ca_key") {
		d = new(big.Int).Add(d, big.NewInt(1))
	}
	if c.on("ca_replay") { // a recording answers, but cannot know the keys
		c.v.next = newChannel(c.profile.CA.Cipher, []byte("recorded"), nil)
		return 0x9000
	}
	shared := a.mul(d, theirs)
	if !finite(shared) {
		return 0x6A80
	}
	c.v.next = newChannel(c.profile.CA.Cipher, a.secret(shared), nil)
	c.v.terminalKey = a.compress(theirs)
	return 0x9000
}

// ActiveAuth is a chip's key for Active Authentication (§6.1). The zero value
// is ECDSA on P-256 with SHA-256.
type ActiveAuth struct {
	Bits      int // of an RSA modulus, a multiple of 8; 0 for ECDSA
	Parameter int // of the curve; 0 is P-256
	Hash      crypto.Hash
}

// signatureTrailers are ISO/IEC 10118's numbers of hashes in ISO 9796-2's
// two-byte trailers; SHA-1 has a trailer of one byte.
var signatureTrailers = map[crypto.Hash][]byte{
	crypto.SHA1: {0xBC}, crypto.SHA224: {0x38, 0xCC}, crypto.SHA256: {0x34, 0xCC}, crypto.SHA384: {0x36, 0xCC}, crypto.SHA512: {0x35, 0xCC},
}

var plainHashes = map[crypto.Hash]int{crypto.SHA1: 1, crypto.SHA224: 2, crypto.SHA256: 3, crypto.SHA384: 4, crypto.SHA512: 5}

// activeKey is the key of a chip.
type activeKey struct {
	rsa *testpki.RSAKey
	ec  curve.Key
}

func (c *Card) makeActive() (activeKey, error) {
	if c.profile.AA.Bits > 0 {
		k, err := testpki.NewRSAKey(c.random, c.profile.AA.Bits, 65537)
		return activeKey{rsa: k}, err
	}
	k := standardCurve(c.profile.AA.Parameter)
	ec, err := k.Generate(c.random, k.G)
	return activeKey{ec: ec}, err
}

// files15 are DG15 and, for ECDSA, what DG14 says of the hash.
func (c *Card) files15() (dg15, info []byte) {
	if k := c.aa.rsa; k != nil {
		return lds.Make(0x6F, k.Public()), nil
	}
	plain := asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 1, 1, 4, 1, plainHashes[c.profile.AA.Hash]}
	info = lds.Make(0x30, der(asn1.ObjectIdentifier{2, 23, 136, 1, 1, 5}), der(1), der(plain))
	return lds.Make(0x6F, testpki.ECKey(standardCurve(c.profile.AA.Parameter), c.aa.ec.Public, false)), info
}

// internalAuthenticate signs the reader's challenge.
func (c *Card) internalAuthenticate(cmd apdu.Command) ([]byte, uint16) {
	challenge := cmd.Data
	if c.profile.NoAA || c.on("no_aa_key") {
		return nil, 0x6A88
	}
	if len(challenge) != 8 || !c.open() || !c.v.app {
		return nil, 0x6982
	}
	if n := c.signatureLen(); c.on("aa_exact_le") && cmd.Ne != n {
		return nil, 0x6C00 | uint16(n&0xFF)
	}
	h := c.profile.AA.Hash.New()
	if c.aa.rsa != nil {
		out, err := c.messageRecovery(challenge)
		if err != nil {
			return nil, 0x6F00
		}
		return out, 0x9000
	}
	h.Write(challenge)
	k := standardCurve(c.profile.AA.Parameter)
	r, s, err := k.Sign(c.random, c.aa.ec.D, h.Sum(nil))
	if err != nil {
		return nil, 0x6F00
	}
	out := make([]byte, c.signatureLen())
	r.FillBytes(out[:len(out)/2])
	s.FillBytes(out[len(out)/2:])
	return out, 0x9000
}

func (c *Card) signatureLen() int {
	if c.aa.rsa != nil {
		return c.profile.AA.Bits / 8
	}
	return 2 * ((standardCurve(c.profile.AA.Parameter).N.BitLen() + 7) / 8)
}

// messageRecovery signs by ISO/IEC 9796-2 scheme 1 with partial recovery: M1
// is the chip's, M2 the challenge.
func (c *Card) messageRecovery(challenge []byte) ([]byte, error) {
	hash, trailer := c.profile.AA.Hash, signatureTrailers[c.profile.AA.Hash]
	n := c.profile.AA.Bits / 8
	m1 := make([]byte, n-1-hash.Size()-len(trailer))
	if !c.draw(m1) {
		return nil, fmt.Errorf("passport: random")
	}
	h := hash.New()
	h.Write(m1)
	h.Write(challenge)
	f := bytes.Join([][]byte{{0x6A}, m1, h.Sum(nil), trailer}, nil)
	s := c.aa.rsa.Private(new(big.Int).SetBytes(f))
	if other := new(big.Int).Sub(c.aa.rsa.N, s); other.Cmp(s) < 0 {
		s = other // the smaller of the two roots
	}
	return s.FillBytes(make([]byte, n)), nil
}

// documentID is how Terminal Authentication names a chip that was opened by
// BAC: the document number with its check digit.
func (c *Card) documentID() []byte {
	info := c.profile.MRZ.Information()
	return []byte(info[:len(info)-14])
}

// basicKeys are BAC's, from the MRZ information (§4.3.2).
func (c *Card) basicKeys() (enc, mac []byte) {
	h := sha1.Sum([]byte(c.profile.MRZ.Information()))
	return kdf.Derive(kdf.TDES, h[:16], kdf.Encryption), kdf.Derive(kdf.TDES, h[:16], kdf.MAC)
}

package testpki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/lds"
)

// Role is what a holder of a card verifiable certificate may do.
type Role byte

const (
	IS         Role = 0x00 // inspection system
	DVForeign  Role = 0x40 // document verifier of another state
	DVDomestic Role = 0x80
	CVCA       Role = 0xC0
)

// CVC is a card verifiable certificate (BSI TR-03110-3 App C).
type CVC struct {
	Raw                []byte // with tag 7F21
	Authority, Holder  string // names of the keys
	Rights             byte   // bit 0: DG3, bit 1: DG4
	Effective, Expires time.Time

	role      Role
	arc       asn1.ObjectIdentifier // of the key's signatures
	rsa       *rsa.PublicKey
	curve     *curve.Curve
	point     curve.Point
	encoded   []byte // the point, until the curve is known
	body      []byte
	signature []byte
}

// Role returns what the holder may do.
func (c *CVC) Role() Role { return c.role }

var (
	oidTA   = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 2}
	oidIS   = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 3, 1, 2, 1}
	ecArcs  = map[crypto.Hash]int{crypto.SHA1: 1, crypto.SHA224: 2, crypto.SHA256: 3, crypto.SHA384: 4, crypto.SHA512: 5}
	pkArcs  = map[crypto.Hash]int{crypto.SHA1: 1, crypto.SHA256: 2, crypto.SHA512: 5}
	pssArcs = map[crypto.Hash]int{crypto.SHA1: 3, crypto.SHA256: 4, crypto.SHA512: 6}
)

var errCVC = errors.New("testpki: not a card verifiable certificate")

// arc is the object identifier of the key's signatures in Terminal
// Authentication.
func (k *key) arc() asn1.ObjectIdentifier {
	kind, n := 2, ecArcs[k.Hash]
	if k.rsa != nil {
		kind, n = 1, pkArcs[k.Hash]
		if k.PSS {
			n = pssArcs[k.Hash]
		}
	}
	return append(append(asn1.ObjectIdentifier{}, oidTA...), kind, n)
}

// publicKey is the data object 7F49; domain parameters are for authorities.
func (k *key) publicKey(parameters bool) []byte {
	if k.rsa != nil {
		return lds.Make(0x7F49, der(k.arc()), lds.Make(0x81, k.rsa.N.Bytes()), lds.Make(0x82, big.NewInt(int64(k.rsa.E)).Bytes()))
	}
	c := k.curve
	point := lds.Make(0x86, c.Encode(k.ec.Public))
	if !parameters {
		return lds.Make(0x7F49, der(k.arc()), point)
	}
	field := func(tag uint32, v *big.Int) []byte { return lds.Make(tag, v.FillBytes(make([]byte, c.Len()))) }
	return lds.Make(0x7F49, der(k.arc()), field(0x81, c.P), field(0x82, c.A), field(0x83, c.B), lds.Make(0x84, c.Encode(c.G)), field(0x85, c.N), point, lds.Make(0x87, []byte{1}))
}

// day is a date as six unpacked digits.
func day(t time.Time) []byte {
	b := []byte(t.UTC().Format("060102"))
	for i := range b {
		b[i] -= '0'
	}
	return b
}

func parseDay(b []byte) (time.Time, error) {
	if len(b) != 6 {
		return time.Time{}, errCVC
	}
	text := make([]byte, 6)
	for i, d := range b {
		if d > 9 {
			return time.Time{}, errCVC
		}
		text[i] = '0' + d
	}
	return time.Parse("060102", string(text))
}

// ParseCVC reads one certificate.
func ParseCVC(b []byte) (*CVC, error) {
	outer, ok := lds.Find(b, 0x7F21)
	if !ok {
		return nil, errCVC
	}
	parts, err := lds.All(outer)
	if err != nil || len(parts) != 2 || parts[0].Tag != 0x7F4E || parts[1].Tag != 0x5F37 {
		return nil, errCVC
	}
	c := &CVC{Raw: bytes.Clone(b), body: parts[0].Raw, signature: parts[1].Value}
	get := func(tag uint32) []byte { v, _ := lds.Find(parts[0].Value, tag); return v }
	c.Authority, c.Holder = string(get(0x42)), string(get(0x5F20))
	chat, ok := lds.Find(get(0x7F4C), 0x53)
	if !ok || len(chat) != 1 {
		return nil, errCVC
	}
	c.role, c.Rights = Role(chat[0]&0xC0), chat[0]&0x3F
	if c.Effective, err = parseDay(get(0x5F25)); err != nil {
		return nil, err
	}
	if c.Expires, err = parseDay(get(0x5F24)); err != nil {
		return nil, err
	}
	return c, c.parseKey(get(0x7F49))
}

func (c *CVC) parseKey(b []byte) error {
	get := func(tag uint32) []byte { v, _ := lds.Find(b, tag); return v }
	if _, err := asn1.Unmarshal(lds.Make(0x06, get(0x06)), &c.arc); err != nil || len(c.arc) != len(oidTA)+2 {
		return errCVC
	}
	n := func(tag uint32) *big.Int { return new(big.Int).SetBytes(get(tag)) }
	if c.arc[len(oidTA)] == 1 {
		if n(0x81).BitLen() < 512 || n(0x82).BitLen() > 32 {
			return errCVC
		}
		c.rsa = &rsa.PublicKey{N: n(0x81), E: int(n(0x82).Int64())}
		return nil
	}
	c.encoded = get(0x86)
	if get(0x81) == nil {
		return nil
	}
	g := get(0x84)
	if len(g) < 3 || len(g)%2 == 0 {
		return errCVC
	}
	half := len(g) / 2
	known, ok := curve.Known(n(0x81), n(0x82), n(0x83), curve.Point{X: new(big.Int).SetBytes(g[1 : 1+half]), Y: new(big.Int).SetBytes(g[1+half:])}, n(0x85))
	if !ok {
		return errCVC
	}
	return c.on(known)
}

func (c *CVC) on(k *curve.Curve) error {
	p, err := k.Decode(c.encoded)
	if err != nil {
		return err
	}
	c.curve, c.point = k, p
	return nil
}

// Inherit takes the domain parameters from the issuer where the certificate
// has none; a key that does not fit them verifies nothing.
func (c *CVC) Inherit(issuer *CVC) {
	if c.curve == nil && c.rsa == nil && issuer.curve != nil {
		_ = c.on(issuer.curve)
	}
}

// hash is the one of the key's signatures.
func (c *CVC) hash() crypto.Hash {
	arc := c.arc[len(c.arc)-1]
	for _, m := range []map[crypto.Hash]int{ecArcs, pkArcs, pssArcs} {
		if rsaTable := m[crypto.SHA224] == 0; rsaTable != (c.rsa != nil) {
			continue
		}
		for h, n := range m {
			if n == arc {
				return h
			}
		}
	}
	return crypto.SHA256
}

// Verify checks the certificate's signature with the issuer's key.
func (c *CVC) Verify(issuer *CVC) error { return issuer.VerifySignature(c.body, c.signature) }

// VerifySignature checks a signature over message with the holder's key.
func (c *CVC) VerifySignature(message, signature []byte) error {
	d := digest(c.hash(), message)
	switch arc := c.arc[len(c.arc)-1]; {
	case c.rsa != nil && (arc == 3 || arc == 4 || arc == 6):
		return rsa.VerifyPSS(c.rsa, c.hash(), d, signature, &rsa.PSSOptions{SaltLength: c.hash().Size()})
	case c.rsa != nil:
		return rsa.VerifyPKCS1v15(c.rsa, c.hash(), d, signature)
	case c.curve == nil || len(signature) == 0 || len(signature)%2 != 0:
		return errCVC
	}
	half := len(signature) / 2
	if !c.curve.Verify(c.point, d, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])) {
		return errors.New("testpki: the signature is wrong")
	}
	return nil
}

// Inspector is a key of the inspection hierarchy with its certificate.
type Inspector struct {
	Cert   []byte // with tag 7F21
	Holder string
	key    *key
	random io.Reader
}

// NewCVCA makes a root of inspection systems. name is a holder reference of at
// most 16 characters: country, mnemonic, five digits.
func NewCVCA(name string, s Suite, from, to time.Time, random io.Reader) (*Inspector, error) {
	k, err := newKey(s, random)
	if err != nil {
		return nil, fmt.Errorf("testpki: CVCA: %w", err)
	}
	v := &Inspector{Holder: name, key: k, random: random}
	v.Cert, err = v.certify(name, k, byte(CVCA)|3, from, to)
	return v, err
}

// Issue certifies a new key below v; a CVCA below a CVCA is a link.
func (v *Inspector) Issue(name string, role Role, rights byte, from, to time.Time) (*Inspector, error) {
	k, err := newKey(v.key.Suite, v.random)
	if err != nil {
		return nil, fmt.Errorf("testpki: CVC: %w", err)
	}
	w := &Inspector{Holder: name, key: k, random: v.random}
	w.Cert, err = v.certify(name, k, byte(role)|rights, from, to)
	return w, err
}

func (v *Inspector) certify(holder string, k *key, chat byte, from, to time.Time) ([]byte, error) {
	body := lds.Make(0x7F4E, lds.Make(0x5F29, []byte{0}), lds.Make(0x42, []byte(v.Holder)), k.publicKey(Role(chat&0xC0) == CVCA), lds.Make(0x5F20, []byte(holder)),
		lds.Make(0x7F4C, der(oidIS), lds.Make(0x53, []byte{chat})), lds.Make(0x5F25, day(from)), lds.Make(0x5F24, day(to)))
	signature, err := v.Sign(body)
	if err != nil {
		return nil, err
	}
	return lds.Make(0x7F21, body, lds.Make(0x5F37, signature)), nil
}

// Sign signs as an inspection system does.
func (v *Inspector) Sign(message []byte) ([]byte, error) { return v.key.plain(v.random, message) }

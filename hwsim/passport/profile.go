// Package passport is a virtual passport: the card side of a travel document's
// chip, with real cryptography and a throw-away PKI. It shares primitives with
// the reader and no protocol code: a common mistake would cancel out.
package passport

import (
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"fmt"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/face"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport/testpki"
)

// Access is how a chip protects its data.
type Access uint8

const (
	NoAccess Access = iota
	BAC
	PACE // and BAC
	PACEOnly
)

// Profile says what a virtual passport is like.
type Profile struct {
	MRZ       mrz.MRZ // fields; lines are made
	Portrait  []byte  // JPEG or JPEG 2000
	Width     int
	Height    int
	Access    Access
	Parameter int        // PACE domain parameters; 0 is brainpoolP256r1
	Cipher    kdf.Cipher // PACE cipher; 0 is AES-128
	NoAA      bool       // no key for Active Authentication
	MaxLe     int        // longest answer in plain bytes; 0 for none
	Faults    map[string]int
}

// Fault describes a fault of Profile.Faults; the value says when, where that
// means something.
type Fault struct{ Name, Text string }

// Faults lists what a passport can be made to do wrong.
var Faults = []Fault{
	{"clone", "the chip lacks the private key of its DG15"},
	{"tampered_dg1", "DG1 differs from the signed one"},
	{"tampered_dg2", "one bit of DG2 differs from the signed one"},
	{"bomb", "DG2 holds a JPEG 2000 header of 65,535² pixels"},
	{"removed_at", "the card is gone at the n-th command"},
	{"bad_mac_at", "the answer to the n-th command has a wrong MAC"},
	{"naked_at", "the n-th command is answered by 6F00 without secure messaging, once"},
	{"garbage_at", "the n-th command is answered by random bytes"},
	{"truncated_dg2", "DG2 announces more bytes than there are"},
}

// bomb is a JPEG 2000 code stream whose header announces 65,535 × 65,535
// pixels of three components and which has no data.
func bomb() []byte {
	b := []byte{0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0}
	for _, v := range []uint32{65535, 65535, 0, 0, 65535, 65535, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, 0, 3, 7, 1, 1, 7, 1, 1, 7, 1, 1)
	return append(b, 0xFF, 0x52, 0, 12, 0, 0, 0, 1, 1, 5, 4, 4, 0, 1, 0xFF, 0x5C, 0, 4, 0x40, 0x40, 0xFF, 0xD9)
}

// New personalises a chip: its files are made and signed by signer.
func New(p Profile, signer *testpki.Signer) (*Card, error) {
	zone, err := mrz.Make(p.MRZ)
	if err != nil {
		return nil, fmt.Errorf("passport: %w", err)
	}
	p.MRZ = zone
	if p.Parameter == 0 {
		p.Parameter = 13
	}
	if p.Cipher == 0 {
		p.Cipher = kdf.AES128
	}
	c := &Card{profile: p, files: map[uint16][]byte{}}
	aaCurve, _ := curve.ByID(12)
	if c.aa, err = aaCurve.Generate(rand.Reader, aaCurve.G); err != nil {
		return nil, fmt.Errorf("passport: %w", err)
	}
	groups := map[int][]byte{}
	text := ""
	for _, l := range zone.Lines() {
		text += l
	}
	groups[1] = lds.Make(0x61, lds.Make(0x5F1F, []byte(text)))
	stream, format := p.Portrait, face.JPEG
	if _, on := p.Faults["bomb"]; on {
		stream, format = bomb(), face.JPEG2000
	}
	record := face.Record(stream, format, p.Width, p.Height)
	header := lds.Make(0xA1, lds.Make(0x80, []byte{1, 1}), lds.Make(0x81, []byte{2}), lds.Make(0x87, []byte{1, 1}), lds.Make(0x88, []byte{0, 8}))
	groups[2] = lds.Make(0x75, lds.Make(0x7F61, lds.Make(0x02, []byte{1}), lds.Make(0x7F60, header, lds.Make(0x5F2E, record))))
	if !p.NoAA {
		groups[14] = lds.Make(0x6E, lds.Make(0x31, activeInfo()))
		groups[15] = lds.Make(0x6F, spki(aaCurve, c.aa.Public))
	}
	sod, err := signer.SOD(groups)
	if err != nil {
		return nil, err
	}
	if _, on := p.Faults["clone"]; on {
		if c.aa, err = aaCurve.Generate(rand.Reader, aaCurve.G); err != nil {
			return nil, fmt.Errorf("passport: %w", err)
		}
	}
	if _, on := p.Faults["tampered_dg1"]; on {
		groups[1][len(groups[1])-20] ^= 1
	}
	if _, on := p.Faults["tampered_dg2"]; on {
		groups[2][len(groups[2])/2] ^= 1
	}
	if _, on := p.Faults["truncated_dg2"]; on {
		groups[2] = groups[2][:len(groups[2])/2]
	}
	tags := []byte{}
	for n := 1; n <= 16; n++ {
		if b, ok := groups[n]; ok {
			f := lds.Group(n)
			c.files[f.FID] = b
			tags = append(tags, byte(f.Tag))
		}
	}
	c.files[lds.SOD.FID] = sod
	c.files[lds.COM.FID] = lds.Make(0x60, lds.Make(0x5F01, []byte("0107")), lds.Make(0x5F36, []byte("040000")), lds.Make(0x5C, tags))
	if p.Access == PACE || p.Access == PACEOnly {
		c.files[lds.CardAccess.FID] = lds.Make(0x31, paceInfo(p))
	}
	return c, nil
}

// der marshals constants of ours, which cannot fail.
func der(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic("passport: " + err.Error())
	}
	return b
}

// oidPACE is PACE-ECDH-GM with the profile's cipher.
func oidPACE(c kdf.Cipher) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4, 2, int(c)}
}

func paceInfo(p Profile) []byte {
	return lds.Make(0x30, der(oidPACE(p.Cipher)), der(2), der(p.Parameter))
}

// activeInfo is ActiveAuthenticationInfo with ecdsa-plain-SHA256.
func activeInfo() []byte {
	return lds.Make(0x30, der(asn1.ObjectIdentifier{2, 23, 136, 1, 1, 5}), der(1), der(asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 1, 1, 4, 1, 3}))
}

func spki(c *curve.Curve, p curve.Point) []byte {
	alg := lds.Make(0x30, der(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}), der(pki.CurveOID(c.Name)))
	return lds.Make(0x30, alg, lds.Make(0x03, []byte{0}, c.Encode(p)))
}

// MRZ returns the lines printed on the document.
func (c *Card) MRZ() []string { return c.profile.MRZ.Lines() }

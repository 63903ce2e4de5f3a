// Package passport is a virtual passport: the card side of a travel document's
// chip, with real cryptography and a throw-away PKI. It shares primitives with
// the reader and no protocol code: a common mistake would cancel out.
package passport

import (
	"crypto"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/mrz"
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

// Profile says what a virtual passport is like. Its zero value is an open chip
// with ECDSA for Active Authentication.
type Profile struct {
	MRZ      mrz.MRZ // fields; lines are made
	CAN      string  // printed card access number; "" for none
	Portrait []byte  // JPEG or JPEG 2000
	// Face39794 writes the portrait as ISO/IEC 39794-5, else 19794-5.
	Face39794 bool
	Width     int
	Height    int
	Groups    map[int][]byte // further data groups, whole files by number
	LDS18     bool           // version 1.8 of the logical data structure, else 1.7

	Access Access
	PACE   []Variant // offered; GM with AES-128 on brainpoolP256r1 unless set
	AA     ActiveAuth
	NoAA   bool // no key for Active Authentication
	CA     ChipAuth
	CVCA   [][]byte // trust points of Terminal Authentication, CVCs
	// Security signs EF.CardSecurity; nil for who signs the document.
	Security *testpki.Signer
	Today    time.Time // the chip's date before it sees a later certificate

	Short      bool // no extended length
	Buffer     int  // bytes of the longest command and answer, stated in EF.ATR/INFO; 0 says nothing
	NoChaining bool // no command chaining
	MaxLe      int  // longest answer in plain bytes, beyond which the chip says 6700; 0 for none

	// Crypto is how long the chip computes for one public key operation, FWT
	// after how long it asks for more time meanwhile; 0 never asks.
	Crypto, FWT time.Duration
	Faults      map[string]int

	// Random is where keys, nonces and challenges come from; crypto/rand
	// unless set.
	Random io.Reader
}

// Named is a profile of the catalogue.
type Named struct{ Name, Text string }

// Catalogue lists the profiles with a name; Named by variant come on top.
var Catalogue = []Named{
	{"pace", "PACE, ECDH on brainpoolP256r1 with AES-128, or BAC; the chip proves itself by Active Authentication"},
	{"bac", "Basic Access Control and Active Authentication"},
	{"open", "no access control"},
	{"pace-only", "PACE alone, as chips issued from 2028 are"},
	{"can", "PACE alone, with the card access number 123456 on the page beside the zone"},
	{"cam", "PACE with Chip Authentication Mapping on P-256"},
	{"icao-ext", "PACE and Chip Authentication, DG14 and DG15; extended length of 65,535 bytes"},
	{"icao-2048", "the same with buffers of 2,048 bytes, stated in EF.ATR/INFO"},
	{"icao-short", "the same with short lengths alone"},
	{"ca-dh", "BAC, Chip Authentication by MSE:Set KAT with DH and 3DES"},
	{"aa-rsa", "BAC and Active Authentication with RSA-2048"},
	{"slow-chip", "the chip of icao-ext, 1.6 s for each public key operation with requests for more time every 300 ms"},
	{"plain", "BAC and nothing that proves the chip"},
	{"iso39794", "the chip of icao-ext with its portrait in ISO/IEC 39794-5"},
	{"full", "all data groups; DG3 and DG4 are for inspection systems"},
}

// icao is the chip that the floor of exchanges is reckoned for: PACE and Chip
// Authentication, a portrait of 20 kB.
func icao() Profile {
	return Profile{
		Access: PACE, PACE: []Variant{{GM, kdf.AES128, 13}}, CA: ChipAuth{Parameter: 13, Cipher: kdf.AES128},
		LDS18: true,
	}
}

// ByName returns a profile without a holder: the catalogue's, or a way of PACE
// such as pace-im-aes256-16.
func ByName(name string) (Profile, error) {
	for _, v := range Variants() {
		if v.Name() == name {
			p := Profile{Access: PACEOnly, PACE: []Variant{v}, CAN: "123456"}
			if v.Mapping != CAM {
				p.CA = ChipAuth{Parameter: v.Parameter, Cipher: v.Cipher}
			}
			return p, nil
		}
	}
	p := icao()
	switch name {
	case "pace":
		return Profile{Access: PACE}, nil
	case "bac":
		return Profile{Access: BAC}, nil
	case "open":
		return Profile{}, nil
	case "pace-only":
		return Profile{Access: PACEOnly}, nil
	case "can":
		return Profile{Access: PACEOnly, CAN: "123456"}, nil
	case "cam":
		return Profile{Access: PACE, PACE: []Variant{{CAM, kdf.AES128, 12}, {GM, kdf.AES128, 12}}}, nil
	case "icao-ext":
		p.Buffer = 65535
	case "slow-chip":
		p.Buffer, p.Crypto, p.FWT = 65535, 1600*time.Millisecond, 300*time.Millisecond
	case "iso39794":
		p.Buffer, p.Face39794 = 65535, true
	case "icao-2048":
		p.Buffer = 2048
	case "icao-short":
		p.Short = true
	case "ca-dh":
		return Profile{Access: BAC, NoAA: true, CA: ChipAuth{Parameter: 2, Cipher: kdf.TDES, KATOnly: true}}, nil
	case "aa-rsa":
		return Profile{Access: BAC, AA: ActiveAuth{Bits: 2048, Hash: crypto.SHA1}}, nil
	case "plain":
		return Profile{Access: BAC, NoAA: true}, nil
	case "full":
		p.Groups = sampleGroups()
		p.CAN = "123456"
	default:
		return p, fmt.Errorf("passport: no profile is called %q", name)
	}
	return p, nil
}

// Names are the catalogue's.
func Names() string {
	var list []string
	for _, n := range Catalogue {
		list = append(list, n.Name)
	}
	return strings.Join(list, ", ")
}

// fill sets what a profile leaves open.
func (p *Profile) fill() error {
	zone, err := mrz.Make(p.MRZ)
	if err != nil {
		return fmt.Errorf("passport: %w", err)
	}
	p.MRZ = zone
	if len(p.PACE) == 0 && p.Access >= PACE {
		p.PACE = []Variant{{GM, kdf.AES128, 13}}
	}
	for _, v := range p.PACE {
		if !v.Valid() {
			return fmt.Errorf("passport: %s is no way of PACE", v.Name())
		}
	}
	if p.AA.Parameter == 0 {
		p.AA.Parameter = 12
	}
	if p.AA.Hash == 0 {
		p.AA.Hash = crypto.SHA256
	}
	for name := range p.Faults {
		if !slices.ContainsFunc(Faults, func(f Fault) bool { return f.Name == name }) {
			return fmt.Errorf("passport: no fault is called %q; hwsim passport --list names them", name)
		}
	}
	return nil
}

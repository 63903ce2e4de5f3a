package ca

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/sm"
)

const shared = "../../../../shared/data/emrtd"

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// fixed yields one private key; Generate reduces modulo order-1 and adds one.
type fixed []byte

func (f fixed) Read(b []byte) (int, error) {
	n := new(big.Int).SetBytes(f)
	n.Sub(n, big.NewInt(1)).FillBytes(b)
	return len(b), nil
}

func dg14(t *testing.T, b []byte) [][]byte {
	t.Helper()
	infos, err := lds.ParseSecurity(lds.Group(14), b)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// Two recorded exchanges: secure messaging before, the agreement, and the first
// command under the new keys, byte for byte.
func TestRecordings(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(shared, "vectors.json"))
	if err != nil {
		t.Skipf("the shared vectors are not there: %v", err)
	}
	var file struct {
		Vectors []struct {
			ID    string
			Input json.RawMessage
			Want  struct {
				Secret string `json:"shared_secret"`
				KSEnc  string
				KSMAC  string
				Plain  []struct{ CmdData, RspData string }
			} `json:"expected"`
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, v := range file.Vectors {
		if !strings.HasPrefix(v.ID, "CA-") {
			continue
		}
		seen++
		var in struct {
			DG14     string
			Enc      string      `json:"initial_KSEnc"`
			MAC      string      `json:"initial_KSMAC"`
			SSC      string      `json:"initial_SSC"`
			Private  string      `json:"terminal_private"`
			Public   string      `json:"terminal_public"`
			Commands [][2]string `json:"apdus"`
		}
		if err := json.Unmarshal(v.Input, &in); err != nil {
			t.Fatal(err)
		}
		t.Run(v.ID, func(t *testing.T) {
			list, refused := Variants(dg14(t, unhex(in.DG14)))
			if len(list) != 1 || len(refused) > 0 {
				t.Fatalf("%v, %v", list, refused)
			}
			x := list[0]
			if want := strings.Contains(v.ID, "-MY"); x.Note != "" || (x.Cipher == kdf.TDES) != want {
				t.Errorf("%v, note %q", x, x.Note)
			}
			run, err := x.Start(fixed(unhex(in.Private)))
			if err != nil || !bytes.Equal(run.Public, append([]byte{4}, unhex(in.Public)...)) || !bytes.Equal(run.Secret, unhex(v.Want.Secret)) {
				t.Fatalf("public %X, secret %X, %v", run.Public, run.Secret, err)
			}
			if enc, mac := kdf.Derive(x.Cipher, run.Secret, kdf.Encryption), kdf.Derive(x.Cipher, run.Secret, kdf.MAC); !bytes.Equal(enc, unhex(v.Want.KSEnc)) || !bytes.Equal(mac, unhex(v.Want.KSMAC)) {
				t.Errorf("keys %X, %X", enc, mac)
			}
			oid, err := asn1.Marshal(x.OID)
			if err != nil {
				t.Fatal(err)
			}
			s, err := sm.Resume(x.Cipher, unhex(in.Enc), unhex(in.MAC), unhex(in.SSC))
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, s, in.Commands[0], apdu.Command{INS: 0x22, P1: 0x41, P2: 0xA4, Data: lds.Make(0x80, oid[2:])}, nil)
			exchange(t, s, in.Commands[1], apdu.Command{INS: 0x86, Data: lds.Make(0x7C, lds.Make(0x80, run.Public)), Ne: 256}, []byte{0x7C, 0})
			if s, err = sm.New(x.Cipher, run.Secret, make([]byte, x.Cipher.BlockLen())); err != nil {
				t.Fatal(err)
			}
			exchange(t, s, in.Commands[2], apdu.Command{INS: 0xA4, P1: 2, P2: 0x0C, Data: []byte{1, 0x0E}}, nil)
		})
	}
	if seen != 2 {
		t.Errorf("%d recordings", seen)
	}
}

func exchange(t *testing.T, s *sm.Session, recorded [2]string, c apdu.Command, want []byte) {
	t.Helper()
	w, err := s.Wrap(c)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := w.Bytes(); err != nil || !bytes.Equal(b, unhex(recorded[0])) {
		t.Fatalf("command %X, %v, want %s", b, err, recorded[0])
	}
	r, err := apdu.ParseResponse(unhex(recorded[1]))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = s.Unwrap(r); err != nil || r.SW != apdu.OK || !bytes.Equal(r.Data, want) {
		t.Fatalf("answer %X %v, %v", r.Data, r.SW, err)
	}
}

// DG14 as states write it.
func TestFiles(t *testing.T) {
	for name, want := range map[string]string{
		"AT_DG14.bin": "CA-ECDH-AES-128/brainpoolP256r1", "MY_DG14.bin": "CA-ECDH-3DES/brainpoolP256r1",
		"FR_DG14.bin": "CA-ECDH-3DES/secp256r1", "doc9303_example_DG14.bin": "CA-DH-3DES",
	} {
		b, err := os.ReadFile(filepath.Join(shared, "dg14", name))
		if err != nil {
			t.Skipf("the shared files are not there: %v", err)
		}
		list, refused := Variants(dg14(t, b))
		if len(list) != 1 || len(refused) > 0 || list[0].String() != want {
			t.Errorf("%s: %v, %v, want %s", name, list, refused, want)
			continue
		}
		if odd := name == "FR_DG14.bin"; (list[0].Note != "") != odd {
			t.Errorf("%s: note %q", name, list[0].Note)
		}
		if run, err := list[0].Start(rand.Reader); err != nil || len(run.Secret) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func info(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVariants(t *testing.T) {
	c, _ := curve.ByID(12)
	type spki struct {
		Algorithm struct {
			OID asn1.ObjectIdentifier
			ID  int
		}
		Key asn1.BitString
	}
	standard := func(id int, key []byte) spki {
		var s spki
		s.Algorithm.OID, s.Algorithm.ID = oidStandard, id
		s.Key = asn1.BitString{Bytes: key, BitLength: 8 * len(key)}
		return s
	}
	key := func(id int, key []byte, ref int) []byte {
		return info(t, struct {
			OID asn1.ObjectIdentifier
			Key spki
			ID  int
		}{asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 1, 2}, standard(id, key), ref})
	}
	protocol := func(kind, cipher, ref int) []byte {
		return info(t, struct {
			OID         asn1.ObjectIdentifier
			Version, ID int
		}{asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 3, kind, cipher}, 1, ref})
	}
	off := c.Encode(c.G)
	off[64] ^= 1
	for _, x := range []struct {
		name  string
		infos [][]byte
		want  string
	}{
		{"by reference, strongest first", [][]byte{key(12, c.Encode(c.G), 1), key(12, c.Encode(c.G), 2), protocol(2, 2, 1), protocol(2, 4, 2)}, "CA-ECDH-AES-256/secp256r1 2, CA-ECDH-AES-128/secp256r1 1"},
		{"no protocol", [][]byte{key(12, c.Encode(c.G), 0)}, "CA-ECDH-3DES/secp256r1 0!"},
		{"the protocol is of Diffie-Hellman, the key of a curve", [][]byte{key(12, c.Encode(c.G), 7), protocol(1, 3, 7)}, "CA-ECDH-AES-192/secp256r1 7!"},
		{"a cipher that does not exist", [][]byte{key(12, c.Encode(c.G), 7), protocol(2, 9, 7)}, "CA-ECDH-3DES/secp256r1 7!"},
		{"off the curve", [][]byte{key(12, off, 1)}, ""},
		{"infinity", [][]byte{key(12, []byte{0}, 1)}, ""},
		{"of no known parameters", [][]byte{key(31, c.Encode(c.G), 1)}, ""},
		{"one, in a group", [][]byte{key(1, []byte{2, 1, 1}, 1)}, ""},
		{"not a number", [][]byte{key(1, []byte{4, 1, 1}, 1)}, ""},
		{"nothing", nil, ""},
	} {
		list, refused := Variants(x.infos)
		var got []string
		for _, v := range list {
			s := v.String() + " " + new(big.Int).SetBytes(v.ID).String()
			if v.Note != "" {
				s += "!"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != x.want {
			t.Errorf("%s: %s, want %s", x.name, s, x.want)
		}
		if x.want == "" && len(x.infos) > 0 && len(refused) != 1 {
			t.Errorf("%s: %v", x.name, refused)
		}
	}
}

// FuzzVariants: whatever DG14 says, a variant that is offered can be started,
// and its key is one of its group.
func FuzzVariants(f *testing.F) {
	c, _ := curve.ByID(13)
	spki := lds.Make(0x30, lds.Make(0x30, unhex("060A04007F00070101020500")), lds.Make(3, []byte{0}, c.Encode(c.G)))
	f.Add(lds.Make(0x30, unhex("060904007F000702020102"), spki))
	f.Add(lds.Make(0x30, unhex("060A04007F00070202030202020101")))
	if b, err := os.ReadFile(filepath.Join(shared, "dg14", "doc9303_example_DG14.bin")); err == nil {
		f.Add(b[8:448])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := Variants([][]byte{b, lds.Make(0x30, unhex("060A04007F00070202030204020101"))})
		for _, v := range list {
			if v.Curve == nil && v.Group.P.BitLen() > 2048 {
				continue // slow, and nothing else
			}
			if v.Curve != nil && !v.Curve.On(v.Point) {
				t.Fatalf("%v: a key that is not on the curve", v)
			}
			if run, err := v.Start(rand.Reader); err == nil && len(run.Secret) < 20 {
				t.Fatalf("%v: a secret of %d bytes", v, len(run.Secret))
			}
		}
	})
}

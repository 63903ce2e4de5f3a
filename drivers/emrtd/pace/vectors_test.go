package pace

import (
	"bytes"
	"encoding/asn1"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/dh"
	"passage/drivers/emrtd/kdf"
)

const vectorFile = "../../../../shared/data/emrtd/vectors.json"

// vector is one row of the shared vectors: the standard's appendices and
// recorded exchanges.
type vector struct {
	ID    string
	Input map[string]any
	Want  map[string]any `json:"expected"`
}

func (v vector) in(name string) []byte   { s, _ := v.Input[name].(string); return unhex(s) }
func (v vector) want(name string) []byte { s, _ := v.Want[name].(string); return unhex(s) }

// info is the vector's PACEInfo; its parameters are told by name or by p.
func (v vector) info(t *testing.T) Info {
	t.Helper()
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(append([]byte{6, 10}, v.in("oid")...), &oid); err != nil {
		t.Fatal(err)
	}
	id := 13
	if p, ok := v.Input["p"]; ok {
		for k := range 3 {
			if g, _ := dh.ByID(k); strings.EqualFold(g.P.Text(16), p.(string)) {
				id = k
			}
		}
	}
	raw, err := asn1.Marshal(struct {
		OID                asn1.ObjectIdentifier
		Version, Parameter int
	}{oid, 2, id})
	if err != nil {
		t.Fatal(err)
	}
	list := Parse([][]byte{raw})
	if len(list) != 1 || !list[0].Supported() {
		t.Fatalf("PACEInfo %v", list)
	}
	return list[0]
}

// fixed yields the private keys of a vector: Generate reduces what it reads
// modulo order-1 and adds one.
type fixed []byte

func (f *fixed) Read(b []byte) (int, error) {
	clear(b)
	copy(b[len(b)-len(*f):], *f)
	return len(b), nil
}

func private(b []byte) *fixed {
	n := bigInt(b)
	f := fixed(n.Sub(n, bigInt([]byte{1})).Bytes())
	return &f
}

// Doc 9303-11 App G.1, G.2, H.1, H.2, I.1 and a recorded exchange with 3DES.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Skipf("the shared vectors are not there: %v", err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, v := range file.Vectors {
		if !strings.HasPrefix(v.ID, "PACE-") {
			continue
		}
		seen++
		t.Run(v.ID, func(t *testing.T) { v.run(t) })
	}
	if seen != 6 {
		t.Errorf("%d vectors of PACE", seen)
	}
}

func (v vector) run(t *testing.T) {
	i := v.info(t)
	key := v.want("Kpi")
	if len(key) == 0 {
		key = v.in("Kpi")
	}
	if m, ok := v.Input["mrz_information"].(string); ok {
		if got := kdf.Derive(i.Cipher, PasswordMRZ(m), kdf.Password); !bytes.Equal(got, key) {
			t.Errorf("Kπ %X", got)
		}
	}
	r, err := start(i, key, v.in("encrypted_nonce_z"), nil)
	if err != nil || !bytes.Equal(r.nonce, v.in("nonce_s")) {
		t.Fatalf("nonce %X, %v", r.nonce, err)
	}
	same := func(what string, got, want []byte) {
		t.Helper()
		if i.ECDH && len(want) == 2*r.group.(*points).curve.Len() {
			want = append([]byte{4}, want...)
		}
		if len(want) > 0 && !bytes.Equal(got, want) {
			t.Errorf("%s %X, want %X", what, got, want)
		}
	}
	wire := func(b []byte) []byte {
		if i.ECDH {
			return append([]byte{4}, b...)
		}
		return b
	}
	if i.Mapping == IM {
		nonce := fixed(v.in("nonce_t"))
		r.random = &nonce
		if _, err := r.Map(); err != nil {
			t.Fatal(err)
		}
		got, err := pseudorandom(i.Cipher, r.nonce, r.own, r.group.size())
		if err != nil {
			t.Fatal(err)
		}
		same("R", got, v.want("R"))
		if err := r.MapWith(nil); err != nil {
			t.Fatal(err)
		}
	} else {
		r.random = private(v.in("terminal_map_private"))
		public, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		same("mapping key", public, v.want("terminal_map_public"))
		if err := r.MapWith(wire(v.want("chip_map_public"))); err != nil {
			t.Fatal(err)
		}
	}
	switch g := r.group.(type) {
	case *points:
		same("generator", g.curve.Encode(g.base), v.want("mapped_generator"))
	case *numbers:
		same("generator", g.group.Encode(g.base), v.want("mapped_generator"))
	}
	r.random = private(v.in("terminal_ka_private"))
	if g, ok := r.group.(*numbers); ok {
		// Some printed keys are longer than the order: set it as it is.
		x := bigInt(v.in("terminal_ka_private"))
		r.key = g.group.Encode(g.group.Shared(dh.Key{X: x}, g.base))
		g.key = dh.Key{X: x, Public: bigInt(r.key)}
	} else if _, err = r.Agree(); err != nil {
		t.Fatal(err)
	}
	same("public key", r.key, v.want("terminal_ka_public"))
	if err := r.AgreeWith(wire(v.want("chip_ka_public"))); err != nil {
		t.Fatal(err)
	}
	same("secret", r.secret, v.want("shared_secret"))
	same("KSEnc", kdf.Derive(i.Cipher, r.secret, kdf.Encryption), v.want("KSEnc"))
	same("KSMAC", kdf.Derive(i.Cipher, r.secret, kdf.MAC), v.want("KSMAC"))
	own, err := r.OwnToken()
	if err != nil {
		t.Fatal(err)
	}
	same("own token", own, v.want("T_IFD"))
	if _, err := r.Finish(v.want("T_IC")); err != nil {
		t.Error(err)
	}
	if _, err := r.Finish(v.want("T_IFD")); err == nil {
		t.Error("our own token is accepted")
	}
	if i.Mapping == CAM {
		v.genuine(t, r)
	}
}

func (v vector) genuine(t *testing.T, r *Run) {
	c, _ := curve.ByID(13)
	static, err := c.Decode(append([]byte{4}, v.in("chip_auth_public_key")...))
	if err != nil {
		t.Fatal(err)
	}
	data := v.in("encrypted_ca_data")
	if err := r.Genuine(data, static); err != nil {
		t.Error(err)
	}
	if err := r.Genuine(data, c.G); err == nil {
		t.Error("another static key is accepted")
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if err := r.Genuine(bad, static); err == nil {
			t.Errorf("byte %d changed, and accepted", i)
		}
	}
	if err := r.Genuine(nil, static); err == nil {
		t.Error("no data is accepted")
	}
}

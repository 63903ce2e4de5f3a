package ta

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/lds"
)

const shared = "../../../../shared/data/emrtd"

// Certificates as states issue them, with what an independent tool says.
func TestCertificates(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(shared, "CVC_EXPECTED.tsv"))
	if err != nil {
		t.Skipf("the shared files are not there: %v", err)
	}
	type row struct {
		*Certificate
		columns []string
	}
	holders := map[string][]*Certificate{}
	var list []row
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		f := strings.Split(line, "\t")
		b, err := os.ReadFile(filepath.Join(shared, f[0]))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", f[0], err)
			continue
		}
		holders[c.Holder] = append(holders[c.Holder], c)
		list = append(list, row{c, f})
	}
	if len(list) < 63 {
		t.Errorf("%d certificates", len(list))
	}
	unknown := 0
	for _, c := range list {
		f := c.columns
		if f[9] != "" {
			oid, err := asn1.Marshal(c.Type)
			if err != nil {
				t.Fatal(err)
			}
			rights := bytes.Clone(c.Rights)
			rights[0] |= byte(c.Role) << 6
			chat := hex.EncodeToString(append(oid, lds.Make(0x53, rights)...))
			if chat != f[9] || c.Effective.Format("20060102") != f[4] || c.Expires.Format("20060102") != f[5] {
				t.Errorf("%s: %s from %s to %s", f[0], chat, c.Effective, c.Expires)
			}
		}
		if c.Authority != f[1] || c.Holder != f[2] || c.algorithm.oid.String() != f[3] || c.SelfSigned() != (f[6] == "yes") {
			t.Errorf("%s: %s by %s, %v", f[0], c.Holder, c.Authority, c.algorithm.oid)
		}
		// Several authorities of one name may have one key each.
		valid := "no"
		for _, authority := range holders[c.Authority] {
			from := above(holders, authority, 0)
			if c.Verify(authority, from) == nil {
				valid = "yes"
				break
			}
			if authority.rsa == nil && from == nil {
				valid = ""
			}
		}
		if len(holders[c.Authority]) == 0 {
			valid = ""
		}
		if valid == "" && f[8] != "" {
			unknown++ // its authority's certificate, or the one above, is not among them
		} else if valid != f[8] && f[7] == "yes" {
			t.Errorf("%s: signature %q, want %q", f[0], valid, f[8])
		}
	}
	if unknown > 3 {
		t.Errorf("%d signatures cannot be judged", unknown)
	}
}

// above is the curve that a certificate without domain parameters inherits.
func above(holders map[string][]*Certificate, c *Certificate, depth int) *curve.Curve {
	if c.curve != nil || c.rsa != nil || depth > maxPath {
		return c.curve
	}
	for _, a := range holders[c.Authority] {
		if k := above(holders, a, depth+1); k != nil {
			return k
		}
	}
	return nil
}

// signer makes certificates for tests.
type signer struct {
	name string
	role Role
	k    curve.Key
	c    *curve.Curve
	rsa  *rsa.PrivateKey
	oid  asn1.ObjectIdentifier
}

func newSigner(t testing.TB, name string, role Role, n ...int) *signer {
	t.Helper()
	s := &signer{name: name, role: role, oid: append(append(asn1.ObjectIdentifier(nil), idTA...), n...)}
	var err error
	if n[0] == 1 {
		s.rsa, err = rsa.GenerateKey(rand.Reader, 1280)
	} else {
		s.c, _ = curve.ByID(13)
		s.k, err = s.c.Generate(rand.Reader, s.c.G)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var day = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func digits(d time.Time) []byte {
	b := []byte(d.Format("060102"))
	for i := range b {
		b[i] -= '0'
	}
	return b
}

// issue makes a certificate that is valid for some days around day.
func (s *signer) issue(t testing.TB, holder *signer, rights byte, from, to int) *Certificate {
	t.Helper()
	oid, _ := asn1.Marshal(holder.oid)
	var key []byte
	switch {
	case holder.rsa != nil:
		key = lds.Make(0x7F49, oid, lds.Make(0x81, holder.rsa.N.Bytes()), lds.Make(0x82, []byte{1, 0, 1}))
	case holder.role == CVCA:
		c := holder.c
		key = lds.Make(0x7F49, oid, lds.Make(0x81, c.P.Bytes()), lds.Make(0x82, c.A.Bytes()), lds.Make(0x83, c.B.Bytes()), lds.Make(0x84, c.Encode(c.G)),
			lds.Make(0x85, c.N.Bytes()), lds.Make(0x86, c.Encode(holder.k.Public)), lds.Make(0x87, []byte{1}))
	default:
		key = lds.Make(0x7F49, oid, lds.Make(0x86, holder.c.Encode(holder.k.Public)))
	}
	is, _ := asn1.Marshal(asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 3, 1, 2, 1})
	body := lds.Make(0x7F4E, lds.Make(0x5F29, []byte{0}), lds.Make(0x42, []byte(s.name)), key, lds.Make(0x5F20, []byte(holder.name)),
		lds.Make(0x7F4C, is, lds.Make(0x53, []byte{byte(holder.role)<<6 | rights})),
		lds.Make(0x5F25, digits(day.AddDate(0, 0, from))), lds.Make(0x5F24, digits(day.AddDate(0, 0, to))))
	c, err := Parse(lds.Make(0x7F21, body, lds.Make(0x5F37, s.sign(t, body))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *signer) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	a, ok := algorithmOf(s.oid)
	if !ok {
		t.Fatal(s.oid)
	}
	h := a.hash.New()
	h.Write(message)
	if s.rsa != nil {
		var how crypto.SignerOpts = a.hash
		if a.pss {
			how = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash}
		}
		b, err := s.rsa.Sign(rand.Reader, h.Sum(nil), how)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r, v, err := s.c.Sign(rand.Reader, s.k.D, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
}

func TestPath(t *testing.T) {
	old, root := newSigner(t, "UTCVCA00001", CVCA, 2, 3), newSigner(t, "UTCVCA00002", CVCA, 2, 3)
	dv, is := newSigner(t, "UTDV00001", DomesticDV, 2, 3), newSigner(t, "UTIS00001", InspectionSystem, 2, 3)
	self, link := root.issue(t, root, 3, -100, 100), old.issue(t, root, 3, -100, -10)
	good := []*Certificate{self, link, root.issue(t, dv, 3, -5, 5), dv.issue(t, is, 1, -1, 1)}
	for _, c := range []struct {
		name   string
		list   []*Certificate
		point  string
		now    time.Time
		length int
		rights byte
	}{
		{"at the newest trust point", good, "UTCVCA00002", day, 2, ReadFingers},
		{"by an expired link", good, "UTCVCA00001", day, 3, ReadFingers},
		{"on the last day", good, "UTCVCA00002", day.Add(47 * time.Hour), 2, ReadFingers},
		{"a day later", good, "UTCVCA00002", day.Add(48 * time.Hour), 0, 0},
		{"of another state", good, "FRCVCA00001", day, 0, 0},
		{"without the document verifier", []*Certificate{self, link, good[3]}, "UTCVCA00002", day, 0, 0},
		{"without the link", append([]*Certificate{self}, good[2:]...), "UTCVCA00001", day, 0, 0},
		{"a terminal that signs for terminals", []*Certificate{self, root.issue(t, is, 3, -1, 1), is.issue(t, is, 3, -1, 1)}, "UTCVCA00002", day, 1, 3},
		{"a forged document verifier", []*Certificate{self, old.issue(t, newSigner(t, "UTDV00001", DomesticDV, 2, 3), 3, -1, 1), good[3]}, "UTCVCA00001", day, 0, 0},
		{"fewer rights above", []*Certificate{self, root.issue(t, dv, ReadIris, -5, 5), dv.issue(t, is, 3, -1, 1)}, "UTCVCA00002", day, 2, ReadIris},
		{"nothing", nil, "UTCVCA00002", day, 0, 0},
	} {
		term := Terminal{Certificates: c.list}
		p, err := term.Path(c.point, c.now)
		if c.length == 0 {
			if !errors.Is(err, ErrPath) {
				t.Errorf("%s: %d certificates, %v", c.name, len(p.List), err)
			}
			continue
		}
		if err != nil || len(p.List) != c.length || !bytes.Equal(p.Rights, []byte{c.rights}) {
			t.Errorf("%s: %d certificates, rights %X, %v", c.name, len(p.List), p.Rights, err)
		}
	}
}

// Every algorithm signs and verifies, and no changed certificate is believed.
func TestAlgorithms(t *testing.T) {
	for _, a := range algorithms {
		root := newSigner(t, "UTCVCA00001", CVCA, a.kind, a.n)
		c := root.issue(t, root, 3, -1, 1)
		if err := c.Verify(c, nil); err != nil {
			t.Errorf("%v: %v", c.algorithm.oid, err)
		}
		bad := bytes.Clone(c.Raw)
		bad[len(bad)-1] ^= 1
		if x, err := Parse(bad); err == nil && x.Verify(c, nil) == nil {
			t.Errorf("%v: a changed signature", c.algorithm.oid)
		}
		var pkcs8 []byte
		if root.rsa != nil {
			var err error
			if pkcs8, err = x509.MarshalPKCS8PrivateKey(root.rsa); err != nil {
				t.Fatal(err)
			}
		} else {
			inner := lds.Make(0x30, []byte{2, 1, 1}, lds.Make(0x04, root.k.D.FillBytes(make([]byte, 32))))
			pkcs8 = lds.Make(0x30, []byte{2, 1, 0, 0x30, 0}, lds.Make(0x04, inner))
		}
		sign, err := Key(c, nil, pkcs8)
		if err != nil {
			t.Errorf("%v: %v", c.algorithm.oid, err)
			continue
		}
		message := Proof([]byte("chip"), []byte("8 random"), []byte("key"))
		signature, err := sign(rand.Reader, message)
		if err != nil || c.verify(nil, message, signature) != nil {
			t.Errorf("%v: own signature, %v", c.algorithm.oid, err)
		}
		other := newSigner(t, "UTCVCA00001", CVCA, a.kind, a.n)
		if _, err := Key(other.issue(t, other, 3, -1, 1), nil, pkcs8); err == nil {
			t.Errorf("%v: another certificate's private key", c.algorithm.oid)
		}
	}
}

func TestMalformed(t *testing.T) {
	root := newSigner(t, "UTCVCA00001", CVCA, 2, 3)
	good := root.issue(t, root, 3, -1, 1).Raw
	for i := range good {
		if _, err := Parse(good[:i]); !errors.Is(err, ErrCertificate) {
			t.Fatalf("%d bytes of %d: %v", i, len(good), err)
		}
	}
	for name, edit := range map[string][2][]byte{
		"month 13":              {lds.Make(0x5F24, digits(day.AddDate(0, 0, 1))), lds.Make(0x5F24, []byte{2, 6, 1, 3, 0, 1})},
		"letters in a date":     {lds.Make(0x5F24, digits(day.AddDate(0, 0, 1))), lds.Make(0x5F24, []byte("261125"))},
		"two holders":           {lds.Make(0x5F24, digits(day.AddDate(0, 0, 1))), lds.Make(0x5F20, []byte("UTC1"), []byte{0, 0})},
		"another profile":       {lds.Make(0x5F29, []byte{0}), lds.Make(0x5F29, []byte{1})},
		"a forged generator":    {root.c.Encode(root.c.G), root.c.Encode(root.k.Public)},
		"an unknown curve":      {root.c.B.Bytes(), append([]byte{1}, root.c.B.Bytes()[1:]...)},
		"control characters":    {[]byte("UTCVCA"), []byte("UT\x00VCA")},
		"an unknown algorithm":  {[]byte{2, 2, 2, 2, 3}, []byte{2, 2, 2, 2, 9}},
		"another top-level tag": {[]byte{0x7F, 0x21}, []byte{0x7F, 0x20}},
	} {
		bad := bytes.Replace(good, edit[0], edit[1], 1)
		if bytes.Equal(bad, good) {
			t.Errorf("%s: nothing changed", name)
		}
		if _, err := Parse(bad); !errors.Is(err, ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse: a certificate that is read is the bytes that were given, names its
// parts in bounds, has an end if it allows anything, and verifying it does no harm. To see the target at work,
// drop the length check in date: the first seconds find the panic.
func FuzzParse(f *testing.F) {
	root := newSigner(f, "UTCVCA00001", CVCA, 2, 3)
	f.Add(root.issue(f, root, 3, -1, 1).Raw)
	f.Add(root.issue(f, newSigner(f, "UTDV00001", DomesticDV, 1, 4), 3, -1, 1).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, b) || len(c.Holder) > 16 || len(c.Authority) > 16 || (len(c.Rights) == 0) != c.Expires.IsZero() || c.Role > CVCA {
			t.Errorf("%+v", c)
		}
		_ = c.Verify(c, nil)
	})
}

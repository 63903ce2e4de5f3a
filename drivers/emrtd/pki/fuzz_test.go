package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/drivers/emrtd/lds"
)

// Each target below asks for more than not to panic. Each found, within
// seconds, an error that was planted for the purpose: header comparing a length
// with all of b instead of what follows the header (FuzzDER, FuzzSOD, FuzzCRL,
// FuzzMasterList); an octet string joined from its parts' headers too (FuzzDER);
// Decode not asking whether a point lies on its curve (FuzzCertificate); rows
// joining numbers of another length (FuzzDeviationList); flush handing on a
// value twice (FuzzLDIF); checkAttrs not comparing the digest (FuzzCMS).

// made are objects of every kind, made for a run.
type made struct {
	certs     [][]byte
	crl       []byte
	sod       []byte
	master    []byte
	deviation []byte
	defect    []byte
}

func make1(f testing.TB) made {
	f.Helper()
	check := func(err error) {
		if err != nil {
			f.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	second, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"UT"}, CommonName: "CSCA"}, NotBefore: day, NotAfter: day.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3},
	}
	var m made
	b, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	check(err)
	m.certs = append(m.certs, b)
	issuer, err := x509.ParseCertificate(b)
	check(err)
	ds := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{Country: []string{"UT"}, CommonName: "DS"}, NotBefore: day, NotAfter: day.AddDate(9, 0, 0)}
	b, err = x509.CreateCertificate(rand.Reader, ds, issuer, second.Public(), key)
	check(err)
	m.certs = append(m.certs, b)
	m.crl, err = x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: day, NextUpdate: day.AddDate(0, 3, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: day, ReasonCode: 6}},
	}, issuer, key)
	check(err)
	oid := func(o asn1.ObjectIdentifier) []byte {
		b, err := asn1.Marshal(o)
		check(err)
		return b
	}
	sha := encode(0x30, oid(hashOIDs[2].oid))
	sign := func(kind asn1.ObjectIdentifier, content []byte) []byte {
		digest := sha256.Sum256(content)
		attrs := slices.Concat(encode(0x30, slices.Concat(oid(oidContentType), encode(0x31, oid(kind)))), encode(0x30, slices.Concat(oid(oidMessageDigest), encode(0x31, encode(0x04, digest[:])))))
		h := sha256.Sum256(encode(0x31, attrs))
		signature, err := ecdsa.SignASN1(rand.Reader, key, h[:])
		check(err)
		info := encode(0x30, slices.Concat([]byte{2, 1, 1}, encode(0x30, slices.Concat(issuer.RawIssuer, []byte{2, 1, 1})), sha, encode(0xA0, attrs), encode(0x30, oid(signatureOIDs[7].oid)), encode(0x04, signature)))
		data := encode(0x30, slices.Concat([]byte{2, 1, 3}, encode(0x31, sha), encode(0x30, slices.Concat(oid(kind), encode(0xA0, encode(0x04, content)))), encode(0xA0, issuer.Raw), encode(0x31, info)))
		return encode(0x30, slices.Concat(oid(oidSignedData), encode(0xA0, data)))
	}
	hash := encode(0x30, slices.Concat([]byte{2, 1, 1}, encode(0x04, make([]byte, 32))))
	m.sod = lds.Make(0x77, sign(oidLDSSecurity, encode(0x30, slices.Concat([]byte{2, 1, 0}, sha, encode(0x30, hash)))))
	m.master = sign(oidMasterList, encode(0x30, slices.Concat([]byte{2, 1, 0}, encode(0x31, m.certs[0]))))
	numbers := encode(0xA5, slices.Concat(encode(0x13, []byte("C01X00T47")), encode(0x13, []byte("C01X00T48")), encode(0x13, []byte("AB099")), encode(0x13, []byte("AB100"))))
	m.deviation = sign(oidDeviationList, encode(0x30, slices.Concat([]byte{2, 1, 0}, encode(0x31, encode(0x30, slices.Concat(encode(0x30, numbers), encode(0x31, encode(0x30, oid(deviation(2, 3))))))))))
	m.defect = sign(oidDefectList, encode(0x30, slices.Concat([]byte{2, 1, 0}, sha, encode(0x31, encode(0x30, slices.Concat(encode(0x80, []byte{1, 2, 3}), encode(0x31, encode(0x30, slices.Concat(oid(defect(1, 1)), []byte{0x0A, 1, 3})))))))))
	if o, err := ParseSOD(m.sod); err != nil {
		f.Fatal(err)
	} else if _, err := o.Signed.Verify(nil); err != nil {
		f.Fatal(err)
	}
	return m
}

// DER of DER is the same, is definite throughout, and holds what it was made
// from.
func FuzzDER(f *testing.F) {
	m := make1(f)
	f.Add([]byte{0x30, 0x80, 0x24, 0x80, 0x04, 1, 'a', 0x04, 2, 'b', 'c', 0, 0, 0x02, 1, 5, 0, 0})
	f.Add(m.crl)
	f.Fuzz(func(t *testing.T, b []byte) {
		out, rest, err := der(b, maxElements)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b, rest) || len(rest) >= len(b) {
			t.Fatalf("the rest is % X", rest)
		}
		used := len(b) - len(rest)
		if indefinite := b[1] == 0x80; !indefinite && b[0]&0x20 == 0 && !bytes.Equal(out, b[:used]) {
			t.Errorf("a primitive was changed")
		}
		again, rest, err := der(out, maxElements)
		if err != nil || len(rest) > 0 || !bytes.Equal(again, out) {
			t.Errorf("% X becomes % X, then % X: %v", b, out, again, err)
		}
		if e, err := only(out); err != nil || e.tag == 0x24 {
			t.Errorf("% X: %v", out, err)
		}
		if p, q := payload(b[:used], nil), payload(out, nil); !bytes.Equal(p, q) {
			t.Errorf("% X became % X", p, q)
		}
	})
}

// payload are the contents of all primitive elements, in order.
func payload(b, into []byte) []byte {
	for len(b) > 0 {
		if len(b) > 1 && b[0] == 0 && b[1] == 0 { // the end of an indefinite one
			b = b[2:]
			continue
		}
		length, n, err := header(b)
		switch {
		case err != nil:
			return append(into, b...)
		case length < 0:
			b = b[n:]
			continue
		case b[0]&0x20 != 0:
			into = payload(b[n:n+length], into)
		default:
			into = append(into, b[n:n+length]...)
		}
		b = b[n+length:]
	}
	return into
}

// A key lies on its curve and within the limits, and a certificate is all of
// the input.
func FuzzCertificate(f *testing.F) {
	for _, c := range make1(f).certs {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, b) || len(b) > maxCert {
			t.Errorf("%d octets of %d", len(c.Raw), len(b))
		}
		switch k := c.Key; {
		case k.RSA != nil && (k.RSA.N.BitLen() > maxRSA || k.RSA.N.Bit(0) == 0 || k.RSA.E < 3 || k.RSA.E&1 == 0 || k.RSA.E > 1<<32):
			t.Errorf("an RSA key of %d bits with exponent %d", k.RSA.N.BitLen(), k.RSA.E)
		case k.RSA == nil && !k.Curve.On(k.Point):
			t.Error("a key off its curve")
		}
		if !c.Issuer.Same(c.Issuer) || c.Signed(c) == nil && !c.mayBeSigned(c) {
			t.Error("it signed itself, and was not asked")
		}
		_ = c.Subject.String()
	})
}

// A security object that is accepted has hashes of groups that exist, of the
// hash's length, and few certificates.
func FuzzSOD(f *testing.F) {
	f.Add(make1(f).sod)
	f.Add([]byte{0x77, 2, 0x30, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseSOD(b)
		if o != nil {
			if _, verr := o.Signed.Verify(nil); verr == nil && o.Signed.info.attrs != nil && len(o.Signed.Content) == 0 && err == nil {
				t.Error("an empty content verifies")
			}
		}
		if err != nil {
			return
		}
		if len(o.Signed.Certs) > maxCerts || len(b) > maxObject+8 && padding(b[:8]) {
			t.Errorf("%d certificates", len(o.Signed.Certs))
		}
		for n, h := range o.Hashes {
			if n < 1 || n > 16 || len(h) != o.Hash.Size() {
				t.Errorf("DG%d has a hash of %d octets", n, len(h))
			}
		}
	})
}

// CMS from anywhere: what verifies no longer does when its content changes.
func FuzzCMS(f *testing.F) {
	m := make1(f)
	for _, b := range [][]byte{m.master, m.deviation, m.defect, m.sod[4:]} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSigned(b)
		if err != nil {
			return
		}
		if _, err := s.Verify(nil); err != nil {
			return
		}
		s.Content = append(bytes.Clone(s.Content), 0)
		if _, err := s.Verify(nil); err == nil {
			t.Error("the signature holds for another content")
		}
	})
}

func FuzzCRL(f *testing.F) {
	f.Add(make1(f).crl)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseCRL(b)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Raw, b) || l.Len() > len(b)/8 || l.ThisUpdate.IsZero() {
			t.Errorf("%d entries in %d octets, of %v", l.Len(), len(b), l.ThisUpdate)
		}
	})
}

func FuzzMasterList(f *testing.F) {
	f.Add(make1(f).master)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseMasterList(b)
		if err != nil {
			return
		}
		for _, c := range l.Certs {
			if !bytes.Contains(l.Signed.Content, c.Raw) && bytes.Contains(b, c.Raw) {
				t.Error("a certificate that is not of the list")
			}
		}
		_, _ = New(Material{Anchors: l.Certs}).AcceptList(l.Signed, PurposeMasterList)
	})
}

// The numbers that a list names are those that it matches.
func FuzzDeviationList(f *testing.F) {
	m := make1(f)
	f.Add(m.deviation, "C01X00T47")
	f.Add(m.defect, "AB100")
	f.Fuzz(func(t *testing.T, b []byte, asked string) {
		if len(asked) < 64 && asked != "" {
			near := []string{asked, asked + "0", "0" + asked, strings.TrimLeft(asked, "0"), "A" + asked}
			got := rows(near[:2])
			for _, n := range near {
				_, found := slices.BinarySearchFunc(got, number(n), numbers.compare)
				if want := slices.Contains(near[:2], n); found != want {
					t.Errorf("%q in %q: %v", n, near[:2], found)
				}
			}
		}
		l, err := ParseDeviationList(b)
		if err != nil {
			return
		}
		s := New(Material{Deviations: l.Deviations})
		for _, d := range s.Deviations(Document{Number: asked}) {
			if d.of.serial != nil || d.of.ski != nil || d.of.digest != nil {
				t.Errorf("%s was matched without a certificate", d.Code)
			}
		}
	})
}

// What is written is read, in order, once.
func FuzzLDIF(f *testing.F) {
	m := make1(f)
	f.Add("dn: c=UT\nuserCertificate;binary:: "+base64.StdEncoding.EncodeToString(m.certs[1])+"\n\n# end\n", []byte("value"), uint8(60))
	f.Fuzz(func(t *testing.T, text string, value []byte, width uint8) {
		_ = ReadLDIF(strings.NewReader(text), func(line int, b []byte) error {
			if line < 1 || line > strings.Count(text, "\n")+1 || len(b) > len(text) {
				t.Errorf("line %d of %d octets", line, len(b))
			}
			return nil
		})
		var out strings.Builder
		line := "cACertificate;binary:: " + base64.StdEncoding.EncodeToString(value)
		for w := max(int(width), 24); len(line) > w; line = " " + line[w:] {
			out.WriteString(line[:w] + "\r\n")
		}
		out.WriteString(line + "\n")
		n := 0
		err := ReadLDIF(strings.NewReader("dn: x\n"+out.String()+"\nobjectClass: top\n"), func(_ int, b []byte) error {
			n++
			if !bytes.Equal(b, value) {
				t.Errorf("% X was read as % X", value, b)
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Errorf("%d values, %v", n, err)
		}
	})
}

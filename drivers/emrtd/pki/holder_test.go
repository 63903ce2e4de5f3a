package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"
)

// holder is somebody with a key and a certificate.
type holder struct {
	key  *ecdsa.PrivateKey
	x    *x509.Certificate
	cert *Certificate
}

// holds certifies a new key; by nobody else if by is nil.
func holds(t testing.TB, by *holder, c x509.Certificate) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.NotBefore, c.NotAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	parent, with := &c, key
	if by != nil {
		parent, with = by.x, by.key
	}
	b, err := x509.CreateCertificate(rand.Reader, &c, parent, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{key: key}
	if h.x, err = x509.ParseCertificate(b); err != nil {
		t.Fatal(err)
	}
	if h.cert, err = ParseCertificate(b); err != nil {
		t.Fatal(err)
	}
	return h
}

var serials int64

func named(country, name string) x509.Certificate {
	serials++
	return x509.Certificate{SerialNumber: big.NewInt(serials), Subject: pkix.Name{Country: []string{country}, CommonName: name}}
}

// state is an authority that signed itself.
func state(t testing.TB, country string) *holder {
	c := named(country, "CSCA "+country)
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	return holds(t, nil, c)
}

// signs is one that an authority certified to sign, for purposes if given.
func (h *holder) signs(t testing.TB, purposes ...asn1.ObjectIdentifier) *holder {
	c := named(h.x.Subject.Country[0], "DS")
	c.KeyUsage, c.UnknownExtKeyUsage = x509.KeyUsageDigitalSignature, purposes
	return holds(t, h, c)
}

func encodeOID(t testing.TB, o asn1.ObjectIdentifier) []byte {
	t.Helper()
	b, err := asn1.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign makes a SignedData of content, as signWith does with the attributes that
// there have to be. with come along.
func (h *holder) sign(t testing.TB, kind asn1.ObjectIdentifier, content []byte, with ...*holder) []byte {
	return h.signWith(t, kind, content, []asn1.ObjectIdentifier{oidContentType, oidMessageDigest}, with...)
}

func (h *holder) signWith(t testing.TB, kind asn1.ObjectIdentifier, content []byte, attributes []asn1.ObjectIdentifier, with ...*holder) []byte {
	t.Helper()
	digest := sha256.Sum256(content)
	values := map[string][]byte{oidContentType.String(): encodeOID(t, kind), oidMessageDigest.String(): encode(0x04, digest[:])}
	var attrs []byte
	for _, a := range attributes {
		attrs = append(attrs, encode(0x30, slices.Concat(encodeOID(t, a), encode(0x31, values[a.String()])))...)
	}
	message := content
	if attrs != nil {
		message, attrs = encode(0x31, attrs), encode(0xA0, attrs)
	}
	hash := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, h.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	certs := h.cert.Raw
	for _, w := range with {
		certs = append(slices.Clone(certs), w.cert.Raw...)
	}
	sha := encode(0x30, encodeOID(t, hashOIDs[2].oid))
	serial, err := asn1.Marshal(h.x.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	info := encode(0x30, slices.Concat([]byte{2, 1, 1}, encode(0x30, slices.Concat(h.x.RawIssuer, serial)), sha, attrs, encode(0x30, encodeOID(t, signatureOIDs[7].oid)), encode(0x04, signature)))
	data := encode(0x30, slices.Concat([]byte{2, 1, 3}, encode(0x31, sha), encode(0x30, slices.Concat(encodeOID(t, kind), encode(0xA0, encode(0x04, content)))), encode(0xA0, certs), encode(0x31, info)))
	return encode(0x30, slices.Concat(encodeOID(t, oidSignedData), encode(0xA0, data)))
}

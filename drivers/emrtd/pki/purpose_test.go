package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"
)

func masterList(t testing.TB, by *holder, list *holder, with ...*holder) *MasterList {
	t.Helper()
	l, err := ParseMasterList(by.sign(t, oidMasterList, encode(0x30, slices.Concat([]byte{2, 1, 0}, encode(0x31, list.cert.Raw))), with...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Whoever an authority certified for one thing can do no other: least of all
// bring in authorities.
func TestOnlyListSignersSignLists(t *testing.T) {
	csca, evil := state(t, "UT"), state(t, "UT")
	store := NewStore([]*Certificate{csca.cert}, nil)
	document := csca.signs(t)
	below := named("UT", "Master list signer")
	below.UnknownExtKeyUsage = []asn1.ObjectIdentifier{PurposeMasterList}
	link := named("UT", "CSCA UT 2")
	link.IsCA, link.BasicConstraintsValid, link.KeyUsage = true, true, x509.KeyUsageCertSign
	next := holds(t, csca, link)
	for _, c := range []struct {
		name string
		list *MasterList
		good bool
	}{
		{"the authority itself", masterList(t, csca, evil), true},
		{"its master list signer", masterList(t, csca.signs(t, PurposeMasterList), evil), true},
		{"a master list signer of its next key", masterList(t, holds(t, next, below), evil, next), true},
		{"a document signer", masterList(t, document, evil), false},
		{"its deviation list signer", masterList(t, csca.signs(t, PurposeDeviationList), evil), false},
		{"a master list signer whom a document signer certified", masterList(t, holds(t, document, below), evil, document), false},
		{"an authority that nobody trusts", masterList(t, evil, evil), false},
	} {
		if _, err := store.AcceptList(c.list.Signed, PurposeMasterList); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A chain goes over authorities alone.
func TestChainOverAuthorities(t *testing.T) {
	csca := state(t, "UT")
	document := csca.signs(t)
	forged := document.signs(t)
	s := New(Material{Anchors: []*Certificate{csca.cert}, Links: []*Certificate{document.cert}})
	if path, err := s.Chain(forged.cert); err == nil {
		t.Errorf("a document signer certified another one: %d certificates", len(path))
	}
	if _, err := s.Chain(document.cert); err != nil {
		t.Error(err)
	}
	early := holds(t, csca, named("UT", "DS of the time before key usages"))
	s = New(Material{Anchors: []*Certificate{csca.cert}, Links: []*Certificate{early.cert}})
	if _, err := s.Chain(early.signs(t).cert); err == nil {
		t.Error("an early document signer certified another one")
	}
	c := named("UT", "CSCA UT")
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageDigitalSignature
	odd := holds(t, nil, c)
	if _, err := NewStore([]*Certificate{odd.cert}, nil).Chain(odd.signs(t).cert); err == nil {
		t.Error("a key that may not sign certificates signed one")
	}
}

// Seals and lists are signed with certificates of the same authority; those
// sign no passports.
func TestSignsDocuments(t *testing.T) {
	csca := state(t, "UT")
	dh := named("UT", "server")
	dh.KeyUsage = x509.KeyUsageKeyAgreement
	for _, c := range []struct {
		name string
		cert *Certificate
		good bool
	}{
		{"a document signer", csca.signs(t).cert, true},
		{"one with another vendor's purpose", csca.signs(t, asn1.ObjectIdentifier{1, 2, 840, 113533, 7, 74, 3}).cert, true},
		{"a master list signer", csca.signs(t, PurposeMasterList).cert, false},
		{"a signer of seals", csca.signs(t, asn1.ObjectIdentifier{2, 23, 136, 1, 1, 14, 2}).cert, false},
		{"an authority", csca.cert, false},
		{"a key for agreement", holds(t, csca, dh).cert, false},
	} {
		if err := c.cert.SignsDocuments(); (err == nil) != c.good || err != nil && !errors.Is(err, ErrPurpose) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

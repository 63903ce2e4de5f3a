package pki

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"
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

// What is on hold may come back: the newest list says so by silence. What was
// revoked for good does not.
func TestHoldEnds(t *testing.T) {
	csca := state(t, "UT")
	held, gone := csca.signs(t), csca.signs(t)
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	list := func(at time.Time, entries ...x509.RevocationListEntry) *CRL {
		t.Helper()
		b, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(at.Unix()), ThisUpdate: at, NextUpdate: at.AddDate(0, 3, 0), RevokedCertificateEntries: entries}, csca.x, csca.key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := ParseCRL(b)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	entry := func(h *holder, reason int) x509.RevocationListEntry {
		return x509.RevocationListEntry{SerialNumber: h.x.SerialNumber, RevocationTime: day, ReasonCode: reason}
	}
	old, newer := list(day, entry(held, 6), entry(gone, 4)), list(day.AddDate(0, 1, 0))
	for _, crls := range [][]*CRL{{old}, {old, newer}, {newer, old}} {
		s := NewStore([]*Certificate{csca.cert}, crls)
		if v := s.Standing(held.cert, nil, day.AddDate(0, 2, 0)); (v.Revoked != nil) != (len(crls) == 1) {
			t.Errorf("on hold, %d lists: %+v", len(crls), v.Revoked)
		}
		if v := s.Standing(gone.cert, nil, day.AddDate(0, 2, 0)); v.Revoked == nil {
			t.Errorf("revoked, %d lists: it came back", len(crls))
		}
	}
}

// An authority that is over vouches for nothing, unless its key was certified
// anew.
func TestOutOfForce(t *testing.T) {
	csca := state(t, "UT")
	later := csca.cert.NotAfter.AddDate(0, 1, 0)
	path := []*Certificate{csca.cert}
	if a := NewStore(path, nil).OutOfForce(path, csca.cert.NotBefore.AddDate(1, 0, 0)); a != nil {
		t.Error("it is over before its time")
	}
	if a := NewStore(path, nil).OutOfForce(path, later); a != csca.cert {
		t.Error("it is not over")
	}
	c := *csca.x
	c.SerialNumber, c.NotAfter = big.NewInt(77), later.AddDate(1, 0, 0)
	b, err := x509.CreateCertificate(rand.Reader, &c, &c, csca.key.Public(), csca.key)
	if err != nil {
		t.Fatal(err)
	}
	anew, err := ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	if a := NewStore([]*Certificate{csca.cert, anew}, nil).OutOfForce(path, later); a != nil {
		t.Error("its key was certified anew, and does not count")
	}
	link := named("UT", "CSCA UT 2")
	link.IsCA, link.BasicConstraintsValid, link.KeyUsage = true, true, x509.KeyUsageCertSign
	next := holds(t, csca, link)
	c = *next.x
	c.SerialNumber, c.NotAfter = big.NewInt(78), later.AddDate(1, 0, 0)
	if b, err = x509.CreateCertificate(rand.Reader, &c, &c, next.key.Public(), next.key); err != nil {
		t.Fatal(err)
	}
	root, err := ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	way := []*Certificate{next.cert, csca.cert}
	if a := New(Material{Anchors: []*Certificate{csca.cert, root}, Links: []*Certificate{next.cert}}).OutOfForce(way, later); a != nil {
		t.Error("an authority that is trusted for itself needs a link")
	}
	if a := New(Material{Anchors: []*Certificate{csca.cert}, Links: []*Certificate{next.cert}}).OutOfForce(way, later); a != next.cert {
		t.Error("a link that is over links")
	}
	if a := NewStore([]*Certificate{csca.cert, state(t, "UT").cert}, nil).OutOfForce(path, later); a != csca.cert {
		t.Error("another key of the same name stands for it")
	}
}

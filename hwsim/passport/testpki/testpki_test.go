package testpki_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"testing"
	"time"

	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport/testpki"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// suites are the hashes and signatures that states use.
func suites() []testpki.Suite {
	var list []testpki.Suite
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		for _, c := range []string{"secp192r1", "secp224r1", "secp256r1", "secp384r1", "secp521r1", "brainpoolP224r1", "brainpoolP256r1", "brainpoolP320r1", "brainpoolP384r1", "brainpoolP512r1"} {
			list = append(list, testpki.Suite{Hash: h, Curve: c, Explicit: h == crypto.SHA256})
		}
		list = append(list, testpki.Suite{Hash: h, Bits: 1536}, testpki.Suite{Hash: h, Bits: 1536, Exponent: 3}, testpki.Suite{Hash: h, Bits: 1536, PSS: true})
	}
	return list
}

// Every suite's certificates, security object and list are those that a reader
// verifies.
func TestSuites(t *testing.T) {
	for i, s := range suites() {
		t.Run(fmt.Sprintf("%v", s), func(t *testing.T) {
			a, err := testpki.Make("UT", now, s, testpki.Seed(uint64(i)))
			if err != nil {
				t.Fatal(err)
			}
			signer, err := a.Issue(s, now.AddDate(-1, 0, 0), now.AddDate(9, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			store, err := a.Store()
			if err != nil {
				t.Fatal(err)
			}
			groups := map[int][]byte{1: []byte("one"), 2: []byte("two")}
			raw, err := signer.SOD(testpki.SecurityObject{Groups: groups, LDS18: i%2 == 0})
			if err != nil {
				t.Fatal(err)
			}
			object, err := pki.ParseSOD(raw)
			if err != nil {
				t.Fatal(err)
			}
			v, err := object.Signed.Verify(nil)
			if err != nil {
				t.Fatal(err)
			}
			path, err := store.Chain(v.Signer)
			if err != nil {
				t.Fatal(err)
			}
			if is := store.Standing(v.Signer, path, now); is.Revoked != nil || !is.Known || is.Stale {
				t.Errorf("%+v", is)
			}
			if same, listed := object.Matches(2, groups[2]); !same || !listed {
				t.Error("DG2 is not what was signed")
			}
		})
	}
}

// The same seed makes the same authority, whatever its keys are.
func TestSeed(t *testing.T) {
	for _, s := range []testpki.Suite{{}, {Bits: 1024, PSS: true}} {
		var certs [][]byte
		for range 2 {
			a, err := testpki.Make("UT", now, s, testpki.Seed(1))
			if err != nil {
				t.Fatal(err)
			}
			certs = append(certs, a.Cert)
		}
		if !bytes.Equal(certs[0], certs[1]) {
			t.Errorf("%v: two certificates of one seed differ", s)
		}
	}
}

func TestLinksAndLists(t *testing.T) {
	old, err := testpki.Make("UT", now, testpki.Suite{}, testpki.Seed(2))
	if err != nil {
		t.Fatal(err)
	}
	a, err := old.Roll(testpki.Suite{Curve: "brainpoolP256r1", Explicit: true})
	if err != nil {
		t.Fatal(err)
	}
	link, err := pki.ParseCertificate(a.Links[0])
	if err != nil {
		t.Fatal(err)
	}
	before, err := old.Store()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Chain(link); err != nil {
		t.Errorf("the link is not the old key's: %v", err)
	}
	signer, err := a.NewSigner(now, now.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	dsc, err := pki.ParseCertificate(signer.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Chain(dsc); !errors.Is(err, pki.ErrUnknownIssuer) {
		t.Errorf("without the link: %v", err)
	}
	raw, err := a.MasterList(old, a)
	if err != nil {
		t.Fatal(err)
	}
	file := pki.ParseFile(raw)
	if len(file.Lists) != 1 || len(file.Refused) > 0 || len(file.Lists[0].Certs) != 3 {
		t.Fatalf("the master list: %+v", file)
	}
	store, err := a.Store()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.AcceptList(file.Lists[0].Signed, pki.PurposeMasterList); err != nil {
		t.Error(err)
	}
	raw, err = a.DeviationList(testpki.Deviation{Signer: signer, Text: "wrong key usage", Defect: asn1.ObjectIdentifier{2, 23, 136, 1, 1, 7, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	file = pki.ParseFile(raw)
	if len(file.Deviations) != 1 || len(file.Refused) > 0 || len(file.Deviations[0].Deviations) != 1 {
		t.Fatalf("the deviation list: %+v", file)
	}
	if _, err := store.AcceptList(file.Deviations[0].Signed, pki.PurposeDeviationList); err != nil {
		t.Error(err)
	}
	if d := file.Deviations[0].Deviations[0]; d.Kind != pki.DefectCertificate {
		t.Errorf("%+v", d)
	}
}

// What Flawed promises of each fault, as a trust store sees it.
func TestFlawed(t *testing.T) {
	for _, f := range testpki.Faults {
		o, err := testpki.NewOffice("UT", now, f.Name, testpki.Seed(4))
		if err != nil {
			t.Fatal(err)
		}
		store, err := o.Store()
		if err != nil {
			t.Fatal(err)
		}
		c, err := pki.ParseCertificate(o.Signer.Cert)
		if err != nil {
			t.Fatal(err)
		}
		path, err := store.Chain(c)
		known := err == nil
		if want := f.Name != "unknown_csca" && f.Name != "rogue_csca" && f.Name != "no_link"; known != want {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if !known {
			continue
		}
		revoked := store.Standing(c, path, now).Revoked != nil
		valid := now.After(c.NotBefore) && now.Before(c.NotAfter)
		if wantRevoked := f.Name == "revoked" || f.Name == "revoked_soft"; revoked != wantRevoked {
			t.Errorf("%s: revoked is %v", f.Name, revoked)
		}
		if wantValid := f.Name != "expired_signer" && f.Name != "late_signer" && f.Name != "future_signer"; valid != wantValid {
			t.Errorf("%s: valid is %v", f.Name, valid)
		}
	}
	if _, err := testpki.NewOffice("UT", now, "nonsense", testpki.Seed(4)); err == nil {
		t.Error("an unknown fault is accepted")
	}
}

package testpki_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/ta"
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

// A terminal's folder, made once, has a key that is its certificate's, by every
// kind of key.
func TestTerminalFolder(t *testing.T) {
	for _, s := range []testpki.Suite{{}, {Curve: "brainpoolP384r1", Hash: crypto.SHA384}, {Bits: 1280}, {Bits: 1280, PSS: true}} {
		dir := t.TempDir()
		root, err := testpki.Terminal(dir, s, now, testpki.Seed(8))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := testpki.Terminal(dir, s, now, testpki.Seed(9)); err != nil || !bytes.Equal(again, root) {
			t.Errorf("%v: another authority, %v", s, err)
		}
		var list []*ta.Certificate
		for _, name := range []string{"UTCVCA00001.cvcert", "UTDVIS00001.cvcert", "UTISYS00001.cvcert"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			c, err := ta.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, c)
		}
		key, err := os.ReadFile(filepath.Join(dir, "key.pk8"))
		if err != nil {
			t.Fatal(err)
		}
		sign, err := ta.Key(list[2], list[0].Curve(nil), key)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		signature, err := sign(testpki.Seed(10), []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := testpki.ParseCVC(list[2].Raw)
		if err != nil {
			t.Fatal(err)
		}
		above, err := testpki.ParseCVC(root)
		if err != nil {
			t.Fatal(err)
		}
		if c.Inherit(above); c.VerifySignature([]byte("message"), signature) != nil {
			t.Errorf("%v: the signature is not the certificate's", s)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.cvcert"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := testpki.Terminal(dir, testpki.Suite{}, now, testpki.Seed(8)); err == nil {
		t.Error("a folder without an authority is taken")
	}
}

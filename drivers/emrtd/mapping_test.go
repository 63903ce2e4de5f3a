package emrtd_test

import (
	"slices"
	"testing"

	"passage/drivers/emrtd"
	"passage/drivers/emrtd/mrz"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

// mapped reads a chip with PACE-CAM whose EF.CardSecurity somebody else signed
// than its document. security returns who, and an authority that is trusted for
// it.
func mapped(t *testing.T, aa bool, faults map[string]int, security func(own *testpki.Authority) (*testpki.Signer, *testpki.Authority)) *emrtd.Document {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := passport.ByName("cam")
	check(err)
	_, key, _ := issue(t, "cam", nil)
	p.MRZ, p.Portrait, p.Width, p.Height, p.Random = key, append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 500)...), 413, 531, testpki.Seed(7)
	p.NoAA, p.Faults = !aa, faults
	own, err := testpki.Make("DE", now, testpki.Suite{}, testpki.Seed(5))
	check(err)
	signer, err := own.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
	check(err)
	trusted := []*testpki.Authority{own}
	if security != nil {
		var other *testpki.Authority
		if p.Security, other = security(own); other != nil {
			trusted = append(trusted, other)
		}
	}
	if !aa { // which would bring DG14 along
		p.Groups = map[int][]byte{14: camGroup14(t, p)}
	}
	card, err := passport.New(p, signer)
	check(err)
	store, err := testpki.Trust(trusted...)
	check(err)
	printed, err := mrz.Parse(card.MRZ()...)
	check(err)
	doc, err := emrtd.Read(t.Context(), card, printed, emrtd.Options{Trust: store, Now: now})
	check(err)
	return doc
}

// camGroup14 is the DG14 of a chip like p with Active Authentication, which
// lists what PACE it knows.
func camGroup14(t *testing.T, p passport.Profile) []byte {
	t.Helper()
	p.NoAA, p.Faults, p.Random = false, nil, testpki.Seed(8)
	card, store, err := passport.Issue(p, "DE", now, "")
	if err != nil {
		t.Fatal(err)
	}
	printed, err := mrz.Parse(card.MRZ()...)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := emrtd.Read(t.Context(), card, printed, emrtd.Options{Trust: store, Now: now, Groups: []int{14}})
	if err != nil {
		t.Fatal(err)
	}
	return doc.Files["DG14"]
}

func found(doc *emrtd.Document, name string, code emrtd.Code) bool {
	return slices.ContainsFunc(doc.Checks, func(c emrtd.Check) bool { return c.Name == name && c.Code == code })
}

// What the mapping proves counts as far as the signer of EF.CardSecurity does.
func TestWhoSignedCardSecurity(t *testing.T) {
	valid := func(a *testpki.Authority) *testpki.Signer {
		t.Helper()
		s, err := a.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name     string
		security func(own *testpki.Authority) (*testpki.Signer, *testpki.Authority)
		want     emrtd.Verdict
		code     emrtd.Code
	}{
		{"the document's signer", nil, emrtd.ChipGenuine, emrtd.Successful},
		{"another one of the state's", func(own *testpki.Authority) (*testpki.Signer, *testpki.Authority) { return valid(own), nil }, emrtd.ChipGenuine, emrtd.Successful},
		{"one that its state revoked", func(own *testpki.Authority) (*testpki.Signer, *testpki.Authority) {
			s := valid(own)
			own.Revoke(s, 1)
			return s, nil
		}, emrtd.CopyPossible, emrtd.Undetermined},
		{"another state's", func(*testpki.Authority) (*testpki.Signer, *testpki.Authority) {
			other, err := testpki.Make("LU", now, testpki.Suite{}, testpki.Seed(6))
			if err != nil {
				t.Fatal(err)
			}
			return valid(other), other
		}, emrtd.CopyPossible, emrtd.Undetermined},
		{"a signer of lists", func(own *testpki.Authority) (*testpki.Signer, *testpki.Authority) {
			s, _, err := own.Flawed("list_signer")
			if err != nil {
				t.Fatal(err)
			}
			return s, nil
		}, emrtd.CopyPossible, emrtd.Undetermined},
	} {
		doc := mapped(t, false, nil, c.security)
		if doc.Verdict != c.want || !found(doc, "chip authentication mapping", c.code) {
			t.Errorf("%s: %s, %+v", c.name, doc.Verdict, doc.Checks)
		}
	}
}

// What the chip offers before access is not signed; DG14 says what it should
// have offered.
func TestWithheldMapping(t *testing.T) {
	const name = "EF.CardAccess and DG14"
	if doc := mapped(t, false, nil, nil); doc.Verdict != emrtd.ChipGenuine || !found(doc, name, emrtd.Successful) {
		t.Errorf("offered: %s, %+v", doc.Verdict, doc.Checks)
	}
	withheld := map[string]int{"pace_withheld": 1}
	if doc := mapped(t, false, withheld, nil); doc.Verdict != emrtd.Clone || !found(doc, name, emrtd.Failed) {
		t.Errorf("withheld: %s, %+v", doc.Verdict, doc.Checks)
	}
	if doc := mapped(t, true, withheld, nil); doc.Verdict != emrtd.ChipGenuine || !found(doc, name, emrtd.Failed) {
		t.Errorf("withheld, and another proof: %s, %+v", doc.Verdict, doc.Checks)
	}
}

// A key proves nothing unless it is the signed one, whatever else was altered
// before.
func TestSwappedKey(t *testing.T) {
	card, key, o := issue(t, "pace", func(p *passport.Profile) { p.Faults = map[string]int{"tampered_dg1": 1, "swapped_dg15": 1} })
	doc, err := emrtd.Read(t.Context(), card, key, o)
	if err != nil || doc.Verdict != emrtd.Altered || !found(doc, "active authentication", emrtd.Undetermined) {
		t.Errorf("%v, %s: %+v", err, doc.Verdict, doc.Checks)
	}
}

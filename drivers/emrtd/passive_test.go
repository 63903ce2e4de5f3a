package emrtd

import (
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport/testpki"
)

// shared reads a file of the test data that lies beside the checkout.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("PASSAGE_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	b, err := os.ReadFile(filepath.Join(dir, "data", "emrtd", filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		t.Skipf("no test data: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every security object of the data gets its issuer, its algorithms and one of
// the five words for signature, chain and revocation, as EXPECTED.tsv has them.
func TestPassiveExpected(t *testing.T) {
	list := "masterlist/DE_ML_2026-05-28-08-28-45.ml"
	lines := strings.Split(strings.TrimSpace(string(shared(t, "EXPECTED.tsv"))), "\n")
	head := strings.Split(lines[0], "\t")
	stores := map[string]*pki.Store{}
	for _, l := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(strings.TrimRight(l, "\r"), "\t") {
			row[head[i]] = v
		}
		var names []string
		for _, w := range strings.Split(row["csca_in"], "+") {
			switch {
			case w == "DE":
				names = append(names, list)
			case w == "NL", w == "none":
			case filepath.Ext(w) == "":
				names = append(names, w+"/mock_csca.pem")
			default:
				names = append(names, w)
			}
		}
		if row["csca_in"] == "pki/cscaA.cer" {
			names = append(names, "pki/cscaA.crl")
		}
		key := strings.Join(names, " ")
		if stores[key] == nil {
			var files []pki.File
			for _, n := range names {
				files = append(files, pki.ParseFile(shared(t, n)))
			}
			stores[key] = pki.Gather(files, names)
		}
		t.Run(row["file"], func(t *testing.T) {
			sod := shared(t, row["file"])
			if sod[0] == 0x30 {
				sod = lds.Make(lds.SOD.Tag, sod)
			}
			d := Verify(sod, nil, Options{Trust: stores[key], Now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)})
			got, reject := d.Passive, strings.HasPrefix(row["verdict"], "REJECT")
			if got.Issuer != row["dsc_issuer"] || got.DigestAlgorithm != row["signer_digest_alg"] || got.SignatureAlgorithm != row["signature_alg"] {
				t.Errorf("%q %s %s", got.Issuer, got.DigestAlgorithm, got.SignatureAlgorithm)
			}
			want := Passive{Signature: Successful, Chain: Successful, Revocation: NotSupported}
			verdicts := []Verdict{Incomplete}
			switch {
			case row["verdict"] == "REJECT: structure":
				want = Passive{Signature: Failed, Chain: Aborted, Revocation: Aborted}
			case reject && strings.Contains(row["csca_in"], "zkr"):
				// The table names the authority of a sister document.
				want.Chain, want.Revocation = got.Chain, got.Revocation
			case row["csca_in"] == "none":
				want.Chain, want.Revocation = Undetermined, Undetermined
				verdicts = []Verdict{IssuerUnknown}
			}
			switch {
			case reject:
				want.Signature, verdicts = Failed, []Verdict{Forged}
			case strings.HasPrefix(row["verdict"], "PA FAIL"):
				want.Revocation, verdicts = Failed, []Verdict{Revoked}
			case strings.HasPrefix(row["note"], "DSC expired"):
				want.Revocation, verdicts = Successful, []Verdict{Expired}
			case slices.Contains(names, "pki/cscaA.crl"):
				want.Revocation = Successful
			case row["dsc_not_after"] < "261124":
				verdicts = append(verdicts, Expired)
			}
			if got.Signature != want.Signature || got.Chain != want.Chain || got.Revocation != want.Revocation {
				t.Errorf("signature %s, chain %s, revocation %s; want %s, %s, %s", got.Signature, got.Chain, got.Revocation, want.Signature, want.Chain, want.Revocation)
			}
			if !slices.Contains(verdicts, d.Verdict) {
				t.Errorf("%s, want one of %v: %+v", d.Verdict, verdicts, d.Checks)
			}
		})
	}
}

// A state's own word about its documents: what is announced is a defect and no
// forgery, and an officer is told it with its code. Another state's word is none.
func TestDeviations(t *testing.T) {
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state := func(country string) *testpki.Authority {
		a, err := testpki.Make(country, at, testpki.Suite{}, testpki.Seed(3))
		check(err)
		return a
	}
	gb, ee := state("GB"), state("EE")
	signer, err := gb.NewSigner(at.AddDate(-1, 0, 0), at.AddDate(10, 0, 0))
	check(err)
	bad, err := signer.SOD(testpki.SecurityObject{Groups: map[int][]byte{1: {}}})
	check(err)
	bad[len(bad)-1] ^= 1
	for _, c := range []struct {
		name string
		by   *testpki.Authority
		want Verdict
	}{{"its own", gb, KnownDefect}, {"another state's", ee, Forged}} {
		list, err := c.by.DeviationList(testpki.Deviation{Signer: signer, Defect: asn1.ObjectIdentifier{2, 23, 136, 1, 1, 7, 2, 3}})
		check(err)
		store := pki.Gather([]pki.File{pki.ParseFile(gb.Cert), pki.ParseFile(ee.Cert), pki.ParseFile(list)}, []string{"GB", "EE", "list"})
		check(errors.Join(store.Refused...))
		r := &reading{o: Options{Trust: store, Now: at}, doc: &Document{Files: map[string][]byte{}}, began: at}
		p := r.passive(bad)
		r.doc.MRZ = mrz.MRZ{Code: "P", Number: "BB0000001", Issuer: "GBR"}
		if v := p.outcome(true, proof{}); v != c.want || len(r.doc.Passive.Deviations) > 0 != (c.want == KnownDefect) {
			t.Errorf("%s: %s with %+v", c.name, v, r.doc.Passive.Deviations)
		}
	}
}

// The signer is judged when it signed, where that is known, and now.
func TestSignerValidity(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	c := &pki.Certificate{NotBefore: day("2020-01-01"), NotAfter: day("2030-01-01")}
	used := &pki.Certificate{NotBefore: day("2020-01-01"), NotAfter: day("2021-01-01"), UsedFrom: day("2020-01-01"), UsedTo: day("2022-01-01")}
	for _, row := range []struct {
		name   string
		c      *pki.Certificate
		issued time.Time
		now    string
		want   string
	}{
		{"valid", c, time.Time{}, "2026-01-01", good},
		{"valid then and now", c, day("2020-06-01"), "2026-01-01", good},
		{"issued on the day before its first", c, day("2019-12-31"), "2026-01-01", good},
		{"issued before", c, day("2019-06-01"), "2026-01-01", notAtSigning},
		{"issued after", c, day("2031-06-01"), "2026-01-01", notAtSigning},
		{"over now, valid then", c, day("2020-06-01"), "2031-01-01", notNow},
		{"over now, then unknown", c, time.Time{}, "2031-01-01", notNow},
		{"not yet", c, time.Time{}, "2019-01-01", notNow},
		{"its key outlived it", used, time.Time{}, "2026-01-01", notAtSigning},
	} {
		p := &passive{r: &reading{o: Options{Now: day(row.now)}, doc: &Document{}}, signer: row.c}
		if got := p.validity(row.issued); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

package pki

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/drivers/emrtd/lds"
)

// shared finds the test data that lies beside the checkout.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	dir := os.Getenv("PASSAGE_SHARED")
	if dir == "" {
		dir = "../../../../shared"
	}
	path := filepath.Join(append([]string{dir, "data", "emrtd"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no test data: %v", err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// table reads a tab-separated file of the test data: a map of columns a line.
func table(t testing.TB, name string) []map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(read(t, shared(t, name)))), "\n")
	head := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for _, l := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(strings.TrimRight(l, "\r"), "\t") {
			row[head[i]] = strings.ReplaceAll(strings.Trim(v, `"`), `""`, `"`)
		}
		rows = append(rows, row)
	}
	return rows
}

// sod reads a security object; some mocks lack the file's own tag.
func sod(t testing.TB, path string) []byte {
	b := read(t, path)
	if b[0] == 0x30 {
		b = lds.Make(lds.SOD.Tag, b)
	}
	return b
}

// authorities is a store of what EXPECTED.tsv names as the issuer's place.
func authorities(t testing.TB, where string) *Store {
	t.Helper()
	var files []File
	var names []string
	for _, w := range strings.Split(where, "+") {
		var paths []string
		switch {
		case w == "DE":
			paths = []string{shared(t, "masterlist", "DE_ML_2026-05-28-08-28-45.ml")}
		case w == "NL", w == "none", w == "":
			continue // the Dutch list is not among the data
		case filepath.Ext(w) == "":
			paths = []string{shared(t, w, "mock_csca.pem")}
		default:
			paths = []string{shared(t, w)}
		}
		for _, p := range paths {
			files, names = append(files, ParseFile(read(t, p))), append(names, p)
		}
	}
	s := Gather(files, names)
	for _, err := range s.Refused {
		t.Errorf("%s: %v", where, err)
	}
	return s
}

// Every row of EXPECTED.tsv: issuer, algorithms, chain and verdict of each
// security object there is. Tampered ones must fail.
func TestExpected(t *testing.T) {
	stores := map[string]*Store{}
	mocks := 0
	for _, row := range table(t, "EXPECTED.tsv") {
		t.Run(row["file"], func(t *testing.T) {
			o, err := ParseSOD(sod(t, shared(t, filepath.FromSlash(row["file"]))))
			reject := strings.HasPrefix(row["verdict"], "REJECT")
			if o == nil {
				if row["verdict"] != "REJECT: structure" {
					t.Fatalf("%v; want %s", err, row["verdict"])
				}
				return
			}
			v, bad := o.Signed.Verify(nil)
			if err := errors.Join(err, bad); (err != nil) != reject {
				t.Errorf("%v; want %s", err, row["verdict"])
			}
			if reject && bad == nil {
				t.Errorf("the signature verifies; want %s", row["verdict"])
			}
			if v.Signer == nil {
				t.Fatal("no signer")
			}
			if row["dsc_issuer"] != v.Signer.Issuer.String() {
				t.Errorf("issuer %q, want %q", v.Signer.Issuer, row["dsc_issuer"])
			}
			if v.Digest != row["signer_digest_alg"] || v.Algorithm != row["signature_alg"] {
				t.Errorf("%s, %s; want %s, %s", v.Digest, v.Algorithm, row["signer_digest_alg"], row["signature_alg"])
			}
			if weak := strings.Contains(row["signature_alg"], "SHA1") || row["signer_digest_alg"] == "sha1"; v.Weak != weak {
				t.Errorf("weak %v", v.Weak)
			}
			if want := row["sid_dn_matches_dsc"] == "exact"; row["sid"] != "ski" && want != (v.Note == "") {
				t.Errorf("note %q, the table says %s by %s", v.Note, row["sid_dn_matches_dsc"], row["sid"])
			}
			if reject {
				return
			}
			if row["kind"] == "mock" && strings.HasPrefix(row["file"], "sod-mock") {
				mocks++
			}
			where := row["csca_in"]
			if stores[where] == nil {
				stores[where] = authorities(t, where)
			}
			path, err := stores[where].Chain(v.Signer)
			switch {
			case where == "none" && !errors.Is(err, ErrUnknownIssuer):
				t.Errorf("chain: %v, %v; nobody is trusted", path, err)
			case where != "none" && err != nil:
				t.Errorf("chain: %v", err)
			case where != "none" && where != "DE+NL" && !strings.Contains(row["csca_sha256_16"], path[0].ID()[:16]):
				t.Errorf("issuer %s, want %s", path[0].ID()[:16], row["csca_sha256_16"])
			}
		})
	}
	if mocks != 40 {
		t.Errorf("%d of the 40 algorithm combinations verify", mocks)
	}
}

// The rows of LISTS_EXPECTED.tsv: what CMS objects beside security objects say.
func TestListsExpected(t *testing.T) {
	for _, row := range table(t, "LISTS_EXPECTED.tsv") {
		t.Run(row["file"], func(t *testing.T) {
			b := read(t, shared(t, filepath.FromSlash(row["file"])))
			s, err := parseSigned(b, maxListElements)
			if row["note"] == "malformed" {
				if err == nil {
					t.Error("accepted, although it is malformed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.ContentType.String() != row["eContentType"] {
				t.Errorf("content type %v", s.ContentType)
			}
			v, err := s.Verify(nil)
			if want := row["cms_signature(openssl, -noverify)"] == "ok"; want != (err == nil) {
				t.Errorf("%v; want %s", err, row["cms_signature(openssl, -noverify)"])
			}
			if err == nil && v.Signer.Issuer.String() != row["signer_issuer"] {
				t.Errorf("signer %q, want %q", v.Signer.Issuer, row["signer_issuer"])
			}
			if row["certificates"] == "" {
				return
			}
			l, err := ParseMasterList(b)
			if err != nil {
				t.Fatal(err)
			}
			states, self := map[string]bool{}, 0
			for _, c := range l.Certs {
				if c.Subject.Country != "" {
					states[c.Subject.Country] = true
				}
				if bytes.Equal(c.Subject.Raw, c.Issuer.Raw) {
					self++
				}
			}
			if got := fmt.Sprint(len(l.Certs), len(l.Refused), len(states), self); got != row["certificates"]+" 0 "+row["countries"]+" "+row["self_issued"] {
				t.Errorf("%s certificates, refused, states, self-issued; want %s, %s, %s; %v", got, row["certificates"], row["countries"], row["self_issued"], l.Refused)
			}
		})
	}
}

// A list is pinned: its signer must chain to one who is trusted.
func TestPinnedMasterList(t *testing.T) {
	l, err := ParseMasterList(read(t, shared(t, "masterlist", "DE_ML_2026-05-28-08-28-45.ml")))
	if err != nil {
		t.Fatal(err)
	}
	pin, _, _ := ParseAny(read(t, shared(t, "masterlist", "DE_ROOT_CA_CSCA07.cer")))
	if _, err := NewStore(pin, nil).AcceptList(l.Signed, PurposeMasterList); err != nil {
		t.Error(err)
	}
	other, _, _ := ParseAny(read(t, shared(t, "pki", "cscaA.cer")))
	if _, err := NewStore(other, nil).AcceptList(l.Signed, PurposeMasterList); !errors.Is(err, ErrUnknownIssuer) {
		t.Errorf("pinned to somebody else: %v", err)
	}
	if _, err := NewStore(pin, nil).AcceptList(l.Signed, PurposeDeviationList); err == nil {
		t.Error("a master list's signer signs a deviation list")
	}
}

// The 2023 list's own signature is broken: it must not be taken in.
func TestBrokenListIsRefused(t *testing.T) {
	certs, _, refused := ParseAny(read(t, shared(t, "masterlist", "ICAO_ML_2023-09.ml")))
	if len(certs) != 0 || len(refused) == 0 {
		t.Errorf("%d certificates were taken from a list that does not verify", len(certs))
	}
}

// One length that is changed by one, wherever it stands, is noticed: the
// object is refused, its signature fails, or its signer has no chain.
func TestInnerLengthChanged(t *testing.T) {
	for _, row := range table(t, "EXPECTED.tsv") {
		if row["kind"] != "real" && row["kind"] != "synthetic" || row["csca_in"] == "none" {
			continue
		}
		t.Run(row["file"], func(t *testing.T) {
			good := sod(t, shared(t, filepath.FromSlash(row["file"])))
			store := authorities(t, row["csca_in"])
			accepted := func(b []byte) error {
				o, err := ParseSOD(b)
				if err != nil {
					return err
				}
				v, err := o.Signed.Verify(nil)
				if err != nil {
					return err
				}
				_, err = store.Chain(v.Signer)
				return err
			}
			if err := accepted(good); err != nil {
				t.Fatal(err)
			}
			at := lengths(good, 0)
			if len(at) < 40 {
				t.Fatalf("%d lengths", len(at))
			}
			for _, i := range at {
				for _, by := range []byte{1, 0xFF} {
					bad := bytes.Clone(good)
					bad[i] += by
					if accepted(bad) == nil {
						t.Errorf("offset %d: length %02X for %02X is accepted", i, bad[i], good[i])
					}
				}
			}
		})
	}
}

// lengths are the offsets of the last octet of every length in b.
func lengths(b []byte, offset int) []int {
	var at []int
	for len(b) > 0 {
		e, rest, err := next(b)
		if err != nil {
			return at
		}
		head := len(e.raw) - len(e.body)
		at = append(at, offset+head-1)
		if e.tag&0x20 != 0 {
			at = append(at, lengths(e.body, offset+head)...)
		}
		offset += len(e.raw)
		b = rest
	}
	return at
}

// A changed octet of the signed content is noticed.
func TestContentChanged(t *testing.T) {
	for _, row := range table(t, "EXPECTED.tsv") {
		if strings.HasPrefix(row["verdict"], "REJECT") {
			continue
		}
		b := sod(t, shared(t, filepath.FromSlash(row["file"])))
		o, err := ParseSOD(b)
		if err != nil {
			t.Fatal(row["file"], err)
		}
		at := bytes.Index(b, o.Signed.Content[len(o.Signed.Content)-16:])
		if at < 0 {
			continue // in segments
		}
		b[at] ^= 1
		if o, err = ParseSOD(b); err == nil {
			if _, err = o.Signed.Verify(nil); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: %v", row["file"], err)
			}
		}
	}
}

// A roll-over: the new authority is trusted by a link from the old one, and the
// other way round by itself.
func TestLinkCertificate(t *testing.T) {
	o, err := ParseSOD(read(t, shared(t, "pki", "sod", "link_cert_needed.bin")))
	if err != nil {
		t.Fatal(err)
	}
	file := func(names ...string) *Store {
		var files []File
		for _, n := range names {
			files = append(files, ParseFile(read(t, shared(t, "pki", n))))
		}
		return Gather(files, names)
	}
	for _, c := range []struct {
		name  string
		store *Store
		want  int
	}{
		{"the new authority", file("cscaA2.cer"), 1},
		{"the old one and a link", file("cscaA.cer", "linkA1A2.cer"), 2},
		{"a link from nobody", file("linkA1A2.cer"), 0},
		{"the old one alone", file("cscaA.cer"), 0},
	} {
		path, err := c.store.Chain(o.Signed.Certs[0])
		if len(path) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d certificates, %v", c.name, len(path), err)
		}
	}
}

func TestRevocationList(t *testing.T) {
	csca := ParseFile(read(t, shared(t, "pki", "cscaA.cer")))
	crl := ParseFile(read(t, shared(t, "pki", "cscaA.crl")))
	store := Gather([]File{csca, crl}, []string{"csca", "crl"})
	standing := func(name string, s *Store, now time.Time) Standing {
		t.Helper()
		o, err := ParseSOD(read(t, shared(t, "pki", "sod", name)))
		if err != nil {
			t.Fatal(err)
		}
		path, err := s.Chain(o.Signed.Certs[0])
		if err != nil {
			t.Fatal(err)
		}
		return s.Standing(o.Signed.Certs[0], path, now)
	}
	now := crl.CRLs[0].ThisUpdate.Add(time.Hour)
	if v := standing("revoked_dsc.bin", store, now); !v.Known || v.Stale || v.Revoked == nil {
		t.Errorf("revoked: %+v", v)
	}
	if v := standing("bp384_explicit_sha512.bin", store, now); !v.Known || v.Revoked != nil {
		t.Errorf("good: %+v", v)
	}
	if v := standing("bp384_explicit_sha512.bin", store, crl.CRLs[0].NextUpdate.Add(time.Hour)); !v.Stale {
		t.Errorf("after the next update: %+v", v)
	}
	if v := standing("revoked_dsc.bin", Gather([]File{csca}, []string{"csca"}), now); v.Known {
		t.Errorf("without a list: %+v", v)
	}
	forged := bytes.Clone(crl.CRLs[0].Raw)
	forged[len(forged)-1] ^= 1
	if f := ParseFile(forged); len(f.CRLs) == 1 {
		if v := standing("revoked_dsc.bin", Gather([]File{csca, f}, []string{"csca", "crl"}), now); v.Known {
			t.Errorf("a list that its authority did not sign: %+v", v)
		}
	}
}

func TestDeviationList(t *testing.T) {
	l, err := ParseDeviationList(read(t, shared(t, "deviationlist", "erpdeviationlist.bin")))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Deviations) != 1 || l.Deviations[0].Kind != DefectSignature || l.Deviations[0].Code != "2.23.136.1.1.7.2.3" {
		t.Fatalf("%d deviations: %+v", len(l.Deviations), l.Deviations[0].Kind)
	}
	if n := len(l.Deviations[0].of.numbers); n > 100 {
		t.Errorf("%d rows of numbers", n)
	}
	s := New(Material{Deviations: l.Deviations})
	for number, want := range map[string]int{"BB0000001": 1, "PB1015534": 1, "BB0000000": 0, "BB000001": 0, "CC0000001": 0, "": 0, "BB99999999999999999999999": 0} {
		if got := s.Deviations(Document{State: "EE", Number: number}); len(got) != want {
			t.Errorf("%s: %d deviations, want %d", number, len(got), want)
		}
	}
	if got := s.Deviations(Document{State: "LV", Number: "BB0000001"}); len(got) != 0 {
		t.Errorf("a state speaks of another's documents: %+v", got)
	}
}

// A defect list by the signer's certificate, and a deviation list by its key
// identifier and the time of issue.
func TestDeviationsByCertificate(t *testing.T) {
	o, err := ParseSOD(read(t, shared(t, "pki", "sod", "revoked_dsc.bin")))
	if err != nil {
		t.Fatal(err)
	}
	c := o.Signed.Certs[0]
	oid := func(o asn1.ObjectIdentifier) []byte {
		b, err := asn1.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	e := func(b []byte) elem {
		e, err := only(b)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	day := func(y int) time.Time { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC) }
	byName, err := parseDefect(e(encode(0x30, slices.Concat(encode(0x30, slices.Concat(c.Issuer.Raw, encode(0x02, append([]byte{0}, c.Serial...)))),
		encode(0x31, encode(0x30, slices.Concat(oid(defect(1, 1)), []byte{0x0A, 1, 4})))))))
	if err != nil {
		t.Fatal(err)
	}
	period := encode(0xA4, slices.Concat(encode(0x18, []byte("20200101000000Z")), encode(0x18, []byte("20211231000000Z"))))
	byKey, err := parseDeviation(e(encode(0x30, slices.Concat(encode(0x30, slices.Concat(encode(0x80, []byte("P<")), encode(0x82, c.SKI), period)),
		encode(0x31, encode(0x30, slices.Concat(encode(0x13, []byte("see circular 7")), oid(deviation(2, 2)))))))))
	if err != nil {
		t.Fatal(err)
	}
	all := append(byName, byKey...)
	for i := range all {
		all[i].by = c.Issuer.Country
	}
	s := New(Material{Deviations: all})
	for _, row := range []struct {
		d    Document
		want []Defect
	}{
		{Document{Signer: c, Code: "P", Issued: day(2021)}, []Defect{DefectRevoked, DefectHash}},
		{Document{Signer: c, Code: "P", Issued: day(2022)}, []Defect{DefectRevoked}},
		{Document{Signer: c, Code: "P"}, []Defect{DefectRevoked}},
		{Document{Signer: c, Code: "ID", Issued: day(2021)}, []Defect{DefectRevoked}},
		{Document{Code: "P", Issued: day(2021)}, nil},
	} {
		var got []Defect
		for _, d := range s.Deviations(row.d) {
			got = append(got, d.Kind)
			if d.Kind == DefectRevoked && d.Status != 4 || d.Kind == DefectHash && !strings.HasSuffix(d.Advice, ": see circular 7") {
				t.Errorf("%+v", d)
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%v, want %v", got, row.want)
		}
	}
}

// The directory's exchange format: document signers, by which a
// missing certificate is found, and a revocation list.
func TestLDIF(t *testing.T) {
	var f File
	f1, err := os.Open(shared(t, "ldif", "sample.ldif"))
	if err != nil {
		t.Fatal(err)
	}
	defer f1.Close()
	err = ReadLDIF(f1, func(_ int, b []byte) error {
		f.der(bytes.Clone(b))
		return nil
	})
	if err != nil || len(f.Refused) > 0 {
		t.Fatal(err, f.Refused)
	}
	if len(f.Certs) != 4 || len(f.CRLs) != 1 || len(f.Lists) != 0 {
		t.Errorf("%d certificates, %d revocation lists, %d master lists", len(f.Certs), len(f.CRLs), len(f.Lists))
	}
	o, err := ParseSOD(read(t, shared(t, "sod", "AT_2023_ecdsa256_bp256_explicit.bin")))
	if err != nil {
		t.Fatal(err)
	}
	o.Signed.Certs = nil // as if the state had left it out
	if _, err := o.Signed.Verify(nil); !errors.Is(err, ErrNoSigner) {
		t.Errorf("without certificate: %v", err)
	}
	v, err := o.Signed.Verify(Gather([]File{f}, []string{"ldif"}))
	if err != nil || v.Note == "" {
		t.Errorf("with the directory: %v, %q", err, v.Note)
	}
	for _, bad := range []string{"userCertificate:: ###", "userCertificate:: " + strings.Repeat("A", 70000)} {
		if err := ReadLDIF(strings.NewReader(bad), func(int, []byte) error { return nil }); err == nil {
			t.Errorf("%.40s is accepted", bad)
		}
	}
}

// A directory of many entries is read in the memory of one.
func TestLDIFStreams(t *testing.T) {
	entry := "dn: cn=x\nuserCertificate;binary:: " + strings.Repeat("QUJD", 15) + "\n" + strings.Repeat(" "+strings.Repeat("QUJD", 19)+"\n", 300) + "\n"
	const entries = 1400 // 32 MiB
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, size := 0, 0
	err := ReadLDIF(&repeated{text: entry, left: entries}, func(_ int, b []byte) error {
		n++
		size += len(b)
		return nil
	})
	runtime.ReadMemStats(&after)
	if err != nil || n != entries {
		t.Fatal(n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("%d bytes were allocated for a file of %d", used, entries*len(entry))
	}
	t.Logf("%d values, %d bytes of %d", n, size, entries*len(entry))
}

// repeated is a text many times over.
type repeated struct {
	text string
	at   int
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.at:])
	if r.at += n; r.at == len(r.text) {
		r.at = 0
		r.left--
	}
	return n, nil
}

func TestBERBecomesDER(t *testing.T) {
	// SEQUENCE, indefinite, with a constructed octet string in two parts.
	in := []byte{0x30, 0x80, 0x24, 0x80, 0x04, 1, 'a', 0x04, 2, 'b', 'c', 0, 0, 0x02, 1, 5, 0, 0}
	want := []byte{0x30, 8, 0x04, 3, 'a', 'b', 'c', 0x02, 1, 5}
	got, rest, err := der(in, maxElements)
	if err != nil || !bytes.Equal(got, want) || len(rest) != 0 {
		t.Errorf("% X, rest %d, %v", got, len(rest), err)
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x30, 0x80}, {0x04, 0x80, 0, 0}, {0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, bytes.Repeat([]byte{0x30, 0x80}, 10000)} {
		if _, _, err := der(bad, maxElements); err == nil {
			t.Errorf("% X is accepted", bad[:min(len(bad), 8)])
		}
	}
}

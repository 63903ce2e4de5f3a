package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/drivers/emrtd/pki"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

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

// authority is a state made for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, country string, parent *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Country: []string{country}, CommonName: fmt.Sprint("CSCA ", parent != nil)},
		NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(12, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	by, with := c, key
	if parent != nil {
		by, with = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) signer(t testing.TB, serial int64) *pki.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{Country: a.cert.Subject.Country, CommonName: fmt.Sprint("DS ", serial)},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{byte(serial), byte(serial >> 8), 7},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a *authority) crl(t testing.TB, at time.Time, serials ...int64) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(at.Unix()), ThisUpdate: at, NextUpdate: at.AddDate(0, 3, 0)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: at, ReasonCode: 3})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// office is a store with its people and a folder for what they import.
type office struct {
	t    testing.TB
	in   string
	dir  Dir
	keys map[string]Key
}

func newOffice(t testing.TB, twoPersons bool) *office {
	t.Helper()
	o := &office{t, t.TempDir(), Dir{Path: filepath.Join(t.TempDir(), "trust"), Rule: Rule{TwoPersons: twoPersons}}, map[string]Key{}}
	for _, n := range []string{"anna", "bert"} {
		path := filepath.Join(o.in, n)
		if err := NewKey(path); err != nil {
			t.Fatal(err)
		}
		k, err := ReadKey(path + ".key")
		if err != nil {
			t.Fatal(err)
		}
		p, err := ReadPerson(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		o.keys[n] = k
		o.dir.Rule.Persons = append(o.dir.Rule.Persons, p)
	}
	return o
}

func (o *office) file(name string, b []byte) string {
	o.t.Helper()
	path := filepath.Join(o.in, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

func (o *office) importing(i Import, paths ...string) *Version {
	o.t.Helper()
	if i.Key.Name == "" {
		i.Key = o.keys["anna"]
	}
	if i.Now.IsZero() {
		i.Now = now
	}
	v, err := o.dir.Import(paths, i)
	if err != nil {
		o.t.Fatal(err)
	}
	return v
}

func (o *office) load() (*pki.Store, *Active) {
	o.t.Helper()
	s, a, err := o.dir.Load()
	if err != nil {
		o.t.Fatal(err)
	}
	return s, a
}

func refusals(v *Version) string {
	var list []string
	for _, s := range v.Sources {
		for _, r := range s.Refused {
			list = append(list, s.Name+": "+r.What+": "+r.Why)
		}
	}
	return strings.Join(list, "\n")
}

func TestImport(t *testing.T) {
	o := newOffice(t, false)
	a := newAuthority(t, "UT", nil)
	ds := a.signer(t, 7)
	v := o.importing(Import{}, o.file("csca.cer", a.cert.Raw), o.file("ut.crl", a.crl(t, now, 7)), o.file("ds.cer", ds.Raw))
	if r := refusals(v); r != "" {
		t.Error(r)
	}
	s, active := o.load()
	if s.Len() != 1 || s.CRLs() != 1 || active.Version.Version != 1 || active.By != "anna" || !s.Newest.Equal(now) {
		t.Errorf("%d authorities, %d lists, %+v", s.Len(), s.CRLs(), active)
	}
	if path, err := s.Chain(ds); err != nil || s.Standing(ds, path, now).Revoked == nil {
		t.Error("the signer that was revoked is not: ", err)
	}
	if found := s.Signers(ds.Issuer, ds.Serial, nil); len(found) != 1 || !bytes.Equal(found[0].Raw, ds.Raw) {
		t.Errorf("by issuer and serial number: %d signers", len(found))
	}
	if found := s.Signers(pki.Name{}, nil, ds.SKI); len(found) != 1 {
		t.Errorf("by key identifier: %d signers", len(found))
	}
	if found := s.Signers(ds.Issuer, []byte{8}, nil); len(found) != 0 {
		t.Errorf("of another number: %d signers", len(found))
	}
	// The next version has what the first had, and says where it came from.
	v = o.importing(Import{Now: now.Add(time.Hour)}, o.file("again.cer", a.cert.Raw))
	if v.Base != 1 || v.Count(kindAnchor) != 1 || v.Count(kindCRL) != 1 || v.Signers != 1 || v.Sources[0].Known != 1 {
		t.Errorf("%+v", v)
	}
	if from := v.Items[0].From; !slices.Equal(from, []string{"csca.cer 2026-11-24", "again.cer 2026-11-24"}) {
		t.Errorf("provenance %q", from)
	}
}

func TestRefused(t *testing.T) {
	o := newOffice(t, false)
	a, stranger := newAuthority(t, "UT", nil), newAuthority(t, "UT", nil)
	spoilt := bytes.Clone(a.cert.Raw)
	spoilt[len(spoilt)-1] ^= 1
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"forged.cer", spoilt, "did not sign itself"},
		{"stranger.crl", stranger.crl(t, now), "no trusted authority"},
		{"old.crl", a.crl(t, now.AddDate(0, -1, 0)), "older than"},
		{"link.cer", newAuthority(t, "UT", stranger).cert.Raw, "not on the trusted list"},
		{"noise", []byte("noise"), "neither"},
		{"dir.ldif", []byte("dn: x\nuserCertificate:: AAAA\n"), "line 2"},
		{"broken.ldif", []byte("dn: x\nuserCertificate:: ####\n"), "rest of the file"},
	} {
		v := o.importing(Import{}, o.file("csca.cer", a.cert.Raw), o.file("new.crl", a.crl(t, now)), o.file(c.name, c.file))
		if r := refusals(v); !strings.HasPrefix(r, c.name) || !strings.Contains(r, c.want) {
			t.Errorf("%s: refused %q, want %q", c.name, r, c.want)
		}
		if s, _ := o.load(); s.Len() != 1 || s.CRLs() != 1 {
			t.Errorf("%s: %d authorities, %d lists", c.name, s.Len(), s.CRLs())
		}
	}
}

func TestLinkOfTheSameImport(t *testing.T) {
	o := newOffice(t, false)
	a := newAuthority(t, "UT", nil)
	link := newAuthority(t, "UT", a)
	v := o.importing(Import{}, o.file("link.cer", link.cert.Raw), o.file("csca.cer", a.cert.Raw))
	if v.Count(kindLink) != 1 || refusals(v) != "" {
		t.Fatalf("%+v", v.Sources)
	}
	s, _ := o.load()
	if path, err := s.Chain(link.signer(t, 3)); err != nil || len(path) != 2 {
		t.Errorf("%d certificates, %v", len(path), err)
	}
}

func TestTwoPersons(t *testing.T) {
	o := newOffice(t, true)
	a := newAuthority(t, "UT", nil)
	o.importing(Import{}, o.file("csca.cer", a.cert.Raw))
	if _, _, err := o.dir.Load(); !errors.Is(err, ErrNothing) {
		t.Errorf("it counts before a second person said so: %v", err)
	}
	if err := o.dir.Activate(1, o.keys["anna"], now, ""); !errors.Is(err, ErrOnePerson) {
		t.Errorf("one person alone: %v", err)
	}
	if err := NewKey(filepath.Join(o.in, "eve")); err != nil {
		t.Fatal(err)
	}
	eve, err := ReadKey(filepath.Join(o.in, "eve.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.dir.Activate(1, eve, now, ""); !errors.Is(err, ErrSignature) {
		t.Errorf("a stranger: %v", err)
	}
	if err := o.dir.Activate(1, o.keys["bert"], now, "checked by telephone"); err != nil {
		t.Fatal(err)
	}
	if _, a := o.load(); a.Activator != "bert" || a.By != "anna" || a.Reason == "" {
		t.Errorf("%+v", a)
	}
	// A single person's activation, written when one was enough, counts no more.
	one := newOffice(t, false)
	one.importing(Import{}, one.file("csca.cer", a.cert.Raw))
	one.dir.Rule.TwoPersons = true
	if _, _, err := one.dir.Load(); !errors.Is(err, ErrOnePerson) {
		t.Errorf("imported and activated by one: %v", err)
	}
}

func TestRollback(t *testing.T) {
	o := newOffice(t, false)
	for i, state := range []string{"UT", "XA", "XB"} {
		o.importing(Import{Now: now.AddDate(0, 0, i)}, o.file(state+".cer", newAuthority(t, state, nil).cert.Raw))
	}
	if s, a := o.load(); s.Len() != 3 || a.Version.Version != 3 {
		t.Fatal(s.Len(), a.Version.Version)
	}
	if err := o.dir.Activate(2, o.keys["bert"], now, "XB was a mistake"); err != nil {
		t.Fatal(err)
	}
	s, a := o.load()
	if s.Len() != 2 || a.Sequence != 4 || !s.Newest.Equal(now.AddDate(0, 0, 1)) {
		t.Errorf("%d authorities, %+v", s.Len(), a)
	}
	// What is imported next rests on what counts, under a number of its own.
	if v := o.importing(Import{}, o.file("XC.cer", newAuthority(t, "XC", nil).cert.Raw)); v.Version != 4 || v.Base != 2 || v.Count(kindAnchor) != 3 {
		t.Errorf("%+v", v)
	}
	versions, err := o.dir.Versions()
	if err != nil || len(versions) != 4 {
		t.Errorf("%d versions, %v", len(versions), err)
	}
}

// However a file of the newest version is damaged, it is not used: the one
// before counts, or none, and never a part.
func TestDamage(t *testing.T) {
	o := newOffice(t, false)
	a := newAuthority(t, "UT", nil)
	o.importing(Import{}, o.file("csca.cer", a.cert.Raw))
	o.importing(Import{}, o.file("b.cer", newAuthority(t, "XB", nil).cert.Raw), o.file("ds.cer", a.signer(t, 5).Raw))
	files, err := filepath.Glob(filepath.Join(o.dir.Path, "*", "000002*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		err := filepath.WalkDir(f, func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 6 {
		t.Fatalf("%q", all)
	}
	for _, f := range all {
		good, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string][]byte{
			"empty": nil, "torn": good[:len(good)/2], "longer": append(bytes.Clone(good), 'x'),
			"one bit": append(append(bytes.Clone(good[:len(good)/2]), good[len(good)/2]^1), good[len(good)/2+1:]...),
		} {
			if err := os.WriteFile(f, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			s, active, err := o.dir.Load()
			if err == nil && (active.Version.Version != 1 || s.Len() != 1 || len(s.Refused) == 0) {
				t.Errorf("%s %s: version %d with %d authorities, told %v", filepath.Base(f), name, active.Version.Version, s.Len(), s.Refused)
			}
		}
		if err := os.WriteFile(f, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What a power cut leaves behind an import that did not end.
	if err := os.Mkdir(filepath.Join(o.dir.Path, "versions", ".new-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if s, active := o.load(); active.Version.Version != 2 || s.Len() != 2 {
		t.Errorf("version %d", active.Version.Version)
	}
}

// A lane takes over what was activated while it runs, and keeps what it has
// when the newer one is damaged or an older one is put in its place.
func TestLive(t *testing.T) {
	o := newOffice(t, false)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if _, err := Open(o.dir.Path, o.dir.Rule, log); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty store: %v", err)
	}
	o.importing(Import{}, o.file("a.cer", newAuthority(t, "UT", nil).cert.Raw))
	l, err := Open(o.dir.Path, o.dir.Rule, log)
	if err != nil {
		t.Fatal(err)
	}
	held := l.Store() // a reading that is under way
	o.importing(Import{}, o.file("b.cer", newAuthority(t, "XB", nil).cert.Raw))
	l.look()
	if l.Store().Len() != 2 || held.Len() != 1 {
		t.Errorf("%d authorities now, %d in the reading under way", l.Store().Len(), held.Len())
	}
	if err := os.WriteFile(filepath.Join(o.dir.Path, "activations", "000003.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.look()
	if l.Store().Len() != 2 {
		t.Error("a torn activation changed the store")
	}
	for _, n := range []string{"000002.json", "000003.json"} {
		if err := os.Remove(filepath.Join(o.dir.Path, "activations", n)); err != nil {
			t.Fatal(err)
		}
	}
	l.look()
	if l.Store().Len() != 2 {
		t.Error("an earlier activation was taken")
	}
	if _, err := Open(o.dir.Path, Rule{}, log); err == nil {
		t.Error("a signed store was opened without anybody's key")
	}
}

// A plain folder is followed too, once it is quiet.
func TestLiveFolder(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("a.cer", newAuthority(t, "UT", nil).cert.Raw)
	l, err := Open(dir, Rule{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	b := newAuthority(t, "XB", nil).cert.Raw
	put("b.cer", b[:100]) // is being copied
	l.look()
	put("b.cer", b)
	l.look()
	if l.Store().Len() != 1 {
		t.Error("a folder in motion was read")
	}
	l.look()
	if l.Store().Len() != 2 {
		t.Error("the newer folder does not count")
	}
}

func TestMasterLists(t *testing.T) {
	o := newOffice(t, false)
	german, root := shared(t, "masterlist", "DE_ML_2026-05-28-08-28-45.ml"), shared(t, "masterlist", "DE_ROOT_CA_CSCA07.cer")
	broken := shared(t, "masterlist", "ICAO_ML_2023-09.ml")
	if v := o.importing(Import{}, german); v.Count(kindAnchor) != 0 || !strings.Contains(refusals(v), "--pin") {
		t.Errorf("a list that nobody is pinned for: %d authorities, %s", v.Count(kindAnchor), refusals(v))
	}
	if v := o.importing(Import{}, root, german); v.Count(kindAnchor) != 1 {
		t.Errorf("an authority that is not pinned vouched for a list: %d", v.Count(kindAnchor))
	}
	v := o.importing(Import{Pin: true}, root, german)
	if v.Count(kindAnchor) != 588 || v.Sources[1].Signer == "" || refusals(v) != "" {
		t.Errorf("%d authorities, signer %q, %s", v.Count(kindAnchor), v.Sources[1].Signer, refusals(v))
	}
	if v := o.importing(Import{}, broken); v.Count(kindAnchor) != 588 || refusals(v) == "" {
		t.Errorf("a list whose signature fails: %d authorities", v.Count(kindAnchor))
	}
	v = o.importing(Import{Unsigned: true}, broken)
	if v.Count(kindAnchor) <= 588 || len(v.Sources[0].Notes) != 1 || v.Sources[0].Accepted+v.Sources[0].Known != 394 {
		t.Errorf("on the importer's word: %d authorities, %+v", v.Count(kindAnchor), v.Sources[0])
	}
	for _, i := range v.Items {
		if len(i.From) == 0 {
			t.Fatalf("%+v has no provenance", i)
		}
	}
	if v := o.importing(Import{}, shared(t, "ldif", "sample.ldif")); v.Signers != 4 || !strings.Contains(refusals(v), "no trusted authority") {
		t.Errorf("the directory: %d signers, %s", v.Signers, refusals(v))
	}
	if v := o.importing(Import{}, shared(t, "deviationlist", "erpdeviationlist.bin")); v.Count(kindDeviation) != 1 {
		t.Errorf("the deviation list: %d, %s", v.Count(kindDeviation), refusals(v))
	}
	if s, _ := o.load(); len(s.Deviations(pki.Document{State: "EE", Number: "BB0000001"})) != 1 {
		t.Error("the deviation list does not count")
	}
}

// A directory as large as the PKD's is imported in bounded memory; found is
// what is asked for.
func TestManySigners(t *testing.T) {
	o := newOffice(t, false)
	a := newAuthority(t, "UT", nil)
	var b bytes.Buffer
	const n = 300
	var last *pki.Certificate
	for i := int64(1); i <= n; i++ {
		last = a.signer(t, i)
		fmt.Fprintf(&b, "dn: sn=%d\nuserCertificate;binary:: %s\n\n", i, base64.StdEncoding.EncodeToString(last.Raw))
	}
	v := o.importing(Import{}, o.file("csca.cer", a.cert.Raw), o.file("dsc.ldif", b.Bytes()))
	if v.Signers != n {
		t.Errorf("%d signers", v.Signers)
	}
	s, _ := o.load()
	if found := s.Signers(last.Issuer, last.Serial, nil); len(found) != 1 || !bytes.Equal(found[0].Raw, last.Raw) {
		t.Errorf("%d found", len(found))
	}
}

package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"passage/drivers/emrtd/trust"
	"passage/hwsim/passport/testpki"
)

// printed is what f writes to the standard output.
func printed(t *testing.T, f func() error) ([]byte, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	all := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r) // a short read fails the test below
		all <- b
	}()
	ferr := f()
	os.Stdout = old
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return <-all, ferr
}

// A document's security object, from the import of its state's material by two
// persons to the six answers that a program reads.
func TestTrustFromImportToVerdict(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a, err := testpki.NewAuthority("DE", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.NewSigner(time.Now().AddDate(-1, 0, 0), time.Now().AddDate(9, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	sod, err := s.SOD(testpki.SecurityObject{Groups: map[int][]byte{1: {1}, 2: {2}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("SOD.bin"), sod, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := testpki.Write(at("material"), a); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(at("material/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"anna", "bert"} {
		if _, err := printed(t, keyCmd{at(n)}.Run); err != nil {
			t.Fatal(err)
		}
	}
	flags := storeFlags{Dir: at("store"), Person: []string{at("anna.pub"), at("bert.pub")}, TwoPersons: true}
	out, err := printed(t, importCmd{storeFlags: flags, Key: at("anna.key"), JSON: true, Files: files}.Run)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Version, Authorities int
		Active               bool
		Sources              []trust.Source
	}
	if err := json.Unmarshal(out, &v); err != nil || v.Version != 1 || v.Authorities != 1 || v.Active || len(v.Sources) != len(files) {
		t.Fatalf("%v: %s", err, out)
	}
	verify := verifyCmd{SOD: at("SOD.bin"), Trust: at("store"), Person: flags.Person, JSON: true}
	if _, err := printed(t, verify.Run); err == nil {
		t.Error("a version that nobody activated counts")
	}
	if _, err := printed(t, activateCmd{storeFlags: flags, Key: at("anna.key"), Version: 1}.Run); err == nil {
		t.Error("one person imported and activated")
	}
	if _, err := printed(t, activateCmd{storeFlags: flags, Key: at("bert.key"), Version: 1, Reason: "compared"}.Run); err != nil {
		t.Fatal(err)
	}
	if out, err := printed(t, (listCmd{storeFlags: flags}).Run); err != nil || len(out) == 0 {
		t.Errorf("list: %v: %s", err, out)
	}
	for _, c := range []verifyCmd{verify, {SOD: at("SOD.bin"), MasterList: files, JSON: true, At: time.Now().AddDate(0, 0, 1).Format(time.DateOnly)}} {
		if out, err = printed(t, c.Run); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{
			"digest_algorithm": "sha256", "signature_algorithm": "ecdsa-SHA256", "signature": "successful", "chain": "successful", "revocation": "successful",
		} {
			if got[key] != want {
				t.Errorf("%s: %v, want %s", key, got[key], want)
			}
		}
	}
}

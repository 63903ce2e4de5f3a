package pki

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// Every real and mock security object must verify with the certificate that it
// brings, and no longer once one byte of its signed content is changed.
func TestSecurityObjects(t *testing.T) {
	for _, dir := range []string{"sod", "sod-mock"} {
		files, err := filepath.Glob(filepath.Join(shared(t, dir), "*.bin"))
		if err != nil || len(files) == 0 {
			t.Fatal("no files", err)
		}
		good := 0
		for _, f := range files {
			name := filepath.Base(f)
			b := read(t, f)
			o, err := ParseSOD(b)
			if err != nil {
				t.Logf("%s: %v", name, err)
				continue
			}
			v, err := o.Signed.Verify(nil)
			if err != nil {
				t.Logf("%s: %v", name, err)
				continue
			}
			good++
			at := bytes.Index(b, o.Signed.Content[len(o.Signed.Content)-16:])
			if at < 0 {
				continue
			}
			bad := bytes.Clone(b)
			bad[at] ^= 1
			if o, err := ParseSOD(bad); err == nil {
				if _, err := o.Signed.Verify(nil); err == nil {
					t.Errorf("%s (%s): a changed hash is not noticed", name, v.Algorithm)
				}
			}
		}
		t.Logf("%s: %d of %d verify", dir, good, len(files))
		if dir == "sod-mock" && good < 40 {
			t.Errorf("%d of the 40 algorithm combinations verify", good)
		}
	}
}

// The verdicts of EXPECTED.tsv: rows marked NEG or REJECT must fail, all
// others must verify.
func TestExpected(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(read(t, shared(t, "EXPECTED.tsv")))), "\n")
	head := strings.Split(lines[0], "\t")
	t.Log(head)
	for _, l := range lines[1:] {
		cols := strings.Split(l, "\t")
		path := filepath.Join(shared(t), cols[0])
		if _, err := os.Stat(path); err != nil || !strings.HasSuffix(path, ".bin") {
			continue
		}
		want := !strings.Contains(l, "NEG") && !strings.Contains(l, "REJECT")
		b := read(t, path)
		if b[0] == 0x30 {
			b = lds.Make(lds.SOD.Tag, b) // some mocks lack the file's own tag
		}
		o, err := ParseSOD(b)
		if err == nil {
			_, err = o.Signed.Verify(nil)
		}
		if (err == nil) != want {
			t.Errorf("%s: %v; expected %s", cols[0], err, l)
		}
	}
}

func TestMasterLists(t *testing.T) {
	for name, want := range map[string]int{"DE_ML_2026-05-28-08-28-45.ml": 588} {
		s, list, refused, err := ParseMasterList(read(t, shared(t, "masterlist", name)))
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != want || len(refused) != 0 {
			t.Errorf("%s: %d certificates, %d refused: %v", name, len(list), len(refused), refused)
		}
		if _, err := s.Verify(list); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		self, chained := 0, 0
		for _, c := range list {
			if bytes.Equal(c.Subject.Raw, c.Issuer.Raw) {
				self++
			}
		}
		if self != 504 {
			t.Errorf("%d are self-issued, want 504", self)
		}
		store := NewStore(list, nil)
		for _, c := range list {
			if _, err := store.Chain(c); err == nil {
				chained++
			} else if !errors.Is(err, ErrUnknownIssuer) && !errors.Is(err, ErrForgedIssuer) {
				t.Errorf("%s: %v", c.Subject, err)
			}
		}
		t.Logf("%s: %d certificates, %d with a chain inside the list", name, len(list), chained)
		if chained < 500 {
			t.Errorf("only %d have a chain", chained)
		}
	}
}

// The 2023 list's own signature is broken: it must not be taken in.
func TestBrokenListIsRefused(t *testing.T) {
	certs, _, refused := ParseAny(read(t, shared(t, "masterlist", "ICAO_ML_2023-09.ml")))
	if len(certs) != 0 || len(refused) == 0 {
		t.Errorf("%d certificates were taken from a list that does not verify", len(certs))
	}
}

func TestBERBecomesDER(t *testing.T) {
	// SEQUENCE, indefinite, with a constructed octet string in two parts.
	in := []byte{0x30, 0x80, 0x24, 0x80, 0x04, 1, 'a', 0x04, 2, 'b', 'c', 0, 0, 0x02, 1, 5, 0, 0}
	want := []byte{0x30, 8, 0x04, 3, 'a', 'b', 'c', 0x02, 1, 5}
	got, rest, err := der(in)
	if err != nil || !bytes.Equal(got, want) || len(rest) != 0 {
		t.Errorf("% X, rest %d, %v", got, len(rest), err)
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x30, 0x80}, {0x04, 0x80, 0, 0}, {0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, bytes.Repeat([]byte{0x30, 0x80}, 10000)} {
		if _, _, err := der(bad); err == nil {
			t.Errorf("% X is accepted", bad[:min(len(bad), 8)])
		}
	}
}

func FuzzParse(f *testing.F) {
	if files, err := filepath.Glob("../../../../shared/data/emrtd/sod-mock/*p256*.bin"); err == nil {
		for _, x := range files {
			b, err := os.ReadFile(x)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte{0x77, 2, 0x30, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := ParseSOD(b); err == nil {
			_, _ = o.Signed.Verify(nil)
			for n := range o.Hashes {
				if n < 1 || n > 16 {
					t.Errorf("data group %d", n)
				}
			}
		}
		certs, _, _ := ParseAny(b)
		for _, c := range certs {
			if c.Key.Curve != nil && !c.Key.Curve.On(c.Key.Point) {
				t.Error("a key off its curve")
			}
		}
	})
}

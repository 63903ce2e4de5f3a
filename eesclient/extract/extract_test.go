package extract

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/eesclient/stay"
	"passage/keys"
	"passage/sqlite"
)

var (
	noon        = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	public, key = pair("register")
)

func pair(seed string) (ed25519.PublicKey, ed25519.PrivateKey) {
	k := ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32s", seed)))
	return k.Public().(ed25519.PublicKey), k
}

func people(n int) []File {
	list := make([]File, n)
	for i := range list {
		list[i] = File{Issuer: "BRA", Number: fmt.Sprintf("X%d", i), File: fmt.Sprintf("F-%d", i), Reference: true, Stays: [][2]int{{20000 + i, 20010 + i}}}
	}
	return list
}

func copyOf(t testing.TB, files []File, at time.Time, k ed25519.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, len(files), all(files), at, k); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func all(files []File) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// What is not as many as was announced, or breaks off, is no copy.
func TestWriteFails(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		n    int
		list iter.Seq2[File, error]
	}{
		"too few":  {6, all(people(5))},
		"too many": {4, all(people(5))},
		"broken":   {1, func(yield func(File, error) bool) { yield(File{}, broken) }},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.n, c.list, noon, key); err == nil {
			t.Errorf("%s: no error", name)
		}
		e, _ := open(t)
		if _, err := e.Import(t.Context(), &b, noon); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: taken over: %v", name, err)
		}
	}
}

func open(t testing.TB) (*Extract, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lane.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := keys.Fixed(make([]byte, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(t.Context(), db.Writer, ring, public)
	if err != nil {
		t.Fatal(err)
	}
	return e, path
}

func TestACopyAnswersAndSaysItsAge(t *testing.T) {
	e, _ := open(t)
	if _, err := e.Age(t.Context(), noon); !errors.Is(err, ErrNone) {
		t.Errorf("before any copy: %v", err)
	}
	if n, err := e.Import(t.Context(), bytes.NewReader(copyOf(t, people(50), noon, key)), noon); err != nil || n != 50 {
		t.Fatal(n, err)
	}
	later := noon.Add(3 * time.Hour)
	f, age, err := e.Search(t.Context(), "BRA", "X7", later)
	if err != nil || f.File != "F-7" || age != 3*time.Hour {
		t.Fatalf("%+v, %v, %v", f, age, err)
	}
	if got := f.All(); len(got) != 1 || got[0] != (stay.Stay{First: 20007, Last: 20017}) {
		t.Errorf("stays %+v", got)
	}
	if f, _, err := e.ByName(t.Context(), "F-9", later); err != nil || f.Number != "X9" {
		t.Errorf("by name: %+v, %v", f, err)
	}
	if _, _, err := e.Search(t.Context(), "FRA", "X7", later); !errors.Is(err, ErrUnknown) {
		t.Errorf("another state's number: %v", err)
	}
	// A day later it says nothing any more, and then it is gone.
	old := noon.Add(MostAge + time.Second)
	if _, _, err := e.Search(t.Context(), "BRA", "X7", old); !errors.Is(err, ErrNone) {
		t.Errorf("after 24 hours: %v", err)
	}
	if err := e.Expire(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := e.db.QueryRow("SELECT (SELECT count(*) FROM extract) + (SELECT count(*) FROM extract_file)").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left, %v", left, err)
	}
}

// Whatever is wrong with a stream, the copy that was held still answers.
func TestRefuses(t *testing.T) {
	_, other := pair("somebody else")
	good := copyOf(t, people(20), noon.Add(time.Hour), key)
	for name, stream := range map[string][]byte{
		"nothing":              nil,
		"no copy":              []byte("hello\n"),
		"cut in a line":        good[:len(good)/2],
		"cut before the end":   good[:bytes.LastIndexByte(good[:len(good)-1], '\n')+1],
		"another's signature":  copyOf(t, people(20), noon.Add(time.Hour), other),
		"one digit changed":    bytes.Replace(good, []byte(`"X7"`), []byte(`"X8"`), 1),
		"one bit of a stay":    bytes.Replace(good, []byte("20011"), []byte("20019"), 1),
		"a file more":          bytes.Replace(good, []byte(`"files":20`), []byte(`"files":19`), 1),
		"of the future":        copyOf(t, people(20), noon.Add(3*time.Hour), key),
		"older than a day":     copyOf(t, people(20), noon.Add(-30*time.Hour), key),
		"as old as what is in": copyOf(t, people(20), noon, key),
		"another version":      bytes.Replace(good, []byte(`"extract":1`), []byte(`"extract":2`), 1),
		"unknown field":        bytes.Replace(good, []byte(`{"issuer"`), []byte(`{"hits":["SIS"],"issuer"`), 1),
		"a line without end":   []byte(strings.Repeat("x", 2*MostLine)),
		"a million files":      []byte(`{"extract":1,"at":"2026-06-01T13:00:00Z","files":99999999}` + "\n"),
		"less than no files":   []byte(`{"extract":1,"at":"2026-06-01T13:00:00Z","files":-1}` + "\n"),
		"a file without names": copyOf(t, []File{{Issuer: "BRA"}}, noon.Add(time.Hour), key),
		"the same person":      copyOf(t, append(people(3), people(1)...), noon.Add(time.Hour), key),
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := open(t)
			if _, err := e.Import(t.Context(), bytes.NewReader(copyOf(t, people(5), noon, key)), noon); err != nil {
				t.Fatal(err)
			}
			if n, err := e.Import(t.Context(), bytes.NewReader(stream), noon.Add(time.Hour)); err == nil {
				t.Fatalf("%d files were taken over", n)
			}
			f, age, err := e.Search(t.Context(), "BRA", "X3", noon.Add(time.Hour))
			if err != nil || f.File != "F-3" || age != time.Hour {
				t.Errorf("the copy that was held says %+v, %v, %v", f, age, err)
			}
		})
	}
}

// The disk shows no number and no name.
func TestNothingReadable(t *testing.T) {
	e, path := open(t)
	if _, err := e.Import(t.Context(), bytes.NewReader(copyOf(t, []File{{Issuer: "BRA", Number: "KANARIENVOGEL", File: "F-KANARIENVOGEL"}}, noon, key)), noon); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("KANARIEN")) {
			t.Errorf("lane.db%s shows a document number", suffix)
		}
	}
}

// FuzzImport: what is taken over is what was signed, to the byte; the line with the
// signature itself may be spelt as JSON allows.
func FuzzImport(f *testing.F) {
	good := copyOf(f, people(3), noon, key)
	text := good[:bytes.LastIndexByte(good[:len(good)-1], '\n')+1]
	f.Add(good)
	f.Add([]byte("{\"extract\":1,\"at\":\"2026-06-01T12:00:00Z\",\"files\":1}\n{}\n"))
	e, _ := open(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := e.Import(t.Context(), bytes.NewReader(b), noon)
		if err == nil && (n != 3 || !bytes.HasPrefix(b, text)) {
			t.Errorf("took over %d files that nobody signed", n)
		}
	})
}

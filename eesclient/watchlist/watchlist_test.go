package watchlist

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"passage/keys"
)

var (
	noon        = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	born        = time.Date(1961, 4, 12, 0, 0, 0, 0, time.UTC)
	public, key = pair("register")
	salt        = Salt(bytes.Repeat([]byte{5}, 32))
)

func pair(seed string) (ed25519.PublicKey, ed25519.PrivateKey) {
	k := ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32s", seed)))
	return k.Public().(ed25519.PublicKey), k
}

func all(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// stolen is n documents on SLTD, from number X0 on.
func stolen(n int) []Row {
	t := NewTagger(salt)
	var rows []Row
	for i := range n {
		rows = append(rows, t.Rows("SLTD", Subject{Issuer: "FRA", Number: fmt.Sprintf("X%d", i)}, Action)...)
	}
	return Sort(rows)
}

func stream(t testing.TB, h Head, rows []Row, k ed25519.PrivateKey) []byte {
	t.Helper()
	if h.Salt == nil {
		h.Salt = salt[:]
	}
	h.Rows = len(rows)
	var b bytes.Buffer
	if err := Write(&b, h, all(rows), k); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	ring, err := keys.Fixed(make([]byte, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir, ring, public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func take(t testing.TB, s *Store, b []byte, now time.Time) {
	t.Helper()
	if _, err := s.Import(t.Context(), bytes.NewReader(b), now); err != nil {
		t.Fatal(err)
	}
}

func find(t testing.TB, s *Store, number string, now time.Time) Find {
	t.Helper()
	f, _, err := s.Find(t.Context(), "SLTD", Subject{Issuer: "FRA", Number: number, Surname: "MUSTER", GivenNames: "ANNA", Birth: born, Nationality: "FRA"}, now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFindsBy(t *testing.T) {
	s := openStore(t, t.TempDir())
	if _, _, err := s.Find(t.Context(), "SIS", Subject{}, noon); !errors.Is(err, ErrNone) {
		t.Errorf("before any copy: %v", err)
	}
	who := Subject{Issuer: "D", Number: "C01X00T47", Surname: "Müller-Meyer", GivenNames: "Jörg Peter", Nationality: "D", Birth: born}
	tagger := NewTagger(salt)
	rows := Sort(append(tagger.Rows("SIS", who, Action), tagger.Rows("FPR", Subject{Surname: who.Surname, GivenNames: who.GivenNames, Nationality: "D", Birth: born}, Inquiry)...))
	take(t, s, stream(t, Head{Version: 1, At: noon}, rows, key), noon)
	later := noon.Add(3 * time.Hour)
	for name, c := range map[string]struct {
		list string
		who  Subject
		want Find
	}{
		"the document":           {"SIS", Subject{Issuer: "D", Number: "C01X00T47", Surname: "OTHER", Birth: noon}, Action},
		"another state's":        {"SIS", Subject{Issuer: "F", Number: "C01X00T47", Surname: "OTHER", Birth: noon}, None},
		"the name":               {"SIS", Subject{Number: "Z", Surname: "MUELLER<MEYER", GivenNames: "JOERG", Nationality: "D", Birth: born}, Action},
		"the name, elsewhere":    {"FPR", Subject{Number: "Z", Surname: "MUELLER MEYER", GivenNames: "JOERG P", Nationality: "D", Birth: born}, Inquiry},
		"another nationality":    {"SIS", Subject{Number: "Z", Surname: "MUELLER MEYER", GivenNames: "JOERG", Nationality: "AUT", Birth: born}, Possible},
		"how it sounds":          {"SIS", Subject{Number: "Z", Surname: "MILLER MAIER", GivenNames: "GEORGE", Nationality: "USA", Birth: born}, Possible},
		"sound, another day":     {"SIS", Subject{Number: "Z", Surname: "MILLER MAIER", Birth: born.AddDate(0, 0, 1)}, None},
		"a list it is not on":    {"LOST", who, None},
		"no name":                {"SIS", Subject{Number: "Z", Birth: born}, None},
		"a document not on list": {"FPR", Subject{Issuer: "D", Number: "C01X00T47"}, None},
	} {
		got, age, err := s.Find(t.Context(), c.list, c.who, later)
		if err != nil || got != c.want || age != 3*time.Hour {
			t.Errorf("%s: %d, %v, %v; want %d", name, got, age, err, c.want)
		}
	}
	// A clock that has gone back behind the copy cannot say its age.
	for _, now := range []time.Time{noon.Add(MostAge + time.Second), noon.Add(-time.Hour)} {
		if _, _, err := s.Find(t.Context(), "SIS", who, now); !errors.Is(err, ErrNone) {
			t.Errorf("at %v: %v", now, err)
		}
	}
}

func TestDelta(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	take(t, s, stream(t, Head{Version: 7, At: noon}, stolen(3000), key), noon)
	t2 := NewTagger(salt)
	change := Sort([]Row{{t2.Document("SLTD", "FRA", "X5"), None}, {t2.Document("SLTD", "FRA", "NEW"), Inquiry}, {t2.Document("SLTD", "FRA", "X6"), Possible}, {t2.Document("SLTD", "FRA", "NEVER"), None}})
	hour := noon.Add(time.Hour)
	delta := stream(t, Head{Version: 8, Base: 7, At: hour}, change, key)
	for name, b := range map[string][]byte{
		"to another version": stream(t, Head{Version: 9, Base: 8, At: hour}, change, key),
		"of another salt":    stream(t, Head{Version: 8, Base: 7, At: hour, Salt: make([]byte, 32)}, change, key),
	} {
		if _, err := s.Import(t.Context(), bytes.NewReader(b), hour); !errors.Is(err, ErrBase) {
			t.Errorf("a delta %s: %v", name, err)
		}
	}
	take(t, s, delta, hour)
	want := map[string]Find{"X5": None, "NEW": Inquiry, "X6": Possible, "X7": Action, "NEVER": None}
	for number, f := range want {
		if got := find(t, s, number, hour); got != f {
			t.Errorf("%s: %d, want %d", number, got, f)
		}
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(delta), hour); !errors.Is(err, ErrOld) {
		t.Errorf("the delta again: %v", err)
	}
	if v, at, err := s.Version(t.Context()); err != nil || v != 8 || !at.Equal(hour) {
		t.Errorf("version %d of %v, %v", v, at, err)
	}
	// Another process finds the same.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	for number, f := range want {
		if got := find(t, s, number, hour); got != f {
			t.Errorf("after a restart %s: %d, want %d", number, got, f)
		}
	}
	if _, err := openStore(t, t.TempDir()).Import(t.Context(), bytes.NewReader(delta), hour); !errors.Is(err, ErrBase) {
		t.Errorf("a delta to nothing: %v", err)
	}
}

// Whatever is wrong with a copy, the one that was held still answers.
func TestRefuses(t *testing.T) {
	_, other := pair("somebody else")
	hour := noon.Add(time.Hour)
	good := stream(t, Head{Version: 8, At: hour}, stolen(3000), key)
	lines := bytes.SplitAfter(good, []byte("\n"))
	swapped := slices.Clone(lines)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	head := func(change func(map[string]any)) []byte {
		var h map[string]any
		if err := json.Unmarshal(lines[0], &h); err != nil {
			t.Fatal(err)
		}
		change(h)
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return append(append(b, '\n'), bytes.Join(lines[1:], nil)...)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":             {nil, ErrRefused},
		"no copy":             {[]byte("hello\n"), ErrRefused},
		"half":                {good[:len(good)/2], ErrRefused},
		"without signature":   {bytes.Join(lines[:len(lines)-2], nil), ErrRefused},
		"another's signature": {stream(t, Head{Version: 8, At: hour}, stolen(3000), other), ErrRefused},
		"a bit of a tag":      {flip(len(lines[0]) + 40), ErrRefused},
		"a bit of the end":    {flip(len(good) - 30), ErrRefused},
		"a pack twice":        {bytes.Join([][]byte{lines[0], lines[1], lines[1], lines[3], lines[4]}, nil), ErrRefused},
		"packs out of order":  {bytes.Join(swapped, nil), ErrRefused},
		"a pack missing":      {bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[4]}, nil), ErrRefused},
		"fewer rows":          {head(func(h map[string]any) { h["rows"] = 2999 }), ErrRefused},
		"more rows":           {head(func(h map[string]any) { h["rows"] = 3001 }), ErrRefused},
		"too many rows":       {head(func(h map[string]any) { h["rows"] = MostRows + 1 }), ErrRefused},
		"less than none":      {head(func(h map[string]any) { h["rows"] = -1 }), ErrRefused},
		"another format":      {head(func(h map[string]any) { h["lists"] = 2 }), ErrRefused},
		"an unknown field":    {head(func(h map[string]any) { h["discreet"] = true }), ErrRefused},
		"a version of its own": {head(func(h map[string]any) {
			h["version"] = 99
		}), ErrRefused},
		"younger than it is": {head(func(h map[string]any) { h["at"] = hour.Add(time.Minute) }), ErrRefused},
		"a short salt":       {head(func(h map[string]any) { h["salt"] = []byte("short") }), ErrRefused},
		"of the future":      {stream(t, Head{Version: 8, At: hour.Add(time.Hour)}, stolen(9), key), ErrRefused},
		"older than a day":   {stream(t, Head{Version: 8, At: noon.Add(-25 * time.Hour)}, stolen(9), key), ErrRefused},
		"an earlier version": {stream(t, Head{Version: 6, At: hour}, stolen(9), key), ErrOld},
		"the same version":   {stream(t, Head{Version: 7, At: hour}, stolen(9), key), ErrOld},
		"an earlier time":    {stream(t, Head{Version: 8, At: noon.Add(-time.Hour)}, stolen(9), key), ErrOld},
		"a line without end": {append(bytes.Clone(lines[0]), bytes.Repeat([]byte("x"), 2*mostLine)...), ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			take(t, s, stream(t, Head{Version: 7, At: noon}, stolen(5), key), noon)
			if n, err := s.Import(t.Context(), bytes.NewReader(c.b), hour); !errors.Is(err, c.want) {
				t.Fatalf("%d rows, %v; want %v", n, err, c.want)
			}
			if find(t, s, "X3", hour) != Action || find(t, s, "X7", hour) != None {
				t.Error("the copy that was held says something else")
			}
			if files, err := filepath.Glob(filepath.Join(dir, "lists-*.db")); err != nil || len(files) != 1 {
				t.Errorf("left behind: %v, %v", files, err)
			}
		})
	}
}

func TestWriteRefusesDisorder(t *testing.T) {
	rows := stolen(10)
	slices.Reverse(rows)
	if err := Write(io.Discard, Head{Version: 1, At: noon, Rows: 10, Salt: salt[:]}, all(rows), key); err == nil {
		t.Error("tags that fall were written")
	}
	if err := Write(io.Discard, Head{Version: 1, At: noon, Rows: 11, Salt: salt[:]}, all(stolen(10)), key); err == nil {
		t.Error("fewer rows than announced were written")
	}
}

// Look-ups go on through whole copies and deltas, and each sees one version:
// in every one exactly one of two documents is stolen.
func TestReadersAreUndisturbed(t *testing.T) {
	s := openStore(t, t.TempDir())
	tagger := NewTagger(salt)
	a, b := tagger.Document("SLTD", "FRA", "A"), tagger.Document("SLTD", "FRA", "B")
	version := func(v int) []byte {
		if v%3 != 0 {
			x, y := a, b
			if v%2 == 0 {
				x, y = b, a
			}
			return stream(t, Head{Version: int64(v), Base: int64(v - 1), At: noon.Add(time.Duration(v) * time.Second)}, Sort([]Row{{x, Action}, {y, None}}), key)
		}
		x := a
		if v%2 == 0 {
			x = b
		}
		return stream(t, Head{Version: int64(v), At: noon.Add(time.Duration(v) * time.Second)}, Sort(append(stolen(500), Row{x, Action})), key)
	}
	take(t, s, version(3), noon.Add(3*time.Second))
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	looked := make([]int, 3)
	for i := range looked {
		readers.Go(func() {
			for ctx.Err() == nil {
				s.mu.RLock()
				var at, n int64
				err := s.held.ask.QueryRowContext(t.Context(), int64(a), int64(b), int64(-1)).Scan(&at, &n)
				var both int
				err = errors.Join(err, s.held.db.Reader.QueryRow(`SELECT coalesce((SELECT find FROM change WHERE tag=?1), (SELECT find FROM entry WHERE tag=?1), 0)
					+ coalesce((SELECT find FROM change WHERE tag=?2), (SELECT find FROM entry WHERE tag=?2), 0)`, int64(a), int64(b)).Scan(&both))
				s.mu.RUnlock()
				if err != nil || n != int64(Action) || both != int(Action) {
					t.Errorf("a look-up saw %d, %d, %v", n, both, err)
					return
				}
				looked[i]++
			}
		})
	}
	for v := 4; v < 40; v++ {
		take(t, s, version(v), noon.Add(time.Minute))
	}
	stop()
	readers.Wait()
	if slices.Min(looked) == 0 {
		t.Errorf("look-ups: %v", looked)
	}
}

// A power cut leaves whole files and scratch; the newest whole one is opened.
func TestAfterAPowerCut(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	take(t, s, stream(t, Head{Version: 7, At: noon}, stolen(5), key), noon)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "lists-7.db"))
	if err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	take(t, s, stream(t, Head{Version: 9, At: noon}, stolen(9), key), noon)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"lists-7.db": old, "lists-7.db-wal": nil, building: old[:1000]} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, dir)
	if v, _, err := s.Version(t.Context()); err != nil || v != 9 {
		t.Errorf("version %d, %v", v, err)
	}
	if files, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(files, func(f os.DirEntry) bool { return strings.Contains(f.Name(), "7") || f.Name() == building }) {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// One that is no database is fetched anew.
	if err := os.WriteFile(filepath.Join(dir, "lists-9.db"), []byte("this was a database before the disk died, and is a text now"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if _, _, err := s.Version(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("a damaged copy: %v", err)
	}
	take(t, s, stream(t, Head{Version: 9, At: noon}, stolen(9), key), noon)
}

func TestExpire(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	take(t, s, stream(t, Head{Version: 7, At: noon}, stolen(5), key), noon)
	if err := s.Expire(t.Context(), noon.Add(MostAge)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Version(t.Context()); err != nil {
		t.Errorf("after 24 hours: %v", err)
	}
	if err := s.Expire(t.Context(), noon.Add(MostAge+time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Version(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("later: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// Neither the folder nor the stream shows a number, a name or the salt.
func TestNothingReadable(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	rows := NewTagger(salt).Rows("SIS", Subject{Issuer: "FRA", Number: "KANARIENVOGEL", Surname: "KANARIENVOGEL", GivenNames: "KANARIENVOGEL", Birth: born}, Action)
	b := stream(t, Head{Version: 7, At: noon}, Sort(rows), key)
	take(t, s, b, noon)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		disk, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(disk, []byte("KANARIEN")) || bytes.Contains(disk, salt[:]) {
			t.Errorf("%s shows what it must not", f)
		}
	}
	if bytes.Contains(b, []byte("KANARIEN")) {
		t.Error("the stream shows a name")
	}
}

func FuzzImport(f *testing.F) {
	good := stream(f, Head{Version: 7, At: noon}, stolen(3), key)
	f.Add(good)
	f.Add(stream(f, Head{Version: 8, Base: 7, At: noon}, stolen(3), key))
	f.Add([]byte(`{"lists":1,"version":9,"at":"2026-06-01T12:00:00Z","rows":1,"salt":"AAAA"}` + "\n\"AAAA\"\n{}\n"))
	s := openStore(f, f.TempDir())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := s.Import(t.Context(), bytes.NewReader(b), noon)
		if err == nil && !bytes.HasPrefix(b, good[:len(good)-1]) && !bytes.Contains(b, []byte(`"base":7`)) {
			t.Error("took over what nobody signed")
		}
	})
}

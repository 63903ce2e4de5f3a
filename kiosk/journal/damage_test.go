package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/sqlite"
)

// lived writes a lane's database with n travellers: two of three have crossed,
// the others' intents are open. With log the write-ahead log is left beside it,
// as a power cut leaves it.
func lived(t *testing.T, path string, n int, log bool) {
	t.Helper()
	j, _, db, stop := open(t, path, &box{})
	for i := 1; i <= n; i++ {
		x := lane.Transaction(i)
		j.Append(kiosk.Entry{Now: lane.Instant(i), At: time.Unix(int64(i), 0), Event: lane.Started{Transaction: x}, After: lane.State{Transaction: x}})
		j.Begin(x, fmt.Sprintf("uuid-%d", i), time.Unix(int64(i), 0))
		if err := do(func(d func(error)) { j.Intend(x, kiosk.Facts{UUID: fmt.Sprintf("uuid-%d", i)}, d) }); err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			if err := do(func(d func(error)) { j.Record(x, time.Now(), d) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if log {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".cut"+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	_ = db
}

// starts opens a journal as a lane does, and returns why it would not.
func starts(t *testing.T, path string) (was kiosk.Recovery, good int64, err error) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		return was, 0, err
	}
	defer db.Close()
	if _, was, err = Open(t.Context(), db.Writer, ring(t), &box{}); err != nil {
		return was, 0, err
	}
	good, err = Check(t.Context(), db.Reader)
	return was, good, err
}

// A page of the file is torn, one after the other. The lane starts, or refuses
// with a word that says why; what is salvaged starts, with the open intents
// that can still be read.
func TestTornPages(t *testing.T) {
	const page, travellers = 4096, 120
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.db")
	lived(t, path, travellers, false)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages := len(whole) / page
	r := rand.New(rand.NewPCG(1, 1))
	step := 2
	if testing.Short() {
		step = 7
	}
	refused, saved, intents := 0, 0, 0
	for n := 0; n < pages; n += step {
		torn := bytes.Clone(whole)
		half := torn[n*page+page/2 : (n+1)*page]
		switch n % 3 {
		case 0:
			clear(half)
		case 1:
			for i := range half {
				half[i] = byte(r.Uint32())
			}
		case 2:
			clear(torn[n*page : (n+1)*page])
		}
		bad := filepath.Join(dir, "bad.db")
		if err := os.WriteFile(bad, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := starts(t, bad)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), "journal:") && !strings.Contains(err.Error(), "sqlite:") {
				t.Errorf("page %d: the refusal does not say who refuses: %v", n, err)
			}
		}
		to := filepath.Join(dir, fmt.Sprintf("new%d.db", n))
		list, err := Salvage(t.Context(), bad, to)
		if err != nil {
			if n == 0 || strings.Contains(err.Error(), "list of tables") {
				continue // its table of contents
			}
			t.Errorf("page %d: %v", n, err)
			continue
		}
		saved++
		for _, s := range list {
			if s.Table == "intent" {
				intents += s.Rows
			}
		}
		if was, _, err := starts(t, to); err != nil {
			t.Errorf("page %d: what was salvaged does not start: %v", n, err)
		} else if was.Last < travellers {
			t.Errorf("page %d: number %d would come again", n, was.Last)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(to + suffix)
			_ = os.Remove(bad + suffix)
		}
	}
	if saved == 0 {
		t.Fatal("nothing was salvaged")
	}
	t.Logf("%d pages torn, one at a time: %d refused at the start or by the check; salvaged from %d, with %.1f %% of the intents on average", pages/step, refused, saved, 100*float64(intents)/float64(saved*travellers))
}

// The log's end is torn at any byte: what was acknowledged before it is there,
// the chain is whole.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	lived(t, filepath.Join(dir, "lane.db"), 20, true)
	file, err := os.ReadFile(filepath.Join(dir, "lane.db.cut"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "lane.db.cut-wal"))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(2, 2))
	last := int64(0)
	const cuts = 60
	for i := range cuts {
		at := len(log) * i / cuts
		torn := bytes.Clone(log[:at])
		if i%2 == 1 {
			for range 512 {
				torn = append(torn, byte(r.Uint32()))
			}
		}
		path := filepath.Join(dir, fmt.Sprintf("torn%d.db", i))
		for suffix, b := range map[string][]byte{"": file, "-wal": torn} {
			if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, good, err := starts(t, path)
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", at, len(log), err)
		}
		if good < last {
			t.Errorf("cut at %d: %d entries, an earlier cut left %d", at, good, last)
		}
		last = good
	}
	if last == 0 {
		t.Error("no cut left anything")
	}
}

// A damaged header, and files that are none.
func TestDamagedHeader(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.db")
	lived(t, path, 9, false)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func([]byte) []byte
		saved bool
	}{
		{"no magic", func(b []byte) []byte { clear(b[:16]); return b }, true},
		{"no header", func(b []byte) []byte { clear(b[:24]); return b }, true},
		{"cut short", func(b []byte) []byte { return b[:4096*3] }, true},
		{"something else", func([]byte) []byte { return bytes.Repeat([]byte("not a database. "), 900) }, false},
		{"a few bytes", func(b []byte) []byte { return b[:50] }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.db")
			if err := os.WriteFile(bad, c.spoil(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := starts(t, bad); err == nil {
				t.Error("the lane starts on it")
			}
			to := bad + ".new"
			if _, err := Salvage(t.Context(), bad, to); (err == nil) != c.saved {
				t.Fatalf("salvage: %v", err)
			}
			if _, _, err := starts(t, to); c.saved && err != nil {
				t.Errorf("what was salvaged does not start: %v", err)
			}
		})
	}
}

// A store that was here and is empty or away is not taken for a new one.
func TestGone(t *testing.T) {
	here := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "lane.db")
		lived(t, path, 3, false)
		if err := Mark(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		gone  bool
	}{
		{"as it was", func(string) error { return nil }, false},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, true},
		{"away", os.Remove, true},
		{"away with its marker", func(path string) error { return errors.Join(os.Remove(path), os.Remove(path+suffix)) }, false},
		{"empty, with a log and no marker", func(path string) error {
			return errors.Join(os.Truncate(path, 0), os.Remove(path+suffix), os.WriteFile(path+"-wal", []byte("log"), 0o600))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := here(t)
			if err := Present(path); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(path); err != nil {
				t.Fatal(err)
			}
			err := Present(path)
			if errors.Is(err, ErrGone) != c.gone || err != nil && !c.gone {
				t.Error(err)
			}
			if c.gone && !strings.Contains(err.Error(), "last copy") {
				t.Errorf("%v does not say what to do", err)
			}
		})
	}
	if err := Mark(filepath.Join(t.TempDir(), "no", "lane.db")); err == nil {
		t.Error("marked what is not there")
	}
}

// A real file system that is full, or has become read-only: intents fail with a
// word, the lane is told, and all goes on when it is mended.
func TestFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=768k"); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	j, _, _, stop := open(t, filepath.Join(dir, "lane.db"), &box{})
	defer stop()
	n := lane.Transaction(0)
	intend := func() error {
		n++
		return do(func(d func(error)) { j.Intend(n, kiosk.Facts{UUID: fmt.Sprintf("uuid-%d", n)}, d) })
	}
	if err := intend(); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if f, err := os.Create(ballast); err != nil {
		t.Fatal(err)
	} else {
		for b := make([]byte, 4096); err == nil; _, err = f.Write(b) {
		}
		f.Close()
	}
	var full error
	for range 500 {
		if full = intend(); full != nil {
			break
		}
	}
	if full == nil {
		t.Fatal("a full disk takes intents")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := intend(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Logf("not remounted, files are open for writing: %v", err)
		return
	}
	if err := intend(); err == nil {
		t.Error("a read-only file system takes intents")
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if err := intend(); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

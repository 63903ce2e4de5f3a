package backup

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/audit"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/sqlite"
)

// shelf is an outbox that keeps the names that it is given.
type shelf struct{ names []string }

func (s *shelf) Put(_ *sql.Tx, f kiosk.Facts, _ time.Time) error {
	s.names = append(s.names, f.Identity.Surname)
	return nil
}
func (s *shelf) Drop(*sql.Tx, string) error { return nil }
func (s *shelf) Erased()                    {}
func (s *shelf) Failing() error             { return nil }

// work runs a lane's journal at path and returns what it found open.
func work(t *testing.T, path string, s *shelf, do func(*journal.Journal, *sqlite.DB)) kiosk.Recovery {
	t.Helper()
	ring, err := keys.Fixed(bytes.Repeat([]byte{7}, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	j, was, err := journal.Open(t.Context(), db.Writer, ring, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = j.Run(ctx) }()
	do(j, db)
	cancel()
	<-done
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return was
}

// cross journals a traveller as far as their intent.
func cross(t *testing.T, j *journal.Journal, x lane.Transaction, name string) {
	t.Helper()
	uuid := fmt.Sprintf("0191d3c4-0000-7000-8000-%012d", x)
	j.Begin(x, uuid, time.Now())
	for i := range 5 {
		j.Append(kiosk.Entry{Now: lane.Instant(i + 1), At: time.Now(), Event: lane.Tick{}, After: lane.State{Transaction: x}})
	}
	done := make(chan error, 1)
	j.Intend(x, kiosk.Facts{UUID: uuid, Identity: kiosk.Identity{Surname: name}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func headOf(t *testing.T, path string) audit.Head {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h, err := audit.Now(t.Context(), db.Reader, "E1")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A lane's disk dies after the backup. What was open then is an officer's case,
// what was sealed opens with the lane's own key, and no number comes again: the
// journal is a new one.
func TestRestoreBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.db")
	key := identity(t)
	var sealed bytes.Buffer
	var made Manifest
	work(t, path, &shelf{}, func(j *journal.Journal, _ *sqlite.DB) {
		cross(t, j, 1, "Quokkaberg")
		var err error
		if made, err = Make(t.Context(), path, &sealed, key.Recipient()); err != nil {
			t.Fatal(err)
		}
		cross(t, j, 2, "Later") // after the backup; lost
	})
	if made.Store != "lane" || made.Entries != 5 || made.Version != 1 {
		t.Errorf("%+v", made)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".backup-*")); err != nil || len(left) > 0 {
		t.Error("left behind:", left, err)
	}
	if bytes.Contains(sealed.Bytes(), []byte("SQLite format")) {
		t.Error("the backup is not encrypted")
	}
	before := headOf(t, path).Journal
	if _, err := Restore(t.Context(), bytes.NewReader(sealed.Bytes()), key, path, false, nil); !errors.Is(err, ErrThere) {
		t.Errorf("over the old one: %v", err)
	}
	fresh := filepath.Join(dir, "new.db")
	got, err := Restore(t.Context(), bytes.NewReader(sealed.Bytes()), key, fresh, false, nil)
	if err != nil || got != made {
		t.Fatalf("%+v, %v", got, err)
	}
	out := &shelf{}
	was := work(t, fresh, out, func(j *journal.Journal, db *sqlite.DB) {
		j.OpenCase(1, lane.PowerCut)
		if err := j.Settle(t.Context(), fmt.Sprintf("0191d3c4-0000-7000-8000-%012d", 1), "anna", journal.Crossed); err != nil {
			t.Fatal(err)
		}
		cross(t, j, 3, "Next")
	})
	if was.OpenIntent != 1 || was.Last < 2 {
		t.Errorf("the lane finds %+v", was)
	}
	if len(out.names) != 1 || out.names[0] != "Quokkaberg" {
		t.Errorf("the case's record is %q", out.names)
	}
	if after := headOf(t, fresh).Journal; after == before {
		t.Error("the site would take the new journal for the old one")
	}
}

// A lane that moves goes on with its journal, unless somebody knows of a later
// entry, or nobody can tell.
func TestRestoreContinues(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.db")
	key := identity(t)
	var sealed bytes.Buffer
	work(t, path, &shelf{}, func(j *journal.Journal, _ *sqlite.DB) { cross(t, j, 1, "Quokkaberg") })
	if _, err := Make(t.Context(), path, &sealed, key.Recipient()); err != nil {
		t.Fatal(err)
	}
	good := headOf(t, path)
	work(t, path, &shelf{}, func(j *journal.Journal, _ *sqlite.DB) { cross(t, j, 2, "Later") })
	late := headOf(t, path)
	altered, other := good, good
	altered.Root = tlog.Hash{1}
	other.Journal = "another"
	for _, c := range []struct {
		name  string
		heads []audit.Head
		want  string
	}{
		{"nothing known", nil, "as far as anybody can tell"},
		{"a head of another journal", []audit.Head{other}, "as far as anybody can tell"},
		{"it went on", []audit.Head{good, late}, "10 entries were signed for, and 5 are here"},
		{"another history", []audit.Head{altered}, "not the ones that were signed for"},
		{"all is known", []audit.Head{good}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "lane.db")
			_, err := Restore(t.Context(), bytes.NewReader(sealed.Bytes()), key, to, true, c.heads)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				if _, err := os.Stat(to); err == nil {
					t.Error("a file was made")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			work(t, to, &shelf{}, func(j *journal.Journal, _ *sqlite.DB) { cross(t, j, 3, "Next") })
			if h := headOf(t, to); h.Journal != good.Journal || h.Size != 10 {
				t.Errorf("%+v", h)
			}
		})
	}
}

// What is no backup, was altered, cut short, or is for somebody else is refused,
// and leaves nothing.
func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.db")
	key := identity(t)
	var sealed bytes.Buffer
	work(t, path, &shelf{}, func(j *journal.Journal, _ *sqlite.DB) { cross(t, j, 1, "Quokkaberg") })
	if _, err := Make(t.Context(), path, &sealed, key.Recipient()); err != nil {
		t.Fatal(err)
	}
	forge := func(text string) []byte {
		var b bytes.Buffer
		w, err := age.Encrypt(&b, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	flipped := bytes.Clone(sealed.Bytes())
	flipped[len(flipped)/2] ^= 1
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "noise": bytes.Repeat([]byte("noise"), 1000), "altered": flipped, "cut short": sealed.Bytes()[:sealed.Len()-100],
		"no manifest": forge("SQLite format 3\x00"), "another format": forge(`{"passage_backup":2,"size":4096}` + "\n"),
		"no database":   forge(`{"passage_backup":1,"size":1000}` + "\n" + strings.Repeat("x", 1000)),
		"a longer one":  forge(`{"passage_backup":1,"size":1000}` + "\n" + strings.Repeat("x", 1001)),
		"another claim": forge(fmt.Sprintf(`{"passage_backup":1,"store":"lane","version":1,"size":%d,"journal":"x","entries":99}`, len(raw)) + "\n" + string(raw)),
	} {
		to := filepath.Join(t.TempDir(), "lane.db")
		if _, err := Restore(t.Context(), bytes.NewReader(b), key, to, false, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
		if left, err := os.ReadDir(filepath.Dir(to)); err != nil || len(left) > 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
	if _, err := Restore(t.Context(), bytes.NewReader(sealed.Bytes()), identity(t), filepath.Join(dir, "x.db"), false, nil); !errors.Is(err, ErrOpaque) {
		t.Errorf("with another's key: %v", err)
	}
}

// FuzzManifest sends any plain text that somebody encrypted for us: nothing may
// panic or be taken.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"passage_backup":1,"store":"lane","size":1024}` + "\n" + strings.Repeat("x", 1024)))
	f.Add([]byte("SQLite format 3\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := unpack(t.Context(), bytes.NewReader(b), filepath.Join(t.TempDir(), "x.db")); err == nil {
			t.Error("it was taken")
		}
	})
}

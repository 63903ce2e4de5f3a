package fleet_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"passage/kiosk/audit"
	"passage/kiosk/site"
	"passage/sqlite"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

// heads are a lane's heads that the site has, verified.
func (a *airport) heads(id string) (list []audit.Head) {
	a.t.Helper()
	db, closing, err := site.OpenDatabase(a.t.Context(), a.dir)
	if err != nil {
		a.t.Fatal(err)
	}
	defer closing()
	var notes [][]byte
	key, err := site.Heads(a.t.Context(), db, id, func(_ string, _ int64, b []byte) error {
		notes = append(notes, b)
		return nil
	})
	if err != nil {
		return nil // none yet
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, b := range notes {
		h, err := audit.OpenHead(b, verifier)
		if err != nil {
			a.t.Fatal(err)
		}
		list = append(list, h)
	}
	return list
}

// A lane signs for its journal at the site by itself. With the site's heads
// anybody proves later that the journal is whole; a lane's thief with a key of
// their own gives none.
func TestHeads(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	c.start()
	c.cross(3)
	a.has("E1", 3, 60)
	c.stop()
	c.start() // the first head comes a second after the start
	until(t, "the site has a head", func() bool { return len(a.heads("E1")) > 0 })
	c.stop()
	heads := a.heads("E1")
	db, err := sqlite.Open(t.Context(), c.path)
	if err != nil {
		t.Fatal(err)
	}
	if entries, covered, err := audit.Verify(t.Context(), db.Reader, heads); err != nil || entries != 60 || covered != 60 {
		t.Errorf("%d entries, %d covered, %v", entries, covered, err)
	}
	if _, err := db.Writer.Exec("DELETE FROM entry WHERE seq > 40"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := audit.Verify(t.Context(), db.Reader, heads); err == nil || !strings.Contains(err.Error(), "the end was removed") {
		t.Errorf("a journal that was cut: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// The thief's key is not the one that the site knows, and theirs is a
	// shorter journal, too.
	for _, name := range []string{"audit.key", "audit.key.pub"} {
		if err := os.Remove(filepath.Join(filepath.Dir(c.path), name)); err != nil {
			t.Fatal(err)
		}
	}
	var said lines
	c.log = slog.New(slog.NewTextHandler(&said, nil))
	c.start()
	until(t, "the site refuses a head", func() bool { return said.has("does not take it: signature") })
	if now := a.heads("E1"); len(now) != len(heads) {
		t.Errorf("%d heads, %d before", len(now), len(heads))
	}
}

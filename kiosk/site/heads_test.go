package site

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"passage/kiosk/audit"
	"passage/kiosk/fleet"
)

// A lane that signs for two histories is found out when it does.
func TestHeadsOfTwoHistories(t *testing.T) {
	db, err := openStore(t.Context(), filepath.Join(t.TempDir(), "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &Site{conf: Config{Log: slog.New(slog.DiscardHandler)}, db: db}
	private, public, err := note.GenerateKey(rand.Reader, "passage-E1")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, history string
		size          int64
		code          string
	}{
		{"the first", "a", 12, ""},
		{"the same once more", "a", 12, ""},
		{"another history as long", "b", 12, "another"},
		{"a longer one", "c", 13, ""},
		{"a shorter one", "a", 12, "shorter"},
	} {
		b, err := audit.Head{Lane: "E1", Journal: "j", Size: c.size, Root: tlog.RecordHash([]byte(c.history))}.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(fleet.SignedHead{Key: public, Note: b})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.head(t.Context(), "E1", body); err != nil || a.Code != c.code || a.OK != (c.code == "") {
			t.Errorf("%s: %+v, %v; want %q", c.name, a, err, c.code)
		}
	}
}

package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A damaged store is refused with a way out, and stays as it was.
func TestDamagedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	db, err := openStore(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"no database": strings.Repeat("not a database. ", 900),
		"torn":        string(whole[:2000]) + strings.Repeat("\x00", len(whole)-2000),
	} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openStore(t.Context(), path); err == nil || !strings.Contains(err.Error(), "passage restore") {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != damaged {
			t.Errorf("%s: it was changed, %v", name, err)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"passage/kiosk/site"
)

// Heads go where the page on operations says, into a folder that is not there yet.
func TestHeadsIntoANewFolder(t *testing.T) {
	dir := t.TempDir()
	example, err := os.ReadFile("../../../examples/console.toml")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "console.toml")
	if err := os.WriteFile(conf, []byte(strings.Replace(string(example), "/var/lib/passage-console", dir, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	db, closing, err := site.OpenDatabase(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO head_key VALUES ('E1', 'E1+key', 1); INSERT INTO head VALUES ('E1', '7', 3, 1, X'61')"); err != nil {
		t.Fatal(err)
	}
	if err := closing(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "heads")
	var c headsCmd
	p, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse([]string{"--config", conf, "--lane", "E1", "--out", out}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "E1-7-3.head")); err != nil || string(b) != "a" {
		t.Errorf("%q, %v", b, err)
	}
}

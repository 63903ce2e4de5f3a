package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
)

// whole is a configuration whose files lie in DIR.
const whole = `
[lane]
id = "E1"
site = "Testport"
direction = "entry"
timezone = "Europe/Paris"
[reader]
type = "pcsc"
[mrz]
tty = "/dev/null"
[gate]
tty = "/dev/null"
[camera]
url = "http://127.0.0.1:9/stream"
[vision]
program = "DIR/visiond"
packs = "DIR"
[register]
url = "https://127.0.0.1:9"
ca = "DIR/ca.pem"
cert = "DIR/lane.pem"
key = "DIR/lane.key"
[trust]
dir = "DIR"
[web]
listen = "127.0.0.1:0"
[store]
path = "DIR/lane.db"
key = "DIR/lane.key32"
[[officer]]
id = "anna"
role = "guard"
pin = "pbkdf2-sha256$1$aa$bb"
`

// What a lane cannot start on is said in words that tell what to do, and
// nothing of it is changed.
func TestStartRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    []string
	}{
		{"no key", func(t *testing.T, dir string) { remove(t, dir, "lane.key32") }, []string{"store.key", "lane.key32"}},
		{"a short key", func(t *testing.T, dir string) { write(t, dir, "lane.key32", "short") }, []string{"key"}},
		{"a database that is none", func(t *testing.T, dir string) {
			write(t, dir, "lane.db", strings.Repeat("this is no database\n", 400))
		}, []string{"lane.db", "not a database"}},
		{"a database cut short", func(t *testing.T, dir string) { write(t, dir, "lane.db", "SQLite format 3\x00\x10\x00\x02\x02\x00") }, []string{"lane.db"}},
		{"torn pages of the journal", func(t *testing.T, dir string) { torn(t, dir, func(n int) bool { return n > 0 }) }, []string{"malformed", "passage journal check", "passage journal salvage"}},
		{"torn pages behind the tables that are read first", func(t *testing.T, dir string) { torn(t, dir, func(n int) bool { return n > 8 }) }, []string{"malformed", "passage journal salvage"}},
		{"no certificates", func(*testing.T, string) {}, []string{"certificate", "lane.pem"}},
		{"a typing mistake", func(t *testing.T, dir string) { replace(t, dir, "direction", "directoin") }, []string{"lane.toml", "5| directoin"}},
		{"two mistakes", func(t *testing.T, dir string) {
			replace(t, dir, `"entry"`, `"sideways"`)
			replace(t, dir, "Europe/Paris", "Europe/Atlantis")
		}, []string{"sideways", "Atlantis"}},
		{"no text at all", func(t *testing.T, dir string) { write(t, dir, "lane.toml", "\x00\xFF\xFE") }, []string{"lane.toml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "lane.toml", strings.ReplaceAll(whole, "DIR", dir))
			write(t, dir, "lane.key32", strings.Repeat("k", 32))
			c.prepare(t, dir)
			before, _ := os.ReadFile(filepath.Join(dir, "lane.db"))
			err := run(cli{Config: filepath.Join(dir, "lane.toml")})
			if err == nil {
				t.Fatal("the lane started")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if after, _ := os.ReadFile(filepath.Join(dir, "lane.db")); len(before) > 0 && !bytes.Equal(before, after) {
				t.Error("the database was changed")
			}
		})
	}
}

// torn makes a lane's database with some steps, and zeroes pages of it.
func torn(t *testing.T, dir string, page func(n int) bool) {
	t.Helper()
	conf := config.Config{Store: config.Store{Path: filepath.Join(dir, "lane.db"), Key: filepath.Join(dir, "lane.key32")}}
	s, err := openStore(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.journal.Run(ctx) }()
	for n := range 200 {
		s.journal.Append(kiosk.Entry{Now: lane.Instant(n), At: time.Unix(int64(n), 0), Event: lane.Tick{}})
	}
	cancel()
	if err := errors.Join(<-done, s.db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(conf.Store.Path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(b)/4096; n++ {
		if page(n) {
			clear(b[n*4096 : (n+1)*4096])
		}
	}
	write(t, dir, "lane.db", string(b))
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, dir, old, text string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "lane.toml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "lane.toml", strings.Replace(string(b), old, text, 1))
}

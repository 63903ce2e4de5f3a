package commission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/hwsim/gate"
	"passage/kiosk/config"
)

// serve puts a simulated gate on a pseudo-terminal and returns its name.
func serve(t *testing.T, speaks string) string {
	t.Helper()
	tty := filepath.Join(t.TempDir(), "gate")
	g := gate.New(gate.Config{})
	if speaks != "" {
		g.Speak(exampleMap(t, speaks))
	}
	g.Advance(2 * time.Second)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, tty) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for began := time.Now(); ; {
		if _, err := os.Lstat(tty); err == nil {
			return tty
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("no gate")
		}
	}
}

var exampleMaps = []string{"../../examples/gates/counters.toml", "../../examples/gates/status-word.toml"}

// The gate is found among ports, whatever it speaks; one that fits no map is
// told from silence.
func TestFindGate(t *testing.T) {
	for speaks, want := range map[string]Gate{
		"":            {Map: ""},
		"counters":    {Map: exampleMaps[0]},
		"status-word": {Map: exampleMaps[1], Asks: true},
	} {
		tty := serve(t, speaks)
		g, err := FindGate(t.Context(), []string{filepath.Join(t.TempDir(), "nothing"), tty}, exampleMaps)
		if err != nil || g.TTY != tty || g.Map != want.Map || g.Asks != want.Asks || g.Baud != 19200 || g.Name == "" {
			t.Errorf("speaks %q: %+v, %v", speaks, g, err)
		}
	}
	tty := serve(t, "counters")
	if _, err := FindGate(t.Context(), []string{tty}, exampleMaps[1:]); !errors.Is(err, ErrNoGate) || !strings.Contains(err.Error(), "fits none") {
		t.Errorf("another gate: %v", err)
	}
}

// answers are an answers file without what is to be found.
func answers(t *testing.T, dir string) string {
	t.Helper()
	return fmt.Sprintf(`
[lane]
id = "E1"
site = "Testport"
direction = "entry"
timezone = "Europe/Paris"
[reader]
type = "vpcd"
address = "127.0.0.1:35963"
[mrz]
tty = "auto"
[camera]
url = "http://127.0.0.1:8090/stream"
[vision]
program = "bin/visiond"
packs = ".cache/packs"
[register]
url = "https://127.0.0.1:8443"
ca = "ca.pem"
cert = "lane.pem"
key = "lane.key"
[trust]
dir = "trust"
[web]
listen = "127.0.0.1:8080"
[store]
path = %q
key = %q
[[officer]]
id = "anna"
name = "Anna Amt"
role = "guard"
pin = "pbkdf2-sha256$1$aa$bb"
`, filepath.Join(dir, "lane.db"), filepath.Join(dir, "lane.key32"))
}

// Answers and what is found make a configuration that kioskd accepts, and the
// store's key.
func TestSetup(t *testing.T) {
	dir, tty := t.TempDir(), serve(t, "")
	d, err := ReadDraft([]byte(answers(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	find := Finder{Ports: func() []string { return []string{tty, "/dev/serial/by-id/mrz"} }, Cameras: func() []string { return nil }, Maps: exampleMaps}
	said := ""
	ask := Nobody{Tell: func(f string, a ...any) { said += fmt.Sprintf(f, a...) + "\n" }}
	if err := Setup(t.Context(), d, ask, find); err != nil {
		t.Fatal(err)
	}
	c, b, err := Check(d)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if c.Gate.TTY != tty || c.MRZ.TTY != "/dev/serial/by-id/mrz" || len(c.Officers) != 1 || c.Kiosk.Lane != "E1" {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(said, "ABC-LANE") || !strings.Contains(said, "made the store's key") {
		t.Errorf("said %q", said)
	}
	if info, err := os.Stat(filepath.Join(dir, "lane.key32")); err != nil || info.Size() != 32 || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}

	path := filepath.Join(dir, "lane.toml")
	if _, err := WriteConfig(path, b, false); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := WriteConfig(path, []byte("other"), false); !errors.Is(err, ErrThere) {
		t.Errorf("a configuration is overwritten: %v", err)
	}
	backup, err := WriteConfig(path, []byte("other"), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{backup: b, path: []byte("other")} {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v left behind, %v", left, err)
	}
}

// What is neither answered nor found is named.
func TestSetupLacks(t *testing.T) {
	for _, c := range []struct{ remove, want string }{
		{`direction = "entry"`, "lane.direction"},
		{`url = "https://127.0.0.1:8443"`, "register.url"},
		{`url = "http://127.0.0.1:8090/stream"`, "camera.url"},
	} {
		dir := t.TempDir()
		d, err := ReadDraft([]byte(strings.Replace(answers(t, dir), c.remove, "", 1) + "\n[gate]\ntty = \"/dev/ttyS1\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		d.set("mrz.tty", "/dev/ttyS2")
		find := Finder{Ports: func() []string { return nil }, Cameras: func() []string { return []string{"v4l2:///dev/video0", "v4l2:///dev/video1"} }}
		if err := Setup(t.Context(), d, Nobody{Tell: func(string, ...any) {}}, find); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %s: %v", c.remove, err)
		}
	}
	if _, err := ReadDraft([]byte("lane = ")); err == nil {
		t.Error("answers that are no TOML are read")
	}
}

// Somebody at a terminal picks by number, agrees by Enter, insists by words.
func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	term := NewTerminal("tess", strings.NewReader("2\n\n\nv4l2:///dev/video9\ns\n\nwhat\nno too loud\n"), &out)
	ctx := t.Context()
	for _, c := range []struct {
		fallback string
		choices  []string
		want     string
	}{{"", []string{"one", "two"}, "two"}, {"one", []string{"one"}, "one"}, {"", []string{"v4l2:///dev/video0"}, "v4l2:///dev/video9"}} {
		if got, err := term.Ask(ctx, "key", "Which?", c.choices, c.fallback); err != nil || got != c.want {
			t.Errorf("%q, %v; want %q", got, err, c.want)
		}
	}
	for _, want := range []bool{false, true} {
		if got, err := term.Ready(ctx, Step{Title: "Walk"}); err != nil || got != want {
			t.Errorf("ready %v, %v", got, err)
		}
	}
	if yes, note, err := term.Confirm(ctx, "help", "Heard?"); yes || note != "too loud" || err != nil {
		t.Errorf("%v %q %v", yes, note, err)
	}
	if _, _, err := term.Confirm(ctx, "help", "Heard?"); !errors.Is(err, ErrGone) {
		t.Errorf("after the end: %v", err)
	}
}

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"passage/drivers/gate"
	"passage/drivers/gate/regmap"
	"passage/hwsim/lanesim"
	"passage/hwsim/register/testca"
	"passage/kiosk/config"
	"passage/kiosk/web"
)

// fragments is all that a kioskd needs, of the lane with these devices.
func fragments(t *testing.T, d *lanesim.Devices) string {
	t.Helper()
	hash, err := web.HashPIN(pin)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := deskConf("127.0.0.1:8080", filepath.Join(d.Dir, "lane"), hash)
	if err != nil {
		t.Fatal(err)
	}
	return laneConf(d, "entry", "type = \"vpcd\"\naddress = \"127.0.0.1:8220\"", "", d.Dir) + desk + registerConf("127.0.0.1:8443", testca.Files(d.Dir, "lane"))
}

// What lane and register print is a whole configuration when put together.
func TestFragmentsMakeAConfiguration(t *testing.T) {
	d := &lanesim.Devices{Name: "lane", Dir: t.TempDir(), Camera: "127.0.0.1:8190"}
	text := fragments(t, d)
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if c.Gate.TTY != d.GatePath() || c.Camera != "http://127.0.0.1:8190/stream" || len(c.Officers) != 2 {
		t.Errorf("%+v", c)
	}
	if b, err := os.ReadFile(c.Store.Key); err != nil || len(b) != 32 {
		t.Errorf("the store's key: %d bytes, %v", len(b), err)
	}
}

// A lane with another maker's gate: kioskd takes the configuration, and the gate on
// the line is the one of its map.
func TestLaneWithAForeignGate(t *testing.T) {
	for _, name := range []string{"counters", "status-word"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("../../../examples/gates", name+".toml")
			m, err := regmap.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			d := &lanesim.Devices{Name: "lane", Dir: t.TempDir(), Camera: addresses(t, 1)[0], Map: m}
			text, err := withMap(fragments(t, d), path, m)
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse([]byte(text))
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			ctx, stop := context.WithCancel(t.Context())
			ready, ended := make(chan struct{}), make(chan error, 1)
			go func() { ended <- d.Run(ctx, func() { close(ready) }) }()
			<-ready
			port, err := gate.OpenPort(c.Gate.TTY, c.Gate.Baud, c.Gate.Format)
			if err != nil {
				t.Fatal(err)
			}
			p, err := gate.Probe(port, gate.Config{Address: byte(c.Gate.Address), Baud: c.Gate.Baud, Map: c.Gate.Map, FallbackFrees: c.Gate.FallbackFrees})
			if err != nil || !p.Snapshot.Entry.Closed() {
				t.Errorf("%+v, %v", p, err)
			}
			if _, err := gate.Probe(port, gate.Config{Address: byte(c.Gate.Address), Baud: c.Gate.Baud}); err == nil {
				t.Error("it speaks ABC-LANE")
			}
			if err := port.Close(); err != nil {
				t.Error(err)
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCertificatesAreMadeOnce(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for _, c := range []struct {
		names []string
		now   time.Time
		made  bool
	}{
		{[]string{"register", "a"}, now, true},
		{[]string{"register", "a"}, now, false},
		{[]string{"register", "a", "b"}, now, true},
		{[]string{"register", "b"}, now, false},
		{[]string{"register", "b"}, now.AddDate(1, 0, 0), true},
	} {
		made, err := certificates(dir, c.names, c.now)
		if err != nil || made != c.made {
			t.Errorf("%v: made %v, %v; want %v", c.names, made, err, c.made)
		}
	}
}

// --help of every command teaches by an example of that command.
func TestHelpTeaches(t *testing.T) {
	k, err := kong.New(&cli{}, kong.Name("hwsim"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range k.Model.Leaves(true) {
		if !strings.Contains(n.Detail, "\n  hwsim "+n.Name) {
			t.Errorf("hwsim %s --help has no example", n.Path())
		}
	}
}

// A run empties the folder that it works in, and no other.
func TestWorkFolder(t *testing.T) {
	home := t.TempDir()
	theirs := filepath.Join(home, "thesis.txt")
	if err := os.WriteFile(theirs, []byte("years"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := workFolder(home); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("a folder with files: %v", err)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(home, "run"), filepath.Join(home, ".cache", "demo")} {
		old := filepath.Join(dir, "lane.db")
		for range 2 {
			if err := workFolder(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(old); err == nil {
				t.Errorf("%s was not emptied", dir)
			}
			if err := os.WriteFile(old, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What earlier versions left has no mark, and lies in .cache.
	if err := os.Remove(filepath.Join(home, ".cache", "demo", ".hwsim")); err != nil {
		t.Fatal(err)
	}
	if err := workFolder(filepath.Join(home, ".cache", "demo")); err != nil {
		t.Error(err)
	}
}

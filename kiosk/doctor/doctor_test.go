package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/drivers/gate/regmap"
	"passage/eesclient"
	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/mrzreader"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/register"
	"passage/hwsim/register/testca"
	"passage/kiosk/config"
	"passage/sqlite"
)

// run starts a simulated device and ends it with the test.
func run(t *testing.T, serve func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// appears waits for a file.
func appears(t *testing.T, path string) {
	t.Helper()
	for began := time.Now(); ; {
		if _, err := os.Lstat(path); err == nil {
			return
		}
		if time.Since(began) > 5*time.Second {
			t.Fatalf("%s does not appear", path)
		}
	}
}

// expect compares a finding's state and looks for words in what it says.
func expect(t *testing.T, what string, f Finding, state string, words ...string) {
	t.Helper()
	if f.State != state {
		t.Errorf("%s: %+v, want %s", what, f, state)
	}
	if f.State != "ok" && f.Todo == "" {
		t.Errorf("%s: %q, and nothing to do about it", what, f.Found)
	}
	for _, w := range words {
		if !strings.Contains(f.Found+" "+f.Todo, w) {
			t.Errorf("%s: %+v does not say %q", what, f, w)
		}
	}
}

func TestDoctorStore(t *testing.T) {
	dir := t.TempDir()
	key, path := filepath.Join(dir, "key"), filepath.Join(dir, "lane.db")
	c := config.Config{Store: config.Store{Path: path, Key: key}}
	look := func() Finding { return lookStore(t.Context(), c) }
	put := func(path string, n int, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, make([]byte, n), mode); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "no key", look(), "bad", "passage keys new")
	put(key, 16, 0o600)
	expect(t, "a short key", look(), "bad", "16 bytes")
	put(key, 32, 0o600)
	expect(t, "no store yet", look(), "ok")
	if _, err := os.Stat(path); err == nil {
		t.Error("the doctor has made a store")
	}
	put(path, 8192, 0o600)
	expect(t, "no store, but a file", look(), "bad", "put the file aside")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	expect(t, "a store in use", look(), "ok")
	for mode, want := range map[os.FileMode][2]string{0o640: {"ok", ""}, 0o660: {"warn", "chmod 640"}, 0o644: {"bad", "chmod 600"}} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		expect(t, fmt.Sprintf("a key with mode %v", mode), look(), want[0], want[1])
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Store.Path = filepath.Join(dir, "none", "lane.db")
	expect(t, "no folder", look(), "bad")
}

func TestDoctorTrust(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trust")
	look := func() Finding { return lookTrust(t.Context(), config.Config{Trust: config.Trust{Dir: dir}}) }
	expect(t, "no folder", look(), "bad", dir)
	a, err := testpki.NewAuthority("UT", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := testpki.Write(dir, a); err != nil {
		t.Fatal(err)
	}
	age := func(d time.Duration) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.Chtimes(f, time.Time{}, time.Now().Add(-d)); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect(t, "new", look(), "ok", "1 authorities, 1 revocation lists")
	age(80 * time.Hour)
	expect(t, "older than 72 h", look(), "warn", "80 h")
	age(8 * 24 * time.Hour)
	expect(t, "older than 7 d", look(), "bad", "192 h")
	lists, err := filepath.Glob(filepath.Join(dir, "*.crl"))
	if err != nil || len(lists) == 0 {
		t.Fatal(err, lists)
	}
	for _, l := range lists {
		if err := os.Remove(l); err != nil {
			t.Fatal(err)
		}
	}
	age(0)
	expect(t, "no revocation list", look(), "warn", "revoked")
}

func TestDoctorGate(t *testing.T) {
	tty := filepath.Join(t.TempDir(), "gate")
	c := config.Config{Gate: config.Gate{TTY: tty, Baud: 19200, Format: "8E1", Address: 1}}
	look := func() Finding { return lookGate(t.Context(), c) }
	expect(t, "no device", look(), "bad", "gate.tty")
	g := gate.New(gate.Config{})
	g.Advance(2 * time.Second)
	run(t, func(ctx context.Context) error { return g.Serve(ctx, tty) })
	appears(t, tty)
	expect(t, "a gate", clearly(look), "ok", "FC43/14", "SAFE_CLOSED", "CLOSED_LOCKED")
	g.Inject("tamper", 0)
	g.Advance(3 * time.Second)
	expect(t, "an alarm", look(), "bad", "TAMPER", "housing", "clear_alarms")
	c.Gate.Address = 2
	expect(t, "another address", look(), "bad", "gate.address")
}

// clearly looks until nothing had to be repeated on the line: a machine under load
// spoils a frame by itself.
func clearly(look func() Finding) (f Finding) {
	for range 6 {
		if f = look(); !strings.Contains(f.Found, spoiled) {
			break
		}
	}
	return f
}

// A foreign gate is read point by point; a register that holds what it cannot is
// named.
func TestDoctorMappedGate(t *testing.T) {
	load := func() *regmap.Map {
		m, err := regmap.Load("../../examples/gates/counters.toml")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	tty := filepath.Join(t.TempDir(), "gate")
	g := gate.New(gate.Config{})
	g.Speak(load())
	g.Advance(2 * time.Second)
	run(t, func(ctx context.Context) error { return g.Serve(ctx, tty) })
	appears(t, tty)
	c := config.Config{Gate: config.Gate{TTY: tty, Baud: 19200, Format: "8E1", Address: 1, Map: load()}}
	expect(t, "as its map says", clearly(func() Finding { return lookGate(t.Context(), c) }), "ok", "model 7301", "SAFE_CLOSED", "all ")
	c.Gate.Map.Supply.Scale = 1
	expect(t, "another scale", lookGate(t.Context(), c), "bad", "supply in input 30 holds 2405", "gate check")
	*c.Gate.Map.Identity.Equals = 1
	expect(t, "another model", lookGate(t.Context(), c), "bad", "another device", "gate.map")
	c.Gate.Map = nil
	expect(t, "no map", lookGate(t.Context(), c), "bad", "gate.map")
}

func TestDoctorMRZ(t *testing.T) {
	tty := filepath.Join(t.TempDir(), "mrz")
	c := config.Config{MRZ: config.Serial{TTY: tty, Baud: 9600, Framing: "stx"}}
	expect(t, "no device", lookMRZ(t.Context(), c), "bad", "mrz.tty")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if _, err := mrzreader.Open(ctx, tty, 9600); err != nil {
		t.Fatal(err)
	}
	expect(t, "a reader", lookMRZ(t.Context(), c), "ok", "opens at 9600")
}

func TestDoctorReader(t *testing.T) {
	c := config.Config{Reader: config.Reader{Type: "vpcd", Address: "127.0.0.1:0"}}
	expect(t, "a remote card", lookReader(t.Context(), c), "ok", "simulations")
	c.Reader.Address = "192.0.2.1:1"
	expect(t, "a foreign address", lookReader(t.Context(), c), "bad")
	c.Reader = config.Reader{Type: "pcsc", Name: "no reader has this name"}
	expect(t, "no such reader", lookReader(t.Context(), c), "bad")
}

func TestDoctorRegister(t *testing.T) {
	dir := t.TempDir()
	if err := testca.Write(dir, "register", "lane"); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reg, err := register.New(t.Context(), db.Writer)
	if err != nil {
		t.Fatal(err)
	}
	at := make(chan string, 1)
	run(t, func(ctx context.Context) error {
		return reg.Serve(ctx, "127.0.0.1:0", testca.Files(dir, "register"), func(addr string) { at <- addr })
	})
	addr := <-at
	with := func(f eesclient.Files, url string) Finding {
		return lookRegister(t.Context(), config.Config{Register: config.Register{URL: url, CA: f.CA, Cert: f.Cert, Key: f.Key}})
	}
	lane := testca.Files(dir, "lane")
	expect(t, "a register", with(lane, "https://"+addr), "ok", "SIS")
	expect(t, "no certificate", with(testca.Files(dir, "nobody"), "https://"+addr), "bad", "[register]")
	expect(t, "nobody there", with(lane, "https://127.0.0.1:1"), "bad", "network")
	expect(t, "a clock like ours", with(lane, "https://"+addr), "ok", "ms apart")
	reg.Inject("health", "past")
	expect(t, "an hour apart", with(lane, "https://"+addr), "bad", "1h0m0s apart", "time server")
	reg.Inject("health", "")
	reg.Inject("search", "down")
	expect(t, "no EES", with(lane, "https://"+addr), "warn", "EES")
	reg.Inject("SLTD", "down")
	expect(t, "no SLTD", with(lane, "https://"+addr), "bad", "SLTD does not")
	reg.Inject("health", "down")
	expect(t, "no health", with(lane, "https://"+addr), "bad", "503")
}

// worker finds visiond and its pack, as make setup and make build leave them.
func worker(t *testing.T) config.Vision {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	v := config.Vision{Program: filepath.Join(root, "bin", "visiond"), Packs: filepath.Join(root, ".cache", "packs"), Pack: "default"}
	for _, path := range []string{v.Program, filepath.Join(v.Packs, v.Pack, "manifest.toml")} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is missing: make build", path)
		}
	}
	return v
}

func TestDoctorVision(t *testing.T) {
	v := worker(t)
	expect(t, "a pack", lookPack(t.Context(), config.Config{Vision: v}), "ok", "loads")
	none := v
	none.Packs = t.TempDir()
	expect(t, "no pack", lookPack(t.Context(), config.Config{Vision: none}), "bad", "make setup")
	if testing.Short() {
		t.Skip("watching a camera takes seconds")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := config.Config{Vision: v, Camera: "http://" + at + "/stream"}
	eye := &camera.Camera{}
	run(t, func(ctx context.Context) error { return eye.Serve(ctx, at) })
	expect(t, "a camera", lookCamera(t.Context(), c), "ok", "720 × 960")
	eye.Inject("covered")
	expect(t, "a covered one", lookCamera(t.Context(), c), "bad", "covered")
	eye.Inject("frozen")
	expect(t, "a frozen one", lookCamera(t.Context(), c), "bad", "frozen")
}

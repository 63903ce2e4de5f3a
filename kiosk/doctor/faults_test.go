package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// lab is a lane's devices, all well, and the configuration that names them.
type lab struct {
	dir  string
	gate *gate.Gate
	eye  *camera.Camera
	reg  *register.Register
	conf config.Config
	eyed bool // the camera is looked at, too, which takes seconds
}

// connect puts a new gate on the line.
func (l *lab) connect(t *testing.T) {
	t.Helper()
	tty := filepath.Join(t.TempDir(), "gate")
	l.gate = gate.New(gate.Config{})
	l.gate.Advance(2 * time.Second)
	run(t, func(ctx context.Context) error { return l.gate.Serve(ctx, tty) })
	appears(t, tty)
	l.conf.Gate.TTY = tty
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir(), eye: &camera.Camera{}}
	at := func(name string) string { return filepath.Join(l.dir, name) }
	l.conf = config.Config{Gate: config.Gate{Baud: 19200, Format: "8E1", Address: 1}, MRZ: config.Serial{TTY: at("mrz"), Baud: 9600, Framing: "stx"}}
	l.conf.Reader = config.Reader{Type: "vpcd", Address: "127.0.0.1:0"}
	l.conf.Store = config.Store{Path: at("lane.db"), Key: at("key")}
	l.conf.Trust.Dir = at("trust")

	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	if _, err := mrzreader.Open(ctx, l.conf.MRZ.TTY, 9600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.conf.Store.Key, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), l.conf.Store.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ca, err := testpki.NewAuthority("UT", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := testpki.Write(l.conf.Trust.Dir, ca); err != nil {
		t.Fatal(err)
	}
	if err := testca.Write(at("tls"), "register", "lane", "old/lane/expired"); err != nil {
		t.Fatal(err)
	}
	mem, err := sqlite.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	if l.reg, err = register.New(t.Context(), mem.Writer); err != nil {
		t.Fatal(err)
	}
	f := testca.Files(at("tls"), "lane")
	l.conf.Register = config.Register{URL: l.serve(t, testca.Files(at("tls"), "register")), CA: f.CA, Cert: f.Cert, Key: f.Key}
	return l
}

// serve has the register answer with a certificate, and returns where.
func (l *lab) serve(t *testing.T, f eesclient.Files) string {
	t.Helper()
	addr := make(chan string, 1)
	run(t, func(ctx context.Context) error {
		return l.reg.Serve(ctx, "127.0.0.1:0", f, func(a string) { addr <- a })
	})
	return "https://" + <-addr
}

// look makes every look that takes no seconds, and the camera's where it is served.
func (l *lab) look(t *testing.T) map[string]Finding {
	t.Helper()
	all := map[string]Finding{}
	for _, c := range Checks() {
		if c.Name != "model pack" && (c.Name != "camera" || l.eyed) {
			all[c.Name] = c.Look(t.Context(), l.conf)
		}
	}
	return all
}

// row is a fault, and what doctor says of the device that has it.
type row struct {
	device, name string
	spoil        func(*testing.T, *lab)
	state        string
	words        []string
}

// Every fault that the simulator can inject is found at the device that has it,
// with advice that is about it, and no other device is suspected.
func TestDoctorNamesTheDevice(t *testing.T) {
	l := newLab(t)
	inject := func(name string, count int) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			if !l.gate.Inject(name, count) {
				t.Fatal("no such fault")
			}
			l.gate.Advance(3 * time.Second)
		}
	}
	asked := func(operation, fault string) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			l.reg.Inject(operation, fault)
			t.Cleanup(func() { l.reg.Inject(operation, "") })
		}
	}
	set := func(change func(*config.Config)) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			was := l.conf
			change(&l.conf)
			t.Cleanup(func() { l.conf = was })
		}
	}
	rows := []row{
		{"gate", "fire", inject("fire", 0), "bad", []string{"FIRE", "EVACUATE", "fire contact"}},
		{"gate", "egress_button", inject("egress_button", 0), "bad", []string{"EGRESS_BUTTON", "button"}},
		{"gate", "tamper", inject("tamper", 0), "bad", []string{"TAMPER", "housing"}},
		{"gate", "battery", inject("battery", 0), "warn", []string{"battery", "mains"}},
		{"gate", "stuck_s1", inject("stuck_s1", 0), "warn", []string{"S1", "align"}},
		{"gate", "stuck_s4", inject("stuck_s4", 0), "warn", []string{"S4", "align"}},
		{"gate", "stuck_s1 for a minute", func(t *testing.T, l *lab) { inject("stuck_s1", 0)(t, l); l.gate.Advance(90 * time.Second) }, "bad", []string{"SENSOR_STUCK", "S1"}},
		// A leaf that stands still shows its drive's faults only when it moves,
		// which doctor does not let it: passage commission does.
		{"gate", "jam_entry", inject("jam_entry", 0), "ok", nil},
		{"gate", "jam_exit", inject("jam_exit", 0), "ok", nil},
		{"gate", "slow_entry", inject("slow_entry", 0), "ok", nil},
		{"gate", "slow_exit", inject("slow_exit", 0), "ok", nil},
		{"gate", "force_entry", inject("force_entry", 0), "bad", []string{"FORCED_ENTRY", "hinges"}},
		{"gate", "force_exit", inject("force_exit", 0), "bad", []string{"FORCED_EXIT", "who went through"}},
		{"gate", "drop_request", inject("drop_request", 0), "bad", []string{"power", "gate.address"}},
		{"gate", "drop_reply", inject("drop_reply", 0), "bad", []string{"power", "gate.address"}},
		{"gate", "late_reply", inject("late_reply", 0), "bad", []string{"time-out"}},
		{"gate", "corrupt_request", inject("corrupt_request", 0), "bad", []string{"time-out"}},
		{"gate", "corrupt_reply", inject("corrupt_reply", 0), "bad", []string{"nobody can read it", "gate.baud"}},
		{"gate", "noise", inject("noise", 0), "bad", []string{"gate"}},
		{"gate", "partial", inject("partial", 0), "bad", []string{"nobody can read it"}},
		{"gate", "wrong_slave", inject("wrong_slave", 0), "bad", []string{"address"}},
		{"gate", "one reply is spoiled", inject("corrupt_reply", 1), "warn", []string{"repeated", "shield"}},
		{"gate", "no power", func(_ *testing.T, l *lab) { l.gate.Power(false) }, "bad", []string{"power"}},
		{"gate", "somebody inside", func(_ *testing.T, l *lab) { l.gate.AddPerson("p", gate.Marks); l.gate.Advance(3 * time.Second) }, "bad", []string{"INTRUSION", "mantrap"}},
		{"gate", "a bag inside", func(_ *testing.T, l *lab) { l.gate.AddBag("b", 1); l.gate.Advance(6 * time.Second) }, "bad", []string{"LEFT_LUGGAGE"}},
		{"gate", "held by another", func(t *testing.T, l *lab) { hold(t, l.conf.Gate.TTY) }, "bad", []string{"stop kioskd"}},
		{"gate", "another address", set(func(c *config.Config) { c.Gate.Address = 9 }), "bad", []string{"gate.address"}},

		{"MRZ reader", "unplugged", set(func(c *config.Config) { c.MRZ.TTY = "/dev/serial/by-id/nothing" }), "bad", []string{"mrz.tty", "by-id"}},
		{"MRZ reader", "no folder of pages", set(func(c *config.Config) { c.MRZ = config.Serial{Pages: "/nowhere/pages"} }), "bad", []string{"mrz.pages"}},
		{"document reader", "its address is taken", func(t *testing.T, l *lab) {
			in, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { in.Close() })
			set(func(c *config.Config) { c.Reader.Address = in.Addr().String() })(t, l)
		}, "bad", []string{"stop kioskd"}},
		{"document reader", "no such reader", set(func(c *config.Config) { c.Reader = config.Reader{Type: "pcsc", Name: "no reader has this name"} }), "bad", nil},

		{"register", "down", asked("health", "down"), "bad", []string{"503"}},
		{"register", "error", asked("health", "error"), "bad", []string{"500"}},
		{"register", "nonsense", asked("health", "nonsense"), "bad", []string{"network"}},
		{"register", "lost", asked("health", "lost"), "bad", []string{"network"}},
		{"register", "slow", asked("health", "slow"), "bad", []string{"network"}},
		{"register", "never", asked("health", "never"), "bad", []string{"network"}},
		{"register", "a connection that says nothing", func(t *testing.T, l *lab) {
			in, err := net.Listen("tcp", "127.0.0.1:0") // who connects waits in the kernel's queue
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { in.Close() })
			set(func(c *config.Config) { c.Register.URL = "https://" + in.Addr().String() })(t, l)
		}, "bad", []string{"network"}},
		{"register", "another authority's", func(t *testing.T, l *lab) {
			dir := t.TempDir()
			if err := testca.Write(dir, "register"); err != nil {
				t.Fatal(err)
			}
			at := l.serve(t, testca.Files(dir, "register"))
			set(func(c *config.Config) { c.Register.URL = at })(t, l)
		}, "bad", []string{"another register", l.conf.Register.CA}},
		{"register", "with a certificate that ended", func(t *testing.T, l *lab) {
			at := l.serve(t, testca.Files(filepath.Join(l.dir, "tls"), "old"))
			set(func(c *config.Config) { c.Register.URL = at })(t, l)
		}, "bad", []string{"has ended", "clock"}},
		{"register", "a lane that it does not know", func(t *testing.T, l *lab) {
			dir := t.TempDir()
			if err := testca.Write(dir, "lane"); err != nil {
				t.Fatal(err)
			}
			f := testca.Files(dir, "lane")
			set(func(c *config.Config) { c.Register.Cert, c.Register.Key = f.Cert, f.Key })(t, l)
		}, "bad", []string{"does not take this lane's certificate", "operator"}},
		{"register", "past", asked("health", "past"), "bad", []string{"time server"}},
		{"register", "contradiction", asked("health", "contradiction"), "ok", nil}, // of a consultation; health has none
		{"register", "no SIS", asked("SIS", "down"), "bad", []string{"SIS does not"}},
		{"register", "no FPR", asked("FPR", "down"), "bad", []string{"FPR does not"}},
		{"register", "no LOST", asked("LOST", "down"), "bad", []string{"LOST does not"}},
		{"register", "no EES", asked("search", "down"), "warn", []string{"without EES", "third-country"}},
		{"register", "certificate ended", set(func(c *config.Config) {
			f := testca.Files(filepath.Join(l.dir, "tls"), "old")
			c.Register.Cert, c.Register.Key = f.Cert, f.Key
		}), "bad", []string{"ended on", "renew"}},
		{"register", "no certificate", set(func(c *config.Config) { c.Register.Cert = "/nowhere/lane.pem" }), "bad", []string{"[register]"}},
		{"register", "nobody there", set(func(c *config.Config) { c.Register.URL = "https://127.0.0.1:1" }), "bad", []string{"network"}},

		{"console", "not enrolled", set(func(c *config.Config) { c.Fleet.Dir = "/nowhere/fleet" }), "bad", []string{"enrol"}},
		{"console", "shut out", func(t *testing.T, l *lab) {
			a, dir := newAirport(t), filepath.Join(t.TempDir(), "lane")
			a.join(t, "L1", dir)
			if err := a.site.Revoke(t.Context(), "L1"); err != nil {
				t.Fatal(err)
			}
			set(func(c *config.Config) { c.Fleet.Dir = dir })(t, l)
		}, "bad", []string{"shut out", "who", "enrol"}},
		{"console", "another computer has its place", func(t *testing.T, l *lab) {
			a, dir := newAirport(t), filepath.Join(t.TempDir(), "lane")
			a.join(t, "L1", dir)
			a.join(t, "L1", t.TempDir())
			set(func(c *config.Config) { c.Fleet.Dir = dir })(t, l)
		}, "bad", []string{"another one took the lane's place", "enrol"}},
		{"console", "another site's", func(t *testing.T, l *lab) {
			a, dir := newAirport(t), filepath.Join(t.TempDir(), "lane")
			a.join(t, "L1", dir)
			if err := os.WriteFile(filepath.Join(dir, "site.url"), []byte(newAirport(t).site.Address()), 0o600); err != nil {
				t.Fatal(err)
			}
			set(func(c *config.Config) { c.Fleet.Dir = dir })(t, l)
		}, "bad", []string{"another site's console", "enrol"}},
		{"power", "no supply daemon", set(func(c *config.Config) { c.Host.UPS = upsd(t, `ERR UNKNOWN-UPS`) }), "bad", []string{"upsc"}},
		{"power", "on battery", set(func(c *config.Config) { c.Host.UPS = upsd(t, `VAR ups ups.status "OB"`) }), "bad", []string{"mains"}},
		{"store", "no key", set(func(c *config.Config) { c.Store.Key = filepath.Join(l.dir, "none") }), "bad", []string{"passage keys new"}},
		{"store", "no folder", set(func(c *config.Config) { c.Store.Path = "/nowhere/lane.db" }), "bad", []string{"/nowhere"}},
		{"store", "no database", func(t *testing.T, l *lab) {
			path := filepath.Join(t.TempDir(), "lane.db")
			if err := os.WriteFile(path, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
			set(func(c *config.Config) { c.Store.Path = path })(t, l)
		}, "bad", []string{"put the file aside"}},
		{"trust store", "empty", set(func(c *config.Config) { c.Trust.Dir = t.TempDir() }), "bad", []string{"trust import"}},
		{"trust store", "no such folder", set(func(c *config.Config) { c.Trust.Dir = "/nowhere/trust" }), "bad", []string{"trust import"}},
	}
	for _, f := range append(gate.PhysicalFaults, gate.LinkFaults...) {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == f.Name }) {
			t.Errorf("the gate's fault %s has no row", f.Name)
		}
	}
	l.connect(t)
	well := l.look(t)
	for range 3 {
		if well["gate"].State == "ok" && well["register"].State == "ok" {
			break
		}
		well = l.look(t)
	}
	for name, f := range well {
		if f.State == "bad" || name != "clock" && f.State != "ok" {
			t.Errorf("all is well, and %s is %+v", name, f)
		}
	}
	for _, r := range rows {
		t.Run(r.device+"/"+r.name, func(t *testing.T) {
			// A machine under load may spoil a frame by itself: what is seen three
			// times is so.
			var wrong []string
			for range 3 {
				if wrong = l.try(t, r, well); len(wrong) == 0 {
					return
				}
			}
			t.Error(strings.Join(wrong, "\n"))
		})
	}
}

// The same for the camera's own faults, as the shipped worker sees them.
func TestDoctorNamesTheCamera(t *testing.T) {
	v := worker(t)
	if testing.Short() {
		t.Skip("watching a camera takes seconds")
	}
	l := newLab(t)
	l.eyed, l.conf.Vision = true, v
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error { return l.eye.Serve(ctx, at) })
	l.conf.Camera = "http://" + at + "/stream"
	l.connect(t)
	well := l.look(t)
	if well["camera"].State == "bad" {
		t.Fatalf("all is well, and the camera is %+v", well["camera"])
	}
	inject := func(fault string) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			l.eye.Inject(fault)
			t.Cleanup(func() { l.eye.Inject("") })
		}
	}
	for _, r := range []row{
		{"camera", "covered", inject("covered"), "bad", []string{"covered", "uncover the lens"}},
		{"camera", "frozen", inject("frozen"), "bad", []string{"frozen", "start the camera again"}},
		{"camera", "blur", inject("blur"), "warn", []string{"focus"}},
		{"camera", "unplugged", inject("unplugged"), "bad", []string{"power", "camera.url"}},
		{"camera", "nobody there", func(t *testing.T, l *lab) {
			was := l.conf.Camera
			l.conf.Camera = "http://127.0.0.1:1/stream"
			t.Cleanup(func() { l.conf.Camera = was })
		}, "bad", []string{"refused", "camera.url"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			var wrong []string
			for range 3 {
				if wrong = l.try(t, r, well); len(wrong) == 0 {
					return
				}
			}
			t.Error(strings.Join(wrong, "\n"))
		})
	}
}

// spoiled is what the doctor says of a line on which something was repeated: a
// machine under load does that by itself.
const spoiled = "had to be repeated"

// try spoils one thing and says what doctor gets wrong about it.
func (l *lab) try(t *testing.T, r row, well map[string]Finding) (wrong []string) {
	l.connect(t)
	r.spoil(t, l)
	for name, f := range l.look(t) {
		switch {
		case name != r.device && name == "gate" && strings.Contains(f.Found, spoiled):
		case name != r.device && f.State != well[name].State:
			wrong = append(wrong, fmt.Sprintf("%s is suspected: %+v", name, f))
		case name != r.device:
		case f.State != r.state, f.State != "ok" && f.Todo == "":
			wrong = append(wrong, fmt.Sprintf("%+v, want %s and what to do", f, r.state))
		default:
			for _, w := range r.words {
				if !strings.Contains(f.Found+" "+f.Todo, w) {
					wrong = append(wrong, fmt.Sprintf("%+v does not say %q", f, w))
				}
			}
		}
	}
	return wrong
}

// hold locks a serial device as another program would.
func hold(t *testing.T, tty string) {
	t.Helper()
	f, err := os.OpenFile(tty, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

package doctor

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"image"
	"image/jpeg"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/drivers/camera"
	simcamera "passage/hwsim/camera"
	"passage/kiosk/config"
	"passage/kiosk/console"
	"passage/kiosk/fleet"
	"passage/kiosk/host"
	"passage/kiosk/site"
)

func TestDoctorClock(t *testing.T) {
	set := host.Clock{Synchronised: true, MaxError: 12 * time.Millisecond}
	for _, c := range []struct {
		name   string
		clock  host.Clock
		needed bool
		state  string
		words  []string
	}{
		{"set, and needed", set, true, "ok", []string{"12ms"}},
		{"set, and nobody asks", set, false, "warn", []string{"host.clock"}},
		{"never set, and needed", host.Clock{}, true, "bad", []string{"chrony"}},
		{"never set, and nobody asks", host.Clock{}, false, "warn", []string{"not synchronised", "host.clock"}},
		{"far off", host.Clock{Synchronised: true, Offset: 3 * time.Second}, true, "bad", []string{"off by 3s"}},
		{"long unset", host.Clock{Synchronised: true, MaxError: 5 * time.Second}, true, "bad", []string{"5s"}},
	} {
		expect(t, c.name, clockFinding(c.clock, c.needed), c.state, c.words...)
	}
	if f := lookClock(t.Context(), config.Config{}); f.State == "" || f.Found == "" {
		t.Errorf("this machine's clock: %+v", f)
	}
}

// upsd answers every question with one line.
func upsd(t *testing.T, line string) *host.UPS {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				fmt.Fprintln(c, line)
			}
			c.Close()
		}
	}()
	return &host.UPS{Address: l.Addr().String(), Name: "ups"}
}

func TestDoctorPower(t *testing.T) {
	with := func(u *host.UPS) Finding {
		return lookPower(t.Context(), config.Config{Host: config.Host{UPS: u}})
	}
	expect(t, "none", with(nil), "ok", "no UPS")
	expect(t, "mains", with(upsd(t, `VAR ups ups.status "OL"`)), "ok", "OL")
	expect(t, "battery", with(upsd(t, `VAR ups ups.status "OB DISCHRG"`)), "bad", "on battery")
	expect(t, "low", with(upsd(t, `VAR ups ups.status "OB LB"`)), "bad", "low")
	expect(t, "old", with(upsd(t, `VAR ups ups.status "OL RB"`)), "warn", "replace")
	expect(t, "unknown", with(upsd(t, `ERR UNKNOWN-UPS`)), "bad", "upsc -l")
	expect(t, "nobody", with(&host.UPS{Address: "127.0.0.1:1", Name: "ups"}), "bad", "upsd")
}

func TestDoctorConsole(t *testing.T) {
	look := func(dir string) Finding {
		return lookConsole(t.Context(), config.Config{Fleet: config.Fleet{Dir: dir}})
	}
	expect(t, "no site", look(""), "ok", "no site")
	expect(t, "not enrolled", look(t.TempDir()), "bad", "passage lane enrol")

	dir := filepath.Join(t.TempDir(), "lane")
	a := newAirport(t)
	a.join(t, "L1", dir)
	expect(t, "a site", look(dir), "ok", "answers", "ends on")
	a.site.Close()
	expect(t, "a site that is away", look(dir), "bad", "consoled")
}

// airport is a site on loopback.
type airport struct {
	dir  string
	site *site.Site
	door string
}

func newAirport(t *testing.T) *airport {
	t.Helper()
	log, a := slog.New(slog.DiscardHandler), &airport{dir: t.TempDir()}
	var err error
	if a.site, err = site.Open(t.Context(), site.Config{Dir: a.dir, Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.site.Close)
	run(t, a.site.Run)
	door, err := tls.Listen("tcp", "127.0.0.1:0", a.site.TLS())
	if err != nil {
		t.Fatal(err)
	}
	desk := &http.Server{Handler: console.Enrolment(a.site, log), ReadHeaderTimeout: time.Second}
	go func() { _ = desk.Serve(door) }() // ended by Close
	t.Cleanup(func() { desk.Close() })
	a.door = "https://" + door.Addr().String()
	return a
}

// join enrols a lane, whose credentials are in dir then.
func (a *airport) join(t *testing.T, id, dir string) {
	t.Helper()
	code, err := site.Code(t.Context(), a.dir, id, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := fleet.Enrol(t.Context(), a.door, code, dir); err != nil {
		t.Fatal(err)
	}
}

// What is no NATS server is not taken for the site.
func TestDoctorConsoleRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	newAirport(t).join(t, "L1", dir)
	for name, say := range map[string]string{"nonsense": "220 mail\r\n", "no end": strings.Repeat("x", 10_000), "nothing": ""} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				fmt.Fprint(c, say)
				c.Close()
			}
		}()
		if err := os.WriteFile(filepath.Join(dir, "site.url"), []byte("tls://"+l.Addr().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, name, lookConsole(t.Context(), config.Config{Fleet: config.Fleet{Dir: dir}}), "bad", "consoled")
		l.Close()
	}
}

// Exposure and focus, on the simulated camera's own pictures.
func TestLight(t *testing.T) {
	frame := func(fault string, gain float64, bare bool) camera.Frame {
		t.Helper()
		eye := &simcamera.Camera{}
		face := image.NewRGBA(image.Rect(0, 0, 360, 480))
		for i := range face.Pix {
			face.Pix[i] = uint8(90 + 80*(i/4%360/20%2)) // bars, for their edges
		}
		if !bare {
			eye.Show(face)
		}
		eye.Inject(fault)
		b, _ := eye.Frame()
		img, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		r := img.Bounds()
		f := camera.Frame{Width: r.Dx(), Height: r.Dy()}
		for y := range f.Height {
			for x := range f.Width {
				cr, cg, cb, _ := img.At(x, y).RGBA()
				for _, v := range []uint32{cb, cg, cr} {
					f.Pixels = append(f.Pixels, uint8(min(255, float64(v>>8)*gain)))
				}
			}
		}
		return f
	}
	for _, c := range []struct {
		name, fault string
		gain        float64
		bare        bool
		say         string
	}{
		{"as it should be", "", 1, false, ""},
		{"nobody there", "", 1, true, ""},
		{"dark", "", .2, false, "too dark"},
		{"bright", "", 3, false, "too bright"},
		{"covered", "covered", 1, false, "too dark"},
		{"unsharp", "blur", 1, false, "out of focus"},
		{"unsharp, nobody there", "blur", 1, true, "out of focus"},
	} {
		todo, seen := light(frame(c.fault, c.gain, c.bare))
		if c.say == "" && todo != "" || !strings.Contains(seen, c.say) || c.say != "" && todo == "" {
			t.Errorf("%s: %q → %q, want %q", c.name, seen, todo, c.say)
		}
	}
	if todo, _ := light(camera.Frame{Width: 10, Height: 10}); todo != "" {
		t.Error("a frame without pixels is judged")
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"passage/drivers/gate"
	"passage/hwsim/lanesim"
	"passage/kiosk/commission"
	"passage/kiosk/config"
)

// addresses are free ones on loopback.
func addresses(t *testing.T, n int) (list []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list
}

// A whole commissioning on the wires of hwsim lane, with nobody there: devices
// are found, the configuration is written, kioskd's reader accepts it, and the
// panel's people go through the acceptance test. Then a leaf jams, and the test
// fails at its step.
func TestCommission(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the real time of an acceptance test")
	}
	t.Chdir("../../..")
	dir := t.TempDir()
	portraits := filepath.Join(dir, "portraits")
	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 36, 48)), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(portraits, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(portraits, fmt.Sprintf("p%02d.jpg", i+1)), face.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := addresses(t, 5)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	for _, run := range []func(context.Context) error{
		laneCmd{Name: "lane", Direction: "entry", Dir: dir, Camera: at[0], Reader: at[1], Page: at[2], Panel: at[3], Portraits: portraits}.Run,
		registerCmd{Listen: at[4], Dir: dir, Lane: []string{"lane"}, Empty: true}.Run,
	} {
		go func() { ended <- run(ctx) }()
	}
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	panel := "http://" + at[3] + "/api/lanes/lane"
	there(t, panel, filepath.Join(dir, "lane-register.toml"))

	devices := lanesim.Devices{Name: "lane", Dir: dir}
	var text []byte
	for _, name := range []string{"lane-devices.toml", "lane-register.toml"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	d, err := commission.ReadDraft(text)
	if err != nil {
		t.Fatal(err)
	}
	d["gate"], d["mrz"] = map[string]any{"tty": commission.Auto, "entry_hold": "3s", "exit_hold": "3s"}, map[string]any{"tty": commission.Auto}
	d["commission"] = map[string]any{"ports": []any{devices.GatePath(), devices.MRZPath()}}
	if err := commission.Setup(ctx, d, commission.Nobody{Tell: t.Logf}, commission.Machine("")); err != nil {
		t.Fatal(err)
	}
	_, b, err := commission.Check(d)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lane.toml")
	if _, err := commission.WriteConfig(path, b, false); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if conf.Gate.TTY != devices.GatePath() || conf.MRZ.TTY != devices.MRZPath() {
		t.Errorf("gate at %s, MRZ reader at %s", conf.Gate.TTY, conf.MRZ.TTY)
	}
	steps := commission.Steps(conf)
	for id, needs := range map[string]string{"device.camera": conf.Vision.Program, "device.model-pack": filepath.Join(conf.Vision.Packs, "default", "manifest.toml")} {
		if _, err := os.Stat(needs); err != nil {
			t.Logf("without %s: %s is missing (make build)", id, needs)
			steps = slices.DeleteFunc(steps, func(s commission.Step) bool { return s.ID == id })
		}
	}
	test := func(again string) *commission.Report {
		r, err := commission.NewReport(conf, path)
		if err != nil {
			t.Fatal(err)
		}
		if old, err := commission.Read(dir); err == nil {
			r.Resume(old, again)
		}
		s := &commission.Site{
			Conf: conf, Path: path, Person: commission.Rehearsal{Lane: panel, Persona: "P01"}, Log: slog.New(slog.DiscardHandler),
			Line: func() (commission.Line, error) { return gate.OpenPort(conf.Gate.TTY, conf.Gate.Baud, conf.Gate.Format) },
		}
		if err := s.Run(ctx, r, steps, func(r *commission.Report, d *commission.Done) error {
			t.Logf("%-4s %2d %-22s %5.1f s  %s %s", d.Result, d.No, d.ID, d.Seconds, d.Measured, d.Todo)
			return r.Write(dir, nil)
		}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	// On a machine under load a heartbeat may come late, and the gate then acts as
	// it must: what failed is done again, as a technician would.
	r := test("")
	for range 2 {
		if r.Verdict != "PASS" {
			r = test("")
		}
	}
	if r.Verdict != "PASS" {
		t.Errorf("all is well, and the verdict is %s", r.Verdict)
	}
	if keep := os.Getenv("ACCEPTANCE"); keep != "" {
		if b, err := os.ReadFile(filepath.Join(dir, commission.HTMLFile)); err != nil || os.WriteFile(keep, b, 0o600) != nil {
			t.Error(err)
		}
	}
	if err := (commission.Rehearsal{Lane: panel}).Tell(ctx, "fault jam_exit"); err != nil {
		t.Fatal(err)
	}
	r = test("gate.exit")
	for _, d := range r.Steps {
		if bad := d.Result == commission.Fail; bad != (d.ID == "gate.exit") {
			t.Errorf("with a jammed exit %s is %s: %s", d.ID, d.Result, d.Measured)
		}
	}
	if r.Verdict != "FAIL" {
		t.Errorf("with a jammed exit the verdict is %s", r.Verdict)
	}
}

// there waits for a page and a file.
func there(t *testing.T, url, path string) {
	t.Helper()
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if _, err := os.Stat(path); err == nil && resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s and %s: %v", url, path, err)
		}
	}
}

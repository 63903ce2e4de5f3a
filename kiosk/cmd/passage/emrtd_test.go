package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/emrtd/pki"
)

// simulator builds hwsim, which is found beside passage when both are shipped.
func simulator(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("hwsim is built first")
	}
	path := filepath.Join(t.TempDir(), "hwsim")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "passage/hwsim/cmd/hwsim").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestReadSimulatedPassport(t *testing.T) {
	path := simulator(t)
	for _, c := range []struct {
		profile string
		faults  []string
		verdict emrtd.Verdict
		fails   error
	}{
		{profile: "pace", verdict: emrtd.ChipGenuine},
		{profile: "bac", verdict: emrtd.ChipGenuine},
		{profile: "open", verdict: emrtd.ChipGenuine},
		{profile: "pace", faults: []string{"clone"}, verdict: emrtd.Clone},
		{profile: "bac", faults: []string{"tampered_dg2"}, verdict: emrtd.Altered},
		{profile: "pace", faults: []string{"removed_at=9"}, fails: apdu.ErrRemoved},
	} {
		t.Run(c.profile+" "+strings.Join(c.faults, " "), func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
			defer stop()
			dir := t.TempDir()
			card, err := startSim(ctx, path, c.profile, c.faults, dir, "")
			if err != nil {
				t.Fatal(err)
			}
			defer card.Close()
			trust, err := pki.LoadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var trace, log, plain bytes.Buffer
			listen := []func(emrtd.Exchange){live(&trace), apduLog(&log, false), apduLog(&plain, true)}
			d, err := emrtd.Read(ctx, card, card.zone, emrtd.Options{Trust: trust, Trace: func(x emrtd.Exchange) {
				for _, l := range listen {
					l(x)
				}
			}})
			if !errors.Is(err, c.fails) {
				t.Fatalf("%v, want %v", err, c.fails)
			}
			if d.Verdict != c.verdict {
				t.Errorf("%s, want %s: %+v", d.Verdict, c.verdict, d.Checks)
			}
			if n := strings.Count(trace.String(), "\n"); n != d.APDUs {
				t.Errorf("%d commands traced of %d", n, d.APDUs)
			}
			// The zone is in the log only if it was asked for.
			for _, secret := range []string{card.zone.Number, card.zone.Surname} {
				hex := fmt.Sprintf("%X", secret)
				if strings.Contains(log.String(), hex) || strings.Contains(log.String(), secret) || c.fails == nil && !strings.Contains(plain.String(), hex) {
					t.Errorf("the log without data holds some, or the one with data none")
				}
			}
			if r := report(d, err); len(r.Steps) == 0 || (r.Error == "") != (c.fails == nil) {
				t.Errorf("%+v", r)
			}
		})
	}
	if _, err := startSim(t.Context(), path, "nonsense", nil, t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "no profile is called") {
		t.Errorf("a profile that does not exist: %v", err)
	}
}

// Fingerprints and iris open to a terminal whose certificates and key lie in a
// folder, and to no other one: both programs, their wire and files between.
func TestReadByTerminal(t *testing.T) {
	path := simulator(t)
	mine, others := t.TempDir(), t.TempDir()
	read := func(chips, terminal string) *emrtd.Document {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		dir := t.TempDir()
		card, err := startSim(ctx, path, "full", nil, dir, chips)
		if err != nil {
			t.Fatal(err)
		}
		defer card.Close()
		trust, err := pki.LoadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		o := emrtd.Options{Trust: trust, Groups: []int{3, 4}}
		if terminal != "" {
			if o.Terminal, err = loadTerminal(terminal); err != nil {
				t.Fatal(err)
			}
		}
		d, err := emrtd.Read(ctx, card, card.zone, o)
		if err != nil || d.Verdict != emrtd.ChipGenuine {
			t.Fatalf("%v, %s: %+v", err, d.Verdict, d.Checks)
		}
		return d
	}
	code := func(d *emrtd.Document) emrtd.Code {
		for _, c := range d.Checks {
			if c.Name == "terminal authentication" {
				return c.Code
			}
		}
		return ""
	}
	read(others, "") // makes the folder
	if d := read(mine, mine); d.Files["DG3"] == nil || d.Files["DG4"] == nil || code(d) != emrtd.Successful {
		t.Errorf("its own terminal: DG3 of %d bytes, DG4 of %d: %+v", len(d.Files["DG3"]), len(d.Files["DG4"]), d.Checks)
	}
	if d := read(mine, ""); d.Files["DG3"] != nil || code(d) != emrtd.NotSupported {
		t.Errorf("no terminal: DG3 of %d bytes: %+v", len(d.Files["DG3"]), d.Checks)
	}
	// The names are the same, the keys are not.
	if d := read(mine, others); d.Files["DG3"] != nil || code(d) != emrtd.Failed {
		t.Errorf("another terminal: DG3 of %d bytes: %+v", len(d.Files["DG3"]), d.Checks)
	}
	// A folder is somebody else's if its key is.
	b, err := os.ReadFile(filepath.Join(others, "key.pk8"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mine, "key.pk8"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTerminal(mine); err == nil {
		t.Error("another terminal's key is taken")
	}
}

// Every command teaches by an example of itself.
func TestHelpTeaches(t *testing.T) {
	k, err := kong.New(&cli{}, kong.Name("passage"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range k.Model.Leaves(true) {
		if path := strings.Fields(n.FullPath()); !strings.Contains(n.Detail, "\n  "+strings.Join(path, " ")+" ") {
			t.Errorf("%s --help has no example of itself", n.FullPath())
		}
	}
}

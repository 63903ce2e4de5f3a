package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/officer"
)

type laneEnrolCmd struct {
	Console string `required:"" help:"https://HOST:PORT of the console's enrolment."`
	Code    string `required:"" help:"The one-time code."`
	Out     string `default:"/etc/passage/fleet" help:"Where the credentials go; those of an earlier enrolment there are destroyed."`
}

func (laneEnrolCmd) Help() string {
	return `Example, with the line that consoled enrol printed:

  passage lane enrol --console https://console.example:8444 --code ABCDEFGH-IJKLMNOP

The keys are made here and never leave this computer. The computer that had the
lane before is shut out in the same step.`
}

func (c laneEnrolCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	lane, creds, err := fleet.Enrol(ctx, strings.TrimSuffix(c.Console, "/"), c.Code, c.Out)
	if err != nil {
		return err
	}
	fmt.Printf("this computer is lane %s of the site at %s\nin its configuration:\n\n[fleet]\ndir = %q\nroster_key = \"roster-…\"   # the public half that the site's configuration has\n", lane, creds.URL, c.Out)
	return nil
}

type rosterKeyCmd struct {
	Out string `required:"" help:"Where the private half goes. Keep it off the console's machine."`
}

func (rosterKeyCmd) Help() string {
	return `Example, on a machine that is neither a lane's nor the console's:

  passage roster key --out roster.key

It prints the public half, for the console's and the lanes' configurations.`
}

func (c rosterKeyCmd) Run() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: "PASSAGE ROSTER KEY", Bytes: private.Seed()})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	fmt.Println("roster_key =", fmt.Sprintf("%q", officer.FormatKey(public)))
	return nil
}

type rosterSignCmd struct {
	Key   string `required:"" type:"existingfile" help:"What passage roster key made."`
	Draft string `arg:"" type:"existingfile" help:"What consoled roster draft printed, read and perhaps changed by you."`
	Yes   bool   `help:"Do not ask."`
}

func (rosterSignCmd) Help() string {
	return `Example:

  passage roster sign --key roster.key draft.json > roster.json

It shows who would be able to speak to the lanes, and asks. What it signs is the
draft as you have it: strike out whoever should not be there.`
}

func (c rosterSignCmd) Run() error {
	b, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PASSAGE ROSTER KEY" || len(block.Bytes) != ed25519.SeedSize {
		return fmt.Errorf("%s is no roster key", c.Key)
	}
	draft, err := os.ReadFile(c.Draft)
	if err != nil {
		return err
	}
	var r officer.Roster
	if err := json.Unmarshal(draft, &r); err != nil {
		return fmt.Errorf("%s: %w", c.Draft, err)
	}
	w := tabwriter.NewWriter(os.Stderr, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "roster %d of %s, pages %s, until %s\n\nid\tname\trole\tpasskeys\n", r.Version, r.Site, strings.Join(r.Origins, " "), r.Until.Format(time.DateOnly))
	for _, o := range r.Officers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", o.ID, o.Name, o.Role, len(o.Passkeys))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !c.Yes {
		fmt.Fprint(os.Stderr, "\nSign? [y/N] ")
		var answer string
		if _, err := fmt.Scanln(&answer); err != nil || !strings.EqualFold(answer, "y") {
			return errors.New("roster sign: not signed")
		}
	}
	signed, err := r.Sign(ed25519.NewKeyFromSeed(block.Bytes))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(signed)
}

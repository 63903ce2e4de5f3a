package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"passage/kiosk/doctor"
)

type doctorCmd struct {
	Config string `required:"" type:"existingfile" help:"The lane's configuration."`
	JSON   bool   `name:"json" help:"As JSON."`
}

func (doctorCmd) Help() string {
	return `Example: before kioskd is started, as the user that kioskd will run as.

  passage doctor --config /etc/passage/lane.toml

Each line is one device: what was found, and behind the arrow what to do about
it. Nothing is changed: the gate is asked and polled, no leaf moves, no record
is sent. A running kioskd holds its serial lines: stop it first. The exit
status is 1 if anything is bad; a warning leaves it 0.`
}

func (c doctorCmd) Run(ctx context.Context) error {
	list, bad := []doctor.Finding{}, 0
	doctor.Look(ctx, c.Config, func(f doctor.Finding) {
		list = append(list, f)
		if f.State == "bad" {
			bad++
		}
		if !c.JSON {
			printFinding(os.Stdout, f)
		}
	})
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false) // it is read by people, too
		if err := e.Encode(list); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if bad > 0 {
		return fmt.Errorf("doctor: %d of %d looks found something bad", bad, len(list))
	}
	return nil
}

func printFinding(out io.Writer, f doctor.Finding) {
	line := fmt.Sprintf("%-4s  %-15s  %s", f.State, f.Check, strings.ReplaceAll(f.Found, "\n", "; "))
	if f.Todo != "" {
		line += " → " + f.Todo
	}
	fmt.Fprintln(out, line)
}

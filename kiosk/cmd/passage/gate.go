package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"passage/drivers/gate"
	"passage/drivers/gate/regmap"
)

type gateCheckCmd struct {
	Map     string `arg:"" type:"existingfile" help:"The register map."`
	Baud    int    `default:"19200" help:"The line's rate, for the time that a poll takes."`
	Frees   string `enum:",entry,exit" default:"" help:"What gate.fallback_frees will say, where the map has no register for it: entry or exit."`
	TTY     string `name:"tty" placeholder:"DEV" help:"Read every point of a gate on this serial device, too. Nothing is written."`
	Format  string `enum:"8E1,8N1" default:"8E1" help:"Of that line: 8E1 or 8N1."`
	Address int    `default:"1" help:"Of that gate."`
	JSON    bool   `name:"json" help:"As JSON."`
}

func (gateCheckCmd) Help() string {
	return `Example: what a lane gets of a map, and what it lacks.

  passage gate check examples/gates/counters.toml

The same, and every register read from the gate that kioskd does not hold:

  passage gate check /etc/passage/gate.toml --tty /dev/ttyUSB1

The exit status is 1 if the gate could not work a lane unattended, or if a point
on the line holds what it cannot.`
}

func (c gateCheckCmd) Run() error {
	m, err := regmap.Load(c.Map)
	if err != nil {
		return err
	}
	out := struct {
		Name     string           `json:"name"`
		Verdicts []regmap.Verdict `json:"verdicts"`
		Gate     string           `json:"gate,omitempty"`
		Points   []gate.Decoded   `json:"points,omitempty"`
	}{Name: m.Name, Verdicts: m.Judge(c.Baud, c.Frees)}
	if c.TTY != "" {
		port, err := gate.OpenPort(c.TTY, c.Baud, c.Format)
		if err != nil {
			return err
		}
		defer port.Close()
		if out.Gate, out.Points, err = gate.ReadMap(port, gate.Config{Address: byte(c.Address), Baud: c.Baud, Map: m}); err != nil {
			return err
		}
	}
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
			return err
		}
	} else if err := printGate(out.Verdicts, out.Points); err != nil {
		return err
	}
	wrong := 0
	for _, p := range out.Points {
		if p.Wrong != "" {
			wrong++
		}
	}
	if err := regmap.Refused(out.Verdicts); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("gate check: %d of %d points hold what they cannot", wrong, len(out.Points))
	}
	return nil
}

func printGate(verdicts []regmap.Verdict, points []gate.Decoded) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\twhat\twhere\tmissing, and what comes of it")
	for _, v := range verdicts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", map[string]string{"good": "ok", "officer": "officer", "refused": "REFUSED"}[v.State], v.What, v.Has, v.Means)
	}
	if len(points) > 0 {
		fmt.Fprintln(w, "\n\tpoint\twhere\traw\tmeans")
	}
	for _, p := range points {
		state := "ok"
		if p.Wrong != "" {
			state = "WRONG"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", state, p.Name, p.At, p.Raw, p.Word+p.Wrong)
	}
	return w.Flush()
}

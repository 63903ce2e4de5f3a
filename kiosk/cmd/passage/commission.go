package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"passage/drivers/gate"
	"passage/kiosk/audit"
	"passage/kiosk/commission"
	"passage/kiosk/config"
	"passage/kiosk/doctor"
)

type commissionCmd struct {
	Config   string `default:"/etc/passage/lane.toml" type:"path" help:"The configuration to write, or to test."`
	Answers  string `type:"existingfile" help:"Answers instead of questions: tables of lane.toml, \"auto\" for what is to be found."`
	Replace  bool   `help:"Replace a configuration that is there; the old one is kept beside it."`
	Test     bool   `help:"Only test the lane whose configuration is there."`
	Out      string `default:"acceptance" type:"path" help:"Folder of the report; an interrupted test goes on from there."`
	Again    string `placeholder:"STEP" help:"Do these steps again although they were passed, such as gate or walk."`
	Maps     string `default:"/usr/share/doc/passage/gates" type:"path" help:"Folder of register maps of other makers' gates."`
	Who      string `help:"Who does it, for the report; who is signed in by default."`
	Rehearse string `placeholder:"URL" help:"Let a simulator's people do what people do: http://127.0.0.1:8240/api/lanes/lane."`
	Despite  bool   `help:"Write the configuration although a device is bad; the report says so."`
	JSON     bool   `name:"json" help:"The report as JSON on standard output, all else on standard error."`
}

func (commissionCmd) Help() string {
	return `Example: a new lane, guided, as root with kioskd stopped.

  passage commission run --out /root/E1-acceptance

(run may be left out.) It finds readers, gate and camera, asks what it cannot find, tries every device,
writes the configuration only when all of them work, and then tests the lane step
by step: some steps by itself, some with people who walk through it. The report
is a page to print (acceptance.html), the same for programs (acceptance.json),
and the lane's signature. Interrupted or failed, run it again with --test: what
was passed is kept.

The same without questions, on simulated devices:

  hwsim lane &
  passage commission --answers answers.toml --config lane.toml --rehearse http://127.0.0.1:8240/api/lanes/lane

The exit status is 0 only for PASS.`
}

func (c commissionCmd) Run(ctx context.Context) error {
	var out io.Writer = os.Stdout
	if c.JSON {
		out = os.Stderr
	}
	if c.Who == "" {
		if u, err := user.Current(); err == nil {
			c.Who = u.Username
		}
	}
	terminal := commission.NewTerminal(c.Who, os.Stdin, out)
	var person commission.Person = terminal
	if c.Rehearse != "" {
		person = commission.Rehearsal{Lane: strings.TrimSuffix(c.Rehearse, "/"), Persona: "P01"}
	}
	if !c.Test {
		if err := c.setUp(ctx, terminal, out); err != nil {
			return err
		}
	}
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if r, ok := person.(commission.Rehearsal); ok && conf.Kiosk.Policy.Direction == "exit" {
		r.Persona = "P02"
		person = r
	}
	r, err := commission.NewReport(conf, c.Config, programs(conf)...)
	if err != nil {
		return err
	}
	old, err := commission.Read(c.Out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if n := r.Resume(old, c.Again); n > 0 {
			fmt.Fprintf(out, "%d steps were passed before and are kept\n", n)
		} else if len(old.Steps) > 0 && old.Config.SHA256 != r.Config.SHA256 {
			fmt.Fprintf(out, "the report in %s is of another configuration: it is kept aside\n", c.Out)
			if err := os.Rename(c.Out, c.Out+"."+time.Now().UTC().Format("20060102T150405")); err != nil {
				return err
			}
		}
	}
	return c.test(ctx, conf, r, person, out)
}

// setUp finds, asks, tries and writes.
func (c commissionCmd) setUp(ctx context.Context, terminal *commission.Terminal, out io.Writer) error {
	if _, err := os.Lstat(c.Config); err == nil && !c.Replace {
		return fmt.Errorf("commission: %s %w; --test tests the lane as it is", c.Config, commission.ErrThere)
	}
	d := commission.Draft{}
	var ask commission.Asker = terminal
	if c.Answers != "" {
		b, err := os.ReadFile(c.Answers)
		if err != nil {
			return err
		}
		if d, err = commission.ReadDraft(b); err != nil {
			return err
		}
		ask = commission.Nobody{Tell: terminal.Say}
	}
	if err := commission.Setup(ctx, d, ask, commission.Machine(c.Maps)); err != nil {
		return err
	}
	conf, b, err := commission.Check(d)
	if err != nil {
		return err
	}
	bad := 0
	for _, k := range doctor.Checks() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f := k.Look(ctx, conf)
		if f.Check = k.Name; f.State == "bad" {
			bad++
		}
		printFinding(out, f)
	}
	if bad > 0 && !c.Despite {
		return fmt.Errorf("commission: %d devices are bad, and nothing was written; mend them, or write all the same with --despite", bad)
	}
	backup, err := commission.WriteConfig(c.Config, b, c.Replace)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", c.Config)
	if backup != "" {
		fmt.Fprintf(out, "the one before is %s\n", backup)
	}
	return nil
}

// programs are the ones that the lane runs, as far as they are here.
func programs(c config.Config) []string {
	list := []string{c.Vision.Program}
	if self, err := os.Executable(); err == nil {
		list = append(list, self, filepath.Join(filepath.Dir(self), "kioskd"))
	}
	if p, err := exec.LookPath("kioskd"); err == nil {
		list = append(list, p)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// test runs the acceptance test, and writes the report after every step.
func (c commissionCmd) test(ctx context.Context, conf config.Config, r *commission.Report, person commission.Person, out io.Writer) error {
	signer, err := laneKey(conf)
	if err != nil {
		return err
	}
	s := &commission.Site{
		Conf: conf, Path: c.Config, Person: person, Log: slog.New(slog.DiscardHandler),
		Line: func() (commission.Line, error) { return gate.OpenPort(conf.Gate.TTY, conf.Gate.Baud, conf.Gate.Format) },
	}
	err = s.Run(ctx, r, commission.Steps(conf), func(r *commission.Report, d *commission.Done) error {
		line := fmt.Sprintf("%-4s  %2d  %s: %s", d.Result, d.No, d.Title, d.Measured)
		if d.Todo != "" {
			line += " → " + d.Todo
		}
		fmt.Fprintln(out, line)
		return r.Write(c.Out, signer)
	})
	r.Ended = time.Now()
	if err = cmp.Or(r.Write(c.Out, signer), err); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", r.Verdict, filepath.Join(c.Out, commission.HTMLFile))
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	if r.Verdict != "PASS" {
		return fmt.Errorf("commission: %s", r.Verdict)
	}
	return nil
}

// laneKey is the lane's audit key, if it has one; kioskd makes it when it joins
// its site.
func laneKey(c config.Config) (note.Signer, error) {
	path := filepath.Join(filepath.Dir(c.Store.Path), "audit.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return audit.Key(path, c.Kiosk.Lane)
}

type commissionVerifyCmd struct {
	Dir string `arg:"" type:"existingdir" help:"Folder of the report."`
	Key string `required:"" type:"existingfile" help:"The public half of the lane's audit key."`
}

func (commissionVerifyCmd) Help() string {
	return `Example: the report is the one that the lane signed.

  passage commission verify E1-acceptance --key /var/lib/passage/audit.key.pub`
}

func (c commissionVerifyCmd) Run() error {
	v, err := audit.ReadKey(c.Key)
	if err != nil {
		return err
	}
	r, err := commission.Verify(c.Dir, v)
	if err != nil {
		return err
	}
	fmt.Printf("lane %s, %s, %d steps, signed by its key\n", r.Lane, r.Verdict, len(r.Steps))
	return nil
}

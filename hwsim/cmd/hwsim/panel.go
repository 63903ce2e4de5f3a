package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/lanesim"
	"passage/hwsim/panel"
	"passage/hwsim/persona"
	"passage/hwsim/register/testca"
	"passage/hwsim/world"
	"passage/kiosk/policy"
	"passage/kiosk/web"
)

type panelCmd struct {
	Listen    string   `default:"127.0.0.1:8240" help:"Where the panel is served."`
	Direction string   `default:"entry" enum:"entry,exit" help:"entry or exit."`
	Dir       string   `default:".cache/panel" help:"Work folder; emptied first."`
	Port      int      `default:"8260" help:"First of four ports on loopback: the lane's pages, camera, reader, register."`
	Portraits string   `default:".cache/portraits" help:"Folder of p01.jpg, p02.jpg, …; make setup makes them."`
	Kioskd    string   `placeholder:"PATH" help:"The program of the lane; beside hwsim by default."`
	Quick     bool     `help:"The lane's shell, journal, policy and drivers inside hwsim, with played faces: no kioskd, no vision, no further port."`
	Play      []string `type:"existingfile" placeholder:"FILE" help:"Play these scenarios and end: exit 0 only if everything was as awaited."`
}

func (panelCmd) Help() string {
	return `Example: one whole lane with its register, to play with at http://127.0.0.1:8240.

  hwsim panel

The same at once, where neither kioskd nor visiond have been built:

  hwsim panel --quick

In an integrator's CI: two scenarios, each on the real lane program.

  hwsim panel --direction entry --play hwsim/scenarios/released.txt --play hwsim/scenarios/impostor.txt

The same over HTTP, while the panel runs:

  curl -s localhost:8240/api/lanes/lane/do -d '{"words":"send P01"}'
  curl -s localhost:8240/api/lanes/lane/play --data-binary @hwsim/scenarios/released.txt`
}

func (c panelCmd) Run(ctx context.Context) error {
	var plays []panel.Scenario
	for _, path := range c.Play { // before anything is started
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s, err := panel.Parse(string(b))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		plays = append(plays, s)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, work := errgroup.WithContext(ctx)
	start, from := c.whole, filepath.Join(c.Dir, "kioskd.log")
	if c.Quick {
		start, from = c.inside, "no log"
	}
	l, err := start(work, group)
	if err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	group.Go(func() error { return l.Run(work) })
	serve, err := panel.Listen(c.Listen, l)
	if err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	group.Go(func() error { return serve(work) })
	if len(plays) == 0 {
		fmt.Printf("panel: http://%s\n", c.Listen)
		return group.Wait()
	}
	bad := 0
	for i, s := range plays {
		p := l.Play(work, s)
		if p.OK {
			fmt.Printf("ok    %s (%.1f s)\n", c.Play[i], p.Seconds)
			continue
		}
		bad++
		fmt.Printf("FAIL  %s:%d: %s\n      %s\n", c.Play[i], p.Line, p.Text, p.Problem)
	}
	err = cancelled(cancel, group)
	if bad > 0 {
		return errors.Join(err, fmt.Errorf("panel: %d of %d scenarios went otherwise; see %s", bad, len(plays), from))
	}
	return err
}

// inside is a lane in this process.
func (c panelCmd) inside(ctx context.Context, group *errgroup.Group) (*panel.Lane, error) {
	list, err := persona.All()
	if err != nil {
		return nil, err
	}
	w, err := world.New(ctx, "")
	if err != nil {
		return nil, err
	}
	direction := policy.Exit
	if c.Direction == "entry" {
		direction = policy.Entry
	}
	w.Rule = func(p *policy.Policy) { *p = policy.Default(direction); p.Production = false }
	l, err := w.Hands(c.Direction, list)
	if err == nil {
		err = w.Start()
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	group.Go(func() error {
		err := w.Officer(ctx)
		_ = w.Stop() // it has ended with ctx
		return errors.Join(err, w.Close())
	})
	return l, nil
}

// whole is a lane of real processes and wires: devices, register, the lane's own
// program.
func (c panelCmd) whole(ctx context.Context, group *errgroup.Group) (*panel.Lane, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := workFolder(dir); err != nil {
		return nil, err
	}
	set, err := newStageSet(c.Portraits, filepath.Join(dir, "trust"))
	if err != nil {
		return nil, err
	}
	const name = "lane"
	if err := testca.Write(dir, "register/register", name); err != nil {
		return nil, err
	}
	reg, end, err := openRegister(ctx, filepath.Join(dir, "ees.db"), "")
	if err != nil {
		return nil, err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", c.Port+i) }
	group.Go(func() error {
		defer end()
		if err := acquaint(ctx, reg, set.list, today()); err != nil {
			return err
		}
		return reg.Serve(ctx, at(3), testca.Files(dir, "register"), func(string) {})
	})
	d := &lanesim.Devices{Name: name, Dir: dir, Camera: at(1), Dial: func() (net.Conn, error) { return net.DialTimeout("tcp", at(2), 3*time.Second) }}
	if err := begin(ctx, group, d); err != nil {
		return nil, err
	}
	conf, err := c.conf(d, dir, at)
	if err != nil {
		return nil, err
	}
	group.Go(func() error { return c.kioskd(ctx, conf, filepath.Join(dir, "kioskd.log")) })
	desk := lanesim.NewDesk("http://" + at(0))
	l := set.hands(d, desk, c.Direction, reg)
	group.Go(func() error { return desk.Keep(ctx, pin, d.Gate, d.Eye, l.Duty) })
	fmt.Printf("lane pages: http://%s/lane (officers anna and bert, PIN %s), http://%s/traveller\nlog: %s\n", at(0), pin, at(0), filepath.Join(dir, "kioskd.log"))
	return l, nil
}

// begin starts a lane's devices and returns when they are there.
func begin(ctx context.Context, group *errgroup.Group, d *lanesim.Devices) error {
	ready := make(chan struct{})
	group.Go(func() error { return d.Run(ctx, func() { close(ready) }) })
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return errors.New("hwsim: the devices did not start")
	}
}

// conf writes the lane's configuration.
func (c panelCmd) conf(d *lanesim.Devices, dir string, at func(int) string) (path string, err error) {
	hash, err := web.HashPIN(pin)
	if err != nil {
		return "", err
	}
	desk, err := deskConf(at(0), filepath.Join(dir, d.Name), hash)
	if err != nil {
		return "", err
	}
	text := laneConf(d, c.Direction, fmt.Sprintf("type = \"vpcd\"\naddress = %q", at(2)), "", filepath.Join(dir, "trust")) +
		registerConf(at(3), testca.Files(dir, d.Name)) + desk
	path = filepath.Join(dir, d.Name+".toml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// kioskd runs the lane's own program until ctx ends.
func (c panelCmd) kioskd(ctx context.Context, conf, logPath string) error {
	program := c.Kioskd
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		program = filepath.Join(filepath.Dir(self), "kioskd")
	}
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	p := exec.CommandContext(ctx, program, "--config", conf)
	p.Stdout, p.Stderr = log, log
	p.Cancel = func() error { return p.Process.Signal(os.Interrupt) }
	p.WaitDelay = 8 * time.Second
	if err := p.Run(); ctx.Err() == nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("panel: %w: make build makes it; panel --quick does without", err)
		}
		return fmt.Errorf("panel: %s ended: %w; see %s", program, err, logPath)
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/drivers/gate/regmap"
	"passage/hwsim/gate"
	"passage/hwsim/lanesim"
	"passage/hwsim/panel"
	"passage/hwsim/pcscd"
	"passage/kiosk/web"
)

type laneCmd struct {
	Name      string `default:"lane" help:"The lane's id."`
	Direction string `default:"entry" enum:"entry,exit" help:"entry or exit."`
	Dir       string `default:".cache/lane" help:"Folder of the pseudo-terminals, the trust store and the lane's store."`
	Map       string `type:"existingfile" placeholder:"FILE" help:"The gate speaks by this register map instead of ABC-LANE."`
	Camera    string `default:"127.0.0.1:8190" help:"Where the camera listens."`
	Reader    string `default:"127.0.0.1:8220" help:"Where documents are laid down: kioskd listens there, or vsmartcard's vpcd does."`
	PCSC      bool   `name:"pcsc" help:"kioskd reads documents through pcscd; --reader is vpcd's address, 127.0.0.1:35963 by default."`
	Page      string `default:"127.0.0.1:8080" help:"Where kioskd is to serve its pages."`
	Panel     string `default:"127.0.0.1:8240" help:"Where the panel is served."`
	Portraits string `default:".cache/portraits" help:"Folder of p01.jpg, p02.jpg, …; make setup makes them."`
}

func (laneCmd) Help() string {
	return `Example: a whole lane by hand, each command in a terminal of its own.

  hwsim register
  hwsim lane
  cat .cache/lane/lane-devices.toml .cache/lane/lane-register.toml > .cache/lane/lane.toml
  kioskd --config .cache/lane/lane.toml

Then send people in at http://127.0.0.1:8240, or type the panel's words into the
terminal of hwsim lane:

  send P01         P01 of the catalogue (hwsim personas) crosses
  lay P01          or lays the passport down, and waits to be led
  walk marks       walk out, walk back
  fault fire       clear fire ends it

With a gate of another maker, by its register map:

  hwsim lane --map examples/gates/counters.toml

The panel lists all its words. Two officers are signed in and decide by each
person's script; "officer hand" leaves that to you.`
}

func (c laneCmd) Run(ctx context.Context) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	reader := fmt.Sprintf("type = \"vpcd\"\naddress = %q", c.Reader)
	if c.PCSC {
		if c.Reader == "127.0.0.1:8220" {
			c.Reader = pcscd.Slots[0].Addr
		}
		reader = fmt.Sprintf("type = \"pcsc\"\nname = %q", pcscd.Slots[0].Name)
	}
	trust := filepath.Join(dir, "trust")
	set, err := newStageSet(c.Portraits, trust)
	if err != nil {
		return err
	}
	hash, err := web.HashPIN(pin)
	if err != nil {
		return err
	}
	desk, err := deskConf(c.Page, filepath.Join(dir, c.Name), hash)
	if err != nil {
		return err
	}
	d := &lanesim.Devices{Name: c.Name, Dir: dir, Camera: c.Camera, Dial: func() (net.Conn, error) { return net.DialTimeout("tcp", c.Reader, 3*time.Second) }}
	conf := laneConf(d, c.Direction, reader, "", trust) + desk
	if c.Map != "" {
		if d.Map, err = regmap.Load(c.Map); err != nil {
			return err
		}
		if conf, err = withMap(conf, c.Map, d.Map); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, c.Name+"-devices.toml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	if err := begin(ctx, group, d); err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	people := lanesim.NewDesk("http://" + c.Page)
	l := set.hands(d, people, c.Direction, nil)
	serve, err := panel.Listen(c.Panel, l)
	if err != nil {
		return errors.Join(err, cancelled(cancel, group))
	}
	was := ""
	d.Gate.Listen(func(r gate.Record) {
		if now := strings.TrimSpace(r.What + " " + r.Who); now != was {
			was = now
			fmt.Println("gate:", now)
		}
	})
	fmt.Printf("gate at %s\nMRZ reader at %s\ncamera at http://%s/stream\ndocuments go to %s\ntrust store at %s\nofficers anna and bert, PIN %s\npanel at http://%s\n\n# %s, the devices of lane %s; hwsim register has the rest\n%s\n",
		d.GatePath(), d.MRZPath(), d.Camera, c.Reader, trust, pin, c.Panel, path, c.Name, conf)
	group.Go(func() error { return l.Run(ctx) })
	group.Go(func() error { return people.Keep(ctx, pin, d.Gate, d.Eye, l.Duty) })
	group.Go(func() error { return serve(ctx) })
	lines := make(chan string)
	go func() { // ends with the program: a read of a terminal cannot be called off
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case line := <-lines:
				if err := l.Do(ctx, line); err != nil {
					fmt.Println("hwsim:", err)
				}
			}
		}
	})
	return group.Wait()
}

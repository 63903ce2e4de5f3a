package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/gate"
	"passage/hwsim/lanesim"
	"passage/hwsim/pcscd"
	"passage/hwsim/persona"
	"passage/kiosk/web"
)

type laneCmd struct {
	Name      string `default:"lane" help:"The lane's id."`
	Direction string `default:"entry" enum:"entry,exit" help:"entry or exit."`
	Dir       string `default:".cache/lane" help:"Folder of the pseudo-terminals, the trust store and the lane's store."`
	Camera    string `default:"127.0.0.1:8190" help:"Where the camera listens."`
	Reader    string `default:"127.0.0.1:8220" help:"Where documents are laid down: kioskd listens there, or vsmartcard's vpcd does."`
	PCSC      bool   `name:"pcsc" help:"kioskd reads documents through pcscd; --reader is vpcd's address, 127.0.0.1:35963 by default."`
	Page      string `default:"127.0.0.1:8080" help:"Where kioskd is to serve its pages."`
	Portraits string `default:".cache/portraits" help:"Folder of p01.jpg, p02.jpg, …; make setup makes them."`
}

func (laneCmd) Help() string {
	return `Example: a whole lane by hand, each command in a terminal of its own.

  hwsim register
  hwsim lane
  cat .cache/lane/lane-devices.toml .cache/lane/lane-register.toml > .cache/lane/lane.toml
  kioskd --config .cache/lane/lane.toml
  hwsim officer http://127.0.0.1:8080/lane

A traveller then does what you type into the terminal of hwsim lane:

  lay P01      P01 of the catalogue (hwsim personas) lays the passport down
  take         and takes it back
  walk         walks on: to the marks, then out, as far as the leaves let them
  back         walks back
  face P01     shows a face to the camera; face alone shows nobody
  gone         is gone
  fault fire   the gate has a fault (hwsim gate --list); clear fire ends it`
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
	list, err := persona.All()
	if err != nil {
		return err
	}
	from, err := newIssuers(list)
	if err != nil {
		return err
	}
	trust := filepath.Join(dir, "trust")
	if err := from.write(trust); err != nil {
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
	path := filepath.Join(dir, c.Name+"-devices.toml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	ready := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.Run(ctx, func() { close(ready) }) })
	select {
	case <-ready:
	case <-ctx.Done():
		return group.Wait()
	}
	was := ""
	d.Gate.Listen(func(r gate.Record) {
		if now := strings.TrimSpace(r.What + " " + r.Who); now != was {
			was = now
			fmt.Println("gate:", now)
		}
	})
	fmt.Printf("gate at %s\nMRZ reader at %s\ncamera at http://%s/stream\ndocuments go to %s\ntrust store at %s\nofficers anna and bert, PIN %s\n\n# %s, the devices of lane %s; hwsim register has the rest\n%s\n",
		d.GatePath(), d.MRZPath(), d.Camera, c.Reader, trust, pin, path, c.Name, conf)
	h := &hand{laneCmd: c, d: d, list: list, from: from}
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
				return h.take()
			case l := <-lines:
				if err := h.do(ctx, strings.Fields(l)); err != nil {
					fmt.Println("hwsim:", err)
				}
			}
		}
	})
	return group.Wait()
}

// hand leads one traveller through the lane by typed words.
type hand struct {
	laneCmd
	d    *lanesim.Devices
	list []persona.Persona
	from *issuers

	doc      *lanesim.Document
	pictures []image.Image
	files    [][]byte
}

const somebody = "traveller"

func (h *hand) do(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	what := ""
	if len(words) > 1 {
		what = words[1]
	}
	g := h.d.Gate
	if _, here := g.Position(somebody); !here && slices.Contains([]string{"lay", "walk"}, words[0]) {
		g.AddPerson(somebody, gate.Approach)
	}
	switch words[0] {
	case "lay":
		return h.lay(ctx, what)
	case "take":
		return h.take()
	case "walk":
		if x, _ := g.Position(somebody); x < gate.Marks-0.1 {
			g.Walk(somebody, gate.Marks, 1.3)
		} else {
			g.Walk(somebody, gate.Beyond, 1.3)
		}
	case "back":
		g.Walk(somebody, gate.Approach-1.5, 1.3)
	case "gone":
		g.Remove(somebody)
		h.d.Eye.Show()
	case "face":
		if what == "" {
			h.d.Eye.Show()
			return nil
		}
		i, err := h.find(what)
		if err == nil {
			h.d.Eye.Show(h.pictures[i%len(h.pictures)])
		}
		return err
	case "fault":
		if !g.Inject(what, 0) {
			return fmt.Errorf("no fault of the gate is called %q", what)
		}
	case "clear":
		if !g.Clear(what) {
			return fmt.Errorf("no fault of the gate is called %q", what)
		}
	default:
		return errors.New("words are lay, take, walk, back, face, gone, fault, clear; hwsim lane --help tells more")
	}
	return nil
}

// find returns a person's place in the catalogue, with the portraits at hand.
func (h *hand) find(id string) (int, error) {
	i := slices.IndexFunc(h.list, func(p persona.Persona) bool { return strings.EqualFold(p.ID, id) })
	if i < 0 {
		return 0, fmt.Errorf("nobody is %q; hwsim personas lists everybody", id)
	}
	var err error
	if h.pictures == nil {
		h.pictures, h.files, err = lanesim.Portraits(h.Portraits)
	}
	return i, err
}

func (h *hand) lay(ctx context.Context, id string) error {
	if err := h.take(); err != nil {
		return err
	}
	i, err := h.find(id)
	if err != nil {
		return err
	}
	card, err := h.from.card(h.list[i], i, h.files, today())
	if err == nil {
		h.doc, err = h.d.Lay(ctx, card)
	}
	return err
}

func (h *hand) take() error {
	if h.doc == nil {
		return nil
	}
	doc := h.doc
	h.doc = nil
	return doc.Take()
}

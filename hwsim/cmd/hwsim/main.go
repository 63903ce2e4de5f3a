// Hwsim is every device of a lane, simulated at its lowest wire.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"passage/drivers/emrtd/mrz"
	"passage/drivers/gate/regmap"
	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/persona"
)

type cli struct {
	Demo       demoCmd       `cmd:"" help:"Run three whole lanes and send travellers through them."`
	Panel      panelCmd      `cmd:"" help:"One whole lane to play with: drop people in, lead them, break things, read the wires."`
	Lane       laneCmd       `cmd:"" help:"The devices of one lane, and a configuration for its kioskd."`
	Register   registerCmd   `cmd:"" help:"A register over mutual TLS that knows the catalogue's travellers."`
	Population populationCmd `cmd:"" help:"Fill a register with people whom nobody is."`
	Officer    officerCmd    `cmd:"" help:"An officer who signs in on a lane page and decides by script."`
	Chaos      chaosCmd      `cmd:"" help:"Kill programs at random while travellers cross, and count what is left."`
	Fleet      fleetCmd      `cmd:"" help:"Many lanes without devices on one console, and what they cost."`
	Gate       gateCmd       `cmd:"" help:"A gate on a pseudo-terminal: ABC-LANE 1.0 over Modbus RTU."`
	Camera     cameraCmd     `cmd:"" help:"A camera: MJPEG over HTTP."`
	Passport   passportCmd   `cmd:"" help:"A passport on a vpcd reader, or on standard input and output."`
	Personas   personasCmd   `cmd:"" help:"List the travellers of the demonstration."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("hwsim"), kong.UsageOnError(), kong.Description(`Simulated devices for Passage. Each stands at the far end of a real wire: a
pseudo-terminal, a PC/SC reader, HTTP, mutual TLS. What runs against them is the shipped program.

  hwsim gate --tty /tmp/gate      then: mbpoll -m rtu -a 1 -b 19200 -P even -0 -r 0 -c 26 -t 3 -1 /tmp/gate
  hwsim demo                      three lanes with travellers until Ctrl-C
  hwsim demo --once               every traveller once, and a table
  hwsim panel                     one whole lane under your hands, at http://127.0.0.1:8240
  hwsim lane --help               one lane for a kioskd of your own`))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: is another hwsim at work? The flags of --help choose other ports", err)
		}
		fmt.Fprintln(os.Stderr, "hwsim:", err)
		stop()
		os.Exit(1)
	}
}

type gateCmd struct {
	TTY   string   `name:"tty" help:"Where to link the pseudo-terminal."`
	Fault []string `help:"Faults to begin with; --list names them."`
	List  bool     `help:"List the faults and end."`
	Walk  bool     `help:"Let a person walk in and out whenever a leaf opens."`
	Map   string   `type:"existingfile" placeholder:"FILE" help:"Speak by this register map instead of ABC-LANE."`
}

func (gateCmd) Help() string {
	return `Example: a gate that a person walks through, asked by a public tool.

  hwsim gate --tty /tmp/gate --walk &
  mbpoll -m rtu -a 1 -b 19200 -P even -0 -r 0 -c 26 -t 3:hex -1 /tmp/gate

One whose entry leaf jams:

  hwsim gate --tty /tmp/gate --fault jam_entry

Another maker's, by its register map:

  hwsim gate --tty /tmp/gate --map examples/gates/counters.toml`
}

func (c gateCmd) Run(ctx context.Context) error {
	if c.List {
		for _, f := range append(gate.PhysicalFaults, gate.LinkFaults...) {
			fmt.Printf("%-16s %s\n", f.Name, f.Text)
		}
		return nil
	}
	if c.TTY == "" {
		return errors.New("gate: say where: --tty PATH")
	}
	g := gate.New(gate.Config{})
	if c.Map != "" {
		m, err := regmap.Load(c.Map)
		if err != nil {
			return err
		}
		g.Speak(m)
	}
	for _, f := range c.Fault {
		if !g.Inject(f, 0) {
			return fmt.Errorf("gate: no fault is called %q; --list names them", f)
		}
	}
	g.Listen(func(r gate.Record) { fmt.Printf("%8.2fs %-10s %s\n", r.At.Seconds(), r.What, r.Who) })
	if c.Walk {
		g.AddPerson("walker", gate.Approach)
		go func() {
			for ctx.Err() == nil {
				time.Sleep(100 * time.Millisecond)
				entry, exit := g.Leaves()
				if exit > 80 {
					g.Walk("walker", gate.Beyond, 1.2)
				} else if entry > 80 {
					g.Walk("walker", gate.Marks, 1.2)
				}
				if x, _ := g.Position("walker"); x >= gate.Beyond {
					g.Remove("walker")
					g.AddPerson("walker", gate.Approach)
				}
			}
		}()
	}
	g.Ready = func() { fmt.Println("gate at", c.TTY) }
	return g.Serve(ctx, c.TTY)
}

type cameraCmd struct {
	Listen string `default:"127.0.0.1:8090" help:"Address on loopback."`
	Fault  string `enum:",covered,blur,frozen,unplugged" default:"" help:"covered, blur, frozen or unplugged."`
}

func (cameraCmd) Help() string {
	return `Example: an empty scene for any program that reads MJPEG.

  hwsim camera --listen 127.0.0.1:8090 &
  curl -s http://127.0.0.1:8090/stream | head -c 200

A picture that has stopped:

  hwsim camera --fault frozen`
}

func (c cameraCmd) Run(ctx context.Context) error {
	e := &camera.Camera{Ready: func() { fmt.Printf("camera at http://%s/stream\n", c.Listen) }}
	e.Inject(c.Fault)
	return e.Serve(ctx, c.Listen)
}

type passportCmd struct {
	Profile  string   `default:"pace" help:"What the chip is like; --list names the profiles."`
	Fault    []string `help:"Faults, NAME or NAME=N; --list names them."`
	List     bool     `help:"List the profiles and the faults, and end."`
	VPCD     string   `name:"vpcd" help:"Lay it on the vpcd reader at this address."`
	Stdio    bool     `help:"Answer APDUs on standard input and output, each with a two-byte length; the zone goes to standard error."`
	Trust    string   `help:"Write the issuer's certificate and revocation list to this folder."`
	Terminal string   `help:"Trust the authority of the terminal whose certificates are in this folder; an empty folder gets some, and the key."`
	Rate     int      `help:"Take the time of a contactless link at this many kbit/s: 106, 212, 424 or 848; 0 answers at once."`
	FSC      int      `name:"fsc" help:"Longest frame on that link in bytes, 16 to 256; 0 is 256."`
	MaxLe    int      `name:"max-le" help:"Longest answer in plain bytes, beyond which the chip says 6700, such as 192; 0 for none."`
	Seed     uint64   `help:"Draw all keys, nonces and challenges from this seed, so that a run can be repeated; 0 draws new ones."`
}

func (passportCmd) Help() string {
	return `Example: a passport with PACE, read by Passage.

  passage emrtd read --sim pace

A copied chip on the virtual reader of vsmartcard, and the trust store that
goes with it:

  hwsim passport --fault clone --vpcd 127.0.0.1:35963 --trust /tmp/trust

Any way of PACE is a profile, too: its mapping (gm, im, cam), cipher (3des,
aes128, aes192, aes256) and standardised domain parameters (0 to 2: DH, 8 to
18: curves).

  passage emrtd read --sim pace-im-aes256-16`
}

// list teaches the profiles and the faults.
func (passportCmd) list() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Profiles, the chip:")
	for _, p := range passport.Catalogue {
		fmt.Fprintf(w, "  %s\t%s\n", p.Name, p.Text)
	}
	fmt.Fprintf(w, "  pace-M-C-N\tPACE with one mapping M (gm, im, cam), cipher C (3des, aes128, aes192, aes256) and parameters N; %d of them\n", len(passport.Variants()))
	fmt.Fprintln(w, "\nFaults of the chip:")
	for _, f := range passport.Faults {
		fmt.Fprintf(w, "  %s\t%s\n", f.Name, f.Text)
	}
	fmt.Fprintln(w, "\nFaults of who signed it:")
	for _, f := range testpki.Faults {
		fmt.Fprintf(w, "  %s\t%s\n", f.Name, f.Text)
	}
	return w.Flush()
}

func (c passportCmd) Run(ctx context.Context) error {
	if c.List {
		return c.list()
	}
	if c.FSC != 0 && (c.FSC < 16 || c.FSC > 256) || c.Rate < 0 || c.MaxLe < 0 {
		return errors.New("passport: a frame has 16 to 256 bytes, and a rate and a length are not negative")
	}
	p, err := passport.ByName(c.Profile)
	if err != nil {
		return fmt.Errorf("%w; there are %s, and pace-MAPPING-CIPHER-PARAMETERS", err, passport.Names())
	}
	faults := map[string]int{}
	for _, f := range c.Fault {
		name, n, _ := strings.Cut(f, "=")
		at := 1
		if n != "" {
			if _, err := fmt.Sscan(n, &at); err != nil {
				return fmt.Errorf("passport: fault %q: %w", f, err)
			}
		}
		faults[name] = at
	}
	random := rand.Reader
	if c.Seed != 0 {
		random = testpki.Seed(c.Seed)
	}
	now := time.Now()
	var signer string
	p.Faults, signer = passport.Split(faults)
	office, err := testpki.NewOffice("UT", now, signer, random)
	if err != nil {
		return err
	}
	if c.Trust != "" {
		if err := testpki.Write(c.Trust, office.Trusted...); err != nil {
			return err
		}
	}
	p.MRZ = mrz.MRZ{
		Size: mrz.TD3, Code: "P", Issuer: "UTO", Nationality: "UTO", Surname: "ERIKSSON", GivenNames: "ANNA MARIA", Number: "L898902C3",
		Birth: "740812", Sex: "F", Expiry: now.AddDate(5, 0, 0).Format("060102"),
	}
	p.Portrait, p.Width, p.Height, p.Random = append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 20_000)...), 360, 480, random
	p.MaxLe = c.MaxLe
	if c.Terminal != "" {
		root, err := testpki.Terminal(c.Terminal, testpki.Suite{}, now, random)
		if err != nil {
			return err
		}
		p.CVCA = [][]byte{root}
	}
	card, err := passport.New(p, office.Signer)
	if err != nil {
		return err
	}
	card.Rate, card.FSC = c.Rate, c.FSC
	switch {
	case c.Stdio: // standard output belongs to the chip
		fmt.Fprintln(os.Stderr, strings.Join(card.MRZ(), "\n"))
		return card.ServeStream(ctx, struct {
			io.Reader
			io.Writer
		}{os.Stdin, os.Stdout})
	case c.VPCD != "":
		fmt.Println(strings.Join(card.MRZ(), "\n"))
		return card.Serve(ctx, c.VPCD)
	}
	return fmt.Errorf("passport: say where: --vpcd ADDRESS or --stdio")
}

type personasCmd struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (personasCmd) Help() string {
	return `Example: who is diverted, and why.

  hwsim personas | grep diverted`
}

func (c personasCmd) Run() error {
	list, err := persona.All()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(list)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "id\tlane\tname\tstate\tscript\toutcome")
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\t%s %s\n", p.ID, p.Lane, p.Name[1], p.Name[0], p.State, p.Script, p.Outcome, p.Reason)
	}
	return w.Flush()
}

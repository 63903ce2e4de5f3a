// Consoled serves the supervisors of a site.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"passage/kiosk/bridge"
	"passage/kiosk/config"
	"passage/kiosk/console"
	"passage/kiosk/host"
	"passage/kiosk/inlet"
	"passage/kiosk/metrics"
	"passage/kiosk/officer"
	"passage/kiosk/site"
)

type cli struct {
	Serve   serveCmd   `cmd:"" default:"withargs" help:"Serve the site's console."`
	Invite  inviteCmd  `cmd:"" help:"Make a code by which an officer registers a passkey."`
	Enrol   enrolCmd   `cmd:"" help:"Make a code by which a lane's computer joins."`
	Revoke  revokeCmd  `cmd:"" help:"Shut a lane's computer out for good."`
	Cluster clusterCmd `cmd:"" help:"Write the files of one server of a NATS cluster."`
	Join    joinCmd    `cmd:"" help:"At a country's console: write the credentials by which a site joins it."`
	Roster  struct {
		Draft  draftCmd  `cmd:"" help:"Print the next roster of officers, to be signed."`
		Import importCmd `cmd:"" help:"Take a signed roster."`
	} `cmd:"" help:"Who may speak to the lanes."`
	Rollout   rolloutCmds  `cmd:"" help:"Configuration and trust material for the lanes, in stages."`
	Directory directoryCmd `cmd:"" help:"Look at the directory that says who officers are, and say what is wrong."`
	Audit     struct {
		Words wordsCmd `cmd:"" help:"Print all rosters and officers' words with their proof, for passage audit words."`
		Heads headsCmd `cmd:"" help:"Write a lane's signed heads, for passage audit verify."`
	} `cmd:"" help:"What lanes and officers signed for."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("consoled"), kong.UsageOnError(), kong.Description(`Serves the supervisors of a site: all lanes live, one case at a time, figures and the audit.
Its lanes speak to it over NATS, which it brings along.

The first officers, once the configuration stands (examples/console.toml explains it):

  passage roster key --out roster.key                                          keep it off this machine
  consoled invite --config console.toml --officer lea --name "Lea" --role shift_lead
      … Lea opens PAGES/register and registers a passkey with the code
  consoled roster draft --config console.toml > draft.json
  passage roster sign --key roster.key draft.json > roster.json                where the key is
  consoled roster import --config console.toml roster.json

A lane:

  consoled enrol --config console.toml --lane E1
  passage lane enrol --console https://HOST:PORT --code CODE --out /etc/passage/fleet    on the lane`))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "consoled:", err)
		stop()
		os.Exit(1)
	}
}

// configured is what every command needs.
type configured struct {
	Config string `required:"" type:"existingfile" help:"The console's configuration, one TOML file."`
}

type serveCmd struct {
	configured
	NATS        []string `name:"nats" placeholder:"URL" help:"A cluster's servers, tls://host:port, instead of the embedded one; as fleet.nats in the file."`
	CheckConfig bool     `help:"Check the configuration, say what is wrong, and end."`
}

func (serveCmd) Help() string {
	return `Example: what is wrong with the configuration, then the console.

  consoled --config console.toml --check-config
  consoled serve --config console.toml`
}

func (c serveCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	if len(c.NATS) > 0 {
		conf.NATS = c.NATS
	}
	alarms, err := bridges(conf)
	if err != nil {
		return err
	}
	people, err := organisation(conf)
	if err != nil {
		return err
	}
	if c.CheckConfig {
		fmt.Printf("%s: good: site %s, pages at %s\n", c.Config, conf.Name, conf.URL)
		return nil
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("site", conf.Name)
	book := &inlet.Book{Log: log}
	s, err := site.Open(ctx, site.Config{
		Dir: conf.Dir, Fleet: conf.Fleet, Hosts: conf.Hosts, NATS: conf.NATS, Replicas: conf.Replicas, Leafs: conf.Leafs, Above: site.Above{URL: conf.Country, Dir: conf.CountryDir},
		Rules: site.Rules{PassingBack: conf.PassingBack, Attempts: conf.Attempts, AttemptsFor: conf.AttemptsFor}, Log: log, Book: book,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	origin := conf.URL.Scheme + "://" + conf.URL.Host
	pages, err := console.New(s, console.Config{
		Name: conf.Name, Location: conf.Location, RPID: conf.URL.Hostname(), Origins: []string{origin}, RosterKey: conf.RosterKey, Plan: conf.Plan, Ratio: conf.Ratio, Training: conf.Training, Idle: conf.Idle, Directory: people, Log: log,
	})
	if err != nil {
		return err
	}
	var secure *tls.Config
	if conf.URL.Scheme == "https" {
		if secure, err = pagesTLS(conf, s); err != nil {
			return err
		}
	}
	// Who is told that the console is there finds it.
	desk, err := listen(conf.Listen)
	if err != nil {
		return err
	}
	enrol, err := listen(conf.Enrol)
	if err != nil {
		return err
	}
	var figures net.Listener
	if conf.Metrics != "" {
		if figures, err = metrics.Listen(conf.Metrics); err != nil {
			return err
		}
	}
	log.Info("console", "pages", conf.URL.String(), "fleet", s.Address(), "enrol", conf.Enrol)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error { return pages.Run(ctx) })
	if len(alarms) > 0 {
		b := &bridge.Bridge{Site: conf.Name, Hub: s.Hub(), Rollouts: s.Rollouts, Targets: alarms, Log: log}
		group.Go(func() error { return b.Run(ctx) })
	}
	group.Go(func() error { return console.Serve(ctx, desk, secure, pages, book) })
	group.Go(func() error { return console.Serve(ctx, enrol, s.TLS(), console.Enrolment(s, log), book) })
	// A hub that is stuck says nothing.
	group.Go(func() error {
		host.Notify(ctx, func() bool { count(s.Hub()); return true }, func(err error) { log.Warn("the supervisor cannot be told", "error", err) })
		return nil
	})
	if figures != nil {
		r := metrics.New()
		r.MustRegister(metrics.Site{Lanes: func() (heard, silent, refused int) { return count(s.Hub()) }}, metrics.Inlets{Book: book},
			metrics.Certificates{"pages": metrics.Leaf(conf.Cert)})
		group.Go(func() error { return metrics.Serve(ctx, figures, r, book) })
	}
	return group.Wait()
}

// bridges are the places where alarms go, with the tokens from their files.
func bridges(conf config.Console) ([]bridge.Target, error) {
	var list []bridge.Target
	for _, b := range conf.Bridges {
		text, err := bridge.Parse(b.Text)
		if err != nil {
			return nil, err
		}
		t := bridge.Target{Kind: b.Kind, URL: b.URL, Room: b.Room, Text: text, Priority: b.Priority}
		if b.Token != "" {
			token, err := os.ReadFile(b.Token)
			if err != nil {
				return nil, fmt.Errorf("bridge: token: %w", err)
			}
			t.Token = strings.TrimSpace(string(token))
		}
		list = append(list, t)
	}
	return list, nil
}

// count counts the lanes that are heard, those that are not, and those whose
// journal is refused.
func count(h *site.Hub) (heard, silent, refused int) {
	all, _, _ := h.Since(0)
	for _, l := range all {
		if l.Away {
			silent++
		} else {
			heard++
		}
		if l.Problem != "" {
			refused++
		}
	}
	return heard, silent, refused
}

// pagesTLS is the operator's certificate, read again at each handshake so that
// a renewed one needs no restart, or the site's own.
func pagesTLS(conf config.Console, s *site.Site) (*tls.Config, error) {
	if conf.Cert == "" {
		return s.TLS(), nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(conf.Cert, conf.Key)
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("pages.cert: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() }}, nil
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	return l, nil
}

type inviteCmd struct {
	configured
	Officer string       `required:"" help:"Id: a to z, 0 to 9, '_', '.', '-'."`
	Name    string       `required:"" help:"As colleagues know them."`
	Role    officer.Role `required:"" help:"guard, shift_lead, supervisor, technician or dpo."`
}

func (inviteCmd) Help() string {
	return `Example: Lea opens the address that it prints, within three days, and registers a passkey.

  consoled invite --config console.toml --officer lea --name "Lea" --role shift_lead

She signs in once a roster names her: consoled roster draft.`
}

func (c inviteCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	db, closing, err := site.OpenDatabase(ctx, conf.Dir)
	if err != nil {
		return err
	}
	code, err := site.Invite(ctx, db, site.Invited{Officer: c.Officer, Name: c.Name, Role: c.Role}, "console")
	if err := errors.Join(err, closing()); err != nil {
		return err
	}
	fmt.Printf("%s/register#code=%s\n", conf.URL, code)
	return nil
}

type enrolCmd struct {
	configured
	Lane string `required:"" help:"The lane's id."`
}

func (enrolCmd) Help() string {
	return `Example: it prints the command for the lane's computer.

  consoled enrol --config console.toml --lane E1`
}

func (c enrolCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	code, err := site.Code(ctx, conf.Dir, c.Lane, "console")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(conf.Enrol) // checked with the configuration
	fmt.Printf("passage lane enrol --console https://%s --code %s --out /etc/passage/fleet\n", net.JoinHostPort(conf.Hosts[0], port), code)
	return nil
}

type revokeCmd struct {
	configured
	Lane string `required:"" help:"The lane's id."`
	JSON bool   `name:"json" help:"As JSON."`
}

func (revokeCmd) Help() string {
	return `For a lane's computer that was stolen, or that somebody else has used. Example:

  consoled revoke --config console.toml --lane E1

A console at work ends its connection within seconds, and it comes back no more, also
not after a restart; other lanes do not notice. What it has sent stays. Another
computer takes the lane's place with consoled enrol, which shuts out the one before
it by itself. The register has certificates of its own: revoke the computer's there,
too. On the console's page a shift lead does the same with a passkey, under Lanes and
officers, and the audit keeps it.`
}

func (c revokeCmd) Run(ctx context.Context) error {
	db, closing, err := c.database(ctx)
	if err != nil {
		return err
	}
	out, err := site.Revoke(ctx, db, c.Lane)
	if err := errors.Join(err, closing()); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	fmt.Printf("the computer of %s, %s, is shut out: a console at work ends its connection within seconds\n", out.Lane, out.User)
	return nil
}

type clusterCmd struct {
	configured
	Out    string   `required:"" help:"Folder for nats.conf and the server's keys."`
	Name   string   `required:"" help:"Of the server, such as nats1."`
	Host   string   `required:"" help:"By which lanes, the console and the other servers reach it."`
	Port   int      `default:"4222" help:"For lanes and the console."`
	Routes []string `placeholder:"HOST:PORT" help:"Of all the cluster's servers; none for a single one."`
	Listen string   `default:"0.0.0.0:6222" help:"For the other servers."`
}

func (clusterCmd) Help() string {
	return `Example, for the first of three servers; then nats-server -c nats.conf in that folder:

  consoled cluster --config console.toml --out nats1 --name nats1 --host nats1.example \
    --routes nats1.example:6222,nats2.example:6222,nats3.example:6222`
}

func (c clusterCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	return site.Configure(ctx, conf.Dir, c.Out, site.Server{Name: c.Name, Host: c.Host, Port: c.Port, Routes: c.Routes, Listen: c.Listen})
}

type joinCmd struct {
	configured
	Site string `required:"" help:"The site's id in the country: 1 to 32 of A-Z, a-z, 0-9, '_' and '-'."`
	Out  string `required:"" help:"Folder for the credentials; it goes to the site, as fleet.country_dir."`
}

func (joinCmd) Help() string {
	return `Example: credentials for the site CDG, to be carried there.

  consoled join --config console.toml --site CDG --out cdg`
}

func (c joinCmd) Run() error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	return site.Join(conf.Dir, c.Site, c.Out)
}

type draftCmd struct {
	configured
	Months int `default:"6" help:"How long it shall hold."`
}

func (draftCmd) Help() string {
	return `Example: everybody who has registered a passkey, to be signed where the roster key is.

  consoled roster draft --config console.toml > draft.json
  passage roster sign --key roster.key draft.json > roster.json`
}

func (c draftCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	db, closing, err := site.OpenDatabase(ctx, conf.Dir)
	if err != nil {
		return err
	}
	defer closing()
	base := officer.Roster{}
	last, err := site.LastRoster(ctx, db)
	if err != nil {
		return err
	}
	if len(last.Roster) > 0 {
		r, err := last.Open(conf.RosterKey, time.Now())
		if err != nil {
			return err
		}
		base = *r
	}
	base.Site, base.RPID, base.Origins = conf.Name, conf.URL.Hostname(), []string{conf.URL.Scheme + "://" + conf.URL.Host}
	base.Until = time.Now().AddDate(0, c.Months, 0).UTC().Truncate(time.Second)
	draft, err := site.Draft(ctx, db, base)
	if err != nil {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(draft)
}

type importCmd struct {
	configured
	File string `arg:"" type:"existingfile" help:"What passage roster sign wrote."`
}

func (importCmd) Help() string {
	return `Example:

  consoled roster import --config console.toml roster.json`
}

func (c importCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	var signed officer.Signed
	if err := json.NewDecoder(io.LimitReader(f, 16<<20)).Decode(&signed); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	r, err := signed.Open(conf.RosterKey, time.Now())
	if err != nil {
		return err
	}
	db, closing, err := site.OpenDatabase(ctx, conf.Dir)
	if err != nil {
		return err
	}
	defer closing()
	if err := site.PutRoster(ctx, db, r, signed); err != nil {
		return err
	}
	fmt.Printf("roster %d with %d officers holds until %s\n", r.Version, len(r.Officers), r.Until.Format(time.DateOnly))
	return nil
}

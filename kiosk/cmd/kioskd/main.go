// Kioskd works one lane.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"passage/drivers/emrtd/trust"
	"passage/eesclient"
	"passage/eesclient/extract"
	"passage/eesclient/outbox"
	"passage/eesclient/watchlist"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/audit"
	"passage/kiosk/config"
	"passage/kiosk/devices"
	"passage/kiosk/fleet"
	"passage/kiosk/host"
	"passage/kiosk/inlet"
	"passage/kiosk/intercom"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/metrics"
	"passage/kiosk/web"
	"passage/matcher"
	"passage/sqlite"
)

type cli struct {
	Config      string `required:"" type:"existingfile" help:"The lane's configuration, one TOML file."`
	CheckConfig bool   `help:"Check the configuration, say what is wrong, and end."`
	Verbose     bool   `help:"Log every step of the lane."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("kioskd"), kong.Description(`Works one automated border-control lane: reads the document, opens the gate,
compares the face, asks the registers, lets the traveller through or calls an officer.

It needs a configuration file; examples/lane.toml explains every option. SIGTERM stops it
within five seconds: an empty lane is closed and locked; with a person inside an officer is
called and the gate frees its entry.`))
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "kioskd:", err)
		os.Exit(1)
	}
}

func run(c cli) error {
	if c.CheckConfig {
		conf, err := config.Load(c.Config)
		if err != nil {
			return err
		}
		fmt.Printf("%s: good: lane %s, %s\n", c.Config, conf.Kiosk.Lane, conf.Kiosk.Policy.Direction)
		return nil
	}
	if err := host.NoCore(); err != nil {
		return err
	}
	conf, keeper, number, err := begin(c.Config)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("lane", conf.Kiosk.Lane)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if number > 0 {
		log.Info("the site's configuration counts", "release", number)
	}

	kept, err := openStore(ctx, conf)
	if sqlite.Corrupt(err) {
		return fmt.Errorf("%w: keep the file; passage journal check tells what is damaged, passage journal salvage saves what can be read into a new one", err)
	}
	if err != nil {
		return err
	}
	defer kept.db.Close()
	db, ring, box, store, was := kept.db, kept.ring, kept.box, kept.journal, kept.was
	client, err := eesclient.New(conf.Register.URL, eesclient.Files{CA: conf.Register.CA, Cert: conf.Register.Cert, Key: conf.Register.Key})
	if err != nil {
		return err
	}
	trusted, err := openTrust(conf.Trust, log)
	if err != nil {
		return err
	}
	doc, err := devices.NewReader(conf, trusted.Store, log)
	if err != nil {
		return err
	}
	defer doc.Close()
	book := &inlet.Book{Log: log}
	doc.Book = book
	if doc.Chips, err = devices.NewChips(ctx, db.Writer); err != nil {
		return err
	}
	program := matcher.Program{Path: conf.Vision.Program}
	eyes, err := devices.NewVision(conf, program)
	if err != nil {
		return err
	}
	files, lists, err := copies(ctx, conf.Register, db.Writer, ring)
	if err != nil {
		return err
	}
	asks := devices.NewRegister(client, files)
	var reg kiosk.Register = asks
	var offline *devices.Lists
	if lists != nil {
		defer lists.Close()
		offline = devices.NewLists(asks, lists, conf.Register.LocalLists, client.Lists)
		reg = offline
	}
	site, err := newNeighbours(conf)
	if err != nil {
		return err
	}
	var pages *web.Pages
	notices := func() []string {
		return append(trust.Notices(trusted.Store(), time.Now()), pages.Notices()...)
	}
	var others kiosk.Neighbours = site
	var joined *fleet.Client
	if conf.Fleet.Dir != "" {
		joined = &fleet.Client{Lane: conf.Kiosk.Lane, Journal: db.Reader, RosterKey: conf.Fleet.RosterKey, Releases: keeper, RosterFile: conf.Store.Path + ".roster", Log: log}
		others = both{joined, site}
	}
	shell := kiosk.New(conf.Kiosk, kiosk.Devices{
		Gate: devices.SerialGate(conf.Gate, conf.Kiosk.ExitOnFailure, log), Reader: doc, Vision: eyes, Register: reg, Neighbours: others, Store: store,
		Notices: notices,
	}, log)
	var officers []web.Officer
	for _, o := range conf.Officers {
		officers = append(officers, web.Officer(o))
	}
	if pages, err = web.New(shell, officers); err != nil {
		return err
	}
	if conf.Intercom && joined != nil {
		joined.Booth = &intercom.Booth{Lane: intercom.Of(shell.View), Log: log}
		pages.Intercom(joined.Booth)
	}
	var console fleet.Credentials
	if conf.Fleet.Dir != "" {
		if console, err = fleet.Load(conf.Fleet.Dir, conf.Fleet.Renewed); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", conf.Listen)
	if err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	var figures net.Listener
	if conf.Host.Metrics != "" {
		if figures, err = metrics.Listen(conf.Host.Metrics); err != nil {
			return err
		}
	}
	if err := site.open(); err != nil {
		return err
	}
	pages.Count(book)
	log.Info("pages", "traveller", "http://"+listener.Addr().String()+"/traveller", "lane", "http://"+listener.Addr().String()+"/lane")

	// The lane stops first; what it needs to settle up stops after it.
	behind, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, work := errgroup.WithContext(behind)
	group.Go(func() error { return store.Run(work) })
	group.Go(func() error {
		return box.Drain(work, client, func(tx *sql.Tx, key string, why error) error {
			log.Warn("a record does not reach the register: an officer's case", "key", key, "why", why)
			return store.Conflict(tx, key, why)
		})
	})
	group.Go(func() error { return ring.Keep(work) })
	var there func(context.Context) (int64, error)
	if joined != nil {
		there = joined.Kept
	}
	group.Go(func() error { return journal.Retain(work, db, box, there, log) })
	group.Go(func() error { return trusted.Watch(work) })
	group.Go(func() error { return asks.Watch(work, func(why string) { shell.SetHealth(lane.UnfitClock, why) }) })
	group.Go(func() error { return asks.Refresh(work, log) })
	if lists != nil {
		group.Go(func() error { return offline.Refresh(work, log) })
	}
	group.Go(func() error { return site.serve(work, book) })
	if joined != nil {
		joined.Desk, joined.Direction = shell, func() string { return string(shell.Direction()) }
		if err := tellHeads(joined, conf.Store.Path); err != nil {
			return err
		}
		if err := follow(keeper, shell, conf.Trust, stop, log); err != nil {
			return err
		}
		closed, err := keeper.WasClosed()
		if err != nil {
			return err
		}
		was.Closed = was.Closed || closed
		group.Go(func() error { return stood(work, keeper, shell, log) })
		group.Go(func() error { return joined.Run(work, console) })
	}
	group.Go(func() error { return pages.Serve(work, listener) })
	group.Go(func() error { return host.Forget(work, shell.Watch(work), shell.Serving, client.CloseIdle) })
	watchHost(work, group, conf.Host, shell, log)
	if figures != nil {
		r := metrics.New()
		r.MustRegister(metrics.Lane{View: shell.View, Cases: shell.Cases, Outbox: box}, metrics.Inlets{Book: book},
			metrics.Certificates{"register": metrics.Leaf(conf.Register.Cert), "console": console.Leaf})
		group.Go(func() error { return metrics.Serve(work, figures, r, book) })
	}
	group.Go(func() error {
		defer end()
		return shell.Run(ctx, was)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("stopped")
	return nil
}

// watchHost tells systemd how the lane is, and the lane how its computer is.
func watchHost(ctx context.Context, group *errgroup.Group, conf config.Host, shell *kiosk.Shell, log *slog.Logger) {
	group.Go(func() error {
		host.Notify(ctx, shell.Alive, func(err error) { log.Warn("the supervisor cannot be told", "error", err) })
		return nil
	})
	if conf.Clock {
		group.Go(func() error {
			return host.WatchClock(ctx, func(why string) { shell.SetHealth(lane.UnfitTime, why) })
		})
	}
	if conf.UPS != nil {
		group.Go(func() error {
			return conf.UPS.Watch(ctx, func(why string) { shell.SetHealth(lane.UnfitPower, why) }, func(err error) { log.Warn("power supply", "error", err) })
		})
	}
}

// opened is a lane's store.
type opened struct {
	db      *sqlite.DB
	ring    *keys.Ring
	box     *outbox.Outbox
	journal *journal.Journal
	was     kiosk.Recovery
}

// openStore opens the lane's database, or says why it does not: one that was
// here and is gone, or is damaged, is not taken for a new one.
func openStore(ctx context.Context, conf config.Config) (s opened, err error) {
	if err := journal.Present(conf.Store.Path); err != nil {
		return s, err
	}
	if s.db, err = sqlite.Open(ctx, conf.Store.Path); err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.db.Close())
		}
	}()
	if s.ring, err = openRing(ctx, s.db, conf.Store.Key); err != nil {
		return s, err
	}
	if s.box, err = outbox.New(ctx, s.db, s.ring); err != nil {
		return s, err
	}
	records := &devices.Records{Box: s.box, CrossingPoint: conf.Kiosk.Lane, Location: conf.Kiosk.Location}
	if s.journal, s.was, err = journal.Open(ctx, s.db.Writer, s.ring, records); err != nil {
		return s, err
	}
	if conf.Kiosk.BothWays {
		if s.was.Direction, err = journal.Direction(ctx, s.db.Reader); err != nil {
			return s, err
		}
	}
	return s, journal.Mark(conf.Store.Path)
}

// openRing opens the lane's ring with the master key that source names.
func openRing(ctx context.Context, db *sqlite.DB, source string) (*keys.Ring, error) {
	master, err := keys.Load(source)
	if err != nil {
		return nil, fmt.Errorf("store.key: %w", err)
	}
	defer clear(master)
	return keys.Open(ctx, db, master)
}

// tellHeads has the lane sign for its journal at its site, by a key that it keeps
// beside the store: the folder of its credentials is the operator's.
func tellHeads(c *fleet.Client, store string) error {
	path := filepath.Join(filepath.Dir(store), "audit.key")
	signer, err := audit.Key(path, c.Lane)
	if err != nil {
		return err
	}
	if c.HeadKey, err = audit.PublicKey(path); err != nil {
		return err
	}
	c.Head = (&audit.Teller{Lane: c.Lane, DB: c.Journal, Signer: signer}).Head
	return nil
}

// openTrust loads the trust store that the configuration names.
func openTrust(c config.Trust, log *slog.Logger) (*trust.Live, error) {
	rule, err := trust.ReadRule(c.Persons, c.TwoPersons)
	if err != nil {
		return nil, err
	}
	return trust.Open(c.Dir, rule, log)
}

// copies are what a lane may hold of the register: individual files, watch
// lists; nil for what the configuration doesn't ask for.
func copies(ctx context.Context, conf config.Register, db *sql.DB, ring *keys.Ring) (*extract.Extract, *watchlist.Store, error) {
	if conf.ExtractKey == "" {
		return nil, nil, nil
	}
	signer, err := registerKey(conf.ExtractKey)
	if err != nil {
		return nil, nil, fmt.Errorf("register.extract_key: %w", err)
	}
	var files *extract.Extract
	if conf.Files {
		if files, err = extract.New(ctx, db, ring, signer); err != nil {
			return nil, nil, err
		}
	}
	if len(conf.LocalLists) == 0 {
		return files, nil, nil
	}
	lists, err := watchlist.Open(ctx, conf.Lists, ring, signer)
	return files, lists, err
}

// registerKey reads the key by which the register signs its copies.
func registerKey(path string) (ed25519.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s has no PEM block", path)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := public.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s has a %T, not an Ed25519 key", path, public)
	}
	return signer, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"passage/eesclient/extract"
	"passage/eesclient/outbox"
	"passage/keys"
	"passage/kiosk/config"
	"passage/kiosk/journal"
	"passage/sqlite"
)

// places is all that a lane's ring has sealed in its database.
var places = []keys.Place{journal.Place, outbox.Place, extract.Place}

type keysCmd struct {
	New    keysNewCmd    `cmd:"" help:"Make a master key: a file, or tpm:FILE for one that only this machine's TPM opens."`
	List   keysListCmd   `cmd:"" help:"Show the ring's keys and what each of them wraps."`
	Rotate keysRotateCmd `cmd:"" help:"Replace the ring's key while the lane works; with --to the master key, too."`
}

func (keysCmd) Help() string {
	return `A lane's master key comes from store.key of its configuration: a file of 32
bytes, credential:NAME from systemd, or tpm:FILE. It wraps the ring's keys in the
lane's database, and those wrap a key for each traveller's data. Examples:

  passage keys new tpm:/var/lib/passage/master.tpm
  passage keys rotate --config /etc/passage/lane.toml
  passage keys rotate --config /etc/passage/lane.toml --to tpm:/var/lib/passage/master.tpm`
}

type keysNewCmd struct {
	Source string `arg:"" help:"FILE, tpm:FILE or tpm:FILE?device=PATH."`
}

func (keysNewCmd) Help() string {
	return `Example: a key in a file, or one that only this machine's TPM opens.

  passage keys new /etc/passage/lane.key32
  passage keys new tpm:/var/lib/passage/master.tpm`
}

func (c keysNewCmd) Run() error { return keys.New(c.Source) }

// laneRing opens the ring of a lane's database.
func laneRing(ctx context.Context, path string) (*keys.Ring, *sqlite.DB, config.Config, error) {
	conf, err := config.Load(path)
	if err != nil {
		return nil, nil, conf, err
	}
	master, err := keys.Load(conf.Store.Key)
	if err != nil {
		return nil, nil, conf, fmt.Errorf("store.key: %w", err)
	}
	defer clear(master)
	if _, err := os.Stat(conf.Store.Path); err != nil {
		return nil, nil, conf, fmt.Errorf("store.path: %w", err)
	}
	db, err := sqlite.Open(ctx, conf.Store.Path)
	if err != nil {
		return nil, nil, conf, err
	}
	ring, err := keys.Open(ctx, db, master)
	if err != nil {
		return nil, nil, conf, errors.Join(err, db.Close())
	}
	return ring, db, conf, nil
}

type keysListCmd struct {
	Config string `required:"" type:"existingfile" help:"The lane's configuration."`
}

func (keysListCmd) Help() string {
	return `Example:

  passage keys list --config /etc/passage/lane.toml`
}

func (c keysListCmd) Run(ctx context.Context) error {
	ring, db, _, err := laneRing(ctx, c.Config)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := ring.List(ctx, places)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "key\tmade\tstate\twraps")
	for _, k := range list {
		state := "seals"
		if !k.Retired.IsZero() {
			state = "retired " + k.Retired.Format(time.DateTime)
		}
		var wraps []string
		for _, table := range slices.Sorted(maps.Keys(k.Wraps)) {
			wraps = append(wraps, fmt.Sprintf("%s %d", table, k.Wraps[table]))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", k.ID, k.Made.Format(time.DateTime), state, strings.Join(wraps, ", "))
	}
	return w.Flush()
}

type keysRotateCmd struct {
	Config string `required:"" type:"existingfile" help:"The lane's configuration."`
	To     string `placeholder:"SOURCE" help:"Wrap the ring by this master key instead, which keys new has made; then write it into store.key."`
	NoWait bool   `help:"Leave the retired key; run again later to destroy it."`
}

func (keysRotateCmd) Help() string {
	return `Example: the ring's key anew; then under another master key, which store.key has to
name afterwards.

  passage keys rotate --config /etc/passage/lane.toml
  passage keys rotate --config /etc/passage/lane.toml --to tpm:/var/lib/passage/master.tpm`
}

func (c keysRotateCmd) Run(ctx context.Context) error {
	ring, db, conf, err := laneRing(ctx, c.Config)
	if err != nil {
		return err
	}
	defer db.Close()
	return rotate(ctx, ring, c, conf.Store.Key, keys.Adopted)
}

// rotate replaces the ring's key, waits until a running lane seals with the new
// one, and destroys the old one. One that was interrupted is finished by the
// next.
func rotate(ctx context.Context, ring *keys.Ring, c keysRotateCmd, from string, wait time.Duration) error {
	var master []byte
	if c.To != "" && c.To != from {
		if c.NoWait {
			return errors.New("keys: --to cannot be had with --no-wait: a running lane must have seen the new key before another master key wraps it")
		}
		var err error
		if master, err = keys.Load(c.To); err != nil {
			return err
		}
		defer clear(master)
	}
	n, err := ring.Replace(ctx, places)
	if err != nil {
		return err
	}
	fmt.Printf("a new key seals; %d keys of travellers wrapped anew\n", n)
	if c.NoWait {
		return nil
	}
	fmt.Printf("waiting %v until a running lane seals with it\n", wait)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
	}
	if n, err = ring.Retire(ctx, places); err != nil {
		return err
	}
	fmt.Printf("the old key is destroyed; %d keys that were sealed with it meanwhile wrapped anew\n", n)
	if master == nil {
		return nil
	}
	if err := ring.Rewrap(ctx, master); err != nil {
		return err
	}
	fmt.Printf("the ring is wrapped by %s: write it into store.key before the lane is started again\n", c.To)
	return nil
}

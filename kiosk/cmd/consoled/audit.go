package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"passage/kiosk/config"
	"passage/kiosk/site"
)

// database opens the site's database beside a console that runs.
func (c configured) database(ctx context.Context) (*sql.DB, func() error, error) {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return nil, nil, err
	}
	return site.OpenDatabase(ctx, conf.Dir)
}

type wordsCmd struct{ configured }

func (wordsCmd) Help() string {
	return `Example, with the proof of it:

  consoled audit words --config console.toml > words.jsonl
  passage audit words --key roster-… words.jsonl`
}

func (c wordsCmd) Run(ctx context.Context) error {
	db, closing, err := c.database(ctx)
	if err != nil {
		return err
	}
	return errors.Join(site.Export(ctx, db, os.Stdout), closing())
}

type headsCmd struct {
	configured
	Lane string `required:"" help:"The lane's id."`
	Out  string `required:"" type:"path" help:"Folder for LANE-JOURNAL-SIZE.head and LANE.pub; it is made where it is missing."`
}

func (headsCmd) Help() string {
	return `Example, with the proof of it where the lane's database is:

  consoled audit heads --config console.toml --lane E1 --out heads
  passage audit verify --db lane.db --key heads/E1.pub heads/E1-*.head`
}

func (c headsCmd) Run(ctx context.Context) error {
	db, closing, err := c.database(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return errors.Join(err, closing())
	}
	n := 0
	key, err := site.Heads(ctx, db, c.Lane, func(journal string, size int64, note []byte) error {
		n++
		return os.WriteFile(filepath.Join(c.Out, fmt.Sprintf("%s-%s-%d.head", c.Lane, journal, size)), note, 0o644)
	})
	if err := errors.Join(err, closing()); err != nil {
		return err
	}
	fmt.Printf("%d heads of lane %s\n", n, c.Lane)
	return os.WriteFile(filepath.Join(c.Out, c.Lane+".pub"), []byte(key+"\n"), 0o644)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"

	"passage/kiosk/audit"
	"passage/kiosk/backup"
)

type backupCmd struct {
	DB  string `required:"" type:"existingfile" help:"The lane's database, or a site's. It may be in use."`
	To  string `required:"" placeholder:"age1…" help:"Who shall be able to open it: the public key that age-keygen printed."`
	Out string `required:"" type:"path" help:"The backup; it must not exist."`
}

func (backupCmd) Help() string {
	return `Example: once, elsewhere, age-keygen -o backup.key (Debian's package age); then on the lane

  passage backup --db /var/lib/passage/lane.db --to age1… --out E1-$(date +%F).age

The lane's master key is not in it: keep that one somewhere else.`
}

func (c backupCmd) Run(ctx context.Context) error {
	to, err := age.ParseX25519Recipient(c.To)
	if err != nil {
		return fmt.Errorf("backup: --to: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Out), ".backup-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(f.Name())
	m, err := backup.Make(ctx, c.DB, f, to)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), c.Out); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	fmt.Printf("%s: a %s's store of %d bytes", c.Out, m.Store, m.Size)
	if m.Journal != "" {
		fmt.Printf(", journal %s up to entry %d", m.Journal, m.Entries)
	}
	fmt.Println()
	return nil
}

type restoreCmd struct {
	Backup   string   `arg:"" type:"existingfile" help:"What passage backup wrote."`
	Identity string   `required:"" type:"existingfile" help:"The private key that age-keygen wrote."`
	To       string   `required:"" type:"path" help:"The database; it must not exist."`
	Continue bool     `help:"Go on with the journal: for a lane that was stopped before the backup and has not run since. Needs --head and --key."`
	Head     []string `type:"existingfile" help:"Signed heads of the lane's journal, the newest one among them."`
	Key      string   `type:"existingfile" help:"The public half of the lane's audit key."`
}

func (restoreCmd) Help() string {
	return `Example: the lane's disk has died. What was open becomes officers' cases, and the journal begins anew.

  passage restore E1-2026-11-25.age --identity backup.key --to /var/lib/passage/lane.db

Or it moves to another computer, and nothing came after the backup:

  passage restore E1.age --identity backup.key --to lane.db --continue --head E1.head --key E1.pub`
}

func (c restoreCmd) Run(ctx context.Context) error {
	kf, err := os.Open(c.Identity)
	if err != nil {
		return err
	}
	defer kf.Close()
	ids, err := age.ParseIdentities(kf)
	if err != nil {
		return fmt.Errorf("restore: %s: %w", c.Identity, err)
	}
	var heads []audit.Head
	if c.Continue {
		if c.Key == "" {
			return errors.New("restore: --continue needs the heads that were signed, and --key to verify them")
		}
		if heads, err = readHeads(c.Key, c.Head); err != nil {
			return err
		}
	}
	in, err := os.Open(c.Backup)
	if err != nil {
		return err
	}
	defer in.Close()
	m, err := backup.Restore(ctx, in, ids[0], c.To, c.Continue, heads)
	if err != nil {
		return err
	}
	fmt.Printf("%s: a %s's store, as of %s", c.To, m.Store, m.Made.Format("2006-01-02 15:04:05 UTC"))
	switch {
	case m.Store == "lane" && c.Continue:
		fmt.Printf("; the journal goes on after entry %d", m.Entries)
	case m.Store == "lane":
		fmt.Printf("; the journal begins anew, its %d entries are kept aside; compare the cases that now open with the register's records", m.Entries)
	}
	fmt.Println()
	return nil
}

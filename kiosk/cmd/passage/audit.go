package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"passage/kiosk/audit"
	"passage/kiosk/journal"
	"passage/kiosk/officer"
	"passage/sqlite"
)

type auditHeadCmd struct {
	DB   string `required:"" type:"existingfile" help:"The lane's database."`
	Lane string `required:"" help:"The lane's id."`
	Key  string `required:"" help:"The lane's audit key; made if it is not there, with its public half beside it."`
}

func (auditHeadCmd) Help() string {
	return `Example: on the lane, once an hour, and the line kept where the lane cannot write.

  passage audit head --db /var/lib/passage/lane.db --lane E1 --key /var/lib/passage/audit.key > E1-$(date +%s).head`
}

func (c auditHeadCmd) Run(ctx context.Context) error {
	signer, err := audit.Key(c.Key, c.Lane)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, c.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	h, err := audit.Now(ctx, db.Reader, c.Lane)
	if err != nil {
		return err
	}
	b, err := h.Sign(signer)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(b)
	return err
}

type auditVerifyCmd struct {
	DB    string   `required:"" type:"existingfile" help:"The lane's database."`
	Key   string   `required:"" type:"existingfile" help:"The public half of the lane's audit key, kept since the lane was set up."`
	Heads []string `arg:"" type:"existingfile" help:"Signed heads, a file each."`
}

func (auditVerifyCmd) Help() string {
	return `Example: what the lane signed for is still there, entry by entry.

  passage audit verify --db lane.db --key E1.pub E1-*.head`
}

func (c auditVerifyCmd) Run(ctx context.Context) error {
	heads, err := readHeads(c.Key, c.Heads)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, c.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	began := time.Now()
	entries, covered, err := audit.Verify(ctx, db.Reader, heads)
	if err != nil {
		return err
	}
	base, err := journal.Forgotten(ctx, db.Reader)
	if err != nil {
		return err
	}
	hold := 0
	for _, h := range heads {
		if h.Size >= base.Seq {
			hold++
		}
	}
	fmt.Printf("%d entries, each follows from the one before it; %d heads hold, the last for the first %d (%v)\n", entries, hold, covered, time.Since(began).Round(time.Millisecond))
	if base.Seq > 0 {
		fmt.Printf("the first %d entries were forgotten after %d days, and are as they were signed for; %d older heads prove nothing any more\n", base.Seq, journal.Keep/(24*time.Hour), len(heads)-hold)
	}
	return nil
}

// readHeads verifies signed heads by the public key in a file.
func readHeads(keyFile string, names []string) ([]audit.Head, error) {
	key, err := audit.ReadKey(keyFile)
	if err != nil {
		return nil, err
	}
	var heads []audit.Head
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		h, err := audit.OpenHead(b, key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		heads = append(heads, h)
	}
	return heads, nil
}

type auditWordsCmd struct {
	Key    string `required:"" placeholder:"roster-…" help:"The public half of the key that signs the site's rosters."`
	Export string `arg:"" type:"existingfile" help:"What consoled audit words printed."`
}

func (auditWordsCmd) Help() string {
	return `Example: an inspector, with nothing of the site's but its export and the roster key.

  consoled audit words --config /etc/passage/console.toml > words.jsonl     on the site
  passage audit words --key roster-… words.jsonl`
}

func (c auditWordsCmd) Run() error {
	key, err := officer.ParseKey(c.Key)
	if err != nil {
		return err
	}
	f, err := os.Open(c.Export)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := audit.VerifyWords(f, key)
	if err != nil {
		return fmt.Errorf("after %d good words: %w", p.Words, err)
	}
	fmt.Printf("%d words, each proven by its officer's passkey, none missing between the first and the last; %d more were refused by lanes\n", p.Words, p.Refused)
	return nil
}

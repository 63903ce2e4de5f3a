// Passage is the command for people: what happened in a lane, and tools for
// those who run one.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"passage/kiosk/config"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/web"
	"passage/sqlite"
)

type cli struct {
	Replay   replayCmd   `cmd:"" help:"Run the rules over a lane's journal again and stop at the first difference."`
	Timeline timelineCmd `cmd:"" help:"Show how long each step of a crossing took, as text or SVG."`
	Journal  struct {
		Check   checkCmd   `cmd:"" help:"Verify the journal's file and chain."`
		Salvage salvageCmd `cmd:"" help:"Save what can be read of a damaged journal into a new one."`
	} `cmd:"" help:"The lane's journal."`
	Audit struct {
		Head   auditHeadCmd   `cmd:"" help:"Sign for the journal's entries so far."`
		Verify auditVerifyCmd `cmd:"" help:"Prove that a journal is whole: nothing removed, nothing altered."`
		Words  auditWordsCmd  `cmd:"" help:"Prove that officers said what a site's export says they did."`
	} `cmd:"" help:"Proof that a lane's journal is whole."`
	Backup     backupCmd  `cmd:"" help:"Copy a lane's store, or a site's, encrypted, while it works."`
	Restore    restoreCmd `cmd:"" help:"Bring a backup back."`
	Commission struct {
		Run    commissionCmd       `cmd:"" default:"withargs" help:"Find the devices, write the configuration, test the lane, report."`
		Verify commissionVerifyCmd `cmd:"" help:"Say whether a lane signed for a report."`
	} `cmd:"" help:"Take a lane into service: configuration, acceptance test, report."`
	Doctor doctorCmd `cmd:"" help:"Look at every device of a lane, and say which misbehaves and what to do."`
	Emrtd  struct {
		Decode emrtdDecodeCmd `cmd:"" help:"Say what is in files that were read from a chip before."`
		Read   emrtdReadCmd   `cmd:"" help:"Read a travel document's chip, real or simulated, and judge it."`
	} `cmd:"" help:"Electronic travel documents."`
	Face faceCmd `cmd:"" help:"Faces: compare, judge, calibrate."`
	Gate struct {
		Check gateCheckCmd `cmd:"" help:"Say what a lane gets of another maker's register map, and read it on a line."`
	} `cmd:"" help:"Gates."`
	Keys keysCmd `cmd:"" help:"Keys of what the lane keeps of people."`
	MRZ  struct {
		Read mrzReadCmd `cmd:"" help:"Read the machine readable zone from the picture of a page."`
	} `cmd:"" name:"mrz" help:"Machine readable zones."`
	Screen screenCmd `cmd:"" help:"Keep the traveller's screen going: a browser that is started anew when it freezes."`
	Stay   stayCmd   `cmd:"" help:"Compute an authorised stay: 90 days in any 180."`
	Trust  struct {
		Import   importCmd   `cmd:"" help:"Take trust material into a store as a new, signed version."`
		Activate activateCmd `cmd:"" help:"Make a version count: the second person's word, or the way back."`
		List     listCmd     `cmd:"" help:"List a store's versions, or its authorities and revocation lists."`
		Key      keyCmd      `cmd:"" help:"Make the key pair of a person who imports or activates."`
		Verify   verifyCmd   `cmd:"" help:"Judge a document's files without its chip."`
	} `cmd:"" help:"Trust material."`
	Lane struct {
		Enrol laneEnrolCmd `cmd:"" help:"Join this computer to its site, as a lane."`
	} `cmd:"" help:"A lane's computer."`
	Roster struct {
		Key  rosterKeyCmd  `cmd:"" help:"Make the key that signs rosters."`
		Sign rosterSignCmd `cmd:"" help:"Sign who may speak to the lanes of a site."`
	} `cmd:"" help:"A site's officers."`
	Pin pinCmd `cmd:"" help:"Make the hash of an officer's PIN for the configuration."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("passage"), kong.UsageOnError(), kong.Description(`Tools for a Passage lane.

  passage doctor --config examples/lane.toml    what is wrong with a lane's devices
  passage emrtd read --sim pace                 a simulated passport, read and judged
  passage replay --db .cache/demo/entry.db      the demonstration's entry lane, step by step
  passage timeline --db .cache/demo/entry.db    its last crossing
  passage stay --on 2026-06-20 2026-01-01..2026-02-14 2026-04-01..2026-04-30   90 days in any 180`))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "passage:", err)
		stop()
		os.Exit(1)
	}
}

// rules are the times that the lane ran with: its configuration's, or the
// default ones.
func rules(path string) (lane.Rules, error) {
	if path == "" {
		return lane.DefaultRules(), nil
	}
	c, err := config.Load(path)
	return c.Kiosk.Rules, err
}

type replayCmd struct {
	DB     string `required:"" type:"existingfile" help:"The lane's database."`
	Config string `type:"existingfile" help:"The lane's configuration, for its timers; next to the database by default."`
	Txn    uint32 `help:"Print only this transaction."`
	Quiet  bool   `help:"Print only the result."`
}

func (replayCmd) Help() string {
	return `Example: the demonstration's entry lane, and one crossing of it.

  passage replay --db .cache/demo/entry.db
  passage replay --db .cache/demo/entry.db --txn 3

It ends with 0 only if the rules say today what they said then.`
}

func (r replayCmd) Run(ctx context.Context) error {
	if r.Config == "" {
		if beside := strings.TrimSuffix(r.DB, ".db") + ".toml"; beside != r.DB {
			if _, err := os.Stat(beside); err == nil {
				r.Config = beside
			}
		}
	}
	rs, err := rules(r.Config)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, r.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	n := 0
	err = journal.Replay(ctx, db.Reader, rs, func(s journal.Step) error {
		n++
		if r.Quiet || r.Txn != 0 && int64(r.Txn) != s.Row.Txn {
			return nil
		}
		var fx []string
		for _, f := range s.Effects {
			if o, ok := f.(lane.Order); ok {
				fx = append(fx, o.Command.String())
			} else {
				fx = append(fx, lane.Name(f))
			}
		}
		_, err := fmt.Printf("%10.3fs  %3d  %-15s %-15s -> %-15s %s\n", time.Duration(s.Row.Now).Seconds(), s.Row.Txn, s.Row.Event, s.Before, s.After.Phase, strings.Join(fx, " "))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d steps replayed, no difference\n", n)
	return nil
}

type checkCmd struct {
	DB string `required:"" type:"existingfile" help:"The lane's database."`
}

func (checkCmd) Help() string {
	return `Example:

  passage journal check --db /var/lib/passage/lane.db`
}

func (c checkCmd) Run(ctx context.Context) error {
	db, err := sqlite.Damaged(ctx, c.DB)
	if err != nil {
		return c.wayOut(err)
	}
	defer db.Close()
	if err := journal.Sound(ctx, db); err != nil {
		return c.wayOut(err)
	}
	base, err := journal.Forgotten(ctx, db)
	if err != nil {
		return c.wayOut(err)
	}
	n, err := journal.Check(ctx, db)
	fmt.Printf("%d entries follow from one another\n", n-base.Seq)
	if base.Seq > 0 {
		fmt.Printf("and from %d before them, which were forgotten after %d days\n", base.Seq, journal.Keep/(24*time.Hour))
	}
	if err != nil {
		return c.wayOut(err)
	}
	return nil
}

func (c checkCmd) wayOut(err error) error {
	return fmt.Errorf("%w\nkeep the file; with the lane stopped, passage journal salvage --db %s --to NEW.db saves what can be read", err, c.DB)
}

type salvageCmd struct {
	DB string `required:"" type:"existingfile" help:"The damaged database; it is not written to."`
	To string `required:"" type:"path" help:"The new database; it must not exist."`
}

func (salvageCmd) Help() string {
	return `Example, with the lane stopped; the damaged file is kept:

  passage journal salvage --db /var/lib/passage/lane.db --to /var/lib/passage/new.db`
}

func (c salvageCmd) Run(ctx context.Context) error {
	list, err := journal.Salvage(ctx, c.DB, c.To)
	if err != nil {
		return err
	}
	lost := 0
	for _, t := range list {
		fmt.Printf("%-16s %8d rows", t.Table, t.Rows)
		if t.Lost > 0 {
			fmt.Printf(", unreadable in %d places", t.Lost)
		}
		fmt.Println()
		lost += t.Lost
	}
	fmt.Printf("%s: give it the old one's name and place, and start the lane; intents that have lost their end become cases for an officer\n", c.To)
	if lost > 0 {
		fmt.Println("something is lost: compare the register's records of this lane with the cases before the old file is put away")
	}
	return nil
}

type timelineCmd struct {
	DB   string `required:"" type:"existingfile" help:"The lane's database."`
	UUID string `help:"The crossing; the last one by default."`
	SVG  string `name:"svg" help:"Write a picture to this file instead."`
	JSON bool   `name:"json" help:"As JSON."`
}

func (timelineCmd) Help() string {
	return `Example: the last crossing of the demonstration's entry lane, and a picture of it.

  passage timeline --db .cache/demo/entry.db
  passage timeline --db .cache/demo/entry.db --svg crossing.svg`
}

func (t timelineCmd) Run(ctx context.Context) error {
	db, err := sqlite.Open(ctx, t.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := journal.Crossings(ctx, db.Reader, 10_000)
	if err != nil {
		return err
	}
	for _, c := range list {
		if t.UUID != "" && c.UUID != t.UUID || t.UUID == "" && c.Outcome != "released" && len(list) > 1 {
			continue
		}
		switch {
		case t.JSON:
			return json.NewEncoder(os.Stdout).Encode(c)
		case t.SVG != "":
			return os.WriteFile(t.SVG, []byte(picture(c)), 0o644)
		}
		fmt.Printf("%s  %s %s %s  %.2f s\n", c.UUID, c.Class, c.Outcome, c.Reason, c.Took.Seconds())
		for _, s := range c.Timeline {
			const width = 60
			at := func(d time.Duration) int {
				return int(max(0, min(width, float64(width)*float64(d)/float64(max(1, c.Took)))))
			}
			a, b := at(s.Start), at(s.End)
			fmt.Printf("%-26s %7.0f ms %s%s\n", s.Name, float64((s.End-s.Start).Microseconds())/1000, strings.Repeat(" ", a), strings.Repeat("█", max(1, b-a)))
		}
		return nil
	}
	return fmt.Errorf("timeline: %s has no such crossing", t.DB)
}

// picture draws a crossing's steps as bars over time.
func picture(c journal.Crossing) string {
	const row, left, width = 22, 220, 720
	var b strings.Builder
	h := row*(len(c.Timeline)+2) + 20
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12"><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", left+width+80, h)
	fmt.Fprintf(&b, `<text x="10" y="18" font-weight="bold">%s %s, %.2f s</text>`+"\n", c.Class, c.Outcome, c.Took.Seconds())
	x := func(d time.Duration) float64 { return left + width*float64(d)/float64(max(1, c.Took)) }
	for s := time.Duration(0); s <= c.Took; s += time.Second {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="28" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" fill="#666">%d s</text>`+"\n", x(s), x(s), h-16, x(s)+2, h-4, int(s.Seconds()))
	}
	for i, s := range c.Timeline {
		y := 34 + i*row
		fill := "#3b7dd8"
		if strings.HasPrefix(s.Name, "lane.") {
			fill = "#9bb7d4"
		} else if strings.HasPrefix(s.Name, "consult.") {
			fill = "#d8903b"
		}
		fmt.Fprintf(&b, `<text x="10" y="%d">%s</text><rect x="%.1f" y="%d" width="%.1f" height="14" rx="2" fill="%s"/><text x="%.1f" y="%d" fill="#666">%.0f ms</text>`+"\n",
			y+11, s.Name, x(s.Start), y, max(1, x(s.End)-x(s.Start)), fill, x(s.End)+4, y+11, float64((s.End-s.Start).Microseconds())/1000)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

type pinCmd struct {
	PIN string `arg:"" help:"Four digits or more."`
}

func (pinCmd) Help() string {
	return `Example, for [[officer]] pin in the lane's configuration:

  passage pin 4711`
}

func (c pinCmd) Run() error {
	if len(c.PIN) < 4 {
		return fmt.Errorf("pin: four digits or more")
	}
	h, err := web.HashPIN(c.PIN)
	if err == nil {
		fmt.Println(h)
	}
	return err
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"passage/drivers/emrtd/trust"
	"passage/kiosk/config"
	"passage/kiosk/rollout"
	"passage/kiosk/site"
)

// rolloutCmds are what an operator does on the console's machine. None of them
// signs: what goes to a lane, officers propose and activate on the pages.
type rolloutCmds struct {
	Check checkCmd `cmd:"" help:"Say whether a file holds values that a site may set for its lanes."`
	Put   putCmd   `cmd:"" help:"Make the next release of a configuration or of trust material, unsigned."`
	List  listCmd  `cmd:"" help:"List releases and what has become of them."`
	Show  showCmd  `cmd:"" help:"Show a rollout lane by lane; exit 1 if it has stopped."`
}

type checkCmd struct {
	File string `arg:"" type:"existingfile" help:"TOML."`
}

func (checkCmd) Help() string {
	return `A site sets [policy] without production, [timers], and of [vision] fmr, attempts,
frames and quality. A release holds all that the site sets: what it leaves out, each
lane's own file says; an empty one gives everything back. Example:

  consoled rollout check values.toml

where values.toml holds

  [policy]
  stamp_required = true
  [[policy.mode]]
  from = "2026-07-01"
  to = "2026-09-28"
  ees_mode = "suspended"
  basis = "decision of 2026-06-28, 90 days"`
}

func (c checkCmd) Run() error {
	b, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	if err := config.CheckCentral(b); err != nil {
		return err
	}
	fmt.Printf("%s: good: each lane checks it again, with its own file\n", c.File)
	return nil
}

type putCmd struct {
	configured
	Name          string   `required:"" help:"For people: what it is, 1 to 80 letters."`
	Configuration string   `type:"existingfile" xor:"what" required:"" placeholder:"FILE" help:"Values for the lanes (consoled rollout check)."`
	Trust         string   `type:"existingdir" xor:"what" required:"" placeholder:"DIR" help:"A trust store: the version that counts there."`
	Person        []string `type:"existingfile" placeholder:"FILE.pub" help:"With --trust: whose signatures count there, as in the lanes' trust.persons; once for each."`
	TwoPersons    bool     `help:"With --trust: who activated the version is not who imported it."`
}

func (putCmd) Help() string {
	return `Examples:

  consoled rollout put --config console.toml --name "stamping until October" --configuration values.toml
  consoled rollout put --config console.toml --name "master lists of June" --trust trust --person anna.pub --person bert.pub

The release is a draft: on the console's page Releases one officer proposes it and
another one activates it for chosen lanes, in stages. A new draft of the same kind
takes the place of one that nobody has proposed.`
}

func (c putCmd) Run(ctx context.Context) error {
	kind, content, err := c.content()
	if err != nil {
		return err
	}
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	db, closing, err := site.OpenDatabase(ctx, conf.Dir)
	if err != nil {
		return err
	}
	d, err := put(ctx, db, conf, kind, c.Name, content)
	if err := errors.Join(err, closing()); err != nil {
		return err
	}
	fmt.Printf("%s %d, %q, %d bytes, is drafted: an officer proposes it at %s/#releases\n", d.Kind, d.Number, d.Name, d.Size, conf.URL)
	return nil
}

func (c putCmd) content() (rollout.Kind, []byte, error) {
	if c.Configuration != "" {
		b, err := os.ReadFile(c.Configuration)
		return rollout.Configuration, b, cmp.Or(err, config.CheckCentral(b))
	}
	rule, err := trust.ReadRule(c.Person, c.TwoPersons)
	if err != nil {
		return "", nil, err
	}
	if len(rule.Persons) == 0 {
		return "", nil, errors.New("rollout: --trust needs --person: whose signatures count")
	}
	var b bytes.Buffer
	a, err := trust.Dir{Path: c.Trust, Rule: rule}.Bundle(&b)
	if err != nil {
		return "", nil, err
	}
	fmt.Printf("version %d, imported by %s, activated as number %d by %s\n", a.Version.Version, a.By, a.Sequence, a.Activator)
	return rollout.Trust, b.Bytes(), nil
}

// put drafts the next release for the site whose roster the console has.
func put(ctx context.Context, db *sql.DB, conf config.Console, kind rollout.Kind, name string, content []byte) (site.Release, error) {
	signed, err := site.LastRoster(ctx, db)
	if err != nil {
		return site.Release{}, err
	}
	roster, err := signed.Open(conf.RosterKey, time.Now())
	if err != nil {
		return site.Release{}, fmt.Errorf("%w: without officers nobody can propose a release", err)
	}
	sha, size, err := site.PutContent(ctx, db, kind, bytes.NewReader(content))
	if err != nil {
		return site.Release{}, err
	}
	return site.DraftRelease(ctx, db, roster.Site, kind, name, sha, size, time.Now())
}

// listed is a release with what has become of it.
type listed struct {
	Kind     rollout.Kind  `json:"kind"`
	Number   uint64        `json:"number"`
	Name     string        `json:"name"`
	Back     uint64        `json:"back,omitempty"`
	SHA256   string        `json:"sha256"`
	Proposer string        `json:"proposer,omitempty"`
	Phase    rollout.Phase `json:"phase,omitempty"` // empty where nobody has activated it
	Stage    int           `json:"stage,omitempty"` // 1, 2, …
	Stages   []int         `json:"stages,omitempty"`
	Given    int           `json:"given,omitempty"`
	Taken    int           `json:"taken,omitempty"`
	Lanes    int           `json:"lanes,omitempty"`
	Why      string        `json:"why,omitempty"`
	Waits    string        `json:"waits,omitempty"`
}

func list(ctx context.Context, db *sql.DB) ([]listed, []*site.Rollout, error) {
	releases, err := site.Releases(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	rollouts, err := site.Rollouts(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	out := []listed{}
	for _, r := range releases {
		l := listed{Kind: r.Kind, Number: r.Number, Name: r.Name, Back: r.Back, SHA256: r.SHA256, Proposer: r.Proposer}
		for _, x := range rollouts {
			if x.Release.Digest != r.Digest || l.Phase != "" {
				continue
			}
			l.Phase, l.Stage, l.Stages, l.Given, l.Lanes, l.Why, l.Waits = x.State.Phase, x.State.Stage+1, x.Plan.Stages, len(x.State.Lanes), len(x.Plan.Lanes), x.State.Why, x.State.Waits
			for _, lane := range x.State.Lanes {
				if lane.Taken > 0 {
					l.Taken++
				}
			}
		}
		out = append(out, l)
	}
	return out, rollouts, nil
}

type listCmd struct {
	configured
	JSON bool `name:"json" help:"As JSON."`
}

func (listCmd) Help() string {
	return `Example:

  consoled rollout list --config console.toml`
}

func (c listCmd) Run(ctx context.Context) error {
	db, closing, err := c.database(ctx)
	if err != nil {
		return err
	}
	releases, _, err := list(ctx, db)
	if err := errors.Join(err, closing()); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(releases)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, l := range releases {
		fmt.Fprintf(w, "%s %d\t%s\t%s\n", l.Kind, l.Number, l.Name, l.state())
	}
	return w.Flush()
}

// state is a release's in words.
func (l listed) state() string {
	switch {
	case l.Proposer == "":
		return "a draft: nobody has proposed it"
	case l.Phase == "":
		return "proposed by " + l.Proposer + ": nobody has activated it"
	}
	s := fmt.Sprintf("%s, stage %d of %d: %d of %d lanes have it", l.Phase, l.Stage, len(l.Stages), l.Taken, l.Lanes)
	for _, why := range []string{l.Why, l.Waits} {
		if why != "" {
			s += ": " + why
		}
	}
	return s
}

type showCmd struct {
	configured
	JSON   bool         `name:"json" help:"As JSON."`
	Kind   rollout.Kind `arg:"" enum:"configuration,trust" help:"configuration or trust."`
	Number uint64       `arg:"" optional:"" help:"The release; the newest one that was activated by default."`
}

// errStopped makes the exit status 1: a script that waits for a rollout sees it.
var errStopped = errors.New("rollout: it has stopped")

func (showCmd) Help() string {
	return `Example: how far the lanes' values have come.

  consoled rollout show --config console.toml configuration`
}

func (c showCmd) Run(ctx context.Context) error {
	db, closing, err := c.database(ctx)
	if err != nil {
		return err
	}
	rollouts, err := site.Rollouts(ctx, db)
	if err := errors.Join(err, closing()); err != nil {
		return err
	}
	for _, r := range rollouts {
		if r.Release.Kind == c.Kind && (c.Number == 0 || r.Release.Number == c.Number) {
			if err := c.show(os.Stdout, r); err != nil {
				return err
			}
			if r.State.Phase == rollout.Stopped {
				return errStopped
			}
			return nil
		}
	}
	return fmt.Errorf("rollout: no such %s was activated", c.Kind)
}

func (c showCmd) show(out io.Writer, r *site.Rollout) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	s := r.State
	fmt.Fprintf(out, "%s %d, %q: %s\n", r.Release.Kind, r.Release.Number, r.Release.Name, strings.TrimSpace(string(s.Phase)+" "+s.Why))
	fmt.Fprintf(out, "proposed by %s, activated by %s; stages %v %%, each watched for %v\n\n", r.Release.Proposer, s.Activated, r.Plan.Stages, time.Duration(r.Plan.Soak)*time.Second)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range s.Lanes {
		what := "given it, has not said that it has it"
		switch {
		case l.Refused != "":
			what = "refuses: " + l.Refused
		case l.Taken > 0:
			what = "has it since " + time.Unix(l.Taken, 0).Format(time.DateTime)
		case l.Waits != "":
			what = l.Waits
		}
		if l.Bad > 0 {
			what += "; silent or out of service since " + time.Unix(l.Bad, 0).Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\n", l.ID, what)
	}
	if n := len(r.Plan.Lanes) - len(s.Lanes); n > 0 {
		fmt.Fprintf(w, "%d more\twait for their stage\n", n)
	}
	for _, e := range s.Events {
		fmt.Fprintf(w, "\n%s\t%s", time.Unix(e.At, 0).Format(time.DateTime), strings.TrimSpace(e.What+" "+strings.TrimSpace(e.By+" "+e.Why)))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

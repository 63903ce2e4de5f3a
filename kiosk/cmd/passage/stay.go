package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"passage/eesclient/stay"
)

type stayCmd struct {
	On            string   `required:"" placeholder:"DAY" help:"Day of entry or exit, yyyy-mm-dd, as the crossing point's calendar has it."`
	Direction     string   `enum:"entry,exit" default:"entry" help:"entry: how long may be stayed; exit: was it stayed too long."`
	Stays         string   `name:"stays" placeholder:"FILE" help:"CSV of earlier stays: entry,exit. An empty exit is a stay that goes on. - reads standard input."`
	VisaUntil     string   `placeholder:"DAY" help:"Last day of a visa's validity."`
	VisaDays      int      `placeholder:"N" help:"Days that the visa's sticker still allows."`
	ExtendedUntil string   `placeholder:"DAY" help:"Day to which the stay was extended (Reg. 2017/2226 Art. 19)."`
	Exclude       []string `placeholder:"FIRST..LAST|FILE" help:"Days that do not count, under a residence permit or a long-stay visa; or a CSV of them."`
	Explain       bool     `help:"Say day by day why; with --json on standard error."`
	Calendar      string   `placeholder:"FILE" help:"Write the days as a picture, SVG."`
	JSON          bool     `name:"json" help:"As JSON."`
	Ranges        []string `arg:"" optional:"" name:"first..last" help:"Earlier stays; first.. for an open one."`
}

func (stayCmd) Help() string {
	return `Examples:

  passage stay --on 2026-06-20 2026-01-01..2026-02-14 2026-04-01..2026-04-30
  passage stay --on 2026-06-20 --stays stays.csv --json
  passage stay --on 2026-04-05 --direction exit 2026-01-01.. --explain

The result's status is ok, exhausted (no day is left), or undetermined: a stay has
no exit or no entry on record, and an officer must look. The rule is Article 6(1)
of the Schengen Borders Code; what a bilateral agreement adds, an officer knows.`
}

// stayRange reads first..last; an empty last is 0.
func stayRange(s string) (r stay.Stay, err error) {
	first, last, ok := strings.Cut(s, "..")
	if !ok {
		return r, fmt.Errorf("stay: %q is not first..last, such as 2026-01-01..2026-02-14", s)
	}
	if r.First, err = stay.ParseDay(first); err != nil {
		return r, fmt.Errorf("%w: %q", err, s)
	}
	if last != "" {
		if r.Last, err = stay.ParseDay(last); err != nil {
			return r, fmt.Errorf("%w: %q", err, s)
		}
		if r.Last < r.First {
			return r, fmt.Errorf("stay: %q ends before it begins", s)
		}
	}
	return r, nil
}

func stayFile(path string) (list []stay.Stay, err error) {
	if path == "-" {
		return stay.ReadCSV(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("stay: %w", err)
	}
	defer f.Close()
	if list, err = stay.ReadCSV(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// question is what the options ask.
func (c stayCmd) question() (on stay.Day, list, excluded []stay.Stay, v stay.Visa, err error) {
	var wrong []error
	day := func(option, s string) (d stay.Day) {
		if s != "" {
			var err error
			if d, err = stay.ParseDay(s); err != nil {
				wrong = append(wrong, fmt.Errorf("--%s: %w", option, err))
			}
		}
		return d
	}
	on = day("on", c.On)
	v = stay.Visa{End: day("visa-until", c.VisaUntil), UnusedDays: c.VisaDays, Extended: day("extended-until", c.ExtendedUntil)}
	if c.VisaDays < 0 || c.VisaDays > 90 {
		wrong = append(wrong, errors.New("--visa-days: 1 to 90"))
	}
	if c.Stays != "" {
		more, err := stayFile(c.Stays)
		list, wrong = append(list, more...), append(wrong, err)
	}
	for _, s := range c.Ranges {
		r, err := stayRange(s)
		list, wrong = append(list, r), append(wrong, err)
	}
	for _, s := range c.Exclude {
		if !strings.Contains(s, "..") || strings.Contains(s, "/") {
			more, err := stayFile(s)
			excluded, wrong = append(excluded, more...), append(wrong, err)
			continue
		}
		r, err := stayRange(s)
		excluded, wrong = append(excluded, r), append(wrong, err)
	}
	for _, r := range excluded {
		if r.First == 0 || r.Last == 0 {
			wrong = append(wrong, errors.New("--exclude: a first and a last day are wanted"))
			break
		}
	}
	return on, list, excluded, v, errors.Join(wrong...)
}

// stayJSON is the result for other programs.
type stayJSON struct {
	Status   stay.Status `json:"status"`
	Days     int         `json:"days"`
	LastDay  *string     `json:"last_day"`
	Used     int         `json:"used"`
	Overstay int         `json:"overstay_days"`
}

func (c stayCmd) Run() error { return c.run(os.Stdout, os.Stderr) }

func (c stayCmd) run(out, beside io.Writer) error {
	on, list, excluded, v, err := c.question()
	if err != nil {
		return err
	}
	exit := c.Direction == "exit"
	compute := stay.Entry
	if exit {
		compute = stay.Exit
	}
	r := compute(list, on, v, excluded...)
	lines := stay.Explain(r, list, on, v, exit, excluded...)
	if c.Explain {
		to := out
		if c.JSON {
			to = beside
		}
		explain(to, lines)
	}
	if c.Calendar != "" {
		if lines == nil {
			return fmt.Errorf("stay: %s: there is nothing to draw", r.Status)
		}
		if err := os.WriteFile(c.Calendar, []byte(stay.Calendar(lines, on)), 0o644); err != nil {
			return fmt.Errorf("stay: %w", err)
		}
	}
	if c.JSON {
		j := stayJSON{Status: r.Status, Days: r.Days, Used: r.Used, Overstay: r.Overstay}
		if r.LastDay != 0 {
			last := r.LastDay.String()
			j.LastDay = &last
		}
		return json.NewEncoder(out).Encode(j)
	}
	fmt.Fprintln(out, sentence(r, on, exit))
	if r.Bilateral() {
		fmt.Fprintln(out, "A bilateral agreement of the host state may allow more: an officer decides (Reg. 2017/2226 Art. 60).")
	}
	return nil
}

func sentence(r stay.Result, on stay.Day, exit bool) string {
	switch {
	case r.Status == stay.Undetermined && exit:
		return "undetermined: no single entry is on record that this exit closes; an officer must look"
	case r.Status == stay.Undetermined:
		return "undetermined: a stay has no exit or no entry on record; an officer must look"
	case r.Overstay > 0:
		return fmt.Sprintf("%s: %d days over, from %v (%d of the 180 days to %v used)", r.Status, r.Overstay, r.From, r.Used, on)
	case r.Days > 0:
		return fmt.Sprintf("%s: %d days from %v, last day %v (%d of the 180 days to %v used)", r.Status, r.Days, on, r.LastDay, r.Used, on)
	}
	return fmt.Sprintf("%s: no day from %v (%d of the 180 days to it used)", r.Status, on, r.Used)
}

// explain prints the days; runs of the same kind that say nothing new are one
// line.
func explain(w io.Writer, lines []stay.Line) {
	for i := 0; i < len(lines); {
		l := lines[i]
		j := i + 1
		if l.Kind == stay.Free {
			for j < len(lines) && lines[j].Kind == l.Kind && lines[j].Why == "" {
				j++
			}
		}
		day := l.Day.String()
		if j-i > 1 {
			day += ".." + lines[j-1].Day.String()
		}
		fmt.Fprintf(w, "%-22s  %-8s  %3d used  %s\n", day, l.Kind, lines[j-1].Used, l.Why) // to a terminal or a pipe that has gone
		i = j
	}
}

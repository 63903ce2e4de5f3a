package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"passage/hwsim/population"
	"passage/hwsim/register"
)

type populationCmd struct {
	People int    `default:"10000" help:"How many."`
	DB     string `name:"db" placeholder:"URL" help:"PostgreSQL database; the SQLite file of hwsim register in --dir without."`
	Dir    string `default:".cache/lane" help:"Folder of the register's secret, and of its SQLite file."`
	Seed   uint64 `default:"1" help:"The same seed makes the same people."`
}

func (populationCmd) Help() string {
	return `Example: a million people for hwsim register.

  hwsim population --people 1000000
  hwsim register

Names, documents, visas, stays and entries of lists are drawn by chance; a
hundredth of the people are on a list. The register must not have them yet.`
}

func (c populationCmd) Run(ctx context.Context) error {
	if c.People < 1 || c.People > 1_000_000_000 {
		return errors.New("population: --people must be 1 to 1000000000")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	reg, end, err := openRegister(ctx, filepath.Join(c.Dir, "ees.db"), c.DB)
	if err != nil {
		return err
	}
	today := today()
	b := bar{all: c.People, began: time.Now(), live: term.IsTerminal(int(os.Stderr.Fd()))}
	err = reg.Populate(ctx, c.People, func(i int) register.Person { return population.Person(c.Seed, i, today) }, b.done)
	fmt.Fprintln(os.Stderr)
	if err == nil {
		fmt.Printf("%d people in %s\n", c.People, time.Since(b.began).Round(time.Second))
	}
	return errors.Join(err, end())
}

// bar is a progress bar on standard error: a line that moves on a terminal, a
// line every tenth elsewhere.
type bar struct {
	all, tenth int
	began      time.Time
	live       bool
}

func (b *bar) done(n int) {
	if t := 10 * n / b.all; !b.live && t == b.tenth {
		return
	} else {
		b.tenth = t
	}
	took := time.Since(b.began)
	left := time.Duration(float64(took) * float64(b.all-n) / float64(n)).Round(time.Second)
	full := 30 * n / b.all
	begin, end := "", "\n"
	if b.live {
		begin, end = "\r", ""
	}
	rate := float64(n) / took.Seconds()
	fmt.Fprintf(os.Stderr, "%s[%s%s] %3d %%, %d of %d, %.0f/s, %s left   %s", begin, strings.Repeat("#", full), strings.Repeat(".", 30-full), 100*n/b.all, n, b.all, rate, left, end)
}

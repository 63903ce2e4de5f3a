package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// central is what a site may set for its lanes by a release: how travellers are
// judged, and how long a lane waits. What a lane is made of is not in it: a
// device, a folder, a key, an address or a gate's parameter differs from lane to
// lane, and a wrong one would cut the lane off from whoever could mend it. Nor
// is what only somebody at the lane may answer for: whether specimens pass
// (production), whether a cut cable opens the border (exit_on_failure), a bare
// threshold in place of a calibrated error rate, who may sign in at the lane.
type central struct {
	Vision struct {
		FMR      *float64 `toml:"fmr"`
		Attempts *int
		Frames   *int
		Quality  map[string]int
	}
	Policy struct {
		TD1           *[]string  `toml:"td1_issuers"`
		PKD           *[]string  `toml:"pkd_members"`
		EES           *string    `toml:"ees_mode"`
		EESOffline    *string    `toml:"ees_offline"`
		LocalLists    *[]string  `toml:"local_lists"`
		TCNEntry      *string    `toml:"tcn_entry_authorisation"`
		ETIAS         *string    `toml:"etias_mode"`
		StampRequired *bool      `toml:"stamp_required"`
		Mode          *[]rawMode `toml:"mode"`
	}
	Timers map[string]duration
}

// rawMode is a dated row of the policy.
type rawMode struct {
	From, To      string
	EES           string `toml:"ees_mode"`
	StampRequired bool   `toml:"stamp_required"`
	Basis         string
}

// set takes what is set.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply puts the site's values over the lane's own. A list or a table of rows
// replaces the lane's as a whole; of timers and qualities each stands by itself.
func (c central) apply(r *raw) {
	set(&r.Vision.FMR, c.Vision.FMR)
	set(&r.Vision.Attempts, c.Vision.Attempts)
	set(&r.Vision.Frames, c.Vision.Frames)
	for name, v := range c.Vision.Quality {
		if r.Vision.Quality == nil {
			r.Vision.Quality = map[string]int{}
		}
		r.Vision.Quality[name] = v
	}
	p := &r.Policy
	set(&p.TD1, c.Policy.TD1)
	set(&p.PKD, c.Policy.PKD)
	set(&p.EES, c.Policy.EES)
	set(&p.EESOffline, c.Policy.EESOffline)
	set(&p.LocalLists, c.Policy.LocalLists)
	set(&p.TCNEntry, c.Policy.TCNEntry)
	set(&p.ETIAS, c.Policy.ETIAS)
	set(&p.StampRequired, c.Policy.StampRequired)
	set(&p.Mode, c.Policy.Mode)
	for name, v := range c.Timers {
		if r.Timers == nil {
			r.Timers = map[string]duration{}
		}
		r.Timers[name] = v
	}
}

// ParseWith validates a lane's configuration with the values of a release over
// it, by the same rules as without. Its error names every problem, and says which
// of the two cannot be read.
func ParseWith(own, release []byte) (Config, error) {
	var r raw
	var c central
	if err := decode(own, &r); err != nil {
		return Config{}, err
	}
	if err := decode(release, &c); err != nil {
		return Config{}, fmt.Errorf("the release: a site sets [policy], [timers] and error rate, attempts, frames and quality of [vision]: %w", err)
	}
	if err := c.bounds(); err != nil {
		return Config{}, err
	}
	c.apply(&r)
	return r.valid()
}

// LoadWith is ParseWith for the lane's file at path.
func LoadWith(path string, release []byte) (Config, error) {
	own, err := read(path)
	if err != nil {
		return Config{}, err
	}
	c, err := ParseWith(own, release)
	if err != nil {
		return Config{}, fmt.Errorf("config: %s:\n%w", path, err)
	}
	return c, nil
}

// read reads a file that is not too large.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", path, err)
	}
	return b, nil
}

// CheckCentral says what is wrong with a release by itself, before any lane sees
// it: keys that a site does not set, and values that no lane takes. What depends
// on a lane, the lane says.
func CheckCentral(release []byte) error {
	var c central
	if err := decode(release, &c); err != nil {
		return fmt.Errorf("config: a site sets [policy], [timers] and error rate, attempts, frames and quality of [vision]: %w", err)
	}
	if err := c.bounds(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var r raw
	r.Lane.ID, r.Lane.Direction = "any", "entry"
	r.MRZ.TTY, r.Gate.TTY, r.Camera.URL = "any", "any", "http://any"
	r.Vision.Program, r.Vision.Packs = "any", "any"
	r.Register.URL, r.Register.CA, r.Register.Cert, r.Register.Key = "https://any", "any", "any", "any"
	r.Trust.Dir, r.Web.Listen, r.Store.Path, r.Store.Key = "any", "127.0.0.1:1", "any", "any"
	c.apply(&r)
	// What a lane needs beside its copies is in its own file.
	if r.Policy.EESOffline == "extract" || len(r.Policy.LocalLists) > 0 {
		r.Register.ExtractKey = "any"
	}
	if len(r.Policy.LocalLists) > 0 {
		r.Register.Lists = "any"
	}
	if _, err := r.valid(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// mostTimer is longer than anything that a traveller could be asked to wait for.
const mostTimer = 10 * time.Minute

// bounds are those of values that come from afar, beside every file's: a lane's
// own operator may have a reason for a longer time.
func (c central) bounds() error {
	var p problems
	for name, d := range c.Timers {
		if time.Duration(d) > mostTimer {
			p.add("timers."+name, "%v is longer than %v", time.Duration(d), mostTimer)
		}
	}
	return errors.Join(p.list...)
}

package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"passage/durable"
	"passage/kiosk/officer"
)

// takeRoster takes a roster that the site has sent, and keeps it. One that is
// older than the last one, of this run or of an earlier one, is refused: a
// console that somebody owns would bring back an officer who has left.
func (c *Client) takeRoster(s officer.Signed) error {
	r, err := s.Open(c.RosterKey, time.Now())
	if err != nil {
		return err
	}
	if old := c.ear.Roster(); old != nil && old.Version == r.Version {
		return nil
	}
	if err := c.ear.Take(r); err != nil {
		return err
	}
	if err := c.keepRoster(s); err != nil {
		// The lane works on: what is lost is the memory of a restart.
		c.Log.Warn("the roster cannot be kept", "error", err)
	}
	c.Log.Info("roster taken", "version", r.Version, "officers", len(r.Officers))
	return nil
}

// recallRoster takes the roster of an earlier run. One that has run out proves
// nobody's word any more, and is still newer than the ones before it.
func (c *Client) recallRoster() {
	if c.RosterFile == "" {
		return
	}
	b, err := os.ReadFile(c.RosterFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var s officer.Signed
	var r *officer.Roster
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err == nil {
		r, err = s.Open(c.RosterKey, time.Time{})
	}
	if err == nil {
		err = c.ear.Take(r)
	}
	if err != nil {
		c.Log.Warn("the roster of an earlier run cannot be used", "file", c.RosterFile, "error", err)
	}
}

// keepRoster replaces the file: after a power cut it is the old one or the new
// one.
func (c *Client) keepRoster(s officer.Signed) error {
	if c.RosterFile == "" {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("fleet: roster: %w", err)
	}
	if err := durable.Replace(c.RosterFile, b, 0o600); err != nil {
		return fmt.Errorf("fleet: roster: %w", err)
	}
	return nil
}

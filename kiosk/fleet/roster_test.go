package fleet

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"passage/kiosk/officer"
)

// A lane that starts again does not take an older roster from its site, and
// hears nobody by one that has run out; a damaged file keeps it from nothing.
func TestRosterOutlivesTheLane(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signed := func(version uint64, until time.Duration) officer.Signed {
		s, err := officer.Roster{Version: version, Until: time.Now().Add(until), RPID: "console.test", Origins: []string{"https://console.test"}}.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	path := filepath.Join(t.TempDir(), "lane.db.roster")
	start := func() *Client {
		c := &Client{Lane: "E1", RosterKey: key.Public().(ed25519.PublicKey), RosterFile: path, Log: slog.New(slog.DiscardHandler)}
		c.recallRoster()
		return c
	}
	c := start()
	if c.ear.Roster() != nil {
		t.Error("a new lane has a roster")
	}
	if err := c.takeRoster(signed(7, time.Hour)); err != nil {
		t.Fatal(err)
	}
	c = start()
	if err := c.takeRoster(signed(6, time.Hour)); !errors.Is(err, officer.ErrRoster) {
		t.Errorf("after a restart an older roster: %v", err)
	}
	if r := c.ear.Roster(); r == nil || r.Version != 7 {
		t.Errorf("the lane has %+v", r)
	}
	if err := c.keepRoster(signed(8, -time.Hour)); err != nil { // as if time had passed
		t.Fatal(err)
	}
	c = start()
	if err := c.takeRoster(signed(7, time.Hour)); !errors.Is(err, officer.ErrRoster) {
		t.Errorf("older than one that has run out: %v", err)
	}
	if err := c.takeRoster(signed(9, time.Hour)); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(`{"roster":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start().takeRoster(signed(9, time.Hour)); err != nil {
		t.Error(err)
	}
}

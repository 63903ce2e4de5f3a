package fleet_test

import (
	"testing"
	"time"

	"passage/kiosk/journal"
	"passage/kiosk/site"
)

// A lane forgets what its site has, and nothing else; a site that has lost its
// own memory takes the journal from where it begins.
func TestForgottenAtTheLane(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	c.start()
	defer func() { c.stop() }()
	c.cross(3)
	a.has("E1", 3, 60)
	kept, err := c.client.Kept(t.Context())
	if err != nil || kept != 60 {
		t.Fatalf("the site has %d entries, %v", kept, err)
	}
	a.stop()
	if _, err := c.client.Kept(t.Context()); err == nil {
		t.Error("a site that is away has the journal")
	}
	c.cross(2)
	thin := func() {
		t.Helper()
		for n := 1; n > 0; {
			if n, err = journal.Thin(t.Context(), c.db.Writer, nil, time.Now().Add(time.Hour), kept); err != nil {
				t.Fatal(err)
			}
		}
	}
	thin()
	a.start()
	a.has("E1", 5, 100)
	if kept, err = c.client.Kept(t.Context()); err != nil || kept != 100 {
		t.Fatalf("the site has %d entries, %v", kept, err)
	}

	// The site loses what it had.
	a.stop()
	thin()
	db, closing, err := site.OpenDatabase(t.Context(), a.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"position", "crossing"} {
		if _, err := db.Exec("DELETE FROM " + table); err != nil {
			t.Fatal(err)
		}
	}
	if err := closing(); err != nil {
		t.Fatal(err)
	}
	a.start()
	c.cross(1)
	a.has("E1", 1, 120)
}

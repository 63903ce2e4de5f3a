package fleet_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
	"passage/kiosk/site"
)

// A computer that is revoked in the site's database, by another process, is cut
// off and does not come back, also not to a site that has started again; what it
// journals from then on never arrives. Another lane does not notice, and another
// computer may take the lane's place.
func TestRevokedBesideTheSite(t *testing.T) {
	a := newAirport(t)
	lost, other := a.computer("E1"), a.computer("E2")
	lost.start()
	other.start()
	lost.cross(1)
	other.cross(1)
	a.has("E1", 1, 20)
	a.has("E2", 1, 20)
	closed := make(chan struct{})
	in := lost.dial(nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	defer in.Close()
	var noticed atomic.Int64
	beside := other.dial(nats.DisconnectErrHandler(func(*nats.Conn, error) { noticed.Add(1) }))
	defer beside.Close()

	db, closing, err := site.OpenDatabase(t.Context(), a.dir)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, err := site.Revoke(t.Context(), db, "E1")
	if err != nil || out.Lane != "E1" || out.User == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	select {
	case <-closed:
		t.Logf("shut out %v after the word", time.Since(began))
	case <-time.After(time.Minute):
		t.Fatal("a computer that was revoked is still connected")
	}
	if _, err := site.Revoke(t.Context(), db, "E1"); !errors.Is(err, site.ErrNoLane) {
		t.Errorf("revoked twice: %v", err)
	}
	if err := closing(); err != nil {
		t.Fatal(err)
	}
	stays := func() {
		t.Helper()
		conf, err := lost.creds.TLS()
		if err != nil {
			t.Fatal(err)
		}
		if nc, err := nats.Connect(lost.creds.URL, nats.Secure(conf), nats.UserCredentials(lost.creds.User), nats.CustomInboxPrefix(fleet.Inbox("E1")), nats.NoReconnect()); err == nil {
			nc.Close()
			t.Error("a computer that was revoked comes back")
		}
	}
	stays()
	if err := beside.FlushTimeout(10 * time.Second); err != nil || noticed.Load() > 0 {
		t.Errorf("another lane was cut off: %d times, %v", noticed.Load(), err)
	}
	lost.cross(1)
	other.cross(1)
	a.has("E2", 2, 40)

	a.stop()
	a.start()
	stays()
	other.cross(1)
	a.has("E2", 3, 60)
	a.has("E1", 1, 20)
	until(t, "the lane shows as away", func() bool {
		list, _, _ := a.site.Hub().Since(0)
		for _, l := range list {
			if l.ID == "E1" && !l.Away {
				return false
			}
		}
		return true
	})
	next := a.computer("E1")
	next.txn = 100 // other crossings than the lost one's
	next.start()
	next.cross(1)
	a.has("E1", 2, 20, 20)
}

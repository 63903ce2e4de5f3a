package flood

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/hwsim/world"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/console"
	"passage/kiosk/fleet"
	"passage/kiosk/inlet"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/site"
	"passage/sqlite"
)

// airport is a site with its enrolment and its console's pages on loopback.
type airport struct {
	*site.Site
	enrol, pages string
}

func newAirport(t *testing.T, book *inlet.Book, v site.Volume) *airport {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := site.Open(t.Context(), site.Config{Dir: t.TempDir(), Fleet: own + ":0", Hosts: []string{own}, Log: quiet, Book: book, Volume: v})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	beside(t, s.Run)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := console.New(s, console.Config{Name: "Test", RPID: "localhost", Origins: []string{"http://localhost"}, RosterKey: public, Ratio: 6, Idle: time.Minute, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", own+":0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	enrol, pages := listen(), listen()
	beside(t, func(ctx context.Context) error {
		return console.Serve(ctx, enrol, s.TLS(), console.Enrolment(s, quiet), book)
	})
	beside(t, func(ctx context.Context) error { return console.Serve(ctx, pages, nil, h, book) })
	return &airport{s, "https://" + enrol.Addr().String(), "http://" + pages.Addr().String()}
}

func (a *airport) join(t *testing.T, id string) fleet.Credentials {
	t.Helper()
	code, err := a.Code(t.Context(), id, "lea")
	if err != nil {
		t.Fatal(err)
	}
	_, creds, err := fleet.Enrol(t.Context(), a.enrol, code, t.TempDir())
	if err != nil {
		t.Fatalf("enrolling %s: %v", id, err)
	}
	return creds
}

// lane joins a lane with a journal, and returns rightful traffic of it: its journal
// arrives, and it is asked and answered.
func (a *airport) lane(t *testing.T, id string) (serve func(t *testing.T)) {
	t.Helper()
	creds := a.join(t, id)
	j, db := newJournal(t)
	q := world.NewQuick(nil, slog.New(slog.DiscardHandler))
	beside(t, q.Run)
	c := &fleet.Client{Lane: id, Direction: func() string { return "entry" }, Desk: q.Shell, Journal: db.Reader, RosterKey: make(ed25519.PublicKey, ed25519.PublicKeySize), Log: slog.New(slog.DiscardHandler)}
	beside(t, func(ctx context.Context) error { return c.Run(ctx, creds) })
	entries := int64(0)
	return func(t *testing.T) {
		write(j, entries, 20)
		entries += 20
		end, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			n, err := c.Kept(end)
			if err == nil && n == entries {
				break
			}
			select {
			case <-end.Done():
				t.Fatalf("%d of %d entries arrived: %v", n, entries, err)
			case <-time.After(250 * time.Millisecond): // its own questions have a pace, too
			}
		}
		if b, err := a.Ask(end, id, fleet.Ask{What: fleet.AskCases}); err != nil || string(b) != "[]" {
			t.Errorf("asked for its cases the lane says %q, %v", b, err)
		}
		lanes, _, _ := a.Hub().Since(0)
		for _, l := range lanes {
			if l.ID == id && l.Away {
				t.Error("the lane counts as not seen")
			}
		}
	}
}

// newJournal is an empty one on disk.
func newJournal(t *testing.T) (*journal.Journal, *sqlite.DB) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(t.Context(), db.Writer, ring, nil)
	if err != nil {
		t.Fatal(err)
	}
	beside(t, j.Run)
	return j, db
}

// write journals n entries after those that are there.
func write(j *journal.Journal, there int64, n int) {
	for i := range n {
		j.Append(kiosk.Entry{Now: lane.Instant(there + int64(i) + 1), At: time.Now(), Event: lane.DocumentPlaced{}, After: lane.State{}})
	}
}

// intruder is a connection with a lane's credentials.
func (a *airport) intruder(t *testing.T, id string) *nats.Conn {
	t.Helper()
	creds := a.join(t, id)
	conf, err := creds.TLS()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(creds.URL, nats.Secure(conf), nats.UserCredentials(creds.User), nats.CustomInboxPrefix(fleet.Inbox(id)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// siteFleet floods the site with views, questions and batches of one lane; the
// journal of another arrives, and it is asked and answered.
func siteFleet(t *testing.T, book *inlet.Book) target {
	a := newAirport(t, book, site.Volume{})
	nc := a.intruder(t, "E2")
	return target{
		shed:  "fleet",
		serve: a.lane(t, "E1"),
		flood: func(t *testing.T, during func()) {
			view := []byte(`{"lane":"E2","noise":"` + strings.Repeat("x", 4<<10) + `"}`)
			for i := range 1000 { // each kind ten times what a lane may at once
				err := errors.Join(nc.Publish(fleet.Subject("E2", "view"), view),
					nc.PublishRequest(fleet.Question("E2", "roster"), fleet.Inbox("E2")+".x", nil),
					nc.Publish(fleet.Subject("E2", "journal"), fmt.Appendf(nil, `{"lane":"E2","junk":%d}`, i)))
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := nc.FlushTimeout(within); err != nil {
				t.Fatal(err)
			}
			during()
		},
	}
}

// siteJournal has one lane send good batches without end; another one's arrive.
func siteJournal(t *testing.T, book *inlet.Book) target {
	a := newAirport(t, book, site.Volume{Rate: 16 << 10, Burst: 128 << 10})
	nc := a.intruder(t, "E2")
	j, db := newJournal(t)
	const batches = 24
	write(j, 0, batches*fleet.MaxBatch)
	var list [][]byte
	for end := time.After(time.Minute); len(list) < batches; {
		rows, err := journal.Entries(t.Context(), db.Reader, "WHERE seq > ? ORDER BY seq LIMIT ?", len(list)*fleet.MaxBatch, fleet.MaxBatch)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) < fleet.MaxBatch {
			select {
			case <-end:
				t.Fatal("the journal is not written")
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		b, err := json.Marshal(fleet.Batch{Lane: "E2", Journal: "1", Entries: rows})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	size := 0
	for _, b := range list {
		size += len(b)
	}
	if size < 2*128<<10 {
		t.Fatalf("%d bytes are no flood", size)
	}
	return target{
		shed:  "fleet",
		serve: a.lane(t, "E1"),
		flood: func(t *testing.T, during func()) {
			for end := time.Now().Add(within); ; {
				for _, b := range list {
					if err := nc.Publish(fleet.Subject("E2", "journal"), b); err != nil {
						t.Fatal(err)
					}
				}
				answer, err := nc.Request(fleet.Subject("E2", "journal"), list[0], within)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(answer.Data), "429") {
					break
				}
				if time.Now().After(end) {
					t.Fatal("it may send whatever it likes")
				}
			}
			during()
		},
	}
}

// siteEnrolment guesses codes from another address; a lane with a good one joins.
func siteEnrolment(t *testing.T, book *inlet.Book) target {
	a := newAirport(t, book, site.Volume{})
	return target{
		shed:  "enrolment",
		serve: func(t *testing.T) { a.join(t, "E1") },
		flood: func(t *testing.T, during func()) {
			knock(t, a.enrol+"/enrol", `{"secret":"X","csr":"","user":"U"}`, 500)
			during()
		},
	}
}

// consoleSignIn asks to sign in from another address; an officer is answered.
func consoleSignIn(t *testing.T, book *inlet.Book) target {
	a := newAirport(t, book, site.Volume{})
	const who = `{"officer":"anna","key":""}`
	return target{
		shed: "console",
		serve: func(t *testing.T) {
			resp, err := client(own).Post(a.pages+"/api/sign-in/begin", "application/json", strings.NewReader(who))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable { // there is no roster yet, which is an answer
				t.Errorf("the officer is answered %d", resp.StatusCode)
			}
		},
		flood: func(t *testing.T, during func()) {
			knock(t, a.pages+"/api/sign-in/begin", who, 500)
			during()
		},
	}
}

// unproven is the TLS of somebody who does not care whom they flood.
var unproven = &tls.Config{InsecureSkipVerify: true}

// knock posts n times from another address, on one connection.
func knock(t *testing.T, url, body string, n int) {
	t.Helper()
	c := client("127.0.0.2")
	transport := c.Transport.(*http.Transport)
	transport.DisableKeepAlives, transport.TLSClientConfig = false, unproven
	defer c.CloseIdleConnections()
	for range n {
		resp, err := c.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

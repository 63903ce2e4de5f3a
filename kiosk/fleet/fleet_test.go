package fleet_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/audit"
	"passage/kiosk/console"
	"passage/kiosk/fleet"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/site"
	"passage/sqlite"
)

var quiet = slog.New(slog.DiscardHandler)

// desk is a lane at rest.
type desk struct{ changed chan struct{} }

func (desk) View() kiosk.View {
	return kiosk.View{Config: kiosk.Config{Lane: "E1"}, State: lane.State{Phase: lane.Idle}}
}
func (d desk) Watch(context.Context) <-chan struct{} { return d.changed }
func (desk) Decide(context.Context, kiosk.Officer, string, lane.Decision, string, string, string) error {
	return kiosk.ErrStale
}
func (desk) Order(context.Context, kiosk.Officer, lane.OfficerOrder) error { return nil }
func (desk) Renew(context.Context) error                                   { return nil }
func (desk) Present(string, bool)                                          {}
func (desk) Acknowledge(int, string) error                                 { return nil }
func (desk) Cases(context.Context) ([]kiosk.Case, error)                   { return nil, nil }
func (desk) SettleCase(context.Context, string, string, string) error      { return nil }
func (desk) Face(string, string) ([]byte, bool)                            { return nil, false }

// airport is a site on loopback that may be ended and started again.
type airport struct {
	t       *testing.T
	dir     string
	address string // of the fleet, fixed at the first start
	conf    site.Config
	site    *site.Site
	enrol   string
	stop    func()
}

func newAirport(t *testing.T) *airport {
	t.Helper()
	a := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}}}
	a.start()
	t.Cleanup(func() { a.stop() })
	return a
}

func (a *airport) start() {
	a.t.Helper()
	a.conf.Dir, a.conf.Log = a.dir, quiet
	s, err := site.Open(context.Background(), a.conf)
	if err != nil {
		a.t.Fatal(err)
	}
	a.site, a.address = s, strings.TrimPrefix(s.Address(), "tls://")
	a.conf.Fleet = a.address
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.TLS())
	if err != nil {
		a.t.Fatal(err)
	}
	door := &http.Server{Handler: console.Enrolment(s, quiet), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Second}
	go func() { _ = door.Serve(l) }() // ends with door
	a.enrol = "https://" + l.Addr().String()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			a.t.Error(err)
		}
		door.Close()
		s.Close()
	})
}

// computer is a lane's computer: credentials and a journal.
type computer struct {
	t      *testing.T
	id     string
	path   string
	creds  fleet.Credentials
	db     *sqlite.DB
	j      *journal.Journal
	txn    lane.Transaction
	change chan struct{}
	log    *slog.Logger
	client *fleet.Client
	stop   func()
}

func (a *airport) computer(id string) *computer {
	a.t.Helper()
	code, err := a.site.Code(a.t.Context(), id, "lea")
	if err != nil {
		a.t.Fatal(err)
	}
	name, creds, err := fleet.Enrol(a.t.Context(), a.enrol, code, a.t.TempDir())
	if err != nil || name != id {
		a.t.Fatalf("enrolled %q: %v", name, err)
	}
	return &computer{t: a.t, id: id, path: filepath.Join(a.t.TempDir(), "lane.db"), creds: creds, change: make(chan struct{}, 1), log: quiet}
}

// start opens the journal and joins the site at creds.URL.
func (c *computer) start() {
	c.t.Helper()
	var err error
	if c.db, err = sqlite.Open(c.t.Context(), c.path); err != nil {
		c.t.Fatal(err)
	}
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.j, _, err = journal.Open(c.t.Context(), c.db.Writer, ring, nil); err != nil {
		c.t.Fatal(err)
	}
	client := &fleet.Client{Lane: c.id, Direction: func() string { return "entry" }, Desk: desk{c.change}, Journal: c.db.Reader, RosterKey: make(ed25519.PublicKey, ed25519.PublicKeySize), Log: c.log}
	c.client = client
	key := filepath.Join(filepath.Dir(c.path), "audit.key")
	signer, err := audit.Key(key, c.id)
	if err != nil {
		c.t.Fatal(err)
	}
	if client.HeadKey, err = audit.PublicKey(key); err != nil {
		c.t.Fatal(err)
	}
	client.Head = (&audit.Teller{Lane: c.id, DB: c.db.Reader, Signer: signer}).Head
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.j.Run(ctx) }) // ends with ctx
	running.Go(func() {
		if err := c.client.Run(ctx, c.creds); err != nil && ctx.Err() == nil {
			c.t.Error(err)
		}
	})
	c.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := c.db.Close(); err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(c.stop)
}

// dial is a connection with the lane's own credentials, beside its client.
func (c *computer) dial(more ...nats.Option) *nats.Conn {
	c.t.Helper()
	conf, err := c.creds.TLS()
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := nats.Connect(c.creds.URL, append(more, nats.Secure(conf), nats.UserCredentials(c.creds.User), nats.CustomInboxPrefix(fleet.Inbox(c.id)))...)
	if err != nil {
		c.t.Fatal(err)
	}
	return nc
}

// cross journals n crossings of twenty entries each.
func (c *computer) cross(n int) {
	for range n {
		c.txn++
		now, at := lane.Instant(time.Duration(c.txn)*time.Minute), time.Now()
		c.j.Begin(c.txn, fmt.Sprintf("0191d3c4-0000-7000-8000-%012d", c.txn), at)
		for i := range 19 {
			c.j.Append(kiosk.Entry{Now: now + lane.Instant(i), At: at, Event: lane.DocumentPlaced{}, After: lane.State{Transaction: c.txn}})
		}
		c.j.Append(kiosk.Entry{Now: now + 19, At: at, Event: lane.Tick{}, Effects: []lane.Effect{lane.Conclude{Transaction: c.txn, Outcome: lane.OutcomeReleased}}, After: lane.State{Transaction: c.txn}})
		c.j.Conclude(c.txn, kiosk.Ended{At: at, Class: lane.EU, Outcome: lane.OutcomeReleased, Took: 11 * time.Second})
	}
	select {
	case c.change <- struct{}{}:
	default:
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// crossings counts what the site has of a lane.
func (a *airport) crossings(id string) int {
	a.t.Helper()
	n := 0
	err := a.site.Crossings(a.t.Context(), id, time.Unix(0, 0), time.Now().Add(time.Hour), func(site.Crossing) error { n++; return nil })
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// positions are the ends of a lane's journals, and how many are broken.
func (a *airport) positions(id string) (ends []int64, broken int) {
	a.t.Helper()
	db, closing, err := site.OpenDatabase(a.t.Context(), a.dir)
	if err != nil {
		a.t.Fatal(err)
	}
	defer closing()
	rows, err := db.QueryContext(a.t.Context(), "SELECT seq, broken IS NOT NULL FROM position WHERE lane = ? ORDER BY seq", id)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var end int64
		var bad bool
		if err := rows.Scan(&end, &bad); err != nil {
			a.t.Fatal(err)
		}
		ends = append(ends, end)
		if bad {
			broken++
		}
	}
	return ends, broken
}

// has waits until the site has exactly n crossings of a lane in journals of
// these lengths, with no gap.
func (a *airport) has(id string, n int, ends ...int64) {
	a.t.Helper()
	until(a.t, fmt.Sprintf("%d crossings of %s", n, id), func() bool { return a.crossings(id) >= n })
	got, broken := a.positions(id)
	if c := a.crossings(id); c != n || broken != 0 || fmt.Sprint(got) != fmt.Sprint(ends) {
		a.t.Errorf("%s: %d crossings, want %d; journals of %v entries, want %v; %d broken", id, c, n, got, ends, broken)
	}
}

// cable lies between a lane and its site. Deaf, it swallows what the site says,
// as a network does that dies in the middle of an acknowledgement.
type cable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	deaf  bool
	down  bool
	conns map[net.Conn]struct{}
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to, conns: map[net.Conn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", c.to)
			c.mu.Lock()
			if err != nil || c.down {
				near.Close()
				if far != nil {
					far.Close()
				}
				c.mu.Unlock()
				continue
			}
			c.conns[near], c.conns[far] = struct{}{}, struct{}{}
			c.mu.Unlock()
			running.Go(func() { c.carry(far, near, false) })
			running.Go(func() { c.carry(near, far, true) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.set(false, true)
		running.Wait()
	})
	return c
}

func (c *cable) carry(to, from net.Conn, back bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		c.mu.Lock()
		swallow := back && c.deaf
		c.mu.Unlock()
		if !swallow && n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// set makes the cable deaf, or cuts it: down stays down until it is up again.
func (c *cable) set(deaf, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf, c.down = deaf, down
	if down {
		for x := range c.conns {
			x.Close()
		}
		clear(c.conns)
	}
}

// An acknowledgement that is lost makes the lane ask, not send again: whatever
// the cable does, the site has each crossing once.
func TestLostAcknowledgements(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	wire := newCable(t, a.address)
	c.creds.URL = "tls://" + wire.listener.Addr().String()
	c.start()
	c.cross(5)
	a.has("E1", 5, 100)
	for round := range 3 {
		before := a.crossings("E1")
		wire.set(true, false)
		c.cross(10)
		until(t, "the batch has landed", func() bool { return a.crossings("E1") > before })
		wire.set(false, true) // and nobody has told the lane
		c.cross(3)
		wire.set(false, false)
		a.has("E1", 5+13*(round+1), int64(20*(5+13*(round+1))))
	}
}

// What is journalled while the site is away arrives once it is back: with its
// memory, without the stream, and without anything but its keys.
func TestSiteComesBack(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	c.start()
	c.cross(4)
	a.has("E1", 4, 80)
	total := 4
	for _, lost := range [][]string{nil, {"nats"}, {"nats", "site.db", "site.db-wal", "site.db-shm"}} {
		a.stop()
		for _, name := range lost {
			if err := os.RemoveAll(filepath.Join(a.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		c.cross(30) // ten batches
		total += 30
		a.start()
		a.has("E1", total, int64(20*total))
	}
}

func TestLaneComesBack(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	c.start()
	c.cross(4)
	a.has("E1", 4, 80)
	c.stop()
	c.start() // the same disk
	c.cross(4)
	a.has("E1", 8, 160)

	// A new computer: the old one is shut out in the same step and what it sends
	// counts no more.
	replaced := a.computer("E1")
	replaced.txn = 100
	replaced.start()
	replaced.cross(2)
	a.has("E1", 10, 40, 160)
	c.cross(5)
	replaced.cross(1)
	a.has("E1", 11, 60, 160)
}

// A lane may flood, swear and lie: it harms itself.
func TestLaneThatMisbehaves(t *testing.T) {
	a := newAirport(t)
	good := a.computer("E2")
	good.start()
	bad := a.computer("E1")
	nc := bad.dial(nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	ended := []fleet.Ended{{Seq: 1, UUID: "made-up", Outcome: "released", At: time.Now().UnixNano()}}
	long := ended
	long[0].Reason = strings.Repeat("x", 4096)
	entry := func(n int64) journal.Row { return journal.Row{Seq: n, Event: "Tick", Chain: make([]byte, 32)} }
	for name, b := range map[string]any{
		"about another lane":   fleet.Batch{Lane: "E2", Journal: "1", Entries: []journal.Row{entry(1)}, Ended: ended},
		"empty":                fleet.Batch{Lane: "E1", Journal: "1"},
		"no JSON of this kind": []int{1, 2, 3},
		"more than a batch":    fleet.Batch{Lane: "E1", Journal: "1", Entries: make([]journal.Row, fleet.MaxBatch+1)},
		"without a hash":       fleet.Batch{Lane: "E1", Journal: "3", Entries: []journal.Row{{Seq: 1}}},
		"words of a page":      fleet.Batch{Lane: "E1", Journal: "2", Entries: []journal.Row{entry(1)}, Ended: long},
	} {
		body, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(fleet.Subject("E1", "journal"), body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := nc.Publish(fleet.Subject("E1", "view"), make([]byte, 2<<20)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("two megabytes: %v", err)
	}
	// A view that no page could use, and one that is too large.
	for _, view := range [][]byte{[]byte("{"), []byte(`"` + strings.Repeat("x", fleet.MaxView) + `"`)} {
		if err := nc.Publish(fleet.Subject("E1", "view"), view); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20_000 {
		if err := nc.Publish(fleet.Subject("E1", "view"), []byte(`{"n":`+strconv.Itoa(i)+`}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	good.cross(3)
	a.has("E2", 3, 60)
	if n := a.crossings("E1"); n != 0 {
		t.Errorf("%d crossings were made up", n)
	}
	until(t, "both lanes are seen", func() bool {
		list, _, _ := a.site.Hub().Since(0)
		for _, l := range list {
			if l.Away || len(l.View) > fleet.MaxView || !json.Valid(l.View) {
				return false
			}
			if l.ID == "E1" && !bytes.Equal(l.View, []byte(`{"n":19999}`)) {
				return false
			}
		}
		return len(list) == 2
	})
}

// An entry that does not follow from the one before it ends its journal at the
// site: nothing of it counts from there on, the officers see why, the lane is
// told, and a journal that begins anew is taken.
func TestJournalThatDoesNotFollow(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	c.start()
	c.cross(3)
	a.has("E1", 3, 60)
	c.stop()
	db, err := sqlite.Open(t.Context(), c.path)
	if err != nil {
		t.Fatal(err)
	}
	var chain []byte
	if err := db.Writer.QueryRow("SELECT chain FROM entry WHERE seq = 60").Scan(&chain); err != nil {
		t.Fatal(err)
	}
	// The site has entry 60 as it was; here it is changed.
	if _, err := db.Writer.Exec("UPDATE entry SET chain = zeroblob(32) WHERE seq = 60"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fleet.Arrived(t.Context(), db.Reader, fleet.Got{Seq: 60, Chain: chain}), db.Close()); !errors.Is(err, fleet.ErrRefused) {
		t.Errorf("the lane takes another journal for its own: %v", err)
	}

	// A lane that sends it nevertheless.
	nc := c.dial()
	defer nc.Close()
	asked, err := nc.SubscribeSync(fleet.Subject("E1", "ask"))
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if list, err := a.names("E1"); err != nil || len(list) != 1 {
		t.Fatalf("journals %q, %v", list, err)
	} else {
		name = list[0]
	}
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	send := func(journalName string, seq int64, uuid string) {
		t.Helper()
		body, err := json.Marshal(fleet.Batch{
			Lane: "E1", Journal: journalName, Entries: []journal.Row{{Seq: seq, Event: "Tick", Chain: make([]byte, 32)}},
			Ended: []fleet.Ended{{Seq: seq, UUID: uuid, Outcome: "released", At: time.Now().UnixNano(), Timeline: json.RawMessage("[]")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(fleet.Subject("E1", "journal"), body); err != nil {
			t.Fatal(err)
		}
	}
	question := func() fleet.Got {
		t.Helper()
		m, err := nc.Request(fleet.Question("E1", "journal"), []byte(name), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var got fleet.Got
		if err := json.Unmarshal(m.Data, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	// Too late by one: the lane is asked to begin at the right place.
	send(name, 62, "too-late")
	if _, err := asked.NextMsg(10 * time.Second); err != nil {
		t.Fatalf("after a gap nobody asks: %v", err)
	}
	if got := question(); got.Seq != 60 || got.Problem != "" || !bytes.Equal(got.Chain, chain) {
		t.Errorf("after a gap: %+v", got)
	}
	send(name, 61, "forged")
	if _, err := asked.NextMsg(10 * time.Second); err != nil {
		t.Fatalf("after a forged entry nobody asks: %v", err)
	}
	if got := question(); got.Seq != 60 || !strings.Contains(got.Problem, "entry 61") {
		t.Errorf("after a forged entry: %+v", got)
	}
	if n := a.crossings("E1"); n != 3 {
		t.Errorf("%d crossings, want 3: what was refused counts", n)
	}
	problem := func() string {
		list, _, _ := a.site.Hub().Since(0)
		return list[0].Problem
	}
	until(t, "the officers see it", func() bool { return strings.Contains(problem(), "entry 61") })
	nc.Close()

	replaced := a.computer("E1")
	replaced.txn = 100
	replaced.start()
	replaced.cross(1)
	until(t, "the new journal is taken", func() bool { return a.crossings("E1") == 4 })
	until(t, "the officers see nothing wrong", func() bool { return problem() == "" })
}

// names are a lane's journals at the site.
func (a *airport) names(id string) ([]string, error) {
	db, closing, err := site.OpenDatabase(a.t.Context(), a.dir)
	if err != nil {
		return nil, err
	}
	defer closing()
	rows, err := db.QueryContext(a.t.Context(), "SELECT journal FROM position WHERE lane = ?", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}

// A site whose database comes from a copy takes in again what the stream has.
func TestSiteFromCopy(t *testing.T) {
	a := newAirport(t)
	c := a.computer("E1")
	c.start()
	c.cross(4)
	a.has("E1", 4, 80)
	a.stop()
	path := filepath.Join(a.dir, "site.db")
	copied, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a.start()
	c.cross(10)
	a.has("E1", 14, 280)
	a.stop()
	for _, end := range []string{"-wal", "-shm"} {
		if err := os.RemoveAll(path + end); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	c.cross(2)
	a.start()
	a.has("E1", 16, 320)
}

// Two lanes of a site and one document.
func TestDocumentInTwoLanes(t *testing.T) {
	a := newAirport(t)
	a.stop()
	a.conf.Rules = site.Rules{PassingBack: time.Hour}
	a.start()
	var lanes []*fleet.Client
	for _, id := range []string{"E1", "E2"} {
		c := a.computer(id)
		c.start()
		lanes = append(lanes, c.client)
		until(t, id+" is there", func() bool { return !c.client.Claim(t.Context(), strings.Repeat("f", 32)) && a.seen(id) })
	}
	tag := strings.Repeat("0a", 16)
	if lanes[0].Claim(t.Context(), tag) {
		t.Error("the first lane may not have it")
	}
	if !lanes[1].Claim(t.Context(), tag) {
		t.Error("the second lane takes it, too")
	}
	back := strings.Repeat("0b", 16)
	lanes[0].Claim(t.Context(), back)
	lanes[0].Passed(t.Context(), back)
	if !lanes[0].Claim(t.Context(), back) {
		t.Error("it passes the same way twice")
	}
	a.stop()
	if lanes[0].Claim(t.Context(), tag) || lanes[1].Claim(t.Context(), tag) {
		t.Error("a site that is away holds up a lane")
	}
}

// seen says whether the site hears a lane.
func (a *airport) seen(id string) bool {
	list, _, _ := a.site.Hub().Since(0)
	for _, l := range list {
		if l.ID == id {
			return !l.Away
		}
	}
	return false
}

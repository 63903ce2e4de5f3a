package journal

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/sqlite"
)

// ring is the lane's; every test has the same.
func ring(t *testing.T) *keys.Ring {
	t.Helper()
	r, err := keys.Fixed(bytes.Repeat([]byte{7}, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// box is an outbox that keeps what it is given in a table beside the journal.
type box struct {
	err, full error
	erased    int
}

func (b *box) Put(tx *sql.Tx, f kiosk.Facts, at time.Time) error {
	if b.err != nil {
		return b.err
	}
	if _, err := tx.Exec("CREATE TABLE IF NOT EXISTS box (uuid TEXT PRIMARY KEY, name TEXT)"); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO box VALUES (?,?)", f.UUID, f.Identity.Surname)
	return err
}

func (b *box) Drop(tx *sql.Tx, uuid string) error {
	_, err := tx.Exec("DELETE FROM box WHERE uuid=?", uuid)
	return err
}

func (b *box) Erased()        { b.erased++ }
func (b *box) Failing() error { return b.full }

// open starts a journal over path; stop ends its writer and closes the file.
func open(t *testing.T, path string, b Outbox) (j *Journal, was kiosk.Recovery, db *sqlite.DB, stop func()) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	j, was, err = Open(t.Context(), db.Writer, ring(t), b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = j.Run(ctx) }()
	return j, was, db, func() {
		cancel()
		<-done
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// do waits for a write that reports its completion.
func do(f func(func(error))) error {
	c := make(chan error, 1)
	f(func(err error) { c <- err })
	return <-c
}

func facts(uuid string) kiosk.Facts {
	return kiosk.Facts{UUID: uuid, Identity: kiosk.Identity{Surname: "KANARIENVOGEL", Number: "X123456789"}}
}

func TestIntentToRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, was, db, stop := open(t, path, &box{})
	if was != (kiosk.Recovery{}) {
		t.Errorf("a new journal remembers %+v", was)
	}
	j.Begin(1, "u1", time.Now())
	if err := do(func(d func(error)) { j.Intend(1, facts("u1"), d) }); err != nil {
		t.Fatal(err)
	}
	if raw := everything(t, path); strings.Contains(raw, "KANARIENVOGEL") || strings.Contains(raw, "X123456789") {
		t.Error("the traveller's name is readable on disk")
	}
	var key []byte // wrapped; the ring's key names itself first
	if err := db.Reader.QueryRow("SELECT substr(key, 9) FROM intent_key").Scan(&key); err != nil || !strings.Contains(everything(t, path), string(key)) {
		t.Fatalf("the key of the facts is not found while it is in use: %v", err)
	}
	if err := do(func(d func(error)) { j.Record(1, time.Now(), d) }); err != nil {
		t.Fatal(err)
	}
	j.Void(1)
	j.OpenCase(1, lane.NoEvidence)
	if err := do(func(d func(error)) { j.Record(1, time.Now(), d) }); err != nil {
		t.Fatal("a repeated record:", err)
	}
	var kind string
	var records, left int
	if err := db.Reader.QueryRow("SELECT (SELECT kind FROM settlement WHERE txn=1), (SELECT count(*) FROM box), (SELECT count(*) FROM intent_key)").Scan(&kind, &records, &left); err != nil {
		t.Fatal(err)
	}
	if kind != "record" || records != 1 || left != 0 {
		t.Errorf("settled as %s with %d records and %d keys left", kind, records, left)
	}
	stop() // which takes the log over
	if strings.Contains(everything(t, path), string(key)) {
		t.Error("the key of the facts is still in the file")
	}
}

// everything returns the bytes of all files beside path.
func everything(t *testing.T, path string) string {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func TestPowerCutLeavesACase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, _, stop := open(t, path, &box{})
	for n := lane.Transaction(1); n <= 3; n++ {
		uuid := string('a' + rune(n))
		j.Begin(n, uuid, time.Now())
		if err := do(func(d func(error)) { j.Intend(n, facts(uuid), d) }); err != nil {
			t.Fatal(err)
		}
	}
	j.Void(1)
	stop()

	j, was, db, stop := open(t, path, &box{})
	defer stop()
	if was.Last != 3 || was.OpenIntent != 3 {
		t.Fatalf("recovered %+v", was)
	}
	j.OpenCase(was.OpenIntent, lane.PowerCut)
	if err := do(func(d func(error)) { j.put(d, func(*sql.Tx) error { return nil }) }); err != nil {
		t.Fatal(err)
	}
	cases, err := j.Cases(t.Context())
	if err != nil || len(cases) != 2 {
		t.Fatalf("cases %v, %v", cases, err)
	}
	if err := j.Settle(t.Context(), "c", "anna", Crossed); err != nil {
		t.Fatal(err)
	}
	if err := j.Settle(t.Context(), "d", "anna", NotCrossed); err != nil {
		t.Fatal(err)
	}
	if err := j.Settle(t.Context(), "d", "anna", Crossed); !errors.Is(err, ErrNoCase) {
		t.Errorf("a case was settled twice: %v", err)
	}
	if err := j.Settle(t.Context(), "d", "anna", "perhaps"); err == nil {
		t.Error("a finding that is none was accepted")
	}
	var records int
	if err := db.Reader.QueryRow("SELECT count(*) FROM box").Scan(&records); err != nil || records != 1 {
		t.Errorf("%d records, %v", records, err)
	}
}

// A write that fails leaves nothing of its batch, says so, and the next one
// that works brings along what nobody waited for.
func TestFailedCommit(t *testing.T) {
	b := &box{err: errors.New("disk full")}
	j, _, db, stop := open(t, filepath.Join(t.TempDir(), "lane.db"), b)
	defer stop()
	j.Begin(1, "u1", time.Now())
	if err := do(func(d func(error)) { j.Intend(1, facts("u1"), d) }); err != nil {
		t.Fatal(err)
	}
	if err := do(func(d func(error)) { j.Record(1, time.Now(), d) }); err == nil || j.Failing() == nil {
		t.Fatalf("record %v, failing %v", err, j.Failing())
	}
	j.OpenCase(1, lane.Storage)
	if err := do(func(d func(error)) { j.put(d, func(*sql.Tx) error { return nil }) }); err != nil || j.Failing() != nil {
		t.Fatalf("the disk is back, and yet %v, %v", err, j.Failing())
	}
	var kind string
	if err := db.Reader.QueryRow("SELECT kind FROM settlement WHERE txn=1").Scan(&kind); err != nil || kind != "case" {
		t.Errorf("settled as %q, %v", kind, err)
	}
}

// walk journals a few steps of a real lane.
func walk(t *testing.T, j *Journal) {
	t.Helper()
	rules, s := lane.DefaultRules(), lane.Start()
	now := lane.Instant(1)
	for _, e := range []lane.Event{
		lane.Started{},
		lane.LeaseChanged{Held: true},
		lane.GateSeen{Gate: lane.Gate{Link: true, State: lane.GateSafe, Entry: lane.LeafLocked, Exit: lane.LeafLocked}},
		lane.GateSeen{Gate: lane.Gate{Link: true, State: lane.GateReady, Entry: lane.LeafLocked, Exit: lane.LeafLocked}},
		lane.DocumentPlaced{},
		lane.DocumentRead{Transaction: 1, Finding: lane.Finding{Reason: lane.PA_FAIL, Alert: true}},
	} {
		now += lane.Instant(time.Second)
		after, effects := rules.Step(s, now, e)
		j.Append(kiosk.Entry{Now: now, At: time.Now(), Event: e, Effects: effects, After: after})
		s = after
	}
	if err := do(func(d func(error)) { j.put(d, func(*sql.Tx) error { return nil }) }); err != nil {
		t.Fatal(err)
	}
}

// What the journal says of who is inside survives the process, and is read in
// pages.
func TestInsideOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	came := time.Now().Add(-90 * time.Second).Truncate(time.Microsecond)
	seen := lane.Gate{Link: true, State: lane.GateOccupied, Entry: lane.LeafLocked, Exit: lane.LeafLocked, Occupied: true}
	j, _, _, stop := open(t, path, &box{})
	put := func(at time.Time, e lane.Event) { j.Append(kiosk.Entry{Now: 1, At: at, Event: e}) }
	put(came.Add(-time.Second), lane.GateSeen{Gate: lane.Gate{Link: true, State: lane.GateEntryOpen, Entry: lane.LeafOpen, Exit: lane.LeafLocked}})
	put(came, lane.GateSeen{Gate: seen})
	for i := range 1000 {
		seen.Bag = i%2 == 0
		put(came.Add(time.Duration(i)*50*time.Millisecond), lane.GateSeen{Gate: seen})
	}
	stop()
	j, was, _, stop := open(t, path, &box{})
	if !was.Inside.Equal(came) {
		t.Errorf("inside since %v, want %v", was.Inside, came)
	}
	put(time.Now(), lane.GateSeen{Gate: lane.Gate{Link: true, State: lane.GateFallback, Entry: lane.LeafUnlocked, Exit: lane.LeafLocked}})
	stop()
	if _, was, _, stop = open(t, path, &box{}); !was.Inside.IsZero() {
		t.Errorf("nobody is inside since %v", was.Inside)
	}
	stop()
}

func TestReplayAndChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, db, stop := open(t, path, &box{})
	walk(t, j)
	steps := 0
	if err := Replay(t.Context(), db.Reader, lane.DefaultRules(), func(Step) error { steps++; return nil }); err != nil || steps != 6 {
		t.Fatalf("%d steps, %v", steps, err)
	}
	other := lane.DefaultRules()
	other.DocRead += time.Second
	if err := Replay(t.Context(), db.Reader, other, func(Step) error { return nil }); err == nil {
		t.Error("replay with other rules sees no difference")
	}
	if good, err := Check(t.Context(), db.Reader); err != nil || good != 6 {
		t.Fatalf("%d good entries, %v", good, err)
	}
	if _, err := db.Writer.Exec("UPDATE entry SET now = now + 1 WHERE seq = 3"); err != nil {
		t.Fatal(err)
	}
	if good, err := Check(t.Context(), db.Reader); err == nil || good != 2 {
		t.Errorf("an altered entry passes: %d good, %v", good, err)
	}
	if _, err := db.Writer.Exec("DELETE FROM entry WHERE seq = 5"); err != nil {
		t.Fatal(err)
	}
	stop()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, _, err := Open(t.Context(), db.Writer, ring(t), &box{}); err == nil {
		t.Error("a journal whose end is broken opens")
	}
}

func TestOpenRefuses(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	j, _, err := Open(t.Context(), db.Writer, ring(t), &box{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		j.Append(kiosk.Entry{Now: lane.Instant(n + 1), At: time.Unix(int64(n), 0), Event: lane.Tick{}, After: lane.Start()})
	}
	j.flush(t.Context())
	if _, err := db.Writer.Exec("UPDATE entry SET at = at + 1 WHERE seq = 3"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), db.Writer, ring(t), &box{}); err == nil || !strings.Contains(err.Error(), "passage journal check") {
		t.Errorf("an altered last entry: %v", err)
	}
	if _, err := db.Writer.Exec("PRAGMA user_version = 9"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), db.Writer, ring(t), &box{}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a later version: %v", err)
	}
}

// A record that the register refuses is an officer's case again, in the same
// transaction; settling it erases what is left of it.
func TestConflictOpensACase(t *testing.T) {
	j, _, db, stop := open(t, filepath.Join(t.TempDir(), "lane.db"), &box{})
	defer stop()
	if err := do(func(d func(error)) { j.Intend(1, facts("u1"), d) }); err != nil {
		t.Fatal(err)
	}
	if err := do(func(d func(error)) { j.Record(1, time.Now(), d) }); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Conflict(tx, "u1:entry", errors.New("another record")), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	cases, err := j.Cases(t.Context())
	if err != nil || len(cases) != 1 || cases[0].Why != "conflict" || cases[0].Transaction != "u1" {
		t.Fatalf("%+v, %v", cases, err)
	}
	if err := j.Settle(t.Context(), "u1", "o1", Crossed); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Reader.QueryRow("SELECT (SELECT count(*) FROM box) + (SELECT count(*) FROM settlement WHERE closed IS NULL)").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d left, %v", left, err)
	}
}

// An outbox that is nearly full closes the lane, as a disk that fails does.
func TestAFullOutboxIsAFailure(t *testing.T) {
	full := errors.New("full")
	j, _, _, stop := open(t, filepath.Join(t.TempDir(), "lane.db"), &box{full: full})
	defer stop()
	if err := j.Failing(); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// What a start and a look at the cases read does not grow with the journal.
func TestYearsDoNotSlowAStart(t *testing.T) {
	_, _, db, stop := open(t, filepath.Join(t.TempDir(), "lane.db"), &box{})
	defer stop()
	for query, index := range map[string]string{openIntents: "intent_open", openCases: "case_open", "SELECT coalesce(max(txn), 0) FROM crossing": ""} {
		rows, err := db.Reader.Query("EXPLAIN QUERY PLAN " + query)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			if strings.HasPrefix(step, "SCAN") && (index == "" || !strings.Contains(step, index)) || strings.Contains(step, "B-TREE") {
				t.Errorf("%s: %s", query, strings.Join(plan, "; "))
			}
		}
	}
}

// What a journal of the first version says of its states still holds: what has
// been added to a state since is left out of its digest while it is not set.
func TestDigestOfTheFirstVersion(t *testing.T) {
	const first = "91e6cc985d1f732459ab464fca9b5a6c4cb880f3c10759616eff35a372f6b8b5" // kiosk/backup/testdata/lane-001.sql, entry 1
	d, err := Digest(lane.State{Transaction: 1})
	if got := hex.EncodeToString(d[:]); err != nil || got != first {
		t.Errorf("%s, want %s; %v", got, first, err)
	}
	if o, err := Digest(lane.State{Transaction: 1, Unhurried: true}); err != nil || o == d {
		t.Errorf("a state that differs has the same digest; %v", err)
	}
}

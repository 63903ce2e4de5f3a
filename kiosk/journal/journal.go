// Package journal is a lane's one durable store: what happened, in order; the
// intents, and what became of each; the cases that an officer must settle.
//
// Entries are hash-chained, so that a missing or altered one shows. They hold
// results, never identity. A traveller's facts are sealed under a key of their
// own transaction; destroying the key erases them everywhere, also in freed
// pages and copies of the file.
//
// One goroutine writes. It takes everything that has come in while the last
// commit was under way and writes it in one transaction (group commit), so that
// the disk's latency is paid once for many steps.
package journal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// kept bounds the steps that wait for a disk that fails, or does not answer;
// beyond it they are dropped, and the lane has long been out of service.
const kept = 20_000

// answersWithin is how long a commit may take before the disk counts as failed: a
// lane must not let anybody in whose crossing it could not write down.
const answersWithin = 5 * time.Second

// schema is the first version; user_version tells. The second one has thinned as
// well.
const schema = `
CREATE TABLE entry (
	seq     INTEGER PRIMARY KEY,
	run     INTEGER NOT NULL,           -- process start, Unix ns
	now     INTEGER NOT NULL,           -- lane's monotonic clock, ns
	at      INTEGER NOT NULL,           -- wall clock, Unix ns
	txn     INTEGER NOT NULL,
	event   TEXT    NOT NULL,
	body    BLOB    NOT NULL,           -- JSON
	effects BLOB    NOT NULL,           -- JSON list of {name, body}
	state   BLOB    NOT NULL,           -- SHA-256 of the state after the step
	chain   BLOB    NOT NULL            -- SHA-256 of the previous chain and this row
) STRICT;
CREATE INDEX entry_txn ON entry(txn);
CREATE TABLE crossing (
	txn      INTEGER PRIMARY KEY,
	uuid     TEXT    NOT NULL UNIQUE,
	began    INTEGER NOT NULL,
	ended    INTEGER,
	class    TEXT,
	outcome  TEXT,
	reason   TEXT,
	took     INTEGER,
	timeline BLOB                       -- JSON list of spans
) STRICT;
CREATE TABLE intent (
	txn    INTEGER PRIMARY KEY,
	uuid   TEXT    NOT NULL UNIQUE,
	at     INTEGER NOT NULL,
	sealed BLOB                         -- facts under the transaction's key
) STRICT;
CREATE TABLE intent_key (
	txn INTEGER PRIMARY KEY REFERENCES intent(txn),
	key BLOB NOT NULL                   -- AES-256, wrapped by the lane's key
) STRICT;
CREATE TABLE settlement (
	txn     INTEGER PRIMARY KEY REFERENCES intent(txn),
	kind    TEXT    NOT NULL CHECK (kind IN ('record', 'void', 'case')),
	why     TEXT    NOT NULL,
	at      INTEGER NOT NULL,
	closed  INTEGER,                    -- when an officer settled the case
	officer TEXT,
	finding TEXT
) STRICT;
`

// indexes keep a start, and a look at the open cases and the last orders, as quick after years as
// on the first day. They are no version of the schema: older programs work with
// them, too.
const indexes = `
CREATE INDEX IF NOT EXISTS intent_open ON intent(txn) WHERE sealed IS NOT NULL;
CREATE INDEX IF NOT EXISTS entry_ordered ON entry(seq) WHERE event = 'Ordered';
CREATE INDEX IF NOT EXISTS case_open ON settlement(at) WHERE kind = 'case' AND closed IS NULL;
`

// An intent's facts are erased by what settles it, at once or after its case:
// one that is open has them.
const (
	openIntents = "SELECT txn FROM intent WHERE sealed IS NOT NULL AND NOT EXISTS (SELECT 1 FROM settlement WHERE settlement.txn = intent.txn) ORDER BY txn"
	openCases   = "SELECT i.uuid, s.at, s.why FROM settlement s JOIN intent i USING (txn) WHERE s.kind='case' AND s.closed IS NULL ORDER BY s.at LIMIT 1000"
)

// Outbox takes a crossing's record inside the transaction that settles its
// intent. at is when the crossing was proven.
type Outbox interface {
	Put(tx *sql.Tx, f kiosk.Facts, at time.Time) error
	// Drop erases a record that the register would not have.
	Drop(tx *sql.Tx, uuid string) error
	// Erased says that keys were destroyed in the database that both share: its
	// log still has them, and is to be emptied soon.
	Erased()
	// Failing says why no further record should come about, or nil.
	Failing() error
}

// Journal is the store of one lane.
type Journal struct {
	db     *sql.DB
	box    Outbox
	ring   *keys.Ring
	run    int64
	mu     sync.Mutex
	queue  []write
	wake   chan struct{}
	broken error
	began  time.Time // of the commit under way; zero between two
	lost   uint64    // steps that were dropped
	seq    int64
	chain  [sha256.Size]byte
	erased bool // the writer's: a key goes with this commit
}

// write is one statement list of the writer's next commit.
type write struct {
	do   func(*sql.Tx) error
	done func(error)
	step bool // of the lane; a disk that fails for too long drops it
}

// Place is where the keys of single transactions lie.
var Place = keys.Place{Table: "intent_key", ID: "txn", Column: "key"}

// Open prepares db for a lane. ring seals the keys of single transactions. Open
// refuses a database of a later version and one whose chain is broken at its
// end.
func Open(ctx context.Context, db *sql.DB, ring *keys.Ring, box Outbox) (*Journal, kiosk.Recovery, error) {
	var was kiosk.Recovery
	var err error
	j := &Journal{db: db, box: box, ring: ring, run: time.Now().UnixNano(), wake: make(chan struct{}, 1)}
	if err := migrate(ctx, db); err != nil {
		return nil, was, err
	}
	// A disk that is full at the first start after an upgrade keeps no lane
	// closed: without them it is slower.
	_, _ = db.ExecContext(ctx, indexes)
	if err := j.last(ctx); err != nil {
		return nil, was, err
	}
	if was, err = j.recover(ctx); err != nil {
		return nil, was, err
	}
	return j, was, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("journal: open: this is not a readable database (passage journal check tells more): %w", err)
	}
	switch version {
	case 1, 2: // thinned makes the one the other
		return nil
	case 0:
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("journal: open: %w", err)
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, schema+"PRAGMA user_version = 1"); err != nil {
			return fmt.Errorf("journal: create: %w", err)
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("journal: create: %w", err)
		}
		return nil
	}
	return fmt.Errorf("journal: open: the database has version %d, this program knows 2: it was written by a newer one", version)
}

// last finds the end of the chain and checks its last link.
func (j *Journal) last(ctx context.Context) error {
	rows, err := Entries(ctx, j.db, "ORDER BY seq DESC LIMIT 2")
	if err != nil {
		return err
	}
	base, err := Forgotten(ctx, j.db)
	if err != nil {
		return err
	}
	before := base.chain()
	if len(rows) == 0 {
		j.seq, j.chain = base.Seq, before
		return nil
	}
	end := rows[0]
	j.seq = end.Seq
	copy(j.chain[:], end.Chain)
	if len(rows) == 2 {
		copy(before[:], rows[1].Chain)
	}
	if got := end.link(before); got != j.chain {
		return fmt.Errorf("journal: open: entry %d does not follow from the one before it: run passage journal check", end.Seq)
	}
	return nil
}

// recover finds what an earlier process left open. All open intents but the
// newest become cases here; the core opens the newest one's.
func (j *Journal) recover(ctx context.Context) (kiosk.Recovery, error) {
	var was kiosk.Recovery
	// A power cut may leave the first steps of a crossing, and nothing else of it.
	err := j.db.QueryRowContext(ctx, "SELECT max(coalesce((SELECT max(txn) FROM crossing), 0), coalesce((SELECT max(txn) FROM entry), 0), coalesce((SELECT max(txn) FROM intent), 0))").Scan(&was.Last)
	if err != nil {
		return was, fmt.Errorf("journal: recover: %w", err)
	}
	base, err := Forgotten(ctx, j.db)
	if err != nil {
		return was, err
	}
	was.Last = max(was.Last, base.Txn)
	if was.Closed, err = closed(ctx, j.db); err != nil {
		return was, err
	}
	if was.Inside, err = inside(ctx, j.db); err != nil {
		return was, err
	}
	rows, err := j.db.QueryContext(ctx, openIntents)
	if err != nil {
		return was, fmt.Errorf("journal: recover: %w", err)
	}
	defer rows.Close()
	var open []lane.Transaction
	for rows.Next() {
		var x lane.Transaction
		if err := rows.Scan(&x); err != nil {
			return was, fmt.Errorf("journal: recover: %w", err)
		}
		open = append(open, x)
	}
	if err := rows.Err(); err != nil {
		return was, fmt.Errorf("journal: recover: %w", err)
	}
	for i, x := range open {
		if i == len(open)-1 {
			was.OpenIntent = x
			break
		}
		j.OpenCase(x, lane.PowerCut)
	}
	return was, nil
}

// tryAgain is how soon a commit that failed is tried again without anything
// new to write: a lane out of service writes nothing by itself, and would never
// learn that its disk has room again.
const tryAgain = time.Second

// Run writes until ctx ends, then writes what is left and returns.
func (j *Journal) Run(ctx context.Context) error {
	again := time.NewTicker(tryAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			j.flush(context.WithoutCancel(ctx))
			return nil
		case <-j.wake:
			j.flush(ctx)
		case <-again.C:
			if j.failed() {
				j.flush(ctx)
			}
		}
	}
}

// flush writes everything that waits in one transaction.
func (j *Journal) flush(ctx context.Context) {
	j.mu.Lock()
	batch := j.queue
	j.queue = nil
	if len(batch) > 0 {
		j.began = time.Now()
	}
	j.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	seq, chain := j.seq, j.chain
	err := j.commit(ctx, batch)
	if err != nil {
		j.seq, j.chain = seq, chain // nothing of it is on disk, as far as we know
	}
	if j.erased {
		j.erased = false
		j.box.Erased()
	}
	j.mu.Lock()
	j.broken, j.began = err, time.Time{}
	if err != nil {
		// What nobody waits for is tried again with the next commit; who
		// waits is told, and decides. Where there is no room for steps they go,
		// and never what became of a crossing.
		room := len(j.queue) < kept
		again := slices.DeleteFunc(slices.Clone(batch), func(w write) bool {
			if w.step && !room {
				j.lost++
			}
			return w.done != nil || w.step && !room
		})
		j.queue = append(again, j.queue...)
	}
	j.mu.Unlock()
	for _, w := range batch {
		if w.done != nil {
			w.done(err)
		}
	}
}

func (j *Journal) commit(ctx context.Context, batch []write) error {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("journal: begin: %w", err)
	}
	defer tx.Rollback()
	for _, w := range batch {
		if err := w.do(tx); err != nil {
			return fmt.Errorf("journal: write: %w", err)
		}
	}
	// A power cut before this line leaves nothing of the batch, after it all.
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("journal: commit: %w", err)
	}
	return nil
}

func (j *Journal) put(done func(error), do func(*sql.Tx) error) {
	j.add(write{do: do, done: done})
}

func (j *Journal) add(w write) {
	j.mu.Lock()
	j.queue = append(j.queue, w)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Failing returns why the last commit failed, or that the disk does not answer,
// or why the outbox takes no more, or nil.
func (j *Journal) Failing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if took := time.Since(j.began); !j.began.IsZero() && took > answersWithin {
		return fmt.Errorf("journal: the disk has not answered for %v; %d steps wait, %d were dropped", took.Round(time.Second), len(j.queue), j.lost)
	}
	return j.box.Failing()
}

func (j *Journal) failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken != nil
}

// full says whether a step must be dropped, and counts it.
func (j *Journal) full() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) < kept {
		return false
	}
	j.lost++
	return true
}

// Append journals one step.
func (j *Journal) Append(e kiosk.Entry) {
	row, err := newRow(e)
	if j.full() {
		return
	}
	j.add(write{step: true, do: func(tx *sql.Tx) error {
		if err != nil {
			return err
		}
		row.Seq, row.Run = j.seq+1, j.run
		next := row.link(j.chain)
		if _, err := tx.Exec("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?,?)",
			row.Seq, row.Run, row.Now, row.At, row.Txn, row.Event, row.Body, row.Effects, row.State, next[:]); err != nil {
			return err
		}
		j.seq, j.chain = row.Seq, next
		return nil
	}})
}

// Begin notes a transaction's UUID.
func (j *Journal) Begin(x lane.Transaction, uuid string, at time.Time) {
	j.put(nil, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO crossing (txn, uuid, began) VALUES (?,?,?)", x, uuid, at.UnixNano())
		return err
	})
}

// Intend writes the intent with the traveller's facts, sealed. done is called
// when it is on disk.
func (j *Journal) Intend(x lane.Transaction, f kiosk.Facts, done func(error)) {
	sealed, wrapped, err := j.seal(x, f)
	told := func(err error) {
		if err != nil {
			j.Void(x) // it may have landed all the same; the exit stays shut
		}
		done(err)
	}
	j.put(told, func(tx *sql.Tx) error {
		if err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO intent (txn, uuid, at, sealed) VALUES (?,?,?,?) ON CONFLICT DO NOTHING", x, f.UUID, time.Now().UnixNano(), sealed); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO intent_key (txn, key) VALUES (?,?) ON CONFLICT DO NOTHING", x, wrapped)
		return err
	})
}

// Record settles an intent by the crossing's record: both are on disk, or
// neither is.
func (j *Journal) Record(x lane.Transaction, at time.Time, done func(error)) {
	j.put(done, func(tx *sql.Tx) error {
		first, err := settle(tx, x, "record", "")
		if err != nil || !first {
			return err
		}
		f, err := j.open(tx, x)
		if err != nil {
			return err
		}
		if err := j.box.Put(tx, f, at); err != nil {
			return err
		}
		return j.forget(tx, x)
	})
}

// Void settles an intent whose traveller is proven not to have crossed.
func (j *Journal) Void(x lane.Transaction) {
	j.put(nil, func(tx *sql.Tx) error {
		if first, err := settle(tx, x, "void", ""); err != nil || !first {
			return err
		}
		return j.forget(tx, x)
	})
}

// OpenCase leaves an intent to an officer.
func (j *Journal) OpenCase(x lane.Transaction, why lane.CaseReason) {
	j.put(nil, func(tx *sql.Tx) error {
		_, err := settle(tx, x, "case", why.String())
		return err
	})
}

// settle notes what became of an intent; the first settlement holds. An
// intent that never reached the disk needs none.
func settle(tx *sql.Tx, x lane.Transaction, kind, why string) (first bool, err error) {
	r, err := tx.Exec(`INSERT INTO settlement (txn, kind, why, at) SELECT ?,?,?,? WHERE EXISTS (SELECT 1 FROM intent WHERE txn = ?)
		ON CONFLICT DO NOTHING`, x, kind, why, time.Now().UnixNano(), x)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// forget erases a traveller's facts by destroying their key.
func (j *Journal) forget(tx *sql.Tx, x lane.Transaction) error {
	j.erased = true
	if _, err := tx.Exec("DELETE FROM intent_key WHERE txn = ?", x); err != nil {
		return err
	}
	_, err := tx.Exec("UPDATE intent SET sealed = NULL WHERE txn = ?", x)
	return err
}

// Conclude notes how a transaction ended.
func (j *Journal) Conclude(x lane.Transaction, e kiosk.Ended) {
	spans, err := EncodeSpans(e.Timeline)
	j.put(nil, func(tx *sql.Tx) error {
		if err != nil {
			return err
		}
		_, err := tx.Exec("UPDATE crossing SET ended=?, class=?, outcome=?, reason=?, took=?, timeline=? WHERE txn=?",
			e.At.UnixNano(), e.Class.String(), e.Outcome.String(), e.Reason.String(), int64(e.Took), spans, x)
		return err
	})
}

// Cases lists the open reconciliation cases, oldest first.
func (j *Journal) Cases(ctx context.Context) ([]kiosk.Case, error) {
	rows, err := j.db.QueryContext(ctx, openCases)
	if err != nil {
		return nil, fmt.Errorf("journal: cases: %w", err)
	}
	defer rows.Close()
	var list []kiosk.Case
	for rows.Next() {
		var c kiosk.Case
		var at int64
		if err := rows.Scan(&c.Transaction, &at, &c.Why); err != nil {
			return nil, fmt.Errorf("journal: cases: %w", err)
		}
		c.At = time.Unix(0, at)
		list = append(list, c)
	}
	return list, rows.Err()
}

// ErrNoCase says that no open case has that UUID.
var ErrNoCase = errors.New("no open case with this transaction")

// Findings of an officer who settles a case.
const (
	Crossed    = "crossed"     // the record is made now
	NotCrossed = "not_crossed" // the intent is void
)

// conflict is why a case is open whose record the register would not have.
const conflict = "conflict"

// Conflict opens a case, inside the transaction in which the outbox gives up a
// record: it is an outbox.Conflict. key is the record's, which begins with the UUID.
// Whatever the reason, an officer must look.
func (j *Journal) Conflict(tx *sql.Tx, key string, _ error) error {
	uuid, _, _ := strings.Cut(key, ":")
	_, err := tx.Exec(`UPDATE settlement SET kind='case', why=?, at=?, closed=NULL, officer=NULL, finding=NULL
		WHERE txn = (SELECT txn FROM intent WHERE uuid=?)`, conflict, time.Now().UnixNano(), uuid)
	if err != nil {
		return fmt.Errorf("journal: conflict: %w", err)
	}
	return nil
}

// Settle closes a case. The finding is Crossed or NotCrossed; with Crossed the
// record goes to the outbox in the same transaction, unless the register has
// refused it: then the officer has settled with the register what is true, and
// what is left of the record here is erased.
func (j *Journal) Settle(ctx context.Context, uuid, officer, finding string) error {
	if finding != Crossed && finding != NotCrossed {
		return fmt.Errorf("journal: settle: the finding is %q or %q", Crossed, NotCrossed)
	}
	done := make(chan error, 1)
	missing := false
	j.put(func(err error) { done <- err }, func(tx *sql.Tx) error {
		var x lane.Transaction
		var at int64
		var why string
		err := tx.QueryRow("SELECT txn, s.at, why FROM settlement s JOIN intent i USING (txn) WHERE i.uuid=? AND s.kind='case' AND s.closed IS NULL", uuid).Scan(&x, &at, &why)
		if errors.Is(err, sql.ErrNoRows) {
			missing = true
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case why == conflict:
			if err := j.box.Drop(tx, uuid); err != nil {
				return err
			}
		case finding == Crossed:
			f, err := j.open(tx, x)
			if err != nil {
				return err
			}
			if err := j.box.Put(tx, f, time.Unix(0, at)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("UPDATE settlement SET closed=?, officer=?, finding=? WHERE txn=?", time.Now().UnixNano(), officer, finding, x); err != nil {
			return err
		}
		return j.forget(tx, x)
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		if err == nil && missing {
			return ErrNoCase
		}
		return err
	}
}

// bound ties the facts to their transaction.
func bound(x lane.Transaction) []byte {
	return binary.BigEndian.AppendUint32([]byte("intent/"), uint32(x))
}

// seal encrypts facts under a new key and wraps that key.
func (j *Journal) seal(x lane.Transaction, f kiosk.Facts) (sealed, wrapped []byte, err error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: seal: %w", err)
	}
	defer clear(plain)
	key := make([]byte, keys.Size)
	defer clear(key)
	rand.Read(key)
	box, err := keys.Box(key)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: seal: %w", err)
	}
	return box.Seal(nil, nil, plain, bound(x)), j.ring.Seal(Place, int64(x), key), nil
}

func (j *Journal) open(tx *sql.Tx, x lane.Transaction) (kiosk.Facts, error) {
	var f kiosk.Facts
	var sealed, wrapped []byte
	if err := tx.QueryRow("SELECT sealed, key FROM intent JOIN intent_key USING (txn) WHERE txn=?", x).Scan(&sealed, &wrapped); err != nil {
		return f, fmt.Errorf("journal: unseal: %w", err)
	}
	key, err := j.ring.Unseal(Place, int64(x), wrapped)
	if err != nil {
		return f, fmt.Errorf("journal: unseal: key: %w", err)
	}
	defer clear(key)
	box, err := keys.Box(key)
	if err != nil {
		return f, fmt.Errorf("journal: unseal: %w", err)
	}
	plain, err := box.Open(nil, nil, sealed, bound(x))
	if err != nil {
		return f, fmt.Errorf("journal: unseal: %w", err)
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &f); err != nil {
		return f, fmt.Errorf("journal: unseal: %w", err)
	}
	return f, nil
}

// Row is one journalled step as it lies on disk.
type Row struct {
	Seq, Run, Now, At, Txn int64
	Event                  string
	Body, Effects, State   []byte
	Chain                  []byte
}

type namedEffect struct {
	Name string          `json:"name"`
	Body json.RawMessage `json:"body"`
}

func newRow(e kiosk.Entry) (Row, error) {
	name, body, err := lane.Encode(e.Event)
	if err != nil {
		return Row{}, err
	}
	list := make([]namedEffect, len(e.Effects))
	for i, f := range e.Effects {
		n, b, err := lane.Encode(f)
		if err != nil {
			return Row{}, err
		}
		list[i] = namedEffect{n, b}
	}
	effects, err := json.Marshal(list)
	if err != nil {
		return Row{}, fmt.Errorf("journal: encode: %w", err)
	}
	state, err := Digest(e.After)
	if err != nil {
		return Row{}, err
	}
	return Row{
		Now: int64(e.Now), At: e.At.UnixNano(), Txn: int64(e.After.Transaction), Event: name, Body: body, Effects: effects, State: state[:],
	}, nil
}

// Digest is the SHA-256 of a state's JSON; replay compares by it.
func Digest(s lane.State) ([sha256.Size]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("journal: digest: %w", err)
	}
	return sha256.Sum256(b), nil
}

// link is the hash of a row and of the chain before it.
func (r Row) link(before [sha256.Size]byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(before[:])
	for _, n := range []int64{r.Seq, r.Run, r.Now, r.At, r.Txn} {
		binary.Write(h, binary.BigEndian, n)
	}
	for _, b := range [][]byte{[]byte(r.Event), r.Body, r.Effects, r.State} {
		binary.Write(h, binary.BigEndian, uint32(len(b)))
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Entries reads rows; clause is an ORDER BY or WHERE of ours.
func Entries(ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, clause string, args ...any,
) ([]Row, error) {
	rows, err := db.QueryContext(ctx, "SELECT seq, run, now, at, txn, event, body, effects, state, chain FROM entry "+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("journal: read: %w", err)
	}
	defer rows.Close()
	var list []Row
	for rows.Next() {
		var r Row
		if err := rows.Scan(&r.Seq, &r.Run, &r.Now, &r.At, &r.Txn, &r.Event, &r.Body, &r.Effects, &r.State, &r.Chain); err != nil {
			return nil, fmt.Errorf("journal: read: %w", err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("journal: read: %w", err)
	}
	return list, nil
}

// Check walks the whole chain and returns the number of the last good entry, or
// the first that does not follow.
func Check(ctx context.Context, db *sql.DB) (good int64, err error) {
	base, err := Forgotten(ctx, db)
	if err != nil {
		return 0, err
	}
	good = base.Seq
	chain := base.chain()
	for {
		rows, err := Entries(ctx, db, "WHERE seq > ? ORDER BY seq LIMIT 1000", good)
		if err != nil {
			return good, err
		}
		if len(rows) == 0 {
			return good, nil
		}
		for _, r := range rows {
			if r.Seq != good+1 {
				return good, fmt.Errorf("journal: check: entry %d is missing", good+1)
			}
			if chain = r.link(chain); hex.EncodeToString(chain[:]) != hex.EncodeToString(r.Chain) {
				return good, fmt.Errorf("journal: check: entry %d was altered, or one before it", r.Seq)
			}
			good = r.Seq
		}
	}
}

package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"passage/kiosk/lane"
	"passage/sqlite"
)

// Keep is how long a lane keeps its steps and crossings, and what became of
// intents: they are a technical log, which names nobody.
const Keep = 90 * 24 * time.Hour

// thinned is what is left of the entries that a journal has forgotten. The
// database becomes version 2 when the first one is: until then an older program
// still reads it.
const thinned = `
CREATE TABLE thinned (
	one   INTEGER PRIMARY KEY CHECK (one = 1),
	seq   INTEGER NOT NULL,           -- of the last one
	chain BLOB    NOT NULL,           -- its chain hash: the next one follows from it
	run   INTEGER NOT NULL,           -- its process start
	name  TEXT    NOT NULL,           -- the journal's
	edge  BLOB    NOT NULL,           -- right edge of the Merkle tree of them all
	txn   INTEGER NOT NULL            -- highest number of a crossing that is forgotten
) STRICT;
PRAGMA user_version = 2;
`

// Base is what a journal's first entry follows from: the zero value, or the last
// of the entries that it has forgotten.
type Base struct {
	Seq   int64
	Chain []byte
	Run   int64
	Name  string
	Edge  []byte
	Txn   lane.Transaction
}

func (b Base) chain() (c [sha256.Size]byte) {
	copy(c[:], b.Chain)
	return c
}

type asked interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Forgotten is where a journal begins.
func Forgotten(ctx context.Context, db asked) (Base, error) {
	var b Base
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return b, fmt.Errorf("journal: read: %w", err)
	}
	if version < 2 {
		return b, nil
	}
	err := db.QueryRowContext(ctx, "SELECT seq, chain, run, name, edge, txn FROM thinned").Scan(&b.Seq, &b.Chain, &b.Run, &b.Name, &b.Edge, &b.Txn)
	if errors.Is(err, sql.ErrNoRows) {
		return Base{}, nil
	}
	if err != nil {
		return b, fmt.Errorf("journal: read: %w", err)
	}
	if len(b.Chain) != sha256.Size || b.Seq < 0 {
		return b, errors.New("journal: what is noted of forgotten entries is damaged")
	}
	return b, nil
}

// step bounds what is forgotten in one transaction: the lane's own writes wait
// for it.
const step = 200

// Records are those that crossings gave the outbox.
type Records interface {
	// Forget takes what is left of a transaction's records out of the database.
	// It says false, and changes nothing, while one of them is not done with.
	Forget(tx *sql.Tx, uuid string) (bool, error)
}

// Thin forgets the oldest entries that were written before a time, of those up to
// a number, crossings of which no entry is left, and intents of which no crossing
// is left and nothing can come any more: at most a step of each. It returns how
// many; step or more means that there may be others. What follows from them can
// be checked as before. records may be nil where no outbox is beside the journal.
func Thin(ctx context.Context, db *sql.DB, records Records, before time.Time, upto int64) (n int, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	defer tx.Rollback()
	base, err := Forgotten(ctx, tx)
	if err != nil {
		return 0, err
	}
	last, n, err := old(ctx, tx, base, before, upto)
	if err != nil {
		return 0, err
	}
	if n > 0 {
		if _, err := tx.ExecContext(ctx, "DELETE FROM entry WHERE seq <= ?", last.Seq); err != nil {
			return 0, fmt.Errorf("journal: thin: %w", err)
		}
	}
	crossings, err := crossed(ctx, tx, &last, before)
	if err != nil {
		return 0, err
	}
	intents, err := settled(ctx, tx, records, last, before)
	if err != nil {
		return 0, err
	}
	aside, err := thinAside(ctx, tx, before)
	if err != nil {
		return 0, err
	}
	if n+crossings > 0 {
		if err := last.write(ctx, tx); err != nil {
			return 0, err
		}
	}
	if n = max(n, crossings, intents, aside); n == 0 {
		return 0, nil
	}
	// A power cut before this line leaves all of it, after it nothing.
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	return n, nil
}

// old reads the entries to be forgotten, and returns what the next one will
// follow from. One that does not follow is an error: nobody may say afterwards
// that it did.
func old(ctx context.Context, tx *sql.Tx, base Base, before time.Time, upto int64) (Base, int, error) {
	rows, err := Entries(ctx, tx, "WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", base.Seq, upto, step)
	if err != nil {
		return base, 0, err
	}
	tree, err := TreeOf(base.Seq, base.Edge)
	if err != nil {
		return base, 0, err
	}
	n := 0
	for _, r := range rows {
		if r.At >= before.UnixNano() {
			break
		}
		chain := base.chain()
		if r.Seq != base.Seq+1 || !r.Follows(chain[:]) {
			return base, 0, fmt.Errorf("journal: thin: entry %d does not follow from the one before it: run passage journal check", r.Seq)
		}
		if base.Seq == 0 {
			base.Name = nameOf(r)
		}
		tree.Add(r.Chain)
		base.Seq, base.Chain, base.Run = r.Seq, r.Chain, r.Run
		n++
	}
	base.Edge = tree.Edge()
	return base, n, nil
}

// crossed forgets crossings, and notes the highest number of them in b.
func crossed(ctx context.Context, tx *sql.Tx, b *Base, before time.Time) (int, error) {
	rows, err := tx.QueryContext(ctx, `DELETE FROM crossing WHERE txn IN (SELECT txn FROM crossing ORDER BY txn LIMIT ?) AND began < ?
		AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.txn = crossing.txn) RETURNING txn`, step, before.UnixNano())
	if err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var x lane.Transaction
		if err := rows.Scan(&x); err != nil {
			return 0, fmt.Errorf("journal: thin: %w", err)
		}
		b.Txn = max(b.Txn, x)
		n++
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	return n, nil
}

// settled forgets intents, what became of them and what is left of their records,
// of crossings that are forgotten. One that nobody has settled stays, and one whose
// record the register has not acknowledged, of which a case may still come.
func settled(ctx context.Context, tx *sql.Tx, records Records, b Base, before time.Time) (int, error) {
	rows, err := tx.QueryContext(ctx, `SELECT i.txn, i.uuid FROM intent i JOIN settlement s USING (txn)
		WHERE i.txn <= ?1 AND i.sealed IS NULL AND s.at < ?2 AND (s.kind <> 'case' OR s.closed < ?2)
		AND NOT EXISTS (SELECT 1 FROM crossing WHERE crossing.txn = i.txn) ORDER BY i.txn LIMIT ?3`, b.Txn, before.UnixNano(), step)
	if err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	defer rows.Close()
	type intent struct {
		txn  lane.Transaction
		uuid string
	}
	var list []intent
	for rows.Next() {
		var x intent
		if err := rows.Scan(&x.txn, &x.uuid); err != nil {
			return 0, fmt.Errorf("journal: thin: %w", err)
		}
		list = append(list, x)
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	n := 0
	for _, x := range list {
		if records != nil {
			if done, err := records.Forget(tx, x.uuid); err != nil {
				return 0, fmt.Errorf("journal: thin: %w", err)
			} else if !done {
				continue
			}
		}
		for _, table := range []string{"settlement", "intent"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE txn = ?", x.txn); err != nil {
				return 0, fmt.Errorf("journal: thin: %w", err)
			}
		}
		n++
	}
	return n, nil
}

// thinAside forgets entries of a salvaged journal.
func thinAside(ctx context.Context, tx *sql.Tx, before time.Time) (int, error) {
	var there int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = ?", aside).Scan(&there); err != nil || there == 0 {
		return 0, err
	}
	r, err := tx.ExecContext(ctx, "DELETE FROM "+aside+" WHERE rowid IN (SELECT rowid FROM "+aside+" ORDER BY rowid LIMIT ?) AND at < ?", step, before.UnixNano())
	if err != nil {
		return 0, fmt.Errorf("journal: thin: %w", err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

func (b Base) write(ctx context.Context, tx *sql.Tx) error {
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("journal: thin: %w", err)
	}
	if version < 2 {
		if _, err := tx.ExecContext(ctx, thinned); err != nil {
			return fmt.Errorf("journal: thin: %w", err)
		}
	}
	chain := b.chain()
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO thinned VALUES (1,?,?,?,?,?,?)", b.Seq, chain[:], b.Run, b.Name, append([]byte{}, b.Edge...), b.Txn)
	if err != nil {
		return fmt.Errorf("journal: thin: %w", err)
	}
	return nil
}

// How often a lane looks for what it may forget, and how long it leaves its
// store alone between two steps.
const (
	thinEvery = time.Hour
	thinPause = time.Second
)

// Retain forgets what is older than Keep, until ctx ends. kept says up to which
// entry somebody else has the journal; nil: nobody else is to have it. What was
// forgotten is overwritten, in the log as well.
func Retain(ctx context.Context, db *sqlite.DB, records Records, kept func(context.Context) (int64, error), log *slog.Logger) error {
	wait := time.NewTimer(thinPause)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		next := thinEvery
		n, err := retain(ctx, db, records, kept)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.Warn("journal: nothing is forgotten for now", "error", err)
		case n >= step:
			next = thinPause
		}
		wait.Reset(next)
	}
}

func retain(ctx context.Context, db *sqlite.DB, records Records, kept func(context.Context) (int64, error)) (int, error) {
	upto := int64(1<<63 - 1)
	if kept != nil {
		var err error
		if upto, err = kept(ctx); err != nil {
			return 0, err
		}
	}
	n, err := Thin(ctx, db.Writer, records, time.Now().Add(-Keep), upto)
	if err != nil || n == 0 {
		return n, err
	}
	if err := db.Scrub(ctx); err != nil && !errors.Is(err, sqlite.ErrScrub) { // the next one takes it along
		return n, err
	}
	return n, nil
}

// End is the number and the chain hash of a journal's last entry, forgotten or
// not.
func End(ctx context.Context, db *sql.DB) (int64, []byte, error) {
	last, err := Entries(ctx, db, "ORDER BY seq DESC LIMIT 1")
	if err != nil {
		return 0, nil, err
	}
	if len(last) > 0 {
		return last[0].Seq, last[0].Chain, nil
	}
	b, err := Forgotten(ctx, db)
	return b.Seq, b.Chain, err
}

// Name tells one journal from another of the same lane: when its first entry
// was written. It is empty for an empty journal.
func Name(ctx context.Context, db *sql.DB) (string, error) {
	b, err := Forgotten(ctx, db)
	if err != nil || b.Seq > 0 {
		return b.Name, err
	}
	first, err := Entries(ctx, db, "WHERE seq = 1")
	if err != nil || len(first) == 0 {
		return "", err
	}
	return nameOf(first[0]), nil
}

// nameOf is the name of the journal whose first entry is r.
func nameOf(r Row) string { return strconv.FormatInt(r.Run, 36) }

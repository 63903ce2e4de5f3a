// Package outbox keeps the records of crossings until the register has them.
//
// A record is sealed under a key of its own; the acknowledgement destroys the
// key. Records leave oldest first, those of one traveller one after the other,
// each with an idempotency key, so that a repeated one is recorded once. One
// that the register will not have, or that the disk has damaged, becomes an officer's case. When the outbox is
// nearly full the lane closes: nothing is ever dropped to make room.
package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"passage/keys"
	"passage/sqlite"
)

// schema creates the tables; it may run again.
const schema = `
CREATE TABLE IF NOT EXISTS outbox (
	seq       INTEGER PRIMARY KEY AUTOINCREMENT,
	key       TEXT    NOT NULL UNIQUE,     -- transaction UUID and kind
	at        INTEGER NOT NULL,
	sealed    BLOB,                        -- NULL once acknowledged
	attempts  INTEGER NOT NULL DEFAULT 0,
	state     TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'acked', 'conflict')),
	done      INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox(state, seq);
CREATE TABLE IF NOT EXISTS outbox_key (
	seq INTEGER PRIMARY KEY REFERENCES outbox(seq),
	key BLOB    NOT NULL
) STRICT;
`

// Place is where the records' keys lie.
var Place = keys.Place{Table: "outbox_key", ID: "seq", Column: "key"}

// Limits of what waits: some three weeks of a busy lane. From closeAt on the
// lane takes no new traveller; the rest is for those who are under way.
const (
	Most    = 100_000
	closeAt = Most - 1000
)

// ErrFull says that the outbox takes no more.
var ErrFull = errors.New("outbox: full: the register has been away for too long")

// Outbox is the outbox in a lane's database.
type Outbox struct {
	db      *sqlite.DB
	ring    *keys.Ring
	waiting atomic.Int64 // at least as many as wait
	dirty   atomic.Bool  // what was erased is still in the log
}

// New prepares the tables. ring is the lane's.
func New(ctx context.Context, db *sqlite.DB, ring *keys.Ring) (*Outbox, error) {
	if _, err := db.Writer.ExecContext(ctx, schema); err != nil {
		return nil, fmt.Errorf("outbox: open: %w", err)
	}
	o := &Outbox{db: db, ring: ring}
	o.Erased() // an earlier process may have been killed before it scrubbed
	n, _, err := o.Waiting(ctx)
	o.waiting.Store(int64(n))
	return o, err
}

func bound(seq int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("outbox/"), uint64(seq))
}

// Put adds a record inside the caller's transaction: it is there exactly if
// that is. A key that is there already is left as it is. Records of the same
// traveller, whatever names them, leave in the order of their Puts.
func (o *Outbox) Put(tx *sql.Tx, key, traveller string, at time.Time, body []byte) error {
	if o.waiting.Load() >= Most {
		return ErrFull
	}
	r, err := tx.Exec("INSERT INTO outbox (key, at) VALUES (?,?) ON CONFLICT DO NOTHING", key, at.UnixNano())
	if err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return err
	}
	seq, err := r.LastInsertId()
	if err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	secret := make([]byte, keys.Size)
	defer clear(secret)
	rand.Read(secret)
	box, err := keys.Box(secret)
	if err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	plain := binary.AppendUvarint(nil, uint64(len(traveller)))
	plain = append(append(plain, traveller...), body...)
	defer clear(plain)
	if _, err := tx.Exec("UPDATE outbox SET sealed=? WHERE seq=?", box.Seal(nil, nil, plain, bound(seq)), seq); err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	if _, err := tx.Exec("INSERT INTO outbox_key VALUES (?,?)", seq, o.ring.Seal(Place, seq, secret)); err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	o.waiting.Add(1) // too many if the caller rolls back, until Drain counts again
	return nil
}

// Waiting returns how many records wait and since when the oldest does.
func (o *Outbox) Waiting(ctx context.Context) (n int, since time.Time, err error) {
	var at sql.NullInt64
	if err := o.db.Reader.QueryRowContext(ctx, "SELECT count(*), min(at) FROM outbox WHERE state='waiting'").Scan(&n, &at); err != nil {
		return 0, since, fmt.Errorf("outbox: %w", err)
	}
	if at.Valid {
		since = time.Unix(0, at.Int64)
	}
	return n, since, nil
}

// Failing says why the lane must take no new traveller, or nil.
func (o *Outbox) Failing() error {
	if n := o.waiting.Load(); n >= closeAt {
		return fmt.Errorf("%w: %d records wait, %d are the most", ErrFull, n, Most)
	}
	return nil
}

// Forget takes what is left of a transaction's records out of the database, inside
// the caller's transaction. It says false, and changes nothing, while one of them
// has not been acknowledged or dropped.
func (o *Outbox) Forget(tx *sql.Tx, uuid string) (bool, error) {
	const its = "key > ?1||':' AND key < ?1||';'"
	var sealed int
	if err := tx.QueryRow("SELECT count(sealed) FROM outbox WHERE "+its, uuid).Scan(&sealed); err != nil || sealed > 0 {
		return false, err
	}
	if _, err := tx.Exec("DELETE FROM outbox WHERE "+its, uuid); err != nil {
		return false, fmt.Errorf("outbox: forget: %w", err)
	}
	return true, nil
}

// Erased says that something was erased in the database: Drain empties its log
// within some seconds.
func (o *Outbox) Erased() { o.dirty.Store(true) }

// Drop erases a transaction's records that the register would not have, inside
// the caller's transaction, by which an officer settles the case.
func (o *Outbox) Drop(tx *sql.Tx, uuid string) error {
	const refused = "state='conflict' AND substr(key, 1, length(?1)+1) = ?1||':'"
	if _, err := tx.Exec("DELETE FROM outbox_key WHERE seq IN (SELECT seq FROM outbox WHERE "+refused+")", uuid); err != nil {
		return fmt.Errorf("outbox: drop: %w", err)
	}
	if _, err := tx.Exec("UPDATE outbox SET sealed=NULL WHERE "+refused, uuid); err != nil {
		return fmt.Errorf("outbox: drop: %w", err)
	}
	return nil
}

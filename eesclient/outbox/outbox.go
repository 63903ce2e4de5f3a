// Package outbox keeps the records of crossings until the register has them.
//
// A record is sealed under a key of its own; the acknowledgement destroys the
// key. Items are sent oldest first with an idempotency key, so that a repeated
// one is recorded once.
package outbox

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Schema creates the tables; it may run again.
const Schema = `
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

// Most bounds the waiting records: some three weeks of a busy lane. Beyond it
// Put fails, and the lane closes rather than lose one.
const Most = 100_000

// ErrFull says that the outbox takes no more.
var ErrFull = errors.New("outbox: full: the register has been away for too long")

// ErrConflict says that the register has another record under the same key.
var ErrConflict = errors.New("outbox: the register has another record under this key")

// Outbox is the outbox in a lane's database.
type Outbox struct {
	db   *sql.DB
	wrap cipher.AEAD
}

// New prepares the tables. key is the lane's 32-byte key.
func New(ctx context.Context, db *sql.DB, key []byte) (*Outbox, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("outbox: key: %w", err)
	}
	wrap, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("outbox: key: %w", err)
	}
	if _, err := db.ExecContext(ctx, Schema); err != nil {
		return nil, fmt.Errorf("outbox: open: %w", err)
	}
	return &Outbox{db, wrap}, nil
}

func aad(seq int64) []byte { return binary.BigEndian.AppendUint64([]byte("outbox/"), uint64(seq)) }

// Put adds a record inside the caller's transaction: it is there exactly if
// that is. A key that is there already is left as it is.
func (o *Outbox) Put(tx *sql.Tx, key string, at time.Time, body []byte) error {
	var waiting int
	if err := tx.QueryRow("SELECT count(*) FROM outbox WHERE state='waiting'").Scan(&waiting); err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	if waiting >= Most {
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
	secret := make([]byte, 32)
	defer clear(secret)
	crand(secret)
	gcm, err := seal(secret)
	if err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE outbox SET sealed=? WHERE seq=?", gcm.Seal(nil, nil, body, aad(seq)), seq); err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	if _, err := tx.Exec("INSERT INTO outbox_key VALUES (?,?)", seq, o.wrap.Seal(nil, nil, secret, aad(seq))); err != nil {
		return fmt.Errorf("outbox: put: %w", err)
	}
	return nil
}

func seal(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return gcm, nil
}

// Waiting returns how many records wait and since when the oldest does.
func (o *Outbox) Waiting(ctx context.Context) (n int, since time.Time, err error) {
	var at sql.NullInt64
	if err := o.db.QueryRowContext(ctx, "SELECT count(*), min(at) FROM outbox WHERE state='waiting'").Scan(&n, &at); err != nil {
		return 0, since, fmt.Errorf("outbox: %w", err)
	}
	if at.Valid {
		since = time.Unix(0, at.Int64)
	}
	return n, since, nil
}

// Sender gives one record to the register. ErrConflict ends the record's
// attempts; any other error is tried again.
type Sender interface {
	Send(ctx context.Context, key string, body []byte) error
}

// Times between attempts: growing, and random, so that a country's lanes do
// not come back all at once.
const (
	firstWait = 500 * time.Millisecond
	mostWait  = time.Minute
	idleWait  = 500 * time.Millisecond
)

// Drain sends records until ctx ends. conflict is told of a record that an
// officer must reconcile.
func (o *Outbox) Drain(ctx context.Context, to Sender, conflict func(key string)) error {
	wait := time.Duration(0)
	for {
		sent, err := o.once(ctx, to, conflict)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait = min(max(2*wait, firstWait), mostWait)
			wait = wait/2 + rand.N(wait/2+1)
		case sent:
			wait = 0
			continue
		default:
			wait = idleWait
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// once sends the oldest waiting record and reports whether there was one.
func (o *Outbox) once(ctx context.Context, to Sender, conflict func(string)) (bool, error) {
	var seq int64
	var key string
	var sealed, wrapped []byte
	err := o.db.QueryRowContext(ctx, "SELECT seq, o.key, sealed, k.key FROM outbox o JOIN outbox_key k USING (seq) WHERE state='waiting' ORDER BY seq LIMIT 1").Scan(&seq, &key, &sealed, &wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("outbox: next: %w", err)
	}
	secret, err := o.wrap.Open(nil, nil, wrapped, aad(seq))
	if err != nil {
		return false, fmt.Errorf("outbox: unseal: %w", err)
	}
	defer clear(secret)
	gcm, err := seal(secret)
	if err != nil {
		return false, err
	}
	body, err := gcm.Open(nil, nil, sealed, aad(seq))
	if err != nil {
		return false, fmt.Errorf("outbox: unseal: %w", err)
	}
	defer clear(body)
	switch err := to.Send(ctx, key, body); {
	case errors.Is(err, ErrConflict):
		conflict(key)
		return true, o.end(ctx, seq, "conflict")
	case err != nil:
		if _, e := o.db.ExecContext(ctx, "UPDATE outbox SET attempts=attempts+1 WHERE seq=?", seq); e != nil {
			return false, fmt.Errorf("outbox: %w", e)
		}
		return false, err
	}
	// A power cut before this commit sends the record again; its key makes
	// the register answer as before.
	return true, o.end(ctx, seq, "acked")
}

// end erases a record by destroying its key.
func (o *Outbox) end(ctx context.Context, seq int64, state string) error {
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("outbox: end: %w", err)
	}
	defer tx.Rollback()
	for _, q := range []string{"DELETE FROM outbox_key WHERE seq=?", "UPDATE outbox SET sealed=NULL WHERE seq=?"} {
		if state == "conflict" {
			break // an officer still needs what was recorded here
		}
		if _, err := tx.ExecContext(ctx, q, seq); err != nil {
			return fmt.Errorf("outbox: end: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE outbox SET state=?, done=? WHERE seq=?", state, time.Now().UnixNano(), seq); err != nil {
		return fmt.Errorf("outbox: end: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("outbox: end: %w", err)
	}
	return nil
}

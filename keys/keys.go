// Package keys seals what a lane keeps of people, and forgets it.
//
// There are three layers. The lane's master key comes from outside the
// database: a file, a systemd credential, a TPM. It wraps the ring's keys,
// which lie in the database and can be replaced while the lane works. They wrap
// the key that each transaction has of its own; destroying that one erases the
// transaction. Nothing below the ring's keys changes when one is replaced but
// the few bytes of wrapping.
package keys

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"passage/sqlite"
)

// Size is the size of every key: AES-256.
const Size = 32

const schema = `
CREATE TABLE IF NOT EXISTS ring_key (
	id      INTEGER PRIMARY KEY,
	wrapped BLOB    NOT NULL,   -- by the master key
	made    INTEGER NOT NULL,   -- Unix ns
	retired INTEGER             -- it opens, but seals no more
) STRICT;
`

// Place is a column of wrapped keys. A ciphertext is bound to its table and
// row: one that was moved elsewhere is refused.
type Place struct{ Table, ID, Column string }

func (p Place) bound(row int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(p.Table+"/"), uint64(row))
}

// ErrKey says that the master key is not the one that the database was sealed
// with.
var ErrKey = errors.New("keys: this master key does not open the lane's database: it was sealed with another one")

// ErrUnsealed says that something cannot be opened: its key was destroyed, or
// it was altered or moved.
var ErrUnsealed = errors.New("keys: cannot be opened: its key is gone, or it was altered")

// Ring is the keys that seal and open. It is safe for concurrent use.
type Ring struct {
	db     *sqlite.DB // nil: one key, never replaced
	master cipher.AEAD

	mu   sync.Mutex
	keys map[int64]cipher.AEAD
	now  int64 // the key that seals
}

func aead(key []byte) (cipher.AEAD, error) {
	if len(key) != Size {
		return nil, fmt.Errorf("keys: a key has %d bytes, not %d", Size, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	g, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return g, nil
}

// Box is the cipher of a single key: AES-256-GCM with a random nonce.
func Box(key []byte) (cipher.AEAD, error) { return aead(key) }

// Fixed is a ring of one key that lies in no database, for what lives no longer
// than its process.
func Fixed(key []byte) (*Ring, error) {
	g, err := aead(key)
	if err != nil {
		return nil, err
	}
	return &Ring{keys: map[int64]cipher.AEAD{1: g}, now: 1}, nil
}

// Open opens the ring of a lane's database, and makes its first key. It fails
// with ErrKey if master is another database's.
func Open(ctx context.Context, db *sqlite.DB, master []byte) (*Ring, error) {
	g, err := aead(master)
	if err != nil {
		return nil, err
	}
	if _, err := db.Writer.ExecContext(ctx, schema); err != nil {
		return nil, fmt.Errorf("keys: open: %w", err)
	}
	r := &Ring{db: db, master: g}
	tx, err := db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: open: %w", err)
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM ring_key").Scan(&n); err != nil {
		return nil, fmt.Errorf("keys: open: %w", err)
	}
	if n == 0 {
		if err := r.add(ctx, tx); err != nil {
			return nil, err
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("keys: open: %w", err)
	}
	return r, r.Refresh(ctx)
}

var ringPlace = Place{"ring_key", "id", "wrapped"}

// add makes a key that seals from now on; the others are retired.
func (r *Ring) add(ctx context.Context, tx *sql.Tx) error {
	var id int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) + 1 FROM ring_key").Scan(&id); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	key := make([]byte, Size)
	defer clear(key)
	rand.Read(key)
	now := time.Now().UnixNano()
	if _, err := tx.ExecContext(ctx, "UPDATE ring_key SET retired=? WHERE retired IS NULL", now); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO ring_key (id, wrapped, made) VALUES (?,?,?)", id, r.master.Seal(nil, nil, key, ringPlace.bound(id)), now); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Refresh takes over keys that another process has made: a running lane's ring
// follows passage keys rotate.
func (r *Ring) Refresh(ctx context.Context) error {
	if r.db == nil {
		return nil
	}
	return r.load(ctx, r.db.Reader)
}

func (r *Ring) load(ctx context.Context, q queryer) error {
	rows, err := q.QueryContext(ctx, "SELECT id, wrapped, retired IS NULL FROM ring_key ORDER BY id")
	if err != nil {
		return fmt.Errorf("keys: read: %w", err)
	}
	defer rows.Close()
	ring, now := map[int64]cipher.AEAD{}, int64(0)
	for rows.Next() {
		var id int64
		var wrapped []byte
		var seals bool
		if err := rows.Scan(&id, &wrapped, &seals); err != nil {
			return fmt.Errorf("keys: read: %w", err)
		}
		key, err := r.master.Open(nil, nil, wrapped, ringPlace.bound(id))
		if err != nil {
			return ErrKey
		}
		g, err := aead(key)
		clear(key)
		if err != nil {
			return err
		}
		if ring[id] = g; seals {
			now = id
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("keys: read: %w", err)
	}
	if now == 0 {
		return errors.New("keys: read: the ring has no key that seals")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.now = ring, now
	return nil
}

// Keep follows the ring's changes until ctx ends. A ring that another master key
// wraps by now is left as it was last seen: its keys are in use still.
func (r *Ring) Keep(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.Refresh(ctx); err != nil && ctx.Err() == nil && !sqlite.Busy(err) && !errors.Is(err, ErrKey) {
				return err
			}
		}
	}
}

// Seal encrypts a key for a row of a place. The result is eight bytes that name
// the ring's key, and a ciphertext.
func (r *Ring) Seal(p Place, row int64, plain []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[r.now].Seal(binary.BigEndian.AppendUint64(nil, uint64(r.now)), nil, plain, p.bound(row))
}

// Unseal decrypts what Seal made for the same row of the same place. It fails
// with ErrUnsealed.
func (r *Ring) Unseal(p Place, row int64, sealed []byte) ([]byte, error) {
	if len(sealed) < 8 {
		return nil, ErrUnsealed
	}
	id := int64(binary.BigEndian.Uint64(sealed))
	r.mu.Lock()
	g := r.keys[id]
	r.mu.Unlock()
	if g == nil && r.db != nil && r.db.Reader != r.db.Writer {
		// Sealed by a process that has seen a newer key than this one.
		if err := r.Refresh(context.Background()); err != nil {
			return nil, err
		}
		r.mu.Lock()
		g = r.keys[id]
		r.mu.Unlock()
	}
	if g == nil {
		return nil, ErrUnsealed
	}
	plain, err := g.Open(nil, nil, sealed[8:], p.bound(row))
	if err != nil {
		return nil, ErrUnsealed
	}
	return plain, nil
}

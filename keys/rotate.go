package keys

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"passage/sqlite"
)

const (
	// followEvery is how often a running lane looks for a new key.
	followEvery = 10 * time.Second
	// Adopted is how long after Replace every running process seals with the
	// new key: they have looked, and what they had sealed before is on disk.
	Adopted = 3 * followEvery
)

// Replace gives the ring a new key and wraps everything in places anew, in one
// transaction: a power cut leaves the old ring or the new one. The retired key
// stays until Retire, for what a running lane has just sealed with it.
func (r *Ring) Replace(ctx context.Context, places []Place) (wrapped int, err error) {
	return r.change(ctx, places, func(tx *sql.Tx) error { return r.add(ctx, tx) }, func(*sql.Tx) error { return nil })
}

// Retire wraps anew what was sealed with a retired key since, and destroys the
// retired keys. What they had wrapped and lies in copies or freed pages can
// then not be opened by anybody. It is to run not sooner than Adopted after
// Replace.
func (r *Ring) Retire(ctx context.Context, places []Place) (wrapped int, err error) {
	var since sql.NullInt64
	if err := r.db.Reader.QueryRowContext(ctx, "SELECT max(retired) FROM ring_key").Scan(&since); err != nil {
		return 0, fmt.Errorf("keys: retire: %w", err)
	}
	if left := Adopted - time.Since(time.Unix(0, since.Int64)); since.Valid && left > 0 {
		return 0, fmt.Errorf("keys: retire: a running lane may seal with the retired key for another %v", left.Round(time.Second))
	}
	n, err := r.change(ctx, places, func(*sql.Tx) error { return nil }, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM ring_key WHERE retired IS NOT NULL")
		return err
	})
	if err != nil {
		return n, err
	}
	return n, r.scrub(ctx)
}

// Rewrap wraps the ring's keys by another master key. A running lane keeps
// working if it holds all of them, so that Rewrap is to run not sooner than
// Adopted after Replace: it cannot read further ones until it is started again
// with the new master key.
func (r *Ring) Rewrap(ctx context.Context, master []byte) error {
	to, err := aead(master)
	if err != nil {
		return err
	}
	tx, err := r.db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("keys: rewrap: %w", err)
	}
	defer tx.Rollback()
	if err := each(ctx, tx, ringPlace, func(id int64, wrapped []byte) ([]byte, error) {
		key, err := r.master.Open(nil, nil, wrapped, ringPlace.bound(id))
		if err != nil {
			return nil, ErrKey
		}
		defer clear(key)
		return to.Seal(nil, nil, key, ringPlace.bound(id)), nil
	}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("keys: rewrap: %w", err)
	}
	r.master = to
	return r.scrub(ctx)
}

// scrub makes what was wrapped before unreadable in the files. A running lane
// reads for moments only; it is waited for.
func (r *Ring) scrub(ctx context.Context) error {
	const tries, pause = 50, 100 * time.Millisecond
	for n := 1; ; n++ {
		err := r.db.Scrub(ctx)
		if !errors.Is(err, sqlite.ErrScrub) || n == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// change runs before, wraps everything in places with the key that then seals,
// and runs after, in one transaction.
func (r *Ring) change(ctx context.Context, places []Place, before, after func(*sql.Tx) error) (wrapped int, err error) {
	if r.db == nil {
		return 0, errors.New("keys: a fixed ring has one key")
	}
	tx, err := r.db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("keys: replace: %w", err)
	}
	defer tx.Rollback()
	if err := before(tx); err != nil {
		return 0, fmt.Errorf("keys: replace: %w", err)
	}
	ring := &Ring{master: r.master}
	if err := ring.load(ctx, tx); err != nil {
		return 0, err
	}
	for _, p := range places {
		if err := each(ctx, tx, p, func(row int64, old []byte) ([]byte, error) {
			if len(old) >= 8 && int64(binary.BigEndian.Uint64(old)) == ring.now {
				return nil, nil
			}
			plain, err := ring.Unseal(p, row, old)
			if err != nil {
				return nil, fmt.Errorf("keys: replace: %s %d: %w", p.Table, row, err)
			}
			defer clear(plain)
			wrapped++
			return ring.Seal(p, row, plain), nil
		}); err != nil {
			return 0, err
		}
	}
	if err := after(tx); err != nil {
		return 0, fmt.Errorf("keys: replace: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("keys: replace: %w", err)
	}
	return wrapped, r.Refresh(ctx)
}

// each gives every row of a place to change, and writes what it returns; nil
// leaves the row. A place whose table is not there has no rows.
func each(ctx context.Context, tx *sql.Tx, p Place, change func(row int64, sealed []byte) ([]byte, error)) error {
	var there int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name=?", p.Table).Scan(&there); err != nil {
		return fmt.Errorf("keys: read: %w", err)
	}
	if there == 0 {
		return nil
	}
	type sealed struct {
		row  int64
		blob []byte
	}
	const batch = 1000
	for after := int64(-1 << 63); ; {
		rows, err := tx.QueryContext(ctx, "SELECT "+p.ID+", "+p.Column+" FROM "+p.Table+" WHERE "+p.ID+" > ? ORDER BY "+p.ID+" LIMIT ?", after, batch)
		if err != nil {
			return fmt.Errorf("keys: read: %w", err)
		}
		var list []sealed
		for rows.Next() {
			var s sealed
			if err := rows.Scan(&s.row, &s.blob); err != nil {
				return errors.Join(fmt.Errorf("keys: read: %w", err), rows.Close())
			}
			list = append(list, s)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("keys: read: %w", err)
		}
		for _, s := range list {
			after = s.row
			b, err := change(s.row, s.blob)
			if err != nil {
				return err
			}
			if b == nil {
				continue
			}
			if _, err := tx.ExecContext(ctx, "UPDATE "+p.Table+" SET "+p.Column+"=? WHERE "+p.ID+"=?", b, s.row); err != nil {
				return fmt.Errorf("keys: write: %w", err)
			}
		}
		if len(list) < batch {
			return nil
		}
	}
}

// Key is what is known of one of a ring's keys.
type Key struct {
	ID      int64
	Made    time.Time
	Retired time.Time      // zero: it seals
	Wraps   map[string]int // rows by table
}

// List says what the ring has and what each key wraps.
func (r *Ring) List(ctx context.Context, places []Place) ([]Key, error) {
	tx, err := r.db.Reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("keys: list: %w", err)
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, "SELECT id, made, retired FROM ring_key ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("keys: list: %w", err)
	}
	defer rows.Close()
	var list []Key
	for rows.Next() {
		k := Key{Wraps: map[string]int{}}
		var made int64
		var retired sql.NullInt64
		if err := rows.Scan(&k.ID, &made, &retired); err != nil {
			return nil, fmt.Errorf("keys: list: %w", err)
		}
		if k.Made = time.Unix(0, made); retired.Valid {
			k.Retired = time.Unix(0, retired.Int64)
		}
		list = append(list, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("keys: list: %w", err)
	}
	for _, p := range places {
		if err := each(ctx, tx, p, func(_ int64, sealed []byte) ([]byte, error) {
			if len(sealed) < 8 {
				return nil, nil
			}
			id := int64(binary.BigEndian.Uint64(sealed))
			if i := slices.IndexFunc(list, func(k Key) bool { return k.ID == id }); i >= 0 {
				list[i].Wraps[p.Table]++
			}
			return nil, nil
		}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

package devices

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"passage/drivers/emrtd"
)

// Chips keeps in the lane's database what families of chips can do, so that a
// lane that was started anew reads as fast as before. It holds hashes of what
// all documents of a family share, and lengths; nothing of a document. A nil
// Chips keeps nothing.
type Chips struct {
	db    *sql.DB
	news  chan struct{}
	saved []byte
}

// The table has one row.
const chipsTable = `CREATE TABLE IF NOT EXISTS chips (one INTEGER PRIMARY KEY CHECK (one = 1), memory BLOB NOT NULL)`

// NewChips opens the table.
func NewChips(ctx context.Context, db *sql.DB) (*Chips, error) {
	if _, err := db.ExecContext(ctx, chipsTable); err != nil {
		return nil, fmt.Errorf("devices: chips: %w", err)
	}
	return &Chips{db: db, news: make(chan struct{}, 1)}, nil
}

func (c *Chips) load(ctx context.Context, m *emrtd.Memory) error {
	if c == nil {
		return nil
	}
	err := c.db.QueryRowContext(ctx, `SELECT memory FROM chips`).Scan(&c.saved)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("devices: chips: %w", err)
	}
	return json.Unmarshal(c.saved, m)
}

// learnt says that a reading has ended. It does not block.
func (c *Chips) learnt() {
	if c == nil {
		return
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// keep writes the memory after readings that changed it, and as ctx ends: no
// traveller waits for the disk.
func (c *Chips) keep(ctx context.Context, m *emrtd.Memory, log *slog.Logger) {
	if c == nil {
		return
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.news:
		}
		if err := c.save(context.WithoutCancel(ctx), m); err != nil {
			log.Warn("what was found out of chips is not kept", "error", err)
		}
	}
}

func (c *Chips) save(ctx context.Context, m *emrtd.Memory) error {
	b, err := json.Marshal(m)
	if err != nil || bytes.Equal(b, c.saved) {
		return err
	}
	if _, err := c.db.ExecContext(ctx, `INSERT OR REPLACE INTO chips VALUES (1, ?)`, b); err != nil {
		return fmt.Errorf("devices: chips: %w", err)
	}
	c.saved = b
	return nil
}

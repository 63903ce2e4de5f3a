// Package sqlite opens the project's SQLite databases. It is the only importer
// of the driver, because its C code takes minutes to compile and because the
// settings that durability rests on belong in one place.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// DB is one database: a writer of one connection, so that writes queue in Go
// and never meet SQLITE_BUSY, and readers that cannot write.
type DB struct {
	Writer *sql.DB
	Reader *sql.DB
}

// settings are what Open sets and reads back. The driver is compiled with
// synchronous=NORMAL under WAL, which loses acknowledged commits in a power
// cut; FULL does not.
var settings = []struct{ pragma, want string }{
	{"journal_mode", "wal"},
	{"synchronous", "2"},
	{"foreign_keys", "1"},
	{"secure_delete", "1"},
}

// Open opens or creates the database at path. ":memory:" gives a private one
// that lives as long as the DB; it has one connection for both uses.
func Open(ctx context.Context, path string) (*DB, error) {
	if path == ":memory:" {
		db, err := sql.Open("sqlite3", ":memory:?_foreign_keys=on&_txlock=immediate")
		if err != nil {
			return nil, fmt.Errorf("sqlite: open: %w", err)
		}
		db.SetMaxOpenConns(1)
		return &DB{db, db}, nil
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath()
	w, err := sql.Open("sqlite3", name+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_foreign_keys=on&_secure_delete=on&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	w.SetMaxOpenConns(1)
	for _, s := range settings {
		var got string
		if err := w.QueryRowContext(ctx, "PRAGMA "+s.pragma).Scan(&got); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), w.Close())
		}
		if !strings.EqualFold(got, s.want) {
			return nil, errors.Join(fmt.Errorf("sqlite: open %s: %s is %s, not %s: is the file system read-only or remote?", path, s.pragma, got, s.want), w.Close())
		}
	}
	r, err := sql.Open("sqlite3", name+"?mode=ro&_query_only=on&_busy_timeout=5000")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), w.Close())
	}
	r.SetMaxOpenConns(4)
	return &DB{w, r}, nil
}

// Close closes both sides.
func (d *DB) Close() error {
	if d.Reader == d.Writer {
		return d.Writer.Close()
	}
	return errors.Join(d.Reader.Close(), d.Writer.Close())
}

// Corrupt says whether err means that the file is damaged or no database.
func Corrupt(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

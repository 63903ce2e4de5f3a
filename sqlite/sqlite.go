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
	"os"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// DB is one database: a writer of one connection, so that writes queue in Go
// and never meet SQLITE_BUSY, and readers that cannot write.
type DB struct {
	Writer *sql.DB
	Reader *sql.DB
}

// cached is how many statements a connection keeps prepared: a tenth of a small
// transaction's time is their preparation.
const cached = "&_stmt_cache_size=48"

// busyTimeout is how long a statement waits for another process, in ms.
const busyTimeout = "5000"

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
	w, err := sql.Open("sqlite3", name+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout="+busyTimeout+"&_foreign_keys=on&_secure_delete=on&_txlock=immediate"+cached)
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
	r, err := sql.Open("sqlite3", name+"?mode=ro&_query_only=on&_busy_timeout="+busyTimeout+cached)
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

// Damaged opens a database that may be damaged, to read what is left of it. It
// sets nothing and checks nothing; the log beside it is taken in as far as its
// checksums hold.
func Damaged(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_query_only=on")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), db.Close())
	}
	return db, nil
}

// Corrupt says whether err means that the file is damaged or no database.
func Corrupt(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

// Busy says whether err means that another process had the database for
// longer than the writer waits.
func Busy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked)
}

// ErrScrub says that a reader kept the log from being emptied; it can be tried
// again.
var ErrScrub = errors.New("sqlite: a reader keeps the write-ahead log")

// Scrub makes what was deleted unreadable in the files: it moves the log into
// the database, where deleted rows are overwritten with zeros, and truncates
// the log, which still has them. It waits for nobody and fails with ErrScrub if
// a reader is in the way.
func (d *DB) Scrub(ctx context.Context) error {
	if d.Reader == d.Writer {
		return nil // in memory
	}
	c, err := d.Writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlite: scrub: %w", err)
	}
	defer c.Close()
	// The lane's own writes queue behind this connection: it must not wait.
	if _, err := c.ExecContext(ctx, "PRAGMA busy_timeout=0"); err != nil {
		return fmt.Errorf("sqlite: scrub: %w", err)
	}
	var busy, log, moved int
	err = c.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
	if _, e := c.ExecContext(context.WithoutCancel(ctx), "PRAGMA busy_timeout="+busyTimeout); e != nil {
		return fmt.Errorf("sqlite: scrub: %w", e)
	}
	if Busy(err) {
		return ErrScrub
	}
	if err != nil {
		return fmt.Errorf("sqlite: scrub: %w", err)
	}
	if busy != 0 {
		return ErrScrub
	}
	return nil
}

// Copy writes the database, as it is at one moment and without freed pages, to a
// new file at path that only its owner may read. The database stays in use.
func (d *DB) Copy(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("sqlite: copy: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("sqlite: copy: %w", err)
	}
	if _, err := d.Writer.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return errors.Join(fmt.Errorf("sqlite: copy: %w", err), os.Remove(path))
	}
	return nil
}

// Build creates a database that nobody reads before Close has returned: without
// log and syncs, which it has no use for, since a power cut leaves a file that
// is thrown away. The caller syncs the file when it is complete.
func Build(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_journal_mode=OFF&_synchronous=OFF&_locking_mode=EXCLUSIVE&_cache_size=-8000")
	if err != nil {
		return nil, fmt.Errorf("sqlite: build %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: build %s: %w", path, err), db.Close())
	}
	return db, nil
}

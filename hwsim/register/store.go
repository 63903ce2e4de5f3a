package register

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// step is one statement of a transaction. Its parameters are $1, $2, …, first
// used in that order. row is called for each row of its result; nil for a
// statement without one.
type step struct {
	sql  string
	args []any
	row  func(scan func(...any) error) error
}

// store is a database of either kind.
type store interface {
	// do runs steps in their order in one transaction: all of them happen or
	// none. No step may depend on what another one returned, so that
	// PostgreSQL needs one round trip for all.
	do(ctx context.Context, steps ...step) error
	// load adds rows to their table, fast, in one transaction. It is called from
	// several goroutines.
	load(ctx context.Context, r *rows) error
	// bulk prepares tables for much loading; what it returns ends that.
	bulk(ctx context.Context, tables ...string) (finish func(context.Context) error, err error)
	// migrate runs a migration's text and notes its number.
	migrate(ctx context.Context, number int, text string) error
	// applied returns the number of the last migration; 0 for an empty store.
	applied(ctx context.Context) (int, error)
	// scrub clears what deleted rows leave behind.
	scrub(ctx context.Context) error
	close()
}

//go:embed migrations/*.sql
var migrations embed.FS

// upgrade brings a store to the newest schema, one migration a transaction. A
// store that is newer than this program is refused.
func upgrade(ctx context.Context, s store) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("register: migrations: %w", err)
	}
	slices.Sort(names)
	at, err := s.applied(ctx)
	if err != nil {
		return fmt.Errorf("register: migrations: %w", err)
	}
	if at > len(names) {
		return fmt.Errorf("register: the database has schema %d; this program knows %d", at, len(names))
	}
	for _, name := range names[at:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return fmt.Errorf("register: migrations: %w", err)
		}
		number, _, _ := strings.Cut(path.Base(name), "_")
		n, err := strconv.Atoi(number)
		if err != nil || n != at+1 {
			return fmt.Errorf("register: migrations: %s does not follow %d", name, at)
		}
		if err := s.migrate(ctx, n, string(text)); err != nil {
			return fmt.Errorf("register: migrations: %s: %w", name, err)
		}
		at = n
	}
	return nil
}

// lite is a store in SQLite.
type lite struct {
	db    *sql.DB
	group *group
}

// group is what waits for the next commit. Requests that come while one is
// being written share the one after it (group commit), and whoever writes waits
// a little for those that are under way: the disk's latency is paid once for all
// of them.
type group struct {
	turn  chan struct{} // held by whoever writes
	under *atomic.Int64 // requests under way, whether they have come here yet or not
	more  chan struct{} // told of each job
	mu    sync.Mutex
	queue []*job
}

// gather is how long a commit waits for company.
const gather = 2 * time.Millisecond

// company waits until all requests that are under way have come, or for a while.
func (g *group) company() {
	late := time.NewTimer(gather)
	defer late.Stop()
	for {
		g.mu.Lock()
		n := len(g.queue)
		g.mu.Unlock()
		if n == 0 || int64(n) >= g.under.Load() {
			return
		}
		select {
		case <-g.more:
		case <-late.C:
			return
		}
	}
}

// job is one request's transaction.
type job struct {
	ctx   context.Context
	steps []step
	done  chan error
}

func newLite(db *sql.DB, under *atomic.Int64) lite {
	return lite{db, &group{turn: make(chan struct{}, 1), under: under, more: make(chan struct{}, 1)}}
}

func (l lite) do(ctx context.Context, steps ...step) error {
	j := &job{ctx, steps, make(chan error, 1)}
	l.group.mu.Lock()
	l.group.queue = append(l.group.queue, j)
	l.group.mu.Unlock()
	select {
	case l.group.more <- struct{}{}:
	default:
	}
	select {
	case err := <-j.done: // somebody else has written it
		return err
	case l.group.turn <- struct{}{}:
	}
	l.group.company()
	l.group.mu.Lock()
	batch := l.group.queue
	l.group.queue = nil
	l.group.mu.Unlock()
	if len(batch) > 0 {
		l.write(context.WithoutCancel(ctx), batch)
	}
	<-l.group.turn
	return <-j.done
}

// write runs jobs in one transaction, each within a savepoint: one that fails
// takes nothing of the others with it.
func (l lite) write(ctx context.Context, batch []*job) {
	results := make([]error, len(batch))
	err := l.in(ctx, func(tx *sql.Tx) error {
		for i, j := range batch {
			if results[i] = j.ctx.Err(); results[i] != nil {
				continue
			}
			if _, err := tx.ExecContext(ctx, "SAVEPOINT job"); err != nil {
				return err
			}
			if results[i] = run(ctx, tx, j.steps); results[i] != nil {
				if _, err := tx.ExecContext(ctx, "ROLLBACK TO job"); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, "RELEASE job"); err != nil {
				return err
			}
		}
		return nil
	})
	for i, j := range batch {
		if err != nil {
			results[i] = err
		}
		j.done <- results[i]
	}
}

func run(ctx context.Context, tx *sql.Tx, steps []step) error {
	for _, s := range steps {
		if s.row == nil {
			if _, err := tx.ExecContext(ctx, s.sql, s.args...); err != nil {
				return err
			}
			continue
		}
		rows, err := tx.QueryContext(ctx, s.sql, s.args...)
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := s.row(rows.Scan); err != nil {
				return errors.Join(err, rows.Close())
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (l lite) in(ctx context.Context, work func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (l lite) load(ctx context.Context, r *rows) error {
	names, places := make([]string, len(r.columns)), make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i], places[i] = c.name, "$"+strconv.Itoa(i+1)
	}
	return l.in(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO "+r.table+" ("+strings.Join(names, ",")+") VALUES ("+strings.Join(places, ",")+")")
		if err != nil {
			return err
		}
		defer insert.Close()
		return r.each(func(args []any) error {
			_, err := insert.ExecContext(ctx, args...)
			return err
		})
	})
}

func (l lite) bulk(context.Context, ...string) (func(context.Context) error, error) {
	return l.scrub, nil
}

func (l lite) migrate(ctx context.Context, number int, text string) error {
	return l.in(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO migration (number) VALUES ($1)", number)
		return err
	})
}

func (l lite) applied(ctx context.Context) (int, error) {
	if _, err := l.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY) STRICT"); err != nil {
		return 0, err
	}
	var n int
	err := l.db.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) FROM migration").Scan(&n)
	return n, err
}

// scrub empties the write-ahead log into the database, whose freed pages
// secure_delete has overwritten.
func (l lite) scrub(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// close leaves the database to whoever opened it.
func (l lite) close() {}

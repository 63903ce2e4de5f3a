package register

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// partitions is how many parts a partitioned table has.
const partitions = 16

// postgres is a store in PostgreSQL.
type postgres struct{ pool *pgxpool.Pool }

// openPostgres connects to a PostgreSQL server by its URL or DSN.
func openPostgres(ctx context.Context, url string) (postgres, error) {
	conf, err := pgxpool.ParseConfig(url)
	if err != nil {
		return postgres{}, fmt.Errorf("register: open: the database's address is wrong") // the parser's text repeats the password
	}
	conf.ConnConfig.RuntimeParams["application_name"] = "passage register"
	if _, set := conf.ConnConfig.RuntimeParams["statement_timeout"]; !set {
		conf.ConnConfig.RuntimeParams["statement_timeout"] = "600000"
	}
	conf.MaxConnIdleTime = time.Minute
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return postgres{}, fmt.Errorf("register: open: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return postgres{}, fmt.Errorf("register: open: %w", err)
	}
	return postgres{pool}, nil
}

// do sends all steps at once: PostgreSQL runs a batch as one transaction.
func (p postgres) do(ctx context.Context, steps ...step) error {
	b := &pgx.Batch{}
	for _, s := range steps {
		b.Queue(s.sql, s.args...)
	}
	results := p.pool.SendBatch(ctx, b)
	err := readAll(results, steps)
	if e := results.Close(); err == nil {
		err = e
	}
	return err
}

func readAll(results pgx.BatchResults, steps []step) error {
	for _, s := range steps {
		if s.row == nil {
			if _, err := results.Exec(); err != nil {
				return err
			}
			continue
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := s.row(rows.Scan); err != nil {
				rows.Close()
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// copyHead and copyTail stand around the tuples of a binary COPY.
const (
	copyHead = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTail = "\xff\xff"
)

func (p postgres) load(ctx context.Context, r *rows) error {
	if r.n == 0 {
		return nil
	}
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return p.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		_, err := c.Conn().PgConn().CopyFrom(ctx, io.MultiReader(strings.NewReader(copyHead), bytes.NewReader(r.tuples), strings.NewReader(copyTail)),
			"COPY "+r.table+" ("+strings.Join(names, ",")+") FROM STDIN BINARY")
		return err
	})
}

// index is how an index is made again.
type index struct{ name, primary, text string }

func (x index) drop(table string) string {
	if x.primary != "" {
		return "ALTER TABLE " + table + " DROP CONSTRAINT " + x.name
	}
	return "DROP INDEX " + x.name
}

func (x index) create(table string) string {
	if x.primary != "" {
		return "ALTER TABLE " + table + " ADD CONSTRAINT " + x.name + " " + x.primary
	}
	return strings.Replace(x.text, " ON ONLY ", " ON ", 1)
}

// bulk takes the indices off empty tables: building them afterwards by sorting
// is several times as fast as keeping them up to date.
func (p postgres) bulk(ctx context.Context, tables ...string) (func(context.Context) error, error) {
	off := map[string][]index{}
	for _, t := range tables {
		var some bool
		if err := p.pool.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+t+")").Scan(&some); err != nil {
			return nil, err
		}
		if some {
			continue
		}
		rows, err := p.pool.Query(ctx, `SELECT c.relname, coalesce(pg_get_constraintdef(k.oid), ''), pg_get_indexdef(c.oid)
			FROM pg_index i JOIN pg_class c ON c.oid=i.indexrelid LEFT JOIN pg_constraint k ON k.conindid=i.indexrelid AND k.contype='p'
			WHERE i.indrelid=$1::regclass`, t)
		if err != nil {
			return nil, err
		}
		off[t], err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (x index, err error) {
			return x, r.Scan(&x.name, &x.primary, &x.text)
		})
		if err != nil {
			return nil, err
		}
		for _, x := range off[t] {
			if _, err := p.pool.Exec(ctx, x.drop(t)); err != nil {
				return nil, err
			}
		}
	}
	return func(ctx context.Context) error {
		building, ctx := errgroup.WithContext(ctx)
		building.SetLimit(runtime.GOMAXPROCS(0))
		for _, t := range tables {
			building.Go(func() error { // one table's after each other: they lock it
				for _, x := range off[t] {
					if _, err := p.pool.Exec(ctx, x.create(t)); err != nil {
						return err
					}
				}
				_, err := p.pool.Exec(ctx, "ANALYZE "+t)
				return err
			})
		}
		return building.Wait()
	}, nil
}

// dialect puts the schema into PostgreSQL's words.
var dialect = strings.NewReplacer(
	"INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
	"INTEGER", "BIGINT", "BLOB", "BYTEA", ") STRICT, WITHOUT ROWID;", ");", ") STRICT;", ");",
)

var partitioned = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \( +-- partitioned by (\w+)\n(.*?)\n\);`)

// translate makes a migration PostgreSQL's: types, and partitions where the
// text asks for them.
func translate(text string) string {
	text = dialect.Replace(text)
	return partitioned.ReplaceAllStringFunc(text, func(s string) string {
		m := partitioned.FindStringSubmatch(s)
		var b strings.Builder
		fmt.Fprintf(&b, "CREATE TABLE %s (\n%s\n) PARTITION BY HASH (%s);\n", m[1], m[3], m[2])
		for i := range partitions {
			fmt.Fprintf(&b, "CREATE TABLE %s_%d PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d);\n", m[1], i, m[1], partitions, i)
		}
		return b.String()
	})
}

func (p postgres) migrate(ctx context.Context, number int, text string) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, translate(text)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO migration (number) VALUES ($1)", number)
		return err
	})
}

func (p postgres) applied(ctx context.Context) (int, error) {
	if _, err := p.pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY)"); err != nil {
		return 0, err
	}
	var n int
	err := p.pool.QueryRow(ctx, "SELECT coalesce(max(number), 0) FROM migration").Scan(&n)
	return n, err
}

// scrub lets PostgreSQL reclaim deleted rows at once. Its freed space and its
// log are not overwritten: there the sealing and the disk's encryption protect
// what is left.
func (p postgres) scrub(ctx context.Context) error {
	for _, table := range []string{"individual_file", "document", "person", "permission", "record", "audit"} {
		if _, err := p.pool.Exec(ctx, "VACUUM "+table); err != nil {
			return err
		}
	}
	return nil
}

func (p postgres) close() { p.pool.Close() }

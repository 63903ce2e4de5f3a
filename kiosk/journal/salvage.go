package journal

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"passage/durable"
	"passage/kiosk/lane"
	"passage/sqlite"
)

// Salvaged says what Salvage found of a table.
type Salvaged struct {
	Table string
	Rows  int
	// Lost counts places where the table cannot be read on; each may hide
	// several rows.
	Lost int
}

// aside is where a salvaged journal keeps the entries of the damaged one.
const aside = "entry_before"

// Salvage writes what can still be read of a lane's database at from into a new
// one at to, which must not be there yet. from is not written to: the work is
// done on a copy.
//
// The new journal begins anew, with a chain of its own, because nobody can say
// what followed a missing entry; the entries of before are in entry_before.
// Intents, settlements, keys and waiting records are taken over: an intent
// whose settlement is lost becomes an officer's case, as after a power cut. It
// fails if not even the list of tables can be read.
func Salvage(ctx context.Context, from, to string) (list []Salvaged, err error) {
	if _, err := os.Stat(to); err == nil {
		return nil, fmt.Errorf("journal: salvage: %s is there already", to)
	}
	work := to + ".work"
	defer func() {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			_ = os.Remove(work + suffix) // what is left of the copy is nothing
		}
		if err != nil {
			_ = os.Remove(to) // half of a journal is none
		}
	}()
	if err := duplicate(from, work); err != nil {
		return nil, err
	}
	old, err := sqlite.Damaged(ctx, work)
	if err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	defer old.Close()
	tables, err := contents(ctx, old)
	if err != nil {
		return nil, err
	}
	fresh, err := sqlite.Build(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	defer fresh.Close()
	if err := durable.Hand(to); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	tx, err := fresh.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schema+"CREATE TABLE "+aside+" AS SELECT * FROM entry; PRAGMA user_version = 1"); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	for _, t := range tables {
		into := t.name
		switch t.name {
		case "entry":
			into = aside
		case "crossing", "intent", "intent_key", "settlement":
		case "thinned": // of the old journal; the new one has forgotten nothing
			continue
		default:
			if _, err := tx.ExecContext(ctx, t.sql); err != nil {
				return nil, fmt.Errorf("journal: salvage: table %s: %w", t.name, err)
			}
		}
		s, err := take(ctx, old, tx, t.name, into)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	// What became of an intent may be among what was lost, when its facts have
	// been erased already.
	if _, err := tx.ExecContext(ctx, "INSERT INTO settlement (txn, kind, why, at) SELECT txn, 'case', ?, ? FROM intent WHERE sealed IS NULL AND txn NOT IN (SELECT txn FROM settlement)",
		lane.PowerCut.String(), time.Now().UnixNano()); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	var forgotten int64 // what cannot be read is none, and intents have their numbers
	_ = old.QueryRowContext(ctx, "SELECT txn FROM thinned").Scan(&forgotten)
	// Numbers must not come again: an intent of before would take the place of
	// a new one.
	if _, err := tx.ExecContext(ctx, `INSERT INTO crossing (txn, uuid, began) SELECT 1+max(n), 'salvaged-'||?1, ?1 FROM (
		SELECT max(txn) n FROM crossing UNION SELECT max(txn) FROM intent UNION SELECT max(txn) FROM settlement UNION SELECT max(txn) FROM `+aside+` UNION SELECT nullif(?2, 0))
		HAVING max(n) IS NOT NULL`, time.Now().UnixNano(), forgotten); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	if err := fresh.Close(); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	f, err := os.Open(to)
	if err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("journal: salvage: %w", err)
	}
	return list, nil
}

// magic begins every SQLite database (its file format, §1.3).
var magic = []byte("SQLite format 3\x00")

// duplicate copies a database with its log, and mends the first bytes of its
// header, which say nothing that is not known beforehand.
func duplicate(from, to string) error {
	for _, suffix := range []string{"", "-wal"} {
		in, err := os.ReadFile(from + suffix)
		if errors.Is(err, os.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("journal: salvage: %w", err)
		}
		if suffix == "" && len(in) >= 100 {
			size := int(binary.BigEndian.Uint16(in[16:]))
			if !bytes.HasPrefix(in, magic) || size < 512 || size&(size-1) != 0 {
				const page, wal = 4096, 2
				copy(in, magic)
				binary.BigEndian.PutUint16(in[16:], page)
				in[18], in[19], in[20], in[21], in[22], in[23] = wal, wal, 0, 64, 32, 32
			}
			// A file that was cut short gets empty pages for those that it
			// lost: tables that begin there are lost, and the others are not.
			page := max(512, int(binary.BigEndian.Uint16(in[16:])))
			if whole := page * int(binary.BigEndian.Uint32(in[28:])); whole > len(in) && whole <= 64*len(in) {
				in = append(in, make([]byte, whole-len(in))...)
			}
		}
		if err := os.WriteFile(to+suffix, in, 0o600); err != nil {
			return fmt.Errorf("journal: salvage: %w", err)
		}
	}
	return nil
}

type table struct{ name, sql string }

// contents lists the tables that a lane's database has.
func contents(ctx context.Context, db *sql.DB) ([]table, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' AND sql LIKE 'CREATE TABLE%' AND name != ?", aside)
	if err != nil {
		return nil, fmt.Errorf("journal: salvage: the list of tables cannot be read, only a backup helps: %w", err)
	}
	defer rows.Close()
	var list []table
	for rows.Next() {
		var t table
		if err := rows.Scan(&t.name, &t.sql); err != nil {
			return nil, fmt.Errorf("journal: salvage: the list of tables cannot be read, only a backup helps: %w", err)
		}
		list = append(list, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("journal: salvage: the list of tables cannot be read, only a backup helps: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("journal: salvage: the database has no tables")
	}
	return list, nil
}

// gap is how many missing numbers are tried one by one behind a place that
// cannot be read.
const gap = 2_000

// take copies a table's rows: upwards to the first place that cannot be read,
// downwards to the last one, and one by one between them.
func take(ctx context.Context, from *sql.DB, to *sql.Tx, name, into string) (Salvaged, error) {
	s := Salvaged{Table: name}
	quote := func(n string) string { return `"` + strings.ReplaceAll(n, `"`, `""`) + `"` }
	get := "SELECT rowid, * FROM " + quote(name) + " WHERE rowid"
	// one copies the first row of a query; ok is false for none.
	one := func(query string, arg int64) (at int64, ok bool, err error) {
		rows, err := from.QueryContext(ctx, get+query+" LIMIT 1", arg)
		if err != nil {
			return 0, false, err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return 0, false, err
		}
		if !rows.Next() {
			return 0, false, rows.Err()
		}
		values := make([]any, len(columns))
		places := make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return 0, false, err
		}
		at, _ = values[0].(int64)
		marks := strings.TrimSuffix(strings.Repeat("?,", len(values)-1), ",")
		if _, err := to.ExecContext(ctx, "INSERT INTO "+quote(into)+" VALUES ("+marks+")", values[1:]...); err != nil {
			s.Lost++ // a row that is no row of this table, or there already
			return at, true, nil
		}
		s.Rows++
		return at, true, nil
	}
	low, high := int64(-1), int64(-1)
	for {
		at, ok, err := one(">? ORDER BY rowid", low)
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		if err != nil || ok && at <= low {
			s.Lost++
			break
		}
		if !ok {
			return s, nil
		}
		low = at
	}
	for below := int64(1<<62 - 1); ; {
		at, ok, err := one("<? ORDER BY rowid DESC", below)
		if err != nil || !ok || at <= low || at >= below {
			break
		}
		below, high = at, at
	}
	if high < 0 {
		high = low + gap
	}
	for n := low + 1; n < high && n <= low+gap; n++ {
		if _, _, err := one("=?", n); err != nil && ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
	return s, nil
}

// Sound says what SQLite itself finds wrong with the file, or nil.
func Sound(ctx context.Context, db *sql.DB) error {
	var first string
	err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&first)
	switch {
	case err != nil:
		return fmt.Errorf("journal: check: %w", err)
	case first != "ok":
		return fmt.Errorf("journal: check: the file is damaged: %s", first)
	}
	return nil
}

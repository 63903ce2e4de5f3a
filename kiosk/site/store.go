package site

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"passage/sqlite"
)

// migrations bring a database from one version to the next; user_version tells.
var migrations = []string{`
CREATE TABLE lane (
	id       TEXT    PRIMARY KEY,
	user     TEXT    NOT NULL,            -- public NATS key of the computer in use
	enrolled INTEGER NOT NULL             -- Unix s
) STRICT;
CREATE TABLE revoked (
	user TEXT    PRIMARY KEY,             -- of a computer that was replaced or shut out
	lane TEXT    NOT NULL,
	at   INTEGER NOT NULL
) STRICT;
CREATE TABLE code (                       -- enrolment codes that wait
	digest BLOB    PRIMARY KEY,           -- SHA-256 of the code
	lane   TEXT    NOT NULL,
	until  INTEGER NOT NULL,
	by     TEXT    NOT NULL
) STRICT;
CREATE TABLE invitation (
	digest  BLOB    PRIMARY KEY,          -- SHA-256 of the code
	officer TEXT    NOT NULL,
	name    TEXT    NOT NULL,
	role    TEXT    NOT NULL,
	until   INTEGER NOT NULL,
	by      TEXT    NOT NULL
) STRICT;
CREATE TABLE applicant (                  -- registered passkeys that no roster has yet
	officer TEXT    NOT NULL,
	name    TEXT    NOT NULL,
	role    TEXT    NOT NULL,
	passkey BLOB    NOT NULL,
	at      INTEGER NOT NULL
) STRICT;
CREATE TABLE roster (
	version INTEGER PRIMARY KEY,
	body    BLOB    NOT NULL,             -- officer.Signed as JSON
	at      INTEGER NOT NULL
) STRICT;
CREATE TABLE position (                   -- how much of a lane's journal is here
	lane    TEXT    NOT NULL,
	journal TEXT    NOT NULL,             -- a replaced computer begins another one
	seq     INTEGER NOT NULL,
	chain   BLOB    NOT NULL,
	broken  INTEGER,                      -- first entry that did not follow
	PRIMARY KEY (lane, journal)
) STRICT;
CREATE TABLE crossing (
	lane     TEXT    NOT NULL,
	uuid     TEXT    NOT NULL,
	at       INTEGER NOT NULL,            -- Unix ms, when it ended
	took     INTEGER NOT NULL,            -- ms
	class    TEXT    NOT NULL,
	outcome  TEXT    NOT NULL,
	reason   TEXT    NOT NULL,
	timeline BLOB    NOT NULL,
	PRIMARY KEY (lane, uuid)
) STRICT;
CREATE INDEX crossing_at ON crossing(at);
CREATE TABLE word (                       -- what officers said, with its proof
	id       INTEGER PRIMARY KEY,
	at       INTEGER NOT NULL,            -- Unix ms, when it was carried
	officer  TEXT    NOT NULL,
	lane     TEXT    NOT NULL,
	kind     TEXT    NOT NULL,
	value    TEXT    NOT NULL,
	txn      TEXT    NOT NULL,
	reason   TEXT    NOT NULL,
	answer   TEXT    NOT NULL,            -- the lane's
	envelope BLOB    NOT NULL
) STRICT;
CREATE INDEX word_at ON word(at);
`, `
CREATE TABLE progress (                   -- how much of the stream was dealt with
	what   TEXT    PRIMARY KEY,           -- store: taken in here; country: handed on
	stream INTEGER NOT NULL,              -- Unix ns when it was made: a site that lost its disk has another one
	seq    INTEGER NOT NULL
) STRICT;
`, `
CREATE TABLE head_key (                   -- of a lane's audit: the first one holds
	lane TEXT    PRIMARY KEY,
	key  TEXT    NOT NULL,
	at   INTEGER NOT NULL                 -- Unix s
) STRICT;
CREATE TABLE head (                       -- signed heads of lanes' journals
	lane    TEXT    NOT NULL,
	journal TEXT    NOT NULL,
	size    INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	note    BLOB    NOT NULL,
	PRIMARY KEY (lane, journal, size)
) STRICT;
`, `
ALTER TABLE applicant ADD COLUMN identity TEXT NOT NULL DEFAULT ''; -- officer.Identity as JSON; '' where there is no directory
CREATE TABLE confirmed (                  -- what the directory said last of an officer
	officer TEXT    PRIMARY KEY,
	person  TEXT    NOT NULL,             -- officer.Identity as JSON
	roles   TEXT    NOT NULL,             -- JSON
	at      INTEGER NOT NULL              -- Unix s
) STRICT;
`, `
CREATE TABLE content (                    -- of releases, in pieces
	sha256 TEXT    NOT NULL,              -- of the whole
	n      INTEGER NOT NULL,
	b      BLOB    NOT NULL,
	PRIMARY KEY (sha256, n)
) STRICT;
CREATE TABLE release (
	digest   TEXT    PRIMARY KEY,         -- SHA-256 of body
	kind     TEXT    NOT NULL,
	number   INTEGER NOT NULL,
	sha256   TEXT    NOT NULL,            -- of its content
	body     BLOB    NOT NULL,            -- rollout.Release as it is signed
	at       INTEGER NOT NULL,            -- Unix s
	proposal BLOB,                        -- the word that proposed it; NULL for a draft
	proposer TEXT,
	why      TEXT,
	UNIQUE (kind, number)
) STRICT;
CREATE TABLE rollout (
	plan       TEXT    PRIMARY KEY,       -- SHA-256 of body
	release    TEXT    NOT NULL,
	body       BLOB    NOT NULL,          -- rollout.Plan as it is signed
	activation BLOB    NOT NULL,
	at         INTEGER NOT NULL,          -- Unix s
	state      BLOB    NOT NULL           -- rollout.State: written before any lane hears of it
) STRICT;
`}

func openStore(ctx context.Context, path string) (*sqlite.DB, error) {
	db, err := sqlite.Open(ctx, path)
	if err == nil {
		if err = migrate(ctx, db.Writer); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if sqlite.Corrupt(err) {
		return nil, fmt.Errorf("%w: keep the file, move it away and put back the last backup by passage restore", err)
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("site: store: %w", err)
	}
	if version > len(migrations) {
		return fmt.Errorf("site: store: it has version %d, this program knows %d: it was written by a newer one", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		err := atomically(ctx, db, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, migrations[version]+"PRAGMA user_version = "+strconv.Itoa(version+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("site: store: to version %d: %w", version+1, err)
		}
	}
	return nil
}

func atomically(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Word is a row of the audit.
type Word struct {
	At      int64  `json:"at"`
	Officer string `json:"officer"`
	Lane    string `json:"lane"`
	Kind    string `json:"kind"`
	Value   string `json:"value"`
	Txn     string `json:"transaction"`
	Reason  string `json:"reason"`
	Answer  string `json:"answer"`
}

// Keep stores what an officer said, with its proof and the lane's answer.
func (s *Site) Keep(ctx context.Context, w Word, envelope []byte) error {
	_, err := s.db.Writer.ExecContext(ctx, "INSERT INTO word (at, officer, lane, kind, value, txn, reason, answer, envelope) VALUES (?,?,?,?,?,?,?,?,?)",
		w.At, w.Officer, w.Lane, w.Kind, w.Value, w.Txn, w.Reason, w.Answer, envelope)
	if err != nil {
		return fmt.Errorf("site: audit: %w", err)
	}
	return nil
}

// Words searches the audit, newest first, at most 500; empty fields match all.
func (s *Site) Words(ctx context.Context, officerID, lane, txn string, from, to time.Time) ([]Word, error) {
	clause, args := []string{"at >= ?", "at < ?"}, []any{from.UnixMilli(), to.UnixMilli()}
	for column, v := range map[string]string{"officer": officerID, "lane": lane, "txn": txn} {
		if v != "" {
			clause, args = append(clause, column+" = ?"), append(args, v)
		}
	}
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT at, officer, lane, kind, value, txn, reason, answer FROM word WHERE "+strings.Join(clause, " AND ")+" ORDER BY at DESC, id DESC LIMIT 500", args...)
	if err != nil {
		return nil, fmt.Errorf("site: audit: %w", err)
	}
	defer rows.Close()
	list := []Word{}
	for rows.Next() {
		var w Word
		if err := rows.Scan(&w.At, &w.Officer, &w.Lane, &w.Kind, &w.Value, &w.Txn, &w.Reason, &w.Answer); err != nil {
			return nil, fmt.Errorf("site: audit: %w", err)
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

// Crossing is a concluded crossing of any lane: it names nobody.
type Crossing struct {
	Lane     string          `json:"lane"`
	UUID     string          `json:"uuid"`
	At       int64           `json:"at"`   // Unix ms
	Took     int64           `json:"took"` // ms
	Class    string          `json:"class"`
	Outcome  string          `json:"outcome"`
	Reason   string          `json:"reason"`
	Timeline json.RawMessage `json:"timeline,omitempty"`
}

// Crossings calls see with the crossings that ended in [from, to), oldest
// first, of one lane or of all.
func (s *Site) Crossings(ctx context.Context, lane string, from, to time.Time, see func(Crossing) error) error {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT lane, uuid, at, took, class, outcome, reason, timeline FROM crossing WHERE at >= ? AND at < ? AND (?3 = '' OR lane = ?3) ORDER BY at", from.UnixMilli(), to.UnixMilli(), lane)
	if err != nil {
		return fmt.Errorf("site: crossings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Crossing
		var timeline []byte
		if err := rows.Scan(&c.Lane, &c.UUID, &c.At, &c.Took, &c.Class, &c.Outcome, &c.Reason, &timeline); err != nil {
			return fmt.Errorf("site: crossings: %w", err)
		}
		c.Timeline = timeline
		if err := see(c); err != nil {
			return err
		}
	}
	return rows.Err()
}

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

	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
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
`}

func openStore(ctx context.Context, path string) (*sqlite.DB, error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db.Writer); err != nil {
		return nil, errors.Join(err, db.Close())
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

// got says what of a lane's journal has arrived: in the stream, or, where that
// has let go of it, in the store.
func (s *Site) got(ctx context.Context, lane string, name []byte) (fleet.Got, error) {
	var got fleet.Got
	if len(name) == 0 || len(name) > 32 {
		return got, errors.New("site: a lane asks for no journal")
	}
	js, err := s.nc.JetStream(nats.Context(ctx))
	if err != nil {
		return got, fmt.Errorf("site: %w", err)
	}
	m, err := js.GetLastMsg(fleet.Stream, fleet.Subject(lane, "journal"), nats.DirectGet())
	switch {
	case err == nil:
		var b fleet.Batch
		if err := json.Unmarshal(m.Data, &b); err == nil && b.Journal == string(name) && len(b.Entries) > 0 {
			end := b.Entries[len(b.Entries)-1]
			return fleet.Got{Seq: end.Seq, Chain: end.Chain}, nil
		}
	case !errors.Is(err, nats.ErrMsgNotFound):
		return got, fmt.Errorf("site: %w", err)
	}
	err = s.db.Reader.QueryRowContext(ctx, "SELECT seq, chain FROM position WHERE lane=? AND journal=?", lane, string(name)).Scan(&got.Seq, &got.Chain)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return got, fmt.Errorf("site: %w", err)
	}
	return got, nil
}

const (
	fetchMost = 200
	fetchWait = time.Second
)

// project writes what arrives in the stream into the store until ctx ends. A
// message is acknowledged after its commit; one that comes again changes
// nothing.
func (s *Site) project(ctx context.Context) error {
	js, err := s.nc.JetStream()
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	sub, err := js.PullSubscribe(fleet.Journals, "store", nats.BindStream(fleet.Stream), nats.AckExplicit(), nats.MaxAckPending(10*fetchMost))
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	for ctx.Err() == nil {
		list, err := sub.Fetch(fetchMost, nats.MaxWait(fetchWait))
		if err != nil && !errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil {
			s.conf.Log.Warn("site: journals", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(fetchWait):
			}
			continue
		}
		if len(list) == 0 {
			continue
		}
		err = atomically(ctx, s.db.Writer, func(tx *sql.Tx) error {
			for _, m := range list {
				if err := s.take(ctx, tx, between(m.Subject), m.Data); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			if ctx.Err() == nil {
				s.conf.Log.Error("site: journals are not stored", "error", err)
			}
			continue // not acknowledged: it comes again
		}
		for _, m := range list {
			if err := m.Ack(); err != nil {
				s.conf.Log.Warn("site: journals", "error", err)
			}
		}
	}
	return nil
}

// take stores one batch. What does not follow from what is here is noted: the
// lane's journal was altered, or a piece is missing.
func (s *Site) take(ctx context.Context, tx *sql.Tx, lane string, body []byte) error {
	var b fleet.Batch
	if err := json.Unmarshal(body, &b); err != nil || b.Lane != lane || !b.Sound() {
		s.conf.Log.Warn("site: a lane's batch cannot be read", "lane", lane, "error", err)
		return nil
	}
	var at int64
	chain := make([]byte, 32)
	err := tx.QueryRowContext(ctx, "SELECT seq, chain FROM position WHERE lane=? AND journal=?", lane, b.Journal).Scan(&at, &chain)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("site: %w", err)
	}
	before := at
	var broken any
	for _, e := range b.Entries {
		if e.Seq <= at {
			continue
		}
		if e.Seq != at+1 || !e.Follows(chain) {
			s.conf.Log.Error("site: a lane's journal does not follow from what is here", "lane", lane, "entry", e.Seq)
			broken = e.Seq
		}
		at, chain = e.Seq, e.Chain
	}
	for _, c := range b.Ended {
		if c.Seq <= before {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO crossing VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
			lane, c.UUID, c.At/1e6, c.Took/1e6, c.Class, c.Outcome, c.Reason, []byte(c.Timeline)); err != nil {
			return fmt.Errorf("site: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO position VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET seq=excluded.seq, chain=excluded.chain, broken=coalesce(position.broken, excluded.broken)`,
		lane, b.Journal, at, chain, broken)
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	return nil
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

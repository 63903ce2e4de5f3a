package site

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"passage/kiosk/audit"
	"passage/kiosk/fleet"
)

// head keeps a lane's signed head. The first key of a lane holds for good: a
// replaced computer brings its audit key along, or its operator removes the old
// one here. A head of fewer entries than an earlier one means that the journal
// was cut, another root for as many that it was written anew.
func (s *Site) head(ctx context.Context, lane string, body []byte) (fleet.Answer, error) {
	var in fleet.SignedHead
	if len(body) > 4<<10 || json.Unmarshal(body, &in) != nil {
		return fleet.Answer{Code: "unreadable"}, nil
	}
	known := in.Key
	err := s.db.Reader.QueryRowContext(ctx, "SELECT key FROM head_key WHERE lane=?", lane).Scan(&known)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fleet.Answer{}, fmt.Errorf("site: head: %w", err)
	}
	refuse := func(code string, why error) (fleet.Answer, error) {
		s.conf.Log.Error("site: a lane's head is not taken", "lane", lane, "why", code, "error", why)
		return fleet.Answer{Code: code}, nil
	}
	key, err := note.NewVerifier(known)
	if err != nil {
		return refuse("key", err)
	}
	h, err := audit.OpenHead(in.Note, key)
	if err != nil || h.Lane != lane || in.Key != known {
		return refuse("signature", err)
	}
	var most int64
	if err := s.db.Reader.QueryRowContext(ctx, "SELECT coalesce(max(size), 0) FROM head WHERE lane=? AND journal=?", lane, h.Journal).Scan(&most); err != nil {
		return fleet.Answer{}, fmt.Errorf("site: head: %w", err)
	}
	if h.Size < most {
		return refuse("shorter", fmt.Errorf("%d entries, and %d were signed for", h.Size, most))
	}
	var before []byte
	switch err := s.db.Reader.QueryRowContext(ctx, "SELECT note FROM head WHERE lane=? AND journal=? AND size=?", lane, h.Journal, h.Size).Scan(&before); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return fleet.Answer{}, fmt.Errorf("site: head: %w", err)
	default:
		if was, err := audit.OpenHead(before, key); err != nil || was.Root != h.Root {
			return refuse("another", errors.Join(fmt.Errorf("%d entries were signed for before, and were others", h.Size), err))
		}
	}
	err = atomically(ctx, s.db.Writer, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO head_key VALUES (?,?,?) ON CONFLICT DO NOTHING", lane, known, time.Now().Unix()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO head VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING", lane, h.Journal, h.Size, time.Now().Unix(), in.Note)
		return err
	})
	if err != nil {
		return fleet.Answer{}, fmt.Errorf("site: head: %w", err)
	}
	return fleet.Answer{OK: true}, nil
}

// Heads calls see with a lane's signed heads, oldest first, and returns the key
// that verifies them.
func Heads(ctx context.Context, db *sql.DB, lane string, see func(journal string, size int64, note []byte) error) (key string, err error) {
	if err := db.QueryRowContext(ctx, "SELECT key FROM head_key WHERE lane=?", lane).Scan(&key); err != nil {
		return "", fmt.Errorf("site: heads of lane %s: %w", lane, err)
	}
	rows, err := db.QueryContext(ctx, "SELECT journal, size, note FROM head WHERE lane=? ORDER BY at, size", lane)
	if err != nil {
		return "", fmt.Errorf("site: heads: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var journal string
		var size int64
		var b []byte
		if err := rows.Scan(&journal, &size, &b); err != nil {
			return "", fmt.Errorf("site: heads: %w", err)
		}
		if err := see(journal, size, b); err != nil {
			return "", err
		}
	}
	return key, rows.Err()
}

// Export writes all rosters and all officers' words as JSON lines, for passage
// audit words to verify.
func Export(ctx context.Context, db *sql.DB, w io.Writer) error {
	out := json.NewEncoder(w)
	rosters, err := db.QueryContext(ctx, "SELECT at, body FROM roster ORDER BY version")
	if err != nil {
		return fmt.Errorf("site: export: %w", err)
	}
	defer rosters.Close()
	for rosters.Next() {
		var r audit.Roster
		var body []byte
		if err := rosters.Scan(&r.At, &body); err != nil {
			return fmt.Errorf("site: export: %w", err)
		}
		if err := json.Unmarshal(body, &r.Signed); err != nil {
			return fmt.Errorf("site: export: roster: %w", err)
		}
		if err := out.Encode(audit.Line{Roster: &r}); err != nil {
			return fmt.Errorf("site: export: %w", err)
		}
	}
	if err := errors.Join(rosters.Err(), rosters.Close()); err != nil { // the connection is the only one
		return fmt.Errorf("site: export: %w", err)
	}
	words, err := db.QueryContext(ctx, "SELECT id, at, officer, lane, kind, value, txn, reason, answer, envelope FROM word ORDER BY id")
	if err != nil {
		return fmt.Errorf("site: export: %w", err)
	}
	defer words.Close()
	for words.Next() {
		var x audit.Word
		if err := words.Scan(&x.ID, &x.At, &x.Officer, &x.Lane, &x.Kind, &x.Value, &x.Transaction, &x.Reason, &x.Answer, &x.Envelope); err != nil {
			return fmt.Errorf("site: export: %w", err)
		}
		if err := out.Encode(audit.Line{Word: &x}); err != nil {
			return fmt.Errorf("site: export: %w", err)
		}
	}
	return words.Err()
}

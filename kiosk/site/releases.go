package site

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
	"passage/kiosk/rollout"
)

// Release is a release as the site keeps it: a draft until somebody has proposed
// it.
type Release struct {
	rollout.Release
	Digest   string `json:"digest"`
	Body     []byte `json:"body"`               // what is signed
	Proposer string `json:"proposer,omitempty"` // empty for a draft
	Why      string `json:"why,omitempty"`

	proposal []byte
}

// PutContent keeps a content in pieces and returns its hash and size. The same
// content is kept once.
func PutContent(ctx context.Context, db *sql.DB, kind rollout.Kind, r io.Reader) (sha string, size int64, err error) {
	h := sha256.New()
	var pieces [][]byte // at most 64 MB: the hash comes before the first row
	for in := io.LimitReader(r, kind.Most()+1); ; {
		b := make([]byte, rollout.PieceSize)
		n, err := io.ReadFull(in, b)
		if n > 0 {
			h.Write(b[:n])
			pieces, size = append(pieces, b[:n]), size+int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return "", 0, fmt.Errorf("site: content: %w", err)
		}
	}
	if size > kind.Most() {
		return "", 0, fmt.Errorf("%w: site: content: %d bytes are the most of a %s", rollout.ErrRefused, kind.Most(), kind)
	}
	sha = hex.EncodeToString(h.Sum(nil))
	err = atomically(ctx, db, func(tx *sql.Tx) error {
		for i, b := range pieces {
			if _, err := tx.ExecContext(ctx, "INSERT INTO content VALUES (?,?,?) ON CONFLICT DO NOTHING", sha, i, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", 0, fmt.Errorf("site: content: %w", err)
	}
	return sha, size, nil
}

// Content is a release's content, whole.
func Content(ctx context.Context, db *sql.DB, sha string) ([]byte, error) {
	rows, err := db.QueryContext(ctx, "SELECT b FROM content WHERE sha256=? ORDER BY n", sha)
	if err != nil {
		return nil, fmt.Errorf("site: content: %w", err)
	}
	defer rows.Close()
	var all bytes.Buffer
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("site: content: %w", err)
		}
		all.Write(b)
	}
	return all.Bytes(), rows.Err()
}

// DraftRelease makes the next release of a kind from a content that is here. One whose
// content a release had before is a way back to that one, and says so.
func DraftRelease(ctx context.Context, db *sql.DB, site string, kind rollout.Kind, name, sha string, size int64, now time.Time) (Release, error) {
	var out Release
	err := atomically(ctx, db, func(tx *sql.Tx) error {
		// A draft that nobody signed makes way for the next one.
		if _, err := tx.ExecContext(ctx, "DELETE FROM release WHERE kind=? AND proposal IS NULL", kind); err != nil {
			return err
		}
		r := rollout.Release{Site: site, Kind: kind, Name: name, Size: size, SHA256: sha, Made: now.Unix()}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) + 1 FROM release WHERE kind=?", kind).Scan(&r.Number); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, "SELECT number FROM release WHERE kind=? AND sha256=? ORDER BY number DESC LIMIT 1", kind, sha).Scan(&r.Back)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		body, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := rollout.ParseRelease(body); err != nil {
			return err
		}
		out = Release{Release: r, Digest: rollout.Digest(body), Body: body}
		_, err = tx.ExecContext(ctx, "INSERT INTO release (digest, kind, number, sha256, body, at) VALUES (?,?,?,?,?,?)", out.Digest, kind, r.Number, sha, body, now.Unix())
		return err
	})
	if err != nil {
		return Release{}, fmt.Errorf("site: draft: %w", err)
	}
	return out, nil
}

const releaseColumns = "SELECT digest, body, proposal, coalesce(proposer, ''), coalesce(why, '') FROM release "

func scanRelease(row interface{ Scan(...any) error }) (Release, error) {
	var r Release
	err := row.Scan(&r.Digest, &r.Body, &r.proposal, &r.Proposer, &r.Why)
	if err == nil {
		err = json.Unmarshal(r.Body, &r.Release)
	}
	return r, err
}

// Releases lists the releases, newest first, at most 100.
func Releases(ctx context.Context, db *sql.DB) ([]Release, error) {
	rows, err := db.QueryContext(ctx, releaseColumns+"ORDER BY at DESC, number DESC LIMIT 100")
	if err != nil {
		return nil, fmt.Errorf("site: releases: %w", err)
	}
	defer rows.Close()
	list := []Release{}
	for rows.Next() {
		r, err := scanRelease(rows)
		if err != nil {
			return nil, fmt.Errorf("site: releases: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// ErrNoRelease says that there is no such release, or no such rollout.
var ErrNoRelease = errors.New("site: there is no such release")

func findRelease(ctx context.Context, db *sql.DB, digest string) (Release, error) {
	r, err := scanRelease(db.QueryRowContext(ctx, releaseColumns+"WHERE digest=?", digest))
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNoRelease
	} else if err != nil {
		return r, fmt.Errorf("site: release: %w", err)
	}
	return r, nil
}

// Releases lists the site's releases.
func (s *Site) Releases(ctx context.Context) ([]Release, error) { return Releases(ctx, s.db.Reader) }

// Content is a release's content.
func (s *Site) Content(ctx context.Context, sha string) ([]byte, error) {
	return Content(ctx, s.db.Reader, sha)
}

// DraftConfiguration keeps values and makes a draft of them.
func (s *Site) DraftConfiguration(ctx context.Context, site, name string, content []byte) (Release, error) {
	sha, size, err := PutContent(ctx, s.db.Writer, rollout.Configuration, bytes.NewReader(content))
	if err != nil {
		return Release{}, err
	}
	return DraftRelease(ctx, s.db.Writer, site, rollout.Configuration, name, sha, size, time.Now())
}

// fetch gives a lane a piece of a content that it was given. A lane that may not
// have it, or asks for nonsense, hears nothing.
func (s *Site) fetch(ctx context.Context, m *nats.Msg) {
	var q rollout.Piece
	lane := between(m.Subject)
	err := json.Unmarshal(m.Data, &q)
	if err == nil {
		err = q.Sound()
	}
	if err == nil && !s.gave(lane, q.SHA256) {
		err = fmt.Errorf("site: lane %s asks for a content that it was not given", lane)
	}
	var b []byte
	if err == nil {
		err = s.db.Reader.QueryRowContext(ctx, "SELECT b FROM content WHERE sha256=? AND n=?", q.SHA256, q.Offset/rollout.PieceSize).Scan(&b)
	}
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil && ctx.Err() == nil {
		s.conf.Log.Warn("site: piece", "lane", lane, "error", err)
	}
}

// offers takes a lane's report and says what it is offered.
func (s *Site) offers(lane string, body []byte) (fleet.Offers, error) {
	list, err := rollout.ParseStatus(body)
	if err != nil {
		return fleet.Offers{}, err
	}
	s.rolling.Lock()
	s.said[lane] = report{list, time.Now()}
	s.rolling.Unlock()
	return s.offersFor(lane, list), nil
}

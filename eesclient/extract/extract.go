// Package extract keeps a signed copy of individual files on a lane, for the
// hours in which the register is away.
//
// A copy is a stream of JSON lines: a head, the files, and an Ed25519 signature
// of every byte before it. It is taken over whole or not at all, and only when
// it is newer than the one that is held. On disk a document is found by a keyed
// hash, and what is known of its holder is sealed under a key of that copy;
// erasing the copy destroys the key. A copy answers for 24 hours and says how
// old it is. It holds no hits and no faces.
package extract

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"

	"passage/eesclient/stay"
	"passage/keys"
)

// Limits of a copy.
const (
	MostFiles = 5_000_000
	MostLine  = 16 << 10
	MostAge   = 24 * time.Hour
	ahead     = 5 * time.Minute // that the register's clock may be
)

// Errors that callers tell apart.
var (
	ErrRefused = errors.New("extract: refused")
	ErrOld     = errors.New("extract: older than the copy that is held")
	ErrNone    = errors.New("extract: there is no copy of at most 24 hours")
	ErrUnknown = errors.New("extract: no file")
)

// File is what a copy says of one traveller's individual file (Reg. (EU)
// 2017/2226 Art. 16).
type File struct {
	Issuer    string   `json:"issuer"`
	Number    string   `json:"number"`
	File      string   `json:"file"`
	Family    bool     `json:"family,omitempty"`
	Visa      string   `json:"visa,omitempty"` // short, long
	VisaEnd   stay.Day `json:"visa_end,omitempty"`
	Reference bool     `json:"reference,omitempty"`
	Stays     [][2]int `json:"stays,omitempty"` // first and last day since 1970; last 0 is open
}

// All returns the file's stays.
func (f File) All() []stay.Stay {
	list := make([]stay.Stay, len(f.Stays))
	for i, s := range f.Stays {
		list[i] = stay.Stay{First: stay.Day(s[0]), Last: stay.Day(s[1])}
	}
	return list
}

type head struct {
	Extract int       `json:"extract"` // version of the format
	At      time.Time `json:"at"`
	Files   int       `json:"files"`
}

type tail struct {
	Signature []byte `json:"signature"`
}

// signed is what the signature is over: the stream's SHA-512, with a word that
// keeps it from being taken for anything else.
func signed(h hash.Hash) []byte { return append([]byte("passage extract 1\n"), h.Sum(nil)...) }

// Write makes a copy of n files at a time, signed by the register's key. It
// fails if they are not as many.
func Write(w io.Writer, n int, files iter.Seq2[File, error], at time.Time, key ed25519.PrivateKey) error {
	h := sha512.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(w, h), 64<<10)
	out := json.NewEncoder(buffered)
	if err := out.Encode(head{1, at.UTC(), n}); err != nil {
		return fmt.Errorf("extract: write: %w", err)
	}
	written := 0
	for f, err := range files {
		if err == nil {
			err = out.Encode(f)
		}
		if err != nil {
			return fmt.Errorf("extract: write: %w", err)
		}
		written++
	}
	if written != n {
		return fmt.Errorf("extract: write: %d files, %d were announced", written, n)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("extract: write: %w", err)
	}
	if err := json.NewEncoder(w).Encode(tail{ed25519.Sign(key, signed(h))}); err != nil {
		return fmt.Errorf("extract: write: %w", err)
	}
	return nil
}

const schema = `
CREATE TABLE IF NOT EXISTS extract (
	id  INTEGER PRIMARY KEY CHECK (id = 1),
	at  INTEGER NOT NULL,  -- when the register made it, Unix ns
	key BLOB    NOT NULL   -- of this copy, sealed by the lane's ring
) STRICT;
CREATE TABLE IF NOT EXISTS extract_file (
	tag    BLOB PRIMARY KEY,  -- keyed hash of issuer and number
	file   BLOB NOT NULL,     -- keyed hash of the file's name
	sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS extract_by_file ON extract_file(file);
`

// Extract is the copy in a lane's database.
type Extract struct {
	db     *sql.DB
	ring   *keys.Ring
	signer ed25519.PublicKey
}

// Place is where the copy's key lies.
var Place = keys.Place{Table: "extract", ID: "id", Column: "key"}

// New prepares the tables. ring is the lane's, signer the register's public
// key.
func New(ctx context.Context, db *sql.DB, ring *keys.Ring, signer ed25519.PublicKey) (*Extract, error) {
	if len(signer) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("extract: the register's key must have %d bytes, not %d", ed25519.PublicKeySize, len(signer))
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, fmt.Errorf("extract: open: %w", err)
	}
	return &Extract{db, ring, signer}, nil
}

func tag(key []byte, words ...string) []byte {
	m := hmac.New(sha256.New, key)
	for _, w := range words {
		_ = binary.Write(m, binary.BigEndian, uint32(len(w))) // a hash takes everything
		_, _ = io.WriteString(m, w)
	}
	return m.Sum(nil)[:16]
}

// lines reads a stream line by line and hashes all but the last one.
type lines struct {
	r *bufio.Reader
	h hash.Hash
}

func (l *lines) next() ([]byte, error) {
	b, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrRefused, MostLine)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the stream ends early: %w", ErrRefused, err)
	}
	return b, nil
}

func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		return fmt.Errorf("%w: malformed line", ErrRefused) // its text would repeat values
	}
	return nil
}

// Import takes a copy over, in one transaction: a stream that breaks, a wrong
// signature or a power cut leave the copy that was there.
func (e *Extract) Import(ctx context.Context, r io.Reader, now time.Time) (files int, err error) {
	in := lines{bufio.NewReaderSize(r, MostLine), sha512.New()}
	b, err := in.next()
	if err != nil {
		return 0, err
	}
	var h head
	if err := decode(b, &h); err != nil {
		return 0, err
	}
	in.h.Write(b)
	switch {
	case h.Extract != 1:
		return 0, fmt.Errorf("%w: version %d, this program knows 1", ErrRefused, h.Extract)
	case h.Files < 0 || h.Files > MostFiles:
		return 0, fmt.Errorf("%w: %d files", ErrRefused, h.Files)
	case h.At.After(now.Add(ahead)):
		return 0, fmt.Errorf("%w: it is of the future", ErrRefused)
	case now.Sub(h.At) > MostAge:
		return 0, fmt.Errorf("%w: it is older than %v", ErrRefused, MostAge)
	}
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("extract: import: %w", err)
	}
	defer tx.Rollback()
	var held sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT max(at) FROM extract").Scan(&held); err != nil {
		return 0, fmt.Errorf("extract: import: %w", err)
	}
	if held.Valid && h.At.UnixNano() <= held.Int64 {
		return 0, ErrOld
	}
	secret := make([]byte, 32)
	defer clear(secret)
	rand.Read(secret)
	box, err := keys.Box(secret)
	if err != nil {
		return 0, err
	}
	for _, q := range []string{"DELETE FROM extract", "DELETE FROM extract_file"} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return 0, fmt.Errorf("extract: import: %w", err)
		}
	}
	put, err := tx.PrepareContext(ctx, "INSERT INTO extract_file (tag, file, sealed) VALUES (?,?,?)")
	if err != nil {
		return 0, fmt.Errorf("extract: import: %w", err)
	}
	defer put.Close()
	for range h.Files {
		if b, err = in.next(); err != nil {
			return 0, err
		}
		in.h.Write(b)
		var f File
		if err := decode(b, &f); err != nil {
			return 0, err
		}
		if f.Issuer == "" || f.Number == "" || f.File == "" || f.Visa != "" && f.Visa != "short" && f.Visa != "long" {
			return 0, fmt.Errorf("%w: a file without document or name", ErrRefused)
		}
		t := tag(secret, f.Issuer, f.Number)
		if _, err := put.ExecContext(ctx, t, tag(secret, f.File), box.Seal(nil, nil, bytes.TrimSpace(b), t)); err != nil {
			return 0, fmt.Errorf("extract: import: %w", err)
		}
	}
	if b, err = in.next(); err != nil {
		return 0, err
	}
	var end tail
	if err := decode(b, &end); err != nil {
		return 0, err
	}
	if !ed25519.Verify(e.signer, signed(in.h), end.Signature) {
		return 0, fmt.Errorf("%w: the signature is not the register's", ErrRefused)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO extract (id, at, key) VALUES (1,?,?)", h.At.UnixNano(), e.ring.Seal(Place, 1, secret)); err != nil {
		return 0, fmt.Errorf("extract: import: %w", err)
	}
	// A power cut before this line leaves the old copy, after it the new one.
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("extract: import: %w", err)
	}
	return h.Files, nil
}

// open returns the copy's key and age; ErrNone for none of at most 24 hours.
func (e *Extract) open(ctx context.Context, now time.Time) (secret []byte, age time.Duration, err error) {
	var at int64
	var wrapped []byte
	err = e.db.QueryRowContext(ctx, "SELECT at, key FROM extract").Scan(&at, &wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, ErrNone
	}
	if err != nil {
		return nil, 0, fmt.Errorf("extract: %w", err)
	}
	// A clock that is behind the copy's cannot say how old it is.
	if age = now.Sub(time.Unix(0, at)); age > MostAge || age < -ahead {
		return nil, age, ErrNone
	}
	age = max(0, age)
	if secret, err = e.ring.Unseal(Place, 1, wrapped); err != nil {
		return nil, 0, fmt.Errorf("extract: unseal: %w", err)
	}
	return secret, age, nil
}

// Age says how old the copy is; ErrNone for none of at most 24 hours.
func (e *Extract) Age(ctx context.Context, now time.Time) (time.Duration, error) {
	secret, age, err := e.open(ctx, now)
	clear(secret)
	return age, err
}

// Search finds the file of a document, with the copy's age. ErrUnknown says
// that the copy has none.
func (e *Extract) Search(ctx context.Context, issuer, number string, now time.Time) (File, time.Duration, error) {
	return e.find(ctx, now, "SELECT tag, sealed FROM extract_file WHERE tag=?", func(secret []byte) []byte { return tag(secret, issuer, number) })
}

// ByName finds a file by its name.
func (e *Extract) ByName(ctx context.Context, file string, now time.Time) (File, time.Duration, error) {
	return e.find(ctx, now, "SELECT tag, sealed FROM extract_file WHERE file=? LIMIT 1", func(secret []byte) []byte { return tag(secret, file) })
}

func (e *Extract) find(ctx context.Context, now time.Time, query string, by func(secret []byte) []byte) (File, time.Duration, error) {
	secret, age, err := e.open(ctx, now)
	if err != nil {
		return File{}, age, err
	}
	defer clear(secret)
	var t, sealed []byte
	err = e.db.QueryRowContext(ctx, query, by(secret)).Scan(&t, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return File{}, age, ErrUnknown
	}
	if err != nil {
		return File{}, age, fmt.Errorf("extract: %w", err)
	}
	box, err := keys.Box(secret)
	if err != nil {
		return File{}, age, err
	}
	b, err := box.Open(nil, nil, sealed, t)
	if err != nil {
		return File{}, age, fmt.Errorf("extract: unseal: %w", err)
	}
	var f File
	if err := decode(b, &f); err != nil {
		return File{}, age, err
	}
	return f, age, nil
}

// Expire erases a copy of more than 24 hours: its key first and with it all
// that is sealed.
func (e *Extract) Expire(ctx context.Context, now time.Time) error {
	if _, err := e.db.ExecContext(ctx, "DELETE FROM extract WHERE at < ?", now.Add(-MostAge).UnixNano()); err != nil {
		return fmt.Errorf("extract: expire: %w", err)
	}
	if _, err := e.db.ExecContext(ctx, "DELETE FROM extract_file WHERE NOT EXISTS (SELECT 1 FROM extract)"); err != nil {
		return fmt.Errorf("extract: expire: %w", err)
	}
	return nil
}

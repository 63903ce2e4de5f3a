package watchlist

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"passage/durable"
	"passage/keys"
	"passage/sqlite"
)

// Each whole copy is a database of its own, so that ten million rows are
// written beside the one that answers and beside the lane's journal. It is
// built without log or syncs, checked, synced, and only then given the name
// under which Open looks for it. Deltas go into a table of their own, which
// comes first: ten thousand changes all over ten million rows would rewrite most
// of the file.
const schema = `
CREATE TABLE copy (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	version INTEGER NOT NULL,
	at      INTEGER NOT NULL,  -- when the register made it, Unix ns
	salt    BLOB    NOT NULL   -- sealed by the lane's ring
) STRICT;
CREATE TABLE entry (
	tag  INTEGER PRIMARY KEY,
	find INTEGER NOT NULL
) STRICT;
CREATE TABLE change (
	tag  INTEGER PRIMARY KEY,
	find INTEGER NOT NULL      -- 0: gone
) STRICT;
`

// ask finds the strongest of what three tags have.
const ask = `SELECT at, max(
	coalesce((SELECT find FROM change WHERE tag=?1), (SELECT find FROM entry WHERE tag=?1), 0),
	coalesce((SELECT find FROM change WHERE tag=?2), (SELECT find FROM entry WHERE tag=?2), 0),
	coalesce((SELECT find FROM change WHERE tag=?3), (SELECT find FROM entry WHERE tag=?3), 0)) FROM copy`

// Place is where a copy keeps its salt.
var Place = keys.Place{Table: "copy", ID: "id", Column: "salt"}

const building = "lists-building.db"

var nameOf = regexp.MustCompile(`^lists-([0-9]{1,19})\.db$`)

// Store is a lane's copy, in a folder that nothing else uses. It is safe for
// concurrent use: look-ups go on while a copy is taken over.
type Store struct {
	dir    string
	ring   *keys.Ring
	signer ed25519.PublicKey

	importing sync.Mutex
	mu        sync.RWMutex // held for reading during a look-up
	held      *held        // nil for none
}

type held struct {
	db   *sqlite.DB
	path string
	salt Salt
	ask  *sql.Stmt
}

// Open opens the copy that is in dir, if there is one, and clears away what a
// power cut left of others. signer is the register's public key.
func Open(ctx context.Context, dir string, ring *keys.Ring, signer ed25519.PublicKey) (*Store, error) {
	if len(signer) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("watchlist: open: the register's key has %d bytes, not %d", len(signer), ed25519.PublicKeySize)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("watchlist: open: %w", err)
	}
	s := &Store{dir: dir, ring: ring, signer: signer}
	newest, err := s.newest()
	if err != nil {
		return nil, err
	}
	if newest != "" {
		// One that cannot be opened is fetched anew: it is a copy.
		h, err := s.open(ctx, newest)
		if ctx.Err() != nil {
			return nil, err
		}
		if err == nil {
			s.held = h
		}
	}
	return s, s.sweep()
}

// newest is the path of the newest complete copy, or "".
func (s *Store) newest() (string, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return "", fmt.Errorf("watchlist: %w", err)
	}
	best, path := int64(-1), ""
	for _, f := range files {
		if m := nameOf.FindStringSubmatch(f.Name()); m != nil {
			if v, err := strconv.ParseInt(m[1], 10, 64); err == nil && v > best {
				best, path = v, filepath.Join(s.dir, f.Name())
			}
		}
	}
	return path, nil
}

// sweep removes every file but the held copy's.
func (s *Store) sweep() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("watchlist: %w", err)
	}
	keep := []string{}
	if s.held != nil {
		name := filepath.Base(s.held.path)
		keep = append(keep, name, name+"-wal", name+"-shm")
	}
	var all error
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "lists-") && !slices.Contains(keep, f.Name()) {
			all = errors.Join(all, os.Remove(filepath.Join(s.dir, f.Name())))
		}
	}
	if all != nil {
		return fmt.Errorf("watchlist: %w", all)
	}
	return nil
}

func (s *Store) open(ctx context.Context, path string) (*held, error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("watchlist: open: %w", err)
	}
	fail := func(err error) (*held, error) {
		return nil, errors.Join(fmt.Errorf("watchlist: open: %w", err), db.Close())
	}
	var sealed []byte
	if err := db.Reader.QueryRowContext(ctx, "SELECT salt FROM copy").Scan(&sealed); err != nil {
		return fail(err)
	}
	salt, err := s.ring.Unseal(Place, 1, sealed)
	if err != nil {
		return fail(err)
	}
	defer clear(salt)
	h := &held{db: db, path: path}
	copy(h.salt[:], salt)
	if h.ask, err = db.Reader.PrepareContext(ctx, ask); err != nil {
		return fail(err)
	}
	return h, nil
}

// Close closes the copy.
func (s *Store) Close() error {
	s.importing.Lock()
	defer s.importing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil
	}
	h := s.held
	s.held = nil
	clear(h.salt[:])
	return errors.Join(h.ask.Close(), h.db.Close())
}

// swap puts a copy in the place of the one that is held, once nobody reads that
// any more, and returns the old one.
func (s *Store) swap(h *held) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.held
	s.held = h
	return old
}

// destroy erases a copy that nobody reads any more: its salt first, and with it
// what its tags could be tried against.
func destroy(ctx context.Context, h *held) error {
	if h == nil {
		return nil
	}
	clear(h.salt[:])
	_, err := h.db.Writer.ExecContext(ctx, "DELETE FROM copy")
	if err == nil {
		err = h.db.Scrub(ctx)
	}
	err = errors.Join(err, h.ask.Close(), h.db.Close())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if e := os.Remove(h.path + suffix); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("watchlist: erase: %w", err)
	}
	return nil
}

// Version says which version is held and when the register made it; ErrNone
// for none, however old it may be.
func (s *Store) Version(ctx context.Context) (version int64, at time.Time, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.held == nil {
		return 0, at, ErrNone
	}
	var ns int64
	if err := s.held.db.Reader.QueryRowContext(ctx, "SELECT version, at FROM copy").Scan(&version, &ns); err != nil {
		return 0, at, fmt.Errorf("watchlist: %w", err)
	}
	return version, time.Unix(0, ns), nil
}

// Import takes over a copy or a delta whole, or leaves what was there and says
// why: ErrRefused, ErrOld, ErrBase. It reads r to the end of the copy.
func (s *Store) Import(ctx context.Context, r io.Reader, now time.Time) (rows int, err error) {
	s.importing.Lock()
	defer s.importing.Unlock()
	in, err := read(r, now)
	if err != nil {
		return 0, err
	}
	version, at, err := s.Version(ctx)
	switch {
	case errors.Is(err, ErrNone):
		if in.head.Base != 0 {
			return 0, ErrBase
		}
	case err != nil:
		return 0, err
	case in.head.Version <= version || in.head.At.Before(at):
		return 0, ErrOld
	case in.head.Base != 0 && (in.head.Base != version || Salt(in.head.Salt) != s.held.salt):
		return 0, ErrBase
	}
	if in.head.Base != 0 {
		return in.head.Rows, s.delta(ctx, in)
	}
	return in.head.Rows, s.whole(ctx, in)
}

// whole builds a copy beside the one that is held and puts it in its place.
func (s *Store) whole(ctx context.Context, in *reader) error {
	scratch := filepath.Join(s.dir, building)
	defer os.Remove(scratch) // it has another name by then, if all went well
	if err := yielding(func() error { return s.build(ctx, in, scratch) }); err != nil {
		return err
	}
	path := filepath.Join(s.dir, fmt.Sprintf("lists-%d.db", in.head.Version))
	if err := syncFile(scratch); err != nil {
		return err
	}
	// A power cut before this line leaves the old copy, after it both, of
	// which the newer one is opened.
	if err := os.Rename(scratch, path); err != nil {
		return fmt.Errorf("watchlist: import: %w", err)
	}
	if err := syncFile(s.dir); err != nil {
		return err
	}
	h, err := s.open(ctx, path)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return destroy(ctx, s.swap(h))
}

func syncFile(path string) error {
	if err := durable.Sync(path); err != nil {
		return fmt.Errorf("watchlist: import: %w", err)
	}
	return nil
}

// insertRows is how many rows one statement inserts: its cost is shared.
const insertRows = 256

func (s *Store) build(ctx context.Context, in *reader, path string) (err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("watchlist: import: %w", err)
	}
	db, err := sqlite.Build(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fail := func(err error) error { return fmt.Errorf("watchlist: import: %w", err) }
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return fail(err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO copy (id, version, at, salt) VALUES (1,?,?,?)", in.head.Version, in.head.At.UnixNano(), s.ring.Seal(Place, 1, in.head.Salt)); err != nil {
		return fail(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fail(err)
	}
	defer tx.Rollback()
	one := "INSERT INTO entry (tag, find) VALUES "
	many, err := tx.PrepareContext(ctx, one+strings.Repeat("(?,?),", insertRows-1)+"(?,?)")
	if err != nil {
		return fail(err)
	}
	defer many.Close()
	args := make([]any, 0, 2*insertRows)
	list := make([]Row, 0, packRows)
	for in.left > 0 {
		if list, err = in.rows(list[:0]); err != nil {
			return err
		}
		for _, r := range list {
			if args = append(args, int64(r.Tag), int64(r.Find)); len(args) == cap(args) {
				if _, err := many.ExecContext(ctx, args...); err != nil {
					return fail(err)
				}
				args = args[:0]
			}
		}
	}
	if n := len(args) / 2; n > 0 {
		if _, err := tx.ExecContext(ctx, one+strings.Repeat("(?,?),", n-1)+"(?,?)", args...); err != nil {
			return fail(err)
		}
	}
	if err := in.end(s.signer); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fail(err)
	}
	return nil
}

// delta changes the copy that is held, in one transaction: look-ups see it
// before or after.
func (s *Store) delta(ctx context.Context, in *reader) error {
	fail := func(err error) error { return fmt.Errorf("watchlist: import: %w", err) }
	tx, err := s.held.db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return fail(err)
	}
	defer tx.Rollback()
	put, err := tx.PrepareContext(ctx, "INSERT INTO change (tag, find) VALUES (?,?) ON CONFLICT DO UPDATE SET find=excluded.find")
	if err != nil {
		return fail(err)
	}
	defer put.Close()
	list := make([]Row, 0, packRows)
	for in.left > 0 {
		if list, err = in.rows(list[:0]); err != nil {
			return err
		}
		for _, r := range list {
			if _, err := put.ExecContext(ctx, int64(r.Tag), int64(r.Find)); err != nil {
				return fail(err)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE copy SET version=?, at=?", in.head.Version, in.head.At.UnixNano()); err != nil {
		return fail(err)
	}
	if err := in.end(s.signer); err != nil {
		return err
	}
	// A power cut before this line leaves the copy as it was.
	if err := tx.Commit(); err != nil {
		return fail(err)
	}
	return nil
}

// Find looks a traveller up on one list, with the copy's age. It fails with
// ErrNone if no copy of at most 24 hours is held, or if this clock is behind
// the copy's, so that nobody knows its age.
func (s *Store) Find(ctx context.Context, list string, who Subject, now time.Time) (Find, time.Duration, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.held == nil {
		return None, 0, ErrNone
	}
	t := NewTagger(s.held.salt)
	var at int64
	var find Find
	err := s.held.ask.QueryRowContext(ctx, int64(t.Document(list, who.Issuer, who.Number)),
		int64(t.Person(list, who.Surname, who.GivenNames, who.Birth, who.Nationality)), int64(t.Sound(list, who.Surname, who.Birth))).Scan(&at, &find)
	if err != nil {
		return None, 0, fmt.Errorf("watchlist: find: %w", err)
	}
	age := now.Sub(time.Unix(0, at))
	if age > MostAge || age < -ahead {
		return None, age, ErrNone
	}
	return find, max(0, age), nil
}

// Expire erases a copy of more than 24 hours.
func (s *Store) Expire(ctx context.Context, now time.Time) error {
	s.importing.Lock()
	defer s.importing.Unlock()
	_, at, err := s.Version(ctx)
	if errors.Is(err, ErrNone) || err == nil && now.Sub(at) <= MostAge {
		return nil
	}
	if err != nil {
		return err
	}
	return destroy(ctx, s.swap(nil))
}

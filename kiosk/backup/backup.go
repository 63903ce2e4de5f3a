// Package backup copies a lane's or a site's store while it works, and brings a
// copy back.
//
// A backup is one age file (age-encryption.org/v1) for a person who is not the
// lane: whoever takes the lane's computer reads none. Inside are a line that
// says what it is a copy of, and an SQLite database. What a lane sealed stays
// sealed under its own keys, so that reading a traveller takes that person's key
// and the lane's master key.
//
// Numbers must not come again: an entry of the journal that the site has, and
// another one under the same number, cannot be told from a forgery. So a
// restored lane begins its journal anew, and continues one only if nothing came
// after the copy.
package backup

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"passage/durable"
	"passage/kiosk/audit"
	"passage/kiosk/journal"
	"passage/sqlite"
)

// Errors of Restore that a caller tells apart.
var (
	// ErrThere: nothing is ever restored over a database.
	ErrThere = errors.New("backup: a database is there already: it may know more than the backup. Move it away first")
	// ErrAgain: the journal went on after the backup was made.
	ErrAgain = errors.New("backup: the journal went on after this backup: its numbers would come again")
	// ErrOpaque: it is no backup, was altered, or is for somebody else.
	ErrOpaque = errors.New("backup: it cannot be opened")
)

// Manifest says what a backup is a copy of.
type Manifest struct {
	Format  int       `json:"passage_backup"`
	Made    time.Time `json:"made"`
	Store   string    `json:"store"` // lane or site
	Version int       `json:"version"`
	Size    int64     `json:"size"`
	// Of a lane: its journal, and how far it went.
	Journal string `json:"journal,omitempty"`
	Entries int64  `json:"entries,omitempty"`
	Chain   string `json:"chain,omitempty"`
}

const (
	format  = 1
	maxLine = 4 << 10
	maxSize = 64 << 30
)

// Make writes a backup of the database at path to w, for the holder of to. The
// database may be in use; the copy is of one moment, verified before it is
// encrypted, and lies beside the database meanwhile.
func Make(ctx context.Context, path string, w io.Writer, to age.Recipient) (m Manifest, err error) {
	if _, err := os.Stat(path); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return m, err
	}
	defer db.Close()
	dir, err := os.MkdirTemp(filepath.Dir(path), ".backup-*") // mode 0700
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "copy.db")
	if err := db.Copy(ctx, temp); err != nil {
		return m, err
	}
	if m, err = describe(ctx, temp); err != nil {
		return m, err
	}
	m.Made = time.Now().UTC().Truncate(time.Second)
	f, err := os.Open(temp)
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	sealed, err := age.Encrypt(w, to)
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	line, err := json.Marshal(m)
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	if _, err := sealed.Write(append(line, '\n')); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	if n, err := io.Copy(sealed, f); err != nil || n != m.Size {
		return m, fmt.Errorf("backup: %d of %d bytes: %w", n, m.Size, errors.Join(err, io.ErrShortWrite))
	}
	if err := sealed.Close(); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}

// describe verifies a copy and says what it is.
func describe(ctx context.Context, path string) (Manifest, error) {
	m := Manifest{Format: format, Store: "site"}
	info, err := os.Stat(path)
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	m.Size = info.Size()
	db, err := sqlite.Damaged(ctx, path)
	if err != nil {
		return m, err
	}
	defer db.Close()
	if err := journal.Sound(ctx, db); err != nil {
		return m, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&m.Version); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	var lane, site int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE name='entry'), count(*) FILTER (WHERE name='position') FROM sqlite_schema WHERE type='table'").Scan(&lane, &site); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	switch {
	case lane == 1:
		m.Store = "lane"
		return m, m.journal(ctx, db)
	case site == 1:
		return m, nil
	}
	return m, errors.New("backup: this is neither a lane's store nor a site's")
}

// journal notes how far a lane's journal went, which must be whole.
func (m *Manifest) journal(ctx context.Context, db *sql.DB) error {
	var err error
	if m.Entries, err = journal.Check(ctx, db); err != nil {
		return err
	}
	if m.Journal, err = journal.Name(ctx, db); err != nil {
		return err
	}
	_, chain, err := journal.End(ctx, db)
	m.Chain = hex.EncodeToString(chain)
	return err
}

// Restore brings the backup in r to the new file at path, whole or not at all.
//
// A lane's journal begins anew: its entries are kept aside, what was open
// becomes officers' cases, and the site takes it for a new journal. With on, it
// goes on instead, for a lane that was stopped before the backup and has not run
// since, such as one that moves to another computer. That fails with ErrAgain if
// one of the heads, which the site keeps, says otherwise; at least one is asked
// for.
func Restore(ctx context.Context, r io.Reader, key age.Identity, path string, on bool, heads []audit.Head) (m Manifest, err error) {
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return m, fmt.Errorf("%w: %s", ErrThere, path+suffix)
		}
	}
	plain, err := age.Decrypt(r, key)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrOpaque, err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".restore-*")
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "copy.db")
	if m, err = unpack(ctx, plain, temp); err != nil {
		return m, err
	}
	switch {
	case m.Store == "lane" && !on:
		_, err = journal.Salvage(ctx, temp, path)
		return m, err
	case m.Store == "lane":
		if err := nothingAfter(ctx, m, temp, heads); err != nil {
			return m, err
		}
	}
	// The name is the last thing that it gets.
	if err := os.Link(temp, path); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	if err := errors.Join(durable.Hand(path), durable.Sync(filepath.Dir(path))); err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}

// unpack writes a backup's database to path and holds it against its manifest.
func unpack(ctx context.Context, plain io.Reader, path string) (m Manifest, err error) {
	b := bufio.NewReaderSize(plain, maxLine)
	line, err := b.ReadSlice('\n')
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrOpaque, err)
	}
	if err := json.Unmarshal(line, &m); err != nil || m.Format != format || m.Size < 512 || m.Size > maxSize {
		return m, fmt.Errorf("%w: it says nothing that this program knows", ErrOpaque)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(b, m.Size+1))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return m, fmt.Errorf("%w: %w", ErrOpaque, err)
	}
	if n != m.Size {
		return m, fmt.Errorf("%w: it has not the %d bytes that it says", ErrOpaque, m.Size)
	}
	is, err := describe(ctx, path)
	if is.Made = m.Made; err == nil && is != m {
		err = fmt.Errorf("%w: it is not what it says", ErrOpaque)
	}
	return m, err
}

// nothingAfter holds a copy against what a lane signed for.
func nothingAfter(ctx context.Context, m Manifest, path string, heads []audit.Head) error {
	known := 0
	for _, h := range heads {
		if h.Journal != m.Journal {
			continue
		}
		if known++; h.Size > m.Entries {
			return fmt.Errorf("%w: %d entries were signed for, and %d are here", ErrAgain, h.Size, m.Entries)
		}
	}
	if known == 0 {
		return fmt.Errorf("%w, as far as anybody can tell: no head of journal %s was given", ErrAgain, m.Journal)
	}
	db, err := sqlite.Damaged(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, _, err = audit.Verify(ctx, db, heads)
	return err
}

// Package audit anchors a lane's journal in a Merkle tree, so that nobody can
// shorten or rewrite it unseen: not even who holds the lane's computer and makes
// the whole chain anew.
//
// Each entry's chain hash is a leaf (RFC 9162 §2.1; golang.org/x/mod/sumdb/tlog).
// Now and then the lane signs how many entries there are and their root, and
// gives this head to its site. Whoever has a head can tell later, from the
// journal alone, that its first entries are the ones that were signed.
package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"passage/durable"
	"passage/kiosk/journal"
)

// Head is a signed statement about a journal's first Size entries.
type Head struct {
	Lane    string
	Journal string // its name: a replaced computer begins another one
	Size    int64
	Root    tlog.Hash
}

const origin = "passage/journal/"

// Text is the head as it is signed: a checkpoint of three lines.
func (h Head) Text() string {
	return fmt.Sprintf("%s%s/%s\n%d\n%s\n", origin, h.Lane, h.Journal, h.Size, base64.StdEncoding.EncodeToString(h.Root[:]))
}

// ErrHead says that a head is malformed or not signed by the key that should
// have.
var ErrHead = errors.New("audit: head")

// MaxHead bounds a signed head.
const MaxHead = 1024

// ParseHead reads a head's text. Every error wraps ErrHead.
func ParseHead(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(text) > MaxHead || len(lines) != 4 || lines[3] != "" {
		return Head{}, fmt.Errorf("%w: it has not three lines", ErrHead)
	}
	name, ok := strings.CutPrefix(lines[0], origin)
	lane, journal, ok2 := strings.Cut(name, "/")
	if !ok || !ok2 || lane == "" || journal == "" || strings.Contains(journal, "/") {
		return Head{}, fmt.Errorf("%w: of no journal", ErrHead)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 || strconv.FormatInt(size, 10) != lines[1] {
		return Head{}, fmt.Errorf("%w: its size is none", ErrHead)
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Head{}, fmt.Errorf("%w: its root is none", ErrHead)
	}
	h := Head{lane, journal, size, tlog.Hash(root)}
	if h.Text() != text { // base64's line ends, which its decoder leaves out
		return Head{}, fmt.Errorf("%w: its root is spelt otherwise", ErrHead)
	}
	return h, nil
}

// Sign makes a signed note of a head.
func (h Head) Sign(by note.Signer) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: h.Text()}, by)
	if err != nil {
		return nil, fmt.Errorf("audit: sign: %w", err)
	}
	return b, nil
}

// OpenHead verifies a signed head. Every error wraps ErrHead.
func OpenHead(b []byte, key note.Verifier) (Head, error) {
	if len(b) > MaxHead {
		return Head{}, fmt.Errorf("%w: larger than %d bytes", ErrHead, MaxHead)
	}
	n, err := note.Open(b, note.VerifierList(key))
	if err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrHead, err)
	}
	return ParseHead(n.Text)
}

// Key loads a lane's audit key, or makes it: the private half at path, the
// public one beside it as path.pub.
func Key(path, lane string) (note.Signer, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		private, public, err := note.GenerateKey(rand.Reader, "passage-"+lane)
		if err != nil {
			return nil, fmt.Errorf("audit: key: %w", err)
		}
		if err := errors.Join(durable.Create(path, []byte(private+"\n"), 0o600), durable.Create(path+".pub", []byte(public+"\n"), 0o644)); err != nil {
			return nil, fmt.Errorf("audit: key: %w", err)
		}
		b = []byte(private)
	} else if err != nil {
		return nil, fmt.Errorf("audit: key: %w", err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("audit: key %s: %w", path, err)
	}
	return s, nil
}

// Now is the head of a lane's journal as it stands.
func Now(ctx context.Context, db *sql.DB, lane string) (Head, error) {
	name, err := journal.Name(ctx, db)
	if err != nil {
		return Head{}, err
	}
	var t journal.Tree
	if err := t.Grow(ctx, db, nil); err != nil {
		return Head{}, err
	}
	if t.Size == 0 {
		return Head{}, errors.New("audit: the journal is empty")
	}
	return Head{lane, name, t.Size, t.Root()}, nil
}

// Teller signs the heads of a lane's journal as it grows. It is for one
// goroutine.
type Teller struct {
	Lane   string
	DB     *sql.DB // for reading
	Signer note.Signer

	name string
	tree journal.Tree
}

// Head signs for the entries so far; nil for an empty journal.
func (t *Teller) Head(ctx context.Context) ([]byte, error) {
	if t.name == "" {
		name, err := journal.Name(ctx, t.DB)
		if err != nil || name == "" {
			return nil, err
		}
		t.name = name
	}
	if err := t.tree.Grow(ctx, t.DB, nil); err != nil {
		return nil, err
	}
	return Head{t.Lane, t.name, t.tree.Size, t.tree.Root()}.Sign(t.Signer)
}

// Verify proves that a journal is whole: that every entry follows from the one
// before it, and that its first entries are the ones that each head was signed
// for. Heads of another journal are an error: this is not the journal that the
// site knows. It returns how many entries there were, and how many of them a head
// covers. Of a journal that has forgotten its first entries, those are proven by
// the newer heads, whose roots are made of theirs; heads of fewer entries than it
// has forgotten prove nothing any more.
func Verify(ctx context.Context, db *sql.DB, heads []Head) (entries, covered int64, err error) {
	if entries, err = journal.Check(ctx, db); err != nil {
		return entries, 0, err
	}
	name, err := journal.Name(ctx, db)
	if err != nil {
		return entries, 0, err
	}
	want := map[int64]Head{}
	for _, h := range heads {
		if h.Journal != name {
			return entries, 0, fmt.Errorf("audit: the site has a head of journal %s, this is %s: it was begun anew", h.Journal, name)
		}
		if h.Size > entries {
			return entries, covered, fmt.Errorf("audit: %d entries were signed for, and %d are here: the end was removed", h.Size, entries)
		}
		if other, twice := want[h.Size]; twice && other.Root != h.Root {
			return entries, covered, fmt.Errorf("audit: two different histories were signed for the first %d entries", h.Size)
		}
		want[h.Size] = h
	}
	var t journal.Tree
	err = t.Grow(ctx, db, func() error {
		h, signed := want[t.Size]
		if !signed {
			return nil
		}
		root := t.Root()
		if !bytes.Equal(root[:], h.Root[:]) {
			return fmt.Errorf("audit: the first %d entries are not the ones that were signed for; the last head that holds covers %d", t.Size, covered)
		}
		covered = t.Size
		return nil
	})
	return entries, covered, err
}

// PublicKey is the text of the public half of a lane's audit key at path.
func PublicKey(path string) (string, error) {
	b, err := os.ReadFile(path + ".pub")
	if err != nil {
		return "", fmt.Errorf("audit: key: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// ReadKey reads the public half of a lane's audit key.
func ReadKey(path string) (note.Verifier, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("audit: key: %w", err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("audit: key %s: %w", path, err)
	}
	return v, nil
}

package watchlist

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"
)

// A copy travels as JSON lines: a head, packs of rows, and an Ed25519 signature
// of every byte before it. A pack is a JSON string, the base64 of rows of nine
// bytes each: the tag, big-endian, and the find. Tags rise strictly throughout.

// Limits of a copy.
const (
	MostRows = 50_000_000
	MostAge  = 24 * time.Hour
	ahead    = 5 * time.Minute // that the register's clock may be
	rowSize  = 9
	packRows = 1024
	mostLine = (packRows*rowSize+2)/3*4 + 16
)

// Errors that callers tell apart.
var (
	// ErrRefused says that a copy cannot be trusted or not be used.
	ErrRefused = errors.New("watchlist: refused")
	// ErrOld says that a copy is not newer than the one that is held.
	ErrOld = errors.New("watchlist: not newer than the copy that is held")
	// ErrBase says that a delta is one to another copy than is held: the
	// whole must be fetched.
	ErrBase = errors.New("watchlist: a delta to another copy than is held")
	// ErrNone says that no copy may answer now.
	ErrNone = errors.New("watchlist: there is no copy of at most 24 hours")
)

// Head says what a copy is. Version rises with every one that the register
// makes. A copy with a Base is a delta to the copy of that version.
type Head struct {
	Lists   int       `json:"lists"` // version of the format: 1
	Version int64     `json:"version"`
	Base    int64     `json:"base,omitempty"`
	At      time.Time `json:"at"` // when the register made it
	Rows    int       `json:"rows"`
	Salt    []byte    `json:"salt"` // 32 bytes; a delta repeats its base's
}

type tail struct {
	Signature []byte `json:"signature"`
}

// signed is what the signature is over, with a word that keeps it from being
// taken for anything else.
func signed(h hash.Hash) []byte { return append([]byte("passage watch lists 1\n"), h.Sum(nil)...) }

// Write makes a copy of h.Rows rows in rising order of their tags, signed by
// the register's key. In a delta a row of None takes a tag away. It fails if
// rows are not as many or not in order.
func Write(w io.Writer, h Head, rows iter.Seq2[Row, error], key ed25519.PrivateKey) error {
	h.Lists, h.At = 1, h.At.UTC()
	sum := sha512.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	if err := json.NewEncoder(out).Encode(h); err != nil {
		return fmt.Errorf("watchlist: write: %w", err)
	}
	pack := make([]byte, 0, packRows*rowSize)
	text := make([]byte, 0, mostLine)
	flush := func() error {
		text = append(text[:0], '"')
		text = append(base64.StdEncoding.AppendEncode(text, pack), '"', '\n')
		pack = pack[:0]
		_, err := out.Write(text)
		return err
	}
	n, last := 0, Tag(-1)
	for r, err := range rows {
		if err != nil {
			return fmt.Errorf("watchlist: write: %w", err)
		}
		if r.Tag <= last {
			return errors.New("watchlist: write: the tags do not rise")
		}
		last = r.Tag
		n++
		pack = append(binary.BigEndian.AppendUint64(pack, uint64(r.Tag)), byte(r.Find))
		if len(pack) == cap(pack) {
			if err := flush(); err != nil {
				return fmt.Errorf("watchlist: write: %w", err)
			}
		}
	}
	if n != h.Rows {
		return fmt.Errorf("watchlist: write: %d rows, %d were announced", n, h.Rows)
	}
	if len(pack) > 0 {
		if err := flush(); err != nil {
			return fmt.Errorf("watchlist: write: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("watchlist: write: %w", err)
	}
	if err := json.NewEncoder(w).Encode(tail{ed25519.Sign(key, signed(sum))}); err != nil {
		return fmt.Errorf("watchlist: write: %w", err)
	}
	return nil
}

// reader reads a copy. Nothing of it may be used before end has returned nil.
type reader struct {
	in   *bufio.Reader
	sum  hash.Hash
	head Head
	left int
	last Tag
	pack []byte // decoded
}

func (r *reader) line() ([]byte, error) {
	b, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line is too long", ErrRefused)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the copy ends early: %w", ErrRefused, err)
	}
	return b, nil
}

func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		return fmt.Errorf("%w: a malformed line", ErrRefused)
	}
	return nil
}

// read takes the head of a copy.
func read(in io.Reader, now time.Time) (*reader, error) {
	r := &reader{in: bufio.NewReaderSize(in, mostLine), sum: sha512.New(), last: -1}
	b, err := r.line()
	if err != nil {
		return nil, err
	}
	r.sum.Write(b)
	if err := decode(b, &r.head); err != nil {
		return nil, err
	}
	h := r.head
	switch {
	case h.Lists != 1:
		return nil, fmt.Errorf("%w: format %d, this program knows 1", ErrRefused, h.Lists)
	case h.Rows < 0 || h.Rows > MostRows:
		return nil, fmt.Errorf("%w: %d rows", ErrRefused, h.Rows)
	case h.Version <= 0 || h.Base < 0 || h.Base >= h.Version:
		return nil, fmt.Errorf("%w: version %d on %d", ErrRefused, h.Version, h.Base)
	case len(h.Salt) != len(Salt{}):
		return nil, fmt.Errorf("%w: a salt of %d bytes", ErrRefused, len(h.Salt))
	case h.At.After(now.Add(ahead)):
		return nil, fmt.Errorf("%w: it is of the future: is this clock right?", ErrRefused)
	case now.Sub(h.At) > MostAge:
		return nil, fmt.Errorf("%w: it is older than %v", ErrRefused, MostAge)
	}
	r.left = h.Rows
	return r, nil
}

// rows returns the next pack's rows, appended to list; none at the end.
func (r *reader) rows(list []Row) ([]Row, error) {
	if r.left == 0 {
		return list, nil
	}
	b, err := r.line()
	if err != nil {
		return nil, err
	}
	r.sum.Write(b)
	b = bytes.TrimSuffix(b, []byte("\n"))
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return nil, fmt.Errorf("%w: a malformed line", ErrRefused)
	}
	if r.pack, err = base64.StdEncoding.Strict().AppendDecode(r.pack[:0], b[1:len(b)-1]); err != nil {
		return nil, fmt.Errorf("%w: a malformed line", ErrRefused)
	}
	n := len(r.pack) / rowSize
	if n == 0 || n*rowSize != len(r.pack) || n > r.left {
		return nil, fmt.Errorf("%w: a pack of %d bytes", ErrRefused, len(r.pack))
	}
	for p := r.pack; len(p) > 0; p = p[rowSize:] {
		row := Row{Tag(binary.BigEndian.Uint64(p)), Find(p[8])}
		if row.Tag <= r.last {
			return nil, fmt.Errorf("%w: the tags do not rise", ErrRefused)
		}
		if row.Find > Action || row.Find == None && r.head.Base == 0 {
			return nil, fmt.Errorf("%w: a find that is none", ErrRefused)
		}
		r.last = row.Tag
		list = append(list, row)
	}
	r.left -= n
	return list, nil
}

// end checks the signature.
func (r *reader) end(signer ed25519.PublicKey) error {
	b, err := r.line()
	if err != nil {
		return err
	}
	var t tail
	if err := decode(b, &t); err != nil {
		return err
	}
	if !ed25519.Verify(signer, signed(r.sum), t.Signature) {
		return fmt.Errorf("%w: the signature is not the register's", ErrRefused)
	}
	return nil
}

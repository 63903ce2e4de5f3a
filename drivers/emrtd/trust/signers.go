package trust

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"passage/drivers/emrtd/pki"
)

// The PKD has some thirty thousand document signers; a lane needs one of them
// for the rare document that does not bring its own. They stay on disk: each
// index entry is 16 bytes of a name's hash, offset and length.
const entrySize = 16 + 8 + 4

const maxSigners = 1 << 20

// nameKey is what a signer is found by: issuer and serial number, or key
// identifier.
func nameKey(kind string, parts ...[]byte) [16]byte {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, p := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return [16]byte(h.Sum(nil))
}

type entry struct {
	key    [16]byte
	offset uint64
	size   uint32
}

// signerWriter writes document signers as they come.
type signerWriter struct {
	dir   string
	file  *os.File
	out   *bufio.Writer
	hash  func() string
	at    uint64
	seen  map[[32]byte]bool
	index []entry
}

func newSignerWriter(dir string) (*signerWriter, error) {
	f, err := os.Create(filepath.Join(dir, "signers.der"))
	if err != nil {
		return nil, fmt.Errorf("trust: signers: %w", err)
	}
	h := sha256.New()
	return &signerWriter{
		dir: dir, file: f, out: bufio.NewWriterSize(io.MultiWriter(f, h), 1<<16), seen: map[[32]byte]bool{},
		hash: func() string { return fmt.Sprintf("%x", h.Sum(nil)) },
	}, nil
}

// add appends a certificate; it reports false if it is there already.
func (w *signerWriter) add(c *pki.Certificate) (bool, error) {
	h := sha256.Sum256(c.Raw)
	if w.seen[h] {
		return false, nil
	}
	if len(w.seen) >= maxSigners {
		return false, fmt.Errorf("trust: more than %d document signers", maxSigners)
	}
	w.seen[h] = true
	if _, err := w.out.Write(c.Raw); err != nil {
		return false, fmt.Errorf("trust: signers: %w", err)
	}
	w.index = append(w.index, entry{nameKey("serial", c.Issuer.Folded(), c.Serial), w.at, uint32(len(c.Raw))})
	if len(c.SKI) > 0 {
		w.index = append(w.index, entry{nameKey("ski", c.SKI), w.at, uint32(len(c.Raw))})
	}
	w.at += uint64(len(c.Raw))
	return true, nil
}

// finish writes the index and notes both in the manifest.
func (w *signerWriter) finish(v *Version) error {
	if err := errors.Join(w.out.Flush(), w.file.Sync(), w.file.Close()); err != nil {
		return fmt.Errorf("trust: signers: %w", err)
	}
	slices.SortFunc(w.index, func(a, b entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	b := make([]byte, 0, len(w.index)*entrySize)
	for _, e := range w.index {
		b = append(b, e.key[:]...)
		b = binary.BigEndian.AppendUint64(b, e.offset)
		b = binary.BigEndian.AppendUint32(b, e.size)
	}
	v.Signers, v.SignDER, v.SignIdx = len(w.seen), w.hash(), sum(b)
	return writeFile(filepath.Join(w.dir, "signers.idx"), b)
}

// signers finds document signers on disk. The file is closed when the store
// that has it is collected.
type signers struct {
	file  *os.File
	index []byte
}

func openSigners(dir string, v Version) (*signers, error) {
	index, err := readFile(filepath.Join(dir, "signers.idx"), 2*maxSigners*entrySize)
	if err != nil {
		return nil, err
	}
	if sum(index) != v.SignIdx || len(index)%entrySize != 0 {
		return nil, fmt.Errorf("%w: index of the document signers", ErrDamaged)
	}
	f, err := os.Open(filepath.Join(dir, "signers.der"))
	if err != nil {
		return nil, fmt.Errorf("trust: signers: %w", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil || fmt.Sprintf("%x", h.Sum(nil)) != v.SignDER {
		return nil, errors.Join(fmt.Errorf("%w: document signers", ErrDamaged), err, f.Close())
	}
	return &signers{f, index}, nil
}

// Signers returns the certificates of that name.
func (s *signers) Signers(issuer pki.Name, serial, ski []byte) []*pki.Certificate {
	key := nameKey("serial", issuer.Folded(), serial)
	if ski != nil {
		key = nameKey("ski", ski)
	}
	var found []*pki.Certificate
	n := len(s.index) / entrySize
	at := func(i int) []byte { return s.index[i*entrySize : (i+1)*entrySize] }
	for i := sort.Search(n, func(i int) bool { return bytes.Compare(at(i)[:16], key[:]) >= 0 }); i < n && bytes.Equal(at(i)[:16], key[:]); i++ {
		b := make([]byte, min(binary.BigEndian.Uint32(at(i)[24:]), 8<<10))
		if _, err := s.file.ReadAt(b, int64(binary.BigEndian.Uint64(at(i)[16:]))); err != nil {
			continue
		}
		if c, err := pki.ParseCertificate(b); err == nil {
			found = append(found, c)
		}
	}
	return found
}

// each calls f with every certificate of a version.
func eachSigner(dir string, v Version, f func(*pki.Certificate) error) error {
	if v.Signers == 0 {
		return nil
	}
	s, err := openSigners(dir, v)
	if err != nil {
		return err
	}
	defer s.file.Close()
	seen := map[uint64]bool{}
	for b := s.index; len(b) > 0; b = b[entrySize:] {
		offset := binary.BigEndian.Uint64(b[16:])
		if seen[offset] {
			continue
		}
		seen[offset] = true
		der := make([]byte, min(binary.BigEndian.Uint32(b[24:]), 8<<10))
		if _, err := s.file.ReadAt(der, int64(offset)); err != nil {
			return fmt.Errorf("trust: signers: %w", err)
		}
		c, err := pki.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: document signers: %w", ErrDamaged, err)
		}
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}

package register

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"time"

	"passage/eesclient/extract"
	"passage/eesclient/stay"
)

// sendFiles gives a signed copy of the individual files. They go through a
// sealed file on their way: neither does the register hold them all in memory,
// nor does a lane that reads slowly hold a transaction open.
func (g *Register) sendFiles(w http.ResponseWriter, r *http.Request) {
	s, err := newSpool()
	if err != nil {
		problem(w, http.StatusInternalServerError, nil)
		return
	}
	defer s.close()
	audit, err := g.audited(r.Context(), "", subject{}, "0")
	if !g.done(w, r, err, audit, step{sql: "SELECT file, sealed FROM individual_file ORDER BY file", row: func(scan func(...any) error) error {
		var p Person
		if err := g.scanFile(scan, &p); err != nil {
			return err
		}
		return s.put(p.extract())
	}}) {
		return
	}
	files, err := s.files()
	if err != nil {
		problem(w, http.StatusInternalServerError, nil)
		return
	}
	now := time.Now()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("ETag", `"files-`+now.UTC().Format("20060102T150405")+strings.ReplaceAll(now.Format(".000000"), ".", "-")+`"`)
	_ = extract.Write(w, s.n, files, now, g.keys.sign) // the client has gone otherwise, or the copy lacks its end and is refused
}

// extract is what a lane's copy says of a person.
func (p Person) extract() extract.File {
	f := extract.File{Issuer: p.Issuer, Number: p.Number, File: p.File, Family: p.FamilyStatus, Reference: p.Reference}
	if p.Visa == "short" || p.Visa == "long" {
		f.Visa = p.Visa
	}
	if !p.VisaEnd.IsZero() {
		f.VisaEnd = stay.On(p.VisaEnd)
	}
	for _, s := range p.Stays {
		f.Stays = append(f.Stays, [2]int{int(s.First), int(s.Last)})
	}
	return f
}

// spool keeps files for a moment in a file without a name, under a key that
// nobody else has.
type spool struct {
	file   *os.File
	stream func() cipher.Stream
	out    *bufio.Writer
	json   *json.Encoder
	n      int
}

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "passage-extract-")
	if err != nil {
		return nil, fmt.Errorf("register: extract: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("register: extract: %w", err), f.Close())
	}
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register: extract: %w", err), f.Close())
	}
	// The key is used once, for one stream: the counter may begin at zero.
	s := &spool{file: f, stream: func() cipher.Stream { return cipher.NewCTR(block, make([]byte, aes.BlockSize)) }}
	s.out = bufio.NewWriterSize(cipher.StreamWriter{S: s.stream(), W: f}, 64<<10)
	s.json = json.NewEncoder(s.out)
	return s, nil
}

func (s *spool) close() { _ = s.file.Close() } // it has no name: it is gone

func (s *spool) put(f extract.File) error {
	s.n++
	return s.json.Encode(f)
}

// files are what was put in, in the same order.
func (s *spool) files() (iter.Seq2[extract.File, error], error) {
	if err := s.out.Flush(); err != nil {
		return nil, fmt.Errorf("register: extract: %w", err)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("register: extract: %w", err)
	}
	return func(yield func(extract.File, error) bool) {
		in := json.NewDecoder(bufio.NewReaderSize(cipher.StreamReader{S: s.stream(), R: s.file}, 64<<10))
		for range s.n {
			var f extract.File
			err := in.Decode(&f)
			if !yield(f, err) || err != nil {
				return
			}
		}
	}, nil
}

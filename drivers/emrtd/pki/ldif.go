package pki

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// maxValue bounds one attribute of an LDIF file: a master list has about 1 MiB.
const maxValue = 16 << 20

// ldifKinds are the attributes of the ICAO PKD that matter here.
var ldifKinds = []string{"usercertificate", "cacertificate", "certificaterevocationlist", "pkdmasterlistcontent", "cscamasterlistdata"}

// ReadLDIF reads the ICAO PKD's exchange format (RFC 2849) and hands on every
// binary value that may be trust material, in the order of the file. Memory
// does not grow with the file; a value is valid until visit returns. line is
// where it begins. An error of visit ends the reading and is returned.
func ReadLDIF(r io.Reader, visit func(line int, value []byte) error) error {
	l := ldif{in: bufio.NewReaderSize(r, 64<<10), visit: visit}
	for {
		b, err := l.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("pki: LDIF: line %d is longer than 64 KiB", l.line+1)
		}
		if len(b) > 0 {
			if verr := l.take(bytes.TrimRight(b, "\r\n")); verr != nil {
				return verr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return l.flush()
		case err != nil:
			return fmt.Errorf("pki: LDIF: %w", err)
		}
	}
}

// IsLDIF tells the exchange format by its first lines.
func IsLDIF(head []byte) bool {
	for l := range bytes.Lines(head) {
		if l = bytes.ToLower(bytes.TrimSpace(l)); len(l) > 0 && l[0] != '#' {
			return bytes.HasPrefix(l, []byte("version:")) || bytes.HasPrefix(l, []byte("dn:"))
		}
	}
	return false
}

// ldif is a reading under way. value is the base64 text of the attribute that
// is being read, if it is one that matters.
type ldif struct {
	in     *bufio.Reader
	visit  func(int, []byte) error
	line   int
	began  int
	wanted bool
	value  []byte
	out    []byte
}

func (l *ldif) take(b []byte) error {
	l.line++
	if len(b) > 0 && b[0] == ' ' { // a folded line goes on
		if l.wanted {
			l.value = append(l.value, b[1:]...)
			if len(l.value) > maxValue {
				return fmt.Errorf("pki: LDIF: line %d: a value of more than %d bytes", l.began, maxValue)
			}
		}
		return nil
	}
	if err := l.flush(); err != nil {
		return err
	}
	name, rest, ok := bytes.Cut(b, []byte(":"))
	if !ok || len(b) == 0 || b[0] == '#' || len(rest) == 0 || rest[0] != ':' {
		return nil // text attributes and URLs are of no use here
	}
	name, _, _ = bytes.Cut(name, []byte(";"))
	for _, k := range ldifKinds {
		if len(name) == len(k) && string(bytes.ToLower(name)) == k {
			l.wanted, l.began = true, l.line
			l.value = append(l.value[:0], bytes.TrimLeft(rest[1:], " ")...)
		}
	}
	return nil
}

// flush hands on the value that has ended.
func (l *ldif) flush() error {
	if !l.wanted {
		return nil
	}
	l.wanted = false
	if n := base64.StdEncoding.DecodedLen(len(l.value)); cap(l.out) < n {
		l.out = make([]byte, n)
	}
	n, err := base64.StdEncoding.Decode(l.out[:cap(l.out)], bytes.TrimSpace(l.value))
	if err != nil {
		return fmt.Errorf("pki: LDIF: line %d: %w", l.began, err)
	}
	return l.visit(l.began, l.out[:n:n])
}

// Package canary searches what a lane leaves behind for personal data that was
// planted: as it was, in either case, in hexadecimal, in base64 wherever the
// text around it puts it, and in UTF-16.
package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// shortest is how short a form may be: shorter ones turn up by chance in a
// gigabyte.
const shortest = 6

type form struct {
	what  string
	bytes []byte
}

// Finder knows what was planted. The zero value knows nothing.
type Finder struct {
	forms   []form
	by      map[uint16][]int // forms by their first two bytes
	hot     [1 << 16]bool
	longest int
}

// Plant adds something to look for; what names it in findings. It panics for
// less than six bytes, which prove nothing.
func (f *Finder) Plant(what string, b []byte) {
	if len(b) < shortest {
		panic(fmt.Sprintf("canary: %s is too short to be looked for", what))
	}
	add := func(as string, b []byte) {
		if len(b) < shortest || slices.ContainsFunc(f.forms, func(x form) bool { return bytes.Equal(x.bytes, b) }) {
			return
		}
		if f.by == nil {
			f.by = map[uint16][]int{}
		}
		k := uint16(b[0])<<8 | uint16(b[1])
		f.by[k] = append(f.by[k], len(f.forms))
		f.hot[k] = true
		f.longest = max(f.longest, len(b))
		f.forms = append(f.forms, form{what + as, bytes.Clone(b)})
	}
	text := !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r > '~' })
	cases := [][]byte{b}
	if text {
		cases = append(cases, bytes.ToUpper(b), bytes.ToLower(b))
	}
	for _, b := range cases {
		add("", b)
		add(" in hexadecimal", []byte(hex.EncodeToString(b)))
		add(" in hexadecimal", []byte(strings.ToUpper(hex.EncodeToString(b))))
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for before := range 3 {
				add(" in base64", inside(e, b, before))
			}
		}
		if text {
			var little, big []byte
			for _, u := range utf16.Encode([]rune(string(b))) {
				little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
			}
			add(" in UTF-16", little)
			add(" in UTF-16", big[1:]) // its first byte is zero: so are too many others
		}
	}
}

// inside is the part of b's base64 that does not depend on its neighbours, if
// before bytes, modulo 3, come before it.
func inside(e *base64.Encoding, b []byte, before int) []byte {
	all := e.EncodeToString(append(make([]byte, before), b...))
	from := (before*8 + 5) / 6
	to := (before + len(b)) * 8 / 6
	return []byte(all[from:to])
}

// In returns what it finds in b, each form once, with what stands around it.
func (f *Finder) In(b []byte) []string {
	found := map[string]string{}
	f.scan(b, found)
	return sorted(found)
}

// around is how many bytes on either side of a finding are shown.
const around = 40

func (f *Finder) scan(b []byte, found map[string]string) {
	for i := 0; i+1 < len(b); i++ {
		k := uint16(b[i])<<8 | uint16(b[i+1])
		if !f.hot[k] {
			continue
		}
		for _, n := range f.by[k] {
			x := f.forms[n]
			if bytes.HasPrefix(b[i:], x.bytes) && found[x.what] == "" {
				found[x.what] = fmt.Sprintf("%q", b[max(0, i-around):min(len(b), i+len(x.bytes)+around)])
			}
		}
	}
}

const piece = 4 << 20

// Through is In for what is too long to hold at once.
func (f *Finder) Through(r io.Reader) ([]string, error) {
	found := map[string]string{}
	b := make([]byte, 0, piece+f.longest)
	for {
		n, err := io.ReadFull(r, b[len(b):len(b)+piece])
		b = b[:len(b)+n]
		f.scan(b, found)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return sorted(found), nil
		}
		if err != nil {
			return sorted(found), fmt.Errorf("canary: %w", err)
		}
		b = b[:copy(b[:cap(b)], b[max(0, len(b)-f.longest):])] // what begins in this piece may end in the next
	}
}

func sorted(found map[string]string) []string {
	list := make([]string, 0, len(found))
	for what, where := range found {
		list = append(list, what+" in "+where)
	}
	slices.Sort(list)
	return list
}

// Package pki verifies the signatures of electronic travel documents: CMS as
// states really write it, certificates that the standard library refuses,
// chains to a country's signing authority, revocation and deviations. ICAO Doc
// 9303-12.
//
// Everything read here is foreign. Lengths must agree at every level, elements
// that nobody expects are an error rather than skipped, and every count has a
// limit, so that an object means one thing or is refused.
package pki

import (
	"errors"
	"fmt"
)

// ErrASN1 says that bytes are no acceptable ASN.1.
var ErrASN1 = errors.New("pki: malformed ASN.1")

// Limits of what is read. A document has a few hundred elements, a state's
// list a few hundred thousand.
const (
	maxDepth        = 32
	maxElements     = 4096
	maxListElements = 1 << 20
	maxObject       = 64 << 10 // EF.SOD, EF.CardSecurity
	maxList         = 64 << 20
)

// elem is one ASN.1 element. All of it aliases the input.
type elem struct {
	tag  byte // identifier octet; long forms do not occur in CMS and X.509
	raw  []byte
	body []byte
}

// header reads an element's identifier and length; n is the number of bytes
// they take. An indefinite length is -1.
func header(b []byte) (length, n int, err error) {
	if len(b) < 2 || b[0]&0x1F == 0x1F || b[0] == 0 {
		return 0, 0, fmt.Errorf("%w: %d bytes", ErrASN1, len(b))
	}
	switch octets := int(b[1] & 0x7F); {
	case b[1] < 0x80:
		length, n = int(b[1]), 2
	case octets == 0:
		return -1, 2, nil
	case octets > 4 || len(b) < 2+octets:
		return 0, 0, fmt.Errorf("%w: length", ErrASN1)
	default:
		for _, x := range b[2 : 2+octets] {
			length = length<<8 | int(x)
		}
		n = 2 + octets
	}
	if length < 0 || length > len(b)-n {
		return 0, 0, fmt.Errorf("%w: %d bytes announced, %d there", ErrASN1, length, len(b)-n)
	}
	return length, n, nil
}

// next reads one definite-length element.
func next(b []byte) (elem, []byte, error) {
	length, n, err := header(b)
	if err != nil {
		return elem{}, nil, err
	}
	if length < 0 {
		return elem{}, nil, fmt.Errorf("%w: indefinite length", ErrASN1)
	}
	return elem{b[0], b[: n+length : n+length], b[n : n+length : n+length]}, b[n+length:], nil
}

// only reads the one element that b must be.
func only(b []byte) (elem, error) {
	e, rest, err := next(b)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes follow", ErrASN1, len(rest))
	}
	return e, err
}

// children reads the elements of a constructed one.
func (e elem) children() ([]elem, error) {
	var list []elem
	for b := e.body; len(b) > 0; {
		c, rest, err := next(b)
		if err != nil {
			return nil, err
		}
		if list = append(list, c); len(list) > maxListElements {
			return nil, fmt.Errorf("%w: too many elements", ErrASN1)
		}
		b = rest
	}
	return list, nil
}

// reader walks the children of an element, keeping the first error.
type reader struct {
	rest []byte
	err  error
}

func (e elem) read() *reader { return &reader{rest: e.body} }

// any returns the next child.
func (r *reader) any() elem {
	if r.err == nil && len(r.rest) == 0 {
		r.err = fmt.Errorf("%w: element missing", ErrASN1)
	}
	if r.err != nil {
		return elem{}
	}
	e, rest, err := next(r.rest)
	r.rest, r.err = rest, err
	return e
}

// take returns the next child, which must have that tag.
func (r *reader) take(tag byte) elem {
	if r.err == nil && (len(r.rest) == 0 || r.rest[0] != tag) {
		r.err = fmt.Errorf("%w: tag %02X missing", ErrASN1, tag)
	}
	return r.any()
}

// maybe returns the next child if it has that tag.
func (r *reader) maybe(tag byte) (elem, bool) {
	if r.err == nil && len(r.rest) > 0 && r.rest[0] == tag {
		e := r.take(tag)
		return e, r.err == nil
	}
	return elem{}, false
}

// more says whether children are left.
func (r *reader) more() bool { return r.err == nil && len(r.rest) > 0 }

// end returns the first error; children that are left are one.
func (r *reader) end() error {
	if r.more() {
		r.err = fmt.Errorf("%w: %d bytes that nobody expects", ErrASN1, len(r.rest))
	}
	return r.err
}

// encode writes an element.
func encode(tag byte, body []byte) []byte {
	out := []byte{tag}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = append(out, 0x82, byte(n>>8), byte(n))
	case n < 0x1000000:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// walk is one pass over foreign BER.
type walk struct {
	left int // elements that may still come
}

// der turns BER into DER as far as real documents need it: indefinite lengths
// become definite, constructed octet strings become primitive ones. Everything
// else stays as it is, octet by octet, so that signed bytes keep their form.
// The whole depth is walked: lengths that contradict each other are found here.
func der(b []byte, elements int) (out, rest []byte, err error) {
	w := walk{elements}
	out, rest, _, err = w.element(b, 0)
	return out, rest, err
}

// element returns an element's DER and whether it differs from the input.
func (w *walk) element(b []byte, depth int) (out, rest []byte, changed bool, err error) {
	if w.left--; depth > maxDepth || w.left < 0 {
		return nil, nil, false, fmt.Errorf("%w: nested too deeply or too many elements", ErrASN1)
	}
	length, n, err := header(b)
	if err != nil {
		return nil, nil, false, err
	}
	tag := b[0]
	if tag&0x20 == 0 {
		if length < 0 {
			return nil, nil, false, fmt.Errorf("%w: indefinite length of a primitive", ErrASN1)
		}
		return b[: n+length : n+length], b[n+length:], false, nil
	}
	// in is what the children are read from. An indefinite element ends with
	// two zero octets; they have to come before in does.
	in := b[n:]
	if length >= 0 {
		in, rest = b[n:n+length], b[n+length:]
	}
	var children [][]byte
	changed = length < 0 || tag == 0x24
	for {
		if length < 0 && len(in) >= 2 && in[0] == 0 && in[1] == 0 {
			rest = in[2:]
			break
		}
		if length >= 0 && len(in) == 0 {
			break
		}
		var c []byte
		var differs bool
		if c, in, differs, err = w.element(in, depth+1); err != nil {
			return nil, nil, false, err
		}
		children, changed = append(children, c), changed || differs
	}
	if !changed {
		return b[: n+length : n+length], rest, false, nil
	}
	var body []byte
	for _, c := range children {
		if tag == 0x24 {
			e, err := only(c)
			if err != nil || e.tag != 0x04 {
				return nil, nil, false, fmt.Errorf("%w: a part of an octet string is none", ErrASN1)
			}
			c = e.body
		}
		body = append(body, c...)
	}
	if tag == 0x24 {
		tag = 0x04
	}
	return encode(tag, body), rest, true, nil
}

// padding says whether b holds filler only: a chip's file may be longer than
// what lies in it.
func padding(b []byte) bool {
	for _, x := range b {
		if x != 0 && x != 0xFF {
			return false
		}
	}
	return true
}

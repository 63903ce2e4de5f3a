// Package pki verifies the signatures of electronic travel documents: CMS as
// states really write it, certificates that the standard library refuses,
// chains to a country's signing authority, revocation. ICAO Doc 9303-12.
package pki

import (
	"errors"
	"fmt"
)

// ErrASN1 says that bytes are no acceptable ASN.1.
var ErrASN1 = errors.New("pki: malformed ASN.1")

const (
	maxDepth    = 32
	maxElements = 20000
)

// elem is one ASN.1 element. All of it aliases the input.
type elem struct {
	tag  byte // identifier octet; long forms do not occur in CMS and X.509
	raw  []byte
	body []byte
}

// next reads one definite-length element.
func next(b []byte) (elem, []byte, error) {
	if len(b) < 2 || b[0]&0x1F == 0x1F {
		return elem{}, nil, fmt.Errorf("%w: %d bytes", ErrASN1, len(b))
	}
	n, length := 2, int(b[1])
	if b[1] == 0x80 {
		return elem{}, nil, fmt.Errorf("%w: indefinite length", ErrASN1)
	}
	if b[1] > 0x80 {
		octets := int(b[1] & 0x7F)
		if octets > 4 || len(b) < 2+octets {
			return elem{}, nil, fmt.Errorf("%w: length", ErrASN1)
		}
		length = 0
		for _, x := range b[2 : 2+octets] {
			length = length<<8 | int(x)
		}
		n += octets
	}
	if length < 0 || length > len(b)-n {
		return elem{}, nil, fmt.Errorf("%w: %d bytes announced, %d there", ErrASN1, length, len(b)-n)
	}
	return elem{b[0], b[: n+length : n+length], b[n : n+length : n+length]}, b[n+length:], nil
}

// children reads the elements of a constructed one.
func (e elem) children() ([]elem, error) {
	var list []elem
	for b := e.body; len(b) > 0; {
		c, rest, err := next(b)
		if err != nil {
			return nil, err
		}
		if list = append(list, c); len(list) > maxElements {
			return nil, fmt.Errorf("%w: too many elements", ErrASN1)
		}
		b = rest
	}
	return list, nil
}

// reader walks the children of an element, keeping the first error.
type reader struct {
	list []elem
	err  error
}

func (e elem) read() *reader {
	list, err := e.children()
	return &reader{list, err}
}

// take returns the next child, which must have that tag.
func (r *reader) take(tag byte) elem {
	if r.err == nil && (len(r.list) == 0 || r.list[0].tag != tag) {
		r.err = fmt.Errorf("%w: tag %02X missing", ErrASN1, tag)
	}
	if r.err != nil {
		return elem{}
	}
	e := r.list[0]
	r.list = r.list[1:]
	return e
}

// maybe returns the next child if it has that tag.
func (r *reader) maybe(tag byte) (elem, bool) {
	if r.err == nil && len(r.list) > 0 && r.list[0].tag == tag {
		return r.take(tag), true
	}
	return elem{}, false
}

// any returns the next child.
func (r *reader) any() elem {
	if r.err == nil && len(r.list) == 0 {
		r.err = fmt.Errorf("%w: element missing", ErrASN1)
	}
	if r.err != nil {
		return elem{}
	}
	return r.take(r.list[0].tag)
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

// der turns BER into DER as far as real documents need it: indefinite lengths
// become definite, constructed octet strings become primitive ones. Everything
// else stays as it is, so that signed bytes keep their form.
func der(b []byte) ([]byte, []byte, error) {
	count := 0
	return derAt(b, 0, &count)
}

func derAt(b []byte, depth int, count *int) (out, rest []byte, err error) {
	if *count++; depth > maxDepth || *count > maxElements {
		return nil, nil, fmt.Errorf("%w: nested too deeply or too many elements", ErrASN1)
	}
	if len(b) < 2 || b[0]&0x1F == 0x1F {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrASN1, len(b))
	}
	tag, constructed := b[0], b[0]&0x20 != 0
	if b[1] != 0x80 {
		e, rest, err := next(b)
		if err != nil {
			return nil, nil, err
		}
		if !constructed || !indefinite(e.body) && tag != 0x24 {
			return e.raw, rest, nil
		}
		var body []byte
		for in := e.body; len(in) > 0; {
			var c []byte
			if c, in, err = derAt(in, depth+1, count); err != nil {
				return nil, nil, err
			}
			body = append(body, c...)
		}
		return join(tag, body), rest, nil
	}
	if !constructed {
		return nil, nil, fmt.Errorf("%w: indefinite length of a primitive", ErrASN1)
	}
	var body []byte
	for b = b[2:]; ; {
		if len(b) >= 2 && b[0] == 0 && b[1] == 0 {
			return join(tag, body), b[2:], nil
		}
		var c []byte
		if c, b, err = derAt(b, depth+1, count); err != nil {
			return nil, nil, err
		}
		body = append(body, c...)
	}
}

// indefinite says whether an indefinite length may stand in there.
func indefinite(b []byte) bool {
	for i := 1; i < len(b); i++ {
		if b[i] == 0x80 && b[i-1]&0x20 != 0 {
			return true
		}
	}
	return false
}

// join writes a constructed element; a constructed octet string becomes the
// joined primitive one.
func join(tag byte, body []byte) []byte {
	if tag != 0x24 {
		return encode(tag, body)
	}
	var all []byte
	for in := body; len(in) > 0; {
		e, rest, err := next(in)
		if err != nil || e.tag != 0x04 {
			return encode(tag, body)
		}
		all, in = append(all, e.body...), rest
	}
	return encode(0x04, all)
}

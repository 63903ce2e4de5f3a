// Package lds decodes the files of the logical data structure of electronic
// travel documents. ICAO Doc 9303-10.
package lds

import (
	"errors"
	"fmt"
	"slices"
)

// Limits of what a chip may say.
const (
	maxDepth    = 32
	maxElements = 4096
)

// Errors of a file. ErrTLV says that bytes are no well-formed BER-TLV with
// definite lengths, ErrTag that a file begins with another tag than it should,
// ErrLimit that it is larger or deeper than is read.
var (
	ErrTLV   = errors.New("lds: malformed TLV")
	ErrTag   = errors.New("lds: another first tag")
	ErrLimit = errors.New("lds: beyond the limits")
)

// TLV is one data object. Value aliases the input.
type TLV struct {
	Tag   uint32
	Value []byte
	Raw   []byte
}

// Constructed says whether the object holds others.
func (t TLV) Constructed() bool { return t.Raw[0]&0x20 != 0 }

// Header reads a tag and a length from the start of b; n is the number of
// bytes they take. It needs as many bytes as there are and no value.
func Header(b []byte) (tag uint32, length, n int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, fmt.Errorf("%w: %d bytes", ErrTLV, len(b))
	}
	tag, n = uint32(b[0]), 1
	if b[0]&0x1F == 0x1F {
		for {
			if n >= len(b) || n > 3 {
				return 0, 0, 0, fmt.Errorf("%w: tag", ErrTLV)
			}
			tag = tag<<8 | uint32(b[n])
			n++
			if b[n-1]&0x80 == 0 {
				break
			}
		}
	}
	if n >= len(b) {
		return 0, 0, 0, fmt.Errorf("%w: no length", ErrTLV)
	}
	first := b[n]
	n++
	if first < 0x80 {
		return tag, int(first), n, nil
	}
	octets := int(first & 0x7F)
	if octets == 0 || octets > 4 || n+octets > len(b) {
		return 0, 0, 0, fmt.Errorf("%w: length of %d octets", ErrTLV, octets)
	}
	for range octets {
		length = length<<8 | int(b[n])
		n++
	}
	return tag, length, n, nil
}

// Next reads the first data object of b and returns what follows it.
func Next(b []byte) (t TLV, rest []byte, err error) {
	tag, length, n, err := Header(b)
	if err != nil {
		return TLV{}, nil, err
	}
	if length > len(b)-n {
		return TLV{}, nil, fmt.Errorf("%w: %d bytes announced, %d there", ErrTLV, length, len(b)-n)
	}
	return TLV{tag, b[n : n+length : n+length], b[: n+length : n+length]}, b[n+length:], nil
}

// All reads data objects until b is used up.
func All(b []byte) ([]TLV, error) {
	var list []TLV
	for len(b) > 0 {
		t, rest, err := Next(b)
		if err != nil {
			return nil, err
		}
		if list = append(list, t); len(list) > maxElements {
			return nil, fmt.Errorf("%w: more than %d elements", ErrTLV, maxElements)
		}
		b = rest
	}
	return list, nil
}

// Find returns the value of the first data object with that tag.
func Find(b []byte, tag uint32) ([]byte, bool) {
	for len(b) > 0 {
		t, rest, err := Next(b)
		if err != nil {
			return nil, false
		}
		if t.Tag == tag {
			return t.Value, true
		}
		b = rest
	}
	return nil, false
}

// Node is a data object with those inside it. Its parts may be changed and
// written again; what was not changed comes out as it was read, to the form of
// its lengths.
type Node struct {
	Tag      uint32
	Value    []byte  // of a primitive one, and of one that is no TLV inside
	Children []*Node // of a constructed one
	octets   int     // that its length took when it was read
}

// Parse reads data objects until b is used up, and what is inside constructed
// ones. A constructed one that is not well-formed inside is kept as it is:
// states write such, and only who needs the inside may complain. It fails if
// there are more than 4,096 or they are nested deeper than 32.
func Parse(b []byte) ([]*Node, error) {
	left := maxElements
	return nodes(b, 1, &left)
}

func nodes(b []byte, depth int, left *int) ([]*Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrLimit, maxDepth)
	}
	var list []*Node
	for len(b) > 0 {
		t, rest, err := Next(b)
		if err != nil {
			return nil, err
		}
		if *left--; *left < 0 {
			return nil, fmt.Errorf("%w: more than %d elements", ErrLimit, maxElements)
		}
		n := &Node{Tag: t.Tag, Value: t.Value, octets: len(t.Raw) - len(t.Value) - len(appendTag(nil, t.Tag))}
		if t.Constructed() {
			before := *left
			inside, err := nodes(t.Value, depth+1, left)
			switch {
			case errors.Is(err, ErrLimit):
				return nil, err
			case err != nil:
				*left = before
			default:
				n.Children, n.Value = inside, nil
			}
		}
		list, b = append(list, n), rest
	}
	return list, nil
}

// Find returns the first object inside with that tag, or nil. It may be asked
// of nil.
func (n *Node) Find(tag uint32) *Node {
	if n != nil {
		for _, c := range n.Children {
			if c.Tag == tag {
				return c
			}
		}
	}
	return nil
}

// Path follows tags inwards: the object behind the last of them, or nil.
func (n *Node) Path(tags ...uint32) *Node {
	for _, tag := range tags {
		n = n.Find(tag)
	}
	return n
}

// Bytes returns the value of a primitive object, nil for nil.
func (n *Node) Bytes() []byte {
	if n == nil {
		return nil
	}
	return n.Value
}

// Append writes the object behind b.
func (n *Node) Append(b []byte) []byte {
	value := n.Value
	if len(n.Children) > 0 {
		value = nil
		for _, c := range n.Children {
			value = c.Append(value)
		}
	}
	b = append(appendTag(b, n.Tag), length(len(value), n.octets)...)
	return append(b, value...)
}

// length writes n in as many octets as given, or in more if it needs more.
func length(n, octets int) []byte {
	if n < 0x80 && octets <= 1 {
		return []byte{byte(n)}
	}
	var b []byte
	for ; n > 0 || len(b) < octets-1; n >>= 8 {
		b = append(b, byte(n))
	}
	b = append(b, 0x80|byte(len(b)))
	slices.Reverse(b)
	return b
}

// Make writes a data object.
func Make(tag uint32, value ...[]byte) []byte {
	n := 0
	for _, v := range value {
		n += len(v)
	}
	b := length(n, 0)
	b = append(appendTag(make([]byte, 0, 4+len(b)+n), tag), b...)
	for _, v := range value {
		b = append(b, v...)
	}
	return b
}

func appendTag(b []byte, tag uint32) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		if tag>>shift != 0 || shift == 0 {
			b = append(b, byte(tag>>shift))
		}
	}
	return b
}

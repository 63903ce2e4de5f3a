// Package lds decodes the files of the logical data structure of electronic
// travel documents. ICAO Doc 9303-10.
package lds

import (
	"errors"
	"fmt"
)

// Limits of what a chip may say.
const (
	maxDepth    = 32
	maxElements = 4096
)

// ErrTLV says that bytes are no well-formed BER-TLV with definite lengths.
var ErrTLV = errors.New("lds: malformed TLV")

// TLV is one data object. Value aliases the input.
type TLV struct {
	Tag   uint32
	Value []byte
	Raw   []byte
}

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

// Make writes a data object.
func Make(tag uint32, value ...[]byte) []byte {
	n := 0
	for _, v := range value {
		n += len(v)
	}
	var b []byte
	for shift := 24; shift >= 0; shift -= 8 {
		if t := byte(tag >> shift); t != 0 || shift == 0 {
			b = append(b, t)
		}
	}
	switch {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	case n < 0x10000:
		b = append(b, 0x82, byte(n>>8), byte(n))
	default:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	for _, v := range value {
		b = append(b, v...)
	}
	return b
}

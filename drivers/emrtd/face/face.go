// Package face finds the image in a facial record: ISO/IEC 19794-5 (FAC) and
// the BER coding of ISO/IEC 39794-5. It never decodes an image.
package face

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"passage/drivers/emrtd/lds"
)

// Format is an image format.
type Format uint8

const (
	JPEG     Format = iota + 1
	JPEG2000        // JP2 or a raw code stream
)

func (f Format) String() string { return [...]string{"?", "JPEG", "JPEG 2000"}[min(int(f), 2)] }

// Portrait is the first image of a record, untouched.
type Portrait struct {
	Format Format
	Stream []byte
	SHA256 [32]byte
}

// ErrRecord says that a record is malformed or has no image.
var ErrRecord = errors.New("face: not a facial record")

const (
	header  = 14 // of the record
	block   = 20 // facial information
	point   = 8  // one feature point
	imgInfo = 12
	most    = 16 // images in one record
)

// Parse finds the first image of a record.
func Parse(b []byte) (Portrait, error) {
	if bytes.HasPrefix(b, []byte("FAC\x00")) {
		return parse19794(b)
	}
	return parse39794(b)
}

// parse19794 walks the header, one facial record block and its image
// (ISO/IEC 19794-5:2005 §5).
func parse19794(b []byte) (Portrait, error) {
	if len(b) < header+block+imgInfo {
		return Portrait{}, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	}
	if n := binary.BigEndian.Uint16(b[12:]); n == 0 || n > most {
		return Portrait{}, fmt.Errorf("%w: %d faces", ErrRecord, n)
	}
	rest := b[header:]
	size := int(binary.BigEndian.Uint32(rest))
	if size < block+imgInfo || size > len(rest) {
		size = len(rest) // some states write the wrong length: the image tells
	}
	points := int(binary.BigEndian.Uint16(rest[4:]))
	at := block + point*points
	if at+imgInfo > size {
		return Portrait{}, fmt.Errorf("%w: %d feature points in %d bytes", ErrRecord, points, size)
	}
	return portrait(rest[at+imgInfo : size])
}

// parse39794 looks for the image among the context-tagged elements, without
// depending on extensions it does not know (ISO/IEC 39794-5:2019).
func parse39794(b []byte) (Portrait, error) {
	stream, ok := search(b, 0)
	if !ok {
		return Portrait{}, ErrRecord
	}
	return portrait(stream)
}

func search(b []byte, depth int) ([]byte, bool) {
	if depth > 16 {
		return nil, false
	}
	list, err := lds.All(b)
	if err != nil {
		return nil, false
	}
	for _, t := range list {
		if format(t.Value) != 0 {
			return t.Value, true
		}
		first := t.Tag
		for first > 0xFF {
			first >>= 8
		}
		if first&0x20 != 0 {
			if found, ok := search(t.Value, depth+1); ok {
				return found, true
			}
		}
	}
	return nil, false
}

func portrait(stream []byte) (Portrait, error) {
	f := format(stream)
	if f == 0 {
		return Portrait{}, fmt.Errorf("%w: neither JPEG nor JPEG 2000", ErrRecord)
	}
	return Portrait{f, stream, sha256.Sum256(stream)}, nil
}

// format tells an image by its first bytes; headers of records often lie.
func format(b []byte) Format {
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xD8, 0xFF}):
		return JPEG
	case bytes.HasPrefix(b, []byte{0, 0, 0, 0x0C, 'j', 'P', ' ', ' '}), bytes.HasPrefix(b, []byte{0xFF, 0x4F, 0xFF, 0x51}):
		return JPEG2000
	}
	return 0
}

// Record writes an ISO/IEC 19794-5 record with one image, for virtual
// passports.
func Record(stream []byte, f Format, width, height int) []byte {
	kind := byte(0)
	if f == JPEG2000 {
		kind = 1
	}
	n := block + imgInfo + len(stream)
	b := []byte("FAC\x00010\x00")
	b = binary.BigEndian.AppendUint32(b, uint32(header+n))
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, make([]byte, block-4)...)
	b = append(b, 1, kind, byte(width>>8), byte(width), byte(height>>8), byte(height), 1, 2, 0, 0, 0, 0)
	return append(b, stream...)
}

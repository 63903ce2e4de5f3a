package lds

import (
	"bytes"
	"crypto/sha256"
)

// Format is the coding of an image.
type Format uint8

const (
	Other Format = iota // not known; the stream is kept
	JPEG
	JPEG2000 // JP2 or a raw code stream
	WSQ
	PNG
)

func (f Format) String() string {
	return [...]string{"other", "JPEG", "JPEG 2000", "WSQ", "PNG"}[min(int(f), 4)]
}

// MarshalText writes the format as its name.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// FormatOf tells an image by its first bytes; headers of records often lie.
func FormatOf(b []byte) Format {
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xD8, 0xFF}):
		return JPEG
	case bytes.HasPrefix(b, []byte{0, 0, 0, 0x0C, 'j', 'P', ' ', ' '}), bytes.HasPrefix(b, []byte{0xFF, 0x4F, 0xFF, 0x51}):
		return JPEG2000
	case bytes.HasPrefix(b, []byte{0xFF, 0xA0, 0xFF}):
		return WSQ
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1A\n")):
		return PNG
	}
	return Other
}

// Image is an image as a file holds it, untouched and never decoded here.
type Image struct {
	Format Format   `json:"format"`
	Stream []byte   `json:"-"`
	SHA256 [32]byte `json:"-"`
}

// NewImage tells the format of a stream and hashes it.
func NewImage(stream []byte) Image { return Image{FormatOf(stream), stream, sha256.Sum256(stream)} }

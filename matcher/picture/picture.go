// Package picture reads the headers of image files: what kind, how large, which
// way up. It allocates nothing, so that an image of gigapixels is refused
// before any decoder sees it.
//
// Portraits of travel documents are JPEG or JPEG 2000, the latter as a JP2 file
// or as a bare code stream (ISO/IEC 19794-5 §5.7.2); page images may be PNG.
// What their data group says of the kind is often wrong and is not asked.
package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind is an image format.
type Kind string

// The formats that are accepted.
const (
	JPEG Kind = "JPEG"
	JP2  Kind = "JP2" // JPEG 2000 in its file format
	J2K  Kind = "J2K" // a bare JPEG 2000 code stream
	PNG  Kind = "PNG"
)

// Header is what an image says of itself.
type Header struct {
	Kind          Kind
	Width, Height int // as stored, before Orientation
	Components    int // 1 to 4
	Bits          int // of a component
	Orientation   int // of EXIF, 1 (upright) to 8
	Start         int // where the image begins; some chips put bytes before it
	Stream        int // where a JPEG 2000 code stream begins
}

// The errors of Examine. ErrSize is for images that would be too large.
var (
	ErrFormat = errors.New("picture: neither JPEG, JPEG 2000 nor PNG")
	ErrHeader = errors.New("picture: malformed header")
	ErrSize   = errors.New("picture: too large")
)

// Limits beside that of pixels. Each tile of a JPEG 2000 image costs memory
// whatever its size; chips put a few bytes before an image, never kilobytes.
const (
	maxTiles = 1024
	maxLead  = 4096
)

var (
	magicJPEG = []byte{0xFF, 0xD8, 0xFF}
	magicJP2  = []byte("\x00\x00\x00\x0CjP  \r\n\x87\n")
	magicJ2K  = []byte{0xFF, 0x4F, 0xFF, 0x51} // SOC, SIZ
	magicPNG  = []byte("\x89PNG\r\n\x1a\n")
)

// Examine reads the header of an image of at most pixels pixels.
func Examine(b []byte, pixels int) (Header, error) {
	h := Header{Orientation: 1, Start: -1}
	lead := b[:min(len(b), maxLead+len(magicJP2))]
	for _, m := range []struct {
		kind  Kind
		magic []byte
	}{{JP2, magicJP2}, {JPEG, magicJPEG}, {J2K, magicJ2K}, {PNG, magicPNG}} {
		if i := bytes.Index(lead, m.magic); i >= 0 && (h.Start < 0 || i < h.Start) {
			h.Kind, h.Start = m.kind, i
		}
	}
	if h.Start < 0 {
		return Header{}, ErrFormat
	}
	var err error
	switch body := b[h.Start:]; h.Kind {
	case JPEG:
		err = h.jpeg(body)
	case PNG:
		err = h.png(body)
	case J2K:
		h.Stream = h.Start
		err = h.siz(body)
	case JP2:
		err = h.jp2(body)
	}
	switch {
	case err != nil:
		return Header{}, err
	case h.Width < 1 || h.Height < 1:
		return Header{}, fmt.Errorf("%w: %d × %d pixels", ErrHeader, h.Width, h.Height)
	case h.Width > pixels || h.Height > pixels || h.Width*h.Height > pixels:
		return Header{}, fmt.Errorf("%w: %d × %d pixels, at most %d are accepted", ErrSize, h.Width, h.Height, pixels)
	case h.Components < 1 || h.Components > 4:
		return Header{}, fmt.Errorf("%w: %d components", ErrHeader, h.Components)
	}
	return h, nil
}

// jpeg walks the segments up to the frame header. ISO/IEC 10918-1 §B.2.
func (h *Header) jpeg(b []byte) error {
	for i := 2; i+4 <= len(b); {
		if b[i] != 0xFF {
			return fmt.Errorf("%w: no JPEG marker at %d", ErrHeader, i)
		}
		m := b[i+1]
		if m == 0xFF || m == 0x01 || m >= 0xD0 && m <= 0xD8 { // fill bytes, markers without a segment
			i++
			if m != 0xFF {
				i++
			}
			continue
		}
		n := int(binary.BigEndian.Uint16(b[i+2:]))
		if n < 2 || i+2+n > len(b) {
			return fmt.Errorf("%w: JPEG segment of %d bytes", ErrHeader, n)
		}
		s := b[i+4 : i+2+n]
		switch {
		case m == 0xE1 && bytes.HasPrefix(s, []byte("Exif\x00\x00")):
			h.Orientation = orientation(s[6:])
		case m >= 0xC0 && m <= 0xCF && m != 0xC4 && m != 0xC8 && m != 0xCC:
			if len(s) < 6 {
				return fmt.Errorf("%w: JPEG frame header", ErrHeader)
			}
			h.Bits, h.Components = int(s[0]), int(s[5])
			h.Height, h.Width = int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
			if h.Bits != 8 {
				return fmt.Errorf("%w: JPEG of %d bits", ErrHeader, h.Bits)
			}
			return nil
		case m == 0xDA || m == 0xD9:
			return fmt.Errorf("%w: JPEG without a size", ErrHeader)
		}
		i += 2 + n
	}
	return fmt.Errorf("%w: JPEG without a size", ErrHeader)
}

// orientation finds tag 0x0112 in the first directory of a TIFF structure; 1
// if it is not there or makes no sense. EXIF 2.32 §4.6.4.
func orientation(t []byte) int {
	if len(t) < 8 {
		return 1
	}
	var o binary.ByteOrder = binary.BigEndian
	if t[0] == 'I' {
		o = binary.LittleEndian
	}
	at := o.Uint32(t[4:])
	if at > uint32(len(t)-2) {
		return 1
	}
	for n, d := o.Uint16(t[at:]), t[at+2:]; n > 0 && len(d) >= 12; n, d = n-1, d[12:] {
		if o.Uint16(d) == 0x0112 {
			if v := int(o.Uint16(d[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// png reads IHDR. ISO/IEC 15948 §11.2.2.
func (h *Header) png(b []byte) error {
	if len(b) < 33 || string(b[12:16]) != "IHDR" || binary.BigEndian.Uint32(b[8:]) != 13 {
		return fmt.Errorf("%w: PNG without IHDR", ErrHeader)
	}
	w, ht := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if w > 1<<30 || ht > 1<<30 {
		return fmt.Errorf("%w: %d × %d pixels", ErrSize, w, ht)
	}
	h.Width, h.Height, h.Bits = int(w), int(ht), int(b[24])
	h.Components = map[byte]int{0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[b[25]]
	return nil
}

// siz reads the size marker of a code stream. ISO/IEC 15444-1 §A.5.1.
func (h *Header) siz(b []byte) error {
	if len(b) < 45 {
		return fmt.Errorf("%w: JPEG 2000 SIZ", ErrHeader)
	}
	u := func(i int) uint64 { return uint64(binary.BigEndian.Uint32(b[i:])) }
	x, y, ox, oy := u(8), u(12), u(16), u(20)
	tw, th, tox, toy := u(24), u(28), u(32), u(36)
	n := int(binary.BigEndian.Uint16(b[40:]))
	if ox >= x || oy >= y || tw == 0 || th == 0 || tox > ox || toy > oy || n < 1 || n > 4 || len(b) < 42+3*n || int(binary.BigEndian.Uint16(b[4:])) != 38+3*n {
		return fmt.Errorf("%w: JPEG 2000 SIZ", ErrHeader)
	}
	// The decoder thinks in the reference grid, not in what remains of it.
	if x > 1<<30 || y > 1<<30 || x*y > 1<<31 {
		return fmt.Errorf("%w: a grid of %d × %d", ErrSize, x, y)
	}
	if tiles := ((x - tox + tw - 1) / tw) * ((y - toy + th - 1) / th); tiles > maxTiles {
		return fmt.Errorf("%w: %d tiles", ErrSize, tiles)
	}
	h.Width, h.Height, h.Components = int(x-ox), int(y-oy), n
	for c := range n {
		s := b[42+3*c:]
		h.Bits = max(h.Bits, int(s[0]&0x7F)+1)
		if s[0]&0x80 != 0 || h.Bits > 8 || s[1] == 0 || s[2] == 0 || s[1] > 4 || s[2] > 4 {
			return fmt.Errorf("%w: a JPEG 2000 component of %d bits, sampled %d × %d", ErrHeader, h.Bits, s[1], s[2])
		}
	}
	return nil
}

// jp2 walks the boxes to the code stream. Its own size counts; an image header
// box that says otherwise is an attempt to be decoded as something else.
// ISO/IEC 15444-1 §I.
func (h *Header) jp2(b []byte) error {
	var w, ht uint32
	for i, n := len(magicJP2), 0; i+8 <= len(b) && n < 64; n++ {
		size, head := uint64(binary.BigEndian.Uint32(b[i:])), 8
		switch {
		case size == 1 && i+16 <= len(b):
			size, head = binary.BigEndian.Uint64(b[i+8:]), 16
		case size == 0:
			size = uint64(len(b) - i)
		}
		kind := string(b[i+4 : i+8])
		if size < uint64(head) || size > uint64(len(b)-i) && kind != "jp2c" {
			return fmt.Errorf("%w: JP2 box of %d bytes", ErrHeader, size)
		}
		body := b[i+head:]
		switch kind {
		case "jp2h":
			if len(body) >= 22 && string(body[4:8]) == "ihdr" {
				ht, w = binary.BigEndian.Uint32(body[8:]), binary.BigEndian.Uint32(body[12:])
			}
		case "jp2c":
			if !bytes.HasPrefix(body, magicJ2K) {
				return fmt.Errorf("%w: JP2 without a code stream", ErrHeader)
			}
			h.Stream = h.Start + i + head
			if err := h.siz(body); err != nil {
				return err
			}
			if w != 0 && (int(w) != h.Width || int(ht) != h.Height) {
				return fmt.Errorf("%w: JP2 says %d × %d, its code stream %d × %d", ErrHeader, w, ht, h.Width, h.Height)
			}
			return nil
		}
		i += int(size)
	}
	return fmt.Errorf("%w: JP2 without a code stream", ErrHeader)
}

// Upright turns pixels of 3 bytes from an EXIF orientation, 1 to 8, into the
// upright one and returns the new size. Orientation 1 returns pix itself.
func Upright(pix []byte, width, height, orientation int) (out []byte, w, h int) {
	if orientation < 2 || orientation > 8 || len(pix) != 3*width*height {
		return pix, width, height
	}
	w, h = width, height
	if orientation >= 5 {
		w, h = height, width
	}
	out = make([]byte, len(pix))
	for y := range h {
		for x := range w {
			u, v := x, y // where the pixel is stored
			switch orientation {
			case 2:
				u = width - 1 - x
			case 3:
				u, v = width-1-x, height-1-y
			case 4:
				v = height - 1 - y
			case 5:
				u, v = y, x
			case 6:
				u, v = y, height-1-x
			case 7:
				u, v = width-1-y, height-1-x
			case 8:
				u, v = width-1-y, x
			}
			copy(out[3*(y*w+x):3*(y*w+x)+3], pix[3*(v*width+u):])
		}
	}
	return out, w, h
}

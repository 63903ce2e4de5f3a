// Package face reads facial records: ISO/IEC 19794-5 (FAC) and the BER coding
// of ISO/IEC 39794-5. It never decodes an image.
package face

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"passage/drivers/emrtd/lds"
)

// Format is an image format.
type Format = lds.Format

// The formats of portraits.
const (
	JPEG     = lds.JPEG
	JPEG2000 = lds.JPEG2000
)

// Portrait is an image of a record, untouched.
type Portrait = lds.Image

// Face is one image with what the record says of it. Zero stands for what it
// does not say. Its size is what the header states: the stream may have
// another one.
type Face struct {
	Portrait
	Width      int    `json:"width"`
	Height     int    `json:"height"`
	Sex        Sex    `json:"sex"`
	Eyes       byte   `json:"eye_colour"`     // code of 19794-5 table 4
	Hair       byte   `json:"hair_colour"`    // code of table 5
	Features   uint32 `json:"features"`       // bits of table 6
	Expression uint16 `json:"expression"`     // code of table 7
	Pose       Pose   `json:"pose"`           // degrees
	Points     int    `json:"feature_points"` // number of them
	Kind       byte   `json:"kind"`           // 19794: 0 basic, 1 full frontal, 2 token frontal; 39794: 0 for travel documents
	Source     byte   `json:"source"`         // code of table 13
	Quality    uint16 `json:"quality"`        // 0 to 100 where used
	Captured   string `json:"captured"`       // yyyymmdd, 39794 only
	Version    string `json:"version"`        // 19794-5 or 39794-5
	Stature    int    `json:"height_mm,omitempty"`
}

// Sex is a person's sex by ISO/IEC 5218, as 19794-5 codes it.
type Sex byte

func (s Sex) String() string {
	switch s {
	case 1:
		return "M"
	case 2:
		return "F"
	}
	return ""
}

// MarshalText writes M, F or nothing.
func (s Sex) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Pose is the head's direction in degrees, -180 to 180.
type Pose struct {
	Yaw   int `json:"yaw"`
	Pitch int `json:"pitch"`
	Roll  int `json:"roll"`
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

// Parse returns the first image of a record.
func Parse(b []byte) (Portrait, error) {
	list, err := All(b)
	if len(list) > 0 {
		return list[0].Portrait, nil // what follows it does not matter
	}
	return Portrait{}, err
}

// All returns every face of a record, at most 16. With an error come those
// before the broken one.
func All(b []byte) ([]Face, error) {
	if bytes.HasPrefix(b, []byte("FAC\x00")) {
		return all19794(b)
	}
	return all39794(b)
}

// all19794 walks the facial record blocks behind the header (ISO/IEC
// 19794-5:2005 §5).
func all19794(b []byte) ([]Face, error) {
	if len(b) < header+block+imgInfo {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	}
	n := int(binary.BigEndian.Uint16(b[12:]))
	if n == 0 || n > most {
		return nil, fmt.Errorf("%w: %d faces", ErrRecord, n)
	}
	rest := b[header:]
	var list []Face
	for i := range n {
		if len(rest) < block+imgInfo {
			return list, fmt.Errorf("%w: face %d of %d is missing", ErrRecord, i+1, n)
		}
		size := int(binary.BigEndian.Uint32(rest))
		if size < block+imgInfo || size > len(rest) || i == n-1 {
			size = len(rest) // some states write the wrong length: the image tells
		}
		f, err := one19794(rest[:size:size])
		if err != nil {
			return list, err
		}
		list, rest = append(list, f), rest[size:]
	}
	return list, nil
}

func one19794(b []byte) (Face, error) {
	points := int(binary.BigEndian.Uint16(b[4:]))
	at := block + point*points
	if at+imgInfo > len(b) {
		return Face{}, fmt.Errorf("%w: %d feature points in %d bytes", ErrRecord, points, len(b))
	}
	i := b[at:]
	f := Face{
		Version: "19794-5", Sex: Sex(b[6]), Eyes: b[7], Hair: b[8], Features: uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11]),
		Expression: binary.BigEndian.Uint16(b[12:]), Pose: Pose{angle(b[14]), angle(b[15]), angle(b[16])}, Points: points,
		Kind: i[0], Width: int(binary.BigEndian.Uint16(i[2:])), Height: int(binary.BigEndian.Uint16(i[4:])),
		Source: i[7], Quality: binary.BigEndian.Uint16(i[10:]),
	}
	var err error
	f.Portrait, err = portrait(i[imgInfo:])
	return f, err
}

// angle reads the coding of 19794-5 §5.5.8: 1 to 91 are 0 to 180 degrees in
// steps of 2, 92 to 180 the negative ones; 0 is unspecified.
func angle(c byte) int {
	switch {
	case c == 0 || c > 180:
		return 0
	case c <= 91:
		return 2 * (int(c) - 1)
	}
	return 2 * (int(c) - 181)
}

// Tags of ISO/IEC 39794-5:2019, annex A.
const (
	dataBlock       = 0x65
	representations = 0xA1
	representation  = 0x30
)

// all39794 reads the representation blocks. Extensions that it does not know
// are passed over: an image is found by its first bytes wherever an extended
// representation keeps it.
func all39794(b []byte) ([]Face, error) {
	list, err := lds.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	top := &lds.Node{Children: list}
	if wrapped := top.Path(0xA1, dataBlock); wrapped != nil { // 7F2E has it under A1
		top = wrapped
	} else if bare := top.Find(dataBlock); bare != nil {
		top = bare
	}
	var faces []Face
	if blocks := top.Find(representations); blocks != nil {
		for _, r := range blocks.Children {
			if r.Tag == representation && len(faces) < most {
				f, ok := one39794(r)
				if !ok {
					return faces, fmt.Errorf("%w: a representation without JPEG or JPEG 2000", ErrRecord)
				}
				faces = append(faces, f)
			}
		}
	}
	if len(faces) == 0 {
		return nil, fmt.Errorf("%w: no representation", ErrRecord)
	}
	return faces, nil
}

func one39794(r *lds.Node) (Face, bool) {
	f := Face{Version: "39794-5"}
	stream, ok := search(r.Find(0xA1))
	if !ok {
		return f, false
	}
	f.Portrait = lds.NewImage(stream)
	info := r.Path(0xA1, 0xA0, 0xA0, 0xA1) // base representation, two dimensions, information
	f.Kind = byte(number(info.Path(0xA1, 0xA1, 0x80)))
	f.Width, f.Height = number(info.Path(0xA7, 0x80)), number(info.Path(0xA7, 0x81))
	if d := r.Find(0xA2); d != nil {
		f.Captured = fmt.Sprintf("%04d%02d%02d", number(d.Find(0x80)), number(d.Find(0x81)), number(d.Find(0x82)))
	}
	who := r.Find(0xA8)
	if sex := number(who.Path(0xA0, 0xA1, 0x80)); sex == 2 || sex == 3 { // male, female; 1 is other
		f.Sex = Sex(sex - 1)
	}
	f.Stature = number(who.Find(0x83))
	return f, true
}

// number reads an unsigned number, 0 for none and for absurd ones.
func number(n *lds.Node) int {
	v := 0
	if b := n.Bytes(); len(b) <= 3 {
		for _, c := range b {
			v = v<<8 | int(c)
		}
	}
	return v
}

// search finds an image among an object's parts; lds.Parse has bounded how
// deep they are.
func search(n *lds.Node) ([]byte, bool) {
	if n == nil {
		return nil, false
	}
	if known(n.Value) {
		return n.Value, true
	}
	for _, c := range n.Children {
		if s, ok := search(c); ok {
			return s, true
		}
	}
	return nil, false
}

func known(b []byte) bool {
	f := lds.FormatOf(b)
	return f == JPEG || f == JPEG2000
}

func portrait(stream []byte) (Portrait, error) {
	if !known(stream) {
		return Portrait{}, fmt.Errorf("%w: neither JPEG nor JPEG 2000", ErrRecord)
	}
	return lds.NewImage(stream), nil
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

// Record39794 writes an ISO/IEC 39794-5 data block with one image, for virtual
// passports: what goes into 7F2E.
func Record39794(stream []byte, width, height int) []byte {
	u16 := func(tag uint32, v int) []byte { return lds.Make(tag, []byte{byte(v >> 8), byte(v)}) }
	format := byte(2) // JPEG
	if lds.FormatOf(stream) == JPEG2000 {
		format = 3
	}
	info := lds.Make(0xA1,
		lds.Make(0xA0, lds.Make(0x80, []byte{format})), lds.Make(0xA1, lds.Make(0xA1, lds.Make(0x80, []byte{0}))),
		lds.Make(0xA7, u16(0x80, width), u16(0x81, height)))
	image := lds.Make(0xA1, lds.Make(0xA0, lds.Make(0xA0, lds.Make(0x80, stream), info)))
	version := lds.Make(0xA0, lds.Make(0x80, []byte{3}), u16(0x81, 2019))
	return lds.Make(0xA1, lds.Make(dataBlock, version, lds.Make(representations, lds.Make(representation, lds.Make(0x80, []byte{0}), image))))
}

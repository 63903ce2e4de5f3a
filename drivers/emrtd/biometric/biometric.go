// Package biometric finds the images in the records of DG3 and DG4:
// fingerprints by ISO/IEC 19794-4 and 39794-4, irises by ISO/IEC 19794-6 and
// 39794-6. Such records are read after Terminal Authentication only. It never
// decodes an image.
package biometric

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"passage/drivers/emrtd/lds"
)

// Kind is a biometric feature.
type Kind uint8

const (
	Finger Kind = iota + 1
	Iris
)

func (k Kind) String() string { return [...]string{"?", "finger", "iris"}[min(int(k), 2)] }

// MarshalText writes the kind as its word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Sample is one image. Position is the code of 19794-4 table 5 for a finger (1
// the right thumb to 10 the left little finger), of 19794-6 for an iris (1
// right, 2 left), 0 if unknown. Size is as stated, 0 for not at all.
type Sample struct {
	lds.Image
	Kind     Kind   `json:"kind"`
	Position byte   `json:"position"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Quality  byte   `json:"quality"`
	Version  string `json:"version"`
}

// ErrRecord says that a record is malformed or of another kind.
var ErrRecord = errors.New("biometric: not a finger or iris record")

// most bounds the images of one record.
const most = 32

// Parse returns the images of a record. With an error come those before the
// broken one.
func Parse(b []byte) ([]Sample, error) {
	switch {
	case bytes.HasPrefix(b, []byte("FIR\x00")):
		return fingers(b)
	case bytes.HasPrefix(b, []byte("IIR\x00")):
		return irises(b)
	}
	return extensible(b)
}

// fingers reads a finger image record: a header of 32 bytes, and 14 before
// each image (ISO/IEC 19794-4:2005 §7).
func fingers(b []byte) ([]Sample, error) {
	const header, view = 32, 14
	if len(b) < header {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	}
	n := int(b[18])
	if n == 0 || n > most {
		return nil, fmt.Errorf("%w: %d fingers", ErrRecord, n)
	}
	var list []Sample
	for rest := b[header:]; len(list) < n; {
		if len(rest) < view {
			return list, fmt.Errorf("%w: finger %d of %d is missing", ErrRecord, len(list)+1, n)
		}
		size := int(binary.BigEndian.Uint32(rest))
		if size < view || size > len(rest) {
			return list, fmt.Errorf("%w: a finger of %d bytes, %d are there", ErrRecord, size, len(rest))
		}
		list = append(list, Sample{
			Image: lds.NewImage(rest[view:size:size]), Kind: Finger, Version: "19794-4", Position: rest[4], Quality: rest[7],
			Width: int(binary.BigEndian.Uint16(rest[9:])), Height: int(binary.BigEndian.Uint16(rest[11:])),
		})
		rest = rest[size:]
	}
	return list, nil
}

// irises reads an iris image record: a header of at least 45 bytes, 3 before
// each eye, 11 before each image (ISO/IEC 19794-6:2005 §6).
func irises(b []byte) ([]Sample, error) {
	const header, eye, image = 45, 3, 11
	if len(b) < header {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	}
	eyes, at := int(b[14]), int(binary.BigEndian.Uint16(b[15:]))
	width, height := int(binary.BigEndian.Uint16(b[23:])), int(binary.BigEndian.Uint16(b[25:]))
	if eyes == 0 || eyes > 2 || at < header || at > len(b) {
		return nil, fmt.Errorf("%w: %d eyes behind %d bytes", ErrRecord, eyes, at)
	}
	var list []Sample
	rest := b[at:]
	for range eyes {
		if len(rest) < eye {
			return list, fmt.Errorf("%w: an eye is missing", ErrRecord)
		}
		which, n := rest[0], int(binary.BigEndian.Uint16(rest[1:]))
		rest = rest[eye:]
		if n > most-len(list) {
			return list, fmt.Errorf("%w: %d irises", ErrRecord, n)
		}
		for range n {
			if len(rest) < image {
				return list, fmt.Errorf("%w: an iris is missing", ErrRecord)
			}
			size := int(binary.BigEndian.Uint32(rest[7:]))
			if size > len(rest)-image {
				return list, fmt.Errorf("%w: an iris of %d bytes, %d are there", ErrRecord, size, len(rest)-image)
			}
			list = append(list, Sample{
				Image: lds.NewImage(rest[image : image+size : image+size]), Kind: Iris, Version: "19794-6", Position: which, Quality: rest[2],
				Width: width, Height: height,
			})
			rest = rest[image+size:]
		}
	}
	return list, nil
}

// extensible reads the BER coding of ISO/IEC 39794-4 and -6: representation
// blocks, each with its data under 83 and, for a finger, its position under
// A0. Unknown extensions are passed over.
func extensible(b []byte) ([]Sample, error) {
	nodes, err := lds.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	top := &lds.Node{Children: nodes}
	if wrapped := top.Find(0xA1); wrapped != nil && top.Find(0x64) == nil && top.Find(0x66) == nil { // 7F2E has it under A1
		top = wrapped
	}
	s := Sample{Kind: Finger, Version: "39794-4"}
	block := top.Find(0x64)
	if block == nil {
		s.Kind, s.Version = Iris, "39794-6"
		block = top.Find(0x66)
	}
	reps := block.Find(0xA1)
	if reps == nil {
		return nil, fmt.Errorf("%w: no representations", ErrRecord)
	}
	var list []Sample
	for _, r := range reps.Children {
		if r.Tag != 0x30 || len(list) == most {
			continue
		}
		stream := largest(r)
		if stream == nil {
			return list, fmt.Errorf("%w: a representation without data", ErrRecord)
		}
		s.Image = lds.NewImage(stream)
		s.Position = 0
		if p := r.Path(0xA0, 0x80).Bytes(); len(p) == 1 {
			s.Position = p[0]
		}
		list = append(list, s)
	}
	return list, nil
}

// largest returns the longest value of a block: its image, in whichever
// version of the representation.
func largest(n *lds.Node) []byte {
	best := n.Value
	for _, c := range n.Children {
		if v := largest(c); len(v) > len(best) {
			best = v
		}
	}
	return best
}

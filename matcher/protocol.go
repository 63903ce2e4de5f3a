// Package matcher compares faces: the protocol of the vision workers, the
// client that supervises them, and the policy of attempts, scores and
// thresholds. It links no vision library: a worker may die, the lane may not.
package matcher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/fxamacker/cbor/v2"
)

// The protocol of kioskd and its workers, over the worker's standard input and
// output. A message is a prefix of twelve bytes, a header in CBOR (RFC 8949)
// and a payload of raw bytes:
//
//	'P' 'v' version kind | header length | payload length, 32-bit big endian
//
// A worker's first message is Hello, once it is confined and ready. From then
// on match answers each Picture with Findings, decode its Image with a Picture,
// page its Image with Zones, and capture sends Pictures and is sent Lights. Problem may take the place of
// any answer. Each side treats what the other one says as foreign: lengths are
// bounded by kind before anything is allocated, headers by type, and a message
// that is not the expected one ends the worker.
const protocolVersion = 1

// Kind is a kind of message.
type Kind byte

// The kinds, with their header type and payload.
const (
	KindHello    Kind = iota + 1 // Hello
	KindProblem                  // Problem
	KindPicture                  // frameHeader; pixels
	KindFindings                 // Analysis
	KindImage                    // struct{}; an image file
	KindLight                    // Light
	KindZones                    // zonesHeader; guesses
)

// Limits of a message and of the images behind it.
const (
	// MaxPixels is what an image file may have (ISO/IEC 19794-5 portraits have
	// half a million). What is handed on is made smaller.
	MaxPixels = 20_000_000
	// MaxImage is the size of an image file in bytes; a portrait has 20 kB, a
	// page image a few megabytes.
	MaxImage  = 12 << 20
	maxHeader = 128 << 10
	maxPixels = 5_000_000 // of a Picture
	maxSide   = 16384
)

// payloads are the longest payloads by kind; a kind that is not here does not
// exist.
var payloads = map[Kind]uint32{KindHello: 0, KindProblem: 0, KindPicture: 3 * maxPixels, KindFindings: 0, KindImage: MaxImage, KindLight: 0, KindZones: mostZones * mostLines * mostPlaces * Guesses * guessSize}

// ErrMessage says that a worker's or a client's message breaks the protocol.
var ErrMessage = errors.New("matcher: malformed message")

// Hello is a worker's first message.
type Hello struct {
	Role string `cbor:"role"` // capture, match, decode or page
	Pack string `cbor:"pack,omitempty"`
}

// Problem is a worker's own account of why there is no answer. It is an error.
type Problem struct {
	Text string `cbor:"text"`
}

// Error is the text without what could upset a terminal or a log.
func (p *Problem) Error() string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, fmt.Sprintf("%.300s", p.Text))
	return "vision worker: " + clean
}

// Light is how bright the face is, 0 to 255, and how bright it should be, for
// cameras that let their exposure be set. Without both the camera takes its
// own control back.
type Light struct {
	Mean, Want float64
}

// The strictest readings that CBOR allows: no unknown or repeated fields, no
// indefinite lengths, no tags, no NaN or infinity, little nesting.
var (
	reading = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, NaN: cbor.NaNDecodeForbidden, Inf: cbor.InfDecodeForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 8192, MaxMapPairs: 64,
	}.DecMode())
	writing = must(cbor.EncOptions{NaNConvert: cbor.NaNConvertReject, InfConvert: cbor.InfConvertReject}.EncMode())
)

// must is for options, which are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Write sends one message.
func Write(w io.Writer, k Kind, header any, payload []byte) error {
	h, err := writing.Marshal(header)
	if err != nil {
		return fmt.Errorf("matcher: write: %w", err)
	}
	if most, ok := payloads[k]; !ok || len(h) > maxHeader || uint64(len(payload)) > uint64(most) {
		return fmt.Errorf("%w: kind %d of %d and %d bytes", ErrMessage, k, len(h), len(payload))
	}
	b := make([]byte, 0, 12+len(h))
	b = append(b, 'P', 'v', protocolVersion, byte(k))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	if _, err := w.Write(append(b, h...)); err != nil {
		return fmt.Errorf("matcher: write: %w", err)
	}
	if len(payload) == 0 {
		return nil
	}
	if _, err := w.Write(payload); err != nil { // not copied on its way into the pipe
		return fmt.Errorf("matcher: write: %w", err)
	}
	return nil
}

// WriteProblem sends the reason why there is no answer.
func WriteProblem(w io.Writer, why error) error {
	return Write(w, KindProblem, Problem{Text: fmt.Sprintf("%.300s", why.Error())}, nil)
}

// Read receives one message of kind k into header, a pointer, and returns its
// payload. A Problem is returned as an error of that type; io.EOF says that the
// other side ended between two messages.
func Read(r io.Reader, k Kind, header any) ([]byte, error) {
	var head [12]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("matcher: read: %w", err)
	}
	if head[0] != 'P' || head[1] != 'v' || head[2] != protocolVersion {
		return nil, fmt.Errorf("%w: it begins with % x; is it another version?", ErrMessage, head[:3])
	}
	got := Kind(head[3])
	n, size := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	most, ok := payloads[got]
	if !ok || got != k && got != KindProblem || n > maxHeader || size > most {
		return nil, fmt.Errorf("%w: kind %d of %d and %d bytes, where kind %d was due", ErrMessage, got, n, size, k)
	}
	h := make([]byte, n)
	if _, err := io.ReadFull(r, h); err != nil {
		return nil, fmt.Errorf("matcher: read: %w", err)
	}
	if got == KindProblem && k != KindProblem {
		var p Problem
		if err := reading.Unmarshal(h, &p); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessage, err)
		}
		return nil, &p
	}
	if err := reading.Unmarshal(h, header); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, fmt.Errorf("matcher: read: %w", err)
	}
	return payload, nil
}

// Frame is a picture of 8-bit pixels, blue, green, red, row by row.
type Frame struct {
	Width, Height int
	Pixels        []byte
	// AgeMS is how old the frame was when the worker handed it on.
	AgeMS int64
}

// Valid says whether the pixels fit the size and the size the limits.
func (f Frame) Valid() bool {
	return f.Width > 0 && f.Height > 0 && f.Width <= maxSide && f.Height <= maxSide && f.Width*f.Height <= MaxPixels && len(f.Pixels) == 3*f.Width*f.Height
}

// frameHeader is a Picture's header.
type frameHeader struct {
	Width  int   `cbor:"w"`
	Height int   `cbor:"h"`
	AgeMS  int64 `cbor:"age,omitempty"`
}

// WriteFrame sends a picture.
func WriteFrame(w io.Writer, f Frame) error {
	return Write(w, KindPicture, frameHeader{Width: f.Width, Height: f.Height, AgeMS: f.AgeMS}, f.Pixels)
}

// ReadFrame receives a picture, or the Problem that the worker sent instead.
func ReadFrame(r io.Reader) (Frame, error) {
	var h frameHeader
	b, err := Read(r, KindPicture, &h)
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Width: h.Width, Height: h.Height, Pixels: b, AgeMS: h.AgeMS}
	if !f.Valid() || f.AgeMS < 0 {
		return Frame{}, fmt.Errorf("%w: a picture of %d × %d in %d bytes", ErrMessage, h.Width, h.Height, len(b))
	}
	return f, nil
}

// Package matcher compares faces: the protocol of the vision workers, the
// client that supervises them, and the policy of attempts, scores and
// thresholds. It links no vision library: a worker may die, the lane may not.
package matcher

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits of a message. A picture has at most 20 million pixels (ISO/IEC
// 19794-5 portraits have half a million).
const (
	MaxPixels  = 20_000_000
	maxHeader  = 64 << 10
	maxPayload = 3 * MaxPixels
	maxSide    = 16384
)

// ErrMessage says that a worker's or a client's message breaks the protocol.
var ErrMessage = errors.New("matcher: malformed message")

// Write sends one message: total length, header length, JSON header, payload;
// lengths are 32-bit big endian.
func Write(w io.Writer, header any, payload []byte) error {
	h, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("matcher: write: %w", err)
	}
	if len(h) > maxHeader || len(payload) > maxPayload {
		return fmt.Errorf("%w: %d and %d bytes", ErrMessage, len(h), len(payload))
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(h)+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	if _, err := w.Write(append(b, h...)); err != nil {
		return fmt.Errorf("matcher: write: %w", err)
	}
	if _, err := w.Write(payload); err != nil {
		return fmt.Errorf("matcher: write: %w", err)
	}
	return nil
}

// Read receives one message. Nothing is allocated for more than was announced
// within the limits.
func Read(r io.Reader, header any) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	total, n := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
	if n > maxHeader || total < n+4 || total-n-4 > maxPayload {
		return nil, fmt.Errorf("%w: lengths %d and %d", ErrMessage, total, n)
	}
	h := make([]byte, n)
	if _, err := io.ReadFull(r, h); err != nil {
		return nil, fmt.Errorf("matcher: read: %w", err)
	}
	if err := json.Unmarshal(h, header); err != nil {
		return nil, fmt.Errorf("%w: header", ErrMessage)
	}
	payload := make([]byte, total-n-4)
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

// FrameHeader is a frame's header on the wire.
type FrameHeader struct {
	Width  int    `json:"w"`
	Height int    `json:"h"`
	AgeMS  int64  `json:"age,omitempty"`
	Error  string `json:"error,omitempty"`
}

// WriteFrame sends a picture.
func WriteFrame(w io.Writer, f Frame) error {
	return Write(w, FrameHeader{Width: f.Width, Height: f.Height, AgeMS: f.AgeMS}, f.Pixels)
}

// ReadFrame receives a picture, or the error that the worker sent instead.
func ReadFrame(r io.Reader) (Frame, error) {
	var h FrameHeader
	b, err := Read(r, &h)
	if err != nil {
		return Frame{}, err
	}
	if h.Error != "" {
		return Frame{}, fmt.Errorf("matcher: worker: %.200s", h.Error)
	}
	f := Frame{Width: h.Width, Height: h.Height, Pixels: b, AgeMS: h.AgeMS}
	if !f.Valid() {
		return Frame{}, fmt.Errorf("%w: a picture of %d × %d in %d bytes", ErrMessage, h.Width, h.Height, len(b))
	}
	return f, nil
}

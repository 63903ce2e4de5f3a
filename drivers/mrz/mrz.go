// Package mrz reads machine readable zones from serial readers.
package mrz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.bug.st/serial"

	zone "passage/drivers/emrtd/mrz"
)

// Framing is how a reader marks a zone's start and end.
type Framing string

const (
	STX   Framing = "stx"   // STX, lines separated by CR, ETX
	Lines Framing = "lines" // lines ended by CR LF; 2 or 3 of a kind
	CR    Framing = "cr"    // lines separated by CR, an empty one at the end
)

// most bounds one zone: TD1 has 90 characters, and there is some framing.
const most = 256

// brokenOff is how long a silence ends a zone that is not whole: a whole one
// takes 0.1 s at 9600 Bd.
const brokenOff = 2 * time.Second

// ErrUnreadable says that the reader sent something that is no zone.
var ErrUnreadable = errors.New("mrz: unreadable")

// Reader assembles zones from a serial line.
type Reader struct {
	line    io.Reader // a Read without data returns 0 and no error within a short time
	framing Framing
	buf     []byte
}

// New reads from line; line's Read must return now and then without data, as
// go.bug.st/serial does with a read time-out.
func New(line io.Reader, f Framing) *Reader { return &Reader{line: line, framing: f} }

// Open opens a serial device at 8N1.
func Open(path string, baud int, f Framing) (*Reader, io.Closer, error) {
	p, err := serial.Open(path, &serial.Mode{BaudRate: baud})
	if err != nil {
		return nil, nil, fmt.Errorf("mrz: open %s: %w", path, err)
	}
	if err := p.SetReadTimeout(100 * time.Millisecond); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("mrz: open %s: %w", path, err), p.Close())
	}
	return New(p, f), p, nil
}

// Read blocks until a whole zone has come, and verifies its check digits. An
// unreadable one is ErrUnreadable: the reader may try again by itself.
func (r *Reader) Read(ctx context.Context) (zone.MRZ, error) {
	chunk := make([]byte, 128)
	heard := time.Now()
	for {
		if text, ok := r.frame(); ok {
			m, err := zone.Parse(text)
			if err != nil {
				return m, fmt.Errorf("%w: %w", ErrUnreadable, err)
			}
			return m, nil
		}
		if ctx.Err() != nil {
			return zone.MRZ{}, ctx.Err()
		}
		n, err := r.line.Read(chunk)
		if err != nil {
			return zone.MRZ{}, fmt.Errorf("mrz: read: %w", err)
		}
		if n > 0 {
			heard = time.Now()
		} else if time.Since(heard) > brokenOff {
			r.drop(len(r.buf))
		}
		if r.buf = append(r.buf, chunk[:n]...); len(r.buf) > 4*most {
			r.drop(len(r.buf) - most) // garbage: only its end can be a beginning
		}
	}
}

// drop takes n bytes off the buffer, and leaves nothing of them: the buffer
// lives as long as the reader, and a traveller's zone must not.
func (r *Reader) drop(n int) {
	left := copy(r.buf, r.buf[n:])
	clear(r.buf[left:])
	r.buf = r.buf[:left]
}

// frame takes one whole zone's text from the buffer.
func (r *Reader) frame() (string, bool) {
	s := string(r.buf)
	take := func(from, to, end int) (string, bool) {
		r.drop(end)
		return s[from:to], true
	}
	switch r.framing {
	case STX:
		end := strings.IndexByte(s, 0x03)
		if end < 0 {
			return "", false
		}
		start := strings.LastIndexByte(s[:end], 0x02)
		return take(start+1, end, end+1)
	case CR:
		end := strings.Index(s, "\r\r")
		if end < 0 {
			return "", false
		}
		return take(0, end, end+2)
	}
	lines := strings.Split(s, "\n")
	for i := range lines {
		for _, shape := range [][2]int{{2, 44}, {3, 30}, {2, 36}} {
			if i+shape[0] < len(lines) && whole(lines[i:i+shape[0]], shape[1]) {
				n := len(strings.Join(lines[:i+shape[0]], "\n")) + 1
				start := n - len(strings.Join(lines[i:i+shape[0]], "\n")) - 1
				return take(start, n-1, n)
			}
		}
	}
	return "", false
}

func whole(lines []string, n int) bool {
	for _, l := range lines {
		if len(strings.TrimRight(l, "\r")) != n {
			return false
		}
	}
	return true
}

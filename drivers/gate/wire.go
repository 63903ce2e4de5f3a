package gate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/grid-x/modbus"
)

// Times of ABC-LANE 1.0 §2.
const (
	replyWithin = 100 * time.Millisecond // last request byte to first reply byte
	byteWithin  = 20 * time.Millisecond  // inter-byte time-out of a PC receiver
	silence     = 50 * time.Millisecond  // after a time-out or bad reply
	attempts    = 3                      // a request and two identical repeats
	maxFrame    = 256
)

// Line is a serial line. Read returns 0 and no error when nothing came within
// the time set; go.bug.st/serial.Port has these methods.
type Line interface {
	io.ReadWriter
	SetReadTimeout(time.Duration) error
	ResetInputBuffer() error
}

// ErrLink says that three attempts in a row got no good reply.
var ErrLink = errors.New("gate does not answer")

// ErrLine says that the line itself fails: an adapter that was pulled off does
// so for good, and comes back as another.
var ErrLine = errors.New("the line does not work")

// wire is the transport under the Modbus library: framing by expected length,
// flush before each request, identical repeats, gaps. The library keeps the
// protocol data units, the checksum and the checks of a reply (docs/decisions
// 0002).
type wire struct {
	line  Line
	gap   time.Duration // t3.5
	check func(request, reply []byte) error

	last   time.Time // of the last byte heard or sent
	errors int
}

// Send implements modbus.Transporter.
func (w *wire) Send(request []byte) ([]byte, error) {
	var err error
	for try := range attempts {
		if try > 0 {
			w.errors++
			time.Sleep(silence)
		}
		var reply []byte
		if reply, err = w.once(request); err == nil {
			return reply, nil
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrLink, err)
}

func (w *wire) once(request []byte) ([]byte, error) {
	if wait := w.gap - time.Since(w.last); wait > 0 {
		time.Sleep(wait)
	}
	if err := w.line.ResetInputBuffer(); err != nil {
		return nil, fmt.Errorf("%w: flush: %w", ErrLine, err)
	}
	if _, err := w.line.Write(request); err != nil {
		return nil, fmt.Errorf("%w: write: %w", ErrLine, err)
	}
	reply, err := w.read(request)
	w.last = time.Now()
	if err != nil {
		return nil, err
	}
	if err := w.check(request, reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// ErrSilent says that no byte came in time: an ErrLink that is none heard
// something, but no reply.
var ErrSilent = errors.New("time-out")

// read takes one reply, whose length its own first bytes tell.
func (w *wire) read(request []byte) ([]byte, error) {
	var buf [maxFrame]byte
	n, want := 0, 5 // the shortest reply: an exception
	// The 100 ms run from the last request byte; on a real line the bytes
	// leave the queue at the line's pace before that.
	if err := w.line.SetReadTimeout(replyWithin + time.Duration(len(request))*w.gap/3); err != nil {
		return nil, fmt.Errorf("%w: read: %w", ErrLine, err)
	}
	for n < want {
		got, err := w.line.Read(buf[n:want])
		if err != nil {
			return nil, fmt.Errorf("%w: read: %w", ErrLine, err)
		}
		if got == 0 {
			if n == 0 {
				return nil, ErrSilent
			}
			return nil, fmt.Errorf("time-out inside a reply of %d bytes", n)
		}
		if n == 0 {
			if err := w.line.SetReadTimeout(byteWithin); err != nil {
				return nil, fmt.Errorf("%w: read: %w", ErrLine, err)
			}
		}
		n += got
		if n >= 3 {
			if want = length(buf[:n], request); want > maxFrame {
				return nil, fmt.Errorf("a reply of %d bytes is too long", want)
			}
		}
	}
	return buf[:n:n], nil
}

// length is how long the reply will be that begins with b (at least 3 bytes).
func length(b, request []byte) int {
	switch fc := b[1]; {
	case fc&0x80 != 0:
		return 5
	case fc == 1, fc == 2, fc == 3, fc == 4, fc == 17:
		return 3 + int(b[2]) + 2
	case fc == 5, fc == 6, fc == 15, fc == 16:
		return 8
	case fc == 43:
		return identLength(b)
	}
	return max(len(b), 5)
}

// identLength follows the objects of a device identification as they arrive.
func identLength(b []byte) int {
	n := 8 // address, function, type, id, conformity, more, next, count
	if len(b) < n {
		return n
	}
	for range b[7] {
		if len(b) < n+2 {
			return n + 2
		}
		n += 2 + int(b[n+1])
	}
	return n + 2
}

// registers reads and writes the gate's registers through the library.
type registers struct {
	modbus.Client
	handler *modbus.RTUClientHandler
	wire    *wire
}

func newRegisters(line Line, address byte, baud int) *registers {
	h := modbus.NewRTUClientHandler("")
	h.SetSlave(address)
	// 3.5 characters of 11 bits, also for 8N1; fixed above 19,200 (§2).
	gap := 1750 * time.Microsecond
	if baud <= 19200 {
		gap = time.Duration(3.5 * 11 * float64(time.Second) / float64(baud))
	}
	w := &wire{line: line, gap: gap}
	w.check = func(request, reply []byte) error {
		if err := h.Verify(request, reply); err != nil {
			return err
		}
		if reply[1]&0x7f != request[1] {
			return fmt.Errorf("function %d answers %d", reply[1], request[1])
		}
		_, err := h.Decode(reply)
		return err
	}
	return &registers{modbus.NewClient2(h, w), h, w}
}

// raw sends a function that the library has no method for and returns the
// reply's data.
func (r *registers) raw(fc byte, data []byte) ([]byte, error) {
	adu, err := r.handler.Encode(&modbus.ProtocolDataUnit{FunctionCode: fc, Data: data})
	if err != nil {
		return nil, err
	}
	reply, err := r.wire.Send(adu)
	if err != nil {
		return nil, err
	}
	pdu, err := r.handler.Decode(reply)
	if err != nil {
		return nil, err
	}
	if pdu.FunctionCode&0x80 != 0 && len(pdu.Data) > 0 {
		return nil, &modbus.Error{FunctionCode: pdu.FunctionCode, ExceptionCode: pdu.Data[0]}
	}
	return pdu.Data, nil
}

func (r *registers) input(addr, n uint16) ([]uint16, error) {
	return words(r.ReadInputRegisters(addr, n))
}

func (r *registers) holding(addr, n uint16) ([]uint16, error) {
	return words(r.ReadHoldingRegisters(addr, n))
}

func words(b []byte, err error) ([]uint16, error) {
	if err != nil {
		return nil, err
	}
	v := make([]uint16, len(b)/2)
	for i := range v {
		v[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return v, nil
}

func (r *registers) write(addr uint16, v ...uint16) error {
	b := make([]byte, 0, 2*len(v))
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	_, err := r.WriteMultipleRegisters(addr, uint16(len(v)), b)
	return err
}

// busy repeats a write while the gate stores parameters (exception 06): after
// 100 ms, three times at most.
func busy(ctx context.Context, write func() error) error {
	for try := 0; ; try++ {
		err := write()
		var e *modbus.Error
		if !errors.As(err, &e) || e.ExceptionCode != modbus.ExceptionCodeServerDeviceBusy || try == 3 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

package passport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"

	"passage/drivers/apdu"
)

// Serve lays the card on a vpcd reader at addr and answers until ctx ends,
// which takes it away. The protocol is vsmartcard's: frames with a two-byte
// length; one byte is a control message.
func (c *Card) Serve(ctx context.Context, addr string) error {
	var d net.Dialer
	return c.ServeBy(ctx, func() (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) })
}

// ServeBy is Serve over a connection that dial makes, such as one in another
// network namespace.
func (c *Card) ServeBy(ctx context.Context, dial func() (net.Conn, error)) error {
	conn, err := dial()
	if err != nil {
		return fmt.Errorf("passport: serve: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = c.frames(ctx, conn)
	conn.Close()
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, apdu.ErrRemoved) {
		return nil // taken away, by whoever laid it or by its own fault
	}
	return fmt.Errorf("passport: serve: %w", err)
}

// ServeStream answers frames on any stream, such as standard input and output.
func (c *Card) ServeStream(ctx context.Context, s io.ReadWriter) error {
	if err := c.frames(ctx, s); !errors.Is(err, io.EOF) && !errors.Is(err, apdu.ErrRemoved) {
		return err
	}
	return nil
}

func (c *Card) frames(ctx context.Context, s io.ReadWriter) error {
	for {
		quickAck(s)
		var head [2]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			return err
		}
		b := make([]byte, binary.BigEndian.Uint16(head[:]))
		quickAck(s)
		if _, err := io.ReadFull(s, b); err != nil {
			return err
		}
		var reply []byte
		switch {
		case len(b) == 1 && b[0] == 4:
			reply = c.ATR()
		case len(b) == 1:
			c.Reset() // off, on and reset all end what was volatile
			continue
		default:
			var err error
			if reply, err = c.Transmit(ctx, b); err != nil {
				return err
			}
		}
		if _, err := s.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return err
		}
	}
}

// quickAck asks the kernel for an immediate acknowledgement of the next
// segment: 0.1 ms for a round trip instead of 44.
func quickAck(s any) {
	t, ok := s.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}

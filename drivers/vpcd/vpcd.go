// Package vpcd is a card reader for machines without pcscd: it listens for a
// remote card that speaks the protocol of vsmartcard's vpcd. It is for tests and
// demonstrations; a lane refuses it with a production trust store.
package vpcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"passage/drivers/apdu"
)

// Control messages of one byte (vsmartcard, vpcd.h).
const (
	powerOff = 0
	powerOn  = 1
	reset    = 2
	getATR   = 4
)

const (
	within   = 15 * time.Second // for one answer
	pingGap  = 300 * time.Millisecond
	maxFrame = 65535
)

// Reader waits for one card at a time on a TCP address.
type Reader struct {
	listener net.Listener
	mu       sync.Mutex
	card     *card
	changed  chan struct{}
}

// Listen opens the reader on a loopback address.
func Listen(addr string) (*Reader, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("vpcd: listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("vpcd: listen: %q is not a loopback address: anybody could lay a card on it", host)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("vpcd: listen: %w", err)
	}
	return &Reader{listener: l, changed: make(chan struct{}, 1)}, nil
}

// Watch reports a card's coming and going until ctx ends.
func (r *Reader) Watch(ctx context.Context, present func(bool)) error {
	stop := context.AfterFunc(ctx, func() { r.listener.Close() })
	defer stop()
	for {
		conn, err := r.listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("vpcd: accept: %w", err)
		}
		c := &card{conn: conn}
		if err := c.power(ctx); err != nil {
			conn.Close()
			continue
		}
		r.mu.Lock()
		r.card = c
		r.mu.Unlock()
		present(true)
		for tick := time.NewTicker(pingGap); c.here(); {
			select {
			case <-tick.C:
			case <-ctx.Done():
				c.Close()
			}
			if ctx.Err() != nil {
				tick.Stop()
				break
			}
		}
		conn.Close()
		r.mu.Lock()
		r.card = nil
		r.mu.Unlock()
		present(false)
	}
}

// Connect returns the card that is there, freshly reset.
func (r *Reader) Connect(ctx context.Context) (apdu.Card, error) {
	r.mu.Lock()
	c := r.card
	r.mu.Unlock()
	if c == nil || !c.here() {
		return nil, fmt.Errorf("vpcd: connect: %w", apdu.ErrRemoved)
	}
	if err := c.control(reset); err != nil {
		return nil, fmt.Errorf("vpcd: connect: %w", err)
	}
	return borrowed{c}, nil
}

// borrowed is a card whose Close leaves it on the reader.
type borrowed struct{ *card }

func (borrowed) Close() error { return nil }

type card struct {
	mu   sync.Mutex
	conn net.Conn
	atr  []byte
	dead bool
}

func (c *card) ATR() []byte { return c.atr }

func (c *card) Close() error { return c.conn.Close() }

func (c *card) power(ctx context.Context) error {
	if err := c.control(powerOn); err != nil {
		return err
	}
	atr, err := c.exchange(ctx, []byte{getATR})
	c.atr = atr
	return err
}

func (c *card) control(m byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write([]byte{m})
}

// here asks for the ATR: a card that has gone does not answer. A reading under
// way proves that it is there.
func (c *card) here() bool {
	if !c.mu.TryLock() {
		return true
	}
	defer c.mu.Unlock()
	if c.dead {
		return false
	}
	if err := c.write([]byte{getATR}); err != nil {
		return false
	}
	_, err := c.read()
	c.dead = err != nil
	return err == nil
}

// Transmit sends one command.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 {
		return nil, errors.New("vpcd: transmit: a command has at least 4 bytes")
	}
	return c.exchange(ctx, command)
}

func (c *card) exchange(ctx context.Context, b []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil, apdu.ErrRemoved
	}
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := c.write(b)
	var reply []byte
	if err == nil {
		reply, err = c.read()
	}
	if err != nil {
		c.dead = true // an answer that comes later belongs to nobody
		if ctx.Err() != nil {
			return nil, fmt.Errorf("vpcd: transmit: %w", ctx.Err())
		}
		return nil, fmt.Errorf("vpcd: transmit: %w: %w", apdu.ErrRemoved, err)
	}
	return reply, nil
}

func (c *card) write(b []byte) error {
	if len(b) > maxFrame {
		return fmt.Errorf("vpcd: %d bytes do not fit a frame", len(b))
	}
	if err := c.conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := c.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

func (c *card) read() ([]byte, error) {
	quickAck(c.conn)
	var head [2]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	quickAck(c.conn)
	_, err := io.ReadFull(c.conn, b)
	return b, err
}

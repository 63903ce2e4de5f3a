// Package apdu encodes and decodes command and response APDUs of ISO/IEC
// 7816-4, short and extended.
package apdu

import (
	"context"
	"errors"
	"fmt"
)

// Card is a chip that answers APDUs. Transmit sends one command as it is and
// returns the response with its two status bytes. It blocks until the chip
// answers or ctx ends; a chip that has gone is ErrRemoved.
type Card interface {
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
	ATR() []byte
	Close() error
}

// ErrRemoved says that the card is no longer there.
var ErrRemoved = errors.New("card removed")

// MaxData is the longest data field of an extended command.
const MaxData = 65535

// Command is a command APDU. Ne is the number of bytes expected, 0 for none,
// at most 65,536.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte
	Ne               int
}

// Bytes encodes the command, extended where its data or Ne needs it. It fails
// with an error on sizes that have no encoding.
func (c Command) Bytes() ([]byte, error) {
	if len(c.Data) > MaxData || c.Ne < 0 || c.Ne > MaxData+1 {
		return nil, fmt.Errorf("apdu: encode: %d data bytes and %d expected are out of range", len(c.Data), c.Ne)
	}
	b := []byte{c.CLA, c.INS, c.P1, c.P2}
	extended := len(c.Data) > 255 || c.Ne > 256
	if extended {
		b = append(b, 0)
	}
	if n := len(c.Data); n > 0 {
		if extended {
			b = append(b, byte(n>>8))
		}
		b = append(append(b, byte(n)), c.Data...)
	}
	if c.Ne > 0 {
		if extended {
			b = append(b, byte(c.Ne>>8))
		}
		b = append(b, byte(c.Ne)) // 256 and 65,536 are written as 0
	}
	return b, nil
}

// Parse decodes a command APDU.
func Parse(b []byte) (Command, error) {
	var c Command
	if len(b) < 4 {
		return c, fmt.Errorf("apdu: parse: %d bytes are no command", len(b))
	}
	c = Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	rest := b[4:]
	switch {
	case len(rest) == 0:
		return c, nil
	case len(rest) == 1:
		c.Ne = expected(int(rest[0]), 256)
		return c, nil
	case rest[0] != 0:
		n := int(rest[0])
		rest = rest[1:]
		switch len(rest) {
		case n:
			c.Data = rest
			return c, nil
		case n + 1:
			c.Data, c.Ne = rest[:n], expected(int(rest[n]), 256)
			return c, nil
		}
	case len(rest) == 3:
		c.Ne = expected(int(rest[1])<<8|int(rest[2]), 65536)
		return c, nil
	case len(rest) > 3:
		n := int(rest[1])<<8 | int(rest[2])
		rest = rest[3:]
		switch {
		case n > 0 && len(rest) == n:
			c.Data = rest
			return c, nil
		case n > 0 && len(rest) == n+2:
			c.Data, c.Ne = rest[:n], expected(int(rest[n])<<8|int(rest[n+1]), 65536)
			return c, nil
		}
	}
	return c, errors.New("apdu: parse: the lengths do not fit together")
}

func expected(n, zero int) int {
	if n == 0 {
		return zero
	}
	return n
}

// SW is a status word.
type SW uint16

// Status words that the readers act on.
const (
	OK             SW = 0x9000
	EndOfFile      SW = 0x6282
	WrongPassword  SW = 0x6300
	WrongLength    SW = 0x6700
	SecurityStatus SW = 0x6982
	Conditions     SW = 0x6985
	NoCurrent      SW = 0x6986
	NoSM           SW = 0x6987
	WrongSM        SW = 0x6988
	WrongData      SW = 0x6A80
	NotSupported   SW = 0x6A81
	NoFile         SW = 0x6A82
	WrongP1P2      SW = 0x6A86
	NoReference    SW = 0x6A88
	WrongOffset    SW = 0x6B00
	BadINS         SW = 0x6D00
)

func (s SW) String() string { return fmt.Sprintf("%04X", uint16(s)) }

// Response is a response APDU.
type Response struct {
	Data []byte
	SW   SW
}

// ParseResponse splits a response into data and status word. A response of
// less than two bytes is a card that has gone.
func ParseResponse(b []byte) (Response, error) {
	if len(b) < 2 {
		return Response{}, fmt.Errorf("apdu: a response of %d bytes: %w", len(b), ErrRemoved)
	}
	if len(b) > MaxData+3 {
		return Response{}, fmt.Errorf("apdu: a response of %d bytes is too long", len(b))
	}
	n := len(b) - 2
	return Response{b[:n:n], SW(b[n])<<8 | SW(b[n+1])}, nil
}

// StatusError is a status word that ends an exchange.
type StatusError struct {
	Command string
	SW      SW
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: the chip answers %v", e.Command, e.SW) }

// HasStatus says whether err carries one of the status words.
func HasStatus(err error, list ...SW) bool {
	var e *StatusError
	if !errors.As(err, &e) {
		return false
	}
	for _, s := range list {
		if e.SW == s {
			return true
		}
	}
	return false
}

// Package bac is Basic Access Control, the reader's side. ICAO Doc 9303-11
// §4.3.
package bac

import (
	"bytes"
	"errors"
	"fmt"

	"passage/drivers/emrtd/kdf"
)

// ErrReply says that the chip's answer is not authentic: the password is
// wrong, or the chip is.
var ErrReply = errors.New("bac: the chip's answer is not authentic")

// Challenge is a mutual authentication under way.
type Challenge struct {
	enc, mac, rndIC, rndIFD, kIFD []byte
}

// Start makes the data of EXTERNAL AUTHENTICATE from the MRZ information, the
// chip's 8-byte challenge, and 8 + 16 random bytes of the reader's.
func Start(information string, rndIC, rndIFD, kIFD []byte) (*Challenge, []byte, error) {
	if len(rndIC) != 8 || len(rndIFD) != 8 || len(kIFD) != 16 {
		return nil, nil, fmt.Errorf("bac: start: a challenge of %d bytes", len(rndIC))
	}
	seed := kdf.Secret(information)[:16]
	c := &Challenge{kdf.Derive(kdf.TDES, seed, kdf.Encryption), kdf.Derive(kdf.TDES, seed, kdf.MAC), rndIC, rndIFD, kIFD}
	s := bytes.Join([][]byte{rndIFD, rndIC, kIFD}, nil)
	e, err := c.crypt(s, true)
	if err != nil {
		return nil, nil, err
	}
	m, err := kdf.Authenticate(kdf.TDES, c.mac, kdf.Pad(e, 8))
	if err != nil {
		return nil, nil, err
	}
	return c, append(e, m...), nil
}

func (c *Challenge) crypt(b []byte, encrypt bool) ([]byte, error) {
	block, err := kdf.Block(kdf.TDES, c.enc)
	if err != nil {
		return nil, err
	}
	return kdf.CBC(block, make([]byte, 8), b, encrypt)
}

// Finish verifies the chip's answer and returns the session's seed and first
// counter.
func (c *Challenge) Finish(reply []byte) (seed, ssc []byte, err error) {
	if len(reply) != 40 {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrReply, len(reply))
	}
	m, err := kdf.Authenticate(kdf.TDES, c.mac, kdf.Pad(reply[:32], 8))
	if err != nil {
		return nil, nil, err
	}
	if !kdf.Equal(m, reply[32:]) {
		return nil, nil, ErrReply
	}
	r, err := c.crypt(reply[:32], false)
	if err != nil {
		return nil, nil, err
	}
	if !kdf.Equal(r[:8], c.rndIC) || !kdf.Equal(r[8:16], c.rndIFD) {
		return nil, nil, ErrReply
	}
	seed = make([]byte, 16)
	for i := range seed {
		seed[i] = c.kIFD[i] ^ r[16+i]
	}
	return seed, append(bytes.Clone(c.rndIC[4:]), c.rndIFD[4:]...), nil
}

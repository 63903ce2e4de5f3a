// Package sm is the reader's side of secure messaging. ICAO Doc 9303-11 §9.8.
package sm

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

// Errors of a session. ErrNaked is a response without secure messaging: the
// chip may or may not have counted the command; it wraps the status word as an
// apdu.StatusError. ErrMAC is a response that cannot be believed. After ErrMAC
// the session must not be used again, after ErrNaked only to find out, by Back
// and a command that cannot harm.
var (
	ErrNaked = errors.New("sm: response without secure messaging")
	ErrMAC   = errors.New("sm: response is not authentic")
)

// Session is a running session. Its counter moves before each command and
// again before each response; a skipped step makes the next MAC fail.
type Session struct {
	Cipher kdf.Cipher
	mac    []byte
	block  cipher.Block
	ssc    []byte
	before []byte // the counter before the last command
}

// New starts a session with keys derived from secret. ssc is the first
// counter: BAC's from the challenges, all zeros after PACE and CA.
func New(c kdf.Cipher, secret, ssc []byte) (*Session, error) {
	enc := kdf.Derive(c, secret, kdf.Encryption)
	defer clear(enc)
	return Resume(c, enc, kdf.Derive(c, secret, kdf.MAC), ssc)
}

// Resume is a session with given keys.
func Resume(c kdf.Cipher, enc, mac, ssc []byte) (*Session, error) {
	s := &Session{Cipher: c, mac: mac}
	var err error
	if s.block, err = kdf.Block(c, enc); err != nil {
		return nil, err
	}
	if len(ssc) > c.BlockLen() {
		return nil, fmt.Errorf("sm: a counter of %d bytes", len(ssc))
	}
	s.ssc = make([]byte, c.BlockLen())
	copy(s.ssc[len(s.ssc)-len(ssc):], ssc)
	s.before = bytes.Clone(s.ssc)
	return s, nil
}

// tail is what a response has besides DO87: DO99 with the status, DO8E.
const tail = 4 + 10

// Capacity returns the most plain bytes whose protected form fits a response,
// or with the same objects a command, of size bytes of data; 0 for none.
func (s *Session) Capacity(size int) int {
	header := 2
	switch {
	case size-tail > 0xFFFF:
		header = 5
	case size-tail > 0xFF+3:
		header = 4
	case size-tail > 0x7F+2:
		header = 3
	}
	n := s.Cipher.BlockLen()
	// The padding indicator, and at least one byte of padding.
	return max(0, (size-tail-header-1)/n*n-1)
}

func (s *Session) count() {
	for i := len(s.ssc) - 1; i >= 0; i-- {
		if s.ssc[i]++; s.ssc[i] != 0 {
			return
		}
	}
}

// Back takes the last command's step of the counter back, for a chip that may
// not have counted it.
func (s *Session) Back() { copy(s.ssc, s.before) }

// iv is zero for 3DES and E(K, SSC) for AES. §9.8.6.1.
func (s *Session) iv() []byte {
	iv := make([]byte, s.Cipher.BlockLen())
	if s.Cipher != kdf.TDES {
		s.block.Encrypt(iv, s.ssc)
	}
	return iv
}

func (s *Session) authenticate(message []byte) ([]byte, error) {
	return kdf.Authenticate(s.Cipher, s.mac, kdf.Pad(append(bytes.Clone(s.ssc), message...), s.Cipher.BlockLen()))
}

// Wrap protects a command.
func (s *Session) Wrap(c apdu.Command) (apdu.Command, error) {
	copy(s.before, s.ssc)
	s.count()
	head := []byte{c.CLA | 0x0C, c.INS, c.P1, c.P2}
	var body []byte
	if len(c.Data) > 0 {
		ciphertext, err := kdf.CBC(s.block, s.iv(), kdf.Pad(c.Data, s.Cipher.BlockLen()), true)
		if err != nil {
			return c, fmt.Errorf("sm: wrap: %w", err)
		}
		if c.INS&1 == 0 {
			body = lds.Make(0x87, []byte{1}, ciphertext)
		} else {
			body = lds.Make(0x85, ciphertext)
		}
	}
	if c.Ne > 0 {
		le := []byte{byte(c.Ne)}
		if c.Ne > 256 {
			le = []byte{byte(c.Ne >> 8), byte(c.Ne)}
		}
		body = append(body, lds.Make(0x97, le)...)
	}
	message := kdf.Pad(head, s.Cipher.BlockLen())
	if len(body) > 0 {
		message = append(message, body...)
	}
	mac, err := s.authenticate(message)
	if err != nil {
		return c, fmt.Errorf("sm: wrap: %w", err)
	}
	out := apdu.Command{CLA: head[0], INS: c.INS, P1: c.P1, P2: c.P2, Data: append(body, lds.Make(0x8E, mac)...), Ne: 256}
	// Ne of 256 in a short command says "all that fits", as much as it is.
	if c.Ne != 256 && c.Ne > s.Capacity(256) || len(out.Data) > 255 {
		out.Ne = 65536
	}
	return out, nil
}

// Unwrap verifies and decrypts a response.
func (s *Session) Unwrap(r apdu.Response) (apdu.Response, error) {
	if len(r.Data) == 0 {
		return r, fmt.Errorf("%w: %w", ErrNaked, &apdu.StatusError{Command: "protected command", SW: r.SW})
	}
	list, err := lds.All(r.Data)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrMAC, err)
	}
	var covered, ciphertext, status, mac []byte
	encrypted := false
	for _, t := range list {
		if mac != nil {
			return r, fmt.Errorf("%w: data after the MAC", ErrMAC)
		}
		switch t.Tag {
		case 0x87:
			if len(t.Value) < 1 || t.Value[0] != 1 || encrypted {
				return r, fmt.Errorf("%w: padding indicator", ErrMAC)
			}
			ciphertext, encrypted = t.Value[1:], true
		case 0x85:
			if encrypted {
				return r, fmt.Errorf("%w: two cryptograms", ErrMAC)
			}
			ciphertext, encrypted = t.Value, true
		case 0x99:
			status = t.Value
		case 0x8E:
			mac = t.Value
			continue
		}
		covered = append(covered, t.Raw...)
	}
	s.count()
	want, err := s.authenticate(covered)
	if err != nil {
		return r, fmt.Errorf("sm: unwrap: %w", err)
	}
	if len(mac) != 8 || !kdf.Equal(mac, want) {
		return r, ErrMAC
	}
	if len(status) != 2 {
		return r, fmt.Errorf("%w: no status", ErrMAC)
	}
	out := apdu.Response{SW: apdu.SW(status[0])<<8 | apdu.SW(status[1])}
	if encrypted && len(ciphertext) > 0 {
		plain, err := kdf.CBC(s.block, s.iv(), ciphertext, false)
		if err != nil {
			return r, fmt.Errorf("%w: %w", ErrMAC, err)
		}
		if out.Data, err = kdf.Unpad(plain); err != nil {
			return r, fmt.Errorf("%w: %w", ErrMAC, err)
		}
	}
	return out, nil
}

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
// chip may or may not have counted the command; ErrMAC one that cannot be
// believed. After either the session must not be used again.
var (
	ErrNaked = errors.New("sm: response without secure messaging")
	ErrMAC   = errors.New("sm: response is not authentic")
)

// Session is a running session. Its counter moves before each command and
// again before each response; a skipped step makes the next MAC fail.
type Session struct {
	Cipher   kdf.Cipher
	enc, mac []byte
	block    cipher.Block
	ssc      []byte
}

// New starts a session with keys derived from secret. ssc is the first
// counter: BAC's from the challenges, all zeros after PACE and CA.
func New(c kdf.Cipher, secret, ssc []byte) (*Session, error) {
	s := &Session{Cipher: c, enc: kdf.Derive(c, secret, kdf.Encryption), mac: kdf.Derive(c, secret, kdf.MAC)}
	var err error
	if s.block, err = kdf.Block(c, s.enc); err != nil {
		return nil, err
	}
	s.ssc = make([]byte, c.BlockLen())
	copy(s.ssc[len(s.ssc)-len(ssc):], ssc)
	return s, nil
}

// Overhead is how many bytes of a response do not carry data: DO87's header
// and padding, DO99, DO8E.
func (s *Session) Overhead() int { return 4 + 1 + s.Cipher.BlockLen() + 4 + 10 }

func (s *Session) count() {
	for i := len(s.ssc) - 1; i >= 0; i-- {
		if s.ssc[i]++; s.ssc[i] != 0 {
			return
		}
	}
}

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
	if c.Ne > 256-s.Overhead() || len(out.Data) > 255 {
		out.Ne = 65536
	}
	return out, nil
}

// Unwrap verifies and decrypts a response.
func (s *Session) Unwrap(r apdu.Response) (apdu.Response, error) {
	if len(r.Data) == 0 {
		return r, fmt.Errorf("%w: %v", ErrNaked, r.SW)
	}
	list, err := lds.All(r.Data)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrMAC, err)
	}
	var covered, ciphertext, status, mac []byte
	padded := false
	for _, t := range list {
		switch t.Tag {
		case 0x87:
			if len(t.Value) < 1 || t.Value[0] != 1 {
				return r, fmt.Errorf("%w: padding indicator", ErrMAC)
			}
			ciphertext, padded = t.Value[1:], true
		case 0x85:
			ciphertext, padded = t.Value, true
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
	if padded && len(ciphertext) > 0 {
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

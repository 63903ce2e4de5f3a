// Package kdf holds the symmetric building blocks that chip and reader share:
// key derivation, retail MAC, AES-CMAC, padding. ICAO Doc 9303-11 §9.7, §9.8.
package kdf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
)

// Cipher is one of the four that Doc 9303 knows.
type Cipher uint8

const (
	TDES Cipher = iota + 1
	AES128
	AES192
	AES256
)

func (c Cipher) String() string {
	return [...]string{"?", "3DES", "AES-128", "AES-192", "AES-256"}[min(int(c), 4)]
}

// KeyLen is the key's length in bytes.
func (c Cipher) KeyLen() int { return map[Cipher]int{TDES: 16, AES128: 16, AES192: 24, AES256: 32}[c] }

// BlockLen is the block's length in bytes.
func (c Cipher) BlockLen() int {
	if c == TDES {
		return des.BlockSize
	}
	return aes.BlockSize
}

// What a derived key is for (§9.7.1).
const (
	Encryption uint32 = 1
	MAC        uint32 = 2
	Password   uint32 = 3
)

// Secret is SHA-1 of the MRZ information, all 20 bytes, from which the keys of
// BAC and PACE come. Doc 9303-11 §4.3.2, §9.7.3. The hash works on copies on the
// stack, and nobody overwrites a stack whose goroutine has ended: a document's
// number and a birth date would lie there until it is used again.
func Secret(information string) []byte {
	out := make([]byte, sha1.Size)
	overwriteStack() // which makes room: a stack that grows leaves its old bytes
	digest(out, information)
	overwriteStack()
	return out
}

//go:noinline
func digest(out []byte, information string) {
	h := sha1.Sum([]byte(information))
	copy(out, h[:])
}

// overwriteStack zeroes more of the stack below its caller than a hash uses.
//
//go:noinline
func overwriteStack() {
	var b [8 << 10]byte
	runtime.KeepAlive(&b)
}

// Derive is KDF(secret, counter): SHA-1 for 3DES and AES-128, SHA-256 for the
// longer keys; 3DES keys get odd parity. §9.7.1.
func Derive(c Cipher, secret []byte, counter uint32) []byte {
	in := append(append([]byte(nil), secret...), byte(counter>>24), byte(counter>>16), byte(counter>>8), byte(counter))
	defer clear(in)
	if c == AES192 || c == AES256 {
		h := sha256.Sum256(in)
		return h[:c.KeyLen():c.KeyLen()]
	}
	h := sha1.Sum(in)
	key := h[:16:16]
	if c == TDES {
		parity(key)
	}
	return key
}

// parity sets every byte's lowest bit so that it has an odd number of ones.
func parity(key []byte) {
	for i, b := range key {
		ones := 0
		for k := 1; k < 8; k++ {
			ones += int(b>>k) & 1
		}
		key[i] = b&0xFE | byte(1-ones%2)
	}
}

// Block returns the block cipher of a key. Two-key 3DES is K1‖K2‖K1.
func Block(c Cipher, key []byte) (cipher.Block, error) {
	if c < TDES || c > AES256 || len(key) != c.KeyLen() {
		return nil, fmt.Errorf("kdf: a key of %d bytes for %v", len(key), c)
	}
	if c == TDES {
		return des.NewTripleDESCipher(append(append([]byte(nil), key...), key[:8]...))
	}
	return aes.NewCipher(key)
}

// Pad appends 80 and as many zeros as fill the last block of n bytes
// (ISO/IEC 9797-1 method 2).
func Pad(b []byte, n int) []byte {
	b = append(append([]byte(nil), b...), 0x80)
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

// ErrPadding says that there was no padding of method 2.
var ErrPadding = errors.New("kdf: wrong padding")

// Unpad removes what Pad appended.
func Unpad(b []byte) ([]byte, error) {
	for i := len(b) - 1; i >= 0; i-- {
		switch b[i] {
		case 0:
		case 0x80:
			return b[:i], nil
		default:
			return nil, ErrPadding
		}
	}
	return nil, ErrPadding
}

// CBC encrypts or decrypts whole blocks with the given initial vector.
func CBC(b cipher.Block, iv, in []byte, encrypt bool) ([]byte, error) {
	n := b.BlockSize()
	if len(in)%n != 0 || len(iv) != n {
		return nil, fmt.Errorf("kdf: %d bytes are no whole blocks of %d", len(in), n)
	}
	out := make([]byte, len(in))
	if encrypt {
		cipher.NewCBCEncrypter(b, iv).CryptBlocks(out, in)
	} else {
		cipher.NewCBCDecrypter(b, iv).CryptBlocks(out, in)
	}
	return out, nil
}

// Authenticate returns the 8-byte MAC of a message that is already padded for
// 3DES: retail MAC (ISO/IEC 9797-1 algorithm 3) for 3DES, and AES-CMAC (SP
// 800-38B) truncated to 8 bytes for AES. §9.8.6.
func Authenticate(c Cipher, key, message []byte) ([]byte, error) {
	if c == TDES {
		return retail(key, message)
	}
	return cmac(c, key, message)
}

// Equal compares two MACs in constant time.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func retail(key, message []byte) ([]byte, error) {
	if len(key) != 16 || len(message)%8 != 0 || len(message) == 0 {
		return nil, fmt.Errorf("kdf: retail MAC of %d bytes with a key of %d", len(message), len(key))
	}
	k1, err := des.NewCipher(key[:8])
	if err != nil {
		return nil, err
	}
	k2, err := des.NewCipher(key[8:])
	if err != nil {
		return nil, err
	}
	chain := make([]byte, 8)
	for m := message; len(m) > 0; m = m[8:] {
		subtle.XORBytes(chain, chain, m[:8])
		k1.Encrypt(chain, chain)
	}
	k2.Decrypt(chain, chain)
	k1.Encrypt(chain, chain)
	return chain, nil
}

func cmac(c Cipher, key, message []byte) ([]byte, error) {
	b, err := Block(c, key)
	if err != nil {
		return nil, err
	}
	k := make([]byte, 16)
	b.Encrypt(k, k)
	double(k)
	last := make([]byte, 16)
	n := len(message) / 16 * 16
	if n == len(message) && n > 0 {
		n -= 16
		copy(last, message[n:])
	} else {
		copy(last, append(append([]byte(nil), message[n:]...), 0x80))
		double(k)
	}
	subtle.XORBytes(last, last, k)
	chain := make([]byte, 16)
	for m := message[:n]; len(m) > 0; m = m[16:] {
		subtle.XORBytes(chain, chain, m[:16])
		b.Encrypt(chain, chain)
	}
	subtle.XORBytes(chain, chain, last)
	b.Encrypt(chain, chain)
	return chain[:8], nil
}

// double multiplies by x in GF(2^128).
func double(b []byte) {
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		next := b[i] >> 7
		b[i] = b[i]<<1 | carry
		carry = next
	}
	if carry == 1 {
		b[len(b)-1] ^= 0x87
	}
}

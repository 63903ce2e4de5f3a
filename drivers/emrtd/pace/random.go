package pace

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"passage/drivers/emrtd/kdf"
)

// constants c0 and c1 of the integrated mapping, for nonces of 128 bits (3DES
// and AES-128) and of 256 bits (AES-192 and AES-256). Doc 9303-11 §4.4.3.3.2.
var constants = map[int][2]string{
	16: {"a668892a7c41e3ca739f40b057d85904", "a4e136ac725f738b01c1f60217c188ad"},
	32: {
		"d463d65234124ef7897054986dca0a174e28df758cbaa03f240616414d5a1676",
		"54bd7255f0aaf831bec3423fcf39d69b6cbf066677d0faae5aadd99df8e53517",
	},
}

// pseudorandom expands the chip's nonce s and the reader's t to 64 bits more
// than the field has, so that the reduction's bias does not matter.
func pseudorandom(c kdf.Cipher, s, t []byte, bits int) ([]byte, error) {
	length := 16
	if c == kdf.AES192 || c == kdf.AES256 {
		length = 32
	}
	if len(s) != length || len(t) != c.KeyLen() {
		return nil, fmt.Errorf("pace: nonces of %d and %d bytes for %v", len(s), len(t), c)
	}
	var c0, c1 []byte
	var err error
	if c0, err = hex.DecodeString(constants[length][0]); err == nil {
		c1, err = hex.DecodeString(constants[length][1])
	}
	if err != nil {
		return nil, err
	}
	step := func(key, in []byte) []byte {
		if err != nil {
			return nil
		}
		block, berr := kdf.Block(c, key[:c.KeyLen()])
		if err = berr; err != nil {
			return nil
		}
		var out []byte
		out, err = kdf.CBC(block, make([]byte, block.BlockSize()), in, true)
		return out
	}
	key := step(t, s)
	var out bytes.Buffer
	for err == nil && 8*out.Len() < bits+64 {
		out.Write(step(key, c1))
		key = step(key, c0)
	}
	return out.Bytes(), err
}

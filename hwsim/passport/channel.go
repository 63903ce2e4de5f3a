package passport

import (
	"bytes"
	"crypto/cipher"
	"math/big"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

// channel is the card's side of secure messaging (§9.8).
type channel struct {
	cipher kdf.Cipher
	block  cipher.Block
	mac    []byte
	ssc    *big.Int
}

func newChannel(c kdf.Cipher, secret, ssc []byte) *channel {
	block, err := kdf.Block(c, kdf.Derive(c, secret, kdf.Encryption))
	if err != nil {
		return nil
	}
	return &channel{cipher: c, block: block, mac: kdf.Derive(c, secret, kdf.MAC), ssc: new(big.Int).SetBytes(ssc)}
}

func (ch *channel) counter() []byte {
	n := ch.cipher.BlockLen()
	v := new(big.Int).Mod(ch.ssc, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	return v.FillBytes(make([]byte, n))
}

func (ch *channel) step(by int64) { ch.ssc.Add(ch.ssc, big.NewInt(by)) }

func (ch *channel) vector() []byte {
	iv := make([]byte, ch.cipher.BlockLen())
	if ch.cipher != kdf.TDES {
		ch.block.Encrypt(iv, ch.counter())
	}
	return iv
}

func (ch *channel) tag(message []byte) []byte {
	t, err := kdf.Authenticate(ch.cipher, ch.mac, kdf.Pad(append(ch.counter(), message...), ch.cipher.BlockLen()))
	if err != nil {
		return nil
	}
	return t
}

// open verifies and decrypts a command.
func (ch *channel) open(c apdu.Command) (apdu.Command, bool) {
	ch.step(1)
	list, err := lds.All(c.Data)
	if err != nil {
		return c, false
	}
	plain := apdu.Command{CLA: c.CLA &^ 0x0C, INS: c.INS, P1: c.P1, P2: c.P2}
	var body, mac, crypt []byte
	for _, t := range list {
		switch t.Tag {
		case 0x8E:
			mac = t.Value
			continue
		case 0x87:
			if len(t.Value) < 1 || t.Value[0] != 1 || c.INS&1 == 1 {
				return c, false
			}
			crypt = t.Value[1:]
		case 0x85:
			crypt = t.Value
		case 0x97:
			for _, b := range t.Value {
				plain.Ne = plain.Ne<<8 | int(b)
			}
			if plain.Ne == 0 {
				plain.Ne = 256
				if len(t.Value) == 2 {
					plain.Ne = 65536
				}
			}
		}
		body = append(body, t.Raw...)
	}
	message := append(kdf.Pad([]byte{c.CLA, c.INS, c.P1, c.P2}, ch.cipher.BlockLen()), body...)
	if len(mac) != 8 || !kdf.Equal(mac, ch.tag(message)) {
		return c, false
	}
	if crypt != nil {
		b, err := kdf.CBC(ch.block, ch.vector(), crypt, false)
		if err != nil {
			return c, false
		}
		if plain.Data, err = kdf.Unpad(b); err != nil {
			return c, false
		}
	}
	return plain, true
}

// protect encrypts and authenticates an answer; a command with an odd
// instruction is answered without a padding indicator.
func (ch *channel) protect(ins byte, data []byte, status uint16) []byte {
	ch.step(1)
	var body []byte
	if len(data) > 0 {
		crypt, err := kdf.CBC(ch.block, ch.vector(), kdf.Pad(data, ch.cipher.BlockLen()), true)
		if err != nil {
			return sw(0x6F00)
		}
		if ins&1 == 1 {
			body = lds.Make(0x85, crypt)
		} else {
			body = lds.Make(0x87, []byte{1}, crypt)
		}
	}
	body = append(body, lds.Make(0x99, sw(status))...)
	body = append(body, lds.Make(0x8E, ch.tag(body))...)
	return answer(body, status)
}

// fit is how many plain bytes a protected answer of at most room bytes holds.
func (ch *channel) fit(ins byte, room int) int {
	room -= 4 + 10 // DO99, DO8E
	indicator := 1 - int(ins&1)
	for head := 4; head >= 2; head-- {
		blocks := (room - head - indicator) / ch.cipher.BlockLen() * ch.cipher.BlockLen()
		if blocks > 0 && len(lds.Make(0x87, make([]byte, blocks+indicator))) <= room {
			best := blocks - 1
			// A shorter header may leave room for one more block.
			if more := blocks + ch.cipher.BlockLen(); len(lds.Make(0x87, make([]byte, more+indicator))) <= room {
				best = more - 1
			}
			return best
		}
	}
	return 0
}

// sw is a status word in bytes.
func sw(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

func answer(data []byte, v uint16) []byte { return append(bytes.Clone(data), sw(v)...) }

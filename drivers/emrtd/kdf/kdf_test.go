package kdf

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// ICAO Doc 9303-11 App D.1: keys from a seed, D.4: a MAC.
func TestAppendixD(t *testing.T) {
	seed := unhex("239AB9CB282DAF66231DC5A4DF6BFBAE")
	if got := Derive(TDES, seed, Encryption); !bytes.Equal(got, unhex("AB94FDECF2674FDFB9B391F85D7F76F2")) {
		t.Errorf("Kenc %X", got)
	}
	if got := Derive(TDES, seed, MAC); !bytes.Equal(got, unhex("7962D9ECE03D1ACD4C76089DCE131543")) {
		t.Errorf("Kmac %X", got)
	}
	mac, err := Authenticate(TDES, unhex("7962D9ECE03D1ACD4C76089DCE131543"),
		Pad(unhex("72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F2"), 8))
	if err != nil || !bytes.Equal(mac, unhex("5F1448EEA8AD90A7")) {
		t.Errorf("MAC %X, %v", mac, err)
	}
}

// NIST SP 800-38B App D.1, AES-128, truncated to 8 bytes.
func TestCMAC(t *testing.T) {
	key := unhex("2B7E151628AED2A6ABF7158809CF4F3C")
	m := unhex("6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E5130C81C46A35CE411")
	for _, c := range []struct {
		n    int
		want string
	}{{0, "BB1D6929E9593728"}, {16, "070A16B46B4D4144"}, {40, "DFA66747DE9AE630"}} {
		if got, err := Authenticate(AES128, key, m[:c.n]); err != nil || !bytes.Equal(got, unhex(c.want)) {
			t.Errorf("%d bytes: %X, %v", c.n, got, err)
		}
	}
}

func TestPadding(t *testing.T) {
	for n := range 33 {
		b := bytes.Repeat([]byte{0}, n)
		back, err := Unpad(Pad(b, 16))
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%d bytes: %X, %v", n, back, err)
		}
	}
	for _, bad := range [][]byte{nil, {0}, {1, 2}, {0x80, 1}} {
		if _, err := Unpad(bad); err == nil {
			t.Errorf("%X has no padding", bad)
		}
	}
}

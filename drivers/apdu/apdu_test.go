package apdu

import (
	"bytes"
	"errors"
	"testing"
)

func TestEncoding(t *testing.T) {
	for _, c := range []struct {
		name string
		c    Command
		head []byte
		n    int
	}{
		{"case 1", Command{INS: 0xA4}, []byte{0, 0xA4, 0, 0}, 4},
		{"case 2", Command{INS: 0xB0, Ne: 256}, []byte{0, 0xB0, 0, 0, 0}, 5},
		{"case 2 extended", Command{INS: 0xB0, Ne: 65536}, []byte{0, 0xB0, 0, 0, 0, 0, 0}, 7},
		{"case 3", Command{INS: 0xA4, Data: []byte{1, 2}}, []byte{0, 0xA4, 0, 0, 2, 1, 2}, 7},
		{"case 4", Command{INS: 0x84, Data: []byte{1}, Ne: 8}, []byte{0, 0x84, 0, 0, 1, 1, 8}, 7},
		{"case 4 extended", Command{INS: 0x86, Data: make([]byte, 256), Ne: 1}, []byte{0, 0x86, 0, 0, 0, 1, 0}, 4 + 3 + 256 + 2},
		{"case 4 extended by Ne", Command{INS: 0x86, Data: []byte{9}, Ne: 300}, []byte{0, 0x86, 0, 0, 0, 0, 1, 9, 1, 44}, 10},
	} {
		b, err := c.c.Bytes()
		if err != nil || len(b) != c.n || !bytes.HasPrefix(b, c.head) {
			t.Errorf("%s: % X, %v", c.name, b, err)
			continue
		}
		back, err := Parse(b)
		if err != nil || back.Ne != c.c.Ne || !bytes.Equal(back.Data, c.c.Data) {
			t.Errorf("%s: parsed back as %+v, %v", c.name, back, err)
		}
	}
	if _, err := (Command{Ne: 65537}).Bytes(); err == nil {
		t.Error("65,537 expected bytes were encoded")
	}
}

func TestParseResponse(t *testing.T) {
	if _, err := ParseResponse([]byte{0x90}); !errors.Is(err, ErrRemoved) {
		t.Errorf("one byte: %v", err)
	}
	r, err := ParseResponse([]byte{1, 2, 0x62, 0x82})
	if err != nil || r.SW != EndOfFile || len(r.Data) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0x0C, 7, 0xA0, 0, 0, 2, 0x47, 0x10, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		again, err := c.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(again); err != nil || back.Ne != c.Ne || !bytes.Equal(back.Data, c.Data) {
			t.Errorf("% X became %+v", b, back)
		}
		_, _ = ParseResponse(b)
	})
}

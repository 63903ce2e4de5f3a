package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

const name = "Quokkaberg"

func wide(s string, high bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if high {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

// Every form is found, whatever stands around it and wherever the reader's
// pieces end.
func TestFinds(t *testing.T) {
	forms := map[string][]byte{
		"plain": []byte("surname=" + name + ";"), "upper": []byte(strings.ToUpper(name)), "lower": []byte(strings.ToLower(name)),
		"hex": []byte(hex.EncodeToString([]byte("x" + name + "y"))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(name)))),
		"UTF-16LE": wide(name, false), "UTF-16BE": wide(name, true),
	}
	for i := range 6 {
		text := strings.Repeat("#", i) + strings.ToUpper(name) + strings.Repeat("?", i%4)
		forms["base64"+strings.Repeat("+", i)] = []byte(base64.StdEncoding.EncodeToString([]byte(text)))
		forms["base64url"+strings.Repeat("+", i)] = []byte(base64.URLEncoding.EncodeToString([]byte(text)))
	}
	doc, err := json.Marshal(map[string][]byte{"body": []byte(`{"surname":"` + name + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	forms["bytes in JSON"] = doc
	var f Finder
	f.Plant("surname", []byte(name))
	f.Plant("portrait", []byte{0xFF, 0xD8, 0, 1, 2, 3, 4, 5})
	r := rand.New(rand.NewPCG(1, 2))
	for what, form := range forms {
		hay := make([]byte, piece+100)
		for i := range hay {
			hay[i] = byte(r.Uint32())
		}
		if found := f.In(hay); len(found) > 0 {
			t.Fatalf("noise is %q", found)
		}
		copy(hay[piece-len(form)/2:], form)
		if found := f.In(form); len(found) == 0 {
			t.Errorf("%s is not found", what)
		}
		if found, err := f.Through(iotest.HalfReader(bytes.NewReader(hay))); err != nil || len(found) == 0 {
			t.Errorf("%s is not found where two pieces meet: %v", what, err)
		}
	}
	if found := f.In([]byte{9, 0xFF, 0xD8, 0, 1, 2, 3, 4, 5, 9}); len(found) != 1 || !strings.HasPrefix(found[0], "portrait in ") {
		t.Error(found)
	}
	if found := f.In([]byte(name[:len(name)-1])); len(found) != 0 {
		t.Errorf("a part of it is taken for all: %q", found)
	}
}

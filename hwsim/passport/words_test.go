package passport_test

import (
	"strings"
	"testing"

	"passage/drivers/emrtd"
	"passage/hwsim/passport"
)

// A whole reading is told in words, also what goes under secure messaging.
func TestTell(t *testing.T) {
	card, store := laid(t, "pace", nil, nil)
	var told []string
	card.Tap = func(e passport.Exchange) {
		text, bad := e.Tell()
		if bad {
			t.Errorf("%s is told as bad", text)
		}
		told = append(told, text)
	}
	if _, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now}); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(told, "\n")
	for _, w := range []string{"SELECT application A0000002471001", "MSE:Set AT for PACE", "GENERAL AUTHENTICATE, mapping", "[SM] READ BINARY EF.DG1", "9000 ok"} {
		if !strings.Contains(all, w) {
			t.Errorf("nothing says %q:\n%s", w, all)
		}
	}
	if n := card.Stats().APDUs; n != len(told) {
		t.Errorf("%d commands, %d told", n, len(told))
	}
}

func FuzzTell(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0x0C, 7, 0xA0, 0, 0, 2, 0x47, 0x10, 1}, []byte{0x90, 0})
	f.Add([]byte{0, 0x86, 0, 0, 2, 0x7C, 0, 0}, []byte{0x61, 0x10})
	f.Add([]byte{0x10}, []byte{})
	f.Fuzz(func(t *testing.T, command, reply []byte) {
		if text, _ := (passport.Exchange{Command: command, Reply: reply}).Tell(); text == "" {
			t.Error("nothing is told")
		}
	})
}

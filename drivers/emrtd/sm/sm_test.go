package sm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// steps of ICAO Doc 9303-11 App D.4: SELECT EF.COM, read its head, read the rest.
var steps = []struct {
	plain, command, answer, data string
}{
	{"00A4020C02011E", "0CA4020C158709016375432908C044F68E08BF8B92D635FF24F800", "990290008E08FA855A5D4C50A8ED9000", ""},
	{"00B0000004", "0CB000000D9701048E08ED6705417E96BA5500", "8709019FF0EC34F9922651990290008E08AD55CC17140B2DED9000", "60145F01"},
	{"00B0000412", "0CB000040D9701128E082EA28A70F3C7B53500", "871901FB9235F4E4037F2327DCC8964F1F9B8C30F42C8E2FFF224A990290008E08C8B2787EAEA07D749000", "04303130365F36063034303030305C026175"},
}

func appendixD(t testing.TB) *Session {
	t.Helper()
	s, err := Resume(kdf.TDES, unhex("979EC13B1CBFE9DCD01AB0FED307EAE5"), unhex("F1CB1F1FB5ADF208806B89DC579DC1F8"), unhex("887022120C06C226"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAppendixD4(t *testing.T) {
	s := appendixD(t)
	for _, x := range steps {
		c, err := apdu.Parse(unhex(x.plain))
		if err != nil {
			t.Fatal(err)
		}
		w, err := s.Wrap(c)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := w.Bytes(); err != nil || !bytes.Equal(b, unhex(x.command)) {
			t.Errorf("command %X, %v, want %s", b, err, x.command)
		}
		r, err := apdu.ParseResponse(unhex(x.answer))
		if err != nil {
			t.Fatal(err)
		}
		if r, err = s.Unwrap(r); err != nil || r.SW != apdu.OK || !bytes.Equal(r.Data, unhex(x.data)) {
			t.Errorf("answer %X %v, %v", r.Data, r.SW, err)
		}
	}
	if !bytes.Equal(s.ssc, unhex("887022120C06C22C")) {
		t.Errorf("SSC %X", s.ssc)
	}
}

// No byte of an answer can be changed, dropped or added to.
func TestChangedAnswers(t *testing.T) {
	answer := unhex(steps[1].answer)
	try := func(name string, b []byte) {
		t.Helper()
		s := appendixD(t)
		s.count()
		s.count()
		if _, err := s.Wrap(apdu.Command{INS: 0xB0, Ne: 4}); err != nil {
			t.Fatal(err)
		}
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return
		}
		if _, err := s.Unwrap(r); (err == nil) != bytes.Equal(b, answer) || err != nil && !errors.Is(err, ErrMAC) && !errors.Is(err, ErrNaked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	try("as it was", answer)
	for i := range len(answer) - 2 {
		bad := bytes.Clone(answer)
		bad[i] ^= 1
		try("changed", bad)
		try("cut", append(bytes.Clone(answer[:i]), 0x90, 0))
	}
	tail := answer[len(answer)-2:]
	for _, more := range []string{"99026A82", "8709019FF0EC34F9922651", "8E0100", "81020000"} {
		try("with more", append(append(bytes.Clone(answer[:len(answer)-2]), unhex(more)...), tail...))
		try("with more before", append(unhex(more), answer...))
	}
}

// A naked status word keeps its word and moves the counter once; Back undoes it.
func TestNaked(t *testing.T) {
	s := appendixD(t)
	before := bytes.Clone(s.ssc)
	if _, err := s.Wrap(apdu.Command{INS: 0xB0, Ne: 4}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Unwrap(apdu.Response{SW: apdu.WrongLength})
	if !errors.Is(err, ErrNaked) || !apdu.HasStatus(err, apdu.WrongLength) {
		t.Error(err)
	}
	if s.Back(); !bytes.Equal(s.ssc, before) {
		t.Errorf("SSC %X", s.ssc)
	}
}

// Capacity is exact: that many bytes fit, and one more do not.
func TestCapacity(t *testing.T) {
	for _, c := range []kdf.Cipher{kdf.TDES, kdf.AES128} {
		s, err := New(c, []byte("a secret"), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer := func(n int) int {
			return len(lds.Make(0x87, []byte{1}, kdf.Pad(make([]byte, n), c.BlockLen()))) + tail
		}
		for _, size := range []int{64, 127, 128, 130, 140, 200, 255, 256, 270, 280, 1024, 2048, 4096, 65535, 65536, 65600} {
			n := s.Capacity(size)
			if n < 1 || answer(n) > size || answer(n+1) <= size {
				t.Errorf("%v: %d of %d bytes: an answer of %d, and one of %d more", c, n, size, answer(n), answer(n+1)-answer(n))
			}
		}
		if n := s.Capacity(256); n != map[kdf.Cipher]int{kdf.TDES: 231, kdf.AES128: 223}[c] {
			t.Errorf("%v: %d bytes in a short answer", c, n)
		}
		if n := s.Capacity(20); n != 0 {
			t.Errorf("%v: %d bytes in 20", c, n)
		}
	}
}

// FuzzUnwrap: an answer that was not made with the session's keys is never
// believed, and none does harm. To see the target at work, let Unwrap skip the
// comparison of the MAC: the first seconds find an answer that is believed.
func FuzzUnwrap(f *testing.F) {
	for _, x := range steps {
		f.Add(unhex(x.answer))
	}
	f.Add(unhex("990290009000"))
	f.Add(unhex("6A82"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := New(kdf.AES128, []byte("another secret"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Wrap(apdu.Command{INS: 0xB0, Ne: 4}); err != nil {
			t.Fatal(err)
		}
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return
		}
		if got, err := s.Unwrap(r); err == nil {
			t.Errorf("%X is believed: %X", b, got.Data)
		}
	})
}

// What building the next command ahead of an answer could save at most.
func BenchmarkWrap(b *testing.B) {
	for _, c := range []kdf.Cipher{kdf.TDES, kdf.AES128, kdf.AES256} {
		b.Run(c.String(), func(b *testing.B) {
			s, err := New(c, make([]byte, 32), make([]byte, 8))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Wrap(apdu.Command{INS: 0xB0, P1: 1, P2: 2, Ne: 223}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

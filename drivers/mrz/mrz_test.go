package mrz

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	one = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<"
	two = "L898902C36UTO7408122F1204159ZE184226B<<<<<10"
)

func TestFramings(t *testing.T) {
	for _, c := range []struct {
		f    Framing
		text string
	}{
		{STX, "\x02" + one + "\r" + two + "\x03"},
		{STX, "garb\x02age" + "\x02" + one + "\r" + two + "\x03"},
		{Lines, one + "\r\n" + two + "\r\n"},
		{Lines, "noise\r\n" + one + "\n" + two + "\n"},
		{CR, one + "\r" + two + "\r\r"},
	} {
		m, err := New(iotest{strings.NewReader(c.text)}, c.f).Read(t.Context())
		if err != nil || m.Number != "L898902C3" {
			t.Errorf("%s %q: %v", c.f, c.text, err)
		}
	}
}

// The reader's buffer outlives the traveller; their zone does not.
func TestNothingStays(t *testing.T) {
	for f, text := range map[Framing]string{STX: "\x02" + one + "\r" + two + "\x03", Lines: one + "\r\n" + two + "\r\n", CR: one + "\r" + two + "\r\r"} {
		r := New(strings.NewReader(text), f)
		if _, err := r.Read(t.Context()); err != nil {
			t.Fatal(f, err)
		}
		if rest := string(r.buf[:cap(r.buf)]); strings.Contains(rest, "ERIKSSON") || strings.Contains(rest, "L898902C3") {
			t.Errorf("%s: %q", f, rest)
		}
	}
}

// falteringLine sends what it has and is silent then, a tenth of a second at a
// time.
type falteringLine struct{ text string }

func (l *falteringLine) Read(b []byte) (int, error) {
	n := copy(b, l.text)
	if l.text = l.text[n:]; n == 0 {
		time.Sleep(100 * time.Millisecond)
	}
	return n, nil
}

func TestBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		line := &falteringLine{"\x02" + one}
		r := New(line, STX)
		if _, err := r.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if rest := string(r.buf[:cap(r.buf)]); strings.Contains(rest, "ERIKSSON") {
			t.Errorf("%q", rest)
		}
		line.text = "\x02" + one + "\r" + two + "\x03"
		if _, err := r.Read(t.Context()); err != nil {
			t.Errorf("the next zone: %v", err)
		}
	})
}

// iotest gives one byte at a time, as a slow line does.
type iotest struct{ io.Reader }

func (r iotest) Read(b []byte) (int, error) { return r.Reader.Read(b[:1]) }

func TestUnreadable(t *testing.T) {
	r := New(strings.NewReader("\x02"+one+"\r"+strings.Replace(two, "6UTO", "7UTO", 1)+"\x03"+"\x02"+one+"\r"+two+"\x03"), STX)
	if _, err := r.Read(t.Context()); !errors.Is(err, ErrUnreadable) {
		t.Errorf("a wrong check digit: %v", err)
	}
	if _, err := r.Read(t.Context()); err != nil {
		t.Errorf("the good one behind it: %v", err)
	}
	long := New(strings.NewReader(strings.Repeat("A", 10_000)), STX)
	if _, err := long.Read(t.Context()); !errors.Is(err, io.EOF) || len(long.buf) > 4*most {
		t.Errorf("endless garbage: %v, %d bytes kept", err, len(long.buf))
	}
}

// FuzzRead sends a line's bytes in any framing: nothing may panic, the buffer
// stays small, and what is accepted is a zone.
func FuzzRead(f *testing.F) {
	framings := []Framing{STX, Lines, CR}
	f.Add("\x02"+one+"\r"+two+"\x03", byte(0))
	f.Add("\x02"+one+"\x02"+one+"\r"+two+"\x03\x03", byte(0))
	f.Add("noise\n"+one+"\r\n"+two+"\r\n", byte(1))
	f.Add(one+"\r"+two+"\r\r", byte(2))
	f.Add(strings.Repeat("\r\n", 700), byte(1))
	f.Fuzz(func(t *testing.T, s string, framing byte) {
		r := New(strings.NewReader(s), framings[int(framing)%len(framings)])
		for range len(s) + 1 {
			m, err := r.Read(t.Context())
			if len(r.buf) > 4*most {
				t.Fatal(len(r.buf), "bytes kept")
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && len(m.Lines()) < 2 {
				t.Error("a zone without lines")
			}
			if err != nil && !errors.Is(err, ErrUnreadable) {
				t.Errorf("%v is of no class", err)
			}
		}
		t.Error("the line's end is never told")
	})
}

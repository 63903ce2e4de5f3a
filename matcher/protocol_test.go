package matcher_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"passage/matcher"
)

// wire is one message as Write sends it.
func wire(t testing.TB, k matcher.Kind, header any, payload []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := matcher.Write(&b, k, header, payload); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMessagesSurviveTheWire(t *testing.T) {
	f := matcher.Frame{Width: 3, Height: 2, Pixels: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}, AgeMS: 12}
	var b bytes.Buffer
	if err := matcher.WriteFrame(&b, f); err != nil {
		t.Fatal(err)
	}
	got, err := matcher.ReadFrame(&b)
	if err != nil || got.Width != 3 || got.Height != 2 || got.AgeMS != 12 || !bytes.Equal(got.Pixels, f.Pixels) {
		t.Errorf("%+v, %v", got, err)
	}
	var a matcher.Analysis
	sent := matcher.Analysis{Faces: []matcher.Face{{X: 1, W: 90, Score: .5}}, Descriptor: []float32{.25, -.5}}
	if _, err := matcher.Read(bytes.NewReader(wire(t, matcher.KindFindings, sent, nil)), matcher.KindFindings, &a); err != nil || len(a.Faces) != 1 || a.Faces[0].W != 90 || a.Descriptor[1] != -.5 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := matcher.WriteProblem(&b, errors.New("the lens is\x1b[2J off")); err != nil {
		t.Fatal(err)
	}
	if _, err = matcher.ReadFrame(&b); err == nil || !strings.HasSuffix(err.Error(), "the lens is?[2J off") {
		t.Errorf("a problem became %v", err)
	}
	if _, err := matcher.ReadFrame(&b); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

// What breaks the protocol is refused, before anything is allocated for it.
func TestReadRefuses(t *testing.T) {
	good := wire(t, matcher.KindFindings, matcher.Analysis{}, nil)
	with := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	long := func(i int, n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[i:], n)
		return b
	}
	raw := func(header string) []byte {
		b := append([]byte{'P', 'v', 1, byte(matcher.KindFindings)}, binary.BigEndian.AppendUint32(nil, uint32(len(header)))...)
		return append(append(b, 0, 0, 0, 0), header...)
	}
	for name, b := range map[string][]byte{
		"another protocol":    with(0, 'Q'),
		"another version":     with(2, 2),
		"another kind":        with(3, byte(matcher.KindPicture)),
		"no kind":             with(3, 200),
		"a header of 4 GB":    long(4, math.MaxUint32),
		"a payload of 4 GB":   long(8, math.MaxUint32),
		"a payload it has no": long(8, 1),
		"cut in the prefix":   good[:7],
		"cut in the header":   good[:len(good)-1],
		"an unknown field":    raw("\xa1\x65spoof\x01"),
		"a field twice":       raw("\xa2\x65faces\x80\x65faces\x80"),
		"an endless array":    raw("\xa1\x65faces\x9f\xff"),
		"a million faces":     raw("\xa1\x65faces\x9a\x00\x0f\x42\x40"),
		"a tag":               raw("\xa1\x65faces\xc1\x80"),
		"not a number":        raw("\xa1\x6adescriptor\x81\xf9\x7e\x00"),
		"infinity":            raw("\xa1\x6adescriptor\x81\xf9\x7c\x00"),
		"another type":        raw("\xa1\x65faces\x63abc"),
		"text behind":         raw("\xa0\xa0"),
	} {
		var a matcher.Analysis
		if _, err := matcher.Read(bytes.NewReader(b), matcher.KindFindings, &a); err == nil {
			t.Errorf("%s is accepted: %+v", name, a)
		}
	}
	if err := matcher.Write(io.Discard, matcher.KindFindings, matcher.Analysis{Descriptor: []float32{float32(math.NaN())}}, nil); err == nil {
		t.Error("NaN is sent")
	}
}

// The lane's end: whatever a worker says.
func FuzzReadFrame(f *testing.F) {
	var b bytes.Buffer
	if err := matcher.WriteFrame(&b, matcher.Frame{Width: 1, Height: 1, Pixels: []byte{1, 2, 3}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(wire(f, matcher.KindProblem, matcher.Problem{Text: "no"}, nil))
	f.Add(binary.BigEndian.AppendUint32([]byte{'P', 'v', 1, 3}, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		if f, err := matcher.ReadFrame(bytes.NewReader(b)); err == nil && !f.Valid() {
			t.Errorf("a frame of %d × %d in %d bytes is accepted", f.Width, f.Height, len(f.Pixels))
		}
	})
}

// The lane's end of an analysis, and that what is understood can be said again.
func FuzzReadFindings(f *testing.F) {
	f.Add(wire(f, matcher.KindFindings, matcher.Analysis{Faces: []matcher.Face{{X: 1}}, Descriptor: []float32{.5}}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a matcher.Analysis
		if _, err := matcher.Read(bytes.NewReader(b), matcher.KindFindings, &a); err != nil {
			return
		}
		if err := matcher.Write(io.Discard, matcher.KindFindings, a, nil); err != nil {
			t.Errorf("%+v was read, but %v", a, err)
		}
	})
}

// The worker's end.
func FuzzReadRequest(f *testing.F) {
	f.Add(wire(f, matcher.KindImage, struct{}{}, []byte("\xFF\xD8\xFF")))
	f.Add(wire(f, matcher.KindLight, matcher.Light{Mean: 90, Want: 120}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := matcher.Read(bytes.NewReader(b), matcher.KindImage, &struct{}{}); err == nil && len(p) > matcher.MaxImage {
			t.Errorf("%d bytes of an image", len(p))
		}
		var l matcher.Light
		if _, err := matcher.Read(bytes.NewReader(b), matcher.KindLight, &l); err == nil && (math.IsNaN(l.Mean) || math.IsInf(l.Want, 0)) {
			t.Errorf("a light of %+v", l)
		}
	})
}

package matcher_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"passage/matcher"
)

// zones are answers with so many lines of so many places.
func zones(shapes ...[2]int) []matcher.Zone {
	var list []matcher.Zone
	for _, s := range shapes {
		z := matcher.Zone{Cost: .25}
		for range s[0] {
			var l [][]matcher.Guess
			for i := range s[1] {
				var place []matcher.Guess
				for k := range matcher.Guesses {
					place = append(place, matcher.Guess{Char: "0O<QDC"[(i+k)%6], Cost: float64(k) / 8})
				}
				l = append(l, place)
			}
			z.Lines = append(z.Lines, l)
		}
		list = append(list, z)
	}
	return list
}

func TestZones(t *testing.T) {
	for _, want := range [][]matcher.Zone{nil, zones([2]int{2, 44}), zones([2]int{3, 30}, [2]int{2, 36}, [2]int{2, 44})} {
		var b bytes.Buffer
		if err := matcher.WriteZones(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := matcher.ReadZones(&b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d zones, %v", len(got), err)
		}
	}
	for name, list := range map[string][]matcher.Zone{
		"no lines":     {{}},
		"uneven lines": {{Lines: [][][]matcher.Guess{zones([2]int{2, 44})[0].Lines[0], zones([2]int{2, 36})[0].Lines[0]}}},
		"few guesses":  {{Lines: [][][]matcher.Guess{{{{Char: 'A'}}}}}},
	} {
		if err := matcher.WriteZones(io.Discard, list); !errors.Is(err, matcher.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, list := range map[string][]matcher.Zone{
		"one line":   zones([2]int{1, 44}),
		"short":      zones([2]int{2, 29}),
		"four zones": zones([2]int{2, 36}, [2]int{2, 36}, [2]int{2, 36}, [2]int{2, 36}),
	} {
		var b bytes.Buffer
		if err := matcher.WriteZones(&b, list); err != nil {
			t.Fatal(name, err)
		}
		if _, err := matcher.ReadZones(&b); !errors.Is(err, matcher.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var b bytes.Buffer
	if err := matcher.WriteZones(&b, zones([2]int{2, 44})); err != nil {
		t.Fatal(err)
	}
	header := int(binary.BigEndian.Uint32(b.Bytes()[4:]))
	b.Bytes()[12+header] = 'a'
	if _, err := matcher.ReadZones(&b); !errors.Is(err, matcher.ErrMessage) {
		t.Errorf("a small letter: %v", err)
	}
}

// The real worker, confined: a page is read, bad images are refused.
func TestPage(t *testing.T) {
	program, _, _ := visiond(t)
	b, err := os.ReadFile("../../shared/data/emrtd/mrz-photos/100_pass-cze.jpg")
	if err != nil {
		t.Skip("test data: ", err)
	}
	list, err := program.Page(t.Context(), b)
	if err != nil || len(list) == 0 {
		t.Fatal(len(list), err)
	}
	text := ""
	for _, place := range list[0].Lines[1] {
		text += string(rune(place[0].Char))
	}
	if text != "99003853<1CZE1101018M1207046110101111<<<<<94" {
		t.Errorf("%q", text)
	}
	if list, err := program.Page(t.Context(), asPNG(t, page(300, 200))); err != nil || len(list) > 0 && list[0].Cost < .5 {
		t.Errorf("a page without a zone: %d, %v", len(list), err)
	}
	var refused *matcher.Problem
	for name, b := range map[string][]byte{"no image": []byte("hello"), "nothing": nil, "a bomb": resized(asJPEG(t, page(90, 120), 80), 65500, 65500), "a huge file": make([]byte, matcher.MaxImage+1)} {
		if _, err := program.Page(t.Context(), b); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The lane's end of a page reading.
func FuzzReadZones(f *testing.F) {
	var b bytes.Buffer
	if err := matcher.WriteZones(&b, zones([2]int{2, 36})); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(wire(f, matcher.KindProblem, matcher.Problem{Text: "no"}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := matcher.ReadZones(bytes.NewReader(b))
		if err != nil {
			return
		}
		if err := matcher.WriteZones(io.Discard, list); err != nil {
			t.Errorf("%d zones were read, but %v", len(list), err)
		}
	})
}

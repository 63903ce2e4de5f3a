package biometric

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"

	"passage/drivers/emrtd/lds"
)

const data = "../../../../shared/data/emrtd/"

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(data + name)
	if err != nil {
		t.Skip("test data: ", err)
	}
	return b
}

func TestRecords(t *testing.T) {
	type row struct {
		name    string
		records [][]byte
		want    []Sample
	}
	rows := []row{{"39794-4", [][]byte{file(t, "finger/sample-39794-4-ed-1-v1.der")}, []Sample{{Kind: Finger, Position: 2, Version: "39794-4", Image: lds.Image{Format: lds.PNG}}}}}
	for name, n := range map[string]int{"DG3": 3, "DG4": 4} {
		list, err := lds.ParseTemplates(lds.Group(n), file(t, "lds/bsi2008/EF_"+name+".bin"))
		if err != nil {
			t.Fatal(name, err)
		}
		r := row{name: name}
		for _, x := range list {
			r.records = append(r.records, x.Record)
		}
		switch n {
		case 3:
			r.want = []Sample{
				{Kind: Finger, Position: 2, Width: 620, Height: 620, Quality: 100, Version: "19794-4", Image: lds.Image{Format: lds.WSQ}},
				{Kind: Finger, Position: 7, Width: 620, Height: 620, Quality: 100, Version: "19794-4", Image: lds.Image{Format: lds.WSQ}},
			}
		case 4:
			r.want = []Sample{
				{Kind: Iris, Position: 1, Width: 163, Height: 149, Quality: 0x33, Version: "19794-6", Image: lds.Image{Format: lds.JPEG2000}},
				{Kind: Iris, Position: 2, Width: 160, Height: 152, Quality: 0x33, Version: "19794-6", Image: lds.Image{Format: lds.JPEG2000}},
			}
		}
		rows = append(rows, r)
	}
	for _, r := range rows {
		var got []Sample
		for _, b := range r.records {
			list, err := Parse(b)
			if err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
			for _, s := range list {
				if s.SHA256 != sha256.Sum256(s.Stream) || !bytes.Contains(b, s.Stream) || len(s.Stream) < 300 {
					t.Errorf("%s: the stream is not the record's", r.name)
				}
				s.Image = lds.Image{Format: s.Format}
				got = append(got, s)
			}
		}
		if !slices.EqualFunc(got, r.want, func(a, b Sample) bool {
			return a.Kind == b.Kind && a.Position == b.Position && a.Width == b.Width && a.Height == b.Height && a.Quality == b.Quality && a.Version == b.Version && a.Format == b.Format
		}) {
			t.Errorf("%s: %+v, want %+v", r.name, got, r.want)
		}
	}
}

// finger makes a finger record with images of the given lengths.
func finger(sizes ...int) []byte {
	b := append([]byte("FIR\x00010\x00"), make([]byte, 24)...)
	b[18] = byte(len(sizes))
	for i, n := range sizes {
		view := make([]byte, 14+n)
		binary.BigEndian.PutUint32(view, uint32(len(view)))
		view[4] = byte(i + 1)
		b = append(b, view...)
	}
	return b
}

// iris makes a record with one eye and images of the given lengths.
func iris(sizes ...int) []byte {
	b := append([]byte("IIR\x00010\x00"), make([]byte, 37)...)
	b[14], b[16] = 1, 45
	b = append(b, 2, 0, byte(len(sizes)))
	for _, n := range sizes {
		b = append(b, make([]byte, 7)...)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		b = append(b, make([]byte, n)...)
	}
	return b
}

func TestRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"cut":            finger(5)[:30],
		"no finger":      finger(),
		"a missing one":  finger(5, 5)[:32+19],
		"one too long":   append(finger(5)[:32], 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"cut iris":       iris(5)[:44],
		"endless irises": append(iris()[:45], 1, 0xFF, 0xFF),
		"a long iris":    append(iris(5)[:48], 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF),
		"no eye":         iris(5)[:45],
		"BER of a face":  lds.Make(0x65, lds.Make(0xA1)),
		"no data":        lds.Make(0x64, lds.Make(0xA1, lds.Make(0x30))),
	} {
		if list, err := Parse(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %d, %v", name, len(list), err)
		}
	}
	if list, err := Parse(iris(3, 4)); err != nil || len(list) != 2 || len(list[1].Stream) != 4 || list[1].Position != 2 {
		t.Errorf("two irises: %+v, %v", list, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(finger(3, 4))
	f.Add(iris(3, 4))
	f.Add(lds.Make(0xA1, lds.Make(0x64, lds.Make(0xA1, lds.Make(0x30, lds.Make(0xA0, lds.Make(0x80, []byte{2})), lds.Make(0x83, []byte("picture")))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := Parse(b)
		if len(list) > most {
			t.Fatal(len(list), "images")
		}
		n := 0
		for _, s := range list {
			if n += len(s.Stream); !bytes.Contains(b, s.Stream) {
				t.Error("an image that the record has not")
			}
		}
		if n > len(b) {
			t.Errorf("%d bytes of images in %d", n, len(b))
		}
	})
}

package picture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"passage/matcher/picture"
)

const pixels = 20_000_000

func gray(w, h int) image.Image {
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	return m
}

func jpg(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, gray(w, h), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ping(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stream is the head of a code stream of one component a name.
func stream(w, h, tw, th uint32, components int) []byte {
	b := []byte{0xFF, 0x4F, 0xFF, 0x51}
	b = binary.BigEndian.AppendUint16(b, uint16(38+3*components))
	b = append(b, 0, 0)
	for _, v := range []uint32{w, h, 0, 0, tw, th, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(components))
	for range components {
		b = append(b, 7, 1, 1)
	}
	return append(b, 0xFF, 0x52, 0, 0)
}

func box(kind string, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), append([]byte(kind), body...)...)
}

func jp2(w, h uint32, code []byte) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, h), w)
	ihdr = append(ihdr, 0, 3, 7, 7, 0, 0)
	b := []byte("\x00\x00\x00\x0CjP  \r\n\x87\n")
	b = append(b, box("ftyp", []byte("jp2 \x00\x00\x00\x00jp2 "))...)
	b = append(b, box("jp2h", box("ihdr", ihdr))...)
	return append(b, box("jp2c", code)...)
}

// exif puts an orientation behind the start of a JPEG.
func exif(b []byte, o binary.AppendByteOrder, mark string, orientation uint16) []byte {
	t := o.AppendUint32(o.AppendUint16([]byte(mark), 42), 8)
	t = o.AppendUint16(t, 1)
	t = o.AppendUint32(o.AppendUint16(o.AppendUint16(t, 0x0112), 3), 1)
	t = append(o.AppendUint16(t, orientation), 0, 0)
	s := append([]byte("Exif\x00\x00"), t...)
	app := append([]byte{0xFF, 0xE1}, binary.BigEndian.AppendUint16(nil, uint16(2+len(s)))...)
	return slices.Concat(b[:2], app, s, b[2:])
}

func TestExamine(t *testing.T) {
	j := jpg(t, 31, 17)
	for _, c := range []struct {
		name string
		b    []byte
		want picture.Header
	}{
		{"JPEG", j, picture.Header{Kind: picture.JPEG, Width: 31, Height: 17, Components: 1, Bits: 8, Orientation: 1}},
		{"JPEG behind other bytes", append(make([]byte, 20), j...), picture.Header{Kind: picture.JPEG, Width: 31, Height: 17, Components: 1, Bits: 8, Orientation: 1, Start: 20}},
		{"JPEG lying on its side", exif(j, binary.LittleEndian, "II", 6), picture.Header{Kind: picture.JPEG, Width: 31, Height: 17, Components: 1, Bits: 8, Orientation: 6}},
		{"JPEG upside down", exif(j, binary.BigEndian, "MM", 3), picture.Header{Kind: picture.JPEG, Width: 31, Height: 17, Components: 1, Bits: 8, Orientation: 3}},
		{"JPEG of an orientation that does not exist", exif(j, binary.BigEndian, "MM", 77), picture.Header{Kind: picture.JPEG, Width: 31, Height: 17, Components: 1, Bits: 8, Orientation: 1}},
		{"PNG", ping(t, gray(9, 8)), picture.Header{Kind: picture.PNG, Width: 9, Height: 8, Components: 1, Bits: 8, Orientation: 1}},
		{"code stream", stream(300, 400, 300, 400, 3), picture.Header{Kind: picture.J2K, Width: 300, Height: 400, Components: 3, Bits: 8, Orientation: 1}},
		{"grey code stream", stream(300, 400, 300, 400, 1), picture.Header{Kind: picture.J2K, Width: 300, Height: 400, Components: 1, Bits: 8, Orientation: 1}},
		{"JP2", jp2(300, 400, stream(300, 400, 300, 400, 3)), picture.Header{Kind: picture.JP2, Width: 300, Height: 400, Components: 3, Bits: 8, Orientation: 1, Stream: 12 + 20 + 30 + 8}},
	} {
		got, err := picture.Examine(c.b, pixels)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestExamineRefuses(t *testing.T) {
	j := jpg(t, 31, 17)
	large := func(w, h uint16) []byte { // the frame header says more than there is
		b := slices.Clone(j)
		i := bytes.Index(b, []byte{0xFF, 0xC0})
		binary.BigEndian.PutUint16(b[i+5:], h)
		binary.BigEndian.PutUint16(b[i+7:], w)
		return b
	}
	huge := ping(t, gray(2, 2))
	binary.BigEndian.PutUint32(huge[16:], 1<<31-1)
	signed := stream(8, 8, 8, 8, 1)
	signed[42] |= 0x80
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, picture.ErrFormat},
		{"text", []byte("a photograph of a cat"), picture.ErrFormat},
		{"GIF", []byte("GIF89a\x01\x00\x01\x00"), picture.ErrFormat},
		{"JPEG too far behind", append(make([]byte, 8000), j...), picture.ErrFormat},
		{"JPEG of 100 megapixels", large(10000, 10000), picture.ErrSize},
		{"JPEG of no width", large(0, 17), picture.ErrHeader},
		{"JPEG cut in its head", j[:30], picture.ErrHeader},
		{"JPEG of one marker", []byte{0xFF, 0xD8, 0xFF}, picture.ErrHeader},
		{"JPEG with scans before its size", []byte{0xFF, 0xD8, 0xFF, 0xDA, 0, 4, 0, 0}, picture.ErrHeader},
		{"PNG of 2 gigapixels a side", huge, picture.ErrSize},
		{"PNG cut", huge[:20], picture.ErrHeader},
		{"code stream of 100 megapixels", stream(10000, 10000, 10000, 10000, 3), picture.ErrSize},
		{"code stream of 4 gigapixels a side", stream(1<<32-1, 1<<32-1, 1<<32-1, 1<<32-1, 3), picture.ErrSize},
		{"code stream of a million tiles", stream(1000, 1000, 1, 1, 3), picture.ErrSize},
		{"code stream of no tiles", stream(1000, 1000, 0, 1, 3), picture.ErrHeader},
		{"code stream of nine components", stream(8, 8, 8, 8, 9), picture.ErrHeader},
		{"code stream of signed pixels", signed, picture.ErrHeader},
		{"code stream cut", stream(8, 8, 8, 8, 3)[:40], picture.ErrHeader},
		{"JP2 that says otherwise", jp2(30, 40, stream(300, 400, 300, 400, 3)), picture.ErrHeader},
		{"JP2 without a code stream", jp2(30, 40, []byte("nothing of the kind")), picture.ErrHeader},
		{"JP2 of one box", []byte("\x00\x00\x00\x0CjP  \r\n\x87\n"), picture.ErrHeader},
	} {
		if h, err := picture.Examine(c.b, pixels); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v; want %v", c.name, h, err, c.want)
		}
	}
}

// Each of the eight orientations is what a camera stores; upright they are the
// same picture.
func TestUpright(t *testing.T) {
	const w, h = 3, 2
	want := make([]byte, 3*w*h)
	for i := range want {
		want[i] = byte(i)
	}
	at := func(x, y int) color.RGBA { i := 3 * (y*w + x); return color.RGBA{want[i], want[i+1], want[i+2], 255} }
	// stored[o] says which upright pixel is stored at (u, v): EXIF's definition
	// by the place of row 0 and column 0.
	stored := map[int]func(u, v int) (x, y int){
		1: func(u, v int) (int, int) { return u, v },
		2: func(u, v int) (int, int) { return w - 1 - u, v },
		3: func(u, v int) (int, int) { return w - 1 - u, h - 1 - v },
		4: func(u, v int) (int, int) { return u, h - 1 - v },
		5: func(u, v int) (int, int) { return v, u },
		6: func(u, v int) (int, int) { return w - 1 - v, u },
		7: func(u, v int) (int, int) { return w - 1 - v, h - 1 - u },
		8: func(u, v int) (int, int) { return v, h - 1 - u },
	}
	for o, from := range stored {
		sw, sh := w, h
		if o >= 5 {
			sw, sh = h, w
		}
		pix := make([]byte, 3*w*h)
		for v := range sh {
			for u := range sw {
				c := at(from(u, v))
				copy(pix[3*(v*sw+u):], []byte{c.R, c.G, c.B})
			}
		}
		if got, gw, gh := picture.Upright(pix, sw, sh, o); gw != w || gh != h || !bytes.Equal(got, want) {
			t.Errorf("orientation %d: %d × %d %v", o, gw, gh, got)
		}
	}
	if got, _, _ := picture.Upright([]byte{1, 2}, 9, 9, 6); len(got) != 2 {
		t.Error("a frame that lies about its size is touched")
	}
}

func FuzzExamine(f *testing.F) {
	j := jpg(f, 31, 17)
	for _, b := range [][]byte{j, exif(j, binary.LittleEndian, "II", 6), ping(f, gray(9, 8)), stream(300, 400, 300, 400, 3), jp2(300, 400, stream(300, 400, 300, 400, 3))} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := picture.Examine(b, pixels)
		if err == nil && (h.Width < 1 || h.Height < 1 || h.Width*h.Height > pixels || h.Start < 0 || h.Start >= len(b) || h.Stream >= len(b) || h.Orientation < 1 || h.Orientation > 8) {
			t.Errorf("%+v is accepted", h)
		}
	})
}

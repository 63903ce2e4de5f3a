package face

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
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

var jpeg = []byte("\xFF\xD8\xFF\xE0 a picture")

func TestRecords(t *testing.T) {
	dg2 := func(name string) []byte {
		record, err := lds.ParseDG2(file(t, name))
		if err != nil {
			t.Fatal(name, err)
		}
		return record
	}
	for _, c := range []struct {
		name   string
		record []byte
		want   Face
	}{
		{"bsi2008", dg2("lds/bsi2008/EF_DG2.bin"), Face{Width: 337, Height: 449, Kind: 1, Version: "19794-5", Portrait: Portrait{Format: JPEG2000}}},
		{"loes2006", dg2("lds/loes2006/EF_DG2.bin"), Face{Width: 449, Height: 598, Kind: 1, Version: "19794-5", Portrait: Portrait{Format: JPEG2000}}},
		{"Test1", file(t, "face/19794-5_Test1.bin"), Face{Width: 148, Height: 70, Kind: 2, Version: "19794-5", Portrait: Portrait{Format: JPEG}}},
		{"39794-5, all fields", dg2("face/39794-5_DG2_AllFields.bin"), Face{Width: 572, Height: 731, Version: "39794-5", Sex: 2, Captured: "20240120", Stature: 1786, Portrait: Portrait{Format: JPEG2000}}},
	} {
		list, err := All(c.record)
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %d faces, %v", c.name, len(list), err)
			continue
		}
		f := list[0]
		if f.Width != c.want.Width || f.Height != c.want.Height || f.Kind != c.want.Kind || f.Version != c.want.Version || f.Format != c.want.Format || f.Captured != c.want.Captured || f.Sex != c.want.Sex || f.Stature != c.want.Stature {
			f.Stream = nil
			t.Errorf("%s: %+v", c.name, f)
		}
		if !bytes.Contains(c.record, f.Stream) || f.SHA256 != sha256.Sum256(f.Stream) || len(f.Stream) < 1000 {
			t.Errorf("%s: the stream is not the record's", c.name)
		}
	}
	// The 39794-5 sample holds the picture of another file, to the byte.
	p, err := Parse(dg2("face/39794-5_DG2_AllFields.bin"))
	if err != nil || p.SHA256 != sha256.Sum256(file(t, "face/silver.jp2")) {
		t.Error("not the known picture", err)
	}
}

// several makes a record of blocks, each with so many feature points.
func several(points ...int) []byte {
	var blocks []byte
	for i, n := range points {
		one := Record(append(bytes.Clone(jpeg), byte(i)), JPEG, 300+i, 400)[header:]
		one = append(one[:block:block], append(make([]byte, point*n), one[block:]...)...)
		binary.BigEndian.PutUint32(one, uint32(len(one)))
		binary.BigEndian.PutUint16(one[4:], uint16(n))
		one[6], one[14], one[15] = 2, 2, 180 // female, 2° of yaw, -2° of pitch
		blocks = append(blocks, one...)
	}
	b := append([]byte("FAC\x00010\x00"), 0, 0, 0, 0, 0, byte(len(points)))
	b = append(b, blocks...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)))
	return b
}

func TestSeveralImages(t *testing.T) {
	list, err := All(several(0, 3, 1))
	if err != nil || len(list) != 3 {
		t.Fatal(len(list), err)
	}
	for i, f := range list {
		if f.Width != 300+i || f.Stream[len(f.Stream)-1] != byte(i) || f.Sex.String() != "F" || f.Pose != (Pose{2, -2, 0}) || f.Points != []int{0, 3, 1}[i] {
			t.Errorf("face %d: %+v", i, f)
		}
	}
	modern := Record39794(jpeg, 300, 400)
	top, err := lds.Parse(modern)
	if err != nil {
		t.Fatal(err)
	}
	blocks := top[0].Path(dataBlock, representations)
	blocks.Children = append(blocks.Children, blocks.Children[0])
	list, err = All(top[0].Append(nil))
	if err != nil || len(list) != 2 || list[1].Width != 300 || !bytes.Equal(list[1].Stream, jpeg) {
		t.Errorf("39794-5: %d, %v", len(list), err)
	}
}

func TestExtensionsArePassedOver(t *testing.T) {
	top, err := lds.Parse(Record39794(jpeg, 300, 400))
	if err != nil {
		t.Fatal(err)
	}
	r := top[0].Path(dataBlock, representations, representation)
	r.Children = append([]*lds.Node{{Tag: 0xBF8101, Children: []*lds.Node{{Tag: 0x80, Value: []byte("new")}}}}, r.Children...)
	image := r.Find(0xA1)
	image.Children[0].Tag = 0xA1 // an extended representation instead of the base one
	list, err := All(top[0].Append(nil))
	if err != nil || len(list) != 1 || !bytes.Equal(list[0].Stream, jpeg) {
		t.Errorf("%d, %v", len(list), err)
	}
}

func TestRefuses(t *testing.T) {
	good := several(0, 0)
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"cut header":      good[:20],
		"no face":         change(12, 0, 0),
		"65,535 faces":    change(12, 0xFF, 0xFF),
		"a missing face":  change(12, 0, 3),
		"no image":        change(header+block+imgInfo, 0),
		"endless points":  change(header+4, 0xFF, 0xFF),
		"a BER bomb":      bytes.Repeat([]byte{0xA1, 0x80}, 1000),
		"no data block":   lds.Make(0xA1, lds.Make(0x66, []byte{1})),
		"no blocks":       lds.Make(0xA1, lds.Make(dataBlock, lds.Make(0xA0, []byte{1}))),
		"an image of GIF": lds.Make(dataBlock, lds.Make(0xA1, lds.Make(0x30, lds.Make(0xA1, lds.Make(0x80, []byte("GIF89a")))))),
	} {
		if _, err := All(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A wrong length of the only block is forgiven.
	one := several(0)
	binary.BigEndian.PutUint32(one[header:], 1<<31)
	if p, err := Parse(one); err != nil || p.Format != JPEG {
		t.Error("a wrong length:", err)
	}
	// The first face counts even if the second one is broken.
	if p, err := Parse(change(12, 0, 3)); err != nil || p.Format != JPEG {
		t.Error("a broken second face:", err)
	}
}

func FuzzAll(f *testing.F) {
	f.Add(several(0, 2))
	f.Add(Record([]byte{0xFF, 0x4F, 0xFF, 0x51}, JPEG2000, 1, 1))
	f.Add(Record39794(jpeg, 300, 400))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := All(b)
		if len(list) > most {
			t.Fatal(len(list), "faces")
		}
		n := 0
		for _, p := range list {
			if n += len(p.Stream); p.Format != JPEG && p.Format != JPEG2000 || !bytes.Contains(b, p.Stream) {
				t.Error("an image that the record has not")
			}
		}
		if n > len(b) {
			t.Errorf("%d bytes of images in %d", n, len(b))
		}
	})
}

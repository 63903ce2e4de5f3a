package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"passage/drivers/emrtd/face"
	"passage/drivers/emrtd/lds"
	zone "passage/drivers/emrtd/mrz"
	"passage/kiosk/config"
)

func TestDecodeFiles(t *testing.T) {
	mrz := "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10"
	portrait := lds.Make(0x7F60, lds.Make(0xA1), lds.Make(0x5F2E, face.Record([]byte("\xFF\xD8\xFF picture"), face.JPEG, 3, 4)))
	for _, c := range []struct {
		as, fails string
		b         []byte
		check     func(decoded) bool
	}{
		{"", "", lds.Make(0x61, lds.Make(0x5F1F, []byte(mrz))), func(d decoded) bool { return d.Name == "DG1" && d.Content.(pageReport).Number == "L898902C3" }},
		{"dg1", "", lds.Make(0x61, lds.Make(0x5F1F, []byte(mrz))), func(d decoded) bool { return d.Name == "DG1" }},
		{"", "", lds.Make(0x75, lds.Make(0x7F61, lds.Make(2, []byte{1}), portrait)), func(d decoded) bool { return len(d.Content.([]any)) == 1 }},
		{"", "", lds.Make(0x6D, []byte("opaque")), func(d decoded) bool { return d.Name == "DG13" }},
		{"ATR/INFO", "", lds.Make(0x47, []byte{0, 0, 0x40}), func(d decoded) bool { return d.Content.(lds.Capabilities).Extended }},
		{"DG2", "another first tag", lds.Make(0x61, lds.Make(0x5F1F, []byte(mrz))), func(d decoded) bool { return strings.HasPrefix(d.Raw, "615b5f1f") }},
		{"", "of no file", []byte{0x04, 0}, func(d decoded) bool { return d.Raw == "0400" }},
		{"DG17", "no file", []byte{0x04, 0}, func(d decoded) bool { return d.Name == "" }},
		{"", "malformed", nil, func(d decoded) bool { return d.Raw == "" }},
		{"", "not a facial record", lds.Make(0x75, lds.Make(0x7F61, lds.Make(2, []byte{1}), lds.Make(0x7F60, lds.Make(0x5F2E, []byte("FAC"))))), func(d decoded) bool { return d.Content == nil }},
	} {
		d := emrtdDecodeCmd{As: c.as}.decode("file", c.b)
		if !strings.Contains(d.Error, c.fails) || (c.fails == "") != (d.Error == "") || !c.check(d) {
			t.Errorf("%q %.20x: %+v", c.as, c.b, d)
		}
	}
	p := personOf(lds.Personal{Name: []string{"ERIKSSON", "ANNA MARIA"}, Birth: "19740812"})
	m, err := zone.Parse(mrz)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range zone.Compare(m.Person(), p) {
		if x.Class != zone.Equal {
			t.Errorf("%s: %v", x.Field, x.Class)
		}
	}
}

func TestReadPage(t *testing.T) {
	v := worker(t)
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "data", "emrtd", "mrz-photos", "100_id-usa.jpg"))
	if err != nil {
		t.Skip("test data: ", err)
	}
	list, err := pageOf(v.Program).Read(t.Context(), b)
	if err != nil || list[0].Size != zone.TD1 || list[0].Surname != "SPECIMEN" || !list[0].Composite() {
		t.Errorf("%v, %v", list, err)
	}
}

// worker finds visiond and its pack, as make setup and make build leave them.
func worker(t *testing.T) config.Vision {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	v := config.Vision{Program: filepath.Join(root, "bin", "visiond"), Packs: filepath.Join(root, ".cache", "packs"), Pack: "default"}
	for _, path := range []string{v.Program, filepath.Join(v.Packs, v.Pack, "manifest.toml")} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is missing: make build", path)
		}
	}
	return v
}

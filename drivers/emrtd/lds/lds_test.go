package lds

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"passage/drivers/emrtd/mrz"
)

// The EF.COM of ICAO Doc 9303-10 Appendix A: LDS 1.7, Unicode 4.0.0, with
// DG1, DG2, DG4 and DG12.
const com97 = "\x60\x16\x5F\x01\x040107\x5F\x36\x06040000\x5C\x04\x61\x75\x76\x6C"

const data = "../../../../shared/data/emrtd/"

// file reads test data, and skips the test where there is none.
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(data + name)
	if err != nil {
		t.Skip("test data: ", err)
	}
	return b
}

func TestParseCOM(t *testing.T) {
	c, err := ParseCOM([]byte(com97))
	if err != nil || c.LDS != "1.7" || c.Unicode != "4.0.0" || !slices.Equal(c.Groups, []int{1, 2, 4, 12}) || len(c.Tags) != 4 {
		t.Fatal(c, err)
	}
	for n := 1; n <= 16; n++ {
		f := Group(n)
		if got, ok := FileOf(f.Tag); GroupOf(f.Tag) != n || !ok || got != f {
			t.Errorf("%s: tag %X is of group %d", f.Name, f.Tag, GroupOf(f.Tag))
		}
	}
	for name, c := range map[string]struct {
		b    string
		want error
	}{
		"nothing":         {"", ErrTLV},
		"another file":    {"\x61" + com97[1:], ErrTag},
		"cut":             {com97[:len(com97)-1], ErrTLV},
		"no list":         {com97[:1] + "\x10" + com97[2:18], ErrTLV},
		"endless length":  {"\x60\x84\xFF\xFF\xFF\xFF", ErrTLV},
		"indefinite":      {"\x60\x80\x00\x00", ErrTLV},
		"too long a list": {"\x60\x25\x5C\x23" + string(bytes.Repeat([]byte{0x61}, 35)), ErrTLV},
		"more behind it":  {com97 + "\x61\x00", ErrTLV},
		"too long a file": {com97 + string(make([]byte, 64<<10)), ErrLimit},
	} {
		if _, err := ParseCOM([]byte(c.b)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseCOM([]byte(com97 + "\x00\x00")); err != nil {
		t.Error("filled up:", err)
	}
}

// The files of the test data, and one fact of each that shows it was decoded.
func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		file File
		want func(any) bool
	}{
		{"lds/bsi2008/EF_COM.bin", COM, func(v any) bool {
			c := v.(Common)
			return c.LDS == "1.7" && slices.Equal(c.Groups, []int{1, 2, 3, 14})
		}},
		{"lds/bsi2008/EF_DG1.bin", Group(1), func(v any) bool { return v.(mrz.MRZ).Issuer == "D" && v.(mrz.MRZ).Size == mrz.TD3 }},
		{"lds/hjp/EF_DG1.bin", Group(1), func(v any) bool { return v.(mrz.MRZ).Number != "" }},
		{"lds/loes2006/EF_DG1.bin", Group(1), func(v any) bool { return v.(mrz.MRZ).Number != "" }},
		{"lds/mock/EF_DG1.bin", Group(1), func(v any) bool { return v.(mrz.MRZ).Number == "L898902C3" }},
		{"lds/bsi2008/EF_DG2.bin", Group(2), one(0x0008, "FAC\x00")},
		{"lds/loes2006/EF_DG2.bin", Group(2), one(0x0008, "FAC\x00")},
		{"face/39794-5_DG2_AllFields.bin", Group(2), func(v any) bool {
			list := v.([]Template)
			return one(0x002A, "\xA1\x82")(v) && len(list[0].Created) == 7 && len(list[0].Valid) == 8 && len(list[0].Creator) == 4
		}},
		{"lds/bsi2008/EF_DG3.bin", Group(3), func(v any) bool {
			list := v.([]Template)
			return len(list) == 2 && list[0].Subtype == 9 && list[1].Subtype == 10 && list[1].FormatType == 7 && bytes.HasPrefix(list[1].Record, []byte("FIR\x00"))
		}},
		{"lds/bsi2008/EF_DG4.bin", Group(4), func(v any) bool {
			list := v.([]Template)
			return len(list) == 2 && list[0].Subtype == 1 && list[0].FormatType == 9 && bytes.HasPrefix(list[0].Record, []byte("IIR\x00"))
		}},
		{"lds/bsi2008/EF_DG5.bin", Group(5), shown(JPEG2000)},
		{"lds/bsi2008/EF_DG7.bin", Group(7), shown(JPEG2000)},
		{"dg7/DG7_0d47.bin", Group(7), shown(Other)}, // its JPEG lacks the first bytes
		{"lds/bsi2008/EF_DG11.bin", Group(11), func(v any) bool {
			p := v.(Personal)
			return reflect.DeepEqual(p.Name, []string{"Doe John"}) && reflect.DeepEqual(p.OtherNames, []string{"William"}) && p.Birth == "19700101" && p.Number == "123" &&
				reflect.DeepEqual(p.Address, []string{"TEST", "TEST"}) && p.Citizenship != nil && len(p.OtherNumbers) == 2 && p.Custody == "TEST" && len(p.Unknown) == 0
		}},
		{"dg11/DG11_5521e3.bin", Group(11), func(v any) bool {
			p := v.(Personal)
			return reflect.DeepEqual(p.Name, []string{"SMITH", "JOHN J"}) && reflect.DeepEqual(p.BirthPlace, []string{"ANYTOWN", "MN"}) && p.Telephone == "16125551212" && p.Profession == "TRAVEL AGENT"
		}},
		{"dg11/DG11_9d0d83.bin", Group(11), otherNames},
		{"dg11/DG11_f17aa7.bin", Group(11), func(v any) bool { return len(v.(Personal).Unknown) == 0 }},
		{"lds/bsi2008/EF_DG12.bin", Group(12), func(v any) bool {
			d := v.(Issuance)
			return d.Authority == "TEST" && d.Date == "20240101" && reflect.DeepEqual(d.Others, []string{"William"}) && d.Personalized == "20240101123059" && d.Personalization == "123" && d.Front != nil && d.Rear != nil
		}},
		{"dg12/FR_DG12.bin", Group(12), func(v any) bool {
			d := v.(Issuance)
			return d.Authority == "JAKARTA - AMBASSADE DE FRANCE EN INDONESIE" && d.Date == "20170905"
		}},
		{"lds/bsi2008/EF_DG14.bin", Group(14), infos(2)},
		{"lds/hjp/EF_DG14.bin", Group(14), infos(2)},
		{"lds/mock/EF_DG14.bin", Group(14), infos(2)},
		{"dg14/AT_DG14.bin", Group(14), infos(3)},
		{"dg14/FR_DG14.bin", Group(14), infos(2)},
		{"dg14/MY_DG14.bin", Group(14), infos(2)},
		{"dg14/doc9303_example_DG14.bin", Group(14), infos(2)},
		{"lds/bsi2008/EF_DG15.bin", Group(15), publicKey},
		{"lds/loes2006/EF_DG15.bin", Group(15), publicKey},
	} {
		b := file(t, c.name)
		v, err := Decode(c.file, b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !c.want(v) {
			t.Errorf("%s: %.300s", c.name, fmt.Sprintf("%+v", v))
		}
		sameAgain(t, c.name, b)
		// Another file in its place is reported; what was read stays as it is.
		if _, err := Decode(Group(13), b); !errors.Is(err, ErrTag) {
			t.Errorf("%s as DG13: %v", c.name, err)
		}
	}
}

func TestSecurityFiles(t *testing.T) {
	for pattern, f := range map[string]File{"cardaccess/*.bin": CardAccess, "cardsecurity/*.bin": CardSecurity, "sod/*.bin": SOD, "sod-mock/*.bin": SOD, "pki/sod/*.bin": SOD} {
		list, _ := filepath.Glob(data + pattern)
		if len(list) == 0 {
			t.Skip("no test data ", pattern)
		}
		for _, path := range list {
			b := file(t, strings.TrimPrefix(path, data))
			v, err := Decode(f, b)
			if f == SOD && b[0] == 0x30 { // some of the data lack the envelope
				if !errors.Is(err, ErrTag) {
					t.Errorf("%s: %v", path, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if set, ok := v.([][]byte); ok && len(set) == 0 {
				t.Errorf("%s: no SecurityInfo", path)
			}
			if f != SOD {
				sameAgain(t, path, b)
			}
		}
	}
}

// sameAgain reads objects and writes them again.
func sameAgain(t testing.TB, name string, b []byte) {
	t.Helper()
	list, err := Parse(b)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var again []byte
	for _, n := range list {
		again = n.Append(again)
	}
	if !bytes.Equal(again, b) {
		t.Errorf("%s: written again it differs", name)
	}
}

func one(format uint16, prefix string) func(any) bool {
	return func(v any) bool {
		list := v.([]Template)
		return len(list) == 1 && list[0].FormatType == format && bytes.HasPrefix(list[0].Record, []byte(prefix))
	}
}

func shown(f Format) func(any) bool {
	return func(v any) bool {
		list := v.([]Image)
		return len(list) == 1 && list[0].Format == f && list[0].SHA256 == sha256.Sum256(list[0].Stream)
	}
}

func publicKey(v any) bool {
	return bytes.Contains(v.([]byte), []byte{6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 13, 1, 1, 1})
}

func infos(n int) func(any) bool { return func(v any) bool { return len(v.([][]byte)) >= n } }

func otherNames(v any) bool {
	return reflect.DeepEqual(v.(Personal).OtherNames, []string{"SMITH JOHN", "JOHN SMITH"})
}

func TestUnknownTagsStay(t *testing.T) {
	b := Make(0x6B, Make(0x5C, []byte{0x5F, 0x0E}), Make(0x5F0E, []byte("Müller<<Jürgen")), Make(0x5F7A, []byte("new")), Make(0xBF21, []byte{0x5F}))
	p, err := ParseDG11(b)
	if err != nil || len(p.Unknown) != 2 || p.Unknown[0].Tag != 0x5F7A || p.Unknown[1].Tag != 0xBF21 || string(p.Unknown[1].Value) != "\x5F" || p.Name[0] != "Müller" {
		t.Errorf("%+v, %v", p, err)
	}
	sameAgain(t, "unknown tags", b)
	latin := Make(0x6B, Make(0x5F0E, []byte("M\xFCller")))
	if p, err := ParseDG11(latin); err != nil || p.Name[0] != "Müller" {
		t.Errorf("Latin-1: %+v, %v", p, err)
	}
	long := []byte{0x6B, 0x83, 0, 0, 6, 0x5F, 0x12, 0x82, 0, 1, '1'} // lengths in more octets than needed
	sameAgain(t, "long lengths", long)
	if p, err := ParseDG11(long); err != nil || p.Telephone != "1" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestLimits(t *testing.T) {
	deep := []byte{}
	for range maxDepth - 1 {
		deep = Make(0xA0, deep)
	}
	if _, err := Decode(Group(11), Make(0x6B, deep)); err != nil {
		t.Error("32 deep:", err)
	}
	if _, err := Decode(Group(11), Make(0x6B, Make(0xA0, Make(0xA0, deep)))); !errors.Is(err, ErrLimit) {
		t.Error("34 deep:", err)
	}
	var ten []byte
	for range 10_000 {
		ten = append(append([]byte{0xA0, 0x83, byte(len(ten) >> 16), byte(len(ten) >> 8), byte(len(ten))}, ten...), []byte{}...)
	}
	if _, err := Decode(Group(2), Make(0x75, ten)); !errors.Is(err, ErrLimit) {
		t.Error("10,000 deep:", err)
	}
	many := bytes.Repeat([]byte{0x5F, 0x12, 0}, maxElements)
	if _, err := Decode(Group(11), Make(0x6B, many)); err != nil {
		t.Error("4,096 elements:", err)
	}
	if _, err := Decode(Group(11), Make(0x6B, many, []byte{4, 0})); !errors.Is(err, ErrLimit) {
		t.Error("4,097 elements:", err)
	}
	if _, err := Decode(Group(2), Make(0x75, make([]byte, 1<<20))); !errors.Is(err, ErrLimit) {
		t.Error("a long DG2:", err)
	}
}

func TestTemplates(t *testing.T) {
	template := Make(0x7F60, Make(0xA1, Make(0x81, []byte{2})), Make(0x5F2E, []byte("FAC")))
	for name, c := range map[string]struct {
		b    []byte
		want int // -1 for an error
	}{
		"two":            {Make(0x75, Make(0x7F61, Make(2, []byte{2}), template, template)), 2},
		"none":           {Make(0x75, Make(0x7F61, Make(2, []byte{0}), Make(0x53, []byte("random")))), 0},
		"fewer":          {Make(0x75, Make(0x7F61, Make(2, []byte{2}), template)), -1},
		"more":           {Make(0x75, Make(0x7F61, Make(2, []byte{1}), template, template)), -1},
		"no count":       {Make(0x75, Make(0x7F61, template)), -1},
		"too many":       {Make(0x75, Make(0x7F61, Make(2, []byte{200}), template)), -1},
		"no data":        {Make(0x75, Make(0x7F61, Make(2, []byte{1}), Make(0x7F60))), -1},
		"nothing inside": {Make(0x75), -1},
	} {
		list, err := ParseTemplates(Group(2), c.b)
		if (err != nil) != (c.want < 0) || err == nil && len(list) != c.want {
			t.Errorf("%s: %d, %v", name, len(list), err)
		}
	}
	if _, err := ParseDG2(Make(0x75, Make(0x7F61, Make(2, []byte{0})))); err == nil {
		t.Error("DG2 without a face")
	}
}

func TestSecurityObject(t *testing.T) {
	hash := func(n byte) []byte { return Make(0x30, Make(2, []byte{n}), Make(4, make([]byte, 32))) }
	alg := Make(0x30, Make(6, []byte{1}))
	versions := Make(0x30, Make(0x13, []byte("0108")), Make(0x13, []byte("040000")))
	o, err := ParseSecurityObject(Make(0x30, Make(2, []byte{0}), alg, Make(0x30, hash(1), hash(2))))
	if err != nil || o.Version != 0 || o.LDS != "" || len(o.Hashes) != 2 || !bytes.Equal(o.Algorithm, alg) {
		t.Errorf("1.7: %+v, %v", o, err)
	}
	o, err = ParseSecurityObject(Make(0x30, Make(2, []byte{1}), alg, Make(0x30, hash(1), hash(2), hash(15)), versions))
	if err != nil || o.Version != 1 || o.LDS != "1.8" || o.Unicode != "4.0.0" || o.Hashes[15] == nil {
		t.Errorf("1.8: %+v, %v", o, err)
	}
	for name, b := range map[string][]byte{
		"version 2":        Make(0x30, Make(2, []byte{2}), alg, Make(0x30, hash(1), hash(2)), versions),
		"1 unversioned":    Make(0x30, Make(2, []byte{1}), alg, Make(0x30, hash(1), hash(2))),
		"0 with versions":  Make(0x30, Make(2, []byte{0}), alg, Make(0x30, hash(1), hash(2)), versions),
		"twice":            Make(0x30, Make(2, []byte{0}), alg, Make(0x30, hash(1), hash(1))),
		"one":              Make(0x30, Make(2, []byte{0}), alg, Make(0x30, hash(1))),
		"group 17":         Make(0x30, Make(2, []byte{0}), alg, Make(0x30, hash(1), hash(17))),
		"nothing":          nil,
		"another sequence": Make(0x31, Make(2, []byte{0}), alg, Make(0x30, hash(1), hash(2))),
	} {
		if o, err := ParseSecurityObject(b); err == nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestContacts(t *testing.T) {
	b := Make(0x70, Make(2, []byte{1}), Make(0xA1, Make(0x5F50, []byte("20240229")), Make(0x5F51, []byte("SMITH<<CHARLES<R")), Make(0x5F52, []byte("19525551212")), Make(0x5F53, []byte("123 MAPLE RD<ANYTOWN<MN"))))
	list, err := ParseDG16(b) // the example of 9303-10 §4.7.16, with a date
	want := []Contact{{"20240229", []string{"SMITH", "CHARLES R"}, "19525551212", []string{"123 MAPLE RD", "ANYTOWN", "MN"}}}
	if err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestMasterFile(t *testing.T) {
	info := append(Make(0x43, []byte{1}), Make(0x47, []byte{0xF3, 0x21, 0xC0})...)
	info = append(info, Make(0x7F66, Make(2, []byte{0x01, 0x00, 0x00}), Make(2, []byte{0x08, 0x00}))...)
	for _, padding := range []int{0, 5} {
		c, err := ParseATRInfo(append(slices.Clone(info), make([]byte, padding)...))
		if err != nil || c != (Capabilities{true, true, 65536, 2048}) {
			t.Errorf("%+v, %v", c, err)
		}
	}
	for _, b := range [][]byte{Make(0x7F66, Make(2, []byte{1})), {0x47, 9, 1}, append(slices.Clone(info), 0, 1)} {
		if c, err := ParseATRInfo(b); err == nil {
			t.Errorf("%X: %+v", b, c)
		}
	}
	aid := []byte{0xA0, 0, 0, 2, 0x47, 0x10, 1}
	apps, err := ParseDir(append(Make(0x61, Make(0x4F, aid), Make(0x50, []byte("eMRTD"))), Make(0x4F, aid)...))
	if err != nil || len(apps) != 2 || !bytes.Equal(apps[0].AID, aid) || apps[0].Label != "eMRTD" || !bytes.Equal(apps[1].AID, aid) {
		t.Errorf("%+v, %v", apps, err)
	}
}

func TestMakeReadsBack(t *testing.T) {
	for _, tag := range []uint32{0x04, 0x61, 0x5F2E, 0x7F60, 0x7F2E} {
		for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 20} {
			b := Make(tag, make([]byte, n))
			got, rest, err := Next(b)
			if err != nil || got.Tag != tag || len(got.Value) != n || len(rest) != 0 || len(got.Raw) != len(b) {
				t.Errorf("tag %X with %d bytes: %X, %d bytes, %d left, %v", tag, n, got.Tag, len(got.Value), len(rest), err)
			}
		}
	}
}

// FuzzDecode asks every parser of a file from a chip: none may panic, and what
// it returns is no longer than what it was given.
func FuzzDecode(f *testing.F) {
	files := []File{COM, SOD, CardAccess, CardSecurity, ATRInfo, Dir}
	for n := 1; n <= 16; n++ {
		files = append(files, Group(n))
	}
	which := func(f File) byte { return byte(slices.Index(files, f)) }
	f.Add(which(COM), []byte(com97))
	f.Add(which(Group(1)), Make(0x61, Make(0x5F1F, []byte("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10"))))
	f.Add(which(Group(2)), Make(0x75, Make(0x7F61, Make(2, []byte{1}), Make(0x7F60, Make(0xA1, Make(0x81, []byte{2})), Make(0x5F2E, []byte("FAC"))))))
	f.Add(which(Group(3)), Make(0x63, Make(0x7F61, Make(2, []byte{1}), Make(0x7F60, Make(0xA1, Make(0x81, []byte{8})), Make(0x7F2E, Make(0xA1, Make(0x64, []byte{0xA0, 0})))))))
	f.Add(which(Group(7)), Make(0x67, Make(2, []byte{1}), Make(0x5F43, []byte{0xFF, 0xD8, 0xFF})))
	f.Add(which(Group(11)), Make(0x6B, Make(0x5C, []byte{0x5F, 0x0E}), Make(0x5F0E, []byte("SMITH<<J")), Make(0xA0, Make(2, []byte{1}), Make(0x5F0F, []byte("S"))), Make(0x5F2B, []byte{0x19, 0x74, 8, 0x12})))
	f.Add(which(Group(12)), Make(0x6C, Make(0x5F26, []byte("20240101")), Make(0x5F55, []byte("20240101123059"))))
	f.Add(which(Group(16)), Make(0x70, Make(2, []byte{1}), Make(0xA1, Make(0x5F51, []byte("SMITH<<C")))))
	f.Add(which(CardAccess), Make(0x31, Make(0x30, []byte{6, 1, 1}), Make(0x30, []byte{6, 1, 2})))
	f.Add(which(ATRInfo), Make(0x7F66, Make(2, []byte{1, 0}), Make(2, []byte{1, 0})))
	f.Add(which(Dir), Make(0x61, Make(0x4F, []byte{0xA0, 0, 0, 2, 0x47, 0x10, 1})))
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		file := files[int(which)%len(files)]
		v, err := Decode(file, b)
		if err != nil {
			return
		}
		n := 0
		switch v := v.(type) {
		case []Template:
			for _, x := range v {
				n += len(x.Record)
			}
		case []Image:
			for _, x := range v {
				n += len(x.Stream)
			}
		case [][]byte:
			if len(v) > 64 {
				t.Error(len(v), "SecurityInfos")
			}
			for _, x := range v {
				n += len(x)
			}
		case []byte:
			n = len(v)
		}
		if n > len(b) {
			t.Errorf("%s: %d bytes of %d", file.Name, n, len(b))
		}
		ParseSecurityObject(b)
	})
}

// FuzzParse checks that what was read can be written again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(com97))
	f.Add([]byte{0x5F, 0x84, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Add([]byte{0x6B, 0x83, 0, 0, 6, 0x5F, 0x12, 0x82, 0, 1, '1'})
	f.Add(Make(0x7F61, Make(0xBF21, []byte{0x5F}), Make(0x30)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Parse(b); err == nil {
			sameAgain(t, "fuzzed", b)
		}
		list, err := All(b)
		if err != nil {
			return
		}
		n := 0
		for _, e := range list {
			n += len(e.Raw)
		}
		if n != len(b) {
			t.Errorf("%d of %d bytes in elements", n, len(b))
		}
	})
}

package lds

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// The EF.COM of ICAO Doc 9303-10 Appendix A: LDS 1.7, Unicode 4.0.0, with
// DG1, DG2, DG4 and DG12.
const com97 = "\x60\x16\x5F\x01\x040107\x5F\x36\x06040000\x5C\x04\x61\x75\x76\x6C"

func TestParseCOM(t *testing.T) {
	version, groups, err := ParseCOM([]byte(com97))
	if err != nil || version != "01.07" || !slices.Equal(groups, []int{1, 2, 4, 12}) {
		t.Fatal(version, groups, err)
	}
	for n := 1; n <= 16; n++ {
		if f := Group(n); GroupOf(f.Tag) != n {
			t.Errorf("%s: tag %X is of group %d", f.Name, f.Tag, GroupOf(f.Tag))
		}
	}
	for name, b := range map[string]string{
		"nothing":         "",
		"another file":    "\x61" + com97[1:],
		"cut":             com97[:len(com97)-1],
		"no list":         com97[:1] + "\x10" + com97[2:18],
		"endless length":  "\x60\x84\xFF\xFF\xFF\xFF",
		"indefinite":      "\x60\x80\x00\x00",
		"too long a list": "\x60\x25\x5C\x23" + string(bytes.Repeat([]byte{0x61}, 35)),
	} {
		if _, _, err := ParseCOM([]byte(b)); !errors.Is(err, ErrTLV) && name != "another file" {
			t.Errorf("%s: %v", name, err)
		} else if err == nil {
			t.Errorf("%s: no error", name)
		}
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

// FuzzParse asks every parser of a file from a chip; none may panic or
// return more than it was given.
func FuzzParse(f *testing.F) {
	f.Add([]byte(com97))
	f.Add(Make(0x75, Make(0x7F61, Make(2, []byte{1}), Make(0x7F60, Make(0x5F2E, []byte("FAC"))))))
	f.Add(Make(0x31, Make(0x30, []byte{6, 1, 1}), Make(0x30, []byte{6, 1, 2})))
	f.Add([]byte{0x5F, 0x84, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		ParseCOM(b)
		ParseDG1(b)
		if record, err := ParseDG2(b); err == nil && len(record) > len(b) {
			t.Error("a portrait that is longer than its file")
		}
		for _, file := range []File{CardAccess, Group(14)} {
			if list, err := ParseSecurity(file, b); err == nil && len(list) > 64 {
				t.Error(len(list), "SecurityInfos")
			}
		}
		if list, err := All(b); err == nil {
			n := 0
			for _, e := range list {
				n += len(e.Raw)
			}
			if n != len(b) {
				t.Errorf("%d of %d bytes in elements", n, len(b))
			}
		}
	})
}

package lds

import (
	"fmt"

	"passage/drivers/emrtd/mrz"
)

// File is an elementary file by its short identifier.
type File struct {
	Name  string
	SFI   byte
	FID   uint16
	Tag   uint32 // first tag
	Group int    // data group number; 0 for none
	Most  int    // bytes accepted
}

// The files of the eMRTD application (Doc 9303-10 §4.6, table 34) that are
// read, and the limits that are put on them.
var (
	COM        = File{"COM", 0x1E, 0x011E, 0x60, 0, 64 << 10}
	SOD        = File{"SOD", 0x1D, 0x011D, 0x77, 0, 64 << 10}
	CardAccess = File{"CardAccess", 0x1C, 0x011C, 0x31, 0, 64 << 10}
)

// Group returns the file of data group n, 1 to 16.
func Group(n int) File {
	tags := [17]uint32{0, 0x61, 0x75, 0x63, 0x76, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x70}
	most := 64 << 10
	switch n {
	case 2, 3, 4, 5, 7:
		most = 1 << 20
	}
	return File{fmt.Sprintf("DG%d", n), byte(n), 0x0100 | uint16(n), tags[n], n, most}
}

// GroupOf returns the number of the data group that begins with tag, or 0.
func GroupOf(tag uint32) int {
	for n := 1; n <= 16; n++ {
		if Group(n).Tag == tag {
			return n
		}
	}
	return 0
}

// body returns the value of a file whose first tag must be the expected one.
func body(f File, b []byte) ([]byte, error) {
	t, _, err := Next(b)
	if err != nil {
		return nil, fmt.Errorf("lds: %s: %w", f.Name, err)
	}
	if t.Tag != f.Tag {
		return nil, fmt.Errorf("lds: %s: begins with tag %X, not %X", f.Name, t.Tag, f.Tag)
	}
	return t.Value, nil
}

// ParseCOM returns the LDS version and the data groups that EF.COM lists.
func ParseCOM(b []byte) (version string, groups []int, err error) {
	v, err := body(COM, b)
	if err != nil {
		return "", nil, err
	}
	if ver, ok := Find(v, 0x5F01); ok && len(ver) == 4 {
		version = string(ver[:2]) + "." + string(ver[2:])
	}
	list, ok := Find(v, 0x5C)
	if !ok || len(list) > 32 {
		return "", nil, fmt.Errorf("lds: COM: %w: no list of data groups", ErrTLV)
	}
	for _, tag := range list {
		if n := GroupOf(uint32(tag)); n > 0 {
			groups = append(groups, n)
		}
	}
	return version, groups, nil
}

// ParseDG1 returns the machine readable zone in the chip.
func ParseDG1(b []byte) (mrz.MRZ, error) {
	v, err := body(Group(1), b)
	if err != nil {
		return mrz.MRZ{}, err
	}
	text, ok := Find(v, 0x5F1F)
	if !ok {
		return mrz.MRZ{}, fmt.Errorf("lds: DG1: %w: no MRZ", ErrTLV)
	}
	m, err := mrz.Parse(string(text))
	if err != nil {
		return mrz.MRZ{}, fmt.Errorf("lds: DG1: %w", err)
	}
	return m, nil
}

// ParseDG2 returns the first facial record of the biometric templates
// (ISO/IEC 7816-11: 7F61, 02, 7F60 with 5F2E or 7F2E).
func ParseDG2(b []byte) ([]byte, error) {
	v, err := body(Group(2), b)
	if err != nil {
		return nil, err
	}
	group, ok := Find(v, 0x7F61)
	if !ok {
		return nil, fmt.Errorf("lds: DG2: %w: no 7F61", ErrTLV)
	}
	template, ok := Find(group, 0x7F60)
	if !ok {
		return nil, fmt.Errorf("lds: DG2: %w: no 7F60", ErrTLV)
	}
	for _, tag := range []uint32{0x5F2E, 0x7F2E} {
		if record, ok := Find(template, tag); ok {
			return record, nil
		}
	}
	return nil, fmt.Errorf("lds: DG2: %w: no biometric data", ErrTLV)
}

// ParseSecurity returns the SecurityInfos of DG14 or EF.CardAccess as raw
// elements, at most 64.
func ParseSecurity(f File, b []byte) ([][]byte, error) {
	v, err := body(f, b)
	if err != nil {
		return nil, err
	}
	if f.Tag != 0x31 {
		set, _, err := Next(v)
		if err != nil || set.Tag != 0x31 {
			return nil, fmt.Errorf("lds: %s: %w: no set", f.Name, ErrTLV)
		}
		v = set.Value
	}
	list, err := All(v)
	if err != nil {
		return nil, fmt.Errorf("lds: %s: %w", f.Name, err)
	}
	if len(list) > 64 {
		return nil, fmt.Errorf("lds: %s: %w: %d SecurityInfos", f.Name, ErrTLV, len(list))
	}
	var out [][]byte
	for _, t := range list {
		if t.Tag == 0x30 {
			out = append(out, t.Raw)
		}
	}
	return out, nil
}

// ParseDG15 returns the SubjectPublicKeyInfo for Active Authentication.
func ParseDG15(b []byte) ([]byte, error) { return body(Group(15), b) }

package lds

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

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

// The files of the eMRTD application (Doc 9303-10 §4.6, table 34) and of the
// master file (§3.11) that are read, and the limits that are put on them.
// EF.ATR/INFO and EF.DIR are lists without a first tag of their own.
var (
	COM          = File{"COM", 0x1E, 0x011E, 0x60, 0, 64 << 10}
	SOD          = File{"SOD", 0x1D, 0x011D, 0x77, 0, 64 << 10}
	CardAccess   = File{"CardAccess", 0x1C, 0x011C, 0x31, 0, 64 << 10}
	CardSecurity = File{"CardSecurity", 0x1D, 0x011D, 0x30, 0, 64 << 10}
	ATRInfo      = File{"ATR/INFO", 0x01, 0x2F01, 0, 0, 64 << 10}
	Dir          = File{"DIR", 0x1E, 0x2F00, 0, 0, 64 << 10}
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

// FileOf returns the file that begins with tag, in the application or else in
// the master file.
func FileOf(tag uint32) (File, bool) {
	if n := GroupOf(tag); n > 0 {
		return Group(n), true
	}
	for _, f := range []File{COM, SOD, CardAccess, CardSecurity} {
		if f.Tag == tag {
			return f, true
		}
	}
	return File{}, false
}

// body returns the value of a file whose first tag must be the expected one.
// Chips fill files up with 00 or FF; anything else behind it is refused.
func body(f File, b []byte) ([]byte, error) {
	if len(b) > f.Most {
		return nil, fmt.Errorf("lds: %s: %w: %d bytes", f.Name, ErrLimit, len(b))
	}
	t, rest, err := Next(b)
	if err != nil {
		return nil, fmt.Errorf("lds: %s: %w", f.Name, err)
	}
	if t.Tag != f.Tag {
		return nil, fmt.Errorf("lds: %s: %w: %X, not %X", f.Name, ErrTag, t.Tag, f.Tag)
	}
	if len(bytes.Trim(rest, "\x00")) > 0 && len(bytes.Trim(rest, "\xFF")) > 0 {
		return nil, fmt.Errorf("lds: %s: %w: %d bytes behind it", f.Name, ErrTLV, len(rest))
	}
	return t.Value, nil
}

// root reads a file as a tree within the limits of Parse.
func root(f File, b []byte) (*Node, error) {
	v, err := body(f, b)
	if err != nil {
		return nil, err
	}
	list, err := Parse(v)
	if err != nil {
		return nil, fmt.Errorf("lds: %s: %w", f.Name, err)
	}
	return &Node{Tag: f.Tag, Children: list}, nil
}

// Common is EF.COM: what the chip says it holds, unsigned (9303-10 §4.6.1).
type Common struct {
	LDS     string // version, such as 1.7
	Unicode string // version, such as 4.0.0
	Tags    []uint32
	Groups  []int // the data groups among Tags, in their order
}

// ParseCOM reads EF.COM.
func ParseCOM(b []byte) (Common, error) {
	n, err := root(COM, b)
	if err != nil {
		return Common{}, err
	}
	list := n.Find(0x5C)
	if list == nil || len(list.Value) > 32 {
		return Common{}, fmt.Errorf("lds: COM: %w: no list of data groups", ErrTLV)
	}
	c := Common{LDS: version(n.Find(0x5F01).Bytes(), 2), Unicode: version(n.Find(0x5F36).Bytes(), 3)}
	for _, tag := range list.Value {
		c.Tags = append(c.Tags, uint32(tag))
		if g := GroupOf(uint32(tag)); g > 0 {
			c.Groups = append(c.Groups, g)
		}
	}
	return c, nil
}

// version reads numbers of two digits each, "0107" as "1.7"; "" if there are
// other ones.
func version(b []byte, parts int) string {
	if len(b) != 2*parts {
		return ""
	}
	var list []string
	for i := range parts {
		n, err := strconv.ParseUint(string(b[2*i:2*i+2]), 10, 8)
		if err != nil {
			return ""
		}
		list = append(list, strconv.FormatUint(n, 10))
	}
	return strings.Join(list, ".")
}

// ParseSOD returns the SignedData in EF.SOD, which may be BER (9303-10
// §4.6.2).
func ParseSOD(b []byte) ([]byte, error) {
	v, err := body(SOD, b)
	if err != nil {
		return nil, err
	}
	if len(v) == 0 || v[0] != 0x30 {
		return nil, fmt.Errorf("lds: SOD: %w: no sequence", ErrTLV)
	}
	return v, nil
}

// SecurityObject is what the SignedData of EF.SOD signs: version 0 is of LDS
// 1.7, version 1 of LDS 1.8, which says its versions (9303-10 §4.6.2.2).
type SecurityObject struct {
	Version   int
	Algorithm []byte         // AlgorithmIdentifier of the hashes, as it was read
	Hashes    map[int][]byte // by data group
	LDS       string         // "1.8"; "" in version 0
	Unicode   string
}

// ParseSecurityObject reads the signed content of EF.SOD.
func ParseSecurityObject(b []byte) (SecurityObject, error) {
	fail := func(why string) (SecurityObject, error) {
		return SecurityObject{}, fmt.Errorf("lds: security object: %w: %s", ErrTLV, why)
	}
	list, err := Parse(b)
	if err != nil || len(list) != 1 || list[0].Tag != 0x30 {
		return fail("no sequence")
	}
	parts := list[0].Children
	if len(parts) < 3 || parts[0].Tag != 2 || parts[1].Tag != 0x30 || parts[2].Tag != 0x30 {
		return fail("its parts")
	}
	o := SecurityObject{Algorithm: parts[1].Append(nil), Hashes: map[int][]byte{}}
	switch v := parts[0].Value; {
	case len(v) == 1 && v[0] == 0 && len(parts) == 3:
	case len(v) == 1 && v[0] == 1 && len(parts) == 4 && parts[3].Tag == 0x30 && len(parts[3].Children) == 2:
		o.Version = 1
		o.LDS, o.Unicode = version(parts[3].Children[0].Value, 2), version(parts[3].Children[1].Value, 3)
	default:
		return fail("its version")
	}
	for _, h := range parts[2].Children {
		if h.Tag != 0x30 || len(h.Children) != 2 || h.Children[0].Tag != 2 || len(h.Children[0].Value) != 1 || h.Children[1].Tag != 4 {
			return fail("a hash")
		}
		n, hash := int(h.Children[0].Value[0]), h.Children[1].Value
		if n < 1 || n > 16 || len(hash) < 20 || len(hash) > 64 || o.Hashes[n] != nil {
			return fail(fmt.Sprintf("the hash of group %d", n))
		}
		o.Hashes[n] = hash
	}
	if len(o.Hashes) < 2 {
		return fail("fewer than two hashes")
	}
	return o, nil
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

// ParseDG2 returns the first facial record.
func ParseDG2(b []byte) ([]byte, error) {
	list, err := ParseTemplates(Group(2), b)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("lds: DG2: %w: no biometric data", ErrTLV)
	}
	return list[0].Record, nil
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
func ParseDG15(b []byte) ([]byte, error) {
	v, err := body(Group(15), b)
	if err != nil {
		return nil, err
	}
	if t, rest, err := Next(v); err != nil || t.Tag != 0x30 || len(rest) > 0 {
		return nil, fmt.Errorf("lds: DG15: %w: no public key", ErrTLV)
	}
	return v, nil
}

// Decode reads a file as whatever f says it is: what the file's own Parse
// function returns, the SignedData of EF.SOD and EF.CardSecurity. A
// file that begins with another tag is ErrTag; its bytes are still what the
// chip gave, and their hash what counts.
func Decode(f File, b []byte) (any, error) {
	switch f {
	case COM:
		return ParseCOM(b)
	case SOD:
		return ParseSOD(b)
	case CardAccess:
		return ParseSecurity(f, b)
	case CardSecurity:
		return body(f, b)
	case ATRInfo:
		return ParseATRInfo(b)
	case Dir:
		return ParseDir(b)
	}
	switch f.Group {
	case 1:
		return ParseDG1(b)
	case 2, 3, 4:
		return ParseTemplates(f, b)
	case 5, 6, 7:
		return ParseDisplayed(f, b)
	case 11:
		return ParseDG11(b)
	case 12:
		return ParseDG12(b)
	case 14:
		return ParseSecurity(f, b)
	case 15:
		return ParseDG15(b)
	case 16:
		return ParseDG16(b)
	}
	return ParseOpaque(f, b)
}

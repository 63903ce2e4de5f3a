package lds

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Template is one biometric information template (ISO/IEC 7816-11, 9303-10
// §4.7.2.1): its CBEFF header and the record, whose format Record itself
// tells. What the header lacks is 0 or nil.
type Template struct {
	Type       []byte // 02 face, 08 finger, 10 iris
	Subtype    byte
	Created    []byte
	Valid      []byte
	Creator    []byte
	Owner      uint16 // of the format: 0101 is ISO/IEC JTC 1/SC 37
	FormatType uint16
	Record     []byte
}

// maxTemplates bounds the instances of one feature: ten fingers, and room.
const maxTemplates = 32

// ParseTemplates reads DG2, DG3 or DG4. A group that stands for a person
// without the feature has none (9303-10 §4.7.3: the group is there, but
// empty).
func ParseTemplates(f File, b []byte) ([]Template, error) {
	n, err := root(f, b)
	if err != nil {
		return nil, err
	}
	group := n.Find(0x7F61)
	count := group.Find(0x02).Bytes()
	if len(count) != 1 || count[0] > maxTemplates {
		return nil, fmt.Errorf("lds: %s: %w: no number of templates", f.Name, ErrTLV)
	}
	var list []Template
	for _, c := range group.Children {
		if c.Tag != 0x7F60 {
			continue
		}
		h := c.Find(0xA1)
		t := Template{
			Type: h.Find(0x81).Bytes(), Created: h.Find(0x83).Bytes(), Valid: h.Find(0x85).Bytes(), Creator: h.Find(0x86).Bytes(),
			Subtype: byte(number(h.Find(0x82))), Owner: uint16(number(h.Find(0x87))), FormatType: uint16(number(h.Find(0x88))),
		}
		switch record := c.Find(0x5F2E); {
		case record != nil:
			t.Record = record.Value
		default:
			record = c.Find(0x7F2E)
			if record == nil {
				return nil, fmt.Errorf("lds: %s: %w: a template without biometric data", f.Name, ErrTLV)
			}
			t.Record = record.inside()
		}
		list = append(list, t)
	}
	if len(list) != int(count[0]) {
		return nil, fmt.Errorf("lds: %s: %w: %d templates, not %d", f.Name, ErrTLV, len(list), count[0])
	}
	return list, nil
}

// inside writes what is in an object as it was read.
func (n *Node) inside() []byte {
	if len(n.Children) == 0 {
		return n.Value
	}
	var b []byte
	for _, c := range n.Children {
		b = c.Append(b)
	}
	return b
}

// number reads an unsigned number of at most four octets, 0 for none.
func number(n *Node) uint32 {
	v := uint32(0)
	if b := n.Bytes(); len(b) <= 4 {
		for _, c := range b {
			v = v<<8 | uint32(c)
		}
	}
	return v
}

// ParseDisplayed reads DG5 or DG7: displayed portraits or signatures and usual
// marks (9303-10 §4.7.5, §4.7.7).
func ParseDisplayed(f File, b []byte) ([]Image, error) {
	n, err := root(f, b)
	if err != nil {
		return nil, err
	}
	tag := map[int]uint32{5: 0x5F40, 6: 0x5F42, 7: 0x5F43}[f.Group]
	var list []Image
	for _, c := range n.Children {
		if c.Tag == tag && len(list) < maxTemplates {
			list = append(list, NewImage(c.Value))
		}
	}
	if count := n.Find(0x02); count == nil || int(number(count)) != len(list) {
		return nil, fmt.Errorf("lds: %s: %w: %d images, not as many as announced", f.Name, ErrTLV, len(list))
	}
	return list, nil
}

// Personal is DG11: additional personal details (9303-10 §4.7.11). Texts are
// as in the chip but for fillers, which part them; what the chip lacks is
// empty. Dates are yyyymmdd, with 00 for unknown parts.
type Personal struct {
	Name         []string `json:"name,omitempty"` // primary, secondary identifier
	OtherNames   []string `json:"other_names,omitempty"`
	Number       string   `json:"personal_number,omitempty"`
	Birth        string   `json:"birth,omitempty"`
	BirthPlace   []string `json:"birth_place,omitempty"`
	Address      []string `json:"address,omitempty"`
	Telephone    string   `json:"telephone,omitempty"`
	Profession   string   `json:"profession,omitempty"`
	Title        string   `json:"title,omitempty"`
	Summary      string   `json:"summary,omitempty"`
	Citizenship  *Image   `json:"proof_of_citizenship,omitempty"`
	OtherNumbers []string `json:"other_documents,omitempty"`
	Custody      string   `json:"custody,omitempty"`
	Unknown      []*Node  `json:"-"`
}

// ParseDG11 reads DG11.
func ParseDG11(b []byte) (Personal, error) {
	var p Personal
	n, err := root(Group(11), b)
	if err != nil {
		return p, err
	}
	for _, c := range n.Children {
		switch c.Tag {
		case 0x5C: // which others there are
		case 0x5F0E:
			p.Name = split(text(c), "<<")
		case 0x5F0F: // outside its list in some chips
			p.OtherNames = append(p.OtherNames, words(text(c)))
		case 0xA0:
			for _, o := range c.Children {
				if o.Tag == 0x5F0F {
					p.OtherNames = append(p.OtherNames, words(text(o)))
				}
			}
		case 0x5F10:
			p.Number = text(c)
		case 0x5F2B:
			p.Birth = day(c)
		case 0x5F11:
			p.BirthPlace = split(text(c), "<")
		case 0x5F42:
			p.Address = split(text(c), "<")
		case 0x5F12:
			p.Telephone = text(c)
		case 0x5F13:
			p.Profession = words(text(c))
		case 0x5F14:
			p.Title = words(text(c))
		case 0x5F15:
			p.Summary = words(text(c))
		case 0x5F16:
			i := NewImage(c.Value)
			p.Citizenship = &i
		case 0x5F17:
			p.OtherNumbers = split(text(c), "<")
		case 0x5F18:
			p.Custody = words(text(c))
		default:
			p.Unknown = append(p.Unknown, c)
		}
	}
	return p, nil
}

// Issuance is DG12: additional details of the document (9303-10 §4.7.12).
type Issuance struct {
	Authority       string   `json:"authority,omitempty"`
	Date            string   `json:"date_of_issue,omitempty"` // yyyymmdd
	Others          []string `json:"other_persons,omitempty"`
	Observations    string   `json:"observations,omitempty"`
	Exit            string   `json:"tax_or_exit,omitempty"`
	Front           *Image   `json:"front,omitempty"`
	Rear            *Image   `json:"rear,omitempty"`
	Personalized    string   `json:"personalized,omitempty"` // yyyymmddhhmmss
	Personalization string   `json:"personalization_system,omitempty"`
	Unknown         []*Node  `json:"-"`
}

// ParseDG12 reads DG12.
func ParseDG12(b []byte) (Issuance, error) {
	var d Issuance
	n, err := root(Group(12), b)
	if err != nil {
		return d, err
	}
	for _, c := range n.Children {
		switch c.Tag {
		case 0x5C:
		case 0x5F19:
			d.Authority = words(text(c))
		case 0x5F26:
			d.Date = day(c)
		case 0xA0:
			for _, o := range c.Children {
				if o.Tag == 0x5F1A {
					d.Others = append(d.Others, words(text(o)))
				}
			}
		case 0x5F1B:
			d.Observations = words(text(c))
		case 0x5F1C:
			d.Exit = words(text(c))
		case 0x5F1D:
			i := NewImage(c.Value)
			d.Front = &i
		case 0x5F1E:
			i := NewImage(c.Value)
			d.Rear = &i
		case 0x5F55:
			d.Personalized = day(c)
		case 0x5F56:
			d.Personalization = text(c)
		default:
			d.Unknown = append(d.Unknown, c)
		}
	}
	return d, nil
}

// Contact is a person to notify (DG16, 9303-10 §4.7.16).
type Contact struct {
	Recorded  string   `json:"recorded,omitempty"` // yyyymmdd
	Name      []string `json:"name,omitempty"`
	Telephone string   `json:"telephone,omitempty"`
	Address   []string `json:"address,omitempty"`
}

// ParseDG16 reads DG16.
func ParseDG16(b []byte) ([]Contact, error) {
	n, err := root(Group(16), b)
	if err != nil {
		return nil, err
	}
	var list []Contact
	for _, c := range n.Children {
		if c.Tag >= 0xA1 && c.Tag <= 0xAF {
			list = append(list, Contact{
				Recorded: day(c.Find(0x5F50)), Name: split(text(c.Find(0x5F51)), "<<"),
				Telephone: text(c.Find(0x5F52)), Address: split(text(c.Find(0x5F53)), "<"),
			})
		}
	}
	return list, nil
}

// ParseOpaque returns the content of DG8 to DG10, which 9303 leaves to later
// editions, and of DG13, which is the state's own.
func ParseOpaque(f File, b []byte) ([]byte, error) { return body(f, b) }

// text reads UTF-8; older chips have Latin-1, whose letters are read then.
func text(n *Node) string {
	b := n.Bytes()
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// words turns fillers into spaces.
func words(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "<", " ")), " ")
}

// split parts a text at fillers.
func split(s, by string) []string {
	var list []string
	for part := range strings.SplitSeq(s, by) {
		list = append(list, words(part))
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// day reads a date of digits or, as some states write it, of two digits to an
// octet; "" for anything else.
func day(n *Node) string {
	s := text(n)
	if b := n.Bytes(); len(b) == 4 || len(b) == 7 {
		s = hex.EncodeToString(b)
	}
	if (len(s) != 8 && len(s) != 14) || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// Capabilities is EF.ATR/INFO (9303-10 §3.11.1, ISO/IEC 7816-4 §8.2.1.1).
// Sizes are of a whole command or response APDU in bytes, 0 if unstated.
type Capabilities struct {
	Extended    bool `json:"extended_length"`
	Chaining    bool `json:"command_chaining"`
	MaxCommand  int  `json:"max_command"`
	MaxResponse int  `json:"max_response"`
}

// ParseATRInfo reads EF.ATR/INFO, a list of data objects that the chip may
// have filled up. The application's template may hold them, too.
func ParseATRInfo(b []byte) (Capabilities, error) {
	var c Capabilities
	if len(b) > ATRInfo.Most {
		return c, fmt.Errorf("lds: ATR/INFO: %w: %d bytes", ErrLimit, len(b))
	}
	list, err := Parse(unpadded(b))
	if err != nil {
		return c, fmt.Errorf("lds: ATR/INFO: %w", err)
	}
	all := &Node{Children: list}
	if inner := all.Find(0x66); inner != nil && all.Find(0x7F66) == nil { // some chips put them into card data
		all.Children = slices.Concat(list, inner.Children)
	}
	if caps := all.Find(0x47).Bytes(); len(caps) == 3 {
		c.Chaining, c.Extended = caps[2]&0x80 != 0, caps[2]&0x40 != 0
	}
	if sizes := all.Find(0x7F66); sizes != nil {
		var n []int
		for _, s := range sizes.Children {
			if s.Tag == 0x02 {
				n = append(n, int(min(number(s), 65544)))
			}
		}
		if len(n) != 2 {
			return c, fmt.Errorf("lds: ATR/INFO: %w: %d sizes in 7F66", ErrTLV, len(n))
		}
		c.MaxCommand, c.MaxResponse = n[0], n[1]
	}
	return c, nil
}

// Application is one that EF.DIR lists.
type Application struct {
	AID   []byte
	Label string
}

// ParseDir reads EF.DIR (ISO/IEC 7816-4 §12.2.1): application templates, or
// bare identifiers.
func ParseDir(b []byte) ([]Application, error) {
	if len(b) > Dir.Most {
		return nil, fmt.Errorf("lds: DIR: %w: %d bytes", ErrLimit, len(b))
	}
	list, err := Parse(unpadded(b))
	if err != nil {
		return nil, fmt.Errorf("lds: DIR: %w", err)
	}
	var apps []Application
	for _, n := range list {
		aid := n.Find(0x4F)
		if n.Tag == 0x4F {
			aid = n
		}
		if aid != nil && len(aid.Value) <= 16 {
			apps = append(apps, Application{aid.Value, text(n.Find(0x50))})
		}
	}
	return apps, nil
}

// unpadded takes off what fills a file up behind its last data object.
func unpadded(b []byte) []byte {
	at := 0
	for at < len(b) && b[at] != 0 && b[at] != 0xFF {
		t, _, err := Next(b[at:])
		if err != nil {
			return b
		}
		at += len(t.Raw)
	}
	for _, c := range b[at:] {
		if c != 0 && c != 0xFF {
			return b
		}
	}
	return b[:at]
}

// Package mrz reads and writes the machine readable zone of travel documents:
// TD1 (3 × 30), TD2 (2 × 36), TD3 (2 × 44) and the visas MRV-A (2 × 44) and
// MRV-B (2 × 36), ICAO Doc 9303 parts 3 to 7. It settles what an optical
// reader was in doubt about, and compares the zone with what else a document
// says of its holder.
package mrz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Size is a document format.
type Size uint8

const (
	TD1 Size = iota + 1
	TD2
	TD3
	MRVA // visa as large as a passport's page
	MRVB
)

func (s Size) String() string {
	return [...]string{"?", "TD1", "TD2", "TD3", "MRV-A", "MRV-B"}[min(int(s), 5)]
}

func (s Size) visa() bool { return s == MRVA || s == MRVB }

// shape is the number of lines, their length, and the length of the names.
var shape = map[Size][3]int{TD1: {3, 30, 30}, TD2: {2, 36, 31}, TD3: {2, 44, 39}, MRVA: {2, 44, 39}, MRVB: {2, 36, 31}}

// sizeOf returns the size of so many lines of equal length; the code's first
// letter tells a visa.
func sizeOf(lines []string) Size {
	for _, s := range []Size{TD1, TD2, TD3} {
		if len(lines) != shape[s][0] || slices.ContainsFunc(lines, func(l string) bool { return len(l) != shape[s][1] }) {
			continue
		}
		switch visa := lines[0][0] == 'V'; {
		case visa && s == TD3:
			return MRVA
		case visa && s == TD2:
			return MRVB
		}
		return s
	}
	return 0
}

// MRZ is a parsed zone. Filler is removed from all fields; Birth and Expiry
// are six digits yymmdd, where unknown parts are '<' or 00.
type MRZ struct {
	Size        Size
	Code        string // document code, one or two letters
	Issuer      string // "D" for Germany, as printed
	Surname     string
	GivenNames  string
	Number      string // full, also where it runs into the optional field
	Nationality string
	Birth       string
	Sex         string // M, F or ""
	Expiry      string
	Optional    string // without the end of a long number
	Optional2   string // TD1 line 2
	Truncated   bool   // the names fill their field: something may have been cut
	lines       []string
	composite   bool
}

// Errors of a zone. ErrCheckDigit wraps the name of the field.
var (
	ErrShape      = errors.New("not a machine readable zone")
	ErrCheckDigit = errors.New("check digit wrong")
)

// CheckDigit weighs the characters of s, drawn from A–Z, 0–9 and '<', by
// 7, 3, 1 in turn and returns the sum modulo 10 as '0' to '9'. Doc 9303-3
// §4.9.
func CheckDigit(s string) byte {
	sum := 0
	for i := range len(s) {
		sum += value(s[i]) * [3]int{7, 3, 1}[i%3]
	}
	return '0' + byte(sum%10)
}

func value(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	}
	return 0
}

// Split cuts a text into lines, with or without line breaks.
func Split(text string) []string {
	text = strings.ToUpper(strings.TrimSpace(strings.ReplaceAll(text, "\r", "\n")))
	if lines := strings.Fields(text); len(lines) > 1 {
		return lines
	}
	for _, s := range []Size{TD3, TD1, TD2} {
		if n, w := shape[s][0], shape[s][1]; len(text) == n*w {
			var lines []string
			for i := range n {
				lines = append(lines, text[i*w:(i+1)*w])
			}
			return lines
		}
	}
	return []string{text}
}

// Parse reads a zone and verifies every check digit. A wrong composite digit
// alone is accepted, as chips are read with the fields' own digits and two of
// ICAO's printed examples have it wrong; Composite tells.
func Parse(lines ...string) (MRZ, error) {
	if len(lines) == 1 {
		lines = Split(lines[0])
	}
	size := sizeOf(lines)
	if size == 0 {
		return MRZ{}, fmt.Errorf("mrz: parse: %w: %d lines", ErrShape, len(lines))
	}
	for _, l := range lines {
		for i := range len(l) {
			if !isZone(l[i]) {
				return MRZ{}, fmt.Errorf("mrz: parse: %w: a character outside A–Z, 0–9 and <", ErrShape)
			}
		}
	}
	m := MRZ{Size: size, Code: trim(lines[0][:2]), Issuer: trim(lines[0][2:5]), lines: slices.Clone(lines)}
	var err error
	if size == TD1 {
		err = m.td1(lines)
	} else {
		err = m.book(lines, shape[size][1])
	}
	if err != nil {
		return MRZ{}, fmt.Errorf("mrz: parse: %w", err)
	}
	if len(m.Code) == 0 || !strings.Contains("ACIPV", m.Code[:1]) {
		return MRZ{}, fmt.Errorf("mrz: parse: %w: document code", ErrShape)
	}
	return m, nil
}

// isZone says whether a zone may hold a character.
func isZone(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '<' }

func trim(s string) string { return strings.Trim(strings.ReplaceAll(s, "<", " "), " ") }

// book reads the sizes of two lines. Visas have no composite digit; theirs
// counts as right.
func (m *MRZ) book(l []string, w int) error {
	m.names(l[0][5:])
	b := l[1]
	optional := b[28 : w-1]
	m.composite = CheckDigit(b[0:10]+b[13:20]+b[21:w-1]) == b[w-1]
	switch {
	case m.Size == TD3:
		optional = b[28:42]
		if d := b[42]; d != CheckDigit(optional) && !(d == '<' && trim(optional) == "") {
			return fmt.Errorf("personal number: %w", ErrCheckDigit)
		}
	case m.Size.visa():
		optional, m.composite = b[28:], true
	}
	m.Nationality = trim(b[10:13])
	if err := m.number(b[0:9], b[9], optional); err != nil {
		return err
	}
	return m.dates(b[13:19], b[19], b[20], b[21:27], b[27])
}

func (m *MRZ) td1(l []string) error {
	m.names(l[2])
	a, b := l[0], l[1]
	m.Nationality = trim(b[15:18])
	m.Optional2 = trim(b[18:29])
	if err := m.number(a[5:14], a[14], a[15:30]); err != nil {
		return err
	}
	m.composite = CheckDigit(a[5:30]+b[0:7]+b[8:15]+b[18:29]) == b[29]
	return m.dates(b[0:6], b[6], b[7], b[8:14], b[14])
}

// number verifies the document number. In TD1 and TD2 a long one has '<' in
// the check digit's place and goes on in the optional field, with its check
// digit, ended by '<' (9303-5 note j).
func (m *MRZ) number(field string, digit byte, optional string) error {
	if digit == '<' && (m.Size == TD1 || m.Size == TD2) {
		rest, after, _ := strings.Cut(optional, "<")
		if len(rest) < 2 || CheckDigit(field+rest[:len(rest)-1]) != rest[len(rest)-1] {
			return fmt.Errorf("document number: %w", ErrCheckDigit)
		}
		m.Number, m.Optional = trim(field+rest[:len(rest)-1]), trim(after)
		return nil
	}
	if CheckDigit(field) != digit {
		return fmt.Errorf("document number: %w", ErrCheckDigit)
	}
	m.Number, m.Optional = trim(field), trim(optional)
	return nil
}

func (m *MRZ) dates(birth string, bd, sex byte, expiry string, ed byte) error {
	if CheckDigit(birth) != bd {
		return fmt.Errorf("date of birth: %w", ErrCheckDigit)
	}
	if CheckDigit(expiry) != ed {
		return fmt.Errorf("date of expiry: %w", ErrCheckDigit)
	}
	m.Birth, m.Expiry = birth, expiry
	if sex == 'M' || sex == 'F' {
		m.Sex = string(sex)
	}
	return nil
}

func (m *MRZ) names(field string) {
	m.Truncated = field[len(field)-1] != '<'
	primary, secondary, _ := strings.Cut(strings.TrimRight(field, "<"), "<<")
	m.Surname, m.GivenNames = trim(primary), trim(secondary)
}

// Composite says whether the composite check digit is right; visas have none,
// and it is true.
func (m MRZ) Composite() bool { return m.composite }

// Lines returns the zone as it was read or made.
func (m MRZ) Lines() []string { return slices.Clone(m.lines) }

// String hides the zone from logs.
func (m MRZ) String() string { return m.Size.String() + " [MRZ]" }

// Information is the MRZ information from which BAC and PACE keys are derived:
// document number, date of birth and date of expiry, each with its check
// digit. Doc 9303-11 §4.3.2, App D.2.
func (m MRZ) Information() string {
	number := m.Number
	for len(number) < 9 {
		number += "<"
	}
	number = strings.ReplaceAll(number, " ", "<")
	return number + string(CheckDigit(number)) + m.Birth + string(CheckDigit(m.Birth)) + m.Expiry + string(CheckDigit(m.Expiry))
}

// Make builds a zone from its fields. Names are transliterated, and cut where
// they don't fit; a long number goes on in the optional field of TD1 and TD2.
// It fails if another field does not fit.
func Make(m MRZ) (MRZ, error) {
	sh, ok := shape[m.Size]
	if !ok {
		return MRZ{}, fmt.Errorf("mrz: make: %w: no size", ErrShape)
	}
	w := sh[1]
	names := nameField(Transliterate(m.Surname), Transliterate(m.GivenNames), sh[2])
	sex := m.Sex
	if sex == "" {
		sex = "<"
	}
	head := fill(m.Code, 2) + fill(m.Issuer, 3)
	number, optional := strings.ReplaceAll(m.Number, " ", "<"), m.Optional
	if len(number) > 9 && (m.Size == TD1 || m.Size == TD2) {
		optional = strings.TrimRight(number[9:]+string(CheckDigit(number))+"<"+optional, "<")
		number = number[:9] + "<"
	} else {
		number = fill(number, 9)
		number += string(CheckDigit(number))
	}
	optional = strings.ReplaceAll(optional, " ", "<")
	birth, expiry := m.Birth+string(CheckDigit(m.Birth)), m.Expiry+string(CheckDigit(m.Expiry))
	middle := fill(m.Nationality, 3) + birth + sex + expiry
	var lines []string
	switch m.Size {
	case TD1:
		a := head + number + fill(optional, 15)
		b := birth + sex + expiry + fill(m.Nationality, 3) + fill(strings.ReplaceAll(m.Optional2, " ", "<"), 11)
		if len(a) == w && len(b) == w-1 {
			b += string(CheckDigit(a[5:30] + b[0:7] + b[8:15] + b[18:29]))
		}
		lines = []string{a, b, names}
	case MRVA, MRVB:
		lines = []string{head + names, number + middle + fill(optional, w-28)}
	default:
		b := number + middle + fill(optional, w-29)
		if m.Size == TD3 {
			optional = fill(optional, 14)
			b = number + middle + optional + string(CheckDigit(optional))
		}
		if len(b) == w-1 {
			b += string(CheckDigit(b[0:10] + b[13:20] + b[21:w-1]))
		}
		lines = []string{head + names, b}
	}
	if slices.ContainsFunc(lines, func(l string) bool { return len(l) != w }) {
		return MRZ{}, fmt.Errorf("mrz: make: %w: a field is too long or too short", ErrShape)
	}
	return Parse(lines...)
}

// nameField writes the names so that a cut shows by a letter in the last
// place, and something of the secondary identifier stays (9303-4 §4.2.3).
func nameField(surname, given string, n int) string {
	surname, given = strings.ReplaceAll(surname, " ", "<"), strings.ReplaceAll(given, " ", "<")
	if given == "" || len(surname)+2+len(given) <= n {
		return fill(strings.TrimRight(surname+"<<"+given, "<"), n)[:n]
	}
	surname = strings.TrimRight(surname[:min(len(surname), n-3)], "<")
	for len(surname) > 1 && given[n-3-len(surname)] == '<' {
		surname = strings.TrimRight(surname[:len(surname)-1], "<")
		given = fill(given, n)
	}
	return surname + "<<" + given[:n-2-len(surname)]
}

// fill pads with fillers to n characters; a longer text stays as it is.
func fill(s string, n int) string {
	return s + strings.Repeat("<", max(0, n-len(s)))
}

// Package mrz reads and writes the machine readable zone of travel documents:
// TD1 (3 × 30), TD2 (2 × 36) and TD3 (2 × 44), ICAO Doc 9303 parts 3 to 6.
package mrz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Size is a document format.
type Size uint8

const (
	TD1 Size = iota + 1
	TD2
	TD3
)

func (s Size) String() string { return [...]string{"?", "TD1", "TD2", "TD3"}[min(int(s), 3)] }

// shape is the number of lines and their length.
var shape = map[Size][2]int{TD1: {3, 30}, TD2: {2, 36}, TD3: {2, 44}}

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
	Optional    string
	Optional2   string // TD1 line 2
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
		n, w := shape[s][0], shape[s][1]
		if len(text) == n*w {
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
	size := Size(0)
	for s, w := range shape {
		if len(lines) == w[0] && !slices.ContainsFunc(lines, func(l string) bool { return len(l) != w[1] }) {
			size = s
		}
	}
	if size == 0 {
		return MRZ{}, fmt.Errorf("mrz: parse: %w: %d lines", ErrShape, len(lines))
	}
	for _, l := range lines {
		for i := range len(l) {
			if c := l[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '<') {
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

func trim(s string) string { return strings.Trim(strings.ReplaceAll(s, "<", " "), " ") }

// book reads TD2 and TD3.
func (m *MRZ) book(l []string, w int) error {
	m.names(l[0][5:])
	b := l[1]
	optional, composite := b[28:w-1], b[0:10]+b[13:20]+b[21:w-1]
	if m.Size == TD3 {
		optional = b[28:42]
		if d := b[42]; d != CheckDigit(optional) && !(d == '<' && trim(optional) == "") {
			return fmt.Errorf("personal number: %w", ErrCheckDigit)
		}
		composite = b[0:10] + b[13:20] + b[21:43]
	}
	m.Nationality = trim(b[10:13])
	m.Optional = trim(optional)
	if err := m.number(b[0:9], b[9], optional); err != nil {
		return err
	}
	m.composite = CheckDigit(composite) == b[w-1]
	return m.dates(b[13:19], b[19], b[20], b[21:27], b[27])
}

func (m *MRZ) td1(l []string) error {
	m.names(l[2])
	a, b := l[0], l[1]
	m.Nationality = trim(b[15:18])
	m.Optional, m.Optional2 = trim(a[15:30]), trim(b[18:29])
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
	if digit == '<' && m.Size != TD3 {
		rest, _, _ := strings.Cut(optional, "<")
		if len(rest) < 2 || CheckDigit(field+rest[:len(rest)-1]) != rest[len(rest)-1] {
			return fmt.Errorf("document number: %w", ErrCheckDigit)
		}
		m.Number = trim(field + rest[:len(rest)-1])
		return nil
	}
	if CheckDigit(field) != digit {
		return fmt.Errorf("document number: %w", ErrCheckDigit)
	}
	m.Number = trim(field)
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
	primary, secondary, _ := strings.Cut(strings.TrimRight(field, "<"), "<<")
	m.Surname, m.GivenNames = trim(primary), trim(secondary)
}

// Composite says whether the composite check digit is right.
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

// Make builds a zone from its fields; names and numbers are transliterated to
// A–Z, 0–9 before. It fails if a field does not fit.
func Make(m MRZ) (MRZ, error) {
	w, ok := shape[m.Size]
	if !ok {
		return MRZ{}, fmt.Errorf("mrz: make: %w: no size", ErrShape)
	}
	names := fill(strings.ReplaceAll(m.Surname, " ", "<")+"<<"+strings.ReplaceAll(m.GivenNames, " ", "<"), map[Size]int{TD1: 30, TD2: 31, TD3: 39}[m.Size])
	sex := m.Sex
	if sex == "" {
		sex = "<"
	}
	head := fill(m.Code, 2) + fill(m.Issuer, 3)
	number := fill(m.Number, 9)
	number += string(CheckDigit(number))
	birth, expiry := m.Birth+string(CheckDigit(m.Birth)), m.Expiry+string(CheckDigit(m.Expiry))
	var lines []string
	switch m.Size {
	case TD1:
		a := head + number + fill(m.Optional, 15)
		b := birth + sex + expiry + fill(m.Nationality, 3) + fill(m.Optional2, 11)
		lines = []string{a, b + string(CheckDigit(a[5:30]+b[0:7]+b[8:15]+b[18:29])), names}
	case TD2:
		b := number + fill(m.Nationality, 3) + birth + sex + expiry + fill(m.Optional, 7)
		lines = []string{head + names, b + string(CheckDigit(b[0:10]+b[13:20]+b[21:35]))}
	case TD3:
		optional := fill(m.Optional, 14)
		b := number + fill(m.Nationality, 3) + birth + sex + expiry + optional + string(CheckDigit(optional))
		lines = []string{head + names, b + string(CheckDigit(b[0:10]+b[13:20]+b[21:43]))}
	}
	for _, l := range lines {
		if len(l) != w[1] {
			return MRZ{}, fmt.Errorf("mrz: make: %w: a field is too long", ErrShape)
		}
	}
	return Parse(lines...)
}

func fill(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s + strings.Repeat("<", n-len(s))
}

// Date turns yymmdd into a civil date in UTC. An expiry lies within 15 years
// after today, else in the past; a birth makes an age of 0 to 99. It reports
// false for unknown or impossible parts. BSI TR-03135 §5.7.1.
func Date(yymmdd string, today time.Time, birth bool) (time.Time, bool) {
	t, err := time.Parse("060102", yymmdd)
	if err != nil || t.Format("060102") != yymmdd {
		return time.Time{}, false
	}
	century := today.Year() / 100 * 100
	year := century + t.Year()%100
	if birth && time.Date(year, t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).After(today) {
		year -= 100
	}
	if !birth && year > today.Year()+15 {
		year -= 100
	} else if !birth && year < today.Year()-85 {
		year += 100
	}
	d := time.Date(year, t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return d, d.Day() == t.Day()
}

// confusions are the pairs that optical reading mixes up, letter to digit.
var confusions = map[byte]byte{'O': '0', '0': 'O', 'I': '1', '1': 'I', 'S': '5', '5': 'S', 'B': '8', '8': 'B', 'Z': '2', '2': 'Z'}

// Candidates returns document numbers that an optical reader may have meant by
// s and that fit the check digit, likeliest (fewest changes) first, s itself
// first of all if it fits; at most most of them.
func Candidates(s string, digit byte, most int) []string {
	type try struct {
		s       string
		changes int
	}
	list := []try{{s, 0}}
	for i := range len(s) {
		if c, ok := confusions[s[i]]; ok {
			for _, t := range list[:len(list):len(list)] {
				if len(list) >= 1<<10 {
					break
				}
				list = append(list, try{t.s[:i] + string(c) + t.s[i+1:], t.changes + 1})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b try) int { return a.changes - b.changes })
	var fit []string
	for _, t := range list {
		if CheckDigit(fill(t.s, 9)) == digit && len(fit) < most {
			fit = append(fit, t.s)
		}
	}
	return fit
}

package mrz

import "strings"

// Class says how two statements about the same thing relate.
type Class uint8

const (
	Equal      Class = iota // the same once both are normalised
	Compatible              // both can be true: another transliteration, a cut, an unknown part
	Different
)

func (c Class) String() string { return [...]string{"equal", "compatible", "different"}[min(c, 2)] }

// MarshalText writes the class as its word.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Person is what one source says of a holder and the document: the printed
// page, the zone, DG1 or DG11. Names may be in any script of Doc 9303-3 §6,
// dates are yymmdd or yyyymmdd with '<' or 00 for unknown parts; what a source
// does not say is empty.
type Person struct {
	Surname, GivenNames, Number, Nationality, Issuer, Birth, Sex, Expiry string
	Truncated                                                            bool // names may be cut
}

// Person returns what the zone says.
func (m MRZ) Person() Person {
	p := Person{m.Surname, m.GivenNames, m.Number, m.Nationality, m.Issuer, m.Birth, m.Sex, m.Expiry, m.Truncated}
	if p.Sex == "" {
		p.Sex = "<" // a zone always says
	}
	return p
}

// Comparison is one field of two sources. It holds personal data.
type Comparison struct {
	Field string `json:"field"`
	A     string `json:"a"`
	B     string `json:"b"`
	Class Class  `json:"class"`
}

// Compare compares the fields that both sources state. Names in a script
// without a Latin table can't be compared and are left out.
func Compare(a, b Person) []Comparison {
	var list []Comparison
	add := func(field, x, y string, class func(x, y string) Class) {
		if x != "" && y != "" {
			list = append(list, Comparison{field, x, y, class(x, y)})
		}
	}
	if all := []string{a.Surname, a.GivenNames, b.Surname, b.GivenNames}; spelled(strings.Join(all, " ")) {
		list = append(list, holders(a, b)...)
	}
	add("number", a.Number, b.Number, numbers)
	add("nationality", a.Nationality, b.Nationality, states)
	add("issuer", a.Issuer, b.Issuer, states)
	add("birth", a.Birth, b.Birth, dates)
	add("sex", a.Sex, b.Sex, sexes)
	add("expiry", a.Expiry, b.Expiry, dates)
	return list
}

// holders compares the names. Sources that part them otherwise, or have a
// primary identifier only, are compared as a whole.
func holders(a, b Person) []Comparison {
	one := func(field, x, y string) Comparison {
		return Comparison{field, x, y, compareNames(x, y, a.Truncated, b.Truncated)}
	}
	switch {
	case a.Surname == "" || b.Surname == "":
		return nil
	case a.GivenNames != "" && b.GivenNames != "":
		parts := []Comparison{one("surname", a.Surname, b.Surname), one("given names", a.GivenNames, b.GivenNames)}
		if parts[0].Class == Different || parts[1].Class == Different {
			whole := one("names", a.Surname+" "+a.GivenNames, b.Surname+" "+b.GivenNames)
			if whole.Class != Different {
				whole.Class = Compatible
				return []Comparison{whole}
			}
		}
		return parts
	case a.GivenNames == "" && b.GivenNames == "":
		return []Comparison{one("surname", a.Surname, b.Surname)}
	}
	whole := one("names", strings.TrimSpace(a.Surname+" "+a.GivenNames), strings.TrimSpace(b.Surname+" "+b.GivenNames))
	if whole.Class == Equal {
		whole.Class = Compatible // the same words, parted otherwise
	}
	return []Comparison{whole}
}

// numbers ignores how a number is spaced, and finds those compatible that an
// optical reader could have mixed up.
func numbers(x, y string) Class {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(" -/.<", r) {
				return -1
			}
			return r
		}, strings.ToUpper(s))
	}
	alike := func(s string) string {
		return strings.Map(func(r rune) rune {
			if d, ok := confusions[byte(r)]; ok && r < 0x80 && r > '9' {
				return rune(d)
			}
			return r
		}, s)
	}
	x, y = plain(x), plain(y)
	switch {
	case x == y:
		return Equal
	case alike(x) == alike(y):
		return Compatible
	}
	return Different
}

// states knows that Germany is D in a zone and may be DEU elsewhere.
func states(x, y string) Class {
	x, y = strings.ToUpper(strings.Trim(x, "< ")), strings.ToUpper(strings.Trim(y, "< "))
	switch {
	case x == y:
		return Equal
	case x == "D" && (y == "DEU" || y == "DE"), y == "D" && (x == "DEU" || x == "DE"):
		return Compatible
	}
	return Different
}

func dates(x, y string) Class {
	p, ok1 := Known(x)
	q, ok2 := Known(y)
	switch {
	case x == y: // even if it is no date
		return Equal
	case !ok1 || !ok2:
		return Different
	}
	return p.agree(q)
}

// sexes takes X and '<' for unspecified, which any other is compatible with.
func sexes(x, y string) Class {
	unspecified := func(s string) bool { return s == "X" || s == "<" }
	switch {
	case x == y, unspecified(x) && unspecified(y):
		return Equal
	case unspecified(x) || unspecified(y):
		return Compatible
	}
	return Different
}

// Package names brings names into the forms by which lists find people: as the
// machine readable zone writes them, and as they sound.
package names

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// latin is how letters that are more than a base letter with a mark are
// written in a machine readable zone: ICAO Doc 9303-3 §6, table A, the first
// of its choices.
var latin = strings.NewReplacer(
	"Ä", "AE", "Ö", "OE", "Ü", "UE", "ẞ", "SS", "ß", "SS", "Å", "AA", "Ø", "OE", "Æ", "AE", "Œ", "OE", "Ĳ", "IJ",
	"Þ", "TH", "Ð", "D", "Đ", "D", "Ł", "L", "Ħ", "H", "Ŋ", "N", "Ŧ", "T", "ı", "I", "ĸ", "K",
)

// Normal writes a name in the letters A to Z with single spaces between its
// parts. Hyphens and fillers separate parts; apostrophes and full stops are
// left out; a letter that is no Latin one is left out, too.
func Normal(s string) string {
	s = latin.Replace(strings.ToUpper(norm.NFC.String(s)))
	var b strings.Builder
	gap := false
	for _, r := range norm.NFD.String(s) {
		switch {
		case r >= 'A' && r <= 'Z':
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(r)
		case r == '<' || r == '-' || r == '_' || unicode.IsSpace(r):
			gap = true
		}
	}
	return b.String()
}

// First is the first of several given names, normalised. Documents truncate
// and drop the others.
func First(given string) string {
	first, _, _ := strings.Cut(Normal(given), " ")
	return first
}

// Sound is how a name sounds, as digits: Cologne phonetics (H. J. Postel,
// 1969), which covers every letter that a machine readable zone has. Names that
// sound alike in the languages of Europe mostly share it; an empty name has
// none.
func Sound(s string) string {
	s = strings.ReplaceAll(Normal(s), " ", "")
	in := func(c byte, set string) bool { return strings.IndexByte(set, c) >= 0 }
	at := func(i int) byte {
		if i < 0 || i >= len(s) {
			return 0
		}
		return s[i]
	}
	var b strings.Builder
	last := byte(0)
	put := func(code byte) {
		// A code that repeats counts once; vowels only at the beginning.
		if code != last && (code != '0' || b.Len() == 0) {
			b.WriteByte(code)
		}
		last = code
	}
	for i := range len(s) {
		c, before, after := s[i], at(i-1), at(i+1)
		switch {
		case in(c, "AEIJOUY"):
			put('0')
		case c == 'H':
		case c == 'P' && after == 'H', in(c, "FVW"):
			put('3')
		case in(c, "BP"):
			put('1')
		case in(c, "DT") && after != 0 && in(after, "CSZ"):
			put('8')
		case in(c, "DT"):
			put('2')
		case in(c, "GKQ"):
			put('4')
		case c == 'C' && i == 0 && after != 0 && in(after, "AHKLOQRUX"),
			c == 'C' && i > 0 && !in(before, "SZ") && after != 0 && in(after, "AHKOQUX"):
			put('4')
		case in(c, "CSZ"):
			put('8')
		case c == 'X' && before != 0 && in(before, "CKQ"):
			put('8')
		case c == 'X':
			put('4')
			put('8')
		case c == 'L':
			put('5')
		case in(c, "MN"):
			put('6')
		case c == 'R':
			put('7')
		}
	}
	return b.String()
}

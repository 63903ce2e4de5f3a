package mrz

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// spellings are how letters outside A–Z are written in a zone, the recommended
// way first (9303-3 §6, tables A and B; later ones are what the table allows,
// what languages of the same letter do, and what older documents have). Letters
// that lose a diacritic to become A–Z need no row.
var spellings = map[rune]string{
	'Ä': "AE A", 'Å': "AA A", 'Æ': "AE", 'Ð': "D", 'Đ': "D", 'Ħ': "H", 'ı': "I", 'Ĳ': "IJ", 'ĸ': "Q", 'Ł': "L", 'Ŀ': "L",
	'Ñ': "N NXX", 'Ŋ': "N", 'Ö': "OE O", 'Ø': "OE O", 'Œ': "OE", 'Ŧ': "T", 'Þ': "TH", 'Ü': "UE U UXX", 'ß': "SS", 'ẞ': "SS",

	'А': "A", 'Б': "B", 'В': "V", 'Г': "G H", 'Ґ': "G", 'Д': "D", 'Ђ': "D DJ", 'Ѓ': "G GJ", 'Е': "E", 'Ё': "E IO", 'Є': "IE",
	'Ж': "ZH Z", 'З': "Z", 'Ѕ': "DZ", 'И': "I Y", 'І': "I", 'Ї': "I", 'Й': "I", 'Ј': "J", 'К': "K", 'Л': "L", 'Љ': "LJ", 'М': "M",
	'Н': "N", 'Њ': "NJ", 'О': "O", 'П': "P", 'Р': "R", 'С': "S", 'Т': "T", 'Ћ': "C", 'Ќ': "K KJ", 'У': "U", 'Ў': "U", 'Ф': "F",
	'Х': "KH H", 'Ц': "TS C", 'Ч': "CH C", 'Џ': "DZ DJ", 'Ш': "SH S", 'Щ': "SHCH SHT", 'Ъ': "IE A", 'Ы': "Y", 'Ь': " Y", 'Э': "E",
	'Ю': "IU", 'Я': "IA", 'Ѫ': "U",
}

// letters returns how a rune of a name may be written in A–Z, with a space
// between components and nothing for apostrophes; nil for a script without a
// table.
func letters(r rune) []string {
	switch {
	case r >= 'A' && r <= 'Z':
		return []string{string(r)}
	case r == '\'' || r == '’' || r == 'ʼ' || r == '`' || r == '.' || unicode.Is(unicode.Mn, r):
		return []string{""}
	case r == '<' || r == '-' || r == ',' || r == '‐' || r == '–' || unicode.IsSpace(r):
		return []string{" "}
	}
	if s, ok := spellings[r]; ok {
		return strings.Split(s, " ")
	}
	if base := []rune(norm.NFD.String(string(r))); len(base) > 1 {
		return letters(base[0])
	}
	return nil
}

// upper brings a name to composed capitals, in which ß stays one letter.
func upper(name string) []rune {
	return []rune(strings.Map(unicode.ToUpper, norm.NFC.String(name)))
}

// Transliterate writes a name in A–Z with single spaces, as 9303-3 §6
// recommends. Letters without a Latin spelling are left out.
func Transliterate(name string) string {
	var b strings.Builder
	for _, r := range upper(name) {
		if l := letters(r); l != nil {
			b.WriteString(l[0])
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// spelled says whether every letter of a name has a Latin spelling.
func spelled(name string) bool {
	for _, r := range upper(name) {
		if letters(r) == nil {
			return false
		}
	}
	return true
}

// spells says whether zone is one of the ways to write name in A–Z; with cut,
// whether it begins one. All ways are followed at once, so that no name costs
// more than its length times that of zone.
func spells(name, zone string, cut bool) bool {
	at := map[int]bool{0: true}
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { l := letters(r); return len(l) == 1 && l[0] == " " }), " ")
	for _, r := range upper(name) {
		next := map[int]bool{}
		for p := range at {
			for _, l := range letters(r) {
				switch {
				case strings.HasPrefix(zone[p:], l):
					next[p+len(l)] = true
				case cut && strings.HasPrefix(l, zone[p:]):
					return true
				}
			}
		}
		at = next
	}
	return at[len(zone)]
}

// compareNames compares a name as printed or as in DG11 with one that may be
// transliterated and, if cut is set, shortened.
func compareNames(a, b string, cutA, cutB bool) Class {
	if Transliterate(a) == Transliterate(b) {
		return Equal
	}
	if spells(a, Transliterate(b), false) || spells(b, Transliterate(a), false) || cutB && shortened(a, b) || cutA && shortened(b, a) {
		return Compatible
	}
	return Different
}

// shortened says whether short may be what a narrow field left of long: each
// of its components begins one of long's, in their order.
func shortened(long, short string) bool {
	parts := strings.FieldsFunc(long, func(r rune) bool { l := letters(r); return len(l) == 1 && l[0] == " " })
	for _, s := range strings.Fields(Transliterate(short)) {
		for len(parts) > 0 && !spells(parts[0], s, true) {
			parts = parts[1:]
		}
		if len(parts) == 0 {
			return false
		}
		parts = parts[1:]
	}
	return true
}

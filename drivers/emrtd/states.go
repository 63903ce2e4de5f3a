package emrtd

import "golang.org/x/text/language"

// alpha2Of returns the two-letter code of a state by its three letters (ISO
// 3166-1), or "" for codes that only Doc 9303 has.
func alpha2Of(three string) string {
	r, err := language.ParseRegion(three)
	if err != nil || len(three) != 3 {
		return ""
	}
	return r.String()
}

package directory

import (
	"slices"
	"strings"
	"unicode"

	"passage/kiosk/officer"
)

// find reads the groups of a claim: an array of texts, or one text. A claim is
// looked for by its whole name first, then along its dots, as Keycloak writes
// realm_access.roles. What is no text is no group. told is false where there is
// no such claim.
func find(claims map[string]any, name string) (groups []string, told bool) {
	v, ok := claims[name]
	for !ok {
		first, rest, more := strings.Cut(name, ".")
		inner, is := claims[first].(map[string]any)
		if !more || !is {
			return nil, false
		}
		claims, name = inner, rest
		v, ok = claims[name]
	}
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				groups = append(groups, s)
			}
		}
	}
	return groups, true
}

// roles are those that groups give here, each once.
func (d *Directory) roles(groups []string) []officer.Role {
	var list []officer.Role
	for _, g := range groups {
		if r, ok := d.conf.Roles[g]; ok {
			list = append(list, r)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

const mostName = 80 // runes

// called is what a page may show of a person's name.
func called(claims map[string]any) string {
	for _, k := range []string{"name", "preferred_username"} {
		s, _ := claims[k].(string)
		s = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, s)
		if r := []rune(strings.TrimSpace(s)); len(r) > 0 {
			return string(r[:min(len(r), mostName)])
		}
	}
	return ""
}

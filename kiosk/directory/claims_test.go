package directory

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"

	"passage/kiosk/officer"
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		claims, name string
		want         []string
		told         bool
	}{
		{`{"groups":["a","b"]}`, "groups", []string{"a", "b"}, true},
		{`{"groups":"a"}`, "groups", []string{"a"}, true},
		{`{"groups":[]}`, "groups", nil, true},
		{`{"groups":["a",7,null,["b"],{"c":"d"}]}`, "groups", []string{"a"}, true},
		{`{"groups":{"a":true}}`, "groups", nil, true},
		{`{"groups":null}`, "groups", nil, true},
		{`{}`, "groups", nil, false},
		{`{"realm_access":{"roles":["a"]}}`, "realm_access.roles", []string{"a"}, true},
		{`{"realm_access":["roles"]}`, "realm_access.roles", nil, false},
		{`{"https://example.org/groups":["a"]}`, "https://example.org/groups", []string{"a"}, true},
		{`{"a":{"b.c":["x"]}}`, "a.b.c", []string{"x"}, true},
		{`{"a":{}}`, "a.", nil, false},
	} {
		var claims map[string]any
		if err := json.Unmarshal([]byte(c.claims), &claims); err != nil {
			t.Fatal(err)
		}
		if got, told := find(claims, c.name); !slices.Equal(got, c.want) || told != c.told {
			t.Errorf("%s in %s: %q %v, want %q %v", c.name, c.claims, got, told, c.want, c.told)
		}
	}
}

// Whatever claims hold, roles come from the table alone, and a name can be
// shown.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"groups":["border-guards","x"],"name":"Anna Amt"}`), "groups")
	f.Add([]byte(`{"realm_access":{"roles":["border-guards"]},"name":7,"preferred_username":"a\u202eb"}`), "realm_access.roles")
	f.Add([]byte(`{"a":{"b":{"c":"border-guards"}}}`), "a.b.c")
	d := &Directory{conf: Config{Roles: map[string]officer.Role{"border-guards": officer.Guard}}}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		var claims map[string]any
		if json.Unmarshal(b, &claims) != nil {
			return
		}
		groups, told := find(claims, name)
		if len(groups) > 0 && !told {
			t.Error("groups of a claim that is not there")
		}
		roles := d.roles(groups)
		if want := slices.Contains(groups, "border-guards"); want != slices.Contains(roles, officer.Guard) || len(roles) > 1 {
			t.Errorf("%q are %v", groups, roles)
		}
		if n := called(claims); len([]rune(n)) > mostName || strings.ContainsFunc(n, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("a name %q", n)
		}
	})
}

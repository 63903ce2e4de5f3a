package panel

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                nil,
		"  # a remark":                    nil,
		"send P01 # with a remark":        {"send", "P01"},
		`send P01 name=["A B","C"] age=3`: {"send", "P01", `name=["A B","C"]`, "age=3"},
		`x "a b" c`:                       {"x", `"a b"`, "c"},
	} {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
}

// FuzzParse: a scenario that is accepted has nothing in it that the panel does
// not do, and is the same when it is written down again.
func FuzzParse(f *testing.F) {
	f.Add("lane entry\nsend P01 age=3 # x\nawait 3s outcome released\n")
	f.Add("lay P01 name=[\"A\",\"B\"]")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(strings.Join(s.Lines, "\n"))
		if err != nil || !slices.Equal(again.Lines, s.Lines) {
			t.Errorf("%q became %q, %v", s.Lines, again.Lines, err)
		}
	})
}

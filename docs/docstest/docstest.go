// Package docstest keeps pages under docs/ equal to the tables that decide: a
// test prints what the code has, and fails where the page tells another story.
// Run with -update, it writes the page instead.
package docstest

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages under docs/ that this package's tests print")

// Page wants the file at path to be text, and shows the sections in which it
// is not. A section begins with "## ".
func Page(t testing.TB, path, text string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil && !(*update && os.IsNotExist(err)) {
		t.Fatal(err)
	}
	switch {
	case string(old) == text:
	case *update:
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s tells another story than the code: run %s with -update, and read the difference", path, t.Name())
		was := strings.Split(string(old), "\n## ")
		for n, section := range strings.Split(text, "\n## ") {
			if n >= len(was) || was[n] != section {
				t.Logf("now: %s", section)
			}
		}
	}
}

// Section wants text between the comments <!-- name --> and <!-- end of name -->
// of the page at path.
func Section(t testing.TB, path, name, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(string(b), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the %s", path, name)
	}
	Page(t, path, before+begin+text+end+after)
}

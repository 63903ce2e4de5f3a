package passage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"passage/docs/docstest"
)

// Every claim's tests exist, every planted error is planted, every ruling and
// invariant has its row, and the page is the table. Whether the tests pass is
// the rest of make test.
func TestConformance(t *testing.T) {
	planted, err := os.ReadFile("kiosk/lane/mutation_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var page, sources strings.Builder
	page.WriteString("# Conformance\n\nWritten by `go test . -run TestConformance -update` from claims_test.go; it fails where a\ntest, a ruling or an invariant is missing. The tests themselves are part of `make test`.\nBehind ✂ is the error by which `TestMutationsAreCaught` takes the rule away, and is found\nout.\n")
	deleted := 0
	for _, of := range claims {
		fmt.Fprintf(&page, "\n## %s\n\n| rule | source | tests | ✂ |\n|---|---|---|---|\n", of.of)
		for _, c := range of.rows {
			var shown []string
			brief := false // one of them is part of make check, too
			for _, s := range strings.Split(c.shown, "; ") {
				pkg, test, _ := strings.Cut(s, " ")
				body := source(t, pkg, test)
				if body == "" {
					t.Errorf("%s: %s has no %s", c.rule, pkg, test)
				}
				brief = brief || !strings.Contains(body, "if testing.Short() {\n\t\tt.Skip")
				shown = append(shown, fmt.Sprintf("`%s` %s", pkg, test))
			}
			if !brief {
				t.Errorf("%s: make check passes over all its tests", c.rule)
			}
			if c.planted != "" {
				deleted++
				if !strings.Contains(string(planted), fmt.Sprintf("{%q, ", c.planted)) {
					t.Errorf("%s: nobody plants %q", c.rule, c.planted)
				}
			}
			fmt.Fprintln(&sources, c.source)
			fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", c.rule, c.source, strings.Join(shown, ", "), c.planted)
		}
	}
	if deleted < 20 {
		t.Errorf("only %d rules are taken away to see it noticed", deleted)
	}
	for _, all := range []struct {
		of   string
		last int
	}{{"ruling", 21}, {"invariant", 13}} {
		for n := 1; n <= all.last; n++ {
			if !regexp.MustCompile(fmt.Sprintf(`%ss? ([0-9]+ and )?%d\b`, all.of, n)).MatchString(sources.String()) {
				t.Errorf("no row is of %s %d", all.of, n)
			}
		}
	}
	docstest.Page(t, "docs/conformance.md", page.String())
}

// source is a test's text, empty if the package has no such test.
func source(t *testing.T, pkg, test string) string {
	t.Helper()
	files, err := filepath.Glob(pkg + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	is := regexp.MustCompile(`(?ms)^func ` + test + `\([tm] \*testing\.[TM]\) \{(?:\n.*?^\}\n|[^\n]+\n)`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if text := is.Find(b); text != nil {
			return string(text)
		}
	}
	return ""
}

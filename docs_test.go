package passage_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// pair is a package and the tests of it that a page names: `keys` TestTPM, TestLoad.
	pair = regexp.MustCompile("`([a-z0-9_./-]+)`,? ((?:Test[A-Z][A-Za-z0-9]*(?:, )?)+)")
	name = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*`)
	verb = regexp.MustCompile("`make ([a-z]+)(?: PARTS=([a-z]+))?")
)

// Every test that a page names exists, in the package that the page names, and
// so does every verb: whoever follows a page to its proof finds it.
func TestPagesNameWhatExists(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	everywhere := everyTest(t)
	for _, page := range append(append(pages, decisions...), "README.md", "CONTRIBUTING.md", "CHANGELOG.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(b)), " ")
		for _, m := range pair.FindAllStringSubmatch(text, -1) {
			for _, test := range name.FindAllString(m[2], -1) {
				if _, err := os.Stat(m[1]); err == nil && source(t, m[1], test) == "" {
					t.Errorf("%s: %s has no %s", page, m[1], test)
				}
			}
		}
		for _, test := range name.FindAllString(text, -1) {
			if !everywhere[test] {
				t.Errorf("%s: there is no %s", page, test)
			}
		}
		for _, m := range verb.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: there is no make %s", page, m[1])
			}
			if _, err := os.Stat("scripts/pages.d/" + m[2] + ".mjs"); m[1] == "pages" && m[2] != "" && err != nil && m[2] != "preview" {
				t.Errorf("%s: make pages has no part %s", page, m[2])
			}
		}
	}
}

func everyTest(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	is := regexp.MustCompile(`(?m)^func (Test[A-Z][A-Za-z0-9]*)\(`)
	err := filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range is.FindAllSubmatch(b, -1) {
			all[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each threat names what stops it and a test that shows it, or says that
// nothing does.
func TestThreats(t *testing.T) {
	b, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, nothing := 0, 0
	for _, line := range strings.Split(string(b), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| actor |") {
			continue
		}
		rows++
		if len(cells) < 3 {
			t.Errorf("not a row: %s", line)
			continue
		}
		shown := cells[len(cells)-1]
		switch {
		case shown == "–":
			nothing++
		case !pair.MatchString(shown) && !verb.MatchString(shown):
			t.Errorf("no test shows it: %s", line)
		}
	}
	if rows < 30 || nothing > rows/4 {
		t.Errorf("%d rows, %d of them without a test", rows, nothing)
	}
}

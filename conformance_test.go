package passage_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"passage/docs/docstest"
)

// Every claim's tests exist, every planted error is planted, every ruling and
// invariant has its row, and the page is the table. Whether the tests pass is
// TestRan's to say.
func TestConformance(t *testing.T) {
	planted, err := os.ReadFile("kiosk/lane/mutation_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var page, sources strings.Builder
	page.WriteString("# Conformance\n\nWritten by `go test . -run TestConformance -update` from claims_test.go; it fails where a\ntest, a ruling or an invariant is missing. `make check` fails where no test of a row has\npassed, be it that all were skipped.\nBehind ✂ is the error by which `TestMutationsAreCaught` takes the rule away, and is found\nout.\n")
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

var ran = flag.String("ran", "", "what go test -json ./... printed: every row must have a test that passed there, and none that failed")

// event is a line of go test -json (cmd/test2json).
type event struct{ Action, Package, ImportPath, Test, Output string }

// TestRan holds the claims against a run of all tests, as make check has it: a row
// whose tests were all skipped proves nothing, and is named.
func TestRan(t *testing.T) {
	if *ran == "" {
		t.Skip("make check runs it with -ran FILE")
	}
	f, err := os.Open(*ran)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bad, err := judge(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range bad {
		t.Error(why)
	}
}

// judge says what failed in a run, and which claims no test showed there.
func judge(run io.Reader) (bad []string, err error) {
	ended, said := map[string]string{}, map[string]string{} // by package and test
	for d := json.NewDecoder(run); ; {
		var e event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("this is no output of go test -json: %w", err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(cmp.Or(e.Package, e.ImportPath), "passage"), "/")
		name = cmp.Or(name, ".") + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			said[name] += e.Output
		case "pass", "skip":
			ended[name] = e.Action
		case "fail", "build-fail":
			ended[name] = "fail"
			bad = append(bad, strings.TrimSpace(name+" failed\n"+said[name]))
		}
	}
	if len(ended) == 0 {
		return nil, errors.New("no test has run")
	}
	for _, of := range claims {
		for _, c := range of.rows {
			passed := false
			var was []string
			for _, s := range strings.Split(c.shown, "; ") {
				passed = passed || ended[s] == "pass"
				was = append(was, s+": "+cmp.Or(ended[s], "not run"))
			}
			if !passed {
				bad = append(bad, fmt.Sprintf("%q: no test of it has passed: %s", c.rule, strings.Join(was, ", ")))
			}
		}
	}
	return bad, nil
}

// The judgement itself: a failure, a row that was skipped and a run that is cut
// short are noticed, and a good run is good.
func TestRanIsJudged(t *testing.T) {
	var good strings.Builder
	line := func(action, name string) string {
		pkg, test, _ := strings.Cut(name, " ")
		pkg = strings.TrimSuffix("passage/"+pkg, "/.")
		return fmt.Sprintf("{\"Action\":%q,\"Package\":%q,\"Test\":%q}\n", action, pkg, test)
	}
	of := map[string]string{} // test to one of its rows
	for _, c := range claims {
		for _, r := range c.rows {
			for _, s := range strings.Split(r.shown, "; ") {
				if of[s] == "" {
					good.WriteString(line("pass", s))
				}
				of[s] = r.rule
			}
		}
	}
	const only = "drivers/emrtd/mrz TestTransliterate"
	for _, c := range []struct{ name, run, want string }{
		{"all passed", good.String(), ""},
		{"a row is skipped", strings.Replace(good.String(), line("pass", only), line("skip", only), 1), of[only]},
		{"a row is missing", strings.Replace(good.String(), line("pass", only), "", 1), of[only]},
		{"another test failed", good.String() + line("fail", "keys TestAnother"), "keys TestAnother failed"},
		{"a package does not build", good.String() + `{"ImportPath":"passage/keys","Action":"build-output","Output":"undefined: x"}` + "\n" + `{"ImportPath":"passage/keys","Action":"build-fail"}` + "\n", "undefined: x"},
	} {
		bad, err := judge(strings.NewReader(c.run))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := strings.Join(bad, "\n"); c.want == "" && got != "" || len(bad) > 1 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	for _, none := range []string{"", "ok passage/keys\n", good.String()[:len(good.String())-9]} {
		if _, err := judge(strings.NewReader(none)); err == nil {
			t.Errorf("%.40q is a run", none)
		}
	}
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

package passage_test

import (
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"passage/docs/docstest"
	"passage/sqlite"
)

// Whom a column tells of.
const (
	nobody    = "nobody"
	crossing  = "a crossing, by its number or UUID"
	traveller = "a traveller: sealed"
	tag       = "a traveller: a keyed hash"
	key       = "nobody: a key, wrapped"
	officer   = "an officer"
)

// stores are the databases of the programs that ship, with the packages that make
// their tables.
var stores = []struct {
	name     string
	packages []string
	tables   []kept
}{
	{"lane's database", []string{"kiosk/journal", "kiosk/devices", "eesclient/outbox", "eesclient/extract", "keys"}, []kept{
		{"entry", "seq run now at txn event body effects state chain", crossing},
		{"crossing", "txn uuid began ended class outcome reason took timeline", crossing},
		{"intent", "txn uuid at", crossing},
		{"intent", "sealed", traveller},
		{"intent_key", "txn key", key},
		{"settlement", "txn kind why at closed finding", crossing},
		{"settlement", "officer", officer},
		{"thinned", "one seq chain run name edge txn", nobody},
		{"outbox", "seq key at attempts state done", crossing},
		{"outbox", "sealed", traveller},
		{"outbox_key", "seq key", key},
		{"extract", "id at key", key},
		{"extract_file", "tag file", tag},
		{"extract_file", "sealed", traveller},
		{"ring_key", "id wrapped made retired", key},
		{"chips", "one memory", nobody},
	}},
	{"watch lists", []string{"eesclient/watchlist"}, []kept{
		{"copy", "id version at salt", key},
		{"entry", "tag find", tag},
		{"change", "tag find", tag},
	}},
	{"site's database", []string{"kiosk/site"}, []kept{
		{"lane", "id user enrolled", nobody},
		{"revoked", "user lane at", nobody},
		{"code", "digest lane until", nobody},
		{"code", "by", officer},
		{"invitation", "digest officer name role until by", officer},
		{"applicant", "officer name role passkey at identity", officer},
		{"roster", "version body at", officer},
		{"confirmed", "officer person roles at", officer},
		{"position", "lane journal seq chain broken", nobody},
		{"progress", "what stream seq", nobody},
		{"crossing", "lane uuid at took class outcome reason timeline", crossing},
		{"word", "id at officer lane kind value txn reason answer envelope", "an officer, and a crossing by its UUID; whatever the officer wrote beside a reason"},
		{"head_key", "lane key at", nobody},
		{"head", "lane journal size at note", nobody},
		{"content", "sha256 n b", nobody},
		{"release", "digest kind number sha256 body at proposal proposer why", officer},
		{"rollout", "plan release body activation at state", officer},
	}},
}

// kept are columns of a table, and whom they tell of.
type kept struct{ table, columns, of string }

// messages are what goes over the fleet's lines.
var messages = []struct{ subject, holds, stays string }{
	{"lane.ID.view", "the lane's page without the case", "the newest, in memory"},
	{"lane.ID.journal", "steps and ended crossings", "JetStream `JOURNAL`"},
	{"lane.ID.held", "the same, of a lane that sends too much", "nowhere: it sends them again"},
	{"lane.ID.do", "an officer's word with its proof", "`word`"},
	{"lane.ID.ask", "case, cases, face, stay: for an officer who may see, the case under way with name, pictures, checks and days of stay, and open cases by UUID; call: who speaks with the traveller; again, release: nothing", "nowhere"},
	{"lane.ID.fetch", "pieces of a release", "the lane's releases"},
	{"site.ask.ID.roster", "the roster of officers", "the lane's copy of it"},
	{"site.ask.ID.journal", "how much of a journal has arrived", "`position`"},
	{"site.ask.ID.document", "a keyed hash of a document, and the lane's direction", "memory of consoled"},
	{"site.ask.ID.head", "a signed head of the journal", "`head`"},
	{"site.ask.ID.release", "what releases the lane has", "`rollout`"},
	{"site.ask.ID.renew", "a request for a certificate of the lane's new key; the certificate", "the lane's renewed certificate"},
	{"site.changed", "nothing: ask again", "nowhere"},
}

// Every column of every store, and every message, is in docs/privacy.md. A table
// that somebody adds is made here from its own source, and fails this test until
// it is told whom it tells of.
func TestNothingIsKeptUnsaid(t *testing.T) {
	page, err := os.ReadFile("docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString("| database | table | columns | tell of |\n|---|---|---|---|\n")
	seen := 0
	for _, s := range stores {
		said := map[string][]string{}
		for _, k := range s.tables {
			said[k.table] = append(said[k.table], strings.Fields(k.columns)...)
			fmt.Fprintf(&out, "| %s | `%s` | %s | %s |\n", s.name, k.table, strings.ReplaceAll(k.columns, " ", ", "), k.of)
		}
		has := tablesOf(t, s.packages)
		for table, columns := range has {
			seen += len(columns)
			slices.Sort(said[table])
			slices.Sort(columns)
			if !slices.Equal(columns, said[table]) {
				t.Errorf("%s, %s has the columns %v; privacy_test.go says whom %v tell of", s.name, table, columns, said[table])
			}
		}
		for table := range said {
			if has[table] == nil {
				t.Errorf("%s has no table %s any more", s.name, table)
			}
			if !strings.Contains(string(page), "`"+table+"`") && !strings.Contains(string(page), "`"+table+".") {
				t.Errorf("docs/privacy.md has no item for %s", table)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d columns were found", seen)
	}
	out.WriteString("\n| message | holds | stays |\n|---|---|---|\n")
	for _, m := range messages {
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", m.subject, m.holds, m.stays)
	}
	spoken(t)
	docstest.Section(t, "docs/privacy.md", "columns", out.String())
}

var (
	makes  = regexp.MustCompile(`(?i)^\s*(?:CREATE|ALTER)\s+TABLE\s+[a-z]`)
	asking = regexp.MustCompile(`(?:\b(Question|Subject)\([a-zA-Z.]+, |\bAsk[A-Z][a-z]+ += )"([a-z]+)"`)
)

// tablesOf makes the tables that packages make, by their own words, and lists
// their columns.
func tablesOf(t *testing.T, packages []string) map[string][]string {
	t.Helper()
	db, err := sqlite.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, p := range packages {
		made := false
		for _, source := range sources(t, p) {
			for _, text := range schemas(t, source) {
				if _, err := db.Writer.Exec(text); err != nil {
					t.Fatalf("%s: %v\n%s", p, err, text)
				}
				made = true
			}
		}
		if !made {
			t.Errorf("%s makes no table any more", p)
		}
	}
	all := map[string][]string{}
	each(t, db.Reader, "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type='table' AND m.name NOT LIKE 'sqlite_%'", func(table, column string) {
		all[table] = append(all[table], column)
	})
	return all
}

// schemas are the texts of a source that make a table, or alter one.
func schemas(t *testing.T, source string) (list []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if b, ok := n.(*ast.BasicLit); ok && b.Kind == token.STRING {
			// What is put together of pieces has no name of its own there.
			if text, err := strconv.Unquote(b.Value); err == nil && makes.MatchString(text) {
				list = append(list, text)
			}
		}
		return true
	})
	return list
}

func each(t *testing.T, db *sql.DB, query string, see func(a, b string)) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			t.Fatal(err)
		}
		see(a, b)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// sources are a package's files, without its tests.
func sources(t *testing.T, pkg string) (list []string) {
	t.Helper()
	files, err := filepath.Glob(pkg + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(pkg, err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b))
	}
	return list
}

// spoken looks for messages and tables that nobody has said anything about: those
// that lanes and sites speak of, and stores of packages that are not in stores.
func spoken(t *testing.T) {
	t.Helper()
	listed := func(what string) bool {
		for _, m := range messages {
			if strings.HasSuffix(m.subject, "."+what) || regexp.MustCompile(`\b`+what+`\b`).MatchString(m.holds) {
				return true
			}
		}
		return false
	}
	heard := 0
	for _, p := range []string{"kiosk/fleet", "kiosk/site"} {
		for _, source := range sources(t, p) {
			for _, m := range asking.FindAllStringSubmatch(source, -1) {
				heard++
				if !listed(m[2]) {
					t.Errorf("%s speaks of %q, and privacy_test.go does not", p, m[2])
				}
			}
		}
	}
	if heard < 15 {
		t.Errorf("only %d messages were found", heard)
	}
	var known []string
	for _, s := range stores {
		known = append(known, s.packages...)
	}
	for _, top := range []string{"kiosk", "eesclient", "keys", "drivers", "matcher", "sqlite", "durable"} {
		err := filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			if len(schemas(t, string(b))) > 0 && !slices.Contains(known, filepath.Dir(path)) {
				t.Errorf("%s makes a table, and privacy_test.go knows of no store there", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

package backup

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/eesclient/outbox"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/devices"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/site"
	"passage/sqlite"
)

var update = flag.Bool("update", false, "write the stores of the newest version, if they are not there")

var master = bytes.Repeat([]byte{9}, keys.Size)

// lanesStore opens a lane's store as kioskd does.
func lanesStore(t *testing.T, path string) (*journal.Journal, kiosk.Recovery, *outbox.Outbox, *sqlite.DB, func()) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(t.Context(), db, master)
	if err != nil {
		t.Fatal(err)
	}
	box, err := outbox.New(t.Context(), db, ring)
	if err != nil {
		t.Fatal(err)
	}
	j, was, err := journal.Open(t.Context(), db.Writer, ring, &devices.Records{Box: box, CrossingPoint: "E1", Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := devices.NewChips(t.Context(), db.Writer); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = j.Run(ctx) }()
	return j, was, box, db, func() {
		cancel()
		<-done
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// dump writes a database as SQL text.
func dump(t *testing.T, db *sql.DB) string {
	t.Helper()
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "PRAGMA user_version = %d;\n", version)
	for _, s := range schemaOf(t, db) {
		fmt.Fprintf(&b, "%s;\n", s)
	}
	for _, name := range texts(t, db, "SELECT name FROM sqlite_schema WHERE type='table' ORDER BY name != 'intent', name != 'outbox', name") {
		columns := texts(t, db, "SELECT name FROM pragma_table_info('"+name+"') ORDER BY cid")
		for i, c := range columns {
			columns[i] = `quote("` + c + `")`
		}
		for _, row := range texts(t, db, "SELECT "+strings.Join(columns, "||', '||")+" FROM "+name) {
			if name == "sqlite_sequence" {
				continue // the rows make it again
			}
			fmt.Fprintf(&b, "INSERT INTO %s VALUES (%s);\n", name, row)
		}
	}
	return b.String()
}

func schemaOf(t *testing.T, db *sql.DB) []string {
	return texts(t, db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name")
}

func texts(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// load makes a database of SQL text.
func load(t *testing.T, file, path string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Build(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), string(text)); err != nil {
		t.Fatal(err)
	}
}

// stores are the SQL texts of every version that there ever was.
func stores(t *testing.T, kind string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", kind+"-*.sql"))
	if err != nil || len(list) == 0 {
		t.Fatal("no stores of earlier versions", err)
	}
	slices.Sort(list)
	return list
}

// keep writes the store of the newest version once; it is never changed.
func keep(t *testing.T, db *sql.DB, kind string) {
	t.Helper()
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", fmt.Sprintf("%s-%03d.sql", kind, version))
	if _, err := os.Stat(name); err == nil {
		return
	}
	if !*update {
		t.Fatalf("%s is missing: go test ./kiosk/backup -update", name)
	}
	if err := os.WriteFile(name, []byte(dump(t, db)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func uuidOf(x lane.Transaction) string { return fmt.Sprintf("0191d3c4-0000-7000-8000-%012d", x) }

// A lane's store of every version that there ever was is taken over by this
// program: nothing is lost, what was sealed opens, and it becomes what a new one
// is. The same goes for a backup of it.
func TestLanesStoresOfEveryVersion(t *testing.T) {
	// A store with one of each: recorded and waiting, void, a case, open.
	fresh := filepath.Join(t.TempDir(), "lane.db")
	j, _, _, _, stop := lanesStore(t, fresh)
	for x := range lane.Transaction(4) {
		cross(t, j, x+1, fmt.Sprintf("Quokkaberg%d", x+1))
	}
	done := make(chan error, 1)
	j.Record(1, time.Unix(1_800_000_000, 0), func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	j.Conclude(1, kiosk.Ended{At: time.Unix(1_800_000_000, 0), Class: lane.EU, Outcome: lane.OutcomeReleased, Took: time.Second})
	j.Void(2)
	j.OpenCase(3, lane.PowerCut)
	stop()
	if db, err := sqlite.Open(t.Context(), fresh); err != nil {
		t.Fatal(err)
	} else {
		keep(t, db.Reader, "lane") // version 1: nothing is forgotten yet
		if n, err := journal.Thin(t.Context(), db.Writer, nil, time.Now().Add(time.Hour), 10); err != nil || n != 10 {
			t.Fatalf("%d forgotten, %v", n, err)
		}
		keep(t, db.Reader, "lane")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, _, _, empty, stop := lanesStore(t, filepath.Join(t.TempDir(), "empty.db"))
	shape := schemaOf(t, empty.Reader)
	stop()
	for _, file := range stores(t, "lane") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			old := filepath.Join(t.TempDir(), "lane.db")
			load(t, file, old)
			key := identity(t)
			var sealed bytes.Buffer
			if _, err := Make(t.Context(), old, &sealed, key.Recipient()); err != nil {
				t.Fatal(err)
			}
			restored := filepath.Join(t.TempDir(), "lane.db")
			if _, err := Restore(t.Context(), &sealed, key, restored, false, nil); err != nil {
				t.Fatal(err)
			}
			for path, entries := range map[string]int64{old: 20, restored: 0} {
				j, was, box, db, stop := lanesStore(t, path)
				if n, err := journal.Check(t.Context(), db.Reader); err != nil || n != entries {
					t.Errorf("%d entries, %v", n, err)
				}
				if was.OpenIntent != 4 || was.Last < 4 {
					t.Errorf("it finds %+v", was)
				}
				if n, _, err := box.Waiting(t.Context()); err != nil || n != 1 {
					t.Errorf("%d records wait, %v", n, err)
				}
				cases, err := j.Cases(t.Context())
				if err != nil || len(cases) != 1 || cases[0].Transaction != uuidOf(3) {
					t.Fatalf("cases %+v, %v", cases, err)
				}
				if err := j.Settle(t.Context(), uuidOf(3), "anna", journal.Crossed); err != nil {
					t.Errorf("what was sealed: %v", err)
				}
				got := slices.DeleteFunc(schemaOf(t, db.Reader), func(s string) bool { return strings.Contains(s, "entry_before") || strings.Contains(s, "thinned") })
				if !slices.Equal(got, shape) {
					t.Errorf("it is\n%s\na new one is\n%s", strings.Join(got, "\n"), strings.Join(shape, "\n"))
				}
				ctx, cancel := context.WithCancel(t.Context())
				sent := make(chan string, 2)
				drained := make(chan error)
				go func() {
					drained <- box.Drain(ctx, sender(sent), func(*sql.Tx, string, error) error { return nil })
				}()
				if a, b := <-sent, <-sent; a == b {
					t.Errorf("%s was sent twice", a)
				}
				cancel()
				if err := <-drained; err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
}

// sender says which records it was given.
type sender chan string

func (s sender) Send(_ context.Context, key string, body []byte) error {
	if len(body) == 0 {
		return fmt.Errorf("record %s is empty", key)
	}
	s <- key
	return nil
}

// A site's store, likewise.
func TestSitesStoresOfEveryVersion(t *testing.T) {
	open := func(dir string, see func(*sql.DB)) {
		t.Helper()
		db, closing, err := site.OpenDatabase(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		see(db)
		if err := closing(); err != nil {
			t.Fatal(err)
		}
	}
	var shape []string
	open(t.TempDir(), func(db *sql.DB) {
		if _, err := site.Invite(t.Context(), db, site.Invited{Officer: "anna", Name: "Anna Amt", Role: officer.Guard}, "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO word (at, officer, lane, kind, value, txn, reason, answer, envelope) VALUES (1, 'anna', 'E1', 'decide', 'release', 'x', 'face', 'ok', X'00')`); err != nil {
			t.Fatal(err)
		}
		shape = schemaOf(t, db)
		keep(t, db, "site")
	})
	for _, file := range stores(t, "site") {
		dir := t.TempDir()
		load(t, file, filepath.Join(dir, "site.db"))
		open(dir, func(db *sql.DB) {
			if got := schemaOf(t, db); !slices.Equal(got, shape) {
				t.Errorf("%s: it is\n%s\na new one is\n%s", file, strings.Join(got, "\n"), strings.Join(shape, "\n"))
			}
			if n := texts(t, db, "SELECT officer FROM word UNION ALL SELECT officer FROM invitation"); len(n) != 2 {
				t.Errorf("%s: %q", file, n)
			}
		})
		key := identity(t)
		var sealed bytes.Buffer
		m, err := Make(t.Context(), filepath.Join(dir, "site.db"), &sealed, key.Recipient())
		if err != nil || m.Store != "site" {
			t.Fatal(m, err)
		}
		if _, err := Restore(t.Context(), &sealed, key, filepath.Join(t.TempDir(), "site.db"), false, nil); err != nil {
			t.Error(err)
		}
	}
}

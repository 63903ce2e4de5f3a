package register_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"passage/eesclient/api"
	"passage/eesclient/stay"
	"passage/hwsim/register"
	"passage/sqlite"
)

func openSQLite(t *testing.T) *sql.DB {
	t.Helper()
	db := must(sqlite.Open(t.Context(), ":memory:"))
	t.Cleanup(func() { _ = db.Close() })
	return db.Writer
}

func parseUUID(s string) (uuid.UUID, error) { return uuid.Parse(s) }

func on(y int, m time.Month, d int) stay.Day {
	return stay.On(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
}

// What may no longer be kept is erased on the day after its last, not before,
// and there is a line that proves it.
func TestRetention(t *testing.T) { each(t, testRetention) }

func testRetention(t *testing.T, b bench) {
	with := func(file, number string, change func(*register.Person)) register.Person {
		p := person()
		p.File, p.Number = file, number
		change(&p)
		return p
	}
	load(t, b,
		with("F-EXITED", "N1", func(p *register.Person) {
			p.Stays = []stay.Stay{{First: on(2026, 1, 1), Last: on(2026, 2, 1)}}
		}),
		with("F-OPEN", "N2", func(p *register.Person) { p.Stays = []stay.Stay{{First: on(2026, 1, 1)}} }),
		with("F-FAMILY", "N3", func(p *register.Person) {
			p.FamilyStatus, p.Stays = true, []stay.Stay{{First: on(2026, 1, 1), Last: on(2026, 2, 1)}}
		}),
	)
	there := func(file string) bool {
		code, _ := post(t, b, "officer", "/v1/files/"+file, "", nil)
		return code == 200
	}
	for _, c := range []struct {
		day  stay.Day
		gone string
	}{
		{on(2027, 2, 2), ""},
		{on(2027, 2, 3), "F-FAMILY"}, // one year and a day after the exit
		{on(2029, 2, 2), ""},
		{on(2029, 2, 3), "F-EXITED"}, // three years and a day
		{on(2031, 4, 2), ""},
		{on(2031, 4, 3), "F-OPEN"}, // five years after the ninety days ended
	} {
		if c.gone != "" && !there(c.gone) {
			t.Errorf("%s was gone before %s", c.gone, c.day)
		}
		lines, err := b.Erase(t.Context(), c.day)
		if err != nil {
			t.Fatal(err)
		}
		files := 0
		for _, l := range lines {
			if l.What == "individual file" {
				files += l.Count
			}
		}
		if want := len(c.gone) > 0; (files == 1) != want || want && there(c.gone) {
			t.Errorf("%s: %d files erased, want %q gone", c.day, files, c.gone)
		}
	}
	n, err := b.CheckErasures(t.Context())
	if err != nil || n < 3 {
		t.Errorf("%d lines, %v", n, err)
	}
	code, answer := post(t, b, "admin", "/v1/erasures", "", nil)
	if code != 200 || !strings.Contains(answer, "Art. 34") || strings.Contains(answer, "F-OPEN") {
		t.Errorf("the proof: %d %s", code, answer)
	}
}

// A crossing keeps its file for longer; its record goes after three years, and
// its key is kept for thirty days, after which it stays taken.
func TestRecordsAreErased(t *testing.T) { each(t, testRecordsAreErased) }

func testRecordsAreErased(t *testing.T, b bench) {
	p := person()
	p.Stays = []stay.Stay{{First: on(2020, 1, 1), Last: on(2020, 2, 1)}}
	load(t, b, p)
	file := "F-1"
	put := func(kind string, at time.Time) (key string, rec api.Record) {
		id := uuid.New()
		rec = api.Record{Kind: api.RecordKind(kind), Transaction: id, At: at, CrossingPoint: "E1", Class: "TCN_LISTED", Level: "central", File: &file}
		key = id.String() + ":" + kind
		if code, answer := post(t, b, "lane", "/v1/records", key, rec); code != 201 {
			t.Fatalf("%d %s", code, answer)
		}
		return key, rec
	}
	now := time.Now()
	put("entry", now.AddDate(0, 0, -3))
	key, exit := put("exit", now)
	put("consultation", now)
	erase := func(at time.Time) map[string]int {
		t.Helper()
		lines, err := b.Erase(t.Context(), stay.On(at))
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]int{}
		for _, l := range lines {
			m[l.What] += l.Count
		}
		return m
	}
	if m := erase(now.AddDate(0, 0, 29)); len(m) != 0 {
		t.Errorf("after 29 days: %v", m)
	}
	if code, _ := post(t, b, "lane", "/v1/records", key, exit); code != 200 {
		t.Errorf("the key within its time: %d", code)
	}
	if m := erase(now.AddDate(0, 0, 32)); m["consultation record"] != 1 || m["idempotency key"] != 2 || m["individual file"] != 0 {
		t.Errorf("after 32 days: %v", m)
	}
	if code, _ := post(t, b, "lane", "/v1/records", key, exit); code != 409 {
		t.Errorf("the key after its time: %d", code)
	}
	if m := erase(now.AddDate(3, 0, 0)); m["exit or refusal"] != 0 {
		t.Errorf("after three years: %v", m)
	}
	if m := erase(now.AddDate(3, 0, 2)); m["exit or refusal"] != 1 || m["entry"] != 1 || m["individual file"] != 1 {
		t.Errorf("after three years and a day: %v", m)
	}
	if list, err := b.Records(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d records are left, %v", len(list), err)
	}
}

// Erased means erased: the bytes are in no file of the database. Whoever
// changes the proof afterwards is found out.
func TestErasureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	db := must(sqlite.Open(t.Context(), filepath.Join(dir, "ees.db")))
	defer db.Close()
	r := must(register.Open(t.Context(), db.Writer, secret))
	p := person()
	if err := r.Load(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	if err := db.Reader.QueryRow("SELECT sealed FROM individual_file").Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	found := func(what []byte) bool {
		for _, name := range []string{"ees.db", "ees.db-wal"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && bytes.Contains(b, what) {
				return true
			}
		}
		return false
	}
	for _, clear := range []string{"SPECIMEN", "C01X00T47", "1990-01-02"} {
		if found([]byte(clear)) {
			t.Errorf("%s can be read in the database", clear)
		}
	}
	if !found(sealed) || !found([]byte("F-1")) {
		t.Fatal("the search finds nothing at all")
	}
	if _, err := r.Erase(t.Context(), on(2040, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if found(sealed) || found([]byte("F-1")) {
		t.Error("what was erased is still in the database's files")
	}
	if n, err := r.CheckErasures(t.Context()); err != nil || n == 0 {
		t.Errorf("%d lines, %v", n, err)
	}
	if _, err := db.Writer.Exec("UPDATE erasure SET count=count+1"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CheckErasures(t.Context()); !errors.Is(err, register.ErrChain) {
		t.Errorf("a changed line: %v", err)
	}
}

// A database of a newer schema, and a secret of another register, are refused.
func TestOpenRefuses(t *testing.T) {
	db := openSQLite(t)
	if _, err := register.Open(t.Context(), db, secret[:31]); err == nil {
		t.Error("a short secret is accepted")
	}
	r := must(register.Open(t.Context(), db, secret))
	if err := r.Load(t.Context(), person()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO migration (number) VALUES (999)"); err != nil {
		t.Fatal(err)
	}
	if _, err := register.Open(t.Context(), db, secret); err == nil {
		t.Error("a newer schema is accepted")
	}
}

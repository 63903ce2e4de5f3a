package chaos

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"passage/hwsim/register"
	"passage/kiosk/devices"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
	"passage/sqlite"
)

var (
	figures   = flag.String("figures", "", "measure, and append the figures to this file as rows of a Markdown table")
	crossings = flag.Int("crossings", 5000, "crossings of the day offline that is measured")
)

// TestDrainFigures measures how a lane settles up after a day offline, beside
// the same records written bare: one durable commit each, in a database with
// the register's settings, without a network, a contract or a lane.
func TestDrainFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("measures for a minute: -figures FILE")
	}
	dir := folder(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := register.Open(t.Context(), db.Writer, secret)
	if err != nil {
		t.Fatal(err)
	}
	// The mix: six of ten travellers are in the register, each of them crosses
	// twice that day; the others leave a consultation record.
	people := *crossings * 3 / 10
	for n := range people {
		if err := reg.Load(t.Context(), register.Person{File: fmt.Sprintf("F-%d", n), Number: fmt.Sprintf("X%d", n), Issuer: "BRA", Surname: "AMOSTRA", GivenNames: "RUI", Birth: "1990-01-02", Nationality: "BRA"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := openLane(dir)
	if err != nil {
		t.Fatal(err)
	}
	records := &devices.Records{Box: s.box, CrossingPoint: "X1"}
	start := time.Now().Add(-24 * time.Hour)
	tx, err := s.db.Writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for n := range *crossings {
		f := facts(uuid.NewString())
		f.Level = "local"
		if n < 2*people {
			f.Class, f.File, f.Direction = lane.TCN_LISTED, fmt.Sprintf("F-%d", n%people), policy.Entry
			f.Document, f.Identity.Number = policy.Document{Code: "P", Issuer: "BRA"}, fmt.Sprintf("X%d", n%people)
			if n >= people {
				f.Direction = policy.Exit
			}
		}
		if err := records.Put(tx, f, start.Add(time.Duration(n)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	bare := bareRate(t, s.db, *crossings)
	c, err := client(dir, running(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.drain(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	again, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if reg, err = register.Open(t.Context(), again.Writer, secret); err != nil {
		t.Fatal(err)
	}
	list, err := reg.Records(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		seen[r.Transaction.String()]++
	}
	if len(list) != *crossings || len(seen) != *crossings {
		t.Errorf("%d records of %d transactions, want %d of each", len(list), len(seen), *crossings)
	}
	rate := float64(*crossings) / took.Seconds()
	out, err := os.OpenFile(*figures, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	line := fmt.Sprintf("| %d offline crossings drained (60 %% entries and exits, 40 %% consultations), each exactly once | ≥ 80 %% of bare inserts | %.0f records/s, %.0f %% | bare: %.0f durable commits/s of the same records |", *crossings, rate, 100*rate/bare, bare)
	fmt.Fprintln(out, line)
	t.Log(line)
}

// bareRate is how many of the lane's sealed records a second are written, one
// durable commit each.
func bareRate(t *testing.T, from *sqlite.DB, n int) float64 {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "bare.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Writer.Exec(`CREATE TABLE record (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, caller TEXT NOT NULL, key TEXT NOT NULL,
		at INTEGER NOT NULL, sealed BLOB NOT NULL, UNIQUE (caller, key)) STRICT`); err != nil {
		t.Fatal(err)
	}
	type row struct {
		key    string
		sealed []byte
	}
	var list []row
	rows, err := from.Reader.QueryContext(t.Context(), "SELECT key, sealed FROM outbox ORDER BY seq LIMIT ?", n)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.key, &r.sealed); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i, r := range list {
		if err := commit(t.Context(), db.Writer, i, r.key, r.sealed); err != nil {
			t.Fatal(err)
		}
	}
	return float64(len(list)) / time.Since(began).Seconds()
}

func commit(ctx context.Context, db *sql.DB, n int, key string, sealed []byte) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO record (id, caller, key, at, sealed) VALUES (?,?,?,?,?)", fmt.Sprint(n), "lane", key, time.Now().UnixNano(), sealed); err != nil {
		return err
	}
	return tx.Commit()
}

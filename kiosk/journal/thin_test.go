package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/sqlite"
)

// day is one of a lane's life, counted from its first.
func day(n int) time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(n) * 24 * time.Hour) }

// days writes crossings of ten entries each, one a day; every tenth is told apart
// by its settlement.
func days(t *testing.T, j *Journal, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		x, at := lane.Transaction(n+1), day(n)
		uuid := fmt.Sprintf("uuid-of-day-%03d", n)
		j.Begin(x, uuid, at)
		for i := range 10 {
			j.Append(kiosk.Entry{Now: lane.Instant(10*n + i + 1), At: at, Event: lane.DocumentPlaced{}, After: lane.State{Transaction: x}})
		}
		if err := do(func(d func(error)) { j.Intend(x, facts(uuid), d) }); err != nil {
			t.Fatal(err)
		}
		if err := do(func(d func(error)) { j.Record(x, at, d) }); err != nil {
			t.Fatal(err)
		}
		j.Conclude(x, kiosk.Ended{At: at, Outcome: lane.OutcomeReleased, Class: lane.EU})
	}
	j.flush(t.Context())
}

func counts(t *testing.T, db *sqlite.DB) (entries, crossings int) {
	t.Helper()
	if err := db.Reader.QueryRow("SELECT (SELECT count(*) FROM entry), (SELECT count(*) FROM crossing)").Scan(&entries, &crossings); err != nil {
		t.Fatal(err)
	}
	return entries, crossings
}

// A lane forgets what is older than it may keep, in steps, of what its site has,
// and what is left is proven as before; nothing of it is in a file any more.
func TestThin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, db, stop := open(t, path, &box{})
	days(t, j, 0, 100)
	var whole Tree
	if err := whole.Grow(t.Context(), db.Reader, nil); err != nil {
		t.Fatal(err)
	}
	name, err := Name(t.Context(), db.Reader)
	if err != nil {
		t.Fatal(err)
	}
	thin := func(before time.Time, upto int64) (steps int) {
		t.Helper()
		for {
			n, err := Thin(t.Context(), db.Writer, nil, before, upto)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return steps
			}
			if n > step {
				t.Fatalf("%d at once", n)
			}
			steps++
		}
	}
	proven := func(entries, crossings int) {
		t.Helper()
		if e, c := counts(t, db); e != entries || c != crossings {
			t.Errorf("%d entries and %d crossings are left, want %d and %d", e, c, entries, crossings)
		}
		if good, err := Check(t.Context(), db.Reader); err != nil || good != whole.Size {
			t.Errorf("the chain: %d, %v", good, err)
		}
		var again Tree
		if err := again.Grow(t.Context(), db.Reader, nil); err != nil || again.Root() != whole.Root() || again.Size != whole.Size {
			t.Errorf("the tree: %d, %v", again.Size, err)
		}
		if now, err := Name(t.Context(), db.Reader); err != nil || now != name {
			t.Errorf("it is journal %s, and was %s: %v", now, name, err)
		}
	}
	if thin(day(0), 1<<62) != 0 || thin(day(50), 0) != 0 {
		t.Error("something was forgotten that is young, or that nobody else has")
	}
	if thin(day(95), 105) == 0 { // the site has ten days and a half
		t.Error("nothing was forgotten")
	}
	proven(1000-105, 100-10)
	if steps := thin(day(60), 1<<62); steps < 3 {
		t.Errorf("forgotten in %d steps", steps)
	}
	proven(400, 40)
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		crossing := fmt.Sprintf("uuid-of-day-%03d", n)
		var kept int
		if err := db.Reader.QueryRow("SELECT count(*) FROM crossing WHERE uuid = ?", crossing).Scan(&kept); err != nil || (kept == 1) != (n >= 60) {
			t.Errorf("day %d: %d, %v", n, kept, err)
		}
	}
	stop()

	// It goes on where it was.
	j, was, db, stop := open(t, path, &box{})
	if was.Last != 100 {
		t.Errorf("the last number was %d", was.Last)
	}
	days(t, j, 100, 110)
	if err := whole.Grow(t.Context(), db.Reader, nil); err != nil {
		t.Fatal(err)
	}
	proven(500, 50)

	// A lane that stood still for long forgets all, and no number comes again.
	thin(day(500), 1<<62)
	proven(0, 0)
	stop()
	j, was, db, stop = open(t, path, &box{})
	if was.Last != 110 {
		t.Errorf("number %d would come again", was.Last)
	}
	days(t, j, 110, 111)
	if err := whole.Grow(t.Context(), db.Reader, nil); err != nil {
		t.Fatal(err)
	}
	proven(10, 1)
	stop()

	// What is salvaged of it begins anew, behind all numbers; what lies aside is
	// forgotten in its time.
	to := path + ".new"
	if _, err := Salvage(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	_, was, db, stop = open(t, to, &box{})
	defer stop()
	if was.Last < 111 {
		t.Errorf("salvaged: number %d would come again", was.Last)
	}
	if b, err := Forgotten(t.Context(), db.Reader); err != nil || b.Seq != 0 {
		t.Errorf("a new journal has forgotten %d entries, %v", b.Seq, err)
	}
	thin(day(200), 1<<62)
	var aside int
	if err := db.Reader.QueryRow("SELECT count(*) FROM entry_before").Scan(&aside); err != nil || aside != 0 {
		t.Errorf("%d entries lie aside, %v", aside, err)
	}
}

// What does not follow is not forgotten: it would hide what was done.
func TestThinRefuses(t *testing.T) {
	j, _, db, stop := open(t, filepath.Join(t.TempDir(), "lane.db"), &box{})
	defer stop()
	days(t, j, 0, 3)
	if _, err := db.Writer.Exec("UPDATE entry SET now = now + 1 WHERE seq = 12"); err != nil {
		t.Fatal(err)
	}
	if _, err := Thin(t.Context(), db.Writer, nil, day(9), 1<<62); err == nil || !strings.Contains(err.Error(), "entry 12") {
		t.Errorf("%v", err)
	}
	if e, c := counts(t, db); e != 30 || c != 3 {
		t.Errorf("%d entries and %d crossings are left", e, c)
	}
	if _, err := db.Writer.Exec("UPDATE entry SET now = now - 1 WHERE seq = 12"); err != nil {
		t.Fatal(err)
	}
	if n, err := Thin(t.Context(), db.Writer, nil, day(1), 1<<62); err != nil || n != 10 {
		t.Fatal(n, err)
	}
	for _, harm := range []string{"UPDATE thinned SET chain = zeroblob(32)", "UPDATE thinned SET seq = seq + 1"} {
		tx, err := db.Writer.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(harm); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(t.Context(), db.Reader); err == nil {
			t.Errorf("%s: it passes", harm)
		}
	}
}

// Steps of a process whose first ones are forgotten are not replayed; those of
// the next one are.
func TestThinReplay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, db, stop := open(t, path, &box{})
	walk(t, j)
	if n, err := Thin(t.Context(), db.Writer, nil, time.Now().Add(time.Hour), 3); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	stop()
	j, _, db, stop = open(t, path, &box{})
	defer stop()
	walk(t, j)
	steps := 0
	if err := Replay(t.Context(), db.Reader, lane.DefaultRules(), func(Step) error { steps++; return nil }); err != nil || steps != 6 {
		t.Errorf("%d steps, %v", steps, err)
	}
}

// Retain asks what the site has, and forgets nothing without its word.
func TestRetain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, db, stop := open(t, path, &box{})
	defer stop()
	days(t, j, 0, 2)
	lived := everything(t, path)
	if n, err := retain(t.Context(), db, nil, func(context.Context) (int64, error) { return 0, errors.New("away") }); err == nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := retain(t.Context(), db, nil, nil); err != nil || n != 20 {
		t.Errorf("%d, %v", n, err)
	}
	for _, planted := range []string{"EUreleased", "DocumentPlaced"} {
		if raw := everything(t, path); !strings.Contains(lived, planted) || strings.Contains(raw, planted) {
			t.Errorf("%s: what was forgotten is in the files, or never was", planted)
		}
	}
}

// waits are the records that the register has not acknowledged.
type waits struct{ uuids []string }

func (w *waits) Forget(_ *sql.Tx, uuid string) (bool, error) {
	return !slices.Contains(w.uuids, uuid), nil
}

// An intent goes after its crossing, with what became of it: never one that is
// open, whose case is open or was settled of late, or whose record still waits.
// Chain and tree are what they were.
func TestThinIntents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, db, stop := open(t, path, &box{})
	days(t, j, 0, 3) // 1 to 3 recorded
	for x := lane.Transaction(4); x <= 8; x++ {
		uuid := fmt.Sprintf("uuid-of-day-%03d", x-1)
		j.Begin(x, uuid, day(int(x-1)))
		j.Append(kiosk.Entry{Now: lane.Instant(10 * x), At: day(int(x - 1)), Event: lane.DocumentPlaced{}, After: lane.State{Transaction: x}})
		if err := do(func(d func(error)) { j.Intend(x, facts(uuid), d) }); err != nil {
			t.Fatal(err)
		}
	}
	j.Void(4)
	j.OpenCase(5, lane.PowerCut) // settled long ago
	j.OpenCase(6, lane.PowerCut) // settled today
	j.OpenCase(7, lane.PowerCut) // and open; 8 has no end yet
	for _, x := range []int{4, 5} {
		if err := j.Settle(t.Context(), fmt.Sprintf("uuid-of-day-%03d", x), "anna", NotCrossed); err != nil {
			t.Fatal(err)
		}
	}
	j.flush(t.Context())
	var whole Tree
	if err := whole.Grow(t.Context(), db.Reader, nil); err != nil {
		t.Fatal(err)
	}
	// All but the one of today happened when their crossings did.
	if _, err := db.Writer.Exec("UPDATE settlement SET at = ?1, closed = CASE WHEN closed IS NULL OR txn = 6 THEN closed ELSE ?1 END", day(8).UnixNano()); err != nil {
		t.Fatal(err)
	}
	waiting := &waits{[]string{"uuid-of-day-001"}}
	left := func() (txns []int) {
		t.Helper()
		rows, err := db.Reader.Query("SELECT txn FROM intent ORDER BY txn")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var x int
			if err := rows.Scan(&x); err != nil {
				t.Fatal(err)
			}
			txns = append(txns, x)
		}
		var astray int
		if err := db.Reader.QueryRow("SELECT count(*) FROM settlement WHERE txn NOT IN (SELECT txn FROM intent)").Scan(&astray); err != nil || astray > 0 {
			t.Errorf("%d settlements of no intent, %v", astray, err)
		}
		return txns
	}
	thin := func(before time.Time, upto int64) {
		t.Helper()
		for n := 1; n > 0; {
			var err error
			if n, err = Thin(t.Context(), db.Writer, waiting, before, upto); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, row := range []struct {
		name   string
		before time.Time
		upto   int64
		want   []int
	}{
		{"its crossing is here", day(20), 0, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"settled of late", day(3), 1 << 62, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"done with", day(20), 1 << 62, []int{2, 6, 7, 8}},
	} {
		if thin(row.before, row.upto); !slices.Equal(left(), row.want) {
			t.Errorf("%s: left are %v, want %v", row.name, left(), row.want)
		}
	}
	waiting.uuids = nil
	if thin(day(20), 1<<62); !slices.Equal(left(), []int{6, 7, 8}) {
		t.Errorf("acknowledged: left are %v", left())
	}
	if cases, err := j.Cases(t.Context()); err != nil || len(cases) != 1 || cases[0].Transaction != "uuid-of-day-006" {
		t.Errorf("open are %v, %v", cases, err)
	}
	if err := j.Settle(t.Context(), "uuid-of-day-006", "anna", Crossed); err != nil {
		t.Errorf("the open case cannot be settled: %v", err)
	}
	var again Tree
	if err := again.Grow(t.Context(), db.Reader, nil); err != nil || again.Root() != whole.Root() || again.Size != whole.Size {
		t.Errorf("the tree: %d, %v", again.Size, err)
	}
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if raw := everything(t, path); strings.Contains(raw, "uuid-of-day-003") || !strings.Contains(raw, "uuid-of-day-007") {
		t.Error("a forgotten intent is in the files, or one that is kept is not")
	}
	stop()
	_, was, _, stop := open(t, path, &box{})
	defer stop()
	if was.Last != 8 || was.OpenIntent != 8 {
		t.Errorf("after a start the last number is %d, and open is %d", was.Last, was.OpenIntent)
	}
}

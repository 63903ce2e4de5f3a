package journal

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// A disk that does not answer closes the lane, and steps beyond a bound are
// dropped; when it answers again the lane goes on with a whole chain.
func TestADiskThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &hung{answer: make(chan struct{})}
		j, _, db, stop := open(t, filepath.Join(t.TempDir(), "lane.db"), slow)
		defer stop()
		if err := do(func(d func(error)) { j.Intend(1, facts("u1"), d) }); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		j.Record(1, time.Now(), func(err error) { done <- err })
		time.Sleep(answersWithin)
		if err := j.Failing(); err != nil {
			t.Errorf("too soon: %v", err)
		}
		for n := range 2 * kept {
			j.Append(kiosk.Entry{Now: lane.Instant(n + 1), At: time.Now(), Event: lane.Tick{}, After: lane.Start()})
		}
		time.Sleep(time.Second)
		if err := j.Failing(); err == nil || !strings.Contains(err.Error(), "20000 were dropped") {
			t.Errorf("a disk that hangs: %v", err)
		}
		if len(j.queue) > kept {
			t.Errorf("%d steps wait", len(j.queue))
		}
		close(slow.answer)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := do(func(d func(error)) { j.put(d, func(*sql.Tx) error { return nil }) }); err != nil || j.Failing() != nil {
			t.Errorf("afterwards: %v, %v", err, j.Failing())
		}
		if good, err := Check(t.Context(), db.Reader); err != nil || good != kept {
			t.Errorf("%d entries, %v", good, err)
		}
	})
}

// A disk that fails after it has not answered for long: steps are dropped, what
// became of a crossing is not.
func TestADiskThatFailsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &hung{box: box{err: errors.New("disk full")}, answer: make(chan struct{})}
		before := make(chan struct{})
		path := filepath.Join(t.TempDir(), "lane.db")
		j, _, db, stop := open(t, path, slow)
		j.Begin(1, "u1", time.Now())
		if err := do(func(d func(error)) { j.Intend(1, facts("u1"), d) }); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		j.put(nil, func(*sql.Tx) error { <-before; return nil })
		synctest.Wait() // the next ones are one commit
		j.OpenCase(1, lane.NoEvidence)
		j.Begin(2, "u2", time.Now())
		j.put(func(err error) { done <- err }, func(tx *sql.Tx) error { return slow.Put(tx, kiosk.Facts{}, time.Time{}) })
		close(before)
		synctest.Wait()
		for n := range kept + 1 {
			j.Append(kiosk.Entry{Now: lane.Instant(n + 1), At: time.Now(), Event: lane.Tick{}, After: lane.Start()})
		}
		close(slow.answer)
		if err := <-done; err == nil {
			t.Fatal("the disk did not fail")
		}
		if err := do(func(d func(error)) { j.put(d, func(*sql.Tx) error { return nil }) }); err != nil {
			t.Fatal(err)
		}
		var kind string
		if err := db.Reader.QueryRow("SELECT kind FROM settlement WHERE txn=1").Scan(&kind); err != nil || kind != "case" {
			t.Errorf("the crossing's end: %q, %v", kind, err)
		}
		stop()
		_, was, _, stop := open(t, path, &box{})
		defer stop()
		if was.Last != 2 || was.OpenIntent != 0 {
			t.Errorf("the next start remembers %+v", was)
		}
	})
}

// Numbers do not come again, whatever of a crossing was on disk.
func TestLastNumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	j, _, _, stop := open(t, path, &box{})
	after := lane.Start()
	after.Transaction = 7
	j.Append(kiosk.Entry{Now: 1, At: time.Now(), Event: lane.DocumentPlaced{}, After: after})
	stop()
	_, was, _, stop := open(t, path, &box{})
	defer stop()
	if was.Last != 7 {
		t.Errorf("the next start remembers %+v", was)
	}
}

// A lane that an officer closed is closed after a power cut, too, until somebody
// opens it.
func TestClosedIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	for _, o := range []lane.OfficerOrder{lane.OrderCloseLeaf, lane.OrderClose, lane.OrderMoreTime, lane.OrderOpen} {
		j, was, _, stop := open(t, path, &box{})
		if want := o == lane.OrderMoreTime || o == lane.OrderOpen; was.Closed != want {
			t.Errorf("before %v: closed %v", o, was.Closed)
		}
		j.Append(kiosk.Entry{Now: 1, At: time.Now(), Event: lane.Ordered{Order: o}, After: lane.Start()})
		stop()
	}
	_, was, _, stop := open(t, path, &box{})
	defer stop()
	if was.Closed {
		t.Error("it was opened")
	}
}

// hung is an outbox whose disk does not answer before it may.
type hung struct {
	box
	answer chan struct{}
}

func (h *hung) Put(*sql.Tx, kiosk.Facts, time.Time) error {
	<-h.answer
	return h.err
}

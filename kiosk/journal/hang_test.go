package journal

import (
	"database/sql"
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

// hung is an outbox whose disk does not answer before it may.
type hung struct {
	box
	answer chan struct{}
}

func (h *hung) Put(*sql.Tx, kiosk.Facts, time.Time) error {
	<-h.answer
	return nil
}

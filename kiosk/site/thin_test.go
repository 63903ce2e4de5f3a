package site

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/journal"
)

// A site forgets crossings of more than 90 days by itself and overwrites them; of
// what is younger none is missing, whatever is forgotten meanwhile, and what a lane
// sends once more does not bring back what is gone.
func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db, err := openStore(t.Context(), filepath.Join(dir, "site.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s := &Site{conf: Config{Log: quiet}, hub: NewHub(), db: db}
		began := time.Now()
		put := func(n int, at time.Time) {
			t.Helper()
			err := atomically(t.Context(), db.Writer, func(tx *sql.Tx) error {
				for i := range n {
					if _, err := tx.Exec("INSERT INTO crossing VALUES ('E1',?,?,10000,'EU','released','',CAST('[]' AS BLOB))", fmt.Sprint("planted ", at.Unix(), "-", i), at.UnixMilli()); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		count := func(from, to time.Time) (n int) {
			t.Helper()
			if err := s.Crossings(t.Context(), "", from, to, func(Crossing) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		old, young := began.Add(-Keep-time.Minute), began.Add(-Keep+90*time.Minute)
		put(2*thinStep+7, old)
		put(30, young)
		b, err := json.Marshal(fleet.Batch{
			Lane: "E1", Journal: "1", Entries: []journal.Row{{Seq: 1, Chain: chained(1)}},
			Ended: []fleet.Ended{{Seq: 1, UUID: "planted by a batch", At: old.UnixNano(), Outcome: "released", Timeline: json.RawMessage(`[]`)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		take := func() {
			t.Helper()
			if err := atomically(t.Context(), db.Writer, func(tx *sql.Tx) error {
				why, err := s.take(t.Context(), tx, "E1", b)
				if why != "" {
					t.Error(why)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		take()
		if n := count(old, began); n != 2*thinStep+7+1+30 {
			t.Fatalf("%d to begin with", n)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.retain(ctx) }()
		time.Sleep(time.Hour / 2)
		synctest.Wait()
		if n := count(old, began); n != 30 {
			t.Errorf("%d are left", n)
		}
		take()
		if n := count(old, young); n != 0 {
			t.Errorf("%d are back", n)
		}
		if holds(t, dir, fmt.Sprint("planted ", old.Unix())) || !holds(t, dir, fmt.Sprint("planted ", young.Unix())) {
			t.Error("what was forgotten is in the files, or what is kept is not")
		}
		// They come of age one hour after the other.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := count(old, began); n != 0 {
			t.Errorf("%d have not been forgotten", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// chained is the chain hash of a first entry that holds nothing but its number:
// 32 zeros, five numbers and four lengths (journal.Row).
func chained(seq uint64) []byte {
	b := make([]byte, 32, 88)
	b = binary.BigEndian.AppendUint64(b, seq)
	h := sha256.Sum256(b[:cap(b)])
	return h[:]
}

// holds says whether a file of a folder has a text.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		if b, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

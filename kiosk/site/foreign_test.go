package site

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/journal"
)

// FuzzTake feeds the store batches as lanes may send them. Whatever one holds,
// it costs no error that would hold up the others, and only the sender's rows
// change.
func FuzzTake(f *testing.F) {
	good, err := json.Marshal(fleet.Batch{
		Lane: "E1", Journal: "1", Entries: []journal.Row{{Seq: 1, Event: "Tick", Chain: make([]byte, 32)}},
		Ended: []fleet.Ended{{Seq: 1, UUID: "0191d3c4", Outcome: "released", Timeline: json.RawMessage(`[]`)}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"lane":"E2","entries":[{}]}`))
	f.Add([]byte(`{"lane":"E1","journal":"1","entries":[{"Seq":9223372036854775807}]}`))
	db, err := openStore(f.Context(), filepath.Join(f.TempDir(), "site.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	s := &Site{conf: Config{Log: slog.New(slog.DiscardHandler)}, db: db}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := atomically(context.Background(), db.Writer, func(tx *sql.Tx) error {
			if _, err := s.take(t.Context(), tx, "E1", body); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRow("SELECT (SELECT count(*) FROM crossing WHERE lane <> 'E1') + (SELECT count(*) FROM position WHERE lane <> 'E1')").Scan(&n); err != nil {
				return err
			}
			if n != 0 {
				t.Errorf("a lane wrote %d rows of another one", n)
			}
			_, err := tx.Exec("DELETE FROM crossing; DELETE FROM position")
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzSeen: the console's pages get valid JSON of bounded size, whatever a lane
// publishes.
func FuzzSeen(f *testing.F) {
	f.Add("E1", []byte(`{"lane":"E1","state":"IDLE"}`))
	f.Add("", []byte("{"))
	f.Fuzz(func(t *testing.T, id string, view []byte) {
		h := NewHub()
		h.Seen(id, view, time.UnixMilli(1))
		list, _, _ := h.Since(0)
		for _, l := range list {
			if len(l.View) > fleet.MaxView || !json.Valid(l.View) {
				t.Errorf("the pages would get %q", l.View)
			}
		}
		if _, err := json.Marshal(list); err != nil {
			t.Error(err)
		}
	})
}

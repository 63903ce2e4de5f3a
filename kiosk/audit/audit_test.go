package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/sqlite"
)

// fill writes a journal of n steps and returns its database.
func fill(t *testing.T, n int) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	more(t, db, n)
	return db
}

// more writes n more steps.
func more(t *testing.T, db *sqlite.DB, n int) {
	t.Helper()
	ring, err := keys.Open(t.Context(), db, bytes.Repeat([]byte{1}, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(t.Context(), db.Writer, ring, none{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		j.Append(kiosk.Entry{Now: lane.Instant(i + 1), Event: lane.Tick{}, After: lane.Start()})
	}
	done, stop := context.WithCancel(t.Context())
	stop()
	if err := j.Run(done); err != nil {
		t.Fatal(err)
	}
}

// rewrite makes the whole chain anew, as somebody would who has the computer, from where
// it begins.
func rewrite(t *testing.T, db *sql.DB, chain [sha256.Size]byte) {
	t.Helper()
	rows, err := journal.Entries(t.Context(), db, "ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		h := sha256.New()
		h.Write(chain[:])
		for _, n := range []int64{r.Seq, r.Run, r.Now, r.At, r.Txn} {
			binary.Write(h, binary.BigEndian, n)
		}
		for _, b := range [][]byte{[]byte(r.Event), r.Body, r.Effects, r.State} {
			binary.Write(h, binary.BigEndian, uint32(len(b)))
			h.Write(b)
		}
		chain = [sha256.Size]byte(h.Sum(nil))
		if _, err := db.Exec("UPDATE entry SET chain=? WHERE seq=?", chain[:], r.Seq); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, db *sql.DB)
		want string // empty: it holds
	}{
		{"untouched", func(*testing.T, *sql.DB) {}, ""},
		{"altered", func(t *testing.T, db *sql.DB) { exec(t, db, "UPDATE entry SET now=now+1 WHERE seq=7") }, "entry 7 was altered"},
		{"altered and made anew", func(t *testing.T, db *sql.DB) {
			exec(t, db, "UPDATE entry SET now=now+1 WHERE seq=7")
			rewrite(t, db, [sha256.Size]byte{})
		}, "the first 20 entries are not the ones"},
		{"the last one removed", func(t *testing.T, db *sql.DB) { exec(t, db, "DELETE FROM entry WHERE seq=20") }, "20 entries were signed for, and 19 are here"},
		{"one removed and made anew", func(t *testing.T, db *sql.DB) {
			exec(t, db, "DELETE FROM entry WHERE seq=7")
			exec(t, db, "UPDATE entry SET seq=-seq WHERE seq>7")
			exec(t, db, "UPDATE entry SET seq=-seq-1 WHERE seq<0")
			rewrite(t, db, [sha256.Size]byte{})
		}, "20 entries were signed for"},
		{"begun anew", func(t *testing.T, db *sql.DB) {
			exec(t, db, "UPDATE entry SET run=run+1")
			rewrite(t, db, [sha256.Size]byte{})
		}, "begun anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := fill(t, 20).Writer
			head, err := Now(t.Context(), db, "E1")
			if err != nil {
				t.Fatal(err)
			}
			c.harm(t, db)
			entries, covered, err := Verify(t.Context(), db, []Head{head})
			if c.want == "" {
				if err != nil || entries != 20 || covered != 20 {
					t.Errorf("%d entries, %d covered, %v", entries, covered, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.key")
	signer, err := Key(path, "E1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Key(path, "E1"); err != nil || again.KeyHash() != signer.KeyHash() {
		t.Errorf("the key is another one at the second start: %v", err)
	}
	key, err := ReadKey(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	h := Head{"E1", "abc", 12, tlog.RecordHash([]byte("x"))}
	b, err := h.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenHead(b, key); err != nil || got != h {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := OpenHead(bytes.Replace(b, []byte("\n12\n"), []byte("\n11\n"), 1), key); !errors.Is(err, ErrHead) {
		t.Errorf("another size: %v", err)
	}
	_, public, _ := note.GenerateKey(strings.NewReader(strings.Repeat("r", 64)), "passage-E1")
	other, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHead(b, other); !errors.Is(err, ErrHead) {
		t.Errorf("another key: %v", err)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(Head{"E1", "abc", 12, tlog.Hash{}}.Text())
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := ParseHead(text); err == nil && h.Text() != text {
			t.Errorf("%q became %q", text, h.Text())
		}
	})
}

// none is an outbox that takes nothing.
type none struct{}

func (none) Put(*sql.Tx, kiosk.Facts, time.Time) error { return nil }
func (none) Drop(*sql.Tx, string) error                { return nil }
func (none) Erased()                                   {}
func (none) Failing() error                            { return nil }

// A journal that has forgotten its first entries is proven by the heads that
// came after, which are made of them; who alters what is left, or invents what was
// forgotten, is found out.
func TestVerifyForgotten(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, db *sql.DB)
		want string // empty: it holds
	}{
		{"forgotten", func(*testing.T, *sql.DB) {}, ""},
		{"altered and made anew", func(t *testing.T, db *sql.DB) {
			exec(t, db, "UPDATE entry SET now=now+1 WHERE seq=17")
			b, err := journal.Forgotten(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, db, [sha256.Size]byte(b.Chain))
		}, "the first 20 entries are not the ones"},
		{"another past", func(t *testing.T, db *sql.DB) {
			exec(t, db, "UPDATE thinned SET edge = zeroblob(length(edge))")
		}, "the first 20 entries are not the ones"},
		{"another past, and a chain for it", func(t *testing.T, db *sql.DB) {
			exec(t, db, "UPDATE thinned SET chain = zeroblob(32)")
			rewrite(t, db, [sha256.Size]byte{})
		}, "the first 20 entries are not the ones"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := fill(t, 15)
			old, err := Now(t.Context(), db.Reader, "E1")
			if err != nil {
				t.Fatal(err)
			}
			more(t, db, 5)
			head, err := Now(t.Context(), db.Reader, "E1")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := journal.Thin(t.Context(), db.Writer, nil, time.Now(), 16); err != nil || n != 16 {
				t.Fatal(n, err)
			}
			if now, err := Now(t.Context(), db.Reader, "E1"); err != nil || now != head {
				t.Fatalf("the head is %+v now, and was %+v: %v", now, head, err)
			}
			c.harm(t, db.Writer)
			entries, covered, err := Verify(t.Context(), db.Writer, []Head{old, head})
			if c.want == "" {
				if err != nil || entries != 20 || covered != 20 {
					t.Errorf("%d entries, %d covered, %v", entries, covered, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

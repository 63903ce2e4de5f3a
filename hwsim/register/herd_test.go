package register

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"passage/eesclient"
	"passage/eesclient/outbox"
	"passage/hwsim/register/testca"
	lanekeys "passage/keys"
	"passage/sqlite"
)

// herd is what came of lanes that found their register again in one moment.
type herd struct {
	records          int64
	late, away, lost int64 // attempts that ran out of time, were told to come later, failed otherwise
	handshakes       int64
	took             time.Duration
}

// counting is a lane's sender that counts what its attempts come to, and ends
// the lane's drain with its last record.
type counting struct {
	*eesclient.Client
	h    *herd
	left atomic.Int64
	end  context.CancelFunc
}

func (c *counting) Send(ctx context.Context, key string, body []byte) error {
	err := c.Client.Send(ctx, key, body)
	var later eesclient.LaterError
	var timeout net.Error
	switch {
	case err == nil:
		if c.left.Add(-1) == 0 {
			c.end()
		}
	case errors.As(err, &later):
		atomic.AddInt64(&c.h.away, 1)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		atomic.AddInt64(&c.h.late, 1)
	default:
		atomic.AddInt64(&c.h.lost, 1)
	}
	return err
}

// comeBack lets lanes drain their outboxes into one register, all from the same
// moment, each over connections of its own that are yet to be made. Their
// databases are in memory: a thousand lanes do not share a disk.
func comeBack(t *testing.T, files eesclient.Files, base string, lanes, each int) *herd {
	t.Helper()
	h := &herd{records: int64(lanes * each)}
	start := make(chan struct{})
	var group sync.WaitGroup
	for lane := range lanes {
		box := filled(t, lane, each)
		config, err := eesclient.TLS(files)
		if err != nil {
			t.Fatal(err)
		}
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		config.VerifyConnection = func(tls.ConnectionState) error { atomic.AddInt64(&h.handshakes, 1); return nil }
		transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, TLSHandshakeTimeout: 10 * time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		c := &counting{Client: eesclient.Over(base, transport), h: h, end: cancel}
		c.left.Store(int64(each))
		group.Go(func() {
			defer transport.CloseIdleConnections()
			<-start
			if err := box.Drain(ctx, c, func(_ *sql.Tx, key string, why error) error { return fmt.Errorf("a conflict over %s: %w", key, why) }); err != nil {
				t.Error(err)
			}
			if n, _, err := box.Waiting(t.Context()); err != nil || n != 0 {
				t.Errorf("%d records wait still: %v", n, err)
			}
		})
	}
	began := time.Now()
	close(start)
	group.Wait()
	h.took = time.Since(began)
	return h
}

// filled is a lane's outbox with records of as many travellers.
func filled(t *testing.T, lane, each int) *outbox.Outbox {
	t.Helper()
	db, err := sqlite.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := lanekeys.Fixed(bytes.Repeat([]byte{3}, lanekeys.Size))
	if err != nil {
		t.Fatal(err)
	}
	box, err := outbox.New(t.Context(), db, ring)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	now := time.Now()
	for n := range each {
		k, err := newCheck(lane*each+n, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := box.Put(tx, k.key, k.file, now, k.record); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return box
}

// there counts the records that a register has of a caller, and their keys.
func (h *herd) there(t *testing.T, g *Register) (records, keys int64) {
	t.Helper()
	if err := g.db.do(t.Context(), step{sql: "SELECT count(*), count(DISTINCT key) FROM record WHERE caller=$1", args: []any{"herd"}, row: func(scan func(...any) error) error {
		return scan(&records, &keys)
	}}); err != nil {
		t.Fatal(err)
	}
	return records, keys
}

// Lanes that come back in one moment settle up without a time-out, although few
// connections are made at a time, and each record is there once.
func TestHerd(t *testing.T) {
	const lanes, each = 150, 4
	dir := t.TempDir()
	if err := testca.Write(dir, "register/register", "herd"); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g, err := New(t.Context(), db.Writer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := eesclient.TLS(testca.Files(dir, "register"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- g.serve(ctx, newTurns(l, 4), config) }()
	h := comeBack(t, testca.Files(dir, "herd"), "https://"+l.Addr().String(), lanes, each)
	if h.late != 0 || h.lost != 0 {
		t.Errorf("%d attempts ran out of time, %d failed", h.late, h.lost)
	}
	if n, keys := h.there(t, g); n != h.records || keys != h.records {
		t.Errorf("%d records with %d keys, want %d", n, keys, h.records)
	}
	t.Logf("%d records of %d lanes in %s, %d sent away for later, %d handshakes", h.records, lanes, h.took, h.away, h.handshakes)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A connection waits for a place, and gets one when another's first request has
// come, when it ends, or when it has been slow for too long.
func TestTurns(t *testing.T) {
	for name, leave := range map[string]func(net.Conn){
		"first request": func(c net.Conn) { shaken(tls.Server(c, &tls.Config{}), http.StateActive) },
		"end":           func(c net.Conn) { c.Close() },
		"slow":          func(net.Conn) { time.Sleep(placeWithin) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTurns(pipes{make(chan net.Conn, 3), make(chan struct{})}, 2)
				for range 3 {
					near, far := net.Pipe()
					defer near.Close()
					l.Listener.(pipes).conns <- far
				}
				accepted := make(chan net.Conn, 4)
				go func() {
					defer close(accepted)
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						accepted <- c
					}
				}()
				synctest.Wait()
				if len(accepted) != 2 {
					t.Errorf("%d connections for two places", len(accepted))
				}
				first := <-accepted
				leave(first)
				leave(first) // a place is given up once
				synctest.Wait()
				if len(accepted) != 2 {
					t.Errorf("a free place is not taken")
				}
				if len(l.places) > 2 {
					t.Errorf("%d places are taken", len(l.places))
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				for c := range accepted {
					c.Close()
				}
			})
		})
	}
}

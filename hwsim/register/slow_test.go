package register

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"passage/eesclient"
	"passage/hwsim/register/testca"
	"passage/sqlite"
)

// pipes is a network in memory, so that slowness takes no time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Whoever sends slowly, or nothing, loses the connection: slowness costs the
// register nothing but a while.
func TestSlowClients(t *testing.T) {
	for _, c := range []struct {
		name, sends string
		shake       bool
		within      time.Duration
	}{
		{"no handshake", "", false, headerWithin},
		{"half a header", "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ", true, headerWithin},
		{"half a body", "POST /v1/consult HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", true, requestWithin},
		{"no second request", "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", true, idleWithin},
		{"a header without end", "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Long: " + string(bytes.Repeat([]byte("x"), mostHeader+8<<10)), true, headerWithin},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := testca.Write(dir, "register/register", "lane"); err != nil {
				t.Fatal(err)
			}
			server, err := eesclient.TLS(testca.Files(dir, "register"))
			if err != nil {
				t.Fatal(err)
			}
			client, err := eesclient.TLS(testca.Files(dir, "lane"))
			if err != nil {
				t.Fatal(err)
			}
			client.ServerName = "localhost"
			synctest.Test(t, func(t *testing.T) {
				db, err := sqlite.Open(t.Context(), ":memory:")
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				g, err := New(t.Context(), db.Writer)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				l := pipes{make(chan net.Conn), make(chan struct{})}
				served := make(chan error, 1)
				go func() { served <- g.serve(ctx, l, server) }()
				near, far := net.Pipe()
				l.conns <- far
				var conn net.Conn = near
				if c.shake {
					conn = tls.Client(near, client)
				}
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, c.sends) }() // the server may hang up
				_ = conn.SetReadDeadline(began.Add(time.Hour))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection is still open after an hour")
				}
				if took := time.Since(began); took > c.within+time.Second {
					t.Errorf("the connection was open for %s", took)
				}
				_ = conn.Close()
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

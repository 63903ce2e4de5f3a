package register

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"passage/eesclient"
)

// Limits of one connection. A client that sends slowly loses it.
const (
	headerWithin  = 5 * time.Second
	requestWithin = 10 * time.Second
	answerWithin  = 30 * time.Second
	idleWithin    = 2 * time.Minute
	mostHeader    = 16 << 10
	mostBody      = 512 << 10
	// mostAtOnce bounds the requests under way; more wait for queueWithin and
	// are then sent away. That must leave a client, which gives a question two
	// seconds or more, the time to hear it, and those under way the time to end.
	mostAtOnce  = 96
	queueWithin = 500 * time.Millisecond
	// mostLater bounds, in seconds, the times that are named to those who are
	// sent away: they are drawn by chance, so that a herd does not come back as
	// one.
	mostLater = 8
	// shaking bounds, for each core, the connections that are being made; the
	// others wait in the kernel's queue. A thousand handshakes at once would
	// all end late, when their clients have given up; in turn each takes a
	// millisecond of a core. Whoever has a place and is slow gives it up after
	// placeWithin and goes on without.
	shaking     = 64
	placeWithin = 250 * time.Millisecond
)

// Serve answers on an address until ctx ends. ready is told the address.
func (g *Register) Serve(ctx context.Context, addr string, files eesclient.Files, ready func(string)) error {
	config, err := eesclient.TLS(files)
	if err != nil {
		return fmt.Errorf("register: serve: %w", err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("register: serve: %w", err)
	}
	ready(l.Addr().String())
	return g.serve(ctx, newTurns(l, shaking*runtime.GOMAXPROCS(0)), config)
}

// serve answers on a listener.
func (g *Register) serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	s := &http.Server{
		Handler: g.Handler(), TLSConfig: config, ReadHeaderTimeout: headerWithin, ReadTimeout: requestWithin, WriteTimeout: answerWithin,
		IdleTimeout: idleWithin, MaxHeaderBytes: mostHeader, ErrorLog: log.New(io.Discard, "", 0), // it would log strangers' bytes
		ConnState: shaken,
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("register: serve: %w", err)
	}
	return nil
}

// turns is a listener that accepts a connection when one of a few places is
// free. A connection has its place until its first request comes, it ends, or
// placeWithin is over.
type turns struct {
	net.Listener
	places chan struct{}
	done   chan struct{}
	close  func() error
}

func newTurns(l net.Listener, most int) *turns {
	t := &turns{Listener: l, places: make(chan struct{}, most), done: make(chan struct{})}
	t.close = sync.OnceValue(func() error {
		close(t.done)
		return l.Close()
	})
	return t
}

func (t *turns) Accept() (net.Conn, error) {
	select {
	case t.places <- struct{}{}:
	case <-t.done:
		return nil, net.ErrClosed
	}
	c, err := t.Listener.Accept()
	if err != nil {
		<-t.places
		return nil, err
	}
	leave := sync.OnceFunc(func() { <-t.places })
	late := time.AfterFunc(placeWithin, leave)
	return &placed{c, func() { late.Stop(); leave() }}, nil
}

func (t *turns) Close() error { return t.close() }

// placed is a connection with a place.
type placed struct {
	net.Conn
	leave func()
}

func (p *placed) Close() error {
	p.leave()
	return p.Conn.Close()
}

// shaken takes its place from a connection whose first request has come.
func shaken(c net.Conn, s http.ConnState) {
	if s != http.StateActive {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		if p, ok := t.NetConn().(*placed); ok {
			p.leave()
		}
	}
}

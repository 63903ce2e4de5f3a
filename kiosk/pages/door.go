package pages

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"passage/kiosk/inlet"
)

// Door is where connections come in, and how many may at once. A connection on
// which no answer is being made waits, whether it sends nothing or sends slowly;
// when there are too many, the one that has waited longest makes room for the
// newcomer. So nobody keeps others out by holding connections, and whoever is
// being answered is answered to the end.
type Door struct {
	Name string // of the inlet
	Most int    // connections at once
	Each int    // from one address
	Book *inlet.Book
}

// Why a door turns somebody away.
const (
	tooFast  = "connections too fast"
	tooMany  = "too many connections"
	longIdle = "idle connection makes room"
)

type door struct {
	net.Listener
	Door
	pace inlet.Paces

	mu     sync.Mutex
	guests map[*guest]struct{}
	hosts  map[string]int // connections by address
}

// guest is an accepted connection.
type guest struct {
	net.Conn
	door *door
	host string
	gone sync.Once

	busy  bool      // an answer is being made; guarded by the door's lock
	since time.Time // when it began to wait
}

func newDoor(l net.Listener, d Door) *door {
	return &door{
		Listener: l, Door: d, guests: map[*guest]struct{}{}, hosts: map[string]int{},
		pace: inlet.Paces{Rate: rate.Limit(4 * d.Each), Burst: 8 * d.Each, Most: 4 * d.Most},
	}
}

// Accept waits for a connection that there is room for.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := d.admit(c); g != nil {
			return g, nil
		}
		_ = c.Close() // it is nobody's
	}
}

// admit takes a connection in, perhaps in another's place; nil if there is none.
func (d *door) admit(c net.Conn) *guest {
	g := &guest{Conn: c, door: d, host: hostOf(c.RemoteAddr().String()), since: time.Now()}
	if !d.pace.Allow(g.host) {
		d.Book.Shed(d.Name, tooFast)
		return nil
	}
	d.mu.Lock()
	var out *guest
	full := true
	switch {
	case d.hosts[g.host] >= d.Each:
		out = d.waiting(g.host)
	case len(d.guests) >= d.Most:
		// Whoever holds the most has the most to give.
		most := ""
		for host, n := range d.hosts {
			if n > d.hosts[most] {
				most = host
			}
		}
		out = d.waiting(most)
	default:
		full = false
	}
	if full && out == nil {
		d.mu.Unlock()
		d.Book.Shed(d.Name, tooMany)
		return nil
	}
	if out != nil {
		d.leave(out)
	}
	d.guests[g] = struct{}{}
	d.hosts[g.host]++
	d.mu.Unlock()
	if out != nil {
		_ = out.Conn.Close() // whoever reads there learns it
		d.Book.Shed(d.Name, longIdle)
	}
	return g
}

// waiting is the connection of an address that has waited longest. The lock is
// held.
func (d *door) waiting(host string) *guest {
	var first *guest
	for g := range d.guests {
		if g.host == host && !g.busy && (first == nil || g.since.Before(first.since)) {
			first = g
		}
	}
	return first
}

// leave forgets a connection. The lock is held.
func (d *door) leave(g *guest) {
	if _, here := d.guests[g]; !here {
		return
	}
	delete(d.guests, g)
	if d.hosts[g.host]--; d.hosts[g.host] == 0 {
		delete(d.hosts, g.host)
	}
}

// Close ends the connection and gives its place up.
func (g *guest) Close() error {
	g.gone.Do(func() {
		g.door.mu.Lock()
		defer g.door.mu.Unlock()
		g.door.leave(g)
	})
	return g.Conn.Close()
}

func (g *guest) answering(is bool) {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.busy, g.since = is, time.Now()
}

type guestKey struct{}

// answering notes that an answer is being made on the request's connection,
// until done is called.
func answering(ctx context.Context) (done func()) {
	g, ok := ctx.Value(guestKey{}).(*guest)
	if !ok {
		return func() {}
	}
	g.answering(true)
	return func() { g.answering(false) }
}

// hostOf is whom an address counts for: a network of IPv6 is given to one
// subscriber as a whole (RFC 6177).
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil && !ip.IsLoopback() {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

// Host is whom a request's connection counts for.
func Host(r *http.Request) string { return hostOf(r.RemoteAddr) }

// Local says whether a request comes from this machine.
func Local(r *http.Request) bool { return net.ParseIP(Host(r)).IsLoopback() }

// notes counts what a server would log of its connections.
type notes struct{ Door }

func (n notes) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("panic serving")) { // a fault of ours
		return os.Stderr.Write(b)
	}
	n.Book.Shed(n.Name, "no request, or no handshake")
	return len(b), nil
}

// Serve serves behind a door on l until ctx ends, by TLS where s has a
// configuration of it; connections are cut then. It is an error to end
// otherwise. One connection carries one request at a time: with more the door's
// bounds would say nothing.
func Serve(ctx context.Context, s *http.Server, l net.Listener, d Door) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		return context.WithValue(ctx, guestKey{}, c)
	}
	if s.ErrorLog == nil {
		// It would log a line, with strangers' bytes, for every handshake that
		// fails.
		s.ErrorLog = log.New(notes{d}, "", 0)
	}
	l = newDoor(l, d)
	serve := s.Serve
	if s.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

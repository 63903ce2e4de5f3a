package flood

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"passage/hwsim/world"
	"passage/kiosk/inlet"
	"passage/kiosk/lane"
	"passage/kiosk/web"
)

// own is where the lane's officer sits, others are addresses that the flood
// comes from; the officer's is among them.
const (
	own        = "127.0.0.1"
	hosts      = 9
	eachStream = 16               // of web
	within     = 20 * time.Second // nothing is due at a time; this ends a test that hangs
)

func host(n int) string { return fmt.Sprintf("127.0.0.%d", 1+n%hosts) }

// desk is a lane with its pages on loopback, and an officer who is signed in.
type desk struct {
	addr   string
	lane   *world.Quick
	cookie *http.Cookie
}

func newDesk(t *testing.T, book *inlet.Book) *desk {
	t.Helper()
	q := world.NewQuick(nil, slog.New(slog.DiscardHandler))
	q.Pace, q.Face = 100, lane.FaceNonMatch
	beside(t, q.Run)
	hash, err := web.HashPIN("4711")
	if err != nil {
		t.Fatal(err)
	}
	p, err := web.New(q.Shell, []web.Officer{{ID: "anna", Name: "Anna", Role: "guard", PIN: hash}})
	if err != nil {
		t.Fatal(err)
	}
	p.Count(book)
	l, err := net.Listen("tcp", own+":0")
	if err != nil {
		t.Fatal(err)
	}
	beside(t, func(ctx context.Context) error { return p.Serve(ctx, l) })
	d := &desk{addr: l.Addr().String(), lane: q}
	if _, err := q.Until(lane.Idle); err != nil {
		t.Fatal(err)
	}
	r := d.ask(t, own, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"4711"}`)
	if r.status != http.StatusOK || len(r.cookies) != 1 {
		t.Fatalf("signing in: %+v", r)
	}
	d.cookie = r.cookies[0]
	return d
}

type reply struct {
	status  int
	cookies []*http.Cookie
	body    string
}

// client asks from an address, each time on a connection of its own.
func client(from string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Timeout: within, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

func (d *desk) request(ctx context.Context, method, path, body string) *http.Request {
	q, err := http.NewRequestWithContext(ctx, method, "http://"+d.addr+path, strings.NewReader(body))
	if err != nil {
		panic(err) // a path of this file
	}
	if d.cookie != nil {
		q.AddCookie(d.cookie)
	}
	return q
}

func (d *desk) ask(t *testing.T, from, method, path, body string) reply {
	t.Helper()
	resp, err := client(from).Do(d.request(t.Context(), method, path, body))
	if err != nil {
		t.Errorf("%s %s from %s: %v", method, path, from, err)
		return reply{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Cookies(), string(b)}
}

// serve is a traveller who needs an officer: the officer sees the case on the
// page and decides; the lane's heartbeat goes on.
func (d *desk) serve(t *testing.T) {
	t.Helper()
	d.lane.Place(true)
	if _, err := d.lane.Until(lane.TakeDoc); err != nil {
		t.Fatal(err)
	}
	d.lane.Place(false)
	if _, err := d.lane.Until(lane.Review); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	resp, err := client(own).Do(d.request(ctx, "GET", "/lane/events", ""))
	if err != nil {
		t.Fatalf("the lane's page: %v", err)
	}
	defer resp.Body.Close()
	var v web.View
	line, err := bufio.NewReader(resp.Body).ReadBytes('\n')
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(bytes.TrimPrefix(line, []byte("data: ")), &v) != nil || v.Case == nil {
		t.Fatalf("the lane's page: %d, %.200s, %v", resp.StatusCode, line, err)
	}
	r := d.ask(t, own, "POST", "/lane/api/decide", fmt.Sprintf(`{"transaction":%q,"decision":"divert","reason":"face"}`, v.Case.Transaction))
	if r.status != http.StatusOK {
		t.Fatalf("the officer's decision: %+v", r)
	}
	if _, err := d.lane.Until(lane.Idle); err != nil {
		t.Fatal(err)
	}
	if !d.lane.Shell.Alive() {
		t.Error("the heartbeat stands still")
	}
}

// Ways of holding a connection: what is sent on it.
const (
	silent     = ""
	slowHeader = "GET /lane HTTP/1.1\r\nHost: lane\r\nX-Long: "
	slowBody   = "POST /lane/api/sign-in HTTP/1.1\r\nHost: lane\r\nContent-Type: application/json\r\nContent-Length: 8000\r\n\r\n{"
	restless   = "-"
)

// lanePages floods with connections, from every address more than it may have
// and in all more than twice what there are.
func lanePages(says string) func(t *testing.T, book *inlet.Book) target {
	const each, most = 64, 256
	return func(t *testing.T, book *inlet.Book) target {
		d := newDesk(t, book)
		return target{serve: d.serve, shed: "pages", flood: func(t *testing.T, during func()) {
			var held []net.Conn
			defer func() {
				for _, c := range held {
					c.Close()
				}
			}()
			n := 2 * max(most, each*hosts)
			if says == restless {
				n = 10 * each * hosts
			}
			mine := 0
			for i := range n {
				from := host(i)
				if from == own { // as many as it may have, and some; not so fast that its pace is spent
					if mine++; mine > each+8 || says == restless {
						continue
					}
				}
				c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: within}).Dial("tcp", d.addr)
				if err != nil {
					t.Fatal(err)
				}
				if says == restless {
					c.Close()
					continue
				}
				held = append(held, c)
				_, _ = io.WriteString(c, says) // it may have been turned away
			}
			during()
		}}
	}
}

// laneStreams opens twice the streams that an address and strangers may have,
// and reads none.
func laneStreams(t *testing.T, book *inlet.Book) target {
	d := newDesk(t, book)
	return target{serve: d.serve, shed: "pages", flood: func(t *testing.T, during func()) {
		var held []net.Conn
		defer func() {
			for _, c := range held {
				c.Close()
			}
		}()
		answered := 0
		for i := range 2 * eachStream * hosts {
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host(i))}, Timeout: within}).Dial("tcp", d.addr)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
			if _, err := io.WriteString(c, "GET /traveller/events HTTP/1.1\r\nHost: lane\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, len("HTTP/1.1 200"))
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
			if string(b) == "HTTP/1.1 200" {
				answered++
			}
		}
		if answered != eachStream*hosts {
			t.Errorf("%d streams were opened", answered)
		}
		during()
	}}
}

// laneSignIn tries PINs all at once.
func laneSignIn(t *testing.T, book *inlet.Book) target {
	d := newDesk(t, book)
	return target{serve: d.serve, shed: "sign-in", flood: func(t *testing.T, during func()) {
		var trying sync.WaitGroup
		var refused, wrong sync.Map
		for i := range 40 {
			trying.Go(func() {
				switch r := d.ask(t, host(i), "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"0000"}`); r.status {
				case http.StatusTooManyRequests:
					refused.Store(i, true)
				case http.StatusForbidden:
					wrong.Store(i, true)
				default:
					t.Errorf("a wrong PIN: %+v", r)
				}
			})
		}
		during()
		trying.Wait()
		n := 0
		wrong.Range(func(any, any) bool { n++; return true })
		if n > 5 {
			t.Errorf("%d PINs were tried at once", n)
		}
	}}
}

// laneHelp presses the help button from another address without end.
func laneHelp(t *testing.T, book *inlet.Book) target {
	d := newDesk(t, book)
	return target{serve: d.serve, shed: "pages", flood: func(t *testing.T, during func()) {
		c := client("127.0.0.2")
		c.Transport.(*http.Transport).DisableKeepAlives = false
		defer c.CloseIdleConnections()
		for range 200 {
			resp, err := c.Do(d.request(t.Context(), "POST", "/traveller/help", ""))
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body) // the connection is used again
			if resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
		}
		during()
	}}
}

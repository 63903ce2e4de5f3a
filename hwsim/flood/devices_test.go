package flood

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/camera"
	"passage/drivers/mrz"
	"passage/eesclient"
	"passage/hwsim/register"
	"passage/kiosk"
	"passage/kiosk/devices"
	"passage/kiosk/inlet"
	"passage/kiosk/metrics"
	"passage/kiosk/policy"
	"passage/sqlite"
)

// zoneTD3 is the specimen of ICAO 9303-4, as a reader sends it with CR framing.
const zoneTD3 = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<10\r\r"

// feed is a serial line that never pauses: what is asked for comes first, noise
// otherwise.
type feed struct {
	say    chan string
	noise  atomic.Int64 // bytes of noise to come
	rest   string
	quiet  chan struct{}
	closed chan struct{}
}

func (f *feed) Read(b []byte) (int, error) {
	if f.rest == "" {
		select {
		case f.rest = <-f.say:
		case <-f.closed:
			return 0, io.EOF
		default:
		}
	}
	if f.rest != "" {
		n := copy(b, f.rest)
		f.rest = f.rest[n:]
		return n, nil
	}
	if left := f.noise.Load(); left > 0 {
		f.noise.Add(-int64(len(b)))
		n := copy(b, "<<K<\r\rL8\x00\xFF<<\r\r")
		if left <= int64(len(b)) {
			f.quiet <- struct{}{}
		}
		return n, nil
	}
	select { // a read time-out
	case f.rest = <-f.say:
	case <-f.closed:
		return 0, io.EOF
	case <-time.After(10 * time.Millisecond):
	}
	return 0, nil
}

// place is a card reader on which a card lies when somebody says so.
type place struct{ lay chan bool }

func (p place) Watch(ctx context.Context, present func(bool)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case is := <-p.lay:
			present(is)
		}
	}
}

func (place) Connect(context.Context) (apdu.Card, error) { return nil, apdu.ErrRemoved }

// mrzLine floods the reader's line; a zone that comes after it is read.
func mrzLine(t *testing.T, book *inlet.Book) target {
	line := &feed{say: make(chan string), quiet: make(chan struct{}), closed: make(chan struct{})}
	cards := place{make(chan bool)}
	told := make(chan bool, 4)
	r := &devices.Reader{
		Cards: cards, Location: time.UTC, Log: slog.New(slog.DiscardHandler), Book: book,
		Zones: func() (devices.ZoneSource, io.Closer, error) {
			return mrz.New(line, mrz.CR), io.NopCloser(nil), nil
		},
	}
	beside(t, func(ctx context.Context) error { return r.Watch(ctx, func(is bool) { told <- is }) })
	return target{
		shed: "mrz",
		serve: func(t *testing.T) {
			cards.lay <- true
			<-told
			line.say <- "\r\r" + zoneTD3
			// Noise and zone are told apart by their checks; the newest counts.
			name := ""
			for range 100 {
				_, err := r.Read(t.Context(), func(id kiosk.Identity, _ policy.Document) { name = id.Surname })
				if errors.Is(err, kiosk.ErrRemoved) {
					break // no chip lies there: the zone was read
				}
				<-time.After(10 * time.Millisecond)
			}
			if name != "ERIKSSON" {
				t.Errorf("read %q", name)
			}
			cards.lay <- false
			<-told
		},
		flood: func(_ *testing.T, during func()) {
			line.noise.Store(1 << 20) // eighteen minutes of 9600 Bd
			<-line.quiet
			during()
		},
	}
}

// lens gives frames as fast as they are taken, each another picture.
type lens struct {
	n    byte
	gone chan struct{}
}

func (l *lens) Next() (camera.Frame, error) {
	select {
	case <-l.gone:
		return camera.Frame{}, io.EOF
	default:
	}
	l.n++
	b := make([]byte, 3*640*480)
	for i := range b {
		b[i] = byte(i*7) + l.n
	}
	return camera.Frame{Width: 640, Height: 480, Pixels: b}, nil
}

func (l *lens) Close() error { close(l.gone); return nil }

// frames floods a lane's eyes: the newest is kept, and nothing is counted.
func frames(t *testing.T, _ *inlet.Book) target {
	var seen atomic.Int64
	sick := make(chan string, 1)
	c := &camera.Camera{Open: func(context.Context) (camera.Source, error) { return &lens{gone: make(chan struct{})}, nil }}
	beside(t, func(ctx context.Context) error {
		return c.Run(ctx, func(camera.Frame) { seen.Add(1) }, func(why string) {
			if why != "" {
				select {
				case sick <- why:
				default:
				}
			}
		})
	})
	more := func(n int64) {
		for from := seen.Load(); seen.Load() < from+n; {
			<-time.After(time.Millisecond)
		}
	}
	return target{
		serve: func(t *testing.T) {
			more(1)
			select {
			case why := <-sick:
				t.Error(why)
			default:
			}
		},
		flood: func(_ *testing.T, during func()) { more(120); during() }, // two seconds and more of any camera
	}
}

// endless is an answer that does not end.
type endless struct{ given int }

func (e *endless) Read(b []byte) (int, error) {
	e.given += len(b)
	return copy(b, strings.Repeat("x", len(b))), nil
}
func (*endless) Close() error { return nil }

// answers is a register in this process that can be told to babble.
type answers struct {
	http.RoundTripper
	babble *endless // nil: it answers
}

func (a *answers) RoundTrip(q *http.Request) (*http.Response, error) {
	if a.babble == nil {
		return a.RoundTripper.RoundTrip(q)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: a.babble, Request: q}, nil
}

// registerAnswers has the register answer without end; a client reads as much as
// an answer may have and a little.
func registerAnswers(t *testing.T, book *inlet.Book) target {
	db, err := sqlite.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	reg, err := register.New(t.Context(), db.Writer)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", own+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: register.As(reg.Handler(), "E1", "lane"), ReadHeaderTimeout: within}
	t.Cleanup(func() { s.Close() })
	go func() { _ = s.Serve(l) }() // ends with s
	a := &answers{RoundTripper: &http.Transport{}}
	c := eesclient.Over("http://"+l.Addr().String(), a)
	var clock eesclient.Clock
	return target{
		serve: func(t *testing.T) {
			a.babble = nil
			if up, err := c.Health(t.Context(), &clock); err != nil || len(up) == 0 {
				t.Errorf("%v, %v", up, err)
			}
		},
		flood: func(t *testing.T, during func()) {
			for range 50 {
				a.babble = &endless{}
				if _, err := c.Health(t.Context(), &clock); !errors.Is(err, eesclient.ErrMalformed) {
					t.Fatalf("an endless answer: %v", err)
				}
				if a.babble.given > 2*64<<10 {
					t.Fatalf("%d bytes of an endless answer were read", a.babble.given)
				}
			}
			during()
		},
	}
}

// figures floods the metrics' door.
func figures(t *testing.T, book *inlet.Book) target {
	l, err := metrics.Listen(own + ":0")
	if err != nil {
		t.Fatal(err)
	}
	r := metrics.New()
	r.MustRegister(metrics.Inlets{Book: book})
	beside(t, func(ctx context.Context) error { return metrics.Serve(ctx, l, r, book) })
	return target{
		shed: "metrics",
		serve: func(t *testing.T) {
			resp, err := client(own).Get("http://" + l.Addr().String() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(b), "process_open_fds") {
				t.Fatalf("%d, %v", resp.StatusCode, err)
			}
			if n := count(book, "metrics"); n > 0 && !strings.Contains(string(b), `passage_shed_total{inlet="metrics"`) {
				t.Errorf("%d were turned away, and the figures do not say so", n)
			}
		},
		flood: func(t *testing.T, during func()) {
			hold(t, l.Addr().String(), 40, func(int) string { return "127.0.0.2" }, slowHeader, during)
		},
	}
}

// hold keeps n connections open on which a beginning is said.
func hold(t *testing.T, addr string, n int, from func(i int) string, says string, during func()) {
	t.Helper()
	held := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range n {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from(i))}, Timeout: within}).Dial("tcp", addr)
		if err != nil {
			t.Fatal(fmt.Errorf("connection %d: %w", i, err))
		}
		held = append(held, c)
		_, _ = io.WriteString(c, says) // it may have been turned away
	}
	during()
}

package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A supervisor hears READY, WATCHDOG only while the lane lives, and STOPPING.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	heard := make(chan string, 100)
	go func() {
		b := make([]byte, 256)
		for {
			n, err := c.Read(b)
			if err != nil {
				close(heard)
				return
			}
			heard <- string(b[:n])
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 100)
	alive := make(chan bool, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Notify(ctx, func() bool {
			asked <- struct{}{}
			return <-alive
		}, func(err error) { t.Error(err) })
	}()
	expect := func(want string) {
		t.Helper()
		if got := <-heard; got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	expect("READY=1")
	<-asked
	alive <- true
	expect("WATCHDOG=1")
	for range 3 { // a lane that hangs
		<-asked
		alive <- false
	}
	select {
	case s := <-heard:
		t.Fatalf("a lane that hangs says %q", s)
	default:
	}
	<-asked
	alive <- true
	expect("WATCHDOG=1")
	cancel()
	close(alive)
	<-done
	expect("STOPPING=1")
}

// A supervisor that cannot be told ends nothing: the program is warned once,
// and says it when it can.
func TestNotifyUnheard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	for _, c := range []struct {
		name, watchdog string
		warnings       int
	}{
		{"no socket", "3000", 1},
		{"full socket", "3000", 1}, // it is there, and nobody reads it
		{"no number", "soon", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", c.watchdog)
			if c.name == "full socket" {
				s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
				if err != nil {
					t.Fatal(err)
				}
				defer os.Remove(path)
				defer s.Close()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			warned, after := 0, 0
			Notify(ctx, func() bool {
				if warned == c.warnings {
					if after++; after >= 2 { // it goes on
						cancel()
					}
				}
				return true
			}, func(err error) {
				t.Log(err)
				if warned++; c.watchdog == "soon" && warned == c.warnings {
					after = 2 // nobody asks without a watchdog
					cancel()
				}
			})
			if warned != c.warnings || after < 2 {
				t.Errorf("warned %d times, asked %d times afterwards", warned, after)
			}
		})
	}

	// READY comes when the socket does.
	t.Setenv("WATCHDOG_USEC", "3000")
	ctx, cancel := context.WithCancel(t.Context())
	warned, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		Notify(ctx, func() bool { return false }, func(err error) { warned <- err })
	}()
	<-warned
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := make([]byte, 64)
	if n, err := s.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("heard %q, %v", b[:n], err)
	}
	cancel()
	<-done
}

func TestClockWrong(t *testing.T) {
	for _, c := range []struct {
		clock Clock
		want  string
	}{
		{Clock{Synchronised: true, Offset: time.Second, MaxError: time.Second}, ""},
		{Clock{Offset: 0}, "not synchronised"},
		{Clock{Synchronised: true, Offset: -2100 * time.Millisecond}, "off by -2.1s"},
		{Clock{Synchronised: true, MaxError: 16 * time.Second}, "may be off by 16s"},
	} {
		if got := c.clock.Wrong(); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.clock, got)
		}
	}
	if _, err := ReadClock(); err != nil {
		t.Error(err)
	}
}

func TestUPS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var ask string
			if _, err := fmt.Fscanln(c, new(string), new(string), new(string), &ask); err == nil && ask == "ups.status" {
				fmt.Fprint(c, <-answers)
			}
			c.Close()
		}
	}()
	u, err := ParseUPS(l.Addr().String() + "/desk")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answer, why string
		fails       bool
	}{
		{"VAR desk ups.status \"OL CHRG\"\n", "", false},
		{"VAR desk ups.status \"OB DISCHRG\"\n", "no mains", false},
		{"VAR desk ups.status \"OB LB\"\n", "nearly empty", false},
		{"VAR other ups.status \"OL\"\n", "", true},
		{"ERR DATA-STALE\n", "", true},
		{"VAR desk ups.status OL\n", "", true},
		{"VAR desk ups.status \"" + strings.Repeat("x", 600), "", true},
		{"", "", true},
	} {
		answers <- c.answer
		words, err := u.Status(t.Context())
		if (err != nil) != c.fails {
			t.Errorf("%.40q: %v", c.answer, err)
			continue
		}
		if why := onBattery(words); c.why == "" && why != "" || !strings.Contains(why, c.why) {
			t.Errorf("%.40q: %q", c.answer, why)
		}
	}
	for _, s := range []string{"", "ups", "127.0.0.1:1", "127.0.0.1:1/", "127.0.0.1/ups", "127.0.0.1:1/a b"} {
		if u, err := ParseUPS(s); err == nil {
			t.Errorf("%q is %v", s, u)
		}
	}
}

// The lane hears of the mains through Watch, and a supply that is silent does
// not close it.
func TestWatchUPS(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	warned := false
	err := UPS{"127.0.0.1:1", "ups"}.Watch(ctx, func(string) { t.Error("told") }, func(error) { warned = true; cancel() })
	if err != nil || !warned {
		t.Errorf("%v, warned %v", err, warned)
	}
	ctx, cancel = context.WithCancel(t.Context())
	if err := WatchClock(ctx, func(string) { cancel() }); err != nil {
		t.Error(err)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("VAR ups ups.status \"OL CHRG\"\n")
	f.Add("ERR UNKNOWN-UPS\n")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := parseStatus(line, "ups")
		if err == nil && !reflect.DeepEqual(strings.Fields(strings.Join(words, " ")), words) {
			t.Errorf("%q", words)
		}
	})
}

package chaos

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"passage/eesclient"
	"passage/eesclient/outbox"
	"passage/hwsim/register"
	"passage/hwsim/register/testca"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/devices"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
	"passage/sqlite"
)

// every is how many kill points lie between two that are tried; make chaos
// tries all.
var every = flag.Int("every", 9, "try every n-th point of the write path")

// The test program is also the process that is killed, by what this says.
const role = "PASSAGE_CHAOS"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "lane":
		err = crossing(os.Getenv("DIR"), os.Getenv("URL"), os.Getenv("UUID"))
	case "again":
		err = again(os.Getenv("DIR"))
	case "settle":
		err = settling(os.Getenv("DIR"))
	case "register":
		err = serve(context.Background(), os.Getenv("DIR"), func(url string) { fmt.Printf("at %s\n", url); fmt.Print(Mark) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// store is a lane's database with all that writes into it.
type store struct {
	*journal.Journal
	db   *sqlite.DB
	box  *outbox.Outbox
	was  kiosk.Recovery
	stop func() error
}

func openLane(dir string) (*store, error) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "lane.db"))
	if err != nil {
		return nil, err
	}
	ring, err := keys.Open(ctx, db, bytes.Repeat([]byte{1}, keys.Size))
	if err != nil {
		return nil, err
	}
	box, err := outbox.New(ctx, db, ring)
	if err != nil {
		return nil, err
	}
	j, was, err := journal.Open(ctx, db.Writer, ring, &devices.Records{Box: box, CrossingPoint: "X1"})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- j.Run(run) }()
	return &store{j, db, box, was, func() error {
		cancel()
		return errors.Join(<-done, db.Close())
	}}, nil
}

func client(dir, url string) (*eesclient.Client, error) {
	return eesclient.New(url, testca.Files(dir, "lane"))
}

// drain sends until nothing waits.
func (s *store) drain(ctx context.Context, to outbox.Sender) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.box.Drain(ctx, to, s.Conflict) }()
	for {
		n, _, err := s.box.Waiting(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			cancel()
			return <-done
		}
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func facts(uuid string) kiosk.Facts {
	return kiosk.Facts{
		UUID: uuid, Direction: policy.Exit, Class: lane.EU, Level: "central",
		Identity: kiosk.Identity{Surname: "KANARIENVOGEL", Number: "X1"}, Document: policy.Document{Code: "P", Issuer: "FRA"},
	}
}

func wait(f func(func(error))) error {
	c := make(chan error, 1)
	f(func(err error) { c <- err })
	return <-c
}

// crossing is what a lane writes of one traveller, from the intent to the
// register's acknowledgement and the erasure. It says what the traveller and
// the register have seen of it.
func crossing(dir, url, uuid string) error {
	s, err := openLane(dir)
	if err != nil {
		return err
	}
	c, err := client(dir, url)
	if err != nil {
		return err
	}
	fmt.Print(Mark)
	const x = 1
	s.Begin(x, uuid, time.Now())
	if err := wait(func(d func(error)) { s.Intend(x, facts(crossed), d) }); err != nil {
		return err
	}
	fmt.Println("exit open")
	if err := wait(func(d func(error)) { s.Record(x, time.Now(), d) }); err != nil {
		return err
	}
	fmt.Println("crossed")
	if err := s.drain(context.Background(), c); err != nil {
		return err
	}
	return s.stop()
}

// secret is the register's.
var secret = bytes.Repeat([]byte{2}, register.KeySize)

// serve runs a register over dir until ctx ends.
func serve(ctx context.Context, dir string, ready func(url string)) error {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "register.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	reg, err := register.Open(ctx, db.Writer, secret)
	if err != nil {
		return err
	}
	return reg.Serve(ctx, "127.0.0.1:0", testca.Files(dir, "register"), func(addr string) { ready("https://" + addr) })
}

// recorded counts the register's records of a transaction.
func recorded(t *testing.T, dir, uuid string) int {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reg, err := register.Open(t.Context(), db.Writer, secret)
	if err != nil {
		t.Fatal(err)
	}
	list, err := reg.Records(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range list {
		if r.Transaction.String() == uuid {
			n++
		}
	}
	return n
}

const crossed = "7e9a4c1e-3f55-4d0b-9a53-0c5f3a9e2b11"

// folder is a place for both sides' databases, with certificates.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := testca.Write(dir, "register", "lane"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// settled takes a lane up again where it was left and lets it settle up, as
// kioskd does after a power cut. It returns the register's records and the
// officer's open cases.
func settled(t *testing.T, dir string, to outbox.Sender) (records, cases int) {
	t.Helper()
	s, err := openLane(dir)
	if err != nil {
		t.Fatal(err)
	}
	if x := s.was.OpenIntent; x != 0 {
		s.OpenCase(x, lane.PowerCut)
	}
	if err := s.drain(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var secrets int
	if err := db.Reader.QueryRow(`SELECT (SELECT count(*) FROM settlement WHERE kind='case' AND closed IS NULL),
		(SELECT count(*) FROM outbox_key) + (SELECT count(*) FROM intent_key WHERE txn IN (SELECT txn FROM settlement WHERE kind='record'))`).Scan(&cases, &secrets); err != nil {
		t.Fatal(err)
	}
	if secrets != 0 {
		t.Errorf("%d keys of settled records are left", secrets)
	}
	return recorded(t, dir, crossed), cases
}

func environment(kv ...string) []string {
	return append(os.Environ(), kv...)
}

// running is a register in this process for the time of a test.
func running(t *testing.T, dir string) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	at, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- serve(ctx, dir, func(url string) { at <- url }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case url = <-at:
	case err := <-done:
		t.Fatal(err)
	}
	return url
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func skipUntraced(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrTrace) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// strike plays a crossing at a lane that something befalls. Whatever the
// traveller has seen by then has left exactly one record or one open case, and
// nothing is there twice.
func strike(t *testing.T, b Blow) (calls int, ended bool, said string) {
	dir := folder(t)
	url := running(t, dir)
	var out bytes.Buffer
	calls, ended, err := Run(t.Context(), self(t), environment(role+"=lane", "DIR="+dir, "URL="+url, "UUID="+crossed), b, &out)
	skipUntraced(t, err)
	said = out.String()
	c, err := client(dir, url)
	if err != nil {
		t.Fatal(err)
	}
	records, cases := settled(t, dir, c)
	opened, gone := strings.Contains(said, "exit open"), strings.Contains(said, "crossed")
	switch {
	case records+cases > 1, opened && records+cases != 1, gone && records != 1, ended && records != 1:
		t.Errorf("%+v, having said %q: %d records, %d open cases", b, strings.TrimPrefix(said, Mark), records, cases)
	}
	return calls, ended, strings.ReplaceAll(strings.TrimSpace(strings.TrimPrefix(said, Mark)), "\n", ", ")
}

// A lane is killed before each call of a crossing's write path.
func TestKillTheLane(t *testing.T) {
	all, ended, said := strike(t, Blow{})
	if !ended {
		t.Fatalf("the lane does not end by itself: %q", said)
	}
	tried, seen := 0, map[string]int{}
	for n := 1; n <= all; n += *every {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			_, _, said := strike(t, Blow{At: n})
			seen[said]++
		})
		tried++
	}
	t.Logf("a crossing's write path at the lane: %d calls, killed before %d of them; by what had been said: %v", all, tried, seen)
}

// Each call of the path fails: a sync that does not reach the disk, a full
// disk, a cut line; one call, and some in a row, as on a file system that is
// read-only for a while. The lane either says that it could not, or has done it.
func TestFailTheLane(t *testing.T) {
	all, _, _ := strike(t, Blow{})
	tried, seen := 0, map[string]int{}
	for _, fails := range []int{1, 25} {
		for n := 1; n <= all; n += 2 * *every {
			t.Run(fmt.Sprintf("%d from %d", fails, n), func(t *testing.T) {
				_, _, said := strike(t, Blow{At: n, Fails: fails})
				seen[said]++
			})
			tried++
		}
	}
	t.Logf("a crossing's write path at the lane: %d calls, failed at %d places; by what had been said: %v", all, tried, seen)
}

// away is a register whose address changes when it is started again.
type away struct {
	to atomic.Pointer[eesclient.Client]
}

func (a *away) Send(ctx context.Context, key string, body []byte) error {
	c := a.to.Load()
	if c == nil {
		return errors.New("the register is not there")
	}
	return c.Send(ctx, key, body)
}

// teller is told of a register's address when the register says it.
type teller struct {
	said  bytes.Buffer
	heard bool
	found func(url string)
}

func (l *teller) Write(b []byte) (int, error) {
	n, err := l.said.Write(b)
	if line, _, ok := strings.Cut(l.said.String(), "\n"); ok && !l.heard {
		l.heard = true
		l.found(strings.TrimPrefix(line, "at "))
	}
	return n, err
}

// A register is killed before each call of the path by which it takes a record,
// and started again. The record is there once.
func TestKillTheRegister(t *testing.T) {
	path := self(t)
	// point kills the register before call n, or after the record is
	// acknowledged if n is beyond the path.
	point := func(t *testing.T, n int) (calls int, killed bool) {
		dir := folder(t)
		env := environment(role+"=register", "DIR="+dir)
		s, err := openLane(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(wait(func(d func(error)) { s.Intend(1, facts(crossed), d) }), wait(func(d func(error)) { s.Record(1, time.Now(), d) })); err != nil {
			t.Fatal(err)
		}
		to := &away{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		drained := make(chan error, 1)
		go func() { drained <- s.drain(ctx, to) }()
		traced := make(chan error, 1)
		there := make(chan error, 1)
		over, end := context.WithCancel(t.Context())
		defer end()
		go func() {
			var err error
			calls, _, err = Run(over, path, env, Blow{At: n}, &teller{found: func(url string) {
				c, err := client(dir, url)
				to.to.Store(c)
				there <- err
			}})
			traced <- err
		}()
		select {
		case err := <-there:
			if err != nil {
				t.Fatal(err)
			}
		case err := <-traced:
			skipUntraced(t, err)
			t.Fatal("the register ended before it was there")
		}
		select {
		case err := <-drained: // the record is there: the path is behind us
			if err != nil {
				t.Fatal(err)
			}
			end()
			skipUntraced(t, <-traced)
		case err := <-traced:
			skipUntraced(t, err)
			killed = true
			to.to.Store(nil)
			c, err := client(dir, running(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			to.to.Store(c)
			if err := <-drained; err != nil {
				t.Fatal(err)
			}
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if got := recorded(t, dir, crossed); got != 1 {
			t.Errorf("killed before call %d: %d records", n, got)
		}
		return calls, killed
	}
	tried := 0
	for n := 1; ; n += max(1, *every/3) { // a short path
		killed := false
		t.Run(fmt.Sprint(n), func(t *testing.T) { _, killed = point(t, n) })
		if !killed || t.Failed() || t.Skipped() {
			t.Logf("a record's path at the register: fewer than %d calls, killed before %d of them", n, tried)
			return
		}
		tried++
	}
}

package chaos

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"passage/eesclient"
	"passage/hwsim/register"
	"passage/kiosk/devices"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
	"passage/sqlite"
)

var (
	figures   = flag.String("figures", "", "measure, and append the figures to this file as rows of a Markdown table")
	crossings = flag.Int("crossings", 5000, "crossings of the day offline that is measured")
)

// dayOffline fills a lane's outbox with a day's records, beside a register's
// database that knows the travellers. The mix: six of ten records are of people
// in the register, each of whom crosses twice that day; the others are
// consultations.
func dayOffline(t *testing.T, dir string, n int) {
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
	people := n * 3 / 10
	if err := reg.Populate(t.Context(), people, func(i int) register.Person {
		return register.Person{File: fmt.Sprintf("F-%d", i), Number: fmt.Sprintf("X%d", i), Issuer: "BRA", Surname: "AMOSTRA", GivenNames: "RUI", Birth: "1990-01-02", Nationality: "BRA"}
	}, func(int) {}); err != nil {
		t.Fatal(err)
	}
	s, err := openLane(dir)
	if err != nil {
		t.Fatal(err)
	}
	records := &devices.Records{Box: s.box, CrossingPoint: "X1"}
	start := time.Now().Add(-24 * time.Hour)
	tx, err := s.db.Writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for i := range n {
		f := facts(uuid.NewString())
		f.Level, f.Identity.Number = "local", fmt.Sprintf("C%d", i) // somebody else each time: one's records wait for each other
		if i < 2*people {
			f.Class, f.File, f.Direction = lane.TCN_LISTED, fmt.Sprintf("F-%d", i%people), policy.Entry
			f.Document, f.Identity.Number = policy.Document{Code: "P", Issuer: "BRA"}, fmt.Sprintf("X%d", i%people)
			if i >= people {
				f.Direction = policy.Exit
			}
		}
		if err := records.Put(tx, f, start.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tx.Commit(), s.stop()); err != nil {
		t.Fatal(err)
	}
}

// everyOnce checks that a register has n records of n transactions, an exit
// never before its traveller's entry.
func everyOnce(t *testing.T, dir string, n int) {
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
	seen, entered := map[uuid.UUID]bool{}, map[string]bool{}
	for _, r := range list {
		seen[r.Transaction] = true
		switch {
		case r.File == nil:
		case r.Kind == "entry":
			entered[*r.File] = true
		case r.Kind == "exit" && !entered[*r.File]:
			t.Errorf("%s left before it entered", *r.File)
		}
	}
	if len(list) != n || len(seen) != n {
		t.Errorf("%d records of %d transactions, want %d of each", len(list), len(seen), n)
	}
}

// TestDrainFigures measures how a lane settles up after a day offline, beside
// the same rows written bare.
func TestDrainFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("measures for minutes: -figures FILE")
	}
	var drained, bare []float64
	for range 3 {
		dir := folder(t)
		dayOffline(t, dir, *crossings)
		url, end := started(t, dir)
		s, err := openLane(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client(dir, url)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		last := &counted{Client: c, end: cancel}
		last.left.Store(int64(*crossings))
		began := time.Now()
		if err := s.box.Drain(ctx, last, s.Conflict); err != nil {
			t.Fatal(err)
		}
		drained = append(drained, float64(*crossings)/time.Since(began).Seconds())
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		end()
		everyOnce(t, dir, *crossings)
		bare = append(bare, bareRate(t, dir))
		t.Logf("drained %.0f/s, bare %.0f/s", drained[len(drained)-1], bare[len(bare)-1])
	}
	slices.Sort(drained)
	slices.Sort(bare)
	kills, took := killing(t, *crossings, 100)
	out, err := os.OpenFile(*figures, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	lines := fmt.Sprintf("| %d offline crossings drained (60 %% entries and exits, 40 %% consultations), each exactly once | ≥ 80 %% of bare inserts | %.0f records/s, %.0f %% | bare: %.0f rows/s into the same table with its indices, a durable commit each, on the same disk; medians of 3 |\n", *crossings, drained[1], 100*drained[1]/bare[1], bare[1]) +
		fmt.Sprintf("| the same while lane and register are killed %d times | each exactly once | %d records, each once, in %.0f s | SIGKILL after numbers of records drawn by chance, each side started again at once |\n", kills, *crossings, took.Seconds())
	if _, err := out.WriteString(lines); err != nil {
		t.Error(err)
	}
	t.Log("\n" + lines)
}

// counted ends a drain with its last record: asking again and again how many
// wait would be measured, too.
type counted struct {
	*eesclient.Client
	left atomic.Int64
	end  context.CancelFunc
}

func (c *counted) Send(ctx context.Context, key string, body []byte) error {
	err := c.Client.Send(ctx, key, body)
	if err == nil && c.left.Add(-1) == 0 {
		c.end()
	}
	return err
}

// bareRate is how many of a register's own rows a second go into the same table
// of another such database beside it, one durable commit each: no network, no
// contract, no sealing, no lane.
func bareRate(t *testing.T, dir string) float64 {
	t.Helper()
	from, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := sqlite.Open(t.Context(), filepath.Join(dir, "bare.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := register.Open(t.Context(), to.Writer, secret); err != nil { // the tables
		t.Fatal(err)
	}
	rows, err := from.Reader.QueryContext(t.Context(), "SELECT id, caller, key, hash, kind, file, day, crossed, at, sealed FROM record ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list [][]any
	for rows.Next() {
		row, at := make([]any, 10), make([]any, 10)
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, row := range list {
		if err := commit(t.Context(), to.Writer, row); err != nil {
			t.Fatal(err)
		}
	}
	return float64(len(list)) / time.Since(began).Seconds()
}

func commit(ctx context.Context, db *sql.DB, row []any) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO record (id, caller, key, hash, kind, file, day, crossed, at, sealed) VALUES (?,?,?,?,?,?,?,?,?,?)", row...); err != nil {
		return err
	}
	return tx.Commit()
}

// process starts this program in a role.
func process(t *testing.T, dir, as string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self(t))
	cmd.Env = environment(role+"="+as, "DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// started is a register in a process of its own until end is called.
func started(t *testing.T, dir string) (url string, end func()) {
	t.Helper()
	cmd, out := process(t, dir, "register")
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(line), "at "), func() { killed(t, cmd) }
}

// killed ends a process with SIGKILL.
func killed(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	err := cmd.Process.Kill()
	_ = cmd.Wait() // it says how it was ended
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// noted is a register whose address stands in a file, since it moves.
type noted struct {
	dir string
	mu  sync.Mutex
	at  string
	*eesclient.Client
}

func (n *noted) Send(ctx context.Context, key string, body []byte) error {
	c, err := n.client()
	if err != nil {
		return err
	}
	if err := c.Send(ctx, key, body); err != nil {
		return err
	}
	_, err = fmt.Println("sent")
	return err
}

func (n *noted) client() (*eesclient.Client, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	url, err := os.ReadFile(filepath.Join(n.dir, "url"))
	if err == nil && string(url) != n.at {
		n.at = string(url)
		n.Client, err = client(n.dir, n.at)
	}
	return n.Client, err
}

// settling is a lane that drains until nothing waits.
func settling(dir string) error {
	s, err := openLane(dir)
	if err != nil {
		return err
	}
	if err := s.drain(context.Background(), &noted{dir: dir}); err != nil {
		return err
	}
	return s.stop()
}

// killing drains n crossings while either side is killed again and again, each
// time after a number of records drawn by chance, at most most times.
func killing(t *testing.T, n, most int) (kills int, took time.Duration) {
	t.Helper()
	dir := folder(t)
	dayOffline(t, dir, n)
	start := func() func() {
		url, end := started(t, dir)
		// Renamed, so that nobody reads half an address.
		path := filepath.Join(dir, "url")
		if err := errors.Join(os.WriteFile(path+".new", []byte(url), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		return end
	}
	began := time.Now()
	end := start()
	defer func() { end() }()
	lanes := func() (*exec.Cmd, chan struct{}, chan error) {
		cmd, out := process(t, dir, "settle")
		sent, done := make(chan struct{}, n), make(chan error, 1)
		go func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				select {
				case sent <- struct{}{}:
				default: // more than there are records: some came twice
				}
			}
			done <- cmd.Wait()
		}()
		return cmd, sent, done
	}
	draw := func() int { return 1 + rand.N(n/most) }
	cmd, sent, done := lanes()
	var sides [2]int
	for left := draw(); ; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			everyOnce(t, dir, n)
			t.Logf("%d crossings: the register was killed %d times, the lane %d times", n, sides[0], sides[1])
			return kills, time.Since(began)
		case <-sent:
		}
		if left--; left > 0 || kills == most {
			continue
		}
		left = draw()
		kills++
		side := rand.IntN(2)
		sides[side]++
		if side == 0 {
			end()
			end = start()
			continue
		}
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		<-done
		cmd, sent, done = lanes()
	}
}

// A day's records arrive once each, in each traveller's order, although lane and
// register are killed while they are sent.
func TestKillTheDrain(t *testing.T) {
	if kills, _ := killing(t, 300, 8); kills == 0 {
		t.Error("nothing was killed: this test proves nothing")
	}
}

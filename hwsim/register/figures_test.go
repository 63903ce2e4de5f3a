package register

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	openapi_types "github.com/oapi-codegen/runtime/types"
	"golang.org/x/sync/errgroup"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/eesclient/contract"
	"passage/hwsim/register/pgtest"
	"passage/hwsim/register/testca"
)

var (
	figures  = flag.String("figures", "", "measure, and append the figures to this file as rows of a Markdown table")
	people   = flag.Int("people", 10_000_000, "people whom the measured register knows")
	during   = flag.Duration("during", 20*time.Second, "how long each measurement takes")
	lanes    = flag.Int("lanes", 1000, "lanes that come back at once")
	eachLane = flag.Int("records", 20, "records that each of them has")
)

// Sample makes a person of a population. The package that does is told of this
// one, so a test outside of both puts it here.
var Sample func(seed uint64, i int, today time.Time) Person

// check is one traveller's border check: what a lane asks of the register, in
// the order in which it does. Consultations and search go out together.
type check struct {
	together [][]byte // bodies: search, then the lists
	file     string
	stay     string
	key      string
	record   []byte
	person   Person
	txn      uuid.UUID
}

func newCheck(i int, today time.Time) (check, error) {
	p := Sample(1, i, today)
	birth, err := time.Parse(time.DateOnly, p.Birth)
	if err != nil {
		return check{}, err
	}
	d := api.Document{Type: "P", Issuer: p.Issuer, Number: p.Number}
	id := api.Identity{Surname: p.Surname, GivenNames: p.GivenNames, Birth: openapi_types.Date{Time: birth}, Nationality: p.Nationality}
	c := check{file: p.File, person: p, txn: uuid.New()}
	bodies := []any{api.Search{Document: d, Identity: id}}
	for _, list := range []api.List{"SIS", "SLTD", "FPR", "LOST"} {
		bodies = append(bodies, api.Consultation{List: list, Document: d, Identity: id})
	}
	for _, v := range bodies {
		b, err := json.Marshal(v)
		if err != nil {
			return c, err
		}
		c.together = append(c.together, b)
	}
	c.stay = "/v1/files/" + p.File + "/stay?date=" + today.Format(time.DateOnly) + "&direction=entry"
	c.key = c.txn.String() + ":entry"
	c.record, err = json.Marshal(api.Record{Kind: "entry", Transaction: c.txn, At: today, CrossingPoint: "E1", Class: "TCN_LISTED", Level: "central", File: &c.file, Document: &d})
	return c, err
}

const requestsEach = 7

// again is the check of the same person's next crossing: another transaction.
func (c check) again() check {
	txn := uuid.New()
	c.record = bytes.ReplaceAll(c.record, []byte(c.txn.String()), []byte(txn.String()))
	c.txn, c.key = txn, txn.String()+":entry"
	return c
}

// afresh is a prepared record under another key.
func afresh(recording []step) []step {
	key := uuid.NewString() + ":entry"
	list := slices.Clone(recording)
	for i, s := range list {
		list[i].args = slices.Clone(s.args)
	}
	list[0].args[0], list[0].args[2] = uuid.NewString(), key
	return list
}

// overHTTPS makes a check as a lane would, over TLS, without a client's own
// decoding: what is measured is the register.
func overHTTPS(ctx context.Context, client *http.Client, base string, c check) error {
	ask := func(method, path, key string, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode/100 != 2 {
			err = fmt.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
		return err
	}
	var together errgroup.Group
	for i, body := range c.together {
		path := "/v1/consult"
		if i == 0 {
			path = "/v1/search"
		}
		together.Go(func() error { return ask(http.MethodPost, path, "", body) })
	}
	if err := together.Wait(); err != nil {
		return err
	}
	if err := ask(http.MethodGet, c.stay, "", nil); err != nil {
		return err
	}
	return ask(http.MethodPost, "/v1/records", c.key, c.record)
}

// statements are a check's steps as the register would run them, prepared
// beforehand: transactions that go out together, and then those one by one.
func (g *Register) statements(c check) (together, after [][]step, err error) {
	as := func(operation string) context.Context {
		i := slices.IndexFunc(g.contract.Operations, func(o *contract.Operation) bool { return o.ID == operation })
		return context.WithValue(context.Background(), callerKey{}, caller{name: "E1", role: "lane", operation: g.contract.Operations[i]})
	}
	var errs []error
	for i, body := range c.together {
		var steps []step
		var err error
		if i == 0 {
			var q api.Search
			errs = append(errs, json.Unmarshal(body, &q))
			steps, err = g.searching(as("search"), q, &finding{})
		} else {
			var q api.Consultation
			errs = append(errs, json.Unmarshal(body, &q))
			steps, err = g.consulting(as("consult"), q, new(string))
		}
		together, errs = append(together, steps), append(errs, err)
	}
	read, err := g.reading(as("stay"), c.file, &history{}, io.Discard)
	errs = append(errs, err)
	written, err := g.recording("E1", uuid.NewString(), c.key, "entry", c.file, time.Now(), c.record, new(string), new([]byte))
	errs = append(errs, err)
	return together, [][]step{read, written}, errors.Join(errs...)
}

// bare runs a check's statements by pgx alone: no HTTP, no contract, no
// sealing, no decoding.
func bare(ctx context.Context, p postgres, together, after [][]step) error {
	run := func(steps []step) error {
		b := &pgx.Batch{}
		for _, s := range steps {
			b.Queue(s.sql, s.args...)
		}
		results := p.pool.SendBatch(ctx, b)
		for range steps {
			rows, err := results.Query()
			if err != nil {
				return errors.Join(err, results.Close())
			}
			for rows.Next() {
				_ = rows.RawValues()
			}
		}
		return results.Close()
	}
	var group errgroup.Group
	for _, steps := range together {
		group.Go(func() error { return run(steps) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, steps := range after {
		if err := run(steps); err != nil {
			return err
		}
	}
	return nil
}

// measure runs one thing again and again on several workers.
func measure(workers int, during time.Duration, one func(worker int) error) (times []time.Duration, each time.Duration, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	began := time.Now()
	for w := range workers {
		group.Go(func() error {
			var own []time.Duration
			for time.Since(began) < during {
				at := time.Now()
				if err := one(w); err != nil {
					return err
				}
				own = append(own, time.Since(at))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
			return nil
		})
	}
	err = group.Wait()
	slices.Sort(times)
	return times, time.Since(began), err
}

func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[min(len(times)-1, int(q*float64(len(times))))]
}

// Address and Folder are how this program, started again, is told to be
// nothing but a register: its database, and where its certificates are.
const (
	Address = "PASSAGE_FIGURES_DATABASE"
	folder  = "PASSAGE_FIGURES_FOLDER"
)

var figuresSecret = bytes.Repeat([]byte{1}, KeySize)

// Alone is a register in a process of its own. It says where it listens, and
// ends with its standard input.
func Alone(ctx context.Context, database string) error {
	g, err := OpenPostgres(ctx, database, figuresSecret)
	if err != nil {
		return err
	}
	defer g.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end, too
		cancel()
	}()
	return g.Serve(ctx, "127.0.0.1:0", testca.Files(os.Getenv(folder), "register"), func(a string) { fmt.Println(a) })
}

// alone starts a register's process.
func alone(t *testing.T, database, dir string) (base string, pid int, stop func()) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(os.Environ(), Address+"="+database, folder+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "https://" + strings.TrimSpace(addr), cmd.Process.Pid, func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}
}

// busy is how long a process has been on a core.
func busy(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

func median[T cmp.Ordered](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

// rounds is how often bare pgx and the register take turns; the first time
// warms both.
const rounds = 4

// TestFigures measures the register on PostgreSQL beside pgx alone.
func TestFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("measures for minutes: -figures FILE")
	}
	server, err := pgtest.Start(t.Context(), "", "shared_buffers=2GB", "max_wal_size=16GB", "checkpoint_timeout=60min", "maintenance_work_mem=512MB", "max_connections=200")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	database := server.DSN + " pool_max_conns=32"
	g, err := OpenPostgres(t.Context(), database, figuresSecret)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	today := time.Now().UTC()
	began := time.Now()
	if err := g.Populate(t.Context(), *people, func(i int) Person { return Sample(1, i, today) }, func(n int) {
		if n%(*people/20+1) < populateBatch {
			t.Logf("%d of %d people, %.0f/s", n, *people, float64(n)/time.Since(began).Seconds())
		}
	}); err != nil {
		t.Fatal(err)
	}
	loaded := time.Since(began)
	if err := g.db.do(t.Context(), step{sql: "CHECKPOINT"}); err != nil { // the load's, not the checks'
		t.Fatal(err)
	}

	dir := t.TempDir()
	if err := testca.Write(dir, "register/register", "E1", "herd"); err != nil {
		t.Fatal(err)
	}
	base, pid, stop := alone(t, database, dir)
	defer stop()
	config, err := eesclient.TLS(testca.Files(dir, "E1"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 256}}

	rnd := rand.New(rand.NewPCG(1, 2))
	const prepared = 20_000
	checks := make([]check, prepared)
	type ready struct{ together, after [][]step }
	statements := make([]ready, prepared)
	for i := range checks {
		if checks[i], err = newCheck(rnd.IntN(*people), today); err != nil {
			t.Fatal(err)
		}
		if statements[i].together, statements[i].after, err = g.statements(checks[i]); err != nil {
			t.Fatal(err)
		}
	}
	var at atomic.Int64
	next := func() int { return int(at.Add(1)) % prepared }
	throughHTTPS := func(int) error { return overHTTPS(t.Context(), client, base, checks[next()].again()) }
	throughPGX := func(int) error {
		s := statements[next()]
		return bare(t.Context(), g.db.(postgres), s.together, [][]step{s.after[0], afresh(s.after[1])})
	}

	cores := float64(runtime.GOMAXPROCS(0))
	var rate, p99 [2][]float64
	var own []float64 // the register's time on a core, ms a request
	for round := range rounds {
		for i, one := range []func(int) error{throughPGX, throughHTTPS} {
			single, _, err := measure(1, *during/2, one)
			if err != nil {
				t.Fatal(err)
			}
			before := busy(t, pid)
			times, took, err := measure(8, *during, one)
			if err != nil {
				t.Fatal(err)
			}
			if round == 0 {
				continue
			}
			p99[i] = append(p99[i], ms(quantile(single, 0.99)))
			rate[i] = append(rate[i], float64(len(times))*requestsEach/took.Seconds()/cores)
			if i == 1 {
				own = append(own, ms(busy(t, pid)-before)/float64(len(times)*requestsEach))
			}
			t.Logf("round %d, %s: %.0f /s per core, p99 of one lane %.1f ms", round, [2]string{"bare pgx", "register"}[i], rate[i][round-1], p99[i][round-1])
		}
	}
	var rows strings.Builder
	fmt.Fprintf(&rows, "| border check (search, four lists, stay, record) of one lane, p99 | published | %.1f ms | bare pgx, the same statements: %.1f ms |\n", median(p99[1]), median(p99[0]))
	fmt.Fprintf(&rows, "| register over mutual TLS with %d people, requests | ≥ 60 %% of bare pgx | %.0f /s per core, %.0f %% | bare pgx: %.0f /s per core; clients, register and PostgreSQL on the same %.0f cores; the register itself is on a core for %.2f ms a request |\n",
		*people, median(rate[1]), 100*median(rate[1])/median(rate[0]), median(rate[0]), cores, median(own))
	fmt.Fprintf(&rows, "| population taken in by COPY | ≥ 50,000 people/s | %.0f people/s, %s for %d | files, documents, persons, permissions, lists and their indices |\n", float64(*people)/loaded.Seconds(), loaded.Round(time.Second), *people)
	h := comeBack(t, testca.Files(dir, "herd"), base, *lanes, *eachLane)
	if n, keys := h.there(t, g); n != h.records || keys != h.records {
		t.Errorf("%d records with %d keys are in the register, want %d", n, keys, h.records)
	}
	fmt.Fprintf(&rows, "| %d lanes coming back at once, %d records each | no time-out, each record once | %d time-outs, %d sent away for later, all %d records once, in %s | each lane with its outbox and connections of its own, %d handshakes |\n",
		*lanes, *eachLane, h.late, h.away, h.records, h.took.Round(100*time.Millisecond), h.handshakes)
	f, err := os.OpenFile(*figures, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(rows.String()); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	t.Log("\n" + rows.String())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

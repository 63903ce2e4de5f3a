package register_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/eesclient/outbox"
	"passage/eesclient/stay"
	"passage/hwsim/population"
	"passage/hwsim/register"
	"passage/hwsim/register/pgtest"
	"passage/hwsim/register/testca"
	"passage/keys"
	"passage/sqlite"
)

// server is the PostgreSQL server that all tests share; nil where there is none.
var server *pgtest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	register.Sample = population.Person
	if database := os.Getenv(register.Address); database != "" {
		if err := register.Alone(context.Background(), database); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	var err error
	if server, err = pgtest.Start(context.Background(), "", "fsync=off", "full_page_writes=off"); err != nil && !errors.Is(err, pgtest.ErrMissing) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if server != nil {
		defer server.Stop()
	}
	return m.Run()
}

// bench is a register on TLS and a lane's client.
type bench struct {
	*register.Register
	*eesclient.Client
	dir, url string
}

// each runs a test on a register in SQLite and on one in PostgreSQL.
func each(t *testing.T, test func(*testing.T, bench)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newBench(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, serve(t, t.TempDir(), inPostgres(t, secret))) })
}

var secret = bytes.Repeat([]byte{7}, register.KeySize)

// inPostgres is a register in a database of its own.
func inPostgres(t *testing.T, secret []byte) *register.Register {
	t.Helper()
	if server == nil {
		t.Skip("PostgreSQL is not installed; scripts/setup does it")
	}
	conn, err := pgx.Connect(t.Context(), server.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	name := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	r, err := register.OpenPostgres(t.Context(), strings.Replace(server.DSN, "dbname=postgres", "dbname="+name, 1), secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func newBench(t *testing.T) bench {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := register.Open(t.Context(), db.Writer, secret)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, dir, r)
}

// serve puts a register on TLS.
func serve(t *testing.T, dir string, r *register.Register) bench {
	t.Helper()
	if err := testca.Write(dir, "register/register", "lane", "anna/officer", "dpo/admin", "nobody/nothing"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	addr, served := make(chan string, 1), make(chan error, 1)
	go func() {
		served <- r.Serve(ctx, "127.0.0.1:0", testca.Files(dir, "register"), func(a string) { addr <- a })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	url := "https://" + <-addr
	c, err := eesclient.New(url, testca.Files(dir, "lane"))
	if err != nil {
		t.Fatal(err)
	}
	return bench{r, c, dir, url}
}

func identity() (api.Document, api.Identity) {
	return api.Document{Type: "P", Issuer: "USA", Number: "C01X00T47"},
		api.Identity{Surname: "SPECIMEN", GivenNames: "AVA", Birth: openapi_types.Date{Time: time.Date(1990, 1, 2, 0, 0, 0, 0, time.UTC)}, Nationality: "USA"}
}

func person() register.Person {
	return register.Person{
		File: "F-1", Number: "C01X00T47", Issuer: "USA", Reference: true, Face: "match", Surname: "SPECIMEN", GivenNames: "AVA", Birth: "1990-01-02", Nationality: "USA",
		Stays: []stay.Stay{{First: stay.On(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), Last: stay.On(time.Date(2026, 2, 14, 0, 0, 0, 0, time.UTC))}},
		Hits:  map[string]string{},
	}
}

func load(t *testing.T, b bench, people ...register.Person) {
	t.Helper()
	if err := b.Load(t.Context(), people...); err != nil {
		t.Fatal(err)
	}
}

func TestAnswers(t *testing.T) { each(t, testAnswers) }

func testAnswers(t *testing.T, b bench) {
	p := person()
	p.Hits["SLTD"], p.Hits["SIS"] = "HIT_ACTION", "DISCREET"
	load(t, b, p)
	d, i := identity()
	f, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: i})
	if err != nil || f.Outcome != "one" || *f.File != "F-1" || !*f.FaceReference {
		t.Fatalf("%+v, %v", f, err)
	}
	for list, want := range map[string]eesclient.Answer{"SLTD": eesclient.HitAction, "SIS": eesclient.Clear, "FPR": eesclient.Clear} {
		if got := b.Client.Consult(t.Context(), api.Consultation{List: api.List(list), Document: d, Identity: i}); got != want {
			t.Errorf("%s: %s, want %s", list, got, want)
		}
	}
	if a, err := b.Alerted(t.Context()); err != nil || len(a) != 1 || a[0].List != "SIS" || a[0].Document != d {
		t.Errorf("the discreet hit's alerts: %+v, %v", a, err)
	}
	if r, err := b.Client.VerifyFace(t.Context(), "F-1", []byte{0xFF, 0xD8, 0xFF}); err != nil || r != "match" {
		t.Errorf("face: %s, %v", r, err)
	}
	s, err := b.Client.Stay(t.Context(), "F-1", "entry", time.Date(2026, 6, 20, 0, 0, 0, 0, time.UTC))
	if err != nil || s.Status != "ok" || s.Days != 90 {
		t.Errorf("stay: %+v, %v", s, err)
	}
	d.Number = "NEWBOOK"
	if f, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: i}); err != nil || f.Outcome != "several" {
		t.Errorf("a known person's new document: %+v, %v", f, err)
	}
	i.Surname = "OTHER"
	if f, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: i}); err != nil || f.Outcome != "none" {
		t.Errorf("nobody: %+v, %v", f, err)
	}
}

// A discreet hit's answer has the same bytes as no hit's, but for the time.
func TestDiscreetLooksLikeNone(t *testing.T) { each(t, testDiscreet) }

func testDiscreet(t *testing.T, b bench) {
	d, i := identity()
	q := must(json.Marshal(api.Consultation{List: "SIS", Document: d, Identity: i}))
	var answers []string
	for _, hit := range []string{"", "DISCREET"} {
		p := person()
		if hit != "" {
			p.Hits["SIS"] = hit
		}
		load(t, b, p)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/consult", bytes.NewReader(q))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", "11111111-1111-4111-8111-111111111111")
		register.As(b.Handler(), "E1", "lane").ServeHTTP(w, r)
		var a api.Answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		at := must(a.At.MarshalText())
		text := fmt.Sprint(w.Code, strings.Replace(w.Body.String(), string(at), "", 1))
		for _, name := range slices.Sorted(maps.Keys(w.Header())) {
			if name != "Content-Length" { // the time has as many digits as it has
				text += fmt.Sprint(name, w.Header()[name])
			}
		}
		answers = append(answers, text)
	}
	if answers[0] != answers[1] {
		t.Errorf("no hit: %s\ndiscreet: %s", answers[0], answers[1])
	}
	if a, err := b.Alerted(t.Context()); err != nil || len(a) != 1 {
		t.Errorf("%d alerts, %v", len(a), err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What goes wrong is never "no hit".
func TestFaultsAreNeverClear(t *testing.T) {
	b := newBench(t)
	for fault, want := range map[string]eesclient.Answer{
		"down": eesclient.NotConsulted, "error": eesclient.NotConsulted, "lost": eesclient.NotConsulted, "never": eesclient.NotConsulted,
		"nonsense": eesclient.Malformed, "another_request": eesclient.Malformed, "another_subject": eesclient.Malformed, "past": eesclient.Malformed,
	} {
		b.Inject("SIS", fault)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		d, i := identity()
		if got := b.Client.Consult(ctx, api.Consultation{List: "SIS", Document: d, Identity: i}); got != want {
			t.Errorf("%s: %s, want %s", fault, got, want)
		}
		cancel()
		b.Inject("SIS", "")
	}
}

func record(t *testing.T, kind string) (key string, body []byte) {
	t.Helper()
	id := uuid.New()
	body, err := json.Marshal(api.Record{Kind: api.RecordKind(kind), Transaction: id, At: time.Now(), CrossingPoint: "E1", Class: "EU", Level: "central"})
	if err != nil {
		t.Fatal(err)
	}
	return id.String() + ":" + kind, body
}

func TestRecordsAreIdempotent(t *testing.T) { each(t, testIdempotent) }

func testIdempotent(t *testing.T, b bench) {
	key, body := record(t, "entry")
	for range 3 {
		if err := b.Send(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	b.Inject("record", "lost") // done, and the answer lost
	if err := b.Send(t.Context(), key, body); err == nil {
		t.Error("a lost answer was taken for one")
	}
	b.Inject("record", "")
	if err := b.Send(t.Context(), key, bytes.Replace(body, []byte("E1"), []byte("E2"), 1)); !errors.Is(err, outbox.ErrConflict) {
		t.Errorf("another body: %v", err)
	}
	list, err := b.Records(t.Context())
	if err != nil || len(list) != 1 {
		t.Errorf("%d records, %v", len(list), err)
	}
}

// Whatever happens to single requests, the outbox settles up: each record is
// there once, in order, and nothing readable stays behind.
func TestOutboxSettlesUp(t *testing.T) {
	b := newBench(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(b.dir, "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ring, err := keys.Fixed(bytes.Repeat([]byte{1}, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	o, err := outbox.New(t.Context(), db, ring)
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	for range 20 {
		key, body := record(t, "consultation")
		sent = append(sent, key)
		if err := inTx(db.Writer, func(tx *sql.Tx) error { return o.Put(tx, key, "one traveller", time.Now(), body) }); err != nil {
			t.Fatal(err)
		}
		if err := inTx(db.Writer, func(tx *sql.Tx) error { return o.Put(tx, key, "one traveller", time.Now(), []byte("other")) }); err != nil {
			t.Fatal("putting the same key again:", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	flaky := &flaky{to: b.Client}
	done := make(chan error, 1)
	go func() {
		done <- o.Drain(ctx, flaky, func(*sql.Tx, string, error) error { t.Error("conflict"); return nil })
	}()
	for {
		n, _, err := o.Waiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	list, err := b.Records(t.Context())
	if err != nil || len(list) != len(sent) {
		t.Fatalf("%d records, want %d, %v", len(list), len(sent), err)
	}
	for i, r := range list {
		if got := r.Transaction.String() + ":" + string(r.Kind); got != sent[i] {
			t.Errorf("record %d is %s, want %s", i, got, sent[i])
		}
	}
	var sealed, secrets int
	if err := db.Reader.QueryRow("SELECT (SELECT count(sealed) FROM outbox), (SELECT count(*) FROM outbox_key)").Scan(&sealed, &secrets); err != nil || sealed+secrets != 0 {
		t.Errorf("%d sealed bodies and %d keys are left, %v", sealed, secrets, err)
	}
}

func inTx(db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// flaky loses every third request and every fifth answer.
type flaky struct {
	to outbox.Sender
	n  int
}

func (f *flaky) Send(ctx context.Context, key string, body []byte) error {
	if f.n++; f.n%3 == 0 {
		return errors.New("lost on the way")
	}
	err := f.to.Send(ctx, key, body)
	if f.n%5 == 0 {
		return errors.New("answer lost")
	}
	return err
}

func TestAStrangerIsNotServed(t *testing.T) {
	b := newBench(t)
	other := t.TempDir()
	if err := testca.Write(other, "lane"); err != nil {
		t.Fatal(err)
	}
	f := testca.Files(other, "lane")
	f.CA = testca.Files(b.dir, "lane").CA
	c, err := eesclient.New(b.url, f)
	if err != nil {
		t.Fatal(err)
	}
	key, body := record(t, "entry")
	if err := c.Send(t.Context(), key, body); err == nil {
		t.Error("a certificate of another authority is accepted")
	}
}

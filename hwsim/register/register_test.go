package register_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/eesclient/outbox"
	"passage/eesclient/stay"
	"passage/hwsim/register"
	"passage/hwsim/register/testca"
	"passage/keys"
	"passage/sqlite"
)

// bench is a register on TLS and a lane's client.
type bench struct {
	*register.Register
	*eesclient.Client
	dir, url string
}

func newBench(t *testing.T) bench {
	t.Helper()
	dir := t.TempDir()
	if err := testca.Write(dir, "register", "lane"); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "register.db"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := register.New(t.Context(), db.Writer)
	if err != nil {
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
		if err := db.Close(); err != nil {
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
		File: "F-1", Number: "C01X00T47", Issuer: "USA", Reference: true, Face: "match", Surname: "SPECIMEN", Birth: "1990-01-02",
		Stays: []stay.Stay{{First: stay.On(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), Last: stay.On(time.Date(2026, 2, 14, 0, 0, 0, 0, time.UTC))}},
		Hits:  map[string]string{},
	}
}

func TestAnswers(t *testing.T) {
	b := newBench(t)
	p := person()
	p.Hits["SLTD"], p.Hits["SIS"] = "HIT_ACTION", "DISCREET"
	b.Load(p)
	d, i := identity()
	f, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: i})
	if err != nil || f.Outcome != "one" || *f.File != "F-1" || !*f.FaceReference {
		t.Fatalf("%+v, %v", f, err)
	}
	for list, want := range map[string]eesclient.Answer{"SLTD": eesclient.HitAction, "SIS": eesclient.Clear, "FPR": eesclient.Clear} {
		if got := b.Client.Consult(t.Context(), api.Consultation{List: api.ConsultationList(list), Document: d, Identity: i}); got != want {
			t.Errorf("%s: %s, want %s", list, got, want)
		}
	}
	if a := b.Alerts(); len(a) != 1 {
		t.Errorf("the discreet hit alerted %d officers", len(a))
	}
	if r, err := b.Client.VerifyFace(t.Context(), "F-1", []byte{0xFF, 0xD8, 0xFF}); err != nil || r != "match" {
		t.Errorf("face: %s, %v", r, err)
	}
	s, err := b.Client.Stay(t.Context(), "F-1", "entry", time.Date(2026, 6, 20, 0, 0, 0, 0, time.UTC))
	if err != nil || s.Status != "ok" || s.Days != 90 {
		t.Errorf("stay: %+v, %v", s, err)
	}
	d.Number = "OTHER"
	if f, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: i}); err != nil || f.Outcome != "none" {
		t.Errorf("nobody: %+v, %v", f, err)
	}
}

// A discreet hit's answer has the same bytes as no hit's.
func TestDiscreetLooksLikeNone(t *testing.T) {
	var bodies []string
	for _, hit := range []string{"", "DISCREET"} {
		b := newBench(t)
		p := person()
		p.Hits["SIS"] = hit
		b.Load(p)
		h, err := b.Handler()
		if err != nil {
			t.Fatal(err)
		}
		d, i := identity()
		q, err := json.Marshal(api.Consultation{List: "SIS", Document: d, Identity: i})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/consult", bytes.NewReader(q))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(w, r)
		bodies = append(bodies, w.Result().Status+w.Body.String())
	}
	if bodies[0] != bodies[1] {
		t.Errorf("no hit: %s\ndiscreet: %s", bodies[0], bodies[1])
	}
}

// What goes wrong is never "no hit".
func TestFaultsAreNeverClear(t *testing.T) {
	for fault, want := range map[string]eesclient.Answer{"down": eesclient.NotConsulted, "error": eesclient.NotConsulted, "nonsense": eesclient.Malformed, "lost": eesclient.NotConsulted} {
		b := newBench(t)
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

// Every rule of the contract that a lane could break is enforced, and the
// refusal repeats no value.
func TestContractIsEnforced(t *testing.T) {
	b := newBench(t)
	h, err := b.Handler()
	if err != nil {
		t.Fatal(err)
	}
	good := `{"list":"SIS","document":{"type":"P","issuer":"USA","number":"KANARIE1"},"identity":{"surname":"KANARIENVOGEL","given_names":"A","birth":"1990-01-02","nationality":"USA"}}`
	for _, c := range []struct{ name, old, new string }{
		{"list", `"SIS"`, `"ALL"`},
		{"no list", `"list":"SIS",`, ``},
		{"unknown field", `"list"`, `"colour":"red","list"`},
		{"issuer", `"USA","number"`, `"usa","number"`},
		{"number", `KANARIE1`, `KANARIE-1`},
		{"long name", `KANARIENVOGEL`, strings.Repeat("K", 65)},
		{"birth", `1990-01-02`, `02.01.1990`},
		{"no document", `"document":{"type":"P","issuer":"USA","number":"KANARIE1"},`, ``},
		{"no JSON", good, `KANARIENVOGEL`},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/consult", strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "KANARIE") {
			t.Errorf("%s: the refusal repeats a value: %s", c.name, w.Body)
		}
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

func TestRecordsAreIdempotent(t *testing.T) {
	b := newBench(t)
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
	go func() { done <- o.Drain(ctx, flaky, func(*sql.Tx, string) error { t.Error("conflict"); return nil }) }()
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

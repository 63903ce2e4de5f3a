package register_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/eesclient/outbox"
	"passage/hwsim/register"
	"passage/hwsim/register/testca"
)

// A certificate must be the authority's, in time, and of a role; a role may do
// only what is its own.
func TestCertificates(t *testing.T) {
	b := newBench(t)
	other, late := t.TempDir(), t.TempDir()
	if err := errors.Join(testca.Write(other, "lane"), testca.Write(late, "register/register", "lane/lane/expired")); err != nil {
		t.Fatal(err)
	}
	own := testca.Files(b.dir, "lane")
	with := func(f eesclient.Files) error {
		f.CA = own.CA
		_, err := must(eesclient.New(b.url, f)).Health(t.Context(), nil)
		return err
	}
	if err := with(own); err != nil {
		t.Error("the lane's own:", err)
	}
	if with(testca.Files(other, "lane")) == nil {
		t.Error("a certificate of another authority is accepted")
	}
	if err := with(testca.Files(b.dir, "nobody")); !isStatus(err, http.StatusForbidden) {
		t.Errorf("a certificate without a role: %v", err)
	}
	if err := with(testca.Files(b.dir, "register")); !isStatus(err, http.StatusForbidden) {
		t.Errorf("a server's certificate: %v", err)
	}
	config := must(eesclient.TLS(own))
	for name, change := range map[string]func(*tls.Config){
		"no certificate": func(c *tls.Config) { c.Certificates, c.GetClientCertificate = nil, nil },
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
	} {
		c := config.Clone()
		change(c)
		client := eesclient.Over(b.url, &http.Transport{TLSClientConfig: c, DisableKeepAlives: true})
		if _, err := client.Health(t.Context(), nil); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}

	// A register whose authority made the lane a certificate that has run out.
	r := must(register.New(t.Context(), openSQLite(t)))
	ctx, cancel := context.WithCancel(t.Context())
	addr, served := make(chan string, 1), make(chan error, 1)
	go func() {
		served <- r.Serve(ctx, "127.0.0.1:0", testca.Files(late, "register"), func(a string) { addr <- a })
	}()
	if _, err := must(eesclient.New("https://"+<-addr, testca.Files(late, "lane"))).Health(t.Context(), nil); err == nil {
		t.Error("an expired certificate is accepted")
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func isStatus(err error, want int) bool {
	var status eesclient.StatusError
	return errors.As(err, &status) && int(status) == want
}

// post sends a body under a role and returns the status and the answer.
func post(t *testing.T, b bench, role, path, key string, v any) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	method, body := http.MethodPost, must(json.Marshal(v))
	if v == nil {
		method, body = http.MethodGet, nil
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	register.As(b.Handler(), "caller", role).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// What one role may do, another may not.
func TestRoles(t *testing.T) {
	b := newBench(t)
	load(t, b, person())
	d, _ := identity()
	txn := must(parseUUID("11111111-1111-4111-8111-111111111111"))
	refusal := api.Refusal{Transaction: txn, At: time.Now(), CrossingPoint: "E1", Grounds: []api.RefusalGrounds{"C"}, Document: d}
	for _, c := range []struct {
		path, key string
		body      any
		may       []string
	}{
		{"/v1/health", "", nil, []string{"lane", "officer", "desk", "admin"}},
		{"/v1/files/F-1", "", nil, []string{"lane", "officer", "desk"}},
		{"/v1/files/F-1/records", "", nil, []string{"officer", "desk"}},
		{"/v1/refusals", txn.String() + ":refusal", refusal, []string{"officer", "desk"}},
		{"/v1/alerts", "", nil, []string{"officer"}},
		{"/v1/audit", "", nil, []string{"admin"}},
		{"/v1/erasures", "", nil, []string{"admin"}},
		{"/v1/extract", "", nil, []string{"lane", "admin"}},
	} {
		for _, role := range []string{"lane", "officer", "desk", "admin", "", "root"} {
			code, answer := post(t, b, role, c.path, c.key, c.body)
			if slices.Contains(c.may, role) != (code/100 == 2) || code/100 != 2 && code != http.StatusForbidden {
				t.Errorf("%s as %q: %d %s", c.path, role, code, answer)
			}
		}
	}
	// Who asked, by which article and for what, is there for the supervisor.
	code, answer := post(t, b, "admin", "/v1/audit", "", nil)
	var page api.AuditPage
	if err := json.Unmarshal([]byte(answer), &page); err != nil || code != 200 || len(page.Items) == 0 {
		t.Fatalf("audit: %d, %v", code, err)
	}
	if a := page.Items[0]; a.Caller != "caller" || a.Role != "lane" || a.Operation != "file" || !strings.Contains(a.Article, "2017/2226") || a.Purpose != "border check" {
		t.Errorf("the first line is %+v", a)
	}
	if strings.Contains(answer, "SPECIMEN") || strings.Contains(answer, "C01X00T47") {
		t.Error("the audit names whom it was about")
	}
}

// Duplicates, replays and rewrites of a record: it is there once.
func TestReplays(t *testing.T) { each(t, testReplays) }

func testReplays(t *testing.T, b bench) {
	key, body := record(t, "entry")
	var group sync.WaitGroup
	codes := make(chan int, 24)
	for range 24 {
		group.Go(func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/v1/records", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", key)
			register.As(b.Handler(), "E1", "lane").ServeHTTP(w, r)
			codes <- w.Code
		})
	}
	group.Wait()
	close(codes)
	count := map[int]int{}
	for c := range codes {
		count[c]++
	}
	if count[201] != 1 || count[200] != 23 {
		t.Errorf("statuses of the same record sent 24 times at once: %v", count)
	}
	var rec api.Record
	if err := json.Unmarshal(body, &rec); err != nil {
		t.Fatal(err)
	}
	other := rec
	other.CrossingPoint = "E2"
	if code, _ := post(t, b, "lane", "/v1/records", key, other); code != 201 {
		t.Errorf("another lane's key is its own: %d", code)
	}
	if code, answer := post(t, b, "lane", "/v1/records", key, rec); code != http.StatusConflict || strings.Contains(answer, "E1") {
		t.Errorf("another body under the key: %d %s", code, answer)
	}
	if code, _ := post(t, b, "lane", "/v1/records", strings.Replace(key, "entry", "exit", 1), rec); code != http.StatusUnprocessableEntity {
		t.Errorf("a key of another kind: %d", code)
	}
}

// Records that arrive late or out of order are all kept, and the stay follows
// what is known.
func TestReordered(t *testing.T) { each(t, testReordered) }

func testReordered(t *testing.T, b bench) {
	p := person()
	p.Stays = nil
	load(t, b, p)
	file, day := "F-1", time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", 3600))
	send := func(kind string, at time.Time) {
		key, body := record(t, kind)
		var rec api.Record
		if err := json.Unmarshal(body, &rec); err != nil {
			t.Fatal(err)
		}
		rec.File, rec.At = &file, at
		if code, answer := post(t, b, "lane", "/v1/records", key, rec); code != 201 {
			t.Fatalf("%s: %d %s", kind, code, answer)
		}
	}
	stay := func(direction string, day time.Time) api.Stay {
		t.Helper()
		s, err := b.Client.Stay(t.Context(), file, direction, day)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	send("exit", day.AddDate(0, 0, 9)) // the exit lane was online, the entry lane was not
	if s := stay("exit", day.AddDate(0, 0, 9)); s.Status != "undetermined" {
		t.Errorf("an exit without an entry: %+v", s)
	}
	send("entry", day)
	if s := stay("entry", day.AddDate(0, 0, 100)); s.Status != "ok" || s.Days != 80+10 || *s.BilateralPossible {
		t.Errorf("after the entry came: %+v", s)
	}
	send("entry", day.AddDate(0, 0, 100))
	if s := stay("exit", day.AddDate(0, 0, 190)); s.Status != "ok" || s.Overstay != 1 || !*s.BilateralPossible {
		t.Errorf("91 days: %+v", s)
	}
	code, answer := post(t, b, "officer", "/v1/files/F-1/records?limit=2", "", nil)
	var page api.RecordPage
	if err := json.Unmarshal([]byte(answer), &page); err != nil || code != 200 || len(page.Items) != 2 || page.Next == nil {
		t.Fatalf("first page: %d %s", code, answer)
	}
	code, answer = post(t, b, "officer", "/v1/files/F-1/records?limit=2&cursor="+*page.Next, "", nil)
	var rest api.RecordPage
	if err := json.Unmarshal([]byte(answer), &rest); err != nil || code != 200 || len(rest.Items) != 1 || rest.Next != nil {
		t.Fatalf("second page: %d %s", code, answer)
	}
	if code, _ := post(t, b, "officer", "/v1/files/F-1/records?cursor=nonsense", "", nil); code != http.StatusBadRequest {
		t.Errorf("a cursor that is none: %d", code)
	}
}

// A register that lies is malformed, or at least not consulted; what it says is
// never taken for an answer.
func TestLies(t *testing.T) {
	b := newBench(t)
	p := person()
	p.ETIAS = "valid"
	load(t, b, p)
	d, i := identity()
	day := time.Date(2026, 6, 20, 0, 0, 0, 0, time.UTC)
	key, body := record(t, "entry")
	ask := map[string]func() error{
		"search": func() error { _, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: i}); return err },
		"verifyFace": func() error {
			_, err := b.Client.VerifyFace(t.Context(), "F-1", []byte{0xFF, 0xD8, 0xFF})
			return err
		},
		"authorisation": func() error { _, err := b.Client.Authorisation(t.Context(), d, day); return err },
		"stay":          func() error { _, err := b.Client.Stay(t.Context(), "F-1", "entry", day); return err },
		"record":        func() error { return b.Send(t.Context(), key, body) },
		"consult": func() error {
			if a := b.Client.Consult(t.Context(), api.Consultation{List: "SIS", Document: d, Identity: i}); a != eesclient.Clear {
				return eesclient.ErrMalformed
			}
			return nil
		},
	}
	for operation, ask := range ask {
		if err := ask(); err != nil {
			t.Errorf("%s: the truth: %v", operation, err)
		}
		for _, lie := range []string{"another_request", "another_subject", "past", "contradiction", "nonsense"} {
			if (operation == "search" || operation == "authorisation") && lie == "another_subject" || operation != "consult" && lie == "past" ||
				lie == "contradiction" && (operation == "verifyFace" || operation == "consult") {
				continue // nothing in the answer that this lie could change
			}
			b.Inject(operation, lie)
			if err := ask(); !errors.Is(err, eesclient.ErrMalformed) {
				t.Errorf("%s: %s: %v", operation, lie, err)
			}
			b.Inject(operation, "")
		}
	}
}

// A register that is busy says when to come back.
func TestRetryAfter(t *testing.T) {
	b := newBench(t)
	b.Inject("record", "down")
	key, body := record(t, "exit")
	var later eesclient.LaterError
	if err := b.Send(t.Context(), key, body); !errors.As(err, &later) || later.RetryAfter() != time.Second || !isStatus(err, 503) {
		t.Errorf("%v", err)
	}
}

// A record that the register will never take is not tried again and again.
func TestRejected(t *testing.T) {
	b := newBench(t)
	key, body := record(t, "exit")
	for name, send := range map[string][]byte{
		"another kind's key": bytes.Replace(body, []byte(`"exit"`), []byte(`"entry"`), 1),
		"no record":          []byte(`{}`),
		"too large":          append(body, bytes.Repeat([]byte(" "), 1<<20)...),
	} {
		if err := b.Send(t.Context(), key, send); !errors.Is(err, outbox.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Package register is a reference register: the lane's contract over HTTPS with
// mutual TLS, records in SQLite, people from memory. It alerts its officers of
// a discreet hit and answers the lane as for no hit.
package register

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/eesclient/extract"
	"passage/eesclient/stay"
)

const schema = `
CREATE TABLE IF NOT EXISTS record (
	seq  INTEGER PRIMARY KEY AUTOINCREMENT,
	lane TEXT NOT NULL,
	key  TEXT NOT NULL,
	hash TEXT NOT NULL,
	kind TEXT NOT NULL,
	txn  TEXT NOT NULL,
	body BLOB NOT NULL,
	at   INTEGER NOT NULL,
	UNIQUE (lane, key)
) STRICT;
`

// Person is somebody whom the register knows.
type Person struct {
	File         string // empty: no individual file
	Number       string // document number
	Issuer       string
	OldNumber    bool // the file has another document: found by name alone
	FamilyStatus bool
	Visa         string // none, short, long
	VisaEnd      time.Time
	Reference    bool   // a facial image is on file
	Face         string // what comparing it gives: match, no_match, low_quality
	Stays        []stay.Stay
	Hits         map[string]string // by list: HIT_ACTION, HIT_INQUIRY, POSSIBLE, DISCREET
	Surname      string
	Birth        string // yyyy-mm-dd
	FaceDelay    time.Duration
}

// Register is a running register.
type Register struct {
	db   *sql.DB
	sign ed25519.PrivateKey // of extracts

	mu     sync.Mutex
	people []Person
	faults map[string]string // operation or list → fault
	alerts []string          // what its officers were told
	counts map[string]int
}

// New prepares the database.
func New(ctx context.Context, db *sql.DB) (*Register, error) {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, fmt.Errorf("register: open: %w", err)
	}
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("register: open: %w", err)
	}
	return &Register{db: db, sign: sign, faults: map[string]string{}, counts: map[string]int{}}, nil
}

// Load adds people.
func (g *Register) Load(people ...Person) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.people = append(g.people, people...)
}

// Fault describes what Inject knows.
type Fault struct{ Name, Text string }

// Faults lists the faults by name.
var Faults = []Fault{
	{"down", "status 503"},
	{"error", "status 500"},
	{"nonsense", "an answer that is no JSON of the contract"},
	{"slow", "an answer after four seconds"},
	{"never", "no answer until the client gives up"},
	{"lost", "the answer is lost after the work was done"},
}

// Inject gives an operation (search, consult, verifyFace, stay, record,
// health) or one list (SIS, SLTD, FPR, LOST) a fault; "" clears it.
func (g *Register) Inject(what, fault string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if fault == "" {
		delete(g.faults, what)
	} else {
		g.faults[what] = fault
	}
}

// Alerts returns what the register's officers were told.
func (g *Register) Alerts() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.alerts)
}

// Count returns how often an operation was asked for.
func (g *Register) Count(operation string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts[operation]
}

// Records returns the transactions recorded, oldest first, by kind.
func (g *Register) Records(ctx context.Context) ([]api.Record, error) {
	rows, err := g.db.QueryContext(ctx, "SELECT body FROM record ORDER BY seq")
	if err != nil {
		return nil, fmt.Errorf("register: records: %w", err)
	}
	defer rows.Close()
	var list []api.Record
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("register: records: %w", err)
		}
		var r api.Record
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("register: records: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Serve answers lanes on a loopback address until ctx ends. ready is told the
// address.
func (g *Register) Serve(ctx context.Context, addr string, files eesclient.Files, ready func(string)) error {
	config, err := eesclient.TLS(files)
	if err != nil {
		return fmt.Errorf("register: serve: %w", err)
	}
	h, err := g.Handler()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("register: serve: %w", err)
	}
	s := &http.Server{Handler: h, TLSConfig: config, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: nil}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	ready(l.Addr().String())
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("register: serve: %w", err)
	}
	return nil
}

// pictures teaches the validator, once, to leave a picture as it is.
var pictures = sync.OnceFunc(func() { openapi3filter.RegisterBodyDecoder("image/jpeg", openapi3filter.FileBodyDecoder) })

// Handler is the contract's server with the contract's own validator before
// it.
func (g *Register) Handler() (http.Handler, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Contract)
	if err != nil {
		return nil, fmt.Errorf("register: contract: %w", err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("register: contract: %w", err)
	}
	pictures()
	inner := api.HandlerWithOptions(g, api.StdHTTPServerOptions{ErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) {
		problem(w, http.StatusBadRequest, "a parameter is missing or wrong")
	}})
	return g.validated(router, inner), nil
}

// validated refuses what the contract does not allow. Its problems name no
// value: they could be personal data.
func (g *Register) validated(router routers.Router, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 512<<10)
		route, params, err := router.FindRoute(r)
		if err != nil {
			problem(w, http.StatusNotFound, "no such operation")
			return
		}
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{MultiError: false}}
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			problem(w, http.StatusBadRequest, "the request breaks a rule of the contract"+pointer(err))
			return
		}
		if g.spoil(w, r, route.Operation.OperationID) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// pointer names the field that is wrong, without its value.
func pointer(err error) string {
	var s *openapi3.SchemaError
	if errors.As(err, &s) {
		return ": /" + strings.Join(s.JSONPointer(), "/") + ": " + s.SchemaField
	}
	return ""
}

func problem(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Type: "about:blank", Title: title, Status: status}) // the client has gone otherwise
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone otherwise
}

// spoil applies an injected fault and says whether that was the answer.
func (g *Register) spoil(w http.ResponseWriter, r *http.Request, operation string) bool {
	what := operation
	if operation == "consult" {
		// The list is in the body; the body is read twice.
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		var q api.Consultation
		if json.Unmarshal(b, &q) == nil {
			what = string(q.List)
		}
	}
	g.mu.Lock()
	g.counts[operation]++
	fault := g.faults[operation]
	if fault == "" {
		fault = g.faults[what]
	}
	if fault == "" {
		fault = g.faults["all"]
	}
	g.mu.Unlock()
	switch fault {
	case "down":
		problem(w, http.StatusServiceUnavailable, "not available")
	case "error":
		problem(w, http.StatusInternalServerError, "failed")
	case "nonsense":
		_, _ = io.WriteString(w, `{"answer":"CLEAR","and":["more",`)
	case "slow":
		select {
		case <-time.After(4 * time.Second):
		case <-r.Context().Done():
		}
		return false
	case "never":
		<-r.Context().Done()
	case "lost":
		g.lose(r)
		panic(http.ErrAbortHandler) // the connection breaks without an answer
	default:
		return false
	}
	return true
}

// lose does the work and throws the answer away.
func (g *Register) lose(r *http.Request) {
	if r.URL.Path == "/v1/records" {
		g.Record(discard{}, r, api.RecordParams{IdempotencyKey: r.Header.Get("Idempotency-Key")})
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// Health lists what answers.
func (g *Register) Health(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := api.Health{Up: []api.HealthUp{}}
	for name, operation := range map[string]string{"EES": "search", "SIS": "SIS", "SLTD": "SLTD", "FPR": "FPR", "LOST": "LOST"} {
		if f := g.faults[operation]; f != "down" && f != "error" && f != "never" && g.faults["consult"] == "" {
			h.Up = append(h.Up, api.HealthUp(name))
		}
	}
	slices.Sort(h.Up)
	reply(w, http.StatusOK, h)
}

// find returns the people whom a document and an identity mean.
func (g *Register) find(d api.Document, i api.Identity) []Person {
	var list []Person
	for _, p := range g.people {
		byDocument := p.Number == d.Number && p.Issuer == d.Issuer
		byName := p.OldNumber && p.Surname == i.Surname && p.Birth == i.Birth.Format(time.DateOnly)
		if byDocument || byName {
			list = append(list, p)
		}
	}
	return list
}

// Search looks for a file by document; a person found by name alone under
// another document is ambiguous: a desk's task (EES Art. 14(2)).
func (g *Register) Search(w http.ResponseWriter, r *http.Request) {
	var q api.Search
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		problem(w, http.StatusBadRequest, "no search")
		return
	}
	g.mu.Lock()
	list := slices.DeleteFunc(g.find(q.Document, q.Identity), func(p Person) bool { return p.File == "" })
	g.mu.Unlock()
	switch {
	case len(list) == 0:
		reply(w, http.StatusOK, api.Found{Outcome: "none"})
	case len(list) > 1 || list[0].OldNumber:
		reply(w, http.StatusOK, api.Found{Outcome: "several"})
	default:
		p := list[0]
		visa := api.FoundVisa("none")
		if p.Visa != "" {
			visa = api.FoundVisa(p.Visa)
		}
		reply(w, http.StatusOK, api.Found{Outcome: "one", File: &p.File, FamilyStatus: &p.FamilyStatus, Visa: &visa, FaceReference: &p.Reference})
	}
}

// Consult answers a list. A discreet hit alerts the register's officers and
// is answered as no hit: same words, same work.
func (g *Register) Consult(w http.ResponseWriter, r *http.Request) {
	var q api.Consultation
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		problem(w, http.StatusBadRequest, "no consultation")
		return
	}
	g.mu.Lock()
	answer := "CLEAR"
	for _, p := range g.find(q.Document, q.Identity) {
		switch hit := p.Hits[string(q.List)]; hit {
		case "":
		case "DISCREET":
			g.alerts = append(g.alerts, "discreet "+p.Number)
		default:
			answer = hit
		}
	}
	g.mu.Unlock()
	reply(w, http.StatusOK, api.Answer{Answer: api.AnswerAnswer(answer)})
}

func (g *Register) byFile(file string) (Person, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.people, func(p Person) bool { return p.File == file && file != "" })
	if i < 0 {
		return Person{}, false
	}
	return g.people[i], true
}

// VerifyFace compares a live picture with the file's reference. The reference
// register has no engine: what comparing gives is the person's data.
func (g *Register) VerifyFace(w http.ResponseWriter, r *http.Request, file api.File) {
	p, ok := g.byFile(file)
	if !ok {
		problem(w, http.StatusNotFound, "no such file")
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		problem(w, http.StatusBadRequest, "no picture")
		return
	}
	if p.FaceDelay > 0 {
		select {
		case <-time.After(p.FaceDelay):
		case <-r.Context().Done():
			return
		}
	}
	result := p.Face
	if !p.Reference {
		result = "no_reference"
	}
	reply(w, http.StatusOK, api.FaceResult{Result: api.FaceResultResult(result)})
}

// ExtractKey is the public key of the register's extracts.
func (g *Register) ExtractKey() ed25519.PublicKey { return g.sign.Public().(ed25519.PublicKey) }

// Extract gives a signed copy of the individual files.
func (g *Register) Extract(w http.ResponseWriter, _ *http.Request) {
	var files []extract.File
	g.mu.Lock()
	for _, p := range g.people {
		if p.File == "" || p.OldNumber {
			continue
		}
		f := extract.File{Issuer: p.Issuer, Number: p.Number, File: p.File, Family: p.FamilyStatus, Reference: p.Reference}
		if p.Visa == "short" || p.Visa == "long" {
			f.Visa = p.Visa
		}
		if !p.VisaEnd.IsZero() {
			f.VisaEnd = stay.On(p.VisaEnd)
		}
		for _, s := range p.Stays {
			f.Stays = append(f.Stays, [2]int{int(s.First), int(s.Last)})
		}
		files = append(files, f)
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = extract.Write(w, files, time.Now(), g.sign) // the client has gone otherwise
}

// Stay computes the authorised stay.
func (g *Register) Stay(w http.ResponseWriter, _ *http.Request, file api.File, q api.StayParams) {
	p, ok := g.byFile(file)
	if !ok {
		problem(w, http.StatusNotFound, "no such file")
		return
	}
	v := stay.Visa{}
	if !p.VisaEnd.IsZero() {
		v.End = stay.On(p.VisaEnd)
	}
	day := stay.On(q.Date.Time)
	var s stay.Result
	if q.Direction == "exit" {
		s = stay.Exit(p.Stays, day, v)
	} else {
		s = stay.Entry(p.Stays, day, v)
	}
	out := api.Stay{Status: api.StayStatus(s.Status), Days: s.Days, Overstay: s.Overstay}
	if s.LastDay != 0 {
		out.LastDay = &openapi_types.Date{Time: s.LastDay.Date()}
	}
	reply(w, http.StatusOK, out)
}

// Record takes a record once: the same key and body get the same answer,
// another body a conflict.
func (g *Register) Record(w http.ResponseWriter, r *http.Request, q api.RecordParams) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		problem(w, http.StatusBadRequest, "no record")
		return
	}
	var rec api.Record
	if json.Unmarshal(b, &rec) != nil || q.IdempotencyKey != rec.Transaction.String()+":"+string(rec.Kind) {
		problem(w, http.StatusBadRequest, "key and record differ")
		return
	}
	lane := "unknown"
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		lane = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	sum := sha256.Sum256(b)
	hash := hex.EncodeToString(sum[:])
	res, err := g.db.ExecContext(r.Context(), "INSERT INTO record (lane, key, hash, kind, txn, body, at) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
		lane, q.IdempotencyKey, hash, rec.Kind, rec.Transaction.String(), b, time.Now().UnixNano())
	if err != nil {
		problem(w, http.StatusInternalServerError, "not stored")
		return
	}
	var seq int64
	var was string
	if err := g.db.QueryRowContext(r.Context(), "SELECT seq, hash FROM record WHERE lane=? AND key=?", lane, q.IdempotencyKey).Scan(&seq, &was); err != nil {
		problem(w, http.StatusInternalServerError, "not stored")
		return
	}
	n, err := res.RowsAffected()
	switch {
	case was != hash:
		problem(w, http.StatusConflict, "another record has this key")
	case err == nil && n == 1:
		reply(w, http.StatusCreated, api.Recorded{Record: fmt.Sprint(seq)})
	default:
		reply(w, http.StatusOK, api.Recorded{Record: fmt.Sprint(seq)})
	}
}

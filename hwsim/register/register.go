// Package register is a reference register: the contract over HTTPS with mutual
// TLS, in SQLite or PostgreSQL.
//
// A certificate's organisational unit is its holder's role, and the contract
// says what a role may ask. Each consultation is written down with who asked,
// by which article and for what. Whoever is on a list for officers alone alerts
// them in that same row; a lane's answer is as for no hit.
//
// People stand in the database under keyed hashes and sealed. The key is the
// register's; without it the database says nothing about anybody.
package register

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"passage/eesclient/api"
	"passage/eesclient/contract"
)

// Register is a running register.
type Register struct {
	db       store
	keys     keys
	contract *contract.Contract
	erasing  sync.Mutex    // one line of the chain at a time
	under    *atomic.Int64 // requests under way
	lists    lists

	mu     sync.Mutex
	faults map[string]string // operation or list → fault
	counts map[string]int
}

// New prepares a register in an SQLite database, under a secret that lasts as
// long as the register does.
func New(ctx context.Context, db *sql.DB) (*Register, error) {
	secret := make([]byte, KeySize)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("register: open: %w", err)
	}
	return Open(ctx, db, secret)
}

// Open prepares a register in an SQLite database under a secret of KeySize
// bytes, which must be the same for a database's whole life.
func Open(ctx context.Context, db *sql.DB, secret []byte) (*Register, error) {
	under := new(atomic.Int64)
	return open(ctx, newLite(db, under), under, secret)
}

// OpenPostgres prepares a register in the PostgreSQL database at a URL or DSN.
// Close ends its connections.
func OpenPostgres(ctx context.Context, url string, secret []byte) (*Register, error) {
	p, err := openPostgres(ctx, url)
	if err != nil {
		return nil, err
	}
	g, err := open(ctx, p, new(atomic.Int64), secret)
	if err != nil {
		p.close()
	}
	return g, err
}

func open(ctx context.Context, s store, under *atomic.Int64, secret []byte) (*Register, error) {
	k, err := newKeys(secret)
	if err != nil {
		return nil, err
	}
	if err := upgrade(ctx, s); err != nil {
		return nil, err
	}
	root, err := contract.Parse(api.Contract)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	c, err := contract.New(root)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	return &Register{db: s, keys: k, contract: c, under: under, faults: map[string]string{}, counts: map[string]int{}}, nil
}

// Close ends the connections that OpenPostgres made.
func (g *Register) Close() { g.db.close() }

// ExtractKey is the public key of the register's extracts.
func (g *Register) ExtractKey() ed25519.PublicKey { return g.keys.sign.Public().(ed25519.PublicKey) }

// Count returns how often an operation was asked for.
func (g *Register) Count(operation string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts[operation]
}

// Fault describes what Inject knows.
type Fault struct{ Name, Text string }

// Faults lists the faults by name: a register that is away, and one that lies.
var Faults = []Fault{
	{"down", "status 503"},
	{"error", "status 500"},
	{"nonsense", "an answer that is no JSON of the contract"},
	{"slow", "an answer after four seconds"},
	{"never", "no answer until the client gives up"},
	{"lost", "the answer is lost after the work was done"},
	{"another_request", "the answer to another request"},
	{"another_subject", "an answer about another file, list, date or transaction"},
	{"past", "an answer from an hour ago"},
	{"contradiction", "an answer that contradicts itself"},
}

// Inject gives an operation (its name in the contract), "consult", one list
// (SIS, SLTD, FPR, LOST) or "all" a fault; "" clears it.
func (g *Register) Inject(what, fault string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if fault == "" {
		delete(g.faults, what)
	} else {
		g.faults[what] = fault
	}
}

// up lists what answers.
func (g *Register) up() []api.HealthUp {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := []api.HealthUp{}
	for name, operation := range map[string]string{"EES": "search", "SIS": "SIS", "SLTD": "SLTD", "FPR": "FPR", "LOST": "LOST", "VIS": "visa", "ETIAS": "authorisation"} {
		away := func(f string) bool { return slices.Contains([]string{"down", "error", "never"}, f) }
		isList := !slices.Contains([]string{"EES", "VIS", "ETIAS"}, name)
		if !away(g.faults[operation]) && !(isList && away(g.faults["consult"])) {
			list = append(list, api.HealthUp(name))
		}
	}
	slices.Sort(list)
	return list
}

// fault is the fault of an operation, or of a list for consultations.
func (g *Register) fault(operation, list string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[operation]++
	for _, what := range []string{operation, list, "all"} {
		if f := g.faults[what]; f != "" && what != "" {
			return f
		}
	}
	return ""
}

// lie changes an answer as a register would that is wrong, but speaks the
// contract's language.
func lie(fault string, header http.Header, body map[string]any) {
	flip := func(key string, from ...string) {
		if v, ok := body[key].(string); ok {
			body[key] = from[(slices.Index(from, v)+1)%len(from)]
		}
	}
	switch fault {
	case "another_request":
		header.Set("X-Request-Id", "00000000-0000-4000-8000-000000000000")
	case "another_subject":
		for key := range maps.Keys(body) {
			switch key {
			case "file":
				body[key] = "F-SOMEBODY-ELSE"
			case "transaction":
				body[key] = "00000000-0000-4000-8000-000000000000"
			case "list":
				flip(key, "SIS", "SLTD", "FPR", "LOST")
			case "date":
				body[key] = "2000-01-01"
			}
		}
	case "past":
		if at, ok := body["at"].(string); ok {
			if t, err := time.Parse(time.RFC3339Nano, at); err == nil {
				body["at"] = t.Add(-time.Hour).Format(time.RFC3339Nano)
			}
		}
	case "contradiction":
		switch {
		case body["outcome"] != nil:
			flip("outcome", "one", "none")
			if body["outcome"] == "one" {
				delete(body, "file")
			}
		case body["days"] != nil:
			flip("status", "ok", "exhausted")
		case body["until"] != nil: // a travel authorisation that is none, and ends
			body["status"] = "none"
		case body["kind"] != nil:
			flip("kind", "entry", "exit", "consultation")
		}
	}
}

func lies(fault string) bool {
	return strings.HasPrefix(fault, "another_") || fault == "past" || fault == "contradiction"
}

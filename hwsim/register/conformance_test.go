package register_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"passage/eesclient/contract"
	"passage/eesclient/contract/contracttest"
	"passage/hwsim/register"
)

// conformance is the contract, by which a running register's answers are held.
type conformance struct {
	contracttest.Document
	operations map[string]*contract.Operation
}

func newConformance(t *testing.T) conformance {
	t.Helper()
	d := must(contracttest.Load())
	c := conformance{d, map[string]*contract.Operation{}}
	for _, o := range must(contract.New(d)).Operations {
		c.operations[o.ID] = o
	}
	return c
}

// ask sends a request and fails on an answer that the contract does not have.
func (c conformance) ask(t interface{ Errorf(string, ...any) }, h http.Handler, id string, r *http.Request, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(w, r)
	if b := c.operations[id].Answer(w.Code, w.Header(), w.Body.Bytes()); b != nil {
		t.Errorf("%s: the contract has no such answer: %v\n%d %s\n%s", id, b, w.Code, w.Body, body)
	}
	return w
}

// Whatever the contract allows to be asked, in whatever order and by whomever,
// the running register answers as the contract says: no answer is undocumented.
func TestNothingUndocumented(t *testing.T) { each(t, testNothingUndocumented) }

func testNothingUndocumented(t *testing.T, b bench) {
	c := newConformance(t)
	p := person()
	p.Hits["SIS"], p.Hits["SLTD"], p.Sticker, p.ETIAS = "DISCREET", "HIT_ACTION", "V1", "valid"
	load(t, b, p)
	handler, ids := b.Handler(), slices.Sorted(mapKeys(c.operations))
	roles := []string{"lane", "officer", "desk", "admin", ""}
	statuses := map[string]map[int]int{}
	ask := func(t interface{ Errorf(string, ...any) }, id, role string, known bool, choice func(n int) int) {
		q, body := c.Request(id, choice)
		if known { // somebody whom the register has, so that it finds something
			if rest, ok := strings.CutPrefix(q.URL.Path, "/v1/files/"); ok {
				_, rest, more := strings.Cut(rest, "/")
				q.URL.Path = "/v1/files/F-1"
				if more {
					q.URL.Path += "/" + rest
				}
			}
			var rec struct{ Transaction, Kind string }
			if q.Header.Get("Idempotency-Key") != "" && json.Unmarshal(body, &rec) == nil {
				q.Header.Set("Idempotency-Key", rec.Transaction+":"+cmp.Or(rec.Kind, "refusal"))
			}
		}
		w := c.ask(t, register.As(handler, "X1", role), id, q, body)
		if statuses[id] == nil {
			statuses[id] = map[int]int{}
		}
		statuses[id][w.Code]++
		if allowed := slices.Contains(c.operations[id].Roles, role); allowed == (w.Code == http.StatusForbidden) {
			t.Errorf("%s as %q: %d", id, role, w.Code)
		}
		if w.Code >= 500 && id != "extract" {
			t.Errorf("%s: %d %s\n%s", id, w.Code, w.Body, body)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		for range 8 {
			id := rapid.SampledFrom(ids).Draw(r, "operation")
			role := rapid.SampledFrom(append(c.operations[id].Roles, roles...)).Draw(r, "role")
			ask(r, id, role, rapid.Bool().Draw(r, "known"), func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "choice") })
		}
	})
	dice := rand.New(rand.NewPCG(1, 1))
	for _, id := range ids { // what chance has not let succeed is asked until it does
		for range 500 {
			if statuses[id][200]+statuses[id][201] > 0 {
				break
			}
			ask(t, id, c.operations[id].Roles[0], true, dice.IntN)
		}
		if statuses[id][200]+statuses[id][201] == 0 {
			t.Errorf("%s never succeeded", id)
		}
	}
	t.Log(statuses)
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Every request that breaks a rule of the contract is refused as a problem
// that names the rule and repeats nothing.
func TestEveryRuleIsEnforced(t *testing.T) {
	b, c := newBench(t), newConformance(t)
	handler, n := b.Handler(), 0
	for id, o := range c.operations {
		for _, x := range c.BadRequests(id) {
			n++
			w := c.ask(t, register.As(handler, "X1", o.Roles[0]), id, x.Request, x.Body)
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", x, w.Code, w.Body)
			}
			for _, sent := range []string{"kanarie", "neverheard", "colour", "seven"} {
				if strings.Contains(w.Body.String(), sent) {
					t.Errorf("%s: the refusal repeats what was sent: %s", x, w.Body)
				}
			}
		}
	}
	t.Logf("%d requests that break a rule", n)
	for path, want := range map[string]int{"GET /v1/nothing": 404, "GET /v1/search": 405, "DELETE /v1/records": 405, "GET /": 404, "GET /v2/health": 404} {
		method, at, _ := strings.Cut(path, " ")
		w := httptest.NewRecorder()
		register.As(handler, "X1", "lane").ServeHTTP(w, httptest.NewRequest(method, at, nil))
		if w.Code != want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	large, _ := c.Request("consult", contracttest.First)
	if w := c.ask(t, register.As(handler, "X1", "lane"), "consult", large, bytes.Repeat([]byte(" "), 1<<20)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large request: %d", w.Code)
	}
	text, body := c.Request("consult", contracttest.First)
	text.Header.Set("Content-Type", "text/plain")
	if w := c.ask(t, register.As(handler, "X1", "lane"), "consult", text, body); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("another media type: %d", w.Code)
	}
}

package contract_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"pgregory.net/rapid"

	"passage/eesclient/api"
	"passage/eesclient/contract"
	"passage/eesclient/contract/contracttest"
)

func load(t testing.TB) (*contract.Contract, contracttest.Document) {
	t.Helper()
	d, err := contracttest.Load()
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return c, d
}

func operation(t testing.TB, c *contract.Contract, id string) *contract.Operation {
	t.Helper()
	i := slices.IndexFunc(c.Operations, func(o *contract.Operation) bool { return o.ID == id })
	if i < 0 {
		t.Fatalf("no operation %s", id)
	}
	return c.Operations[i]
}

// check holds a case's request or answer against a contract.
func check(t testing.TB, c *contract.Contract, x contracttest.Case) *contract.Broken {
	t.Helper()
	o := operation(t, c, x.Operation)
	if x.Status != 0 {
		return o.Answer(x.Status, x.Header, x.Body)
	}
	return o.Request(x.Request, x.Body)
}

// A number with a fraction is no count of days.
func TestHalfADay(t *testing.T) {
	c, d := load(t)
	h, body := d.Answer("stay", 200, func(int) int { return 0 })
	days := regexp.MustCompile(`"days":\s*[0-9]+`)
	if !days.Match(body) {
		t.Fatalf("no days in %s", body)
	}
	for text, want := range map[string]bool{`"days": 1`: true, `"days": 1.0`: true, `"days": 1.5`: false, `"days": 1e400`: false} {
		b := operation(t, c, "stay").Answer(200, h, days.ReplaceAll(body, []byte(text)))
		if (b == nil) != want || b != nil && b.Rule != "type" {
			t.Errorf("%s: %v", text, b)
		}
	}
}

// What the contract allows is accepted, on both sides.
func TestGood(t *testing.T) {
	c, d := load(t)
	for id := range d.Operations() {
		rapid.Check(t, func(r *rapid.T) {
			choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "choice") }
			q, body := d.Request(id, choose)
			if found, ok := c.Find(q); !ok || found.ID != id {
				r.Fatalf("%s %s is not found", q.Method, q.URL)
			}
			if b := operation(t, c, id).Request(q, body); b != nil {
				r.Fatalf("%s: request: %v\n%s", id, b, body)
			}
			for _, status := range d.Statuses(id) {
				h, body := d.Answer(id, status, choose)
				if b := operation(t, c, id).Answer(status, h, body); b != nil {
					r.Fatalf("%s %d: answer: %v\n%s", id, status, b, body)
				}
			}
		})
	}
}

// Every rule of the document is enforced, and each is missed when it is taken
// out: there is a request or an answer that this rule alone refuses.
func TestEveryRule(t *testing.T) {
	c, d := load(t)
	n, rules := 0, map[string]bool{}
	for id := range d.Operations() {
		for _, x := range append(d.BadRequests(id), d.BadAnswers(id)...) {
			n++
			b := check(t, c, x)
			if b == nil {
				t.Errorf("%s is accepted: %s", x, x.Body)
				continue
			}
			if b.Rule != x.Rule[len(x.Rule)-1] && !strings.Contains(x.Rule.String(), "/required") {
				t.Errorf("%s: refused for another rule, %v", x, b)
			}
			if strings.Contains(b.Error(), "kanarie") || strings.Contains(b.Error(), "neverheard") || strings.Contains(b.Error(), "colour") {
				t.Errorf("%s: the refusal repeats what was sent: %v", x, b)
			}
			if rules[x.Rule.String()] {
				continue
			}
			rules[x.Rule.String()] = true
			less, err := contracttest.Without(x.Rule)
			if err != nil {
				t.Fatal(err)
			}
			weak, err := contract.New(less)
			if err != nil {
				t.Fatalf("%s: %v", x, err)
			}
			if b := check(t, weak, x); b != nil {
				t.Errorf("%s: nobody would notice: %v\n%s", x, b, x.Body)
			}
		}
	}
	t.Logf("%d rules, %d requests and answers that break one", len(rules), n)
	if len(rules) < 150 {
		t.Errorf("only %d rules were found", len(rules))
	}
}

// A second validator of JSON Schema agrees with ours about every request.
func TestSecondOpinion(t *testing.T) {
	_, d := load(t)
	doc, err := openapi3.NewLoader().LoadFromData(api.Contract)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("image/jpeg", openapi3filter.FileBodyDecoder)
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC4122))
	ask := func(r *http.Request, body []byte) error {
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatal(r.URL, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route})
	}
	for id := range d.Operations() {
		if err := ask(d.Request(id, contracttest.First)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		for _, x := range d.BadRequests(id) {
			// It leaves the format of parameters to its caller.
			parameter := strings.Contains(x.Rule.String(), "parameters/") && x.Rule[len(x.Rule)-1] == "format"
			if ask(x.Request, x.Body) == nil && !parameter {
				t.Errorf("%s is accepted", x)
			}
		}
	}
}

func TestForeignBytes(t *testing.T) {
	c, _ := load(t)
	o := operation(t, c, "consult")
	good := `{"list":"SIS","document":{"type":"P","issuer":"USA","number":"K1"},"identity":{"surname":"KANARIE","given_names":"A","birth":"1990-01-02","nationality":"USA"}}`
	for name, body := range map[string]string{
		"nothing":          ``,
		"no JSON":          `KANARIE`,
		"half":             good[:len(good)/2],
		"two":              good + good,
		"twice the same":   strings.Replace(good, `"list":"SIS"`, `"list":"SIS","list":"FPR"`, 1),
		"twice, escaped":   strings.Replace(good, `"list":"SIS"`, `"list":"SIS","\u006cist":"FPR"`, 1),
		"null":             `null`,
		"list":             `[` + good + `]`,
		"no UTF-8":         strings.Replace(good, "KANARIE", "KANA\xff", 1),
		"deep":             strings.Repeat(`[`, 100000),
		"deep in a field":  strings.Replace(good, `"SIS"`, strings.Repeat(`{"a":`, 10000), 1),
		"a null document":  strings.Replace(good, `"list":"SIS"`, `"list":null`, 1),
		"an object a name": strings.Replace(good, `"KANARIE"`, `{}`, 1),
		"a list a name":    strings.Replace(good, `"KANARIE"`, `[]`, 1),
		"an object inside": strings.Replace(good, `"KANARIE"`, `{"KANARIE":"A"}`, 1),
		"a line feed more": strings.Replace(good, `"KANARIE"`, `"KANARIE\n"`, 1),
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/consult", nil)
		r.Header.Set("Content-Type", "application/json")
		b := o.Request(r, []byte(body))
		if b == nil || strings.Contains(b.Error(), "KANARIE") {
			t.Errorf("%s: %v", name, b)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/consult?why=not", nil)
	r.Header.Set("Content-Type", "application/json")
	if b := o.Request(r, []byte(good)); b == nil {
		t.Error("an unknown parameter is accepted")
	}
	r = httptest.NewRequest(http.MethodPost, "/v1/consult", nil)
	r.Header.Set("Content-Type", "text/plain")
	if b := o.Request(r, []byte(good)); b == nil || b.Rule != contract.MediaType {
		t.Errorf("another media type: %v", b)
	}
}

func FuzzRequest(f *testing.F) {
	c, d := load(f)
	for id := range d.Operations() {
		_, body := d.Request(id, contracttest.First)
		f.Add(id, body)
	}
	f.Fuzz(func(t *testing.T, id string, body []byte) {
		if !slices.ContainsFunc(c.Operations, func(o *contract.Operation) bool { return o.ID == id }) {
			return
		}
		r, _ := d.Request(id, contracttest.First)
		if b := operation(t, c, id).Request(r, body); b != nil && len(b.Pointer) > 256 {
			t.Errorf("a pointer of %d bytes", len(b.Pointer))
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	c, d := load(b)
	r, body := d.Request("consult", contracttest.First)
	for b.Loop() {
		o, _ := c.Find(r)
		if x := o.Request(r, body); x != nil {
			b.Fatal(x)
		}
	}
}

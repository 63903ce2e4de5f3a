// Package contract holds requests and answers against the register's contract,
// the OpenAPI document of package api, on both sides of the wire.
//
// The generated code decodes; it enforces no pattern, no bound and no closed
// object. This package reads the rules from the document itself, so that the
// document is what is enforced. What it finds wrong it names by place and rule,
// never by value: values are personal data.
package contract

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	yaml "github.com/oasdiff/yaml3"
)

// Broken is a rule that does not hold: a JSON pointer into the body, or
// "/header/NAME", "/query/NAME", "/path/NAME"; and the schema's keyword.
type Broken struct{ Pointer, Rule string }

func (b *Broken) Error() string { return "contract: " + b.Pointer + ": " + b.Rule }

// Rules of a request as a whole, beside the keywords of JSON Schema.
const (
	MediaType = "media type"
	Status    = "status"
)

// Contract is a document that requests and answers are held against. It is
// safe for concurrent use.
type Contract struct {
	Version    string // as in Api-Version
	Operations []*Operation
	mux        *http.ServeMux
}

// Operation is one method of one path.
type Operation struct {
	ID, Method, Path string
	Roles            []string // who may ask it
	Article, Purpose string   // what its consultations are justified by
	parameters       []parameter
	body             *body
	answers          map[int]*answer
}

type parameter struct {
	in, name string
	required bool
	schema   *schema
}

type body struct {
	required bool
	media    string
	schema   *schema
}

type answer struct {
	media   string // empty: no body
	schema  *schema
	headers []parameter
}

// document is an OpenAPI document while it is read.
type document struct {
	root map[string]any
	done map[string]*schema // by the node's address: schemas may share
}

// Parse reads an OpenAPI 3.1 document in YAML into its raw form.
func Parse(text []byte) (map[string]any, error) {
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return root, nil
}

// New reads the rules from a document's raw form.
func New(root map[string]any) (*Contract, error) {
	d := &document{root, map[string]*schema{}}
	c := &Contract{mux: http.NewServeMux()}
	info, _ := root["info"].(map[string]any)
	c.Version, _ = info["version"].(string)
	paths, _ := root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods, _ := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			m, _ := methods[method].(map[string]any)
			o, err := d.operation(strings.ToUpper(method), path, m)
			if err != nil {
				return nil, fmt.Errorf("contract: %s %s: %w", method, path, err)
			}
			c.Operations = append(c.Operations, o)
			c.mux.Handle(o.Method+" "+o.Path, o)
		}
	}
	if len(c.Operations) == 0 {
		return nil, fmt.Errorf("contract: the document has no operation")
	}
	return c, nil
}

// ServeHTTP makes an operation something that a ServeMux can find; it is never
// called.
func (o *Operation) ServeHTTP(http.ResponseWriter, *http.Request) {}

// follow returns an object after its references.
func (d *document) follow(node any) (map[string]any, error) {
	for range 16 {
		m, ok := node.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("want an object, not %T", node)
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return m, nil
		}
		node = d.root
		for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			m, _ := node.(map[string]any)
			if node, ok = m[name]; !ok {
				return nil, fmt.Errorf("nothing is at %s", ref)
			}
		}
	}
	return nil, fmt.Errorf("too many references after each other")
}

func (d *document) operation(method, path string, m map[string]any) (*Operation, error) {
	o := &Operation{Method: method, Path: path, answers: map[int]*answer{}}
	o.ID, _ = m["operationId"].(string)
	o.Article, _ = m["x-article"].(string)
	o.Purpose, _ = m["x-purpose"].(string)
	var err error
	if o.Roles, err = texts(m["x-roles"]); err != nil {
		return nil, fmt.Errorf("x-roles: %w", err)
	}
	list, _ := m["parameters"].([]any)
	for _, node := range list {
		p, err := d.parameter(node)
		if err != nil {
			return nil, err
		}
		o.parameters = append(o.parameters, p)
	}
	if node, ok := m["requestBody"]; ok {
		b, err := d.follow(node)
		if err != nil {
			return nil, err
		}
		o.body = &body{}
		o.body.required, _ = b["required"].(bool)
		if o.body.media, o.body.schema, err = d.content(b); err != nil {
			return nil, fmt.Errorf("requestBody: %w", err)
		}
	}
	responses, _ := m["responses"].(map[string]any)
	for code, node := range responses {
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("responses: %q is no status", code)
		}
		r, err := d.follow(node)
		if err != nil {
			return nil, err
		}
		a := &answer{}
		if a.media, a.schema, err = d.content(r); err != nil {
			return nil, fmt.Errorf("responses: %s: %w", code, err)
		}
		headers, _ := r["headers"].(map[string]any)
		for name, node := range headers {
			h, err := d.follow(node)
			if err != nil {
				return nil, err
			}
			p := parameter{in: "header", name: name}
			p.required, _ = h["required"].(bool)
			if p.schema, err = d.compile(h["schema"], "headers/"+name); err != nil {
				return nil, err
			}
			a.headers = append(a.headers, p)
		}
		o.answers[status] = a
	}
	return o, nil
}

func (d *document) parameter(node any) (parameter, error) {
	m, err := d.follow(node)
	if err != nil {
		return parameter{}, err
	}
	var p parameter
	p.in, _ = m["in"].(string)
	p.name, _ = m["name"].(string)
	p.required, _ = m["required"].(bool)
	if p.schema, err = d.compile(m["schema"], "parameters/"+p.name); err != nil {
		return p, err
	}
	return p, nil
}

// content reads the one media type of a request or an answer.
func (d *document) content(m map[string]any) (string, *schema, error) {
	c, ok := m["content"].(map[string]any)
	if !ok {
		return "", nil, nil
	}
	if len(c) != 1 {
		return "", nil, fmt.Errorf("want one media type, not %d", len(c))
	}
	for media, node := range c {
		n, _ := node.(map[string]any)
		s, err := d.compile(n["schema"], media)
		return media, s, err
	}
	return "", nil, nil
}

// Find returns the operation that a request is for, or false.
func (c *Contract) Find(r *http.Request) (*Operation, bool) {
	h, pattern := c.mux.Handler(r)
	o, ok := h.(*Operation)
	return o, ok && pattern != ""
}

// Allowed are the methods of a request's path; none if there is no such path.
func (c *Contract) Allowed(r *http.Request) []string {
	var list []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, ok := c.Find(other); ok {
			list = append(list, method)
		}
	}
	return list
}

// pathValues are the values of the names in a pattern such as /v1/files/{file}.
func (o *Operation) pathValues(path string, yield func(name, value string)) {
	pattern, parts := strings.Split(o.Path, "/"), strings.Split(path, "/")
	for i, p := range pattern {
		if i < len(parts) && strings.HasPrefix(p, "{") {
			yield(strings.Trim(p, "{}"), parts[i])
		}
	}
}

// Request holds a request with its whole body against the contract.
func (o *Operation) Request(r *http.Request, content []byte) *Broken {
	query := r.URL.Query()
	for name := range query {
		if !slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.in == "query" && p.name == name }) {
			return &Broken{"/query", "additionalProperties"}
		}
	}
	path := map[string][]string{}
	o.pathValues(r.URL.Path, func(name, value string) { path[name] = []string{value} })
	for _, p := range o.parameters {
		values := path[p.name]
		switch p.in {
		case "query":
			values = query[p.name]
		case "header":
			values = r.Header.Values(p.name)
		}
		if b := p.check(values); b != nil {
			return b
		}
	}
	switch {
	case o.body == nil && len(content) > 0:
		return &Broken{"", "additionalProperties"}
	case o.body == nil, len(content) == 0 && !o.body.required:
		return nil
	case len(content) == 0:
		return &Broken{"", "required"}
	case !mediaType(r.Header, o.body.media):
		return &Broken{"/header/Content-Type", MediaType}
	}
	return o.body.schema.content(o.body.media, content)
}

func (p parameter) check(values []string) *Broken {
	at := &place{&place{nil, p.in}, p.name}
	switch {
	case len(values) > 1:
		return broken(at, "duplicate")
	case len(values) == 1:
		return p.schema.parameter(values[0], at)
	case p.required:
		return broken(at, "required")
	}
	return nil
}

func mediaType(h http.Header, want string) bool {
	got, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && got == want
}

// content checks a body of a media type: JSON by its schema, anything else by
// its length.
func (s *schema) content(media string, content []byte) *Broken {
	if strings.HasSuffix(media, "json") && !strings.HasSuffix(media, "ndjson") {
		return s.json(content)
	}
	switch {
	case s == nil:
	case len(content) < s.minLength:
		return &Broken{"", "minLength"}
	case len(content) > s.maxLength:
		return &Broken{"", "maxLength"}
	}
	return nil
}

// Answer holds an answer against the contract. A status that the document does
// not name is broken, too.
func (o *Operation) Answer(status int, header http.Header, content []byte) *Broken {
	a, ok := o.answers[status]
	if !ok {
		return &Broken{"", Status}
	}
	for _, p := range a.headers {
		if b := p.check(header.Values(p.name)); b != nil {
			return b
		}
	}
	if a.media == "" {
		if len(content) > 0 {
			return &Broken{"", "additionalProperties"}
		}
		return nil
	}
	if !mediaType(header, a.media) {
		return &Broken{"/header/Content-Type", MediaType}
	}
	return a.schema.content(a.media, content)
}

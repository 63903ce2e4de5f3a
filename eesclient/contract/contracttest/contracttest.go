// Package contracttest makes requests and answers from the contract, for tests
// on both sides of the wire: good ones, random ones, and for every rule of the
// document one that breaks that rule and no other.
package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"passage/eesclient/api"
	"passage/eesclient/contract"
)

// Document is the contract's raw form, with the place of each node.
type Document map[string]any

// Load reads the contract.
func Load() (Document, error) { return contract.Parse(api.Contract) }

// Rule is the place of one rule in the document.
type Rule []string

func (r Rule) String() string { return strings.Join(r, "/") }

// Without returns the document less one rule.
func Without(r Rule) (Document, error) {
	d, err := Load()
	if err != nil {
		return nil, err
	}
	var node any = map[string]any(d)
	for i, name := range r {
		last := i == len(r)-1
		switch n := node.(type) {
		case map[string]any:
			if list, ok := n[name].([]any); ok && i == len(r)-2 && name == "required" {
				n[name] = slices.DeleteFunc(slices.Clone(list), func(v any) bool { return v == r[i+1] })
				return d, nil
			}
			if last {
				delete(n, name)
				return d, nil
			}
			node = n[name]
		case []any:
			k, err := strconv.Atoi(name)
			if err != nil || k >= len(n) {
				return nil, fmt.Errorf("contracttest: nothing at %s", r)
			}
			node = n[k]
		default:
			return nil, fmt.Errorf("contracttest: nothing at %s", r)
		}
	}
	return nil, fmt.Errorf("contracttest: no rule at %s", r)
}

// node is an object of the document and where it stands.
type node struct {
	m  map[string]any
	at Rule
}

func (d Document) node(v any, at Rule) node {
	m, _ := v.(map[string]any)
	for m["$ref"] != nil {
		ref, _ := m["$ref"].(string)
		at = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		v = map[string]any(d)
		for _, name := range at {
			v = v.(map[string]any)[name]
		}
		m, _ = v.(map[string]any)
	}
	return node{m, at}
}

func (d Document) under(n node, names ...string) node {
	for _, name := range names {
		n = d.node(n.m[name], append(slices.Clone(n.at), name))
	}
	return n
}

func (n node) text(k string) string { s, _ := n.m[k].(string); return s }

func (n node) whole(k string, otherwise int) int {
	switch v := n.m[k].(type) {
	case int:
		return v
	case float64:
		return int(v)
	}
	return otherwise
}

// Choose picks one of n things, 0 to n-1.
type Choose func(n int) int

// First always picks the first: the sample with every optional field.
func First(int) int { return 0 }

// value makes a value that the schema allows. Optional fields are there when
// choose picks 0.
func (d Document) value(s node, choose Choose) any {
	if e, ok := s.m["enum"].([]any); ok {
		return e[choose(len(e))]
	}
	switch s.text("type") {
	case "object":
		out := map[string]any{}
		props, _ := s.m["properties"].(map[string]any)
		required, _ := s.m["required"].([]any)
		for _, name := range slices.Sorted(maps.Keys(props)) {
			if slices.Contains(required, any(name)) || choose(2) == 0 {
				out[name] = d.value(d.under(s, "properties", name), choose)
			}
		}
		if a := d.under(s, "additionalProperties"); a.m != nil {
			for i := range 1 + choose(3) {
				out["KEY"+strconv.Itoa(i)] = d.value(a, choose)
			}
		}
		return out
	case "array":
		out := []any{}
		for range s.whole("minItems", 0) + choose(2) {
			out = append(out, d.value(d.under(s, "items"), choose))
		}
		if choose(2) == 0 && len(out) == 0 && s.whole("maxItems", 1) > 0 {
			out = append(out, d.value(d.under(s, "items"), choose))
		}
		return out
	case "integer":
		least := s.whole("minimum", 0)
		return least + choose(min(s.whole("maximum", 1<<20)-least+1, 1<<20))
	case "boolean":
		return choose(2) == 0
	}
	switch s.text("format") {
	case "date":
		return time.Date(2026, 1, 1+choose(2000), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	case "date-time":
		return time.Date(2026, 1, 1+choose(300), choose(24), choose(60), 0, 0, time.UTC).Format(time.RFC3339)
	case "uuid":
		return pattern("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", choose)
	case "binary":
		return "\xFF\xD8\xFF"
	}
	if p := s.text("pattern"); p != "" {
		v := pattern(p, choose)
		return v[:min(len(v), s.whole("maxLength", 1<<20))]
	}
	return strings.Repeat("x", max(1, s.whole("minLength", 1)))
}

// pattern makes a text that a regular expression matches.
func pattern(p string, choose Choose) string {
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		return ""
	}
	var b strings.Builder
	var write func(*syntax.Regexp)
	write = func(re *syntax.Regexp) {
		switch re.Op {
		case syntax.OpLiteral:
			b.WriteString(string(re.Rune))
		case syntax.OpCharClass:
			r := re.Rune
			i := choose(len(r)/2) * 2
			b.WriteRune(r[i] + rune(choose(int(r[i+1]-r[i])+1)))
		case syntax.OpConcat:
			for _, s := range re.Sub {
				write(s)
			}
		case syntax.OpAlternate:
			write(re.Sub[choose(len(re.Sub))])
		case syntax.OpCapture:
			write(re.Sub[0])
		case syntax.OpStar, syntax.OpPlus:
			for range 1 + choose(12) {
				write(re.Sub[0])
			}
		case syntax.OpQuest:
			if choose(2) == 0 {
				write(re.Sub[0])
			}
		case syntax.OpRepeat:
			for range re.Min + choose(re.Max-re.Min+1) {
				write(re.Sub[0])
			}
		}
	}
	write(re.Simplify().Simplify())
	return b.String()
}

// wrong is a value that breaks one rule.
type wrong struct {
	value any
	rule  Rule
}

func (n node) rule(names ...string) Rule { return append(slices.Clone(n.at), names...) }

// broken makes for each rule of a schema a value that breaks it alone. text
// says that values travel as text, in a path, a query or a header.
func (d Document) broken(s node, text bool) []wrong {
	var list []wrong
	add := func(v any, keyword string) { list = append(list, wrong{value: v, rule: s.rule(keyword)}) }
	if s.m["enum"] != nil {
		add("neverheard", "enum")
		return list // a type beside an enumeration says nothing more
	}
	kind := s.text("type")
	switch {
	case kind == "integer" && text:
		add("many", "type")
	case kind == "string" && !text && s.text("format") != "binary":
		add(7, "type")
	case kind != "string":
		add("seven", "type")
	}
	good := d.value(s, First)
	switch kind {
	case "object":
		whole, _ := good.(map[string]any)
		put := func(name string, v any) map[string]any {
			m := maps.Clone(whole)
			m[name] = v
			return m
		}
		props, _ := s.m["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(props)) {
			for _, w := range d.broken(d.under(s, "properties", name), false) {
				list = append(list, wrong{value: put(name, w.value), rule: w.rule})
			}
		}
		required, _ := s.m["required"].([]any)
		for _, name := range required {
			m := maps.Clone(whole)
			delete(m, name.(string))
			list = append(list, wrong{value: m, rule: s.rule("required", name.(string))})
		}
		if s.m["additionalProperties"] == false {
			add(put("colour", "red"), "additionalProperties")
		}
		if a := d.under(s, "additionalProperties"); a.m != nil {
			for _, w := range d.broken(a, false) {
				list = append(list, wrong{value: map[string]any{"KEY": w.value}, rule: w.rule})
			}
			if n := s.whole("maxProperties", -1); n >= 0 {
				m := map[string]any{}
				for i := range n + 1 {
					m["KEY"+strconv.Itoa(i)] = d.value(a, First)
				}
				add(m, "maxProperties")
			}
		}
	case "array":
		items := d.under(s, "items")
		for _, w := range d.broken(items, false) {
			list = append(list, wrong{value: []any{w.value}, rule: w.rule})
		}
		if n := s.whole("maxItems", -1); n >= 0 {
			add(slices.Repeat([]any{d.value(items, First)}, n+1), "maxItems")
		}
		if n := s.whole("minItems", 0); n > 0 {
			add(slices.Repeat([]any{d.value(items, First)}, n-1), "minItems")
		}
	case "integer":
		if s.m["minimum"] != nil {
			add(s.whole("minimum", 0)-1, "minimum")
		}
		if s.m["maximum"] != nil {
			add(s.whole("maximum", 0)+1, "maximum")
		}
	case "string":
		if n := s.whole("maxLength", -1); n >= 0 {
			c := "A"
			add(strings.Repeat(c, n+1), "maxLength")
		}
		if s.whole("minLength", 0) > 0 && s.text("pattern") == "" {
			add("", "minLength")
		}
		if p := s.text("pattern"); p != "" {
			for _, v := range []string{"kanarie!", "~"} {
				if !regexp.MustCompile(p).MatchString(v) {
					add(v, "pattern")
					break
				}
			}
		}
		if f := s.text("format"); f != "" && f != "binary" {
			add("2026-02-30x", "format")
		}
	}
	return list
}

// Case is a request or an answer that breaks one rule.
type Case struct {
	Operation string
	Rule      Rule
	Request   *http.Request
	Body      []byte // of request or answer
	Status    int    // of an answer
	Header    http.Header
}

func (c Case) String() string {
	return fmt.Sprintf("%s %d: without %s", c.Operation, c.Status, c.Rule)
}

// parts are what a request is made of.
type parts struct {
	method, path string
	values       map[string]any // by in/name
	media        string
	body         any
}

func (p parts) with(key string, v any) parts {
	p.values = maps.Clone(p.values)
	p.values[key] = v
	return p
}

func encode(media string, v any) []byte {
	if s, ok := v.(string); ok && !strings.HasSuffix(media, "json") || v == nil {
		return []byte(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// request puts the parts together.
func (p parts) request() (*http.Request, []byte) {
	path, query, header := p.path, url.Values{}, http.Header{}
	for key, v := range p.values {
		in, name, _ := strings.Cut(key, "/")
		text := fmt.Sprint(v)
		switch in {
		case "path":
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(text))
		case "query":
			query.Set(name, text)
		case "header":
			header.Set(name, text)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	body := encode(p.media, p.body)
	r := httptest.NewRequest(p.method, path, bytes.NewReader(body))
	r.Header = header
	if p.media != "" {
		r.Header.Set("Content-Type", p.media)
	}
	return r, body
}

// Operations are the operations' names, each with its path and method.
func (d Document) Operations() map[string][2]string {
	list := map[string][2]string{}
	paths, _ := d["paths"].(map[string]any)
	for path, methods := range paths {
		for method, m := range methods.(map[string]any) {
			id, _ := m.(map[string]any)["operationId"].(string)
			list[id] = [2]string{path, method}
		}
	}
	return list
}

func (d Document) operation(id string) node {
	o := d.Operations()[id]
	return d.under(node{d, nil}, "paths", o[0], o[1])
}

func (d Document) parts(id string, choose Choose) (p parts, parameters []node, body node) {
	o := d.Operations()[id]
	op := d.operation(id)
	p = parts{method: strings.ToUpper(o[1]), path: o[0], values: map[string]any{}}
	list, _ := op.m["parameters"].([]any)
	for i, v := range list {
		n := d.node(v, op.rule("parameters", strconv.Itoa(i)))
		parameters = append(parameters, n)
		if n.m["required"] == true || choose(2) == 0 {
			p.values[n.text("in")+"/"+n.text("name")] = d.value(d.under(n, "schema"), choose)
		}
	}
	if op.m["requestBody"] != nil {
		body = d.under(op, "requestBody")
		for media := range body.m["content"].(map[string]any) {
			p.media = media
			p.body = d.value(d.under(body, "content", media, "schema"), choose)
		}
	}
	return p, parameters, body
}

// Request makes a request that the contract allows.
func (d Document) Request(id string, choose Choose) (*http.Request, []byte) {
	p, _, _ := d.parts(id, choose)
	return p.request()
}

// BadRequests makes for each rule of an operation's request one that breaks it.
func (d Document) BadRequests(id string) []Case {
	var list []Case
	add := func(p parts, rule Rule) {
		c := Case{Operation: id, Rule: rule}
		c.Request, c.Body = p.request()
		list = append(list, c)
	}
	good, parameters, body := d.parts(id, First)
	for _, n := range parameters {
		key := n.text("in") + "/" + n.text("name")
		for _, w := range d.broken(d.under(n, "schema"), true) {
			add(good.with(key, w.value), w.rule)
		}
		if n.m["required"] == true && n.text("in") != "path" {
			p := good.with(key, nil)
			delete(p.values, key)
			add(p, n.rule("required"))
		}
	}
	if body.m != nil {
		for _, w := range d.broken(d.under(body, "content", good.media, "schema"), false) {
			p := good
			p.body = w.value
			add(p, w.rule)
		}
		p := good
		p.body = nil
		add(p, body.rule("required"))
	}
	return list
}

func (d Document) headers(answer node) http.Header {
	h := http.Header{}
	headers, _ := answer.m["headers"].(map[string]any)
	for name := range headers {
		h.Set(name, fmt.Sprint(d.value(d.under(answer, "headers", name, "schema"), First)))
	}
	return h
}

// Answer makes an answer that the contract allows.
func (d Document) Answer(id string, status int, choose Choose) (http.Header, []byte) {
	a := d.under(d.operation(id), "responses", strconv.Itoa(status))
	h := d.headers(a)
	content, _ := a.m["content"].(map[string]any)
	for media := range content {
		h.Set("Content-Type", media)
		return h, encode(media, d.value(d.under(a, "content", media, "schema"), choose))
	}
	return h, nil
}

// Statuses are the statuses of an operation's answers.
func (d Document) Statuses(id string) []int {
	var list []int
	responses, _ := d.operation(id).m["responses"].(map[string]any)
	for code := range responses {
		if n, err := strconv.Atoi(code); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// BadAnswers makes for each rule of an operation's answers one that breaks it.
func (d Document) BadAnswers(id string) []Case {
	var list []Case
	for _, status := range d.Statuses(id) {
		a := d.under(d.operation(id), "responses", strconv.Itoa(status))
		good, body := d.Answer(id, status, First)
		headers, _ := a.m["headers"].(map[string]any)
		for name := range headers {
			n := d.under(a, "headers", name)
			for _, w := range d.broken(d.under(n, "schema"), true) {
				h := good.Clone()
				h.Set(name, fmt.Sprint(w.value))
				list = append(list, Case{Operation: id, Rule: w.rule, Status: status, Header: h, Body: body})
			}
			if n.m["required"] == true {
				h := good.Clone()
				h.Del(name)
				list = append(list, Case{Operation: id, Rule: n.rule("required"), Status: status, Header: h, Body: body})
			}
		}
		content, _ := a.m["content"].(map[string]any)
		for media := range content {
			for _, w := range d.broken(d.under(a, "content", media, "schema"), false) {
				list = append(list, Case{Operation: id, Rule: w.rule, Status: status, Header: good, Body: encode(media, w.value)})
			}
		}
	}
	return list
}

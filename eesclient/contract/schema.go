package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// schema is one JSON Schema of the document, with its references followed. A
// nil schema allows everything.
type schema struct {
	kind       string // object, array, string, integer, boolean; empty for any
	enum       []string
	pattern    *regexp.Regexp
	format     string
	minLength  int
	maxLength  int
	minimum    float64
	maximum    float64
	minItems   int
	maxItems   int
	items      *schema
	properties map[string]*schema
	required   []string
	closed     bool    // additionalProperties: false
	additional *schema // of properties that are not named
	maxProps   int
}

// compile reads a schema node. A keyword that it does not know is an error: a
// rule that nobody enforces must not stand in a contract.
func (d *document) compile(node any, at string) (*schema, error) {
	m, err := d.follow(node)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if s, ok := d.done[fmt.Sprintf("%p", m)]; ok {
		return s, nil
	}
	s := &schema{maxLength: math.MaxInt, minimum: math.Inf(-1), maximum: math.Inf(1), maxItems: math.MaxInt, maxProps: math.MaxInt}
	d.done[fmt.Sprintf("%p", m)] = s
	for k, v := range m {
		var err error
		switch k {
		case "type":
			s.kind, err = text(v)
		case "enum":
			s.enum, err = texts(v)
		case "pattern":
			var p string
			if p, err = text(v); err == nil {
				s.pattern, err = regexp.Compile(p)
			}
		case "format":
			s.format, err = text(v)
			if err == nil && !slices.Contains([]string{"date", "date-time", "uuid", "binary"}, s.format) {
				err = fmt.Errorf("no such format %q", s.format)
			}
		case "minLength":
			s.minLength, err = whole(v)
		case "maxLength":
			s.maxLength, err = whole(v)
		case "minItems":
			s.minItems, err = whole(v)
		case "maxItems":
			s.maxItems, err = whole(v)
		case "maxProperties":
			s.maxProps, err = whole(v)
		case "minimum":
			s.minimum, err = number(v)
		case "maximum":
			s.maximum, err = number(v)
		case "required":
			s.required, err = texts(v)
		case "items":
			s.items, err = d.compile(v, at+"/items")
		case "additionalProperties":
			if b, ok := v.(bool); ok {
				s.closed = !b
			} else {
				s.additional, err = d.compile(v, at+"/additionalProperties")
			}
		case "properties":
			s.properties = map[string]*schema{}
			p, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: properties are no object", at)
			}
			for name, sub := range p {
				if s.properties[name], err = d.compile(sub, at+"/properties/"+name); err != nil {
					return nil, err
				}
			}
		case "description":
		default:
			err = fmt.Errorf("the keyword %q is not enforced here", k)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, k, err)
		}
	}
	return s, nil
}

// json holds a JSON text against the schema.
func (s *schema) json(body []byte) *Broken {
	if !utf8.Valid(body) {
		return &Broken{"", "utf-8"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if b := s.value(d, nil); b != nil {
		return b
	}
	if _, err := d.Token(); err != io.EOF {
		return &Broken{"", "json"}
	}
	return nil
}

// place is where in a JSON text a value stands, from the inside out. It is
// written down only for a problem.
type place struct {
	up   *place
	name string
}

func (p *place) String() string {
	if p == nil {
		return ""
	}
	return p.up.String() + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p.name)
}

func broken(at *place, rule string) *Broken { return &Broken{at.String(), rule} }

// value checks the next JSON value.
func (s *schema) value(d *json.Decoder, at *place) *Broken {
	t, err := d.Token()
	if err != nil {
		return broken(at, "json")
	}
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return s.object(d, at)
		}
		return s.array(d, at)
	case string:
		if s == nil || s.kind == "" || s.kind == "string" {
			return s.string(v, at)
		}
	case json.Number:
		if s == nil || s.kind == "" || s.kind == "integer" {
			return s.integer(v, at)
		}
	case bool:
		if s == nil || s.kind == "" || s.kind == "boolean" {
			return nil
		}
	}
	if s == nil || s.kind == "" {
		return nil
	}
	return broken(at, "type")
}

func (s *schema) object(d *json.Decoder, at *place) *Broken {
	if s != nil && s.kind != "" && s.kind != "object" {
		return broken(at, "type")
	}
	seen := make([]string, 0, 8)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return broken(at, "json")
		}
		name, _ := t.(string)
		if slices.Contains(seen, name) {
			return broken(at, "duplicate") // which of the two would count is anybody's guess
		}
		seen = append(seen, name)
		if len(seen) > most || s != nil && len(seen) > s.maxProps {
			return broken(at, "maxProperties")
		}
		var sub *schema
		if s != nil {
			var known bool
			if sub, known = s.properties[name]; !known {
				// The name is not repeated: it is the caller's text.
				if s.closed {
					return broken(at, "additionalProperties")
				}
				sub, name = s.additional, "*"
			}
		}
		if b := sub.value(d, &place{at, name}); b != nil {
			return b
		}
	}
	if _, err := d.Token(); err != nil {
		return broken(at, "json")
	}
	if s == nil {
		return nil
	}
	for _, r := range s.required {
		if !slices.Contains(seen, r) {
			return broken(&place{at, r}, "required")
		}
	}
	return nil
}

// most bounds the names of an object, which are compared with each other.
const most = 64

func (s *schema) array(d *json.Decoder, at *place) *Broken {
	if s != nil && s.kind != "" && s.kind != "array" {
		return broken(at, "type")
	}
	var items *schema
	if s != nil {
		items = s.items
	}
	n := 0
	for ; d.More(); n++ {
		if s != nil && n >= s.maxItems {
			return broken(at, "maxItems")
		}
		if b := items.value(d, &place{at, strconv.Itoa(n)}); b != nil {
			return b
		}
	}
	if _, err := d.Token(); err != nil {
		return broken(at, "json")
	}
	if s != nil && n < s.minItems {
		return broken(at, "minItems")
	}
	return nil
}

func (s *schema) string(v string, at *place) *Broken {
	if s == nil {
		return nil
	}
	switch n := utf8.RuneCountInString(v); {
	case n < s.minLength:
		return broken(at, "minLength")
	case n > s.maxLength:
		return broken(at, "maxLength")
	case s.enum != nil && !slices.Contains(s.enum, v):
		return broken(at, "enum")
	case s.pattern != nil && !s.pattern.MatchString(v):
		return broken(at, "pattern")
	case !formatted(s.format, v):
		return broken(at, "format")
	}
	return nil
}

func formatted(format, v string) bool {
	switch format {
	case "date":
		_, err := time.Parse(time.DateOnly, v)
		return err == nil
	case "date-time":
		_, err := time.Parse(time.RFC3339Nano, v)
		return err == nil
	case "uuid":
		return uuid.MatchString(v)
	}
	return true
}

var uuid = regexp.MustCompile("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")

func (s *schema) integer(v json.Number, at *place) *Broken {
	if s == nil {
		return nil
	}
	f, err := v.Float64()
	switch {
	case err != nil, s.kind == "integer" && f != math.Trunc(f):
		return broken(at, "type")
	case f < s.minimum:
		return broken(at, "minimum")
	case f > s.maximum:
		return broken(at, "maximum")
	}
	return nil
}

// parameter checks a value from a path, a query or a header.
func (s *schema) parameter(v string, at *place) *Broken {
	if s != nil && s.kind == "integer" {
		if _, err := strconv.ParseInt(v, 10, 64); err != nil {
			return broken(at, "type")
		}
		return s.integer(json.Number(v), at)
	}
	return s.string(v, at)
}

func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("want a text, not %T", v)
	}
	return s, nil
}

func texts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("want a list, not %T", v)
	}
	out := make([]string, len(list))
	for i, e := range list {
		var err error
		if out[i], err = text(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func number(v any) (float64, error) {
	switch n := v.(type) {
	case int:
		return float64(n), nil
	case float64:
		return n, nil
	}
	return 0, fmt.Errorf("want a number, not %T", v)
}

func whole(v any) (int, error) {
	f, err := number(v)
	if err == nil && f != math.Trunc(f) {
		err = fmt.Errorf("want a whole number")
	}
	return int(f), err
}

package register

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"passage/eesclient/api"
	"passage/eesclient/contract"
)

// caller is who asks, and what about.
type caller struct {
	name, role string
	request    string
	crossing   string
	operation  *contract.Operation
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// roles are the organisational units that mean something here.
var roles = []string{"lane", "officer", "desk", "admin"}

// peer is who a request's certificate says its sender is. TLS has verified it;
// whoever has no role has no name either.
func peer(r *http.Request) (name, role string) {
	if c, ok := r.Context().Value(callerKey{}).(caller); ok { // As
		return c.name, c.role
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "", ""
	}
	s := r.TLS.PeerCertificates[0].Subject
	if len(s.OrganizationalUnit) != 1 || !slices.Contains(roles, s.OrganizationalUnit[0]) || s.CommonName == "" || len(s.CommonName) > 64 {
		return "", ""
	}
	return s.CommonName, s.OrganizationalUnit[0]
}

// As makes a handler's requests come from a caller with a role: for a register
// in the same process, where no TLS says who asks.
func As(h http.Handler, name, role string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{name: name, role: role})))
	})
}

// kinds are the stable types of problems, by status.
var kinds = map[int]struct{ kind, title string }{
	400: {"bad-request", "the request breaks a rule of the contract"},
	403: {"forbidden", "not for this role"},
	404: {"not-found", "nothing is there"},
	405: {"method", "not by this method"},
	409: {"conflict", "another record has this key"},
	413: {"too-large", "the request is too large"},
	415: {"media-type", "not in this media type"},
	422: {"key-differs", "the key is another one than the record's"},
	429: {"too-many", "too many requests at once"},
	500: {"failed", "the register failed"},
	503: {"unavailable", "the register is not available"},
}

// problem answers with a problem that names a place and a rule, never a value.
func problem(w http.ResponseWriter, status int, broken *contract.Broken) {
	k, ok := kinds[status]
	if !ok {
		status, k = http.StatusInternalServerError, kinds[http.StatusInternalServerError]
	}
	p := api.Problem{Type: api.ProblemType("urn:passage:problem:" + k.kind), Title: k.title, Status: status, Instance: "urn:uuid:" + w.Header().Get("X-Request-Id")}
	if broken != nil {
		p.Errors = &[]api.Broken{{Pointer: broken.Pointer[:min(len(broken.Pointer), 256)], Rule: broken.Rule}}
	}
	switch status {
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(mostLater)))
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	write(w, status, "application/problem+json", p)
}

func reply(w http.ResponseWriter, status int, v any) { write(w, status, "application/json", v) }

func write(w http.ResponseWriter, status int, media string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client has gone otherwise
}

// kept is an answer that is held against the contract before it leaves.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header { return k.header }
func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *kept) Write(b []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(b)
}

func (k *kept) send(w http.ResponseWriter) {
	h := w.Header()
	for name, v := range k.header {
		h[name] = v
	}
	h.Set("Content-Length", strconv.Itoa(k.body.Len()))
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body.Bytes()) // the client has gone otherwise
}

// Handler is the contract's server: it finds out who asks, holds the request
// against the contract, asks whether the role may, and holds the answer against
// the contract before it leaves.
func (g *Register) Handler() http.Handler {
	inner := api.HandlerWithOptions(g, api.StdHTTPServerOptions{ErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, _ error) {
		problem(w, http.StatusBadRequest, nil)
	}})
	slots := make(chan struct{}, mostAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.under.Add(1)
		defer g.under.Add(-1)
		k := &kept{header: http.Header{}}
		request := r.Header.Get("X-Request-Id")
		if uuid.Validate(request) != nil {
			request = uuid.NewString()
		}
		k.header.Set("X-Request-Id", request)
		k.header.Set("Api-Version", g.contract.Version)
		k.header.Set("Cache-Control", "no-store")
		if !enter(r.Context(), slots) {
			problem(k, http.StatusTooManyRequests, nil)
			k.send(w)
			return
		}
		defer func() { <-slots }()
		o, found := g.contract.Find(r)
		if !found {
			if allowed := g.contract.Allowed(r); len(allowed) > 0 {
				k.header.Set("Allow", strings.Join(allowed, ", "))
				problem(k, http.StatusMethodNotAllowed, nil)
			} else {
				problem(k, http.StatusNotFound, nil)
			}
			k.send(w)
			return
		}
		c := caller{request: request, crossing: r.Header.Get("Crossing-Id"), operation: o}
		c.name, c.role = peer(r)
		body, status, broken := read(w, r, o)
		switch {
		case !slices.Contains(o.Roles, c.role):
			problem(k, http.StatusForbidden, nil)
		case status != 0:
			problem(k, status, broken)
		default:
			r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
			r.Body = io.NopCloser(bytes.NewReader(body))
			fault := g.fault(o.ID, listIn(o.ID, body))
			if o.ID == "extract" && fault == "" {
				stream(k, w)
				inner.ServeHTTP(w, r)
				return
			}
			if g.spoilt(k, r, fault) {
				break
			}
			inner.ServeHTTP(k, r)
			if b := o.Answer(k.status, k.header, k.body.Bytes()); b != nil {
				// Our own mistake: the client must not see what it is not
				// promised.
				k.status = 0
				k.body.Reset()
				problem(k, http.StatusInternalServerError, nil)
			}
			switch {
			case fault == "lost":
				panic(http.ErrAbortHandler) // the connection breaks without an answer
			case lies(fault):
				k.spoil(fault)
			}
		}
		k.send(w)
	})
}

// enter waits for a free slot.
func enter(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
	}
	wait := time.NewTimer(queueWithin)
	defer wait.Stop()
	select {
	case slots <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

// stream lets an answer that is no single value leave as it is written.
func stream(k *kept, w http.ResponseWriter) {
	for name, v := range k.header {
		w.Header()[name] = v
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a test's recorder has none
}

// read reads a request's body and holds the request against the contract.
func read(w http.ResponseWriter, r *http.Request, o *contract.Operation) ([]byte, int, *contract.Broken) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge, nil
	case err != nil:
		return nil, http.StatusBadRequest, nil
	}
	b := o.Request(r, body)
	switch {
	case b == nil:
		return body, 0, nil
	case b.Rule == contract.MediaType:
		return nil, http.StatusUnsupportedMediaType, b
	}
	return nil, http.StatusBadRequest, b
}

// listIn is the list that a consultation asks.
func listIn(operation string, body []byte) string {
	var q struct{ List string }
	if operation != "consult" || json.Unmarshal(body, &q) != nil {
		return ""
	}
	return q.List
}

// spoilt applies a fault and says whether that was the answer.
func (g *Register) spoilt(w http.ResponseWriter, r *http.Request, fault string) bool {
	switch fault {
	case "down":
		problem(w, http.StatusServiceUnavailable, nil)
	case "error":
		problem(w, http.StatusInternalServerError, nil)
	case "nonsense":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"answer":"CLEAR","and":["more",`)
	case "slow":
		wait := time.NewTimer(4 * time.Second)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
		return false
	case "never":
		<-r.Context().Done()
		problem(w, http.StatusServiceUnavailable, nil)
	default:
		return false
	}
	return true
}

// spoil makes an answer lie.
func (k *kept) spoil(fault string) {
	var body map[string]any
	if json.Unmarshal(k.body.Bytes(), &body) != nil {
		return
	}
	lie(fault, k.header, body)
	b, err := json.Marshal(body)
	if err != nil {
		return
	}
	k.body.Reset()
	k.body.Write(b)
}

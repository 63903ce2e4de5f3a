// Package eesclient speaks to an EES-style register: searches, consultations,
// face verification, authorised stay, records.
//
// An answer that does not come in time is NOT_CONSULTED. One that breaks the
// contract, answers something else than was asked, comes from another time or
// contradicts itself is ERROR. Neither is ever "no hit".
package eesclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"passage/eesclient/api"
	"passage/eesclient/contract"
	"passage/eesclient/outbox"
)

// Hard deadlines of the operations (domain §4).
const (
	consultWithin       = 5 * time.Second
	searchWithin        = 3 * time.Second
	faceWithin          = 5 * time.Second
	stayWithin          = 2 * time.Second
	authorisationWithin = 5 * time.Second
	fileWithin          = 3 * time.Second
	recordWithin        = 10 * time.Second // nobody waits for it, and giving up early would only send it again
	healthWithin        = 2 * time.Second
	extractWithin       = 10 * time.Minute
)

const (
	maxAnswer  = 64 << 10
	maxHeader  = 16 << 10
	maxExtract = 4 << 30
	// clockApart is how far the register's clock may be from ours.
	clockApart = 5 * time.Minute
)

// Answer is a register's answer in the words of domain §3.
type Answer string

const (
	Clear        Answer = "CLEAR"
	HitAction    Answer = "HIT_ACTION"
	HitInquiry   Answer = "HIT_INQUIRY"
	Possible     Answer = "POSSIBLE"
	NotConsulted Answer = "NOT_CONSULTED"
	Malformed    Answer = "ERROR"
)

// Client is a connection to one register. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// rules are the contract's. A contract that cannot be read is a build that
// cannot work: its package's tests read it.
var rules = sync.OnceValues(func() (*contract.Contract, error) {
	root, err := contract.Parse(api.Contract)
	if err != nil {
		return nil, err
	}
	return contract.New(root)
})

type crossingKey struct{}

// WithCrossing names the transaction that requests under ctx belong to.
func WithCrossing(ctx context.Context, transaction string) context.Context {
	return context.WithValue(ctx, crossingKey{}, transaction)
}

// Files are the paths of a client's PEM files.
type Files struct{ CA, Cert, Key string }

// New prepares a client with mutual TLS 1.3.
func New(base string, f Files) (*Client, error) {
	config, err := TLS(f)
	if err != nil {
		return nil, err
	}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0) // coming back costs neither side a certificate
	t := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: recordWithin, MaxResponseHeaderBytes: maxHeader}
	return Over(base, t), nil
}

// Over prepares a client over another transport, such as a register in the
// same process.
func Over(base string, t http.RoundTripper) *Client {
	return &Client{strings.TrimRight(base, "/"), &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirects are not followed") }}}
}

// CloseIdle ends the connections that are not in use: their buffers hold the
// last questions and answers.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// ErrMalformed says that an answer breaks the contract, is about something else,
// or contradicts itself.
var ErrMalformed = errors.New("eesclient: malformed answer")

// StatusError is an HTTP status that is no success. It carries no text of the
// server's.
type StatusError int

func (e StatusError) Error() string { return fmt.Sprintf("eesclient: status %d", int(e)) }

// LaterError is a StatusError of a register that says when to come back.
type LaterError struct {
	StatusError
	After time.Duration // at most an hour
}

func (e LaterError) Unwrap() error { return e.StatusError }

// RetryAfter is how long the register wants to be left alone.
func (e LaterError) RetryAfter() time.Duration { return e.After }

// status makes an error of a status that is no success.
func status(r *http.Response) error {
	n, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || n < 1 || n > 3600 {
		return StatusError(r.StatusCode)
	}
	return LaterError{StatusError(r.StatusCode), time.Duration(n) * time.Second}
}

// request prepares a request with an id of its own.
func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("eesclient: request: %w", err)
	}
	req.Header.Set("X-Request-Id", uuid.NewString())
	if id, ok := ctx.Value(crossingKey{}).(string); ok && uuid.Validate(id) == nil {
		req.Header.Set("Crossing-Id", id)
	}
	return req, nil
}

// call makes one request and holds the answer against the contract before it
// decodes it.
func (c *Client) call(ctx context.Context, method, path, kind string, body []byte, header http.Header, out any) error {
	rules, err := rules()
	if err != nil {
		return fmt.Errorf("eesclient: %w", err)
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	operation, ok := rules.Find(req)
	if !ok {
		return fmt.Errorf("eesclient: the contract has no %s %s", method, path)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("eesclient: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("eesclient: %w", err)
	}
	switch {
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated:
		return status(resp)
	case len(b) > maxAnswer:
		return fmt.Errorf("%w: more than %d bytes", ErrMalformed, maxAnswer)
	case resp.Header.Get("X-Request-Id") != req.Header.Get("X-Request-Id"):
		return fmt.Errorf("%w: to another request", ErrMalformed)
	}
	if b := operation.Answer(resp.StatusCode, resp.Header, b); b != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, b)
	}
	if json.Unmarshal(b, out) != nil {
		return ErrMalformed // its text would repeat values
	}
	return nil
}

// ask repeats a question that may be repeated until it is answered, refused or
// out of time.
func (c *Client) ask(ctx context.Context, within time.Duration, method, path, kind string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		err := c.call(ctx, method, path, kind, body, nil, out)
		var status StatusError
		refused := errors.As(err, &status) && status < 500 && status != http.StatusTooManyRequests
		if err == nil || refused || errors.Is(err, ErrMalformed) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

func (c *Client) askJSON(ctx context.Context, within time.Duration, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("eesclient: encode: %w", err)
	}
	return c.ask(ctx, within, http.MethodPost, path, "application/json", b, out)
}

// Consult asks a watch list.
func (c *Client) Consult(ctx context.Context, q api.Consultation) Answer {
	var a api.Answer
	err := c.askJSON(ctx, consultWithin, "/v1/consult", q, &a)
	if err == nil && (a.List != q.List || time.Since(a.At).Abs() > clockApart) {
		err = ErrMalformed // about another list, or from another time
	}
	switch {
	case errors.Is(err, ErrMalformed):
		return Malformed
	case err != nil:
		return NotConsulted
	}
	return Answer(a.Answer)
}

// Search looks for a traveller's file.
func (c *Client) Search(ctx context.Context, q api.Search) (api.Found, error) {
	var f api.Found
	if err := c.askJSON(ctx, searchWithin, "/v1/search", q, &f); err != nil {
		return f, fmt.Errorf("search: %w", err)
	}
	one := f.Outcome == api.FoundOutcomeOne
	if (f.File != nil) != one || (f.FamilyStatus != nil) != one || (f.Visa != nil) != one || (f.FaceReference != nil) != one {
		return api.Found{}, fmt.Errorf("search: %w: it contradicts itself", ErrMalformed)
	}
	return f, nil
}

// VerifyFace compares a live picture with the file's reference.
func (c *Client) VerifyFace(ctx context.Context, file string, jpeg []byte) (string, error) {
	var r api.FaceResult
	if err := c.ask(ctx, faceWithin, http.MethodPost, "/v1/files/"+url.PathEscape(file)+"/face", "image/jpeg", jpeg, &r); err != nil {
		return "", fmt.Errorf("verify face: %w", err)
	}
	if r.File != file {
		return "", fmt.Errorf("verify face: %w: of another file", ErrMalformed)
	}
	return string(r.Result), nil
}

// Authorisation says whether a document has a travel authorisation that is
// valid on a civil date.
func (c *Client) Authorisation(ctx context.Context, d api.Document, day time.Time) (bool, error) {
	var p api.Permission
	if err := c.askJSON(ctx, authorisationWithin, "/v1/authorisation", api.AuthorisationQuestion{Document: d}, &p); err != nil {
		return false, fmt.Errorf("authorisation: %w", err)
	}
	valid := p.Status == api.PermissionStatusValid
	if valid && (p.Until == nil || p.Until.Before(day)) || p.Status == api.PermissionStatusNone && p.Until != nil {
		return false, fmt.Errorf("authorisation: %w: it contradicts itself", ErrMalformed)
	}
	return valid, nil
}

// Stay asks for the authorised stay at a civil date.
func (c *Client) Stay(ctx context.Context, file, direction string, day time.Time) (api.Stay, error) {
	var s api.Stay
	q := url.Values{"date": {day.Format(time.DateOnly)}, "direction": {direction}}
	if err := c.ask(ctx, stayWithin, http.MethodGet, "/v1/files/"+url.PathEscape(file)+"/stay?"+q.Encode(), "", nil, &s); err != nil {
		return s, fmt.Errorf("stay: %w", err)
	}
	if s.File != file || s.Date.String() != day.Format(time.DateOnly) || string(s.Direction) != direction || !coherent(s) {
		return api.Stay{}, fmt.Errorf("stay: %w: about something else, or it contradicts itself", ErrMalformed)
	}
	return s, nil
}

// coherent says whether a stay's parts fit each other. Days that are allowed
// follow each other from the day that was asked about; only who leaves has
// overstayed; who has none left may not enter, but may leave.
func coherent(s api.Stay) bool {
	entry := s.Direction == api.DirectionEntry
	known := s.Status == "ok" || s.Status == "exhausted"
	switch {
	case (s.Days > 0) != (s.LastDay != nil), s.LastDay != nil && !s.LastDay.Equal(s.Date.AddDate(0, 0, s.Days-1)):
		return false
	case !known:
		return s.Days == 0 && s.Overstay == 0
	case entry:
		return s.Overstay == 0 && (s.Status == "ok") == (s.Days > 0)
	}
	return s.Status == "ok"
}

// File fetches an individual file.
func (c *Client) File(ctx context.Context, file string) (api.IndividualFile, error) {
	var f api.IndividualFile
	if err := c.ask(ctx, fileWithin, http.MethodGet, "/v1/files/"+url.PathEscape(file), "", nil, &f); err != nil {
		return f, fmt.Errorf("file: %w", err)
	}
	if f.File != file {
		return api.IndividualFile{}, fmt.Errorf("file: %w: of somebody else", ErrMalformed)
	}
	return f, nil
}

// Extract fetches the register's signed copy of individual files. The caller
// closes it; reading ends after maxExtract bytes or extractWithin.
func (c *Client) Extract(ctx context.Context) (io.ReadCloser, error) {
	return c.fetch(ctx, url.Values{"part": {"files"}})
}

// Lists fetches the register's signed copy of the watch lists, or what has
// changed since a version if the register still knows; 0 for the whole.
func (c *Client) Lists(ctx context.Context, since int64) (io.ReadCloser, error) {
	q := url.Values{"part": {"lists"}}
	if since > 0 {
		q.Set("since", strconv.FormatInt(since, 10))
	}
	return c.fetch(ctx, q)
}

func (c *Client) fetch(ctx context.Context, q url.Values) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, extractWithin)
	req, err := c.request(ctx, http.MethodGet, "/v1/extract?"+q.Encode(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("eesclient: extract: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		cancel()
		resp.Body.Close()
		return nil, fmt.Errorf("extract: %w", status(resp))
	}
	return &stream{io.LimitReader(resp.Body, maxExtract), resp.Body, cancel}, nil
}

// stream is a long answer: closing it ends the request.
type stream struct {
	io.Reader
	body io.Closer
	end  context.CancelFunc
}

func (s *stream) Close() error {
	defer s.end()
	return s.body.Close()
}

// Health lists the registers that answer. A clock that is not nil hears the
// register's time.
func (c *Client) Health(ctx context.Context, clock *Clock) ([]string, error) {
	var h api.Health
	began := time.Now()
	if err := c.ask(ctx, healthWithin, http.MethodGet, "/v1/health", "", nil, &h); err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	if clock != nil && h.At != nil {
		clock.Heard(*h.At, began, time.Now())
	}
	var up []string
	for _, n := range h.Up {
		up = append(up, string(n))
	}
	return up, nil
}

// Send implements outbox.Sender: it gives one record to the register. A record
// that breaks the contract will break it tomorrow: outbox.ErrRejected. That the
// certificate may not record is the operator's to mend, and is tried again.
func (c *Client) Send(ctx context.Context, key string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	var r api.Recorded
	err := c.call(ctx, http.MethodPost, "/v1/records", "application/json", body, http.Header{"Idempotency-Key": {key}}, &r)
	var refused StatusError
	if errors.As(err, &refused) {
		switch refused {
		case http.StatusConflict:
			return outbox.ErrConflict
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return fmt.Errorf("record: %w: %w", outbox.ErrRejected, err)
		}
	}
	if err == nil && r.Transaction.String()+":"+string(r.Kind) != key {
		err = fmt.Errorf("%w: of another record", ErrMalformed)
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

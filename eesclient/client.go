// Package eesclient speaks to an EES-style register: searches, consultations,
// face verification, authorised stay, records.
//
// An answer that does not come in time is NOT_CONSULTED, one that cannot be
// read is ERROR. Neither is ever "no hit".
package eesclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"passage/eesclient/api"
	"passage/eesclient/outbox"
)

// Hard deadlines of the operations (domain §4).
const (
	consultWithin = 5 * time.Second
	searchWithin  = 3 * time.Second
	faceWithin    = 5 * time.Second
	stayWithin    = 2 * time.Second
	recordWithin  = 3 * time.Second
	healthWithin  = 2 * time.Second
	extractWithin = 10 * time.Minute
)

const (
	maxAnswer  = 64 << 10
	maxExtract = 4 << 30
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

// Files are the paths of a client's PEM files.
type Files struct{ CA, Cert, Key string }

// New prepares a client with mutual TLS 1.3.
func New(base string, f Files) (*Client, error) {
	config, err := TLS(f)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 3 * time.Second}
	return Over(base, t), nil
}

// Over prepares a client over another transport, such as a register in the
// same process.
func Over(base string, t http.RoundTripper) *Client {
	return &Client{strings.TrimRight(base, "/"), &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirects are not followed") }}}
}

// TLS loads a mutual TLS 1.3 configuration for either side.
func TLS(f Files) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("eesclient: certificate: %w", err)
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("eesclient: authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("eesclient: authority: %s has no certificate", f.CA)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}

// errMalformed says that an answer could not be read.
var errMalformed = errors.New("eesclient: malformed answer")

// StatusError is an HTTP status that is no success. It carries no text of the
// server's.
type StatusError int

func (e StatusError) Error() string { return fmt.Sprintf("eesclient: status %d", int(e)) }

// call makes one request and decodes a JSON answer strictly.
func (c *Client) call(ctx context.Context, method, path, kind string, body []byte, header http.Header, out any) error {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return fmt.Errorf("eesclient: request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
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
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return StatusError(resp.StatusCode)
	}
	return decode(b, out)
}

// decode reads one JSON value without unknown fields.
func decode(b []byte, out any) error {
	if len(b) > maxAnswer {
		return fmt.Errorf("%w: more than %d bytes", errMalformed, maxAnswer)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return errMalformed // its text would repeat values
	}
	if d.More() {
		return errMalformed
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
		if err == nil || refused || errors.Is(err, errMalformed) || ctx.Err() != nil {
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
	if errors.Is(err, errMalformed) {
		return Malformed
	}
	if err != nil {
		return NotConsulted
	}
	if v := Answer(a.Answer); slices.Contains([]Answer{Clear, HitAction, HitInquiry, Possible}, v) {
		return v
	}
	return Malformed
}

// Search looks for a traveller's file.
func (c *Client) Search(ctx context.Context, q api.Search) (api.Found, error) {
	var f api.Found
	if err := c.askJSON(ctx, searchWithin, "/v1/search", q, &f); err != nil {
		return f, fmt.Errorf("search: %w", err)
	}
	if f.Outcome != "none" && f.Outcome != "one" && f.Outcome != "several" || f.Outcome == "one" && (f.File == nil || *f.File == "") {
		return api.Found{}, fmt.Errorf("search: %w", errMalformed)
	}
	return f, nil
}

// VerifyFace compares a live picture with the file's reference.
func (c *Client) VerifyFace(ctx context.Context, file string, jpeg []byte) (string, error) {
	var r api.FaceResult
	if err := c.ask(ctx, faceWithin, http.MethodPost, "/v1/files/"+url.PathEscape(file)+"/face", "image/jpeg", jpeg, &r); err != nil {
		return "", fmt.Errorf("verify face: %w", err)
	}
	if !slices.Contains([]string{"match", "no_match", "no_reference", "low_quality"}, string(r.Result)) {
		return "", fmt.Errorf("verify face: %w", errMalformed)
	}
	return string(r.Result), nil
}

// Stay asks for the authorised stay at a civil date.
func (c *Client) Stay(ctx context.Context, file, direction string, day time.Time) (api.Stay, error) {
	var s api.Stay
	q := url.Values{"date": {day.Format(time.DateOnly)}, "direction": {direction}}
	if err := c.ask(ctx, stayWithin, http.MethodGet, "/v1/files/"+url.PathEscape(file)+"/stay?"+q.Encode(), "", nil, &s); err != nil {
		return s, fmt.Errorf("stay: %w", err)
	}
	if !slices.Contains([]string{"ok", "undetermined", "not_applicable", "exhausted"}, string(s.Status)) || s.Days < 0 || s.Days > 90 || s.Overstay < 0 {
		return api.Stay{}, fmt.Errorf("stay: %w", errMalformed)
	}
	return s, nil
}

// Extract fetches the register's signed copy of individual files. The caller
// closes it; reading ends after maxExtract bytes or extractWithin.
func (c *Client) Extract(ctx context.Context) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, extractWithin)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/extract", nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("eesclient: request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("eesclient: extract: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		cancel()
		resp.Body.Close()
		return nil, fmt.Errorf("extract: %w", StatusError(resp.StatusCode))
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

// Health lists the registers that answer.
func (c *Client) Health(ctx context.Context) ([]string, error) {
	var h api.Health
	if err := c.ask(ctx, healthWithin, http.MethodGet, "/v1/health", "", nil, &h); err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	var up []string
	for _, n := range h.Up {
		up = append(up, string(n))
	}
	return up, nil
}

// Send implements outbox.Sender: it gives one record to the register.
func (c *Client) Send(ctx context.Context, key string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	var r api.Recorded
	err := c.call(ctx, http.MethodPost, "/v1/records", "application/json", body, http.Header{"Idempotency-Key": {key}}, &r)
	var status StatusError
	if errors.As(err, &status) && status == http.StatusConflict {
		return outbox.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

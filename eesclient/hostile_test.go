package eesclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient/api"
)

// foreign is a register whose answers are a test's.
type foreign func(*http.Request) *http.Response

func (f foreign) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := f(r)
	resp.Request = r
	return resp, nil
}

// answer is one that looks good until its body is read.
func answer(r *http.Request, body io.Reader) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}, "Api-Version": {"1.0.0"}, "X-Request-Id": r.Header["X-Request-Id"]}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(body)}
}

// endless is a JSON text that goes on and on, and counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, strings.Repeat(" ", len(b)))
	e.read += n
	return n, nil
}

// drip gives a byte a second, as long as somebody waits for it.
type drip struct{ ctx context.Context }

func (d drip) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		b[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// questions are all that a lane asks, each with its hard deadline.
var questions = map[string]struct {
	within time.Duration
	ask    func(context.Context, *Client) error
}{
	"search": {searchWithin, func(ctx context.Context, c *Client) error {
		_, err := c.Search(ctx, api.Search{Document: passport, Identity: holder})
		return err
	}},
	"consult": {consultWithin, func(ctx context.Context, c *Client) error {
		switch a := c.Consult(ctx, api.Consultation{List: "SIS", Document: passport, Identity: holder}); a {
		case Malformed:
			return ErrMalformed
		case NotConsulted:
			return context.DeadlineExceeded
		default:
			return fmt.Errorf("it was taken for %s", a)
		}
	}},
	"verifyFace": {faceWithin, func(ctx context.Context, c *Client) error {
		_, err := c.VerifyFace(ctx, "F-1", []byte{0xFF, 0xD8, 0xFF})
		return err
	}},
	"authorisation": {authorisationWithin, func(ctx context.Context, c *Client) error {
		_, err := c.Authorisation(ctx, passport, time.Now())
		return err
	}},
	"stay": {stayWithin, func(ctx context.Context, c *Client) error {
		_, err := c.Stay(ctx, "F-1", "entry", time.Now())
		return err
	}},
	"health": {healthWithin, func(ctx context.Context, c *Client) error {
		_, err := c.Health(ctx, nil)
		return err
	}},
	"record": {recordWithin, func(ctx context.Context, c *Client) error {
		return c.Send(ctx, uuid.NewString()+":entry", []byte("{}"))
	}},
}

var (
	passport = api.Document{Type: "P", Issuer: "USA", Number: "C01X00T47"}
	holder   = api.Identity{Surname: "SPECIMEN", GivenNames: "AVA", Birth: openapi_types.Date{Time: time.Date(1990, 1, 2, 0, 0, 0, 0, time.UTC)}, Nationality: "USA"}
)

// An answer without end is malformed, and not read to its end.
func TestOversizedAnswers(t *testing.T) {
	for name, q := range questions {
		body := &endless{}
		c := Over("https://register.example", foreign(func(r *http.Request) *http.Response { return answer(r, body) }))
		if err := q.ask(t.Context(), c); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if body.read > 2*maxAnswer {
			t.Errorf("%s: %d bytes of it were read", name, body.read)
		}
	}
}

// An answer that trickles is none when the question's time is over.
func TestSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, q := range questions {
			c := Over("https://register.example", foreign(func(r *http.Request) *http.Response { return answer(r, drip{r.Context()}) }))
			began := time.Now()
			err := q.ask(t.Context(), c)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took != q.within {
				t.Errorf("%s: given up after %s, its time is %s", name, took, q.within)
			}
		}
	})
}

// Answers of another kind than was promised are refused as a status, or as
// malformed, whatever they say; a redirect is not followed.
func TestStrangeAnswers(t *testing.T) {
	asked := 0
	for status, header := range map[int]http.Header{
		http.StatusFound:       {"Location": {"https://elsewhere.example/"}},
		http.StatusNotModified: {},
		http.StatusNoContent:   {},
		http.StatusTeapot:      {"Retry-After": {"-1"}},
		http.StatusOK:          {"Content-Type": {"text/html"}},
	} {
		for name, q := range questions {
			c := Over("https://register.example", foreign(func(r *http.Request) *http.Response {
				asked++
				if r.URL.Host != "register.example" {
					t.Errorf("%s %d: it was led to %s", name, status, r.URL.Host)
				}
				h := header.Clone()
				h["X-Request-Id"] = r.Header["X-Request-Id"]
				return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("<html>"))}
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := q.ask(ctx, c); err == nil {
				t.Errorf("%s: %d is taken for an answer", name, status)
			}
			cancel()
		}
	}
	if asked == 0 {
		t.Error("nobody asked")
	}
}

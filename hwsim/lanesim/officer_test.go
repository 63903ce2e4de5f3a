package lanesim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// page is a lane page with one case in REVIEW, whose release is answered with
// a status.
type page struct {
	release   int
	decisions chan string
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q map[string]string
	switch r.URL.Path {
	case "/lane/api/sign-in":
		if json.NewDecoder(r.Body).Decode(&q) != nil || q["pin"] != "4711" {
			w.WriteHeader(http.StatusForbidden)
		}
	case "/lane/events":
		fmt.Fprint(w, "data: {\"state\":\"REVIEW\",\"case\":{\"transaction\":\"7\",\"reason\":\"FACE\"}}\n\n")
		_ = http.NewResponseController(w).Flush() // the client has gone otherwise
		<-r.Context().Done()
	case "/lane/api/decide":
		if json.NewDecoder(r.Body).Decode(&q) != nil {
			return
		}
		if q["decision"] == "release" {
			w.WriteHeader(p.release)
		}
		p.decisions <- q["transaction"] + " " + q["decision"] + " " + q["reason"]
	}
}

func TestOfficer(t *testing.T) {
	for _, c := range []struct {
		name    string
		release int
		want    []string
	}{
		{"releases", http.StatusOK, []string{"7 release face"}},
		{"waits for a second one", http.StatusAccepted, []string{"7 release face"}},
		{"diverts whom nobody may release", http.StatusForbidden, []string{"7 release face", "7 divert face"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &page{c.release, make(chan string, 4)}
			server := httptest.NewServer(p)
			defer server.Close()
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			if _, err := SignIn(ctx, server.URL, "anna", "0000"); !errors.Is(err, ErrSignIn) {
				t.Errorf("a wrong PIN: %v", err)
			}
			ended := make(chan error, 1)
			d := Shift{ID: "anna", PIN: "4711", Decision: "release", Reason: "face", Say: t.Logf}
			go func() { ended <- d.Serve(ctx, server.URL) }()
			var got []string
			for range c.want {
				select {
				case d := <-p.decisions:
					got = append(got, d)
				case <-ctx.Done():
				}
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("decided %q, want %q", got, c.want)
			}
		})
	}
}

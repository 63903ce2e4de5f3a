// Package pages is what every page of ours answers with: headers that keep it
// to itself, JSON, problems of RFC 9457 without personal data, and bodies that
// are read whole or refused.
package pages

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
)

// Guard sets the headers that keep pages to themselves, and bounds what is read
// of a request to most bytes. img lists the sources of pictures, and more holds
// further directives of the content security policy, each ended by "; ".
func Guard(next http.Handler, most int64, img, more string) http.Handler {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src " + img + "; connect-src 'self'; " + more +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

// Serve serves on l until ctx ends, by TLS where s has a configuration of it;
// connections are cut then. It is an error to end otherwise.
func Serve(ctx context.Context, s *http.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	serve := s.Serve
	if s.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Reply answers with JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone otherwise
}

// Problem answers with a problem document; title is for people.
func Problem(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": title, "status": status}) // the client has gone otherwise
}

// Read reads a JSON body into v and reports whether it did; otherwise the
// request has been answered.
func Read(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		Problem(w, http.StatusBadRequest, "the request cannot be read")
		return false
	}
	return true
}

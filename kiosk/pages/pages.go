// Package pages is what every page of ours answers with: headers that keep it
// to itself, JSON, problems of RFC 9457 without personal data, and bodies that
// are read whole or refused.
package pages

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// Guard sets the headers that keep pages to themselves, and bounds what is read
// of a request to most bytes, which have all come before next is asked. img lists the sources of pictures, and more holds
// further directives of the content security policy, each ended by "; ".
func Guard(next http.Handler, most int64, img, more string) http.Handler {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src " + img + "; connect-src 'self'; " + more +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		Hurry(w)
		if r.Body != nil && r.Body != http.NoBody {
			b, ok := whole(w, r, most)
			if !ok {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		defer answering(r.Context())()
		next.ServeHTTP(w, r)
	})
}

// Microphone is the Permissions-Policy of a page that people speak through; all
// others have none.
const Microphone = "camera=(), geolocation=(), microphone=(self)"

// Reply answers with JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	Hurry(w)
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

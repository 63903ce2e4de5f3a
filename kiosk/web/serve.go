package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"passage/kiosk/inlet"
	"passage/kiosk/pages"
)

// A lane's pages are for its own screen and a few officers.
const (
	mostGuests = 256
	eachGuest  = 64
	streams    = 48 // of strangers at once
	eachStream = 16 // of one address, or of one officer
	touches    = 10 // a second, of one address: help, language, the screen's beat
	mostSigned = 64 // pages that are signed in
	hashing    = 2  // PINs at once: each takes a tenth of a second of a core
)

// Count has what the pages turn away counted. It must be called before they are
// served.
func (p *Pages) Count(b *inlet.Book) {
	p.server.book, p.server.streams.Book, p.server.touches.Book = b, b, b
}

// Serve serves the pages on l until ctx ends.
func (p *Pages) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	if err := pages.Serve(ctx, s, l, pages.Door{Name: "pages", Most: mostGuests, Each: eachGuest, Book: p.server.book}); err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	return nil
}

// touch paces what is done to a lane's screens without signing in. Whoever
// floods from elsewhere has a pace of their own.
func (s *server) touch(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.touches.Admits(w, pages.Host(r)) {
			next(w, r)
		}
	}
}

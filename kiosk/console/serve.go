package console

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"passage/kiosk/inlet"
	"passage/kiosk/pages"
)

// A console may stand behind a proxy, whose address is everybody's.
const (
	mostGuests = 4096
	eachGuest  = 1024
)

// Serve serves the console's pages, or its enrolment, on l until ctx ends; by
// TLS where there is a configuration of it.
func Serve(ctx context.Context, l net.Listener, secure *tls.Config, h http.Handler, book *inlet.Book) error {
	s := &http.Server{Handler: h, TLSConfig: secure, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	if err := pages.Serve(ctx, s, l, pages.Door{Name: "console", Most: mostGuests, Each: eachGuest, Book: book}); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

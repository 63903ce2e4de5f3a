package pages

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"passage/kiosk/inlet"
)

// patience is how long a reader may take for what it is sent: an answer, or a
// piece of a stream.
const patience = 20 * time.Second

// Why a stream ends, or does not begin.
const (
	slowReader = "slow reader"
	tooManyNow = "too many streams"
)

// Streams bounds the streams that are open at once. Those of this machine and
// of people who signed in do not count for the others: no flood from elsewhere
// takes the traveller's screen or an officer's page their place.
type Streams struct {
	Name string // of the inlet
	Most int    // of strangers from elsewhere
	Each int    // of one address, or of one who signed in
	Book *inlet.Book

	mu        sync.Mutex
	by        map[string]int
	strangers int
}

// Open takes a place for a stream to who has signed in, "" for a stranger.
// Without one the request has been answered.
func (s *Streams) Open(w http.ResponseWriter, r *http.Request, who string) (leave func(), ok bool) {
	name, stranger := "officer "+who, false
	if who == "" {
		name, stranger = Host(r), !Local(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[name] >= s.Each || stranger && s.strangers >= s.Most {
		s.Book.Shed(s.Name, tooManyNow)
		Problem(w, http.StatusTooManyRequests, "too many pages are open")
		return nil, false
	}
	count := func(by int) {
		if s.by[name] += by; s.by[name] == 0 {
			delete(s.by, name)
		}
		if stranger {
			s.strangers += by
		}
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	count(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		count(-1)
	}, true
}

// Send writes a piece of a stream. A reader who does not take it is left.
func (s *Streams) Send(w http.ResponseWriter, format string, args ...any) error {
	Hurry(w)
	_, err := fmt.Fprintf(w, format, args...)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.Book.Shed(s.Name, slowReader)
	}
	return err
}

// Hurry gives the reader of w its time for what is written next.
func Hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // a writer without deadlines is no connection
}

// whole reads a request's body, so that a slow sender does not count as being
// answered. It reports whether it could; otherwise the request has been answered.
func whole(w http.ResponseWriter, r *http.Request, most int64) ([]byte, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		Problem(w, http.StatusRequestEntityTooLarge, "the request is too large")
		return nil, false
	}
	if err != nil {
		Problem(w, http.StatusBadRequest, "the request cannot be read")
		return nil, false
	}
	return b, true
}

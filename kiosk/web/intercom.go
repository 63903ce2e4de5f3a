package web

import (
	"net/http"
	"time"

	"passage/kiosk/intercom"
	"passage/kiosk/pages"
)

// Intercom lets officers speak with the traveller through the screen. Without
// it the screen opens no microphone. Call it before the pages are served.
func (p *Pages) Intercom(b *intercom.Booth) { p.server.booth = b }

// call is the id of the call under way, for the screen; "" for none.
func (s *server) call() string {
	if s.booth == nil {
		return ""
	}
	id, _ := s.booth.Now(time.Now())
	return id
}

// listening lets a page of this lane ask for its microphone, and no other.
func (s *server) listening(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.booth != nil {
			w.Header().Set("Permissions-Policy", pages.Microphone)
		}
		next(w, r)
	}
}

// screenOnly is for the lane's own screen: this machine's.
func (s *server) screenOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !pages.Local(r):
			pages.Problem(w, http.StatusForbidden, "calls are for the lane's own screen")
		case s.booth == nil:
			pages.Problem(w, http.StatusNotFound, "this lane has no intercom")
		default:
			next(w, r)
		}
	}
}

func (s *server) ring(w http.ResponseWriter, _ *http.Request) {
	id, offer := s.booth.Now(time.Now())
	if id == "" {
		pages.Problem(w, http.StatusNotFound, "nobody calls")
		return
	}
	pages.Reply(w, http.StatusOK, map[string]string{"id": id, "offer": offer})
}

// answer takes the screen's answer to a call, and its word that it is over.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ID   string `json:"id"`
		SDP  string `json:"sdp"`
		Over bool   `json:"over"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	if q.Over {
		s.booth.Lost(q.ID, time.Now())
	} else if !s.booth.Answer(q.ID, q.SDP) {
		pages.Problem(w, http.StatusConflict, "that call is over, or this is no answer to it")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

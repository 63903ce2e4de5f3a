package web

import (
	"io"
	"net/http"

	"passage/kiosk/pages"
)

// calendar is the picture of the days that the stay of the crossing under way
// rests on.
func (s *server) calendar(w http.ResponseWriter, r *http.Request, _ *session) {
	c := s.lane.View().Crossing
	if c == nil || c.UUID != r.PathValue("transaction") || c.Stay.Calendar == "" {
		pages.Problem(w, http.StatusNotFound, "no such picture now")
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = io.WriteString(w, c.Stay.Calendar) // the client has gone otherwise
}

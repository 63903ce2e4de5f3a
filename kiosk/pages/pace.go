package pages

import (
	"net/http"

	"passage/kiosk/inlet"
)

// Pace turns away whoever asks too fast.
type Pace struct {
	inlet.Paces
	inlet.Line        // as which it is counted
	Say        string // to whom it turns away
	Book       *inlet.Book
}

// Admits takes a token of a name. Without one the request has been answered.
func (p *Pace) Admits(w http.ResponseWriter, name string) bool {
	if p.Allow(name) {
		return true
	}
	p.Book.Shed(p.Inlet, p.Why)
	Problem(w, http.StatusTooManyRequests, p.Say)
	return false
}

package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"passage/kiosk/pages"
)

// beatWithin is how long the traveller's screen may show something else than
// the lane wants, or say nothing, before it counts as frozen. It says every two
// seconds what it has painted.
const beatWithin = 6 * time.Second

// heart is what is known of the traveller's screen.
type heart struct {
	mu    sync.Mutex
	right time.Time // when it last showed what it should; zero if it was never there
}

// Beat is how the traveller's screen is. Frozen is not known of a screen that
// was never there.
type Beat struct {
	Seen   bool  `json:"seen"`
	Frozen bool  `json:"frozen"`
	Ago    int64 `json:"ago"` // ms since it last showed what it should
}

func (h *heart) beat(shows, should string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if shows == should {
		h.right = time.Now()
	}
}

func (h *heart) look() Beat {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.right.IsZero() {
		return Beat{}
	}
	ago := time.Since(h.right)
	return Beat{true, ago > beatWithin, ago.Milliseconds()}
}

// hearBeat takes what the screen says it has painted. A screen that shows an
// old instruction is as bad as a dark one.
func (s *server) hearBeat(w http.ResponseWriter, r *http.Request) {
	var b struct {
		Screen string `json:"screen"`
	}
	if json.NewDecoder(r.Body).Decode(&b) != nil || len(b.Screen) > 8 {
		http.Error(w, "no beat", http.StatusBadRequest)
		return
	}
	s.heart.beat(b.Screen, s.traveller().Screen)
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) tellBeat(w http.ResponseWriter, _ *http.Request) {
	pages.Reply(w, http.StatusOK, s.heart.look())
}

// Pages are a lane's pages.
type Pages struct {
	http.Handler
	server *server
}

// Notices are what a lane's officers should know of its pages: that the
// traveller's screen has not shown what it should, and that somebody tries PINs.
func (p *Pages) Notices() []string {
	list := p.server.guesses.notices(time.Now())
	if b := p.server.heart.look(); b.Frozen {
		list = append(list, fmt.Sprintf("the traveller's screen has been frozen for %v", (time.Duration(b.Ago)*time.Millisecond).Round(time.Second)))
	}
	return list
}

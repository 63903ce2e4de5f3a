package site

import (
	"context"
	"sync"
	"time"

	"passage/kiosk/inlet"
)

// views takes what lanes look like at each lane's pace. Of a lane that is faster
// the newest view waits, in the place of the one before it.
type views struct {
	hub  *Hub
	book *inlet.Book
	pace inlet.Paces

	mu   sync.Mutex
	late map[string][]byte // by lane
}

const (
	viewsPace  = 20 // a second; a lane tells its view at most ten times
	mostLate   = 1000
	lateViewed = 250 * time.Millisecond
)

func newViews(h *Hub, b *inlet.Book) *views {
	return &views{hub: h, book: b, pace: inlet.Paces{Rate: viewsPace, Burst: 2 * viewsPace, Most: maxLanes}, late: map[string][]byte{}}
}

func (v *views) seen(lane string, view []byte) {
	v.mu.Lock()
	waits, has := v.late[lane]
	if has && len(view) == 0 {
		view = waits // it is the same as the one that waits
	}
	if !v.pace.Allow(lane) {
		if has || len(v.late) < mostLate {
			v.late[lane] = view
		}
		v.mu.Unlock()
		v.book.Shed(fleetInlet, "a lane's views too fast")
		return
	}
	delete(v.late, lane)
	v.mu.Unlock()
	v.hub.Seen(lane, view, time.Now())
}

// catchUp shows the views that wait, until ctx ends.
func (v *views) catchUp(ctx context.Context) error {
	return every(ctx, lateViewed, func(time.Time) {
		v.mu.Lock()
		late := v.late
		v.late = map[string][]byte{}
		v.mu.Unlock()
		for lane, view := range late {
			v.hub.Seen(lane, view, time.Now())
		}
	})
}

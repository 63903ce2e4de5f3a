package site

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"passage/kiosk/fleet"
)

// silent is after how long a lane that publishes every second counts as not
// seen. It is never shown as fine after that.
const silent = 3 * time.Second

// Lane is a lane as the site last saw it.
type Lane struct {
	ID   string          `json:"id"`
	Seen int64           `json:"seen"` // Unix ms
	Away bool            `json:"away,omitempty"`
	View json.RawMessage `json:"view,omitempty"` // web.View without the case
	// Problem is why the site takes no more of its journal.
	Problem string `json:"problem,omitempty"`

	stamp uint64
}

// Hub holds the newest view of every lane. Readers come back with the stamp of
// their last look and get what has changed since.
type Hub struct {
	mu    sync.Mutex
	lanes map[string]*Lane
	stamp uint64
	wake  chan struct{} // closed at the next change
}

// NewHub is a hub that has heard of no lane.
func NewHub() *Hub { return &Hub{lanes: map[string]*Lane{}, wake: make(chan struct{})} }

// maxLanes bounds what a flood of subjects can make the site remember.
const maxLanes = 10_000

// Seen takes the view that a lane published; an empty one says that it is the
// same as before.
func (h *Hub) Seen(id string, view []byte, now time.Time) {
	if id == "" || len(view) > fleet.MaxView || len(view) > 0 && !json.Valid(view) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lanes[id]
	if len(view) == 0 {
		if l == nil || l.View == nil {
			return // as what? It is told in full within ten seconds.
		}
		view = l.View
	}
	if l == nil {
		if len(h.lanes) >= maxLanes {
			return
		}
		l = &Lane{ID: id}
		h.lanes[id] = l
	}
	l.Seen = now.UnixMilli()
	if l.Away || string(l.View) != string(view) {
		l.Away, l.View = false, append(json.RawMessage(nil), view...)
		h.changed(l)
	}
}

// changed marks a lane. The lock is held.
func (h *Hub) changed(l *Lane) {
	h.stamp++
	l.stamp = h.stamp
	close(h.wake)
	h.wake = make(chan struct{})
}

// Since returns the lanes that changed after a stamp, a new stamp, and a
// channel that is closed at the next change.
func (h *Hub) Since(stamp uint64) ([]Lane, uint64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Lane
	for _, l := range h.lanes {
		if l.stamp > stamp {
			list = append(list, *l)
		}
	}
	return list, h.stamp, h.wake
}

// some are the lanes of these ids that are known.
func (h *Hub) some(ids []string) map[string]Lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]Lane, len(ids))
	for _, id := range ids {
		if l := h.lanes[id]; l != nil {
			out[id] = *l
		}
	}
	return out
}

// expect makes a lane known that has not been heard yet.
func (h *Hub) expect(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lanes[id] == nil {
		l := &Lane{ID: id, Away: true}
		h.lanes[id] = l
		h.changed(l)
	}
}

// trouble sets which lanes have a problem, and takes it from the others.
func (h *Hub) trouble(found map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, l := range h.lanes {
		if why := found[id]; l.Problem != why {
			l.Problem = why
			h.changed(l)
		}
	}
}

// troubled says whether any lane has a problem.
func (h *Hub) troubled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lanes {
		if l.Problem != "" {
			return true
		}
	}
	return false
}

// watch marks lanes that have fallen silent, until ctx ends.
func (h *Hub) watch(ctx context.Context) error {
	return every(ctx, time.Second, func(now time.Time) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, l := range h.lanes {
			if !l.Away && now.UnixMilli()-l.Seen > silent.Milliseconds() {
				l.Away = true
				h.changed(l)
			}
		}
	})
}

package site

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"passage/kiosk/fleet"
	"passage/kiosk/inlet"
)

// A lane publishes its journal straight into the stream, also while the console is
// away. So that none can fill it, each lane has a volume: who has sent more is held
// back. Its batches then go to a subject that nobody stores, and are refused. The
// lane has them, and sends them again from where the site's copy ends: nothing is
// lost, it comes later. Other lanes do not notice.

// Volume is how much of its journal a lane may send: Burst bytes at once, and Rate
// bytes a second from then on. The zero value is what no real lane comes near.
type Volume struct {
	Rate, Burst int
}

// A crossing is some 13 kB in the stream, and the busiest lane has 5,000 a day: 65 MB.
// A lane may send five times as much for ever, and what it wrote in two months away
// at once. In the stream's 90 days that is 36 GB of its 200.
const (
	volumeRate  = 4 << 10
	volumeBurst = 4 << 30
	// mostTurns keeps the servers from being told of a lane all the time.
	mostTurns = 10 * time.Second
)

// holding is who has sent too much.
type holding struct {
	pace  inlet.Paces // of bytes
	least time.Duration

	mu    sync.Mutex
	until map[string]time.Time // by lane that is held back
}

func newHolding(v Volume) *holding {
	if v == (Volume{}) {
		v = Volume{volumeRate, volumeBurst}
	}
	h := &holding{until: map[string]time.Time{}, least: min(mostTurns, time.Duration(v.Burst/v.Rate)*time.Second)}
	h.pace.Rate, h.pace.Burst, h.pace.Most = rate.Limit(v.Rate), v.Burst, maxLanes
	return h
}

// weigh counts what a lane has sent, and says whether it is too much since then.
func (h *holding) weigh(lane string, n int) bool {
	owed := h.pace.Owe(lane, n)
	if owed == 0 || fleet.Valid(lane) != nil { // another site's: that one holds it back
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, held := h.until[lane]
	h.until[lane] = time.Now().Add(max(owed, h.least))
	return !held
}

// over takes out lanes whose time is over.
func (h *holding) over(now time.Time) (lanes []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for lane, until := range h.until {
		if now.After(until) {
			delete(h.until, lane)
			lanes = append(lanes, lane)
		}
	}
	return lanes
}

// hold has the servers turn aside what lanes publish, until their time is over.
func (s *Site) hold(lanes []string) {
	if len(lanes) == 0 {
		return
	}
	s.accounts.Lock()
	for _, lane := range lanes {
		s.account.AddMapping(journalOf(lane), jwt.WeightedMapping{Subject: jwt.Subject(fleet.Subject(lane, "held")), Weight: 100})
	}
	err := s.enforce()
	s.accounts.Unlock()
	if err == nil {
		s.conf.Log.Error("site: lanes send more of their journals than any lane writes: they are held back", "lanes", lanes)
		return
	}
	s.conf.Log.Error("site: lanes that send too much are not held back: the next batch tries again", "lanes", lanes, "error", err)
	s.holding.mu.Lock()
	defer s.holding.mu.Unlock()
	for _, lane := range lanes {
		delete(s.holding.until, lane)
	}
}

func journalOf(lane string) jwt.Subject { return jwt.Subject(fleet.Subject(lane, "journal")) }

// release gives lanes their way back whose time is over at now. All of it is one
// step for the account: a lane that is held back anew meanwhile stays so.
func (s *Site) release(now time.Time) (lanes []string, err error) {
	s.accounts.Lock()
	defer s.accounts.Unlock()
	if lanes = s.holding.over(now); len(lanes) == 0 {
		return nil, nil
	}
	for _, lane := range lanes {
		delete(s.account.Mappings, journalOf(lane))
	}
	return lanes, s.enforce()
}

// letGo has lanes go on when their time is over, until ctx ends.
func (s *Site) letGo(ctx context.Context) error {
	return every(ctx, time.Second, func(now time.Time) {
		lanes, err := s.release(now)
		if err != nil {
			s.conf.Log.Error("site: lanes are still held back: this is tried again", "lanes", lanes, "error", err)
			s.holding.mu.Lock()
			defer s.holding.mu.Unlock()
			for _, lane := range lanes {
				s.holding.until[lane] = now.Add(mostTurns)
			}
			return
		}
		for _, lane := range lanes {
			if err := s.again(lane); err != nil && ctx.Err() == nil {
				s.conf.Log.Warn("site: a lane is not told that it may go on", "lane", lane, "error", err)
			}
		}
	})
}

// tooMuch is a refusal as JetStream gives one.
var tooMuch = fmt.Appendf(nil, `{"error":{"code":%d,"description":"this lane has sent more than any lane writes: later"},"stream":"%s","seq":0}`, fleet.TooMuch, fleet.Stream)

// refuse answers a batch that was turned aside.
func (s *Site) refuse(m *nats.Msg) {
	s.conf.Book.Shed(fleetInlet, "more journal than a lane writes")
	if m.Reply == "" {
		return
	}
	if err := m.Respond(tooMuch); err != nil && s.complaints.Allow(between(m.Subject)) {
		s.conf.Log.Warn("site: a lane that is held back is not told", "lane", between(m.Subject), "error", err)
	}
}

// Package intercom is a lane's own word on who may speak with its traveller.
//
// Sound goes from browser to browser (WebRTC), encrypted, through nobody, and is
// recorded nowhere. What passes here is how the two find each other: an
// officer's offer, which came in a proven word, and the answer of the
// traveller's screen. A console can withhold them. It cannot put itself between:
// the offer holds the fingerprint of the officer's key, and the screen speaks
// with no other.
//
// The package does no I/O and reads no clock.
package intercom

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"passage/kiosk"
)

// Booth is one lane's intercom: one call at a time.
type Booth struct {
	// Lane says who watches the lane now, and whose crossing is under way; "" for
	// none.
	Lane    func() (officers map[string]bool, transaction string)
	Changed func() // after a call began or ended; nil: screens look by themselves every second
	Log     *slog.Logger

	mu   sync.Mutex
	call *call
	n    int
	pace *rate.Limiter
}

type call struct {
	id, officer, transaction, offer, answer string
	since, over                             time.Time // over: when the crossing ended
}

const (
	mostSDP = 6 << 10          // bytes
	ringFor = 10 * time.Second // a screen that has no ear answers never
	grace   = 15 * time.Second // after the traveller has gone
	longest = 10 * time.Minute
	again   = 3 * time.Second // between two calls, …
	atOnce  = 3               // … or as many at once
)

// Errors of calls, in the lane's words.
var (
	errBusy   = fmt.Errorf("%w: another officer speaks with the traveller", kiosk.ErrNotNow)
	errPace   = fmt.Errorf("%w: too many calls", kiosk.ErrNotNow)
	errAbsent = fmt.Errorf("%w: only who watches the lane speaks with its traveller", kiosk.ErrNotAllowed)
	errGone   = fmt.Errorf("%w: this traveller has gone", kiosk.ErrStale)
	errForm   = fmt.Errorf("%w: that is no offer of sound", kiosk.ErrNotNow)
)

// Sound says whether a session description (RFC 8866) is one of sound alone: one
// line of media, encrypted, with the fingerprint of who speaks.
func Sound(sdp string) bool {
	if len(sdp) > mostSDP || !strings.HasPrefix(sdp, "v=0") {
		return false
	}
	media, prints := 0, 0
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			return false
		}
		switch {
		case strings.HasPrefix(line, "m=audio ") && strings.Contains(line, "SAVPF"):
			media++
		case strings.HasPrefix(line, "m="):
			return false
		case strings.HasPrefix(line, "a=fingerprint:sha-256 "):
			prints++
		}
	}
	return media == 1 && prints == 1
}

// Call has an officer speak with the traveller of a crossing. The officer's word
// has been proven, and gives the right. It fails with errors of package kiosk.
func (b *Booth) Call(officer, transaction, offer string, now time.Time) error {
	officers, under := b.Lane()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(officers, under, now)
	if b.pace == nil {
		b.pace = rate.NewLimiter(rate.Every(again), atOnce)
	}
	switch {
	case under == "" || transaction != under:
		return errGone
	case !officers[officer]:
		return errAbsent
	case b.call != nil && b.call.officer != officer:
		return errBusy
	case !Sound(offer):
		return errForm
	case !b.pace.AllowN(now, 1):
		return errPace
	}
	b.end("called anew", now)
	b.n++
	b.call = &call{id: fmt.Sprintf("%s-%d", transaction, b.n), officer: officer, transaction: transaction, offer: offer, since: now}
	b.Log.Info("intercom: call", "officer", officer, "crossing", transaction)
	b.tell()
	return nil
}

// Hang ends an officer's own call.
func (b *Booth) Hang(officer string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.call == nil || b.call.officer != officer {
		return fmt.Errorf("%w: no call of this officer", kiosk.ErrStale)
	}
	b.end("the officer hung up", now)
	return nil
}

// end ends the call, if there is one, and says how long it was. The lock is held.
func (b *Booth) end(why string, now time.Time) {
	if b.call == nil {
		return
	}
	b.Log.Info("intercom: ended", "officer", b.call.officer, "crossing", b.call.transaction, "took", now.Sub(b.call.since), "answered", b.call.answer != "", "why", why)
	b.call = nil
	b.tell()
}

func (b *Booth) tell() {
	if b.Changed != nil {
		b.Changed()
	}
}

// look ends a call that has no reason any more. The lock is held.
func (b *Booth) look(officers map[string]bool, under string, now time.Time) {
	c := b.call
	if c == nil {
		return
	}
	if under == c.transaction {
		c.over = time.Time{}
	} else if c.over.IsZero() {
		c.over = now
	}
	switch {
	case !officers[c.officer]:
		b.end("the officer no longer watches the lane", now)
	case under != "" && under != c.transaction:
		b.end("there is another traveller", now)
	case !c.over.IsZero() && now.Sub(c.over) >= grace:
		b.end("the traveller has gone", now)
	case c.answer == "" && now.Sub(c.since) >= ringFor:
		b.end("the screen did not answer", now)
	case now.Sub(c.since) >= longest:
		b.end("it was long enough", now)
	}
}

// Now is the call at now: its id, and the officer's offer. Both are empty
// without one.
func (b *Booth) Now(now time.Time) (id, offer string) {
	officers, under := b.Lane()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.look(officers, under, now); b.call == nil {
		return "", ""
	}
	return b.call.id, b.call.offer
}

// Answer takes the answer of the traveller's screen to a call, once.
func (b *Booth) Answer(id, sdp string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.call == nil || b.call.id != id || b.call.answer != "" || !Sound(sdp) {
		return false
	}
	b.call.answer = sdp
	return true
}

// Lost takes the screen's word that a call is over.
func (b *Booth) Lost(id string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.call != nil && b.call.id == id {
		b.end("the line is gone", now)
	}
}

// State is what an officer's page is told.
type State struct {
	Officer string `json:"officer,omitempty"` // who speaks; empty for nobody
	Answer  string `json:"answer,omitempty"`  // of the screen
}

// State is the call at now, as JSON.
func (b *Booth) State(now time.Time) ([]byte, error) {
	officers, under := b.Lane()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(officers, under, now)
	var s State
	if b.call != nil {
		s = State{b.call.officer, b.call.answer}
	}
	return json.Marshal(s)
}

// Of reads a lane's view for a Booth.
func Of(view func() kiosk.View) func() (map[string]bool, string) {
	return func() (map[string]bool, string) {
		v := view()
		officers, under := map[string]bool{}, ""
		for id := range v.Officers {
			officers[id] = true
		}
		if v.Crossing != nil {
			under = v.Crossing.UUID
		}
		return officers, under
	}
}

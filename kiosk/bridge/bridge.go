// Package bridge carries the lanes' alarms to where people look: a Matrix room
// or a webhook. A message names the lane, the kind of alarm and its priority. It
// names nobody: the bridge is told nothing of a traveller, so no template can.
package bridge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/time/rate"

	"passage/kiosk/site"
)

// Target is one place where alarms go.
type Target struct {
	Kind     string // matrix or webhook
	URL      string // of the homeserver, or of the webhook
	Room     string // Matrix: the room's id, such as !abc:example.org
	Token    string // Matrix: access token; webhook: bearer token, may be empty
	Text     *template.Template
	Priority []string // of the alarms that are sent: notice, urgent, escalated; empty for all
}

// Alarm is all that a template may use.
type Alarm struct {
	Site     string    `json:"site"`
	Lane     string    `json:"lane"`
	Kind     string    `json:"kind"`
	Priority string    `json:"priority"`
	At       time.Time `json:"at"`
	// Escalated says that nobody has answered it in time.
	Escalated bool `json:"escalated,omitempty"`
}

// defaultText is the template where none is configured.
const defaultText = `{{.Site}}, lane {{.Lane}}: {{.Kind}} ({{.Priority}}) at {{.At.Format "15:04:05"}}{{if .Escalated}}: nobody has answered for half a minute{{end}}`

// Parse reads a template and tries it: one that asks for what there is not
// fails here, not at the first alarm.
func Parse(text string) (*template.Template, error) {
	t, err := template.New("text").Parse(cmp.Or(text, defaultText))
	if err == nil {
		err = t.Execute(io.Discard, Alarm{})
	}
	if err != nil {
		return nil, fmt.Errorf("bridge: text: %w", err)
	}
	return t, nil
}

// Limits of what is sent: a broken lane must not silence the room.
const (
	perMinute = 20
	burst     = 10
	within    = 5 * time.Second
	tries     = 3
	maxText   = 2 << 10
	maxAnswer = 16 << 10
	queued    = 256
	answerBy  = 30 * time.Second // then an alarm is the supervisor's (domain §10)
)

// Bridge watches a site's lanes. Run it once.
type Bridge struct {
	Site    string
	Hub     *site.Hub
	Targets []Target
	Log     *slog.Logger
	HTTP    *http.Client // nil for the usual one
	// Rollouts are the site's, newest first; nil where nothing is rolled out.
	Rollouts func() []site.Rollout
}

// Run sends alarms until ctx ends. An alarm that stood when it began is not
// sent: it was before.
func (b *Bridge) Run(ctx context.Context) error {
	outs := make([]chan Alarm, len(b.Targets))
	ended := make(chan struct{}, len(b.Targets))
	for i, t := range b.Targets {
		outs[i] = make(chan Alarm, queued)
		go func() {
			b.serve(ctx, t, outs[i])
			ended <- struct{}{}
		}()
	}
	defer func() {
		for range b.Targets {
			<-ended
		}
	}()
	lanes, rolled := map[string]*heard{}, &heard{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for stamp, first := uint64(0), true; ; first = false {
		list, now, wake := b.Hub.Since(stamp)
		stamp = now
		for _, l := range list {
			h := lanes[l.ID]
			if h == nil {
				h = &heard{}
				lanes[l.ID] = h
			}
			if fresh := h.take(l, time.Now()); !first {
				b.hand(outs, fresh)
			}
		}
		if first && b.Rollouts != nil {
			rolled.halted(b.Rollouts(), time.Now())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case at := <-tick.C:
			for _, id := range slices.Sorted(maps.Keys(lanes)) {
				b.hand(outs, lanes[id].late(at))
			}
			if b.Rollouts != nil {
				b.hand(outs, rolled.halted(b.Rollouts(), at))
				b.hand(outs, rolled.late(at))
			}
		}
	}
}

// hand gives alarms to those who want them.
func (b *Bridge) hand(outs []chan Alarm, list []Alarm) {
	for _, a := range list {
		a.Site = b.Site
		for i, t := range b.Targets {
			if !t.wants(a) {
				continue
			}
			select {
			case outs[i] <- a:
			default:
				b.Log.Warn("bridge: an alarm is not carried: too many wait", "lane", a.Lane, "kind", a.Kind)
			}
		}
	}
}

func (t Target) wants(a Alarm) bool {
	return len(t.Priority) == 0 || slices.Contains(t.Priority, a.Priority) || a.Escalated && slices.Contains(t.Priority, "escalated")
}

// heard is what the bridge knows of a lane.
type heard struct {
	last          int // the highest alarm's number
	away, trouble bool
	open          []standing // alarms that nobody has answered
}

// standing is an alarm and when it goes on to the supervisor; told says that it
// has.
type standing struct {
	Alarm
	id   int
	due  time.Time
	told bool
}

// take returns a lane's new alarms. A lane that falls silent is one, too, and one
// whose journal the site refuses.
func (h *heard) take(l site.Lane, now time.Time) []Alarm {
	var out []Alarm
	if l.Away != h.away {
		if h.away = l.Away; l.Away {
			out = append(out, Alarm{Lane: l.ID, Kind: "NOT_SEEN", Priority: "urgent", At: time.UnixMilli(l.Seen)})
		}
	}
	if wrong := l.Problem != ""; wrong != h.trouble {
		if h.trouble = wrong; wrong {
			out = append(out, Alarm{Lane: l.ID, Kind: "JOURNAL_REFUSED", Priority: "urgent", At: now})
		}
	}
	var v struct {
		Alerts []struct {
			ID       int    `json:"id"`
			At       int64  `json:"at"`
			Kind     string `json:"kind"`
			Priority string `json:"priority"`
			By       string `json:"by"`
		} `json:"alerts"`
	}
	if len(l.View) == 0 || json.Unmarshal(l.View, &v) != nil {
		return out
	}
	was, most := h.open, 0
	h.open = nil
	for _, a := range v.Alerts {
		most = max(most, a.ID)
		if a.By != "" {
			continue
		}
		s := standing{Alarm: Alarm{Lane: l.ID, Kind: word(a.Kind), Priority: word(a.Priority), At: time.UnixMilli(a.At)}, id: a.ID, due: now.Add(answerBy)}
		if i := slices.IndexFunc(was, func(w standing) bool { return w.id == s.id && w.At.Equal(s.At) }); i >= 0 {
			s = was[i]
		}
		if h.open = append(h.open, s); a.ID > h.last {
			out = append(out, s.Alarm)
		}
	}
	if most < h.last && most > 0 || most > h.last { // smaller: the lane's program has started anew
		h.last = most
	}
	return out
}

// halted returns the rollouts that have stopped by themselves since it was asked
// last. Those that nobody has seen stand until somebody has.
func (h *heard) halted(list []site.Rollout, now time.Time) []Alarm {
	var out []Alarm
	was := h.open
	h.open = nil
	for _, r := range list {
		if !r.State.Alarm || r.State.Seen != "" || len(r.State.Events) == 0 {
			continue
		}
		at := time.Unix(r.State.Events[len(r.State.Events)-1].At, 0)
		s := standing{Alarm: Alarm{Lane: "all", Kind: "ROLLOUT_STOPPED", Priority: "urgent", At: at}, id: int(r.Release.Number), due: now.Add(answerBy)}
		if i := slices.IndexFunc(was, func(w standing) bool { return w.id == s.id && w.At.Equal(at) }); i >= 0 {
			s = was[i]
		} else {
			out = append(out, s.Alarm)
		}
		h.open = append(h.open, s)
	}
	return out
}

// late returns the alarms that nobody has answered in time, each once: they are
// the supervisor's now, as on the console. Of a lane that is not heard nobody
// knows what was answered.
func (h *heard) late(now time.Time) []Alarm {
	var out []Alarm
	for i := range h.open {
		s := &h.open[i]
		if s.told || h.away || now.Before(s.due) {
			continue
		}
		s.told = true
		a := s.Alarm
		a.Escalated = true
		out = append(out, a)
	}
	return out
}

// word lets a name of ours through and nothing else: what a lane writes there
// must not become a sentence in a room.
func word(s string) string {
	if len(s) > 40 || strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		return "unknown"
	}
	return s
}

// serve sends one target's alarms, in order and no faster than the limit; those
// beyond it are counted and told of in the next message.
func (b *Bridge) serve(ctx context.Context, t Target, in <-chan Alarm) {
	limit := rate.NewLimiter(perMinute/60.0, burst)
	held := 0
	for n := 0; ; n++ {
		var a Alarm
		select {
		case <-ctx.Done():
			return
		case a = <-in:
		}
		if !limit.Allow() {
			held++
			continue
		}
		var text bytes.Buffer
		if err := t.Text.Execute(&text, a); err != nil {
			b.Log.Error("bridge: template", "error", err)
			continue
		}
		if held > 0 {
			fmt.Fprintf(&text, " (and %d more before it)", held)
			held = 0
		}
		text.Truncate(min(text.Len(), maxText))
		// The same number at each try: a homeserver takes it once.
		id := fmt.Sprintf("passage-%d-%d", time.Now().UnixNano(), n)
		if err := b.deliver(ctx, t, id, text.String(), a); err != nil && ctx.Err() == nil {
			b.Log.Warn("bridge: an alarm was not delivered", "kind", t.Kind, "lane", a.Lane, "error", err)
		}
	}
}

func (b *Bridge) deliver(ctx context.Context, t Target, id, text string, a Alarm) error {
	var err error
	for try := range tries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(try) * time.Second):
			}
		}
		var again bool
		if again, err = b.send(ctx, t, id, text, a); err == nil || !again {
			return err
		}
	}
	return err
}

// send makes one call; again says whether another try may help.
func (b *Bridge) send(ctx context.Context, t Target, id, text string, a Alarm) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	method, to, body := http.MethodPost, t.URL, any(struct {
		Text  string `json:"text"`
		Alarm Alarm  `json:"alarm"`
	}{text, a})
	if t.Kind == "matrix" {
		// Matrix client-server API: PUT …/rooms/{roomId}/send/{eventType}/{txnId}.
		method = http.MethodPut
		to = strings.TrimSuffix(t.URL, "/") + "/_matrix/client/v3/rooms/" + url.PathEscape(t.Room) + "/send/m.room.message/" + url.PathEscape(id)
		body = map[string]string{"msgtype": "m.text", "body": text}
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return false, fmt.Errorf("bridge: %w", err)
	}
	q, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(payload))
	if err != nil {
		return false, fmt.Errorf("bridge: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	if t.Token != "" {
		q.Header.Set("Authorization", "Bearer "+t.Token)
	}
	resp, err := cmp.Or(b.HTTP, http.DefaultClient).Do(q)
	if err != nil {
		return true, fmt.Errorf("bridge: %w", errors.Unwrap(err)) // without the address, which may hold a secret
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // its status is what counts
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
	return again, fmt.Errorf("bridge: it answers %s", resp.Status)
}

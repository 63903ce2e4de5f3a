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
	"net/http"
	"net/url"
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
	Priority []string // of the alarms that are sent; empty for all
}

// Alarm is all that a template may use.
type Alarm struct {
	Site     string    `json:"site"`
	Lane     string    `json:"lane"`
	Kind     string    `json:"kind"`
	Priority string    `json:"priority"`
	At       time.Time `json:"at"`
}

// defaultText is the template where none is configured.
const defaultText = `{{.Site}}, lane {{.Lane}}: {{.Kind}} ({{.Priority}}) at {{.At.Format "15:04:05"}}`

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
)

// Bridge watches a site's lanes. Run it once.
type Bridge struct {
	Site    string
	Hub     *site.Hub
	Targets []Target
	Log     *slog.Logger
	HTTP    *http.Client // nil for the usual one
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
	seen := map[string]int{} // by lane: the highest alarm's number
	away, trouble := map[string]bool{}, map[string]bool{}
	for stamp, first := uint64(0), true; ; first = false {
		list, now, wake := b.Hub.Since(stamp)
		stamp = now
		for _, l := range list {
			for _, a := range alarms(l, seen, away, trouble) {
				a.Site = b.Site
				if first {
					continue
				}
				for i, t := range b.Targets {
					if !t.wants(a.Priority) {
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
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
	}
}

func (t Target) wants(priority string) bool {
	for _, p := range t.Priority {
		if p == priority {
			return true
		}
	}
	return len(t.Priority) == 0
}

// alarms are a lane's new ones. A lane that falls silent is one, too, and one
// whose journal the site refuses.
func alarms(l site.Lane, seen map[string]int, away, trouble map[string]bool) []Alarm {
	var out []Alarm
	if l.Away != away[l.ID] {
		if away[l.ID] = l.Away; l.Away {
			out = append(out, Alarm{Lane: l.ID, Kind: "NOT_SEEN", Priority: "urgent", At: time.UnixMilli(l.Seen)})
		}
	}
	if wrong := l.Problem != ""; wrong != trouble[l.ID] {
		if trouble[l.ID] = wrong; wrong {
			out = append(out, Alarm{Lane: l.ID, Kind: "JOURNAL_REFUSED", Priority: "urgent", At: time.Now()})
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
	last, most := seen[l.ID], 0
	for _, a := range v.Alerts {
		if most = max(most, a.ID); a.ID > last && a.By == "" {
			out = append(out, Alarm{Lane: l.ID, Kind: word(a.Kind), Priority: word(a.Priority), At: time.UnixMilli(a.At)})
		}
	}
	if most < last && most > 0 || most > last { // smaller: the lane's program has started anew
		seen[l.ID] = most
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

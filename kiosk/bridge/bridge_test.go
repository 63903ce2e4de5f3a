package bridge

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/template"
	"time"

	"passage/kiosk/rollout"
	"passage/kiosk/site"
)

var text = template.Must(Parse(""))

func TestTemplateNamesNobody(t *testing.T) {
	for _, bad := range []string{"{{.Name}}", "{{.Lane", "{{.Identity.Surname}}"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// homeserver checks a call as the Matrix client-server API has it: PUT to the
// room's send path with a transaction id, a bearer token, and an m.text event.
type homeserver struct {
	t     *testing.T
	fails int // answers 500 so often
	seen  map[string]string
	calls int
}

func (h *homeserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.calls++
	path := strings.Split(r.URL.EscapedPath(), "/")
	if r.Method != http.MethodPut || len(path) != 9 || strings.Join(path[:5], "/") != "/_matrix/client/v3/rooms" || path[5] != "%21room:example.org" || path[6] != "send" || path[7] != "m.room.message" || path[8] == "" {
		h.t.Errorf("%s %s is no call of the API", r.Method, r.URL.EscapedPath())
	}
	if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
		h.t.Errorf("headers %v", r.Header)
	}
	var e struct{ MsgType, Body string }
	if b, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(b, &e) != nil || e.MsgType != "m.text" || e.Body == "" {
		h.t.Errorf("event %q: %v", b, err)
	}
	if h.fails > 0 {
		h.fails--
		http.Error(w, `{"errcode":"M_UNKNOWN"}`, http.StatusInternalServerError)
		return
	}
	h.seen[path[8]] = e.Body
	_, _ = io.WriteString(w, `{"event_id":"$1"}`)
}

func TestMatrix(t *testing.T) {
	h := &homeserver{t: t, fails: 1, seen: map[string]string{}}
	s := httptest.NewServer(h)
	defer s.Close()
	b := &Bridge{Log: slog.New(slog.DiscardHandler)}
	at := time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)
	target := Target{Kind: "matrix", URL: s.URL + "/", Room: "!room:example.org", Token: "secret", Text: text}
	if err := b.deliver(t.Context(), target, "txn-1", "Port, lane E1: TAILGATE (urgent) at 12:00:05", Alarm{Lane: "E1", At: at}); err != nil {
		t.Fatal(err)
	}
	if got := h.seen["txn-1"]; h.calls != 2 || got != "Port, lane E1: TAILGATE (urgent) at 12:00:05" {
		t.Errorf("%d calls, %q", h.calls, got)
	}
}

// A hook that refuses is not tried again, and the error does not tell its
// address.
func TestWebhook(t *testing.T) {
	var got []string
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Error(r.Method, err)
		}
		got = append(got, string(b))
		w.WriteHeader(status)
	}))
	b := &Bridge{Log: slog.New(slog.DiscardHandler)}
	target := Target{Kind: "webhook", URL: s.URL + "/hook/key", Text: text}
	if err := b.deliver(t.Context(), target, "1", "an alarm", Alarm{Site: "Port", Lane: "E1", Kind: "FIRE", Priority: "urgent"}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !strings.Contains(got[0], `"text":"an alarm"`) || !strings.Contains(got[0], `"lane":"E1"`) {
		t.Errorf("got %q", got)
	}
	status = http.StatusForbidden
	if err := b.deliver(t.Context(), target, "2", "an alarm", Alarm{}); err == nil || len(got) != 2 {
		t.Errorf("%v after %d calls", err, len(got))
	}
	s.Close()
	if _, err := b.send(t.Context(), target, "3", "an alarm", Alarm{}); err == nil || strings.Contains(err.Error(), "hook/key") {
		t.Errorf("the error is %v", err)
	}
}

func TestAlarms(t *testing.T) {
	h := &heard{}
	take := func(view, problem string, gone bool) string {
		kinds := []string{}
		for _, a := range h.take(site.Lane{ID: "E1", Away: gone, Problem: problem, View: json.RawMessage(view)}, time.Unix(0, 0)) {
			kinds = append(kinds, a.Kind)
		}
		return strings.Join(kinds, " ")
	}
	for _, c := range []struct {
		name, view string
		problem    string
		gone       bool
		want       string
	}{
		{name: "a new one", view: `{"alerts":[{"id":1,"kind":"fire","priority":"urgent"}]}`, want: "fire"},
		{name: "the same again", view: `{"alerts":[{"id":1,"kind":"fire","priority":"urgent"}]}`},
		{name: "an acknowledged one", view: `{"alerts":[{"id":2,"kind":"help","priority":"urgent","by":"anna"}]}`},
		{name: "a sentence", view: `{"alerts":[{"id":3,"kind":"call Mr. Specimen","priority":"urgent"}]}`, want: "unknown"},
		{name: "silence", view: `{}`, gone: true, want: "NOT_SEEN"},
		{name: "still silent", view: `{}`, gone: true},
		{name: "the program starts anew", view: `{"alerts":[{"id":1,"kind":"fire","priority":"urgent","by":"anna"}]}`},
		{name: "and calls", view: `{"alerts":[{"id":2,"kind":"help","priority":"urgent"}]}`, want: "help"},
		{name: "nonsense", view: `[`},
		{name: "a journal that is refused", view: `{}`, problem: "from entry 3 on", want: "JOURNAL_REFUSED"},
		{name: "still refused", view: `{}`, problem: "from entry 3 on"},
		{name: "another journal", view: `{}`},
	} {
		if got := take(c.view, c.problem, c.gone); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// An alarm that nobody answers is sent a second time, once, and only then to the
// supervisors' room; one that was answered is not, and one of a silent lane
// neither. What is said names nobody.
func TestUnansweredGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		sent := map[string][]string{} // by host
		b := &Bridge{Site: "Port", Log: slog.New(slog.DiscardHandler), Hub: site.NewHub(), HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			var e struct{ Body, Text string }
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = json.Unmarshal(body, &e)
			}
			mu.Lock()
			defer mu.Unlock()
			sent[r.URL.Host] = append(sent[r.URL.Host], e.Body+e.Text)
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
		})}, Targets: []Target{
			{Kind: "matrix", URL: "https://hall.example", Room: "!room:example.org", Token: "secret", Text: text},
			{Kind: "webhook", URL: "https://lead.example", Text: text, Priority: []string{"escalated"}},
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		show := func(lane, view string) { b.Hub.Seen(lane, []byte(view), time.Now()); synctest.Wait() }
		look := func(what string, hall, lead int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(sent["hall.example"]) != hall || len(sent["lead.example"]) != lead {
				t.Errorf("%s: %q", what, sent)
			}
		}
		show("E1", `{}`)
		show("E2", `{}`)
		show("E1", `{"alerts":[{"id":1,"at":946684800000,"kind":"help","priority":"urgent"},{"id":2,"at":946684800000,"kind":"dwell","priority":"notice"}]}`)
		show("E2", `{"alerts":[{"id":1,"at":946684800000,"kind":"fire","priority":"urgent"}]}`)
		look("new", 3, 0)
		time.Sleep(20 * time.Second) // of virtual time
		show("E1", `{"alerts":[{"id":1,"at":946684800000,"kind":"help","priority":"urgent"},{"id":2,"at":946684800000,"kind":"dwell","priority":"notice","by":"anna"}]}`)
		time.Sleep(9 * time.Second)
		look("after 29 s", 3, 0)
		time.Sleep(2 * time.Second)
		look("after 31 s", 5, 2)
		time.Sleep(5 * time.Minute)
		look("long after", 5, 2)
		mu.Lock()
		if got, want := sent["lead.example"][0], "Port, lane E1: help (urgent) at "+time.UnixMilli(946684800000).Format("15:04:05")+": nobody has answered for half a minute"; got != want {
			t.Errorf("said %q, want %q", got, want)
		}
		mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A flood of alarms becomes a handful of messages, the last of which says how
// many there were.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		b := &Bridge{Log: slog.New(slog.DiscardHandler), HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			sent = append(sent, string(body))
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
		})}}
		ctx, cancel := context.WithCancel(t.Context())
		in := make(chan Alarm, 200)
		done := make(chan struct{})
		go func() {
			b.serve(ctx, Target{Kind: "webhook", URL: "http://hook.example/", Text: text}, in)
			close(done)
		}()
		for range 100 {
			in <- Alarm{Lane: "E1", Kind: "TAILGATE"}
		}
		synctest.Wait()
		if len(sent) != burst {
			t.Errorf("%d messages of 100 alarms at once", len(sent))
		}
		time.Sleep(time.Minute) // of virtual time
		in <- Alarm{Lane: "E1", Kind: "TAILGATE"}
		synctest.Wait()
		if n := len(sent); n != burst+1 || !strings.Contains(sent[n-1], "and 90 more") {
			t.Errorf("%d messages, the last %q", n, sent[n-1])
		}
		cancel()
		<-done
	})
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A rollout that stopped by itself is told once, goes on to the supervisor when
// nobody answers, and is over when somebody has.
func TestRolloutStopped(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stopped := site.Rollout{State: rollout.State{Phase: rollout.Stopped, Alarm: true, Events: []rollout.Note{{At: at.Unix(), What: "stopped by itself"}}}}
	stopped.Release.Number = 7
	fine := site.Rollout{State: rollout.State{Phase: rollout.Running}}
	seen := stopped
	seen.State.Seen = "lea"
	h := &heard{}
	for _, c := range []struct {
		after       time.Duration
		list        []site.Rollout
		fresh, late int
	}{
		{0, []site.Rollout{fine}, 0, 0},
		{time.Second, []site.Rollout{stopped, fine}, 1, 0},
		{2 * time.Second, []site.Rollout{stopped, fine}, 0, 0},
		{2*time.Second + answerBy, []site.Rollout{stopped}, 0, 1},
		{3*time.Second + answerBy, []site.Rollout{stopped}, 0, 0},
		{4*time.Second + answerBy, []site.Rollout{seen}, 0, 0},
		{time.Hour, []site.Rollout{seen}, 0, 0},
	} {
		now := at.Add(c.after)
		fresh, late := h.halted(c.list, now), h.late(now)
		if len(fresh) != c.fresh || len(late) != c.late {
			t.Errorf("after %v: %v, late %v", c.after, fresh, late)
		}
		for _, a := range append(fresh, late...) {
			if a.Kind != "ROLLOUT_STOPPED" || a.Priority != "urgent" || !a.At.Equal(at) {
				t.Errorf("after %v: %+v", c.after, a)
			}
		}
	}
}

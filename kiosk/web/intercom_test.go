package web

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"passage/kiosk/intercom"
)

// Only this machine's screen hears of a call, and answers it.
func TestScreenAnswersCalls(t *testing.T) {
	const sound = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=fingerprint:sha-256 00:11\r\n"
	ask := func(p http.Handler, method, from string, body any) (int, string, string) {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(method, "/traveller/call", bytes.NewReader(b))
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Code, w.Body.String(), w.Header().Get("Permissions-Policy")
	}
	const own, other = "127.0.0.1:5000", "192.0.2.7:5000"
	_, without := newPages(t)
	if s, _, _ := ask(without, "GET", own, nil); s != http.StatusNotFound {
		t.Errorf("a lane without an intercom: %d", s)
	}
	_, p := newPages(t)
	booth := &intercom.Booth{Lane: func() (map[string]bool, string) { return map[string]bool{"anna": true}, "t1" }, Log: slog.New(slog.DiscardHandler)}
	p.(*Pages).Intercom(booth)
	if s, _, _ := ask(p, "GET", own, nil); s != http.StatusNotFound {
		t.Errorf("nobody calls: %d", s)
	}
	if err := booth.Call("anna", "t1", sound, time.Now()); err != nil {
		t.Fatal(err)
	}
	if s, body, _ := ask(p, "GET", other, nil); s != http.StatusForbidden || strings.Contains(body, "v=0") {
		t.Errorf("another machine: %d %s", s, body)
	}
	_, body, policy := ask(p, "GET", own, nil)
	var call struct{ ID, Offer string }
	if err := json.Unmarshal([]byte(body), &call); err != nil || call.Offer != sound {
		t.Errorf("the screen is told %s, %v", body, err)
	}
	if strings.Contains(policy, "microphone=(self)") {
		t.Error("what is no page has a microphone")
	}
	for _, c := range []struct {
		from string
		body any
		want int
	}{
		{other, map[string]any{"id": call.ID, "sdp": sound}, http.StatusForbidden},
		{own, map[string]any{"id": "another", "sdp": sound}, http.StatusConflict},
		{own, map[string]any{"id": call.ID, "sdp": "v=0\r\nm=video"}, http.StatusConflict},
		{own, map[string]any{"id": call.ID, "record": true}, http.StatusBadRequest},
		{own, map[string]any{"id": call.ID, "sdp": sound}, http.StatusNoContent},
		{own, map[string]any{"id": call.ID, "sdp": sound}, http.StatusConflict},
		{own, map[string]any{"id": call.ID, "over": true}, http.StatusNoContent},
	} {
		if s, _, _ := ask(p, "POST", c.from, c.body); s != c.want {
			t.Errorf("%v from %s: %d, want %d", c.body, c.from, s, c.want)
		}
	}
	if id, _ := booth.Now(time.Now()); id != "" {
		t.Error("the screen said that it is over")
	}
}

package console

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/intercom"
	"passage/kiosk/officer"
	"passage/kiosk/site"
)

const sound = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=fingerprint:sha-256 00:11\r\n"

// A call reaches a traveller's screen by an officer's proven word alone, who has
// the right and watches the lane.
func TestIntercom(t *testing.T) {
	var watching atomic.Bool
	booth := &intercom.Booth{Lane: func() (map[string]bool, string) { return map[string]bool{"anna": watching.Load()}, txn }, Log: quiet}
	w, anna, ben := equipped(t, booth)
	call := func(b *browser, more func(*officer.Envelope)) (int, string) {
		e := b.envelope(officer.Word{Lane: "E1", Kind: officer.Intercom, Transaction: txn, Value: "call", Text: sound})
		if more != nil {
			more(&e)
		}
		var a fleet.Answer
		s := b.call("POST", "/api/word/E1", e, &a)
		return s, a.Code
	}
	rings := func() bool { id, _ := booth.Now(time.Now()); return id != "" }
	if s, _ := call(ben, nil); s != http.StatusForbidden || rings() {
		t.Errorf("a technician calls: %d", s)
	}
	if s := ben.call("GET", "/api/lane/E1/call", nil, nil); s != http.StatusForbidden {
		t.Errorf("a technician asks who speaks: %d", s)
	}
	// A console that puts itself between: its own fingerprint in the officer's word.
	s, code := call(anna, func(e *officer.Envelope) { e.Word = bytes.Replace(e.Word, []byte("00:11"), []byte("66:66"), 1) })
	if s != http.StatusForbidden || code != "unproven" || rings() {
		t.Errorf("an altered offer: %d %s", s, code)
	}
	watching.Store(false)
	if s, code := call(anna, nil); s != http.StatusForbidden || code != "not_allowed" || rings() {
		t.Errorf("an officer who does not watch the lane: %d %s", s, code)
	}
	watching.Store(true)
	if s, _ := call(anna, nil); s != http.StatusOK || !rings() {
		t.Fatalf("anna calls: %d", s)
	}
	id, got := booth.Now(time.Now())
	if got != sound {
		t.Errorf("the screen is offered %q", got)
	}
	if !booth.Answer(id, sound) {
		t.Fatal("the screen's answer is refused")
	}
	var state intercom.State
	if s := anna.call("GET", "/api/lane/E1/call", nil, &state); s != http.StatusOK || state.Officer != "anna" || state.Answer != sound {
		t.Errorf("anna is told %d %+v", s, state)
	}
	if s := anna.call("POST", "/api/word/E1", anna.envelope(officer.Word{Lane: "E1", Kind: officer.Intercom, Value: "end"}), nil); s != http.StatusOK || rings() {
		t.Errorf("anna hangs up: %d", s)
	}
	// The audit knows who, where and when.
	words, err := w.site.Words(t.Context(), "anna", "E1", txn, time.Now().Add(-time.Minute), time.Now().Add(time.Minute))
	if err != nil || !slices.ContainsFunc(words, func(x site.Word) bool { return x.Kind == "intercom" && x.Value == "call" && x.Answer == "accepted" }) {
		t.Errorf("the audit has %+v, %v", words, err)
	}
}

func TestNoIntercom(t *testing.T) {
	_, anna, _ := ready(t)
	var a fleet.Answer
	e := anna.envelope(officer.Word{Lane: "E1", Kind: officer.Intercom, Transaction: txn, Value: "call", Text: sound})
	if s := anna.call("POST", "/api/word/E1", e, &a); s != http.StatusConflict || a.Code != "not_now" {
		t.Errorf("a call: %d %+v", s, a)
	}
	if s := anna.call("GET", "/api/lane/E1/call", nil, nil); s != http.StatusNotFound {
		t.Errorf("who speaks there: %d", s)
	}
}

// Pages without a use for it have no microphone.
func TestMicrophone(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]bool{"/": true, "/register": false, "/api/me": false, "/static/console.js": false} {
		r, err := http.Get(w.pages.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if got := r.Header.Get("Permissions-Policy"); strings.Contains(got, "microphone=(self)") != want || !strings.Contains(got, "camera=()") {
			t.Errorf("%s: %q", path, got)
		}
	}
}

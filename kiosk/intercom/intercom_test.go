package intercom

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"passage/kiosk"
)

// offer is a browser's, for sound alone.
const offer = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 2122260223 192.0.2.10 50123 typ host\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef01234567\r\na=fingerprint:sha-256 00:11:22\r\na=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\n"

// lane is whom a booth asks.
type lane struct {
	officers map[string]bool
	under    string
}

func booth() (*lane, *Booth) {
	l := &lane{map[string]bool{"anna": true, "ben": true}, "t1"}
	return l, &Booth{Lane: func() (map[string]bool, string) { return l.officers, l.under }, Log: slog.New(slog.DiscardHandler)}
}

var start = time.Unix(1_800_000_000, 0)

func TestCall(t *testing.T) {
	for _, c := range []struct {
		name                        string
		officer, transaction, offer string
		set                         func(*lane, *Booth)
		want                        error
	}{
		{"who watches speaks", "anna", "t1", offer, nil, nil},
		{"somebody who does not", "eve", "t1", offer, nil, kiosk.ErrNotAllowed},
		{"a traveller who has gone", "anna", "t0", offer, nil, kiosk.ErrStale},
		{"nobody there", "anna", "", offer, func(l *lane, _ *Booth) { l.under = "" }, kiosk.ErrStale},
		{"another officer speaks", "anna", "t1", offer, func(_ *lane, b *Booth) { _ = b.Call("ben", "t1", offer, start) }, kiosk.ErrNotNow},
		{"the other one watches no more", "anna", "t1", offer, func(l *lane, b *Booth) {
			_ = b.Call("ben", "t1", offer, start)
			delete(l.officers, "ben")
		}, nil},
		{"called anew", "anna", "t1", offer, func(_ *lane, b *Booth) { _ = b.Call("anna", "t1", offer, start) }, nil},
		{"again and again", "anna", "t1", offer, func(_ *lane, b *Booth) {
			for range 3 {
				_ = b.Call("anna", "t1", offer, start)
			}
		}, kiosk.ErrNotNow},
		{"no offer", "anna", "t1", "", nil, kiosk.ErrNotNow},
	} {
		l, b := booth()
		if c.set != nil {
			c.set(l, b)
		}
		if err := b.Call(c.officer, c.transaction, c.offer, start); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if id, got := b.Now(start); c.want == nil && (id == "" || got != c.offer) {
			t.Errorf("%s: the screen is told %q", c.name, id)
		}
	}
}

func TestSound(t *testing.T) {
	for name, sdp := range map[string]string{
		"video":             offer + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
		"data":              offer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
		"two of sound":      offer + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n",
		"in clear":          strings.Replace(offer, "UDP/TLS/RTP/SAVPF", "RTP/AVP", 1),
		"no fingerprint":    strings.Replace(offer, "a=fingerprint", "a=fingerprints", 1),
		"two fingerprints":  offer + "a=fingerprint:sha-256 33:44:55\r\n",
		"a weak hash":       strings.Replace(offer, "sha-256", "sha-1", 1),
		"what is no text":   offer + "a=\x00\r\n",
		"far too much":      offer + strings.Repeat("a=x\r\n", 2000),
		"nothing":           "",
		"something else":    "hello",
		"a line of another": strings.Replace(offer, "m=audio", "\rm=audio", 1),
	} {
		if Sound(sdp) {
			t.Errorf("%s is taken", name)
		}
	}
	if !Sound(offer) {
		t.Error("an offer is not taken")
	}
}

// A call ends by itself, whoever forgets it, and never without being asked.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		set   func(*lane, *Booth, string)
		ends  bool
	}{
		{"it goes on", 9 * time.Minute, func(*lane, *Booth, string) {}, false},
		{"long enough", 10 * time.Minute, func(*lane, *Booth, string) {}, true},
		{"signed out", time.Second, func(l *lane, _ *Booth, _ string) { delete(l.officers, "anna") }, true},
		{"somebody else signed out", time.Second, func(l *lane, _ *Booth, _ string) { delete(l.officers, "ben") }, false},
		{"the traveller left a moment ago", 14 * time.Second, func(l *lane, b *Booth, _ string) { l.under = ""; b.Now(start) }, false},
		{"the traveller has gone", 15 * time.Second, func(l *lane, b *Booth, _ string) { l.under = ""; b.Now(start) }, true},
		{"the next one is here", time.Second, func(l *lane, _ *Booth, _ string) { l.under = "t2" }, true},
		{"hung up", 0, func(_ *lane, b *Booth, _ string) { _ = b.Hang("anna", start) }, true},
		{"somebody else hung up", 0, func(_ *lane, b *Booth, _ string) {
			if b.Hang("ben", start) == nil {
				panic("ben hung up anna's call")
			}
		}, false},
		{"the line broke", 0, func(_ *lane, b *Booth, id string) { b.Lost(id, start) }, true},
		{"another line broke", 0, func(_ *lane, b *Booth, _ string) { b.Lost("t0-1", start) }, false},
	} {
		l, b := booth()
		if err := b.Call("anna", "t1", offer, start); err != nil {
			t.Fatal(err)
		}
		id, _ := b.Now(start)
		if !b.Answer(id, offer) || b.Answer(id, offer) || b.Answer("t0-1", offer) {
			t.Fatalf("%s: answers are taken once, to this call", c.name)
		}
		c.set(l, b, id)
		if id, _ := b.Now(start.Add(c.after)); (id == "") != c.ends {
			t.Errorf("%s: call %q", c.name, id)
		}
		raw, err := b.State(start.Add(c.after))
		if err != nil {
			t.Fatal(err)
		}
		var s State
		if err := json.Unmarshal(raw, &s); err != nil || (s.Officer == "anna") == c.ends || (s.Answer == offer) == c.ends {
			t.Errorf("%s: the officer is told %s, %v", c.name, raw, err)
		}
	}
	_, b := booth()
	if err := b.Call("anna", "t1", offer, start); err != nil {
		t.Fatal(err)
	}
	if id, _ := b.Now(start.Add(ringFor)); id != "" {
		t.Error("a screen without an ear is called for ever")
	}
}

// FuzzSound: what is taken is one encrypted line of sound, in lines of text.
func FuzzSound(f *testing.F) {
	f.Add(offer)
	f.Add("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=fingerprint:sha-256 x")
	f.Fuzz(func(t *testing.T, sdp string) {
		if !Sound(sdp) {
			return
		}
		if len(sdp) > mostSDP || strings.Count("\n"+sdp, "\nm=") != 1 || strings.Contains(sdp, "\x00") {
			t.Errorf("taken: %q", sdp)
		}
	})
}

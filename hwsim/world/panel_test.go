package world_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"passage/hwsim/panel"
	"passage/hwsim/persona"
)

func catalogue(t *testing.T) []persona.Persona {
	t.Helper()
	list, err := persona.All()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What somebody does with a lane is written down as a scenario, and passes when
// it is played.
func TestRecordingIsAScenario(t *testing.T) {
	handsOn(t, "entry", catalogue(t), func(ctx context.Context, l *panel.Lane) {
		do := func(lines ...string) {
			t.Helper()
			for _, line := range lines {
				if err := l.Do(ctx, line); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
		}
		do("await screen S1")
		l.Record()
		do("lay P01", "await screen S3")
		time.Sleep(2 * time.Second) // virtual: somebody thinks
		do("take", "await entry open", "walk 0.1", "walk 0.5", "walk marks", "await exit open", "walk out", "await outcome released")
		text := l.Recorded()
		l.Cut()
		for _, want := range []string{"lane entry\n", "lay P01\n", "await screen S3\ntake\n", "await exit open\n", "walk marks\n", "outcome released\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("nothing says %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "walk 0.5") {
			t.Errorf("every step of a hand that leads is written down:\n%s", text)
		}
		s, err := panel.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if p := l.Play(ctx, s); !p.OK {
			t.Errorf("line %d, %s: %s", p.Line, p.Text, p.Problem)
		}
	})
}

func TestWordsAreRefused(t *testing.T) {
	handsOn(t, "entry", catalogue(t), func(ctx context.Context, l *panel.Lane) {
		for line, why := range map[string]string{
			"dance": "no word", "send": "send PERSONA", "send P99": "nobody", "send P01 age=old": "age", "send P02": "exit lane", "walk marks": "nobody is in the lane",
			"walk": "walk", "walk to the moon": "walk", "fault none_such": "no fault", "fault camera.none": "no fault", "fault register.SIS=none": "register.WHAT=NAME", "fault fire 3": "count",
			"clear none_such": "no fault", "power maybe": "on or off", "officer nobody": "script or by hand", "wait long": "no time", "await 1ms screen S9": `is "S1"`, "await thing so": "no \"thing\"",
			"await 1ms entry ajar": "open, closed or moving", "lane exit": "entry lane", "face P99": "nobody", `send P01 name=["A`: "does not end", "decide release": "not possible", "bag 77": "metres", "take": "nobody is in the lane", "join": "nobody is in the lane",
		} {
			if line == "await 1ms screen S9" {
				if err := l.Do(ctx, "await screen S1"); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Do(ctx, line); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%q: %v, want a word about %q", line, err, why)
			}
		}
		if err := l.Do(ctx, "# nothing"); err != nil {
			t.Error(err)
		}
	})
}

// The interface that an integrator's CI uses, as docs/integrators.md describes
// it.
func TestInterface(t *testing.T) {
	handsOn(t, "entry", catalogue(t), func(ctx context.Context, l *panel.Lane) {
		h, err := panel.Handler(l)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body)).WithContext(ctx)
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		for _, c := range []struct {
			method, path, body string
			status             int
			says               string
		}{
			{"GET", "/", "", 200, "<title>Passage panel"},
			{"GET", "/static/panel.js", "", 200, "EventSource"},
			{"GET", "/api/catalogue", "", 200, `"id":"P01"`},
			{"GET", "/api/lanes", "", 200, `"name":"X1"`},
			{"GET", "/api/lanes/none", "", 404, "no lane"},
			{"POST", "/api/lanes/X1/do", `{"words":"await screen S1"}`, 200, `"gate":"READY"`},
			{"POST", "/api/lanes/X1/do", `{"words":"dance"}`, 422, "no word"},
			{"POST", "/api/lanes/X1/do", `{"word":"dance"}`, 400, "cannot be read"},
			{"POST", "/api/lanes/X1/play", "dance\n", 400, "line 1"},
			{"POST", "/api/lanes/X1/play", "send P01\nawait outcome released\nawait records 1\n", 200, `"ok":true`},
			{"POST", "/api/lanes/X1/play", "send P01\nawait outcome diverted_out\n", 422, `"line":2`},
			{"POST", "/api/lanes/X1/play", strings.Repeat("#\n", 40_000), 413, "too large"},
			{"GET", "/api/lanes/X1/trace", "", 200, "OPEN_ENTRY(1"},
			{"GET", "/api/lanes/X1/trace", "", 200, "[SM] READ BINARY"},
			{"GET", "/api/lanes/X1/trace?routine=1", "", 200, "HEARTBEAT"},
			{"PUT", "/api/lanes/X1/recording", "", 204, ""},
			{"GET", "/api/lanes/X1/recording", "", 200, "lane entry"},
			{"DELETE", "/api/lanes/X1/recording", "", 204, ""},
			{"GET", "/api/lanes/X1/camera", "", 404, "no picture"},
		} {
			w := ask(c.method, c.path, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s %s %.40s: %d, %.300s; want %d and %q", c.method, c.path, c.body, w.Code, w.Body, c.status, c.says)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy %q", c.path, csp)
			}
		}
		if w := ask("POST", "/api/lanes/X1/do", `{"words":"power off"}`, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
			t.Errorf("another site's page: %d", w.Code)
		}
		r := httptest.NewRequest("GET", "http://elsewhere.example/api/lanes", nil)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Errorf("by another name: %d", w.Code)
		}

		// The stream tells the lane and its wires until the client has gone.
		soon, stop := context.WithTimeout(ctx, 3*time.Second)
		defer stop()
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/api/lanes/X1/events", nil).WithContext(soon))
		first, _, _ := strings.Cut(w.Body.String(), "\n\n")
		data, ok := strings.CutPrefix(first, "event: view\ndata: ")
		var v panel.View
		if err := json.Unmarshal([]byte(data), &v); !ok || err != nil || v.Name != "X1" || !strings.Contains(w.Body.String(), "event: trace\n") {
			t.Errorf("%v, %.200s", err, w.Body)
		}
	})
}

// A long life on the wires keeps news and forgets the oldest of it, whatever
// was routine between.
func TestTraceIsBounded(t *testing.T) {
	handsOn(t, "entry", catalogue(t), func(ctx context.Context, l *panel.Lane) {
		h, err := panel.Handler(l)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Do(ctx, "await screen S1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // virtual
		count := func(query string) (lines []panel.Line) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/api/lanes/X1/trace"+query, nil))
			if err := json.Unmarshal(w.Body.Bytes(), &lines); err != nil {
				t.Fatal(err)
			}
			return lines
		}
		news, all := count(""), count("?routine=1")
		if len(news) == 0 || !strings.Contains(news[0].Text, "who are you") {
			t.Errorf("the first of %d lines of news is %+v", len(news), news)
		}
		if n := len(all) - len(news); n != 2000 {
			t.Errorf("%d lines of routine are kept", n)
		}
		for i := range all[1:] {
			if all[i].N >= all[i+1].N {
				t.Fatal("out of order")
			}
		}
	})
}

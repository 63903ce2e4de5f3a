package web

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// fake is a lane that notes what it is told.
type fake struct {
	view kiosk.View
	said []string
	err  error
}

func (f *fake) View() kiosk.View                      { return f.view }
func (f *fake) Watch(context.Context) <-chan struct{} { return nil }
func (f *fake) Renew(context.Context) error           { f.said = append(f.said, "renew"); return f.err }
func (f *fake) Present(o string, here bool)           {}
func (f *fake) Acknowledge(int, string) error         { return f.err }
func (f *fake) Face(string, string) ([]byte, bool)    { return []byte{0xFF, 0xD8}, true }
func (f *fake) Preview(_ context.Context, show func([]byte) error) error {
	return show([]byte{0xFF, 0xD8, 0xFF})
}
func (f *fake) Help()     { f.said = append(f.said, "help") }
func (f *fake) MoreTime() { f.said = append(f.said, "more time") }
func (f *fake) Cases(context.Context) ([]kiosk.Case, error) {
	return []kiosk.Case{{Transaction: "t1", Why: "power_cut"}}, f.err
}
func (f *fake) SettleCase(context.Context, string, string, string) error { return f.err }
func (f *fake) Decide(_ context.Context, o kiosk.Officer, _ string, d lane.Decision, _, _, _ string) error {
	f.said = append(f.said, o.ID+" "+d.String())
	return f.err
}

func (f *fake) Order(_ context.Context, o kiosk.Officer, x lane.OfficerOrder) error {
	f.said = append(f.said, o.ID+" "+x.String())
	return f.err
}

func newPages(t *testing.T) (*fake, http.Handler) {
	t.Helper()
	h, err := HashPIN("4711")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	p, err := New(f, []Officer{{"anna", "Anna", "guard", h}})
	if err != nil {
		t.Fatal(err)
	}
	return f, p
}

func call(p http.Handler, method, path, body string, cookies ...*http.Cookie) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

func TestAnOfficerSignsInAndDecides(t *testing.T) {
	_, p := newPages(t)
	for _, path := range []string{"decide", "order", "presence", "sign-out"} {
		if r := call(p, "POST", "/lane/api/"+path, "{}"); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without signing in: %d", path, r.StatusCode)
		}
	}
	if r := call(p, "GET", "/lane/face/x/chip", ""); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a face without signing in: %d", r.StatusCode)
	}
	for range tries {
		if r := call(p, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"0000"}`); r.StatusCode != http.StatusForbidden {
			t.Errorf("a wrong PIN: %d", r.StatusCode)
		}
	}
	if r := call(p, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"4711"}`); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("after %d wrong ones: %d", tries, r.StatusCode)
	}
	f, p := newPages(t)
	r := call(p, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"4711"}`)
	if r.StatusCode != http.StatusOK || len(r.Cookies()) != 1 || !r.Cookies()[0].HttpOnly || r.Cookies()[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("signing in: %d %v", r.StatusCode, r.Cookies())
	}
	c := r.Cookies()[0]
	for _, x := range []struct {
		path, body string
		err        error
		want       int
		said       string
	}{
		{"decide", `{"transaction":"u","decision":"release","reason":"face"}`, nil, 200, "anna release"},
		{"decide", `{"transaction":"u","decision":"release","reason":"face"}`, kiosk.ErrSecond, 202, "anna release"},
		{"decide", `{"transaction":"u","decision":"divert","reason":"face"}`, kiosk.ErrStale, 409, "anna divert"},
		{"decide", `{"transaction":"u","decision":"release","reason":"x"}`, kiosk.ErrNotAllowed, 403, "anna release"},
		{"decide", `{"transaction":"u","decision":"arrest"}`, nil, 400, ""},
		{"decide", `{"colour":"red"}`, nil, 400, ""},
		{"order", `{"order":"clear_alarms"}`, nil, 200, "anna clear_alarms"},
		{"order", `{"order":"explode"}`, nil, 400, ""},
	} {
		f.said, f.err = nil, x.err
		r := call(p, "POST", "/lane/api/"+x.path, x.body, c)
		if r.StatusCode != x.want || strings.Join(f.said, ",") != x.said {
			t.Errorf("%s %s: %d, lane heard %v; want %d, %q", x.path, x.body, r.StatusCode, f.said, x.want, x.said)
		}
	}
	if r := call(p, "POST", "/lane/api/sign-out", "{}", c); r.StatusCode != http.StatusNoContent {
		t.Errorf("signing out: %d", r.StatusCode)
	}
	if r := call(p, "POST", "/lane/api/presence", "{}", c); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", r.StatusCode)
	}
}

func TestAnotherSiteCannotAct(t *testing.T) {
	f, p := newPages(t)
	r := httptest.NewRequest("POST", "/traveller/help", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://elsewhere.example")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || len(f.said) != 0 {
		t.Errorf("status %d, the lane heard %v", w.Code, f.said)
	}
}

// The traveller's screen is the same for every reason to divert, and its type
// has no field that could tell one.
func TestTravellerIsToldNothing(t *testing.T) {
	f, _ := newPages(t)
	s := &server{lane: f}
	var first []byte
	for r := lane.AGE; r <= lane.FIRE; r++ {
		for _, p := range []lane.Phase{lane.DivertOut, lane.DivertIn} {
			f.view.State = lane.State{Phase: p, Reason: r, Held: lane.ByDecide}
			f.view.State.Vector.Answers[lane.CheckSIS] = lane.HitAction
			b, err := json.Marshal(s.traveller())
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b
			}
			if string(b) != string(first) {
				t.Errorf("%v %v shows %s, another %s", p, r, b, first)
			}
		}
	}
	typ := reflect.TypeFor[Traveller]()
	if typ.NumField() != 11 {
		t.Errorf("the traveller's screen is told %d things: does each belong there?", typ.NumField())
	}
}

func TestNotSignedInSeesNoCase(t *testing.T) {
	v := kiosk.View{Crossing: &kiosk.Crossing{UUID: "u", Identity: kiosk.Identity{Surname: "KANARIENVOGEL"}}, Alerts: []kiosk.Alert{{ID: 1}}}
	b, err := json.Marshal(view(v, nil))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "KANARIE") || strings.Contains(string(b), `"alerts"`) {
		t.Errorf("a stranger sees %s", b)
	}
}

func TestTexts(t *testing.T) {
	all, err := texts()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(slices.Sorted(maps.Keys(all)), " "); got != "ar de en es fr it ja ko nl pl pt ro ru uk zh" {
		t.Errorf("the languages are %s", got)
	}
	for lang, m := range all {
		for k, v := range m {
			if n := len(strings.Fields(v)); n > 8 && !strings.HasPrefix(k, "data") {
				t.Errorf("%s %s has %d words: %q", lang, k, n, v)
			}
			if lang != "en" && k != "help" && k != "name" && v == all["en"][k] {
				t.Errorf("%s %s is the English text", lang, k)
			}
		}
	}
}

// A language chosen before the document is placed holds for its owner, and for
// nobody after them.
func TestLanguageChosenEarly(t *testing.T) {
	f, _ := newPages(t)
	all, err := texts()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{lane: f, texts: all}
	choose := func(lang string) {
		w := httptest.NewRecorder()
		s.language(w, httptest.NewRequest("POST", "/", strings.NewReader(`{"lang":"`+lang+`"}`)))
		if w.Code != http.StatusNoContent {
			t.Fatalf("choosing %s: %d", lang, w.Code)
		}
	}
	want := func(when, lang string) {
		t.Helper()
		if got := s.traveller().Lang; got != lang {
			t.Errorf("%s: %s, want %s", when, got, lang)
		}
	}
	choose("ko")
	want("before the document", "ko")
	f.view.Crossing = &kiosk.Crossing{UUID: "a", Document: policy.Document{Issuer: "FRA"}}
	want("with a French document", "ko")
	f.view.Crossing = &kiosk.Crossing{UUID: "b", Document: policy.Document{Issuer: "FRA"}}
	want("the next traveller", "fr")
	f.view.Crossing = nil
	choose("ko")
	s.langAt = s.langAt.Add(-2 * chosenFor)
	want("somebody chose and went away", "en")
}

// How long a traveller may stay is theirs to know once the exit opens, and
// nothing else is ever told.
func TestStayOnRequest(t *testing.T) {
	good := kiosk.Stay{Status: "ok", Days: 60, LastDay: "2026-08-18"}
	for _, c := range []struct {
		name  string
		phase lane.Phase
		stay  kiosk.Stay
		dir   policy.Direction
		want  int
	}{
		{"the exit is open", lane.Release, good, policy.Entry, 200},
		{"before the decision", lane.Decide, good, policy.Entry, 404},
		{"diverted", lane.DivertIn, good, policy.Entry, 404},
		{"undetermined", lane.Release, kiosk.Stay{Status: "undetermined"}, policy.Entry, 404},
		{"overstay", lane.Release, kiosk.Stay{Status: "ok", Overstay: 5, LastDay: "2026-08-18"}, policy.Entry, 404},
		{"leaving", lane.Release, good, policy.Exit, 404},
		{"a citizen", lane.Release, kiosk.Stay{}, policy.Entry, 404},
	} {
		f, p := newPages(t)
		f.view.State.Phase, f.view.Config.Policy.Direction = c.phase, c.dir
		f.view.Crossing = &kiosk.Crossing{UUID: "u", Stay: c.stay}
		r := call(p, "GET", "/traveller/stay", "")
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != c.want {
			t.Errorf("%s: %d %s, %v", c.name, r.StatusCode, b, err)
		}
		if c.want == 200 && strings.TrimSpace(string(b)) != `{"days":60,"last_day":"2026-08-18"}` {
			t.Errorf("%s: it tells %s", c.name, b)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(`{"transaction":"u","decision":"release","reason":"face"}`)
	f.Fuzz(func(t *testing.T, body string) {
		lane := &fake{}
		s := &server{lane: lane}
		w := httptest.NewRecorder()
		s.decide(w, httptest.NewRequest("POST", "/", strings.NewReader(body)), &session{})
		if w.Code != http.StatusOK && len(lane.said) > 0 {
			t.Errorf("%q: status %d, and the lane heard %v", body, w.Code, lane.said)
		}
	})
}

// The traveller's picture goes to the lane's own screen, while they stand
// before the camera, and nowhere else.
func TestPreview(t *testing.T) {
	for _, c := range []struct {
		name, from string
		phase      lane.Phase
		want       int
	}{
		{"inside", "127.0.0.1:4000", lane.Inside, 200},
		{"in review, by IPv6", "[::1]:4000", lane.Review, 200},
		{"before the entry", "127.0.0.1:4000", lane.TakeDoc, 404},
		{"after the decision", "127.0.0.1:4000", lane.Release, 404},
		{"from another machine", "192.0.2.7:4000", lane.Inside, 403},
	} {
		f, p := newPages(t)
		f.view.State.Phase = c.phase
		r := httptest.NewRequest("GET", "/traveller/preview", nil)
		r.RemoteAddr = c.from
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != c.want || (c.want == 200) != strings.Contains(w.Body.String(), "Content-Length: 3\r\n\r\n\xFF\xD8\xFF\r\n--picture") {
			t.Errorf("%s: %d %q", c.name, w.Code, w.Body)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: it may be cached", c.name)
		}
	}
}

// Whoever goes away is signed out, though their page goes on asking; whoever
// moves the mouse is not.
func TestAnEmptyChair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := newPages(t)
		r := call(p, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"4711"}`)
		if r.StatusCode != http.StatusOK {
			t.Fatal(r.StatusCode)
		}
		c := r.Cookies()[0]
		for range 2 * idle / time.Minute {
			time.Sleep(time.Minute)
			if r := call(p, "POST", "/lane/api/here", "", c); r.StatusCode != http.StatusNoContent {
				t.Fatalf("signed out at work: %d", r.StatusCode)
			}
		}
		for at := time.Duration(0); ; at += 5 * time.Second {
			if r := call(p, "POST", "/lane/api/presence", "", c); r.StatusCode == http.StatusUnauthorized {
				if at < idle || at > idle+10*time.Second {
					t.Errorf("signed out after %v", at)
				}
				return
			} else if at > 2*idle {
				t.Fatal("an empty chair keeps its lane open")
			}
			call(p, "GET", "/lane/api/cases", "", c)
			time.Sleep(5 * time.Second)
		}
	})
}

// A traveller may ask for more time for as long as something is still theirs to
// do, once; the next one finds it not asked for.
func TestMoreTime(t *testing.T) {
	f, p := newPages(t)
	if r := call(p, "POST", "/traveller/more-time", ""); r.StatusCode != http.StatusNoContent || strings.Join(f.said, ",") != "more time" {
		t.Errorf("asking: %d, the lane heard %v", r.StatusCode, f.said)
	}
	s := &server{lane: f}
	for _, c := range []struct {
		phase     lane.Phase
		unhurried bool
		want      string
	}{
		{lane.Idle, false, "ask"},
		{lane.Idle, true, "given"},
		{lane.TakeDoc, false, "ask"},
		{lane.Inside, true, "given"},
		{lane.Release, false, ""}, // the leaf closes when it was told to
		{lane.Release, true, "given"},
		{lane.DivertOut, true, ""}, // the same for everybody
		{lane.OutOfService, false, ""},
		{lane.Evacuate, true, ""},
	} {
		f.view.State.Phase, f.view.Unhurried = c.phase, c.unhurried
		if got := s.traveller().More; got != c.want {
			t.Errorf("%v, asked %v: %q, want %q", c.phase, c.unhurried, got, c.want)
		}
	}
}

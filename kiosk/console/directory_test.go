package console

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	simulated "passage/hwsim/directory"
	"passage/kiosk/directory"
	"passage/kiosk/officer"
	"passage/kiosk/site"
)

// organised is a world with a directory.
type organised struct {
	*world
	provider *simulated.Provider
	there    *httptest.Server
	console  *Console
}

func organisedWorld(t *testing.T, offline time.Duration) *organised {
	t.Helper()
	w := &organised{world: newWorld(t)}
	w.there = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.provider.ServeHTTP(out, r) }))
	t.Cleanup(w.there.Close)
	callback := w.pages.URL + "/directory/callback"
	var err error
	if w.provider, err = simulated.New(w.there.URL, "passage", "s3cret", callback); err != nil {
		t.Fatal(err)
	}
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt", Groups: []string{"guards"}})
	w.provider.Put("s-sam", &simulated.Person{Name: "Sam Sicher", Groups: []string{"leads"}})
	w.provider.Put("s-eve", &simulated.Person{Name: "Eve", Groups: []string{"choir"}})
	d, err := directory.New(directory.Config{
		Issuer: w.there.URL, Client: "passage", Secret: "s3cret", Redirect: callback, Groups: "groups",
		Roles: map[string]officer.Role{"guards": officer.Guard, "leads": officer.Supervisor, "technicians": officer.Technician},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.console, err = New(w.site, Config{
		Name: "Testport", RPID: "localhost", Origins: []string{w.origin()}, RosterKey: w.key.Public().(ed25519.PublicKey), Ratio: 6, Idle: 10 * time.Minute, Log: quiet,
		Directory: &Directory{Directory: d, Recheck: 10 * time.Minute, Offline: offline},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.pages.Config.Handler = w.console
	return w
}

// named goes to the directory, says there who it is, and comes back. It returns
// where it has landed.
func (b *browser) named(subject string) string {
	b.w.t.Helper()
	var begun struct{ Address string }
	if s := b.call("POST", "/api/directory/begin", map[string]any{"page": "/"}, &begun); s != http.StatusOK {
		b.w.t.Fatalf("begin: %d", s)
	}
	r, err := b.http.PostForm(begun.Address, url.Values{"subject": {subject}})
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Body.Close()
	if r.Request.URL.RawQuery != "" {
		b.w.t.Errorf("the code stays in the address: %s", r.Request.URL)
	}
	return r.Request.URL.Fragment
}

// staffed has anna, a guard, and sam, a supervisor, with passkeys and a roster.
func staffed(t *testing.T, offline time.Duration) (w *organised, anna, sam *browser) {
	w = organisedWorld(t, offline)
	anna, sam = w.browser(), w.browser()
	anna.named("s-anna")
	anna.register("anna", "Anna Amt", officer.Guard)
	sam.named("s-sam")
	sam.register("sam", "Sam Sicher", officer.Supervisor)
	w.roster()
	return w, anna, sam
}

func (w *organised) after(d time.Duration) {
	w.console.server.recheck(context.Background(), time.Now().Add(d))
}

// An officer needs the directory and the passkey; either one alone is nothing.
func TestDirectoryAndPasskey(t *testing.T) {
	_, anna, _ := staffed(t, time.Hour)
	if s := anna.signIn("anna"); s != http.StatusForbidden {
		t.Errorf("a passkey alone: %d", s)
	}
	var me struct{ Directory *first }
	anna.named("s-anna")
	if anna.call("GET", "/api/me", nil, &me); me.Directory == nil || me.Directory.Officer != "anna" || me.Directory.Person != "Anna Amt" {
		t.Errorf("the page is told %+v", me.Directory)
	}
	if s := anna.call("GET", "/api/crossings", nil, nil); s != http.StatusUnauthorized {
		t.Errorf("the directory alone: %d", s)
	}
	if s := anna.signIn("sam"); s != http.StatusForbidden {
		t.Errorf("as somebody else: %d", s)
	}
	if s := anna.signIn("anna"); s != http.StatusOK {
		t.Errorf("both: %d", s)
	}
	if s := anna.signIn("anna"); s != http.StatusForbidden {
		t.Errorf("the directory's word was used twice: %d", s)
	}
	anna.named("s-sam")
	if s := anna.signIn("anna"); s != http.StatusForbidden {
		t.Errorf("with somebody else's passkey: %d", s)
	}
}

// Who registers is whom the directory names, with the invitation's role, for good.
func TestEnrolmentByDirectory(t *testing.T) {
	w, _, _ := staffed(t, time.Hour)
	invite := func(id string, role officer.Role) string {
		code, err := w.site.Invite(t.Context(), site.Invited{Officer: id, Name: id, Role: role}, "test")
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	for _, c := range []struct {
		name, subject, officer string
		role                   officer.Role
		want                   int
	}{
		{"nobody named", "", "eve", officer.Guard, http.StatusConflict},
		{"no group of that role", "s-eve", "eve", officer.Guard, http.StatusConflict},
		{"a higher role than the group's", "s-anna", "anna", officer.Supervisor, http.StatusConflict},
		{"a person who is another officer", "s-anna", "eve", officer.Guard, http.StatusConflict},
		{"an officer who is another person", "s-sam", "anna", officer.Supervisor, http.StatusConflict},
		{"a second passkey of the same", "s-anna", "anna", officer.Guard, http.StatusOK},
	} {
		b := w.browser()
		if c.subject != "" {
			b.named(c.subject)
		}
		if s := b.call("POST", "/api/register/begin", map[string]string{"code": invite(c.officer, c.role)}, nil); s != c.want {
			t.Errorf("%s: %d, want %d", c.name, s, c.want)
		}
	}
	// Two who have no roster yet cannot be one person either.
	w.provider.Put("s-new", &simulated.Person{Name: "Neu", Groups: []string{"guards"}})
	one, two := w.browser(), w.browser()
	one.named("s-new")
	one.register("new", "Neu", officer.Guard)
	two.named("s-new")
	if err := w.site.Apply(t.Context(), invite("newer", officer.Guard), officer.Passkey{}, &officer.Identity{Issuer: w.there.URL, Subject: "s-new"}); err != site.ErrTaken {
		t.Errorf("one person as two officers: %v", err)
	}
}

// What a group gives narrows what the roster gives, at once, and never widens it.
func TestDirectoryNarrows(t *testing.T) {
	w, anna, sam := staffed(t, time.Hour)
	w.lane("E1")
	anna.named("s-anna")
	sam.named("s-sam")
	if a, b := anna.signIn("anna"), sam.signIn("sam"); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("sign-in: %d %d", a, b)
	}
	rights := func(b *browser) []officer.Right {
		var me Me
		b.call("GET", "/api/me", nil, &me)
		return me.Rights
	}
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt", Groups: []string{"guards", "leads"}})
	w.provider.Put("s-sam", &simulated.Person{Name: "Sam Sicher", Groups: []string{"guards"}})
	w.after(11 * time.Minute)
	if got := rights(anna); !slices.Equal(got, officer.Rights[officer.Guard]) {
		t.Errorf("a group gave rights that the roster does not: %v", got)
	}
	if got := rights(sam); slices.Contains(got, officer.Figures) || !slices.Contains(got, officer.Decide) {
		t.Errorf("sam has %v", got)
	}
	if s := sam.call("GET", "/api/audit", nil, nil); s != http.StatusForbidden {
		t.Errorf("the audit without its group: %d", s)
	}
	// The lane would take this word: the roster gives the right.
	if s := sam.call("POST", "/api/word/E1", sam.envelope(officer.Word{Lane: "E1", Kind: officer.Order, Value: "open"}), nil); s != http.StatusForbidden || len(w.desk.log()) > 0 {
		t.Errorf("a word without its group: %d, the lane did %q", s, w.desk.log())
	}
	w.provider.Put("s-sam", &simulated.Person{Name: "Sam Sicher", Groups: []string{"choir"}})
	w.provider.Put("s-anna", nil)
	w.after(22 * time.Minute)
	if rights(anna) != nil || rights(sam) != nil {
		t.Error("who has left, or is in no group, is still signed in")
	}
	sam.named("s-sam")
	if s := sam.signIn("sam"); s != http.StatusForbidden {
		t.Errorf("a sign-in without a group: %d", s)
	}
}

// While the directory is silent its last word holds, for those who had one and
// for as long as the site says.
func TestDirectorySilent(t *testing.T) {
	for _, offline := range []time.Duration{time.Hour, 0} {
		w, anna, sam := staffed(t, offline)
		anna.named("s-anna")
		if s := anna.signIn("anna"); s != http.StatusOK {
			t.Fatalf("sign-in: %d", s)
		}
		w.there.Close()
		w.there.CloseClientConnections()
		w.after(11 * time.Minute)
		var me Me
		anna.call("GET", "/api/me", nil, &me)
		if kept := me.Officer == "anna"; kept != (offline > 0) {
			t.Errorf("offline %v: the session was kept: %v", offline, kept)
		}
		want := http.StatusForbidden
		if offline > 0 {
			want = http.StatusOK
		}
		if s := anna.signIn("anna"); s != want {
			t.Errorf("offline %v: an officer whom it knew signs in: %d, want %d", offline, s, want)
		}
		if s := sam.signIn("sam"); s != http.StatusForbidden {
			t.Errorf("offline %v: an officer whom it never confirmed signs in: %d", offline, s)
		}
		code, err := w.site.Invite(t.Context(), site.Invited{Officer: "new", Name: "Neu", Role: officer.Guard}, "test")
		if err != nil {
			t.Fatal(err)
		}
		if s := anna.call("POST", "/api/register/begin", map[string]string{"code": code}, nil); s != http.StatusConflict {
			t.Errorf("offline %v: an enrolment: %d", offline, s)
		}
		w.after(2 * time.Hour)
		me = Me{}
		if anna.call("GET", "/api/me", nil, &me); me.Officer != "" {
			t.Errorf("offline %v: still signed in after two hours", offline)
		}
	}
}

// Somebody to whom the directory said no does not come back when it is silent.
func TestDirectoryNoIsKept(t *testing.T) {
	w, anna, sam := staffed(t, time.Hour)
	anna.named("s-anna")
	sam.named("s-sam")
	if a, b := anna.signIn("anna"), sam.signIn("sam"); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("sign-in: %d %d", a, b)
	}
	w.provider.Put("s-anna", &simulated.Person{Name: "Anna Amt"})
	anna.call("POST", "/api/sign-out", nil, nil)
	anna.named("s-anna")
	w.there.Close()
	w.after(11 * time.Minute) // asks about sam, and learns of the silence
	for b, want := range map[*browser]int{anna: http.StatusForbidden, sam: http.StatusOK} {
		id := map[*browser]string{anna: "anna", sam: "sam"}[b]
		other := w.browser()
		other.passkey = b.passkey
		if s := other.signIn(id); s != want {
			t.Errorf("%s signs in: %d, want %d", id, s, want)
		}
	}
}

// Back, a second tab, a callback of another browser: said, and nothing more.
func TestDirectoryCallback(t *testing.T) {
	w, anna, _ := staffed(t, time.Hour)
	var begun struct{ Address string }
	anna.call("POST", "/api/directory/begin", map[string]any{"page": "/"}, &begun)
	var back *url.URL
	anna.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/directory/") {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	r, err := anna.http.PostForm(begun.Address, url.Values{"subject": {"s-anna"}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	visit := func(b *browser) string {
		r, err := b.http.Get(back.String())
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.Request.URL.Fragment
	}
	if got := visit(w.browser()); got != "directory=late" {
		t.Errorf("in another browser: %q", got)
	}
	anna.http.CheckRedirect = nil
	if got := visit(anna); got != "" {
		t.Errorf("in its own: %q", got)
	}
	if got := visit(anna); got != "directory=late" {
		t.Errorf("back, and again: %q", got)
	}
	if s := anna.signIn("anna"); s != http.StatusOK {
		t.Errorf("the first one counts: %d", s)
	}
	for _, page := range []string{"https://evil.example/", "//evil.example", "/api/me", ""} {
		if s := anna.call("POST", "/api/directory/begin", map[string]any{"page": page}, nil); s != http.StatusBadRequest {
			t.Errorf("back to %q: %d", page, s)
		}
	}
	w.provider.Twist = func(what string, v map[string]any) { v["nonce"] = "x" }
	if got := anna.named("s-anna"); got != "directory=refused" {
		t.Errorf("a wrong nonce: %q", got)
	}
}

// Who signs out at the directory is signed out here.
func TestEndedAtDirectory(t *testing.T) {
	w, anna, sam := staffed(t, time.Hour)
	anna.named("s-anna")
	sam.named("s-sam")
	if a, b := anna.signIn("anna"), sam.signIn("sam"); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("sign-in: %d %d", a, b)
	}
	now := time.Now()
	b, err := json.Marshal(map[string]any{
		"iss": w.there.URL, "aud": "passage", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1", "sub": "s-anna",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.provider.Signed(b)
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]int{"": http.StatusBadRequest, token + "x": http.StatusBadRequest, token: http.StatusOK} {
		r, err := http.PostForm(w.pages.URL+"/directory/ended", url.Values{"logout_token": {raw}})
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("a token of %d bytes: %d, want %d", len(raw), r.StatusCode, want)
		}
	}
	if s := anna.call("GET", "/api/crossings", nil, nil); s != http.StatusUnauthorized {
		t.Errorf("anna: %d", s)
	}
	if s := sam.call("GET", "/api/crossings", nil, nil); s != http.StatusOK {
		t.Errorf("sam: %d", s)
	}
}

package console

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/keys"
	"passage/kiosk/fleet"
	"passage/kiosk/journal"
	"passage/kiosk/officer"
	"passage/kiosk/rollout"
	"passage/kiosk/site"
	"passage/sqlite"
)

// taker is a lane's computer that takes releases and starts anew for them.
type taker struct {
	w     *world
	id    string
	dir   string
	creds fleet.Credentials
	check func([]byte) error

	mu      sync.Mutex
	began   string // content that it began with
	busy    bool
	started int
}

func (w *world) taker(id string, check func([]byte) error) *taker {
	w.t.Helper()
	code, err := w.site.Code(w.t.Context(), id, "lea")
	if err != nil {
		w.t.Fatal(err)
	}
	x := &taker{w: w, id: id, dir: w.t.TempDir(), check: check}
	if _, x.creds, err = fleet.Enrol(w.t.Context(), w.enrol, code, w.t.TempDir()); err != nil {
		w.t.Fatal(err)
	}
	db, err := sqlite.Open(w.t.Context(), filepath.Join(x.dir, "lane.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, _, err := journal.Open(w.t.Context(), db.Writer, ring, nil); err != nil {
		w.t.Fatal(err)
	}
	w.run(func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := x.live(ctx, db); err != nil {
				return err
			}
		}
		return nil
	})
	return x
}

// live is one process of the lane, from its start to its end.
func (x *taker) live(ctx context.Context, db *sqlite.DB) error {
	k, err := rollout.OpenKeeper(filepath.Join(x.dir, "releases"))
	if err != nil {
		return err
	}
	k.Check = x.check
	content, _, err := k.Begin()
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.began = string(content)
	x.started++
	x.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	k.Rest = func(context.Context) (func(), bool, bool) {
		x.mu.Lock()
		defer x.mu.Unlock()
		return func() {}, false, !x.busy
	}
	k.Again = func(string) { stop() }
	client := &fleet.Client{Lane: x.id, Desk: &desk{present: map[string]bool{}, watching: make(chan struct{}, 1), over: true}, Journal: db.Reader, RosterKey: x.w.key.Public().(ed25519.PublicKey), Releases: k, Log: quiet}
	return client.Run(ctx, x.creds)
}

func (x *taker) content() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.began
}

func (x *taker) serve(busy bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.busy = busy
}

func fine([]byte) error { return nil }

// fresh is an envelope with a touch of the passkey for it.
func (b *browser) fresh(w officer.Word) officer.Envelope {
	b.w.t.Helper()
	e := b.envelope(w)
	var err error
	if e.Fresh, err = b.passkey.Get(b.w.origin(), officer.FreshChallenge(e.Word)); err != nil {
		b.w.t.Fatal(err)
	}
	return e
}

// offices are a technician and two supervisors who have signed in.
func (w *world) offices() (tom, sam, lea *browser) {
	w.t.Helper()
	tom, sam, lea = w.browser(), w.browser(), w.browser()
	tom.register("tom", "Tom", officer.Technician)
	sam.register("sam", "Sam", officer.Supervisor)
	lea.register("lea", "Lea", officer.Supervisor)
	w.roster()
	for id, b := range map[string]*browser{"tom": tom, "sam": sam, "lea": lea} {
		if s := b.signIn(id); s != http.StatusOK {
			w.t.Fatalf("%s cannot sign in: %d", id, s)
		}
	}
	return tom, sam, lea
}

// A lane's computer is shut out by a role that may, with a touch of the passkey
// for this word: a stolen session does not do. The audit keeps it.
func TestShutOut(t *testing.T) {
	w := newWorld(t)
	w.lane("E1")
	eva, sam := w.browser(), w.browser()
	eva.register("eva", "Eva", officer.ShiftLead)
	sam.register("sam", "Sam", officer.Supervisor)
	w.roster()
	for id, b := range map[string]*browser{"eva": eva, "sam": sam} {
		if s := b.signIn(id); s != http.StatusOK {
			t.Fatalf("%s cannot sign in: %d", id, s)
		}
	}
	word := func(value string) officer.Word {
		return officer.Word{Lane: officer.Site, Kind: officer.ShutOut, Value: value}
	}
	once := eva.fresh(word("E1"))
	for _, row := range []struct {
		name string
		by   *browser
		at   string
		e    officer.Envelope
		want int
	}{
		{"another role", sam, "/api/enrol/revoke", sam.fresh(word("E1")), http.StatusForbidden},
		{"another role, by another way", sam, "/api/releases/word", sam.fresh(word("E1")), http.StatusForbidden},
		{"without the passkey", eva, "/api/enrol/revoke", eva.envelope(word("E1")), http.StatusForbidden},
		{"another one's word", eva, "/api/enrol/revoke", sam.fresh(word("E1")), http.StatusForbidden},
		{"a lane that is none", eva, "/api/enrol/revoke", eva.fresh(word("E9")), http.StatusNotFound},
		{"as it should be", eva, "/api/enrol/revoke", once, http.StatusNoContent},
		{"the same word again", eva, "/api/enrol/revoke", once, http.StatusForbidden},
		{"once more", eva, "/api/enrol/revoke", eva.fresh(word("E1")), http.StatusNotFound},
	} {
		if s := row.by.call("POST", row.at, steered{Envelope: row.e}, nil); s != row.want {
			t.Errorf("%s: %d, want %d", row.name, s, row.want)
		}
		lanes, err := w.site.Lanes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if in := len(lanes) == 1; in != (row.want == http.StatusForbidden && row.name != "the same word again" || row.name == "a lane that is none") {
			t.Errorf("%s: enrolled are %v", row.name, lanes)
		}
	}
	kept, err := w.site.Words(t.Context(), "eva", officer.Site, "", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil || !slices.ContainsFunc(kept, func(k site.Word) bool {
		return k.Kind == string(officer.ShutOut) && k.Value == "E1" && k.Answer == "accepted"
	}) {
		t.Errorf("the audit has %+v, %v", kept, err)
	}
}

// drafted has an officer draft and propose a configuration.
func (b *browser) drafted(content string) site.Release {
	b.w.t.Helper()
	var d site.Release
	if s := b.call("POST", "/api/releases/draft", map[string]string{"name": "new law", "content": content}, &d); s != http.StatusOK {
		b.w.t.Fatalf("draft: %d", s)
	}
	if s := b.call("POST", "/api/releases/word", steered{Envelope: b.fresh(officer.Word{Lane: officer.Site, Kind: officer.Propose, Value: d.Digest, Text: "decree 7"})}, nil); s != http.StatusNoContent {
		b.w.t.Fatalf("propose: %d", s)
	}
	return d
}

func (b *browser) plan(d site.Release, lanes []string, change ...func(*rollout.Plan)) []byte {
	p := rollout.Plan{
		Release: d.Digest, Lanes: lanes, Stages: []int{25, 50, 100}, From: time.Now().Unix(), Until: time.Now().Add(time.Hour).Unix(),
		Limits: rollout.Limits{Broken: 100, Diverted: 100, Alarms: 100, Slower: 1000},
	}
	for _, c := range change {
		c(&p)
	}
	text, err := json.Marshal(p)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return text
}

func (b *browser) activate(plan []byte) int {
	b.w.t.Helper()
	return b.call("POST", "/api/releases/word", steered{b.fresh(officer.Word{Lane: officer.Site, Kind: officer.Activate, Value: rollout.Digest(plan)}), plan}, nil)
}

func (b *browser) order(plan []byte, o rollout.Order, touched bool) int {
	b.w.t.Helper()
	sign := b.envelope
	if touched {
		sign = b.fresh
	}
	return b.call("POST", "/api/releases/word", steered{Envelope: sign(officer.Word{Lane: officer.Site, Kind: officer.Rollout, Transaction: rollout.Digest(plan), Value: string(o)})}, nil)
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-deadline:
			w.t.Fatalf("%s: not within a minute; %+v", what, w.site.Rollouts())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (w *world) state(n int) rollout.State {
	list := w.site.Rollouts()
	if len(list) <= n {
		return rollout.State{}
	}
	return list[n].State
}

// A configuration goes to four lanes in stages: signed by two, never to more
// lanes than the stage permits, and to none that serves a traveller.
func TestRollout(t *testing.T) {
	t.Parallel() // it waits for the most part
	w := newWorld(t)
	tom, sam, _ := w.offices()
	ids := []string{"E1", "E2", "E3", "E4"}
	lanes := map[string]*taker{}
	for _, id := range ids {
		lanes[id] = w.taker(id, fine)
	}
	w.until("all lanes are heard", func() bool {
		list, _, _ := w.site.Hub().Since(0)
		return len(list) == 4 && !slices.ContainsFunc(list, func(l site.Lane) bool { return l.Away })
	})
	const content = "[policy]\nees_mode = \"suspended\"\n"
	d := tom.drafted(content)
	plan := tom.plan(d, ids)
	if s := tom.activate(plan); s != http.StatusForbidden {
		t.Errorf("the technician who proposed it activates it: %d", s)
	}
	if s := sam.call("POST", "/api/releases/word", steered{sam.envelope(officer.Word{Lane: officer.Site, Kind: officer.Activate, Value: rollout.Digest(plan)}), plan}, nil); s != http.StatusForbidden {
		t.Errorf("without a touch of the passkey: %d", s)
	}
	first := lanes[rollout.Plan{Lanes: ids}.Order(rollout.Digest(plan))[0]]
	first.serve(true)
	if s := sam.activate(plan); s != http.StatusNoContent {
		t.Fatalf("activate: %d", s)
	}
	if s := sam.activate(tom.plan(d, ids)); s != http.StatusConflict {
		t.Errorf("two of a kind at once: %d", s)
	}
	w.until("the first lane waits for its traveller", func() bool {
		s := w.state(0)
		return len(s.Lanes) == 1 && strings.Contains(s.Lanes[0].Waits, "nobody is in the lane")
	})
	if s := tom.order(plan, rollout.Pause, false); s != http.StatusNoContent {
		t.Errorf("pause: %d", s)
	}
	first.serve(false)
	if s := tom.order(plan, rollout.Resume, true); s != http.StatusForbidden {
		t.Errorf("the technician resumes it: %d", s)
	}
	if s := sam.order(plan, rollout.Resume, false); s != http.StatusForbidden {
		t.Errorf("resumed without the passkey: %d", s)
	}
	if first.content() != "" {
		t.Error("a paused rollout went on")
	}
	if s := sam.order(plan, rollout.Resume, true); s != http.StatusNoContent {
		t.Errorf("resume: %d", s)
	}
	most := 0
	w.until("all lanes have it", func() bool {
		// The lanes first: a stage that begins in between permits more.
		n := 0
		for _, x := range lanes {
			if x.content() == content {
				n++
			}
		}
		s := w.state(0)
		if permitted := max(1, []int{1, 2, 4}[max(0, s.Stage)]); n > permitted {
			t.Fatalf("%d lanes have it in stage %d", n, s.Stage)
		}
		most = max(most, n)
		return s.Phase == rollout.Done
	})
	if most != 4 {
		t.Errorf("done with %d of 4 lanes", most)
	}
	for id, x := range lanes {
		if x.started != 2 {
			t.Errorf("lane %s started %d times", id, x.started)
		}
	}
	words, err := w.site.Words(t.Context(), "", officer.Site, "", time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, x := range slices.Backward(words) {
		said = append(said, x.Officer+" "+x.Kind+" "+x.Answer)
	}
	for _, want := range []string{"tom propose accepted", "tom activate not_now", "sam activate accepted", "tom rollout accepted", "sam rollout accepted"} {
		if !slices.Contains(said, want) {
			t.Errorf("the audit lacks %q: %q", want, said)
		}
	}
}

// One lane's own configuration does not go with the release: everything stops,
// somebody must see it, and the way back is a release of its own.
func TestRolloutStops(t *testing.T) {
	t.Parallel() // it waits for the most part
	w := newWorld(t)
	tom, sam, lea := w.offices()
	ids := []string{"E1", "E2", "E3"}
	lanes := map[string]*taker{}
	for _, id := range ids {
		lanes[id] = w.taker(id, func(b []byte) error {
			if strings.Contains(string(b), "extract") {
				return errors.New("register.extract_key: is needed")
			}
			return nil
		})
	}
	d := tom.drafted("[policy]\nstamp_required = true\n")
	good := tom.plan(d, ids, func(p *rollout.Plan) { p.Stages = []int{100} })
	if s := sam.activate(good); s != http.StatusNoContent {
		t.Fatalf("activate: %d", s)
	}
	w.until("the first release is everywhere", func() bool { return w.state(0).Phase == rollout.Done })
	bad := tom.plan(tom.drafted("[policy]\nees_offline = \"extract\"\n"), ids)
	if s := sam.activate(bad); s != http.StatusNoContent {
		t.Fatalf("activate: %d", s)
	}
	w.until("it stops", func() bool { return w.state(0).Phase == rollout.Stopped })
	s := w.state(0)
	if len(s.Lanes) != 1 || !strings.Contains(s.Why, "extract_key") || !s.Alarm {
		t.Errorf("stopped with %+v", s)
	}
	var alarms []struct{ Rollout, Why string }
	if code := lea.call("GET", "/api/releases/stopped", nil, &alarms); code != http.StatusOK || len(alarms) != 1 || alarms[0].Rollout != rollout.Digest(bad) {
		t.Errorf("alarms: %d %+v", code, alarms)
	}
	if code := sam.order(bad, rollout.Resume, true); code != http.StatusConflict {
		t.Errorf("resumed before anybody has seen the alarm: %d", code)
	}
	if code := lea.order(bad, rollout.Acknowledge, false); code != http.StatusNoContent || w.state(0).Seen != "lea" {
		t.Errorf("seen: %d %+v", code, w.state(0))
	}
	for id, x := range lanes {
		if x.content() != "[policy]\nstamp_required = true\n" {
			t.Errorf("lane %s has %q", id, x.content())
		}
	}
	back := tom.drafted("[policy]\nstamp_required = true\n")
	if back.Number != 3 || back.Back != 1 {
		t.Errorf("the way back is %+v", back.Release)
	}
	if code := sam.activate(tom.plan(back, ids)); code != http.StatusNoContent {
		t.Fatalf("activate: %d", code)
	}
	w.until("the way back is everywhere", func() bool { return w.state(0).Phase == rollout.Done })
	if code := sam.order(bad, rollout.Resume, true); code != http.StatusConflict {
		t.Errorf("an older rollout is resumed: %d", code)
	}
}

// What a page may ask and say of releases, and what a lane's credentials let it.
func TestReleasesRefuse(t *testing.T) {
	t.Parallel() // it waits for the most part
	w := newWorld(t)
	tom, sam, _ := w.offices()
	x := w.taker("E1", fine)
	gus := w.browser()
	gus.register("gus", "Gus", officer.Guard)
	w.roster()
	if s := gus.signIn("gus"); s != http.StatusOK {
		t.Fatal(s)
	}
	for _, path := range []string{"/api/releases", "/api/releases/stopped"} {
		if s := gus.call("GET", path, nil, nil); s != http.StatusForbidden {
			t.Errorf("a guard asks %s: %d", path, s)
		}
	}
	for name, content := range map[string]string{"a device": "[gate]\ntty = \"/dev/null\"", "too large": strings.Repeat("#", 70<<10), "a value that no lane takes": "[policy]\nees_mode = \"half\""} {
		if s := tom.call("POST", "/api/releases/draft", map[string]string{"name": "x", "content": content}, nil); s != http.StatusBadRequest {
			t.Errorf("a draft of %s: %d", name, s)
		}
	}
	d := tom.drafted("[policy]\nstamp_required = true\n")
	again := tom.fresh(officer.Word{Lane: officer.Site, Kind: officer.Propose, Value: d.Digest})
	if s := tom.call("POST", "/api/releases/word", steered{Envelope: again}, nil); s != http.StatusNotFound {
		t.Errorf("proposed twice: %d", s)
	}
	if s := tom.call("POST", "/api/releases/word", steered{Envelope: again}, nil); s != http.StatusForbidden {
		t.Errorf("a word said twice: %d", s)
	}
	if s := sam.call("POST", "/api/releases/word", steered{Envelope: tom.fresh(officer.Word{Lane: officer.Site, Kind: officer.Propose, Value: d.Digest})}, nil); s != http.StatusForbidden {
		t.Errorf("another officer's word: %d", s)
	}
	plan := tom.plan(d, []string{"E1"})
	e := sam.fresh(officer.Word{Lane: officer.Site, Kind: officer.Activate, Value: rollout.Digest(plan)})
	if s := sam.call("POST", "/api/releases/word", steered{e, tom.plan(d, []string{"E1", "E2"})}, nil); s != http.StatusBadRequest {
		t.Errorf("another plan than the one that was signed: %d", s)
	}
	if s := sam.activate(tom.plan(d, []string{"E1", "E7"})); s != http.StatusBadRequest {
		t.Errorf("a plan for a lane that nobody knows: %d", s)
	}
	// A lane that was given nothing gets no piece, and none of another lane's.
	conf, err := x.creds.TLS()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(x.creds.URL, nats.Secure(conf), nats.UserCredentials(x.creds.User), nats.CustomInboxPrefix(fleet.Inbox("E1")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	q := marshal(t, rollout.Piece{SHA256: d.SHA256})
	for _, subject := range []string{fleet.Subject("E1", "fetch"), fleet.Subject("E2", "fetch")} {
		if m, err := nc.Request(subject, q, 300*time.Millisecond); err == nil {
			t.Errorf("%s: %d bytes of a release that the lane was not given", subject, len(m.Data))
		}
	}
	if m, err := nc.Request(fleet.Question("E1", "release"), []byte(`[{"kind":"program"}]`), 300*time.Millisecond); err == nil {
		t.Errorf("a report that no lane gives is answered by %s", m.Data)
	}
}

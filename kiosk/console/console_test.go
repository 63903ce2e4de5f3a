package console

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/hwsim/passkey"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/audit"
	"passage/kiosk/fleet"
	"passage/kiosk/intercom"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/policy"
	"passage/kiosk/site"
	"passage/sqlite"
)

// desk is a lane with one traveller in review: the first decision ends the
// case.
type desk struct {
	mu       sync.Mutex
	decided  []string
	present  map[string]bool
	need     uint8
	over     bool
	watching chan struct{}
}

const txn = "0191d3c4-0000-7000-8000-000000000001"

func (d *desk) View() kiosk.View {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := kiosk.View{Config: kiosk.Config{Lane: "E1"}, State: lane.State{Phase: lane.Review}, Signatures: d.need}
	if !d.over {
		v.Crossing = &kiosk.Crossing{UUID: txn, Identity: kiosk.Identity{Surname: "MUSTERMANN"}, Document: policy.Document{Verdict: policy.ChipGenuine}}
	}
	return v
}

func (d *desk) Watch(context.Context) <-chan struct{} { return d.watching }

func (d *desk) Decide(_ context.Context, o kiosk.Officer, transaction string, x lane.Decision, _, _, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || transaction != txn {
		return kiosk.ErrStale
	}
	d.over = true
	d.decided = append(d.decided, o.ID+" "+x.String())
	return nil
}

func (d *desk) Order(_ context.Context, o kiosk.Officer, order lane.OfficerOrder) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decided = append(d.decided, o.ID+" "+order.String())
	return nil
}
func (d *desk) Renew(context.Context) error { return nil }
func (d *desk) Present(id string, here bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.present[id] = here
}
func (d *desk) Acknowledge(int, string) error                            { return nil }
func (d *desk) Cases(context.Context) ([]kiosk.Case, error)              { return nil, nil }
func (d *desk) SettleCase(context.Context, string, string, string) error { return nil }
func (d *desk) Face(transaction, which string) ([]byte, bool) {
	return []byte("jpeg of " + which), transaction == txn
}

func (d *desk) log() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.decided...)
}

// world is a site on loopback, its pages, and one enrolled lane.
type world struct {
	t      *testing.T
	site   *site.Site
	pages  *httptest.Server
	enrol  string
	key    ed25519.PrivateKey
	desk   *desk
	db     *sqlite.DB
	dir    string // of the site
	client *fleet.Client
	creds  fleet.Credentials
	booth  *intercom.Booth // of the lane; nil for none
}

var quiet = slog.New(slog.DiscardHandler)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, key: ed25519.NewKeyFromSeed(make([]byte, 32)), desk: &desk{present: map[string]bool{}, need: 1, watching: make(chan struct{}, 1)}}
	var err error
	w.dir = t.TempDir()
	if w.site, err = site.Open(t.Context(), site.Config{Dir: w.dir, Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Pace: 50 * time.Millisecond, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	w.run(w.site.Run)
	t.Cleanup(w.site.Close)
	w.pages = httptest.NewUnstartedServer(nil)
	w.pages.Start()
	t.Cleanup(w.pages.Close)
	origin := strings.Replace(w.pages.URL, "127.0.0.1", "localhost", 1)
	h, err := New(w.site, Config{Name: "Testport", RPID: "localhost", Origins: []string{origin}, RosterKey: w.key.Public().(ed25519.PublicKey), Ratio: 6, Idle: 10 * time.Minute, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	w.pages.Config.Handler = h
	// Not httptest's TLS: it brings a certificate of its own.
	l, err := tls.Listen("tcp", "127.0.0.1:0", w.site.TLS())
	if err != nil {
		t.Fatal(err)
	}
	enrol := &http.Server{Handler: Enrolment(w.site, quiet), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Second}
	go enrol.Serve(l)
	t.Cleanup(func() { enrol.Close() })
	w.enrol = "https://" + l.Addr().String()
	return w
}

// run starts something that ends with the test.
func (w *world) run(f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	})
}

func (w *world) origin() string { return strings.Replace(w.pages.URL, "127.0.0.1", "localhost", 1) }

// lane enrols a lane and runs its end of the fleet.
func (w *world) lane(id string) {
	w.t.Helper()
	code, err := w.site.Code(w.t.Context(), id, "lea")
	if err != nil {
		w.t.Fatal(err)
	}
	name, creds, err := fleet.Enrol(w.t.Context(), w.enrol, code, w.t.TempDir())
	if err != nil || name != id {
		w.t.Fatalf("enrolled %q: %v", name, err)
	}
	if _, _, err := fleet.Enrol(w.t.Context(), w.enrol, code, w.t.TempDir()); err == nil {
		w.t.Fatal("a code was used twice")
	}
	w.creds = creds
	if w.db, err = sqlite.Open(w.t.Context(), filepath.Join(w.t.TempDir(), "lane.db")); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.db.Close() })
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		w.t.Fatal(err)
	}
	j, _, err := journal.Open(w.t.Context(), w.db.Writer, ring, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(j.Run)
	w.client = &fleet.Client{Lane: id, Desk: w.desk, Journal: w.db.Reader, RosterKey: w.key.Public().(ed25519.PublicKey), Booth: w.booth, Log: quiet}
	w.run(func(ctx context.Context) error { return w.client.Run(ctx, creds) })
	// A crossing, as the shell journals it.
	now := lane.Instant(time.Second)
	j.Begin(1, txn, time.Now())
	j.Append(kiosk.Entry{Now: now, At: time.Now(), Event: lane.DocumentPlaced{}, After: lane.State{Transaction: 1}})
	j.Append(kiosk.Entry{Now: now + 1, At: time.Now(), Event: lane.Tick{}, Effects: []lane.Effect{lane.Conclude{Transaction: 1, Outcome: lane.OutcomeReleased}}, After: lane.State{Transaction: 1}})
	j.Conclude(1, kiosk.Ended{At: time.Now(), Class: lane.EU, Outcome: lane.OutcomeReleased, Took: 11 * time.Second})
}

// browser is an officer's page.
type browser struct {
	w       *world
	http    *http.Client
	passkey *passkey.Passkey
	key     *ecdsa.PrivateKey
	session officer.Session
	said    *atomic.Int64 // when the last word was, ms
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := passkey.New("localhost")
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w: w, http: &http.Client{Jar: jar}, passkey: p, said: new(atomic.Int64)}
}

func (b *browser) call(method, path string, in, out any) int {
	b.w.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		b.w.t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.pages.URL+path, bytes.NewReader(body))
	if err != nil {
		b.w.t.Fatal(err)
	}
	resp, err := b.http.Do(q)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = got
	} else if out != nil {
		if err := json.Unmarshal(got, out); err != nil {
			b.w.t.Fatalf("%s %s: %s: %q", method, path, err, got)
		}
	}
	return resp.StatusCode
}

// register makes a passkey for an invited officer.
func (b *browser) register(id, name string, role officer.Role) {
	b.w.t.Helper()
	code, err := b.w.site.Invite(b.w.t.Context(), site.Invited{Officer: id, Name: name, Role: role}, "test")
	if err != nil {
		b.w.t.Fatal(err)
	}
	var begun struct {
		Options struct {
			PublicKey struct{ Challenge string } `json:"publicKey"`
		}
	}
	if s := b.call("POST", "/api/register/begin", map[string]string{"code": code}, &begun); s != http.StatusOK {
		b.w.t.Fatalf("register: %d", s)
	}
	challenge, err := base64.RawURLEncoding.DecodeString(begun.Options.PublicKey.Challenge)
	if err != nil {
		b.w.t.Fatal(err)
	}
	made, err := b.passkey.Create(b.w.origin(), challenge)
	if err != nil {
		b.w.t.Fatal(err)
	}
	var answer map[string]any
	if s := b.call("POST", "/api/register/finish", map[string]any{"code": code, "response": made}, &answer); s != http.StatusOK {
		b.w.t.Fatalf("register: %d %v", s, answer)
	}
}

// roster signs the draft, as the holder of the roster key does.
func (w *world) roster() {
	w.t.Helper()
	if err := w.site.SignDraft(w.t.Context(), officer.Roster{Site: "Testport", Until: time.Now().AddDate(0, 1, 0), RPID: "localhost", Origins: []string{w.origin()}}, w.key); err != nil {
		w.t.Fatal(err)
	}
}

func (b *browser) signIn(id string) int {
	b.w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.w.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.w.t.Fatal(err)
	}
	b.key = key
	var begun struct {
		Session   officer.Session `json:"session"`
		Challenge []byte          `json:"challenge"`
	}
	if s := b.call("POST", "/api/sign-in/begin", map[string]any{"officer": id, "key": public}, &begun); s != http.StatusOK {
		return s
	}
	b.session = begun.Session
	if b.session.Assertion, err = b.passkey.Get(b.w.origin(), begun.Challenge); err != nil {
		b.w.t.Fatal(err)
	}
	return b.call("POST", "/api/sign-in/finish", b.session, nil)
}

func (b *browser) envelope(w officer.Word) officer.Envelope {
	b.w.t.Helper()
	// The same said twice in a millisecond would be one word, heard before.
	for was := b.said.Load(); ; was = b.said.Load() {
		if w.At = max(was+1, time.Now().UnixMilli()); b.said.CompareAndSwap(was, w.At) {
			break
		}
	}
	text, err := json.Marshal(w)
	if err != nil {
		b.w.t.Fatal(err)
	}
	digest := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, b.key, digest[:])
	if err != nil {
		b.w.t.Fatal(err)
	}
	e := officer.Envelope{Session: b.session, Word: text, Signature: make([]byte, 64)}
	r.FillBytes(e.Signature[:32])
	s.FillBytes(e.Signature[32:])
	return e
}

// release looks at the case and releases on what it saw.
func (b *browser) release() (int, fleet.Answer) {
	b.w.t.Helper()
	var raw []byte
	if s := b.call("GET", "/api/lane/E1/case", nil, &raw); s != http.StatusOK {
		b.w.t.Fatalf("case: %d %s", s, raw)
	}
	digest := sha256.Sum256(raw)
	var a fleet.Answer
	s := b.call("POST", "/api/word/E1", b.envelope(officer.Word{
		Lane: "E1", Kind: officer.Decision, Transaction: txn, Value: "release", Reason: "visual_comparison", Evidence: hex.EncodeToString(digest[:]),
	}), &a)
	return s, a
}

// until waits for something that messages bring about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ready is a world with a lane that knows anna, a guard, and ben, a technician.
func ready(t *testing.T) (*world, *browser, *browser) { return equipped(t, nil) }

// equipped is ready, with an intercom at the lane.
func equipped(t *testing.T, booth *intercom.Booth) (*world, *browser, *browser) {
	w := newWorld(t)
	w.booth = booth
	anna, ben := w.browser(), w.browser()
	anna.register("anna", "Anna Amt", officer.Guard)
	ben.register("ben", "Ben Bohrer", officer.Technician)
	if s := anna.signIn("anna"); s != http.StatusServiceUnavailable {
		t.Fatalf("a passkey of no roster signs in: %d", s)
	}
	w.roster()
	w.lane("E1")
	for _, b := range []*browser{anna, ben} {
		id := map[*browser]string{anna: "anna", ben: "ben"}[b]
		if s := b.signIn(id); s != http.StatusOK {
			t.Fatalf("%s: sign-in: %d", id, s)
		}
	}
	until(t, "the lane has the roster", func() bool {
		var a map[string]string
		anna.call("POST", "/api/present", anna.envelope(officer.Word{Kind: officer.Present, Lanes: []string{"E1"}}), &a)
		return a["E1"] == "accepted"
	})
	return w, anna, ben
}

func TestDecisionFromAfar(t *testing.T) {
	w, anna, ben := ready(t)
	if s, a := anna.release(); s != http.StatusOK || !a.OK {
		t.Fatalf("release: %d %+v", s, a)
	}
	if got := w.desk.log(); len(got) != 1 || got[0] != "anna release" {
		t.Errorf("the lane did %q", got)
	}
	// A second officer comes too late, and a technician may not at all.
	var a fleet.Answer
	late := anna.envelope(officer.Word{Lane: "E1", Kind: officer.Decision, Transaction: txn, Value: "divert", Reason: "doubt"})
	if s := anna.call("POST", "/api/word/E1", late, &a); s != http.StatusConflict || a.Code != "stale" {
		t.Errorf("a decision too late: %d %+v", s, a)
	}
	order := ben.envelope(officer.Word{Lane: "E1", Kind: officer.Order, Value: "open"})
	if s := ben.call("POST", "/api/word/E1", order, &a); s != http.StatusForbidden {
		t.Errorf("a technician opens a lane: %d %+v", s, a)
	}
	if s := ben.call("GET", "/api/lane/E1/face/"+txn+"/chip", nil, nil); s != http.StatusForbidden {
		t.Errorf("a technician sees a face: %d", s)
	}
	var raw []byte
	if s := anna.call("GET", "/api/lane/E1/face/"+txn+"/chip", nil, &raw); s != http.StatusOK || string(raw) != "jpeg of chip" {
		t.Errorf("the chip's face: %d %q", s, raw)
	}
	until(t, "the site has the journal", func() bool {
		var list []site.Crossing
		anna.call("GET", "/api/crossings?lane=E1", nil, &list)
		return len(list) == 1 && list[0].UUID == txn && list[0].Outcome == "released"
	})
}

// A console that has been taken over holds nobody's keys: whatever it makes up,
// repeats or changes, the lane refuses.
func TestForgedConsoleOpensNothing(t *testing.T) {
	w, anna, _ := ready(t)
	var raw []byte
	anna.call("GET", "/api/lane/E1/case", nil, &raw)
	digest := sha256.Sum256(raw)
	word := officer.Word{Lane: "E1", Kind: officer.Decision, Transaction: txn, Value: "release", Reason: "visual_comparison", Evidence: hex.EncodeToString(digest[:])}
	heard := anna.envelope(officer.Word{Lane: "E1", Kind: officer.Renew})
	if a, err := w.site.Carry(t.Context(), "E1", marshal(t, heard)); err != nil || !a.OK {
		t.Fatalf("a true word is refused: %+v, %v", a, err)
	}
	mallory := w.browser()
	mallory.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	mallory.session = anna.session
	own := *mallory
	own.session.Key, _ = x509.MarshalPKIXPublicKey(&mallory.key.PublicKey)
	unseen := word
	unseen.Evidence = strings.Repeat("0", 64)
	changed := anna.envelope(officer.Word{Lane: "E1", Kind: officer.Decision, Transaction: txn, Value: "divert", Reason: "doubt"})
	changed.Word = bytes.Replace(changed.Word, []byte(`"divert"`), []byte(`"release"`), 1)
	for name, e := range map[string]officer.Envelope{
		"signed with its own key in anna's name":       mallory.envelope(word),
		"with its own key in anna's certificate":       own.envelope(word),
		"repeated":                                     heard,
		"changed on its way":                           changed,
		"another lane's":                               anna.envelope(officer.Word{Lane: "E2", Kind: officer.Order, Value: "open"}),
		"resting on a case that the lane never showed": anna.envelope(unseen),
	} {
		a, err := w.site.Carry(t.Context(), "E1", marshal(t, e))
		if err != nil || a.OK {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if got := w.desk.log(); len(got) != 0 {
		t.Errorf("the lane did %q", got)
	}
	w.desk.mu.Lock()
	w.desk.need = 2
	w.desk.mu.Unlock()
	if a, err := w.site.Carry(t.Context(), "E1", marshal(t, anna.envelope(word))); err != nil || a.OK || a.Code != "not_allowed" {
		t.Errorf("an override without the passkey: %+v, %v", a, err)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An inspector with the roster key alone proves what officers said, from the
// site's export; and sees what was added, altered or taken out.
func TestExportedWords(t *testing.T) {
	w, anna, ben := ready(t)
	anna.release()
	var a fleet.Answer
	anna.call("POST", "/api/word/E1", anna.envelope(officer.Word{Lane: "E1", Kind: officer.Decision, Transaction: txn, Value: "divert", Reason: "doubt"}), &a)
	ben.call("POST", "/api/word/E1", ben.envelope(officer.Word{Lane: "E1", Kind: officer.Order, Value: "open"}), &a)
	db, closing, err := site.OpenDatabase(t.Context(), w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	var out bytes.Buffer
	if err := site.Export(t.Context(), db, &out); err != nil {
		t.Fatal(err)
	}
	key := w.key.Public().(ed25519.PublicKey)
	p, err := audit.VerifyWords(bytes.NewReader(out.Bytes()), key)
	if err != nil || p.Words < 3 || p.Refused != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	lines := strings.SplitAfter(strings.TrimSpace(out.String()), "\n")
	last := len(lines) - 1
	for name, export := range map[string]string{
		"a word taken out":          strings.Join(lines[:last-1], "") + lines[last],
		"another decision":          strings.Replace(out.String(), `"value":"release"`, `"value":"divert"`, 1),
		"another officer":           strings.Replace(out.String(), `"officer":"anna"`, `"officer":"ben"`, 1),
		"another time":              strings.Replace(lines[last], `"at":1`, `"at":2`, 1),
		"no roster":                 lines[last],
		"something else":            "{}\n",
		"a word that nobody signed": strings.Join(lines[:last], "") + strings.Replace(lines[last], `"envelope":"ey`, `"envelope":"eY`, 1),
	} {
		if name == "another time" {
			export = strings.Join(lines[:last], "") + export
		}
		if _, err := audit.VerifyWords(strings.NewReader(export), key); !errors.Is(err, audit.ErrWords) {
			t.Errorf("%s: %v", name, err)
		}
	}
	again := lined(t, lines[last])
	again.Word.ID++
	if _, err := audit.VerifyWords(strings.NewReader(out.String()+string(marshal(t, again))+"\n"), key); !errors.Is(err, audit.ErrWords) {
		t.Errorf("a word that was taken twice: %v", err)
	}
	for ago, good := range map[time.Duration]bool{time.Minute: true, time.Hour: false} {
		// Who was struck off a roster said nothing that a lane took later.
		first := lined(t, lines[0])
		var r officer.Roster
		if err := json.Unmarshal(first.Roster.Signed.Roster, &r); err != nil {
			t.Fatal(err)
		}
		r.Version++
		r.Officers = slices.DeleteFunc(r.Officers, func(o officer.Officer) bool { return o.ID == "anna" })
		signed, err := r.Sign(w.key)
		if err != nil {
			t.Fatal(err)
		}
		first.Roster.At -= 7200
		next := audit.Line{Roster: &audit.Roster{At: time.Now().Add(-ago).Unix(), Signed: signed}}
		export := string(marshal(t, first)) + "\n" + string(marshal(t, next)) + "\n" + strings.Join(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, `{"roster"`) }), "")
		if _, err := audit.VerifyWords(strings.NewReader(export), key); (err == nil) != good {
			t.Errorf("struck off %v before: %v", ago, err)
		}
	}
	if _, err := audit.VerifyWords(bytes.NewReader(out.Bytes()), make([]byte, ed25519.PublicKeySize)); !errors.Is(err, audit.ErrWords) {
		t.Errorf("another site's roster key: %v", err)
	}
}

func lined(t *testing.T, text string) (l audit.Line) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// A lane may speak for itself only, and one that is shut out is gone within
// seconds.
func TestLaneIsConfined(t *testing.T) {
	w, _, _ := ready(t)
	conf, err := w.creds.TLS()
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 4)
	nc, err := nats.Connect(w.creds.URL, nats.Secure(conf), nats.UserCredentials(w.creds.User), nats.CustomInboxPrefix(fleet.Inbox("E1")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, try := range []func() error{
		func() error { return nc.Publish(fleet.Subject("E2", "view"), []byte(`{}`)) },
		func() error { return nc.Publish(fleet.Question("E2", "roster"), nil) },
		func() error { _, err := nc.SubscribeSync("lane.>"); return err },
		func() error { _, err := nc.SubscribeSync(fleet.Inbox("E2") + ".>"); return err },
	} {
		if err := errors.Join(try(), nc.Flush()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("a lane touched another lane's subject and nothing happened")
		}
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	began := time.Now()
	if err := w.site.Revoke(t.Context(), "E1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
		t.Logf("shut out %v after the word", time.Since(began))
	case <-time.After(10 * time.Second):
		t.Error("a lane that was shut out is still connected")
	}
	if again, err := nats.Connect(w.creds.URL, nats.Secure(conf), nats.UserCredentials(w.creds.User), nats.NoReconnect()); err == nil {
		again.Close()
		t.Error("a lane that was shut out comes back")
	}
	until(t, "the lane shows as away", func() bool {
		list, _, _ := w.site.Hub().Since(0)
		return len(list) == 1 && list[0].Away
	})
}

func TestEnrolmentRefusesAnotherSite(t *testing.T) {
	w := newWorld(t)
	code, err := w.site.Code(t.Context(), "E1", "lea")
	if err != nil {
		t.Fatal(err)
	}
	secret, _, _ := strings.Cut(code, "-")
	_, _, err = fleet.Enrol(t.Context(), w.enrol, secret+"-"+fleet.Fingerprint([]byte("another")), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "not the site") {
		t.Errorf("got %v", err)
	}
	if _, err := w.site.Code(t.Context(), "E 1.>", "lea"); !errors.Is(err, fleet.ErrLane) {
		t.Errorf("a lane called %q: %v", "E 1.>", err)
	}
}

// Two pages press at once, differently: the lane takes exactly one decision,
// and the other page is told that it came too late.
func TestTwoConsolesDecideDifferently(t *testing.T) {
	w, anna, _ := ready(t)
	other := w.browser()
	other.passkey = anna.passkey // her second device
	if s := other.signIn("anna"); s != http.StatusOK {
		t.Fatalf("sign-in: %d", s)
	}
	var raw []byte
	anna.call("GET", "/api/lane/E1/case", nil, &raw)
	digest := sha256.Sum256(raw)
	say := func(b *browser, value string, round int) officer.Envelope {
		return b.envelope(officer.Word{Lane: "E1", Kind: officer.Decision, Transaction: txn, Value: value, Reason: "doubt", Text: strconv.Itoa(round), Evidence: hex.EncodeToString(digest[:])})
	}
	for round := range 20 {
		w.desk.mu.Lock()
		w.desk.over, w.desk.decided = false, nil
		w.desk.mu.Unlock()
		words := [][]byte{marshal(t, say(anna, "release", round)), marshal(t, say(other, "divert", round))}
		answers := make([]fleet.Answer, 2)
		var both sync.WaitGroup
		for i, b := range words {
			both.Go(func() {
				a, err := w.site.Carry(context.Background(), "E1", b)
				if err != nil {
					a.Code = err.Error()
				}
				answers[i] = a
			})
		}
		both.Wait()
		if answers[0].OK == answers[1].OK || len(w.desk.log()) != 1 {
			t.Fatalf("round %d: %+v, the lane did %q", round, answers, w.desk.log())
		}
		for i, a := range answers {
			if want := []string{"anna release", "anna divert"}[i]; a.OK != (w.desk.log()[0] == want) || !a.OK && a.Code != "stale" {
				t.Errorf("round %d: %+v, the lane did %q", round, answers, w.desk.log())
			}
		}
	}
}

package site

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"passage/hwsim/passkey"
	lanekeys "passage/keys"
	"passage/kiosk"
	"passage/kiosk/fleet"
	"passage/kiosk/journal"
	"passage/kiosk/officer"
	"passage/kiosk/rollout"
	"passage/kiosk/web"
	"passage/sqlite"
)

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, dir string) *Site {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir, Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// proposed is a release of a configuration that tom has proposed.
func (s *Site) proposed(t *testing.T, content string) Release {
	t.Helper()
	d, err := s.DraftConfiguration(t.Context(), "Testport", "a test", []byte(content))
	if err == nil {
		err = s.Propose(t.Context(), officer.Said{Word: officer.Word{Value: d.Digest}, Officer: officer.Officer{ID: "tom"}}, []byte("{}"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// activated begins a plan of lanes E01, E02, … for a release.
func (s *Site) activated(t *testing.T, d Release, lanes int, at time.Time, change ...func(*rollout.Plan)) string {
	t.Helper()
	p := rollout.Plan{Release: d.Digest, Stages: []int{10, 100}, Soak: 600, From: at.Unix(), Until: at.Add(24 * time.Hour).Unix(), Limits: rollout.DefaultLimits}
	for n := range lanes {
		p.Lanes = append(p.Lanes, fmt.Sprintf("E%02d", n+1))
	}
	for _, c := range change {
		c(&p)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Activate(t.Context(), officer.Said{Word: officer.Word{Value: rollout.Digest(b)}, Officer: officer.Officer{ID: "sam"}}, b, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	return rollout.Digest(b)
}

// idle has the site hear lanes at rest that say what they have.
func (s *Site) idle(lanes int, at time.Time, has func(id string) []rollout.Status) {
	for n := range lanes {
		id := fmt.Sprintf("E%02d", n+1)
		s.hub.Seen(id, []byte(`{"state":"IDLE","direction":"entry","officers":["gus"]}`), at)
		s.said[id] = report{has(id), at}
	}
}

// A console that starts anew goes on with the same lanes, and gives nobody more
// than what is written down.
func TestRolloutOutlivesTheConsole(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now()
	d := s.proposed(t, "[policy]\nstamp_required = true\n")
	s.activated(t, d, 20, now)
	nothing := func(string) []rollout.Status { return nil }
	s.idle(20, now, nothing)
	if err := s.rollOn(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	before := s.Rollouts()[0]
	if len(before.State.Lanes) != 2 || before.State.Phase != rollout.Running {
		t.Fatalf("%+v", before.State)
	}
	s.Close()
	s = open(t, dir)
	after := s.Rollouts()[0]
	a, _ := json.Marshal(before)
	b, _ := json.Marshal(after)
	if string(a) != string(b) {
		t.Errorf("the console remembers %s, not %s", b, a)
	}
	// Half an hour later, lanes have been heard, and have not said yet what they have.
	now = now.Add(30 * time.Minute)
	s.idle(20, now, nothing)
	if err := s.rollOn(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if got := s.Rollouts()[0].State; len(got.Lanes) != 2 || got.Phase != rollout.Running {
		t.Errorf("after the start: %+v", got)
	}
	for id, may := range map[string]bool{before.State.Lanes[0].ID: true, "E99": false} {
		if s.gave(id, d.SHA256) != may || len(s.offersFor(id, nil).Offers) > 0 != may {
			t.Errorf("lane %s may have it: %v", id, !may)
		}
	}
	if err := s.Say(t.Context(), officer.Said{Word: officer.Word{Transaction: before.Digest, Value: "stop"}, Officer: officer.Officer{ID: "tom"}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir)
	defer s.Close()
	if got := s.Rollouts()[0].State; got.Phase != rollout.Stopped || s.gave(before.State.Lanes[0].ID, d.SHA256) {
		t.Errorf("a stopped rollout after the start: %+v", got)
	}
}

// Travellers of the lanes with a release are compared with those of the others,
// and with those before.
func TestRolloutIsJudged(t *testing.T) {
	for _, c := range []struct {
		name                 string
		before, with, others int // of twenty-five crossings each, how many were diverted; -1 for no crossings
		alarms               bool
		want                 string
	}{
		{name: "all the same", before: 2, with: 3, others: 2},
		{name: "worse than the others", before: 2, with: 12, others: 2, want: "in the lanes without it"},
		{name: "worse everywhere", before: 2, with: 12, others: 12},
		{name: "worse than before", before: 2, with: 12, others: -1, want: "in the same lanes before"},
		{name: "attack alarms", before: 0, with: 12, others: 0, alarms: true, want: "attack alarms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer s.Close()
			start := time.Now().Truncate(time.Second)
			d := s.proposed(t, "[timers]\ndecide = \"2s\"\n")
			plan := s.activated(t, d, 2, start)
			order := s.Rollouts()[0].Plan.Order(plan)
			cross := func(lane string, at time.Time, bad int) {
				for n := range 25 {
					outcome, reason, timeline := "released", "", "[]"
					if n < bad && c.alarms {
						timeline = `[{"name":"officer.PAD"}]`
					} else if n < bad {
						outcome, reason = "diverted_in", "FACE"
					}
					if bad < 0 {
						return
					}
					if _, err := s.db.Writer.Exec("INSERT INTO crossing VALUES (?,?,?,?,?,?,?,?)", lane, fmt.Sprint(at, n), at.Add(time.Duration(n)*time.Second).UnixMilli(), 10_000, "EU", outcome, reason, []byte(timeline)); err != nil {
						t.Fatal(err)
					}
				}
			}
			has := func(id string) []rollout.Status {
				if id == order[0] {
					return []rollout.Status{{Kind: rollout.Configuration, Number: 1, Digest: d.Digest}}
				}
				return []rollout.Status{{Kind: rollout.Configuration}}
			}
			cross(order[0], start.Add(-time.Hour), c.before)
			s.idle(2, start, has)
			for _, at := range []time.Duration{0, 2 * time.Second} { // given, then taken
				if err := s.rollOn(t.Context(), start.Add(at)); err != nil {
					t.Fatal(err)
				}
			}
			cross(order[0], start.Add(10*time.Second), c.with)
			cross(order[1], start.Add(10*time.Second), c.others)
			if err := s.rollOn(t.Context(), start.Add(5*time.Minute)); err != nil {
				t.Fatal(err)
			}
			got := s.Rollouts()[0].State
			if stopped := got.Phase == rollout.Stopped; stopped != (c.want != "") || !strings.Contains(got.Why, c.want) {
				t.Errorf("%s: %q, want %q", got.Phase, got.Why, c.want)
			}
		})
	}
}

// enrolled gives a lane credentials, as fleet.Enrol does.
func (s *Site) enrolled(t *testing.T, id string) fleet.Credentials {
	t.Helper()
	code, err := s.Code(t.Context(), id, "lea")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	secret, _, _ := strings.Cut(code, "-")
	e, err := s.Enrol(t.Context(), fleet.Request{Secret: secret, CSR: csr, User: public})
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(e.JWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := fleet.Credentials{URL: e.Fleet, CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), User: filepath.Join(dir, "user")}
	for path, b := range map[string][]byte{c.CA: e.CA, c.Cert: e.Cert, c.Key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), c.User: creds} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// resting is a lane at rest to which nothing happens.
type resting struct{ web.Desk }

func (resting) View() kiosk.View                      { return kiosk.View{} }
func (resting) Watch(context.Context) <-chan struct{} { return make(chan struct{}) }

// Whoever owns the console, with all its keys, puts nothing onto a lane that two
// officers have not signed: neither what it made itself, nor what they signed for
// something else, for somebody else or for another time.
func TestForgedConsoleRollsOutNothing(t *testing.T) {
	s := open(t, t.TempDir()) // its own answers are never given: Run is not called
	defer s.Close()
	rosterKey := ed25519.NewKeyFromSeed(make([]byte, 32))
	people := map[string]*passkey.Officer{}
	roster := officer.Roster{Site: "Testport", Version: 1, Until: time.Now().AddDate(0, 1, 0), RPID: "console.test", Origins: []string{"https://console.test"}}
	for id, role := range map[string]officer.Role{"tom": officer.Technician, "sam": officer.Supervisor, "mallory": officer.Supervisor} {
		o, err := passkey.SignIn(id, "console.test", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		row, err := o.Row(role)
		if err != nil {
			t.Fatal(err)
		}
		if people[id] = o; id != "mallory" { // the console would like her to be one
			roster.Officers = append(roster.Officers, row)
		}
	}
	signed, err := roster.Sign(rosterKey)
	if err != nil {
		t.Fatal(err)
	}
	say := func(id string, kind officer.Kind, digest string) []byte {
		b, err := people[id].Say(officer.Word{Lane: officer.Site, Kind: kind, Value: digest, At: time.Now().UnixMilli()}, true)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	contents := map[string][]byte{}
	offer := func(number uint64, content, proposer, activator string, lanes ...string) rollout.Offer {
		r := rollout.Release{Site: "Testport", Kind: rollout.Configuration, Number: number, Name: content, Size: int64(len(content)), SHA256: rollout.Digest([]byte(content)), Made: time.Now().Unix()}
		contents[r.SHA256] = []byte(content)
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := json.Marshal(rollout.Plan{Release: rollout.Digest(body), Lanes: lanes, Stages: []int{100}, From: time.Now().Add(-time.Minute).Unix(), Until: time.Now().Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return rollout.Offer{Release: body, Proposal: say(proposer, officer.Propose, rollout.Digest(body)), Plan: plan, Activation: say(activator, officer.Activate, rollout.Digest(plan))}
	}
	good := offer(1, "good", "tom", "sam", "E1")
	newer := offer(2, "newer", "tom", "sam", "E1")
	mixed := offer(3, "evil", "mallory", "mallory", "E1")
	mixed.Proposal, mixed.Activation = newer.Proposal, newer.Activation
	tampered := offer(4, "tampered", "tom", "sam", "E1")
	contents[rollout.Digest([]byte("tampered"))] = []byte("tempered")

	// What the console offers, one after another; the lane reports in between.
	offers := make(chan rollout.Offer)
	reports := make(chan []rollout.Status)
	answer := func(m *nats.Msg, v any) {
		b, err := json.Marshal(v)
		if err == nil {
			err = m.Respond(b)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := s.nc.Subscribe(fleet.Question("E1", "roster"), func(m *nats.Msg) { answer(m, signed) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := s.nc.Subscribe(fleet.Question("E1", "release"), func(m *nats.Msg) {
		list, err := rollout.ParseStatus(m.Data)
		if err != nil {
			t.Error(err)
		}
		select {
		case reports <- list:
		case <-ctx.Done():
			return
		}
		select {
		case o := <-offers:
			answer(m, fleet.Offers{Offers: []rollout.Offer{o}})
		case <-ctx.Done():
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.nc.Subscribe(fleet.Fetches, func(m *nats.Msg) {
		var p rollout.Piece
		if err := json.Unmarshal(m.Data, &p); err != nil {
			t.Error(err)
		}
		if err := m.Respond(contents[p.SHA256]); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}

	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ring, err := lanekeys.Fixed(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := journal.Open(t.Context(), db.Writer, ring, nil); err != nil {
		t.Fatal(err)
	}
	keeper, err := rollout.OpenKeeper(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var began []string
	keeper.Check = func(b []byte) error { return nil }
	keeper.Rest = func(context.Context) (func(), bool, bool) { return func() {}, false, true }
	keeper.Again = func(why string) { began = append(began, why) }
	client := &fleet.Client{Lane: "E1", Desk: resting{}, Journal: db.Reader, RosterKey: rosterKey.Public().(ed25519.PublicKey), Releases: keeper, Log: quiet}
	ended := make(chan error, 1)
	creds := s.enrolled(t, "E1")
	go func() { ended <- client.Run(ctx, creds) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	// The lane has its roster within the first looks: until then it says so.
	<-reports
	number := uint64(0)
	next := func(o rollout.Offer) rollout.Status {
		t.Helper()
		offers <- o
		if err := s.nudge("E1"); err != nil {
			t.Fatal(err)
		}
		list := <-reports
		number = list[0].Number
		return list[0]
	}
	st := next(good)
	for strings.Contains(st.Waits, "no roster") {
		st = next(good)
	}
	if number != 1 {
		t.Fatalf("what two officers signed is not taken: %+v", st)
	}
	for _, c := range []struct {
		name, why string
		offer     rollout.Offer
	}{
		{"by the console's own officer", "knows no officer", offer(5, "evil", "mallory", "sam", "E1")},
		{"by one officer", "cannot activate", offer(5, "evil", "sam", "sam", "E1")},
		{"signed for another release", "something else", mixed},
		{"for another lane", "not for lane E1", offer(5, "evil", "tom", "sam", "E2")},
		{"with nothing", "", rollout.Offer{}},
		{"the same again", "", good},
		{"another content than was signed", "not what was signed", tampered},
		{"an older number", "not newer", offer(1, "older", "tom", "sam", "E1")},
	} {
		st := next(c.offer)
		if said := st.Waits + st.Why; number != 1 || !strings.Contains(said, c.why) {
			t.Errorf("%s: the lane has number %d and says %q, want something about %q", c.name, number, said, c.why)
		}
	}
	if st := next(newer); number != 2 || len(began) != 2 {
		t.Errorf("a newer one: %+v, starts %q", st, began)
	}
	if st := next(good); number != 2 || !strings.Contains(st.Why, "not newer than 2") {
		t.Errorf("the one before, said again: %+v", st)
	}
	if !slices.Equal(began, []string{"to take configuration 1, good", "to take configuration 2, newer"}) {
		t.Errorf("starts: %q", began)
	}
}

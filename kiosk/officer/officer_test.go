package officer_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"passage/hwsim/passkey"
	"passage/kiosk/officer"
)

const (
	page   = "console.test"
	origin = "https://console.test"
)

var now = time.Date(2026, 6, 20, 8, 0, 0, 0, time.UTC)

// browser is an officer's page: a passkey, and a session key that it certified.
type browser struct {
	t       *testing.T
	passkey *passkey.Passkey
	key     *ecdsa.PrivateKey
	session officer.Session
}

func newBrowser(t *testing.T, id string, p *passkey.Passkey) *browser {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t, p, key, officer.Session{Officer: id, Key: public, Issued: now.Unix(), Expires: now.Add(8 * time.Hour).Unix()}}
	b.certify(origin)
	return b
}

func (b *browser) certify(origin string) {
	b.t.Helper()
	var err error
	if b.session.Assertion, err = b.passkey.Get(origin, b.session.Challenge(page)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) say(w officer.Word, change ...func(*officer.Envelope)) []byte {
	b.t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		b.t.Fatal(err)
	}
	e := officer.Envelope{Session: b.session, Word: text}
	digest := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, b.key, digest[:])
	if err != nil {
		b.t.Fatal(err)
	}
	e.Signature = make([]byte, 64)
	r.FillBytes(e.Signature[:32])
	s.FillBytes(e.Signature[32:])
	for _, c := range change {
		c(&e)
	}
	out, err := json.Marshal(e)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// site is a roster of one guard, anna, and the ear of lane E1.
type site struct {
	roster officer.Roster
	key    ed25519.PrivateKey
	anna   *passkey.Passkey
	ear    *officer.Ear
}

func newSite(t *testing.T) site {
	t.Helper()
	anna, err := passkey.New(page)
	if err != nil {
		t.Fatal(err)
	}
	public, err := anna.Public()
	if err != nil {
		t.Fatal(err)
	}
	s := site{anna: anna, key: ed25519.NewKeyFromSeed(make([]byte, 32)), ear: &officer.Ear{Lane: "E1"}}
	s.roster = officer.Roster{
		Site: "Testport", Version: 2, Until: now.AddDate(0, 1, 0), RPID: page, Origins: []string{origin},
		Officers: []officer.Officer{{ID: "anna", Name: "Anna Amt", Role: officer.Guard, Passkeys: []officer.Passkey{{ID: anna.ID, Key: public}}}},
	}
	s.take(t)
	return s
}

func (s site) take(t *testing.T) {
	t.Helper()
	signed, err := s.roster.Sign(s.key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := signed.Open(s.key.Public().(ed25519.PublicKey), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ear.Take(r); err != nil {
		t.Fatal(err)
	}
}

func word() officer.Word {
	return officer.Word{Lane: "E1", Kind: officer.Decision, Transaction: "t-1", Value: "release", Reason: "visual_comparison", At: now.UnixMilli()}
}

func TestHear(t *testing.T) {
	s := newSite(t)
	b := newBrowser(t, "anna", s.anna)
	said, err := s.ear.Hear(b.say(word()), now.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if said.Officer.Name != "Anna Amt" || said.Value != "release" || said.Again {
		t.Errorf("heard %+v", said)
	}
	fresh := word()
	fresh.Text = "compared the passport by hand"
	said, err = s.ear.Hear(b.say(fresh, func(e *officer.Envelope) { e.Fresh, err = s.anna.Get(origin, officer.FreshChallenge(e.Word)) }), now)
	if err != nil || !said.Again {
		t.Errorf("a fresh assertion: %v, %v", said.Again, err)
	}
}

// Two officers who say the same in one millisecond have both said it.
func TestHearTwoOfOneMind(t *testing.T) {
	s := newSite(t)
	bert, err := passkey.New(page)
	if err != nil {
		t.Fatal(err)
	}
	public, err := bert.Public()
	if err != nil {
		t.Fatal(err)
	}
	s.roster.Version++
	s.roster.Officers = append(s.roster.Officers, officer.Officer{ID: "bert", Name: "Bert Bund", Role: officer.Supervisor, Passkeys: []officer.Passkey{{ID: bert.ID, Key: public}}})
	s.take(t)
	for _, b := range []*browser{newBrowser(t, "anna", s.anna), newBrowser(t, "bert", bert)} {
		said, err := s.ear.Hear(b.say(word()), now)
		if err != nil || said.Officer.ID != b.session.Officer {
			t.Errorf("%s: %+v, %v", b.session.Officer, said, err)
		}
	}
}

// Every way in which a console, a thief or a careless officer could put a word
// into the lane's ear that nobody said.
func TestHearRefuses(t *testing.T) {
	for _, c := range []struct {
		name, why string
		say       func(t *testing.T, s site, b *browser) []byte
		later     time.Duration
	}{
		{name: "another lane's", why: "not for this lane", say: func(_ *testing.T, _ site, b *browser) []byte {
			w := word()
			w.Lane = "E2"
			return b.say(w)
		}},
		{name: "changed on its way", why: "did not sign", say: func(_ *testing.T, _ site, b *browser) []byte {
			return b.say(word(), func(e *officer.Envelope) { e.Word = []byte(strings.Replace(string(e.Word), "t-1", "t-2", 1)) })
		}},
		{name: "kept and said later", why: "too long ago", later: time.Minute, say: func(_ *testing.T, _ site, b *browser) []byte { return b.say(word()) }},
		{name: "from the future", why: "by another clock", say: func(_ *testing.T, _ site, b *browser) []byte {
			w := word()
			w.At = now.Add(time.Minute).UnixMilli()
			return b.say(w)
		}},
		{name: "by nobody", why: "knows no officer", say: func(_ *testing.T, _ site, b *browser) []byte {
			return b.say(word(), func(e *officer.Envelope) { e.Session.Officer = "mallory" })
		}},
		{name: "with a session key of the console's own", why: "signed something else", say: func(t *testing.T, s site, b *browser) []byte {
			forged := newBrowser(t, "anna", s.anna)
			forged.session.Assertion = b.session.Assertion // the only one it has ever seen
			return forged.say(word())
		}},
		{name: "with a passkey of the console's own", why: "not one of officer", say: func(t *testing.T, _ site, _ *browser) []byte {
			own, err := passkey.New(page)
			if err != nil {
				t.Fatal(err)
			}
			return newBrowser(t, "anna", own).say(word())
		}},
		{name: "certified on another page", why: "another page", say: func(_ *testing.T, _ site, b *browser) []byte {
			b.certify("https://c0nsole.test")
			return b.say(word())
		}},
		{name: "certified for another site", why: "another site", say: func(_ *testing.T, s site, b *browser) []byte {
			s.anna.RPID = "other.test"
			b.certify(origin)
			return b.say(word())
		}},
		{name: "certified without the officer", why: "not verified", say: func(_ *testing.T, s site, b *browser) []byte {
			s.anna.Unverified = true
			b.certify(origin)
			return b.say(word())
		}},
		{name: "of a session without end", why: "run out", say: func(_ *testing.T, _ site, b *browser) []byte {
			b.session.Issued, b.session.Expires = math.MinInt64, math.MaxInt64
			b.certify(origin)
			return b.say(word())
		}},
		{name: "of an ended session", why: "run out", say: func(_ *testing.T, _ site, b *browser) []byte {
			b.session.Issued, b.session.Expires = now.Add(-9*time.Hour).Unix(), now.Add(-time.Hour).Unix()
			b.certify(origin)
			return b.say(word())
		}},
		{name: "of an endless session", why: "run out", say: func(_ *testing.T, _ site, b *browser) []byte {
			b.session.Expires = now.AddDate(1, 0, 0).Unix()
			b.certify(origin)
			return b.say(word())
		}},
		{name: "by an officer who has left", why: "knows no officer", say: func(t *testing.T, s site, b *browser) []byte {
			s.roster.Officers, s.roster.Version = nil, 3
			s.take(t)
			return b.say(word())
		}},
		{name: "twice", why: "heard before", say: func(t *testing.T, s site, b *browser) []byte {
			w := b.say(word())
			if _, err := s.ear.Hear(w, now); err != nil {
				t.Fatal(err)
			}
			return w
		}},
		{name: "again, to a lane that was started anew in between", why: "before the lane started", later: 2 * time.Second, say: func(t *testing.T, s site, b *browser) []byte {
			w := b.say(word())
			if _, err := s.ear.Hear(w, now); err != nil {
				t.Fatal(err)
			}
			*s.ear = officer.Ear{Lane: "E1", Since: now.Add(time.Second)}
			s.take(t)
			return w
		}},
		{name: "a fresh assertion of another word", why: "signed something else", say: func(t *testing.T, s site, b *browser) []byte {
			old, err := s.anna.Get(origin, officer.FreshChallenge([]byte("another")))
			if err != nil {
				t.Fatal(err)
			}
			return b.say(word(), func(e *officer.Envelope) { e.Fresh = old })
		}},
		{name: "eyes on too many lanes", why: "10 are the most", say: func(_ *testing.T, _ site, b *browser) []byte {
			w := officer.Word{Kind: officer.Present, At: now.UnixMilli(), Lanes: []string{"E1"}}
			for range officer.MostLanes {
				w.Lanes = append(w.Lanes, "E2")
			}
			return b.say(w)
		}},
		{name: "not JSON", why: "cannot be read", say: func(*testing.T, site, *browser) []byte { return []byte("{") }},
		{name: "unknown fields", why: "cannot be read", say: func(_ *testing.T, _ site, b *browser) []byte {
			return append(b.say(word())[:1], []byte(`"admin":true}`)...)
		}},
		{name: "a flood", why: "larger than", say: func(*testing.T, site, *browser) []byte { return make([]byte, officer.MaxEnvelope+1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			_, err := s.ear.Hear(c.say(t, s, newBrowser(t, "anna", s.anna)), now.Add(c.later))
			if !errors.Is(err, officer.ErrWord) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want a refusal that says %q", err, c.why)
			}
		})
	}
}

func TestRoster(t *testing.T) {
	s := newSite(t)
	signed, err := s.roster.Sign(s.key)
	if err != nil {
		t.Fatal(err)
	}
	public := s.key.Public().(ed25519.PublicKey)
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))).Public().(ed25519.PublicKey)
	for _, c := range []struct {
		name string
		s    officer.Signed
		key  ed25519.PublicKey
		now  time.Time
	}{
		{"another key", signed, other, now},
		{"no key", signed, nil, now},
		{"run out", signed, public, now.AddDate(0, 2, 0)},
		{"one byte changed", officer.Signed{Roster: []byte(strings.Replace(string(signed.Roster), "anna", "enna", 1)), Signature: signed.Signature}, public, now},
	} {
		if _, err := c.s.Open(c.key, c.now); !errors.Is(err, officer.ErrRoster) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	old := s.roster
	old.Version = 1
	if err := s.ear.Take(&old); !errors.Is(err, officer.ErrRoster) {
		t.Errorf("an older roster was taken: %v", err)
	}
	twice := s.roster
	twice.Officers = append(twice.Officers, officer.Officer{ID: "berta", Role: officer.Supervisor, Passkeys: s.roster.Officers[0].Passkeys})
	if _, err := twice.Sign(s.key); !errors.Is(err, officer.ErrRoster) || !strings.Contains(err.Error(), "same passkey") {
		t.Errorf("one passkey signs for two persons: %v", err)
	}
	bad := officer.Roster{Officers: []officer.Officer{{ID: "a b", Role: "king"}}}
	if _, err := bad.Sign(s.key); !errors.Is(err, officer.ErrRoster) {
		t.Errorf("a roster that no lane could use was signed: %v", err)
	}
}

// A word that is accepted is one that the browser signed: nothing that the
// fuzzer makes of the envelope is.
func FuzzHear(f *testing.F) {
	f.Add([]byte(`{"session":{"officer":"anna","key":"","issued":0,"expires":0,"assertion":{}},"word":"e30=","signature":""}`))
	f.Add([]byte(`{}`))
	ear := &officer.Ear{Lane: "E1"}
	if err := ear.Take(&officer.Roster{Version: 1, Until: now.AddDate(1, 0, 0), RPID: page, Origins: []string{origin}, Officers: []officer.Officer{{ID: "anna", Role: officer.Guard}}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ear.Hear(b, now); err == nil {
			t.Errorf("heard %q", b)
		}
	})
}

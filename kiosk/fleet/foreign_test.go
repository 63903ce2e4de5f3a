package fleet

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/web"
)

// strict is a lane to which nobody may get through without a proven word.
type strict struct {
	web.Desk
	t *testing.T
}

func (s strict) Decide(context.Context, kiosk.Officer, string, lane.Decision, string, string, string) error {
	s.t.Error("an unproven word decided")
	return nil
}

func (s strict) Order(context.Context, kiosk.Officer, lane.OfficerOrder) error {
	s.t.Error("an unproven word gave an order")
	return nil
}

func (strict) View() kiosk.View { return kiosk.View{} }

func (strict) Cases(context.Context) ([]kiosk.Case, error) { return nil, nil }

func (strict) Face(string, string) ([]byte, bool) { return nil, false }

// FuzzDo feeds a lane words that nobody signed.
func FuzzDo(f *testing.F) {
	r := &officer.Roster{Version: 1, Until: time.Now().AddDate(1, 0, 0), RPID: "localhost", Origins: []string{"https://localhost"}, Officers: []officer.Officer{{ID: "anna", Role: officer.Guard}}}
	word, err := json.Marshal(officer.Word{Lane: "E1", Kind: officer.Order, Value: "open", At: time.Now().UnixMilli()})
	if err != nil {
		f.Fatal(err)
	}
	e, err := json.Marshal(officer.Envelope{Session: officer.Session{Officer: "anna", Expires: time.Now().Add(time.Hour).Unix()}, Word: word})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e)
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Client{Lane: "E1", Desk: strict{t: t}, Log: slog.New(slog.DiscardHandler)}
		c.ear.Lane = "E1"
		if err := c.ear.Take(r); err != nil {
			t.Fatal(err)
		}
		if a := c.do(t.Context(), b); a.OK || a.Code == "" {
			t.Errorf("%q is answered by %+v", b, a)
		}
	})
}

// FuzzAsk feeds a lane questions. Without a connection no answer can leave:
// what is tried is that none harms.
func FuzzAsk(f *testing.F) {
	f.Add([]byte(`{"what":"face","transaction":"t","which":"chip"}`))
	f.Add([]byte(`{"what":"cases"}`))
	f.Add([]byte(`{"what":"case"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Client{Lane: "E1", Desk: strict{t: t}, Log: slog.New(slog.DiscardHandler)}
		c.ask(t.Context(), &nats.Msg{Data: b})
		if len(c.served) != 0 {
			t.Errorf("%q made the lane show a case where there is none", b)
		}
	})
}

// FuzzRoster feeds a lane what a site may answer to its question: without the
// roster key's signature nobody gets a say.
func FuzzRoster(f *testing.F) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := officer.Roster{RPID: "localhost", Origins: []string{"https://localhost"}, Until: time.Now().AddDate(1, 0, 0)}.Sign(private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Roster, good.Signature)
	f.Add([]byte(`{}`), make([]byte, ed25519.SignatureSize))
	f.Fuzz(func(t *testing.T, roster, signature []byte) {
		_, err := officer.Signed{Roster: roster, Signature: signature}.Open(public, time.Now())
		if signed := string(roster) == string(good.Roster) && string(signature) == string(good.Signature); (err == nil) != signed {
			t.Errorf("%q: %v", roster, err)
		}
	})
}

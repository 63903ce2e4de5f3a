package emrtd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/pcsc"
	"passage/hwsim/passport"
	"passage/hwsim/pcscd"
)

// lay lays a card where a reader finds it, and returns it as the reader's; take
// takes it away.
type lay func(t *testing.T, card *passport.Card) (seen apdu.Card, take func())

// testRead is the body that every way to a card passes.
func testRead(t *testing.T, lay lay) {
	for _, c := range []struct {
		profile string
		fault   string
		want    emrtd.Verdict
		err     error
	}{
		{profile: "icao-ext", want: emrtd.ChipGenuine},
		{profile: "icao-2048", want: emrtd.ChipGenuine},
		{profile: "icao-short", want: emrtd.ChipGenuine},
		{profile: "bac", want: emrtd.ChipGenuine},
		{profile: "cam", want: emrtd.ChipGenuine},
		{profile: "aa-rsa", want: emrtd.ChipGenuine},
		{profile: "pace-im-aes256-17", want: emrtd.ChipGenuine},
		{profile: "pace-gm-3des-2", want: emrtd.ChipGenuine},
		{profile: "icao-ext", fault: "wrong_ca_key", want: emrtd.Clone},
		{profile: "bac", fault: "tampered_dg2", want: emrtd.Altered},
		{profile: "icao-ext", fault: "naked_at", want: emrtd.ChipGenuine},
		{profile: "icao-ext", fault: "removed_at", err: apdu.ErrRemoved},
	} {
		t.Run(c.profile+" "+c.fault, func(t *testing.T) {
			card, key, o := issue(t, c.profile, func(p *passport.Profile) {
				if c.fault != "" {
					p.Faults = map[string]int{c.fault: 13}
				}
			})
			o.COM, o.Groups = true, []int{14, 15}
			seen, take := lay(t, card)
			defer take()
			doc, err := emrtd.Read(t.Context(), seen, key, o)
			if !errors.Is(err, c.err) || doc.Verdict != c.want {
				t.Fatalf("%v, %s\n%+v\n%q", err, doc.Verdict, doc.Checks, doc.Fallback)
			}
			if c.err == nil && c.want == emrtd.ChipGenuine && !bytes.Contains(doc.Files["DG2"], make([]byte, 20_000)) {
				t.Error("another portrait")
			}
			if s := card.Stats(); s.APDUs != doc.APDUs || c.err == nil && s.Bytes != doc.Bytes {
				t.Errorf("%d commands and %d bytes, the card counts %+v", doc.APDUs, doc.Bytes, s)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		testRead(t, func(_ *testing.T, card *passport.Card) (apdu.Card, func()) { return card, func() {} })
	})
	t.Run("pcscd", func(t *testing.T) {
		if testing.Short() {
			t.Skip("cards take a second each")
		}
		service, err := pcscd.Start(t.Context(), io.Discard)
		if err != nil {
			t.Skipf("needs pcscd with vsmartcard's virtual reader: %v", err)
		}
		defer func() {
			if err := service.Stop(); err != nil {
				t.Error(err)
			}
		}()
		reader := &pcsc.Reader{Name: pcscd.Slots[0].Name}
		present := make(chan bool, 8)
		watching, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- reader.Watch(watching, func(is bool) { present <- is }) }()
		defer func() {
			stop()
			<-ended
		}()
		expect := func(t *testing.T, want bool) {
			t.Helper()
			select {
			case got := <-present:
				if got != want {
					t.Fatalf("present %v, want %v", got, want)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no event; want present %v", want)
			}
		}
		testRead(t, func(t *testing.T, card *passport.Card) (apdu.Card, func()) {
			ctx, away := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- card.ServeBy(ctx, func() (net.Conn, error) { return service.Dial(0) }) }()
			expect(t, true)
			seen, err := reader.Connect(t.Context())
			if err != nil {
				away()
				t.Fatal(err)
			}
			return seen, func() {
				_ = seen.Close() // a card that has gone cannot be reset
				away()
				<-served
				expect(t, false)
			}
		})
	})
}

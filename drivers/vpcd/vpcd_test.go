package vpcd_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/pcsc"
	"passage/drivers/vpcd"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

// reader is what both readers offer.
type reader interface {
	Watch(context.Context, func(bool)) error
	Connect(context.Context) (apdu.Card, error)
}

// testReader lays a virtual passport on a reader, reads it, and takes it away,
// at rest and in the middle of a reading.
func testReader(t *testing.T, r reader, addr string) {
	now := time.Now()
	a, err := testpki.NewAuthority("DE", now)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := a.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := testpki.Write(dir, a); err != nil {
		t.Fatal(err)
	}
	trust, err := pki.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan bool, 16)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- r.Watch(ctx, func(p bool) { events <- p }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-watched; err != nil {
			t.Error(err)
		}
	})
	expect := func(want bool) {
		t.Helper()
		select {
		case got := <-events:
			if got != want {
				t.Fatalf("present %v, want %v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no event; want present %v", want)
		}
	}
	for _, removedAt := range []int{0, 6} {
		p := passport.Profile{
			MRZ:    mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "D", Nationality: "D", Surname: "MUSTERMANN", GivenNames: "ERIKA", Number: "C01X00T47", Birth: "640812", Sex: "F", Expiry: "311031"},
			Access: passport.PACE, Portrait: append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 20000)...), Faults: map[string]int{},
		}
		if removedAt > 0 {
			p.Faults["removed_at"] = removedAt
		}
		card, err := passport.New(p, signer)
		if err != nil {
			t.Fatal(err)
		}
		laid, take := context.WithCancel(ctx)
		served := make(chan error, 1)
		go func() { served <- card.Serve(laid, addr) }()
		expect(true)
		c, err := r.Connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		key, err := mrz.Parse(card.MRZ()...)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := emrtd.Read(ctx, c, key, emrtd.Options{Trust: trust, Now: now})
		if removedAt > 0 {
			if !errors.Is(err, apdu.ErrRemoved) {
				t.Errorf("torn out: %v", err)
			}
		} else if err != nil || doc.Verdict != emrtd.ChipGenuine {
			t.Errorf("%v, %s", err, doc.Verdict)
		}
		_ = c.Close() // a card that has gone cannot be reset
		take()
		<-served
		expect(false)
	}
}

func TestReader(t *testing.T) {
	t.Run("vpcd", func(t *testing.T) {
		r, err := vpcd.Listen("127.0.0.1:35973")
		if err != nil {
			t.Fatal(err)
		}
		testReader(t, r, "127.0.0.1:35973")
	})
	t.Run("pcscd", func(t *testing.T) {
		addr := os.Getenv("PASSAGE_PCSCD") // where its vpcd listens, such as 127.0.0.1:35963
		if addr == "" {
			t.Skip("needs pcscd with vsmartcard-vpcd: make test-pcscd")
		}
		testReader(t, &pcsc.Reader{Name: "Virtual PCD 00"}, addr)
	})
}

func TestListenIsForLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "nonsense"} {
		if _, err := vpcd.Listen(addr); err == nil {
			t.Errorf("%s was opened", addr)
		}
	}
}

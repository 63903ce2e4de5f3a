package pcsc

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"passage/drivers/emrtd/mrz"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/pcscd"
)

// A service that was killed and started again gives the card once more: the
// contexts of before look valid and serve nothing.
func TestServiceStartedAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("a service takes seconds to start")
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
	office, err := testpki.NewOffice("UT", time.Now(), "", testpki.Seed(1))
	if err != nil {
		t.Fatal(err)
	}
	p, err := passport.ByName("bac")
	if err != nil {
		t.Fatal(err)
	}
	p.MRZ = mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "UTO", Nationality: "UTO", Surname: "ERIKSSON", GivenNames: "ANNA MARIA", Number: "L898902C3", Birth: "740812", Sex: "F", Expiry: "340415"}
	p.Portrait, p.Width, p.Height = []byte{0xFF, 0xD8, 0xFF, 0xE0}, 360, 480
	card, err := passport.New(p, office.Signer)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { // the document stays where it lies
		defer close(served)
		for ctx.Err() == nil {
			if card.ServeBy(ctx, func() (net.Conn, error) { return service.Dial(0) }) != nil {
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		}
	}()
	reader := &Reader{Name: pcscd.Slots[0].Name}
	present := make(chan bool, 8)
	watched := make(chan error, 1)
	go func() { watched <- reader.Watch(ctx, func(is bool) { present <- is }) }()
	defer func() {
		stop()
		<-served
		if err := <-watched; err != nil {
			t.Error(err)
		}
	}()
	expect := func(want bool) {
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
	for again := range 2 {
		expect(true)
		c, err := reader.Connect(ctx)
		if err != nil {
			t.Fatalf("the service's start %d: %v", again+1, err)
		}
		if b, err := c.Transmit(ctx, []byte{0x00, 0xA4, 0x04, 0x0C, 0x07, 0xA0, 0x00, 0x00, 0x02, 0x47, 0x10, 0x01}); err != nil || len(b) != 2 || b[0] != 0x90 {
			t.Errorf("the application is selected: %X, %v", b, err)
		}
		if again == 0 {
			if err := service.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Transmit(ctx, []byte{0x00, 0x84, 0x00, 0x00, 0x08}); err == nil {
				t.Error("a dead service answers")
			}
			expect(false)
			if err := service.Again(ctx, io.Discard); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close() // of a dead service it cannot be reset
	}
}

package passport_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/vpcd"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

// recorded is a card whose exchanges are kept.
type recorded struct {
	apdu.Card
	list []string
}

func (r *recorded) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	reply, err := r.Card.Transmit(ctx, b)
	r.list = append(r.list, fmt.Sprintf("%X > %X %v", b, reply, err))
	return reply, err
}

// The wire changes nothing: with the same seeds on both sides, a reading over
// vsmartcard's protocol is the reading in this process, byte for byte.
func TestWireEqualsProcess(t *testing.T) {
	const addr = "127.0.0.1:35983"
	field, err := vpcd.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	run := func(wire bool) []string {
		p, err := passport.ByName("icao-ext")
		if err != nil {
			t.Fatal(err)
		}
		usual := profile()
		p.MRZ, p.Portrait, p.Width, p.Height, p.Random = usual.MRZ, usual.Portrait, usual.Width, usual.Height, testpki.Seed(11)
		chip, store, err := passport.Issue(p, "DE", now, "")
		if err != nil {
			t.Fatal(err)
		}
		r := &recorded{Card: chip}
		if wire {
			ctx, take := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- chip.Serve(ctx, addr) }()
			defer func() {
				take()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			present := make(chan bool, 1)
			watching, stop := context.WithCancel(t.Context())
			watched := make(chan error, 1)
			go func() {
				watched <- field.Watch(watching, func(there bool) {
					if there {
						present <- true
					}
				})
			}()
			<-present
			if r.Card, err = field.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				stop()
				if err := <-watched; err != nil {
					t.Error(err)
				}
			}()
		}
		doc, err := emrtd.Read(t.Context(), r, key(t, chip), emrtd.Options{Trust: store, Now: now, Random: testpki.Seed(12)})
		if err != nil || doc.Verdict != emrtd.ChipGenuine {
			t.Fatalf("%v, %s", err, doc.Verdict)
		}
		return r.list
	}
	run(false) // what the reader learns of a chip's family, it knows from here on
	here, there := run(false), run(true)
	if !slices.Equal(here, there) {
		for i := range here {
			if i >= len(there) || here[i] != there[i] {
				t.Fatalf("exchange %d differs:\n%s\n%s", i, here[i], slices.Concat(there, []string{"none"})[min(i, len(there))])
			}
		}
		t.Fatalf("%d exchanges here, %d over the wire", len(here), len(there))
	}
}

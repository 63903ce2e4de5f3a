package devices

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/drivers/apdu"
	zone "passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/vpcd"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/kiosk"
	"passage/kiosk/policy"
	"passage/sqlite"
)

// bearer is a document and who trusts its issuer.
type bearer struct {
	card  *passport.Card
	m     zone.MRZ
	store *pki.Store
}

func newBearer(t *testing.T, profile string) bearer {
	t.Helper()
	random := testpki.Seed(3)
	p, err := passport.ByName(profile)
	if err != nil {
		t.Fatal(err)
	}
	p.MRZ = zone.MRZ{Size: zone.TD3, Code: "P", Issuer: "D", Nationality: "D", Surname: "MUSTERMANN", GivenNames: "ERIKA", Number: "C01X00T47", Birth: "640812", Sex: "F", Expiry: "341031"}
	p.Portrait, p.Width, p.Height, p.Random = append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 8000)...), 413, 531, random
	card, store, err := passport.Issue(p, "DE", time.Now(), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := zone.Parse(card.MRZ()...)
	if err != nil {
		t.Fatal(err)
	}
	return bearer{card, m, store}
}

// page is a reader of one zone.
type page chan zone.MRZ

func (p page) Read(ctx context.Context) (zone.MRZ, error) {
	select {
	case m := <-p:
		return m, nil
	case <-ctx.Done():
		return zone.MRZ{}, ctx.Err()
	}
}

// field is a card reader in this process; lay puts a card there, nil takes it
// away.
type field struct {
	mu      sync.Mutex
	present func(bool)
	card    apdu.Card
	ready   chan struct{}
}

func (f *field) Watch(ctx context.Context, present func(bool)) error {
	f.present = present
	close(f.ready)
	<-ctx.Done()
	return nil
}

func (f *field) Connect(context.Context) (apdu.Card, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.card == nil {
		return nil, apdu.ErrRemoved
	}
	return f.card, nil
}

func (f *field) lay(c apdu.Card) {
	f.mu.Lock()
	f.card = c
	f.mu.Unlock()
	f.present(c != nil)
}

// tearing is a card that is taken away before its n-th command.
type tearing struct {
	apdu.Card
	n    int
	take func()
}

func (c *tearing) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if c.n--; c.n == 0 {
		c.take()
	}
	if c.n <= 0 {
		return nil, apdu.ErrRemoved
	}
	return c.Card.Transmit(ctx, b)
}

// other is a card of another make.
type other struct{ apdu.Card }

func (other) ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }

// A card that slips in the middle of a reading: back in time, the reading goes
// on and the lane hears nothing of it; otherwise the document was removed, and
// the lane hears that once.
func TestTornReading(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // until it is back; 0 for never
		other bool
		told  []bool
		fails bool
	}{
		{"back in time", time.Second, false, []bool{true}, false},
		{"back too late", 4 * time.Second, false, []bool{true, false, true}, true},
		{"never", 0, false, []bool{true, false}, true},
		{"another card", time.Second, true, []bool{true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				who := newBearer(t, "icao-short")
				f := &field{ready: make(chan struct{})}
				zones := make(page, 1)
				zones <- who.m
				r := &Reader{
					Cards: f, Trust: func() *pki.Store { return who.store }, Location: time.UTC, Log: slog.New(slog.DiscardHandler),
					Zones: func() (ZoneSource, io.Closer, error) { return zones, io.NopCloser(nil), nil },
				}
				ctx, cancel := context.WithCancel(t.Context())
				var told []bool
				watched := make(chan error, 1)
				go func() { watched <- r.Watch(ctx, func(is bool) { told = append(told, is) }) }()
				<-f.ready
				var back *time.Timer
				f.lay(&tearing{who.card, 40, func() {
					f.lay(nil)
					if c.after > 0 {
						back = time.AfterFunc(c.after, func() {
							who.card.Reset()
							if c.other {
								f.lay(other{who.card})
								return
							}
							f.lay(who.card)
						})
					}
				}})
				found, err := r.Read(ctx, func(kiosk.Identity, policy.Document) {})
				if c.fails != errors.Is(err, kiosk.ErrRemoved) || !c.fails && (err != nil || found.Document.Verdict != policy.ChipGenuine) {
					t.Errorf("%v, %s\n%+v", err, found.Document.Verdict, found.Checks)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				r.mu.Lock()
				if !slices.Equal(told, c.told) {
					t.Errorf("the lane was told %v, want %v", told, c.told)
				}
				r.mu.Unlock()
				if back != nil {
					back.Stop()
				}
				cancel()
				if err := <-watched; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// cut is a connection that breaks at its n-th answer.
type cut struct {
	net.Conn
	n int
}

func (c *cut) Write(b []byte) (int, error) {
	if c.n--; c.n == 0 {
		c.Conn.Close()
	}
	return c.Conn.Write(b)
}

// The same over the protocol of the virtual card reader.
func TestTornReadingOverTheWire(t *testing.T) {
	const addr = "127.0.0.1:35984"
	who := newBearer(t, "icao-short")
	v, err := vpcd.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	zones := make(page, 1)
	zones <- who.m
	r := &Reader{
		Cards: v, Trust: func() *pki.Store { return who.store }, Location: time.UTC, Log: slog.New(slog.DiscardHandler),
		Zones: func() (ZoneSource, io.Closer, error) { return zones, io.NopCloser(nil), nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	present := make(chan bool, 8)
	watched := make(chan error, 1)
	go func() { watched <- r.Watch(ctx, func(is bool) { present <- is }) }()
	laid := make(chan struct{})
	go func() {
		defer close(laid)
		var d net.Dialer
		_ = who.card.ServeBy(ctx, func() (net.Conn, error) { // it is cut
			c, err := d.DialContext(ctx, "tcp", addr)
			return &cut{c, 40}, err
		})
		if err := who.card.Serve(ctx, addr); err != nil {
			t.Error(err)
		}
	}()
	if !<-present {
		t.Fatal("no card")
	}
	found, err := r.Read(ctx, func(kiosk.Identity, policy.Document) {})
	if err != nil || found.Document.Verdict != policy.ChipGenuine {
		t.Errorf("%v, %s\n%+v", err, found.Document.Verdict, found.Checks)
	}
	if n := who.card.Stats().Authentications; n != 2 {
		t.Errorf("%d sessions, want the one that was torn and the one that went on", n)
	}
	if len(present) != 0 {
		t.Errorf("the lane was told %v", <-present)
	}
	cancel()
	<-laid
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

// What one run of a lane found out of a family of chips, the next one knows.
func TestChipsOutliveTheLane(t *testing.T) {
	db, err := sqlite.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exchanges := func() int {
		who := newBearer(t, "icao-2048")
		chips, err := NewChips(t.Context(), db.Writer)
		if err != nil {
			t.Fatal(err)
		}
		f := &field{ready: make(chan struct{})}
		zones := make(page, 1)
		zones <- who.m
		r := &Reader{
			Cards: f, Chips: chips, Trust: func() *pki.Store { return who.store }, Location: time.UTC, Log: slog.New(slog.DiscardHandler),
			Zones: func() (ZoneSource, io.Closer, error) { return zones, io.NopCloser(nil), nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan error, 1)
		go func() { watched <- r.Watch(ctx, func(bool) {}) }()
		<-f.ready
		f.lay(who.card)
		found, err := r.Read(ctx, func(kiosk.Identity, policy.Document) {})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-watched; err != nil {
			t.Error(err)
		}
		return found.APDUs
	}
	if first, second := exchanges(), exchanges(); second != first-1 {
		t.Errorf("%d exchanges, and %d after a new start: the sizes were asked again", first, second)
	}
	// What cannot be read is found out anew.
	if _, err := db.Writer.Exec(`UPDATE chips SET memory = 'nonsense'`); err != nil {
		t.Fatal(err)
	}
	exchanges()
}

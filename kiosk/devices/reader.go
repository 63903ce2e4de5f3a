package devices

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	zone "passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/trust"
	"passage/drivers/mrz"
	"passage/drivers/pcsc"
	"passage/drivers/vpcd"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/inlet"
	"passage/kiosk/policy"
	"passage/matcher"
)

// Reader is the document reader: a serial MRZ reader and a card reader whose
// readings belong to one document.
type Reader struct {
	Cards Cards
	// Zones opens the MRZ reader's line, or whatever else zones come from. It is
	// called again when it broke.
	Zones    func() (ZoneSource, io.Closer, error)
	Trust    func() *pki.Store // asked once for each document
	Location *time.Location    // of the crossing point
	Log      *slog.Logger
	Chips    *Chips // what families of chips can do; nil for this run alone
	Book     *inlet.Book

	mu     sync.Mutex
	latest zoneRead      // the newest zone
	came   chan struct{} // closed when a newer one comes; nil if nobody waits
	placed time.Time     // when the document that lies there was noticed
	line   io.Closer

	tell    func(bool)    // the shell's
	there   bool          // a card lies there
	told    bool          // what the shell was told
	reading bool          // a chip is being read: a card that is lost may come back
	moved   chan struct{} // closed when a card comes or goes
	memory  emrtd.Memory
}

// ZoneSource gives one zone after the other. It blocks until there is one; what
// is no zone is mrz.ErrUnreadable, and any other error ends it.
type ZoneSource interface {
	Read(context.Context) (zone.MRZ, error)
}

// Cards is a card reader.
type Cards interface {
	Watch(context.Context, func(bool)) error
	Connect(context.Context) (apdu.Card, error)
}

// zoneRead is one zone, or why it could not be read.
type zoneRead struct {
	m   zone.MRZ
	err error
	at  time.Time
}

const (
	zoneWithin = 5 * time.Second // domain §6: MRZ reading below 5 s
	zoneBefore = 3 * time.Second // a zone may come so long before the chip is noticed
	backWithin = 3 * time.Second // a card that was lost in a reading
)

// NewReader is the document reader of a configuration. It refuses a remote card
// where the trust store is for production.
func NewReader(c config.Config, trusted func() *pki.Store, log *slog.Logger) (*Reader, error) {
	r := &Reader{Trust: trusted, Location: c.Kiosk.Location, Log: log, Zones: func() (ZoneSource, io.Closer, error) {
		return mrz.Open(c.MRZ.TTY, c.MRZ.Baud, mrz.Framing(c.MRZ.Framing))
	}}
	if c.MRZ.Pages != "" {
		page := Page{Program: matcher.Program{Path: c.Vision.Program}}
		r.Zones = func() (ZoneSource, io.Closer, error) {
			f, err := OpenFolder(c.MRZ.Pages, page.Read)
			return f, f, err
		}
	}
	if c.Reader.Type == "vpcd" {
		if c.Kiosk.Policy.Production && c.Kiosk.Site != "Simulation" {
			return nil, errors.New("reader.type \"vpcd\" is a remote card and for simulations: set lane.site = \"Simulation\" or policy.production = false")
		}
		v, err := vpcd.Listen(c.Reader.Address)
		if err != nil {
			return nil, err
		}
		r.Cards = v
	} else {
		r.Cards = &pcsc.Reader{Name: c.Reader.Name}
	}
	return r, nil
}

// Close releases the serial line.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.line == nil {
		return nil
	}
	return r.line.Close()
}

// Watch follows the card and reads zones beside it. A card that is lost while it
// is being read is told only if it is not back when the reading ends.
func (r *Reader) Watch(ctx context.Context, present func(bool)) error {
	if err := r.Chips.load(ctx, &r.memory); err != nil {
		r.Log.Warn("what is known of chips is found out again", "error", err)
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.readZones(ctx) })
	beside.Go(func() { r.Chips.keep(ctx, &r.memory, r.Log) })
	defer beside.Wait()
	r.mu.Lock()
	r.tell = present
	r.mu.Unlock()
	return r.Cards.Watch(ctx, func(is bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.there = is
		if r.moved != nil {
			close(r.moved)
			r.moved = nil
		}
		r.settle()
	})
}

// settle tells the shell what lies there, unless a reading may yet go on.
func (r *Reader) settle() {
	if r.reading || r.told == r.there {
		return
	}
	if r.told = r.there; r.there {
		r.placed = time.Now()
	} else {
		r.latest = zoneRead{} // of a document that has gone
	}
	r.tell(r.there)
}

// hold begins a reading of the chip, release ends it.
func (r *Reader) hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reading = false
		r.settle()
	}
}

// again connects to a card once it lies there.
func (r *Reader) again(ctx context.Context) (apdu.Card, error) {
	ctx, cancel := context.WithTimeout(ctx, backWithin)
	defer cancel()
	for {
		r.mu.Lock()
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved := r.moved
		r.mu.Unlock()
		card, err := r.Cards.Connect(ctx)
		if err == nil {
			return card, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// readZones keeps the newest zone; a line that breaks is opened again.
func (r *Reader) readZones(ctx context.Context) {
	for ctx.Err() == nil {
		line, closer, err := r.Zones()
		if err == nil {
			r.mu.Lock()
			r.line = closer
			r.mu.Unlock()
			for err == nil || errors.Is(err, mrz.ErrUnreadable) {
				var m zone.MRZ
				if m, err = line.Read(ctx); errors.Is(err, mrz.ErrUnreadable) {
					r.Book.Shed("mrz", "no zone")
				}
				if err == nil || errors.Is(err, mrz.ErrUnreadable) {
					r.keep(zoneRead{m, err, time.Now()})
				}
			}
		}
		if ctx.Err() != nil {
			return
		}
		r.Log.Warn("MRZ reader", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// keep takes over a newer zone.
func (r *Reader) keep(z zoneRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = z
	if r.came != nil {
		close(r.came)
		r.came = nil
	}
}

// zone waits for the zone of the document that lies there now. It stays that
// document's for as long as it lies there, so that a lane that was closed for a
// moment can begin anew without asking for the document again.
func (r *Reader) zone(ctx context.Context) (zone.MRZ, error) {
	ctx, cancel := context.WithTimeout(ctx, zoneWithin)
	defer cancel()
	for {
		r.mu.Lock()
		z, oldest := r.latest, r.placed.Add(-zoneBefore)
		if !z.at.IsZero() && z.at.After(oldest) {
			r.mu.Unlock()
			return z.m, z.err
		}
		if r.came == nil {
			r.came = make(chan struct{})
		}
		came := r.came
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return zone.MRZ{}, fmt.Errorf("no MRZ within %v", zoneWithin)
		case <-came:
		}
	}
}

// Read reads zone and chip.
func (r *Reader) Read(ctx context.Context, early func(kiosk.Identity, policy.Document)) (kiosk.Inspection, error) {
	began := time.Now()
	var out kiosk.Inspection
	m, err := r.zone(ctx)
	if err != nil {
		return out, fmt.Errorf("mrz: %w", err)
	}
	mrzTook := time.Since(began)
	out.Spans = append(out.Spans, kiosk.Span{Name: "mrz", Start: 0, End: mrzTook})
	day := time.Now().In(r.Location)
	id, doc := identity(m), document(m, day)
	early(id, doc)
	defer r.hold()()
	card, err := r.Cards.Connect(ctx)
	if err != nil {
		return out, removed(err)
	}
	defer func() {
		if err := card.Close(); err != nil && ctx.Err() == nil {
			r.Log.Debug("card", "error", err)
		}
	}()
	// A torn reading goes on when the same card is back; the zone opens no other
	// document's.
	back := func(ctx context.Context) (apdu.Card, error) {
		atr := card.ATR()
		if err := card.Close(); err != nil { // it has gone
			r.Log.Debug("card", "error", err)
		}
		again, err := r.again(ctx)
		if err != nil {
			return nil, err
		}
		if card = again; !bytes.Equal(card.ATR(), atr) {
			return nil, errors.New("another card lies there")
		}
		return card, nil
	}
	// No other readings of the zone are tried: registers have been asked about
	// this one.
	trusted := r.Trust()
	found, err := emrtd.Read(ctx, card, m, emrtd.Options{Trust: trusted, Now: time.Now(), Memory: &r.memory, Back: back})
	r.Chips.learnt()
	if err != nil {
		return out, removed(err)
	}
	out.Identity, out.Document, out.Portrait = id, doc, found.Portrait.Stream
	out.Document.Verdict = policy.Verdict(found.Verdict)
	out.Document.OldTrust = trust.IsOld(trusted, time.Now())
	out.Access, out.APDUs, out.Bytes = found.Access, found.APDUs, found.Bytes
	for _, c := range found.Checks {
		out.Checks = append(out.Checks, kiosk.CheckResult{Name: c.Name, Code: policy.Code(c.Code), Reason: c.Reason})
	}
	for _, s := range found.Steps {
		out.Spans = append(out.Spans, kiosk.Span{Name: "chip." + s.Name, Start: mrzTook + s.Start, End: mrzTook + s.End})
	}
	return out, nil
}

func removed(err error) error {
	if errors.Is(err, apdu.ErrRemoved) {
		return fmt.Errorf("%w: %w", kiosk.ErrRemoved, err)
	}
	return err
}

func identity(m zone.MRZ) kiosk.Identity {
	return kiosk.Identity{Surname: m.Surname, GivenNames: m.GivenNames, Sex: m.Sex, Number: m.Number}
}

func document(m zone.MRZ, today time.Time) policy.Document {
	d := policy.Document{Code: strings.TrimSpace(m.Code), Size: policy.Size(m.Size), Issuer: m.Issuer, Nationality: m.Nationality}
	if t, ok := zone.Date(m.Birth, today, true); ok {
		d.Birth = t
	}
	if t, ok := zone.Date(m.Expiry, today, false); ok {
		d.Expiry = t
	}
	return d
}

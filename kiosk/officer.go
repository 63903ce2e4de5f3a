package kiosk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"passage/kiosk/lane"
)

// Officer is who gives an order, as the page authenticated them.
type Officer struct {
	ID     string
	Role   string // guard, shift_lead, supervisor, technician
	OnSite bool   // signed in on the lane's own page
}

// Errors of an officer's word. The page shows them as they are.
var (
	ErrNotNow     = errors.New("not possible in the lane's present state")
	ErrStale      = errors.New("this case is over")
	ErrSecond     = errors.New("waiting for a second officer")
	ErrReason     = errors.New("a reason is needed")
	ErrNotAllowed = errors.New("the override table does not allow this")

	errGate = fmt.Errorf("%w: the gate does not answer; left alone, it frees who is inside by itself", ErrNotNow)
)

// Present renews an officer's lease of 30 s, or ends it.
func (s *Shell) Present(officer string, here bool) {
	s.mu.Lock()
	if here {
		s.lease[officer] = time.Now().Add(leaseFor)
	} else {
		delete(s.lease, officer)
	}
	s.mu.Unlock()
	s.events.put(func() { s.housekeep() })
}

// Decide takes an officer's decision on the case with this UUID. It returns
// when the lane has taken it, or why it has not: the first valid decision
// wins. A release that needs two officers returns ErrSecond to the first.
func (s *Shell) Decide(ctx context.Context, o Officer, transaction string, d lane.Decision, reason, text, reference string) error {
	if reason == "" {
		return ErrReason
	}
	s.mu.Lock()
	var number lane.Transaction
	switch {
	case s.pax != nil && s.pax.uuid == transaction:
		number = s.pax.number
	case transaction == "" && s.pax == nil:
		number = s.state.Transaction // somebody is inside and nobody knows who
	default:
		s.mu.Unlock()
		return ErrStale
	}
	signatures := uint8(1)
	if d == lane.DecideRelease {
		need := lane.Signatures(s.state.Vector, s.now(), s.cfg.Rules)
		switch {
		case s.state.Phase != lane.Review:
			s.mu.Unlock()
			return ErrNotNow
		case need == 0:
			s.mu.Unlock()
			return ErrNotAllowed
		case need == 2 && text == "":
			s.mu.Unlock()
			return fmt.Errorf("%w: an override after an alarm or a hit needs a written reason", ErrReason)
		}
		s.signed[o.ID] = d
		signatures = uint8(min(len(s.signed), 2))
		if signatures < need {
			s.mu.Unlock()
			s.notify()
			return ErrSecond
		}
	}
	s.mu.Unlock()
	s.log.InfoContext(ctx, "officer decided", "transaction", uint32(number), "officer", o.ID, "decision", d.String(), "reason", reason, "signatures", signatures)
	return s.ask(ctx, lane.Decided{Transaction: number, Decision: d, Signatures: signatures, Reference: reference != ""})
}

// ask puts an event before the loop and waits to hear whether it meant
// anything there.
func (s *Shell) ask(ctx context.Context, e lane.Event) error {
	reply := make(chan bool, 1)
	s.events.put(request{e, reply})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case ok := <-reply:
		if !ok {
			return ErrNotNow
		}
		return nil
	}
}

// Order takes an officer's order to the lane.
func (s *Shell) Order(ctx context.Context, o Officer, order lane.OfficerOrder) error {
	signatures := uint8(1)
	if order == lane.OrderEvacuate && !o.OnSite {
		s.mu.Lock()
		s.evacuators = append(slices.DeleteFunc(s.evacuators, func(v vote) bool {
			return v.officer.ID == o.ID || v.officer.Role == o.Role || time.Since(v.at) > leaseFor
		}), vote{o, time.Now()})
		if signatures = uint8(len(s.evacuators)); signatures >= 2 {
			s.evacuators = nil // what they said counts for this evacuation, not for the next
		}
		s.mu.Unlock()
		if signatures < 2 {
			return ErrSecond // two roles, as nobody of them is on site
		}
	}
	if order.Direction() != lane.Configured && (!s.cfg.BothWays || o.Role != "supervisor") {
		return ErrNotAllowed // a change of mode is a supervisor's (domain §1)
	}
	s.log.InfoContext(ctx, "officer ordered", "officer", o.ID, "order", order.String())
	err := s.ask(ctx, lane.Ordered{Order: order, Signatures: signatures, OnSite: o.OnSite})
	if order == lane.OrderOpen || order == lane.OrderClose {
		return nil // kept, even where nothing moves at once
	}
	s.mu.Lock()
	lost := !s.state.Gate.Link
	s.mu.Unlock()
	if lost && errors.Is(err, ErrNotNow) {
		return errGate
	}
	return err
}

type vote struct {
	officer Officer
	at      time.Time
}

// Renew is an officer's word that a person inside is looked after.
func (s *Shell) Renew(ctx context.Context) error { return s.ask(ctx, lane.Renewed{}) }

// MoreTime is the traveller's wish for more time. It holds for their crossing;
// made before a document is laid down, for whoever lays one down within a minute.
func (s *Shell) MoreTime() {
	s.mu.Lock()
	if s.pax == nil {
		s.wished = time.Now()
	}
	s.mu.Unlock()
	s.events.put(lane.TimeAsked{})
	s.notify()
}

// Help is the help button inside the lane.
func (s *Shell) Help() { s.events.put(lane.Pressed{}) }

// Acknowledge marks an alert as seen by name.
func (s *Shell) Acknowledge(id int, officer string) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.alerts, func(a Alert) bool { return a.ID == id && a.By == "" })
	if i >= 0 {
		s.alerts[i].By = officer
	}
	s.mu.Unlock()
	if i < 0 {
		return ErrStale
	}
	s.notify()
	return nil
}

// Cases lists the open reconciliation cases, oldest first.
func (s *Shell) Cases(ctx context.Context) ([]Case, error) { return s.dev.Store.Cases(ctx) }

// SettleCase closes a reconciliation case with an officer's finding.
func (s *Shell) SettleCase(ctx context.Context, officer, transaction, finding string) error {
	if finding == "" {
		return ErrReason
	}
	if err := s.dev.Store.Settle(ctx, transaction, officer, finding); err != nil {
		return fmt.Errorf("kiosk: settle case: %w", err)
	}
	s.notify()
	return nil
}

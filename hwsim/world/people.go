package world

import (
	"context"
	"time"

	"passage/hwsim/camera"
	"passage/hwsim/panel"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/persona"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// Hands puts the panel's hands on the lane, in the direction of its policy, with
// the catalogue's people. It comes before Start. What needs models is not to be
// had here: a face is whose it is, however it is presented.
func (w *World) Hands(direction string, list []persona.Persona) (*panel.Lane, error) {
	y, m, d := time.Now().UTC().Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	from, err := persona.NewIssuers(list)
	if err != nil {
		return nil, err
	}
	if err := from.Publish(func(trusted []*testpki.Authority) error {
		store, err := testpki.Trust(trusted...)
		if err == nil {
			w.mu.Lock()
			w.trust = store
			w.mu.Unlock()
		}
		return err
	}); err != nil {
		return nil, err
	}
	know := func(ctx context.Context, p persona.Persona) error { return w.Register.Load(ctx, p.Person(today)) }
	portraits := make([][]byte, len(list))
	for i, p := range list {
		portraits[i] = append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, append(make([]byte, 12000), byte(i+1))...)
		if p.DocumentOf == "" {
			if err := know(w.ctx, p); err != nil {
				return nil, err
			}
		}
	}
	l := panel.New(panel.Site{
		Name: "X1", Direction: direction, Gate: w.Gate, People: list,
		Card: func(p persona.Persona, i int) (*passport.Card, error) { return from.Card(p, i, portraits, today) },
		Put: func(_ context.Context, card *passport.Card) (func() error, error) {
			w.Field.Put(card)
			w.zones.sent <- zone(card.MRZ())
			return func() error { w.Field.Put(nil); return nil }, nil
		},
		Pose: func(_ camera.Instrument, who ...int) {
			face := byte(0)
			if len(who) > 0 {
				face = byte(who[0] + 1)
			}
			w.Eyes.See(face)
		},
		Camera: w.Eyes.Inject, Garbage: func() error { w.Garbage(); return nil },
		Seen:     w.seen,
		Help:     func(context.Context) error { w.Shell().Help(); return nil },
		MoreTime: func(context.Context) error { w.Shell().MoreTime(); return nil },
		Register: w.Register.Inject, Know: know,
		Records: func(ctx context.Context) (int, error) {
			list, err := w.Register.Records(ctx)
			return len(list), err
		},
		Decide: func(ctx context.Context, decision, reason string) error {
			var d lane.Decision
			if err := d.UnmarshalText([]byte(decision)); err != nil {
				return err
			}
			v := w.Shell().View()
			if v.Crossing == nil {
				return kiosk.ErrNotNow
			}
			return w.Shell().Decide(ctx, anna, v.Crossing.UUID, d, reason, "", "")
		},
		Order: func(ctx context.Context, order string) error {
			var o lane.OfficerOrder
			if err := o.UnmarshalText([]byte(order)); err != nil {
				return err
			}
			return w.Shell().Order(ctx, anna, o)
		},
	})
	w.Duty = func() (string, bool) {
		p, here := l.Present()
		if !here {
			return w.Decision, !l.ByHand()
		}
		return p.Officer, !l.ByHand()
	}
	return l, nil
}

// seen is what the lane's pages would show.
func (w *World) seen() panel.Seen {
	v := w.Shell().View()
	s := panel.Seen{Screen: screenOf(v), State: v.State.Phase.String()}
	if n := len(v.Recent); n > 0 {
		r := v.Recent[n-1]
		s.Last, s.LastTook = r.UUID, r.Took.Seconds()
		s.LastReason = r.Reason.String()
	}
	return s
}

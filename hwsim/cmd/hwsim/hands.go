package main

import (
	"context"
	"image"
	"path/filepath"
	"slices"
	"time"

	"passage/hwsim/camera"
	"passage/hwsim/lanesim"
	"passage/hwsim/panel"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/persona"
	"passage/hwsim/register"
)

// stageSet is what simulated lanes have in common: the catalogue, who issues
// its documents, and its faces.
type stageSet struct {
	list     []persona.Persona
	from     *persona.Issuers
	pictures []image.Image
	files    [][]byte
}

// newStageSet makes the issuers and writes the lanes' trust store to trust.
func newStageSet(portraits, trust string) (*stageSet, error) {
	x := &stageSet{}
	var err error
	if x.list, err = persona.All(); err != nil {
		return nil, err
	}
	if x.pictures, x.files, err = lanesim.Portraits(portraits); err != nil {
		return nil, err
	}
	if x.from, err = persona.NewIssuers(x.list); err != nil {
		return nil, err
	}
	if trust, err = filepath.Abs(trust); err != nil {
		return nil, err
	}
	return x, publish(x.from, trust)
}

// hands puts the panel's hands on a lane. reg is nil where the register is
// another process's.
func (x *stageSet) hands(d *lanesim.Devices, desk *lanesim.Desk, direction string, reg *register.Register) *panel.Lane {
	return panel.New(x.site(d, desk, direction, reg))
}

func (x *stageSet) site(d *lanesim.Devices, desk *lanesim.Desk, direction string, reg *register.Register) panel.Site {
	s := panel.Site{
		Name: d.Name, Direction: direction, Gate: d.Gate, People: x.list,
		Card: func(p persona.Persona, i int) (*passport.Card, error) { return x.from.Card(p, i, x.files, today()) },
		Put: func(ctx context.Context, card *passport.Card) (func() error, error) {
			doc, err := d.Lay(ctx, card)
			if err != nil {
				return nil, err
			}
			return doc.Take, nil
		},
		Pose: func(by camera.Instrument, who ...int) {
			var faces []image.Image
			for _, i := range who {
				faces = append(faces, x.pictures[i%len(x.pictures)])
			}
			d.Eye.Present(by, faces...)
		},
		Camera: d.Eye.Inject, Picture: d.Eye.Snapshot, Seen: func() panel.Seen { return seen(desk) }, Help: desk.Help, MoreTime: desk.MoreTime,
		Garbage: func() error { return d.MRZ.Place([]string{"P<UTO?<<<", "0?"}) },
		Decide:  desk.Decide, Order: desk.Order,
	}
	if reg != nil {
		s.Register = reg.Inject
		s.Know = func(ctx context.Context, p persona.Persona) error { return reg.Load(ctx, p.Person(today())) }
		s.Records = func(ctx context.Context) (int, error) {
			list, err := reg.Records(ctx)
			return len(list), err
		}
	}
	return s
}

// seen is what a lane's pages show, for the panel.
func seen(desk *lanesim.Desk) panel.Seen {
	screen, v := desk.Seen()
	s := panel.Seen{Screen: screen.Screen, State: v.State, Unfit: slices.Clone(v.Unfit)}
	if v.Case != nil {
		s.Reason = v.Case.Reason
	}
	for _, a := range v.Alerts {
		if a.By == "" {
			s.Alerts = append(s.Alerts, a.Kind)
		}
	}
	if len(v.Recent) > 0 {
		r := v.Recent[0]
		s.Last, s.LastReason, s.LastTook = r.UUID, r.Reason, r.Seconds
	}
	return s
}

// publish keeps a lane's trust store in dir as the issuers need it.
func publish(from *persona.Issuers, dir string) error {
	return from.Publish(func(trusted []*testpki.Authority) error { return testpki.Write(dir, trusted...) })
}

// today is the day that the catalogue's offsets count from.
func today() time.Time {
	y, m, d := time.Now().UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

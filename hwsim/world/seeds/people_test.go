package seeds

import (
	"context"
	"errors"
	"time"

	"passage/hwsim/people"
	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// draw waits for a drawn time, or until ctx ends.
func (s *sim) pause(ctx context.Context, of stream, lo, hi time.Duration) bool {
	s.mu.Lock()
	d := s.dice.between(of, lo, hi)
	s.mu.Unlock()
	return people.Pause(ctx, d)
}

// officer is on duty until ctx ends: present, decides, tidies up.
func (s *sim) officer(ctx context.Context) {
	var last time.Time
	asked := ""
	for s.pause(ctx, ofOfficer, 250*ms, 450*ms) {
		s.mu.Lock()
		l, state, away, lazy, uuid := s.life, s.state, s.away, s.now.Lazy, s.uuid
		alarms, bag, gate, entry, closed := s.gate.Alarms, s.gate.Bag, s.gate.State, s.gate.Entry, s.closed
		s.mu.Unlock()
		if l == nil {
			last = time.Time{}
			continue
		}
		if away {
			continue
		}
		if time.Since(last) >= 8*time.Second {
			l.shell.Present(anna.ID, true)
			last = time.Now()
			s.mu.Lock()
			s.presentAt = last
			s.mu.Unlock()
		}
		switch state.Phase {
		case lane.Review, lane.Hold, lane.Multi:
			key := state.Phase.String() + uuid
			if lazy || key == asked && state.Phase != lane.Hold {
				continue
			}
			if !s.pause(ctx, ofOfficer, 80*ms, 300*ms) {
				return
			}
			asked = key
			s.mu.Lock()
			d := lane.DecideDivert
			if state.Phase == lane.Review {
				d = []lane.Decision{lane.DecideRelease, lane.DecideRelease, lane.DecideRelease, lane.DecideDivert, lane.DecideHold, lane.DecideRetryFace, lane.DecideReferSecondLine}[s.dice.roll(ofOfficer)%7]
			}
			word := func(ctx context.Context, shell *kiosk.Shell) {
				if !state.Live {
					uuid = ""
				}
				if err := shell.Decide(ctx, anna, uuid, d, "looked", "looked twice", ""); errors.Is(err, kiosk.ErrSecond) {
					_ = shell.Decide(ctx, ben, uuid, d, "looked", "looked twice", "")
				}
			}
			s.word = word
			s.mu.Unlock()
			soon, cancel := context.WithTimeout(ctx, time.Second)
			word(soon, l.shell)
			cancel()
			continue
		}
		asked = ""
		seen := people.Seen{State: state.Phase.String(), GateState: state.Gate.State.String(), Bag: bag}
		if alarms != 0 {
			seen.Alarms = 1
		}
		if gate == lane.GateFault {
			seen.Faults = 1
		}
		if entry == lane.LeafOpen {
			seen.Entry = 100
		}
		order, take := people.Tidy(seen)
		if take || bag && state.Phase == lane.OutOfService {
			s.mu.Lock()
			s.gate.Bag = false
			s.changed()
			s.unlock()
		}
		if order == "" && state.Phase == lane.OutOfService && state.Closed && !closed {
			order = "open"
		}
		if order == "" {
			continue
		}
		var o lane.OfficerOrder
		if err := o.UnmarshalText([]byte(order)); err != nil {
			s.mu.Lock()
			s.broken(err.Error())
			s.unlock()
			return
		}
		soon, cancel := context.WithTimeout(ctx, time.Second)
		_ = l.shell.Order(soon, anna, o) // the next look tells
		cancel()
	}
}

type readerOf struct{ *life }

func (g readerOf) Watch(ctx context.Context, present func(bool)) error {
	s := g.sim
	s.mu.Lock()
	if !g.dead {
		g.present = present
		if s.document {
			s.say(func(*life) { present(true) })
		}
	}
	s.unlock()
	<-ctx.Done()
	return nil
}

var errChip = errors.New("the chip does not answer")

// Read reads as far as the document lies there.
func (g readerOf) Read(ctx context.Context, early func(kiosk.Identity, policy.Document)) (kiosk.Inspection, error) {
	s := g.sim
	if !s.pause(ctx, ofChip, 5*ms, 20*ms) {
		return kiosk.Inspection{}, ctx.Err()
	}
	s.mu.Lock()
	v, there := s.now, s.document
	if s.dice.roll(ofWish)%16 == 0 {
		s.say(func(l *life) {
			if l != nil {
				l.shell.MoreTime()
			}
		})
	}
	s.unlock()
	if !there {
		return kiosk.Inspection{}, kiosk.ErrRemoved
	}
	now := time.Now()
	d := policy.Document{Code: "P", Size: policy.TD3, Issuer: "D", Nationality: "D", Birth: now.AddDate(-30, 0, 0), Expiry: now.AddDate(2, 0, 0), Verdict: policy.ChipGenuine}
	if v.TCN {
		d.Issuer, d.Nationality = "BRA", "BRA"
	}
	id := identity(v.N)
	early(id, d)
	if !s.pause(ctx, ofChip, 10*ms, 60*ms) {
		return kiosk.Inspection{}, ctx.Err()
	}
	s.mu.Lock()
	there, dead := s.document, s.chipDead
	s.mu.Unlock()
	switch {
	case !there:
		return kiosk.Inspection{}, kiosk.ErrRemoved
	case dead:
		return kiosk.Inspection{}, errChip
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return kiosk.Inspection{Identity: id, Document: d, Portrait: g.picture()}, nil
}

type visionOf struct{ *life }

func (g visionOf) Run(ctx context.Context, health func(camera, matcher string)) error {
	s := g.sim
	s.mu.Lock()
	if !g.dead {
		g.health = health
		s.sick()
	}
	s.unlock()
	<-ctx.Done()
	return nil
}

func (g visionOf) Portrait(ctx context.Context, _ []byte) (kiosk.Portrait, error) {
	if !g.sim.pause(ctx, ofPortrait, 2*ms, 10*ms) {
		return kiosk.Portrait{}, ctx.Err()
	}
	g.sim.mu.Lock()
	defer g.sim.mu.Unlock()
	return kiosk.Portrait{JPEG: g.picture()}, nil
}

func (visionOf) Preview(context.Context, func([]byte) error) error { return nil }

var errCamera = errors.New("no picture")

func (g visionOf) Compare(ctx context.Context, _ kiosk.Portrait, _ func(kiosk.Prompt)) (kiosk.FaceResult, error) {
	s := g.sim
	if !s.pause(ctx, ofFace, 10*ms, 80*ms) {
		return kiosk.FaceResult{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.camera || s.models {
		return kiosk.FaceResult{}, errCamera
	}
	f := lane.FaceMatch
	switch s.now.Habit {
	case stranger:
		f = lane.FaceNonMatch
	case masked:
		f = lane.FaceAttack
	case blurred:
		f = lane.FaceQuality
	case several:
		f = lane.FaceSeveral
	}
	return kiosk.FaceResult{Face: f, JPEG: g.picture()}, nil
}

type registerOf struct{ *life }

// ask is any register's answer; well is what it says when it is well.
func (g registerOf) ask(ctx context.Context, of stream, well lane.Answer) kiosk.DBAnswer {
	s := g.sim
	longest := 25 * ms
	if of == ofSearch {
		longest = 150 * ms
	}
	s.pause(ctx, of, 2*ms, longest)
	s.mu.Lock()
	sick := s.registers
	s.mu.Unlock()
	switch sick {
	case registerAway:
		well = lane.NotConsulted
	case registerOdd:
		well = lane.Malformed
	case registerSlow:
		s.pause(ctx, of, time.Second, 4900*ms)
	case registerMute:
		s.pause(ctx, of, 4990*ms, 5*time.Second)
		well = lane.NotConsulted
	}
	return kiosk.DBAnswer{Answer: well}
}

func (g registerOf) habit() habit {
	g.sim.mu.Lock()
	defer g.sim.mu.Unlock()
	return g.sim.now.Habit
}

func (g registerOf) Consult(ctx context.Context, c lane.Check, _ kiosk.Identity, _ policy.Document) kiosk.DBAnswer {
	well := lane.Clear
	switch h := g.habit(); {
	case h == wanted && c == lane.CheckSIS:
		well = lane.HitAction
	case h == similar && c == lane.CheckSIS:
		well = lane.Possible
	}
	return g.ask(ctx, ofConsult+stream(c), well)
}

func (g registerOf) Search(ctx context.Context, _ kiosk.Identity, _ policy.Document) (policy.Flags, string, kiosk.DBAnswer) {
	a := g.ask(ctx, ofSearch, lane.Clear)
	if a.Answer != lane.Clear {
		return policy.Flags{}, "", kiosk.DBAnswer{}
	}
	return policy.Flags{Searched: true, Found: 1, Reference: true}, "F-1", a
}

func (g registerOf) VerifyFace(ctx context.Context, _ string, _ []byte) kiosk.DBAnswer {
	return g.ask(ctx, ofReference, lane.Clear)
}

func (g registerOf) Authorisation(ctx context.Context, _ kiosk.Identity, _ policy.Document, _ time.Time) kiosk.DBAnswer {
	return g.ask(ctx, ofConsult+stream(lane.CheckETIAS), lane.Clear)
}

func (g registerOf) Stay(ctx context.Context, _ string, _ policy.Direction, _ time.Time) (kiosk.DBAnswer, kiosk.Stay) {
	well := lane.Clear
	if g.habit() == strayed {
		well = lane.Overstayed
	}
	return g.ask(ctx, ofStay, well), kiosk.Stay{Status: "ok"}
}

func (g registerOf) Known(context.Context) bool {
	g.sim.mu.Lock()
	defer g.sim.mu.Unlock()
	return g.sim.registers != registerAway
}

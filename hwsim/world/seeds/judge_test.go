package seeds

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// stepped is called with every step of the core that changed something, before
// its effects are carried out.
func (s *sim) stepped(l *life, e kiosk.Entry) {
	s.mu.Lock()
	defer s.unlock()
	if l.dead {
		return
	}
	before := s.state
	s.state = e.After
	s.steps++
	if s.text != nil {
		names := make([]string, len(e.Effects))
		for i, f := range e.Effects {
			names[i] = fmt.Sprintf("%s%v", lane.Name(f), f)
		}
		s.trace("%s %v -> %v %s", lane.Name(e.Event), e.Event, e.After.Phase, strings.Join(names, " "))
	}
	s.judge(before, e)
	if s.met != nil {
		s.met.state(e.After)
	}
	if e.After.Phase == before.Phase {
		return
	}
	s.armed = slices.DeleteFunc(s.armed, func(u upset) bool {
		if u.Phase != e.After.Phase {
			return false
		}
		s.active++
		s.after(u.After, func() { s.upset(u) })
		return true
	})
}

// judge compares a step with the rules that no lane may break, written without
// the core's own tables.
func (s *sim) judge(before lane.State, e kiosk.Entry) {
	after := e.After
	g := after.Gate
	for _, f := range e.Effects {
		switch f := f.(type) {
		case lane.Order:
			switch f.Command {
			case lane.OpenEntry:
				if after.Document || g.Occupied || g.Bag || after.Unfit != 0 {
					s.broken("the entry was ordered open for nobody who may come in")
				}
				if s.life.failing != nil && time.Since(s.life.failedAt) > 300*time.Millisecond {
					s.broken("a traveller was let in with a disk that fails")
				}
			case lane.OpenExit:
				if g.Entry != lane.LeafLocked || !after.Live {
					s.broken("the exit was ordered open beside the entry, or for nobody")
				}
			case lane.EvacuateGate:
				if o, ok := e.Event.(lane.Ordered); !ok || o.Signatures < 2 && !o.OnSite {
					s.broken("evacuated on one word from afar")
				}
			}
		case lane.WriteIntent:
			if why := unfavourable(before, after, e); why != "" {
				s.broken("an intent was written: " + why)
			}
		case lane.Read:
			if !after.Lease || after.Unfit != 0 || after.Closed {
				s.broken("a traveller was taken without an officer, or by an unfit lane")
			}
			// The same by what is, and not by what the lane believes of it.
			const late = 300 * time.Millisecond
			switch {
			case time.Since(s.presentAt) > 30*time.Second+late:
				s.broken("a traveller was taken with nobody present")
			case (s.camera || s.models) && time.Since(s.sickAt) > late:
				s.broken("a traveller was taken by a lane that cannot see")
			}
		}
	}
	switch {
	case g.Link && g.State == lane.GateEvacuate && after.Phase != lane.Evacuate:
		s.broken("the gate evacuates and the lane does not")
	case after.Phase == lane.Idle && (g.Occupied || g.Bag || !g.Link):
		s.broken("the lane is open with somebody or something inside")
	}
}

// unfavourable says why nobody may be let through, or nothing.
func unfavourable(before, s lane.State, e kiosk.Entry) string {
	v := s.Vector
	if !s.Live || v.Oldest == 0 || e.Now-v.Oldest > lane.Instant(120*time.Second) {
		return "the answers are too old, or there are none"
	}
	d, officer := e.Event.(lane.Decided)
	if officer && (before.Phase != lane.Review || d.Decision != lane.DecideRelease || d.Transaction != s.Transaction || d.Signatures < 1) {
		return "no officer released this traveller"
	}
	if !officer && (v.Face != lane.FaceMatch || v.Confirm) {
		return "the face does not match, or an officer must confirm"
	}
	if officer && v.Face == lane.FaceAttack && d.Signatures < 2 {
		return "one officer overrode an attack"
	}
	for c := range lane.Checks {
		if !v.Demands.Has(c) {
			continue
		}
		switch a := v.Answers[c]; {
		case a == lane.Clear, a == lane.NotApplicable, a == lane.LocalCopy:
		case a == lane.Pending:
			return c.String() + " has not answered"
		case !officer:
			return c.String() + " is not clear"
		case a == lane.HitAction && (c == lane.CheckSLTD || c == lane.CheckLost):
			return "a stolen document"
		case (a == lane.HitAction || a == lane.Possible || a == lane.HitInquiry) && d.Signatures < 2:
			return "one officer overrode a hit"
		}
	}
	return ""
}

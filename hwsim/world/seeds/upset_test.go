package seeds

import (
	"context"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// upset breaks something.
func (s *sim) upset(u upset) {
	g := &s.gate
	s.trace("upset: %v", u)
	if s.met != nil {
		s.met.Upsets[u.Kind][s.state.Phase]++
	}
	end := func() {}
	set := func(what *bool) { *what = true; end = func() { *what = false } }
	switch u.Kind {
	case orderLost:
		g.nextLost = true
	case answerLost:
		g.nextDeaf = true
	case answerCut:
		g.nextCut = true
		set(&g.breaking)
		end = func() { g.nextCut, g.breaking, g.cut = false, false, false; s.poll() }
	case sensorsBlink:
		s.blinks()
	case orderLate:
		g.nextLate = true
	case cableCut:
		set(&g.cut)
		g.line++
		s.after(s.dice.between(ofOrder, 150*ms, 300*ms), func() {
			if g.cut {
				s.lose()
			}
		})
		s.after(freed, func() {
			if g.cut {
				s.fallback()
				s.changed()
			}
		})
		end = func() { g.cut = false; s.poll() }
	case gatePower:
		s.power(false)
		end = func() { s.power(true) }
	case gateJam:
		if g.State >= lane.GateSafe && g.State <= lane.GateFallback {
			s.free(lane.GateFault)
		}
	case gateTrip:
		s.fallback()
	case gateForced:
		g.Alarms |= lane.AlarmForced
		s.fallback()
	case fireAlarm:
		g.fire = true
		s.free(lane.GateEvacuate)
		end = func() { g.fire = false }
	case crossedLate:
		g.nextSlow = true
	case blindExit:
		g.nextBlind = true
	case cardGone:
		s.lay(false)
	case cardTwice:
		if s.document {
			s.lay(false)
			s.after(s.dice.between(ofReaction, 50*ms, 150*ms), func() { s.lay(true) })
		}
	case cardDead:
		set(&s.chipDead)
	case cameraGone:
		set(&s.camera)
		s.sick()
		end = func() { s.camera = false; s.sick() }
	case modelsGone:
		set(&s.models)
		s.sick()
		end = func() { s.models = false; s.sick() }
	case registerAway, registerOdd, registerSlow, registerMute:
		s.registers = u.Kind
		end = func() { s.registers = 0 }
	case diskFull:
		set(&s.disk.full)
	case fsyncFails:
		s.disk.failNext = true
	case fsyncSlow:
		set(&s.disk.slow)
	case powerLost, powerLanded:
		if s.life == nil {
			break
		}
		s.crash(u.Kind == powerLanded)
		u.Last += 1500 * ms
		end = s.start
	case laneKilled:
		if s.life == nil {
			break
		}
		s.crash(s.dice.roll(ofBoot)%2 == 0)
		u.Last = s.dice.between(ofBoot, 200*ms, 900*ms)
		end = s.start
	case clockJump:
		s.fit(lane.UnfitClock, "the clock is out")
		end = func() { s.fit(lane.UnfitClock, "") }
	case leaseLost:
		set(&s.away)
		u.Last += 29 * time.Second
	case wordTwice:
		if s.word != nil {
			s.speak(s.word)
		}
	case wordWrong:
		uuid := s.uuid
		s.speak(func(ctx context.Context, shell *kiosk.Shell) {
			for d := lane.DecideRelease; d <= lane.DecideReferSecondLine; d++ {
				_ = shell.Decide(ctx, anna, uuid, d, "finger", "slipped", "")
			}
			for _, o := range []lane.OfficerOrder{lane.OrderReview, lane.OrderEndEvacuate, lane.OrderClearAlarms, lane.OrderClearFaults, lane.OrderEndMaintenance, lane.OrderCloseLeaf} {
				_ = shell.Order(ctx, anna, o)
			}
		})
	case evacuateOrder:
		s.order(lane.OrderEvacuate)
	case laneClosed:
		s.closed = true
		s.order(lane.OrderClose)
		end = func() { s.closed = false; s.order(lane.OrderOpen) }
	case helpButton:
		s.say(func(l *life) {
			if l != nil {
				l.shell.Help()
			}
		})
	case timeAsked:
		s.say(func(l *life) {
			if l != nil {
				l.shell.MoreTime()
			}
		})
	case turnedRound:
		way := lane.OrderDirectionEntry
		if s.state.Direction == lane.TowardsEntry {
			way = lane.OrderDirectionExit
		}
		s.speak(func(ctx context.Context, shell *kiosk.Shell) { _ = shell.Order(ctx, ben, way) })
	case kinds:
	}
	if !u.Kind.lasting() {
		u.Last = 0
	}
	s.after(u.Last+time.Duration(u.Kind)+1, func() {
		end()
		s.active--
		s.changed()
	})
	s.changed()
}

func (s *sim) fit(h lane.Health, why string) {
	s.say(func(l *life) {
		if l != nil {
			l.shell.SetHealth(h, why)
		}
	})
}

// sick tells the lane how camera and models are.
func (s *sim) sick() {
	camera, models := "", ""
	s.sickAt = time.Now()
	if s.camera {
		camera = "unplugged"
	}
	if s.models {
		models = "the worker is away"
	}
	s.say(func(l *life) {
		if l != nil && l.health != nil {
			l.health(camera, models)
		}
	})
}

package gate

import "time"

// Leaf states (§4).
const (
	lsUnknown uint8 = iota
	lsClosedLocked
	lsClosedUnlocked
	lsOpening
	lsOpen
	lsClosing
	lsReversing
	lsStopped
	lsJammed
	lsForced
)

const (
	lockTime  = 200 * time.Millisecond // ≤ 300 ms after reaching 0
	stallTime = time.Second
)

// leaf is one door leaf with its motor and lock.
type leaf struct {
	id        uint16
	state     uint8
	pos       float64 // 0 closed to 100 open
	dir       int     // motor: -1 closing, 1 opening
	engaged   bool    // the lock
	wantLock  bool
	zeroFor   time.Duration // at position 0
	clearFor  time.Duration // the curtain, after a reversal
	moved     bool          // has left 0 since the cycle began
	driving   time.Duration
	stalled   time.Duration
	reversals int
	blocked   time.Duration
	peak      uint16
	travel    uint16
	stuckAt   bool
	slow      bool
	forced    bool
}

func (l *leaf) closed() bool { return l.state == lsClosedLocked || l.state == lsClosedUnlocked }
func (l *leaf) locked() bool { return l.state == lsClosedLocked }

// drive starts the motor; closing ends in locking.
func (l *leaf) drive(dir int) {
	l.wantLock = dir < 0
	if dir > 0 {
		l.engaged = false
	}
	if dir > 0 && l.dir <= 0 || dir < 0 && l.dir >= 0 && l.pos > 0 {
		l.driving, l.stalled = 0, 0
		if dir < 0 {
			l.reversals, l.blocked = 0, 0
		}
	}
	l.dir = dir
	if dir < 0 && l.pos == 0 {
		l.dir = 0
	}
}

func (l *leaf) stop(g *Gate) {
	l.dir = 0
	if l.pos > 0 && l.state != lsForced {
		l.set(g, lsStopped)
	}
}

// lock engages or releases the lock of a closed leaf.
func (l *leaf) lock(g *Gate, on bool) {
	l.wantLock = on
	if !on {
		l.engaged = false
		if l.pos == 0 {
			l.set(g, lsClosedUnlocked)
		}
	}
}

func (l *leaf) jam(on bool) { l.stuckAt = on }

func (l *leaf) force(on bool) {
	l.forced = on
	if on {
		l.pos = 30
	}
}

func (l *leaf) set(g *Gate, s uint8) {
	if l.state == s {
		return
	}
	l.state = s
	g.event(4, l.id<<8|uint16(s))
	if s == lsOpening {
		g.tell("open", []string{"entry", "exit"}[l.id])
	}
}

// turn is 10 ms of a leaf: motor, curtain, lock, limits.
func (l *leaf) turn(g *Gate, openMax, closeMax uint16, broken bool) {
	if l.forced {
		if l.state != lsForced {
			l.engaged, l.dir = false, 0
			l.set(g, lsForced)
		}
		return
	}
	if l.state == lsForced { // let go: it falls shut by itself
		l.dir, l.wantLock = -1, true
	}
	limit := time.Duration(openMax) * time.Millisecond
	full := g.cfg.OpenTime
	if l.dir < 0 {
		limit, full = time.Duration(closeMax)*time.Millisecond, g.cfg.CloseTime
	}
	if l.slow {
		full = limit + limit/2
	}
	if l.dir != 0 {
		l.drivingFor(g, limit)
		step := 100 * float64(tick) / float64(full)
		switch {
		case l.dir < 0 && broken && l.pos > 0:
			l.reverse(g)
			return
		case l.stuckAt:
			if l.stalled += tick; l.stalled >= stallTime {
				l.jammed(g)
				return
			}
		default:
			l.stalled = 0
			l.pos = min(100, max(0, l.pos+float64(l.dir)*step))
		}
		l.peak = 35
	}
	l.settle(g, broken)
}

func (l *leaf) drivingFor(g *Gate, limit time.Duration) {
	if l.driving += tick; l.driving > 2*limit && l.state != lsReversing {
		l.jammed(g)
	} else if l.driving > limit && (l.pos >= 95 || l.pos == 0) {
		g.setFault(ftEntrySlow << l.id)
	}
}

// reverse opens again in front of an obstacle (I3).
func (l *leaf) reverse(g *Gate) {
	l.reversals++
	g.event(5, l.id<<8|uint16(l.reversals))
	if l.reversals >= int(g.param[pRevMax]) && l.stuckAt {
		l.jammed(g)
		return
	}
	l.dir, l.wantLock, l.driving = 1, false, 0
	l.set(g, lsReversing)
}

func (l *leaf) jammed(g *Gate) {
	l.dir = 0
	l.set(g, lsJammed)
	g.setFault(ftEntryJam << l.id)
}

// settle names the leaf's state after its movement and works the lock.
func (l *leaf) settle(g *Gate, broken bool) {
	if l.pos > 0 {
		l.moved = true
		l.zeroFor = 0
	}
	switch {
	case l.pos == 0 && l.dir <= 0:
		if l.dir < 0 {
			l.travel = uint16(l.driving.Milliseconds())
		}
		l.dir = 0
		l.zeroFor += tick
		if l.wantLock && l.zeroFor >= lockTime {
			l.engaged = true
		}
		if l.engaged {
			l.set(g, lsClosedLocked)
		} else {
			l.set(g, lsClosedUnlocked)
		}
	case l.dir > 0 && l.pos >= 100:
		l.dir = 0
		if l.state == lsReversing {
			g.closing = true
			l.set(g, lsOpen)
		} else {
			l.travel = uint16(l.driving.Milliseconds())
			l.set(g, lsOpen)
		}
	case l.dir > 0 && l.state != lsReversing:
		if l.pos >= 95 {
			l.set(g, lsOpen)
		} else {
			l.set(g, lsOpening)
		}
	case l.dir < 0:
		l.set(g, lsClosing)
	case l.dir == 0 && l.state == lsOpen && g.closing && !l.stuckAt:
		// After a reversal: again, once the curtain has been clear.
		if broken {
			l.clearFor = 0
			if l.blocked += tick; l.blocked > time.Duration(g.param[pBlocked])*time.Second {
				g.setAlarm(alEntryBlocked << l.id)
			}
		} else if l.clearFor += tick; l.clearFor >= time.Duration(g.param[pClear])*time.Millisecond && l.mayClose(g) {
			r, b := l.reversals, l.blocked
			l.drive(-1)
			l.reversals, l.blocked, l.clearFor = r, b, 0
		}
	}
}

// mayClose says whether the state's machine wants this leaf closed.
func (l *leaf) mayClose(g *Gate) bool {
	switch g.state {
	case entryOpen:
		return l.id == 0
	case exitOpen:
		return l.id == 1
	case fallback, boot, safeClosed, ready:
		return true
	case evacuate:
		return l == g.otherLeaf(1)
	}
	return false
}

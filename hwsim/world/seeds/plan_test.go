package seeds

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"passage/kiosk/lane"
)

// kind is what an upset breaks.
type kind uint8

const (
	orderLost     kind = iota // the next command never reaches the gate
	answerLost                // the next command is carried out, its result lost
	orderLate                 // the next command reaches the gate late
	cableCut                  // the gate's line is cut
	gatePower                 // the gate loses power and boots
	gateJam                   // a leaf jams: FAULT
	gateTrip                  // the gate's watchdog trips: FALLBACK
	gateForced                // a leaf is forced
	fireAlarm                 // the fire alarm sounds
	crossedLate               // the gate's CROSSED event comes late
	blindExit                 // the sensors miss whoever leaves
	cardGone                  // the document is pulled off
	cardTwice                 // the reader reports a document off and on again
	cardDead                  // the chip cannot be read
	cameraGone                // camera unplugged
	modelsGone                // the worker with the models dies
	registerAway              // registers answer "not consulted"
	registerOdd               // registers answer nonsense
	registerSlow              // registers answer after seconds
	registerMute              // registers never answer
	diskFull                  // nothing can be written
	fsyncFails                // one commit fails, and its data may come back after a power cut
	fsyncSlow                 // every commit takes seconds
	powerLost                 // the lane loses power; what was not committed is gone
	powerLanded               // the same, but the commit under way has landed
	clockJump                 // the clock is out by more than it may be
	leaseLost                 // the officers' console is cut off
	wordTwice                 // the officer's last word comes again, late
	wordWrong                 // an officer presses everything
	evacuateOrder             // an officer evacuates
	laneClosed                // an officer closes the lane
	helpButton                // somebody presses the help button
	timeAsked                 // the traveller asks for more time
	turnedRound               // a supervisor turns the lane round, if it is empty
	answerCut                 // the next command is carried out, and the line breaks before its answer
	sensorsBlink              // the sensors lose who is inside, again and again, for a moment
	laneKilled                // the lane's process is killed, and back before the gate's watchdog trips
	kinds
)

var kindNames = [kinds]string{
	"order lost", "order's answer lost", "order late", "gate's cable cut", "gate power cut", "gate jams", "gate's watchdog trips", "leaf forced", "fire", "CROSSED late",
	"exit's sensors blind", "document pulled off", "document bounces", "chip dead", "camera unplugged", "models die", "register away", "register nonsense", "register slow",
	"register never", "disk full", "fsync fails", "fsync slow", "power cut, write lost", "power cut, write landed", "clock jumps", "console cut off", "officer's word twice",
	"officer presses everything", "officer evacuates", "officer closes lane", "help button", "more time asked for", "lane turned round", "line takes the answer", "sensors blink", "lane killed",
}

// lasting kinds have an end of their own, at most 20 s later.
func (k kind) lasting() bool {
	switch k {
	case cableCut, answerCut, gatePower, fireAlarm, cardDead, cameraGone, modelsGone, registerAway, registerOdd, registerSlow, registerMute, diskFull, fsyncSlow, powerLost, powerLanded, clockJump, leaseLost, laneClosed, laneKilled:
		return true
	}
	return false
}

// upset breaks something some time after the lane has entered a phase.
type upset struct {
	Kind        kind
	Phase       lane.Phase
	After, Last time.Duration
}

func (u upset) String() string {
	s := fmt.Sprintf("%s, %v after %v", kindNames[u.Kind], u.After, u.Phase)
	if u.Kind.lasting() {
		s += fmt.Sprintf(", for %v", u.Last)
	}
	return s
}

// habit is what a traveller does that is not simply following the prompts.
type habit uint8

const (
	follows habit = iota
	staysOut
	walksBack
	staysIn // before the open exit
	brings  // a bag, and leaves it
	crowds  // somebody is close behind
	forgets // the document
	stranger
	masked
	blurred
	several
	wanted
	similar // a weak name match
	strayed // days of stay used up
	stubborn
	habits
)

var habitNames = [habits]string{"follows", "stays out", "walks back out", "stays inside", "leaves a bag", "is followed", "forgets the document", "is somebody else", "hides behind a mask", "is never sharp", "is not alone in the picture", "is wanted", "has a wanted name", "has overstayed", "does not go back"}

// visit is one traveller.
type visit struct {
	N      uint64 // draws depend on it, not on who came before
	Habit  habit
	TCN    bool
	Lazy   bool // the officer decides nothing
	Upsets []upset
}

func (v visit) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "traveller %d %s", v.N, habitNames[v.Habit])
	if v.TCN {
		b.WriteString(", of the register")
	}
	if v.Lazy {
		b.WriteString(", the officer does not decide")
	}
	for _, u := range v.Upsets {
		fmt.Fprintf(&b, "\n    %v", u)
	}
	return b.String()
}

// phases that an upset may wait for; all of them are met with the right
// traveller.
const phases = int(lane.Evacuate) + 1

// bringers lead a lane into a state that it does not see on an ordinary day.
var bringers = map[lane.Phase]func(v *visit){
	lane.DivertOut:    func(v *visit) { v.bring(cardDead, lane.Idle) },
	lane.WaitDB:       func(v *visit) { v.bring(registerSlow, lane.Idle) },
	lane.Review:       func(v *visit) { v.Habit = []habit{stranger, similar, masked}[v.N%3] },
	lane.Hold:         func(v *visit) { v.Habit = wanted },
	lane.Multi:        func(v *visit) { v.Habit = crowds },
	lane.Luggage:      func(v *visit) { v.Habit, v.N = brings, v.N/2*2 },
	lane.DivertIn:     func(v *visit) { v.Habit, v.TCN = strayed, true },
	lane.Returning:    func(v *visit) { v.Habit, v.TCN = strayed, true },
	lane.CheckEmpty:   func(v *visit) { v.bring(crossedLate, lane.Release) },
	lane.Fallback:     func(v *visit) { v.bring(gateTrip, lane.Inside) },
	lane.Fault:        func(v *visit) { v.bring([]kind{gateJam, cableCut}[v.N%2], lane.Release) },
	lane.Evacuate:     func(v *visit) { v.bring([]kind{fireAlarm, evacuateOrder}[v.N%2], lane.Inside) },
	lane.OutOfService: func(v *visit) { v.bring(powerLost, lane.DocRead) },
}

func (v *visit) bring(k kind, p lane.Phase) {
	if p == lane.Idle {
		p = lane.DocRead
	}
	v.Upsets = append(v.Upsets, upset{Kind: k, Phase: p, After: time.Microsecond + time.Duration(k), Last: 3 * time.Second})
}

// draw makes a seed's travellers.
func draw(seed uint64, n int) []visit {
	list := make([]visit, n)
	for i := range list {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := visit{N: uint64(2*i + 2 + r.IntN(2)), TCN: r.IntN(2) == 0}
		if r.IntN(8) == 0 {
			v.Habit = habit(r.IntN(int(habits)))
		}
		v.Lazy = r.IntN(100) == 0
		for range []int{0, 0, 0, 0, 0, 0, 1, 2}[r.IntN(8)] {
			u := upset{Kind: kind(r.IntN(int(kinds))), Phase: lane.Phase(r.IntN(phases)), Last: time.Duration(1 + r.Int64N(int64(3*time.Second)))}
			if r.IntN(3) == 0 {
				u.Phase = lane.Phase(int(lane.Inside) + r.IntN(int(lane.Commit-lane.Inside)+1)) // most is at stake inside
			}
			late := v.Lazy && r.IntN(8) == 0 // in what nobody ends
			if late {
				u.Phase = lane.Review
				if r.IntN(4) == 0 {
					u.Kind = laneKilled
				}
			}
			if b := bringers[u.Phase]; b != nil {
				b(&v)
			}
			u.After = time.Duration(1001 + r.Int64N(1<<(10+r.IntN(19)))) // from a microsecond to a quarter of a second
			if r.IntN(8) == 0 {
				u.Last = time.Duration(r.Int64N(int64(20 * time.Second)))
			}
			if late {
				u.After = time.Duration(1 + r.Int64N(int64(rules.Trapped)))
			}
			v.Upsets = append(v.Upsets, u)
		}
		list[i] = v
	}
	return list
}

// stream names what a draw is for: draws of one stream do not move those of
// another, so that two things at one instant do not race for a number.
type stream uint8

const (
	ofLeaf stream = iota
	ofWalk
	ofPoll
	ofOrder
	ofChip
	ofSearch
	ofStay
	ofReference
	ofFace
	ofPortrait
	ofCommit
	ofOfficer
	ofReaction
	ofBoot
	ofLuck
	ofConsult // and one for each check
	ofWish    = ofConsult + stream(lane.Checks)
	ofBlink   = ofWish + 1
	streams   = int(ofBlink) + 1
)

// dice draw by seed, traveller, stream and count.
type dice struct {
	seed, visit uint64
	count       [streams]uint64
}

func (d *dice) next(v uint64) {
	d.visit = v
	d.count = [streams]uint64{}
}

func (d *dice) roll(s stream) uint64 {
	d.count[s]++
	x := d.seed*0x9E3779B97F4A7C15 ^ d.visit<<40 ^ uint64(s)<<32 ^ d.count[s]
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9 // SplitMix64's finalizer
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// between draws a time from lo up to hi, to the nanosecond: no two things
// happen at one instant by design.
func (d *dice) between(s stream, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.roll(s)%uint64(hi-lo))
}

func (d *dice) oneIn(n uint64) bool { return d.roll(ofLuck)%n == 0 }

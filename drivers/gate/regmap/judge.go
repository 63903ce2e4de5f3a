package regmap

import (
	"fmt"
	"strings"
	"time"
)

// Verdict is what a lane gets of a map in one matter.
type Verdict struct {
	What  string `json:"what"`
	Has   string `json:"has,omitempty"`   // where it stands
	State string `json:"state"`           // good, officer, refused
	Means string `json:"means,omitempty"` // what is missing, and what comes of it
}

// Limits of an unattended lane.
const (
	longestWatchdog = 5 * time.Second        // a person waits for a dead lane that long (rulings: FALLBACK)
	longestPoll     = 100 * time.Millisecond // a motion needs a poll of at most 150 ms
	coarsestClock   = 100.0                  // ms a count; two polls are never further apart in a working lane
)

// Judge says, matter by matter, what a lane gets of the map at a line's rate. A
// verdict "officer" makes work for officers and stays safe; a "refused" one is a
// gate that must not work a lane. egress is what the lane's configuration says
// about the leaf that is freed, where the map has no register for it.
func (m *Map) Judge(baud int, egress string) []Verdict {
	var list []Verdict
	say := func(what string, has fmt.Stringer, there bool, state, means string) {
		v := Verdict{What: what, State: "good"}
		if there {
			v.Has = has.String()
		} else {
			v.State, v.Means = state, means
		}
		list = append(list, v)
	}
	text := func(s ...string) fmt.Stringer { return words(s) }

	switch {
	case m.Identity.Product != "":
		say("identity", text("function 43/14: "+m.Identity.Product), true, "", "")
	default:
		say("identity", m.Identity.Model, m.Identity.Model != nil, "refused", "another device on the line would be taken for the gate")
	}
	say("clock", m.Clock, m.Clock != nil, "refused", "a gate that has stopped or started again would not be noticed")
	if m.Clock != nil && (m.Clock.Scale > coarsestClock || m.Clock.Scale <= 0) {
		list[len(list)-1] = Verdict{"clock", m.Clock.String(), "refused", fmt.Sprintf("one count is %g ms: polls could not be told apart; %g ms at most", m.Clock.Scale, coarsestClock)}
	}
	list = append(list, m.judgeState())
	for _, l := range []struct {
		name string
		leaf Leaf
	}{{"entry leaf", m.Entry}, {"exit leaf", m.Exit}} {
		switch x := l.leaf; {
		case x.State != nil:
			missing := absent(x.State, "CLOSED_LOCKED", "OPEN")
			say(l.name, x.State, len(missing) == 0, "refused", "no value means "+strings.Join(missing, " or ")+": nobody could tell whether the other leaf may open")
		default:
			say(l.name, text("limit switches"), x.Closed != nil && x.Locked != nil && x.Open != nil, "refused", "closed, locked and open must be told apart, or nobody could tell whether the other leaf may open")
		}
	}
	say("who is inside", text("sensors zone_a, zone_b"), m.Sensors["zone_a"] != nil && m.Sensors["zone_b"] != nil, "refused", "a person between the leaves would not be seen")
	multi, tail := m.Alarms["MULTI_PERSON"], m.Alarms["TAILGATE"]
	switch {
	case m.Persons != nil:
		say("how many are inside", m.Persons, true, "", "")
	default:
		say("how many are inside", text("alarms MULTI_PERSON, TAILGATE"), multi != nil, "refused", "a second person behind the first would not be noticed: neither a count nor MULTI_PERSON")
	}
	if m.Persons != nil && multi == nil && tail == nil && m.Sensors["tailgate"] == nil {
		list = append(list, Verdict{What: "tailgating detector", State: "officer", Means: "only the count of persons tells of a second one"})
	}
	say("luggage", text("sensor or alarm"), m.Sensors["luggage"] != nil || m.Alarms["LEFT_LUGGAGE"] != nil, "refused", "a bag left between the leaves would not be noticed")
	for _, k := range []string{"zone_b", "exit_curtain", "exit_clear"} {
		if m.Edges[k] == nil {
			list = append(list, Verdict{What: "evidence of a crossing", State: "officer", Means: "no edge counter of " + k + ": sensors do not prove that the traveller left, so each crossing becomes an officer's case and closes the lane until somebody has looked"})
			break
		}
	}
	say("the gate's own word of a crossing", m.Crossings, m.Crossings != nil, "officer", "no counter of crossings confirms the sensors: each crossing becomes an officer's case")
	list = append(list, m.judgeWatchdog()...)
	switch {
	case m.Egress.Fallback != nil:
		say("leaf freed on failure", m.Egress.Fallback, true, "", "")
	default:
		say("leaf freed on failure", text("the lane's configuration says "+egress), egress != "", "refused", "the gate cannot say which leaf it frees when it is left alone: find out, try it, and set gate.fallback_frees in the lane's configuration")
	}
	list = append(list, m.judgeCommands()...)
	lacking := 0
	for _, k := range FaultNames {
		if m.Faults[k] == nil {
			lacking++
		}
	}
	if len(m.Faults) == 0 {
		list = append(list, Verdict{What: "faults", State: "officer", Means: "the gate says that it is faulted, not why"})
	} else {
		say("faults", text(fmt.Sprintf("%d of %d", len(FaultNames)-lacking, len(FaultNames))), true, "", "")
	}
	for _, k := range []string{"FORCED_ENTRY", "FORCED_EXIT", "WRONG_WAY", "TAMPER"} {
		if m.Alarms[k] == nil {
			list = append(list, Verdict{What: "alarm " + k, State: "officer", Means: "is not told: somebody must watch the gate for it"})
		}
	}
	for _, k := range ParameterNames {
		if x := m.Parameters[k]; x == nil {
			list = append(list, Verdict{"parameter " + k, "", "refused", "neither a register nor a fixed time: the lane's door timers would rest on nothing"})
		}
	}
	t := m.BusTime(baud)
	took := fmt.Sprintf("requests: %d, time: %v at %d", len(m.Plan(m.Polled())), t.Round(time.Millisecond), baud)
	if t > longestPoll {
		list = append(list, Verdict{"poll", took, "refused", fmt.Sprintf("a poll may take %v: raise the line's rate, poll.gap or poll.most, or leave points out", longestPoll)})
	} else {
		say("poll", text(took), true, "", "")
	}
	return list
}

type words []string

func (w words) String() string { return strings.Join(w, ", ") }

// absent are the words that no value means.
func absent(p *Point, need ...string) (list []string) {
	for _, w := range need {
		if len(p.Raws(w)) == 0 {
			list = append(list, w)
		}
	}
	return list
}

func (m *Map) judgeState() Verdict {
	if m.State == nil {
		return Verdict{What: "state", State: "refused", Means: "the gate does not say what it is doing"}
	}
	v := Verdict{What: "state", Has: m.State.String(), State: "good"}
	if missing := absent(m.State, "SAFE_CLOSED", "READY", "ENTRY_OPEN", "OCCUPIED", "EXIT_OPEN", "FALLBACK", "EVACUATE", "FAULT"); len(missing) > 0 {
		v.State, v.Means = "refused", "no value means "+strings.Join(missing, ", ")
	}
	return v
}

func (m *Map) judgeWatchdog() []Verdict {
	w := m.Watchdog
	if w.Heartbeat == nil || w.Timeout == 0 {
		return []Verdict{{"watchdog", "", "refused", "without heartbeat and time-out nobody frees the traveller when the lane's computer dies"}}
	}
	has := fmt.Sprintf("%v, %s, trips within %v", w.Heartbeat, w.Heartbeat.Style, time.Duration(w.Timeout))
	switch t := time.Duration(w.Timeout); {
	case t > longestWatchdog:
		return []Verdict{{"watchdog", has, "refused", fmt.Sprintf("a person would be locked in for %v after the lane's computer died; %v at most", t, longestWatchdog)}}
	case t < 300*time.Millisecond:
		return []Verdict{{"watchdog", has, "refused", "the lane beats every 200 ms: a time-out of less than 300 ms trips by itself"}}
	}
	list := []Verdict{{What: "watchdog", Has: has, State: "good"}}
	if w.State == nil {
		list = append(list, Verdict{What: "watchdog's state", State: "officer", Means: "cannot be read: only state FALLBACK shows that it tripped; try it in commissioning"})
	}
	return list
}

func (m *Map) judgeCommands() []Verdict {
	var list []Verdict
	need := map[string]string{
		"OPEN_ENTRY": "nobody could come in", "OPEN_EXIT": "nobody could leave", "OPEN_RETURN": "nobody could be sent back",
		"CLOSE_ALL": "a leaf that stands open could not be closed", "SAFE_CLOSED": "the lane could not be closed",
		"READY": "the lane could not be opened", "EVACUATE": "an officer could not free the people inside",
		"CLEAR_ALARM": "a lane that had an alarm would stay out of service", "CLEAR_FAULT": "a lane that had a fault would stay out of service",
	}
	wish := map[string]string{
		"MAINTENANCE": "after luggage a technician must work the leaves at the gate", "END_EVACUATE": "somebody must end an evacuation at the gate",
		"MOVE_ENTRY_OPEN": "", "MOVE_ENTRY_CLOSE": "", "MOVE_EXIT_OPEN": "", "MOVE_EXIT_CLOSE": "",
	}
	for _, k := range CommandNames {
		v := Verdict{What: k, State: "good"}
		switch w := m.Commands[k]; {
		case w != nil:
			v.Has = w.String()
		case need[k] != "":
			v.State, v.Means = "refused", need[k]
		default:
			v.State, v.Means = "officer", wish[k]
			if v.Means == "" {
				v.Means = "a technician must do it at the gate"
			}
		}
		list = append(list, v)
	}
	return list
}

// Refused are the reasons for which the map must not work a lane; nil if it may.
func Refused(list []Verdict) error {
	var why []string
	for _, v := range list {
		if v.State == "refused" {
			why = append(why, v.What+": "+v.Means)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("this gate cannot run a lane unattended because\n  %s", strings.Join(why, "\n  "))
}

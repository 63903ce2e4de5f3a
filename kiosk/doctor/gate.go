package doctor

import (
	"fmt"
	"strings"

	"passage/drivers/gate"
)

// advice is what to do about each fault and alarm of a gate, in the order in
// which they matter: the first that is set is told.
var advice = []struct {
	name string
	bad  bool // the lane does not open with it
	todo string
}{
	{"FIRE", true, "the fire contact is active: find out why, reset it, then clear_alarms on the lane page"},
	{"EGRESS_BUTTON", true, "the egress button is pressed or its contact stands open: release it, then clear_alarms on the lane page"},
	{"BOTH_OPEN", true, "neither leaf is closed: clear the leaves' way, then clear_faults on the lane page"},
	{"FORCED_ENTRY", true, "the entry leaf was forced: look at leaf, lock and hinges, then clear_alarms on the lane page"},
	{"FORCED_EXIT", true, "the exit leaf was forced: look at leaf, lock and hinges, and who went through, then clear_alarms on the lane page"},
	{"LOCK_ENTRY", true, "the entry's lock says the wrong thing: check bolt and feedback contact, then clear_faults on the lane page"},
	{"LOCK_EXIT", true, "the exit's lock says the wrong thing: check bolt and feedback contact, then clear_faults on the lane page"},
	{"ENTRY_JAM", true, "the entry leaf does not move: look for what is in its way, check drive and belt, then clear_faults on the lane page"},
	{"EXIT_JAM", true, "the exit leaf does not move: look for what is in its way, check drive and belt, then clear_faults on the lane page"},
	{"ENTRY_FORCE", true, "the entry leaf pushed too hard: check its way and FORCE_LIMIT_N, then clear_faults on the lane page"},
	{"EXIT_FORCE", true, "the exit leaf pushed too hard: check its way and FORCE_LIMIT_N, then clear_faults on the lane page"},
	{"SUPPLY_LOW", true, "the gate's supply is below 21.6 V: check power supply and battery, then clear_faults on the lane page"},
	{"SELF_TEST", true, "the gate's self-test failed: switch it off and on; if it stays, its maker must look"},
	{"SENSOR_STUCK", true, "a light curtain has been broken for a minute with nobody there: clean and align S1 and S4, then clear_faults on the lane page"},
	{"TAMPER", true, "the gate's housing is open: close it, then clear_alarms on the lane page"},
	{"INTRUSION", true, "somebody is or was inside although nobody was let in: look into the mantrap, then clear_alarms on the lane page"},
	{"LEFT_LUGGAGE", true, "something lies in the mantrap: look, take it out, then clear_alarms on the lane page"},
	{"MULTI_PERSON", true, "the gate counted too many: look into the mantrap, then clear_alarms on the lane page"},
	{"TAILGATE", true, "the gate saw a second person: look into the mantrap, then clear_alarms on the lane page"},
	{"WRONG_WAY", true, "somebody came in by the exit: look into the mantrap, then clear_alarms on the lane page"},
	{"SENSOR_MISMATCH", false, "the gate was occupied and then was not: check S2 and S3, then clear_faults on the lane page"},
	{"ENTRY_SLOW", false, "the entry leaf is slower than its limit: check its drive, or raise gate.open_max and gate.close_max"},
	{"EXIT_SLOW", false, "the exit leaf is slower than its limit: check its drive, or raise gate.open_max and gate.close_max"},
	{"TEMP_RANGE", false, "the gate is too warm or too cold: check its fan and heating"},
	{"EVT_OVERFLOW", false, "events of the gate were lost while nobody fetched them: clear_faults on the lane page"},
	{"PARAM_DEFAULTED", false, "the gate has lost its parameters and took its defaults; kioskd writes the lane's at its next start"},
	{"ENTRY_BLOCKED", false, "something stands in the entry's curtain: look, then clear_alarms on the lane page"},
	{"EXIT_BLOCKED", false, "something stands in the exit's curtain: look, then clear_alarms on the lane page"},
	{"DWELL", false, "somebody has been inside for long: look into the mantrap, then clear_alarms on the lane page"},
	{"WATCHDOG", false, "the gate was left alone, as it is whenever kioskd is stopped; kioskd clears it at its start"},
}

// onBattery is OUTPUTS' bit for it (ABC-LANE §5).
const onBattery = 1 << 14

// gateFinding judges a gate that answers.
func gateFinding(what string, p gate.Probed) Finding {
	s := p.Snapshot
	set := append(s.Alarms.Names(), s.Faults.Names()...)
	if len(set) > 0 {
		what = fmt.Sprintf("%s, %s", what, strings.Join(set, " "))
	}
	for _, a := range advice {
		for _, name := range set {
			if name == a.name && a.bad {
				return Finding{State: "bad", Found: what, Todo: a.todo}
			}
			if name == a.name {
				return warn(a.todo, "%s", what)
			}
		}
	}
	switch {
	case s.State == gate.Faulted, s.State == gate.Evacuate:
		return Finding{State: "bad", Found: what, Todo: "look at the gate; then clear_faults or clear_alarms on the lane page"}
	case s.Outputs&onBattery != 0:
		return warn("the gate runs on its battery: bring back its mains", "%s, on battery", what)
	case s.Occupied():
		return warn("somebody or something stands between the leaves", "%s, occupied", what)
	case s.Zones&gate.Luggage != 0:
		return warn("something lies between the leaves: take it out", "%s, luggage seen", what)
	case s.Entry.Closed() && s.Zones&(gate.EntryApproach|gate.EntryCurtain) == gate.EntryCurtain:
		return warn("the entry's light curtain (S1) is broken and nobody is near: clean and align it", "%s, S1 active", what)
	case s.Exit.Closed() && s.Zones&(gate.ExitClear|gate.ExitCurtain) == gate.ExitCurtain:
		return warn("the exit's light curtain (S4) is broken and nobody is near: clean and align it", "%s, S4 active", what)
	case p.Repeated > 0:
		return warn("frames are lost or spoiled on the line: check cable, shield and termination", "%s, %d requests had to be repeated", what, p.Repeated)
	case s.LinkErrors > 0:
		return warn("if the number grows, check cable, shield and termination", "%s, %d frames discarded since boot", what, s.LinkErrors)
	}
	return good("%s", what)
}

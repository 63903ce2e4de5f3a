package lane

import (
	"fmt"
	"strconv"
)

// Every enumeration prints by the name that people use and reads it back, so
// that journals and scenarios are text.

var (
	phaseNames = [phases]string{
		"OUT_OF_SERVICE", "IDLE", "DOC_READ", "ELIGIBLE", "TAKE_DOC", "ENTER", "SEALING", "INSIDE", "DECIDE", "WAIT_DB",
		"REVIEW", "INTEND", "RELEASE", "CLEARING", "CHECK_EMPTY", "COMMIT", "DIVERT_OUT", "DIVERT_IN", "RETURNING", "MULTI",
		"LUGGAGE", "HOLD", "FALLBACK", "FAULT", "EVACUATE",
	}
	gateNames = [gateStates]string{
		"BOOT", "SAFE_CLOSED", "READY", "ENTRY_OPEN", "OCCUPIED", "EXIT_OPEN", "FALLBACK", "EVACUATE", "FAULT", "MAINTENANCE",
	}
	leafNames   = [...]string{"unknown", "locked", "unlocked", "open", "closing"}
	checkNames  = [Checks]string{"SIS", "SLTD", "FPR", "LOST", "FILE", "REF_FACE", "STAY", "ETIAS"}
	answerNames = [answers]string{
		"pending", "clear", "not_applicable", "local_copy", "hit_action", "hit_inquiry", "possible", "not_consulted",
		"malformed", "face_differs", "face_no_use", "exhausted", "overstay", "undetermined", "unauthorised",
	}
	faceNames     = [...]string{"unknown", "match", "non_match", "quality", "attack", "several", "unavailable"}
	decisionNames = [...]string{"none", "release", "divert", "hold", "retry_face", "refer_second_line"}
	orderNames    = [...]string{
		"none", "open", "close", "review", "evacuate", "end_evacuate", "clear_alarms", "clear_faults", "maintenance",
		"end_maintenance", "close_leaf", "move_entry_open", "move_entry_close", "move_exit_open", "move_exit_close", "more_time",
		"direction_entry", "direction_exit",
	}
	directionNames = [...]string{"configured", "entry", "exit"}
	classNames     = [...]string{"none", "later", "officer", "service"}
	causeNames     = [...]string{"none", "officer", "help", "decide", "failure"}
	commandNames   = [...]string{
		"none", "OpenEntry", "OpenExit", "OpenReturn", "CloseAll", "SafeMode", "ReadyMode", "Maintenance", "ClearAlarms", "ClearCrowd",
		"ClearFaults", "EvacuateGate", "EndEvacuate", "MoveEntryOpen", "MoveEntryClose", "MoveExitOpen", "MoveExitClose",
	}
	outcomeNames = [...]string{"none", "released", "diverted_out", "diverted_in", "evacuated", "out_of_service"}
	caseNames    = [...]string{
		"none", "power_cut", "link_lost", "gate_broken", "gate_freed", "evacuated", "no_evidence", "disagree", "someone_in",
		"wrong_way", "storage", "unexpected",
	}
	alertNames = [...]string{
		"none", "hit", "document", "face", "multi", "luggage", "help", "dwell", "camera", "doc_left", "review", "hold", "door",
		"forced", "wrong_way", "intrusion", "link", "fault", "fallback", "evacuate", "state", "storage", "turned",
	}
	priorityNames = [...]string{"none", "notice", "urgent"}
	reasonNames   = [reasons]string{
		"", "AGE", "NAT", "VISA", "RP", "FAMILY", "DOC_TYPE", "DOC_EXPIRED", "MRZ", "NO_CHIP", "CHIP_READ", "PA_UNDET", "PA_FAIL",
		"CHIP_AUTH", "EES_NOT_REG", "EES_AMBIG", "EES_FACE", "STAY", "OVERSTAY", "ENTRIES", "ETIAS", "STAMP", "ALERT", "DB_OFF",
		"FACE", "PAD", "MULTI", "LUGGAGE", "TIMEOUT", "XGATE", "RANDOM", "OFFICER", "DOC_LEFT", "HELP", "CAMERA", "TURNED", "FIRE",
	}
	classOfNames = [classes]string{
		"unknown", "DIPLO", "REFUGEE", "CREW", "TCN_RESIDENT", "FAM_CARD", "FAM_NOCARD", "EU", "TCN_MICRO", "TCN_LISTED", "TCN_VISA",
		"TCN_EXEMPT_OTHER",
	}
)

func name[T ~uint8](v T, names []string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

func parse[T ~uint8](v *T, what, s string, names []string) error {
	for i, n := range names {
		if n == s {
			*v = T(i)
			return nil
		}
	}
	return fmt.Errorf("lane: no %s is called %.40q", what, s)
}

func (v Phase) String() string          { return name(v, phaseNames[:]) }
func (v GateState) String() string      { return name(v, gateNames[:]) }
func (v Leaf) String() string           { return name(v, leafNames[:]) }
func (v Check) String() string          { return name(v, checkNames[:]) }
func (v Answer) String() string         { return name(v, answerNames[:]) }
func (v Face) String() string           { return name(v, faceNames[:]) }
func (v Decision) String() string       { return name(v, decisionNames[:]) }
func (v OfficerOrder) String() string   { return name(v, orderNames[:]) }
func (v Direction) String() string      { return name(v, directionNames[:]) }
func (v Class) String() string          { return name(v, classNames[:]) }
func (v Cause) String() string          { return name(v, causeNames[:]) }
func (v Command) String() string        { return name(v, commandNames[:]) }
func (v Outcome) String() string        { return name(v, outcomeNames[:]) }
func (v CaseReason) String() string     { return name(v, caseNames[:]) }
func (v AlertKind) String() string      { return name(v, alertNames[:]) }
func (v Priority) String() string       { return name(v, priorityNames[:]) }
func (v Reason) String() string         { return name(v, reasonNames[:]) }
func (v TravellerClass) String() string { return name(v, classOfNames[:]) }

func (v Phase) MarshalText() ([]byte, error)          { return []byte(v.String()), nil }
func (v GateState) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v Leaf) MarshalText() ([]byte, error)           { return []byte(v.String()), nil }
func (v Check) MarshalText() ([]byte, error)          { return []byte(v.String()), nil }
func (v Answer) MarshalText() ([]byte, error)         { return []byte(v.String()), nil }
func (v Face) MarshalText() ([]byte, error)           { return []byte(v.String()), nil }
func (v Decision) MarshalText() ([]byte, error)       { return []byte(v.String()), nil }
func (v OfficerOrder) MarshalText() ([]byte, error)   { return []byte(v.String()), nil }
func (v Direction) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v Class) MarshalText() ([]byte, error)          { return []byte(v.String()), nil }
func (v Cause) MarshalText() ([]byte, error)          { return []byte(v.String()), nil }
func (v Command) MarshalText() ([]byte, error)        { return []byte(v.String()), nil }
func (v Outcome) MarshalText() ([]byte, error)        { return []byte(v.String()), nil }
func (v CaseReason) MarshalText() ([]byte, error)     { return []byte(v.String()), nil }
func (v AlertKind) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v Priority) MarshalText() ([]byte, error)       { return []byte(v.String()), nil }
func (v Reason) MarshalText() ([]byte, error)         { return []byte(v.String()), nil }
func (v TravellerClass) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

func (v *Phase) UnmarshalText(b []byte) error { return parse(v, "phase", string(b), phaseNames[:]) }
func (v *GateState) UnmarshalText(b []byte) error {
	return parse(v, "gate state", string(b), gateNames[:])
}
func (v *Leaf) UnmarshalText(b []byte) error   { return parse(v, "leaf state", string(b), leafNames[:]) }
func (v *Check) UnmarshalText(b []byte) error  { return parse(v, "check", string(b), checkNames[:]) }
func (v *Answer) UnmarshalText(b []byte) error { return parse(v, "answer", string(b), answerNames[:]) }
func (v *Face) UnmarshalText(b []byte) error   { return parse(v, "face result", string(b), faceNames[:]) }
func (v *Decision) UnmarshalText(b []byte) error {
	return parse(v, "decision", string(b), decisionNames[:])
}

func (v *OfficerOrder) UnmarshalText(b []byte) error {
	return parse(v, "order", string(b), orderNames[:])
}

func (v *Direction) UnmarshalText(b []byte) error {
	return parse(v, "direction", string(b), directionNames[:])
}
func (v *Class) UnmarshalText(b []byte) error { return parse(v, "class", string(b), classNames[:]) }
func (v *Cause) UnmarshalText(b []byte) error { return parse(v, "cause", string(b), causeNames[:]) }
func (v *Command) UnmarshalText(b []byte) error {
	return parse(v, "command", string(b), commandNames[:])
}

func (v *Outcome) UnmarshalText(b []byte) error {
	return parse(v, "outcome", string(b), outcomeNames[:])
}

func (v *CaseReason) UnmarshalText(b []byte) error {
	return parse(v, "case reason", string(b), caseNames[:])
}
func (v *AlertKind) UnmarshalText(b []byte) error { return parse(v, "alert", string(b), alertNames[:]) }
func (v *Priority) UnmarshalText(b []byte) error {
	return parse(v, "priority", string(b), priorityNames[:])
}
func (v *Reason) UnmarshalText(b []byte) error { return parse(v, "reason", string(b), reasonNames[:]) }
func (v *TravellerClass) UnmarshalText(b []byte) error {
	return parse(v, "traveller class", string(b), classOfNames[:])
}

package policy

import (
	"time"

	"passage/kiosk/lane"
)

// The tables of this file are the rules themselves: Class, Qualify and their
// like read them. docs/rules.md shows them beside the articles; a test keeps
// page and tables equal.

// ClassRule is what a traveller's class means at a gate.
type ClassRule struct {
	Class   lane.TravellerClass
	Who     string
	Article string
	// EES says that crossings are recorded in the register.
	EES bool
	// Entry and Exit are why the class is diverted whatever else is true; NONE
	// if it is not.
	Entry, Exit lane.Reason
	// Listed says that entry is for nationalities of the entry list alone.
	Listed bool
	// Calculator says that the 90/180 rule applies.
	Calculator bool
}

// Classes are the classes in the order in which they are tried.
var Classes = []ClassRule{
	{lane.DIPLO, "holders of diplomatic, official and service passports and of laissez-passers", "document code and issuer, ICAO Doc 9303-3", false, lane.DOC_TYPE, lane.DOC_TYPE, false, false},
	{lane.REFUGEE, "holders of 1951 and 1954 travel documents; nationality XXA, XXB, XXC", "Geneva Convention 1951, New York Convention 1954", false, lane.DOC_TYPE, lane.DOC_TYPE, false, false},
	{lane.CREW, "holders of crew member certificates", "SBC Annex VII", false, lane.DOC_TYPE, lane.DOC_TYPE, false, false},
	{lane.FAM_CARD, "family members of free movers with a residence card", "Reg. (EU) 2017/2226 Art. 2(3)(a)", false, lane.RP, lane.RP, false, false},
	{lane.TCN_RESIDENT, "holders of a residence permit or a long-stay visa", "SBC Art. 8(3)(bb)", false, lane.RP, lane.RP, false, false},
	{lane.FAM_NOCARD, "family members of free movers by the register's file, without a card", "Reg. (EU) 2017/2226 Art. 11(1)", true, lane.FAMILY, lane.FAMILY, false, false},
	{lane.EU, "citizens of the Union, the EEA and Switzerland", "SBC Art. 2(5)", false, lane.NONE, lane.NONE, false, false},
	{lane.TCN_MICRO, "nationals of Andorra, Monaco, San Marino and the Vatican", "Reg. (EU) 2017/2226 Art. 2(3)", false, lane.NONE, lane.NONE, true, false},
	{lane.TCN_VISA, "nationals who need a visa, and whoever has a short-stay visa on file", "Reg. (EU) 2018/1806 Annex I", true, lane.VISA, lane.NONE, false, true},
	{lane.TCN_LISTED, "visa-exempt nationals on the entry list", "CSI R.232-6, arrêté of 30 June 2023", true, lane.NONE, lane.NONE, true, true},
	{lane.TCN_EXEMPT_OTHER, "other visa-exempt nationals", "Reg. (EU) 2018/1806 Annex II", true, lane.NAT, lane.NONE, false, true},
}

func ruleOf(c lane.TravellerClass) ClassRule {
	for _, r := range Classes {
		if r.Class == c {
			return r
		}
	}
	return ClassRule{Class: c, Entry: lane.DOC_TYPE, Exit: lane.DOC_TYPE} // nobody knows what it may
}

// reason is why the class is diverted in a direction whatever else is true.
func (r ClassRule) reason(d Direction) lane.Reason {
	if d == Exit {
		return r.Exit
	}
	return r.Entry
}

// Ages are the youngest who may use a gate alone, dated: completed years on the
// crossing point's local date.
var Ages = []struct {
	Direction Direction
	Least     int
	Article   string
	Period    Period
}{
	{Entry, 12, "CSI R.232-6", Period{From: time.Date(2023, 6, 30, 0, 0, 0, 0, time.UTC)}},
	{Exit, 18, "CSI R.232-6", Period{From: time.Date(2023, 6, 30, 0, 0, 0, 0, time.UTC)}},
}

// leastAge is the youngest age on a day; a day that no row covers lets nobody
// in.
func leastAge(d Direction, day time.Time) int {
	for _, a := range Ages {
		if a.Direction == d && a.Period.holds(day) {
			return a.Least
		}
	}
	return 100
}

// CheckRule is a check that a release demands.
type CheckRule struct {
	Order   int // in which they begin; equal ones run beside each other
	Check   lane.Check
	EES     bool      // for classes in the register alone
	Only    Direction // empty: both
	Article string
	Keys    string
}

// Mandatory are the checks, in the order in which they begin. All must be
// answered before a release: missing is not clear.
var Mandatory = []CheckRule{
	{1, lane.CheckSIS, false, "", "SBC Art. 8(2)(a), 8(3)(a)(i)", "name, birth date, nationality; document number"},
	{1, lane.CheckSLTD, false, "", "SBC Art. 8(2)(a), 8(3)(a)(i)", "document number, issuer, type"},
	{1, lane.CheckFPR, false, "", "SBC Art. 8(2)(b), 8(3)(a)(vi)", "as the national rule says"},
	{1, lane.CheckLost, false, "", "SBC Art. 8(2)(a)", "document"},
	{1, lane.CheckFile, true, "", "Reg. (EU) 2017/2226 Art. 23(2)", "names, birth date, nationality, sex, document"},
	{2, lane.CheckStay, true, "", "Reg. (EU) 2017/2226 Art. 11, SBC Art. 6(1)", "the individual file"},
	{2, lane.CheckETIAS, true, Entry, "Reg. (EU) 2018/1240 Art. 47", "document; while etias_mode is grace or on"},
	{3, lane.CheckRefFace, true, "", "Reg. (EU) 2017/2226 Art. 23(2)", "live face, the individual file"},
}

// Answer is what an answer of a register means.
var Answers = []struct {
	Answer  lane.Answer
	Meaning string
	Effect  string
}{
	{lane.Clear, "consulted, nothing found", "goes on"},
	{lane.NotApplicable, "the class is exempt", "goes on"},
	{lane.LocalCopy, "nothing found in an authorised copy of at most 24 hours", "goes on, shown with its age"},
	{lane.HitAction, "arrest, refusal of entry, missing person, document stolen", "held inside; an officer at once"},
	{lane.HitInquiry, "inquiry or specific check (Reg. (EU) 2018/1862 Art. 36(4)-(5))", "an officer decides"},
	{lane.Possible, "weak match of a name", "an officer decides"},
	{lane.NotConsulted, "no answer in time: never \"no hit\"", "diverted"},
	{lane.Malformed, "an answer that cannot be one: never \"no hit\"", "diverted"},
	{lane.FaceDiffers, "the register has another face", "held inside; an officer at once"},
	{lane.FaceNoUse, "the register has no face, or one that cannot be compared", "held inside; an officer at once"},
	{lane.Exhausted, "no day of stay is left", "diverted"},
	{lane.Overstayed, "more days than were allowed: the person leaves, an officer handles it", "diverted"},
	{lane.Undetermined, "the stay cannot be computed: a record is missing", "an officer decides"},
	{lane.Unauthorised, "no travel authorisation, or one that has ended or was taken back", "diverted"},
}

// Grounds are the grounds of a refusal of entry, by the letters of the standard
// form. Only an officer refuses, at the desk.
var Grounds = []struct{ Letter, Ground, Article string }{
	{"A", "has no valid travel document", form},
	{"B", "has a false, counterfeit or forged travel document", form},
	{"C", "has no valid visa, travel authorisation or residence permit", form + ", Reg. (EU) 2018/1240"},
	{"D", "has a false, counterfeit or forged visa or residence permit", form},
	{"E", "has no appropriate documentation of the purpose and conditions of stay", form},
	{"F", "has already stayed for 90 days in the preceding 180", form},
	{"G", "has no sufficient means of subsistence for the stay or the way back", form},
	{"H", "is a person for whom an alert for refusal of entry has been issued", form},
	{"I", "is considered a threat to public policy, internal security, public health or international relations", form},
	{"J", "refuses the biometric data that an individual file or a border check needs", form + ", Reg. (EU) 2017/2225; Reg. (EU) 2017/2226 Art. 18(2)"},
}

const form = "SBC Annex V, Part B"

// Mode is how a crossing point uses the register while a period lasts.
type Mode struct {
	Period        Period
	EES           string // off, alphanumeric, full, suspended
	StampRequired bool
	Basis         string // the decision that it rests on
}

// Modes say what the values of Mode.EES mean.
var Modes = []struct{ Mode, Meaning, Effect, Article string }{
	{"full", "searches, faces and records", "goes on", "Reg. (EU) 2017/2226"},
	{"alphanumeric", "searches and records, no face with the register's", "classes in the register divert to an officer", "Reg. (EU) 2025/1534 Art. 4(2)"},
	{"suspended", "biometrics or everything suspended, by the basis named", "classes in the register divert to an officer", "Reg. (EU) 2025/1534"},
	{"off", "the register is not asked", "classes in the register divert to an officer, who stamps", "SBC Art. 11"},
}

// On returns the policy as it holds on a day: the first of its dated modes that
// covers the day takes the place of the undated one.
func (p Policy) On(day time.Time) Policy {
	for _, m := range p.Modes {
		if m.Period.holds(day) {
			p.EES, p.StampRequired = m.EES, m.StampRequired
			return p
		}
	}
	return p
}

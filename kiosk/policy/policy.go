// Package policy holds the tables that decide who may use a lane: traveller
// classes, eligibility by class and direction, mandatory checks, and what the
// chip's verdict means at a border.
//
// Everything legal is a dated row, so that a jurist can read it beside the
// article and a change of law is a change of configuration. The package is
// pure: it is given the day and the document and returns a finding.
package policy

import (
	"slices"
	"time"

	"passage/kiosk/lane"
)

// Direction is entry to or exit from the area that the lane guards.
type Direction string

const (
	Entry Direction = "entry"
	Exit  Direction = "exit"
)

// Size is the format of the travel document (ICAO Doc 9303-3).
type Size uint8

const (
	TD1 Size = iota + 1
	TD2
	TD3
)

// Document is what a lane may judge a traveller's document by. Issuer and
// Nationality are the MRZ's three letters with filler removed, "D" for
// Germany. Birth and Expiry are civil dates in UTC; Birth is zero if unknown.
type Document struct {
	Code        string // document code, one or two letters: "P", "PD", "ID", "AR"
	Size        Size
	Issuer      string
	Nationality string
	Birth       time.Time
	Expiry      time.Time
	Verdict     Verdict
	// OldTrust says that nobody has confirmed the trust lists for seven days.
	OldTrust bool
}

// Flags are what the register's file says beyond the document.
type Flags struct {
	Searched     bool // the search was made and answered
	Found        int  // files that match; 2 stands for several
	FamilyStatus bool
	LongStayVisa bool
	ShortVisa    bool
	Reference    bool // a facial image is on file
}

// Period is when a row holds; a zero time is open.
type Period struct{ From, To time.Time }

func (p Period) holds(day time.Time) bool {
	return (p.From.IsZero() || !day.Before(p.From)) && (p.To.IsZero() || !day.After(p.To))
}

// Policy is the dated configuration of a crossing point. The zero value
// diverts everybody; start from Default.
type Policy struct {
	Direction Direction

	// Production refuses specimens and test issuers.
	Production bool
	// TD1 lists the issuers whose identity cards are accepted (Reg. (EU)
	// 2019/1157).
	TD1 []string
	// Listed is the entry list of visa-exempt nationalities.
	Listed []Listed
	// PKD lists members of the ICAO PKD; nil stands for every state.
	PKD []string
	// Visa lists nationalities that need a visa (Reg. (EU) 2018/1806).
	Visa []string

	// EES says how the register is used: off, alphanumeric, full, suspended.
	EES string
	// StampRequired diverts every EES class to a stamping officer.
	StampRequired bool
	// Modes are dated and come before EES and StampRequired.
	Modes []Mode
	// TCNEntry is officer_confirm or auto_supervised (SBC 8b(3)).
	TCNEntry string
	// ETIAS is off, transition, grace or on. In the transition nobody needs an
	// authorisation; in the grace period whoever comes for the first time may
	// enter without one, which an officer decides at the desk (Reg. (EU)
	// 2018/1240 Art. 83). So a gate demands it from the grace period on.
	ETIAS string
	// Optical says that a driver for spectral checks is present; without one
	// a document whose chip proves nothing about copying is diverted.
	Optical bool
}

// Listed is a nationality of the entry list and when it is on it.
type Listed struct {
	Nationality string
	Period      Period
}

// eu is the EU, EEA and Swiss set by nationality field.
var eu = []string{
	"AUT", "BEL", "BGR", "CHE", "CYP", "CZE", "D", "DNK", "ESP", "EST", "FIN", "FRA", "GRC", "HRV", "HUN", "IRL", "ISL",
	"ITA", "LIE", "LTU", "LUX", "LVA", "MLT", "NLD", "NOR", "POL", "PRT", "ROU", "SVK", "SVN", "SWE",
}

// micro are the nationals outside the EES (Reg. 2017/2226 Art. 2(3)).
var micro = []string{"AND", "MCO", "SMR", "VAT"}

// Default is the policy of an EES crossing point in full operation, with the
// entry list of the French arrêté of 30 June 2023.
func Default(d Direction) Policy {
	p := Policy{Direction: d, Production: true, TD1: []string{"FRA"}, EES: "full", TCNEntry: "officer_confirm", ETIAS: "off"}
	from := time.Date(2023, 6, 30, 0, 0, 0, 0, time.UTC)
	for _, n := range []string{
		"AND", "ARG", "AUS", "CAN", "CHL", "KOR", "USA", "ISR", "JPN", "MEX", "MCO", "NZL", "PER", "GBR", "SMR", "SGP",
	} {
		p.Listed = append(p.Listed, Listed{n, Period{From: from}})
	}
	p.Visa = []string{
		"AFG", "AGO", "AZE", "BGD", "BEN", "BFA", "BDI", "BLR", "BLZ", "BOL", "BTN", "BWA", "CAF", "CHN", "CIV", "CMR",
		"COD", "COG", "COM", "CPV", "CUB", "DJI", "DOM", "DZA", "ECU", "EGY", "ERI", "ETH", "FJI", "GAB", "GHA", "GIN",
		"GMB", "GNB", "GNQ", "GUY", "HTI", "IDN", "IND", "IRN", "IRQ", "JAM", "JOR", "KAZ", "KEN", "KGZ", "KHM", "KWT",
		"LAO", "LBN", "LBR", "LBY", "LKA", "LSO", "MAR", "MDG", "MDV", "MLI", "MMR", "MNG", "MOZ", "MRT", "MWI", "NAM",
		"NER", "NGA", "NPL", "OMN", "PAK", "PHL", "PNG", "PRK", "QAT", "RUS", "RWA", "SAU", "SDN", "SEN", "SLE", "SOM",
		"SSD", "STP", "SUR", "SWZ", "SYR", "TCD", "TGO", "THA", "TJK", "TKM", "TUN", "TUR", "TZA", "UGA", "UZB", "VNM",
		"VUT", "YEM", "ZAF", "ZMB", "ZWE",
	}
	return p
}

// Class returns the traveller's class, first match top-down (domain order).
// Flags of a register that was not asked are unknown, never assumed.
func (p Policy) Class(d Document, f Flags, day time.Time) lane.TravellerClass {
	second := ""
	if len(d.Code) > 1 {
		second = d.Code[1:2]
	}
	member := slices.Contains(eu, d.Nationality)
	switch {
	case slices.Contains([]string{"PD", "PO", "PS", "PL", "PM"}, d.Code), slices.Contains([]string{"UNO", "UNA", "UNK", "EUE", "XOM"}, d.Issuer):
		return lane.DIPLO
	case slices.Contains([]string{"XXA", "XXB", "XXC"}, d.Nationality), d.Code == "PT", d.Code == "PR":
		return lane.REFUGEE
	case d.Code == "AC", d.Code == "CM", d.Size == TD1 && len(d.Code) == 1 && d.Code == "M":
		return lane.CREW
	case d.Size == TD1 && !member && second == "F":
		return lane.FAM_CARD
	case d.Size == TD1 && !member && slices.Contains(eu, d.Issuer), f.LongStayVisa:
		return lane.TCN_RESIDENT
	case f.FamilyStatus:
		return lane.FAM_NOCARD
	case member:
		return lane.EU
	case slices.Contains(micro, d.Nationality):
		return lane.TCN_MICRO
	case slices.Contains(p.Visa, d.Nationality), f.ShortVisa:
		return lane.TCN_VISA
	case p.listed(d.Nationality, day):
		return lane.TCN_LISTED
	}
	return lane.TCN_EXEMPT_OTHER
}

func (p Policy) listed(nationality string, day time.Time) bool {
	return slices.ContainsFunc(p.Listed, func(l Listed) bool {
		return l.Nationality == nationality && l.Period.holds(day)
	})
}

// InEES says whether crossings of the class are recorded in the register.
func InEES(c lane.TravellerClass) bool { return ruleOf(c).EES }

// Asks says whether the register's file decides about a document: neither EU
// nor a micro-state's national, nor one that is diverted whatever it says.
func (p Policy) Asks(d Document, day time.Time) bool {
	p = p.On(day)
	if p.EES != "full" && p.EES != "alphanumeric" {
		return false
	}
	switch p.Class(d, Flags{}, day) {
	case lane.TCN_LISTED, lane.TCN_VISA, lane.TCN_EXEMPT_OTHER:
		return p.byNationality(p.Class(d, Flags{}, day), d, day) == lane.NONE
	}
	return false
}

// Examine judges the document alone, before anything is asked.
func (p Policy) Examine(d Document, day time.Time) lane.Finding {
	class := p.Class(d, Flags{}, day)
	f := lane.Finding{Class: class}
	switch {
	case p.Production && (d.Issuer == "UTO" || d.Nationality == "UTO"):
		f.Reason = lane.DOC_TYPE
	case d.Size == TD2, len(d.Code) == 0, d.Code[0] == 'V':
		f.Reason = lane.DOC_TYPE
	case d.Size == TD1 && class == lane.EU && !slices.Contains(p.TD1, d.Issuer):
		f.Reason = lane.DOC_TYPE
	case d.Expiry.IsZero() || day.After(d.Expiry):
		f.Reason = lane.DOC_EXPIRED
	case p.PKD != nil && !slices.Contains(p.PKD, d.Issuer):
		f.Reason = lane.PA_UNDET
	default:
		f.Reason, f.Alert = d.Verdict.effect(p.Optical)
		// The verdict is asked first: what is forged stays so with old lists.
		if f.Reason == lane.NONE && d.OldTrust && InEES(class) {
			f.Reason = lane.PA_UNDET
		}
	}
	return f
}

// Qualify judges class, age, nationality and register file together, and says
// which checks a release demands.
func (p Policy) Qualify(d Document, f Flags, day time.Time) lane.Finding {
	p = p.On(day)
	class := p.Class(d, f, day)
	rule := ruleOf(class)
	out := lane.Finding{Class: class, Demands: p.demands(class)}
	age, known := Age(d.Birth, day)
	always := rule.reason(p.Direction)
	switch {
	case always == lane.DOC_TYPE, always == lane.RP:
		out.Reason = always
	case !known || age < leastAge(p.Direction, day) || age >= 100:
		out.Reason = lane.AGE
	case always == lane.FAMILY:
		out.Reason = always
	case p.byNationality(class, d, day) != lane.NONE:
		out.Reason = p.byNationality(class, d, day)
	case !InEES(class):
		// EU and micro-states: no register of entries and exits.
	case p.StampRequired:
		out.Reason = lane.STAMP
	case p.EES != "full":
		out.Reason = lane.STAMP // alphanumeric or suspended: an officer, until signed off
	case !f.Searched:
		out.Reason = lane.DB_OFF
	case f.Found == 0:
		out.Reason = lane.EES_NOT_REG
	case f.Found > 1:
		out.Reason = lane.EES_AMBIG
	case !f.Reference:
		out.Reason = lane.EES_FACE
	}
	out.Confirm = age < 18 || (InEES(class) && p.Direction == Entry && p.TCNEntry != "auto_supervised")
	return out
}

// byNationality is the part of eligibility that nationality decides.
func (p Policy) byNationality(class lane.TravellerClass, d Document, day time.Time) lane.Reason {
	rule := ruleOf(class)
	if p.Direction == Entry && rule.Listed && !p.listed(d.Nationality, day) {
		return lane.NAT
	}
	if r := rule.reason(p.Direction); r == lane.VISA || r == lane.NAT {
		return r
	}
	return lane.NONE
}

// demands are the checks that a release of a class demands.
func (p Policy) demands(c lane.TravellerClass) lane.Demand {
	var d lane.Demand
	for _, r := range Mandatory {
		if r.EES && !InEES(c) || r.Only != "" && r.Only != p.Direction || r.Check == lane.CheckETIAS && p.ETIAS != "grace" && p.ETIAS != "on" {
			continue
		}
		d |= lane.Demands(r.Check)
	}
	return d
}

// Age returns completed years on day. It reports false for an unknown or
// impossible birth date.
func Age(birth, day time.Time) (int, bool) {
	if birth.IsZero() || birth.After(day) {
		return 0, false
	}
	years := day.Year() - birth.Year()
	if day.Month() < birth.Month() || (day.Month() == birth.Month() && day.Day() < birth.Day()) {
		years--
	}
	return years, true
}

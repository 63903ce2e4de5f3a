package policy

import (
	"fmt"
	"strings"

	"passage/kiosk/lane"
)

// Verdict is what reading a chip proved, in words that a lawyer can weigh
// (emrtd outcome table).
type Verdict string

const (
	ChipGenuine   Verdict = "chip_genuine"       // genuine data in a genuine chip
	CopyPossible  Verdict = "copy_not_excluded"  // genuine data; nothing proves the chip
	Clone         Verdict = "possible_clone"     // chip authentication ran and failed
	Altered       Verdict = "altered"            // a data group's hash differs
	Incomplete    Verdict = "incomplete"         // a listed group could not be read
	IssuerUnknown Verdict = "issuer_unverified"  // CSCA missing
	Revoked       Verdict = "revoked_signer"     // document signer revoked
	RevokedSoft   Verdict = "signer_undecided"   // revoked, but not for good
	Suspicious    Verdict = "suspicious"         // signer not valid at issue
	Forged        Verdict = "forged_or_damaged"  // signature wrong
	Mismatch      Verdict = "dg1_differs"        // chip and printed MRZ differ
	NoChip        Verdict = "no_chip"            // nothing answers
	Aborted       Verdict = "aborted"            // reading broke off
	Expired       Verdict = "signer_expired"     // out of validity now, unknown at issue
	KnownDefect   Verdict = "known_defect"       // wrong in a way that its state has announced
	StaleTrust    Verdict = "trust_list_too_old" // list or CRL too old to decide
)

// Code is one of the five result words of BSI TR-03135 §3.5.2.
type Code string

const (
	Successful   Code = "successful"
	Failed       Code = "failed"
	Undetermined Code = "undetermined"
	NotSupported Code = "not_supported"
	NotCompleted Code = "aborted"
)

// Row is one line of the decision table.
type Row struct {
	Verdict Verdict
	Code    Code
	Reason  lane.Reason
	Alert   bool // an officer is called as well
}

// Table is what each verdict means before the entry opens.
// docs/chip-verdicts.md prints it.
var Table = []Row{
	{ChipGenuine, Successful, lane.NONE, false},
	{CopyPossible, NotSupported, lane.CHIP_AUTH, false}, // goes on after optical checks
	{Clone, Failed, lane.CHIP_AUTH, true},
	{Altered, Failed, lane.PA_FAIL, true},
	{Incomplete, Undetermined, lane.CHIP_READ, false},
	{IssuerUnknown, Undetermined, lane.PA_UNDET, false},
	{Revoked, Failed, lane.PA_FAIL, true},
	{RevokedSoft, Undetermined, lane.PA_UNDET, false},
	{Suspicious, Failed, lane.PA_FAIL, true},
	{Forged, Failed, lane.PA_FAIL, true},
	{Mismatch, Failed, lane.PA_FAIL, true},
	{NoChip, NotSupported, lane.NO_CHIP, false},
	{Aborted, NotCompleted, lane.CHIP_READ, false},
	{Expired, Failed, lane.PA_FAIL, false},
	{KnownDefect, Undetermined, lane.PA_UNDET, false},
	{StaleTrust, Undetermined, lane.PA_UNDET, false},
}

// TableMarkdown prints the table.
func TableMarkdown() string {
	var b strings.Builder
	b.WriteString("| verdict | code | before the entry opens |\n|---|---|---|\n")
	for _, r := range Table {
		does := "divert, " + r.Reason.String()
		switch {
		case r.Reason == lane.NONE:
			does = "go on"
		case r.Verdict == CopyPossible:
			does = "go on after optical checks, else " + does
		case r.Alert:
			does += ", and call an officer"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Verdict, r.Code, does)
	}
	return b.String()
}

// Row returns the table's row; an unknown verdict proves nothing.
func (v Verdict) Row() Row {
	for _, r := range Table {
		if r.Verdict == v {
			return r
		}
	}
	return Row{v, Undetermined, lane.PA_UNDET, false}
}

func (v Verdict) effect(optical bool) (lane.Reason, bool) {
	if v == CopyPossible && optical {
		return lane.NONE, false
	}
	r := v.Row()
	return r.Reason, r.Alert
}

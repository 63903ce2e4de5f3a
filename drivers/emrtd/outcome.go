package emrtd

import (
	"fmt"
	"strings"
)

// Evidence is what the checks of one document found, in the words of the
// decision table. It is all that a verdict rests on.
type Evidence struct {
	Signed string // the security object, its signer and the signer's authority
	Hashes string // the data groups against the security object
	Zone   string // DG1 against the printed zone
	State  string // the document's issuer against the signer's country
	CA     string // Chip Authentication or PACE with Chip Authentication Mapping
	AA     string // Active Authentication
}

// The words of the table. Those of a chip's proof: ok and failed were run;
// absent means that the document does not offer it; void that it was run, or
// could not be, and the result does not count.
const (
	good       = "ok"
	wrong      = "wrong"
	wrongKnown = "wrong, a known defect"
	unreadable = "one unreadable"

	revokedHard  = "signer revoked"
	revokedSoft  = "signer on hold"
	notAtSigning = "signer not valid at signing"
	notNow       = "signer not valid now"
	noIssuer     = "issuer unknown"
	stale        = "revocation list too old"

	chipFailed = "failed"
	notOffered = "absent"
	noResult   = "void"
)

// Rule is one row of the decision table. An empty column accepts anything.
type Rule struct {
	Evidence
	Verdict Verdict
	Because string
}

// Rules decide what the evidence amounts to: the first row that applies, from
// the gravest finding down. docs/chip-verdicts.md prints them. Doc 9303-11 §5
// and §6, Doc 9303-12 §6; BSI TR-03135.
var Rules = []Rule{
	{Evidence{Signed: wrongKnown}, KnownDefect, "its state says that these documents are signed wrongly; it has to be looked at"},
	{Evidence{Signed: wrong}, Forged, "nobody vouches for the data"},
	{Evidence{Signed: revokedHard}, Revoked, "its state withdrew the signer"},
	{Evidence{Signed: notAtSigning}, Suspicious, "the signer had no right to sign then"},
	{Evidence{Hashes: wrongKnown}, KnownDefect, "its state says that these documents have a wrong hash"},
	{Evidence{Hashes: wrong}, Altered, "data is not what was signed"},
	{Evidence{Zone: wrongKnown}, KnownDefect, "its state says that the zone is printed wrongly"},
	{Evidence{Zone: wrong}, Mismatch, "chip and paper are of two documents"},
	{Evidence{CA: wrongKnown}, KnownDefect, "its state says that the chip fails"},
	{Evidence{CA: chipFailed}, Clone, "the chip does not have the key that was signed"},
	{Evidence{AA: wrongKnown}, KnownDefect, "its state says that the chip fails"},
	{Evidence{AA: chipFailed}, Clone, "the chip does not have the key that was signed"},
	{Evidence{Signed: noIssuer}, IssuerUnknown, "no trusted authority vouches for the signer"},
	{Evidence{Signed: revokedSoft}, RevokedSoft, "the signer is withdrawn for the time being, which need not void this document"},
	{Evidence{Signed: notNow}, Expired, "the signer's time is over"},
	{Evidence{Signed: stale}, StaleTrust, "whether the signer still stands is not known"},
	{Evidence{State: wrongKnown}, KnownDefect, "its state says that the signer is named wrongly"},
	{Evidence{State: wrong}, Forged, "another state's signer signed it"},
	{Evidence{Hashes: unreadable}, Incomplete, "not everything that was signed was seen"},
	{Evidence{Signed: good, Hashes: good, Zone: good, State: good, CA: good}, ChipGenuine, "data is authentic, and the chip has the key that was signed"},
	{Evidence{Signed: good, Hashes: good, Zone: good, State: good, AA: good}, ChipGenuine, "data is authentic, and the chip has the key that was signed"},
	{Evidence{Signed: good, Hashes: good, Zone: good, State: good}, CopyPossible, "data is authentic; nothing proves that this is the first chip that had it"},
	{Evidence{}, Incomplete, "a check is missing"},
}

func (e Evidence) columns() []string {
	return []string{e.Signed, e.Hashes, e.Zone, e.State, e.CA, e.AA}
}

// applies says whether a row's columns are those of the evidence.
func (r Rule) applies(e Evidence) bool {
	have := e.columns()
	for i, want := range r.columns() {
		if want != "" && want != have[i] {
			return false
		}
	}
	return true
}

// decide returns the row that applies.
func decide(e Evidence) Rule {
	for _, r := range Rules {
		if r.applies(e) {
			return r
		}
	}
	return Rules[len(Rules)-1]
}

// RulesMarkdown prints the decision table.
func RulesMarkdown() string {
	var b strings.Builder
	b.WriteString("| # | signature, signer, authority | data groups | DG1 and print | state | CA or PACE-CAM | AA | verdict | because |\n|---|---|---|---|---|---|---|---|---|\n")
	for i, r := range Rules {
		fmt.Fprintf(&b, "| %d |", i+1)
		for _, c := range r.columns() {
			if c == "" {
				c = "–"
			}
			fmt.Fprintf(&b, " %s |", c)
		}
		fmt.Fprintf(&b, " `%s` | %s |\n", r.Verdict, r.Because)
	}
	return b.String()
}

// proof is how far the chip proved that it is no copy: Chip Authentication or
// PACE-CAM, and Active Authentication. NotSupported stands for a protocol that
// the document does not offer, Undetermined and Aborted for one without a
// result that counts; the zero Code for one that was not run.
type proof struct{ CA, AA Code }

func word(c Code) string {
	switch c {
	case Successful:
		return good
	case Failed:
		return chipFailed
	case NotSupported, "":
		return notOffered
	}
	return noResult
}

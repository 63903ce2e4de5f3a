package passage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"passage/docs/docstest"
)

// claims are what Passage says it keeps of rules and standards, each with the
// test that shows it. planted names the error of kiosk/lane's
// TestMutationsAreCaught that takes the rule away, and which a test then finds.
var claims = []struct{ rule, source, pkg, test, planted string }{
	{"an intent opens the exit only for the traveller inside", "domain §8, invariants 4 and 6", "kiosk/lane", "TestSearch", "accept any intended"},
	{"the exit opens only for a durable intent", "domain §8, invariant 2", "kiosk/lane", "TestSearch", "open the exit before the intent is durable"},
	{"a missing answer is not clear", "domain §3", "kiosk/lane", "TestSearch", "a missing answer is clear"},
	{"not consulted is never no hit", "domain §3", "kiosk/lane", "TestSearch", "not consulted is clear"},
	{"a hit is overridden by two persons", "domain §10, override table", "kiosk/lane", "TestSearch", "one officer overrides a hit"},
	{"a stolen document is never overridden at the gate", "domain §10, override table", "kiosk/lane", "TestSearch", "a stolen document may be overridden"},
	{"a third-country national's entry waits for an officer's word", "SBC 8b(3); domain §3", "kiosk/lane", "TestSearch", "forget the officer's confirmation"},
	{"a record follows only the evidence of a crossing", "domain §8, invariant 5", "kiosk/lane", "TestSearch", "record without evidence"},
	{"the lane is idle only when it is empty", "domain §8, invariant 6", "kiosk/lane", "TestSearch", "idle although a bag is left"},
	{"nobody is trapped", "domain §8, invariant 3", "kiosk/lane", "TestSearch", "forget the trapped limit"},
	{"an intent that lands late is void", "domain §4", "kiosk/lane", "TestSearch", "a late intent is not voided"},
	{"a power cut between intent and record is a case", "domain §4", "kiosk/lane", "TestSearch", "no case after a power cut"},
	{"a gate that falls back leaves a case", "domain §8", "kiosk/lane", "TestSearch", "no case in the gate's fallback"},
	{"evacuation dominates every state", "domain §8, invariant 2", "kiosk/lane", "TestSearch", "stay in the phase while the gate evacuates"},
	{"no officer, no new traveller", "domain §8, invariant 9", "kiosk/lane", "TestSearch", "take travellers without an officer"},
	{"evacuation from afar needs two roles", "domain §10", "kiosk/lane", "TestSearch", "one officer evacuates from afar"},
	{"the entry opens when the document was taken back", "domain §8, TAKE_DOC", "kiosk/lane", "TestSearch", "open the entry with the document still there"},
	{"who may have crossed is not void", "domain §4", "kiosk/lane", "TestSearch", "void a person who may have gone"},
	{"nobody is let in without eyes", "domain §9", "kiosk/lane", "TestSearch", "let a traveller in although the camera has failed"},
	{"one intent a transaction", "domain §4", "kiosk/lane", "TestSearch", "a second intent in one transaction"},
	{"more time on request, once", "EN 301 549 §9.2.2.1; WCAG 2.2.1; domain §13", "kiosk/lane", "TestSearch", "more time is given again and again"},
	{"more time moves no limit that keeps people safe", "domain §8, invariant 3", "kiosk/lane", "TestSearch", "more time moves the limit for a person inside"},
	{"a leaf stays open for long only for whoever asked", "ABC-LANE §7; rulings 10", "kiosk/lane", "TestSearch", "the exit closes as late for everybody"},
	{"modes change only while the lane is empty", "domain §8, invariant 11", "kiosk/lane", "TestSearch", "the direction changes with somebody inside"},
	{"a slow traveller who asks for more time crosses", "EN 301 549 §9.2.2.1; domain §13", "hwsim/world", "TestMoreTimeHoldsTheLeaves", ""},
	{"the direction is a supervisor's, with a second factor", "domain §1", "kiosk/console", "TestWhoChangesTheDirection", ""},
	{"a changed direction is the record's", "domain §4", "hwsim/world", "TestTheDirectionChanges", ""},

	{"a clock off by more than 2 s dates no crossing", "domain §8, invariant 12", "kiosk/host", "TestClockWrong", ""},
	{"the supervisor hears only of a core that steps", "domain §8, invariant 13", "kiosk/host", "TestNotify", ""},
	{"figures name nobody and leave the machine by no address of their own", "domain §11", "kiosk/metrics", "TestServe", ""},
	{"a journal that was altered, cut or made anew is found", "domain §11; RFC 9162 §2.1", "kiosk/audit", "TestVerify", ""},
	{"facts are sealed, and erased by their key", "domain §11", "kiosk/journal", "TestIntentToRecord", ""},
	{"what the register has is erased on the lane", "domain §4", "eesclient/outbox", "TestErasure", ""},
	{"an identity is never printed", "domain §11", "kiosk", "TestIdentityIsNeverPrinted", ""},
	{"a traveller's screen tells no reason", "domain §8, invariant 8", "kiosk/web", "TestTravellerIsToldNothing", ""},
	{"a discreet hit changes nothing at a lane, at no instant", "domain §8, invariant 7", "hwsim/world", "TestDiscreetHit", ""},
	{"who left by an exit is one record or one open case, whatever is killed", "domain §4", "hwsim/chaos", "TestKillTheLane", ""},
	{"a call that fails costs no record and makes none twice", "domain §4", "hwsim/chaos", "TestFailTheLane", ""},
	{"a journal that is gone is not taken for a new one", "domain §4", "kiosk/journal", "TestGone", ""},
	{"every text in fifteen languages", "domain §13", "kiosk/web", "TestTexts", ""},
	{"only a genuine chip goes on", "domain §6", "kiosk/policy", "TestEveryVerdictButGenuineDiverts", ""},
	{"modes are dated", "domain §4", "kiosk/policy", "TestDatedModes", ""},
	{"90 days in any 180", "SBC 6(1); domain §5", "eesclient/stay", "TestAgainstTheRule", ""},
	{"a word needs its proof", "WebAuthn 3 §7.2", "kiosk/officer", "TestHearRefuses", ""},
	{"a forged console opens nothing", "design", "kiosk/console", "TestForgedConsoleOpensNothing", ""},
	{"a lane touches its own subjects only", "design", "kiosk/console", "TestLaneIsConfined", ""},
	{"trust material needs two persons", "domain §6", "drivers/emrtd/trust", "TestTwoPersons", ""},
	{"old trust material does not come back", "domain §6", "drivers/emrtd/trust", "TestRollback", ""},
	{"a hostile picture costs one attempt", "domain §6, step 8", "matcher/sandbox", "TestHostileWorkerIsContained", ""},
}

// Every claim's test exists, every planted error is planted, and the page is
// the table. Whether the tests pass is the rest of make check.
func TestConformance(t *testing.T) {
	planted, err := os.ReadFile("kiosk/lane/mutation_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString("# Conformance\n\nWritten by `go test . -run TestConformance -update` from conformance_test.go, which fails\nwhere a test is missing; the tests themselves are part of `make check`. Behind ✂ is the\nerror by which `TestMutationsAreCaught` takes the rule away, and is found out.\n\n| rule | source | test | ✂ |\n|---|---|---|---|\n")
	deleted := 0
	for _, c := range claims {
		if !declares(t, c.pkg, c.test) {
			t.Errorf("%s: %s has no %s", c.rule, c.pkg, c.test)
		}
		if c.planted != "" {
			deleted++
			if !strings.Contains(string(planted), fmt.Sprintf("{%q, ", c.planted)) {
				t.Errorf("%s: nobody plants %q", c.rule, c.planted)
			}
		}
		fmt.Fprintf(&page, "| %s | %s | `%s` %s | %s |\n", c.rule, c.source, c.pkg, c.test, c.planted)
	}
	if deleted < 20 {
		t.Errorf("only %d rules are taken away to see it noticed", deleted)
	}
	docstest.Page(t, "docs/conformance.md", page.String())
}

func declares(t *testing.T, pkg, test string) bool {
	t.Helper()
	files, err := filepath.Glob(pkg + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	is := regexp.MustCompile(`(?m)^func ` + test + `\(t \*testing\.T\)`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if is.Match(b) {
			return true
		}
	}
	return false
}

package emrtd

import (
	"strings"
	"testing"

	"passage/docs/docstest"
)

// The printed table is the one that decides.
func TestDecisionTableIsPrinted(t *testing.T) {
	docstest.Section(t, "../../docs/chip-verdicts.md", "decision table", RulesMarkdown())
}

// Whatever the evidence, genuine is never given with a check that failed, is
// missing or is unknown; and every row decides something.
func TestGenuineNeedsEverything(t *testing.T) {
	signed := []string{good, wrong, wrongKnown, revokedHard, revokedSoft, notAtSigning, notNow, noIssuer, stale, ""}
	hashes := []string{good, wrong, wrongKnown, unreadable, ""}
	plain := []string{good, wrong, wrongKnown, ""}
	chip := []string{good, chipFailed, notOffered, noResult, wrongKnown, ""}
	used := map[string]bool{}
	n := 0
	for _, s := range signed {
		for _, h := range hashes {
			for _, z := range plain {
				for _, st := range plain {
					for _, ca := range chip {
						for _, aa := range chip {
							n++
							e := Evidence{s, h, z, st, ca, aa}
							r := decide(e)
							used[r.Because+string(r.Verdict)+strings.Join(r.columns(), "|")] = true
							data := s == good && h == good && z == good && st == good
							proved := (ca == good || aa == good) && ca != chipFailed && aa != chipFailed && ca != wrongKnown && aa != wrongKnown
							if (r.Verdict == ChipGenuine) != (data && proved) {
								t.Errorf("%+v is %s", e, r.Verdict)
							}
							if r.Verdict == CopyPossible && !data {
								t.Errorf("%+v is %s", e, r.Verdict)
							}
						}
					}
				}
			}
		}
	}
	if len(used) != len(Rules) {
		t.Errorf("%d of %d rows decided something in %d cases", len(used), len(Rules), n)
	}
}

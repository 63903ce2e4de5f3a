package lane

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"passage/hwsim/mutant"
)

// mutations are single edits of the core that a tired person could make. The
// search must catch each: a search that finds nothing proves nothing until it
// is known to find something.
var mutations = []struct {
	name, file, old, new string
	search               string // the search that has to catch it
}{
	{"accept any intended", "lane.go", "if t.s.Phase == Intend && t.mine(e.Transaction) {", "if t.s.Phase == Intend {", "nothing rare"},
	{"open the exit before the intent is durable", "inside.go", "\tt.do(WriteIntent{t.s.Transaction})\n", "\tt.do(WriteIntent{t.s.Transaction})\n\tt.ask(OpenExit)\n", "nothing rare"},
	{"a missing answer is clear", "answers.go", "Pending:       {wayWait, DB_OFF},", "Pending:       {wayRelease, NONE},", "nothing rare"},
	{"not consulted is clear", "answers.go", "NotConsulted:  {wayDivert, DB_OFF},", "NotConsulted:  {wayRelease, NONE},", "nothing rare"},
	{"one officer overrides a hit", "answers.go", "\t\t\tneed = 2\n\t\tcase HitInquiry", "\t\tcase HitInquiry", "nothing rare"},
	{"a stolen document may be overridden", "answers.go", "if c == CheckSLTD || c == CheckLost {", "if c == CheckLost {", "nothing rare"},
	{"forget the officer's confirmation", "answers.go", "if worst == wayRelease && v.Confirm {", "if worst == wayDivert && v.Confirm {", "nothing rare"},
	{"record without evidence", "release.go", "case g.Walked && (g.Crossed || g.State == GateFallback):", "case !g.Occupied:", "nothing rare"},
	{"idle although a bag is left", "phases.go", "case !g.empty() && permits[Luggage]&(1<<g.State) != 0:", "case g.Bag && g.Occupied:", "nothing rare"},
	{"forget the trapped limit", "lane.go", "if s.Trapped > 0 && t.now >= s.Trapped {", "if s.Trapped > 0 && t.now >= s.Trapped && s.Phase != Hold {", "nothing rare"},
	{"a late intent is not voided", "lane.go", "\t\tt.do(Void(e))\n", "\t\t_ = Void(e)\n", "nothing rare"},
	{"no case after a power cut", "lane.go", "t.do(OpenCase{e.OpenIntent, PowerCut})", "_ = OpenCase{e.OpenIntent, PowerCut}", "watchdog and restart"},
	{"no case in the gate's fallback", "release.go", "func (t *turn) broken(why CaseReason) {\n\tt.settle(why)\n", "func (t *turn) broken(why CaseReason) {\n\tt.s.Intended = false\n", "watchdog and restart"},
	{"stay in the phase while the gate evacuates", "lane.go", "s.Gate.State == GateEvacuate && s.Phase != Evacuate {", "s.Gate.State == GateEvacuate && s.Phase == Idle {", "fire"},
	{"take travellers without an officer", "phases.go", "return s.Lease && !s.Closed && s.Unfit == 0", "return !s.Closed && s.Unfit == 0", "nothing rare"},
	{"one officer evacuates from afar", "lane.go", "if (e.Signatures >= 2 || e.OnSite)", "if (e.Signatures >= 1 || e.OnSite)", "fire"},
	{"open the entry with the document still there", "outside.go", "\tcase !s.Document:\n\t\tt.to(Enter, t.door())", "\tcase s.Document:\n\t\tt.to(Enter, t.door())", "nothing rare"},
	{"void a person who may have gone", "release.go", "\tcase (g.State == GateOccupied || g.Occupied) && (g.Walked || g.Crossed):", "\tcase g.Alarms == 255:", "nothing rare"},
	{"let a traveller in although the camera has failed", "outside.go", "\tcase !s.Document && s.Unfit != 0:", "\tcase !s.Document && s.Unfit == 255:", "something fails and is mended"},
	{"more time is given again and again", "lane.go", "if !s.Live && !s.Gate.Occupied || s.Unhurried {", "if !s.Live && !s.Gate.Occupied {", "more time is asked for"},
	{"more time moves the limit for a person inside", "lane.go", "\t\ts.Deadline += Instant(t.r.Inside)\n", "\t\ts.Deadline += Instant(t.r.Inside)\n\t\ts.Trapped += Instant(t.r.Inside)\n", "more time is asked for"},
	{"the exit closes as late for everybody", "lane.go", "\t\tlong = t.s.Unhurried\n", "\t\tlong = true\n", "nothing rare"},
	{"the direction changes with somebody inside", "lane.go", "(s.Phase == Idle || s.Phase == OutOfService) && s.Gate.Link && s.Gate.empty()", "s.Gate.Link", "nothing rare"},
	{"an intent that comes with the limit is left without an end", "lane.go", "\t\t\tt.void() // an intent that is durable this very instant opened nothing\n", "", "an answer comes before the tick"},
	{"a way out that is ordered ends the limit", "phases.go", "\tif open {\n\t\ts.Trapped = 0", "\tif true {\n\t\ts.Trapped = 0", "late command and link cut"},
	{"sensors that find a person after the limit start it anew", "lane.go", "!before.Occupied && !shut", "!before.Occupied", "sensors blink, watchdog and restart"},
	{"a restart begins the limit anew", "lane.go", "if e.Waited > 0 {", "if e.Waited < 0 {", "watchdog and restart"},
	{"sensors that lose a person over a restart start the limit anew", "lane.go", "(before.Locked() || !before.Link)", "before.Locked()", "sensors blink, watchdog and restart"},
	{"sensors that lose a person start the limit anew", "lane.go", "case !g.Occupied && !shut:", "case !g.Occupied:", "sensors blink, watchdog and restart"},
	{"a void while the exit may still open", "release.go", "if s.Refused != OpenExit {", "if s.Refused == CloseAll {", "late command and link cut"},
	{"a return is asked for beside an open exit", "inside.go", "if (g.State == GateSafe || g.State == GateOccupied) && g.Exit == LeafLocked {", "if g.Link {", "late command and link cut"},
	{"a second intent in one transaction", "inside.go", "if t.mine(e.Transaction) && !s.Spent && releasable", "if t.mine(e.Transaction) && releasable", "nothing rare"},
}

func TestMutationsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once a mutation")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	caught := 0
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			list := mutant.Overlay(t, filepath.Join(here, m.file), m.old, m.new)
			c := exec.CommandContext(t.Context(), "go", "test", "-overlay", list, "-run", "^TestSearch$", "-count=1", ".")
			c.Env = append(os.Environ(), "LANE_SEARCH="+m.search)
			out, err := c.CombinedOutput()
			if err == nil {
				t.Fatalf("the search does not notice")
			}
			if !strings.Contains(string(out), "BROKEN: ") {
				t.Fatalf("the mutant fails otherwise:\n%s", out)
			}
			caught++
			t.Log(strings.TrimSpace(string(out[strings.LastIndex(string(out), "BROKEN: "):][:min(len(out)-strings.LastIndex(string(out), "BROKEN: "), 120)])))
		})
	}
	t.Logf("%d of %d mutations caught", caught, len(mutations))
}

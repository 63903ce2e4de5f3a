package seeds

import (
	"flag"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"passage/hwsim/mutant"
)

var plant = flag.Bool("planted", false, "plant bugs in the lane, one after the other, and see each caught within a minute")

// planted are bugs that a tired person could make in shell and core. Seeds that
// find nothing prove nothing until they are known to find something.
var planted = []struct{ name, file, old, new string }{
	{"open the exit before the intent is on disk", "lane/inside.go", "\tt.do(WriteIntent{t.s.Transaction})\n", "\tt.do(WriteIntent{t.s.Transaction})\n\tt.ask(OpenExit)\n"},
	{"a write that failed is taken for done", "shell.go", "\tif err != nil {\n\t\ts.log.Error(\"storage failed\"", "\tif false {\n\t\ts.log.Error(\"storage failed\""},
	{"forget the trapped limit on hold", "lane/lane.go", "if s.Trapped > 0 && t.now >= s.Trapped {", "if s.Trapped > 0 && t.now >= s.Trapped && s.Phase != Hold {"},
	{"a late intent is not voided", "lane/lane.go", "\t\tt.do(Void(e))\n", "\t\t_ = Void(e)\n"},
	{"the intent of before a power cut is forgotten", "shell.go", "OpenIntent: was.OpenIntent}", "OpenIntent: 0 * was.OpenIntent}"},
	{"an officer's lease never ends", "shell.go", "if now.After(until) {", "if now.IsZero() && now.After(until) {"},
	{"a failing disk does not close the lane", "shell.go", "if err := s.dev.Store.Failing(); err != nil {", "if err := s.dev.Store.Failing(); err != nil && s.unfit != 0 {"},
	{"no case when the gate frees itself", "lane/release.go", "func (t *turn) broken(why CaseReason) {\n\tt.settle(why)\n", "func (t *turn) broken(why CaseReason) {\n\tt.s.Intended = false\n"},
	{"not consulted is clear", "lane/answers.go", "NotConsulted:  {wayDivert, DB_OFF},", "NotConsulted:  {wayRelease, NONE},"},
	{"stay in the phase while the gate evacuates", "lane/lane.go", "s.Gate.State == GateEvacuate && s.Phase != Evacuate {", "s.Gate.State == GateEvacuate && s.Phase == Idle {"},
	{"a document taken back is not told", "shell.go", "\t\t\ts.events.put(lane.DocumentTaken{})\n", "\t\t\t_ = lane.DocumentTaken{}\n"},
}

var ran = regexp.MustCompile(`(?m)^.*BROKEN: (.*)\n.*?seed (\d+), shrunk to (\d+) of`)

func TestPlanted(t *testing.T) {
	if !*plant {
		t.Skip("builds the lane once a bug: -planted")
	}
	kiosk, err := filepath.Abs("../../../kiosk")
	if err != nil {
		t.Fatal(err)
	}
	caught := 0
	for _, m := range planted {
		t.Run(m.name, func(t *testing.T) {
			list := mutant.Overlay(t, filepath.Join(kiosk, m.file), m.old, m.new)
			program := filepath.Join(t.TempDir(), "seeds.test")
			if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", list, "-o", program, ".").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			began := time.Now()
			out, err := exec.CommandContext(t.Context(), program, "-test.run", "^TestSeeds$", "-seconds", "60").CombinedOutput()
			if err == nil {
				t.Fatal("a minute of seeds does not notice")
			}
			found := ran.FindSubmatch(out)
			if found == nil {
				t.Fatalf("it fails otherwise:\n%s", out[max(0, len(out)-4000):])
			}
			caught++
			t.Logf("caught within %v, shrinking included: %s; seed %s, shrunk to %s", time.Since(began).Round(100*time.Millisecond), found[1], found[2], found[3])
		})
	}
	t.Logf("%d of %d planted bugs caught", caught, len(planted))
}

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

// planted are bugs that a tired person could make, and the test of the sibling
// package that is to find them where it is not TestSeeds. Seeds that
// find nothing prove nothing until they are known to find something.
var planted = []struct{ name, file, old, new, by string }{
	{"open the exit before the intent is on disk", "kiosk/lane/inside.go", "\tt.do(WriteIntent{t.s.Transaction})\n", "\tt.do(WriteIntent{t.s.Transaction})\n\tt.ask(OpenExit)\n", ""},
	{"a write that failed is taken for done", "kiosk/shell.go", "\tif err != nil {\n\t\ts.log.Error(\"storage failed\"", "\tif false {\n\t\ts.log.Error(\"storage failed\"", ""},
	{"forget the trapped limit on hold", "kiosk/lane/lane.go", "if s.Trapped > 0 && t.now >= s.Trapped {", "if s.Trapped > 0 && t.now >= s.Trapped && s.Phase != Hold {", ""},
	{"a late intent is not voided", "kiosk/lane/lane.go", "\t\tt.do(Void(e))\n", "\t\t_ = Void(e)\n", ""},
	{"the intent of before a power cut is forgotten", "kiosk/shell.go", "OpenIntent: was.OpenIntent,", "OpenIntent: 0 * was.OpenIntent,", ""},
	{"a restart begins the time of who is inside anew", "kiosk/shell.go", ", Waited: was.waited()", "", ""},
	{"an officer's lease never ends", "kiosk/shell.go", "if now.After(until) {", "if now.IsZero() && now.After(until) {", ""},
	{"a failing disk does not close the lane", "kiosk/shell.go", "if err := s.dev.Store.Failing(); err != nil {", "if err := s.dev.Store.Failing(); err != nil && s.unfit != 0 {", ""},
	{"no case when the gate frees itself", "kiosk/lane/release.go", "func (t *turn) broken(why CaseReason) {\n\tt.settle(why)\n", "func (t *turn) broken(why CaseReason) {\n\tt.s.Intended = false\n", ""},
	{"not consulted is clear", "kiosk/lane/answers.go", "NotConsulted:  {wayDivert, DB_OFF},", "NotConsulted:  {wayRelease, NONE},", ""},
	{"stay in the phase while the gate evacuates", "kiosk/lane/lane.go", "s.Gate.State == GateEvacuate && s.Phase != Evacuate {", "s.Gate.State == GateEvacuate && s.Phase == Idle {", ""},
	{"an order whose answer is lost was refused", "kiosk/shell.go", "case errors.Is(err, ErrGateLost):", "case errors.Is(err, ErrGateLost) && s.state.Phase == lane.Fault:", ""},
	{"a document taken back is not told", "kiosk/shell.go", "\t\t\ts.events.put(lane.DocumentTaken{})\n", "\t\t\t_ = lane.DocumentTaken{}\n", ""},
	{"a picture outlives its transaction", "kiosk/traveller.go", "\t\tclear(picture)\n", "\t\t_ = picture\n", ""},
	{"a name in the log", "kiosk/traveller.go", "s.log.Info(\"concluded\", ", "s.log.Info(\"concluded\", \"who\", p.found.Identity.Surname, ", ""},
	{"a destroyed key stays in the log of the database", "kiosk/journal/journal.go", "\t\tj.box.Erased()\n", "", "TestDrawn"},
	{"a void leaves the key", "kiosk/journal/journal.go", "\t\tif first, err := settle(tx, x, \"void\", \"\"); err != nil || !first {", "\t\tif first, err := settle(tx, x, \"void\", \"\"); err != nil || first {", "TestDrawn"},
	{"a discreet entry is kept as an open one", "hwsim/register/people.go", "e.answer, e.discreet = \"CLEAR\", 1", "e.answer, e.discreet = \"HIT_INQUIRY\", 0", "TestDrawnDiscreet"},
}

var ran = regexp.MustCompile(`(?m)^.*BROKEN: (.*)\n.*?seed (\d+), shrunk to (\d+) of`)

func TestPlanted(t *testing.T) {
	if !*plant {
		t.Skip("builds the lane once a bug: -planted")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	caught := 0
	for _, m := range planted {
		t.Run(m.name, func(t *testing.T) {
			list := mutant.Overlay(t, filepath.Join(root, m.file), m.old, m.new)
			folder, test := ".", "TestSeeds"
			if m.by != "" {
				folder, test = "..", m.by
			}
			program := filepath.Join(t.TempDir(), "seeds.test")
			if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", list, "-o", program, folder).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			began := time.Now()
			c := exec.CommandContext(t.Context(), program, "-test.run", "^"+test+"$", "-seconds", "60")
			c.Dir = folder
			out, err := c.CombinedOutput()
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

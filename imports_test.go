package passage_test

import (
	"os/exec"
	"strings"
	"testing"
)

// rules are the import rules of docs/architecture.md, each with its reason.
// Test files are exempt: go list -deps does not follow them.
var rules = []struct{ of, never, why string }{
	{"kiosk/lane", "", "the lane core uses the standard library only"},
	{"drivers/...", "passage/kiosk", "drivers do not know who calls them"},
	{"drivers/...", "passage/hwsim", "what ships cannot simulate"},
	{"drivers/...", "passage/matcher", "drivers do not see"},
	{"kiosk/...", "passage/hwsim", "what ships cannot simulate"},
	{"kiosk/...", "gocv.io", "a crash in C++ costs one match, not the lane"},
	{"kiosk/cmd/kioskd", "github.com/nats-io/nats-server", "a lane is a client of its site"},
	{"kiosk/cmd/kioskd", "github.com/coreos/go-oidc", "a lane believes signatures, not a directory"},
	{"kiosk/cmd/kioskd", "github.com/go-webauthn", "a lane verifies signatures and parses no CBOR"},
	{"kiosk", "passage/drivers", "the shell knows devices by its own interfaces"},
	{"kiosk/policy", "passage/kiosk/journal", "the policy is pure"},
	{"matcher", "passage/", "the matcher depends on nothing of ours"},
	{"eesclient/...", "passage/kiosk", "the register's client depends on nothing of the lane's"},
	{"eesclient/...", "passage/drivers", "the register's client depends on no device"},
}

func TestImports(t *testing.T) {
	for _, r := range rules {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./"+r.of).Output()
		if err != nil {
			t.Fatalf("%s: %v", r.of, err)
		}
		own := "passage/" + strings.TrimSuffix(r.of, "/...")
		for _, dep := range strings.Fields(string(out)) {
			if dep == own || strings.HasPrefix(dep, own+"/") {
				continue
			}
			if r.never == "" || strings.HasPrefix(dep, r.never) {
				t.Errorf("%s imports %s: %s", r.of, dep, r.why)
			}
		}
	}
}

// Only one package each names the C libraries.
func TestForeignCode(t *testing.T) {
	for module, allowed := range map[string][]string{
		"gocv.io/x/gocv":              {"passage/matcher/opencv", "passage/matcher/cmd/visiond"},
		"github.com/mattn/go-sqlite3": {"passage/sqlite"},
		"github.com/ebfe/scard":       {"passage/drivers/pcsc"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-tags", "customenv", "-f", "{{.ImportPath}}{{range .Imports}} {{.}}{{end}}", "./...").Output()
		if err != nil {
			t.Fatal(err)
		}
		seen := false
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			f := strings.Fields(line)
			for _, i := range f[1:] {
				if i != module {
					continue
				}
				seen = true
				if !strings.Contains(strings.Join(allowed, " ")+" ", f[0]+" ") {
					t.Errorf("%s imports %s", f[0], module)
				}
			}
		}
		if !seen {
			t.Errorf("nobody imports %s any more: drop the rule and the module", module)
		}
	}
}

package host

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// What kioskd asks of the machine it may ask under its unit: the unit's own
// filter of system calls, loaded, refuses none of it. A clock that cannot be
// read would keep the lane closed for ever, and a list's take-over that does not
// stand back would be in travellers' way.
func TestUnderTheUnit(t *testing.T) {
	const unit = "../../packaging/passage-kioskd.service"
	if list := os.Getenv("PASSAGE_ALLOWS"); list != "" {
		policy := seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: strings.Split(list, ",")}}}
		if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy}); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadClock(); err != nil {
			t.Error(err)
		}
		if err := NoCore(); err != nil {
			t.Error(err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 15); err != nil { // as a list's take-over does
			t.Error("to stand back: ", err)
		}
		return
	}
	allowed := allows(t, unit)
	for _, never := range []string{"clock_settime", "settimeofday", "ptrace", "mount", "reboot", "init_module", "bpf", "setuid"} {
		if slices.Contains(allowed, never) {
			t.Errorf("the unit allows %s", never)
		}
	}
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	allowed = slices.DeleteFunc(allowed, func(n string) bool { _, is := info.SyscallNames[n]; return !is })
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestUnderTheUnit$")
	c.Env = append(os.Environ(), "PASSAGE_ALLOWS="+strings.Join(allowed, ","))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// allows lists the system calls that a unit leaves (systemd.exec(5)): a list of
// what is allowed, later lines taking away or adding, and Protect settings that
// take away in any case.
func allows(t *testing.T, unit string) (list []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "syscall-filter").Output()
	if err != nil {
		t.Skip("needs systemd's own groups of system calls: ", err)
	}
	groups, of := map[string][]string{}, ""
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			of = name
		case name != "" && !strings.HasPrefix(name, "#"):
			groups[of] = append(groups[of], name)
		}
	}
	var calls func(name string) []string
	calls = func(name string) (list []string) {
		if !strings.HasPrefix(name, "@") {
			return []string{name}
		}
		if groups[name] == nil {
			t.Errorf("systemd knows no group %s", name)
		}
		for _, n := range groups[name] {
			list = append(list, calls(n)...)
		}
		return list
	}
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	may, never := map[string]bool{}, []string{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if group := map[string]string{"ProtectClock": "@clock", "ProtectKernelModules": "@module", "ProtectKernelLogs": "syslog"}[key]; group != "" && value == "yes" {
			never = append(never, calls(group)...)
		}
		if key != "SystemCallFilter" {
			continue
		}
		value, without := strings.CutPrefix(value, "~")
		for _, name := range strings.Fields(value) {
			for _, n := range calls(name) {
				may[n] = !without
			}
		}
	}
	for n, yes := range may {
		if yes && !slices.Contains(never, n) {
			list = append(list, n)
		}
	}
	if len(list) < 100 {
		t.Fatalf("%s leaves %d system calls", unit, len(list))
	}
	return list
}

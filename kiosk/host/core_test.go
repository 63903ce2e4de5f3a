package host

import (
	"errors"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A program that crashes leaves no core, also where cores are wanted. The
// machine's core_pattern may send cores elsewhere: the kernel says whether it
// wrote one.
func TestNoCore(t *testing.T) {
	if as := os.Getenv("PASSAGE_CRASH"); as != "" {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 64 << 20, Max: 64 << 20}); err != nil {
			os.Exit(3)
		}
		if as == "without" {
			if err := NoCore(); err != nil {
				os.Exit(4)
			}
		}
		debug.SetTraceback("crash")
		panic("as it happens")
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Max < 64<<20 {
		t.Skip("no cores may be written here, with or without us")
	}
	crash := func(as string) syscall.WaitStatus {
		c := exec.Command(os.Args[0], "-test.run", "TestNoCore$")
		c.Env, c.Dir = append(os.Environ(), "PASSAGE_CRASH="+as), t.TempDir()
		var e *exec.ExitError
		if err := c.Run(); !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e.Sys().(syscall.WaitStatus)
	}
	if s := crash("without"); !s.Signaled() || s.CoreDump() {
		t.Errorf("it ended with %v, and a core: %v", s.Signal(), s.CoreDump())
	}
	if !crash("with").CoreDump() {
		t.Skip("this machine writes no cores at all")
	}
}

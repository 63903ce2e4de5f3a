package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"passage/matcher/sandbox"
)

// hostile is a decoder that was taken over: started as a worker is, confined as
// a worker is, it tries everything. What it could do it says on standard
// output; a nil error is an escape.
var hostile = map[string]func(dir string) error{
	"read a file":     func(dir string) error { _, err := os.ReadFile(filepath.Join(dir, "secret")); return err },
	"read /etc":       func(string) error { _, err := os.ReadFile("/etc/passwd"); return err },
	"list a folder":   func(dir string) error { _, err := os.ReadDir(dir); return err },
	"write a file":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o600) },
	"remove a file":   func(dir string) error { return os.Remove(filepath.Join(dir, "secret")) },
	"rename a file":   func(dir string) error { return os.Rename(filepath.Join(dir, "secret"), filepath.Join(dir, "b")) },
	"make a folder":   func(dir string) error { return os.Mkdir(filepath.Join(dir, "d"), 0o700) },
	"make a link":     func(dir string) error { return os.Symlink("/etc", filepath.Join(dir, "l")) },
	"open by openat2": func(string) error { _, err := unix.Openat2(unix.AT_FDCWD, "/etc/passwd", &unix.OpenHow{}); return err },
	"open a TCP socket": func(string) error {
		return socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	},
	"open a UDP socket":    func(string) error { return socket(unix.AF_INET, unix.SOCK_DGRAM, 0) },
	"open an MPTCP socket": func(string) error { return socket(unix.AF_INET, unix.SOCK_STREAM, 262) },
	"open a unix socket":   func(string) error { return socket(unix.AF_UNIX, unix.SOCK_STREAM, 0) },
	"open a raw socket":    func(string) error { return socket(unix.AF_INET, unix.SOCK_RAW, 1) },
	"open a netlink":       func(string) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, 0) },
	"make a socket pair":   func(string) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
	"dial TCP": func(string) error {
		c, err := net.DialTimeout("tcp", os.Getenv("HOSTILE_PEER"), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	},
	"run a program": func(string) error { return exec.Command("/bin/true").Run() },
	"execve":        func(string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"fork": func(string) error {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
		}
		return number(errno)
	},
	"clone3": func(string) error {
		_, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, 0, 88, 0)
		if errno == unix.EFAULT || errno == unix.EINVAL {
			return nil // the kernel looked at it: the filter let it through
		}
		return number(errno)
	},
	"trace the parent": func(string) error { return unix.PtraceAttach(os.Getppid()) },
	"kill the parent":  func(string) error { return unix.Kill(os.Getppid(), 0) },
	"signal by tgkill": func(string) error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
	"read the parent": func(string) error {
		b := make([]byte, 8)
		_, err := unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	},
	"pidfd":                 func(string) error { _, err := unix.PidfdOpen(os.Getppid(), 0); return err },
	"raise its limits":      func(string) error { return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 100, Max: 100}) },
	"io_uring":              func(string) error { return call(unix.SYS_IO_URING_SETUP, 8, 0) },
	"memfd":                 func(string) error { _, err := unix.MemfdCreate("x", 0); return err },
	"bpf":                   func(string) error { return call(unix.SYS_BPF, 0, 0) },
	"a namespace":           func(string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"a new root":            func(dir string) error { return unix.Chroot(dir) },
	"mount":                 func(dir string) error { return unix.Mount("none", dir, "tmpfs", 0, "") },
	"another user":          func(string) error { return call(unix.SYS_SETUID, 0, 0) },
	"shared memory":         func(string) error { return call(unix.SYS_SHMGET, 1, 4096) },
	"the kernel's keys":     func(string) error { return call(unix.SYS_KEYCTL, 0, 0) },
	"listen to performance": func(string) error { return call(unix.SYS_PERF_EVENT_OPEN, 0, 0) },
}

func call(n, a, b uintptr) error {
	_, _, errno := syscall.Syscall(n, a, b, 0)
	return number(errno)
}

func number(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func socket(domain, kind, protocol int) error {
	fd, err := unix.Socket(domain, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func TestMain(m *testing.M) {
	if what := os.Getenv("HOSTILE"); what != "" {
		act(what)
	}
	os.Exit(m.Run())
}

// act is the taken-over worker's life.
func act(what string) {
	p := map[string]sandbox.Profile{"decode": sandbox.Decode, "match": sandbox.Match, "capture": sandbox.Capture, "shared": sandbox.Shared}[os.Getenv("HOSTILE_ROLE")]
	if err := sandbox.Confine(p); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	switch what {
	case "everything":
		out := map[string]string{}
		for name, try := range hostile {
			if err := try(os.Getenv("HOSTILE_DIR")); err != nil {
				out[name] = err.Error()
			} else {
				out[name] = ""
			}
		}
		_ = json.NewEncoder(os.Stdout).Encode(out) // the parent has gone otherwise
	case "memory":
		var hold [][]byte
		for range 4096 {
			hold = append(hold, bytes.Repeat([]byte{1}, 1<<20))
		}
		fmt.Println(len(hold), "MB")
	case "time":
		for n := 0; ; n++ {
			if n < 0 {
				fmt.Println("overflow")
			}
		}
	case "threads": // a worker needs them, and Go's collector signals them
		done := make(chan int)
		for i := range 64 {
			go func() {
				b := make([]byte, 1<<16)
				done <- i + len(b)
			}()
		}
		for range 64 {
			<-done
		}
		fmt.Println("well")
	}
	os.Exit(0)
}

func start(t *testing.T, role, what string, peer string) (string, *exec.Cmd, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = []string{"HOSTILE=" + what, "HOSTILE_ROLE=" + role, "HOSTILE_DIR=" + dir, "HOSTILE_PEER=" + peer, "GOTRACEBACK=none"}
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	if b, _ := os.ReadFile(filepath.Join(dir, "secret")); string(b) != "secret" {
		t.Errorf("%s: the file is gone", role)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%s: the folder has %d entries", role, len(list))
	}
	return out.String(), c, err
}

// A worker that was taken over reaches nothing: no file, no socket of any kind,
// no program, no process. It goes on running, so that the parent hears an error
// and not a crash.
func TestHostileWorkerIsContained(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // Go listens by MPTCP where it can
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, role := range []string{"decode", "match", "capture", "shared"} {
		t.Run(role, func(t *testing.T) {
			out, _, err := start(t, role, "everything", l.Addr().String())
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got map[string]string
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for name := range hostile {
				if why, tried := got[name]; !tried || why == "" {
					t.Errorf("it could: %s", name)
				}
			}
		})
	}
}

// The same attempts do succeed without the sandbox, as far as this machine lets
// anybody do them: the test above would notice an attempt that never works.
func TestHostileWorkerIsHostile(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("HOSTILE_PEER", l.Addr().String())
	for _, name := range []string{
		"read a file", "list a folder", "write a file", "make a folder", "make a link", "open a TCP socket", "open a UDP socket",
		"open a unix socket", "make a socket pair", "dial TCP", "run a program", "kill the parent", "memfd",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := hostile[name](dir); err != nil {
			t.Errorf("%s fails even unconfined: %v", name, err)
		}
	}
}

// Memory and time end, for the worker alone.
func TestLimits(t *testing.T) {
	out, c, err := start(t, "decode", "memory", "")
	if err == nil {
		t.Errorf("it took %s", out)
	}
	if most := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10; most > 400 {
		t.Errorf("it had %d MB", most)
	}
	began := time.Now()
	if out, c, err = start(t, "decode", "time", ""); err == nil {
		t.Errorf("it ended by itself: %s", out)
	}
	if cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime(); cpu > 3*time.Second {
		t.Errorf("it had %v of CPU in %v", cpu, time.Since(began))
	}
	for _, role := range []string{"decode", "match", "capture", "shared"} {
		if out, _, err = start(t, role, "threads", ""); err != nil || strings.TrimSpace(out) != "well" {
			t.Errorf("%s: threads: %v: %s", role, err, out)
		}
	}
}

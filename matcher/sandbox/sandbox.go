// Package sandbox takes from a vision worker what its role does not need:
// files, sockets, other programs and processes, memory and time.
//
// Three layers, of which the second one is mandatory. Landlock closes the file
// system where the kernel has it; its network rules are not relied upon, since
// they know nothing of MPTCP and UDP. A seccomp filter refuses system calls:
// without it Confine fails, and the worker must not run. Resource limits bound
// what remains. Nothing of it can be undone by the process.
package sandbox

import (
	"fmt"
	"os"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Profile is what a role may still do. The zero value leaves everything to the
// kernel's defaults but files, sockets and processes.
type Profile struct {
	// Memory bounds what the process may allocate, in bytes: private writable
	// memory, all that it had before included. 0 for no limit.
	Memory uint64
	// Seconds of CPU time, over all threads; 0 for no limit. Who waits without
	// using any is ended by whoever started the process.
	Seconds uint64
	// Device keeps what an opened camera needs: reads and ioctls on what is
	// open, traffic on sockets that are connected. Still no new file, socket,
	// program or process.
	Device bool
	// Accept keeps what serves clients at a socket that listens already: taking
	// connections. Still no socket of its own, and no connection to others.
	Accept bool
}

// The roles. An image may take 256 MB, the ruling's limit, beyond the program's
// own start of some 110 MB: OpenCV, its dependencies' tables and Go's runtime.
var (
	Decode  = Profile{Memory: (256 + 110) << 20, Seconds: 2}
	Page    = Profile{Memory: (256 + 110) << 20, Seconds: 8}
	Match   = Profile{Memory: 640 << 20}
	Capture = Profile{Memory: 640 << 20, Device: true}
	Shared  = Profile{Memory: 960 << 20, Accept: true} // a picture of each lane may wait
)

// Confine applies p to every thread of the process, those of C libraries
// included. It is called once, when all that needs a file or a socket is open.
func Confine(p Profile) error {
	limits := map[int]uint64{unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0}
	if p.Memory > 0 {
		limits[unix.RLIMIT_DATA] = p.Memory // not RLIMIT_AS: Go reserves addresses by the gigabyte
	}
	if p.Seconds > 0 {
		limits[unix.RLIMIT_CPU] = p.Seconds
	}
	for what, limit := range limits {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("sandbox: limit %d: %w", what, err)
		}
	}
	// Best effort is for kernels without Landlock; no path is allowed.
	if err := landlock.V5.BestEffort().RestrictPaths(); err != nil {
		return fmt.Errorf("sandbox: landlock: %w", err)
	}
	policy, err := policy(p)
	if err != nil {
		return err
	}
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy}); err != nil {
		return fmt.Errorf("sandbox: seccomp: %w", err)
	}
	return nil
}

// compute is what a process needs that only reads, thinks and writes: the calls
// of Go's runtime, of glibc's allocator and of threads. No call in it opens
// anything, and none reaches another process.
var compute = []string{
	"read", "readv", "pread64", "write", "writev", "pwrite64", "close", "lseek", "fstat", "newfstatat", "fcntl",
	"mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "mlock", "membarrier", "get_mempolicy", "set_mempolicy",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	"futex", "set_robust_list", "rseq", "set_tid_address", "arch_prctl", "sched_yield", "sched_getaffinity",
	"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getrusage",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "poll", "ppoll", "pipe2",
	"timer_create", "timer_settime", "timer_delete", "setitimer",
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "uname", "sysinfo", "getcpu",
	"getrlimit", "getrandom", "exit", "exit_group",
}

// device is what an opened camera needs besides: V4L2 speaks by ioctl, RTSP on
// sockets that were connected before.
var device = []string{
	"ioctl", "select", "pselect6", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "getsockopt",
	"setsockopt", "getsockname", "getpeername", "shutdown", "dup", "dup2", "dup3", "prctl", "sched_setaffinity",
	"sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "eventfd", "pipe",
	"timerfd_create", "timerfd_settime", "timerfd_gettime",
}

// policy is an allow-list: what is not named fails with EPERM.
func policy(p Profile) (seccomp.Policy, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return seccomp.Policy{}, fmt.Errorf("sandbox: %w", err)
	}
	names := slices.Clone(compute)
	if p.Device {
		names = append(names, device...)
	}
	if p.Accept {
		names = append(names, "accept4", "getsockname", "getpeername", "shutdown")
	}
	var here []string // older names do not exist on every architecture
	for _, n := range names {
		if _, ok := info.SyscallNames[n]; ok {
			here = append(here, n)
		}
	}
	self := uint64(os.Getpid())
	is := func(argument uint32, op seccomp.Operation, value uint64) seccomp.ArgumentConditions {
		return seccomp.ArgumentConditions{{Argument: argument, Operation: op, Value: value}}
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: here, NamesWithCondtions: []seccomp.NameWithConditions{
				// A thread, not a process.
				{Name: "clone", Conditions: is(0, seccomp.BitsSet, unix.CLONE_THREAD)},
				// Go pre-empts its own threads by a signal.
				{Name: "tgkill", Conditions: is(0, seccomp.Equal, self)},
				// Reading limits, of oneself. The hard ones stay as they are.
				{Name: "prlimit64", Conditions: seccomp.ArgumentConditions{
					{Argument: 0, Operation: seccomp.Equal, Value: 0}, {Argument: 2, Operation: seccomp.Equal, Value: 0},
				}},
			}},
			// Its flags are in memory, where a filter cannot see them. Whoever is
			// told that it does not exist takes clone.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
		},
	}, nil
}

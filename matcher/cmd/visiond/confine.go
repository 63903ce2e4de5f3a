//go:build customenv

package main

import (
	"fmt"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// confine takes from the process what it does not need: files (Landlock, where
// the kernel has it), sockets, other processes, and more than memory bytes of
// data beyond what it has (0 for no limit), 2 s of CPU for a limited one. It
// fails if seccomp cannot be set: without it the worker must not run.
func confine(off bool, memory uint64) error {
	if off {
		return nil
	}
	if memory > 0 {
		for what, limit := range map[int]uint64{unix.RLIMIT_DATA: memory + 256<<20, unix.RLIMIT_CPU: 2, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0} {
			if err := unix.Setrlimit(what, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
				return fmt.Errorf("confine: limit %d: %w", what, err)
			}
		}
	}
	if err := landlock.V5.BestEffort().RestrictPaths(); err != nil {
		return fmt.Errorf("confine: landlock: %w", err)
	}
	// A deny-list: OpenCV's and Go's own needs vary by version; what must
	// never be had does not.
	f := seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Action: seccomp.ActionErrno,
				Names: []string{
					"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
					"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill",
					"creat", "mknod", "mknodat", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat",
					"rename", "renameat", "renameat2", "truncate", "chmod", "fchmodat", "chown", "fchownat", "mount", "umount2",
					"setuid", "setgid", "setns", "unshare", "bpf", "keyctl", "add_key", "request_key", "io_uring_setup", "memfd_create",
					"perf_event_open", "userfaultfd", "kexec_load", "init_module", "finit_module", "shmget", "msgget",
				},
			}},
		},
	}
	if err := seccomp.LoadFilter(f); err != nil {
		return fmt.Errorf("confine: seccomp: %w", err)
	}
	return nil
}

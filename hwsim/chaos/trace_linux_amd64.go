package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrTrace says that this machine does not let a process be traced.
var ErrTrace = errors.New("chaos: processes cannot be traced here")

// noticed are the calls that change a file, a folder or a peer. SQLite's shared
// memory is written without calls, but is made anew from the log whenever
// nobody has it open, and nobody has after a kill.
var noticed = map[uint64]bool{
	unix.SYS_WRITE: true, unix.SYS_WRITEV: true, unix.SYS_PWRITE64: true, unix.SYS_PWRITEV: true, unix.SYS_SENDTO: true, unix.SYS_SENDMSG: true,
	unix.SYS_FSYNC: true, unix.SYS_FDATASYNC: true, unix.SYS_FTRUNCATE: true, unix.SYS_FALLOCATE: true,
	unix.SYS_UNLINK: true, unix.SYS_UNLINKAT: true, unix.SYS_RENAME: true, unix.SYS_RENAMEAT: true, unix.SYS_RENAMEAT2: true,
	unix.SYS_CONNECT: true, unix.SYS_SHUTDOWN: true,
}

// Mark is the line by which a traced process says on its standard output that
// its write path begins.
const Mark = "the write path begins\n"

// Blow is what befalls a process at one of the calls after the Mark that
// somebody could notice.
type Blow struct {
	At int // the first is 1; 0 lets the process live
	// Fails is how many calls fail from there on, the way that each does on a
	// disk that is broken, full or read-only, or on a line that is cut; 0
	// kills the process with SIGKILL instead.
	Fails int
	// Disk, unless it is nil, is told what happens to its files, and may have a
	// sync fail.
	Disk *Disk
}

// Run starts a program and strikes it, or lets it live, until ctx ends. It
// copies the program's standard output, on which it keeps the Mark, and returns
// how many calls it saw and whether the process came to its own end.
func Run(ctx context.Context, path string, env []string, b Blow, out io.Writer) (calls int, ended bool, err error) {
	// A thread that traces must make every ptrace call itself.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, false, fmt.Errorf("chaos: %w", err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, false, errors.Join(fmt.Errorf("chaos: %w", err), w.Close())
	}
	defer null.Close()
	pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{
		Env: env, Files: []uintptr{null.Fd(), w.Fd(), os.Stderr.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if e := w.Close(); err == nil {
		err = e
	}
	if errors.Is(err, syscall.EPERM) {
		return 0, false, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	if err != nil {
		return 0, false, fmt.Errorf("chaos: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })() // it may be gone
	said := make(chan struct{})
	go func() { // it ends with the process, which holds the pipe's other end
		defer close(said)
		_, _ = io.Copy(out, r) // out is memory
	}()
	calls, ended, err = trace(pid, b)
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
	}
	<-said
	return calls, ended, err
}

// mark is how a process's own words are recognised in a write.
var mark = []byte(Mark)

func trace(pid int, b Blow) (calls int, ended bool, err error) {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WALL, nil); err != nil {
		return 0, false, fmt.Errorf("chaos: wait: %w", err)
	}
	const options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return 0, false, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	inside := map[int]bool{}    // threads between a call's entry and its exit
	failing := map[int]uint64{} // what a call of theirs shall return
	begun := false
	resume := func(tid, signal int) error {
		if err := syscall.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("chaos: resume: %w", err)
		}
		return nil
	}
	if err := resume(pid, 0); err != nil {
		return 0, false, err
	}
	for {
		tid, err := syscall.Wait4(-1, &status, syscall.WALL, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return calls, false, fmt.Errorf("chaos: wait: %w", err)
		}
		switch {
		case status.Exited() || status.Signaled():
			if tid == pid {
				return calls, status.Exited() && status.ExitStatus() == 0, nil
			}
			continue
		case !status.Stopped():
			continue
		}
		signal := 0
		switch s := status.StopSignal(); {
		case s == syscall.SIGTRAP|0x80:
			inside[tid] = !inside[tid]
			var regs syscall.PtraceRegs
			if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
				break // killed meanwhile
			}
			if !inside[tid] {
				if result, ok := failing[tid]; ok {
					delete(failing, tid)
					regs.Rax = result
					_ = syscall.PtraceSetRegs(tid, &regs) // killed meanwhile
				} else if err := b.Disk.done(pid, regs); err != nil {
					return calls, false, err
				}
				break
			}
			switch {
			case !begun:
				begun = regs.Orig_rax == unix.SYS_WRITE && says(tid, uintptr(regs.Rsi), int(regs.Rdx))
			case noticed[regs.Orig_rax] && !inward(pid, regs.Orig_rax, int(regs.Rdi)):
				calls++
				sync := regs.Orig_rax == unix.SYS_FSYNC || regs.Orig_rax == unix.SYS_FDATASYNC
				switch {
				case b.Disk.readOnly(pid, int(regs.Rdi)):
					refuse(tid, &regs, failing, unix.EROFS)
				case sync && b.Disk.fails(pid, int(regs.Rdi)):
					refuse(tid, &regs, failing, unix.EIO)
				case b.At == 0 || calls < b.At || b.Fails > 0 && calls >= b.At+b.Fails:
				case b.Fails == 0:
					// The call is not made: the process dies at its entry.
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						return calls, false, fmt.Errorf("chaos: kill: %w", err)
					}
				default:
					refuse(tid, &regs, failing, refusal(regs.Orig_rax))
				}
			}
		case s == syscall.SIGTRAP, s == syscall.SIGSTOP: // a new thread's first stop, or that of the one that made it
		default:
			signal = int(s)
		}
		if err := resume(tid, signal); err != nil {
			return calls, false, err
		}
	}
}

// refuse has the call that a thread enters fail.
func refuse(tid int, regs *syscall.PtraceRegs, failing map[int]uint64, with syscall.Errno) {
	failing[tid] = -uint64(with)
	regs.Orig_rax = ^uint64(0)           // no such call: nothing is done
	_ = syscall.PtraceSetRegs(tid, regs) // killed meanwhile
}

// done tells a disk of a call that has been made.
func (d *Disk) done(pid int, regs syscall.PtraceRegs) error {
	if d == nil || int64(regs.Rax) < 0 {
		return nil
	}
	switch regs.Orig_rax {
	case unix.SYS_PWRITE64:
		d.wrote(pid, int(regs.Rdi), int64(regs.R10), int64(regs.Rax))
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		return d.synced(pid, int(regs.Rdi))
	}
	return nil
}

// refusal is the error by which a call fails.
func refusal(call uint64) syscall.Errno {
	switch call {
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		return unix.EIO
	case unix.SYS_UNLINK, unix.SYS_UNLINKAT, unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return unix.EROFS
	case unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_CONNECT, unix.SYS_SHUTDOWN:
		return unix.ECONNRESET
	}
	return unix.ENOSPC
}

// says tells whether a write is the Mark.
func says(tid int, at uintptr, size int) bool {
	if size != len(mark) {
		return false
	}
	b := make([]byte, size)
	n, err := syscall.PtracePeekData(tid, at, b)
	return err == nil && n == size && bytes.Equal(b, mark)
}

// inward says that a write only wakes the process itself: the runtime's own
// event descriptors.
func inward(pid int, call uint64, fd int) bool {
	if call != unix.SYS_WRITE {
		return false
	}
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	return err == nil && strings.HasPrefix(to, "anon_inode:")
}

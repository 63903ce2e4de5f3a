// Package child starts processes that end with the one that started them.
package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts cmd, which gets sig when this process ends, however it ends. What
// cmd.Wait returned comes once.
//
// Linux sends that signal when the thread ends that started the process
// (prctl(2), PR_SET_PDEATHSIG), and Go ends a thread with a goroutine that was
// locked to it. So a thread of its own starts the process and waits for it.
func Start(cmd *exec.Cmd, sig syscall.Signal) (<-chan error, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

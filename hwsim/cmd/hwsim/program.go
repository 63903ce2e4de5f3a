package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"passage/hwsim/people"
	"passage/hwsim/powercut"
)

// program is one of bin at work, as a service manager would keep it.
type program struct {
	name string   // in messages
	args []string // its name in bin first
	log  string   // what it prints, a file
	// again is the time from its end to its next start, as RestartSec in a
	// systemd unit; 0 makes its end an error.
	again time.Duration

	now   atomic.Pointer[os.Process] // nil while it does not run
	until atomic.Int64               // not started again before, Unix ns
	born  atomic.Int64               // when it was started last, Unix ns

	power sync.Mutex   // held while its computer has none
	fresh atomic.Bool  // it starts as its computer does, at once
	back  time.Time    // when power came back, for the start after it; guarded by power
	from  atomic.Int64 // from when its last start counts, Unix ns: its own, or its computer's power
}

// run keeps the program running until ctx ends, which interrupts it.
func (p *program) run(ctx context.Context) error {
	for {
		p.power.Lock()
		log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			p.power.Unlock()
			return fmt.Errorf("%s: %w", p.name, err)
		}
		c := exec.CommandContext(ctx, filepath.Join("bin", p.args[0]), p.args[1:]...)
		c.Stdout, c.Stderr = log, log
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		c.WaitDelay = 8 * time.Second
		err = c.Start()
		back := p.back
		p.back = time.Time{}
		p.power.Unlock()
		if err == nil {
			born := time.Now()
			if back.IsZero() {
				back = born
			}
			p.from.Store(back.UnixNano())
			p.born.Store(born.UnixNano())
			p.now.Store(c.Process)
			err = c.Wait()
			p.now.Store(nil)
		}
		_ = log.Close() // the program has written it
		switch {
		case ctx.Err() != nil:
			return nil
		case p.again == 0 && err != nil:
			return fmt.Errorf("%s ended: %w; see %s", p.name, err, p.log)
		}
		again := p.again
		switch {
		case p.fresh.Swap(false):
			again = 0
		case err == nil:
			again = time.Second // in order, as a lane does that takes a configuration
		}
		if !people.Pause(ctx, max(again, time.Until(time.Unix(0, p.until.Load())))) {
			return nil
		}
	}
}

// pid is the process's, 0 while it does not run.
func (p *program) pid() int {
	if now := p.now.Load(); now != nil {
		return now.Pid
	}
	return 0
}

// kill ends the process without a word, and keeps it down for some time. It
// returns false if it does not run.
func (p *program) kill(down time.Duration) bool {
	now := p.now.Load()
	if now == nil {
		return false
	}
	p.until.Store(time.Now().Add(down).UnixNano())
	return now.Kill() == nil
}

// cut takes the power from the process and from the disk that its files are on,
// in one instant, and gives it back after some time. It returns false if the
// program does not run.
func (p *program) cut(ctx context.Context, disk *powercut.Disk, down time.Duration) (bool, error) {
	p.power.Lock()
	defer p.power.Unlock()
	now := p.now.Load()
	if now == nil || now.Signal(syscall.SIGSTOP) != nil { // it must not see its disk stop
		return false, nil
	}
	p.fresh.Store(true)
	if err := errors.Join(disk.Cut(), now.Kill()); err != nil {
		return false, err
	}
	people.Pause(ctx, down)
	for p.now.Load() != nil && people.Pause(ctx, time.Millisecond) { // it may end its last sync
	}
	p.back = time.Now()
	return true, disk.Return(ctx)
}

// Package pcscd runs the real PC/SC service with vsmartcard's virtual reader,
// so that virtual passports meet the software that a lane has.
package pcscd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Slots are the readers. The virtual reader's driver has two and no more,
// whatever the configuration says.
var Slots = [2]struct {
	Name string // of the reader
	Addr string // where the virtual reader listens
}{{"Virtual PCD 00 00", "127.0.0.1:35963"}, {"Virtual PCD 00 01", "127.0.0.1:35964"}}

const (
	socket  = "/run/pcscd/pcscd.comm"
	drivers = "/usr/lib/pcsc/drivers"
)

// Service is a running PC/SC service.
type Service struct {
	namespace string
	process   *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// Start starts the service in a network namespace of its own: vpcd listens on
// all addresses, and nobody else shall lay a card on it. It fails, and says
// why, without root, where another service runs (there can be one only), and
// where something is not installed. log takes what the service prints.
func Start(ctx context.Context, log io.Writer) (*Service, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it needs root to make a network namespace")
	}
	if _, err := exec.LookPath("pcscd"); err != nil {
		return nil, errors.New("pcscd is not installed")
	}
	if found, err := filepath.Glob(drivers + "/serial/libifdvpcd*"); err != nil || len(found) == 0 {
		return nil, errors.New("vsmartcard-vpcd is not installed")
	}
	if c, err := net.Dial("unix", socket); err == nil {
		c.Close()
		return nil, errors.New("a pcscd is running already, and there can be one only")
	}
	s := &Service{namespace: fmt.Sprintf("passage-%d", os.Getpid())}
	if err := ip("netns", "add", s.namespace); err != nil {
		return nil, err
	}
	if err := s.start(ctx, log); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %s", args, out)
	}
	return nil
}

func (s *Service) start(ctx context.Context, log io.Writer) error {
	if err := ip("-n", s.namespace, "link", "set", "lo", "up"); err != nil {
		return err
	}
	return s.run(ctx, log)
}

// run starts the process and waits until its readers are there.
func (s *Service) run(ctx context.Context, log io.Writer) error {
	done := make(chan struct{})
	c := exec.Command("ip", "netns", "exec", s.namespace, "pcscd", "--foreground")
	c.Stdout, c.Stderr, c.WaitDelay = log, log, time.Second
	if err := c.Start(); err != nil {
		return err
	}
	s.process, s.done = c, done
	go func() {
		defer close(done)
		_ = c.Wait() // Stop and the loop below look at done
	}()
	for range 50 {
		if conn, err := s.Dial(0); err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-done:
			return errors.New("pcscd ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("vpcd does not listen")
}

// Kill ends the process without a word, as a crash does.
func (s *Service) Kill() error {
	err := s.process.Process.Kill()
	<-s.done
	return err
}

// Again starts a service that was killed.
func (s *Service) Again(ctx context.Context, log io.Writer) error { return s.run(ctx, log) }

// Stop ends the service and takes its namespace away.
func (s *Service) Stop() error {
	if s.process != nil {
		_ = s.process.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-s.done:
		case <-time.After(3 * time.Second):
			_ = s.process.Process.Kill() // it did not listen
			<-s.done
		}
	}
	return ip("netns", "del", s.namespace)
}

// Dial lays a card on a slot: it connects from inside the network namespace. A
// socket belongs to the namespace of the thread that made it.
func (s *Service) Dial(slot int) (net.Conn, error) {
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer back.Close()
	there, err := os.Open("/run/netns/" + s.namespace)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("namespace: %w", err)
	}
	conn, dialErr := net.DialTimeout("tcp4", Slots[slot].Addr, 3*time.Second)
	if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread is spoilt: it stays locked and ends with its goroutine.
		return nil, errors.Join(err, dialErr)
	}
	runtime.UnlockOSThread()
	return conn, dialErr
}

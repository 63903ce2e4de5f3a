package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The virtual reader's driver has two slots and no more, whatever the
// configuration says: they serve the first and the last lane, the one between
// has the built-in reader.
var slots = map[int]struct {
	port int
	name string
}{0: {35963, "Virtual PCD 00 00"}, laneCount - 1: {35964, "Virtual PCD 00 01"}}

const pcscSocket = "/run/pcscd/pcscd.comm"

// pcscd starts the real PC/SC service with vsmartcard's virtual reader in a
// network namespace of its own: vpcd listens on all addresses, and nobody else
// shall lay a card on it. Where that is not possible the lanes' own reader for
// remote cards takes its place; the error says why. stop undoes everything.
func (x *demo) pcscd(ctx context.Context) (r reader, stop func(), err error) {
	for i := range laneCount {
		addr := fmt.Sprintf("127.0.0.1:%d", x.Port+40+i)
		r.kind[i] = "vpcd"
		r.conf[i] = fmt.Sprintf("type = \"vpcd\"\naddress = %q", addr)
		r.dial[i] = func() (net.Conn, error) { return net.DialTimeout("tcp", addr, 3*time.Second) }
	}
	stop = func() {}
	if x.VPCD {
		return r, stop, nil
	}
	if os.Geteuid() != 0 {
		return r, stop, errors.New("it needs root to make a network namespace")
	}
	if c, err := net.Dial("unix", pcscSocket); err == nil {
		c.Close()
		return r, stop, errors.New("a pcscd is running already, and there can be one only")
	}
	ns := fmt.Sprintf("passage-%d", os.Getpid())
	ip := func(args ...string) error {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %s", args, out)
		}
		return nil
	}
	if err := ip("netns", "add", ns); err != nil {
		return r, stop, err
	}
	var service *exec.Cmd
	done := make(chan struct{})
	stop = func() {
		if service != nil {
			_ = service.Process.Signal(os.Interrupt) // it may have ended
			select {
			case <-done:
			case <-time.After(3 * time.Second):
				_ = service.Process.Kill() // it did not listen
				<-done
			}
		}
		if err := ip("netns", "del", ns); err != nil {
			fmt.Fprintln(os.Stderr, "hwsim:", err)
		}
	}
	if err := ip("-n", ns, "link", "set", "lo", "up"); err != nil {
		return r, stop, err
	}
	log, err := os.Create(x.Dir + "/pcscd.log")
	if err != nil {
		return r, stop, err
	}
	c := exec.Command("ip", "netns", "exec", ns, "pcscd", "--foreground")
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return r, stop, err
	}
	service = c
	go func() {
		_ = c.Wait() // stop looks at done
		log.Close()
		close(done)
	}()
	for range 50 {
		if conn, err := inNamespace(ns, fmt.Sprintf("127.0.0.1:%d", slots[0].port)); err == nil {
			conn.Close()
			for i, slot := range slots {
				addr := fmt.Sprintf("127.0.0.1:%d", slot.port)
				r.kind[i] = "pcscd"
				r.conf[i] = fmt.Sprintf("type = \"pcsc\"\nname = %q", slot.name)
				r.dial[i] = func() (net.Conn, error) { return inNamespace(ns, addr) }
			}
			return r, stop, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-done:
			return r, stop, errors.New("pcscd ended; see pcscd.log")
		case <-ctx.Done():
			return r, stop, ctx.Err()
		}
	}
	return r, stop, errors.New("vpcd does not listen")
}

// inNamespace dials from inside a network namespace: a socket belongs to the
// namespace of the thread that made it.
func inNamespace(ns, addr string) (net.Conn, error) {
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer back.Close()
	there, err := os.Open("/run/netns/" + ns)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("namespace: %w", err)
	}
	conn, dialErr := net.DialTimeout("tcp4", addr, 3*time.Second)
	if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread is spoilt: it stays locked and ends with its goroutine.
		return nil, errors.Join(err, dialErr)
	}
	runtime.UnlockOSThread()
	return conn, dialErr
}

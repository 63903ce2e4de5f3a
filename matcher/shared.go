package matcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialWithin  = 2 * time.Second
	mostClients = 128
)

// dial reaches a worker that serves several lanes of this machine at a unix
// socket. It is foreign like one of the lane's own: it is never asked what it
// would be trusted for, and what it says is bounded in the same way.
func dial(socket string) (*process, error) {
	c, err := net.DialTimeout("unix", socket, dialWithin)
	if err != nil {
		return nil, fmt.Errorf("matcher: %w: does the shared worker run?", err)
	}
	ended := make(chan struct{})
	hang := sync.OnceFunc(func() { // what it says after this is nobody's
		c.Close()
		close(ended)
	})
	return &process{in: c, out: c, stop: hang, hung: func() bool { return hungUp(c) }, ended: ended, began: time.Now()}, nil
}

// hungUp says whether the other end of a connection is gone, or speaks without
// having been asked.
func hungUp(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	var peek error
	err = raw.Control(func(fd uintptr) {
		_, _, peek = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err != nil || !errors.Is(peek, unix.EAGAIN)
}

// Serve answers the lanes that come to l, each on a connection of its own, until
// ctx ends or l fails. analyse is called for one frame at a time; a connection
// that breaks the protocol ends, and costs the others nothing.
func Serve(ctx context.Context, l net.Listener, hello Hello, analyse func(Frame) (Analysis, error)) error {
	var turn sync.Mutex
	alone := func(f Frame) (Analysis, error) {
		turn.Lock()
		defer turn.Unlock()
		return analyse(f)
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var serving sync.WaitGroup
	defer serving.Wait()
	places := make(chan struct{}, mostClients)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("matcher: serve: %w", err)
		}
		select {
		case places <- struct{}{}:
		default:
			c.Close()
			continue
		}
		serving.Go(func() {
			defer func() { <-places }()
			defer c.Close()
			end := context.AfterFunc(ctx, func() { c.Close() })
			defer end()
			_ = Speak(c, c, hello, alone) // whoever broke off knows why
		})
	}
}

// Speak is a match worker's side of the protocol: Hello, then Findings or a
// Problem for each Picture until r ends.
func Speak(r io.Reader, w io.Writer, hello Hello, analyse func(Frame) (Analysis, error)) error {
	if err := Write(w, KindHello, hello, nil); err != nil {
		return err
	}
	for {
		f, err := ReadFrame(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := analyse(f)
		if err != nil {
			err = WriteProblem(w, err)
		} else {
			err = Write(w, KindFindings, a, nil)
		}
		if err != nil {
			return err
		}
	}
}

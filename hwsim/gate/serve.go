package gate

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"passage/hwsim/tty"
)

// Serve runs the gate in real time on a pseudo-terminal that path links to,
// paced to the configured baud rate, until ctx ends.
func (g *Gate) Serve(ctx context.Context, path string) error {
	master, slave, err := tty.Open(path)
	if err != nil {
		return fmt.Errorf("gate: serve: %w", err)
	}
	defer slave.Close()
	defer os.Remove(path)
	go tty.Share(ctx, slave)
	if g.Ready != nil {
		g.Ready()
	}
	stop := context.AfterFunc(ctx, func() { master.Close() })
	defer stop()
	began := time.Now()
	g.mu.Lock()
	offset := g.now
	g.mu.Unlock()
	clock := func() time.Duration { return offset + time.Since(began) }
	ticking := make(chan struct{})
	go func() {
		defer close(ticking)
		g.run(ctx, clock)
	}()
	err = g.frames(master, clock)
	master.Close()
	<-ticking
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("gate: serve: %w", err)
}

// frames reads requests by their expected length and writes replies at the
// line's pace.
func (g *Gate) frames(line io.ReadWriter, clock func() time.Duration) error {
	bytes := make(chan []byte)
	failed := make(chan error, 1)
	go func() {
		for {
			b := make([]byte, 256)
			n, err := line.Read(b)
			if err != nil {
				failed <- err
				return
			}
			bytes <- b[:n]
		}
	}()
	var frame []byte
	gap := time.NewTimer(time.Hour)
	for {
		select {
		case err := <-failed:
			return err
		case <-gap.C:
			if len(frame) > 0 {
				g.discard()
				frame = nil
			}
		case b := <-bytes:
			frame = append(frame, b...)
			if n := requestLength(frame); n > 0 && len(frame) >= n {
				request := frame[:n]
				frame = nil
				if err := g.answer(line, request, clock); err != nil {
					return err
				}
			} else if len(frame) > 256 {
				g.discard()
				frame = nil
			}
			gap.Reset(20 * time.Millisecond)
		}
	}
}

func (g *Gate) discard() {
	g.mu.Lock()
	g.linkErr++
	g.mu.Unlock()
}

// requestLength is how long the request will be that begins with b; 0 if it
// cannot be told yet. A function that is not listed has 8 bytes, as the most.
func requestLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case 15, 16:
		if len(b) < 7 {
			return 0
		}
		return 9 + int(b[6])
	case 17, 7, 11, 12:
		return 4
	case 43:
		return 7
	}
	return 8
}

// answer writes the reply as slowly as the line is.
func (g *Gate) answer(line io.Writer, request []byte, clock func() time.Duration) error {
	reply, delay := g.exchange(request, clock)
	if len(reply) == 0 {
		return nil
	}
	time.Sleep(delay)
	_, err := line.Write(reply)
	return err
}

// exchange handles a request and spoils it as injected. delay is how long the
// line takes for both.
func (g *Gate) exchange(request []byte, clock func() time.Duration) (reply []byte, delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance(clock())
	char := g.charTime()
	f := Frame{At: g.now, Request: request}
	spoil := func(name string) bool {
		if !g.spoiled(name) {
			return false
		}
		f.Injected = name
		return true
	}
	switch {
	case spoil("drop_request"):
	case spoil("corrupt_request"):
		g.linkErr++
	default:
		reply = g.handle(request)
	}
	delay = g.turnAround() + time.Duration(len(request))*char
	if spoil("late_reply") {
		delay += 150 * time.Millisecond
	}
	if len(reply) > 0 {
		switch {
		case spoil("drop_reply"):
			reply = nil
		case spoil("corrupt_reply"):
			reply[len(reply)-1] ^= 0x55
		case spoil("partial"):
			reply = reply[:len(reply)/2]
		case spoil("wrong_slave"):
			reply[0]++
		case spoil("noise"):
			reply = append([]byte{0x00, 0xFF, 0x13}, reply...)
		}
	}
	f.Reply = reply
	for _, tap := range g.taps {
		tap(f)
	}
	return reply, delay + time.Duration(len(reply))*char
}

// spoiled uses up one of an injected fault's frames.
func (g *Gate) spoiled(name string) bool {
	n, on := g.faultsIn[name]
	if !on {
		return false
	}
	if n == 1 {
		delete(g.faultsIn, name)
	} else if n > 1 {
		g.faultsIn[name] = n - 1
	}
	return true
}

// charTime is one character of 11 bits (10 for 8N1) at the line's rate.
func (g *Gate) charTime() time.Duration {
	bits := 11
	if g.param[pFormat] == 1 {
		bits = 10
	}
	return time.Duration(bits) * time.Second / time.Duration([]int{19200, 19200, 38400, 115200}[g.param[pBaud]])
}

// turnAround is t3.5 and the configured delay.
func (g *Gate) turnAround() time.Duration {
	t := 1750 * time.Microsecond
	if g.param[pBaud] == 1 {
		t = 2005 * time.Microsecond
	}
	return t + time.Millisecond + time.Duration(g.param[pRespDelay])*time.Millisecond
}

package gate

import (
	"context"
	"io"
	"sync"
	"time"
)

// Cable is a serial line to a simulated gate without a terminal. It keeps time
// by the caller's clock: in a bubble of testing/synctest that is virtual.
type Cable struct {
	gate  *Gate
	clock func() time.Duration

	mu      sync.Mutex
	timeout time.Duration
	reply   []byte
	at      time.Time // when the reply's first byte arrives
	cut     bool
	spoil   func(request, reply []byte) ([]byte, time.Duration)
}

// Connect runs g by the caller's clock until ctx ends and returns a line to
// it. done is closed when the gate stands still.
func (g *Gate) Connect(ctx context.Context) (line *Cable, done <-chan struct{}) {
	g.mu.Lock()
	offset := g.now // of an earlier line
	g.mu.Unlock()
	began := time.Now()
	clock := func() time.Duration { return offset + time.Since(began) }
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		g.run(ctx, clock)
	}()
	return &Cable{gate: g, clock: clock}, stopped
}

// run moves the gate on until ctx ends.
func (g *Gate) run(ctx context.Context, clock func() time.Duration) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			g.Advance(clock())
		}
	}
}

// Cut cuts the cable, or joins it again.
func (c *Cable) Cut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
}

// Spoil changes every reply and says how late it is; nil for none.
func (c *Cable) Spoil(f func(request, reply []byte) ([]byte, time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoil = f
}

// SetReadTimeout is how long Read waits for a first byte.
func (c *Cable) SetReadTimeout(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeout = d
	return nil
}

// ResetInputBuffer drops what has not been read.
func (c *Cable) ResetInputBuffer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reply = nil
	return nil
}

// Write sends one request.
func (c *Cable) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return len(b), nil
	}
	reply, late := c.gate.exchange(b, c.clock)
	if c.spoil != nil {
		var more time.Duration
		reply, more = c.spoil(b, reply)
		late += more
	}
	c.reply, c.at = append([]byte(nil), reply...), time.Now().Add(late)
	return len(b), nil
}

// Read returns what has arrived; 0 bytes after the time-out.
func (c *Cable) Read(b []byte) (int, error) {
	c.mu.Lock()
	end := time.Now().Add(c.timeout)
	c.mu.Unlock()
	for {
		c.mu.Lock()
		here := len(c.reply) > 0
		wait := time.Until(c.at)
		if here && wait <= 0 {
			n := copy(b, c.reply)
			c.reply = c.reply[n:]
			c.mu.Unlock()
			return n, nil
		}
		c.mu.Unlock()
		left := time.Until(end)
		if left <= 0 {
			return 0, nil
		}
		if !here || wait > left {
			wait = left
		}
		time.Sleep(wait)
	}
}

// Close does nothing: the gate stays.
func (c *Cable) Close() error { return nil }

var _ io.ReadWriteCloser = (*Cable)(nil)

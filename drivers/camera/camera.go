// Package camera delivers a camera's newest frames and says when they cannot
// be trusted: too old, frozen, black or covered, or no longer coming.
//
// The frames come from a source that may block, end or lie, usually a worker
// process: OpenCV's own reads stall for 30 s on a dead stream and buffer frames
// that are seconds old.
package camera

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Frame is a picture of 8-bit pixels, blue, green, red, row by row. Age is how
// old it was when the source handed it on.
type Frame struct {
	Width, Height int
	Pixels        []byte
	Age           time.Duration
}

// Source is an opened camera. Next blocks until a frame comes; Close makes a
// Next that blocks return.
type Source interface {
	Next() (Frame, error)
	Close() error
}

// Adjuster is a source whose exposure can be set.
type Adjuster interface {
	// Adjust says how bright what matters is, 0 to 255, and how bright it
	// should be; 0 and 0 leave the exposure to the camera again. It does not
	// block.
	Adjust(mean, want float64) error
}

// Camera is a camera that is opened again whenever it breaks.
type Camera struct {
	Open func(ctx context.Context) (Source, error)

	mu   sync.Mutex
	open Source // nil while there is none
}

// Adjust passes on how bright what matters is to a source that can do
// something about it, as Adjuster has it. Without one it does nothing.
func (c *Camera) Adjust(mean, want float64) error {
	c.mu.Lock()
	a, ok := c.open.(Adjuster)
	c.mu.Unlock()
	if !ok {
		return nil
	}
	return a.Adjust(mean, want)
}

func (c *Camera) set(s Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = s
}

// The camera's rules.
const (
	tooOld     = 1500 * time.Millisecond
	frozenFor  = 2 * time.Second
	silentFor  = 3 * time.Second
	firstRetry = 200 * time.Millisecond
	mostRetry  = 5 * time.Second
	black      = 8   // mean of 255
	even       = 2   // mean deviation of 255: a hand or a sticker on the lens
	dull       = .03 // mean step to the next pixel, in deviations: nothing is in focus
	dullFor    = 45 * time.Second
)

// What Run reports besides a source's own errors.
var (
	errSilent = errors.New("no frame for 3 s: is it plugged in?")
	errOld    = errors.New("frames are too old")
	errBlack  = errors.New("black or covered")
	errFrozen = errors.New("the picture is frozen")
	errEven   = errors.New("covered: the picture shows nothing")
	errDull   = errors.New("out of focus: nothing has been sharp for a while")
)

// Run delivers frames until ctx ends, and reports the camera's health whenever
// it was looked at: "" or what is wrong. A camera that is away is tried again
// after growing pauses, at most 5 s. Neither callback may block.
func (c *Camera) Run(ctx context.Context, frame func(Frame), health func(string)) error {
	wait := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := c.once(ctx, frame, health)
		if ctx.Err() != nil {
			return nil
		}
		health(fmt.Sprintf("camera: %v", err))
		if time.Since(began) > mostRetry {
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, mostRetry)
	}
	return nil
}

func (c *Camera) once(ctx context.Context, frame func(Frame), health func(string)) error {
	s, err := c.Open(ctx)
	if err != nil {
		return err
	}
	c.set(s)
	defer c.set(nil)
	read, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	closed := make(chan struct{})
	context.AfterFunc(read, func() {
		defer close(closed)
		_ = s.Close() // it is being given up
	})
	silent := time.AfterFunc(silentFor, func() { stop(errSilent) })
	defer silent.Stop()
	var w watcher
	for {
		f, err := s.Next()
		if err != nil {
			if cause := context.Cause(read); cause != nil {
				err = cause
			}
			stop(nil)
			<-closed
			return err
		}
		silent.Reset(silentFor)
		if why := w.look(f, time.Now()); why != nil {
			health(fmt.Sprintf("camera: %v", why))
		} else {
			health("")
		}
		frame(f)
	}
}

// watcher judges frames by a sample of their pixels.
type watcher struct {
	sum     uint64
	changed time.Time
	sharp   time.Time // when something was in focus last
}

func (w *watcher) look(f Frame, now time.Time) error {
	if len(f.Pixels) == 0 {
		return errBlack
	}
	var sum, light, n uint64
	for i := 0; i < len(f.Pixels); i += 97 {
		v := uint64(f.Pixels[i])
		light += v
		sum = sum*31 + v
		n++
	}
	away, step := 0, 0 // from the mean, and to the next pixel
	for i := 0; i+3 < len(f.Pixels); i += 97 {
		v := int(f.Pixels[i])
		away += abs(v - int(light/n))
		step += abs(v - int(f.Pixels[i+3]))
	}
	if w.sharp.IsZero() || float64(step) >= dull*float64(away) {
		w.sharp = now
	}
	if sum != w.sum || w.changed.IsZero() {
		w.sum, w.changed = sum, now
	}
	switch {
	case f.Age > tooOld:
		return errOld
	case light/n < black:
		return errBlack
	case now.Sub(w.changed) > frozenFor:
		return errFrozen
	case away < even*int(n):
		return errEven
	case now.Sub(w.sharp) > dullFor: // a traveller who moves is blurred for seconds
		return errDull
	}
	return nil
}

func abs(v int) int { return max(v, -v) }

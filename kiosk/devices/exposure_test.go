package devices

import (
	"bytes"
	"context"
	"testing"
	"time"

	"passage/drivers/camera"
	"passage/matcher"
)

// fakeCamera has an exposure that can be set.
type fakeCamera struct {
	frames chan camera.Frame
	told   [][2]float64
}

func (f *fakeCamera) Next() (camera.Frame, error) {
	x, ok := <-f.frames
	if !ok {
		return x, errBlind
	}
	return x, nil
}
func (f *fakeCamera) Close() error { close(f.frames); return nil }
func (f *fakeCamera) Adjust(mean, want float64) error {
	f.told = append(f.told, [2]float64{mean, want})
	return nil
}

func TestExposure(t *testing.T) {
	device := &fakeCamera{frames: make(chan camera.Frame, 1)}
	c := &camera.Camera{Open: func(context.Context) (camera.Source, error) { return device, nil }}
	e := exposure{camera: c}
	grey := func(level byte) matcher.Frame {
		return matcher.Frame{Width: 40, Height: 40, Pixels: bytes.Repeat([]byte{level}, 3*40*40)}
	}
	box, at := matcher.Face{X: 10, Y: 10, W: 20, H: 20}, time.Unix(0, 0)
	e.face(grey(20), box, at) // nobody opened it: nothing happens

	ctx, stop := context.WithCancel(t.Context())
	seen, done := make(chan struct{}), make(chan error)
	go func() { done <- c.Run(ctx, func(camera.Frame) { close(seen) }, func(string) {}) }()
	device.frames <- camera.Frame{Width: 1, Height: 1, Pixels: []byte{1, 2, 3}}
	<-seen
	for _, s := range []struct {
		after time.Duration
		level byte
		box   matcher.Face
	}{
		{time.Second, 20, box},                                // dark: told
		{1100 * time.Millisecond, 20, box},                    // it still follows
		{2 * time.Second, 125, box},                           // well lit
		{3 * time.Second, 240, box},                           // bright: told
		{4 * time.Second, 20, matcher.Face{X: 900, W: 20}},    // not in the picture
		{5 * time.Second, 20, matcher.Face{X: -9, W: -5}},     // nonsense
		{6 * time.Second, 20, matcher.Face{W: 1 << 40, H: 2}}, // as large as a house
	} {
		e.face(grey(s.level), s.box, at.Add(s.after))
	}
	e.end()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := c.Adjust(1, 2); err != nil { // it is gone: nothing happens
		t.Error(err)
	}
	for i, want := range [][2]float64{{20, faceLevel}, {240, faceLevel}, {0, 0}} {
		if i >= len(device.told) || device.told[i] != want {
			t.Errorf("told %v", device.told)
			break
		}
	}
	if len(device.told) < 3 || device.told[len(device.told)-1] != [2]float64{} {
		t.Errorf("told %v, and not to go on by itself", device.told)
	}
}

package devices

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"time"

	"passage/drivers/camera"
)

// The traveller's own picture: large enough to place oneself, small enough to
// cost little beside the models.
const (
	previewHeight = 480
	previewPause  = time.Second / 15
)

// Preview gives the newest frames, mirrored and small, as JPEG until ctx ends
// or show fails. No frame waits for show, and none is kept.
func (v *Vision) Preview(ctx context.Context, show func(jpeg []byte) error) error {
	c := make(chan camera.Frame, 1)
	v.mu.Lock()
	if v.screens == nil {
		v.screens = map[chan camera.Frame]struct{}{}
	}
	v.screens[c] = struct{}{}
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		delete(v.screens, c)
		v.mu.Unlock()
	}()
	var b bytes.Buffer
	for next := time.Now(); ; next = time.Now().Add(previewPause) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
		select {
		case <-ctx.Done():
			return nil
		case f := <-c:
			b.Reset()
			if err := jpeg.Encode(&b, mirror(f, previewHeight), &jpeg.Options{Quality: 75}); err != nil {
				return fmt.Errorf("preview: %w", err)
			}
			if err := show(b.Bytes()); err != nil {
				return err
			}
		}
	}
}

// mirror is a frame as a looking-glass shows it, of at most a height.
func mirror(f camera.Frame, height int) image.Image {
	by := max(1, (f.Height+height-1)/height)
	w, h := f.Width/by, f.Height/by
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := f.Pixels[3*(y*by*f.Width+(w-1-x)*by):]
			q := img.Pix[y*img.Stride+4*x:]
			q[0], q[1], q[2], q[3] = p[2], p[1], p[0], 255
		}
	}
	return img
}

// Package camera is a simulated face camera: MJPEG over HTTP. What it shows
// follows from who stands in the lane and where: a portrait that moves and
// changes with light, distance and noise.
package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// Size of the picture and its rate (T21: at least 600 × 800).
const (
	Width  = 720
	Height = 960
	rate   = 10
)

// Camera shows a scene.
type Camera struct {
	mu    sync.Mutex
	faces []image.Image
	fault string
	mask  bool
	n     int
}

// Mask tells the simulated attack detection that the face is an instrument.
func (c *Camera) Mask(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mask = on
}

// attack is a simulated certified engine for presentation attack detection: it
// is sent a picture and answers with a score, 0 genuine to 1 attack. Like the
// sensors of the gate it knows the scene; it says nothing about real engines.
func (c *Camera) attack(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, 2<<20)); err != nil {
		http.Error(w, "no picture", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	score := 0.04
	if c.mask {
		score = 0.93
	}
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"score":%.2f}`, score)
}

// Show sets who is before the camera; nobody empties the scene.
func (c *Camera) Show(faces ...image.Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faces = faces
}

// Inject sets a fault: covered, blur, frozen, unplugged; "" clears it.
func (c *Camera) Inject(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// Frame draws the n-th picture.
func (c *Camera) Frame() ([]byte, bool) {
	c.mu.Lock()
	faces, fault := c.faces, c.fault
	if fault != "frozen" {
		c.n++
	}
	n := c.n
	c.mu.Unlock()
	if fault == "unplugged" {
		return nil, false
	}
	img := image.NewRGBA(image.Rect(0, 0, Width, Height))
	if fault != "covered" {
		paint(img, faces, n)
	}
	if fault == "blur" {
		small := image.NewRGBA(image.Rect(0, 0, Width/48, Height/48))
		draw.ApproxBiLinear.Scale(small, small.Rect, img, img.Rect, draw.Src, nil)
		draw.ApproxBiLinear.Scale(img, img.Rect, small, small.Rect, draw.Src, nil)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 88}); err != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// paint draws the background and the faces: swaying, nearing, turning a
// little, under changing light and with noise.
func paint(img *image.RGBA, faces []image.Image, n int) {
	t := float64(n) / rate
	for y := range Height {
		v := uint8(96 + y/16)
		for x := range Width {
			i := img.PixOffset(x, y)
			grain := uint8((x*7 + y*13 + n*29) % 5)
			img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = v+grain, v+8+grain, v+16+grain, 255
		}
	}
	for k, f := range faces {
		b := f.Bounds()
		scale := float64(Width) * (0.74 + 0.02*math.Sin(t)) / float64(b.Dx())
		x := float64(Width) / 2
		if len(faces) > 1 {
			scale *= 0.6
			x = float64(Width) * (0.28 + 0.44*float64(k))
		}
		x += 6 * math.Sin(1.3*t)
		y := float64(Height)*0.5 + 5*math.Cos(0.9*t)
		a := 0.03 * math.Sin(0.7*t)
		cos, sin := scale*math.Cos(a), scale*math.Sin(a)
		cx, cy := float64(b.Dx())/2, float64(b.Dy())/2
		m := f64.Aff3{cos, -sin, x - cos*cx + sin*cy, sin, cos, y - sin*cx - cos*cy}
		draw.ApproxBiLinear.Transform(img, m, f, b, draw.Over, nil)
	}
	if len(faces) == 0 {
		return
	}
	light := 0.94 + 0.06*math.Sin(0.5*t)
	for i := 0; i < len(img.Pix); i += 4 {
		grain := float64((i/4*31+n*17)%9) - 4
		for c := range 3 {
			img.Pix[i+c] = uint8(max(0, min(255, float64(img.Pix[i+c])*light+grain)))
		}
	}
}

// Serve gives the stream at /stream on a loopback address until ctx ends.
func (c *Camera) Serve(ctx context.Context, addr string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", c.stream)
	mux.HandleFunc("POST /pad", c.attack)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("camera: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("camera: %w", err)
	}
	return nil
}

func (c *Camera) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	out := http.NewResponseController(w)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for {
		b, ok := c.Frame()
		if !ok {
			return
		}
		if _, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(b), b); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

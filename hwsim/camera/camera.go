// Package camera is a simulated face camera: MJPEG over HTTP. What it shows
// follows from who stands in the lane and where: a portrait that moves and
// changes with light, distance and noise.
package camera

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/image/draw"

	"passage/kiosk/pages"
)

// Size of the picture and its rate (T21: at least 600 × 800).
const (
	Width  = 720
	Height = 960
	rate   = 12
)

// Camera shows a scene.
type Camera struct {
	// Resting is how long it waits between two pictures of nobody; 0 for the
	// full rate.
	Resting time.Duration
	Ready   func() // called when Serve's address answers; nil for nobody

	mu    sync.Mutex
	scene Scene
	fault string
	n     int
	empty [8][]byte // pictures of nobody, made once

	last   []byte // the newest picture
	lastAt time.Time
}

// Scene is who stands before the camera, how, and what lights them.
type Scene struct {
	Faces []image.Image // in passport framing
	By    Instrument
	Light Light
	Away  float64 // steps too far: 0 on the marks, 1 with half the size, -0.5 with twice
	Aside float64 // -1 to 1 of the picture's width beside the marks
	Tilt  float64 // of the head to its side, in degrees
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
	if c.scene.By != Genuine {
		score = 0.93
	}
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"score":%.2f}`, score)
}

// Show sets who is before the camera; nobody empties the scene.
func (c *Camera) Show(faces ...image.Image) { c.Present(Genuine, faces...) }

// Present shows faces by an instrument.
func (c *Camera) Present(by Instrument, faces ...image.Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scene.Faces, c.scene.By = nil, by
	for _, f := range faces {
		c.scene.Faces = append(c.scene.Faces, pixels(f))
	}
}

// Place says where the person stands and how the head is held: away is 0 on the
// marks, 1 where a face has half the size and -0.5 where it has twice the size;
// aside is -1 to 1 of the picture's width, tilt in degrees.
func (c *Camera) Place(away, aside, tilt float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scene.Away, c.scene.Aside, c.scene.Tilt = away, aside, tilt
}

// place is Place over HTTP: ?away=1.5&aside=-0.2&tilt=10. It is for a hand at
// the simulator.
func (c *Camera) place(w http.ResponseWriter, r *http.Request) {
	var v [3]float64
	for i, x := range []struct {
		name        string
		least, most float64
	}{{"away", -.8, 10}, {"aside", -1, 1}, {"tilt", -180, 180}} {
		var err error
		if v[i], err = strconv.ParseFloat(cmp.Or(r.FormValue(x.name), "0"), 64); err != nil || !(v[i] >= x.least && v[i] <= x.most) {
			http.Error(w, fmt.Sprintf("%s is %g to %g", x.name, x.least, x.most), http.StatusBadRequest)
			return
		}
	}
	c.Place(v[0], v[1], v[2])
	w.WriteHeader(http.StatusNoContent)
}

// Shine sets the light that the traveller's screen gives.
func (c *Camera) Shine(l Light) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scene.Light = l
}

// Inject sets a fault: covered, blur, frozen, unplugged; "" clears it.
func (c *Camera) Inject(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// Snapshot is what the camera sees now, without drawing it once more where
// somebody is watching.
func (c *Camera) Snapshot() ([]byte, bool) {
	c.mu.Lock()
	b, at, gone := c.last, c.lastAt, c.fault == "unplugged"
	c.mu.Unlock()
	if gone {
		return nil, false
	}
	if time.Since(at) < time.Second {
		return b, true
	}
	return c.Frame()
}

// nobody says whether nobody stands before the camera and nothing is wrong
// with it.
func (c *Camera) nobody() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.scene.Faces) == 0 && c.fault == ""
}

// Frame draws the next picture.
func (c *Camera) Frame() ([]byte, bool) {
	b, ok := c.draw()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lastAt = b, time.Now()
	return b, ok
}

func (c *Camera) draw() ([]byte, bool) {
	c.mu.Lock()
	scene, fault := c.scene, c.fault
	if fault != "frozen" {
		c.n++
	}
	n := c.n
	c.mu.Unlock()
	if fault == "unplugged" {
		return nil, false
	}
	k := n % len(c.empty)
	if fault == "" && len(scene.Faces) == 0 && c.empty[k] != nil {
		return c.empty[k], true // an empty lane costs nothing
	}
	img := image.NewRGBA(image.Rect(0, 0, Width, Height))
	if fault != "covered" {
		Paint(img, scene, time.Duration(n)*time.Second/rate)
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
	if fault == "" && len(scene.Faces) == 0 {
		c.empty[k] = b.Bytes()
	}
	return b.Bytes(), true
}

// Serve gives the stream at /stream on a loopback address until ctx ends.
func (c *Camera) Serve(ctx context.Context, addr string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", c.stream)
	mux.HandleFunc("POST /pad", c.attack)
	mux.HandleFunc("POST /place", c.place)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("camera: %w", err)
	}
	if c.Ready != nil {
		c.Ready()
	}
	if err := pages.Serve(ctx, s, l, pages.Door{Name: "camera", Most: 64, Each: 64}); err != nil {
		return fmt.Errorf("camera: %w", err)
	}
	return nil
}

func (c *Camera) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	out := http.NewResponseController(w)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	var sent time.Time
	for {
		for c.nobody() && time.Since(sent) < c.Resting {
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
		b, ok := c.Frame()
		if !ok {
			return
		}
		sent = time.Now()
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

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"passage/matcher"
	"passage/matcher/pack"
	"passage/matcher/pad"
)

// engine is what the face commands share: the worker program and a pack.
type engine struct {
	Pack    string `default:".cache/packs/default" type:"existingdir" help:"Folder of the model pack."`
	Program string `help:"visiond; beside this program by default."`
	bare    bool   // descriptors alone are wanted
}

// open finds the program and reads the pack's manifest.
func (e *engine) open() (*pack.Manifest, error) {
	if e.Program == "" {
		var err error
		if e.Program, err = beside("visiond"); err != nil {
			return nil, err
		}
	}
	return pack.Read(e.Pack)
}

// gallery analyses pictures with one worker a core, each with its models
// loaded once. A picture that was seen is not looked at again, be it under
// another name.
type gallery struct {
	program matcher.Program
	workers chan *matcher.Matcher
	mu      sync.Mutex
	seen    map[string]*seen // by path
	content map[[sha256.Size]byte]*seen
	looked  int // pictures that a worker analysed
}

// seen is a picture that is being, or was, analysed.
type seen struct {
	done  chan struct{}
	faces []matcher.Face
	d     []float32
	cues  *pad.Cues
	err   error
}

// withGallery runs do while the workers are warm, and ends them.
func withGallery(ctx context.Context, e engine, do func(context.Context, *gallery) error) error {
	n := runtime.NumCPU()
	g := &gallery{program: matcher.Program{Path: e.Program}, workers: make(chan *matcher.Matcher, n), seen: map[string]*seen{}, content: map[[sha256.Size]byte]*seen{}}
	var start func(ctx context.Context, left int) error
	start = func(ctx context.Context, left int) error {
		if left == 0 {
			return do(ctx, g)
		}
		// One thread each: as many pictures at a time as there are cores.
		m := &matcher.Matcher{Program: matcher.Program{Path: e.Program, Args: []string{"--threads=1"}}, Pack: e.Pack, Bare: e.bare}
		g.workers <- m
		return m.Warm(ctx, func(ctx context.Context) error { return start(ctx, left-1) })
	}
	return start(ctx, n)
}

// errNoFace is said of a picture without a usable face.
var errNoFace = errors.New("no face is found")

// remembered is how many pictures are kept.
const remembered = 50_000

// tries is how often a picture may cost a worker its life.
const tries = 5

// look finds the faces of a picture. It is safe for several goroutines.
func (g *gallery) look(ctx context.Context, path string) *seen {
	return once(ctx, g, g.seen, path, func(s *seen) {
		b, err := readPicture(path)
		if err != nil {
			s.err = err
			return
		}
		same := once(ctx, g, g.content, sha256.Sum256(b), func(s *seen) { g.analyse(ctx, s, b) })
		s.faces, s.d, s.cues, s.err = same.faces, same.d, same.cues, same.err
	})
}

// once does a picture's work if nobody has begun it, and waits for who has.
func once[K comparable](ctx context.Context, g *gallery, known map[K]*seen, key K, do func(*seen)) *seen {
	g.mu.Lock()
	s, ok := known[key]
	if !ok {
		if len(known) >= remembered { // 5 kB each; a list of millions must not fill the memory
			clear(known)
		}
		s = &seen{done: make(chan struct{})}
		known[key] = s
	}
	g.mu.Unlock()
	if !ok {
		defer close(s.done)
		do(s)
		return s
	}
	select {
	case <-s.done:
		return s
	case <-ctx.Done():
		return &seen{err: ctx.Err()}
	}
}

// analyse decodes a picture and has a worker look at it.
func (g *gallery) analyse(ctx context.Context, s *seen, b []byte) {
	f, err := decode(ctx, g.program, b)
	if err != nil {
		s.err = err
		return
	}
	m := <-g.workers
	a, err := m.Analyse(ctx, f)
	for n := 1; errors.Is(err, matcher.ErrWorker) && n < tries; n++ {
		// On a machine that is busy otherwise a worker runs out of its time; it
		// is not the picture's fault unless it happens again and again.
		select {
		case <-time.After(time.Duration(n) * time.Second):
			a, err = m.Analyse(ctx, f)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	g.workers <- m
	g.mu.Lock()
	g.looked++
	g.mu.Unlock()
	switch {
	case err != nil:
		s.err = err
	case len(a.Faces) == 0 || a.Descriptor == nil:
		s.err = errNoFace
	default:
		s.faces, s.d, s.cues = a.Faces, a.Descriptor, a.Cues
	}
}

// Files of an operator's own, in the formats that Go decodes, are decoded
// here: Go's decoders are bounded and cannot be overrun. JPEG 2000, pictures
// that are turned by their header and large ones go through the throw-away
// process, as everything does that comes from a chip.
const (
	maxFile = 64 << 20
	ownSide = 1280 // what the decoding process hands on as well
)

// readPicture reads a picture file.
func readPicture(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a picture file of at most %d MB", path, maxFile>>20)
	}
	return os.ReadFile(path)
}

// decode decodes a picture file.
func decode(ctx context.Context, p matcher.Program, b []byte) (matcher.Frame, error) {
	if img := own(b); img != nil {
		return frame(img), nil
	}
	return p.Decode(ctx, b)
}

// own decodes a small JPEG or PNG; nil for anything else.
func own(b []byte) image.Image {
	config, format, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil || config.Width > ownSide || config.Height > ownSide || bytes.Contains(b[:min(len(b), 64<<10)], []byte("Exif\x00")) {
		return nil
	}
	decode := map[string]func() (image.Image, error){
		"jpeg": func() (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
		"png":  func() (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
	}[format]
	if decode == nil {
		return nil
	}
	img, err := decode()
	if err != nil {
		return nil
	}
	return img
}

// frame copies a picture into the workers' form.
func frame(img image.Image) matcher.Frame {
	r := img.Bounds()
	rgba := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(rgba, rgba.Rect, img, r.Min, draw.Src)
	f := matcher.Frame{Width: r.Dx(), Height: r.Dy(), Pixels: make([]byte, 3*r.Dx()*r.Dy())}
	for i := range r.Dx() * r.Dy() {
		f.Pixels[3*i], f.Pixels[3*i+1], f.Pixels[3*i+2] = rgba.Pix[4*i+2], rgba.Pix[4*i+1], rgba.Pix[4*i]
	}
	return f
}

// find resolves a path of a list: as it stands, or beside the list.
func find(path, list string) string {
	if _, err := os.Stat(path); err == nil || filepath.IsAbs(path) {
		return path
	}
	if beside := filepath.Join(filepath.Dir(list), path); list != "" {
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return path
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"passage/matcher"
	"passage/matcher/pack"
)

// engine is what the face commands share: the worker program and a pack.
type engine struct {
	Pack    string `default:".cache/packs/default" type:"existingdir" help:"Folder of the model pack."`
	Program string `help:"visiond; beside this program by default."`
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
// loaded once. A picture that was seen is not looked at again.
type gallery struct {
	program matcher.Program
	workers chan *matcher.Matcher
	mu      sync.Mutex
	seen    map[string]*seen
}

// seen is a picture that is being, or was, analysed.
type seen struct {
	done  chan struct{}
	faces []matcher.Face
	d     []float32
	err   error
}

// withGallery runs do while the workers are warm, and ends them.
func withGallery(ctx context.Context, e engine, do func(context.Context, *gallery) error) error {
	n := runtime.NumCPU()
	g := &gallery{program: matcher.Program{Path: e.Program}, workers: make(chan *matcher.Matcher, n), seen: map[string]*seen{}}
	var start func(ctx context.Context, left int) error
	start = func(ctx context.Context, left int) error {
		if left == 0 {
			return do(ctx, g)
		}
		// One thread each: as many pictures at a time as there are cores.
		m := &matcher.Matcher{Program: matcher.Program{Path: e.Program, Args: []string{"--threads=1"}}, Pack: e.Pack}
		g.workers <- m
		return withMatcher(ctx, m, func(ctx context.Context) error { return start(ctx, left-1) })
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
	g.mu.Lock()
	s, ok := g.seen[path]
	if !ok {
		if len(g.seen) >= remembered { // 5 kB each; a list of millions must not fill the memory
			clear(g.seen)
		}
		s = &seen{done: make(chan struct{})}
		g.seen[path] = s
	}
	g.mu.Unlock()
	if ok {
		select {
		case <-s.done:
			return s
		case <-ctx.Done():
			return &seen{err: ctx.Err()}
		}
	}
	defer close(s.done)
	f, err := load(ctx, g.program, path)
	if err != nil {
		s.err = err
		return s
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
	switch {
	case err != nil:
		s.err = err
	case len(a.Faces) == 0 || a.Descriptor == nil:
		s.err = errNoFace
	default:
		s.faces, s.d = a.Faces, a.Descriptor
	}
	return s
}

// Files of an operator's own, in the formats that Go decodes, are decoded
// here: Go's decoders are bounded and cannot be overrun. JPEG 2000, pictures
// that are turned by their header and large ones go through the throw-away
// process, as everything does that comes from a chip.
const (
	maxFile = 64 << 20
	ownSide = 1280 // what the decoding process hands on as well
)

// load reads a picture file.
func load(ctx context.Context, p matcher.Program, path string) (matcher.Frame, error) {
	info, err := os.Stat(path)
	if err != nil {
		return matcher.Frame{}, err
	}
	if info.Size() > maxFile || !info.Mode().IsRegular() {
		return matcher.Frame{}, fmt.Errorf("%s is not a picture file of at most %d MB", path, maxFile>>20)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return matcher.Frame{}, err
	}
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
	f := matcher.Frame{Width: r.Dx(), Height: r.Dy(), Pixels: make([]byte, 0, 3*r.Dx()*r.Dy())}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			red, green, blue, _ := img.At(x, y).RGBA()
			f.Pixels = append(f.Pixels, byte(blue>>8), byte(green>>8), byte(red>>8))
		}
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

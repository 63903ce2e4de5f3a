package matcher_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"

	"passage/matcher"
	"passage/matcher/quality"
)

// script is an analyser that plays back one score a frame.
func script(scores ...float64) func(context.Context, matcher.Frame) (matcher.Analysis, error) {
	n := 0
	return func(context.Context, matcher.Frame) (matcher.Analysis, error) {
		s := scores[min(n, len(scores)-1)]
		n++
		d := make([]float32, 128)
		d[0] = float32(s)
		d[1] = float32(1 - s)
		return matcher.Analysis{Faces: []matcher.Face{{X: 1, Y: 1, W: 10, H: 10, Eyes: 90, Flag: 1, Quality: quality.Ideal()}}, Descriptor: d}, nil
	}
}

// policy is the default one with thresholds, as a pack gives them.
func policy() matcher.Policy {
	p := matcher.DefaultPolicy()
	p.Threshold, p.Early = .85, .9
	return p
}

func TestPolicy(t *testing.T) {
	reference := make([]float32, 128)
	reference[0] = 1
	frame := matcher.Frame{Width: 20, Height: 20, Pixels: make([]byte, 1200)}
	compare := func(p matcher.Policy, analyse func(context.Context, matcher.Frame) (matcher.Analysis, error)) (matcher.Result, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		frames := make(chan matcher.Frame)
		go func() {
			for {
				select {
				case frames <- frame:
				case <-ctx.Done():
					return
				}
			}
		}()
		return p.Compare(ctx, reference, frames, analyse, func(matcher.Advice) {})
	}
	for _, c := range []struct {
		name     string
		analyse  func(context.Context, matcher.Frame) (matcher.Analysis, error)
		outcome  matcher.Outcome
		attempts int
	}{
		{"match at once", script(1), matcher.Match, 1},
		{"match at the second attempt", script(0, 0, 0, 1), matcher.Match, 2},
		{"another person", script(0), matcher.NonMatch, 3},
	} {
		r, err := compare(policy(), c.analyse)
		if err != nil || r.Outcome != c.outcome || r.Attempts != c.attempts {
			t.Errorf("%s: %+v, %v", c.name, r.Outcome, err)
		}
	}
	p := policy()
	p.Several = 0
	two := func(context.Context, matcher.Frame) (matcher.Analysis, error) {
		f := matcher.Face{W: 10, H: 10, Eyes: 90, Flag: 1}
		return matcher.Analysis{Faces: []matcher.Face{f, f}, Descriptor: reference}, nil
	}
	if r, err := compare(p, two); err != nil || r.Outcome != matcher.Several {
		t.Errorf("two people: %v, %v", r.Outcome, err)
	}
	dead := func(context.Context, matcher.Frame) (matcher.Analysis, error) {
		return matcher.Analysis{}, matcher.ErrWorker
	}
	if _, err := compare(p, dead); !errors.Is(err, matcher.ErrWorker) {
		t.Errorf("a dead worker: %v", err)
	}
}

// One frame that leaves no doubt decides; one that leaves some waits for more,
// and then the attempt's own threshold counts.
func TestEarly(t *testing.T) {
	frames := make(chan matcher.Frame, 8)
	for range 8 {
		frames <- matcher.Frame{Width: 1, Height: 1, Pixels: []byte{1, 2, 3}}
	}
	p := policy()
	p.Threshold, p.Early = .85, .99
	for _, c := range []struct {
		score   float64 // of a, to 1 − a, against the first axis
		frames  int
		outcome matcher.Outcome
	}{{1, 1, matcher.Match}, {.7, 3, matcher.Match}, {.5, 9, matcher.NonMatch}} {
		for len(frames) < cap(frames) {
			frames <- matcher.Frame{Width: 1, Height: 1, Pixels: []byte{1, 2, 3}}
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for {
				select {
				case frames <- matcher.Frame{Width: 1, Height: 1, Pixels: []byte{1, 2, 3}}:
				case <-ctx.Done():
					return
				}
			}
		}()
		reference := make([]float32, 128)
		reference[0] = 1
		r, err := p.Compare(t.Context(), reference, frames, script(c.score), func(matcher.Advice) {})
		stop()
		if err != nil || r.Outcome != c.outcome || r.Analysed != c.frames {
			t.Errorf("score %g: %s after %d frames, %v; want %s after %d", c.score, r.Outcome, r.Analysed, err, c.outcome, c.frames)
		}
	}
}

// Every component that is too low has advice of its own, and none is dropped.
func TestAdvise(t *testing.T) {
	p := matcher.DefaultPolicy()
	p.Quality[quality.Background] = 10
	given := map[matcher.Advice]quality.Component{}
	for c := range quality.Count {
		for _, low := range []int{0, quality.Unmeasured} {
			r := quality.Ideal()
			r.Values[c] = low
			a := p.Advise(matcher.Analysis{Faces: []matcher.Face{{Quality: r}}, Descriptor: []float32{1}})
			if other, ok := given[a]; a == matcher.NoAdvice || a != matcher.AdviceFor(c) || ok && other != c {
				t.Errorf("%s at %d: %q, as for %s", c, low, a, other)
			}
			given[a] = c
		}
	}
	r := quality.Ideal()
	r.Unified = 1
	if a := p.Advise(matcher.Analysis{Faces: []matcher.Face{{Quality: r}}, Descriptor: []float32{1}}); a != matcher.Confidence {
		t.Errorf("a low unified score: %q", a)
	}
	r = quality.Ideal()
	r.Values[quality.Pitch] = 0
	if a := p.Advise(matcher.Analysis{Faces: []matcher.Face{{Pitch: 30, Quality: r}}, Descriptor: []float32{1}}); a != matcher.ChinDown {
		t.Errorf("a raised chin: %q", a)
	}
	if a := p.Advise(matcher.Analysis{}); a != matcher.Look {
		t.Errorf("nobody: %q", a)
	}
}

// visiond finds the built worker and the pack, as make setup leaves them.
func visiond(t *testing.T) (matcher.Program, string, string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	program, pack := filepath.Join(root, "bin", "visiond"), filepath.Join(root, ".cache", "packs", "default")
	for _, p := range []string{program, filepath.Join(pack, "manifest.toml")} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("make setup build first: %v", err)
		}
	}
	return matcher.Program{Path: program}, pack, filepath.Join(root, ".cache", "portraits")
}

func TestWorker(t *testing.T) {
	program, pack, portraits := visiond(t)
	m := warm(t, program, pack)
	load := func(name string) matcher.Frame {
		b, err := os.ReadFile(filepath.Join(portraits, name))
		if err != nil {
			t.Skip(err)
		}
		f, err := program.Decode(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := load("p01.jpg"), load("p05.jpg")
	one, err := m.Analyse(t.Context(), a)
	if err != nil || len(one.Faces) != 1 {
		t.Fatalf("%d faces, %v", len(one.Faces), err)
	}
	two, err := m.Analyse(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if s := matcher.Cosine(one.Descriptor, two.Descriptor); s >= .85 {
		t.Errorf("two people score %.3f", s)
	}
	// A darker, noisier picture of the same face is the same person.
	dim := matcher.Frame{Width: a.Width, Height: a.Height, Pixels: bytes.Clone(a.Pixels)}
	for i := range dim.Pixels {
		dim.Pixels[i] = byte(int(dim.Pixels[i])*7/10 + i%7)
	}
	again, err := m.Analyse(t.Context(), dim)
	if err != nil {
		t.Fatal(err)
	}
	if s := matcher.Cosine(one.Descriptor, again.Descriptor); s < .85 {
		t.Errorf("the same person scores %.3f", s)
	}
	m.Kill()
	if _, err := m.Analyse(t.Context(), a); err != nil && !errors.Is(err, matcher.ErrWorker) {
		t.Errorf("after a crash: %v", err)
	}
	if x, err := m.Analyse(t.Context(), a); err != nil || len(x.Faces) != 1 {
		t.Errorf("the worker did not come back: %v", err)
	}
}

// warm is a matcher that runs until the test ends.
func warm(t *testing.T, program matcher.Program, pack string) *matcher.Matcher {
	t.Helper()
	m := &matcher.Matcher{Program: program, Pack: pack}
	ctx, cancel := context.WithCancel(context.Background())
	healthy, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- m.Run(ctx, func(s string) {
			select {
			case healthy <- s:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if s := <-healthy; s != "" {
		t.Fatal(s)
	}
	return m
}

// twice is a picture with the same face beside itself.
func twice(t *testing.T, face []byte) []byte {
	t.Helper()
	one, err := jpeg.Decode(bytes.NewReader(face))
	if err != nil {
		t.Fatal(err)
	}
	b := one.Bounds()
	two := image.NewRGBA(image.Rect(0, 0, 2*b.Dx(), b.Dy()))
	draw.Draw(two, b, one, b.Min, draw.Src)
	draw.Draw(two, b.Add(image.Pt(b.Dx(), 0)), one, b.Min, draw.Src)
	return asJPEG(t, two, 90)
}

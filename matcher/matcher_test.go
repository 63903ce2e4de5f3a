package matcher_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"passage/matcher"
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
		return matcher.Analysis{Faces: []matcher.Face{{X: 1, Y: 1, W: 10, H: 10, Eyes: 90, Flag: 1}}, Descriptor: d}, nil
	}
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
		r, err := compare(matcher.DefaultPolicy(), c.analyse)
		if err != nil || r.Outcome != c.outcome || r.Attempts != c.attempts {
			t.Errorf("%s: %+v, %v", c.name, r.Outcome, err)
		}
	}
	p := matcher.DefaultPolicy()
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

func TestShown(t *testing.T) {
	for _, c := range []struct {
		score float64
		want  int
	}{{1, 100}, {matcher.Threshold, 60}, {0.844, 25}, {0.5, 0}} {
		if got := matcher.Shown(c.score, matcher.Threshold); got != c.want {
			t.Errorf("%.3f is shown as %d, want %d", c.score, got, c.want)
		}
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
	m := &matcher.Matcher{Program: program, Pack: pack}
	ctx, cancel := context.WithCancel(t.Context())
	healthy := make(chan string, 64)
	done := make(chan error, 1)
	go func() {
		done <- m.Run(ctx, func(s string) {
			select {
			case healthy <- s:
			default:
			}
		})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if s := <-healthy; s != "" {
		t.Fatal(s)
	}
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
	if s := matcher.Cosine(one.Descriptor, two.Descriptor); s >= matcher.Threshold {
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
	if s := matcher.Cosine(one.Descriptor, again.Descriptor); s < matcher.Threshold {
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

package camera_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/hwsim/camera"
	"passage/matcher"
	"passage/matcher/pad"
)

var faces = flag.Int("faces", 1, "portraits that are presented by every instrument")

// observe shows a scene for a time to the real models and judges it. lit says
// whether the lane changes its light.
func observe(t *testing.T, m *matcher.Matcher, s camera.Scene, from, d time.Duration, lit bool) pad.Verdict {
	t.Helper()
	var j pad.Judge
	img := image.NewRGBA(image.Rect(0, 0, camera.Width, camera.Height))
	for at := time.Duration(0); at < d; at += 100 * time.Millisecond {
		if lit && at >= 100*time.Millisecond { // screen and camera are a frame late
			s.Light = camera.Shine(pad.Shining(at - 100*time.Millisecond))
		}
		camera.Paint(img, s, from+at)
		f := matcher.Frame{Width: camera.Width, Height: camera.Height, Pixels: make([]byte, 3*camera.Width*camera.Height)}
		for i := range camera.Width * camera.Height {
			f.Pixels[3*i], f.Pixels[3*i+1], f.Pixels[3*i+2] = img.Pix[4*i+2], img.Pix[4*i+1], img.Pix[4*i]
		}
		a, err := m.Analyse(t.Context(), f)
		for range 3 { // on a busy machine one frame may take the worker's two seconds
			if errors.Is(err, matcher.ErrWorker) {
				a, err = m.Analyse(t.Context(), f)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if a.Cues != nil {
			j.Add(pad.Sample{At: at, Cues: *a.Cues, Marks: a.Faces[0].Marks, Lids: a.Faces[0].Lids, Lit: lit})
		}
	}
	return j.Verdict()
}

// worker is the built matcher with the default pack, and the portraits of the
// virtual travellers.
func worker(t *testing.T) (*matcher.Matcher, []image.Image) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program, pack := filepath.Join(root, "bin", "visiond"), filepath.Join(root, ".cache", "packs", "default")
	for _, p := range []string{program, filepath.Join(pack, "manifest.toml")} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("make setup build first: %v", err)
		}
	}
	m := &matcher.Matcher{Program: matcher.Program{Path: program}, Pack: pack}
	ctx, cancel := context.WithCancel(t.Context())
	up, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- m.Run(ctx, func(s string) {
			select {
			case up <- s:
			default:
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	if s := <-up; s != "" {
		t.Fatal(s)
	}
	var list []image.Image
	for n := 1; ; n++ {
		f, err := os.Open(filepath.Join(root, ".cache", "portraits", fmt.Sprintf("p%02d.jpg", n)))
		if err != nil {
			break
		}
		img, err := jpeg.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, img)
	}
	if len(list) == 0 {
		t.Skip("no portraits: make setup")
	}
	return m, list
}

// rates are what ISO/IEC 30107-3 asks for: APCER by instrument (attacks that
// were missed), BPCER (genuine faces that were refused), and the area under the
// curve of each instrument against the genuine faces. The log is a row of
// docs/benchmarks.md.
func rates(t *testing.T, what string, genuine []float64, attacks map[camera.Instrument][]float64) {
	t.Helper()
	count := func(list []float64, alarm bool) (n int) {
		for _, v := range list {
			if v >= pad.Alarm == alarm {
				n++
			}
		}
		return n
	}
	var b strings.Builder
	for _, by := range camera.Instruments {
		auc := 0.0
		for _, a := range attacks[by] {
			for _, g := range genuine {
				switch {
				case a > g:
					auc++
				case a == g:
					auc += .5
				}
			}
		}
		fmt.Fprintf(&b, " %d of %d, %.2f |", count(attacks[by], false), len(attacks[by]), auc/float64(max(1, len(attacks[by])*len(genuine))))
	}
	t.Logf("PAD | %s | %d of %d |%s", what, count(genuine, true), len(genuine), b.String())
}

// Every simulated instrument against the real models: what is found with the
// lane's light, and without it. A mask with the right face behind it is not
// found, and for a cut-out no limit was set; that is said, here and in
// docs/vision.md. -faces 13 takes minutes and
// gives the figures.
func TestAttacks(t *testing.T) {
	m, list := worker(t)
	for _, lit := range []bool{true, false} {
		what := map[bool]string{true: "with the lane's light", false: "without light"}[lit]
		if !lit && *faces == 1 {
			continue
		}
		var genuine []float64
		attacks := map[camera.Instrument][]float64{}
		for n := range min(*faces, len(list)) {
			from := time.Duration(n) * 770 * time.Millisecond
			v := observe(t, m, camera.Scene{Faces: list[n : n+1]}, from, 1700*time.Millisecond, lit)
			genuine = append(genuine, v.Score)
			if !v.Evaluated || lit && v.Score >= pad.Alarm {
				t.Errorf("p%02d, genuine, %s: %v", n+1, what, v)
			}
			for _, by := range camera.Instruments {
				v := observe(t, m, camera.Scene{Faces: list[n : n+1], By: by}, from, 1700*time.Millisecond, lit)
				attacks[by] = append(attacks[by], v.Score)
				if by != camera.Mask && by != camera.Cutout && lit && v.Score < pad.Alarm {
					t.Errorf("p%02d by %s, %s: %v", n+1, by, what, v)
				}
			}
		}
		rates(t, what, genuine, attacks)
	}
}

// Photographs of people and of attacks, single ones: nothing moves and nothing
// is lit, so little can be known. The figures say how little. People whose
// names begin with A to L were used to set the limits.
func TestPhotographs(t *testing.T) {
	const data = "../../../shared/data/faces/"
	if _, err := os.Stat(data); err != nil {
		t.Skip(err)
	}
	m, _ := worker(t)
	score := func(glob string, skip func(name string) bool) (list []float64) {
		files, err := filepath.Glob(data + glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range files {
			if skip(filepath.Base(p)) {
				continue
			}
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			f, err := m.Program.Decode(t.Context(), b)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			a, err := m.Analyse(t.Context(), f)
			if err != nil || a.Cues == nil {
				t.Logf("%s: no face is measured: %v", filepath.Base(p), err)
				continue
			}
			var j pad.Judge
			j.Add(pad.Sample{Cues: *a.Cues, Marks: a.Faces[0].Marks, Lids: a.Faces[0].Lids})
			list = append(list, j.Verdict().Score)
		}
		return list
	}
	all := func(string) bool { return false }
	step := 1
	if *faces == 1 {
		step = 12
	}
	n := 0
	held := func(name string) bool { n++; return name < "M" || n%step != 0 }
	alarms := func(list []float64) int {
		k := 0
		for _, v := range list {
			if v >= pad.Alarm {
				k++
			}
		}
		return k
	}
	genuine := append(score("pad/live/*", all), score("lfw*/*/*.jpg", held)...)
	attack := score("pad/attack/*", all)
	t.Logf("PAD single photographs: %d of %d genuine faces alarm, %d of %d attacks", alarms(genuine), len(genuine), alarms(attack), len(attack))
	if len(genuine) == 0 || len(attack) == 0 {
		t.Error("nothing was measured")
	}
}

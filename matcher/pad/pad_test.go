package pad_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"passage/matcher/pad"
)

// skin is a soft ellipse on a backdrop with noise; paint changes a pixel's
// level.
func skin(paint func(x, y int, level float64) float64) pad.Image {
	const w, h = 480, 640
	r := rand.New(rand.NewPCG(1, 2))
	m := pad.Image{Width: w, Height: h, Pixels: make([]byte, 3*w*h)}
	for y := range h {
		for x := range w {
			dx, dy := float64(x-w/2)/130, float64(y-h/2)/170
			level := 90 + 60*math.Exp(-dx*dx-dy*dy) + 4*r.NormFloat64()
			level = paint(x, y, level)
			p := m.Pixels[3*(y*w+x):]
			p[0], p[1], p[2] = byte(max(0, min(255, level*.8))), byte(max(0, min(255, level))), byte(max(0, min(255, level*1.15)))
		}
	}
	return m
}

var middle = pad.Box{X: 140, Y: 200, W: 200, H: 240}

func TestLook(t *testing.T) {
	plain, ok := pad.Look(skin(func(_, _ int, l float64) float64 { return l }), middle)
	if !ok || !plain.Valid() {
		t.Fatalf("%+v, %v", plain, ok)
	}
	if plain.Peak > 3.7 || plain.Edges > .8 {
		t.Errorf("skin has a spectrum of %.1f and edges of %.2f", plain.Peak, plain.Edges)
	}
	grid, _ := pad.Look(skin(func(x, y int, l float64) float64 { return l + 8*math.Sin(float64(x)*1.3)*math.Sin(float64(y)*1.27) }), middle)
	if grid.Peak < plain.Peak+2 {
		t.Errorf("a grid has a spectrum of %.1f, skin %.1f", grid.Peak, plain.Peak)
	}
	sheet, _ := pad.Look(skin(func(x, y int, l float64) float64 {
		if x < 60+y/40 || x > 400+y/40 { // held a little askew
			return 20
		}
		return l
	}), middle)
	if sheet.Edges < .9 {
		t.Errorf("a sheet has edges of %.2f", sheet.Edges)
	}
	for name, b := range map[string]pad.Box{"small": {X: 10, Y: 10, W: 20, H: 20}, "elsewhere": {X: -900, Y: 0, W: 200, H: 200}, "huge": {W: 1 << 30, H: 1 << 30}} {
		if _, ok := pad.Look(skin(func(_, _ int, l float64) float64 { return l }), b); ok {
			t.Errorf("a face that is %s is measured", name)
		}
	}
	if _, ok := pad.Look(pad.Image{Width: 500, Height: 500, Pixels: make([]byte, 9)}, middle); ok {
		t.Error("a picture without pixels is measured")
	}
}

// person is what a living face shows over two seconds of changing light.
func person() []pad.Sample {
	var list []pad.Sample
	for n := range 20 {
		s := pad.Sample{At: time.Duration(n) * 100 * time.Millisecond, Lit: true, Lids: [2]float64{.3, .3}}
		s.Cues = pad.Cues{Peak: 2.6, Dark: 20, Bright: 190, Chroma: 14, Edges: .5, Sharp: 2, Around: [3]float64{90, 90, 90}, Centre: [3]float64{100, 120, 150}, Rim: [3]float64{90, 110, 140}}
		shine := func(c *[3]float64, by float64) {
			k := 2
			if pad.Shining(s.At) == pad.Cool {
				k = 0
			}
			c[k] *= 1 + by
		}
		shine(&s.Cues.Centre, .2)
		shine(&s.Cues.Rim, .08)
		s.Marks = [5][2]float64{{100, 100}, {200, 100}, {150 + 3*math.Sin(float64(n)), 160}, {115, 210}, {185, 210}}
		list = append(list, s)
	}
	return list
}

// late gives each sample the picture that was due n frames before it, as a busy
// machine does.
func late(list []pad.Sample, n int) []pad.Sample {
	for i := len(list) - 1; i >= 0; i-- {
		list[i].Cues = list[max(0, i-n)].Cues
	}
	return list
}

func TestVerdict(t *testing.T) {
	each := func(change func(n int, s *pad.Sample)) []pad.Sample {
		list := person()
		for n := range list {
			change(n, &list[n])
		}
		return list
	}
	unlit := func(s *pad.Sample) {
		s.Cues.Centre, s.Cues.Rim = [3]float64{100, 120, 150}, [3]float64{90, 110, 140}
	}
	for _, c := range []struct {
		name    string
		samples []pad.Sample
		alarm   bool
		by      pad.Instrument
	}{
		{"a person", person(), false, ""},
		{"a person who blinks", each(func(n int, s *pad.Sample) {
			if n == 8 || n == 9 {
				s.Lids = [2]float64{.1, .1}
			}
		}), false, ""},
		{"a person in a light that comes late", late(person(), 5), false, ""},
		{"a face that takes no light", each(func(_ int, s *pad.Sample) { unlit(s) }), true, pad.Screen},
		{"which blinks", each(func(n int, s *pad.Sample) {
			unlit(s)
			if n == 8 {
				s.Lids = [2]float64{.1, .1}
			}
		}), true, pad.Video},
		{"a sheet", each(func(_ int, s *pad.Sample) {
			s.Cues.Rim = [3]float64{.9 * s.Cues.Centre[0], .9 * s.Cues.Centre[1], .9 * s.Cues.Centre[2]}
			s.Cues.Dark, s.Cues.Peak = 70, 4.6
		}), true, pad.Print},
		{"a grid and a frame, unlit", each(func(_ int, s *pad.Sample) { s.Lit, s.Cues.Peak, s.Cues.Edges = false, 6, .99 }), true, pad.Video},
		{"one frame of a person", person()[:1], false, ""},
	} {
		var j pad.Judge
		for _, s := range c.samples {
			j.Add(s)
		}
		v := j.Verdict()
		if !v.Evaluated || v.Score < 0 || v.Score > 1 || v.Score >= pad.Alarm != c.alarm || c.alarm && c.by != v.Instrument && v.By[c.by] < pad.Alarm {
			t.Errorf("%s: %v", c.name, v)
		}
	}
}

// What was not looked at is not genuine: it is not evaluated.
func TestNothingIsNotGenuine(t *testing.T) {
	var j pad.Judge
	j.Add(pad.Sample{Cues: pad.Cues{Peak: math.NaN()}})
	if v := j.Verdict(); v.Evaluated || v.String() != "not evaluated" {
		t.Errorf("%+v", v)
	}
	if j.Enough() {
		t.Error("nothing is enough")
	}
	for _, s := range person() {
		j.Add(s)
	}
	if !j.Enough() {
		t.Error("two seconds of both lights are not enough")
	}
}

// Whatever picture and box: no panic, and measures within their range.
func FuzzLook(f *testing.F) {
	f.Add(200, 10, 10, 100, 100, []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, width, x, y, w, h int, seed []byte) {
		if width < 1 || width > 300 || len(seed) == 0 {
			return
		}
		m := pad.Image{Width: width, Height: 200, Pixels: make([]byte, 3*width*200)}
		for i := range m.Pixels {
			m.Pixels[i] = seed[i%len(seed)]
		}
		if c, ok := pad.Look(m, pad.Box{X: x, Y: y, W: w, H: h}); ok && !c.Valid() {
			t.Errorf("%+v", c)
		}
	})
}

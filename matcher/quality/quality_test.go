package quality

import (
	"math"
	"testing"
)

const side = 192

// doll is a drawn face of which every measure can be spoilt.
type doll struct {
	yaw, pitch   float64 // degrees
	lids, lips   float64
	light        func(x, y int) float64 // of 1, by place
	blur         int
	glasses, mob bool // dark glass; a busy background
	eyes, inside float64
	roll         float64
}

func ideal() doll {
	return doll{lids: .3, lips: 0, light: func(int, int) float64 { return 1 }, eyes: 90, inside: 1}
}

// crop draws the doll: an ellipsoid of 48 × 64 pixels with eyes and a mouth.
func (d doll) crop() Crop {
	c := Crop{Side: side, Scale: 1, Pixels: make([]byte, 3*side*side), Mesh: make([]float32, 3*MeshPoints), EyeDistance: d.eyes, Inside: d.inside, Roll: d.roll}
	const cx, cy, rx, ry = 96, 96, 48, 64
	sy, cyaw := math.Sincos(d.yaw * math.Pi / 180)
	sp, cp := math.Sincos((d.pitch + levelPitch) * math.Pi / 180)
	put := func(i int, x, y, z float64) {
		x, z = x*cyaw+z*sy, -x*sy+z*cyaw
		y, z = y*cp+z*sp, -y*sp+z*cp
		c.Mesh[3*i], c.Mesh[3*i+1], c.Mesh[3*i+2] = float32(cx+x), float32(cy+y), float32(z)
	}
	for i := range MeshPoints { // those without a place of their own lie on a cheek
		put(i, 26, 10, -20)
	}
	for i, p := range oval {
		s, k := math.Sincos(float64(i) / float64(len(oval)) * 2 * math.Pi)
		put(p, rx*s, -ry*k, 0)
	}
	gap := d.lids * 16
	for _, e := range []struct {
		x                                      float64
		out, in, up1, low1, up2, low2, brow, u int
	}{{-20, 33, 133, 160, 144, 158, 153, 27, 230}, {20, 263, 362, 387, 373, 385, 380, 257, 450}} {
		a := math.Copysign(8, e.x)
		put(e.out, e.x+a, -14, -25)
		put(e.in, e.x-a, -14, -25)
		for k, p := range [2][2]int{{e.up1, e.low1}, {e.up2, e.low2}} {
			x := e.x + a/2 - float64(k)*a
			put(p[0], x, -14-gap/2, -25)
			put(p[1], x, -14+gap/2, -25)
		}
		put(e.brow, e.x, -22, -25)
		put(e.u, e.x, -5, -25)
	}
	put(50, -26, 10, -20)
	put(280, 26, 10, -20)
	put(1, 0, 8, -40)
	put(61, -14, 32, -25)
	put(291, 14, 32, -25)
	put(78, -12, 32, -25)
	put(308, 12, 32, -25)
	put(13, 0, 32-d.lips*12, -25)
	put(14, 0, 32+d.lips*12, -25)
	for i, p := range []int{164, 199, 18, 151, 108, 337} {
		put(p, []float64{0, 0, 0, 0, -15, 15}[i], []float64{25, 55, 40, -45, -42, -42}[i], -22)
	}
	at := func(list ...int) (m [2]float64) {
		for _, i := range list {
			m[0] += float64(c.Mesh[3*i]) / float64(len(list))
			m[1] += float64(c.Mesh[3*i+1]) / float64(len(list))
		}
		return m
	}
	c.Marks = [5][2]float64{at(33, 133), at(362, 263), at(1), at(61), at(291)}
	grey := make([]float64, side*side)
	for y := range side {
		for x := range side {
			dx, dy := float64(x-cx)/rx, float64(y-cy)/ry
			v := 150.
			switch {
			case dx*dx+dy*dy < 1:
				v = 170 - 40*dx*dx - 30*dy*dy
				if (x/3+y/3)%2 == 0 { // skin has texture
					v += 12
				}
				for _, e := range c.Marks[:2] {
					if math.Hypot(float64(x)-e[0], 2*(float64(y)-e[1])) < 9 {
						v = 225
						if math.Hypot(float64(x)-e[0], float64(y)-e[1]) < 4 {
							v = 30
						}
					}
				}
				if math.Hypot((float64(x)-cx)/3, float64(y)-128) < 4 {
					v = 70
				}
				if d.glasses && math.Abs(float64(y)-82) < 18 {
					v = 12
				}
			case d.mob:
				v = float64((x/6+y/5)%2) * 250
			}
			grey[y*side+x] = max(0, min(255, v*d.light(x, y)))
		}
	}
	for range d.blur {
		next := make([]float64, len(grey))
		for y := 1; y < side-1; y++ {
			for x := 1; x < side-1; x++ {
				for j := -1; j <= 1; j++ {
					for i := -1; i <= 1; i++ {
						next[y*side+x] += grey[(y+j)*side+x+i] / 9
					}
				}
			}
		}
		grey = next
	}
	for i, v := range grey {
		c.Pixels[3*i], c.Pixels[3*i+1], c.Pixels[3*i+2] = byte(v), byte(v), byte(v)
	}
	return c
}

func assess(d doll) Report {
	c := d.crop()
	return Assess(c, PoseOf(c))
}

// Each fault lowers its own component, and with it the unified score.
func TestComponents(t *testing.T) {
	good := assess(ideal())
	for c, v := range good.Values {
		if v < 40 {
			t.Errorf("a good picture's %s is %d", Component(c), v)
		}
	}
	for _, c := range []struct {
		component Component
		spoil     func(*doll)
	}{
		{Yaw, func(d *doll) { d.yaw = 45 }},
		{Yaw, func(d *doll) { d.yaw = -45 }},
		{Pitch, func(d *doll) { d.pitch = 40 }},
		{Pitch, func(d *doll) { d.pitch = -40 }},
		{Roll, func(d *doll) { d.roll = 40 }},
		{EyeDistance, func(d *doll) { d.eyes = 20 }},
		{Framing, func(d *doll) { d.inside = .7 }},
		{Sharpness, func(d *doll) { d.blur = 40 }},
		{Exposure, func(d *doll) { d.light = func(int, int) float64 { return .12 } }},
		{Exposure, func(d *doll) { d.light = func(int, int) float64 { return 4 } }},
		{Contrast, func(d *doll) { d.light = func(int, int) float64 { return .12 } }},
		{Uniformity, func(d *doll) {
			d.light = func(x, _ int) float64 {
				if x < 96 {
					return .3
				}
				return 1
			}
		}},
		{EyesOpen, func(d *doll) { d.lids = .05 }},
		{MouthClosed, func(d *doll) { d.lips = .5 }},
		{Unoccluded, func(d *doll) { d.glasses = true }},
		{Background, func(d *doll) { d.mob = true }},
	} {
		d := ideal()
		c.spoil(&d)
		bad := assess(d)
		if v := bad.Values[c.component]; v > 40 || v > good.Values[c.component]-20 {
			t.Errorf("%s spoilt is %d, good is %d", c.component, v, good.Values[c.component])
		}
		if weights[c.component] > 0 && bad.Unified >= good.Unified {
			t.Errorf("%s spoilt leaves the unified score at %d of %d", c.component, bad.Unified, good.Unified)
		}
	}
}

func TestPose(t *testing.T) {
	for _, c := range []struct{ yaw, pitch float64 }{{0, 0}, {20, 0}, {-30, 0}, {0, 15}, {0, -20}, {15, 10}} {
		d := ideal()
		d.yaw, d.pitch = c.yaw, c.pitch
		p := PoseOf(d.crop())
		if math.Abs(p.Yaw-c.yaw) > 6 || math.Abs(p.Pitch-c.pitch) > 6 {
			t.Errorf("yaw %.0f, pitch %.0f is seen as %.1f, %.1f", c.yaw, c.pitch, p.Yaw, p.Pitch)
		}
	}
	d := ideal()
	d.lids = .25
	if p := PoseOf(d.crop()); math.Abs(p.Lids[0]-.25) > .02 || math.Abs(p.Lids[1]-.25) > .02 || p.Lips > .01 {
		t.Errorf("lids %v, lips %.2f", p.Lids, p.Lips)
	}
	// Without a mesh the nose's place tells the yaw, and nothing else is known.
	c := d.crop()
	c.Mesh = nil
	r := Assess(c, PoseOf(c))
	for _, k := range NeedMesh {
		if r.Values[k] != Unmeasured {
			t.Errorf("%s is %d without a mesh", k, r.Values[k])
		}
	}
	if r.Values[Sharpness] == Unmeasured || !r.Valid() {
		t.Errorf("without a mesh: %+v", r)
	}
}

func TestNames(t *testing.T) {
	for c := range Count {
		if got, err := Parse(c.String()); err != nil || got != c {
			t.Errorf("%s is read as %v, %v", c, got, err)
		}
	}
	if _, err := Parse("beauty"); err == nil {
		t.Error("beauty is no component")
	}
	if (Report{Unified: 101}).Valid() {
		t.Error("101 of 100 is valid")
	}
}

// What a worker's model says is foreign too: nothing of it may panic.
func FuzzAssess(f *testing.F) {
	f.Add(float32(10), float32(20), float32(-5), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, x, y, z float32, b []byte) {
		c := Crop{Side: 32, Pixels: make([]byte, 3*32*32), Mesh: make([]float32, 3*MeshPoints), EyeDistance: float64(x), Roll: float64(y), Inside: float64(z)}
		copy(c.Pixels, b)
		for i := range c.Mesh {
			c.Mesh[i] = [3]float32{x, y, z}[i%3] * float32(1+i%7)
		}
		c.Marks = [5][2]float64{{float64(x), float64(y)}, {float64(y), float64(z)}, {float64(z), float64(x)}}
		if r := Assess(c, PoseOf(c)); !r.Valid() {
			t.Errorf("%+v", r)
		}
	})
}

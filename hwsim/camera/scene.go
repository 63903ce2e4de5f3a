package camera

import (
	"image"
	"image/draw"
	"math"
	"sync"
	"time"

	"passage/matcher/pad"
)

// Instrument is what a face is presented by. Each behaves as its kind does, as
// far as a picture can show it; none was photographed.
type Instrument string

// The instruments. A genuine face has depth, blinks, is never quite still and
// takes the light of the screen before it by its shape. A print is a flat sheet
// with a border, of less contrast, dots and one blink: none. A screen shines by
// itself, has a dark frame and a grid that beats against the camera's. A video
// is a screen whose face blinks and turns. A cut-out is a print along the outline
// of the head, with holes through which the wearer's eyes are seen. A mask has
// depth and takes light, but its lids do not move and its skin has no detail.
const (
	Genuine Instrument = ""
	Print   Instrument = "print"
	Screen  Instrument = "screen"
	Video   Instrument = "video"
	Cutout  Instrument = "cut-out"
	Mask    Instrument = "mask"
)

// Instruments are all that are no genuine face.
var Instruments = []Instrument{Print, Screen, Video, Cutout, Mask}

// Light is what the traveller's screen adds to the light on a face, by red,
// green and blue: 0 for none, 1 for as much as the lane's own.
type Light [3]float64

// Where a portrait in passport framing has what moves, in parts of its width
// and height.
var (
	eyes = [2][2]float64{{.375, .42}, {.625, .42}}
	lids = [2]float64{.12, .05}
	head = [4]float64{.5, .5, .27, .36} // middle and radii
)

// pose is how a head is held at a moment.
type pose struct {
	yaw, pitch, shut float64
}

// alive is how a person moves: turning and nodding a little, blinking every
// three seconds for a fifth of one.
func alive(t float64) pose {
	p := pose{yaw: .16*math.Sin(1.1*t) + .05*math.Sin(2.9*t), pitch: .08 * math.Cos(.8*t)}
	if b := math.Mod(t+1.7, 3.1); b < .3 {
		p.shut = math.Sin(b / .3 * math.Pi)
	}
	return p
}

// reliefSide is the relief's width in points; it is as high as it is wide.
const reliefSide = 192

// relief is depth at every point of a portrait.
var relief = sync.OnceValue(func() *[reliefSide * reliefSide]float64 {
	var r [reliefSide * reliefSide]float64
	for i := range r {
		r[i] = depth(float64(i%reliefSide)/reliefSide, float64(i/reliefSide)/reliefSide)
	}
	return &r
})

// depth is how far a point of a portrait stands out, 0 at the head's outline
// and beyond, 1 at the tip of the nose.
func depth(u, v float64) float64 {
	x, y := (u-head[0])/head[2], (v-head[1])/head[3]
	r := x*x + y*y
	if r >= 1 {
		return 0
	}
	nx, ny := (u-.5)/.06, (v-.56)/.08
	return .65*math.Sqrt(1-r) + .35*math.Exp(-nx*nx-ny*ny)
}

// Paint draws a scene at a moment t: people sway, near, turn a little and blink,
// under changing light and with noise.
func Paint(img *image.RGBA, s Scene, t time.Duration) {
	at := t.Seconds()
	n := int(at*rate + .5)
	backdrop(img, n)
	for k, f := range s.Faces {
		rgba := pixels(f)
		size := .74 + .02*math.Sin(at)
		x := .5 + .008*math.Sin(1.3*at) + s.Aside
		y := .5 + .005*math.Cos(.9*at)
		if len(s.Faces) > 1 {
			size *= .6
			x = .28 + .44*float64(k) + .008*math.Sin(1.3*at)
		}
		size /= 1 + s.Away
		face(img, rgba, s, x*Width, y*Height, size*Width, at)
	}
	if len(s.Faces) == 0 {
		return
	}
	var curve [9][256]uint8 // light and grain together
	light := .94 + .06*math.Sin(.5*at)
	for g := range curve {
		for v := range curve[g] {
			curve[g][v] = uint8(max(0, min(255, float64(v)*light+float64(g)-4)))
		}
	}
	noise := uint32(n)*2654435761 + 1 // without any pattern: a pattern is what attack detection looks for
	for i := 0; i < len(img.Pix); i += 4 {
		noise ^= noise << 13
		noise ^= noise >> 17
		noise ^= noise << 5
		c := &curve[noise>>8%9]
		img.Pix[i], img.Pix[i+1], img.Pix[i+2] = c[img.Pix[i]], c[img.Pix[i+1]], c[img.Pix[i+2]]
	}
}

// pixels is an image as its pixels.
func pixels(f image.Image) *image.RGBA {
	if rgba, ok := f.(*image.RGBA); ok && rgba.Rect.Min == (image.Point{}) {
		return rgba
	}
	b := f.Bounds()
	rgba := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(rgba, rgba.Rect, f, b.Min, draw.Src)
	return rgba
}

// grey is the mean level, of 255, to which a camera brings a bright face, so that
// it has room for the screen's light.
const grey = 120

// exposure is by how much a camera turns a portrait down: a studio's light may
// have left nothing that could get brighter, and a face that cannot takes the
// lane's light as a sheet does.
func exposure(f *image.RGBA) float64 {
	const grid = 24
	sum, n := 0, 0
	for i := range grid * grid {
		u, v := (float64(i%grid)+.5)/grid, (float64(i/grid)+.5)/grid
		if within(u, v) {
			p := f.PixOffset(int(u*float64(f.Rect.Dx())), int(v*float64(f.Rect.Dy())))
			sum += (299*int(f.Pix[p]) + 587*int(f.Pix[p+1]) + 114*int(f.Pix[p+2])) / 1000
			n++
		}
	}
	return min(1, grey*float64(n)/float64(max(sum, 1)))
}

// backdrop is the lane behind the person.
func backdrop(img *image.RGBA, n int) {
	noise := uint32(n)*2246822519 + 1
	for y := range Height {
		v := uint8(96 + y/16)
		i := img.PixOffset(0, y)
		for range Width {
			noise ^= noise << 13
			noise ^= noise >> 17
			noise ^= noise << 5
			grain := uint8(noise >> 8 % 5)
			img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = v+grain, v+8+grain, v+16+grain, 255
			i += 4
		}
	}
}

// face draws one face of a width, its middle at (cx, cy).
func face(img, f *image.RGBA, s Scene, cx, cy, width, t float64) {
	w, h := float64(f.Rect.Dx()), float64(f.Rect.Dy())
	half := [2]float64{width / 2, width / 2 * h / w}
	var p pose
	tilt := .03*math.Sin(.7*t) + s.Tilt*math.Pi/180
	squeeze := 1.0 // of a sheet that is turned
	border := 0.0  // around the portrait, in parts of its width
	switch s.By {
	case Genuine, Video:
		p = alive(t)
	case Mask:
		p = alive(t)
		p.shut = 0
	case Print:
		tilt += .05 * math.Sin(1.7*t)
		squeeze, border = 1+.05*math.Sin(1.9*t), .07
	case Cutout: // on a head that turns, as far as a sheet can
		p = pose{shut: alive(t).shut}
		squeeze = 1 + .05*math.Sin(1.9*t)
	}
	if s.By == Screen || s.By == Video {
		tilt += .02 * math.Sin(1.1*t)
		border = .1
	}
	flat := border > 0 || s.By == Cutout
	heights, exposed := relief(), exposure(f)
	cos, sin := math.Cos(tilt), math.Sin(tilt)
	reach := math.Hypot(half[0], half[1]) * (1 + 2*border)
	for y := max(0, int(cy-reach)); y < min(Height, int(cy+reach)); y++ {
		for x := max(0, int(cx-reach)); x < min(Width, int(cx+reach)); x++ {
			dx, dy := float64(x)-cx, float64(y)-cy
			u := (cos*dx+sin*dy)*squeeze/(2*half[0]) + .5
			v := (cos*dy-sin*dx)/(2*half[1]) + .5
			i := img.PixOffset(x, y)
			if u < 0 || u >= 1 || v < 0 || v >= 1 {
				if flat && u > -border && u < 1+border && v > -border && v < 1+border {
					edge(img.Pix[i:i+3:i+3], s)
				}
				continue
			}
			alpha := 1.0
			if !flat { // a head, not a rectangle: hair and shoulders end softly
				ex, ey := (u-.5)/.46, (v-.56)/.56
				alpha = min(1, max(0, (1-math.Sqrt(ex*ex+ey*ey))*6))
				if alpha == 0 {
					continue
				}
			}
			if s.By == Cutout && !within(u, v) {
				continue
			}
			z := 0.0
			if p.yaw != 0 || s.Light != (Light{}) && !flat {
				z = heights[int(v*reliefSide)*reliefSide+int(u*reliefSide)]
			}
			su, sv := u-p.yaw*z*.2, v-p.pitch*z*.12
			if p.shut > 0 {
				sv = lid(su, sv, p.shut)
			}
			c := sample(f, su*w, sv*h)
			for k := range c {
				c[k] *= exposed
			}
			if s.By != Cutout || !hole(u, v) { // behind a hole is skin and eye
				surface(&c, s, z, float64(x), float64(y))
			}
			for k := range 3 {
				was := float64(img.Pix[i+k])
				img.Pix[i+k] = uint8(max(0, min(255, was+(c[k]-was)*alpha)))
			}
		}
	}
}

// within says whether a point lies in the outline of the head.
func within(u, v float64) bool {
	x, y := (u-head[0])/head[2], (v-head[1])/head[3]
	return x*x+y*y < 1
}

// hole says whether a point lies where a cut-out has its holes.
func hole(u, v float64) bool {
	for _, e := range eyes {
		x, y := (u-e[0])/(.8*lids[0]), (v-e[1])/lids[1]
		if x*x+y*y < 1 {
			return true
		}
	}
	return false
}

// lid draws the skin above an eye over it: where an eye is, what is shown
// comes from above it, less and less towards its rim.
func lid(u, v, shut float64) float64 {
	for _, e := range eyes {
		x, y := (u-e[0])/lids[0], (v-e[1])/lids[1]
		if r := x*x + y*y; r < 1 {
			return v - shut*lids[1]*1.25*(1-r*r)
		}
	}
	return v
}

// sample is the portrait's colour between its pixels.
func sample(f *image.RGBA, x, y float64) [3]float64 {
	x, y = x-.5, y-.5
	x0, y0 := math.Floor(x), math.Floor(y)
	fx, fy := x-x0, y-y0
	w, h := f.Rect.Dx()-1, f.Rect.Dy()-1
	xa, ya := min(max(int(x0), 0), w), min(max(int(y0), 0), h)
	xb, yb := min(xa+1, w), min(ya+1, h)
	a, b, c, d := f.Pix[ya*f.Stride+4*xa:], f.Pix[ya*f.Stride+4*xb:], f.Pix[yb*f.Stride+4*xa:], f.Pix[yb*f.Stride+4*xb:]
	var out [3]float64
	for k := range out {
		top := float64(a[k])*(1-fx) + float64(b[k])*fx
		bottom := float64(c[k])*(1-fx) + float64(d[k])*fx
		out[k] = top*(1-fy) + bottom*fy
	}
	return out
}

// edge is what surrounds the portrait on its instrument.
func edge(p []uint8, s Scene) {
	switch s.By {
	case Print: // white paper takes the screen's light whole
		for k := range p {
			p[k] = uint8(min(255, 225*(1+.25*s.Light[k])))
		}
	default:
		p[0], p[1], p[2] = 14, 14, 16
	}
}

// surface changes a portrait's colour to what the instrument makes of it.
func surface(c *[3]float64, s Scene, z, x, y float64) {
	switch s.By {
	case Genuine, Mask:
		// What is nearer and faces the screen gets more of its light.
		for k := range c {
			c[k] *= 1 + s.Light[k]*(.06+.34*z)
		}
		if s.By == Mask {
			m := (c[0] + c[1] + c[2]) / 3
			for k, tone := range [3]float64{182, 148, 128} {
				c[k] = .55*c[k] + .25*m + .2*tone + 30*max(0, z-.8)
			}
		}
	case Print, Cutout:
		m := (c[0] + c[1] + c[2]) / 3
		dots := 9 * math.Sin(x*1.9+y*.5) * math.Sin(y*1.9-x*.5)
		for k := range c {
			c[k] = (.75*c[k]+.25*m)*.62 + 62 + dots
			c[k] *= 1 + .25*s.Light[k]
		}
	case Screen, Video:
		beat := [3]float64{
			11 * math.Sin(x*1.31+y*.07) * math.Sin(y*1.27), 11 * math.Sin(x*1.31+y*.07+2) * math.Sin(y*1.27), 11 * math.Sin(x*1.31+y*.07+4) * math.Sin(y*1.27),
		}
		gain := [3]float64{.93, 1, 1.1}
		for k := range c {
			c[k] = c[k]*gain[k] + 8 + beat[k]
		}
	}
}

// Shine is the light of a traveller's screen that shows a colour of the lane's
// attack detection.
func Shine(l pad.Light) Light {
	switch l {
	case pad.Warm:
		return Light{1, .6, .2}
	case pad.Cool:
		return Light{.2, .6, 1}
	}
	return Light{}
}

// Package pad looks for presentation attacks: faces that are shown to the
// camera by a print, a screen, a video or a mask instead of being there.
//
// It is a weak detector and is built to be used as one: its score may call an
// officer and never lets anybody in. An installation that needs a claim under
// ISO/IEC 30107-3 adds a certified engine. What it has is several cues that are
// independent of each other: the spectrum of a recapture, tones and colours,
// the edges of a sheet or a screen, a plane's motion, blinks, and what the
// face does with light that the lane itself changes.
//
// Look measures one frame, in the process that sees it. A Judge gathers what
// was measured over the time that a person stands there.
package pad

import (
	"math"
	"math/cmplx"
	"slices"
)

// Image is 8-bit pixels, blue, green, red, row by row.
type Image struct {
	Width, Height int
	Pixels        []byte
}

// Box is where the face is, in pixels; it may reach beyond the picture.
type Box struct{ X, Y, W, H int }

// Cues are what one frame shows of a face. Levels are 0 to 255.
type Cues struct {
	// Peak is how far the strongest regular patterns stand out of the
	// spectrum of their frequency, in powers of e: about 2 for skin. 0 where
	// the face is too small to say.
	Peak float64 `json:"peak"`
	// Dark and Bright are the 2nd and the 98th percentile of the face.
	Dark   float64 `json:"dark"`
	Bright float64 `json:"bright"`
	// Chroma is how much the colours of the face differ, as a standard
	// deviation.
	Chroma float64 `json:"chroma"`
	// Edges is how much of two sides of a frame around the face is there, 0
	// to 1.
	Edges float64 `json:"edges"`
	// Sharp is the mean absolute second difference: detail of the skin.
	Sharp float64 `json:"sharp"`
	// Mean colours, blue, green, red: of the middle of the face, of its rim,
	// and of what is around it.
	Centre [3]float64 `json:"centre"`
	Rim    [3]float64 `json:"rim"`
	Around [3]float64 `json:"around"`
}

// Valid says whether a worker could have measured this.
func (c Cues) Valid() bool {
	for _, v := range []float64{c.Dark, c.Bright, c.Chroma, c.Sharp, c.Centre[0], c.Centre[1], c.Centre[2], c.Rim[0], c.Rim[1], c.Rim[2], c.Around[0], c.Around[1], c.Around[2]} {
		if !(v >= 0 && v <= 255) {
			return false
		}
	}
	return c.Edges >= 0 && c.Edges <= 1 && c.Peak >= 0 && c.Peak < 100
}

// smallest is the side of a face, in pixels, below which nothing is measured.
const smallest = 64

// Look measures a face. ok is false where it is too small or not in the
// picture.
func Look(m Image, b Box) (c Cues, ok bool) {
	if m.Width < 1 || m.Height < 1 || len(m.Pixels) != 3*m.Width*m.Height || b.W < smallest || b.H < smallest || b.W > 4*m.Width || b.H > 4*m.Height {
		return Cues{}, false
	}
	cx, cy := b.X+b.W/2, b.Y+b.H/2
	if cx < 0 || cy < 0 || cx >= m.Width || cy >= m.Height {
		return Cues{}, false
	}
	c.tones(m, b)
	c.Peak = peak(m, cx, cy, b)
	c.Edges = edges(m, cx, cy, b)
	return c, true
}

// at is a pixel's luminance; beyond the picture its edge goes on.
func (m Image) at(x, y int) float64 {
	p := m.Pixels[3*(min(max(y, 0), m.Height-1)*m.Width+min(max(x, 0), m.Width-1)):]
	return .114*float64(p[0]) + .587*float64(p[1]) + .299*float64(p[2])
}

// tones measures levels and colours: of the middle of the face (an ellipse of
// half its size), of its rim, and of a ring around it.
func (c *Cues) tones(m Image, b Box) {
	var count [3]float64
	var sum [3][3]float64
	var tones [256]int
	var cb, cb2, cr, cr2, n, detail float64
	step := max(1, b.W/96)
	for y := b.Y - b.H/2; y < b.Y+b.H+b.H/2; y += step {
		for x := b.X - b.W/2; x < b.X+b.W+b.W/2; x += step {
			if x < 1 || y < 1 || x >= m.Width-1 || y >= m.Height-1 {
				continue
			}
			dx, dy := float64(2*(x-b.X)-b.W)/float64(b.W), float64(2*(y-b.Y)-b.H)/float64(b.H)
			r := dx*dx + dy*dy
			zone := 2
			switch {
			case r < .25:
				zone = 0
			case r < .55:
				continue
			case r < 1:
				zone = 1
			case r < 2:
				continue
			}
			p := m.Pixels[3*(y*m.Width+x):]
			for k := range 3 {
				sum[zone][k] += float64(p[k])
			}
			count[zone]++
			if zone == 2 {
				continue
			}
			l := m.at(x, y)
			tones[int(l)]++
			u, v := float64(p[0])-l, float64(p[2])-l
			cb, cb2, cr, cr2 = cb+u, cb2+u*u, cr+v, cr2+v*v
			detail += math.Abs(4*l - m.at(x-1, y) - m.at(x+1, y) - m.at(x, y-1) - m.at(x, y+1))
			n++
		}
	}
	for z, mean := range []*[3]float64{&c.Centre, &c.Rim, &c.Around} {
		for k := range 3 {
			mean[k] = sum[z][k] / max(count[z], 1)
		}
	}
	if n == 0 {
		return
	}
	c.Chroma = math.Sqrt(max(0, cb2/n-cb/n*cb/n) + max(0, cr2/n-cr/n*cr/n))
	c.Sharp = min(255, detail/n/4)
	c.Dark, c.Bright = percentile(tones[:], .02), percentile(tones[:], .98)
}

func percentile(count []int, part float64) float64 {
	total := 0
	for _, n := range count {
		total += n
	}
	left := int(part * float64(total))
	for v, n := range count {
		if left -= n; left < 0 {
			return float64(v)
		}
	}
	return 255
}

// window is the side of what is transformed: a power of two.
const window = 128

// peak looks for what skin does not have: regular patterns, of a print's dots
// or of two grids that beat.
func peak(m Image, cx, cy int, b Box) float64 {
	if b.W < window*5/4 || b.H < window*5/4 { // hair and background have patterns
		return 0
	}
	var f [window][window]complex128
	mean := 0.0
	for y := range window {
		for x := range window {
			l := m.at(cx+x-window/2, cy+y-window/2)
			f[y][x] = complex(l, 0)
			mean += l / (window * window)
		}
	}
	var bell [window]float64
	for i := range bell {
		bell[i] = .5 - .5*math.Cos(2*math.Pi*float64(i)/window)
	}
	for y := range window {
		for x := range window {
			f[y][x] = complex((real(f[y][x])-mean)*bell[x]*bell[y], 0)
		}
		fft(f[y][:])
	}
	// Rings of frequencies from a sixth of the sampling rate on: below it are
	// the features of a face. A JPEG's blocks have theirs on the axes and at
	// multiples of an eighth. The lower half repeats the upper one.
	const from, to = window / 6, window / 2
	var column [window]complex128
	var sum, n [to]float64
	type bin struct {
		ring  int
		power float64
	}
	bins := make([]bin, 0, window*window/2)
	for k := range window {
		x := (k+window/2)%window - window/2
		if x > -3 && x < 3 || x >= to {
			continue
		}
		for y := range window {
			column[y] = f[y][k]
		}
		fft(column[:])
		for y := 3; y < window/2; y++ {
			r := int(math.Sqrt(float64(x*x + y*y)))
			if r < from || r >= to || x&15 == 0 && y&15 == 0 {
				continue
			}
			re, im := real(column[y]), imag(column[y])
			p := math.Log(re*re + im*im + 1)
			sum[r] += p
			n[r]++
			bins = append(bins, bin{r, p})
		}
	}
	var most [6]float64 // excesses over the ring's mean, the highest first
	for i := range most {
		most[i] = math.Inf(-1)
	}
	for _, b := range bins {
		v := b.power - sum[b.ring]/n[b.ring]
		for i := range most {
			if v > most[i] {
				v, most[i] = most[i], v
			}
		}
	}
	top := 0.0
	for _, v := range most {
		top += v / 6
	}
	return max(0, top)
}

// fft transforms a in place; its length is a power of two.
func fft(a []complex128) {
	n := len(a)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			a[i], a[j] = a[j], a[i]
		}
	}
	for size := 2; size <= n; size <<= 1 {
		w := cmplx.Rect(1, -2*math.Pi/float64(size))
		for i := 0; i < n; i += size {
			t := complex(1, 0)
			for k := range size / 2 {
				u, v := a[i+k], a[i+k+size/2]*t
				a[i+k], a[i+k+size/2] = u+v, u-v
				t *= w
			}
		}
	}
}

// grid is the side of the small picture in which edges are sought.
const grid = 120

// edges looks for a straight border around the face: how much of the two best
// sides, of left, right, top and bottom, shows a step of one direction.
func edges(m Image, cx, cy int, b Box) float64 {
	scale := 2.6 * float64(max(b.W, b.H)) / grid
	var l [grid][grid]float64
	for y := range grid {
		for x := range grid {
			l[y][x] = m.at(cx+int((float64(x)-grid/2)*scale), cy+int((float64(y)-grid/2)*scale))
		}
	}
	const step, lean = 14, 10 // a border's least step; half a degree a unit over the grid
	// Which way each point steps, across and down; absent is beyond the picture.
	const absent = 2
	var across, down [grid][grid]int8
	for y := 1; y < grid-1; y++ {
		for x := 1; x < grid-1; x++ {
			px, py := cx+int((float64(x)-grid/2)*scale), cy+int((float64(y)-grid/2)*scale)
			if px < 0 || py < 0 || px >= m.Width || py >= m.Height {
				across[y][x], down[x][y] = absent, absent
				continue
			}
			across[y][x], down[x][y] = sign(l[y][x+1]-l[y][x-1], step), sign(l[y+1][x]-l[y-1][x], step)
		}
	}
	line := func(from, to int, upright bool) float64 {
		steps := &across
		if !upright {
			steps = &down // turned, so that a line always runs down
		}
		best := 0.0
		for c := from; c < to; c++ {
			for t := -lean; t <= lean; t++ {
				up, falls, n := 0, 0, 0
				for i := grid / 6; i < grid*5/6; i++ {
					x := c + t*(i-grid/2)/grid
					if x < 1 || x >= grid-1 {
						continue
					}
					switch steps[i][x] {
					case absent:
						continue
					case 1:
						up++
					case -1:
						falls++
					}
					n++
				}
				if n > grid/3 {
					best = max(best, float64(max(up, falls))/float64(n))
				}
			}
		}
		return best
	}
	half := int(float64(b.W) / scale / 2)
	tall := int(float64(b.H) / scale / 2)
	sides := []float64{
		line(2, grid/2-half-half/6, true), line(grid/2+half+half/6, grid-2, true),
		line(2, grid/2-tall-tall/6, false), line(grid/2+tall+tall/6, grid-2, false),
	}
	slices.Sort(sides)
	return (sides[2] + sides[3]) / 2
}

// sign is 1 or -1 for a step that exceeds the least one, else 0.
func sign(v, least float64) int8 {
	switch {
	case v > least:
		return 1
	case v < -least:
		return -1
	}
	return 0
}

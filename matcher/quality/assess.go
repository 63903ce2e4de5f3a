package quality

import "math"

// MeshPoints is how many points the face mesh has, three numbers each.
const MeshPoints = 468

// Crop is a square picture of one face, eyes level, 1.5 times as wide as the
// face. Positions are pixels of the crop.
type Crop struct {
	Side   int
	Scale  float64       // pixels of the crop for one of the frame
	Pixels []byte        // blue, green, red, row by row
	Mesh   []float32     // x, y, z of MeshPoints; none without such a model
	Marks  [5][2]float64 // eyes, nose, corners of the mouth
	// Of the frame: pixels between the eyes, degrees of roll, and the part of
	// the face's box that lies within.
	EyeDistance, Roll, Inside float64
}

// Pose is how a face is held, from its mesh. Angles are degrees.
type Pose struct {
	Yaw, Pitch float64
	Lids       [2]float64
	Lips       float64
	Known      bool // false without a mesh: only Yaw is estimated
}

// levelPitch is the mesh's forehead-to-chin tilt of a face that looks straight
// ahead, in degrees.
const levelPitch = -5

// PoseOf measures how a face is held.
func PoseOf(c Crop) Pose {
	if len(c.Mesh) != 3*MeshPoints {
		// The nose leaves the middle between the eyes by about 0.6 of the eye
		// distance times the sine of the yaw.
		eyes := c.Marks[1][0] - c.Marks[0][0]
		if eyes < 1 {
			return Pose{}
		}
		off := (c.Marks[2][0] - (c.Marks[0][0]+c.Marks[1][0])/2) / eyes / 0.6
		return Pose{Yaw: math.Asin(max(-1, min(1, off))) * 180 / math.Pi}
	}
	at := func(i int) vec { return vec{float64(c.Mesh[3*i]), float64(c.Mesh[3*i+1]), float64(c.Mesh[3*i+2])} }
	across := at(263).minus(at(33)).plus(at(454).minus(at(234))).plus(at(291).minus(at(61)))
	down := at(152).minus(at(10))
	normal := across.cross(down) // into the picture, since y points down
	p := Pose{Known: true}
	if normal[2] != 0 || normal[0] != 0 {
		p.Yaw = math.Atan2(-across[2], across[0]) * 180 / math.Pi
		p.Pitch = math.Atan2(-down[2], down[1])*180/math.Pi - levelPitch
	}
	gap := func(a, b int) float64 { return math.Sqrt(at(a).minus(at(b)).square()) }
	ratio := func(out, in, up1, low1, up2, low2 int) float64 {
		return (gap(up1, low1) + gap(up2, low2)) / (2 * max(gap(out, in), 1e-6))
	}
	p.Lids = [2]float64{ratio(33, 133, 160, 144, 158, 153), ratio(263, 362, 387, 373, 385, 380)}
	p.Lips = gap(13, 14) / max(gap(78, 308), 1e-6)
	return p
}

type vec [3]float64

func (a vec) minus(b vec) vec { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func (a vec) plus(b vec) vec  { return vec{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func (a vec) square() float64 { return a[0]*a[0] + a[1]*a[1] + a[2]*a[2] }
func (a vec) cross(b vec) vec {
	return vec{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// scaled maps v linearly: bad or worse is 0, good or better is 100.
func scaled(v, bad, good float64) int {
	return int(math.Round(100 * max(0, min(1, (v-bad)/(good-bad)))))
}

// Assess judges a crop. What needs a mesh is Unmeasured without one.
func Assess(c Crop, p Pose) Report {
	var v [Count]int
	for i := range v {
		v[i] = Unmeasured
	}
	// A face turned by the angle shows its cosine: ISO/IEC 29794-5's measure.
	turned := func(degrees, worst float64) int {
		return scaled(math.Cos(degrees*math.Pi/180), math.Cos(worst*math.Pi/180), 1)
	}
	v[Yaw] = turned(p.Yaw, 50)
	v[Roll] = turned(c.Roll, 45)
	// As it would be from the front: a turned face is not a far one.
	v[EyeDistance] = scaled(c.EyeDistance/max(0.4, math.Cos(p.Yaw*math.Pi/180)), 10, 90)
	v[Framing] = scaled(c.Inside, 0.6, 1)
	if c.Side > 0 && len(c.Pixels) == 3*c.Side*c.Side {
		pixels(c, p, &v)
	}
	if p.Known {
		v[Pitch] = turned(p.Pitch, 45)
		v[EyesOpen] = scaled(min(p.Lids[0], p.Lids[1]), 0.08, 0.22)
		v[MouthClosed] = scaled(p.Lips, 0.5, 0.05)
	}
	return New(v)
}

// oval is the mesh's outline of the face.
var oval = [...]int{
	10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
	152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
}

// pixels judges light, sharpness, occlusion and background.
func pixels(c Crop, p Pose, v *[Count]int) {
	grey := make([]uint8, c.Side*c.Side)
	for i := range grey {
		b := c.Pixels[3*i:]
		grey[i] = uint8((29*int(b[0]) + 150*int(b[1]) + 77*int(b[2])) >> 8)
	}
	face := outline(c)
	var left, right [256]float64 // of the picture
	var nl, nr float64
	for y := 0; y < c.Side; y += 2 {
		from, to := face(float64(y))
		middle := float64(from+to) / 2
		for x := max(0, from); x < min(c.Side, to); x += 2 {
			g := grey[y*c.Side+x]
			if float64(x) < middle {
				left[g]++
				nl++
			} else {
				right[g]++
				nr++
			}
		}
	}
	if nl < 50 || nr < 50 {
		return
	}
	var all [256]float64
	for i := range all {
		all[i] = left[i] + right[i]
	}
	n := nl + nr
	// Exposure: neither too dark nor too bright on the whole, and little of
	// the face lost to black or white.
	var mean, dark, bright float64
	for i, k := range all {
		mean += float64(i) * k / n
		if i <= 25 {
			dark += k / n
		}
		if i >= 250 {
			bright += k / n
		}
	}
	level := min(scaled(mean, 15, 70), scaled(mean, 250, 200))
	v[Exposure] = min(level, scaled(dark, 0.9, 0.3), scaled(bright, 0.5, 0.1))
	// Contrast: between the 5th and the 95th percentile.
	v[Contrast] = scaled(percentile(all, n, .95)-percentile(all, n, .05), 10, 90)
	// Uniformity: how far the halves' histograms overlap, in steps of 16 so
	// that noise does not count.
	var common float64
	for i := 0; i < 256; i += 16 {
		var l, r float64
		for j := range 16 {
			l, r = l+left[i+j]/nl, r+right[i+j]/nr
		}
		common += min(l, r)
	}
	v[Uniformity] = scaled(common, 0.1, 0.7)
	v[Sharpness] = sharpness(c.Side, grey, face)
	if p.Known {
		v[Unoccluded] = unoccluded(c, grey)
	}
	v[Background] = background(c, grey, face)
}

// outline says for a row where the face begins and ends: the mesh's oval, or
// an ellipse about the five points.
func outline(c Crop) func(y float64) (int, int) {
	if len(c.Mesh) != 3*MeshPoints {
		eyes := math.Hypot(c.Marks[1][0]-c.Marks[0][0], c.Marks[1][1]-c.Marks[0][1])
		cx, cy := c.Marks[2][0], c.Marks[2][1]-0.1*eyes
		return func(y float64) (int, int) {
			d := (y - cy) / (1.4 * eyes)
			if d*d >= 1 {
				return 0, 0
			}
			w := eyes * math.Sqrt(1-d*d)
			return int(cx - w), int(cx + w)
		}
	}
	return func(y float64) (int, int) {
		from, to := math.Inf(1), math.Inf(-1)
		for i, a := range oval {
			b := oval[(i+1)%len(oval)]
			ax, ay := float64(c.Mesh[3*a]), float64(c.Mesh[3*a+1])
			bx, by := float64(c.Mesh[3*b]), float64(c.Mesh[3*b+1])
			if (ay <= y) == (by <= y) {
				continue
			}
			x := ax + (bx-ax)*(y-ay)/(by-ay)
			from, to = min(from, x), max(to, x)
		}
		if !(from < to) {
			return 0, 0
		}
		return int(max(from, 0)), int(min(to, float64(c.Side)))
	}
}

func percentile(h [256]float64, n, p float64) float64 {
	var sum float64
	for i, k := range h {
		if sum += k; sum >= p*n {
			return float64(i)
		}
	}
	return 255
}

// sharpness compares the energy of the smallest details (the Laplacian after a
// smoothing that takes noise away) with that of all details, so that the light
// does not matter. A face that had to be enlarged has none.
func sharpness(side int, grey []uint8, face func(float64) (int, int)) int {
	smooth := func(x, y int) float64 {
		i := y*side + x
		return (4*float64(grey[i]) + 2*(float64(grey[i-1])+float64(grey[i+1])+float64(grey[i-side])+float64(grey[i+side])) +
			float64(grey[i-side-1]) + float64(grey[i-side+1]) + float64(grey[i+side-1]) + float64(grey[i+side+1])) / 16
	}
	var lap, sum, square, n float64
	for y := 4; y < side-4; y += 2 {
		from, to := face(float64(y))
		for x := max(4, from+2); x < min(side-4, to-2); x += 2 {
			v := smooth(x, y)
			l := smooth(x-2, y) + smooth(x+2, y) + smooth(x, y-2) + smooth(x, y+2) - 4*v
			lap += l * l
			sum += v
			square += v * v
			n++
		}
	}
	if n < 50 {
		return Unmeasured
	}
	variance := square/n - sum/n*sum/n
	if variance < 1 {
		return 0
	}
	return scaled(math.Log10(max(lap/n/variance, 1e-6)), -2.2, -0.2)
}

// patch is the mean of a small square, by channel; blue, green, red.
func (c Crop) patch(x, y, half int) (bgr [3]float64) {
	n := 0.
	for j := max(0, y-half); j <= min(c.Side-1, y+half); j++ {
		for i := max(0, x-half); i <= min(c.Side-1, x+half); i++ {
			b := c.Pixels[3*(j*c.Side+i):]
			bgr[0], bgr[1], bgr[2], n = bgr[0]+float64(b[0]), bgr[1]+float64(b[1]), bgr[2]+float64(b[2]), n+1
		}
	}
	for i := range bgr {
		bgr[i] /= max(n, 1)
	}
	return bgr
}

// unoccluded compares with the cheeks what ought to look like them: chin,
// upper lip, forehead and the skin about the eyes. Glasses, a mask, a hat or a
// hand is darker, brighter or of another colour. It is a cue, not a
// segmentation: a skin-coloured hand passes.
func unoccluded(c Crop, grey []uint8) int {
	at := func(i int) (int, int) { return int(c.Mesh[3*i]), int(c.Mesh[3*i+1]) }
	half := max(1, c.Side/64)
	look := func(i int) [3]float64 {
		x, y := at(i)
		return c.patch(x, y, half)
	}
	light := func(p [3]float64) float64 { return .114*p[0] + .587*p[1] + .299*p[2] }
	// The brighter half of the face sets the measure on either side.
	l, r := look(280), look(50)
	cheek := max(light(l), light(r), 1)
	alike := func(bad, good float64, points ...int) int {
		worst := 100
		for _, i := range points {
			p, side := look(i), l
			if float64(c.Mesh[3*i]) < c.Marks[2][0] {
				side = r
			}
			d := math.Abs(math.Log(max(light(p), 1) / max(light(side), 1)))
			worst = min(worst, scaled(d, bad, good))
		}
		return worst
	}
	// Between eye and brow, and under the eye: dark glass covers both.
	eyes := min(alike(2.4, 1, 27, 257), alike(2, .8, 230, 450))
	// Sunglasses leave no white of the eye either: the brightest spot between
	// the corners of the eyes.
	var brightest float64
	for _, e := range [2][2]int{{33, 133}, {362, 263}} {
		ax, ay := at(e[0])
		bx, _ := at(e[1])
		var m uint8
		for y := max(0, ay-2*half); y <= min(c.Side-1, ay+2*half); y++ {
			for x := max(0, min(ax, bx)); x <= min(c.Side-1, max(ax, bx)); x++ {
				m = max(m, grey[y*c.Side+x])
			}
		}
		brightest = max(brightest, float64(m))
	}
	eyes = min(eyes, scaled(brightest/cheek, .25, .6))
	// Beards and fringes are nobody's fault: only what is far darker counts.
	mouth := alike(2.4, 1.3, 164, 199, 18)
	forehead := alike(2.4, 1.4, 151, 108, 337)
	return min(eyes, mouth, forehead)
}

// background is how even the picture is outside the face, in the upper half
// where no clothes are.
func background(c Crop, grey []uint8, face func(float64) (int, int)) int {
	var edges, n float64
	margin := c.Side / 12
	for y := 2; y < c.Side/2; y += 2 {
		from, to := face(float64(y))
		for x := 2; x < c.Side-2; x += 2 {
			if from < to && x > from-margin && x < to+margin {
				continue
			}
			i := y*c.Side + x
			edges += math.Abs(float64(grey[i+2])-float64(grey[i-2])) + math.Abs(float64(grey[i+2*c.Side])-float64(grey[max(i-2*c.Side, 0)]))
			n++
		}
	}
	if n < 50 {
		return Unmeasured
	}
	return scaled(edges/n, 60, 4)
}

//go:build customenv

package opencv

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"time"

	"gocv.io/x/gocv"

	"passage/matcher"
	"passage/matcher/pack"
	"passage/matcher/pad"
	"passage/matcher/quality"
)

// Engine holds the models of a pack. It is for one goroutine.
type Engine struct {
	// Bare leaves out quality, attack cues and all faces but the nearest,
	// which a list of pairs needs not.
	Bare bool

	pack      *pack.Manifest
	detect    network
	mesh      network // unset where the detector's own points are used
	embed     []network
	anchors   []anchor
	inference time.Duration // spent in networks since reset
}

// network is a model that is loaded.
type network struct {
	net   gocv.Net
	model *pack.Model
}

// Thresholds of the stages; the packs' models share them.
const (
	minScore   = 0.5
	maxOverlap = 0.3
	minFlag    = 0.5
	examined   = 4 // faces, the largest first
)

// Load makes an engine of a pack whose files have been checked, and compares
// golden outputs where the pack has them.
func Load(p *pack.Manifest) (*Engine, error) {
	e := &Engine{pack: p}
	load := func(m *pack.Model) (network, error) {
		n := network{model: m}
		var err error
		if n.net, err = gocv.ReadNetFromONNXBytes(m.Bytes()); err != nil || n.net.Empty() {
			return n, fmt.Errorf("opencv: %s cannot be loaded", m.File)
		}
		if err := n.net.SetPreferableBackend(gocv.NetBackendOpenCV); err != nil {
			return n, fmt.Errorf("opencv: %w", err)
		}
		return n, e.golden(&n)
	}
	var err error
	if e.detect, err = load(&p.Detector.Model); err != nil {
		return nil, err
	}
	if p.Landmarks != nil {
		if e.mesh, err = load(&p.Landmarks.Model); err != nil {
			return nil, err
		}
	}
	for i := range p.Embeddings {
		n, err := load(&p.Embeddings[i].Model)
		if err != nil {
			return nil, err
		}
		e.embed = append(e.embed, n)
	}
	e.anchors = anchors(p.Detector)
	return e, nil
}

// golden compares a network's output for the noise picture with the
// manifest's: a library that computes something else must not judge faces.
func (e *Engine) golden(n *network) error {
	if len(n.model.Golden) == 0 {
		return nil
	}
	got, err := e.digest(n)
	if err != nil {
		return err
	}
	for i, want := range n.model.Golden {
		if !(math.Abs(float64(got[i]-want)) <= 1e-3*max(1, math.Abs(float64(want)))) {
			return fmt.Errorf("opencv: %s computes %v where %v was expected", n.model.File, got, n.model.Golden)
		}
	}
	return nil
}

// digest sums up a network's first output for the noise picture.
func (e *Engine) digest(n *network) ([]float32, error) {
	m := n.model
	img, err := gocv.NewMatFromBytes(m.Input[1], m.Input[0], gocv.MatTypeCV8UC3, pack.Noise(m.Input[0], m.Input[1]))
	if err != nil {
		return nil, fmt.Errorf("opencv: %w", err)
	}
	defer img.Close()
	out, err := e.run(n, img)
	if err != nil {
		return nil, err
	}
	return pack.Digest(out[0]), nil
}

// Goldens are every model's sums for the noise picture by its file: what a new
// manifest may state.
func (e *Engine) Goldens() (map[string][]float32, error) {
	list := map[string][]float32{}
	nets := []*network{&e.detect}
	if e.pack.Landmarks != nil {
		nets = append(nets, &e.mesh)
	}
	for i := range e.embed {
		nets = append(nets, &e.embed[i])
	}
	for _, n := range nets {
		sums, err := e.digest(n)
		if err != nil {
			return nil, err
		}
		list[n.model.File] = sums
	}
	return list, nil
}

// point is a place in the frame.
type point struct{ x, y float64 }

// found is one face with all that is known of it.
type found struct {
	box   box
	marks [5]point // eyes, nose, corners of the mouth
	flag  float64
	crop  quality.Crop
}

// Analyse finds faces, the one nearest the marks first, and describes it.
func (e *Engine) Analyse(f matcher.Frame) (matcher.Analysis, error) {
	e.inference = 0
	img, err := Mat(f)
	if err != nil {
		return matcher.Analysis{}, err
	}
	defer img.Close()
	list, err := e.faces(img)
	if err != nil {
		return matcher.Analysis{}, err
	}
	var a matcher.Analysis
	if len(list) == 0 {
		a.InferenceUS = e.inference.Microseconds()
		return a, nil
	}
	// What is ours runs beside the embeddings: their threads wait for each
	// other now and then, and leave room for it.
	described := make(chan struct{})
	go func() {
		defer close(described)
		for _, x := range list {
			if e.Bare {
				a.Faces = append(a.Faces, x.place())
			} else {
				a.Faces = append(a.Faces, x.describe(f.Width, f.Height))
			}
		}
		if e.Bare {
			return
		}
		x := a.Faces[0]
		if c, ok := pad.Look(pad.Image{Width: f.Width, Height: f.Height, Pixels: f.Pixels}, pad.Box{X: x.X, Y: x.Y, W: x.W, H: x.H}); ok {
			a.Cues = &c
		}
	}()
	d, err := e.descriptor(img, list[0].marks)
	<-described
	if err != nil {
		return matcher.Analysis{}, err
	}
	a.Descriptor, a.InferenceUS = d, e.inference.Microseconds()
	return a, nil
}

// faces are the frame's faces in the order of nearness to the marks: those who
// stand there are large and in the middle.
func (e *Engine) faces(img gocv.Mat) ([]found, error) {
	boxes, err := e.boxes(img)
	if err != nil {
		return nil, err
	}
	middle := float64(img.Cols()) / 2
	near := func(b box) float64 {
		away := math.Abs(b.x+b.w/2-middle) / middle
		return b.w * (1 - min(away, 1)/2)
	}
	boxes = boxes[:min(len(boxes), examined)]
	slices.SortStableFunc(boxes, func(a, b box) int { return cmp(near(b), near(a)) })
	var list []found
	for _, b := range boxes {
		x, err := e.landmarks(img, b)
		if err != nil {
			return nil, err
		}
		if x.flag < minFlag {
			continue
		}
		if list = append(list, x); e.Bare {
			break // the others' places are not asked for
		}
	}
	return list, nil
}

// Portrait cuts the nth face, counted from the largest, to passport framing:
// eyes level, the face half as wide as the picture. ok is false without a
// usable face.
func (e *Engine) Portrait(f matcher.Frame, nth, width, height int) (out gocv.Mat, a matcher.Analysis, ok bool, err error) {
	img, err := Mat(f)
	if err != nil {
		return out, a, false, err
	}
	defer img.Close()
	boxes, err := e.boxes(img)
	if err != nil || nth >= len(boxes) {
		return out, a, false, err
	}
	x, err := e.landmarks(img, boxes[nth])
	if err != nil || x.flag < 0.8 {
		return out, a, false, err
	}
	face := x.describe(f.Width, f.Height)
	d, err := e.descriptor(img, x.marks)
	if err != nil {
		return out, a, false, err
	}
	a = matcher.Analysis{Faces: []matcher.Face{face}, Descriptor: d}
	// Eyes at 0.42 of the height, a quarter of the width apart (ICAO 9303-3
	// §3.9 framing, roughly).
	scale := float64(width) * 0.25 / face.Eyes
	r, l := x.marks[0], x.marks[1]
	angle := math.Atan2(l.y-r.y, l.x-r.x)
	return warp(img, (r.x+l.x)/2, (r.y+l.y)/2, angle, scale, float64(width)/2, float64(height)*.42, width, height, gocv.BorderReplicate), a, true, nil
}

// warp rotates by -angle and scales around (cx, cy), which goes to (tx, ty).
func warp(img gocv.Mat, cx, cy, angle, scale, tx, ty float64, w, h int, border gocv.BorderType) gocv.Mat {
	c, s := math.Cos(angle)*scale, math.Sin(angle)*scale
	m := gocv.NewMatWithSize(2, 3, gocv.MatTypeCV64F)
	defer m.Close()
	for i, v := range []float64{c, s, tx - c*cx - s*cy, -s, c, ty + s*cx - c*cy} {
		m.SetDoubleAt(i/3, i%3, v)
	}
	out := gocv.NewMat()
	gocv.WarpAffineWithParams(img, &out, m, image.Pt(w, h), gocv.InterpolationLinear, border, color.RGBA{})
	return out
}

// run feeds a picture of the input's size, or one that may be resized to it,
// through a network and reads the outputs that the manifest names.
func (e *Engine) run(n *network, img gocv.Mat) ([][]float32, error) {
	m := n.model
	mean := gocv.NewScalar(m.Mean[0], m.Mean[1], m.Mean[2], 0)
	blob := gocv.BlobFromImage(img, m.Scale, image.Pt(m.Input[0], m.Input[1]), mean, m.Channels == "rgb", false)
	defer blob.Close()
	began := time.Now()
	n.net.SetInput(blob, m.InputName)
	mats := n.net.ForwardLayers(m.Outputs)
	e.inference += time.Since(began)
	defer func() {
		for i := range mats {
			mats[i].Close()
		}
	}()
	if len(mats) != len(m.Outputs) {
		return nil, fmt.Errorf("opencv: %s: outputs are missing", m.File)
	}
	var out [][]float32
	for _, x := range mats {
		v, err := x.DataPtrFloat32()
		if err != nil {
			return nil, fmt.Errorf("opencv: %s: output: %w", m.File, err)
		}
		out = append(out, slices.Clone(v))
	}
	return out, nil
}

// landmarks runs the mesh on a level square around the face. Without a mesh
// the detector's own points serve, and its score is the belief.
func (e *Engine) landmarks(img gocv.Mat, b box) (found, error) {
	x := found{box: b, flag: b.score}
	side := cropSide
	if e.pack.Landmarks != nil {
		side = e.mesh.model.Input[0]
	}
	angle := math.Atan2(b.points[1].y-b.points[0].y, b.points[1].x-b.points[0].x)
	cx, cy := b.x+b.w/2, b.y+b.h/2
	half := float64(side) / 2
	scale := float64(side) / (1.5 * max(b.w, b.h))
	crop := warp(img, cx, cy, angle, scale, half, half, side, side, gocv.BorderConstant)
	defer crop.Close()
	x.crop = quality.Crop{Side: side, Scale: scale, Pixels: crop.ToBytes()}
	c, s := math.Cos(angle), math.Sin(angle)
	if e.pack.Landmarks == nil {
		for i, p := range [5]point{b.points[0], b.points[1], b.points[2], b.points[3], b.points[4]} {
			x.marks[i] = p
			dx, dy := p.x-cx, p.y-cy
			x.crop.Marks[i] = [2]float64{half + (c*dx+s*dy)*scale, half + (-s*dx+c*dy)*scale}
		}
		return x, nil
	}
	out, err := e.run(&e.mesh, crop)
	if err != nil {
		return x, err
	}
	if len(out[0]) != 3*quality.MeshPoints || len(out[1]) != 1 {
		return x, errors.New("opencv: mesh outputs have other sizes")
	}
	for _, v := range out[0] {
		if !(math.Abs(float64(v)) < 1e4) {
			return x, errors.New("opencv: the mesh is nowhere")
		}
	}
	x.flag = float64(out[1][0])
	x.crop.Mesh = out[0]
	for i, list := range [5][]int{{33, 133}, {362, 263}, {1}, {61}, {291}} {
		var p point
		for _, j := range list {
			p.x += float64(out[0][3*j]) / float64(len(list))
			p.y += float64(out[0][3*j+1]) / float64(len(list))
		}
		x.crop.Marks[i] = [2]float64{p.x, p.y}
		dx, dy := (p.x-half)/scale, (p.y-half)/scale
		x.marks[i] = point{cx + c*dx - s*dy, cy + s*dx + c*dy}
	}
	return x, nil
}

// cropSide is the side of the level picture of a face where no mesh model
// demands another.
const cropSide = 192

// descriptor aligns the five points to each embedding's places and averages
// the descriptors of the chip and its mirror image. Each embedding's part has
// the square root of its share of the weights as its length, so that a cosine
// of two descriptors is the weighted mean of the embeddings' cosines.
func (e *Engine) descriptor(img gocv.Mat, marks [5]point) ([]float32, error) {
	var all []float32
	var weights float64
	for _, x := range e.pack.Embeddings {
		weights += x.Weight
	}
	for i, x := range e.pack.Embeddings {
		chip, err := align(img, marks, x)
		if err != nil {
			return nil, err
		}
		d, err := e.describe(&e.embed[i], x, chip)
		chip.Close()
		if err != nil {
			return nil, err
		}
		k := math.Sqrt(x.Weight / weights)
		for _, v := range d {
			all = append(all, float32(v*k))
		}
	}
	return all, nil
}

// align moves the five points to their places by the similarity of the least
// squares.
func align(img gocv.Mat, marks [5]point, x pack.Embedding) (gocv.Mat, error) {
	var mx, my, tx, ty float64
	for i, to := range x.Align {
		mx, my, tx, ty = mx+marks[i].x/5, my+marks[i].y/5, tx+to[0]/5, ty+to[1]/5
	}
	var a, b, n float64
	for i, to := range x.Align {
		px, py, u, v := marks[i].x-mx, marks[i].y-my, to[0]-tx, to[1]-ty
		a, b, n = a+px*u+py*v, b+px*v-py*u, n+px*px+py*py
	}
	if n < 1 {
		return gocv.Mat{}, errors.New("opencv: landmarks coincide")
	}
	return warp(img, mx, my, -math.Atan2(b, a), math.Hypot(a, b)/n, tx, ty, x.Input[0], x.Input[1], gocv.BorderReplicate), nil
}

// describe is an embedding's descriptor of a chip, of length 1.
func (e *Engine) describe(n *network, x pack.Embedding, chip gocv.Mat) ([]float64, error) {
	chips := []gocv.Mat{chip}
	if x.Mirror {
		m := gocv.NewMat()
		defer m.Close()
		gocv.Flip(chip, &m, 1)
		chips = append(chips, m)
	}
	sum := make([]float64, x.Size)
	for _, c := range chips {
		out, err := e.run(n, c)
		if err != nil {
			return nil, err
		}
		if len(out[0]) != x.Size {
			return nil, fmt.Errorf("opencv: %s gives %d numbers, not %d", x.File, len(out[0]), x.Size)
		}
		for i, v := range out[0] {
			sum[i] += float64(v)
		}
	}
	var length float64
	for _, v := range sum {
		length += v * v
	}
	if length == 0 || math.IsNaN(length) || math.IsInf(length, 0) {
		return nil, fmt.Errorf("opencv: %s: empty descriptor", x.File)
	}
	for i := range sum {
		sum[i] /= math.Sqrt(length)
	}
	return sum, nil
}

// place says in the protocol's words where a face was found.
func (x found) place() matcher.Face {
	b, m := x.box, x.marks
	f := matcher.Face{
		X: int(b.x), Y: int(b.y), W: int(b.w), H: int(b.h), Score: b.score, Flag: x.flag,
		Eyes: math.Hypot(m[1].x-m[0].x, m[1].y-m[0].y),
		Roll: math.Atan2(m[1].y-m[0].y, m[1].x-m[0].x) * 180 / math.Pi,
	}
	for i, p := range m {
		f.Marks[i] = [2]float64{p.x, p.y}
	}
	return f
}

// describe adds to a face's place how it is held and how fit it is.
func (x found) describe(width, height int) matcher.Face {
	f, crop := x.place(), x.crop
	crop.EyeDistance, crop.Roll = f.Eyes, f.Roll
	crop.Inside = inside(x.box, width, height)
	p := quality.PoseOf(crop)
	f.Yaw, f.Pitch, f.Lids, f.Lips = p.Yaw, p.Pitch, p.Lids, p.Lips
	f.Quality = quality.Assess(crop, p)
	return f
}

// inside is the part of a box that lies within the picture.
func inside(b box, width, height int) float64 {
	w := min(b.x+b.w, float64(width)) - max(b.x, 0)
	h := min(b.y+b.h, float64(height)) - max(b.y, 0)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (b.w * b.h)
}

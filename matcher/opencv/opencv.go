//go:build customenv

// Package opencv finds faces and computes descriptors with OpenCV's DNN
// module. It is the only user of gocv. OpenCV aborts the process on bad input:
// everything is validated before it gets there, and the process may die.
package opencv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"slices"

	"gocv.io/x/gocv"

	"passage/matcher"
)

// Engine holds the three models of a pack.
type Engine struct {
	detect, mesh, embed gocv.Net
	anchors             [][2]float64
}

const (
	detectSide = 256
	meshSide   = 192
	chipSide   = 150
	minScore   = 0.5
	maxOverlap = 0.3
	minFlag    = 0.5
)

// Load reads a pack's models. The files must have been checked before.
func Load(dir string) (*Engine, error) {
	e := &Engine{}
	for _, m := range []struct {
		net  *gocv.Net
		file string
	}{{&e.detect, "blazeface.onnx"}, {&e.mesh, "facemesh.onnx"}, {&e.embed, "face_recognition.onnx"}} {
		*m.net = gocv.ReadNetFromONNX(filepath.Join(dir, m.file))
		if m.net.Empty() {
			return nil, fmt.Errorf("opencv: %s cannot be loaded", m.file)
		}
		if err := m.net.SetPreferableBackend(gocv.NetBackendOpenCV); err != nil {
			return nil, fmt.Errorf("opencv: %w", err)
		}
	}
	for _, layer := range []struct{ stride, per int }{{16, 2}, {32, 6}} {
		n := detectSide / layer.stride
		for y := range n {
			for x := range n {
				for range layer.per {
					e.anchors = append(e.anchors, [2]float64{float64(layer.stride) * (float64(x) + .5), float64(layer.stride) * (float64(y) + .5)})
				}
			}
		}
	}
	return e, nil
}

// Mat copies a frame into OpenCV.
func Mat(f matcher.Frame) (gocv.Mat, error) {
	if !f.Valid() {
		return gocv.Mat{}, errors.New("opencv: not a frame")
	}
	return gocv.NewMatFromBytes(f.Height, f.Width, gocv.MatTypeCV8UC3, f.Pixels)
}

// point is a place in the frame.
type point struct{ x, y float64 }

// box is a detection: a rectangle and six points (right eye, left eye, nose,
// mouth, ears).
type box struct {
	x, y, w, h, score float64
	points            [6]point
}

// Analyse finds faces, largest first, and describes the largest.
func (e *Engine) Analyse(f matcher.Frame) (matcher.Analysis, error) {
	img, err := Mat(f)
	if err != nil {
		return matcher.Analysis{}, err
	}
	defer img.Close()
	var a matcher.Analysis
	boxes, err := e.boxes(img)
	if err != nil {
		return a, err
	}
	for _, b := range boxes[:min(len(boxes), 4)] {
		marks, flag, err := e.landmarks(img, b)
		if err != nil {
			return a, err
		}
		if flag < minFlag {
			continue
		}
		face := describe(img, b, marks)
		face.Flag = flag
		if a.Descriptor == nil {
			if a.Descriptor, err = e.descriptor(img, marks); err != nil {
				return a, err
			}
		}
		a.Faces = append(a.Faces, face)
	}
	return a, nil
}

// Portrait cuts the largest face to passport framing: eyes level, the face
// half as wide as the picture. ok is false without a usable face.
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
	marks, flag, err := e.landmarks(img, boxes[nth])
	if err != nil || flag < 0.8 {
		return out, a, false, err
	}
	face := describe(img, boxes[nth], marks)
	face.Flag = flag
	d, err := e.descriptor(img, marks)
	if err != nil {
		return out, a, false, err
	}
	a = matcher.Analysis{Faces: []matcher.Face{face}, Descriptor: d}
	// Eyes at 0.42 of the height, a quarter of the width apart (ICAO 9303-3
	// §3.9 framing, roughly).
	scale := float64(width) * 0.25 / face.Eyes
	cx, cy := (marks[0].x+marks[1].x)/2, (marks[0].y+marks[1].y)/2
	angle := math.Atan2(marks[1].y-marks[0].y, marks[1].x-marks[0].x)
	return warp(img, cx, cy, angle, scale, float64(width)/2, float64(height)*.42, width, height, gocv.BorderReplicate), a, true, nil
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

// floats copies an output of a network.
func floats(m gocv.Mat) ([]float32, error) {
	v, err := m.DataPtrFloat32()
	if err != nil {
		return nil, fmt.Errorf("opencv: output: %w", err)
	}
	return slices.Clone(v), nil
}

// run feeds one blob through a network and reads the named outputs.
func run(net *gocv.Net, blob gocv.Mat, input string, names ...string) ([][]float32, error) {
	net.SetInput(blob, input)
	var out [][]float32
	mats := net.ForwardLayers(names)
	defer func() {
		for i := range mats {
			mats[i].Close()
		}
	}()
	if len(mats) != len(names) {
		return nil, errors.New("opencv: outputs are missing")
	}
	for _, m := range mats {
		v, err := floats(m)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// boxes runs BlazeFace on the frame padded to a square.
func (e *Engine) boxes(img gocv.Mat) ([]box, error) {
	side := max(img.Rows(), img.Cols())
	square := gocv.NewMat()
	defer square.Close()
	gocv.CopyMakeBorder(img, &square, 0, side-img.Rows(), 0, side-img.Cols(), gocv.BorderConstant, color.RGBA{})
	blob := gocv.BlobFromImage(square, 1/127.5, image.Pt(detectSide, detectSide), gocv.NewScalar(127.5, 127.5, 127.5, 0), true, false)
	defer blob.Close()
	out, err := run(&e.detect, blob, "input", "scores1", "scores2", "boxes1", "boxes2")
	if err != nil {
		return nil, err
	}
	if len(out[0]) != 512 || len(out[1]) != 384 || len(out[2]) != 512*16 || len(out[3]) != 384*16 {
		return nil, errors.New("opencv: detector outputs have other sizes")
	}
	scores, raw := append(out[0], out[1]...), append(out[2], out[3]...)
	k := float64(side) / detectSide
	var list []box
	for i, s := range scores {
		p := 1 / (1 + math.Exp(-float64(s)))
		if p < minScore {
			continue
		}
		r := raw[16*i:]
		at := e.anchors[i]
		b := box{w: float64(r[2]) * k, h: float64(r[3]) * k, score: p}
		b.x, b.y = (float64(r[0])+at[0])*k-b.w/2, (float64(r[1])+at[1])*k-b.h/2
		for j := range b.points {
			b.points[j] = point{(float64(r[4+2*j]) + at[0]) * k, (float64(r[5+2*j]) + at[1]) * k}
		}
		if b.w > 8 && b.h > 8 && !math.IsNaN(b.x+b.y+b.w+b.h) {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b box) int { return cmp(b.score, a.score) })
	var kept []box
	for _, b := range list {
		if !slices.ContainsFunc(kept, func(o box) bool { return overlap(b, o) > maxOverlap }) {
			kept = append(kept, b)
		}
	}
	slices.SortFunc(kept, func(a, b box) int { return cmp(b.w*b.h, a.w*a.h) })
	return kept, nil
}

func cmp(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func overlap(a, b box) float64 {
	w := min(a.x+a.w, b.x+b.w) - max(a.x, b.x)
	h := min(a.y+a.h, b.y+b.h) - max(a.y, b.y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.w*a.h + b.w*b.h - w*h)
}

// landmarks runs Face Mesh on a level square around the face and returns five
// points of the frame: eyes, nose, corners of the mouth.
func (e *Engine) landmarks(img gocv.Mat, b box) ([5]point, float64, error) {
	var five [5]point
	angle := math.Atan2(b.points[1].y-b.points[0].y, b.points[1].x-b.points[0].x)
	cx, cy := b.x+b.w/2, b.y+b.h/2
	scale := meshSide / (1.5 * max(b.w, b.h))
	crop := warp(img, cx, cy, angle, scale, meshSide/2, meshSide/2, meshSide, meshSide, gocv.BorderConstant)
	defer crop.Close()
	blob := gocv.BlobFromImage(crop, 1.0/255, image.Pt(meshSide, meshSide), gocv.NewScalar(0, 0, 0, 0), true, false)
	defer blob.Close()
	out, err := run(&e.mesh, blob, "input_1", "mesh", "flag")
	if err != nil {
		return five, 0, err
	}
	if len(out[0]) != 1404 || len(out[1]) != 1 {
		return five, 0, errors.New("opencv: mesh outputs have other sizes")
	}
	at := func(list ...int) point {
		var p point
		for _, i := range list {
			p.x += float64(out[0][3*i]) / float64(len(list))
			p.y += float64(out[0][3*i+1]) / float64(len(list))
		}
		dx, dy := (p.x-meshSide/2)/scale, (p.y-meshSide/2)/scale
		c, s := math.Cos(angle), math.Sin(angle)
		return point{cx + c*dx - s*dy, cy + s*dx + c*dy}
	}
	return [5]point{at(33, 133), at(362, 263), at(1), at(61), at(291)}, float64(out[1][0]), nil
}

// dlib's mean face, five points (vision page §3).
var template = [5]point{{.225492, .215990}, {.754761, .215990}, {.490127, .515625}, {.254149, .780233}, {.726104, .780233}}

// descriptor aligns the five points to dlib's mean face and averages the
// descriptors of the chip and its mirror image; its length is 1.
func (e *Engine) descriptor(img gocv.Mat, marks [5]point) ([]float32, error) {
	// Least-squares similarity from marks to the chip.
	var mx, my, tx, ty float64
	var to [5]point
	for i, t := range template {
		to[i] = point{(t.x + .25) / 1.5 * chipSide, (t.y + .25) / 1.5 * chipSide}
		mx, my, tx, ty = mx+marks[i].x/5, my+marks[i].y/5, tx+to[i].x/5, ty+to[i].y/5
	}
	var a, b, n float64
	for i := range marks {
		x, y, u, v := marks[i].x-mx, marks[i].y-my, to[i].x-tx, to[i].y-ty
		a, b, n = a+x*u+y*v, b+x*v-y*u, n+x*x+y*y
	}
	if n < 1 {
		return nil, errors.New("opencv: landmarks coincide")
	}
	scale, angle := math.Hypot(a, b)/n, -math.Atan2(b, a)
	chip := warp(img, mx, my, angle, scale, tx, ty, chipSide, chipSide, gocv.BorderReplicate)
	defer chip.Close()
	mirror := gocv.NewMat()
	defer mirror.Close()
	gocv.Flip(chip, &mirror, 1)
	sum := make([]float32, 128)
	for _, m := range []gocv.Mat{chip, mirror} {
		blob := gocv.BlobFromImage(m, 1.0/255, image.Pt(chipSide, chipSide), gocv.NewScalar(122.782, 117.001, 104.298, 0), true, false)
		out, err := run(&e.embed, blob, "input", "descriptor")
		blob.Close()
		if err != nil {
			return nil, err
		}
		if len(out[0]) != 128 {
			return nil, errors.New("opencv: descriptor has another size")
		}
		for i, v := range out[0] {
			sum[i] += v
		}
	}
	var length float64
	for _, v := range sum {
		length += float64(v) * float64(v)
	}
	if length == 0 || math.IsNaN(length) {
		return nil, errors.New("opencv: empty descriptor")
	}
	for i := range sum {
		sum[i] /= float32(math.Sqrt(length))
	}
	return sum, nil
}

// describe measures what advice and statistics need.
func describe(img gocv.Mat, b box, m [5]point) matcher.Face {
	eyes := math.Hypot(m[1].x-m[0].x, m[1].y-m[0].y)
	mid := (m[0].x + m[1].x) / 2
	f := matcher.Face{
		X: int(b.x), Y: int(b.y), W: int(b.w), H: int(b.h), Score: b.score, Eyes: eyes,
		Yaw: (m[2].x - mid) / max(eyes, 1), Roll: math.Atan2(m[1].y-m[0].y, m[1].x-m[0].x) * 180 / math.Pi,
	}
	r := image.Rect(int(b.x), int(b.y), int(b.x+b.w), int(b.y+b.h)).Intersect(image.Rect(0, 0, img.Cols(), img.Rows()))
	if r.Dx() < 8 || r.Dy() < 8 {
		return f
	}
	region := img.Region(r)
	defer region.Close()
	grey, lap, mean, dev := gocv.NewMat(), gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	for _, m := range []*gocv.Mat{&grey, &lap, &mean, &dev} {
		defer m.Close()
	}
	gocv.CvtColor(region, &grey, gocv.ColorBGRToGray)
	f.Bright = grey.Mean().Val1
	gocv.Laplacian(grey, &lap, gocv.MatTypeCV64F, 1, 1, 0, gocv.BorderDefault)
	gocv.MeanStdDev(lap, &mean, &dev)
	d := dev.GetDoubleAt(0, 0)
	f.Sharp = d * d
	return f
}

// Decode turns an image file of any kind into a frame of at most side pixels
// a side. The header's size must have been checked before.
func Decode(b []byte, side int) (matcher.Frame, error) {
	if len(b) == 0 {
		return matcher.Frame{}, errors.New("opencv: empty image")
	}
	raw, err := gocv.IMDecode(b, gocv.IMReadUnchanged) // grey JPEG 2000 fails as colour
	if err != nil {
		return matcher.Frame{}, fmt.Errorf("opencv: decode: %w", err)
	}
	defer raw.Close()
	if raw.Empty() || raw.Rows()*raw.Cols() > matcher.MaxPixels {
		return matcher.Frame{}, errors.New("opencv: not an image")
	}
	img := gocv.NewMat()
	defer img.Close()
	if raw.Type() != gocv.MatTypeCV8UC1 && raw.Type() != gocv.MatTypeCV8UC3 && raw.Type() != gocv.MatTypeCV8UC4 {
		return matcher.Frame{}, errors.New("opencv: pixels are not of 8 bits")
	}
	switch raw.Channels() {
	case 1:
		gocv.CvtColor(raw, &img, gocv.ColorGrayToBGR)
	case 4:
		gocv.CvtColor(raw, &img, gocv.ColorBGRAToBGR)
	default:
		raw.CopyTo(&img)
	}
	return Frame(img, side), nil
}

// Frame copies a colour Mat out, made smaller where a side exceeds the limit.
func Frame(img gocv.Mat, side int) matcher.Frame {
	if long := max(img.Rows(), img.Cols()); long > side {
		k := float64(side) / float64(long)
		small := gocv.NewMat()
		defer small.Close()
		gocv.Resize(img, &small, image.Pt(max(1, int(float64(img.Cols())*k)), max(1, int(float64(img.Rows())*k))), 0, 0, gocv.InterpolationArea)
		return matcher.Frame{Width: small.Cols(), Height: small.Rows(), Pixels: small.ToBytes()}
	}
	return matcher.Frame{Width: img.Cols(), Height: img.Rows(), Pixels: img.ToBytes()}
}

// Size reads an image's dimensions from its header without decoding: JPEG SOF,
// JPEG 2000 SIZ or ihdr. It returns an error for anything else.
func Size(b []byte) (w, h int, err error) {
	be := binary.BigEndian
	for i := 0; i+44 <= len(b) && i < 4096; i++ {
		if be.Uint32(b[i:]) == 0xFF4FFF51 { // SOC, SIZ
			x, y, ox, oy := be.Uint32(b[i+8:]), be.Uint32(b[i+12:]), be.Uint32(b[i+16:]), be.Uint32(b[i+20:])
			if ox > x || oy > y || x-ox > 1<<20 || y-oy > 1<<20 {
				return 0, 0, errors.New("opencv: JPEG 2000 size")
			}
			return int(x - ox), int(y - oy), nil
		}
	}
	if len(b) < 4 || b[0] != 0xFF || b[1] != 0xD8 {
		return 0, 0, errors.New("opencv: neither JPEG nor JPEG 2000")
	}
	for i := 2; i+9 < len(b); {
		if b[i] != 0xFF {
			return 0, 0, errors.New("opencv: JPEG marker")
		}
		m := b[i+1]
		if m >= 0xC0 && m <= 0xCF && m != 0xC4 && m != 0xC8 && m != 0xCC {
			return int(be.Uint16(b[i+7:])), int(be.Uint16(b[i+5:])), nil
		}
		if m == 0xFF {
			i++
			continue
		}
		i += 2 + int(be.Uint16(b[i+2:]))
	}
	return 0, 0, errors.New("opencv: JPEG without a size")
}

//go:build customenv

package opencv

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gocv.io/x/gocv"

	"passage/matcher/pack"
)

// box is a detection: a rectangle and its first points. BlazeFace gives right
// eye, left eye, nose, mouth, ears; YuNet gives the eyes, the nose and the
// corners of the mouth.
type box struct {
	x, y, w, h, score float64
	points            [6]point
}

// anchor is the place that one row of the detector's outputs speaks of.
type anchor struct {
	x, y, stride float64
}

// anchors are BlazeFace's (two a cell at stride 16, six at 32, in the middle of
// the cells) or YuNet's (one a cell at strides 8, 16, 32, in their corners).
func anchors(d *pack.Detector) []anchor {
	type layer struct {
		stride, per int
		offset      float64
	}
	layers := []layer{{16, 2, .5}, {32, 6, .5}}
	if d.Meaning == "yunet" {
		layers = []layer{{8, 1, 0}, {16, 1, 0}, {32, 1, 0}}
	}
	var list []anchor
	for _, l := range layers {
		n := d.Input[0] / l.stride
		for y := range n {
			for x := range n {
				for range l.per {
					s := float64(l.stride)
					list = append(list, anchor{s * (float64(x) + l.offset), s * (float64(y) + l.offset), s})
				}
			}
		}
	}
	return list
}

// boxes runs the detector on the frame padded to a square, and returns the
// faces, the largest first.
func (e *Engine) boxes(img gocv.Mat) ([]box, error) {
	side := max(img.Rows(), img.Cols())
	square := gocv.NewMat()
	defer square.Close()
	gocv.CopyMakeBorder(img, &square, 0, side-img.Rows(), 0, side-img.Cols(), gocv.BorderConstant, color.RGBA{})
	out, err := e.run(&e.detect, square)
	if err != nil {
		return nil, err
	}
	decode := e.blazeface
	if e.pack.Detector.Meaning == "yunet" {
		decode = e.yunet
	}
	raw, err := decode(out)
	if err != nil {
		return nil, err
	}
	k := float64(side) / float64(e.detect.model.Input[0])
	var list []box
	for _, b := range raw {
		b.x, b.y, b.w, b.h = b.x*k, b.y*k, b.w*k, b.h*k
		for i := range b.points {
			b.points[i] = point{b.points[i].x * k, b.points[i].y * k}
		}
		limit := 4 * float64(side) // no honest box is larger, and no sum overflows
		if b.w > 8 && b.h > 8 && b.w < limit && b.h < limit && math.Abs(b.x) < limit && math.Abs(b.y) < limit {
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

// blazeface decodes scores and boxes of both scales, in input pixels.
func (e *Engine) blazeface(out [][]float32) ([]box, error) {
	if len(out[0]) != 512 || len(out[1]) != 384 || len(out[2]) != 512*16 || len(out[3]) != 384*16 {
		return nil, fmt.Errorf("opencv: %s: outputs have other sizes", e.detect.model.File)
	}
	scores, raw := append(out[0], out[1]...), append(out[2], out[3]...)
	var list []box
	for i, s := range scores {
		p := 1 / (1 + math.Exp(-float64(s)))
		if p < minScore {
			continue
		}
		r, at := raw[16*i:], e.anchors[i]
		b := box{w: float64(r[2]), h: float64(r[3]), score: p}
		b.x, b.y = float64(r[0])+at.x-b.w/2, float64(r[1])+at.y-b.h/2
		for j := range b.points {
			b.points[j] = point{float64(r[4+2*j]) + at.x, float64(r[5+2*j]) + at.y}
		}
		list = append(list, b)
	}
	return list, nil
}

// yunet decodes class, object, box and points of three scales, in input
// pixels. The outputs are the scales of the first, then of the next.
func (e *Engine) yunet(out [][]float32) ([]box, error) {
	var list []box
	base := 0
	for s := range 3 {
		cls, obj, rect, kps := out[s], out[3+s], out[6+s], out[9+s]
		n := e.detect.model.Input[0] / (8 << s)
		n *= n
		if len(cls) != n || len(obj) != n || len(rect) != 4*n || len(kps) != 10*n {
			return nil, fmt.Errorf("opencv: %s: outputs have other sizes", e.detect.model.File)
		}
		for i := range n {
			p := math.Sqrt(float64(max(cls[i], 0)) * float64(max(obj[i], 0)))
			if !(p >= minScore) {
				continue
			}
			at := e.anchors[base+i]
			r := rect[4*i:]
			b := box{w: math.Exp(float64(r[2])) * at.stride, h: math.Exp(float64(r[3])) * at.stride, score: min(p, 1)}
			b.x, b.y = at.x+float64(r[0])*at.stride-b.w/2, at.y+float64(r[1])*at.stride-b.h/2
			for j := range 5 {
				b.points[j] = point{at.x + float64(kps[10*i+2*j])*at.stride, at.y + float64(kps[10*i+2*j+1])*at.stride}
			}
			list = append(list, b)
		}
		base += n
	}
	return list, nil
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

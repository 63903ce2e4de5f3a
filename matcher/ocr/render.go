package ocr

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Glyphs are the shapes of a fixed-pitch font, drawn large.
type Glyphs struct {
	mask                     [len(Alphabet)][]float32 // softened, glyphSide squared, 1 is ink
	left, top, pitch, height float64                  // of the cell and of a capital in it
}

const glyphSide = 128

// NewGlyphs draws the shapes of an OpenType font. A shape that it lacks, or
// has in operators that x/image does not know (flex1, in two characters of
// OCRB.otf), is taken from the next font, which must have the same metrics.
func NewGlyphs(fonts ...[]byte) (*Glyphs, error) {
	g := &Glyphs{}
	for i, b := range fonts {
		f, err := opentype.Parse(b)
		if err != nil {
			return nil, fmt.Errorf("ocr: font: %w", err)
		}
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: 88, DPI: 72})
		if err != nil {
			return nil, fmt.Errorf("ocr: font: %w", err)
		}
		defer face.Close()
		if i == 0 {
			advance, ok := face.GlyphAdvance('H')
			bounds, _, ok2 := face.GlyphBounds('H')
			if !ok || !ok2 {
				return nil, errors.New("ocr: font: no H")
			}
			g.pitch, g.height = float64(advance)/64, float64(bounds.Max.Y-bounds.Min.Y)/64
			g.left, g.top = (glyphSide-g.pitch)/2, (glyphSide-g.height)/2
		}
		for k, c := range Alphabet {
			if g.mask[k] == nil {
				g.mask[k] = g.shape(face, c)
			}
		}
	}
	for k, m := range g.mask {
		if m == nil {
			return nil, fmt.Errorf("ocr: font: no %c", Alphabet[k])
		}
	}
	return g, nil
}

// shape draws one character, nil if the font has none.
func (g *Glyphs) shape(face font.Face, c rune) []float32 {
	if _, _, ok := face.GlyphBounds(c); !ok {
		return nil
	}
	img := image.NewGray(image.Rect(0, 0, glyphSide, glyphSide))
	d := font.Drawer{Dst: img, Src: image.NewUniform(color.White), Face: face, Dot: fixed.Point26_6{X: fixed.Int26_6(g.left * 64), Y: fixed.Int26_6((g.top + g.height) * 64)}}
	d.DrawString(string(c))
	m, any := make([]float32, glyphSide*glyphSide), false
	for j, p := range img.Pix {
		m[j] = float32(p) / 255
		any = any || p > 0
	}
	if !any {
		return nil
	}
	return blur(blur(m, glyphSide, 3), glyphSide, 3)
}

// blur averages over a square of 2r+1.
func blur(m []float32, w, r int) []float32 {
	h := len(m) / w
	out, tmp := make([]float32, len(m)), make([]float32, len(m))
	for y := range h {
		for x := range w {
			s, n := float32(0), float32(0)
			for k := max(0, x-r); k <= min(w-1, x+r); k++ {
				s, n = s+m[y*w+k], n+1
			}
			tmp[y*w+x] = s / n
		}
	}
	for y := range h {
		for x := range w {
			s, n := float32(0), float32(0)
			for k := max(0, y-r); k <= min(h-1, y+r); k++ {
				s, n = s+tmp[k*w+x], n+1
			}
			out[y*w+x] = s / n
		}
	}
	return out
}

// Ink returns how much ink a text has at a place: x in pitches from the left
// edge of its first cell, y in heights of a capital from its top; weight is
// what of the softened shape is ink, 0.5 for the font's own strokes.
func (g *Glyphs) Ink(text string, x, y, weight float64) float32 {
	i := int(math.Floor(x))
	if i < 0 || i >= len(text) || y < -.2 || y > 1.2 {
		return 0
	}
	k := index(text[i])
	if k < 0 {
		return 0
	}
	px, py := int(g.left+(x-float64(i))*g.pitch), int(g.top+y*g.height)
	if px < 0 || py < 0 || px >= glyphSide || py >= glyphSide {
		return 0
	}
	return min(1, max(0, (g.mask[k][py*glyphSide+px]-float32(weight))/.2+.5))
}

// index is a character's place in Alphabet, -1 if it has none.
func index(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	case c == '<':
		return len(Alphabet) - 1
	}
	return -1
}

// Sample draws a window as a bad camera may give it: few pixels, blurred,
// noisy, on a patterned ground, not level, beside other characters. About one
// in four has no character in its centre.
func (g *Glyphs) Sample(r *rand.Rand) (window []float32, class int) {
	const cells = 5
	text := make([]byte, cells)
	for i := range text {
		text[i] = Alphabet[r.IntN(len(Alphabet))]
		if r.IntN(4) == 0 {
			text[i] = '<'
		}
	}
	text[cells/2] = Alphabet[r.IntN(len(Alphabet))]
	if r.IntN(8) == 0 {
		text[r.IntN(cells)] = ' '
	}
	class = index(text[cells/2])
	dx, dy := .12*(2*r.Float64()-1), .1*(2*r.Float64()-1)
	sx, sy := 1+.05*(2*r.Float64()-1), 1+.14*(2*r.Float64()-1)
	switch r.IntN(12) {
	case 0, 1:
		dx, class = .35+.3*r.Float64(), Off
	case 2:
		dy, class = .6+.4*r.Float64(), Off
		if r.IntN(2) == 0 {
			dy = -dy
		}
	}
	if class < 0 { // the blank
		class = Off
	}
	turn, shear := .05*(2*r.Float64()-1), .08*(2*r.Float64()-1)
	// First as many pixels as the camera has, then the window's.
	res := 6.5 + 13*r.Float64()*r.Float64()
	w, h := int(cells*res)+1, int(2*res)+1
	paper, weight := .5+.5*r.Float64(), .3+.35*r.Float64()
	ink := paper * (.05 + .5*r.Float64())
	if r.IntN(3) > 0 {
		ink = paper * .3 * r.Float64()
	}
	noise, pattern := .08*r.Float64()*r.Float64(), .12*r.Float64()*r.Float64()
	slope, fx, fy, phase := .2*(2*r.Float64()-1), .3+1.5*r.Float64(), 2*r.Float64()-1, 6*r.Float64()
	ox, oy := r.Float64(), r.Float64()
	low := make([]float32, w*h)
	for y := range h {
		for x := range w {
			var sum float32
			for _, s := range [4][2]float64{{.25, .25}, {.75, .25}, {.25, .75}, {.75, .75}} {
				u := (float64(x)+s[0]-ox)/res - cells/2. // pitches from the window's centre
				v := (float64(y)+s[1]-oy)/res - 1.
				u, v = u+v*(shear+turn), v-u*turn
				sum += g.Ink(string(text), u/sx+cells/2.+dx, v/sy+.5+dy, weight)
			}
			k := float64(sum / 4)
			ground := paper * (1 + slope*float64(x)/float64(w) + pattern*math.Sin(fx*float64(x)+fy*float64(y)+phase))
			low[y*w+x] = float32(ground*(1-k) + ink*k + noise*r.NormFloat64())
		}
	}
	if r.IntN(2) == 0 {
		soft, k := blur(low, w, 1), float32(r.Float64())
		for i := range low {
			low[i] += k * (soft[i] - low[i])
		}
	}
	const wide = 4 * Pitch
	strip := make([]float32, Height*wide)
	for y := range Height {
		for x := range wide {
			u := (float64(x)+.5-wide/2)/Pitch*res + cells/2.*res + ox - .5
			v := (float64(y)+.5-Height/2)/Pitch*res + res + oy - .5
			strip[y*wide+x] = bilinear(low, w, h, u, v)
		}
	}
	normalise(strip, wide)
	window = make([]float32, Height*Width)
	for y := range Height {
		copy(window[y*Width:(y+1)*Width], strip[y*wide+(wide-Width)/2:])
	}
	return window, class
}

// bilinear samples between pixel centres; beyond the edge the edge goes on.
func bilinear(m []float32, w, h int, x, y float64) float32 {
	x, y = min(max(x, 0), float64(w-1)), min(max(y, 0), float64(h-1))
	i, j := min(int(x), max(0, w-2)), min(int(y), max(0, h-2))
	a, b := float32(x-float64(i)), float32(y-float64(j))
	right, down := min(1, w-1), min(1, h-1)*w
	k := j*w + i
	top := m[k] + a*(m[k+right]-m[k])
	bottom := m[k+down] + a*(m[k+down+right]-m[k+down])
	return top + b*(bottom-top)
}

package ocr

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"passage/drivers/emrtd/mrz"
)

const data = "../../../shared/data/emrtd/"

func greyOf(img image.Image) ([]byte, int, int) {
	b := img.Bounds()
	g := make([]byte, 0, b.Dx()*b.Dy())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			g = append(g, color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
		}
	}
	return g, b.Dx(), b.Dy()
}

func likeliest(z Zone) []string {
	var lines []string
	for _, l := range z.Lines {
		s := ""
		for _, c := range l {
			s += string(rune(c[0].Char))
		}
		lines = append(lines, s)
	}
	return lines
}

// right counts the characters of a zone that were read as they are.
func right(got, want []string) (n int) {
	for i, l := range want {
		for j := range l {
			if i < len(got) && j < len(got[i]) && got[i][j] == l[j] {
				n++
			}
		}
	}
	return n
}

// resolved is what alphabets and check digits make of zones, as the lane does:
// whole zones before those whose composite digit is wrong.
func resolved(zones []Zone) []string {
	var list []mrz.MRZ
	for _, z := range zones {
		lines := make([][][]mrz.Guess, len(z.Lines))
		for i, l := range z.Lines {
			for _, place := range l {
				var g []mrz.Guess
				for _, x := range place {
					g = append(g, mrz.Guess(x))
				}
				lines[i] = append(lines[i], g)
			}
		}
		found, _ := mrz.Resolve(lines, 8)
		list = append(list, found...)
	}
	for _, m := range list {
		if m.Composite() {
			return m.Lines()
		}
	}
	if len(list) > 0 {
		return list[0].Lines()
	}
	return nil
}

// tally counts what was read: characters and lines as the network sees them,
// and documents as they are resolved.
type tally struct{ chars, allChars, resolved, lines, allLines, documents, allDocuments int }

func (a *tally) add(t *testing.T, name string, zones []Zone, want []string) {
	t.Helper()
	best, text := -1, []string(nil)
	for _, z := range zones {
		if n := right(likeliest(z), want); n > best {
			best, text = n, likeliest(z)
		}
	}
	a.chars, a.allChars = a.chars+max(0, best), a.allChars+len(strings.Join(want, ""))
	for i, l := range want {
		a.allLines++
		if i < len(text) && text[i] == l {
			a.lines++
		} else {
			t.Logf("%s:\n%s is read as\n%s", name, l, strings.Join(text, "\n"))
		}
	}
	a.allDocuments++
	got := resolved(zones)
	a.resolved += right(got, want)
	if slices.Equal(got, want) {
		a.documents++
	} else {
		t.Logf("%s: resolved to\n%s", name, strings.Join(got, "\n"))
	}
}

func (a *tally) String() string {
	p := func(n, of int) float64 { return 100 * float64(n) / float64(max(1, of)) }
	return fmt.Sprintf("characters %d of %d (%.2f %%), resolved %d (%.2f %%), lines as seen %d of %d, documents as resolved %d of %d", a.chars, a.allChars, p(a.chars, a.allChars), a.resolved, p(a.resolved, a.allChars), a.lines, a.allLines, a.documents, a.allDocuments)
}

func TestPhotos(t *testing.T) {
	truth, err := os.ReadFile(data + "MRZ_TRUTH.tsv")
	if err != nil {
		t.Skip("test data: ", err)
	}
	n, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	var a tally
	for _, row := range strings.Split(strings.TrimSpace(string(truth)), "\n")[1:] {
		f := strings.Split(row, "\t")
		b, err := os.ReadFile(data + f[0])
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := image.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		g, w, h := greyOf(img)
		a.add(t, f[0], n.Read(g, w, h), strings.Split(f[2], "|"))
	}
	t.Log("photos:", &a)
	if a.chars*1000 < a.allChars*995 || a.documents < a.allDocuments-1 {
		t.Error("worse than it was")
	}
}

// paper is how a page gets into a picture: pixels to a character, its turn in
// degrees, how much nearer its right edge is, blur, noise, and pattern of the
// ground from 0 to 1, and margin in characters.
type paper struct {
	name                                        string
	pixels, turn, near, noise, pattern, margins float64
	soft, quarter                               int
}

// page draws a page with print above the zone, as a camera or a scanner sees it.
func page(g *Glyphs, lines []string, p paper, r *rand.Rand) ([]byte, int, int) {
	n := float64(len(lines[0]))
	wide, high := n+2*p.margins+4, n*.7+2*p.margins
	w, h := int(wide*p.pixels), int(high*p.pixels)
	pix := make([]float32, w*h)
	sin, cos := math.Sincos(p.turn * math.Pi / 180)
	const line = 2.5 // from one line of a zone to the next, in characters (6.35 mm to 2.54 mm)
	top := high - p.margins - 1.2 - line*float64(len(lines)-1) - 1
	for y := range h {
		for x := range w {
			var ink float32
			for _, s := range [4][2]float64{{.25, .25}, {.75, .25}, {.25, .75}, {.75, .75}} {
				u, v := (float64(x)+s[0])/p.pixels-wide/2, (float64(y)+s[1])/p.pixels-high/2
				u, v = u*cos+v*sin, v*cos-u*sin
				k := 1 + p.near*u/wide
				u, v = u/k+wide/2-p.margins-2, v/k+high/2
				if v > top-.5 {
					i := int(math.Floor((v - top + .5) / line))
					if i < len(lines) {
						ink += g.Ink(lines[i], u, v-top-line*float64(i), .5)
					}
				} else if v > p.margins && v < top-4 { // small print, not of a zone
					i := math.Floor(v / 1.7)
					text := []string{"UTOPIA", "SURNAME NAME", "ERIKSSON", "GIVEN", "ANNA MARIA", "NATIONALITY", "UTOPIAN"}[int(i)%7]
					ink += g.Ink(text, (u-n/3)/.8, (v-1.7*i)/.8, .5)
				}
			}
			ground := .85 + .15*p.pattern*(math.Sin(float64(x)/p.pixels*2.1+float64(y)/p.pixels)+math.Sin(float64(y)/p.pixels*3.7-float64(x)/p.pixels*.6))
			pix[y*w+x] = float32(ground)*(1-ink/4) + .12*ink/4
		}
	}
	if p.soft > 0 {
		pix = blur(pix, w, p.soft)
	}
	q := plane{w, h, pix}
	for range p.quarter {
		q = q.turned()
	}
	out := make([]byte, len(pix))
	for i, v := range q.p {
		out[i] = byte(255 * min(1, max(0, float64(v)+p.noise*r.NormFloat64())))
	}
	return out, q.w, q.h
}

func TestPages(t *testing.T) {
	var fonts [][]byte
	for _, name := range []string{"OCRB.otf", "OCRBS.otf"} {
		b, err := os.ReadFile("/usr/share/fonts/opentype/ocr-b/" + name)
		if err != nil {
			t.Skip("fonts-ocr-b: ", err)
		}
		fonts = append(fonts, b)
	}
	g, err := NewGlyphs(fonts...)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	documents := [][]string{
		{"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"},
		{"I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"},
		{"I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"},
	}
	papers := []paper{
		{name: "scan", pixels: 20},
		{name: "small scan", pixels: 12},
		{name: "tiny scan", pixels: 8},
		{name: "turned 2°", pixels: 16, turn: 2},
		{name: "turned -6°", pixels: 16, turn: -6, margins: 3},
		{name: "upside down", pixels: 16, quarter: 2},
		{name: "quarter", pixels: 16, quarter: 1},
		{name: "noise", pixels: 16, noise: .08},
		{name: "blur", pixels: 16, soft: 2},
		{name: "pattern", pixels: 16, pattern: .8},
		{name: "near", pixels: 16, near: .1},
		{name: "margins", pixels: 16, margins: 6, turn: 1},
		{name: "all of it", pixels: 16, turn: -3, near: .05, noise: .05, soft: 1, pattern: .5, margins: 3},
	}
	r := rand.New(rand.NewPCG(1, 2))
	var a tally
	for _, p := range papers {
		for _, d := range documents {
			grey, w, h := page(g, d, p, r)
			a.add(t, p.name, n.Read(grey, w, h), d)
		}
	}
	t.Log("pages:", &a)
	if a.chars*1000 < a.allChars*990 {
		t.Error("worse than it was")
	}
}

// A picture without a zone has none, whatever its size.
func TestNothing(t *testing.T) {
	n, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range [][2]int{{0, 0}, {1, 5000}, {99, 60}, {300, 200}, {100, 900}, {700, 60}} {
		grey := make([]byte, size[0]*size[1])
		for range 2 {
			for _, z := range n.Read(grey, size[0], size[1]) {
				if z.Cost < 1 {
					t.Errorf("%v: %v at %.2f", size, likeliest(z), z.Cost)
				}
			}
			for i := range grey {
				grey[i] = byte(r.Uint32())
			}
		}
	}
	if n.Read(make([]byte, 10), 200, 100) != nil {
		t.Error("pixels are missing")
	}
}

func TestWeights(t *testing.T) {
	n, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	b := n.Marshal()
	if !bytes.Equal(b, weights) {
		t.Error("written again they differ")
	}
	for name, b := range map[string][]byte{"none": nil, "cut": b[1:], "a scale of 0": append(make([]byte, 4), b[4:]...)} {
		if _, err := Unmarshal(b); !errors.Is(err, ErrModel) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A few hundred samples teach the network something: the gradients are right.
func TestTrainer(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tr := NewTrainer(r)
	window := func(class int) []float32 { // a bar whose place is the class
		w := make([]float32, Height*Width)
		for y := 4; y < 20; y++ {
			for x := range 3 {
				w[y*Width+2+4*class+x] = 1 + .1*float32(r.NormFloat64())
			}
		}
		return w
	}
	for range 40 {
		tr.Loss, tr.Right = 0, 0
		for range 16 {
			class := r.IntN(4)
			tr.Add(window(class), class)
		}
		tr.Step(16, .003)
	}
	if tr.Right < 15 || tr.Loss/16 > .3 {
		t.Errorf("%v of 16 right, loss %.2f", tr.Right, tr.Loss/16)
	}
}

package accuracy

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Curve is a set of comparisons with a name.
type Curve struct {
	Name string
	Set  *Set
}

// Sizes of a plot, in pixels: the field and what is left for axes.
const (
	field = 420
	left  = 64
	below = 48
	above = 16
	right = 200
)

// colours that are told apart by the colour-blind as well (Okabe and Ito).
var colours = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"}

// svg is a picture being drawn.
type svg struct{ strings.Builder }

func newSVG(title string) *svg {
	s := &svg{}
	w, h := left+field+right, above+field+below
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" role="img">`+"\n", w, h, w, h)
	fmt.Fprintf(s, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(title))
	return s
}

func (s *svg) line(x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(s, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, colour)
}

func (s *svg) text(x, y float64, anchor, text string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="#222">%s</text>`+"\n", x, y, anchor, html.EscapeString(text))
}

func (s *svg) end() []byte { return []byte(s.String() + "</svg>\n") }

// DET draws detection error trade-offs: FNMR over FMR, both on scales of the
// normal deviate, on which normally distributed scores make straight lines.
func DET(curves ...Curve) []byte {
	s := newSVG("Detection error trade-off")
	ticks := []float64{.0001, .001, .01, .05, .2, .5}
	lo, hi := probit(.00005), probit(.6)
	x := func(p float64) float64 { return left + field*(max(lo, min(hi, probit(p)))-lo)/(hi-lo) }
	y := func(p float64) float64 { return above + field - field*(max(lo, min(hi, probit(p)))-lo)/(hi-lo) }
	for _, p := range ticks {
		s.line(x(p), above, x(p), above+field, "#ddd")
		s.line(left, y(p), left+field, y(p), "#ddd")
		label := fmt.Sprintf("%g %%", 100*p)
		s.text(x(p), above+field+18, "middle", label)
		s.text(left-6, y(p)+4, "end", label)
	}
	s.text(left+field/2, above+field+38, "middle", "false match rate")
	fmt.Fprintf(s, `<text x="14" y="%d" text-anchor="middle" fill="#222" transform="rotate(-90 14 %d)">false non-match rate</text>`+"\n", above+field/2, above+field/2)
	for i, c := range curves {
		colour := colours[i%len(colours)]
		var points []string
		last := ""
		for _, t := range thresholds(c.Set) {
			a, b := c.Set.FMR(t), c.Set.FNMR(t)
			if a == 0 || b == 0 { // not on this scale: nobody was counted
				continue
			}
			if p := fmt.Sprintf("%.1f,%.1f", x(a), y(b)); p != last {
				points, last = append(points, p), p
			}
		}
		fmt.Fprintf(s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
		s.line(left+field+14, float64(above+20+20*i), left+field+34, float64(above+20+20*i), colour)
		s.text(left+field+40, float64(above+24+20*i), "start", c.Name)
	}
	return s.end()
}

// thresholds are every genuine score and the impostor scores above the lowest
// of them.
func thresholds(s *Set) []float64 {
	var t []float64
	lowest := s.genuine[len(s.genuine)-1].score
	for _, x := range s.genuine {
		t = append(t, x.score)
	}
	for _, x := range s.impostor {
		if x.score < lowest {
			break
		}
		t = append(t, x.score)
	}
	slices.Sort(t)
	return t
}

// probit is the inverse of the normal distribution.
func probit(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// Histogram draws the scores of both kinds, each as a part of its own, with
// named thresholds.
func Histogram(s *Set, marks map[string]float64) []byte {
	out := newSVG("Scores of one person and of two")
	lo, hi := s.impostor[len(s.impostor)-1].score, s.genuine[0].score
	lo, hi = min(lo, s.genuine[len(s.genuine)-1].score), max(hi, s.impostor[0].score)
	if hi <= lo {
		hi = lo + 1
	}
	const bins = 60
	count := func(l []scored) (h [bins]float64) {
		for _, x := range l {
			h[min(bins-1, int((x.score-lo)/(hi-lo)*bins))] += 1 / float64(len(l))
		}
		return h
	}
	kinds := []struct {
		name string
		h    [bins]float64
	}{{"two people", count(s.impostor)}, {"one person", count(s.genuine)}}
	top := max(slices.Max(kinds[0].h[:]), slices.Max(kinds[1].h[:]))
	x := func(v float64) float64 { return left + field*(v-lo)/(hi-lo) }
	for i, k := range kinds {
		colour := colours[1-i]
		for b, v := range k.h {
			h := field * v / top
			fmt.Fprintf(out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.55"/>`+"\n", left+field*float64(b)/bins, above+field-h, float64(field)/bins, h, colour)
		}
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="14" height="14" fill="%s" fill-opacity="0.55"/>`+"\n", left+field+14, above+10+20*i, colour)
		out.text(left+field+34, float64(above+22+20*i), "start", k.name)
	}
	for i := range 6 {
		v := lo + (hi-lo)*float64(i)/5
		out.text(x(v), above+field+18, "middle", fmt.Sprintf("%.2f", v))
	}
	out.line(left, above+field, left+field, above+field, "#222")
	out.text(left+field/2, above+field+38, "middle", "score")
	names := make([]string, 0, len(marks))
	for n := range marks {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return int(math.Copysign(1, marks[a]-marks[b])) })
	for i, n := range names {
		out.line(x(marks[n]), above, x(marks[n]), above+field, "#222")
		out.text(left+field+14, float64(above+80+18*i), "start", fmt.Sprintf("FMR %s at %.4f", n, marks[n]))
	}
	return out.end()
}

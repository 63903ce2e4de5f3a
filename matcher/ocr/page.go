// Package ocr reads the machine readable zone from the picture of a page. It
// is pure Go: whatever the picture holds, no library is asked. It finds lines
// of evenly spaced characters, reads them by a small network trained on OCR-B,
// and says for each place what it may be; what a zone may hold and which check
// digits fit is left to others.
package ocr

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"passage/matcher"
)

type (
	// Guess is what a place in a line may hold.
	Guess = matcher.Guess
	// Zone is a candidate.
	Zone = matcher.Zone
)

const (
	searchSide = 800 // longest side of the picture in which lines are looked for
	mostBands  = 24  // rows of text that are read once
	mostRows   = 6   // of them that are read again and again
	hopeless   = 1.5 // cost of what is no line of a zone
	doubtful   = .3  // by which another shape may fit worse
	plain      = .25 // cost of a zone that needs no other turn to be tried
)

// shapes are the lines and places of zones. Fields say what stands where, as
// far as all documents of a shape agree: a letter, a digit, anything, and each
// of them or '<'. What is no zone, or only a part of one, fits badly.
var shapes = [...]struct {
	lines, places int
	fields        []string
}{
	{2, 44, []string{repeat("L", 44), repeat("A", 10) + "LLLDDDDDDDLDDDDDDD" + repeat("A", 16)}},
	{2, 36, []string{repeat("L", 36), repeat("A", 10) + "LLLDDDDDDDLDDDDDDD" + repeat("A", 8)}},
	{3, 30, []string{"LLLLL" + repeat("A", 25), "DDDDDDDLDDDDDDDLLL" + repeat("A", 11) + "D", repeat("L", 30)}},
}

var repeat = strings.Repeat

// unfit is what a place costs in which nothing of its field is likely.
const unfit = 8

// cost is the mean cost of a line's places when each holds what its field
// allows.
func cost(line [][]Guess, fields string) float64 {
	sum := 0.0
	for i, place := range line {
		least := float64(unfit)
		for _, g := range place {
			digit := g.Char >= '0' && g.Char <= '9'
			if f := fields[i]; f == 'A' || g.Char == '<' || digit == (f == 'D') {
				least = min(least, g.Cost)
			}
		}
		sum += least
	}
	return sum / float64(len(line))
}

// plane is a picture of one channel, 0 black to 1 white.
type plane struct {
	w, h int
	p    []float32
}

// Read looks for zones in a grey picture of w × h pixels, row by row, upright
// or turned by quarter turns, and returns the best one of each shape, best
// first; none is no error.
func (n *Net) Read(grey []byte, w, h int) []Zone {
	if w < 100 || h < 50 || len(grey) != w*h {
		return nil
	}
	p := plane{w, h, make([]float32, w*h)}
	for i, v := range grey {
		p.p[i] = float32(v) / 255
	}
	var best []Zone
	for turn := range 4 {
		if turn > 0 {
			p = p.turned()
		}
		zones := n.upright(p)
		if len(zones) > 0 && (len(best) == 0 || zones[0].Cost < best[0].Cost) {
			best = zones
		}
		if len(best) > 0 && best[0].Cost < plain {
			break
		}
	}
	return best
}

// turned turns a picture by a quarter.
func (p plane) turned() plane {
	q := plane{p.h, p.w, make([]float32, len(p.p))}
	for y := range p.h {
		for x := range p.w {
			q.p[x*q.w+p.h-1-y] = p.p[y*p.w+x]
		}
	}
	return q
}

// scaled returns the picture with another width; each pixel is the mean of
// those it covers.
func (p plane) scaled(w int) plane {
	k := float64(p.w) / float64(w)
	q := plane{w, max(1, int(float64(p.h)/k)), nil}
	q.p = make([]float32, q.w*q.h)
	taps := max(1, int(math.Round(k)))
	for y := range q.h {
		for x := range q.w {
			var s float32
			for j := range taps {
				for i := range taps {
					s += bilinear(p.p, p.w, p.h, (float64(x)+(float64(i)+.5)/float64(taps))*k-.5, (float64(y)+(float64(j)+.5)/float64(taps))*k-.5)
				}
			}
			q.p[y*q.w+x] = s / float32(taps*taps)
		}
	}
	return q
}

// strokes is how much each pixel differs from those beside it: much in
// text, and little in what is lit unevenly.
func (p plane) strokes() plane {
	q := plane{p.w, p.h, make([]float32, len(p.p))}
	for y := range p.h {
		row, to := p.p[y*p.w:(y+1)*p.w], q.p[y*p.w:(y+1)*p.w]
		for x := 1; x < p.w-1; x++ {
			d := row[x+1] - row[x-1]
			to[x] = min(max(d, -d), .5)
		}
	}
	return q
}

// profile sums a picture along lines of a slope; rows are those at its middle.
func (p plane) profile(slope float64) []float64 {
	sum := make([]float64, p.h)
	for x := p.w / 12; x < p.w*11/12; x++ {
		shift := int(math.Round(slope * float64(x-p.w/2)))
		for y := max(0, -shift); y < min(p.h, p.h-shift); y++ {
			sum[y] += float64(p.p[(y+shift)*p.w+x])
		}
	}
	return sum
}

// skew finds the slope at which rows of text stand out most from those between.
func (p plane) skew() float64 {
	best, at := 0.0, 0.0
	try := func(slope float64) {
		s, e := p.profile(slope), 0.0
		for i := 2; i < len(s); i++ {
			e += (s[i] - s[i-2]) * (s[i] - s[i-2])
		}
		if e > best {
			best, at = e, slope
		}
	}
	for a := -.14; a < .141; a += .01 {
		try(a)
	}
	for a, coarse := -.008, at; a < .0081; a += .002 {
		try(coarse + a)
	}
	return at
}

// band is a row of text: its middle and height of a capital at the picture's
// middle column, in pixels of the picture that is read, and its slope.
type band struct{ y, h, slope float64 }

// bands finds rows of text from the profile, strongest first.
func bands(profile []float64, slope, scale float64) []band {
	s := make([]float64, len(profile))
	for i := range s {
		for k := max(0, i-2); k <= min(len(s)-1, i+2); k++ {
			s[i] += profile[k] / 5
		}
	}
	type found struct {
		band
		strength float64
	}
	var list []found
	const reach = 22 // no line is higher than this in the search picture
	for i := 2; i < len(s)-2; i++ {
		if s[i] < slices.Max(s[max(0, i-4):min(len(s), i+5)]) {
			continue
		}
		before, after := slices.Min(s[max(0, i-reach):i+1]), slices.Min(s[i:min(len(s), i+reach+1)])
		level := (s[i] + max(before, after)) / 2
		top, bottom := i, i
		for top > 0 && s[top] > level && i-top < reach {
			top--
		}
		for bottom < len(s)-1 && s[bottom] > level && bottom-i < reach {
			bottom++
		}
		if h := bottom - top; h >= 4 {
			list = append(list, found{band{(float64(top+bottom) + 1) / 2 * scale, float64(h) * scale, slope}, s[i] - max(before, after)})
		}
	}
	slices.SortFunc(list, func(a, b found) int { return cmp.Compare(b.strength, a.strength) })
	var out []band
	for _, f := range list {
		if !slices.ContainsFunc(out, func(o band) bool { return math.Abs(o.y-f.y) < (o.h+f.h)/3 }) {
			out = append(out, f.band)
		}
	}
	return out[:min(len(out), mostBands)]
}

// upright reads a picture whose text runs from left to right.
func (n *Net) upright(p plane) []Zone {
	small := p.scaled(max(40, searchSide*p.w/max(p.w, p.h))).strokes()
	slope := small.skew()
	found := bands(small.profile(slope), slope, float64(p.w)/float64(small.w))
	var rows []row
	for _, b := range found {
		if pitch, ok := p.pitch(b); ok {
			if r, ok := n.scan(p, b, pitch); ok && r.cost < hopeless {
				rows = append(rows, r)
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.cost, b.cost) })
	rows = rows[:min(len(rows), mostRows)]
	for i := range rows {
		rows[i] = n.refine(p, rows[i])
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.y, b.y) })
	var zones []Zone
	for i, s := range shapes {
		if z, ok := zone(rows, i, s.lines); ok {
			zones = append(zones, z)
		}
	}
	slices.SortStableFunc(zones, func(a, b Zone) int { return cmp.Compare(a.Cost, b.Cost) })
	for i, z := range zones {
		if z.Cost > zones[0].Cost+doubtful {
			return zones[:i]
		}
	}
	return zones
}

// zone puts rows together that are as far apart, as wide and as aligned as
// lines of one zone are.
func zone(rows []row, shape, lines int) (Zone, bool) {
	best := Zone{Cost: math.Inf(1)}
	var take func(from int, chosen []row)
	take = func(from int, chosen []row) {
		if len(chosen) == lines {
			z := Zone{}
			for i, r := range chosen {
				z.Lines = append(z.Lines, r.chains[shape].cells)
				z.Cost += cost(r.chains[shape].cells, shapes[shape].fields[i]) / float64(lines)
			}
			if z.Cost < best.Cost {
				best = z
			}
			return
		}
		for i := from; i < len(rows); i++ {
			r := rows[i]
			if r.chains[shape].cells == nil {
				continue
			}
			if len(chosen) > 0 {
				last := chosen[len(chosen)-1]
				gap, pitch := r.y-last.y, (r.pitch+last.pitch)/2
				if gap < 1.3*pitch || gap > 4*pitch || math.Abs(r.pitch-last.pitch) > .12*pitch || math.Abs(r.chains[shape].x-last.chains[shape].x) > 2*pitch {
					continue
				}
			}
			take(i+1, append(chosen[:len(chosen):len(chosen)], r))
		}
	}
	take(0, nil)
	return best, best.Lines != nil
}

// row is a band that was read: for each shape the best chain of as many
// places.
type row struct {
	band
	pitch, cost float64
	chains      [len(shapes)]chain
}

type chain struct {
	cells [][]Guess
	x     float64 // of the first place's middle
	cost  float64
}

// refine reads a row again at other heights, places and slopes: what it was
// found by is coarse.
func (n *Net) refine(p plane, best row) row {
	try := func(b band) {
		if r, ok := n.scan(p, b, best.pitch); ok && r.cost < best.cost {
			best = r
		}
	}
	b := best.band
	for _, k := range []float64{.85, 1.18} {
		try(band{b.y, b.h * k, b.slope})
	}
	b = best.band
	for _, k := range []float64{-.1, .1} {
		try(band{b.y + k*b.h, b.h, b.slope})
	}
	b = best.band
	for _, k := range []float64{-.004, .004} {
		try(band{b.y, b.h, b.slope + k})
	}
	return best
}

// pitch finds the distance of characters from how a band's columns repeat.
func (p plane) pitch(b band) (float64, bool) {
	ink := make([]float64, p.w)
	mean := 0.0
	for x := range ink {
		mid := b.y + b.slope*(float64(x)-float64(p.w)/2)
		for k := -4; k <= 4; k++ {
			ink[x] += float64(bilinear(p.p, p.w, p.h, float64(x), mid+float64(k)/8*b.h))
		}
		mean += ink[x] / float64(p.w)
	}
	// The light changes along the line; only what changes quickly counts.
	around := int(2 * b.h)
	flat := make([]float64, p.w)
	sum := 0.0
	for x := -around; x < p.w; x++ {
		if x+around < p.w {
			sum += ink[x+around]
		}
		if x-around-1 >= 0 {
			sum -= ink[x-around-1]
		}
		if x >= 0 {
			flat[x] = ink[x] - sum/float64(min(p.w-1, x+around)-max(0, x-around)+1)
		}
	}
	best, at := 0.0, 0.0
	power := 1e-9
	for _, v := range flat {
		power += v * v
	}
	for lag := max(5, .7*b.h); lag < 1.6*b.h; lag += max(.1, b.h/80) {
		s := 0.0
		for _, m := range [3]float64{1, 2, 3} { // the second and third repetition sharpen the first
			d := lag * m
			i, f := int(d), d-math.Floor(d)
			for x := range max(0, p.w-i-1) {
				s += flat[x] * (flat[x+i]*(1-f) + flat[x+i+1]*f)
			}
		}
		if s > best {
			best, at = s, lag
		}
	}
	return at, best/power > .25 && at > 0
}

// scan reads a band at one height and place.
func (n *Net) scan(p plane, b band, pitch float64) (row, bool) {
	k := pitch / Pitch // picture pixels to a column
	width := int(float64(p.w)/k) + 2*Width
	if width < 30*Pitch || width > 160*Pitch {
		return row{}, false
	}
	strip := make([]float32, Height*width)
	taps := max(1, int(math.Round(k)))
	for y := range Height {
		for x := range width {
			var s float32
			for t := range taps * taps {
				px := (float64(x)+(float64(t%taps)+.5)/float64(taps)-Width)*k - .5
				v := (float64(y) + (float64(t/taps)+.5)/float64(taps) - Height/2) / Pitch * b.h
				s += bilinear(p.p, p.w, p.h, px, b.y+b.slope*(px-float64(p.w)/2)+v-.5)
			}
			strip[y*width+x] = s / float32(taps*taps)
		}
	}
	normalise(strip, width)
	probs := n.Scan(strip, width)
	r := row{band: b, pitch: pitch, cost: math.Inf(1)}
	for i, s := range shapes {
		cells, at, cost := follow(probs, s.places)
		if cells == nil {
			continue
		}
		r.chains[i] = chain{cells, (float64(at) - Width) * k, cost}
		r.cost = min(r.cost, cost)
	}
	return r, !math.IsInf(r.cost, 1)
}

// follow finds the likeliest chain of n characters about a pitch apart among
// windows two columns apart: what each may be, the first one's middle column,
// and the mean cost.
func follow(probs [][classes]float32, n int) (cells [][]Guess, first int, cost float64) {
	const step, slack, uneven = Pitch / 2, 1, .6
	if len(probs) < n*(step-slack) {
		return nil, 0, 0
	}
	likely := make([]float32, len(probs))
	for i := range probs {
		likely[i] = slices.Max(probs[i][:Off])
	}
	inf := float32(math.Inf(-1))
	sum := slices.Clone(likely)
	back := make([][]int8, n)
	for k := 1; k < n; k++ {
		next := make([]float32, len(probs))
		back[k] = make([]int8, len(probs))
		for i := range next {
			next[i] = inf
			for d := step - slack; d <= step+slack; d++ {
				if i-d < 0 {
					continue
				}
				v := sum[i-d]
				if d != step {
					v -= uneven
				}
				if v > next[i] {
					next[i], back[k][i] = v, int8(d)
				}
			}
			next[i] += likely[i]
		}
		sum = next
	}
	at := 0
	for i := range sum {
		if sum[i] > sum[at] {
			at = i
		}
	}
	if math.IsInf(float64(sum[at]), -1) {
		return nil, 0, 0
	}
	cost = -float64(sum[at]) / float64(n)
	cells = make([][]Guess, n)
	for k := n - 1; k >= 0; k-- {
		cells[k] = guesses(probs[at])
		if k > 0 {
			at -= int(back[k][at])
		}
	}
	return cells, 2*at + Width/2, cost
}

// guesses returns the likeliest characters of a window.
func guesses(p [classes]float32) []Guess {
	var list []Guess
	for i := range Off {
		list = append(list, Guess{Char: Alphabet[i], Cost: -float64(p[i])})
	}
	slices.SortFunc(list, func(a, b Guess) int { return cmp.Compare(a.Cost, b.Cost) })
	return list[:matcher.Guesses]
}

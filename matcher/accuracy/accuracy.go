// Package accuracy computes what comparison scores are worth, in the terms of
// ISO/IEC 19795-1: false match and false non-match rates with their intervals,
// likelihood ratios, and who takes part in the false matches.
package accuracy

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
)

// ErrData says that scores do not suffice for a figure.
var ErrData = errors.New("accuracy: too few scores")

// Pair is one comparison of pictures of two people, or of one.
type Pair struct {
	A, B  string // identities; equal for a genuine pair
	Score float64
}

// Genuine says whether both pictures show one person.
func (p Pair) Genuine() bool { return p.A == p.B }

// Set is a number of comparisons, ready for questions.
type Set struct {
	genuine, impostor []scored // by falling score
	people            []string
}

// scored is a comparison with its identities' numbers.
type scored struct {
	score float64
	a, b  int
}

// NewSet sorts comparisons. It fails without a pair of either kind, and for
// scores that are no numbers.
func NewSet(pairs []Pair) (*Set, error) {
	s := &Set{}
	number := map[string]int{}
	id := func(name string) int {
		n, ok := number[name]
		if !ok {
			n = len(s.people)
			number[name], s.people = n, append(s.people, name)
		}
		return n
	}
	for _, p := range pairs {
		if math.IsNaN(p.Score) {
			return nil, errors.New("accuracy: a score is not a number")
		}
		x := scored{p.Score, id(p.A), id(p.B)}
		if p.Genuine() {
			s.genuine = append(s.genuine, x)
		} else {
			s.impostor = append(s.impostor, x)
		}
	}
	if len(s.genuine) == 0 || len(s.impostor) == 0 {
		return nil, ErrData
	}
	for _, l := range [][]scored{s.genuine, s.impostor} {
		slices.SortFunc(l, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	}
	return s, nil
}

// Counts are the numbers of people and of pairs.
func (s *Set) Counts() (people, genuine, impostor int) {
	return len(s.people), len(s.genuine), len(s.impostor)
}

// Means are the mean scores of both kinds.
func (s *Set) Means() (genuine, impostor float64) {
	mean := func(l []scored) (m float64) {
		for _, x := range l {
			m += x.score / float64(len(l))
		}
		return m
	}
	return mean(s.genuine), mean(s.impostor)
}

// reached is how many of a falling list are at or above t.
func reached(l []scored, t float64) int {
	n, _ := slices.BinarySearchFunc(l, t, func(x scored, t float64) int {
		if x.score >= t {
			return -1
		}
		return 1
	})
	return n
}

// FMR is the part of impostor pairs that reach a threshold.
func (s *Set) FMR(threshold float64) float64 {
	return float64(reached(s.impostor, threshold)) / float64(len(s.impostor))
}

// FNMR is the part of genuine pairs that do not.
func (s *Set) FNMR(threshold float64) float64 {
	return 1 - float64(reached(s.genuine, threshold))/float64(len(s.genuine))
}

// Threshold is the lowest that lets at most a part fmr of the impostor pairs
// through: just above the first pair too many. It fails where not even one
// pair may pass, for then nothing was measured.
func (s *Set) Threshold(fmr float64) (float64, error) {
	n := int(fmr*float64(len(s.impostor)) + 1e-9)
	if n < 1 {
		return 0, ErrData
	}
	if n >= len(s.impostor) {
		return s.impostor[len(s.impostor)-1].score, nil
	}
	return math.Nextafter(s.impostor[n].score, math.Inf(1)), nil
}

// EER is the equal error rate: where FMR and FNMR cross.
func (s *Set) EER() float64 {
	best, rate := math.Inf(1), 1.0
	for _, l := range [][]scored{s.genuine, s.impostor} {
		for _, x := range l {
			a, b := s.FMR(x.score), s.FNMR(x.score)
			if d := math.Abs(a - b); d < best {
				best, rate = d, (a+b)/2
			}
		}
	}
	return rate
}

// rounds of the bootstrap; the seed is fixed, so that a report can be had again.
const rounds = 400

// Interval is the 95 % interval of a rate at a threshold, by a bootstrap over
// people: pairs of one person are not independent, and an interval that took
// them so would promise too much. Where nobody failed it is the rule of three
// on the number of people.
func (s *Set) Interval(threshold float64, genuine bool) [2]float64 {
	l := s.impostor
	failed := func(x scored) bool { return x.score >= threshold }
	if genuine {
		l = s.genuine
		failed = func(x scored) bool { return x.score < threshold }
	}
	any := false
	involved := map[int]bool{}
	for _, x := range l {
		any = any || failed(x)
		involved[x.a], involved[x.b] = true, true
	}
	if !any {
		n := float64(len(l))
		if genuine { // a person's pairs stand or fall together, at worst
			n = float64(len(involved))
		}
		return [2]float64{0, min(1, 3/n)}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var rates []float64
	weight := make([]float64, len(s.people))
	for range rounds {
		clear(weight)
		for range s.people {
			weight[rng.IntN(len(s.people))]++
		}
		var bad, all float64
		for _, x := range l {
			w := weight[x.a]
			if !genuine {
				w *= weight[x.b]
			}
			if w == 0 {
				continue
			}
			all += w
			if failed(x) {
				bad += w
			}
		}
		if all > 0 {
			rates = append(rates, bad/all)
		}
	}
	slices.Sort(rates)
	return [2]float64{rates[len(rates)*25/1000], rates[min(len(rates)-1, len(rates)*975/1000)]}
}

// Worst is the share of the false matches at a threshold in which the worst
// part of the identities takes part (0.05 for 5 %): close to twice that part
// if false matches fell on everybody alike.
func (s *Set) Worst(threshold, part float64) float64 {
	count := make([]int, len(s.people))
	matches := s.impostor[:reached(s.impostor, threshold)]
	if len(matches) == 0 {
		return 0
	}
	for _, x := range matches {
		count[x.a]++
		count[x.b]++
	}
	order := make([]int, len(s.people))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return count[b] - count[a] })
	worst := map[int]bool{}
	for _, i := range order[:max(1, int(math.Round(part*float64(len(order)))))] {
		worst[i] = true
	}
	n := 0
	for _, x := range matches {
		if worst[x.a] || worst[x.b] {
			n++
		}
	}
	return float64(n) / float64(len(matches))
}

// Likelihoods are base-10 logarithms of likelihood ratios at some scores, both
// rising, by pool-adjacent-violators. The ends are bounded by what so many
// pairs can show: at most the number of impostor pairs, at least one by the
// number of genuine ones.
func (s *Set) Likelihoods() [][2]float64 {
	type block struct {
		from, to          float64
		genuine, impostor float64
	}
	var blocks []block
	g, i := len(s.genuine)-1, len(s.impostor)-1
	for g >= 0 || i >= 0 { // by rising score
		var b block
		if i < 0 || g >= 0 && s.genuine[g].score <= s.impostor[i].score {
			b = block{s.genuine[g].score, s.genuine[g].score, 1, 0}
			g--
		} else {
			b = block{s.impostor[i].score, s.impostor[i].score, 0, 1}
			i--
		}
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.to < b.from && last.genuine*b.impostor < b.genuine*last.impostor {
				break
			}
			b = block{last.from, b.to, last.genuine + b.genuine, last.impostor + b.impostor}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	ng, ni := float64(len(s.genuine)), float64(len(s.impostor))
	var out [][2]float64
	add := func(score, llr float64) {
		score, llr = math.Round(score*1e4)/1e4, math.Round(llr*1e3)/1e3
		if n := len(out); n > 0 && (score <= out[n-1][0] || llr < out[n-1][1]) {
			return
		}
		out = append(out, [2]float64{score, llr})
	}
	for _, b := range blocks {
		// Half a pair more of each kind: no block says infinity.
		llr := math.Log10((b.genuine + .5) / ng / ((b.impostor + .5) / ni))
		llr = max(-math.Log10(ng), min(math.Log10(ni), llr))
		if b.from < b.to {
			add(b.from, llr)
		}
		add(b.to, llr)
	}
	return out
}

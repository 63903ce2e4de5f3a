package accuracy

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
)

// sample is people with n pictures each; genuine scores stand at 0.7, impostor
// scores at 0.2, both with a deviation of 0.1.
func sample(people, n int) []Pair {
	rng := rand.New(rand.NewPCG(3, 4))
	var pairs []Pair
	for a := range people {
		for range n {
			pairs = append(pairs, Pair{fmt.Sprint(a), fmt.Sprint(a), .7 + .1*rng.NormFloat64()})
		}
		for b := range a {
			pairs = append(pairs, Pair{fmt.Sprint(a), fmt.Sprint(b), .2 + .1*rng.NormFloat64()})
		}
	}
	return pairs
}

func set(t *testing.T, pairs []Pair) *Set {
	t.Helper()
	s, err := NewSet(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Ten pairs whose figures can be counted by hand.
func TestRates(t *testing.T) {
	s := set(t, []Pair{
		{"a", "a", .9},
		{"b", "b", .8},
		{"c", "c", .5},
		{"d", "d", .3},
		{"a", "b", .6},
		{"a", "c", .4},
		{"a", "d", .2},
		{"b", "c", .1},
		{"b", "d", .1},
		{"c", "d", 0},
	})
	for _, c := range []struct{ threshold, fmr, fnmr float64 }{{0, 1, 0}, {.3, 2. / 6, 0}, {.31, 2. / 6, .25}, {.6, 1. / 6, .5}, {.61, 0, .5}, {1, 0, 1}} {
		if a, b := s.FMR(c.threshold), s.FNMR(c.threshold); math.Abs(a-c.fmr) > 1e-9 || math.Abs(b-c.fnmr) > 1e-9 {
			t.Errorf("at %g: FMR %g, FNMR %g; want %g, %g", c.threshold, a, b, c.fmr, c.fnmr)
		}
	}
	if v, err := s.Threshold(1. / 6); err != nil || !(v > .4 && v < .4001) {
		t.Errorf("one false match is let through from %g, %v; want just above 0.4", v, err)
	}
	if _, err := s.Threshold(.01); !errors.Is(err, ErrData) {
		t.Errorf("a rate beyond the data: %v", err)
	}
	if e := s.EER(); e < .25 || e > .35 {
		t.Errorf("EER %g", e)
	}
	// The one false match at 0.6 is a's and b's.
	if w := s.Worst(.6, .25); w != 1 {
		t.Errorf("the worst quarter has %g of one false match", w)
	}
}

func TestNormal(t *testing.T) {
	s := set(t, sample(150, 4))
	threshold, err := s.Threshold(.001)
	if err != nil {
		t.Fatal(err)
	}
	// 0.2 + 3.09 × 0.1: the normal distribution's.
	if math.Abs(threshold-.509) > .02 || math.Abs(s.EER()-.0062) > .006 {
		t.Errorf("threshold %.3f, EER %.4f", threshold, s.EER())
	}
	for _, genuine := range []bool{true, false} {
		i := s.Interval(threshold, genuine)
		rate := s.FMR(threshold)
		if genuine {
			rate = s.FNMR(threshold)
		}
		if !(i[0] <= rate && rate <= i[1] && i[1] > i[0] && i[1] < .1) {
			t.Errorf("genuine %v: %.4f within %v", genuine, rate, i)
		}
	}
	// Nobody fails at 0: the interval still does not say that nobody can.
	if i := s.Interval(0, true); i[1] != 3./150 {
		t.Errorf("no failure of 150 people: %v", i)
	}
	l := s.Likelihoods()
	for i := 1; i < len(l); i++ {
		if l[i][0] <= l[i-1][0] || l[i][1] < l[i-1][1] {
			t.Fatalf("likelihoods do not rise: %v, %v", l[i-1], l[i])
		}
	}
	if l[0][1] > -1 || l[len(l)-1][1] < 2 || l[len(l)-1][1] > math.Log10(150*149/2)+.001 {
		t.Errorf("likelihoods from %v to %v", l[0], l[len(l)-1])
	}
}

func TestTooFew(t *testing.T) {
	for _, pairs := range [][]Pair{nil, {{"a", "a", 1}}, {{"a", "b", 1}}} {
		if _, err := NewSet(pairs); !errors.Is(err, ErrData) {
			t.Errorf("%v: %v", pairs, err)
		}
	}
	if _, err := NewSet([]Pair{{"a", "a", math.NaN()}, {"a", "b", 0}}); err == nil {
		t.Error("a score that is no number is accepted")
	}
}

func TestPlots(t *testing.T) {
	s := set(t, sample(40, 4))
	for name, b := range map[string][]byte{"DET": DET(Curve{"a <b>", s}, Curve{"c", s}), "histogram": Histogram(s, map[string]float64{"1 %": .43, "0.1 %": .5})} {
		d := xml.NewDecoder(bytes.NewReader(b))
		shapes := 0
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := tok.(xml.StartElement); ok && (e.Name.Local == "polyline" || e.Name.Local == "rect") {
				shapes++
			}
		}
		if shapes < 3 {
			t.Errorf("%s has %d shapes", name, shapes)
		}
		if bytes.Contains(b, []byte("NaN")) {
			t.Errorf("%s has a point that is nowhere", name)
		}
	}
}

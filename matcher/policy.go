package matcher

import (
	"context"
	"math"
	"time"
)

// Threshold is the cosine at which the default pack has a false match rate of
// 0.1 % (measured on LFW pairs: 0.932; 0.946 for 0.01 %).
const Threshold = 0.932

// Policy is how many attempts a face gets.
type Policy struct {
	Threshold float64       // cosine similarity
	Attempts  int           // at most 3 (domain §7)
	Frames    int           // averaged in an attempt
	Several   time.Duration // several faces for so long is a crowd
	MinEyes   float64       // pixels between the eyes
}

// DefaultPolicy is three attempts of three frames.
func DefaultPolicy() Policy {
	return Policy{Threshold: Threshold, Attempts: 3, Frames: 3, Several: 3 * time.Second, MinEyes: 40}
}

// Cosine is the similarity of two descriptors, -1 to 1; 0 if one is missing.
func Cosine(a, b []float32) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return 0
	}
	var dot, na, nb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		na += float64(a[i]) * float64(a[i])
		nb += float64(b[i]) * float64(b[i])
	}
	if na == 0 || nb == 0 {
		return 0
	}
	return dot / math.Sqrt(na*nb)
}

// Shown maps a cosine to 0–100 for people, 60 at the threshold: the pack's
// scale is compressed, impostors stand at 0.84 and genuine faces at 0.96.
func Shown(score, threshold float64) int {
	v := 60 + (score-threshold)/(1-threshold)*40
	if score < threshold {
		v = 60 - (threshold-score)/0.15*60
	}
	return int(math.Round(min(100, max(0, v))))
}

// Advice is what the traveller could do better.
type Advice string

// The pieces of advice, in the words of the traveller's page.
const (
	NoAdvice Advice = ""
	Closer   Advice = "closer"
	Back     Advice = "back"
	Look     Advice = "look"
	One      Advice = "one"
)

// Outcome is a comparison's end.
type Outcome string

const (
	Match    Outcome = "match"
	NonMatch Outcome = "non_match"
	Quality  Outcome = "quality"
	Several  Outcome = "several"
)

// Result is what comparing found.
type Result struct {
	Outcome  Outcome
	Score    float64
	Attempts int
	Frame    Frame // the best one
	Advice   Advice
}

// advise judges a frame; NoAdvice means that it is good enough to compare.
func (p Policy) advise(f Frame, a Analysis) Advice {
	if len(a.Faces) == 0 || a.Descriptor == nil {
		return Look
	}
	face := a.Faces[0]
	switch {
	case face.Eyes < p.MinEyes:
		return Closer
	case face.X < 0 || face.Y < 0 || face.X+face.W > f.Width || face.Y+face.H > f.Height:
		return Back
	case math.Abs(face.Yaw) > 25:
		return Look
	}
	return NoAdvice
}

// Compare takes frames until they match the reference, the attempts are used
// up or ctx ends. analyse is the worker. hint is told what to advise.
func (p Policy) Compare(ctx context.Context, reference []float32, frames <-chan Frame, analyse func(context.Context, Frame) (Analysis, error), hint func(Advice)) (Result, error) {
	best := Result{Outcome: Quality}
	var sum []float32
	n := 0
	var crowd time.Time
	for best.Attempts < p.Attempts {
		var f Frame
		select {
		case <-ctx.Done():
			if best.Attempts > 0 {
				return best, nil
			}
			return best, ctx.Err()
		case f = <-frames:
		}
		a, err := analyse(ctx, f)
		if err != nil {
			return best, err
		}
		if people(a) > 1 {
			hint(One)
			if crowd.IsZero() {
				crowd = time.Now()
			} else if time.Since(crowd) >= p.Several {
				best.Outcome, best.Frame = Several, f
				return best, nil
			}
			continue
		}
		crowd = time.Time{}
		advice := p.advise(f, a)
		hint(advice)
		if advice != NoAdvice {
			continue
		}
		if sum == nil {
			sum = make([]float32, len(a.Descriptor))
		}
		for i, v := range a.Descriptor {
			sum[i] += v
		}
		if n++; n < p.Frames {
			continue
		}
		best.Attempts++
		score := Cosine(sum, reference)
		if best.Frame.Pixels == nil || score > best.Score {
			best.Score, best.Frame = score, f
		}
		best.Outcome = NonMatch
		if score >= p.Threshold {
			best.Outcome = Match
			return best, nil
		}
		sum, n = nil, 0
	}
	return best, nil
}

// people counts faces that are large enough to stand in the lane.
func people(a Analysis) int {
	n := 0
	for _, f := range a.Faces {
		if f.Flag > 0.5 && f.W*3 >= a.Faces[0].W*2 {
			n++
		}
	}
	return n
}

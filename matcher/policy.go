package matcher

import (
	"context"
	"math"
	"slices"
	"time"

	"passage/matcher/quality"
)

// Policy is how many attempts a face gets, and which frames count.
type Policy struct {
	// Threshold is the score from which an attempt matches; Early the higher
	// one from which it does so before all its frames are there. Both are
	// cosines, by the pack's calibration.
	Threshold, Early float64
	Attempts         int           // at most 3 (domain §7)
	Frames           int           // the best of an attempt, averaged
	Several          time.Duration // several faces for so long is a crowd
	// Quality is the least that each component must have for a frame to count;
	// 0 asks for nothing. Unified is the least of the unified score.
	Quality [quality.Count]int
	Unified int
}

// DefaultPolicy is three attempts of three frames, with demands that a
// traveller who looks at the camera meets. Its thresholds are the caller's to
// set, from a pack.
func DefaultPolicy() Policy {
	return Policy{
		Threshold: 1, Early: 1, Attempts: 3, Frames: 3, Several: 3 * time.Second,
		Quality: [quality.Count]int{
			quality.EyeDistance: 30, // about 34 pixels
			quality.Framing:     90,
			quality.Yaw:         60, // about 31 degrees
			quality.Pitch:       40,
			quality.Roll:        40,
			quality.Sharpness:   8,
			quality.Exposure:    15,
			quality.Contrast:    10,
			quality.Uniformity:  5,
			quality.EyesOpen:    15,
			quality.MouthClosed: 5,
			quality.Unoccluded:  5,
			quality.Background:  0, // the gate's own; no traveller can change it
		},
		Unified: 25,
	}
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

// Advice is what the traveller could do better.
type Advice string

// The pieces of advice, in the words of the traveller's page.
const (
	NoAdvice   Advice = ""
	Look       Advice = "look" // no face is found
	One        Advice = "one"
	Closer     Advice = "closer"
	Back       Advice = "back"
	Turn       Advice = "turn"
	ChinUp     Advice = "up"
	ChinDown   Advice = "down"
	Level      Advice = "level"
	Still      Advice = "still"
	Brighter   Advice = "light"
	Glare      Advice = "glare"
	Shadow     Advice = "shadow"
	Eyes       Advice = "eyes"
	Mouth      Advice = "mouth"
	Uncover    Advice = "uncover"
	Centre     Advice = "centre"
	Confidence Advice = "wait" // good in every part, and yet not good enough
)

// advices is what helps against a low component, in the order in which it is
// said: what spoils other measures comes first.
var advices = [...]struct {
	component quality.Component
	advice    Advice
}{
	{quality.EyeDistance, Closer},
	{quality.Framing, Back},
	{quality.Exposure, Brighter},
	{quality.Yaw, Turn},
	{quality.Pitch, ChinUp}, // or ChinDown, by its sign
	{quality.Roll, Level},
	{quality.Unoccluded, Uncover},
	{quality.EyesOpen, Eyes},
	{quality.MouthClosed, Mouth},
	{quality.Sharpness, Still},
	{quality.Contrast, Glare},
	{quality.Uniformity, Shadow},
	{quality.Background, Centre},
}

// AdviceFor is what helps against a component that is low.
func AdviceFor(c quality.Component) Advice {
	for _, a := range advices {
		if a.component == c {
			return a.advice
		}
	}
	return Confidence
}

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
	Frame    Frame          // the best one
	Quality  quality.Report // the best frame's
	// Analysed and Refused count frames: all, and those that the quality
	// policy kept out, by the advice that was given.
	Analysed int
	Refused  map[Advice]int
}

// Advise judges a frame; NoAdvice means that it is good enough to compare. A
// component that was not measured fails a policy that asks for it: kioskd
// refuses a pack that cannot measure what its policy wants.
func (p Policy) Advise(a Analysis) Advice {
	if len(a.Faces) == 0 || a.Descriptor == nil {
		return Look
	}
	face := a.Faces[0]
	for _, x := range advices {
		if face.Quality.Values[x.component] >= p.Quality[x.component] {
			continue
		}
		if x.component == quality.Pitch && face.Pitch > 0 {
			return ChinDown
		}
		return x.advice
	}
	if face.Quality.Unified < p.Unified {
		return Confidence
	}
	return NoAdvice
}

// attempt gathers the frames of one attempt.
type attempt struct {
	frames []described
}

// described is a frame that counts.
type described struct {
	quality quality.Report
	frame   Frame
	d       []float32
}

// score compares the frames with a reference, better ones more.
func (a attempt) score(reference []float32) float64 {
	var list [][]float32
	var weights []float64
	for _, f := range a.frames {
		list, weights = append(list, f.d), append(weights, float64(max(f.quality.Unified, 1)))
	}
	return Fuse(list, weights, reference)
}

// best is the frame with the best quality, the first of several.
func (a attempt) best() described {
	return slices.MaxFunc(a.frames, func(x, y described) int { return x.quality.Unified - y.quality.Unified })
}

// Compare takes frames until they match the reference, the attempts are used
// up or ctx ends; ctx is the time that the traveller has. analyse is the
// worker. hint is told what to advise.
func (p Policy) Compare(ctx context.Context, reference []float32, frames <-chan Frame, analyse func(context.Context, Frame) (Analysis, error), hint func(Advice)) (Result, error) {
	best := Result{Outcome: Quality, Refused: map[Advice]int{}}
	var try attempt
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
		best.Analysed++
		if people(a) > 1 {
			hint(One)
			best.Refused[One]++
			if crowd.IsZero() {
				crowd = time.Now()
			} else if time.Since(crowd) >= p.Several {
				best.Outcome, best.Frame = Several, f
				return best, nil
			}
			// Whoever stands there next need not be who stood there before.
			try.frames = nil
			continue
		}
		crowd = time.Time{}
		advice := p.Advise(a)
		hint(advice)
		if advice != NoAdvice {
			best.Refused[advice]++
			continue
		}
		try.frames = append(try.frames, described{a.Faces[0].Quality, f, a.Descriptor})
		// Before the attempt is complete only a score counts that leaves no
		// doubt: looking more often must not make a false match likelier.
		threshold := p.Early
		if len(try.frames) >= p.Frames {
			threshold = p.Threshold
		}
		if len(try.frames) < p.Frames && try.score(reference) < threshold {
			continue
		}
		if p.decide(&best, try, reference, threshold) {
			return best, nil
		}
		try.frames = nil
	}
	return best, nil
}

// decide ends an attempt.
func (p Policy) decide(best *Result, try attempt, reference []float32, threshold float64) bool {
	best.Attempts++
	score := try.score(reference)
	if best.Frame.Pixels == nil || score > best.Score {
		b := try.best()
		best.Score, best.Frame, best.Quality = score, b.frame, b.quality
	}
	best.Outcome = NonMatch
	if score >= threshold {
		best.Outcome = Match
	}
	return best.Outcome == Match
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

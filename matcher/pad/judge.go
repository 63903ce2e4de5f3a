package pad

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Instrument is a kind of attack.
type Instrument string

// The kinds that are told apart.
const (
	Print  Instrument = "print"
	Screen Instrument = "screen"
	Video  Instrument = "video" // a screen whose face moves
	Mask   Instrument = "mask"
)

// Instruments are all of them, in the order of a report.
var Instruments = []Instrument{Print, Screen, Video, Mask}

// Light is what the traveller's screen shone when a frame was taken.
type Light uint8

// The lights. Warm and Cool are as bright as each other; they change no faster
// than Turn, far below what upsets anybody.
const (
	Dim Light = iota
	Warm
	Cool
)

// Times of the lane's light.
const (
	Turn   = 600 * time.Millisecond // of one light
	settle = 280 * time.Millisecond // until screen and camera show it
	latest = 240 * time.Millisecond // that it may come later than that
)

// Shining is the light that is due at a time since the start.
func Shining(since time.Duration) Light {
	if since/Turn%2 == 0 {
		return Warm
	}
	return Cool
}

// Sample is one frame's measures. At is the time since the observation began,
// Marks are five points of the face (eyes, nose, corners of the mouth), Lids
// the openings of both eyes, height by width; both may be missing.
type Sample struct {
	At    time.Duration
	Cues  Cues
	Marks [5][2]float64
	Lids  [2]float64
	// Lit says that the lane's own light was being changed.
	Lit bool
}

// Judge gathers samples of one person. The zero value is ready.
type Judge struct{ samples []Sample }

// most bounds what a judge keeps; more is of no use.
const most = 600

// Add adds a frame. What a worker could not have measured is left out.
func (j *Judge) Add(s Sample) {
	if s.Cues.Valid() && len(j.samples) < most {
		j.samples = append(j.samples, s)
	}
}

// Enough says whether more frames would hardly change the verdict: both lights
// have been seen, three frames each.
func (j *Judge) Enough() bool {
	warm, cool := j.lit(0)
	return len(warm) >= 3 && len(cool) >= 3
}

// Verdict is what was found. Score and the instruments' scores run from 0,
// genuine, to 1, attack (BSI TR-03121-3 §4.8.1). Without frames nothing was
// evaluated, which is said and never taken for genuine.
type Verdict struct {
	Evaluated  bool
	Score      float64
	Instrument Instrument // of the highest score
	By         map[Instrument]float64
	Frames     int
	Missing    []string // cues that could not be judged
}

// Alarm is the score from which an officer is called.
const Alarm = 0.5

// String is one line for an officer.
func (v Verdict) String() string {
	if !v.Evaluated {
		return "not evaluated"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.2f", v.Score)
	for i, k := range Instruments {
		fmt.Fprintf(&b, "%s %s %.2f", map[bool]string{true: ":", false: ","}[i == 0], k, v.By[k])
	}
	if len(v.Missing) > 0 {
		fmt.Fprintf(&b, "; without %s", strings.Join(v.Missing, ", "))
	}
	return b.String()
}

// over is 0 up to low, 1 from high on, and linear between.
func over(v, low, high float64) float64 { return min(1, max(0, (v-low)/(high-low))) }

// Verdict judges what has been gathered.
func (j *Judge) Verdict() Verdict {
	v := Verdict{Frames: len(j.samples), By: map[Instrument]float64{}}
	if len(j.samples) == 0 {
		return v
	}
	v.Evaluated = true
	median := func(of func(Cues) float64) float64 {
		list := make([]float64, len(j.samples))
		for i, s := range j.samples {
			list[i] = of(s.Cues)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	// Each cue speaks from 0 to 1; the limits were set on the tuning half of
	// the pictures and on simulated instruments (docs/vision.md).
	peak := median(func(c Cues) float64 { return c.Peak })
	pattern := over(peak, 3.7, 5.5)
	if peak == 0 {
		v.Missing = append(v.Missing, "spectrum")
	}
	frame := over(median(func(c Cues) float64 { return c.Edges }), .8, .97)
	flat := over(120-median(func(c Cues) float64 { return c.Bright - c.Dark }), 0, 40)
	grey := over(median(func(c Cues) float64 { return c.Dark }), 48, 78) // blacks that are none
	smooth := over(1.1-median(func(c Cues) float64 { return c.Sharp }), 0, .6)
	none, even, lit := j.response()
	if !lit {
		v.Missing = append(v.Missing, "light")
	}
	blinked, still := j.blink()
	plane, depth := j.plane()

	either := func(list ...float64) float64 {
		p := 1.0
		for _, s := range list {
			p *= 1 - s
		}
		return 1 - p
	}
	v.By[Print] = either(.6*pattern, .4*frame, .2*flat, .2*grey, .7*even, .3*plane, .25*still) * (1 - .6*blinked) * (1 - .3*depth)
	v.By[Screen] = either(.6*pattern, .4*frame, .75*none, .25*plane, .25*still) * (1 - .6*blinked) * (1 - .3*depth)
	v.By[Video] = either(.6*pattern, .4*frame, .75*none)
	v.By[Mask] = either(.45*smooth, .35*still, .2*flat) * (1 - .8*blinked)
	if lit { // who takes the light as a head does is no sheet and no screen
		shape := (1 - none) * (1 - even)
		v.By[Print] *= 1 - .5*shape
		v.By[Screen] *= 1 - .5*shape
		v.By[Video] *= 1 - .5*shape
	}
	for _, k := range Instruments {
		if v.By[k] > v.Score || v.Instrument == "" {
			v.Score, v.Instrument = v.By[k], k
		}
	}
	return v
}

// lit returns the frames that were taken in either light, once it had settled.
func (j *Judge) lit(late time.Duration) (warm, cool []Cues) {
	for _, s := range j.samples {
		at := s.At - late
		if !s.Lit || at < 0 || at%Turn < settle {
			continue
		}
		if Shining(at) == Warm {
			warm = append(warm, s.Cues)
		} else {
			cool = append(cool, s.Cues)
		}
	}
	return warm, cool
}

// response compares red to blue in both lights: of the middle of the face, of
// its rim and of what is around. A screen answers not at all (none is 1), a
// sheet as much at its rim as in its middle (even is 1), a head more in the
// middle, which is nearer and faces the light.
//
// How late the light arrives in the picture depends on screen and camera, and
// on how busy the machine is. The lateness with the clearest answer counts: a
// face that takes no light answers at none.
func (j *Judge) response() (none, even float64, ok bool) {
	none = 1
	for late := time.Duration(0); late <= latest; late += 40 * time.Millisecond {
		if n, e, judged := j.responseAt(late); judged {
			ok = true
			if n < none {
				none, even = n, e
			}
		}
	}
	if !ok {
		return 0, 0, false
	}
	return none, even, true
}

// responseAt is response for a light that comes later than settle allows.
func (j *Judge) responseAt(late time.Duration) (none, even float64, ok bool) {
	warm, cool := j.lit(late)
	if len(warm) < 2 || len(cool) < 2 {
		return 0, 0, false
	}
	tint := func(list []Cues, of func(Cues) [3]float64) float64 {
		sum := 0.0
		for _, c := range list {
			p := of(c)
			sum += math.Log((p[2] + 1) / (p[0] + 1))
		}
		return sum / float64(len(list))
	}
	change := func(of func(Cues) [3]float64) float64 { return tint(warm, of) - tint(cool, of) }
	around := change(func(c Cues) [3]float64 { return c.Around })
	centre := change(func(c Cues) [3]float64 { return c.Centre })
	rim := change(func(c Cues) [3]float64 { return c.Rim })
	none = 1 - over(centre-min(around, 0), .015, .05)
	if none < .5 {
		even = over(rim/max(centre, .01), .82, .95)
	}
	return none, even, true
}

// blink says whether both lids fell and rose again, and whether they did not
// over a time in which nearly everybody blinks.
func (j *Judge) blink() (blinked, still float64) {
	var open []float64
	for _, s := range j.samples {
		if s.Lids[0] > 0 && s.Lids[1] > 0 {
			open = append(open, (s.Lids[0]+s.Lids[1])/2)
		}
	}
	if len(open) < 5 {
		return 0, 0
	}
	sorted := slices.Clone(open)
	slices.Sort(sorted)
	usual := sorted[len(sorted)*3/4]
	for i := 1; i+1 < len(open); i++ {
		if open[i] < .62*usual && slices.Max(open[:i]) > .85*usual && slices.Max(open[i+1:]) > .85*usual {
			return 1, 0
		}
	}
	watched := j.samples[len(j.samples)-1].At - j.samples[0].At
	return 0, over(watched.Seconds(), 4, 9)
}

// plane tells a sheet that is turned from a head that is: in the frame of eyes
// and mouth the tip of a nose moves when a head turns, and stays when a sheet
// is tilted, although that changes the frame's own shape.
func (j *Judge) plane() (plane, depth float64) {
	var nose [2][]float64
	var shape []float64
	for _, s := range j.samples {
		m := s.Marks
		if m == ([5][2]float64{}) {
			continue
		}
		ex, ey := m[1][0]-m[0][0], m[1][1]-m[0][1]
		mx, my := (m[3][0]+m[4][0])/2-(m[0][0]+m[1][0])/2, (m[3][1]+m[4][1])/2-(m[0][1]+m[1][1])/2
		det := ex*my - ey*mx
		if math.Abs(det) < 1 {
			continue
		}
		nx, ny := m[2][0]-(m[0][0]+m[1][0])/2, m[2][1]-(m[0][1]+m[1][1])/2
		nose[0] = append(nose[0], (nx*my-ny*mx)/det)
		nose[1] = append(nose[1], (ex*ny-ey*nx)/det)
		shape = append(shape, math.Hypot(ex, ey)/math.Hypot(mx, my))
	}
	if len(shape) < 6 {
		return 0, 0
	}
	moved := math.Hypot(spread(nose[0]), spread(nose[1]))
	turned := spread(shape) / max(mean(shape), .1)
	depth = over(moved, .025, .06)
	plane = over(turned, .012, .03) * (1 - over(moved, .01, .025))
	return plane, depth
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

// spread is the standard deviation.
func spread(list []float64) float64 {
	m, sum := mean(list), 0.0
	for _, v := range list {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum / float64(len(list)))
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"passage/matcher/pad"
)

type padCmd struct {
	engine
	Images   []string      `arg:"" name:"image" help:"Pictures with a face."`
	Together bool          `help:"The pictures are frames of one person, in their order."`
	Every    time.Duration `default:"100ms" help:"Time from frame to frame, with --together."`
	JSON     bool          `name:"json" help:"As JSON, one line a picture."`
}

func (padCmd) Help() string {
	return `Examples: a portrait of a simulated traveller; frames of one person.

  passage face pad .cache/portraits/p01.jpg
  passage face pad --together frames/*.jpg

Scores are from 0, genuine, to 1, attack: one for each instrument, and their
highest. From 0.5 on a lane calls an officer.

Do not trust a low score. The detector is weak: a low one lets nobody in, in no
lane, and says nothing about an instrument that it does not know. It has not
been tested under ISO/IEC 30107-3. A single picture shows neither a blink nor a
motion nor what the face does with the lane's light, which are the better half
of what there is; "missing" names what could not be judged. With --together
blinks and motion are judged; the light only in a lane. What photographs and
simulated attacks gave is in docs/benchmarks.md.`
}

// padReport is what attack detection says of a picture, or of several.
type padReport struct {
	File        string                     `json:"file,omitempty"`
	Frames      int                        `json:"frames"` // that were measured
	Error       string                     `json:"error,omitempty"`
	Evaluated   bool                       `json:"evaluated"`
	Score       float64                    `json:"score"`
	Alarm       bool                       `json:"alarm"`
	Instrument  pad.Instrument             `json:"instrument,omitempty"` // of the score
	Instruments map[pad.Instrument]float64 `json:"instruments,omitempty"`
	Missing     []string                   `json:"missing,omitempty"`
	Cues        *pad.Cues                  `json:"cues,omitempty"` // of a single picture
}

// errUnmeasured is said of a face that attack detection cannot look at.
var errUnmeasured = errors.New("the face is too small or too near the edge to be measured")

func (c padCmd) Run(ctx context.Context) error {
	if _, err := c.open(); err != nil {
		return err
	}
	failed := 0
	out := json.NewEncoder(os.Stdout)
	say := func(r padReport) error {
		if r.Error != "" {
			failed++
		}
		if c.JSON {
			return out.Encode(r)
		}
		r.print()
		return nil
	}
	err := withGallery(ctx, c.engine, func(ctx context.Context, g *gallery) error {
		if c.Together {
			return say(c.together(ctx, g))
		}
		for _, path := range c.Images {
			if err := say(attack(path, g.look(ctx, path))); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && failed > 0 {
		err = errors.New("face pad: not everything could be judged")
	}
	return err
}

// sample is a picture's measures at a moment.
func sample(s *seen, at time.Duration) (pad.Sample, error) {
	switch {
	case s.err != nil:
		return pad.Sample{}, s.err
	case s.cues == nil:
		return pad.Sample{}, errUnmeasured
	}
	return pad.Sample{At: at, Cues: *s.cues, Marks: s.faces[0].Marks, Lids: s.faces[0].Lids}, nil
}

// attack judges one picture.
func attack(path string, s *seen) padReport {
	x, err := sample(s, 0)
	if err != nil {
		return padReport{File: path, Error: err.Error()}
	}
	var j pad.Judge
	j.Add(x)
	r := judged(j.Verdict())
	r.File, r.Cues = path, s.cues
	r.Missing = append(r.Missing, "blink", "motion")
	return r
}

// together judges all pictures as one person's frames. Those that cannot be
// measured are left out, as a lane leaves them out.
func (c padCmd) together(ctx context.Context, g *gallery) padReport {
	var j pad.Judge
	var last error
	for i, path := range c.Images {
		x, err := sample(g.look(ctx, path), time.Duration(i)*c.Every)
		if err != nil {
			last = fmt.Errorf("%s: %w", path, err)
			continue
		}
		j.Add(x)
	}
	r := judged(j.Verdict())
	if !r.Evaluated && last != nil {
		r.Error = last.Error()
	}
	return r
}

func judged(v pad.Verdict) padReport {
	return padReport{
		Frames: v.Frames, Evaluated: v.Evaluated, Score: v.Score, Alarm: v.Evaluated && v.Score >= pad.Alarm,
		Instrument: v.Instrument, Instruments: v.By, Missing: v.Missing,
	}
}

func (r padReport) print() {
	what := r.File
	if what == "" {
		what = fmt.Sprintf("%d frames", r.Frames)
	}
	if !r.Evaluated {
		fmt.Printf("%s: not evaluated: %s\n", what, r.Error)
		return
	}
	v := pad.Verdict{Evaluated: true, Score: r.Score, By: r.Instruments, Missing: r.Missing}
	says := "no alarm, which is no proof of a person"
	if r.Alarm {
		says = "alarm: an officer would be called"
	}
	fmt.Printf("%s: %s; %s\n", what, v, says)
}

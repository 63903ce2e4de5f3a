package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"passage/matcher"
)

type compareCmd struct {
	A         string  `arg:"" type:"existingfile" help:"A picture with a face: JPEG or JPEG 2000."`
	B         string  `arg:"" type:"existingfile" help:"Another one."`
	Pack      string  `default:".cache/packs/default" type:"existingdir" help:"Folder of the model pack."`
	Program   string  `help:"visiond; beside this program by default."`
	Threshold float64 `help:"Cosine similarity from which the faces match; 0 takes the default pack's, 0.932 (FMR 0.1 %)."`
	JSON      bool    `name:"json" help:"As JSON."`
}

func (compareCmd) Help() string {
	return `Example: two portraits of the simulated travellers.

  passage face compare .cache/portraits/p01.jpg .cache/portraits/p02.jpg

The score is the cosine similarity of the two descriptors, -1 to 1; "shown" is
what officers see, 60 at the threshold. Where a picture has several faces the
largest one counts.`
}

// faceReport is what is known of one picture.
type faceReport struct {
	File    string  `json:"file"`
	Faces   int     `json:"faces"`
	Eyes    float64 `json:"eyes_px"`
	Yaw     float64 `json:"yaw"`
	Quality int     `json:"quality"`
}

type compareReport struct {
	Pictures  [2]faceReport `json:"pictures"`
	Score     float64       `json:"score"`
	Threshold float64       `json:"threshold"`
	Shown     int           `json:"shown"`
	Verdict   string        `json:"verdict"` // match or non_match
}

func (c compareCmd) Run(ctx context.Context) error {
	if c.Threshold < 0 || c.Threshold >= 1 {
		return fmt.Errorf("face compare: a threshold of %g is not within 0 to 1", c.Threshold)
	}
	if c.Threshold == 0 {
		c.Threshold = matcher.Threshold
	}
	if c.Program == "" {
		var err error
		if c.Program, err = beside("visiond"); err != nil {
			return err
		}
	}
	r, err := c.compare(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	for _, p := range r.Pictures {
		fmt.Printf("%s: %d face(s), %.0f px between the eyes, yaw %+.0f°, quality %d\n", p.File, p.Faces, p.Eyes, p.Yaw, p.Quality)
	}
	fmt.Printf("score %.4f, threshold %.4f, shown %d: %s\n", r.Score, r.Threshold, r.Shown, r.Verdict)
	return nil
}

func (c compareCmd) compare(ctx context.Context) (compareReport, error) {
	r := compareReport{Threshold: c.Threshold}
	m := &matcher.Matcher{Program: matcher.Program{Path: c.Program}, Pack: c.Pack}
	err := withMatcher(ctx, m, func(ctx context.Context) error {
		var found [2]matcher.Analysis
		for i, path := range []string{c.A, c.B} {
			var err error
			if found[i], r.Pictures[i], err = faces(ctx, m, path); err != nil {
				return err
			}
		}
		r.Score = matcher.Cosine(found[0].Descriptor, found[1].Descriptor)
		return nil
	})
	r.Shown, r.Verdict = matcher.Shown(r.Score, r.Threshold), string(matcher.NonMatch)
	if r.Score >= r.Threshold {
		r.Verdict = string(matcher.Match)
	}
	return r, err
}

// faces decodes a picture in a process of its own and looks for faces in it.
func faces(ctx context.Context, m *matcher.Matcher, path string) (matcher.Analysis, faceReport, error) {
	r := faceReport{File: path}
	b, err := os.ReadFile(path)
	if err != nil {
		return matcher.Analysis{}, r, err
	}
	f, err := m.Program.Decode(ctx, b)
	if err != nil {
		return matcher.Analysis{}, r, fmt.Errorf("%s: %w", path, err)
	}
	a, err := m.Analyse(ctx, f)
	if err != nil {
		return a, r, fmt.Errorf("%s: %w", path, err)
	}
	if len(a.Faces) == 0 || a.Descriptor == nil {
		return a, r, fmt.Errorf("%s: no face is found", path)
	}
	r.Faces, r.Eyes, r.Yaw, r.Quality = len(a.Faces), a.Faces[0].Eyes, a.Faces[0].Yaw, a.Faces[0].Quality.Unified
	return a, r, nil
}

// withMatcher runs do while the worker is kept warm, and ends the worker.
func withMatcher(ctx context.Context, m *matcher.Matcher, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Run(ctx, func(why string) { // it ends with ctx
			select {
			case up <- why:
			default:
			}
		})
	}()
	var err error
	select {
	case why := <-up:
		if why == "" {
			err = do(ctx)
		} else {
			err = errors.New(why)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	<-ended
	return err
}

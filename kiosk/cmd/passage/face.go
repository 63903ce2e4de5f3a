package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"passage/matcher"
	"passage/matcher/pack"
	"passage/matcher/quality"
)

// faceCmd are the tools for faces.
type faceCmd struct {
	Compare   compareCmd   `cmd:"" help:"Compare the faces of two pictures, or of a list of pairs."`
	Quality   qualityCmd   `cmd:"" help:"Judge how fit a picture is for comparison."`
	Pad       padCmd       `cmd:"" help:"Look for signs that a face is a print, a screen, a video or a mask."`
	Packs     packsCmd     `cmd:"" help:"List model packs with their measured figures."`
	Calibrate calibrateCmd `cmd:"" help:"Measure what a pack's scores mean on your own pictures."`
	Bench     benchCmd     `cmd:"" help:"Measure a pack's speed and accuracy."`
}

type compareCmd struct {
	engine
	A         string  `arg:"" optional:"" help:"A picture with a face: JPEG, PNG or JPEG 2000."`
	B         string  `arg:"" optional:"" help:"Another one."`
	Pairs     string  `type:"existingfile" help:"A list of pairs instead: two paths a line with a tab between."`
	FMR       float64 `default:"0.001" help:"False match rate at which faces match, by the pack's calibration."`
	Threshold float64 `help:"A score from which the faces match, instead of a rate."`
	JSON      bool    `name:"json" help:"As JSON; with --pairs one line a pair."`
}

func (compareCmd) Help() string {
	return `Examples: two portraits of the simulated travellers; a list of pairs.

  passage face compare .cache/portraits/p01.jpg .cache/portraits/p02.jpg
  passage face compare --pairs pairs.tsv --json > scores.jsonl

The score is the cosine similarity of the two descriptors, -1 to 1; "shown" is
what officers see, 60 at the threshold; "llr" is the base-10 logarithm of how
much more likely the score is for one person than for two. Where a picture has
several faces the one nearest the middle counts, large ones before small ones.

A list's paths are as they stand or relative to the list. Further columns are
ignored, and so is a first line "a<tab>b". A pair that cannot be compared gets
an "error" and the run goes on. Models are loaded once, and a picture that
comes again is not looked at again.`
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
	LLR       float64       `json:"llr"`
	Shown     int           `json:"shown"`
	Verdict   string        `json:"verdict"` // match or non_match
}

// threshold is the one that was given, or the one of the rate.
func (c compareCmd) threshold(p *pack.Manifest) (float64, error) {
	if c.Threshold < -1 || c.Threshold >= 1 {
		return 0, fmt.Errorf("face compare: a threshold of %g is not within -1 to 1", c.Threshold)
	}
	if c.Threshold != 0 {
		return c.Threshold, nil
	}
	t, err := p.Threshold(c.FMR)
	if errors.Is(err, pack.ErrCalibration) {
		return 0, fmt.Errorf("face compare: %w; passage face calibrate makes a calibration, --threshold does without", err)
	}
	return t, err
}

func (c compareCmd) Run(ctx context.Context) error {
	p, err := c.open()
	if err != nil {
		return err
	}
	if c.Threshold, err = c.threshold(p); err != nil {
		return err
	}
	if c.Pairs != "" {
		if c.A != "" {
			return errors.New("face compare: either two pictures or --pairs")
		}
		return c.list(ctx, p)
	}
	if c.A == "" || c.B == "" {
		return errors.New("face compare: two pictures are wanted, or --pairs FILE")
	}
	r, err := c.compare(ctx, p)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	for _, p := range r.Pictures {
		fmt.Printf("%s: %d face(s), %.0f px between the eyes, yaw %+.0f°, quality %d\n", p.File, p.Faces, p.Eyes, p.Yaw, p.Quality)
	}
	fmt.Printf("score %.4f, threshold %.4f, shown %d, likelihood ratio 10^%+.1f: %s\n", r.Score, r.Threshold, r.Shown, r.LLR, r.Verdict)
	return nil
}

func (c compareCmd) compare(ctx context.Context, p *pack.Manifest) (compareReport, error) {
	r := compareReport{Threshold: c.Threshold}
	err := withGallery(ctx, c.engine, func(ctx context.Context, g *gallery) error {
		var d [2][]float32
		for i, path := range []string{c.A, c.B} {
			s := g.look(ctx, path)
			if s.err != nil {
				return fmt.Errorf("%s: %w", path, s.err)
			}
			f := s.faces[0]
			r.Pictures[i] = faceReport{path, len(s.faces), f.Eyes, f.Yaw, f.Quality.Unified}
			d[i] = s.d
		}
		r.Score = matcher.Cosine(d[0], d[1])
		return nil
	})
	r.LLR, r.Shown, r.Verdict = p.Calibration.Likelihood(r.Score), p.Calibration.Shown(r.Score, r.Threshold), string(matcher.NonMatch)
	if r.Score >= r.Threshold {
		r.Verdict = string(matcher.Match)
	}
	return r, err
}

type qualityCmd struct {
	engine
	Images []string `arg:"" name:"image" help:"Pictures with a face."`
	JSON   bool     `name:"json" help:"As JSON, one line a picture."`
}

func (qualityCmd) Help() string {
	return `Example: a portrait of a simulated traveller.

  passage face quality .cache/portraits/p01.jpg

Each component is 0 to 100, higher is better; "unified" is their weighted
geometric mean. The names are those of ISO/IEC 29794-5 or near them; the
measures are our own and no substitute for OFIQ's. "advice" is what a traveller
would be told by a lane's default policy.`
}

// qualityReport is one picture's quality.
type qualityReport struct {
	File       string         `json:"file"`
	Error      string         `json:"error,omitempty"`
	Faces      int            `json:"faces,omitempty"`
	Unified    int            `json:"unified"`
	Components map[string]int `json:"components,omitempty"` // -1 is not measured
	Eyes       float64        `json:"eyes_px,omitempty"`
	Yaw        float64        `json:"yaw"`
	Pitch      float64        `json:"pitch"`
	Roll       float64        `json:"roll"`
	Advice     matcher.Advice `json:"advice,omitempty"`
}

func (c qualityCmd) Run(ctx context.Context) error {
	if _, err := c.open(); err != nil {
		return err
	}
	failed := 0
	err := withGallery(ctx, c.engine, func(ctx context.Context, g *gallery) error {
		out := json.NewEncoder(os.Stdout)
		for _, path := range c.Images {
			r := judge(path, g.look(ctx, path))
			if r.Error != "" {
				failed++
			}
			if c.JSON {
				if err := out.Encode(r); err != nil {
					return err
				}
				continue
			}
			r.print()
		}
		return nil
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("face quality: %d of %d pictures could not be judged", failed, len(c.Images))
	}
	return err
}

func judge(path string, s *seen) qualityReport {
	r := qualityReport{File: path, Unified: quality.Unmeasured}
	if s.err != nil {
		r.Error = s.err.Error()
		return r
	}
	f := s.faces[0]
	r.Faces, r.Eyes, r.Yaw, r.Pitch, r.Roll, r.Unified = len(s.faces), f.Eyes, f.Yaw, f.Pitch, f.Roll, f.Quality.Unified
	r.Components = map[string]int{}
	for i, v := range f.Quality.Values {
		r.Components[quality.Component(i).String()] = v
	}
	r.Advice = matcher.DefaultPolicy().Advise(matcher.Analysis{Faces: s.faces, Descriptor: s.d})
	return r
}

func (r qualityReport) print() {
	if r.Error != "" {
		fmt.Printf("%s: %s\n", r.File, r.Error)
		return
	}
	fmt.Printf("%s: unified %d, %d face(s), %.0f px between the eyes, yaw %+.0f°, pitch %+.0f°, roll %+.0f°\n", r.File, r.Unified, r.Faces, r.Eyes, r.Yaw, r.Pitch, r.Roll)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for c := range quality.Count {
		value := fmt.Sprint(r.Components[c.String()])
		if r.Components[c.String()] == quality.Unmeasured {
			value = "not measured"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", c, value, matcher.AdviceFor(c))
	}
	_ = w.Flush() // standard output
	if r.Advice != matcher.NoAdvice {
		fmt.Printf("  the traveller would be told %q\n", r.Advice)
	}
}

type packsCmd struct {
	Dir  string `arg:"" optional:"" default:".cache/packs" type:"existingdir" help:"Folder of packs."`
	JSON bool   `name:"json" help:"As JSON."`
}

func (packsCmd) Help() string {
	return `Example: the packs that set-up made.

  passage face packs .cache/packs

A pack is a folder with manifest.toml and models in ONNX; docs/vision.md tells
how to make one. Every file is compared with its hash. A pack without a
calibration compares pictures but is refused for decisions.`
}

// packReport is one pack.
type packReport struct {
	Name        string            `json:"name"`
	Version     string            `json:"version,omitempty"`
	Description string            `json:"description,omitempty"`
	Error       string            `json:"error,omitempty"`
	Decides     bool              `json:"decides"`
	Licences    []string          `json:"licences,omitempty"`
	Calibration *pack.Calibration `json:"calibration,omitempty"`
}

func (c packsCmd) Run() error {
	list, err := packs(c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(list)
	}
	for _, p := range list {
		fmt.Printf("%s %s: %s\n", p.Name, p.Version, p.Description)
		switch k := p.Calibration; {
		case p.Error != "":
			fmt.Printf("  cannot be used: %s\n", p.Error)
		case k == nil:
			fmt.Println("  not calibrated: refused for decisions")
		default:
			fmt.Printf("  measured %s on %s: %d people, %d genuine and %d impostor pairs, EER %.2f %%\n", k.Date, k.Data, k.People, k.Genuine, k.Impostor, 100*k.EER)
			for _, x := range k.Table {
				fmt.Printf("  FMR %g %%: threshold %.4f, FNMR %.1f %% (%.1f to %.1f)\n", 100*x.FMR, x.Threshold, 100*x.FNMR, 100*x.FNMRWithin[0], 100*x.FNMRWithin[1])
			}
		}
	}
	return nil
}

// packs reads every pack of a folder, and checks its files.
func packs(dir string) ([]packReport, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*", "manifest.toml"))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("face packs: no pack in %s: make setup makes the default one", dir)
	}
	list := make([]packReport, 0, len(found))
	for _, f := range found {
		folder := filepath.Dir(f)
		m, err := pack.Open(folder)
		if err != nil {
			list = append(list, packReport{Name: filepath.Base(folder), Error: err.Error()})
			continue
		}
		r := packReport{Name: m.Name, Version: m.Version, Description: m.Description, Decides: m.Calibration != nil, Calibration: m.Calibration}
		for _, x := range m.Models() {
			if !slices.Contains(r.Licences, x.Licence) {
				r.Licences = append(r.Licences, x.Licence)
			}
		}
		list = append(list, r)
	}
	return list, nil
}

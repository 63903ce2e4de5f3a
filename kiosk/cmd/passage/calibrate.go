package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"passage/matcher"
	"passage/matcher/accuracy"
	"passage/matcher/pack"
)

type calibrateCmd struct {
	engine
	Pairs string `required:"" type:"existingfile" help:"List: two paths a line and 1 for one person, 0 for two, with tabs between."`
	Only  string `help:"Take only pictures whose path matches this regular expression."`
	Cross bool   `help:"Compare every picture with every other one: more impostor pairs. People are those that the list joins by 1."`
	Fuse  int    `default:"3" help:"Pictures of a person that are averaged, for the figures of fused frames; their people need one more."`
	Data  string `help:"What the pictures are, for the record; the list's name by default."`
	Plots string `help:"Folder for det.svg and scores.svg."`
	JSON  bool   `name:"json" help:"All figures as JSON instead of the manifest's section."`
}

func (calibrateCmd) Help() string {
	return `Example: figures of the default pack on your own pictures, with plots.

  passage face calibrate --pairs mine.tsv --cross --plots plots > calibration.toml

The output is the [calibration] section of a pack's manifest: put it there in
place of the old one, and a lane takes its thresholds from it. Intervals are of
95 %, by a bootstrap over people. A rate that the pairs cannot show is left out:
FMR 0.1 % needs 1,000 impostor pairs at the very least, and 30,000 to be worth
much. Pictures that come from the camera of the gate and the chips of real
documents say more than any collection.`
}

// shot is one file with its person.
type shot struct {
	path, person string
	d            []float32
}

// cohort are the pictures of a list, and what of them is to be compared.
type cohort struct {
	pictures []shot
	pairs    [][2]int
	missed   []string // pictures without a face
}

// figures are what a pack reaches on a cohort.
type figures struct {
	Pack     string   `json:"pack"`
	Pictures int      `json:"pictures"`
	Missed   int      `json:"pictures_without_face"`
	Single   *measure `json:"single"`
	Fused    *measure `json:"fused,omitempty"`
	set      *accuracy.Set
	fused    *accuracy.Set
}

// measure are the figures of one kind of comparison.
type measure struct {
	People   int         `json:"people"`
	Genuine  int         `json:"genuine_pairs"`
	Impostor int         `json:"impostor_pairs"`
	EER      float64     `json:"eer"`
	Points   []operating `json:"points"`
}

// operating is what happens at one threshold.
type operating struct {
	FMR       float64    `json:"fmr"`
	FMRWithin [2]float64 `json:"fmr_interval"`
	Threshold float64    `json:"threshold"`
	FNMR      float64    `json:"fnmr"`
	Within    [2]float64 `json:"fnmr_interval"`
	// Worst is the share of the false matches that the worst 5 % of the
	// people take part in.
	Worst float64 `json:"worst_5_percent_share"`
}

func (c calibrateCmd) Run(ctx context.Context) error {
	p, err := c.open()
	if err != nil {
		return err
	}
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return fmt.Errorf("face calibrate: --only: %w", err)
	}
	if c.Fuse < 1 || c.Fuse > 16 {
		return errors.New("face calibrate: --fuse is from 1 to 16")
	}
	if c.Data == "" {
		c.Data = filepath.Base(c.Pairs)
	}
	list, err := readPairs(c.Pairs)
	if err != nil {
		return err
	}
	k, err := gather(list, only, c.Cross)
	if err != nil {
		return fmt.Errorf("face calibrate: %s: %w", c.Pairs, err)
	}
	var f figures
	c.bare = true
	err = withGallery(ctx, c.engine, func(ctx context.Context, g *gallery) error {
		if err := k.describe(ctx, g, c.Pairs); err != nil {
			return err
		}
		f, err = measureUp(p.Name, k, c.Fuse)
		return err
	})
	if err != nil {
		return fmt.Errorf("face calibrate: %w", err)
	}
	if c.Plots != "" {
		if err := f.plot(c.Plots); err != nil {
			return fmt.Errorf("face calibrate: %w", err)
		}
	}
	f.print(os.Stderr)
	for _, m := range k.missed {
		fmt.Fprintf(os.Stderr, "%s: %v\n", m, errNoFace)
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	b, err := toml.Marshal(struct {
		Calibration pack.Calibration `toml:"calibration"`
	}{f.calibration(c.Data)})
	if err != nil {
		return fmt.Errorf("face calibrate: %w", err)
	}
	_, err = os.Stdout.Write(b)
	return err
}

// gather makes people of a list: pictures that a pair joins by 1 show one
// person.
func gather(list []pair, only *regexp.Regexp, cross bool) (*cohort, error) {
	k := &cohort{}
	number := map[string]int{}
	var root []int // union-find over pictures
	top := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	add := func(path string) int {
		i, ok := number[path]
		if !ok {
			i = len(root)
			number[path], root = i, append(root, i)
			k.pictures = append(k.pictures, shot{path: path})
		}
		return i
	}
	for _, p := range list {
		if p.err != nil {
			return nil, p.err
		}
		if p.same != "0" && p.same != "1" {
			return nil, fmt.Errorf("the third column of %s, %s is neither 0 nor 1", p.a, p.b)
		}
		if !only.MatchString(p.a) || !only.MatchString(p.b) {
			continue
		}
		a, b := add(p.a), add(p.b)
		if p.same == "1" {
			root[top(a)] = top(b)
		}
		k.pairs = append(k.pairs, [2]int{a, b})
	}
	for i := range k.pictures {
		k.pictures[i].person = k.pictures[top(i)].path
	}
	if cross {
		k.pairs = nil
		for i := range k.pictures {
			for j := range i {
				k.pairs = append(k.pairs, [2]int{i, j})
			}
		}
	}
	if len(k.pairs) == 0 {
		return nil, errors.New("no pairs")
	}
	return k, nil
}

// describe analyses all pictures; those without a face are missed.
func (k *cohort) describe(ctx context.Context, g *gallery, list string) error {
	return inOrder(ctx, len(k.pictures), func(ctx context.Context, i int) *seen { return g.look(ctx, find(k.pictures[i].path, list)) },
		func(i int, s *seen) error {
			if i%50 == 49 {
				fmt.Fprintf(os.Stderr, "\r%d of %d pictures ", i+1, len(k.pictures))
			}
			if errors.Is(s.err, errNoFace) {
				k.missed = append(k.missed, k.pictures[i].path)
				return nil
			}
			k.pictures[i].d = s.d
			if s.err != nil {
				return fmt.Errorf("%s: %w", k.pictures[i].path, s.err)
			}
			return nil
		})
}

// rates are the false match rates that are reported, where the pairs suffice.
var rates = []float64{0.01, 0.003, 0.001, 0.0003, 0.0001}

// measureUp compares pictures singly and fused.
func measureUp(name string, k *cohort, fuse int) (figures, error) {
	f := figures{Pack: name, Pictures: len(k.pictures), Missed: len(k.missed)}
	var pairs []accuracy.Pair
	for _, p := range k.pairs {
		a, b := k.pictures[p[0]], k.pictures[p[1]]
		if a.d != nil && b.d != nil {
			pairs = append(pairs, accuracy.Pair{A: a.person, B: b.person, Score: matcher.Cosine(a.d, b.d)})
		}
	}
	var err error
	if f.set, err = accuracy.NewSet(pairs); err != nil {
		return f, err
	}
	f.Single = newMeasure(f.set)
	if pairs := k.fused(fuse); len(pairs) > 0 {
		if f.fused, err = accuracy.NewSet(pairs); err == nil {
			f.Fused = newMeasure(f.fused)
		}
	}
	return f, nil
}

// fused compares, for every person with n+1 pictures, each picture with the
// next n together, and those with everybody else's pictures.
func (k *cohort) fused(n int) []accuracy.Pair {
	people := map[string][]int{}
	var order []string
	for i, p := range k.pictures {
		if p.d == nil {
			continue
		}
		if people[p.person] == nil {
			order = append(order, p.person)
		}
		people[p.person] = append(people[p.person], i)
	}
	var pairs []accuracy.Pair
	for _, who := range order {
		own := people[who]
		if len(own) < n+1 {
			continue
		}
		for r := range own {
			var probe [][]float32
			for j := range n {
				probe = append(probe, k.pictures[own[(r+1+j)%len(own)]].d)
			}
			pairs = append(pairs, accuracy.Pair{A: who, B: who, Score: matcher.Fuse(probe, nil, k.pictures[own[r]].d)})
			for _, p := range k.pictures {
				if p.d != nil && p.person != who {
					pairs = append(pairs, accuracy.Pair{A: who, B: p.person, Score: matcher.Fuse(probe, nil, p.d)})
				}
			}
		}
	}
	return pairs
}

func newMeasure(s *accuracy.Set) *measure {
	m := &measure{EER: s.EER()}
	m.People, m.Genuine, m.Impostor = s.Counts()
	for _, fmr := range rates {
		t, err := s.Threshold(fmr)
		if err != nil {
			continue
		}
		m.Points = append(m.Points, at(s, fmr, t))
	}
	return m
}

func at(s *accuracy.Set, fmr, t float64) operating {
	return operating{FMR: fmr, FMRWithin: s.Interval(t, false), Threshold: t, FNMR: s.FNMR(t), Within: s.Interval(t, true), Worst: s.Worst(t, 0.05)}
}

// calibration is the manifest's section. Only single comparisons go into it:
// the average of several frames does better at the same threshold.
func (f figures) calibration(data string) pack.Calibration {
	round := func(v float64) float64 { return float64(int64(v*1e6+.5)) / 1e6 }
	c := pack.Calibration{
		Data: data, Date: time.Now().UTC().Format(time.DateOnly), People: f.Single.People, Genuine: f.Single.Genuine, Impostor: f.Single.Impostor,
		EER: round(f.Single.EER), LLR: f.set.Likelihoods(),
	}
	g, i := f.set.Means()
	c.GenuineMean, c.ImpostorMean = round(g), round(i)
	for _, p := range f.Single.Points {
		c.Table = append(c.Table, pack.Point{
			FMR: p.FMR, Threshold: round(p.Threshold + 5e-7), Interval: [2]float64{round(p.FMRWithin[0]), round(p.FMRWithin[1])},
			FNMR: round(p.FNMR), FNMRWithin: [2]float64{round(p.Within[0]), round(p.Within[1])},
		})
	}
	return c
}

func (f figures) print(w *os.File) {
	fmt.Fprintf(w, "\r%s: %d pictures, %d without a face\n", f.Pack, f.Pictures, f.Missed)
	for _, x := range []struct {
		what string
		m    *measure
	}{{"single", f.Single}, {"fused", f.Fused}} {
		if x.m == nil {
			continue
		}
		fmt.Fprintf(w, "%s: %d people, %d genuine and %d impostor pairs, EER %.2f %%\n", x.what, x.m.People, x.m.Genuine, x.m.Impostor, 100*x.m.EER)
		for _, p := range x.m.Points {
			fmt.Fprintf(w, "  FMR %g %% (%.3f to %.3f): threshold %.4f, FNMR %.1f %% (%.1f to %.1f); the worst 5 %% of the people take part in %.0f %% of the false matches\n",
				100*p.FMR, 100*p.FMRWithin[0], 100*p.FMRWithin[1], p.Threshold, 100*p.FNMR, 100*p.Within[0], 100*p.Within[1], 100*p.Worst)
		}
	}
}

// plot writes the DET curves and the scores' histogram.
func (f figures) plot(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	curves := []accuracy.Curve{{Name: f.Pack + ", single pictures", Set: f.set}}
	if f.fused != nil {
		curves = append(curves, accuracy.Curve{Name: f.Pack + ", fused pictures", Set: f.fused})
	}
	if err := os.WriteFile(filepath.Join(dir, "det.svg"), accuracy.DET(curves...), 0o644); err != nil {
		return err
	}
	marks := map[string]float64{}
	for _, p := range f.Single.Points {
		marks[strings.TrimSuffix(fmt.Sprintf("%g", 100*p.FMR), ".0")+" %"] = p.Threshold
	}
	return os.WriteFile(filepath.Join(dir, "scores.svg"), accuracy.Histogram(f.set, marks), 0o644)
}

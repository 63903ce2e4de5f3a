package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"passage/matcher"
	"passage/matcher/pack"
)

type benchCmd struct {
	engine
	Image  string   `default:".cache/portraits/p01.jpg" type:"existingfile" help:"A picture with one face, for speed."`
	Frames int      `default:"60" help:"Frames that are analysed for speed; 0 leaves it out."`
	Pairs  string   `help:"List for accuracy, as for calibrate; without it there is only speed."`
	Only   string   `help:"Take only pictures whose path matches this regular expression."`
	Fuse   int      `default:"3" help:"Pictures that are compared together."`
	With   []string `type:"existingdir" help:"Folders of further packs to measure on the list."`
	Plots  string   `help:"Folder for the plots."`
	JSON   bool     `name:"json" help:"As JSON instead of Markdown."`
}

func (benchCmd) Help() string {
	return `Examples: speed alone; speed and accuracy of the default pack.

  passage face bench --frames 200
  passage face bench --pairs pairs.tsv --only '^lfw/[M-Z]' --plots plots

"Overhead" is what an analysis takes beyond the time inside the networks, which
the worker measures in the same call: warping, quality, encoding, both pipes.
Accuracy is of the pack as it is, on the pictures named. The thresholds of the
pack's own calibration are tried as well as the ones that these pictures give:
only the former were known beforehand.`
}

// speed is what one worker does on one picture.
type speed struct {
	Frames    int     `json:"frames"`
	Size      string  `json:"frame"`
	Analyse   float64 `json:"analyse_ms"`   // median round trip
	Inference float64 `json:"inference_ms"` // median time inside the networks
	Overhead  float64 `json:"overhead"`     // median of (round trip − inference) ÷ inference
	PerSecond float64 `json:"frames_per_second"`
	First     float64 `json:"first_decision_ms"` // median from a good frame, an early match
	Attempt   float64 `json:"attempt_ms"`        // median of three frames compared together
	CPU       float64 `json:"cpu_ms"`            // the worker's CPU time for one frame
	Restart   float64 `json:"restart_ms"`        // from the worker's death to the next analysis
	Decode    float64 `json:"decode_ms"`         // median, by a process that waits, as in a lane
	Cold      float64 `json:"decode_cold_ms"`    // median, process start included
	MatchMB   float64 `json:"match_mb"`          // peak resident
	DecodeMB  float64 `json:"decode_mb"`         // peak resident, by the largest picture that is accepted
}

type benchReport struct {
	Speed    *speed    `json:"speed,omitempty"`
	Accuracy []verdict `json:"accuracy,omitempty"`
}

// verdict are a pack's figures, and what its own calibration's threshold for
// FMR 0.1 % does.
type verdict struct {
	figures
	Own      *operating `json:"own_threshold,omitempty"`
	OwnFused *operating `json:"own_threshold_fused,omitempty"`
}

func (c benchCmd) Run(ctx context.Context) error {
	if _, err := c.open(); err != nil {
		return err
	}
	var r benchReport
	if c.Frames > 0 {
		s, err := c.speed(ctx)
		if err != nil {
			return fmt.Errorf("face bench: %w", err)
		}
		r.Speed = &s
	}
	if c.Pairs != "" {
		if err := c.accuracy(ctx, &r); err != nil {
			return fmt.Errorf("face bench: %w", err)
		}
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	r.markdown()
	return nil
}

// speed measures one worker as kioskd runs it.
func (c benchCmd) speed(ctx context.Context) (speed, error) {
	program := matcher.Program{Path: c.Program}
	m := &matcher.Matcher{Program: program, Pack: c.Pack}
	s := speed{Frames: c.Frames}
	stream, err := os.ReadFile(c.Image)
	if err != nil {
		return s, err
	}
	f, err := program.Decode(ctx, stream)
	if err != nil {
		return s, err
	}
	s.Size = fmt.Sprintf("%d × %d", f.Width, f.Height)
	err = m.Warm(ctx, func(ctx context.Context) error {
		first, err := m.Analyse(ctx, f) // warms up
		if err != nil {
			return err
		}
		if first.Descriptor == nil {
			return fmt.Errorf("%s: %w", c.Image, errNoFace)
		}
		var took, inside, over []float64
		began, spent := time.Now(), used("match")
		for range c.Frames {
			start := time.Now()
			a, err := m.Analyse(ctx, f)
			if err != nil {
				return err
			}
			t, n := ms(time.Since(start)), float64(a.InferenceUS)/1000
			took, inside, over = append(took, t), append(inside, n), append(over, (t-n)/n)
		}
		s.PerSecond = float64(c.Frames) / time.Since(began).Seconds()
		s.CPU = ms(used("match")-spent) / float64(c.Frames)
		s.Analyse, s.Inference, s.Overhead = median(took), median(inside), median(over)
		if s.First, err = c.decide(ctx, m, f, first.Descriptor, 0.9); err != nil {
			return err
		}
		s.Attempt, err = c.decide(ctx, m, f, first.Descriptor, 2) // no cosine is early
		s.MatchMB = peak("match")
		if err != nil {
			return err
		}
		s.Restart, err = restart(ctx, m, f)
		return err
	})
	if err != nil {
		return s, err
	}
	if err := s.decode(ctx, program, stream); err != nil {
		return s, err
	}
	s.DecodeMB, err = decoderMemory(ctx, program)
	return s, err
}

// restart is how long a lane is without a matcher whose process was killed.
func restart(ctx context.Context, m *matcher.Matcher, f matcher.Frame) (float64, error) {
	start := time.Now()
	m.Kill()
	for {
		_, err := m.Analyse(ctx, f)
		if err == nil {
			return ms(time.Since(start)), nil
		}
		if !errors.Is(err, matcher.ErrWorker) || time.Since(start) > 30*time.Second {
			return 0, err
		}
	}
}

// decode measures the decoding of a portrait as a lane does it, by a process
// that waits for it, and with the start of a process.
func (s *speed) decode(ctx context.Context, program matcher.Program, stream []byte) error {
	var warm, cold []float64
	d := matcher.Decoder{Program: program}
	defer d.Close()
	for range 15 {
		if err := d.Ready(ctx); err != nil {
			return err
		}
		start := time.Now()
		f, err := d.Decode(ctx, stream)
		if err != nil || !f.Valid() {
			return errors.Join(errors.New("the portrait cannot be decoded"), err)
		}
		warm = append(warm, ms(time.Since(start)))
	}
	d.Close() // nothing starts beside the cold ones
	for range 7 {
		start := time.Now()
		if _, err := program.Decode(ctx, stream); err != nil {
			return err
		}
		cold = append(cold, ms(time.Since(start)))
	}
	s.Decode, s.Cold = median(warm), median(cold)
	return nil
}

// decoderMemory is the decoder's peak while it has the largest picture that it
// accepts, as PNG, which cannot be made smaller on the way.
func decoderMemory(ctx context.Context, program matcher.Program) (float64, error) {
	const side = 4472 // squared, just below matcher.MaxPixels
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, side, side))); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() {
		_, err := program.Decode(ctx, b.Bytes())
		done <- err
	}()
	most := 0.0
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return most, err
		case <-tick.C:
			most = max(most, peak("decode"))
		}
	}
}

// decide is the median time of a comparison by the default policy, from the
// first good frame.
func (c benchCmd) decide(ctx context.Context, m *matcher.Matcher, f matcher.Frame, reference []float32, early float64) (float64, error) {
	p := matcher.DefaultPolicy()
	p.Threshold, p.Early = 0.5, early
	p.Quality, p.Unified = [len(p.Quality)]int{}, 0 // the picture is good by definition
	var took []float64
	for range 9 {
		frames := make(chan matcher.Frame, p.Frames)
		for range p.Frames {
			frames <- f
		}
		start := time.Now()
		r, err := p.Compare(ctx, reference, frames, m.Analyse, func(matcher.Advice) {})
		if err != nil || r.Outcome != matcher.Match {
			return 0, errors.Join(fmt.Errorf("a picture does not match itself: %s", r.Outcome), err)
		}
		took = append(took, ms(time.Since(start)))
	}
	return median(took), nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// workerOf is the folder in /proc of this process's worker in a role; "" where
// there is none.
func workerOf(role string) string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		line, err := os.ReadFile(filepath.Join(d, "cmdline"))
		if err != nil || !strings.Contains(string(line), "visiond") || !strings.Contains(string(line), "\x00"+role+"\x00") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(d, "status"))
		if err == nil && strings.Contains(string(b), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
			return d
		}
	}
	return ""
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the highest resident size of this process's worker, in MB; 0 where
// /proc does not say.
func peak(role string) float64 {
	b, err := os.ReadFile(filepath.Join(workerOf(role), "status"))
	if err != nil {
		return 0
	}
	m := peakLine.FindSubmatch(b)
	if m == nil {
		return 0
	}
	kb, _ := strconv.ParseFloat(string(m[1]), 64) // digits
	return kb / 1024
}

// used is the CPU time of this process's worker; 0 where /proc does not say.
func used(role string) time.Duration {
	b, err := os.ReadFile(filepath.Join(workerOf(role), "stat"))
	if err != nil {
		return 0
	}
	// After the name in brackets: the 14th and 15th fields of proc(5), in
	// hundredths of a second.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64) // the kernel's digits
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// accuracy measures every pack on the list.
func (c benchCmd) accuracy(ctx context.Context, r *benchReport) error {
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	list, err := readPairs(c.Pairs)
	if err != nil {
		return err
	}
	for i, dir := range append([]string{c.Pack}, c.With...) {
		p, err := pack.Read(dir)
		if err != nil {
			return err
		}
		k, err := gather(list, only, true)
		if err != nil {
			return err
		}
		var v verdict
		err = withGallery(ctx, engine{Pack: dir, Program: c.Program, bare: true}, func(ctx context.Context, g *gallery) error {
			if err := k.describe(ctx, g, c.Pairs); err != nil {
				return err
			}
			v.figures, err = measureUp(p.Name, k, c.Fuse)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if t, err := p.Threshold(0.001); err == nil {
			o := at(v.set, v.set.FMR(t), t)
			v.Own = &o
			if v.fused != nil {
				o := at(v.fused, v.fused.FMR(t), t)
				v.OwnFused = &o
			}
		}
		if i == 0 && c.Plots != "" {
			if err := v.plot(c.Plots); err != nil {
				return err
			}
		}
		r.Accuracy = append(r.Accuracy, v)
	}
	return nil
}

// markdown prints the report for docs/benchmarks.md.
func (r benchReport) markdown() {
	if s := r.Speed; s != nil {
		fmt.Printf("| what | target | measured |\n|---|---|---|\n")
		fmt.Printf("| worker's overhead over inference, median of %d frames of %s | ≤ 10 %% | %.1f %% (%.1f ms round trip, %.1f ms in the networks) |\n", s.Frames, s.Size, 100*s.Overhead, s.Analyse, s.Inference)
		fmt.Printf("| first decision after a good frame | ≤ 700 ms | %.0f ms by one frame without doubt, %.0f ms by three |\n", s.First, s.Attempt)
		fmt.Printf("| analysed frames | ≥ 8/s | %.1f/s |\n", s.PerSecond)
		fmt.Printf("| CPU time of one frame, all threads | – | %.0f ms |\n", s.CPU)
		fmt.Printf("| from a worker's death to the next analysis, models loaded and checked | ≤ 2 s | %.2f s |\n", s.Restart/1000)
		fmt.Printf("| portrait decoded in a process of its own, as a lane does it | ≤ 80 ms | %.0f ms by the process that waits, %.0f ms with its start |\n", s.Decode, s.Cold)
		fmt.Printf("| visiond match, peak resident | < 400 MB | %.0f MB |\n", s.MatchMB)
		fmt.Printf("| visiond decode, peak resident with a picture of 20 megapixels | < 256 MB | %.0f MB |\n\n", s.DecodeMB)
	}
	if len(r.Accuracy) == 0 {
		return
	}
	fmt.Printf("| pack | pictures | pairs, one person / two | EER | FNMR at FMR 1 %% | FNMR at FMR 0.1 %% | worst 5 %% of people take part in |\n|---|---|---|---|---|---|---|\n")
	rate := func(m *measure, fmr float64) string {
		for _, p := range m.Points {
			if p.FMR == fmr {
				return fmt.Sprintf("%.1f %% (%.1f–%.1f)", 100*p.FNMR, 100*p.Within[0], 100*p.Within[1])
			}
		}
		return "too few pairs"
	}
	worst := func(m *measure) string {
		for _, p := range m.Points {
			if p.FMR == 0.001 {
				return fmt.Sprintf("%.0f %% of the false matches", 100*p.Worst)
			}
		}
		return ""
	}
	for _, v := range r.Accuracy {
		for _, x := range []struct {
			what string
			m    *measure
		}{{"single", v.Single}, {"fused", v.Fused}} {
			if x.m != nil {
				fmt.Printf("| %s, %s | %d, %d without a face | %d / %d | %.2f %% | %s | %s | %s |\n", v.Pack, x.what, v.Pictures, v.Missed, x.m.Genuine, x.m.Impostor, 100*x.m.EER, rate(x.m, .01), rate(x.m, .001), worst(x.m))
			}
		}
	}
	fmt.Println("\nAt the threshold for FMR 0.1 % of a pack's own calibration, made on other people:")
	fmt.Println()
	for _, v := range r.Accuracy {
		for _, x := range []struct {
			what string
			o    *operating
		}{{"single", v.Own}, {"fused", v.OwnFused}} {
			if o := x.o; o != nil {
				fmt.Printf("- %s, %s: at %.4f FMR %.3f %% (%.3f–%.3f), FNMR %.1f %% (%.1f–%.1f).\n", v.Pack, x.what, o.Threshold, 100*o.FMR, 100*o.FMRWithin[0], 100*o.FMRWithin[1], 100*o.FNMR, 100*o.Within[0], 100*o.Within[1])
			}
		}
		if v.Own == nil {
			fmt.Printf("- %s has no calibration: kioskd refuses it.\n", v.Pack)
		}
	}
}

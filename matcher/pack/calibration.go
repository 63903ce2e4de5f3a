package pack

import (
	"errors"
	"fmt"
	"math"
	"sort"
)

// ErrCalibration says that a pack's scores have no known meaning: it must not
// decide.
var ErrCalibration = errors.New("the pack is not calibrated: it must not decide")

// Calibration is what a pack's scores mean, measured on named pictures.
// passage face calibrate makes it.
type Calibration struct {
	Data     string `toml:"data"` // which pictures
	Date     string `toml:"date"`
	People   int    `toml:"people"`
	Genuine  int    `toml:"genuine"`  // pairs of one person
	Impostor int    `toml:"impostor"` // pairs of two
	// Means of the scores, for showing scores to people.
	GenuineMean  float64 `toml:"genuine_mean"`
	ImpostorMean float64 `toml:"impostor_mean"`
	EER          float64 `toml:"eer"`
	// Table is the operating points, from the highest FMR to the lowest.
	Table []Point `toml:"fmr"`
	// LLR is the likelihood ratio's base-10 logarithm at some scores, both
	// rising; between them it is linear, beyond them it stays.
	LLR [][2]float64 `toml:"llr"`
}

// Point is one operating point: rates from 0 to 1, each with its 95 %
// interval.
type Point struct {
	FMR        float64    `toml:"fmr"`
	Threshold  float64    `toml:"threshold"`
	Interval   [2]float64 `toml:"fmr_interval"`
	FNMR       float64    `toml:"fnmr"`
	FNMRWithin [2]float64 `toml:"fnmr_interval"`
}

func (c *Calibration) check() error {
	if len(c.Table) == 0 || c.Genuine < 1 || c.Impostor < 1 || c.Data == "" {
		return errors.New("calibration: data, pairs or the FMR table are missing")
	}
	for i, p := range c.Table {
		if !(p.FMR > 0 && p.FMR < 1) || !(p.Threshold >= -1 && p.Threshold <= 1) {
			return fmt.Errorf("calibration: row %d: FMR %g at %g", i+1, p.FMR, p.Threshold)
		}
		if i > 0 && (p.FMR >= c.Table[i-1].FMR || p.Threshold < c.Table[i-1].Threshold) {
			return fmt.Errorf("calibration: row %d: FMR must fall and threshold rise", i+1)
		}
		// With fewer than one expected false match a rate is not measured.
		if p.FMR*float64(c.Impostor) < 1 {
			return fmt.Errorf("calibration: row %d: FMR %g is beyond %d impostor pairs", i+1, p.FMR, c.Impostor)
		}
	}
	for i, p := range c.LLR {
		if math.IsNaN(p[0]) || math.IsNaN(p[1]) || math.IsInf(p[1], 0) || i > 0 && (p[0] <= c.LLR[i-1][0] || p[1] < c.LLR[i-1][1]) {
			return fmt.Errorf("calibration: llr %d does not rise", i+1)
		}
	}
	return nil
}

// Threshold is the score from which faces match at a false match rate of fmr.
// A rate between two rows takes the row of the lower one, never a guess; below
// the lowest row there is an error: nobody measured that.
func (m *Manifest) Threshold(fmr float64) (float64, error) {
	if m.Calibration == nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrPack, m.Name, ErrCalibration)
	}
	t := m.Calibration.Table
	i := sort.Search(len(t), func(i int) bool { return t[i].FMR <= fmr*(1+1e-9) })
	if i == len(t) {
		return 0, fmt.Errorf("%w: %s: an FMR of %g was not measured, the lowest is %g", ErrPack, m.Name, fmr, t[len(t)-1].FMR)
	}
	return t[i].Threshold, nil
}

// Likelihood is the base-10 logarithm of how much more likely the score is for
// one person than for two; 0 without a calibration.
func (c *Calibration) Likelihood(score float64) float64 {
	if c == nil || len(c.LLR) == 0 {
		return 0
	}
	i := sort.Search(len(c.LLR), func(i int) bool { return c.LLR[i][0] >= score })
	switch i {
	case 0:
		return c.LLR[0][1]
	case len(c.LLR):
		return c.LLR[i-1][1]
	}
	a, b := c.LLR[i-1], c.LLR[i]
	return a[1] + (b[1]-a[1])*(score-a[0])/(b[0]-a[0])
}

// Shown maps a score to 0–100 for people: 60 at the threshold, 25 where two
// people usually are, 100 for the same picture. Scales of packs are compressed
// in ways of their own; this one is the same for all.
func (c *Calibration) Shown(score, threshold float64) int {
	low := threshold - 0.2 // a pack whose scores nobody knows
	if c != nil && c.ImpostorMean < threshold {
		low = c.ImpostorMean
	}
	v := 60 + 40*(score-threshold)/(1-threshold)
	if score < threshold {
		v = 60 - 35*(threshold-score)/(threshold-low)
	}
	return int(math.Round(min(100, max(0, v))))
}

package devices

import (
	"errors"
	"strings"
	"testing"

	"passage/kiosk/config"
	"passage/matcher/pack"
	"passage/matcher/quality"
)

func TestFacePolicy(t *testing.T) {
	calibrated := func() *pack.Manifest {
		return &pack.Manifest{
			Name: "p", Landmarks: &pack.Landmarks{},
			Calibration: &pack.Calibration{Table: []pack.Point{{FMR: .01, Threshold: .4}, {FMR: .001, Threshold: .5}, {FMR: .0001, Threshold: .6}}},
		}
	}
	v := config.Vision{FMR: .001, Attempts: 2, Frames: 4, Quality: map[string]int{"yaw": 12, "unified": 7}}
	p, err := facePolicy(v, calibrated())
	if err != nil || p.Threshold != .5 || p.Early != .6 || p.Attempts != 2 || p.Frames != 4 || p.Quality[quality.Yaw] != 12 || p.Unified != 7 {
		t.Errorf("%+v, %v", p, err)
	}
	v.FMR = .0001
	if p, err := facePolicy(v, calibrated()); err != nil || p.Threshold != .6 || p.Early < 1 {
		t.Errorf("a tenth of the lowest rate was not measured, yet %g decides early: %v", p.Early, err)
	}
	bare := calibrated()
	bare.Calibration = nil
	if _, err := facePolicy(v, bare); !errors.Is(err, pack.ErrCalibration) {
		t.Errorf("a pack without calibration: %v", err)
	}
	v.Threshold = .7 // does not make it known what the scores mean
	if _, err := facePolicy(v, bare); !errors.Is(err, pack.ErrCalibration) {
		t.Errorf("a pack without calibration, with a threshold: %v", err)
	}
	blind := calibrated()
	blind.Landmarks = nil
	if _, err := facePolicy(v, blind); err == nil || !strings.Contains(err.Error(), "cannot measure") {
		t.Errorf("a pack without landmarks: %v", err)
	}
	v.Quality = map[string]int{"beauty": 1}
	if _, err := facePolicy(v, calibrated()); err == nil || !strings.Contains(err.Error(), "beauty") {
		t.Errorf("an unknown component: %v", err)
	}
}

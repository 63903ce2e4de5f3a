package kiosk

import (
	"testing"
	"time"

	"passage/kiosk/lane"
)

func TestConsulted(t *testing.T) {
	for want, a := range map[string]DBAnswer{
		"consult.SIS":                          {Answer: lane.Clear},
		"consult.SIS (not consulted)":          {Answer: lane.NotConsulted},
		"consult.SIS (unreadable answer)":      {Answer: lane.Malformed},
		"consult.SIS (local copy, 3h0m0s old)": {Answer: lane.LocalCopy, Age: 3 * time.Hour},
		"consult.SIS (local copy, 0s old)":     {Answer: lane.HitAction, Age: 1},
	} {
		if got := consulted("SIS", a); got != want {
			t.Errorf("%v: %q, want %q", a, got, want)
		}
	}
}

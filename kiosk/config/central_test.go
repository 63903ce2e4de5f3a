package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const laneOwn = good + `
[policy]
etias_mode = "grace"
td1_issuers = ["FRA", "D"]
[[policy.mode]]
ees_mode = "off"
basis = "the lane's own"
[timers]
inside = "20s"
`

// A site's values stand over a lane's own, and what it does not set stays.
func TestParseWith(t *testing.T) {
	c, err := ParseWith([]byte(laneOwn), []byte(`
[vision]
fmr = 0.0005
frames = 5
quality = { yaw = 70 }
[policy]
ees_mode = "alphanumeric"
td1_issuers = []
stamp_required = true
[[policy.mode]]
from = "2026-07-01"
ees_mode = "suspended"
basis = "decision 7"
[timers]
decide = "2s"
`))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Kiosk.Policy
	if p.EES != "alphanumeric" || !p.StampRequired || len(p.TD1) != 0 || p.ETIAS != "grace" || len(p.Modes) != 1 || p.Modes[0].Basis != "decision 7" {
		t.Errorf("policy %+v", p)
	}
	if c.Vision.FMR != 0.0005 || c.Vision.Frames != 5 || c.Vision.Attempts != 3 || c.Vision.Quality["yaw"] != 70 {
		t.Errorf("vision %+v", c.Vision)
	}
	if r := c.Kiosk.Rules; r.Inside != 20*time.Second || r.Decide != 2*time.Second {
		t.Errorf("timers %v, %v", r.Inside, r.Decide)
	}
	own, err := Parse([]byte(laneOwn))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := ParseWith([]byte(laneOwn), nil)
	if err != nil || !slices.Equal(empty.Kiosk.Policy.TD1, own.Kiosk.Policy.TD1) || empty.Kiosk.Rules != own.Kiosk.Rules {
		t.Errorf("an empty release changes something: %v", err)
	}
}

// What a site may not set, and what no lane takes, by itself and over a lane's file.
func TestCentralRefuses(t *testing.T) {
	for _, c := range []struct{ name, release, want string }{
		{"a device", "[gate]\ntty = \"/dev/null\"", "gate"},
		{"the register", "[register]\nurl = \"https://evil.example\"", "register"},
		{"whose trust counts", "[trust]\npersons = [\"mallory.pub\"]", "trust"},
		{"who signs the roster", "[fleet]\nroster_key = \"roster-x\"", "fleet"},
		{"a guard's PIN", "[[officer]]\nid = \"mallory\"", "officer"},
		{"the exit on failure", "[lane]\nexit_on_failure = true", "exit_on_failure"},
		{"specimens", "[policy]\nproduction = false", "production"},
		{"a bare threshold", "[vision]\nthreshold = 0.01", "threshold"},
		{"another engine", "[vision]\npad = \"http://evil.example\"", "pad"},
		{"loose faces", "[vision]\nfmr = 0.05", "vision.fmr"},
		{"many attempts", "[vision]\nattempts = 9", "vision.attempts"},
		{"a mode nobody knows", "[policy]\nees_mode = \"half\"", "policy.ees_mode"},
		{"a mode without basis", "[[policy.mode]]\nees_mode = \"off\"", "policy.mode[0].basis"},
		{"a person held longer", "[timers]\ntrapped = \"121s\"", "timers.trapped"},
		{"an hour inside", "[timers]\ninside = \"1h\"", "timers.inside"},
		{"no time at all", "[timers]\ndecide = \"-1s\"", "timers.decide"},
		{"no TOML", "\x00", "release"},
		{"too large", strings.Repeat("#", maxSize+1), "larger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := CheckCentral([]byte(c.release)); err == nil || c.name != "no TOML" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("by itself: %v, want something about %q", err, c.want)
			}
			if _, err := ParseWith([]byte(good), []byte(c.release)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("over a lane's file: %v, want something about %q", err, c.want)
			}
		})
	}
	// What depends on the lane is the lane's to refuse.
	lists := []byte("[policy]\nees_offline = \"extract\"\nlocal_lists = [\"SLTD\"]")
	if err := CheckCentral(lists); err != nil {
		t.Errorf("by itself: %v", err)
	}
	if _, err := ParseWith([]byte(good), lists); err == nil || !strings.Contains(err.Error(), "register.extract_key") {
		t.Errorf("a lane without the register's key: %v", err)
	}
}

// FuzzCentral: whatever a release says, the lane that takes it is one that its
// own checks would start, and is made of the same things.
func FuzzCentral(f *testing.F) {
	f.Add([]byte("[policy]\nees_mode = \"suspended\"\n[timers]\ninside = \"20s\""))
	f.Add([]byte("[vision]\nfmr = 0.001\nquality = { yaw = 3 }"))
	own, err := Parse([]byte(good))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseWith([]byte(good), b)
		if err != nil {
			return
		}
		if err := CheckCentral(b); err != nil {
			t.Errorf("a lane takes what the site refuses: %v", err)
		}
		if err := c.Kiosk.Rules.Validate(); err != nil || c.Kiosk.Rules.Trapped > own.Kiosk.Rules.Trapped || c.Vision.FMR > 0.01 || c.Vision.FMR <= 0 {
			t.Errorf("unsafe values: %v, %+v", err, c.Vision)
		}
		if c.Gate != own.Gate || c.Register.URL != own.Register.URL || c.Store != own.Store || c.Kiosk.ExitOnFailure || !c.Kiosk.Policy.Production || c.Vision.Threshold != 0 {
			t.Errorf("the release changed what the lane is made of: %+v", c)
		}
	})
}

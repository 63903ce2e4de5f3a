package web

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A screen is frozen when it has not painted what it should for six seconds:
// because it is silent, or because it shows an old instruction.
func TestFrozenScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		p := &Pages{server: s}
		is := func(what, want string) {
			t.Helper()
			if got := strings.Join(p.Notices(), "; "); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		time.Sleep(time.Hour)
		is("no screen was ever there", "")
		s.heart.beat("S12", "S1")
		is("it has not shown the right thing yet", "")
		s.heart.beat("S1", "S1")
		time.Sleep(6 * time.Second)
		is("in time", "")
		time.Sleep(time.Second)
		is("silent", "the traveller's screen has been frozen for 7s")
		s.heart.beat("S1", "S1")
		is("back", "")
		for range 4 {
			time.Sleep(2 * time.Second)
			s.heart.beat("S1", "S13")
		}
		is("it shows an old instruction", "the traveller's screen has been frozen for 8s")
	})
}

package web

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A PIN cannot be guessed: not by many tries at once, and not by patience.
func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		var taken atomic.Int32
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if g.try("anna", time.Now()) == 0 {
					taken.Add(1)
				}
			})
		}
		all.Wait()
		if taken.Load() != tries {
			t.Errorf("%d of 200 guesses at once were taken, want %d", taken.Load(), tries)
		}
		if g.try("bert", time.Now()) != 0 {
			t.Error("one officer's thief keeps another officer out")
		}
		if n := g.notices(time.Now()); len(n) != 1 {
			t.Errorf("officers are told %q", n)
		}
		patient := 0
		for began := time.Now(); time.Since(began) < 30*24*time.Hour; {
			if wait := g.try("anna", time.Now()); wait > 0 {
				time.Sleep(wait)
			} else {
				patient++
			}
		}
		if most := 30*24*4 + 10; patient > most { // one in 15 minutes, but for the first ones
			t.Errorf("%d guesses in a month, want %d at most", patient, most)
		}
		time.Sleep(mostPause)
		if wait := g.try("anna", time.Now()); wait != 0 {
			t.Errorf("the officer waits %v more", wait)
		}
		g.right("anna")
		if len(g.notices(time.Now())) != 0 || g.try("anna", time.Now()) != 0 || g.try("anna", time.Now()) != 0 {
			t.Error("a right PIN does not make good the wrong ones")
		}
		for range tries {
			g.try("anna", time.Now())
		}
		time.Sleep(toldFor + time.Second)
		if n := g.notices(time.Now()); len(n) != 0 {
			t.Errorf("hours later: %q", n)
		}
	})
}

// The page itself takes no more guesses at once than in turn.
func TestGuessesAtOnce(t *testing.T) {
	_, p := newPages(t)
	var looked, blocked atomic.Int32
	var all sync.WaitGroup
	for range 4 * tries {
		all.Go(func() {
			switch r := call(p, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"0000"}`); {
			case r.StatusCode == http.StatusForbidden:
				looked.Add(1)
			case r.StatusCode == http.StatusTooManyRequests:
				blocked.Add(1)
			}
		})
	}
	all.Wait()
	if looked.Load() > tries || looked.Load()+blocked.Load() != 4*tries {
		t.Errorf("%d looked at, %d refused", looked.Load(), blocked.Load())
	}
}

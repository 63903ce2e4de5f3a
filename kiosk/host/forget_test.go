package host

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is collected when a traveller has left, and once more, and not without
// one.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan struct{})
		busy := false
		var at []time.Duration
		began := time.Now()
		done := make(chan error)
		go func() {
			done <- forget(ctx, changes, func() bool { return busy }, func() { at = append(at, time.Since(began)) })
		}()
		say := func(b bool) {
			synctest.Wait()
			busy = b
			changes <- struct{}{}
			synctest.Wait()
		}
		say(false)
		time.Sleep(time.Minute)
		say(true)
		time.Sleep(10 * time.Second)
		say(false)
		say(false)
		time.Sleep(time.Minute)
		say(true)
		say(false)
		time.Sleep(time.Second)
		say(true) // the next one is there already
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := []time.Duration{72 * time.Second, 80 * time.Second, 132 * time.Second, 140 * time.Second}
		if len(at) != len(want) {
			t.Fatal(at)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("collected at %v, want %v", at, want)
			}
		}
	})
}

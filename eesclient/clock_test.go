package eesclient

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	type answer struct{ ahead, trip time.Duration }
	just := answer{0, 20 * time.Millisecond}
	for _, c := range []struct {
		name  string
		heard []answer
		apart time.Duration
		known bool
	}{
		{"nothing", nil, 0, false},
		{"too little", []answer{just, just}, 0, false},
		{"together", []answer{just, just, just}, 0, true},
		{"ours is behind", []answer{{3 * time.Second, 0}, {3 * time.Second, 0}, {3 * time.Second, 0}}, 3 * time.Second, true},
		{"ours is ahead", []answer{{-3 * time.Second, 0}, {-3 * time.Second, 0}, {-3 * time.Second, 0}}, -3 * time.Second, true},
		{"one liar", []answer{just, just, {time.Hour, 0}}, 0, true},
		{"two liars of five", []answer{{-time.Hour, 0}, just, just, {-time.Hour, 0}, just}, 0, true},
		{"long round trips tell nothing", []answer{{time.Hour, 3 * time.Second}, {time.Hour, 3 * time.Second}, {time.Hour, 3 * time.Second}}, 0, false},
		{"set right", []answer{{time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, just, just, just}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k Clock
			now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
			for _, a := range c.heard {
				k.Heard(now.Add(a.trip/2+a.ahead), now, now.Add(a.trip))
				now = now.Add(5 * time.Second)
			}
			if apart, known := k.Apart(); apart != c.apart || known != c.known {
				t.Errorf("apart %v, known %v; want %v, %v", apart, known, c.apart, c.known)
			}
		})
	}
}

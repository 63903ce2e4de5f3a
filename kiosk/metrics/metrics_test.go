package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"passage/kiosk"
	"passage/kiosk/inlet"
	"passage/kiosk/lane"
)

type box struct {
	n   int
	err error
}

func (b box) Waiting(context.Context) (int, time.Time, error) {
	return b.n, time.Now().Add(-time.Hour), b.err
}

func view() kiosk.View {
	v := kiosk.View{
		State: lane.Start(), Since: time.Now(), Unfit: map[lane.Health]string{lane.UnfitClock: "off"}, Officers: map[string]time.Time{"anna": time.Now()},
		Counts: map[string]int{"released": 7}, Alerts: []kiosk.Alert{{Priority: lane.Urgent}, {Priority: lane.Urgent, By: "anna"}},
		Crossing: &kiosk.Crossing{UUID: "f3b5", Identity: kiosk.Identity{Surname: "KANARIENVOGEL", Number: "X123456789"}},
	}
	v.State.Gate.Link = true
	return v
}

// The figures are the view's, and none of them names anybody.
func TestLane(t *testing.T) {
	r := New()
	r.MustRegister(Lane{View: view, Outbox: box{n: 3}})
	want := `# HELP passage_lane_alerts_open Alerts that nobody has acknowledged.
# TYPE passage_lane_alerts_open gauge
passage_lane_alerts_open{priority="notice"} 0
passage_lane_alerts_open{priority="urgent"} 1
# HELP passage_lane_crossings_total Crossings since the start, by outcome.
# TYPE passage_lane_crossings_total counter
passage_lane_crossings_total{outcome="released"} 7
# HELP passage_lane_gate_link 1 while the gate answers.
# TYPE passage_lane_gate_link gauge
passage_lane_gate_link 1
# HELP passage_lane_outbox Records that the register has not acknowledged.
# TYPE passage_lane_outbox gauge
passage_lane_outbox 3
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "passage_lane_alerts_open", "passage_lane_crossings_total", "passage_lane_gate_link", "passage_lane_outbox"); err != nil {
		t.Error(err)
	}
	r = New()
	r.MustRegister(Lane{View: view, Outbox: box{err: errors.New("closed")}})
	if n, err := testutil.GatherAndCount(r, "passage_lane_outbox"); err != nil || n != 0 {
		t.Errorf("an outbox that cannot be asked is counted: %d, %v", n, err)
	}
}

func TestServe(t *testing.T) {
	for _, bad := range []string{"0.0.0.0:0", "192.0.2.1:9464", "localhost:9464", "9464", ""} {
		if _, err := Listen(bad); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	book := &inlet.Book{}
	for range 3 {
		book.Shed("pages", "too many connections")
	}
	r := New()
	r.MustRegister(Lane{View: view, Outbox: box{}}, Site{func() (int, int, int) { return 2, 1, 0 }}, Inlets{book})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, r, book) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	body := string(b)
	for _, w := range []string{`passage_lane_unfit{what="clock"} 1`, `passage_lane_unfit{what="camera"} 0`, `passage_site_lanes{heard="yes"} 2`, `passage_shed_total{inlet="pages",why="too many connections"} 3`, "process_resident_memory_bytes"} {
		if !strings.Contains(body, w) {
			t.Errorf("no %s", w)
		}
	}
	for _, canary := range []string{"KANARIENVOGEL", "X123456789", "f3b5", "anna"} {
		if strings.Contains(body, canary) {
			t.Errorf("the figures say %q", canary)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

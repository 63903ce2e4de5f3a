package fleet_test

import (
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"passage/kiosk/inlet"
	"passage/kiosk/site"
)

// A lane that comes with more than its volume is held back and sends the rest
// later, all of it, in order and once. Neither it nor another lane loses the site.
func TestHeldBack(t *testing.T) {
	book := &inlet.Book{}
	a := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Book: book, Volume: site.Volume{Rate: 64 << 10, Burst: 64 << 10}}}
	a.start()
	t.Cleanup(func() { a.stop() })
	big, other := a.computer("E1"), a.computer("E2")
	big.start()
	other.start()
	var noticed atomic.Int64
	for _, c := range []*computer{big, other} {
		nc := c.dial(nats.DisconnectErrHandler(func(*nats.Conn, error) { noticed.Add(1) }))
		defer nc.Close()
	}
	held := func() uint64 {
		return book.Counts()[inlet.Line{Inlet: "fleet", Why: "more journal than a lane writes"}]
	}
	n := 0
	until(t, "the lane is held back", func() bool {
		big.cross(1)
		n++
		return held() > 0
	})
	other.cross(2)
	a.has("E2", 2, 40)
	a.has("E1", n, int64(20*n))
	if noticed.Load() > 0 {
		t.Errorf("%d connections were lost", noticed.Load())
	}
	t.Logf("%d crossings; %d batches came too early", n, held())
}

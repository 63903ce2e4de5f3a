package devices

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	simgate "passage/hwsim/gate"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
)

// adapter is a line to a simulated gate that can be pulled off; what was opened
// before stays dead.
type adapter struct {
	*simgate.Cable
	pulled *atomic.Bool
	dead   bool
}

var errPulled = errors.New("input/output error")

func (a *adapter) Read(b []byte) (int, error) {
	if a.dead = a.dead || a.pulled.Load(); a.dead {
		return 0, errPulled
	}
	return a.Cable.Read(b)
}

// A serial adapter that is pulled off and put back is opened anew, and what was
// ordered meanwhile was not refused: nobody knows.
func TestGateLineComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cable, stood := simgate.New(simgate.Config{}).Connect(ctx)
		var pulled atomic.Bool
		g := &Gate{
			Log: slog.New(slog.DiscardHandler),
			Open: func() (Line, error) {
				if pulled.Load() {
					return nil, errPulled
				}
				return &adapter{Cable: cable, pulled: &pulled}, nil
			},
			Conf: config.Gate{Address: 1, Baud: 19200, OpenMax: 3 * time.Second, CloseMax: 3 * time.Second, EntryHold: 8 * time.Second, ExitHold: 8 * time.Second},
		}
		reports := make(chan kiosk.GateReport, 4096)
		done := make(chan error, 1)
		go func() {
			done <- g.Run(ctx, func() bool { return true }, func(r kiosk.GateReport) { reports <- r })
		}()
		await := func(lost bool) {
			t.Helper()
			for end := time.After(10 * time.Second); ; {
				select {
				case r := <-reports:
					if r.Lost == lost {
						return
					}
				case <-end:
					t.Fatalf("no report with lost = %v", lost)
				}
			}
		}
		await(false)
		result := g.Order(ctx, lane.Order{Command: lane.CloseAll})
		pulled.Store(true)
		await(true)
		if err := <-result; !errors.Is(err, kiosk.ErrGateLost) {
			t.Errorf("ordered when the line broke: %v", err)
		}
		time.Sleep(5 * time.Second)
		pulled.Store(false)
		await(false)
		if err := <-g.Order(ctx, lane.Order{Command: lane.CloseAll}); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-stood
		late := <-g.Order(context.Background(), lane.Order{Command: lane.CloseAll}) // nobody waits for ever
		if late == nil {
			t.Error("an order to a gate that nobody works was carried out")
		}
	})
}

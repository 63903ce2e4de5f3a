// Package host is a lane's computer as an operator sees it: it tells systemd
// that the program lives, and watches what the lane needs of the machine, its
// clock and its power.
package host

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells systemd that the program is ready, and then, where the unit has
// WatchdogSec, that it lives, for as long as alive says so. It returns when ctx
// ends, after STOPPING=1. Without systemd it does nothing.
func Notify(ctx context.Context, alive func() bool) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("host: systemd: %w", err)
	}
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("host: systemd: WATCHDOG_USEC: %w", err)
	}
	if within == 0 {
		<-ctx.Done()
		return nil
	}
	// Three chances within the time: one that is late costs nothing.
	tick := time.NewTicker(within / 3)
	defer tick.Stop()
	for {
		if alive() {
			if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
				return fmt.Errorf("host: systemd: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

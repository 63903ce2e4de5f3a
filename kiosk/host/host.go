// Package host is a lane's computer as an operator sees it: it tells systemd
// that the program lives, and watches what the lane needs of the machine, its
// clock and its power.
package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// sendWithin is how long a word to systemd may take: its socket blocks
	// when nobody reads it.
	sendWithin = 500 * time.Millisecond
	readyEvery = time.Second
)

// Notify tells systemd that the program is ready, and then, where the unit has
// WatchdogSec, that it lives, for as long as alive says so. It returns when ctx
// ends, after STOPPING=1. Without systemd it does nothing.
//
// Nothing that systemd does, or doesn't, ends a program that works: what could
// not be said goes to warn, once for each time that it begins to fail, and is
// said again. Whether a silent program shall be restarted is systemd's to know.
func Notify(ctx context.Context, alive func() bool, warn func(error)) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		warn(fmt.Errorf("host: systemd: WATCHDOG_USEC: %w", err))
	}
	failed := false
	say := func(state string) bool {
		err := send(state)
		if err != nil && !failed {
			warn(err)
		}
		failed = err != nil
		return err == nil
	}
	defer say(daemon.SdNotifyStopping)
	ready := say(daemon.SdNotifyReady)
	// Three chances within the time: one that is late costs nothing.
	every := readyEvery
	if within > 0 {
		every = within / 3
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if !ready {
			ready = say(daemon.SdNotifyReady)
		}
		if within > 0 && alive() {
			say(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// send tells systemd one state (sd_notify(3)), if it asked to be told.
func send(state string) (err error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("host: systemd: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil {
		return fmt.Errorf("host: systemd: %w", err)
	}
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("host: systemd: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/child"
	"passage/kiosk/host"
	"passage/kiosk/web"
)

// Times of the traveller's screen: how often it is looked at, and how long a
// browser may take to show the page at first.
const (
	screenEvery = 2 * time.Second
	screenStart = time.Minute
)

type screenCmd struct {
	Lane    string   `default:"http://127.0.0.1:8080" help:"The lane's pages."`
	Browser []string `arg:"" passthrough:"" help:"The browser and its arguments; it shows LANE/traveller."`
}

func (screenCmd) Help() string {
	return `Example: as passage-screen.service does.

  passage screen -- cage -- chromium --kiosk http://127.0.0.1:8080/traveller

It ends, and the browser with it, when the page has stood still: systemd starts
both again.`
}

// errFrozen says that the page stands still.
var errFrozen = errors.New("screen: the page stands still")

func (c screenCmd) Run(ctx context.Context) error {
	args := c.Browser
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("screen: say which browser, after --")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b := exec.CommandContext(ctx, args[0], args[1:]...)
	b.Stdout, b.Stderr = os.Stdout, os.Stderr
	b.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b.Cancel = func() error { return syscall.Kill(-b.Process.Pid, syscall.SIGKILL) } // a browser is many processes
	ended, err := child.Start(b, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("screen: %w", err)
	}
	var shows atomic.Bool
	group, work := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := <-ended; work.Err() == nil {
			return fmt.Errorf("screen: the browser ended: %w", errors.Join(err, io.EOF))
		}
		return nil
	})
	group.Go(func() error {
		defer stop()
		return watchScreen(work, func(ctx context.Context) (web.Beat, error) { return beatOf(ctx, c.Lane) }, &shows)
	})
	group.Go(func() error {
		host.Notify(work, shows.Load, func(err error) { fmt.Fprintln(os.Stderr, "screen:", err) })
		return nil
	})
	err = group.Wait()
	if ctx.Err() != nil && err == nil {
		return nil
	}
	return err
}

// watchScreen ends with errFrozen when the page has stood still. A lane that
// does not answer is not the screen's fault: the page says so itself, and finds
// the lane when it is back.
func watchScreen(ctx context.Context, look func(context.Context) (web.Beat, error), shows *atomic.Bool) error {
	began := time.Now()
	tick := time.NewTicker(screenEvery)
	defer tick.Stop()
	for {
		b, err := look(ctx)
		switch {
		case err != nil:
			began = time.Now()
			shows.Store(true)
		case b.Seen && b.Ago < time.Since(began).Milliseconds():
			if b.Frozen {
				return errFrozen
			}
			shows.Store(true)
		case time.Since(began) > screenStart: // this browser has shown nothing yet
			return errFrozen
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func beatOf(ctx context.Context, lane string) (b web.Beat, err error) {
	ctx, cancel := context.WithTimeout(ctx, screenEvery)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, lane+"/traveller/beat", nil)
	if err != nil {
		return b, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return b, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return b, fmt.Errorf("screen: status %d", resp.StatusCode)
	}
	return b, json.NewDecoder(io.LimitReader(resp.Body, 1024)).Decode(&b)
}

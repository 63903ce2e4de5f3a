package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"passage/drivers/emrtd/trust"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/rollout"
)

// begin reads the configuration, with the values that the site has rolled out to
// this lane over it. The keeper is nil for a lane without a site.
func begin(path string) (config.Config, *rollout.Keeper, uint64, error) {
	own, err := config.Load(path)
	if err != nil || own.Fleet.Dir == "" {
		return own, nil, 0, err
	}
	keeper, err := rollout.OpenKeeper(own.Store.Path + ".releases")
	if err != nil {
		return own, nil, 0, err
	}
	keeper.Check = func(content []byte) error {
		_, err := config.LoadWith(path, content)
		return err
	}
	content, number, err := keeper.Begin()
	if err != nil || number == 0 {
		return own, keeper, 0, err
	}
	c, err := config.LoadWith(path, content)
	return c, keeper, number, err
}

// follow lets the keeper rest the lane, end the program to start anew, and bring
// trust material into the lane's store.
func follow(k *rollout.Keeper, shell *kiosk.Shell, conf config.Trust, stop func(), log *slog.Logger) error {
	rule, err := trust.ReadRule(conf.Persons, conf.TwoPersons)
	if err != nil {
		return err
	}
	if len(rule.Persons) > 0 {
		k.Install = func(path string) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			_, err = trust.Dir{Path: conf.Dir, Rule: rule}.Install(f)
			return errors.Join(err, f.Close())
		}
	}
	k.Rest = shell.Rest
	k.Again = func(why string) {
		log.Warn("starting anew "+why, "by", "whatever supervises kioskd")
		stop()
	}
	return nil
}

// stood tells the keeper that the lane has come up with its configuration.
func stood(ctx context.Context, k *rollout.Keeper, shell *kiosk.Shell, log *slog.Logger) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for since := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if !shell.Alive() {
				since = now
			}
			if now.Sub(since) < rollout.Stands {
				continue
			}
			if err := k.Stood(); err != nil {
				log.Warn("releases", "error", err)
				continue
			}
			return nil
		}
	}
}

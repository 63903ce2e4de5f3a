package main

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"path/filepath"

	"passage/kiosk/config"
	"passage/kiosk/fleet"
	"passage/kiosk/lane"
	"passage/kiosk/rollout"
)

// own is the file of a played lane: a release must go with it.
const own = `
[lane]
id = "E1"
direction = "entry"
[mrz]
tty = "/dev/null"
[gate]
tty = "/dev/null"
[camera]
url = "http://127.0.0.1:1"
[vision]
program = "visiond"
packs = "packs"
[register]
url = "https://127.0.0.1:1"
ca = "ca.pem"
cert = "lane.pem"
key = "lane.key"
[trust]
dir = "trust"
[web]
listen = "127.0.0.1:1"
[store]
path = "lane.db"
key = "lane.key32"
`

// takes runs a lane's end of the fleet, which starts anew for a release as a
// lane's program does.
func (s *stage) takes(ctx context.Context, p *player, journal *sql.DB, creds fleet.Credentials) error {
	for ctx.Err() == nil {
		k, err := rollout.OpenKeeper(filepath.Join(s.dir, "lane-"+p.id, "releases"))
		if err != nil {
			return err
		}
		k.Check = func(b []byte) error { _, err := config.ParseWith([]byte(own), b); return err }
		if _, _, err := k.Begin(); err != nil {
			return err
		}
		if err := k.Stood(); err != nil {
			return err
		}
		work, stop := context.WithCancel(ctx)
		k.Rest = func(context.Context) (func(), bool, bool) {
			return func() {}, false, p.View().State.Phase == lane.Idle
		}
		k.Again = func(string) { stop() }
		// A client is run once: the next one has its own.
		c := &fleet.Client{Lane: p.id, Desk: p, Journal: journal, RosterKey: s.key.Public().(ed25519.PublicKey), Releases: k, Booth: p.booth, Log: s.log}
		err = c.Run(work, creds)
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk/rollout"
)

// Offers is the site's answer to a lane that says what releases it has.
type Offers struct {
	Offers []rollout.Offer `json:"offers,omitempty"`
}

// Fetches is the subject by which lanes ask for pieces of contents, lane.ID.fetch:
// not among the questions, so that a thousand lanes that load hold up no answer.
const Fetches = "lane.*.fetch"

// How often a lane says what it has.
const (
	releasesFirst = 300 * time.Millisecond // once the roster is there, perhaps
	releasesEvery = 30 * time.Second
	releasesSoon  = 2 * time.Second // while something is on its way
)

// releases tells the site what releases the lane has, and takes those that it is
// offered, proven and one at a time, until ctx ends.
func (c *Client) releases(ctx context.Context, nc *nats.Conn) error {
	if c.Releases == nil {
		return nil
	}
	wait := time.NewTimer(releasesFirst)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.offer:
		case <-wait.C:
		}
		next := releasesEvery
		news, busy, err := c.look(ctx, nc)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			next = releasesSoon
			if nc.IsConnected() {
				c.Log.Warn("releases", "error", err)
			}
		case news:
			next = viewMost
		case busy:
			next = releasesSoon
		}
		wait.Reset(next)
	}
}

// look asks once. news says that there is something to tell the site at once, busy
// that an offer waits.
func (c *Client) look(ctx context.Context, nc *nats.Conn) (news, busy bool, err error) {
	body, err := json.Marshal(c.Releases.Status())
	if err != nil {
		return false, false, fmt.Errorf("fleet: releases: %w", err)
	}
	m, err := request(ctx, nc, Question(c.Lane, "release"), body)
	if err != nil {
		return false, false, err
	}
	var in Offers
	if len(m.Data) > 2*rollout.MaxOffer {
		return false, false, fmt.Errorf("fleet: offers of %d bytes", len(m.Data))
	}
	if err := json.Unmarshal(m.Data, &in); err != nil {
		return false, false, fmt.Errorf("fleet: offers: %w", err)
	}
	for _, o := range in.Offers[:min(len(in.Offers), len(rollout.Kinds))] {
		took, err := c.take(ctx, nc, o)
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("release not taken", "error", err)
		}
		news, busy = news || took, busy || err != nil && !errors.Is(err, rollout.ErrRefused)
	}
	return news, busy, nil
}

// take proves an offer, fetches its content and puts it into effect; it says
// whether the lane has something new to tell.
func (c *Client) take(ctx context.Context, nc *nats.Conn, o rollout.Offer) (bool, error) {
	v, err := o.Prove(c.ear.Roster(), c.Lane, time.Now())
	if err != nil {
		c.Releases.Says(v.Kind, v.Digest, err)
		return false, err
	}
	wants, err := c.Releases.Wants(v)
	if err == nil && !wants {
		return false, nil
	}
	path := ""
	if err == nil {
		path, err = c.Releases.Fetch(v, func(at int64) ([]byte, error) { return c.piece(ctx, nc, v.SHA256, at) })
	}
	if err == nil {
		c.Log.Info("release fetched", "kind", v.Kind, "number", v.Number, "name", v.Name, "proposed_by", v.Proposer, "activated_by", v.Activator)
		err = c.Releases.Take(ctx, o, v, path)
	}
	if err == nil {
		c.Log.Info("release taken", "kind", v.Kind, "number", v.Number, "name", v.Name)
		return true, nil
	}
	if errors.Is(err, rollout.ErrRefused) {
		return true, errors.Join(err, c.Releases.Refuse(v, err))
	}
	return false, err
}

// piece brings a piece of a content. The site says nothing at all where the lane
// may not have it.
func (c *Client) piece(ctx context.Context, nc *nats.Conn, sha string, at int64) ([]byte, error) {
	body, err := json.Marshal(rollout.Piece{SHA256: sha, Offset: at})
	if err != nil {
		return nil, fmt.Errorf("fleet: piece: %w", err)
	}
	m, err := request(ctx, nc, Subject(c.Lane, "fetch"), body)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

package site

import (
	"context"
	"errors"
	"fmt"
	"time"

	"passage/sqlite"
)

// Keep is how long a site keeps crossings, and the lanes' journals in its stream:
// as long as the lanes themselves. What is younger is whole.
const Keep = 90 * 24 * time.Hour

// How often a site looks for crossings that it may forget, how many it forgets in
// one commit, and how long it leaves its store alone between two: a thousand busy
// lanes bring less than this.
const (
	thinEvery = time.Hour
	thinStep  = 1000
	thinPause = 200 * time.Millisecond
)

// retain forgets crossings that are older than Keep, until ctx ends.
func (s *Site) retain(ctx context.Context) error {
	wait := time.NewTimer(thinPause)
	defer wait.Stop()
	for dirty := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		next := thinEvery
		n, err := s.thin(ctx, time.Now().Add(-Keep))
		dirty = dirty || n > 0
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
		case n == thinStep:
			next = thinPause
		case dirty:
			if err = s.db.Scrub(ctx); errors.Is(err, sqlite.ErrScrub) {
				err = nil // the next one takes it along
			} else if err == nil {
				dirty = false
			}
		}
		if err != nil && ctx.Err() == nil {
			s.conf.Log.Warn("site: nothing is forgotten for now", "error", err)
		}
		wait.Reset(next)
	}
}

// thin forgets the oldest crossings that ended before a time, at most a step of
// them, and returns how many. Where the journals stand is not in them: what was
// taken in once is not taken in again.
func (s *Site) thin(ctx context.Context, before time.Time) (int, error) {
	r, err := s.db.Writer.ExecContext(ctx, "DELETE FROM crossing WHERE rowid IN (SELECT rowid FROM crossing WHERE at < ? ORDER BY at LIMIT ?)", before.UnixMilli(), thinStep)
	if err != nil {
		return 0, fmt.Errorf("site: thin: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("site: thin: %w", err)
	}
	return int(n), nil
}

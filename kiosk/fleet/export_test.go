package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Arrived is the lane's reading of the site's answer about its journal.
func Arrived(ctx context.Context, db *sql.DB, got Got) error {
	b, err := json.Marshal(got)
	if err == nil {
		_, err = arrived(ctx, db, b)
	}
	return err
}

// Renew looks once whether the lane's certificate is to be renewed, and does it.
func (c *Client) Renew(ctx context.Context, now time.Time) error {
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	return c.renew(ctx, nc, now)
}

// Joined says whether the lane is connected, and how often it has been again.
func (c *Client) Joined() (bool, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc == nil {
		return false, 0
	}
	return c.nc.IsConnected(), c.nc.Stats().Reconnects
}

package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// SignedHead is what a lane gives its site of its journal: a signed head of the
// journal's Merkle tree (kiosk/audit), and the public key that verifies it. The
// site keeps the first key of each lane and takes no other.
type SignedHead struct {
	Key  string `json:"key"`
	Note []byte `json:"note"`
}

// headEvery is how much of a journal a thief of the lane could rewrite unseen.
const headEvery = 10 * time.Minute

// heads gives the site signed heads until ctx ends. One that did not arrive is
// made anew a minute later: the next one stands for it.
func (c *Client) heads(ctx context.Context, nc *nats.Conn) error {
	if c.Head == nil {
		return nil
	}
	wait := time.NewTimer(viewEvery)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		next := headEvery
		if err := c.tell(ctx, nc); err != nil {
			next = time.Minute
			if nc.IsConnected() && ctx.Err() == nil {
				c.Log.Warn("no head of the journal given to the site", "error", err)
			}
		}
		wait.Reset(next)
	}
}

func (c *Client) tell(ctx context.Context, nc *nats.Conn) error {
	b, err := c.Head(ctx)
	if err != nil || b == nil {
		return err
	}
	body, err := json.Marshal(SignedHead{c.HeadKey, b})
	if err != nil {
		return fmt.Errorf("fleet: head: %w", err)
	}
	m, err := request(ctx, nc, Question(c.Lane, "head"), body)
	if err != nil {
		return err
	}
	var a Answer
	if err := json.Unmarshal(m.Data, &a); err != nil || !a.OK {
		return fmt.Errorf("fleet: head: the site does not take it: %s", a.Code)
	}
	return nil
}

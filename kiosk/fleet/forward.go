package fleet

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk/journal"
	"passage/kiosk/lane"
)

// forward publishes the journal until ctx ends. Where to begin is what the site
// says that it has: a lane computer that lost its memory, or a site that lost
// its own, resumes at the right place.
func (c *Client) forward(ctx context.Context, nc *nats.Conn) error {
	js, err := nc.JetStream(nats.MaxWait(5*time.Second), nats.Context(ctx))
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	changes := c.Desk.Watch(ctx)
	wait := time.NewTimer(0)
	defer wait.Stop()
	last := int64(-1) // unknown
	name := ""
	heard := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		case <-c.again: // it takes the journal again, or something is amiss with it
			last = -1
		}
		if n := nc.Stats().Reconnects; n != heard {
			heard, last = n, -1 // the site that came back may have lost what it had
		}
		next, err := last, error(nil)
		if name == "" { // until its first entry is written a journal has none
			name, err = journal.Name(ctx, c.Journal)
		}
		if err == nil && name != "" {
			next, err = c.push(ctx, nc, js, name, last)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if nc.IsConnected() {
				c.Log.Warn("journal not forwarded", "error", err)
			}
			last = -1 // whether it landed, the site knows
			if wait.Reset(2 * time.Second); errors.Is(err, ErrRefused) || errors.Is(err, ErrHeld) {
				wait.Reset(askEvery) // until somebody has looked, or the time is over
			}
			continue
		case next > last && last >= 0 && next-last >= MaxBatch:
			last = next
			wait.Reset(0)
			continue
		}
		last = next
		select {
		case <-ctx.Done():
			return nil
		case <-c.again:
			last = -1
			wait.Reset(gather)
		case <-changes:
			wait.Reset(gather)
		case <-time.After(viewEvery):
			wait.Reset(0)
		}
	}
}

// ErrRefused says that the site and this journal do not agree. Nothing of it is
// sent until somebody has looked: a salvaged or replaced journal begins anew.
var ErrRefused = errors.New("fleet: the site and this journal do not agree")

// ErrHeld says that this lane has sent more than any lane writes: the site takes
// the rest later. The journal has it meanwhile.
var ErrHeld = errors.New("fleet: the site holds this journal back")

// push publishes the next batch of the named journal after last, which it asks
// for when it is -1, and returns the last entry's number that the site has.
func (c *Client) push(ctx context.Context, nc *nats.Conn, js nats.JetStreamContext, name string, last int64) (int64, error) {
	if last < 0 {
		m, err := request(ctx, nc, Question(c.Lane, "journal"), []byte(name))
		if err != nil {
			return -1, err
		}
		if last, err = arrived(ctx, c.Journal, m.Data); err != nil {
			return -1, err
		}
	}
	rows, err := journal.Entries(ctx, c.Journal, "WHERE seq > ? ORDER BY seq LIMIT ?", last, MaxBatch)
	if err != nil || len(rows) == 0 {
		return last, err
	}
	b := Batch{Lane: c.Lane, Journal: name}
	base, err := journal.Forgotten(ctx, c.Journal)
	if err != nil {
		return -1, err
	}
	if base.Seq > 0 && rows[0].Seq == base.Seq+1 {
		b.After = &After{base.Seq, base.Chain}
	}
	if b.Entries, b.Ended, err = settled(ctx, c.Journal, rows); err != nil || len(b.Entries) == 0 {
		return last, err
	}
	body, err := json.Marshal(b)
	if err != nil {
		return -1, fmt.Errorf("fleet: journal: %w", err)
	}
	end := b.Entries[len(b.Entries)-1].Seq
	id := fmt.Sprintf("%s-%s-%d-%d", c.Lane, name, b.Entries[0].Seq, end)
	if _, err := js.Publish(Subject(c.Lane, "journal"), body, nats.MsgId(id), nats.ExpectStream(Stream)); err != nil {
		if api := (*nats.APIError)(nil); errors.As(err, &api) && api.Code == TooMuch {
			err = fmt.Errorf("%w: %w", ErrHeld, err)
		}
		return -1, fmt.Errorf("fleet: journal: %w", err)
	}
	return end, nil
}

// Kept asks the site up to which entry it has the journal: those, and no others,
// the lane may forget.
func (c *Client) Kept(ctx context.Context) (int64, error) {
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	if nc == nil || !nc.IsConnected() {
		return 0, errAway
	}
	name, err := journal.Name(ctx, c.Journal)
	if err != nil || name == "" {
		return 0, err
	}
	m, err := request(ctx, nc, Question(c.Lane, "journal"), []byte(name))
	if err != nil {
		return 0, err
	}
	return arrived(ctx, c.Journal, m.Data)
}

// arrived reads the site's answer about this journal: the number of the last
// entry that it has, once the entry of that number is the same here. ErrRefused
// if it is not, or the site takes no more.
func arrived(ctx context.Context, db *sql.DB, answer []byte) (int64, error) {
	var got Got
	if err := json.Unmarshal(answer, &got); err != nil {
		return -1, fmt.Errorf("fleet: journal: %w", err)
	}
	if got.Problem != "" {
		return -1, fmt.Errorf("%w: it says %.300q", ErrRefused, got.Problem)
	}
	base, err := journal.Forgotten(ctx, db)
	switch {
	case err != nil:
		return -1, err
	case got.Seq == 0: // a new site begins where the journal does
		return base.Seq, nil
	case got.Seq < base.Seq:
		return -1, fmt.Errorf("%w: the site has entries up to %d, and those up to %d are forgotten here: is it an older copy?", ErrRefused, got.Seq, base.Seq)
	case got.Seq == base.Seq && bytes.Equal(got.Chain, base.Chain):
		return got.Seq, nil
	}
	own, err := journal.Entries(ctx, db, "WHERE seq = ?", got.Seq)
	switch {
	case err != nil:
		return -1, err
	case len(own) == 0:
		return -1, fmt.Errorf("%w: the site has an entry %d, which is not here: is this an older copy?", ErrRefused, got.Seq)
	case !bytes.Equal(own[0].Chain, got.Chain):
		return -1, fmt.Errorf("%w: the site has another entry %d", ErrRefused, got.Seq)
	}
	return got.Seq, nil
}

// patience is how long the row of a concluded crossing may come after the step
// that concluded it: they are written in order, perhaps not in one commit.
const patience = 5 * time.Second

// conclude is in the effects of a step that ends a crossing; most have none.
var conclude = []byte(`"Conclude"`)

// settled finds the crossings that rows concluded. Rows whose crossing is not
// written yet, and those after them, are left for the next batch.
func settled(ctx context.Context, db *sql.DB, rows []journal.Row) ([]journal.Row, []Ended, error) {
	var list []Ended
	for i, r := range rows {
		if !bytes.Contains(r.Effects, conclude) {
			continue
		}
		_, effects, err := r.Decode()
		if err != nil {
			return nil, nil, err
		}
		for _, f := range effects {
			done, ok := f.(lane.Conclude)
			if !ok {
				continue
			}
			x, err := journal.Concluded(ctx, db, done.Transaction)
			switch {
			case errors.Is(err, sql.ErrNoRows) && time.Since(time.Unix(0, r.At)) < patience:
				return rows[:i], list, nil
			case errors.Is(err, sql.ErrNoRows):
				continue // an earlier process began it and was cut off
			case err != nil:
				return nil, nil, err
			}
			spans, err := journal.EncodeSpans(x.Timeline)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, Ended{r.Seq, x.UUID, x.Began.Add(x.Took).UnixNano(), int64(x.Took), x.Class, x.Outcome, x.Reason, spans})
		}
	}
	return rows, list, nil
}

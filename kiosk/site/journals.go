package site

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
)

// got says how much of a lane's journal the site has, and what is wrong with it
// if it takes no more.
func (s *Site) got(ctx context.Context, lane string, name []byte) (fleet.Got, error) {
	var got fleet.Got
	if len(name) == 0 || len(name) > 32 {
		return got, errors.New("site: a lane asks for no journal")
	}
	var broken sql.NullInt64
	err := s.db.Reader.QueryRowContext(ctx, "SELECT seq, chain, broken FROM position WHERE lane=? AND journal=?", lane, string(name)).Scan(&got.Seq, &got.Chain, &broken)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return got, fmt.Errorf("site: %w", err)
	}
	if broken.Valid {
		got.Problem = refusal(broken.Int64)
	}
	return got, nil
}

// refusal is what the site tells a lane, and the console's officers about it.
func refusal(entry int64) string {
	return fmt.Sprintf("the journal is refused from entry %d on, which does not follow from the one before it: it was altered, or another copy of it is in use", entry)
}

const (
	fetchMost = 200
	fetchWait = time.Second
	forgotten = time.Minute // a consumer that nobody asks
)

// project writes what arrives in the stream into the store until ctx ends.
func (s *Site) project(ctx context.Context) error {
	if err := s.troubles(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return s.consume(ctx, "store", s.takeAll)
}

// consume has what arrives in the stream dealt with in its order until ctx ends.
// How far that has come is in the store: one from a copy, or a stream that
// begins anew, resumes at the right place. A message may come again, and none is
// left out: after a failure it goes on with the first that was not dealt with.
func (s *Site) consume(ctx context.Context, what string, deal func(context.Context, []*nats.Msg, func(*sql.Tx) error) error) error {
	js, err := s.nc.JetStream()
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	for ctx.Err() == nil {
		if err := s.follow(ctx, js, what, deal); err != nil && ctx.Err() == nil {
			s.conf.Log.Error("site: journals wait", "for", what, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(fetchWait):
			}
		}
	}
	return nil
}

// follow deals with the stream from where that stands until something fails.
func (s *Site) follow(ctx context.Context, js nats.JetStreamContext, what string, deal func(context.Context, []*nats.Msg, func(*sql.Tx) error) error) error {
	info, err := js.StreamInfo(fleet.Stream, nats.Context(ctx))
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	made, at := info.Created.UnixNano(), uint64(0)
	err = s.db.Reader.QueryRowContext(ctx, "SELECT seq FROM progress WHERE what = ? AND stream = ?", what, made).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("site: %w", err)
	}
	sub, err := js.PullSubscribe("", "", nats.BindStream(fleet.Stream), nats.StartSequence(at+1), nats.AckAll(), nats.MaxAckPending(10*fetchMost), nats.InactiveThreshold(forgotten))
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // a consumer that nobody asks is forgotten
	for ctx.Err() == nil {
		list, err := sub.Fetch(fetchMost, nats.MaxWait(fetchWait))
		if err != nil && !errors.Is(err, nats.ErrTimeout) {
			return fmt.Errorf("site: %w", err)
		}
		if len(list) == 0 {
			continue
		}
		last, err := list[len(list)-1].Metadata()
		if err != nil {
			return fmt.Errorf("site: %w", err)
		}
		err = deal(ctx, list, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO progress VALUES (?,?,?) ON CONFLICT DO UPDATE SET stream=excluded.stream, seq=excluded.seq", what, made, int64(last.Sequence.Stream))
			return err
		})
		if err != nil {
			return err
		}
		if err := list[len(list)-1].Ack(); err != nil {
			return fmt.Errorf("site: %w", err)
		}
	}
	return nil
}

// takeAll stores what the stream gave, all of it or nothing, and has lanes whose
// batches were refused ask where to go on.
func (s *Site) takeAll(ctx context.Context, list []*nats.Msg, done func(*sql.Tx) error) error {
	refused := map[string]string{}
	err := atomically(ctx, s.db.Writer, func(tx *sql.Tx) error {
		for _, m := range list {
			lane := laneOf(m.Subject)
			why, err := s.take(ctx, tx, lane, m.Data)
			if err != nil {
				return err
			}
			if why != "" {
				refused[lane] = why
			}
		}
		return done(tx)
	})
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	var much []string
	for _, m := range list {
		if lane := laneOf(m.Subject); s.holding.weigh(lane, len(m.Data)) {
			much = append(much, lane)
		}
	}
	s.hold(much)
	for lane, why := range refused {
		if s.complaints.Allow(lane) {
			s.conf.Log.Error("site: a lane's batch is refused", "lane", lane, "why", why)
		}
		if fleet.Valid(lane) != nil {
			continue // another site's: that one asks it
		}
		if err := s.again(lane); err != nil {
			return err
		}
	}
	if len(refused) == 0 && !s.hub.troubled() {
		return nil
	}
	return s.troubles(ctx)
}

// again has a lane ask how much of its journal is here.
func (s *Site) again(lane string) error {
	b, err := json.Marshal(fleet.Ask{What: fleet.AskAgain})
	if err == nil {
		err = s.nc.Publish(fleet.Subject(lane, "ask"), b)
	}
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	return nil
}

// take stores one batch, or says why it refuses it. A batch that begins too
// late is sent again from the right place; one that contradicts what is here
// ends its journal: nothing of it counts from there on, until the lane begins
// another one. Only the store's own failure is an error.
func (s *Site) take(ctx context.Context, tx *sql.Tx, lane string, body []byte) (refused string, err error) {
	var b fleet.Batch
	if err := json.Unmarshal(body, &b); err != nil || b.Lane != lane[strings.IndexByte(lane, '.')+1:] || !b.Sound() {
		s.conf.Book.Shed(fleetInlet, "a batch that cannot be read")
		if s.complaints.Allow(lane) {
			s.conf.Log.Warn("site: a lane's batch cannot be read", "lane", lane, "error", err)
		}
		return "", nil
	}
	var at int64
	var broken sql.NullInt64
	chain := make([]byte, 32)
	err = tx.QueryRowContext(ctx, "SELECT seq, chain, broken FROM position WHERE lane=? AND journal=?", lane, b.Journal).Scan(&at, &chain, &broken)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	if broken.Valid {
		return refusal(broken.Int64), nil
	}
	if b.After != nil && errors.Is(err, sql.ErrNoRows) { // a journal that is older than this site
		at, chain = b.After.Seq, b.After.Chain
	}
	before := at
	for _, e := range b.Entries {
		if e.Seq <= at {
			continue
		}
		if e.Seq != at+1 {
			refused = fmt.Sprintf("it goes on at entry %d, and the site has entries up to %d", e.Seq, at)
			break
		}
		if !e.Follows(chain) {
			broken = sql.NullInt64{Int64: e.Seq, Valid: true}
			refused = refusal(e.Seq)
			break
		}
		at, chain = e.Seq, e.Chain
	}
	for _, c := range b.Ended {
		if c.Seq <= before || c.Seq > at {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO crossing VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
			lane, c.UUID, c.At/1e6, c.Took/1e6, c.Class, c.Outcome, c.Reason, []byte(c.Timeline)); err != nil {
			return "", err
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO position VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET seq=excluded.seq, chain=excluded.chain, broken=excluded.broken`,
		lane, b.Journal, at, chain, broken)
	return refused, err
}

// troubles tells the pages which lanes' journals are refused. A lane whose
// newest journal is good has none, whatever was before.
func (s *Site) troubles(ctx context.Context) error {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT lane, broken FROM position AS p WHERE broken IS NOT NULL AND rowid = (SELECT max(rowid) FROM position WHERE lane = p.lane)")
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var lane string
		var entry int64
		if err := rows.Scan(&lane, &entry); err != nil {
			return fmt.Errorf("site: %w", err)
		}
		found[lane] = refusal(entry)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	s.hub.trouble(found)
	return nil
}

// Streamed is how many batches of journals the stream holds; 0 if it does not
// answer.
func (s *Site) Streamed(ctx context.Context) uint64 {
	js, err := s.nc.JetStream()
	if err != nil {
		return 0
	}
	info, err := js.StreamInfo(fleet.Stream, nats.Context(ctx))
	if err != nil {
		return 0
	}
	return info.State.Msgs
}

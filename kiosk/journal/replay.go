package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// Step is one replayed step.
type Step struct {
	Row     Row
	Event   lane.Event
	Before  lane.Phase
	After   lane.State
	Effects []lane.Effect
}

// Decode reads a row's event and effects.
func (r Row) Decode() (lane.Event, []lane.Effect, error) {
	e, err := lane.DecodeEvent(r.Event, r.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: entry %d: %w", r.Seq, err)
	}
	var list []namedEffect
	if err := json.Unmarshal(r.Effects, &list); err != nil {
		return nil, nil, fmt.Errorf("journal: entry %d: effects: %w", r.Seq, err)
	}
	var effects []lane.Effect
	for _, n := range list {
		f, err := lane.DecodeEffect(n.Name, n.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("journal: entry %d: %w", r.Seq, err)
		}
		effects = append(effects, f)
	}
	return e, effects, nil
}

// Replay runs the rules over the journal and calls see for each step. It stops
// at the first step whose effects or state differ from what was journalled. Of a
// process whose first steps are forgotten nothing can be replayed.
func Replay(ctx context.Context, db *sql.DB, rules lane.Rules, see func(Step) error) error {
	state := lane.Start()
	base, err := Forgotten(ctx, db)
	if err != nil {
		return err
	}
	var run int64
	seq := base.Seq
	for {
		rows, err := Entries(ctx, db, "WHERE seq > ? ORDER BY seq LIMIT 1000", seq)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			if seq = r.Seq; base.Seq > 0 && r.Run == base.Run {
				continue
			}
			if r.Run != run {
				run, state = r.Run, lane.Start()
			}
			e, want, err := r.Decode()
			if err != nil {
				return err
			}
			before := state.Phase
			after, got := rules.Step(state, lane.Instant(r.Now), e)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("journal: replay: entry %d (%s in %s): the rules now do %v, the journal has %v", r.Seq, r.Event, before, got, want)
			}
			digest, err := Digest(after)
			if err != nil {
				return err
			}
			if string(digest[:]) != string(r.State) {
				return fmt.Errorf("journal: replay: entry %d (%s in %s): the state after it differs", r.Seq, r.Event, before)
			}
			state = after
			if err := see(Step{r, e, before, after, got}); err != nil {
				return err
			}
		}
	}
}

// Direction is what an officer set last on a lane that serves both; Configured
// if nobody has.
func Direction(ctx context.Context, db *sql.DB) (lane.Direction, error) {
	e, err := newest(ctx, db, `event = 'Started' OR event = 'Ordered' AND CAST(body AS TEXT) LIKE '%"direction_%'`)
	switch e := e.(type) {
	case lane.Started:
		return e.Direction, err
	case lane.Ordered: // one that was refused is not journalled
		return e.Order.Direction(), err
	}
	return lane.Configured, err
}

// closed says whether an officer has closed the lane, and nobody has opened it
// since.
func closed(ctx context.Context, db *sql.DB) (bool, error) {
	e, err := newest(ctx, db, `event = 'Ordered' AND (CAST(body AS TEXT) LIKE '%"open"%' OR CAST(body AS TEXT) LIKE '%"close"%')`)
	o, ok := e.(lane.Ordered)
	return ok && o.Order == lane.OrderClose, err
}

// inside is since when somebody has been inside without an officer's word; zero
// for nobody. It looks no further back than to an entry that cannot be read: a
// person who waits for longer than they should keeps no lane from starting.
func inside(ctx context.Context, db *sql.DB) (since time.Time, err error) {
	since = kiosk.Inside(func(yield func(lane.Event, time.Time) bool) {
		for before := int64(math.MaxInt64); ; {
			var rows []Row
			if rows, err = Entries(ctx, db, "WHERE seq < ? ORDER BY seq DESC LIMIT 200", before); err != nil || len(rows) == 0 {
				return
			}
			for _, r := range rows {
				before = r.Seq
				if e, odd := lane.DecodeEvent(r.Event, r.Body); odd != nil || !yield(e, time.Unix(0, r.At)) {
					return
				}
			}
		}
	})
	return since, err
}

// newest is the last event of those that a condition selects, nil if there is none.
func newest(ctx context.Context, db *sql.DB, which string) (lane.Event, error) {
	rows, err := Entries(ctx, db, "WHERE "+which+" ORDER BY seq DESC LIMIT 1")
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	e, _, err := rows[0].Decode()
	return e, err
}

// Crossing is one transaction as the journal keeps it.
type Crossing struct {
	Txn      lane.Transaction
	UUID     string
	Began    time.Time
	Took     time.Duration
	Class    string
	Outcome  string
	Reason   string
	Timeline []kiosk.Span
}

// Crossings lists concluded transactions, newest first, at most limit.
func Crossings(ctx context.Context, db *sql.DB, limit int) ([]Crossing, error) {
	rows, err := db.QueryContext(ctx, crossings+"WHERE ended IS NOT NULL ORDER BY txn DESC LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("journal: crossings: %w", err)
	}
	defer rows.Close()
	var list []Crossing
	for rows.Next() {
		c, err := crossing(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Concluded is one concluded transaction. The error wraps sql.ErrNoRows when it
// has not ended, or never began here.
func Concluded(ctx context.Context, db *sql.DB, x lane.Transaction) (Crossing, error) {
	return crossing(db.QueryRowContext(ctx, crossings+"WHERE ended IS NOT NULL AND txn = ?", x).Scan)
}

const crossings = "SELECT txn, uuid, began, coalesce(took,0), coalesce(class,''), coalesce(outcome,''), coalesce(reason,''), coalesce(timeline,'[]') FROM crossing "

func crossing(scan func(...any) error) (Crossing, error) {
	var c Crossing
	var began, took int64
	var spans []byte
	if err := scan(&c.Txn, &c.UUID, &began, &took, &c.Class, &c.Outcome, &c.Reason, &spans); err != nil {
		return c, fmt.Errorf("journal: crossings: %w", err)
	}
	c.Began, c.Took = time.Unix(0, began), time.Duration(took)
	var err error
	c.Timeline, err = DecodeSpans(spans)
	return c, err
}

// span is a timeline step on disk, in microseconds.
type span struct {
	Name  string `json:"n"`
	Start int64  `json:"s"`
	End   int64  `json:"e"`
}

// EncodeSpans writes a timeline as JSON.
func EncodeSpans(list []kiosk.Span) ([]byte, error) {
	out := make([]span, len(list))
	for i, s := range list {
		out[i] = span{s.Name, s.Start.Microseconds(), s.End.Microseconds()}
	}
	return json.Marshal(out)
}

// DecodeSpans reads what EncodeSpans wrote.
func DecodeSpans(b []byte) ([]kiosk.Span, error) {
	var in []span
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("journal: timeline: %w", err)
	}
	out := make([]kiosk.Span, len(in))
	for i, s := range in {
		out[i] = kiosk.Span{Name: s.Name, Start: time.Duration(s.Start) * time.Microsecond, End: time.Duration(s.End) * time.Microsecond}
	}
	return out, nil
}

// Follows says whether the row is the one after those that the chain stands
// for: 32 bytes, zero before the first.
func (r Row) Follows(chain []byte) bool {
	if len(chain) != sha256.Size {
		return false
	}
	want := r.link([sha256.Size]byte(chain))
	return bytes.Equal(want[:], r.Chain)
}

package outbox

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"passage/keys"
	"passage/sqlite"
)

// Errors by which a Sender says that a record's attempts are over: an officer
// must look at it.
var (
	// ErrConflict: the register has another record under the same key.
	ErrConflict = errors.New("outbox: the register has another record under this key")
	// ErrRejected: the register will never take this record.
	ErrRejected = errors.New("outbox: the register does not take this record")
)

// errUnreadable: the disk has damaged a record or its key. Those behind it do not
// wait for it.
var errUnreadable = errors.New("outbox: a record that cannot be read")

// Sender gives one record to the register. ErrConflict and ErrRejected end the
// record's attempts; any other error is tried again, and not before its
// RetryAfter if it has one. Send is called from several goroutines at once, and
// not for two records of one traveller.
type Sender interface {
	Send(ctx context.Context, key string, body []byte) error
}

// Conflict opens an officer's case for a record that has ended its attempts, or
// that the disk has damaged, in the transaction that ends them. why is ErrConflict,
// ErrRejected or what is damaged.
type Conflict func(tx *sql.Tx, key string, why error) error

// Times between attempts, and how many records are under way at once. Both grow
// from small: a country's lanes find their register again one by one, and each
// asks with one record first.
const (
	firstWait = 500 * time.Millisecond
	mostWait  = time.Minute
	mostLater = time.Hour
	idleWait  = 500 * time.Millisecond
	mostWide  = 32
	quick     = 200 * time.Millisecond // a record's time by which a register could do more
	slow      = 400 * time.Millisecond // and by which it has too much to do
	round     = 16                     // records after each other whose acknowledgements share a commit
)

// pace is how hard Drain tries.
type pace struct {
	wide int
	wait time.Duration
}

// succeeded says how wide to go on after records that took so long each.
func (p *pace) succeeded(each time.Duration) {
	p.wait = 0
	switch {
	case each < quick:
		p.wide = min(2*p.wide, mostWide)
	case each > slow:
		p.wide = max(p.wide/2, 1)
	}
}

// failed says how long to keep still. Without a word from the register the time
// doubles, and half of it is chance; a time that the register named is kept, and
// as much again is chance.
func (p *pace) failed(err error, chance func(time.Duration) time.Duration) time.Duration {
	p.wide = 1
	p.wait = min(max(2*p.wait, firstWait), mostWait)
	if after := min(retryAfter(err), mostLater); after > 0 {
		return after + chance(max(after, p.wait))
	}
	return p.wait/2 + chance(p.wait/2)
}

// retryAfter is the time that the register named, or 0.
func retryAfter(err error) time.Duration {
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) {
		return later.RetryAfter()
	}
	return 0
}

func chance(d time.Duration) time.Duration { return rand.N(d + 1) }

// watch is a sender whose time is taken.
type watch struct {
	Sender
	records, spent atomic.Int64
}

func (w *watch) Send(ctx context.Context, key string, body []byte) error {
	began := time.Now()
	defer func() {
		w.spent.Add(int64(time.Since(began)))
		w.records.Add(1)
	}()
	return w.Sender.Send(ctx, key, body)
}

// each is how long a record took.
func (w *watch) each() time.Duration { return time.Duration(w.spent.Load() / max(w.records.Load(), 1)) }

// Drain sends records until ctx ends.
func (o *Outbox) Drain(ctx context.Context, to Sender, conflict Conflict) error {
	p := pace{wide: 1}
	scrubbed := time.Now()
	for ctx.Err() == nil {
		w := &watch{Sender: to}
		n, err := o.once(ctx, w, conflict, p.wide)
		wait := time.Duration(0)
		switch {
		case err != nil:
			wait = p.failed(err, chance)
		case n > 0:
			p.succeeded(w.each())
		default:
			wait = idleWait
			if n, _, err := o.Waiting(ctx); err == nil {
				o.waiting.Store(int64(n))
			}
		}
		if wait == 0 && time.Since(scrubbed) < scrubEvery {
			continue
		}
		if err := o.rest(ctx, wait); err != nil {
			return err
		}
		scrubbed = time.Now()
	}
	return nil
}

// rest keeps still for a while, with the log empty of what is erased meanwhile.
func (o *Outbox) rest(ctx context.Context, wait time.Duration) error {
	for end := time.Now().Add(wait); ; {
		if err := o.scrub(ctx); err != nil {
			return err
		}
		left := min(time.Until(end), scrubEvery)
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(left):
		}
	}
}

// scrubEvery is how long a destroyed key may stay in the write-ahead log.
const scrubEvery = 5 * time.Second

func (o *Outbox) scrub(ctx context.Context) error {
	if !o.dirty.Swap(false) {
		return nil
	}
	err := o.db.Scrub(ctx)
	if err != nil {
		o.dirty.Store(true)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, sqlite.ErrScrub) {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil // a reader was in the way: later
}

type item struct {
	seq       int64
	key       string
	traveller string
	body      []byte
	err       error
	tried     bool
}

// once sends the oldest waiting records, wide at a time, and returns how many
// are settled. Its error is one that a record met and that is worth another
// attempt.
func (o *Outbox) once(ctx context.Context, to Sender, conflict Conflict, wide int) (settled int, err error) {
	// The first attempt after a failure is with one record: the register may
	// still be away.
	limit := round * wide
	if wide == 1 {
		limit = 1
	}
	items, err := o.next(ctx, limit)
	if err != nil || len(items) == 0 {
		return 0, err
	}
	// One traveller's records are a chain: the next is sent when the one before
	// is settled.
	chains := map[string][]*item{}
	var order []string
	for i := range items {
		if items[i].err != nil {
			continue
		}
		t := items[i].traveller
		if chains[t] == nil {
			order = append(order, t)
		}
		chains[t] = append(chains[t], &items[i])
	}
	work := make(chan []*item)
	var senders sync.WaitGroup
	var failed sync.Once
	stop := make(chan struct{})
	for range min(wide, len(order)) {
		senders.Go(func() {
			for chain := range work {
				for _, it := range chain {
					it.tried, it.err = true, to.Send(ctx, it.key, it.body)
					clear(it.body)
					if again(it.err) {
						failed.Do(func() { close(stop) }) // the others would meet the same
						break
					}
				}
			}
		})
	}
	func() {
		defer close(work)
		for _, t := range order {
			select {
			case work <- chains[t]:
			case <-stop:
				return
			}
		}
	}()
	senders.Wait()
	return o.settle(context.WithoutCancel(ctx), items, conflict)
}

func again(err error) bool {
	return err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrRejected) && !errors.Is(err, errUnreadable)
}

// next unseals the oldest waiting records. One that is damaged has its error.
func (o *Outbox) next(ctx context.Context, limit int) ([]item, error) {
	rows, err := o.db.Reader.QueryContext(ctx, "SELECT seq, o.key, sealed, k.key FROM outbox o LEFT JOIN outbox_key k USING (seq) WHERE state='waiting' ORDER BY seq LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("outbox: next: %w", err)
	}
	defer rows.Close()
	var list []item
	for rows.Next() {
		var it item
		var sealed, wrapped []byte
		if err := rows.Scan(&it.seq, &it.key, &sealed, &wrapped); err != nil {
			return nil, fmt.Errorf("outbox: next: %w", err)
		}
		it.traveller, it.body, it.err = o.unseal(it.seq, sealed, wrapped)
		if it.tried = it.err != nil; it.tried && !errors.Is(it.err, errUnreadable) {
			return nil, it.err
		}
		list = append(list, it)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("outbox: next: %w", err)
	}
	return list, nil
}

// unseal fails with errUnreadable where a later attempt would fail as well.
func (o *Outbox) unseal(seq int64, sealed, wrapped []byte) (traveller string, body []byte, err error) {
	secret, err := o.ring.Unseal(Place, seq, wrapped)
	if errors.Is(err, keys.ErrUnsealed) {
		err = fmt.Errorf("%w: its key: %w", errUnreadable, err)
	}
	if err != nil {
		return "", nil, fmt.Errorf("outbox: unseal: %w", err)
	}
	defer clear(secret)
	box, err := keys.Box(secret)
	if err != nil {
		return "", nil, fmt.Errorf("outbox: unseal: %w: its key: %w", errUnreadable, err)
	}
	plain, err := box.Open(nil, nil, sealed, bound(seq))
	if err != nil {
		return "", nil, fmt.Errorf("outbox: unseal: %w: %w", errUnreadable, err)
	}
	n, size := binary.Uvarint(plain)
	if size <= 0 || n > uint64(len(plain)-size) {
		return "", nil, fmt.Errorf("outbox: unseal: %w: it is none", errUnreadable)
	}
	at := size + int(n)
	return string(plain[size:at]), plain[at:], nil
}

// settle writes what became of the records, in one transaction: an acknowledged
// one's key is destroyed, a refused or damaged one's case opened.
func (o *Outbox) settle(ctx context.Context, items []item, conflict Conflict) (settled int, err error) {
	tx, err := o.db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("outbox: settle: %w", err)
	}
	defer tx.Rollback()
	var failed error
	var acked []int64
	now := time.Now().UnixNano()
	for _, it := range items {
		if !it.tried {
			continue
		}
		var err error
		switch {
		case it.err == nil:
			acked = append(acked, it.seq)
		case !again(it.err):
			settled++
			// What was recorded here stays sealed: an officer still needs it.
			if _, err = tx.ExecContext(ctx, "UPDATE outbox SET state='conflict', done=? WHERE seq=?", now, it.seq); err == nil {
				err = conflict(tx, it.key, it.err)
			}
		default:
			failed = worse(failed, it.err)
			_, err = tx.ExecContext(ctx, "UPDATE outbox SET attempts=attempts+1 WHERE seq=?", it.seq)
		}
		if err != nil {
			return 0, fmt.Errorf("outbox: settle: %w", err)
		}
	}
	if settled += len(acked); len(acked) > 0 {
		list, err := json.Marshal(acked)
		if err != nil {
			return 0, fmt.Errorf("outbox: settle: %w", err)
		}
		_, err1 := tx.ExecContext(ctx, "DELETE FROM outbox_key WHERE seq IN (SELECT value FROM json_each(?))", string(list))
		_, err2 := tx.ExecContext(ctx, "UPDATE outbox SET sealed=NULL, state='acked', done=? WHERE seq IN (SELECT value FROM json_each(?))", now, string(list))
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("outbox: settle: %w", err)
		}
	}
	// A power cut before this commit sends the records again; their keys make
	// the register answer as before.
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("outbox: settle: %w", err)
	}
	o.waiting.Add(int64(-settled))
	if settled > 0 {
		o.Erased()
	}
	return settled, failed
}

// worse is the error that asks for the longer wait.
func worse(a, b error) error {
	if a == nil || retryAfter(b) > retryAfter(a) {
		return b
	}
	return a
}

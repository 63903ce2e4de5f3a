// Package crowd is lanes without devices: as many as a country has, each behind
// the shipped client of the fleet, with a journal of its own and travellers who
// come at the rate of a busy day. It is the load that a console has to bear.
package crowd

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/fleet"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
	"passage/sqlite"
)

// Lane is one lane of the crowd. It begins closed to nobody and works until its
// context ends.
type Lane struct {
	ID        string
	RosterKey ed25519.PublicKey
	Seed      uint64
	Reviews   int // one crossing in so many waits for an officer; 0 for none

	// Crossings counts those that were concluded.
	Crossings atomic.Int64

	mu      sync.Mutex
	view    kiosk.View
	watch   map[chan struct{}]struct{}
	decided chan struct{} // closed by an officer's decision
}

// steps are the states of a crossing with their share of its time. Each is
// journalled in as many entries as the demonstration's lanes write: about
// thirty for a crossing.
var steps = []struct {
	phase   lane.Phase
	lasts   time.Duration
	entries int
}{
	{lane.Idle, 3 * time.Second, 1},
	{lane.DocRead, 2500 * time.Millisecond, 4},
	{lane.Eligible, 400 * time.Millisecond, 3},
	{lane.TakeDoc, 800 * time.Millisecond, 2},
	{lane.Enter, 2500 * time.Millisecond, 4},
	{lane.Sealing, 1200 * time.Millisecond, 3},
	{lane.Inside, 1800 * time.Millisecond, 4},
	{lane.Decide, 300 * time.Millisecond, 2},
	{lane.Review, 20 * time.Second, 1}, // at most, and not for everybody
	{lane.Intend, 20 * time.Millisecond, 1},
	{lane.Release, 2500 * time.Millisecond, 3},
	{lane.Clearing, 1200 * time.Millisecond, 2},
	{lane.CheckEmpty, 200 * time.Millisecond, 1},
}

// Run works the lane until ctx ends.
func (l *Lane) Run(ctx context.Context, to fleet.Credentials) error {
	l.mu.Lock()
	l.watch = map[chan struct{}]struct{}{}
	l.view = kiosk.View{Config: kiosk.Config{Lane: l.ID, Site: "Crowd"}, State: lane.State{Phase: lane.Idle, Gate: lane.Gate{Link: true, State: lane.GateReady}}, Since: time.Now(), Registers: true}
	l.mu.Unlock()
	db, err := sqlite.Open(ctx, ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	ring, err := keys.Fixed(make([]byte, 32))
	if err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	j, _, err := journal.Open(ctx, db.Writer, ring, nil)
	if err != nil {
		return err
	}
	client := &fleet.Client{Lane: l.ID, Desk: l, Journal: db.Reader, RosterKey: l.RosterKey, Log: slog.New(slog.DiscardHandler)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return j.Run(ctx) })
	group.Go(func() error { return client.Run(ctx, to) })
	group.Go(func() error { return l.work(ctx, j) })
	if err := group.Wait(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// work sends travellers through, one after the other.
func (l *Lane) work(ctx context.Context, j *journal.Journal) error {
	rng := rand.New(rand.NewPCG(l.Seed, 0))
	began := time.Now()
	wait := time.NewTimer(upTo(rng, 15*time.Second)) // lanes of a site are not in step
	defer wait.Stop()
	for x := lane.Transaction(1); ; x++ {
		id := ""
		asked := l.Reviews > 0 && rng.IntN(l.Reviews) == 0
		for _, s := range steps {
			if s.phase == lane.Review && !asked {
				continue
			}
			select {
			case <-ctx.Done():
				return nil
			case <-l.decision(s.phase):
			case <-wait.C:
			}
			if s.phase == lane.DocRead {
				v7, err := uuid.NewV7()
				if err != nil {
					return fmt.Errorf("crowd: %w", err)
				}
				id = v7.String()
				j.Begin(x, id, time.Now())
			}
			l.enter(j, x, id, s.phase, s.entries, lane.Instant(time.Since(began)))
			wait.Reset(s.lasts*3/4 + upTo(rng, s.lasts/2))
		}
		now := time.Now()
		after := l.View().State
		j.Append(kiosk.Entry{Now: lane.Instant(now.Sub(began)), At: now, Event: lane.Tick{}, Effects: []lane.Effect{lane.Conclude{Transaction: x, Outcome: lane.OutcomeReleased}}, After: after})
		j.Conclude(x, kiosk.Ended{At: now, Class: lane.EU, Outcome: lane.OutcomeReleased, Took: 15 * time.Second})
		l.Crossings.Add(1)
	}
}

func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most) + 1))
}

// decision ends a review early. The step after the review waits for it.
func (l *Lane) decision(next lane.Phase) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next != lane.Intend {
		return nil
	}
	return l.decided
}

// enter changes the lane's state, journals it and tells who watches.
func (l *Lane) enter(j *journal.Journal, x lane.Transaction, id string, p lane.Phase, entries int, now lane.Instant) {
	l.mu.Lock()
	l.view.State.Phase, l.view.State.Transaction, l.view.Since, l.view.Signatures = p, x, time.Now(), 0
	l.view.Crossing, l.decided = nil, nil
	if id != "" {
		l.view.Crossing = &kiosk.Crossing{UUID: id, Began: l.view.Since, Class: lane.EU, Identity: kiosk.Identity{Surname: "SPECIMEN", GivenNames: "ANNA"}, Document: policy.Document{Verdict: policy.ChipGenuine}}
	}
	if p == lane.Review {
		l.decided = make(chan struct{})
		l.view.Signatures, l.view.State.Reason = 1, lane.FACE
	}
	after := l.view.State
	for c := range l.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	l.mu.Unlock()
	for i := range entries {
		g := after.Gate
		g.Occupied = i%2 == 0
		j.Append(kiosk.Entry{Now: now + lane.Instant(i), At: time.Now(), Event: lane.GateSeen{Gate: g}, After: after})
	}
}

// The rest is what the fleet's client asks of a lane.

// View is the lane as its pages would show it.
func (l *Lane) View() kiosk.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view
}

// Watch tells of changes until ctx ends.
func (l *Lane) Watch(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch[c] = struct{}{}
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watch, c)
	})
	return c
}

// Decide ends the review under way, once.
func (l *Lane) Decide(_ context.Context, _ kiosk.Officer, transaction string, _ lane.Decision, _, _, _ string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.decided == nil || l.view.Crossing == nil || l.view.Crossing.UUID != transaction {
		return kiosk.ErrStale
	}
	select {
	case <-l.decided:
		return kiosk.ErrStale
	default:
		close(l.decided)
		return nil
	}
}

// Order, Renew, Present, Acknowledge and the cases change nothing here.
func (l *Lane) Order(context.Context, kiosk.Officer, lane.OfficerOrder) error { return nil }

// Renew does nothing.
func (l *Lane) Renew(context.Context) error { return nil }

// Present does nothing.
func (l *Lane) Present(string, bool) {}

// Acknowledge does nothing.
func (l *Lane) Acknowledge(int, string) error { return nil }

// Cases has none.
func (l *Lane) Cases(context.Context) ([]kiosk.Case, error) { return nil, nil }

// SettleCase does nothing.
func (l *Lane) SettleCase(context.Context, string, string, string) error { return nil }

// Face has none.
func (l *Lane) Face(string, string) ([]byte, bool) { return nil, false }

package world

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// Quick is a lane whose devices answer at the shell's own interfaces, at once
// or after the time that a person takes: for tests of the shell alone, and for
// many crossings in little time. Its traveller follows the prompts, its store
// is memory.
type Quick struct {
	Shell *kiosk.Shell
	// Face is what comparing finds. Broken fails every write of an intent.
	Face   lane.Face
	Broken error
	// Pace divides the time that leaves and people take; 1 is theirs.
	Pace time.Duration
	// Compared is called as a comparison ends, Sent with every command to the
	// gate; each may be nil. Sent returns the command's result, nil for OK at once.
	Compared func()
	Sent     func(lane.Command) <-chan error

	mu      sync.Mutex
	gate    lane.Gate
	report  func(kiosk.GateReport)
	present func(bool)
	orders  []lane.Command
	stored  []string
	moves   chan lane.Command
}

// inForce is a day on which the rules of law that a lane applies hold.
var inForce = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// NewQuick returns a lane that Run starts; a nil store is one of memory. It
// waits for a day on which lanes may work: virtual time begins in the year
// 2000.
func NewQuick(store kiosk.Store, log *slog.Logger) *Quick {
	time.Sleep(time.Until(inForce))
	q := &Quick{Face: lane.FaceMatch, Pace: 1, moves: make(chan lane.Command, 64)}
	if store == nil {
		store = (*quickStore)(q)
	}
	q.Shell = kiosk.New(kiosk.Config{Lane: "E1", Rules: lane.DefaultRules(), Policy: policy.Default(policy.Entry)},
		kiosk.Devices{Gate: (*quickGate)(q), Reader: (*quickReader)(q), Vision: (*quickVision)(q), Register: quickRegister{}, Store: store}, log)
	return q
}

// Run works the lane until ctx ends. An officer is present all the time.
func (q *Quick) Run(ctx context.Context) error {
	there := make(chan struct{})
	go func() {
		defer close(there)
		for {
			q.Shell.Present("anna", true)
			select {
			case <-ctx.Done():
				return
			case <-time.After(8 * time.Second):
			}
		}
	}()
	err := q.Shell.Run(ctx, kiosk.Recovery{})
	<-there
	return err
}

// Orders are the commands that the gate got, in order.
func (q *Quick) Orders() []lane.Command {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]lane.Command(nil), q.orders...)
}

// Stored is what was written, in order: intent, record, void, case, or an
// outcome.
func (q *Quick) Stored() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]string(nil), q.stored...)
}

// Until waits for a phase, at most for a minute.
func (q *Quick) Until(p lane.Phase) (kiosk.View, error) {
	for range 6000 {
		if v := q.Shell.View(); v.State.Phase == p {
			return v, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return q.Shell.View(), errors.New("world: the lane is " + q.Shell.View().State.Phase.String() + " and never becomes " + p.String())
}

// Place lays the document on the reader or takes it off.
func (q *Quick) Place(there bool) {
	q.mu.Lock()
	f := q.present
	q.mu.Unlock()
	f(there)
}

// Lose cuts the line to the gate.
func (q *Quick) Lose() {
	q.mu.Lock()
	report := q.report
	q.mu.Unlock()
	report(kiosk.GateReport{Lost: true})
}

type quickGate Quick

// Run moves the gate as it would move for one person who follows the prompts.
func (g *quickGate) Run(ctx context.Context, _ func() bool, report func(kiosk.GateReport)) error {
	g.mu.Lock()
	g.report = report
	g.gate = lane.Gate{Link: true, State: lane.GateSafe, Entry: lane.LeafLocked, Exit: lane.LeafLocked}
	g.mu.Unlock()
	report(kiosk.GateReport{Seen: g.gate})
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-g.moves:
			for _, m := range motions[c] {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(m.after / g.Pace):
				}
				m.change(&g.gate)
				report(kiosk.GateReport{Seen: g.gate})
			}
		}
	}
}

// motions are what a command brings about, step by step.
var motions = map[lane.Command][]struct {
	after  time.Duration
	change func(*lane.Gate)
}{
	lane.ReadyMode: {{50 * time.Millisecond, func(g *lane.Gate) { g.State = lane.GateReady }}},
	lane.SafeMode:  {{50 * time.Millisecond, func(g *lane.Gate) { g.State = lane.GateSafe }}},
	lane.OpenEntry: {
		{50 * time.Millisecond, func(g *lane.Gate) {
			g.State, g.Entry, g.Walked, g.Crossed = lane.GateEntryOpen, lane.LeafOpen, false, false
		}},
		{2 * time.Second, func(g *lane.Gate) { g.Occupied, g.Entry = true, lane.LeafClosing }},
		{time.Second, func(g *lane.Gate) { g.State, g.Entry = lane.GateOccupied, lane.LeafLocked }},
	},
	lane.OpenExit: {
		{50 * time.Millisecond, func(g *lane.Gate) {
			g.State, g.Exit, g.Walked, g.Crossed = lane.GateExitOpen, lane.LeafOpen, false, false
		}},
		{2 * time.Second, func(g *lane.Gate) { g.Occupied, g.Walked, g.Exit = false, true, lane.LeafClosing }},
		{time.Second, func(g *lane.Gate) { g.State, g.Exit, g.Crossed = lane.GateReady, lane.LeafLocked, true }},
	},
	lane.OpenReturn: {
		{50 * time.Millisecond, func(g *lane.Gate) { g.State, g.Entry = lane.GateEntryOpen, lane.LeafOpen }},
		{2 * time.Second, func(g *lane.Gate) { g.Occupied, g.Entry = false, lane.LeafClosing }},
		{time.Second, func(g *lane.Gate) { g.State, g.Entry = lane.GateReady, lane.LeafLocked }},
	},
}

// Order takes a command.
func (g *quickGate) Order(_ context.Context, o lane.Order) <-chan error {
	c := o.Command
	var result <-chan error
	if g.Sent != nil {
		result = g.Sent(c)
	}
	g.mu.Lock()
	g.orders = append(g.orders, c)
	if len(g.orders) > 256 {
		g.orders = append(g.orders[:0], g.orders[128:]...)
	}
	g.mu.Unlock()
	select {
	case g.moves <- c:
	default: // nobody reads any more: the lane is stopping
	}
	if result != nil {
		return result
	}
	done := make(chan error, 1)
	done <- nil
	return done
}

func (g *quickGate) Lights(context.Context, kiosk.Lights) error { return nil }

type quickReader Quick

func (r *quickReader) Watch(ctx context.Context, present func(bool)) error {
	r.mu.Lock()
	r.present = present
	r.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (r *quickReader) Read(_ context.Context, early func(kiosk.Identity, policy.Document)) (kiosk.Inspection, error) {
	now := time.Now()
	d := policy.Document{Code: "P", Size: policy.TD3, Issuer: "D", Nationality: "D", Birth: now.AddDate(-30, 0, 0), Expiry: now.AddDate(2, 0, 0), Verdict: policy.ChipGenuine}
	id := kiosk.Identity{Surname: "MUSTER", Number: "X1"}
	early(id, d)
	return kiosk.Inspection{Identity: id, Document: d}, nil
}

type quickVision Quick

func (v *quickVision) Run(ctx context.Context, health func(string, string)) error {
	health("", "")
	<-ctx.Done()
	return nil
}

func (v *quickVision) Portrait(context.Context, []byte) (kiosk.Portrait, error) {
	return kiosk.Portrait{}, nil
}

func (v *quickVision) Preview(context.Context, func([]byte) error) error { return nil }

func (v *quickVision) Compare(context.Context, kiosk.Portrait, func(kiosk.Prompt)) (kiosk.FaceResult, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Compared != nil {
		v.Compared()
	}
	return kiosk.FaceResult{Face: v.Face}, nil
}

type quickRegister struct{}

func (quickRegister) Consult(context.Context, lane.Check, kiosk.Identity, policy.Document) kiosk.DBAnswer {
	return kiosk.DBAnswer{Answer: lane.Clear}
}

func (quickRegister) Search(context.Context, kiosk.Identity, policy.Document) (policy.Flags, string, kiosk.DBAnswer) {
	return policy.Flags{}, "", kiosk.DBAnswer{}
}

func (quickRegister) VerifyFace(context.Context, string, []byte) kiosk.DBAnswer {
	return kiosk.DBAnswer{}
}

func (quickRegister) Authorisation(context.Context, kiosk.Identity, policy.Document, time.Time) kiosk.DBAnswer {
	return kiosk.DBAnswer{}
}

func (quickRegister) Stay(context.Context, string, policy.Direction, time.Time) (kiosk.DBAnswer, kiosk.Stay) {
	return kiosk.DBAnswer{}, kiosk.Stay{}
}
func (quickRegister) Known(context.Context) bool { return true }

type quickStore Quick

func (s *quickStore) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = append(s.stored, what)
	if len(s.stored) > 256 {
		s.stored = append(s.stored[:0], s.stored[128:]...)
	}
}
func (s *quickStore) Append(kiosk.Entry)                        {}
func (s *quickStore) Begin(lane.Transaction, string, time.Time) {}
func (s *quickStore) Intend(_ lane.Transaction, _ kiosk.Facts, done func(error)) {
	s.mu.Lock()
	err := s.Broken
	s.mu.Unlock()
	if err == nil {
		s.note("intent")
	}
	done(err)
}

func (s *quickStore) Record(_ lane.Transaction, _ time.Time, done func(error)) {
	s.note("record")
	done(nil)
}
func (s *quickStore) Void(lane.Transaction)                                { s.note("void") }
func (s *quickStore) OpenCase(lane.Transaction, lane.CaseReason)           { s.note("case") }
func (s *quickStore) Conclude(_ lane.Transaction, e kiosk.Ended)           { s.note(e.Outcome.String()) }
func (s *quickStore) Cases(context.Context) ([]kiosk.Case, error)          { return nil, nil }
func (s *quickStore) Settle(context.Context, string, string, string) error { return nil }
func (s *quickStore) Failing() error                                       { return nil }

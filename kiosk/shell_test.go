package kiosk_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// bench is a lane on a bench: every device a few lines, in virtual time.
type bench struct {
	t     *testing.T
	shell *kiosk.Shell

	mu      sync.Mutex
	gate    lane.Gate
	report  func(kiosk.GateReport)
	present func(bool)
	orders  []lane.Command
	stored  []string
	face    lane.Face
	broken  error // of the store
}

func (b *bench) Run(ctx context.Context, alive func() bool, report func(kiosk.GateReport)) error {
	b.mu.Lock()
	b.report = report
	b.gate = lane.Gate{Link: true, State: lane.GateSafe, Entry: lane.LeafLocked, Exit: lane.LeafLocked}
	b.mu.Unlock()
	report(kiosk.GateReport{Seen: b.gate})
	<-ctx.Done()
	return nil
}

// Order moves the gate as it would move for one person who follows the prompts.
func (b *bench) Order(_ context.Context, c lane.Command) <-chan error {
	b.mu.Lock()
	b.orders = append(b.orders, c)
	b.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		show := func(after time.Duration, change func(*lane.Gate)) {
			time.Sleep(after)
			b.mu.Lock()
			change(&b.gate)
			g := b.gate
			b.mu.Unlock()
			b.report(kiosk.GateReport{Seen: g})
		}
		switch c {
		case lane.ReadyMode:
			show(50*time.Millisecond, func(g *lane.Gate) { g.State = lane.GateReady })
		case lane.SafeMode:
			show(50*time.Millisecond, func(g *lane.Gate) { g.State = lane.GateSafe })
		case lane.OpenEntry:
			show(50*time.Millisecond, func(g *lane.Gate) { g.State, g.Entry = lane.GateEntryOpen, lane.LeafOpen })
			show(2*time.Second, func(g *lane.Gate) { g.Occupied, g.Entry = true, lane.LeafClosing })
			show(time.Second, func(g *lane.Gate) { g.State, g.Entry = lane.GateOccupied, lane.LeafLocked })
		case lane.OpenExit:
			show(50*time.Millisecond, func(g *lane.Gate) { g.State, g.Exit = lane.GateExitOpen, lane.LeafOpen })
			show(2*time.Second, func(g *lane.Gate) { g.Occupied, g.Walked, g.Exit = false, true, lane.LeafClosing })
			show(time.Second, func(g *lane.Gate) { g.State, g.Exit, g.Crossed = lane.GateReady, lane.LeafLocked, true })
		case lane.OpenReturn:
			show(50*time.Millisecond, func(g *lane.Gate) { g.State, g.Entry = lane.GateEntryOpen, lane.LeafOpen })
			show(2*time.Second, func(g *lane.Gate) { g.Occupied, g.Entry = false, lane.LeafClosing })
			show(time.Second, func(g *lane.Gate) { g.State, g.Entry = lane.GateReady, lane.LeafLocked })
		}
		done <- nil
	}()
	return done
}

func (b *bench) Lights(context.Context, kiosk.Lights) error { return nil }

type reader struct{ *bench }

func (r reader) Watch(ctx context.Context, present func(bool)) error {
	r.mu.Lock()
	r.present = present
	r.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (r reader) Read(_ context.Context, early func(kiosk.Identity, policy.Document)) (kiosk.Inspection, error) {
	now := time.Now()
	d := policy.Document{Code: "P", Size: policy.TD3, Issuer: "D", Nationality: "D", Birth: now.AddDate(-30, 0, 0), Expiry: now.AddDate(2, 0, 0), Verdict: policy.ChipGenuine}
	early(kiosk.Identity{Surname: "MUSTER"}, d)
	return kiosk.Inspection{Identity: kiosk.Identity{Surname: "MUSTER", Number: "X1"}, Document: d}, nil
}

type vision struct{ *bench }

func (v vision) Run(ctx context.Context, health func(string, string)) error {
	health("", "")
	<-ctx.Done()
	return nil
}
func (v vision) Portrait(context.Context, []byte) (kiosk.Portrait, error) {
	return kiosk.Portrait{}, nil
}
func (v vision) Compare(context.Context, kiosk.Portrait, func(kiosk.Hint)) (kiosk.FaceResult, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return kiosk.FaceResult{Face: v.face}, nil
}

type register struct{ *bench }

func (register) Consult(context.Context, lane.Check, kiosk.Identity, policy.Document) kiosk.DBAnswer {
	return kiosk.DBAnswer{Answer: lane.Clear}
}
func (register) Search(context.Context, kiosk.Identity, policy.Document) (policy.Flags, string) {
	return policy.Flags{}, ""
}
func (register) VerifyFace(context.Context, string, []byte) kiosk.DBAnswer { return kiosk.DBAnswer{} }
func (register) Stay(context.Context, string, policy.Direction, time.Time) (kiosk.DBAnswer, kiosk.Stay) {
	return kiosk.DBAnswer{}, kiosk.Stay{}
}
func (register) Known(context.Context) bool { return true }

type store struct{ *bench }

func (s store) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = append(s.stored, what)
}
func (s store) Append(kiosk.Entry)                        {}
func (s store) Begin(lane.Transaction, string, time.Time) {}
func (s store) Intend(_ lane.Transaction, _ kiosk.Facts, done func(error)) {
	s.mu.Lock()
	err := s.broken
	s.mu.Unlock()
	if err == nil {
		s.note("intent")
	}
	go done(err)
}
func (s store) Record(_ lane.Transaction, _ time.Time, done func(error)) {
	s.note("record")
	go done(nil)
}
func (s store) Void(lane.Transaction)                                { s.note("void") }
func (s store) OpenCase(lane.Transaction, lane.CaseReason)           { s.note("case") }
func (s store) Conclude(_ lane.Transaction, e kiosk.Ended)           { s.note(e.Outcome.String()) }
func (s store) Cases(context.Context) ([]kiosk.Case, error)          { return nil, nil }
func (s store) Settle(context.Context, string, string, string) error { return nil }
func (s store) Failing() error                                       { return nil }

// work runs a lane in virtual time and calls story with it.
func work(t *testing.T, story func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, face: lane.FaceMatch}
		b.shell = kiosk.New(kiosk.Config{Lane: "E1", Rules: lane.DefaultRules(), Policy: policy.Default(policy.Entry)},
			kiosk.Devices{Gate: b, Reader: reader{b}, Vision: vision{b}, Register: register{b}, Store: store{b}}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.shell.Run(ctx, kiosk.Recovery{}) }()
		go func() { // an officer stays
			for ctx.Err() == nil {
				b.shell.Present("anna", true)
				time.Sleep(8 * time.Second)
			}
		}()
		b.until(lane.Idle)
		story(b)
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stopping took %v of virtual time", took)
		}
		time.Sleep(10 * time.Second) // the officer and the gate come to rest
	})
}

func (b *bench) until(p lane.Phase) kiosk.View {
	b.t.Helper()
	for range 6000 { // a minute
		if v := b.shell.View(); v.State.Phase == p {
			return v
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("the lane is %v and never becomes %v; orders %v", b.shell.View().State.Phase, p, b.orders)
	return kiosk.View{}
}

func (b *bench) lay() {
	b.present(true)
	b.until(lane.TakeDoc)
	b.present(false)
}

func (b *bench) has(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.stored) != len(want) {
		b.t.Fatalf("stored %v, want %v", b.stored, want)
	}
	for i := range want {
		if b.stored[i] != want[i] {
			b.t.Fatalf("stored %v, want %v", b.stored, want)
		}
	}
}

func TestACrossing(t *testing.T) {
	work(t, func(b *bench) {
		b.lay()
		b.until(lane.Release)
		b.until(lane.Idle)
		b.has("intent", "record", "released")
		v := b.shell.View()
		if len(v.Recent) != 1 || v.Recent[0].Outcome != lane.OutcomeReleased || v.Crossing != nil {
			t.Errorf("recent %+v, crossing %v", v.Recent, v.Crossing)
		}
	})
}

func TestAnOfficerDecidesOnce(t *testing.T) {
	work(t, func(b *bench) {
		b.face = lane.FaceNonMatch
		b.lay()
		v := b.until(lane.Review)
		anna, bert := kiosk.Officer{ID: "anna", OnSite: true}, kiosk.Officer{ID: "bert"}
		ctx := b.t.Context()
		if err := b.shell.Decide(ctx, anna, v.Crossing.UUID, lane.DecideDivert, "", "", ""); !errors.Is(err, kiosk.ErrReason) {
			t.Errorf("without a reason: %v", err)
		}
		if err := b.shell.Decide(ctx, anna, "another", lane.DecideDivert, "face", "", ""); !errors.Is(err, kiosk.ErrStale) {
			t.Errorf("another case: %v", err)
		}
		if err := b.shell.Decide(ctx, anna, v.Crossing.UUID, lane.DecideDivert, "face", "", ""); err != nil {
			t.Error(err)
		}
		if err := b.shell.Decide(ctx, bert, v.Crossing.UUID, lane.DecideRelease, "face", "", ""); err == nil {
			t.Error("the second decision was taken as well")
		}
		b.until(lane.Idle)
		b.has("diverted_in")
	})
}

// An attack alarm needs two officers and a written reason.
func TestTwoOfficers(t *testing.T) {
	work(t, func(b *bench) {
		b.face = lane.FaceAttack
		b.lay()
		v := b.until(lane.Review)
		ctx := b.t.Context()
		anna, bert := kiosk.Officer{ID: "anna"}, kiosk.Officer{ID: "bert"}
		say := func(o kiosk.Officer, text string) error {
			return b.shell.Decide(ctx, o, v.Crossing.UUID, lane.DecideRelease, "visual_comparison", text, "")
		}
		if err := say(anna, ""); !errors.Is(err, kiosk.ErrReason) {
			t.Errorf("without a text: %v", err)
		}
		for range 2 { // the same officer twice is one officer
			if err := say(anna, "looked at both"); !errors.Is(err, kiosk.ErrSecond) {
				t.Errorf("alone: %v", err)
			}
		}
		if err := say(bert, "agreed"); err != nil {
			t.Error(err)
		}
		b.until(lane.Idle)
		b.has("intent", "record", "released")
	})
}

func TestAFailingDiskOpensNothing(t *testing.T) {
	work(t, func(b *bench) {
		b.broken = errors.New("disk full")
		b.lay()
		v := b.until(lane.Hold)
		for _, c := range b.orders {
			if c == lane.OpenExit {
				t.Error("the exit was ordered open")
			}
		}
		if err := b.shell.Decide(b.t.Context(), kiosk.Officer{ID: "anna"}, v.Crossing.UUID, lane.DecideDivert, "other", "", ""); err != nil {
			t.Error(err)
		}
		b.until(lane.Idle)
		b.has("diverted_in")
	})
}

// Acknowledging an alert must not lock the lane against itself: it did once.
func TestAcknowledge(t *testing.T) {
	work(t, func(b *bench) {
		b.face = lane.FaceNonMatch
		b.lay()
		b.until(lane.Review)
		b.shell.Help()
		v := b.until(lane.Hold)
		if len(v.Alerts) == 0 {
			t.Fatal("no alert")
		}
		if err := b.shell.Acknowledge(v.Alerts[0].ID, "anna"); err != nil {
			t.Error(err)
		}
		if err := b.shell.Acknowledge(v.Alerts[0].ID, "bert"); !errors.Is(err, kiosk.ErrStale) {
			t.Errorf("twice: %v", err)
		}
		if !b.shell.Alive() {
			t.Error("the lane stands still")
		}
		if err := b.shell.Decide(b.t.Context(), kiosk.Officer{ID: "anna"}, v.Crossing.UUID, lane.DecideDivert, "other", "", ""); err != nil {
			t.Error(err)
		}
		b.until(lane.Idle)
	})
}

func TestIdentityIsNeverPrinted(t *testing.T) {
	var out slogBuffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "id", kiosk.Identity{Surname: "KANARIENVOGEL"})
	if s := string(out); s == "" || strings.Contains(s, "KANARIE") {
		t.Errorf("logged as %q", s)
	}
}

type slogBuffer []byte

func (b *slogBuffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

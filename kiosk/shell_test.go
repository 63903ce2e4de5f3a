package kiosk_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// bench is a lane whose devices answer at once, in virtual time.
type bench struct {
	*world.Quick
	t     *testing.T
	shell *kiosk.Shell
}

// work runs a lane in virtual time and calls story with it.
func work(t *testing.T, story func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		q := world.NewQuick(nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
		b := &bench{Quick: q, t: t, shell: q.Shell}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- q.Run(ctx) }()
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
	})
}

func (b *bench) until(p lane.Phase) kiosk.View {
	b.t.Helper()
	if _, err := b.Until(p); err != nil {
		b.t.Fatal(err, b.Orders())
	}
	synctest.Wait() // the step's effects follow the state that pages see
	return b.shell.View()
}

func (b *bench) lay() {
	b.Place(true)
	b.until(lane.TakeDoc)
	b.Place(false)
}

func (b *bench) has(want ...string) {
	b.t.Helper()
	if got := b.Stored(); !slices.Equal(got, want) {
		b.t.Fatalf("stored %v, want %v", got, want)
	}
}

// What is logged while a traveller is there names their transaction, and so can
// be found; what is logged otherwise names none.
func TestLogNamesTheCrossing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		q := world.NewQuick(nil, slog.New(slog.NewTextHandler(&text, nil)))
		b := &bench{Quick: q, t: t, shell: q.Shell}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- q.Run(ctx) }()
		b.until(lane.Idle)
		var ids []string
		for range 2 {
			b.lay()
			v := b.until(lane.Release)
			ids = append(ids, v.Crossing.UUID)
			b.until(lane.Idle)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		at, lines := 0, map[string]int{}
		for line := range strings.Lines(text.String()) {
			_, id, named := strings.Cut(strings.TrimSpace(line), " crossing=")
			switch {
			case strings.Contains(line, "msg=concluded"):
				if id != ids[at] {
					t.Errorf("crossing %d: %s", at, line)
				}
				at++
			case named && (at >= len(ids) || id != ids[at]):
				t.Errorf("while crossing %d was under way: %s", at, line)
			case !named && strings.Contains(line, "phase=RELEASE"):
				t.Errorf("of no crossing: %s", line)
			}
			lines[id]++
		}
		if at != 2 || lines[ids[0]] < 8 || lines[ids[1]] < 8 || lines[""] == 0 {
			t.Errorf("%d concluded, lines %v", at, lines)
		}
	})
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

// A gate that carries an order out and whose answer is lost: it is given up as
// refused when the next traveller's exit opens, and is not that one's answer.
func TestAnAnswerOfBefore(t *testing.T) {
	work(t, func(b *bench) {
		first := make(chan error, 1)
		exits := 0
		b.Sent = func(c lane.Command) <-chan error {
			if c != lane.OpenExit {
				return nil
			}
			if exits++; exits == 1 {
				return first
			}
			first <- &kiosk.Refusal{Class: lane.ClassService, Err: errors.New("no final result")}
			return nil
		}
		for range 2 {
			b.lay()
			b.until(lane.Release)
			b.until(lane.Idle)
		}
		b.has("intent", "record", "released", "intent", "record", "released")
		if exits != 2 {
			t.Errorf("the exit opened %d times", exits)
		}
	})
}

// The line breaks between an order and its answer, and the lane hears of the order
// before it hears of the line: the exit opens all the same, so the intent stands.
func TestAnAnswerThatIsNone(t *testing.T) {
	work(t, func(b *bench) {
		b.Sent = func(c lane.Command) <-chan error {
			if c != lane.OpenExit {
				return nil
			}
			result := make(chan error, 1)
			result <- fmt.Errorf("%w: no answer", kiosk.ErrGateLost)
			return result
		}
		b.lay()
		b.until(lane.Release)
		b.until(lane.Idle)
		b.has("intent", "record", "released")
	})
}

func TestAnOfficerDecidesOnce(t *testing.T) {
	work(t, func(b *bench) {
		b.Face = lane.FaceNonMatch
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
		v = b.until(lane.Idle)
		b.has("diverted_in")
		if !slices.ContainsFunc(v.Recent[0].Timeline, func(s kiosk.Span) bool { return s.Name == "officer.FACE" }) {
			t.Errorf("the timeline does not say why an officer was asked: %+v", v.Recent[0].Timeline)
		}
	})
}

// An attack alarm needs two officers and a written reason.
func TestTwoOfficers(t *testing.T) {
	work(t, func(b *bench) {
		b.Face = lane.FaceAttack
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

// An evacuation from afar needs two roles, and the next one two again.
func TestTwoRolesEvacuateOnce(t *testing.T) {
	work(t, func(b *bench) {
		anna, bert := kiosk.Officer{ID: "anna", Role: "guard"}, kiosk.Officer{ID: "bert", Role: "supervisor"}
		for range 2 {
			if err := b.shell.Order(b.t.Context(), anna, lane.OrderEvacuate); !errors.Is(err, kiosk.ErrSecond) {
				t.Errorf("one guard: %v", err)
			}
			if err := b.shell.Order(b.t.Context(), bert, lane.OrderEvacuate); err != nil {
				t.Errorf("and a supervisor: %v", err)
			}
		}
	})
}

// An evacuation that the gate cannot hear is said not to be: it is not kept, as it
// would open the border for whoever stands there when the line is back.
func TestAGateThatIsLostTakesNoOrder(t *testing.T) {
	work(t, func(b *bench) {
		b.until(lane.Idle)
		b.Lose()
		b.until(lane.Fault)
		err := b.shell.Order(b.t.Context(), kiosk.Officer{ID: "anna", OnSite: true}, lane.OrderEvacuate)
		if !errors.Is(err, kiosk.ErrNotNow) || !strings.Contains(err.Error(), "the gate does not answer") {
			t.Errorf("taken: %v", err)
		}
		if slices.Contains(b.Orders(), lane.EvacuateGate) {
			t.Error("ordered")
		}
	})
}

func TestAFailingDiskOpensNothing(t *testing.T) {
	work(t, func(b *bench) {
		b.Broken = errors.New("disk full")
		b.lay()
		v := b.until(lane.Hold)
		for _, c := range b.Orders() {
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
		b.Face = lane.FaceNonMatch
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

// An alert that stands is not repeated, but says that it came for somebody else, too.
func TestAnAlertForTheNext(t *testing.T) {
	work(t, func(b *bench) {
		b.until(lane.Idle)
		alert := func() kiosk.Alert {
			b.shell.Help()
			synctest.Wait()
			list := b.shell.View().Alerts
			if len(list) != 1 {
				t.Fatalf("%d alerts", len(list))
			}
			return list[0]
		}
		first := alert()
		if same := alert(); first.Again != 0 || same != first {
			t.Errorf("pressed twice: %+v", same)
		}
		b.lay()
		b.until(lane.Release)
		if next := alert(); next.ID != first.ID || !next.At.Equal(first.At) || next.Again != 1 || !next.Last.After(first.At) {
			t.Errorf("pressed by the next: %+v", next)
		}
	})
}

// An alert that nobody has acknowledged is shown however many others were.
func TestAnUnheardAlertStays(t *testing.T) {
	work(t, func(b *bench) {
		b.until(lane.Idle)
		b.Lose()
		b.until(lane.Fault)
		for range 100 {
			b.shell.Help()
			synctest.Wait()
			list := b.shell.View().Alerts
			if err := b.shell.Acknowledge(list[len(list)-1].ID, "anna"); err != nil {
				t.Fatal(err)
			}
		}
		list := b.shell.View().Alerts
		if len(list) > 50 || list[0].Kind != lane.AlertLink || list[0].By != "" {
			t.Errorf("%d alerts, the first %v by %q", len(list), list[0].Kind, list[0].By)
		}
	})
}

func TestIdentityIsNeverPrinted(t *testing.T) {
	id := kiosk.Identity{Surname: "KANARIENVOGEL", GivenNames: "KANARIE", Number: "X123456789"}
	var out slogBuffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).With("of", id).Info("x", "id", id, "in", slog.GroupValue(slog.Any("id", id)), "at", &id)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out = fmt.Appendf(out, verb+verb+verb, id, &id, struct{ ID kiosk.Identity }{id})
	}
	out = fmt.Append(out, fmt.Errorf("reading %v: %w", id, errors.New("torn")))
	if s := string(out); s == "" || strings.Contains(s, "KANARIE") || strings.Contains(s, "X123456789") || strings.Contains(s, hex.EncodeToString([]byte("KANARIE"))) {
		t.Errorf("printed as %q", s)
	}
}

type slogBuffer []byte

func (b *slogBuffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

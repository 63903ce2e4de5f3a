package lane

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the right-hand sides of the scenarios")

// TestScenarios plays testdata/*.txt: the left is the time and an event, the
// right the phase and the effects that follow. -update rewrites the right, to
// be reviewed as a diff.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(b))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("got\n%s\nwant\n%s", got, b)
			}
		})
	}
}

func play(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	s, g := Start(), Gate{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		left, _, _ := strings.Cut(line, "->")
		f := strings.Fields(left)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			out.WriteString(line + "\n")
			continue
		}
		d, err := time.ParseDuration(f[0])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		e := event(t, f[1:], &g)
		before := s
		after, effects := DefaultRules().Step(s, Instant(d)+1, e)
		s = after
		right := []string{s.Phase.String()}
		if after.Direction != before.Direction {
			right = append(right, "towards "+after.Direction.String())
		}
		for _, fx := range effects {
			right = append(right, show(fx))
		}
		fmt.Fprintf(&out, "%-48s -> %s\n", strings.TrimRight(left, " "), strings.Join(right, " "))
	}
	return out.String()
}

func show(f Effect) string {
	switch f := f.(type) {
	case Order:
		if f.Long {
			return f.Command.String() + "(long)"
		}
		return f.Command.String()
	case Alert:
		return "Alert(" + f.Kind.String() + ")"
	case Refer:
		return "Refer(" + f.Reason.String() + ")"
	case Conclude:
		return strings.TrimSuffix("Conclude("+f.Outcome.String()+" "+f.Reason.String(), " ") + ")"
	case OpenCase:
		return "OpenCase(" + f.Why.String() + ")"
	}
	return Name(f)
}

// event reads the words of an event; gate lines change what was seen last.
func event(t *testing.T, w []string, g *Gate) Event {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	switch w[0] {
	case "start":
		s := Started{}
		if arg(1) == "waited" {
			var err error
			s.Waited, err = time.ParseDuration(arg(2))
			must(err)
		}
		return s
	case "tick":
		return Tick{}
	case "officer":
		return LeaseChanged{arg(1) == "comes"}
	case "placed":
		return DocumentPlaced{}
	case "taken":
		return DocumentTaken{}
	case "help":
		return Pressed{}
	case "more-time":
		return TimeAsked{}
	case "renew":
		return Renewed{}
	case "intended":
		return Intended{1}
	case "committed":
		return Committed{1}
	case "failed":
		return StorageFailed{1}
	case "lost":
		return GateLost{}
	case "read", "qualified":
		f := Finding{Demands: Demands(CheckSIS)}
		for _, x := range w[1:] {
			switch x {
			case "ok":
			case "confirm":
				f.Confirm = true
			case "alert":
				f.Alert = true
			default:
				must(f.Reason.UnmarshalText([]byte(x)))
			}
		}
		if w[0] == "read" {
			return DocumentRead{1, f}
		}
		return Qualified{1, f}
	case "answer":
		var a Answered
		a.Transaction = 1
		must(a.Check.UnmarshalText([]byte(arg(1))))
		must(a.Answer.UnmarshalText([]byte(arg(2))))
		return a
	case "face":
		c := FaceCompared{Transaction: 1}
		must(c.Face.UnmarshalText([]byte(arg(1))))
		return c
	case "decided":
		d := Decided{Transaction: 1, Signatures: 1}
		must(d.Decision.UnmarshalText([]byte(arg(1))))
		if arg(2) == "two" {
			d.Signatures = 2
		}
		return d
	case "order":
		o := Ordered{OnSite: true, Signatures: 1}
		must(o.Order.UnmarshalText([]byte(arg(1))))
		return o
	case "gate":
		return seenAs(t, w[1:], g)
	}
	t.Fatalf("no event is called %q", w[0])
	return nil
}

// seenAs reads a gate's state and what differs from a closed, empty one.
func seenAs(t *testing.T, w []string, g *Gate) Event {
	t.Helper()
	*g = Gate{Link: true, Entry: LeafLocked, Exit: LeafLocked}
	if err := g.State.UnmarshalText([]byte(w[0])); err != nil {
		t.Fatal(err)
	}
	for _, x := range w[1:] {
		switch x {
		case "entry-open":
			g.Entry = LeafOpen
		case "entry-closing":
			g.Entry = LeafClosing
		case "entry-free":
			g.Entry = LeafUnlocked
		case "exit-open":
			g.Exit = LeafOpen
		case "exit-closing":
			g.Exit = LeafClosing
		case "occupied":
			g.Occupied = true
		case "bag":
			g.Bag = true
		case "walked":
			g.Walked = true
		case "crossed":
			g.Walked, g.Crossed = true, true
		case "tailgate":
			g.Alarms |= AlarmTailgate
		default:
			t.Fatalf("a gate is not %q", x)
		}
	}
	return GateSeen{*g}
}

package panel

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ajar is how far a leaf stands open, in percent, for the eye to call it open.
const ajar = 80

// patience is how long await waits where it does not say.
const patience = 30 * time.Second

// A Scenario is a text: one line of words after another, # begins a comment.
// What await waits for is its test.
type Scenario struct {
	Lane  string // the direction that its line "lane" says; "" for any
	Lines []string
}

// maxScenario is the longest scenario in bytes.
const maxScenario = 64 << 10

// Parse checks a scenario's words without playing it.
func Parse(text string) (Scenario, error) {
	var s Scenario
	if len(text) > maxScenario {
		return s, fmt.Errorf("panel: a scenario has at most %d bytes", maxScenario)
	}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		s.Lines = append(s.Lines, line)
		words, err := split(line)
		if err != nil {
			return s, fmt.Errorf("line %d: %w", n+1, err)
		}
		if len(words) == 0 {
			continue
		}
		i := slices.IndexFunc(Verbs, func(v Verb) bool { return v.Name == words[0] })
		if i < 0 || len(words)-1 < Verbs[i].least || len(words)-1 > Verbs[i].most {
			return s, fmt.Errorf("panel: line %d: %q is nothing that the panel does", n+1, line)
		}
		if words[0] == "lane" {
			s.Lane = words[1]
		}
	}
	return s, nil
}

// Progress is how far a scenario has been played.
type Progress struct {
	Line    int     `json:"line"` // the one that is played or that failed, from 1; 0 before the first
	Text    string  `json:"text"`
	Of      int     `json:"of"`
	Running bool    `json:"running"`
	OK      bool    `json:"ok"`
	Problem string  `json:"problem,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Play plays a scenario from an empty and healthy lane on, and returns how it
// ended. It leaves the lane empty and healthy, too.
func (l *Lane) Play(ctx context.Context, s Scenario) Progress {
	ctx, halt := context.WithCancel(ctx)
	defer halt()
	began := time.Now()
	p := Progress{Of: len(s.Lines), Running: true}
	l.mu.Lock()
	if l.play != nil && l.play.Running {
		l.mu.Unlock()
		return Progress{Of: len(s.Lines), Problem: "panel: another scenario is being played"}
	}
	l.play, l.halt = &p, halt
	l.mu.Unlock()
	err := l.reset(ctx)
	for n, line := range s.Lines {
		if err != nil {
			break
		}
		l.mu.Lock()
		p.Line, p.Text = n+1, line
		l.mu.Unlock()
		if err = l.Do(ctx, line); err == nil {
			err = l.trouble()
		}
	}
	for _, line := range []string{"clear", "officer script"} {
		if e := l.Do(ctx, line); err == nil {
			err = e
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Running, p.OK, p.Seconds, l.halt = false, err == nil, time.Since(began).Seconds(), nil
	if err != nil {
		p.Problem = err.Error()
	}
	return p
}

// Halt stops the scenario that is being played.
func (l *Lane) Halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.halt != nil {
		l.halt()
	}
}

// reset empties and mends the lane, and waits until it is open.
func (l *Lane) reset(ctx context.Context) error {
	for _, line := range []string{"gone", "lift", "clear", "officer script"} {
		if err := l.Do(ctx, line); err != nil {
			return err
		}
	}
	if err := l.Do(ctx, "await 90s screen S1"); err != nil {
		return fmt.Errorf("panel: the lane does not open: %w", err)
	}
	n := 0
	if l.Records != nil {
		var err error
		if n, err = l.Records(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.ended, l.problem = n, nil, ""
	return nil
}

func (l *Lane) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem != "" {
		return fmt.Errorf("panel: %s", strings.TrimPrefix(l.problem, "panel: "))
	}
	return nil
}

// glance is how often await looks.
const glance = 25 * time.Millisecond

// await waits until something is as its words say.
func (l *Lane) await(ctx context.Context, a []string) error {
	limit := patience
	if d, err := time.ParseDuration(a[0]); err == nil {
		limit, a = d, a[1:]
	}
	if len(a) < 2 || limit < 0 || limit > time.Hour {
		return fmt.Errorf("panel: await says what is to be how, and waits an hour at most")
	}
	want := strings.Join(a[1:], " ")
	is := ""
	for end := time.Now().Add(limit); ; {
		var ok bool
		var err error
		if is, ok, err = l.look(ctx, a[0], want); err != nil || ok {
			return err
		}
		if a[0] != "lane" && a[0] != "screen" { // what the lane says may come late
			if err := l.trouble(); err != nil {
				return err
			}
		}
		if !time.Now().Before(end) {
			return fmt.Errorf("panel: %s is %q, not %q, after %v", a[0], is, want, limit)
		}
		if err := pause(ctx, glance); err != nil {
			return err
		}
	}
}

// look says how something is, and whether it is as wanted.
func (l *Lane) look(ctx context.Context, what, want string) (is string, ok bool, err error) {
	g := l.Gate.Look()
	switch what {
	case "screen":
		is = l.Seen().Screen
	case "lane":
		is = l.Seen().State
	case "gate":
		is = g.State
	case "entry", "exit":
		open := g.Leaves[map[string]int{"entry": 0, "exit": 1}[what]].Open
		switch {
		case open >= ajar:
			is = "open"
		case open == 0:
			is = "closed"
		default:
			is = "moving"
		}
		if want != "open" && want != "closed" && want != "moving" {
			return "", false, fmt.Errorf("panel: a leaf is open, closed or moving, not %q", want)
		}
	case "alarm", "fault":
		list := g.Alarms
		if what == "fault" {
			list = g.Faults
		}
		if is = strings.Join(list, " "); is == "" {
			is = "none"
		}
		return is, is == want || slices.Contains(list, want), nil
	case "person":
		x, here := l.Gate.Position(traveller)
		switch {
		case !here:
			is = "gone"
		case x <= 0:
			is = "before"
		case x < 2.2:
			is = "inside"
		default:
			is = "behind"
		}
	case "outcome":
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.ended) == 0 {
			return "open", false, nil
		}
		e := l.ended[len(l.ended)-1]
		return e.String(), l.who == nil && (e.String() == want || e.Outcome == want), nil
	case "records":
		if l.Records == nil {
			return "", false, fmt.Errorf("panel: the register is another process's")
		}
		n, err := l.Records(ctx)
		if err != nil {
			return "", false, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		is = strconv.Itoa(n - l.records)
	default:
		return "", false, fmt.Errorf("panel: await knows no %q", what)
	}
	return is, is == want, nil
}

// tape is a scenario that is being written down.
type tape struct {
	lines []string
	seen  string // what the person acted upon, last
	ended int    // persons who had left
}

// Record begins to write down what is done.
func (l *Lane) Record() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tape = &tape{lines: []string{"lane " + l.Direction}, ended: len(l.ended)}
}

// Recorded is what has been written down so far, as a scenario; "" for nothing.
func (l *Lane) Recorded() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tape == nil {
		return ""
	}
	lines := slices.Clone(l.tape.lines)
	if n := len(l.ended); n > l.tape.ended && l.who == nil {
		lines = append(lines, "await 60s outcome "+l.ended[n-1].String())
	}
	return strings.Join(lines, "\n") + "\n"
}

// Cut ends the recording and throws it away.
func (l *Lane) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tape = nil
}

// maxTape is the most lines that are written down.
const maxTape = 1000

// write writes down what is done, after what was seen then: when it is played
// again, it is done when the lane has come as far, however long that takes.
func (l *Lane) write(verb string, words []string) {
	g := l.Gate.Look()
	screen := l.Seen().Screen
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tape
	if t == nil || len(t.lines) >= maxTape {
		return
	}
	var seen []string
	if screen != "" {
		seen = append(seen, "await screen "+screen)
	}
	for i, leaf := range []string{"entry", "exit"} {
		if g.Leaves[i].Open >= ajar {
			seen = append(seen, "await "+leaf+" open")
		}
	}
	line := strings.Join(words, " ")
	now := strings.Join(seen, "\n")
	if now != t.seen && verb != "wait" && verb != "await" {
		t.seen, t.lines = now, append(t.lines, seen...)
	} else if n := len(t.lines); verb == "walk" && n > 0 && strings.HasPrefix(t.lines[n-1], "walk ") && len(strings.Fields(t.lines[n-1])) == len(words) {
		t.lines = t.lines[:n-1] // led on, by the hand that leads
	}
	t.lines = append(t.lines, line)
}

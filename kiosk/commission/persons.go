package commission

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Terminal is somebody who sits at the lane's computer: they answer questions,
// and do what the test asks or have it done.
type Terminal struct {
	Who   string
	Out   io.Writer
	lines chan string
}

// NewTerminal reads answers from in until it ends.
func NewTerminal(who string, in io.Reader, out io.Writer) *Terminal {
	t := &Terminal{Who: who, Out: out, lines: make(chan string)}
	go func() { // ends with the program: a read of a terminal cannot be called off
		defer close(t.lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			t.lines <- strings.TrimSpace(s.Text())
		}
	}()
	return t
}

// ErrGone says that nobody answers any more.
var ErrGone = errors.New("commission: nobody answers any more; what was done is kept")

func (t *Terminal) line(ctx context.Context) (string, error) {
	select {
	case l, ok := <-t.lines:
		if !ok {
			return "", ErrGone
		}
		return l, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Name is who answers.
func (t *Terminal) Name() string { return t.Who }

// Say tells.
func (t *Terminal) Say(format string, args ...any) { fmt.Fprintf(t.Out, format+"\n", args...) }

// Ask asks until the answer is one of the choices, if there are some; a number
// picks one.
func (t *Terminal) Ask(ctx context.Context, key, question string, choices []string, fallback string) (string, error) {
	t.Say("\n%s", question)
	for i, c := range choices {
		t.Say("  %d  %s", i+1, c)
	}
	for {
		prompt := key
		if fallback != "" {
			prompt += " [" + fallback + "]"
		}
		fmt.Fprintf(t.Out, "%s: ", prompt)
		l, err := t.line(ctx)
		if err != nil {
			return "", err
		}
		n := 0
		if _, err := fmt.Sscanf(l, "%d", &n); err == nil && n >= 1 && n <= len(choices) && fmt.Sprint(n) == l {
			return choices[n-1], nil
		}
		switch {
		case l == "" && fallback != "":
			return fallback, nil
		case l != "":
			return l, nil // a device may be known that was not found
		}
	}
}

// Ready waits for the person.
func (t *Terminal) Ready(ctx context.Context, s Step) (bool, error) {
	fmt.Fprintf(t.Out, "\n%s\nWanted: %s.\nEnter when you are ready, s to leave it out: ", s.Title, s.Expect)
	l, err := t.line(ctx)
	return !strings.HasPrefix(strings.ToLower(l), "s"), err
}

// Act says what to do.
func (t *Terminal) Act(_ context.Context, a Act) error {
	t.Say("  → %s", Words[a])
	return nil
}

// Confirm asks yes or no, and for a remark.
func (t *Terminal) Confirm(ctx context.Context, _, question string) (bool, string, error) {
	for {
		fmt.Fprintf(t.Out, "%s [y/n, and a remark]: ", question)
		l, err := t.line(ctx)
		if err != nil {
			return false, "", err
		}
		word, note, _ := strings.Cut(l, " ")
		switch strings.ToLower(word) {
		case "y", "yes":
			return true, strings.TrimSpace(note), nil
		case "n", "no":
			return false, strings.TrimSpace(note), nil
		}
	}
}

// Rehearsal is a simulator's people, led through the interface of its panel
// (docs/integrators.md). Its reports say so.
type Rehearsal struct {
	Lane    string // URL of the lane, such as http://127.0.0.1:8240/api/lanes/lane
	Persona string // whose document is laid down
}

// words are the panel's for each act; those behind a "-" may fail.
func (r Rehearsal) words(a Act) []string {
	come := "lay " + r.Persona
	return map[Act][]string{
		WalkIn: {"gone", come, "walk marks"}, WalkOut: {"walk out"}, WalkBack: {"walk back", "-walk second back"},
		Wheel: {"gone", come + " script=wheelchair", "walk marks"}, WheelOut: {"walk out"},
		PutBag: {"bag"}, TakeBag: {"lift"}, Two: {"gone", come, "join", "walk marks", "walk second 0.4"},
		FireOn: {"fault fire"}, FireOff: {"clear fire"}, DocumentOn: {"gone", come}, DocumentOff: {"take", "gone"}, Leave: {"gone"},
	}[a]
}

// Name says that nobody was there.
func (r Rehearsal) Name() string { return "rehearsal on " + r.Lane }

// Ready is always so.
func (r Rehearsal) Ready(context.Context, Step) (bool, error) { return true, nil }

// Confirm agrees: a rehearsal has no eyes.
func (r Rehearsal) Confirm(context.Context, string, string) (bool, string, error) {
	return true, "a rehearsal, nobody looked", nil
}

// Act tells the simulator, again for a moment where the person is still on the
// way.
func (r Rehearsal) Act(ctx context.Context, a Act) error {
	for _, w := range r.words(a) {
		words, optional := strings.CutPrefix(w, "-")
		var err error
		for range 30 {
			if err = r.Tell(ctx, words); err == nil || optional {
				err = nil
				break
			}
			if e := pause(ctx, 100*time.Millisecond); e != nil {
				return e
			}
		}
		if err != nil {
			return fmt.Errorf("commission: rehearsal: %s: %w", words, err)
		}
	}
	return nil
}

// Tell says one line of the panel's words.
func (r Rehearsal) Tell(ctx context.Context, words string) error {
	b, err := json.Marshal(map[string]string{"words": words})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Lane+"/do", bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 400)) // it only makes the error better
		return fmt.Errorf("%s: %s", resp.Status, said)
	}
	return nil
}

package panel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/register"
)

// Verb is a word of the panel's language and what follows it.
type Verb struct {
	Name string `json:"name"`
	Args string `json:"args"`
	Text string `json:"text"`

	least, most int // arguments
	do          func(*Lane, context.Context, []string) error
}

const many = 64

// Verbs is the language.
var Verbs = []Verb{
	{"send", "PERSONA [KEY=VALUE…]", "lets a person come and follow the lane's prompts", 1, many, func(l *Lane, ctx context.Context, a []string) error { return l.come(ctx, a[0], a[1:], false) }},
	{"lay", "PERSONA [KEY=VALUE…]", "lets a person come and lay the document down, and then wait to be led", 1, many, func(l *Lane, ctx context.Context, a []string) error { return l.come(ctx, a[0], a[1:], true) }},
	{"take", "", "the person takes the document back", 0, 0, func(l *Lane, _ context.Context, _ []string) error {
		x, err := l.here(true)
		if err != nil {
			return err
		}
		return l.takeBack(x)
	}},
	{"walk", "[second] PLACE", "the person walks to reader, marks, out or back, or to so many metres behind the entry leaf", 1, 2, (*Lane).walkTo},
	{"follow", "", "the person follows the prompts again", 0, 0, func(l *Lane, _ context.Context, _ []string) error {
		x, err := l.here(false)
		if err == nil {
			l.mu.Lock()
			x.steered = false
			l.mu.Unlock()
		}
		return err
	}},
	{"join", "[PERSONA]", "a second person comes close behind", 0, 1, (*Lane).join},
	{"bag", "[METRES]", "a bag stands in the lane", 0, 1, func(l *Lane, _ context.Context, a []string) error {
		x := 1.0
		if len(a) > 0 {
			var err error
			if x, err = metres(a[0]); err != nil {
				return err
			}
		}
		l.Gate.Remove(bag)
		l.Gate.AddBag(bag, x)
		return nil
	}},
	{"lift", "", "the bag is taken away", 0, 0, func(l *Lane, _ context.Context, _ []string) error { l.Gate.Remove(bag); return nil }},
	{"face", "[PERSONA… | print PERSONA | screen PERSONA | video PERSONA | mask PERSONA]", "the camera sees these faces, or nobody", 0, 4, (*Lane).face},
	{"gone", "", "everybody leaves the lane at once", 0, 0, func(l *Lane, ctx context.Context, _ []string) error { return l.away(ctx) }},
	{"help", "", "the help button is pressed", 0, 0, func(l *Lane, ctx context.Context, _ []string) error { return l.Help(ctx) }},
	{"more-time", "", "the traveller asks for more time", 0, 0, func(l *Lane, ctx context.Context, _ []string) error { return l.MoreTime(ctx) }},
	{"fault", "FAULT [COUNT]", "something breaks: a fault of the gate or of its line, camera.NAME, register.WHAT=NAME, mrz.garbage", 1, 2, (*Lane).fault},
	{"clear", "[FAULT]", "it is mended; without a name, everything", 0, 1, (*Lane).clear},
	{"power", "on|off", "the gate's power", 1, 1, func(l *Lane, _ context.Context, a []string) error {
		if a[0] != "on" && a[0] != "off" {
			return fmt.Errorf("panel: the power is on or off, not %q", a[0])
		}
		l.Gate.Power(a[0] == "on")
		return nil
	}},
	{"officer", "script|hand", "officers decide as the persona's script says, or only by decide and order", 1, 1, func(l *Lane, _ context.Context, a []string) error {
		if a[0] != "script" && a[0] != "hand" {
			return fmt.Errorf("panel: officers go by script or by hand, not by %q", a[0])
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.byHand = a[0] == "hand"
		return nil
	}},
	{"decide", "DECISION [REASON]", "an officer decides on the case: release, divert, retry_face, refer_second_line", 1, 2, func(l *Lane, ctx context.Context, a []string) error {
		if l.Decide == nil {
			return errors.New("panel: no officer is signed in here")
		}
		reason := "visual_comparison"
		if len(a) == 2 {
			reason = a[1]
		}
		return l.Decide(ctx, a[0], reason)
	}},
	{"order", "ORDER", "an officer orders: open, close, clear_alarms, clear_faults, maintenance, …", 1, 1, func(l *Lane, ctx context.Context, a []string) error {
		if l.Order == nil {
			return errors.New("panel: no officer is signed in here")
		}
		return l.Order(ctx, a[0])
	}},
	{"lane", "entry|exit", "says which lane the lines after it are for", 1, 1, func(l *Lane, _ context.Context, a []string) error {
		if a[0] != l.Direction {
			return fmt.Errorf("panel: this is an %s lane, and the scenario is for an %s lane", l.Direction, a[0])
		}
		return nil
	}},
	{"wait", "DURATION", "nothing is done for so long", 1, 1, func(_ *Lane, ctx context.Context, a []string) error {
		d, err := time.ParseDuration(a[0])
		if err != nil || d < 0 || d > time.Hour {
			return fmt.Errorf("panel: %q is no time up to an hour", a[0])
		}
		return pause(ctx, d)
	}},
	{"await", "[DURATION] WHAT IS", "waits until it is so, 30 s at most: screen, lane, gate, entry, exit, alarm, fault, person, outcome, records", 2, many, (*Lane).await},
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do does what a line says and returns when it is done; send and lay return
// when the person is on the way. An empty line and one that begins with # do
// nothing.
func (l *Lane) Do(ctx context.Context, line string) error {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return err
	}
	i := slices.IndexFunc(Verbs, func(v Verb) bool { return v.Name == words[0] })
	if i < 0 {
		return fmt.Errorf("panel: %q is no word of the panel's", words[0])
	}
	v, args := Verbs[i], words[1:]
	if len(args) < v.least || len(args) > v.most {
		return fmt.Errorf("panel: it is %q", strings.TrimSpace(v.Name+" "+v.Args))
	}
	if v.Name != "wait" && v.Name != "await" { // they only look
		l.doing.Lock()
		defer l.doing.Unlock()
	}
	l.write(v.Name, words)
	return v.do(l, ctx, args)
}

// split takes a line apart at its blanks, but for those in quotes or brackets.
func split(line string) ([]string, error) {
	var words []string
	word, quoted, depth := "", false, 0
	for _, r := range strings.TrimSpace(line) {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == '#' && word == "":
			return words, nil
		case (r == ' ' || r == '\t') && depth <= 0:
			if word != "" {
				words, word = append(words, word), ""
			}
			continue
		}
		if r < ' ' && r != '\t' {
			return nil, fmt.Errorf("panel: %q holds what cannot be printed", line)
		}
		word += string(r)
	}
	if quoted || depth > 0 {
		return nil, fmt.Errorf("panel: a quote or a bracket in %q does not end", line)
	}
	if word != "" {
		words = append(words, word)
	}
	return words, nil
}

// The lane's ends for those who walk, in metres behind the entry leaf.
const first, last = -2.2, gate.Beyond

func metres(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= first && x <= last) {
		return 0, fmt.Errorf("panel: %q is neither a place nor metres from %g to %g", s, first, last)
	}
	return x, nil
}

func (l *Lane) walkTo(_ context.Context, a []string) error {
	who := traveller
	if len(a) == 2 {
		if a[0] != second && a[0] != traveller {
			return fmt.Errorf("panel: %q is nobody who walks", a[0])
		}
		who = a[0]
	}
	place := a[len(a)-1]
	x, known := map[string]float64{"reader": gate.Approach, "marks": gate.Marks, "out": gate.Beyond, "back": gate.Approach - 1.5}[place]
	if !known {
		var err error
		if x, err = metres(place); err != nil {
			return err
		}
	}
	if _, err := l.here(who == traveller); err != nil {
		return err
	}
	if _, here := l.Gate.Position(who); !here {
		return fmt.Errorf("panel: no %s person is there", who)
	}
	speed := 1.3
	if p, here := l.Present(); here && p.Script == "wheelchair" {
		speed = 0.7
	}
	l.Gate.Walk(who, x, speed)
	return nil
}

func (l *Lane) join(_ context.Context, a []string) error {
	x, err := l.here(false)
	if err != nil {
		return err
	}
	i := (x.i + 5) % len(l.People)
	if len(a) == 1 {
		if i, err = l.find(a[0]); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.beside = i
	l.mu.Unlock()
	l.Gate.Remove(second)
	at, _ := l.Gate.Position(traveller)
	l.Gate.AddPerson(second, min(at-0.4, gate.Approach-0.4))
	return nil
}

func (l *Lane) face(_ context.Context, a []string) error {
	by := camera.Genuine
	if len(a) > 0 && slices.Contains(camera.Instruments, camera.Instrument(a[0])) {
		by, a = camera.Instrument(a[0]), a[1:]
	}
	var who []int
	for _, id := range a {
		i, err := l.find(id)
		if err != nil {
			return err
		}
		who = append(who, i)
	}
	l.mu.Lock()
	l.posed = true
	l.mu.Unlock()
	l.Pose(by, who...)
	return nil
}

// cameraFaults are the camera's.
var cameraFaults = []gate.Fault{
	{Name: "covered", Text: "something lies over the lens"},
	{Name: "blur", Text: "out of focus"},
	{Name: "frozen", Text: "the picture stands still"},
	{Name: "unplugged", Text: "the camera is gone"},
}

// operations are what a register's faults are of.
var operations = []string{"search", "consult", "verifyFace", "stay", "record", "health", "all", "SIS", "SLTD", "FPR", "LOST"}

func known(list []gate.Fault, name string) bool {
	return slices.ContainsFunc(list, func(f gate.Fault) bool { return f.Name == name })
}

func (l *Lane) fault(_ context.Context, a []string) error {
	name, count := a[0], 0
	if len(a) == 2 {
		n, err := strconv.Atoi(a[1])
		if err != nil || n < 1 || n > 10000 || !known(gate.LinkFaults, name) {
			return fmt.Errorf("panel: only a fault of the gate's line has a count, 1 to 10000 frames")
		}
		count = n
	}
	where, what, _ := strings.Cut(name, ".")
	switch {
	case where == "camera" && known(cameraFaults, what):
		l.mu.Lock()
		defer l.mu.Unlock()
		l.faults["camera"] = what
		l.Camera(what)
	case where == "register":
		if l.Register == nil {
			return errors.New("panel: the register is another process's: start it with its --fault")
		}
		op, fault, _ := strings.Cut(what, "=")
		if !slices.Contains(operations, op) || !slices.ContainsFunc(register.Faults, func(f register.Fault) bool { return f.Name == fault }) {
			return fmt.Errorf("panel: %q is no register.WHAT=NAME", name)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.faults["register."+op] = fault
		l.Register(op, fault)
	case name == "mrz.garbage" && l.Garbage != nil:
		return l.Garbage()
	default:
		if !l.Gate.Inject(name, count) {
			return fmt.Errorf("panel: no fault is called %q", name)
		}
	}
	return nil
}

func (l *Lane) clear(_ context.Context, a []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(a) == 1 {
		where, _, _ := strings.Cut(a[0], "=")
		if strings.HasPrefix(where, "camera.") {
			where = "camera"
		}
		if l.mend(where) {
			return nil
		}
		if !l.Gate.Clear(a[0]) {
			return fmt.Errorf("panel: no fault is called %q", a[0])
		}
		return nil
	}
	for where := range l.faults {
		l.mend(where)
	}
	for _, f := range slices.Concat(gate.PhysicalFaults, gate.LinkFaults) {
		l.Gate.Clear(f.Name)
	}
	l.Gate.Power(true)
	return nil
}

// mend ends a fault of camera or register; l.mu is held.
func (l *Lane) mend(where string) bool {
	op, of := strings.CutPrefix(where, "register.")
	switch {
	case where == "camera":
		l.Camera("")
	case of && l.Register != nil:
		l.Register(op, "")
	default:
		return false
	}
	delete(l.faults, where)
	return true
}

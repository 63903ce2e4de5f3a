package world_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"passage/docs/docstest"
	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/lane"
)

// fault is something that breaks at one instant and is mended later.
type fault struct {
	name, text string
	lasts      time.Duration
	begin, end func(w *world.World)
}

// registers are all that a lane asks.
var registers = []string{"search", "consult", "verifyFace", "stay", "record", "health"}

func registerFault(name, text, kind string) fault {
	set := func(kind string) func(*world.World) {
		return func(w *world.World) {
			for _, r := range registers {
				w.Register.Inject(r, kind)
			}
		}
	}
	return fault{name, text, 20 * time.Second, set(kind), set("")}
}

func eyeFault(name, text, kind string, lasts time.Duration) fault {
	return fault{name, text, lasts, func(w *world.World) { w.Eyes.Inject(kind) }, func(w *world.World) { w.Eyes.Inject("") }}
}

func lineFault(name, text string, lasts time.Duration, spoil func(request, reply []byte) ([]byte, time.Duration)) fault {
	return fault{name, text, lasts, func(w *world.World) { w.Line.Spoil(spoil) }, func(w *world.World) { w.Line.Spoil(nil) }}
}

// refuse makes the lane's database take no more, or takes that back.
func refuse(t *testing.T, w *world.World, on string) {
	if _, err := w.DB.Writer.ExecContext(context.Background(), "PRAGMA query_only = "+on); err != nil {
		t.Error(err)
	}
}

func faults(t *testing.T) []fault {
	nothing := func(*world.World) {}
	return []fault{
		{"card torn out", "the document is pulled off the reader", time.Second, func(w *world.World) { w.Field.Put(nil) }, nothing},
		{"MRZ garbage", "the MRZ reader sends nonsense, and goes on doing so", 10 * time.Second, func(w *world.World) {
			w.Garbage()
			w.Zone = func([]string) []byte { return []byte("\x02P<UTO\xFF\xFF<<\x03") }
		}, func(w *world.World) { w.Zone = nil }},
		lineFault("gate late", "every reply of the gate is 400 ms late", 5*time.Second, func(_, r []byte) ([]byte, time.Duration) { return r, 400 * time.Millisecond }),
		lineFault("gate wrong", "every reply of the gate has a wrong CRC", 5*time.Second, func(_, r []byte) ([]byte, time.Duration) {
			if len(r) > 3 {
				r[len(r)-1] ^= 0x55
			}
			return r, 0
		}),
		{"gate silent", "the cable to the gate is cut", 5 * time.Second, func(w *world.World) { w.Line.Cut(true) }, func(w *world.World) { w.Line.Cut(false) }},
		{"gate power cut", "the gate loses power and boots again", 2 * time.Second, func(w *world.World) { w.Gate.Power(false) }, func(w *world.World) { w.Gate.Power(true) }},
		eyeFault("camera unplugged", "the camera is unplugged", "unplugged", 20*time.Second),
		eyeFault("camera covered", "the camera is covered", "covered", 20*time.Second),
		eyeFault("models die", "the worker with the models dies", "dead", 300*time.Millisecond),
		registerFault("register 500", "every register answers 500", "error"),
		registerFault("register nonsense", "every register answers nonsense", "nonsense"),
		registerFault("register slow", "every register answers after 4 s", "slow"),
		registerFault("register never", "no register answers", "never"),
		{"disk full", "the lane's disk takes no more", 20 * time.Second, func(w *world.World) { refuse(t, w, "ON") }, func(w *world.World) { refuse(t, w, "OFF") }},
		{"lane power cut", "the lane computer loses power and starts again", 4 * time.Second, func(w *world.World) { w.Crash() }, func(w *world.World) {
			if err := w.Start(); err != nil {
				t.Error(err)
			}
		}},
		{"fire", "the fire alarm sounds", 8 * time.Second, func(w *world.World) { w.Gate.Inject("fire", 0) }, func(w *world.World) { w.Gate.Clear("fire") }},
		{"entry jams", "the entry leaf does not move", 12 * time.Second, func(w *world.World) { w.Gate.Inject("jam_entry", 0) }, func(w *world.World) { w.Gate.Clear("jam_entry") }},
		{"exit jams", "the exit leaf does not move", 12 * time.Second, func(w *world.World) { w.Gate.Inject("jam_exit", 0) }, func(w *world.World) { w.Gate.Clear("jam_exit") }},
	}
}

// story brings a lane into a state.
type story struct {
	phase   lane.Phase
	script  string
	card    map[string]int
	prepare func(w *world.World)
	trigger func(w *world.World, e kiosk.Entry) // with every step, before the fault
}

func stories() []story {
	slow := func(w *world.World) { w.Slow = func(string) time.Duration { return 300 * time.Millisecond } }
	at := func(p lane.Phase, do func(*world.World)) func(*world.World, kiosk.Entry) {
		var once sync.Once
		return func(w *world.World, e kiosk.Entry) {
			if e.After.Phase == p {
				once.Do(func() { go do(w) })
			}
		}
	}
	return []story{
		{phase: lane.OutOfService},
		{phase: lane.Idle},
		{phase: lane.DocRead},
		{phase: lane.Eligible},
		{phase: lane.TakeDoc},
		{phase: lane.Enter},
		{phase: lane.Sealing},
		{phase: lane.Inside},
		{phase: lane.Decide},
		{phase: lane.WaitDB, prepare: func(w *world.World) { w.Register.Inject("verifyFace", "slow") }},
		{phase: lane.Review, script: "stranger", prepare: func(w *world.World) { w.Decision = "release" }},
		{phase: lane.Intend, prepare: slow},
		{phase: lane.Release},
		{phase: lane.Clearing},
		{phase: lane.CheckEmpty, trigger: at(lane.Clearing, chatter)},
		{phase: lane.Commit, prepare: slow},
		{phase: lane.DivertOut, card: map[string]int{"tampered_dg1": 1}},
		{phase: lane.DivertIn, script: "stranger"},
		{phase: lane.Returning, script: "stranger"},
		{phase: lane.Multi, script: "tailgate"},
		{phase: lane.Luggage, script: "bag"},
		{phase: lane.Hold, script: "help"},
		{phase: lane.Fallback, trigger: at(lane.Inside, func(w *world.World) {
			w.Gate.Inject("force_exit", 0)
			time.AfterFunc(time.Second, func() { w.Gate.Clear("force_exit") })
		})},
		{phase: lane.Fault, trigger: at(lane.Release, func(w *world.World) {
			w.Gate.Inject("jam_exit", 0)
			time.AfterFunc(6*time.Second, func() { w.Gate.Clear("jam_exit") })
		})},
		{phase: lane.Evacuate, trigger: at(lane.Inside, func(w *world.World) {
			w.Gate.Inject("fire", 0)
			time.AfterFunc(6*time.Second, func() { w.Gate.Clear("fire") })
		})},
	}
}

// chatter has the gate tell so much as the exit locks that its CROSSED event
// comes some polls later: the lane waits for it in CHECK_EMPTY.
func chatter(w *world.World) {
	for _, exit := w.Gate.Leaves(); exit > 60; _, exit = w.Gate.Leaves() {
		time.Sleep(10 * time.Millisecond) // virtual
	}
	for range 40 {
		w.Gate.Inject("battery", 0)
		time.Sleep(10 * time.Millisecond) // virtual
		w.Gate.Clear("battery")
		time.Sleep(10 * time.Millisecond) // virtual
	}
}

// play runs a story with a fault at its state, or without one, and returns how
// it ended. What must never happen fails the test.
func play(t *testing.T, s story, f *fault) (ended string) {
	injected := false
	live(t, func(w *world.World) {
		if s.prepare != nil {
			s.prepare(w)
		}
		w.OnStep = func(e kiosk.Entry) {
			if s.trigger != nil {
				s.trigger(w, e)
			}
			if e.After.Phase == s.phase && !injected {
				injected = true
				if f != nil {
					go func() {
						// Virtual, and off the grid of everybody's timers: what
						// was begun at this instant is under way, and no two
						// things happen at once in an order that chance decides.
						time.Sleep(1300 * time.Microsecond)
						f.begin(w)
						time.Sleep(f.lasts + 470*time.Microsecond)
						f.end(w)
					}()
				}
			}
		}
	}, func(t *testing.T, w *world.World) {
		idle := func(v kiosk.View) bool { return v.State.Phase == lane.Idle }
		if !until(t, w, 2*time.Minute, idle) {
			t.Fatalf("the lane does not open: %+v %v", w.Shell().View().State, w.Shell().View().Unfit)
		}
		card, err := w.Card(s.card)
		if err != nil {
			t.Fatal(err)
		}
		if through, err := w.Traveller(s.script, card).Walk(t.Context()); err != nil || !through {
			x, _ := w.Gate.Position("bia")
			t.Errorf("trapped: at %.1f m after three minutes, %v: %+v\n%v", x, err, w.Shell().View().State, w.Gate.Truth())
		}
		w.Gate.Remove("bia")
		w.Gate.Remove("biab")
		w.Field.Put(nil)
		time.Sleep(25 * time.Second) // virtual: what was broken is mended by now
		if !until(t, w, 4*time.Minute, idle) {
			v := w.Shell().View()
			t.Errorf("the lane does not open again: %+v, unfit %v, alarms %v", v.State, v.Unfit, v.Gate.Alarms)
		}
		if !injected {
			t.Fatalf("%v was never reached: %v", s.phase, w.Gate.Truth())
		}
		drained(t, w)
		ended = verdict(t, w, before{}, t.Errorf)
	})
	return ended
}

// before is what lane and register had of earlier travellers.
type before struct {
	last    lane.Transaction
	records int
}

// verdict reads from the gate's truth, the lane's disk and the register what
// became of the traveller, and checks that they agree.
func verdict(t *testing.T, w *world.World, since before, bad func(format string, args ...any)) string {
	t.Helper()
	out, opened, crossed := "diverted_out", 0, false
	for _, r := range w.Gate.Truth() {
		switch {
		case r.What == "entered" && r.Who == "bia":
			out = "inside"
		case r.What == "crossed" && r.Who == "bia":
			out, crossed = "released", true
		case r.What == "went_back" && r.Who == "bia" && out != "evacuated":
			out = "diverted_in"
		case r.What == "opened_exit":
			opened++
		case r.What == "state" && r.Who == "EVACUATE" && out == "inside":
			out = "evacuated"
		case r.What == "fault" && strings.Contains(r.Who, "BOTH_OPEN"):
			bad("both leaves stood open")
		}
	}
	one := func(query string) (list []string) {
		rows, err := w.DB.Reader.QueryContext(t.Context(), query, since.last)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
		return list
	}
	intents := one("SELECT uuid FROM intent WHERE txn > ?")
	settled := one("SELECT kind || CASE why WHEN '' THEN '' ELSE ' ' || why END FROM settlement WHERE txn > ?")
	reason := one("SELECT coalesce(reason, '') FROM crossing WHERE txn > ? AND ended IS NOT NULL AND reason != '' ORDER BY txn DESC LIMIT 1")
	records, err := w.Register.Records(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if opened > 0 && len(intents) == 0 {
		bad("the exit opened without an intent on disk")
	}
	if len(settled) != len(intents) {
		bad("%d intents, settled %q", len(intents), settled)
	}
	records = records[since.records:]
	recorded := slices.Contains(settled, "record")
	if recorded && !crossed {
		bad("a record of somebody who did not cross")
	}
	if slices.Contains(settled, "void") && crossed {
		bad("a void of somebody who crossed")
	}
	if crossed && len(settled) == 0 {
		bad("a crossing that nothing tells of")
	}
	if recorded != (len(records) == 1) || len(records) > 1 {
		bad("settled %q, and the register has %d records", settled, len(records))
	}
	if len(reason) > 0 && out != "released" {
		out += " " + reason[0]
	}
	for _, s := range settled {
		if s != "record" {
			out += ", " + s
		}
	}
	return out
}

// drained waits until the outbox is empty. Between two attempts it waits for a
// minute at most.
func drained(t *testing.T, w *world.World) {
	for range 90 {
		time.Sleep(time.Second) // virtual
		n := 0
		if err := w.DB.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM outbox WHERE state='waiting'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	t.Error("the outbox does not drain")
}

// TestFaults breaks everything that can break in every state of a lane, and
// writes down what follows. The rules that no cell may break are in play and
// verdict: nobody is trapped, no door opens without an intent, each intent has
// one end and it is true, the lane opens again by itself or by its officer.
func TestFaults(t *testing.T) {
	list, all := faults(t), stories()
	cells := make([][]string, len(all)) // by state, the first without a fault
	t.Run("cells", func(t *testing.T) {
		for i, s := range all {
			cells[i] = make([]string, len(list)+1)
			for k := range len(list) + 1 {
				var f *fault
				name := "nothing"
				if k > 0 {
					f = &list[k-1]
					name = f.name
				}
				if testing.Short() && (i+k)%9 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%v/%s", s.phase, name), func(t *testing.T) {
					t.Parallel()
					cells[i][k] = play(t, stories()[i], f)
				})
			}
		}
	})
	if testing.Short() || t.Failed() {
		return
	}
	docstest.Page(t, "../../docs/faults.md", table(list, all, cells))
	t.Logf("%d faults in %d states: %d cells", len(list), len(all), len(list)*len(all))
}

func table(list []fault, all []story, cells [][]string) string {
	var b strings.Builder
	b.WriteString(`# Fault × lane state

What becomes of a traveller when something breaks at the moment in which the
lane enters a state. TestFaults (hwsim/world) plays every cell with the shipped
shell, journal, policy and drivers on a simulated exit lane in virtual time, and
fails where a person is trapped, an exit opens without an intent on disk, an
intent has no end, two or a false one, a record is lost or made twice, or the
lane does not open again. The page is its output: run it with -update after a
change, and read the difference.

"·" is the outcome without the fault. After the outcome: the reason, and what
became of an intent that is no record (void, or case and why).

| fault | what happens |
|---|---|
`)
	for _, f := range list {
		fmt.Fprintf(&b, "| %s | %s, for %v |\n", f.name, f.text, f.lasts)
	}
	b.WriteByte('\n')
	for i, s := range all {
		fmt.Fprintf(&b, "## %v\n\nWithout a fault: %s.\n\n| outcome | fault |\n|---|---|\n", s.phase, cells[i][0])
		var outcomes []string
		of := map[string][]string{}
		for k, f := range list {
			c := cells[i][k+1]
			if c == cells[i][0] {
				c = "·"
			}
			if of[c] == nil {
				outcomes = append(outcomes, c)
			}
			of[c] = append(of[c], f.name)
		}
		slices.Sort(outcomes)
		for _, c := range outcomes {
			fmt.Fprintf(&b, "| %s | %s |\n", c, strings.Join(of[c], ", "))
		}
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

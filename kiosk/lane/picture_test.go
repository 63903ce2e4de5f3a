package lane

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ways are the events that led from one phase to another, as bits of kind.
type ways [phases][phases]uint16

// causes are the events in the words of the picture, by kind.
var causes = []string{
	"start", "time", "gate", "link lost", "gate refuses", "document", "chip read", "eligibility", "answer", "face", "disk", "officer", "help button", "lease, health",
}

func kind(e Event) uint {
	switch e.(type) {
	case Started:
		return 0
	case Tick:
		return 1
	case GateSeen:
		return 2
	case GateLost:
		return 3
	case GateRefused:
		return 4
	case DocumentPlaced, DocumentTaken:
		return 5
	case DocumentRead:
		return 6
	case Qualified:
		return 7
	case Answered:
		return 8
	case FaceCompared:
		return 9
	case Intended, Committed, StorageFailed:
		return 10
	case Decided, Renewed, Ordered:
		return 11
	case Pressed:
		return 12
	}
	return 13
}

const (
	dotFile = "../../docs/lane.dot"
	svgFile = "../../docs/lane.svg"
)

// picture compares docs/lane.dot with the transitions that the search has
// seen: all of them, and no others. -update draws it anew, and the SVG as well
// where Graphviz is installed.
func picture(t *testing.T, seen *ways) {
	t.Helper()
	got := draw(seen)
	if *update {
		if err := os.WriteFile(dotFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "dot", "-Tsvg", "-o", svgFile, dotFile).CombinedOutput(); err != nil {
			t.Logf("docs/lane.svg is not drawn: %v %s", err, out)
		}
		return
	}
	if want, err := os.ReadFile(dotFile); err != nil || string(want) != got {
		t.Errorf("docs/lane.dot shows other transitions than the search finds: run with -update (%v)", err)
	}
}

// anywhere are the phases that the gate's own emergencies lead to, from
// wherever the lane is: their edges would hide all others.
var anywhere = []Phase{Fallback, Fault, Evacuate, Hold, OutOfService}

func draw(seen *ways) string {
	colour := map[Phase]string{Idle: "#d8f0d8", DivertOut: "#fde9c8", DivertIn: "#fde9c8", Returning: "#fde9c8"}
	for _, p := range []Phase{DocRead, Eligible, TakeDoc, Enter, Sealing, Inside, Decide, WaitDB, Intend, Release, Clearing, CheckEmpty, Commit} {
		colour[p] = "#dbe8f7"
	}
	var b strings.Builder
	b.WriteString(`// Made by TestSearch -update: the transitions that the exhaustive search of
// the lane core has seen. Do not edit.
digraph lane {
	graph [fontname="sans-serif" fontsize=13 labelloc=t nodesep=0.35 ranksep=0.45 label="The lane's states. Every edge was seen by the exhaustive search."]
	node [fontname="sans-serif" fontsize=12 shape=box style="rounded,filled" fillcolor="#f6d5d5" color="#555555"]
	edge [fontname="sans-serif" fontsize=10 color="#555555"]
`)
	for p := range phases {
		var gates []string
		for _, g := range Permits(p) {
			gates = append(gates, g.String())
		}
		c, ok := colour[p]
		if !ok {
			c = "#f6d5d5"
		}
		fmt.Fprintf(&b, "\t%q [fillcolor=%q tooltip=%q]\n", p, c, "gate: "+strings.Join(gates, ", "))
	}
	for _, to := range anywhere {
		var from []string
		for p := range phases {
			if p != to && seen[p][to] != 0 {
				from = append(from, p.String())
			}
		}
		fmt.Fprintf(&b, "\t%q [shape=note style=filled fillcolor=\"#ffffff\" label=%q]\n\t%q -> %q [style=dashed]\n",
			"to "+to.String(), fmt.Sprintf("from %d states", len(from)), "to "+to.String(), to)
	}
	hidden := func(from, to Phase) bool {
		for _, a := range anywhere {
			if to == a {
				return true
			}
		}
		return false
	}
	for from := range phases {
		for to := range phases {
			if from == to || seen[from][to] == 0 {
				continue
			}
			var why []string
			for k, name := range causes {
				if seen[from][to]&(1<<k) != 0 {
					why = append(why, name)
				}
			}
			if len(why) > 5 {
				why = []string{"any event"} // what leads on is in the state already
			}
			if hidden(from, to) {
				fmt.Fprintf(&b, "\t// %v -> %v: %s\n", from, to, strings.Join(why, ", "))
				continue
			}
			fmt.Fprintf(&b, "\t%q -> %q [label=%q]\n", from, to, strings.Join(why, ",\n"))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

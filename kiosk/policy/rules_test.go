package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"passage/docs/docstest"
	"passage/kiosk/lane"
)

func cell(r lane.Reason) string {
	if r == lane.NONE {
		return "goes on"
	}
	return "divert " + r.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func period(p Period) string {
	f := func(t time.Time, open string) string {
		if t.IsZero() {
			return open
		}
		return t.Format(time.DateOnly)
	}
	return f(p.From, "always") + " to " + f(p.To, "open")
}

// render writes the rules' tables as Markdown.
func render() string {
	var b strings.Builder
	line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	table := func(title, text string, head ...string) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", title, text)
		line(head...)
		line(strings.Split(strings.Repeat("---,", len(head)-1)+"---", ",")...)
	}
	b.WriteString("# The rules, beside their articles\n\nWritten from the tables of `kiosk/policy` by `go test ./kiosk/policy -update`: what stands here is what the\nlane does. SBC is Regulation (EU) 2016/399, CSI the French Code de la sécurité intérieure. Articles are a\nreader's way into the law, not the law.\n")
	table("Classes", "The first that fits, from the top. What a document does not show is unknown, never assumed.", "class", "who", "article", "in the EES", "calculator", "entry", "exit")
	for _, r := range Classes {
		entry := cell(r.Entry)
		if r.Listed {
			entry = "goes on if on the entry list, else divert NAT"
		}
		line(r.Class.String(), r.Who, r.Article, yes(r.EES), yes(r.Calculator), entry, cell(r.Exit))
	}
	table("Entry list", "Nationalities whose citizens may enter through a gate.", "nationality", "from and to")
	for _, l := range Default(Entry).Listed {
		line(l.Nationality, period(l.Period))
	}
	table("Ages", "Completed years on the crossing point's local date. Who is younger is diverted; below 18 an officer confirms.", "direction", "from", "article", "from and to")
	for _, a := range Ages {
		line(string(a.Direction), fmt.Sprint(a.Least), a.Article, period(a.Period))
	}
	table("Mandatory checks", "Those of one order run beside each other. A release needs an answer of every one.", "order", "check", "for", "direction", "article", "keys")
	for _, r := range Mandatory {
		who, dir := "everybody", "both"
		if r.EES {
			who = "classes in the EES"
		}
		if r.Only != "" {
			dir = string(r.Only)
		}
		line(fmt.Sprint(r.Order), r.Check.String(), who, dir, r.Article, r.Keys)
	}
	table("Answers", "What an answer means, and what the lane does once the traveller is inside. Before that no answer moves a door.", "answer", "meaning", "effect")
	for _, a := range Answers {
		line(a.Answer.String(), a.Meaning, a.Effect)
	}
	table("Modes", "Of a crossing point, dated. `stamp_required` diverts the classes in the EES in every mode (Reg. (EU) 2025/1534 Art. 5(2)).", "mode", "meaning", "effect", "article")
	for _, m := range Modes {
		line(m.Mode, m.Meaning, m.Effect, m.Article)
	}
	table("Grounds of refusal", "A lane diverts; only an officer refuses, at the desk. Letters and wording are from memory: nobody has compared them with the form in Annex V yet, which must happen before a refusal is written with them.", "letter", "the person", "article")
	for _, g := range Grounds {
		line(g.Letter, g.Ground, g.Article)
	}
	return b.String()
}

// The page that a jurist reads is what the tables say.
func TestPageIsTheTables(t *testing.T) {
	docstest.Page(t, "../../docs/rules.md", render())
}

// The tables cover what there is, once.
func TestTablesAreWhole(t *testing.T) {
	seen := map[lane.TravellerClass]bool{}
	for _, r := range Classes {
		if seen[r.Class] {
			t.Errorf("%s is there twice", r.Class)
		}
		seen[r.Class] = true
		if r.Who == "" || r.Article == "" {
			t.Errorf("%s has no words", r.Class)
		}
		if r.Calculator && !r.EES {
			t.Errorf("%s has a calculator without a register", r.Class)
		}
	}
	if len(seen) != 11 {
		t.Errorf("%d classes", len(seen))
	}
	if d := Default(Entry).demands(lane.EU); d != lane.Demands(lane.CheckSIS, lane.CheckSLTD, lane.CheckFPR, lane.CheckLost) {
		t.Errorf("a citizen's checks are %b", d)
	}
	for i, g := range Grounds {
		if g.Letter != string(rune('A'+i)) || g.Ground == "" || g.Article == "" {
			t.Errorf("ground %d is %+v", i, g)
		}
	}
	for mode, want := range map[string]bool{"off": false, "transition": false, "grace": true, "on": true} {
		for _, c := range []struct {
			dir   Direction
			class lane.TravellerClass
		}{{Entry, lane.TCN_LISTED}, {Exit, lane.TCN_LISTED}, {Entry, lane.EU}, {Entry, lane.TCN_MICRO}} {
			p := Default(c.dir)
			p.ETIAS = mode
			if got := p.demands(c.class).Has(lane.CheckETIAS); got != (want && c.dir == Entry && c.class == lane.TCN_LISTED) {
				t.Errorf("etias_mode %s demands an authorisation of %v at %s: %v", mode, c.class, c.dir, got)
			}
		}
	}
	answered := map[lane.Answer]bool{}
	for _, a := range Answers {
		answered[a.Answer] = true
	}
	for a := lane.Clear; a <= lane.Unauthorised; a++ {
		if !answered[a] {
			t.Errorf("nobody says what %s means", a)
		}
	}
}

// A dated mode holds on its days and on no other.
func TestDatedModes(t *testing.T) {
	p := Default(Entry)
	d := func(s string) time.Time { v, _ := time.Parse(time.DateOnly, s); return v }
	p.Modes = []Mode{
		{Period{d("2026-07-01"), d("2026-09-28")}, "suspended", false, "suspension, 90 days"},
		{Period{d("2026-09-29"), d("2026-10-10")}, "full", true, "stamps beside"},
	}
	doc := Document{Code: "P", Size: TD3, Issuer: "USA", Nationality: "USA", Birth: d("1990-01-01")}
	for day, want := range map[string]lane.Reason{
		"2026-06-30": lane.NONE, "2026-07-01": lane.STAMP, "2026-09-28": lane.STAMP, "2026-09-29": lane.STAMP, "2026-10-10": lane.STAMP, "2026-10-11": lane.NONE,
	} {
		if got := p.Qualify(doc, reg, d(day)); got.Reason != want {
			t.Errorf("%s: %q, want %q", day, got.Reason, want)
		}
	}
	if p.Asks(doc, d("2026-07-01")) || !p.Asks(doc, d("2026-10-11")) {
		t.Error("the register is asked while it is suspended, or not while it is not")
	}
	doc.Nationality, doc.Issuer = "FRA", "FRA"
	if got := p.Qualify(doc, Flags{}, d("2026-07-01")); got.Reason != lane.NONE {
		t.Errorf("a citizen is diverted for the register's mode: %q", got.Reason)
	}
	// A day before the first row of the ages lets nobody in.
	if got := p.Qualify(doc, Flags{}, d("2020-01-01")); got.Reason != lane.AGE {
		t.Errorf("before the law: %q", got.Reason)
	}
}

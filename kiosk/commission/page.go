package commission

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed report.html
var reportPage string

// Page is the report as one page that needs nothing else: to be read, printed
// and kept. b is its JSON, signature what the lane signed of it.
func (r *Report) Page(b []byte, signature string) ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"day":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"word": func(x Result) string {
			return map[Result]string{"": "to do", Pass: "pass", Warn: "note", Fail: "FAIL", Skip: "left out"}[x]
		},
		"short":   func(s string) string { return s[:min(16, len(s))] },
		"picture": func(d Done) template.HTML { return template.HTML(picture(d.Trace)) }, // numbers and our own words alone
		"count": func(x Result) (n int) {
			for _, d := range r.Steps {
				if d.Result == x {
					n++
				}
			}
			return n
		},
	}).Parse(reportPage)
	if err != nil {
		return nil, fmt.Errorf("commission: page: %w", err)
	}
	h := sha256.Sum256(b)
	var out bytes.Buffer
	if err := t.Execute(&out, struct {
		*Report
		Hash, Signature string
	}{r, hex.EncodeToString(h[:]), signature}); err != nil {
		return nil, fmt.Errorf("commission: page: %w", err)
	}
	return out.Bytes(), nil
}

// Measures of a picture.
const (
	picWidth = 720.0
	picLeft  = 96.0
	leafTop  = 14.0
	leafHigh = 86.0
	rowHigh  = 11.0
)

// picture draws how far the leaves stood open and which sensors were active,
// over the time of a step.
func picture(trace []Sample) string {
	if len(trace) < 2 || !moves(trace) {
		return ""
	}
	end := float64(max(1, trace[len(trace)-1].MS))
	x := func(ms int64) float64 { return picLeft + (picWidth-picLeft-8)*float64(ms)/end }
	y := func(percent int) float64 { return leafTop + leafHigh - leafHigh*float64(percent)/100 }
	sensors := []string{"S0 before", "S1 curtain", "S2 zone A", "S3 zone B", "S4 curtain", "S5 beyond", "S6 luggage", "S7 tailgate"}
	rows := leafTop + leafHigh + 32
	height := rows + 18
	if heard(trace) {
		height += rowHigh * float64(len(sensors))
	} else {
		sensors = nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="leaves and sensors over time">`, picWidth, height)
	for _, p := range []int{0, 50, 100} {
		fmt.Fprintf(&b, `<line class="grid" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/><text class="axis" x="%.0f" y="%.1f" text-anchor="end">%d %%</text>`, picLeft, picWidth-8, y(p), y(p), picLeft-6, y(p)+3, p)
	}
	step := grid(end)
	for s := int64(0); s <= int64(end); s += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f"/><text class="axis" x="%.1f" y="%.0f" text-anchor="middle">%d s</text>`, x(s), x(s), leafTop, height-14, x(s), height-3, s/1000)
	}
	// A band for every state of the gate, with its name where there is room.
	for i := 0; i < len(trace); {
		j := i
		for j < len(trace) && trace[j].State == trace[i].State {
			j++
		}
		to := trace[min(j, len(trace)-1)].MS
		fmt.Fprintf(&b, `<rect class="state %s" x="%.1f" y="0" width="%.1f" height="11"/>`, strings.ToLower(trace[i].State), x(trace[i].MS), max(0.5, x(to)-x(trace[i].MS)))
		if x(to)-x(trace[i].MS) > 6.2*float64(len(trace[i].State)) {
			fmt.Fprintf(&b, `<text class="name" x="%.1f" y="8.5">%s</text>`, x(trace[i].MS)+3, trace[i].State)
		}
		i = j
	}
	for _, leaf := range []struct {
		class string
		of    func(Sample) int
	}{{"entry", func(s Sample) int { return s.Entry }}, {"exit", func(s Sample) int { return s.Exit }}} {
		fmt.Fprintf(&b, `<polyline class="%s" points="`, leaf.class)
		for _, s := range trace {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(s.MS), y(leaf.of(s)))
		}
		b.WriteString(`"/>`)
	}
	for k, name := range []string{"entry locked", "exit locked"} {
		bars(&b, trace, x, leafTop+leafHigh+9+float64(k)*rowHigh*0.9, name, []string{"entry", "exit"}[k], func(s Sample) bool { return s.Locks>>k&1 == 1 })
	}
	for k, name := range sensors {
		bars(&b, trace, x, rows+rowHigh*float64(k), name, "sensor", func(s Sample) bool { return s.Zones>>k&1 == 1 })
	}
	b.WriteString("</svg>")
	return b.String()
}

// bars draws when something was on.
func bars(b *strings.Builder, trace []Sample, x func(int64) float64, y float64, name, class string, on func(Sample) bool) {
	fmt.Fprintf(b, `<text class="axis" x="%.0f" y="%.1f" text-anchor="end">%s</text>`, picLeft-6, y+7, name)
	for i := 0; i < len(trace); {
		if !on(trace[i]) {
			i++
			continue
		}
		j := i
		for j < len(trace) && on(trace[j]) {
			j++
		}
		from, to := trace[i].MS, trace[min(j, len(trace)-1)].MS
		fmt.Fprintf(b, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="6.5"/>`, class, x(from), y, max(1, x(to)-x(from)))
		i = j
	}
}

// heard says whether any sensor was active.
func heard(trace []Sample) bool {
	for _, s := range trace {
		if s.Zones != 0 {
			return true
		}
	}
	return false
}

// moves says whether a trace shows anything.
func moves(trace []Sample) bool {
	for _, s := range trace {
		if s.Entry > 0 || s.Exit > 0 || s.Locks != trace[0].Locks {
			return true
		}
	}
	return false
}

// grid is a step of the time axis, in ms, that leaves room for its words.
func grid(end float64) int64 {
	for _, s := range []int64{1000, 2000, 5000, 10_000, 30_000} {
		if end/float64(s) <= 16 {
			return s
		}
	}
	return 60_000
}

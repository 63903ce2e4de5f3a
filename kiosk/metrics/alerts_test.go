package metrics

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	yaml "github.com/oasdiff/yaml3"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"passage/kiosk"
	"passage/kiosk/inlet"
	"passage/kiosk/lane"
)

// both are the figures of a lane and a site, well or as ill as they can be.
func both(t *testing.T, ill bool) []*dto.MetricFamily {
	t.Helper()
	v := kiosk.View{State: lane.Start(), Since: time.Now(), Unfit: map[lane.Health]string{}, Counts: map[string]int{"released": 7}, Registers: true}
	v.State.Gate.Link, v.Steps.P99 = true, time.Millisecond
	waits, ends, far := 0, 60*24*time.Hour, 0
	var open []kiosk.Case
	book := &inlet.Book{}
	if ill {
		v.State.Gate.Link, v.Registers, v.Steps.P99 = false, false, time.Second
		v.Alerts = []kiosk.Alert{{Priority: lane.Urgent}}
		v.Notices = []string{"the traveller's screen has been frozen for 9s"}
		waits, ends, far, open = 3, 24*time.Hour, 1, []kiosk.Case{{}}
		for _, h := range healths {
			v.Unfit[h.bit] = "ill"
		}
		for range 3 {
			book.Shed("pages", "too many connections")
		}
	}
	r := New()
	r.MustRegister(Lane{View: func() kiosk.View { return v }, Outbox: old{waits}, Cases: func(context.Context) ([]kiosk.Case, error) { return open, nil }},
		Site{func() (int, int, int) { return 2, far, far }}, Inlets{book}, Certificates{"register": Leaf(certificate(t, ends)), "console": Leaf("")})
	up := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "up"}, []string{"job"}) // Prometheus's own
	for _, job := range []string{"passage-kioskd", "passage-consoled"} {
		up.WithLabelValues(job).Set(truth(!ill))
	}
	r.MustRegister(up)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// old is an outbox whose oldest record has waited for a day.
type old struct{ n int }

func (o old) Waiting(context.Context) (int, time.Time, error) {
	return o.n, time.Now().Add(-24 * time.Hour), nil
}

// certificate writes one that ends after some time.
func certificate(t *testing.T, after time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(after)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lane.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var (
	selector = regexp.MustCompile(`\b((?:passage|process|go)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!=|=)"([^"]*)"`)
	// simple are the expressions that alerts are made of.
	simple = regexp.MustCompile(`^(?:rate\()?[a-z_]+(?:\{[^}]*\})?(?:\[5m\]\))?( - time\(\))? (==|>|<) ([0-9.]+)$`)
)

// selected are the values of the series that an expression's selector chooses.
func selected(t *testing.T, all []*dto.MetricFamily, expr []string) (values []float64) {
	t.Helper()
	for _, f := range all {
		if f.GetName() != expr[1] {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			fits := true
			for _, is := range matcher.FindAllStringSubmatch(expr[2], -1) {
				value, named := labels[is[1]]
				switch {
				case is[1] == "instance": // Prometheus adds it
				case is[2] == "=~" || !named:
					t.Errorf("%s: no series of %s has a label %s to be matched", expr[0], expr[1], is[1])
				case is[2] == "!=":
					fits = fits && value != is[3]
				default:
					fits = fits && value == is[3]
				}
			}
			if fits {
				values = append(values, m.GetGauge().GetValue()+m.GetCounter().GetValue())
			}
		}
	}
	return values
}

// Every alert is about a series that lane or site really have; it fires where
// something is wrong, and only there.
func TestAlerts(t *testing.T) {
	b, err := os.ReadFile("../../packaging/prometheus-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	well, ill := both(t, false), both(t, true)
	n := 0
	for _, r := range file.Groups[0].Rules {
		n++
		form, sel := simple.FindStringSubmatch(r.Expr), selector.FindStringSubmatch(r.Expr)
		if form == nil || sel == nil {
			t.Errorf("%s: this test cannot read %s", r.Alert, r.Expr)
			continue
		}
		limit, err := strconv.ParseFloat(form[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		fires := func(all []*dto.MetricFamily) (yes bool) {
			for _, v := range selected(t, all, sel) {
				if form[1] != "" {
					v -= float64(time.Now().Unix())
				}
				yes = yes || map[string]bool{"==": v == limit, ">": v > limit, "<": v < limit}[form[2]]
			}
			return yes
		}
		if !fires(ill) {
			t.Errorf("%s never fires: %s", r.Alert, r.Expr)
		}
		if fires(well) {
			t.Errorf("%s fires where all is well: %s", r.Alert, r.Expr)
		}
		if r.Annotations["summary"] == "" || r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" {
			t.Errorf("%s: nobody is told what it is: %v %v", r.Alert, r.Labels, r.Annotations)
		}
		if !regexp.MustCompile(`(?m)^\| [A-Za-z, ]*\b` + r.Alert + `\b`).Match(page) {
			t.Errorf("docs/operations.md does not say what to do about %s", r.Alert)
		}
	}
	if n < 10 {
		t.Errorf("only %d alerts", n)
	}
}

// Every panel of the dashboard shows series that lane or site really have, and
// every figure of ours is on a panel or in an alert.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../packaging/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	all, ids := both(t, true), map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %d, %s: its number is another's, or it shows nothing", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			list := selector.FindAllStringSubmatch(target.Expr, -1)
			if len(list) == 0 {
				t.Errorf("%s: nothing of ours: %s", p.Title, target.Expr)
			}
			for _, sel := range list {
				sel[2] = strings.ReplaceAll(sel[2], `instance=~"$lane"`, `instance="$lane"`)
				if len(selected(t, all, sel)) == 0 {
					t.Errorf("%s: there is no %s", p.Title, sel[0])
				}
			}
		}
	}
	alerts, err := os.ReadFile("../../packaging/prometheus-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if n := f.GetName(); strings.HasPrefix(n, "passage_") && !strings.Contains(string(b)+string(alerts), n) {
			t.Errorf("nobody looks at %s", n)
		}
	}
}

// Package metrics tells Prometheus how a lane and a site are doing. It names
// nobody: counts, times and states, with labels from fixed lists.
package metrics

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"passage/kiosk"
	"passage/kiosk/inlet"
	"passage/kiosk/lane"
	"passage/kiosk/pages"
)

// New returns a registry with the Go runtime's and the process's own figures.
func New() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Listen opens a loopback address for Serve.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("metrics: %q is no loopback address with a port", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return l, nil
}

// Serve serves a registry's figures at /metrics and Go's profiles at
// /debug/pprof/ until ctx ends. The address is a loopback one: whoever collects
// from elsewhere puts a proxy of their own before it.
func Serve(ctx context.Context, l net.Listener, r *prometheus.Registry, book *inlet.Book) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 5 * time.Second}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	if err := pages.Serve(ctx, s, l, pages.Door{Name: "metrics", Most: 16, Each: 16, Book: book}); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Outbox is how much waits for the register.
type Outbox interface {
	Waiting(ctx context.Context) (n int, oldest time.Time, err error)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("passage_"+name, help, labels, nil)
}

var (
	phase     = desc("lane_phase", "1 for the phase that the lane is in.", "phase")
	since     = desc("lane_phase_seconds", "Time since the lane entered its phase.")
	unfit     = desc("lane_unfit", "1 for what keeps the lane from taking a new traveller.", "what")
	linked    = desc("lane_gate_link", "1 while the gate answers.")
	occupied  = desc("lane_occupied", "1 while the gate reports somebody inside.")
	officers  = desc("lane_officers", "Officers whose lease holds.")
	registers = desc("lane_registers", "1 if the registers answered at the last look.")
	alerts    = desc("lane_alerts_open", "Alerts that nobody has acknowledged.", "priority")
	crossings = desc("lane_crossings_total", "Crossings since the start, by outcome.", "outcome")
	step      = desc("lane_step_seconds", "What the controller itself took for a step, lately.", "quantile")
	waiting   = desc("lane_outbox", "Records that the register has not acknowledged.")
	oldestAge = desc("lane_outbox_oldest_seconds", "Age of the oldest record that waits.")
	cases     = desc("lane_cases_open", "Cases that no officer has settled.")
	notices   = desc("lane_notices", "What the lane's officers are told, such as a frozen screen or old trust lists.")
	shed      = desc("shed_total", "What an inlet turned away since the start, by reason.", "inlet", "why")
	lanes     = desc("site_lanes", "Lanes of the site, by whether they are heard.", "heard")
	refused   = desc("site_journals_refused", "Lanes whose journal contradicts what the site has of it.")
	ends      = desc("certificate_end_seconds", "When a certificate ends, Unix time.", "of")
)

// healths are the labels of unfit.
var healths = []struct {
	bit  lane.Health
	name string
}{
	{lane.UnfitCamera, "camera"},
	{lane.UnfitMatcher, "matcher"},
	{lane.UnfitReader, "reader"},
	{lane.UnfitStorage, "storage"},
	{lane.UnfitTrust, "trust"},
	{lane.UnfitClock, "clock"},
	{lane.UnfitRegister, "register"},
	{lane.UnfitSensor, "sensor"},
	{lane.UnfitStopping, "stopping"},
	{lane.UnfitPower, "power"},
	{lane.UnfitTime, "time"},
}

// Lane collects from a lane's shell when it is asked.
type Lane struct {
	View   func() kiosk.View
	Cases  func(ctx context.Context) ([]kiosk.Case, error) // the open ones
	Outbox Outbox
}

// Describe sends nothing: which labels come depends on the lane.
func (l Lane) Describe(chan<- *prometheus.Desc) {}

// Collect reads one consistent view.
func (l Lane) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	v := l.View()
	gauge(phase, 1, v.State.Phase.String())
	gauge(since, time.Since(v.Since).Seconds())
	for _, h := range healths {
		gauge(unfit, truth(v.Unfit[h.bit] != ""), h.name)
	}
	gauge(linked, truth(v.State.Gate.Link))
	gauge(occupied, truth(v.State.Gate.Occupied))
	gauge(officers, float64(len(v.Officers)))
	gauge(registers, truth(v.Registers))
	open := map[string]int{}
	for _, a := range v.Alerts {
		if a.By == "" {
			open[a.Priority.String()]++
		}
	}
	for _, p := range []lane.Priority{lane.Notice, lane.Urgent} {
		gauge(alerts, float64(open[p.String()]), p.String())
	}
	for outcome, n := range v.Counts {
		out <- prometheus.MustNewConstMetric(crossings, prometheus.CounterValue, float64(n), outcome)
	}
	gauge(step, v.Steps.P50.Seconds(), "0.5")
	gauge(step, v.Steps.P99.Seconds(), "0.99")
	gauge(notices, float64(len(v.Notices)))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.Cases != nil {
		if open, err := l.Cases(ctx); err == nil {
			gauge(cases, float64(len(open)))
		}
	}
	if l.Outbox != nil {
		if n, oldest, err := l.Outbox.Waiting(ctx); err == nil {
			gauge(waiting, float64(n))
			age := 0.0
			if n > 0 {
				age = time.Since(oldest).Seconds()
			}
			gauge(oldestAge, age)
		}
	}
}

// Site collects from a site: how many lanes are heard, how many are not, and of
// how many the journal is refused.
type Site struct {
	Lanes func() (heard, silent, refused int)
}

// Describe sends nothing, as Lane's does.
func (s Site) Describe(chan<- *prometheus.Desc) {}

// Collect counts the lanes.
func (s Site) Collect(out chan<- prometheus.Metric) {
	heard, silent, contradicting := s.Lanes()
	out <- prometheus.MustNewConstMetric(lanes, prometheus.GaugeValue, float64(heard), "yes")
	out <- prometheus.MustNewConstMetric(lanes, prometheus.GaugeValue, float64(silent), "no")
	out <- prometheus.MustNewConstMetric(refused, prometheus.GaugeValue, float64(contradicting))
}

// Certificates collects when certificates end, by what they are for. They are read
// each time, as whoever uses them reads them. One that cannot be read has no figure.
type Certificates map[string]func() (*x509.Certificate, error)

// Leaf reads the first certificate of a PEM file.
func Leaf(file string) func() (*x509.Certificate, error) {
	return func() (*x509.Certificate, error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, fmt.Errorf("metrics: %s has no certificate", file)
		}
		return x509.ParseCertificate(block.Bytes)
	}
}

// Describe sends nothing, as Lane's does.
func (Certificates) Describe(chan<- *prometheus.Desc) {}

// Collect reads the files.
func (c Certificates) Collect(out chan<- prometheus.Metric) {
	for of, read := range c {
		if leaf, err := read(); err == nil {
			out <- prometheus.MustNewConstMetric(ends, prometheus.GaugeValue, float64(leaf.NotAfter.Unix()), of)
		}
	}
}

// Inlets collects what a program turned away.
type Inlets struct{ Book *inlet.Book }

// Describe sends nothing, as Lane's does.
func (Inlets) Describe(chan<- *prometheus.Desc) {}

// Collect tells what was turned away.
func (i Inlets) Collect(out chan<- prometheus.Metric) {
	for l, n := range i.Book.Counts() {
		out <- prometheus.MustNewConstMetric(shed, prometheus.CounterValue, float64(n), l.Inlet, l.Why)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

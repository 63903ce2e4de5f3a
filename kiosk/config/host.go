package config

import (
	"passage/kiosk/host"
)

// Host is what a lane, or a console, wants of its computer.
type Host struct {
	Metrics string    // loopback host:port for Prometheus; empty for none
	Clock   bool      // close the lane while the kernel's clock is not synchronised
	UPS     *host.UPS // nil without one
}

type rawHost struct{ Metrics, Clock, UPS string }

func (p *problems) host(r rawHost) Host {
	h := Host{Metrics: r.Metrics, Clock: p.one("host.clock", r.Clock, "free", "free", "synchronised") == "synchronised"}
	if r.Metrics != "" && !loopback(r.Metrics) {
		p.add("host.metrics", "%q is no loopback address with a port, such as 127.0.0.1:9464: whoever collects from elsewhere puts a proxy before it", r.Metrics)
	}
	if r.UPS != "" {
		u, err := host.ParseUPS(r.UPS)
		if err != nil {
			p.add("host.ups", "%v", err)
		}
		h.UPS = &u
	}
	return h
}

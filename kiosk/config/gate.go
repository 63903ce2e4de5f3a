package config

import (
	"slices"

	"passage/drivers/gate/regmap"
)

// gateMap reads the register map of a foreign gate, and refuses one with which
// a lane cannot work unattended.
func (p *problems) gateMap(c *Config, path, frees string) {
	switch {
	case path == "" && frees != "":
		p.add("gate.fallback_frees", "means nothing without gate.map: an ABC-LANE gate says it itself")
		return
	case path == "":
		return
	case frees != "" && !slices.Contains(regmap.EgressNames, frees):
		p.add("gate.fallback_frees", "%q is none of entry, exit", frees)
		return
	}
	m, err := regmap.Load(path)
	if err != nil {
		p.add("gate.map", "%v", err)
		return
	}
	switch {
	case frees != "" && m.Egress.Fallback != nil:
		p.add("gate.fallback_frees", "is read from the gate itself: leave it out")
	case frees == "exit" && !c.Kiosk.ExitOnFailure:
		p.add("gate.fallback_frees", "a gate that frees its exit on failure opens the border when its cable is cut; lane.exit_on_failure accepts it")
	}
	if err := regmap.Refused(m.Judge(c.Gate.Baud, frees)); err != nil {
		p.add("gate.map", "%s: %v", path, err)
	}
	c.Gate.Map, c.Gate.FallbackFrees = m, frees
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The demonstration's lanes. Most travellers of the catalogue enter: of three
// lanes one is for exit. The first three are whole: a vision worker each, and
// pcscd where there is one. Those beyond are there to be many and share one
// matcher; in so large a hall all cameras rest while nobody stands before them,
// and the screens light no faces for attack detection.
const (
	wholeLanes = 3
	mostLanes  = 90
	resting    = 2 * time.Second // between two pictures of an empty lane
)

// place is one lane of the demonstration and its addresses on loopback.
type place struct {
	name, direction                   string
	page, camera, site, vpcd, metrics string
	// How passports reach it: pcscd or vpcd, the table of kioskd's
	// configuration, and the other end.
	reader, conf string
	dial         func() (net.Conn, error)
	// shared is the socket of the matcher that this lane shares; empty: its own.
	shared string
}

// lineUp lays out n lanes on ports from port on.
func lineUp(n, port int) []place {
	list := make([]place, n)
	for i := range list {
		p := &list[i]
		p.direction = "entry"
		if i%wholeLanes == wholeLanes-1 {
			p.direction = "exit"
		}
		p.name = p.direction
		switch {
		case i >= wholeLanes:
			p.name = fmt.Sprintf("%s%d", p.direction, i+1)
		case i == 1:
			p.name = "entry2"
		}
		at := func(from int) string {
			if i >= wholeLanes { // beyond what the others have
				from = 1000 + 10*from
			}
			return fmt.Sprintf("127.0.0.1:%d", port+from+i)
		}
		p.page, p.camera, p.site, p.vpcd, p.metrics = at(0), at(10), at(20), at(40), at(60)
		p.reader = "vpcd"
		p.conf = fmt.Sprintf("type = \"vpcd\"\naddress = %q", p.vpcd)
		p.dial = func() (net.Conn, error) { return net.DialTimeout("tcp", p.vpcd, 3*time.Second) }
	}
	return list
}

// atOnce is how many travellers are in the lanes at the same time. Lanes beyond
// the first three take half of two processors without any: rather than device
// answers that come late, travellers come one after the other.
func atOnce(lanes int) int {
	if lanes <= wholeLanes {
		return lanes
	}
	return max(1, runtime.NumCPU()/2)
}

// crowdedHall says what is not as it is with three lanes, or nothing.
func (x *demo) crowdedHall() string {
	if len(x.places) <= wholeLanes {
		return ""
	}
	return fmt.Sprintf("lanes %d to %d have the built-in reader and share one visiond match; all cameras rest at a picture every two seconds while nobody is there, and no screen lights faces, which needs every picture on time; on %d processors %d travellers are under way at once at most",
		wholeLanes+1, len(x.places), runtime.NumCPU(), cap(x.turns))
}

// share starts the matcher that lanes beyond the first three share.
func (x *demo) share(ctx context.Context, group *errgroup.Group) error {
	if len(x.places) <= wholeLanes {
		return nil
	}
	socket, err := filepath.Abs(filepath.Join(x.Dir, "match.sock"))
	if err != nil {
		return err
	}
	for i := wholeLanes; i < len(x.places); i++ {
		x.places[i].shared = socket
	}
	log, err := os.Create(filepath.Join(x.Dir, "match.log"))
	if err != nil {
		return err
	}
	group.Go(func() error {
		defer log.Close()
		// Below the lanes' own priority, as kioskd starts one of its own.
		c := exec.CommandContext(ctx, "nice", "-n", "5", "bin/visiond", "match", "--pack", ".cache/packs/default", "--listen", socket)
		c.Stdout, c.Stderr = log, log
		err := c.Run()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("demo: the shared visiond ended: %w; see %s", cmp.Or(err, errUnasked), log.Name())
	})
	return nil
}

var errUnasked = errors.New("unasked")

// areas are where the lanes stand on the console's plan.
func areas(places []place) []area {
	rows := []area{{name: "Arrivals"}, {name: "Departures"}}
	for _, p := range places {
		i := 0
		if p.direction == "exit" {
			i = 1
		}
		rows[i].lanes = append(rows[i].lanes, p.name)
	}
	return slices.DeleteFunc(rows, func(a area) bool { return len(a.lanes) == 0 })
}

// matcherOf says whose matcher a lane has.
func (p *place) matcherOf() string {
	if p.shared != "" {
		return "shared"
	}
	return "own"
}

// peers are the other lanes' addresses as a configuration has them.
func (x *demo) peers(of *place) string {
	var list []string
	for i := range x.places {
		if p := &x.places[i]; p != of {
			list = append(list, fmt.Sprintf("\"https://%s\"", p.site))
		}
	}
	return strings.Join(list, ", ")
}

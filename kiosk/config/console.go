package config

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/officer"
)

// Console is a valid configuration of a site's console.
type Console struct {
	Name      string
	Location  *time.Location // figures are by its clock
	Dir       string         // keys and stores
	Listen    string         // host:port of the officers' pages
	URL       *url.URL       // their address
	Cert, Key string         // PEM files of the pages; empty: the site's own authority
	Fleet     string         // host:port that lanes speak to
	Hosts     []string
	Enrol     string // host:port where lane computers enrol
	Ratio     int
	Training  bool          // the lanes are simulated: the pages say so
	Idle      time.Duration // after which a page without an officer's hand locks
	RosterKey ed25519.PublicKey
	Plan      Plan
	Metrics   string // loopback host:port for Prometheus; empty for none
	Bridges   []Bridge
	// A cluster's servers instead of the embedded one, and how many hold a journal.
	NATS     []string
	Replicas int
	// For leaf nodes: where a country's console listens for its sites' servers, and
	// the country that a site joins with the credentials in a folder.
	Leafs, Country, CountryDir string
	// Rules across lanes: for how long a document that passed may not pass the
	// same way again, and how often it may be tried in how long; 0 is off.
	PassingBack time.Duration
	Attempts    int
	AttemptsFor time.Duration
	Directory   *Directory // nil: a passkey alone signs in
}

// Bridge is a place where the lanes' alarms go, too.
type Bridge struct {
	Kind     string // matrix or webhook
	URL      string
	Room     string // of Matrix
	Token    string // path of a file with the access token; empty for none
	Text     string // template; empty for the usual text
	Priority []string
}

// Plan is the floor plan: where each lane stands. A lane that is not on it is
// shown after the others.
type Plan struct {
	Areas []Area `json:"areas"`
}

// Area is a row of lanes on the plan.
type Area struct {
	Name  string   `json:"name"`
	Lanes []string `json:"lanes"`
}

type rawConsole struct {
	Site struct {
		Name, Dir string
		Timezone  string
		Ratio     int
		Training  bool
		Idle      duration
		RosterKey string `toml:"roster_key"`
	}
	Pages struct{ Listen, URL, Cert, Key string }
	Fleet struct {
		Listen, Enrol  string
		Hosts          []string
		NATS           []string `toml:"nats"`
		Replicas       int
		Leafs, Country string
		CountryDir     string `toml:"country_dir"`
	}
	Rules struct {
		PassingBack duration `toml:"passing_back"`
		Attempts    int
		AttemptsFor duration `toml:"attempts_for"`
	}
	Host      struct{ Metrics string }
	Directory *rawDirectory
	Area      []struct {
		Name  string
		Lanes []string
	}
	Bridge []struct {
		Kind, URL, Room, Token, Text string
		Priority                     []string
	}
}

// LoadConsole reads and validates the console's file at path.
func LoadConsole(path string) (Console, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Console{}, fmt.Errorf("config: %w", err)
	}
	c, err := ParseConsole(b)
	if err != nil {
		return Console{}, fmt.Errorf("config: %s:\n%w", path, err)
	}
	return c, nil
}

// defaultRatio is how many gates one officer may watch where nothing is said
// (domain §10).
const defaultRatio = 6

// ParseConsole validates a console's configuration. Its error names every
// problem.
func ParseConsole(b []byte) (Console, error) {
	var r rawConsole
	if err := decode(b, &r); err != nil {
		return Console{}, err
	}
	var p problems
	c := Console{
		Name: p.need("site.name", r.Site.Name), Dir: p.need("site.dir", r.Site.Dir), Ratio: r.Site.Ratio, Training: r.Site.Training,
		Listen: p.listen("pages.listen", r.Pages.Listen), Cert: r.Pages.Cert, Key: r.Pages.Key,
		Fleet: p.listen("fleet.listen", r.Fleet.Listen), Enrol: p.listen("fleet.enrol", r.Fleet.Enrol), Hosts: r.Fleet.Hosts,
	}
	c.Location = p.place("site.timezone", r.Site.Timezone)
	c.Idle = p.within("site.idle", r.Site.Idle, 10*time.Minute, time.Minute, time.Hour)
	if c.Ratio == 0 {
		c.Ratio = defaultRatio
	}
	if c.Ratio < 1 || c.Ratio > officer.MostLanes {
		p.add("site.ratio", "%d is not within 1 to %d gates an officer", c.Ratio, officer.MostLanes)
	}
	var err error
	if c.URL, err = url.Parse(r.Pages.URL); err != nil || c.URL.Host == "" {
		p.add("pages.url", "%q is not the address of the pages, such as https://console.example", r.Pages.URL)
	} else if c.URL.Scheme != "https" && (c.URL.Scheme != "http" || c.URL.Hostname() != "localhost") {
		p.add("pages.url", "passkeys need https; http is for localhost only")
	}
	if (c.Cert == "") != (c.Key == "") {
		p.add("pages.cert", "needs pages.key, and the other way round")
	}
	if len(c.Hosts) == 0 {
		p.add("fleet.hosts", "is missing: the names or addresses by which lanes reach this machine")
	}
	p.fleet(&c, r)
	p.rules(&c, r)
	c.Directory = p.directory(r.Directory)
	if c.RosterKey, err = officer.ParseKey(r.Site.RosterKey); err != nil {
		p.add("site.roster_key", "%v; passage roster key makes one", err)
	}
	c.Metrics = p.host(rawHost{Metrics: r.Host.Metrics}).Metrics
	seen := map[string]bool{}
	for i, a := range r.Area {
		for _, id := range a.Lanes {
			if fleet.Valid(id) != nil || seen[id] {
				p.add(fmt.Sprintf("area[%d].lanes", i), "%q: a lane is called by 1 to 32 of A-Z, a-z, 0-9, '_' and '-', and stands in one place", id)
			}
			seen[id] = true
		}
		c.Plan.Areas = append(c.Plan.Areas, Area{Name: a.Name, Lanes: a.Lanes})
	}
	for i, b := range r.Bridge {
		key := fmt.Sprintf("bridge[%d]", i)
		p.one(key+".kind", b.Kind, "", "matrix", "webhook")
		u, err := url.Parse(b.URL)
		if local := err == nil && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1"); err != nil || u.Host == "" || u.Scheme != "https" && !local {
			p.add(key+".url", "is no https address: whoever listens would learn which lane is in trouble")
		}
		if b.Kind == "matrix" && (!strings.HasPrefix(b.Room, "!") || b.Token == "") {
			p.add(key+".room", "Matrix needs the room's id, such as !abc:example.org, and a file with the access token")
		}
		for _, v := range b.Priority {
			p.one(key+".priority", v, "", "notice", "urgent", "escalated")
		}
		c.Bridges = append(c.Bridges, Bridge(b))
	}
	return c, errors.Join(p.list...)
}

// rules checks the rules across lanes.
func (p *problems) rules(c *Console, r rawConsole) {
	c.PassingBack, c.Attempts, c.AttemptsFor = time.Duration(r.Rules.PassingBack), r.Rules.Attempts, time.Duration(r.Rules.AttemptsFor)
	if c.PassingBack < 0 || c.PassingBack > 7*24*time.Hour {
		p.add("rules.passing_back", "%v is not within 0 (off) to 168h", c.PassingBack)
	}
	if c.Attempts < 0 || c.Attempts == 1 || c.Attempts > 20 || (c.Attempts > 0) != (c.AttemptsFor > 0) || c.AttemptsFor > 24*time.Hour {
		p.add("rules.attempts", "%d in %v: 2 to 20 within at most 24h, or neither", c.Attempts, c.AttemptsFor)
	}
}

// mostReplicas is what JetStream takes.
const mostReplicas = 5

// fleet checks where the site's messages live.
func (p *problems) fleet(c *Console, r rawConsole) {
	f := r.Fleet
	c.NATS, c.Replicas, c.Leafs, c.Country, c.CountryDir = f.NATS, f.Replicas, f.Leafs, f.Country, f.CountryDir
	for _, a := range append([]string{f.Country}, f.NATS...) {
		if u, err := url.Parse(a); a != "" && (err != nil || u.Scheme != "tls" || u.Port() == "") {
			p.add("fleet", "%q is no address of a server: tls://host:port is", a)
		}
	}
	if c.Replicas < 0 || c.Replicas > mostReplicas || c.Replicas > 1 && len(c.NATS) == 0 {
		p.add("fleet.replicas", "%d: 1 to %d, and more than one needs fleet.nats", c.Replicas, mostReplicas)
	}
	if f.Leafs != "" {
		c.Leafs = p.listen("fleet.leafs", f.Leafs)
	}
	if (f.Country == "") != (f.CountryDir == "") {
		p.add("fleet.country", "needs fleet.country_dir, and the other way round; consoled join at the country's console makes that folder")
	}
	if len(c.NATS) > 0 && (c.Leafs != "" || c.Country != "") {
		p.add("fleet.nats", "with a cluster, leaf nodes are in the servers' own configuration")
	}
}

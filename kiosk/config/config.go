// Package config reads a lane's configuration: one TOML file, raw strings in,
// validated values out. Unknown keys are refused, every problem is reported at
// once with its line, and no other package sees the raw form.
package config

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"passage/drivers/gate/regmap"
	"passage/kiosk"
	"passage/kiosk/fleet"
	"passage/kiosk/lane"
	"passage/kiosk/officer"
	"passage/kiosk/policy"
)

// maxSize bounds the file; ours has a few kilobytes.
const maxSize = 1 << 20

// Config is a valid configuration.
type Config struct {
	Kiosk    kiosk.Config
	Reader   Reader
	MRZ      Serial
	Gate     Gate
	Camera   string // URL
	Vision   Vision
	Register Register
	Trust    Trust
	Listen   string // host:port of the pages
	Intercom bool   // officers of the site may speak with the traveller
	Store    Store
	Officers []Officer
	Site     Site
	Fleet    Fleet
	Host     Host
}

// Reader says which card reader is used.
type Reader struct {
	Type    string // "pcsc" or "vpcd"
	Name    string // pcsc: a part of the reader's name
	Address string // vpcd: host:port to listen on
}

// Serial is a serial line.
type Serial struct {
	TTY     string
	Baud    int
	Framing string
	Pages   string // folder of page pictures instead of a line; only for the MRZ
}

// Gate is the gate's line and the parameters it is to have.
type Gate struct {
	TTY     string
	Baud    int
	Format  string // "8E1" or "8N1"
	Address int
	// Parameters of ABC-LANE 1.0 §6 that the lane's timers rest on.
	OpenMax, CloseMax, EntryHold, ExitHold time.Duration
	// Map is the register map of a gate that speaks something else; nil for
	// ABC-LANE. FallbackFrees is the leaf ("entry", "exit") that such a gate frees
	// when it is left alone, where its map cannot say.
	Map           *regmap.Map
	FallbackFrees string
}

// Vision is where the worker program and its models are.
type Vision struct {
	Program   string
	Packs     string
	Pack      string
	FMR       float64 // false match rate that the threshold is chosen for
	Threshold float64 // cosine similarity; 0 takes the pack's own for FMR
	Attempts  int     // 1 to 3
	Frames    int     // averaged in an attempt, 1 to 8
	// Quality is the least of each component and of "unified", 0 to 100, by
	// name; those that are not here have the default policy's.
	Quality map[string]int
	PAD     string // URL of an attack detection engine; empty for none
	Matcher string // socket of a matcher that serves several lanes of this machine; empty: the lane starts its own
	Light   bool   // the traveller's screen lights the face for attack detection
}

// Register is the EES-style register.
type Register struct {
	URL, CA, Cert, Key string
	ExtractKey         string // path of the register's public Ed25519 key; empty: no copies
	Files              bool   // keep a copy of individual files
	// Watch lists that a copy in the folder Lists may answer for, by the
	// contract's names; empty for none.
	Lists      string
	LocalLists []string
}

// Trust is the trust store.
type Trust struct {
	Dir        string   // signed versions, or a folder of lists and certificates
	Persons    []string // paths of the public keys of who may import and activate; empty: the folder counts as it is
	TwoPersons bool     // who activates is not who imported
}

// Store is the lane's database.
type Store struct {
	Path string
	Key  string // path of a 32-byte key file
}

// Officer may sign in on the lane's own page.
type Officer struct {
	ID, Name, Role string
	PIN            string // pbkdf2-sha256$iterations$salt$hash
}

// Site is the neighbourhood of the lane.
type Site struct {
	Listen string // host:port for neighbours, mutual TLS; empty for none
	Peers  []string
}

// Fleet is the lane's way to its site's console; a zero one is none.
type Fleet struct {
	Dir       string // what passage lane enrol left
	Renewed   string // where the lane keeps the certificate and key that it renewed: beside its store
	RosterKey ed25519.PublicKey
}

// raw is the file as it is written.
type raw struct {
	Lane struct {
		ID, Site, Direction, Timezone string
		Directions                    []string
		ExitOnFailure                 bool `toml:"exit_on_failure"`
	}
	Reader struct{ Type, Name, Address string }
	MRZ    struct {
		TTY, Framing, Pages string
		Baud                int
	} `toml:"mrz"`
	Gate struct {
		TTY, Format string
		Baud        int
		Address     int
		OpenMax     duration `toml:"open_max"`
		CloseMax    duration `toml:"close_max"`
		EntryHold   duration `toml:"entry_hold"`
		ExitHold    duration `toml:"exit_hold"`
		Map         string
		Frees       string `toml:"fallback_frees"`
	}
	Camera struct{ URL string }
	Vision struct {
		Program, Packs, Pack string
		FMR                  float64 `toml:"fmr"`
		Threshold            float64
		Attempts, Frames     int
		Quality              map[string]int
		PAD                  string `toml:"pad"`
		Matcher              string
		Light                bool
	}
	Register struct {
		URL, CA, Cert, Key string
		ExtractKey         string `toml:"extract_key"`
		Lists              string
	}
	Trust struct {
		Dir        string
		Persons    []string
		TwoPersons bool `toml:"two_persons"`
	}
	Web struct {
		Listen   string
		Intercom bool
	}
	Host  rawHost
	Store struct{ Path, Key string }
	Site  struct {
		Listen string
		Peers  []string
		Key    string
	}
	Fleet struct {
		Dir       string
		RosterKey string `toml:"roster_key"`
	}
	Policy struct {
		Production    *bool
		TD1           []string `toml:"td1_issuers"`
		PKD           []string `toml:"pkd_members"`
		EES           string   `toml:"ees_mode"`
		EESOffline    string   `toml:"ees_offline"`
		LocalLists    []string `toml:"local_lists"`
		TCNEntry      string   `toml:"tcn_entry_authorisation"`
		ETIAS         string   `toml:"etias_mode"`
		StampRequired bool     `toml:"stamp_required"`
		Mode          []rawMode
	}
	Timers  map[string]duration
	Officer []struct{ ID, Name, Role, PIN string }
}

// duration reads "3s"; a bare number has no unit and is refused.
type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"3s\" or \"250ms\"", b)
	}
	*d = duration(v)
	return nil
}

// Load reads and validates the file at path.
func Load(path string) (Config, error) {
	b, err := read(path)
	if err != nil {
		return Config{}, err
	}
	c, err := Parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("config: %s:\n%w", path, err)
	}
	return c, nil
}

// Parse validates a configuration. Its error names every problem.
func Parse(b []byte) (Config, error) {
	var r raw
	if err := decode(b, &r); err != nil {
		return Config{}, err
	}
	return r.valid()
}

// decode reads TOML and refuses what it does not know, with the place.
func decode(b []byte, r any) error {
	if len(b) > maxSize {
		return fmt.Errorf("larger than %d bytes", maxSize)
	}
	err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(r)
	var strict *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		return fmt.Errorf("unknown keys:\n%s", strict.String())
	case errors.As(err, &syntax):
		row, col := syntax.Position()
		return fmt.Errorf("line %d, column %d:\n%s", row, col, syntax.String())
	}
	return err
}

// problems collects what is wrong, by key.
type problems struct{ list []error }

func (p *problems) add(key, format string, args ...any) {
	p.list = append(p.list, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
}

func (p *problems) need(key, value string) string {
	if strings.TrimSpace(value) == "" {
		p.add(key, "is missing")
	}
	return value
}

func (p *problems) one(key, value, fallback string, allowed ...string) string {
	if value == "" {
		value = fallback
	}
	if !slices.Contains(allowed, value) {
		p.add(key, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
	return value
}

// place is a time zone; UTC where nothing is said.
func (p *problems) place(key, name string) *time.Location {
	of, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		p.add(key, "%q is not known; use a name such as \"Europe/Paris\"", name)
	}
	return of
}

func (p *problems) listen(key, value string) string {
	if _, _, err := net.SplitHostPort(value); err != nil {
		p.add(key, "%q is not host:port", value)
	}
	return value
}

// loopback says whether a program that listens there hears its own machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

func (p *problems) within(key string, d duration, fallback, least, most time.Duration) time.Duration {
	v := time.Duration(d)
	if v == 0 {
		v = fallback
	}
	if v < least || v > most {
		p.add(key, "%v is not within %v to %v", v, least, most)
	}
	return v
}

func (r raw) valid() (Config, error) {
	var p problems
	var c Config

	c.Kiosk.Lane = p.need("lane.id", r.Lane.ID)
	c.Kiosk.Site = r.Lane.Site
	c.Kiosk.ExitOnFailure = r.Lane.ExitOnFailure
	dir := r.directions(&p, &c)
	c.Kiosk.Location = p.place("lane.timezone", r.Lane.Timezone)

	c.Reader = Reader{Type: p.one("reader.type", r.Reader.Type, "pcsc", "pcsc", "vpcd"), Name: r.Reader.Name, Address: r.Reader.Address}
	if c.Reader.Type == "vpcd" {
		p.listen("reader.address", r.Reader.Address)
	}

	if r.MRZ.Pages == "" {
		p.need("mrz.tty", r.MRZ.TTY)
	} else if r.MRZ.TTY != "" {
		p.add("mrz.pages", "zones come from mrz.tty or from pictures of pages, not from both")
	}
	c.MRZ = Serial{Pages: r.MRZ.Pages, TTY: r.MRZ.TTY, Baud: r.MRZ.Baud, Framing: p.one("mrz.framing", r.MRZ.Framing, "stx", "stx", "lines", "cr")}
	if c.MRZ.Baud == 0 {
		c.MRZ.Baud = 9600
	}

	second := time.Second
	c.Gate = Gate{
		TTY: p.need("gate.tty", r.Gate.TTY), Baud: r.Gate.Baud, Address: r.Gate.Address,
		Format:   p.one("gate.format", r.Gate.Format, "8E1", "8E1", "8N1"),
		OpenMax:  p.within("gate.open_max", r.Gate.OpenMax, 3*second, second/2, 10*second),
		CloseMax: p.within("gate.close_max", r.Gate.CloseMax, 3*second, second/2, 10*second),
		EntryHold: p.within("gate.entry_hold", r.Gate.EntryHold, 8*second, second/2,
			30*second),
		ExitHold: p.within("gate.exit_hold", r.Gate.ExitHold, 8*second, second/2, 30*second),
	}
	if c.Gate.Baud == 0 {
		c.Gate.Baud = 19200
	}
	rates := []int{19200, 38400, 115200}
	if r.Gate.Map != "" {
		rates = []int{9600, 19200, 38400, 57600, 115200}
	}
	if !slices.Contains(rates, c.Gate.Baud) {
		p.add("gate.baud", "%d is none of %v", c.Gate.Baud, rates)
	}
	if c.Gate.Address == 0 {
		c.Gate.Address = 1
	}
	if c.Gate.Address < 1 || c.Gate.Address > 247 {
		p.add("gate.address", "%d is not within 1 to 247", c.Gate.Address)
	}

	p.gateMap(&c, r.Gate.Map, r.Gate.Frees)

	c.Camera = p.need("camera.url", r.Camera.URL)
	if u, err := url.Parse(c.Camera); err != nil || u.Scheme == "" {
		p.add("camera.url", "%q is not a URL", c.Camera)
	}
	c.Vision = Vision{Program: p.need("vision.program", r.Vision.Program), Packs: p.need("vision.packs", r.Vision.Packs), Pack: r.Vision.Pack, Threshold: r.Vision.Threshold, PAD: r.Vision.PAD, Matcher: r.Vision.Matcher, FMR: r.Vision.FMR, Attempts: r.Vision.Attempts, Frames: r.Vision.Frames, Quality: r.Vision.Quality, Light: r.Vision.Light}
	if c.Vision.PAD != "" {
		if u, err := url.Parse(c.Vision.PAD); err != nil || u.Scheme != "http" && u.Scheme != "https" {
			p.add("vision.pad", "%q is not an http or https URL", c.Vision.PAD)
		}
	}
	if c.Vision.Pack == "" {
		c.Vision.Pack = "default"
	}
	if t := c.Vision.Threshold; t < 0 || t >= 1 {
		p.add("vision.threshold", "%g is not within 0 to 1", t)
	}
	v := &c.Vision
	if v.FMR == 0 {
		v.FMR = 0.001
	}
	if !(v.FMR > 0 && v.FMR <= 0.01) {
		p.add("vision.fmr", "%g is not above 0 and at most 0.01; a border asks for 0.001 or less", v.FMR)
	}
	if v.Attempts == 0 {
		v.Attempts = 3
	}
	if v.Attempts < 1 || v.Attempts > 3 {
		p.add("vision.attempts", "%d is not within 1 to 3: every attempt is another chance for an impostor", v.Attempts)
	}
	if v.Frames == 0 {
		v.Frames = 3
	}
	if v.Frames < 1 || v.Frames > 8 {
		p.add("vision.frames", "%d is not within 1 to 8", v.Frames)
	}
	for name, least := range v.Quality {
		if least < 0 || least > 100 {
			p.add("vision.quality."+name, "%d is not within 0 to 100", least)
		}
	}

	c.Register = Register{
		URL: p.need("register.url", r.Register.URL), CA: p.need("register.ca", r.Register.CA),
		Cert: p.need("register.cert", r.Register.Cert), Key: p.need("register.key", r.Register.Key), ExtractKey: r.Register.ExtractKey,
	}
	if u, err := url.Parse(c.Register.URL); c.Register.URL != "" && (err != nil || u.Scheme != "https") {
		p.add("register.url", "%q is not an https URL", c.Register.URL)
	}
	c.Trust = Trust{p.need("trust.dir", r.Trust.Dir), r.Trust.Persons, r.Trust.TwoPersons}
	if c.Trust.TwoPersons && len(c.Trust.Persons) < 2 {
		p.add("trust.two_persons", "needs the keys of at least two persons in trust.persons")
	}
	// PINs and pictures would cross a network in clear, and who signs in here
	// counts as being on site.
	c.Intercom = r.Web.Intercom
	if c.Listen = r.Web.Listen; !loopback(c.Listen) {
		p.add("web.listen", "%q is no loopback address with a port, such as 127.0.0.1:8080: the lane's pages are for who stands at the lane, the site's console is for everybody else", c.Listen)
	}
	c.Store = Store{Path: p.need("store.path", r.Store.Path), Key: p.need("store.key", r.Store.Key)}

	c.Site = Site{Listen: r.Site.Listen, Peers: r.Site.Peers}
	if c.Site.Listen != "" {
		p.listen("site.listen", c.Site.Listen)
	}
	for i, peer := range c.Site.Peers {
		if u, err := url.Parse(peer); err != nil || u.Scheme != "https" {
			p.add(fmt.Sprintf("site.peers[%d]", i), "%q is not an https URL", peer)
		}
	}
	if len(c.Site.Peers) > 0 || c.Site.Listen != "" {
		if len(r.Site.Key) < 32 {
			p.add("site.key", "needs at least 32 characters, shared by the lanes of the site")
		}
	}
	c.Kiosk.SiteKey = []byte(r.Site.Key)
	if c.Fleet.Dir = r.Fleet.Dir; c.Fleet.Dir != "" {
		c.Fleet.Renewed = c.Store.Path + ".site.pem"
		if err := fleet.Valid(c.Kiosk.Lane); err != nil {
			p.add("lane.id", "%q: a lane of a fleet is called by 1 to 32 of A-Z, a-z, 0-9, '_' and '-'", c.Kiosk.Lane)
		}
		var err error
		if c.Fleet.RosterKey, err = officer.ParseKey(r.Fleet.RosterKey); err != nil {
			p.add("fleet.roster_key", "%v; passage roster key makes one", err)
		}
	} else if r.Fleet.RosterKey != "" {
		p.add("fleet.roster_key", "means nothing without fleet.dir")
	}

	c.Host = p.host(r.Host)

	pol := policy.Default(dir)
	if r.Policy.Production != nil {
		pol.Production = *r.Policy.Production
	}
	if r.Policy.TD1 != nil {
		pol.TD1 = r.Policy.TD1
	}
	pol.PKD = r.Policy.PKD
	pol.EES = p.one("policy.ees_mode", r.Policy.EES, "full", "off", "alphanumeric", "full", "suspended")
	pol.TCNEntry = p.one("policy.tcn_entry_authorisation", r.Policy.TCNEntry, "officer_confirm", "officer_confirm", "auto_supervised")
	pol.ETIAS = p.one("policy.etias_mode", r.Policy.ETIAS, "off", "off", "transition", "grace", "on")
	pol.StampRequired = r.Policy.StampRequired
	for i, m := range r.Policy.Mode {
		name := fmt.Sprintf("policy.mode[%d]", i)
		day := func(what, v string) time.Time {
			if v == "" {
				return time.Time{}
			}
			t, err := time.Parse(time.DateOnly, v)
			if err != nil {
				p.add(name+"."+what, "%q is no date such as \"2026-07-01\"", v)
			}
			return t
		}
		mode := policy.Mode{
			Period: policy.Period{From: day("from", m.From), To: day("to", m.To)}, StampRequired: m.StampRequired, Basis: m.Basis,
			EES: p.one(name+".ees_mode", m.EES, "", "off", "alphanumeric", "full", "suspended"),
		}
		if !mode.Period.From.IsZero() && !mode.Period.To.IsZero() && mode.Period.To.Before(mode.Period.From) {
			p.add(name, "ends before it begins")
		}
		if m.Basis == "" {
			p.add(name+".basis", "is needed: the decision that the mode rests on")
		}
		pol.Modes = append(pol.Modes, mode)
	}
	c.Register.Files = p.one("policy.ees_offline", r.Policy.EESOffline, "divert", "divert", "extract") == "extract"
	c.Register.Lists, c.Register.LocalLists = r.Register.Lists, r.Policy.LocalLists
	for i, l := range r.Policy.LocalLists {
		p.one(fmt.Sprintf("policy.local_lists[%d]", i), l, "", "SIS", "SLTD", "FPR", "LOST")
	}
	copies := c.Register.Files || len(r.Policy.LocalLists) > 0
	switch {
	case copies && r.Register.ExtractKey == "":
		p.add("register.extract_key", "is needed with policy.ees_offline = \"extract\" and policy.local_lists: the file of the register's public Ed25519 key, PEM")
	case !copies && r.Register.ExtractKey != "":
		p.add("register.extract_key", "means nothing without policy.ees_offline = \"extract\" or policy.local_lists")
	}
	switch {
	case len(r.Policy.LocalLists) > 0 && r.Register.Lists == "":
		p.add("register.lists", "is needed with policy.local_lists: a folder for the copy")
	case len(r.Policy.LocalLists) == 0 && r.Register.Lists != "":
		p.add("register.lists", "means nothing without policy.local_lists")
	}
	c.Kiosk.Policy = pol

	c.Kiosk.Rules = r.rules(&p, c.Gate)

	roles := []string{"guard", "shift_lead", "supervisor", "technician"}
	seen := map[string]bool{}
	for i, o := range r.Officer {
		key := fmt.Sprintf("officer[%d]", i)
		p.need(key+".id", o.ID)
		if seen[o.ID] {
			p.add(key+".id", "%q is used twice", o.ID)
		}
		seen[o.ID] = true
		if !strings.HasPrefix(o.PIN, "pbkdf2-sha256$") {
			p.add(key+".pin", "is not a PIN hash; make one with passage pin")
		}
		c.Officers = append(c.Officers, Officer{ID: o.ID, Name: o.Name, Role: p.one(key+".role", o.Role, "guard", roles...), PIN: o.PIN})
	}
	return c, errors.Join(p.list...)
}

// directions are one, or both: then an officer may change it, and the first is
// where the lane begins.
func (r raw) directions(p *problems, c *Config) policy.Direction {
	list := r.Lane.Directions
	switch {
	case r.Lane.Direction != "" && list != nil:
		p.add("lane.directions", "is said instead of lane.direction, not beside it")
	case list == nil:
		list = []string{r.Lane.Direction}
	case len(list) == 0 || len(list) > 2 || len(list) == 2 && list[0] == list[1]:
		p.add("lane.directions", "%q: one or both of \"entry\" and \"exit\", the one to begin with first", list)
		return ""
	}
	for _, d := range list {
		p.one("lane.direction", d, "", "entry", "exit")
	}
	c.Kiosk.BothWays = len(list) == 2
	return policy.Direction(list[0])
}

// rules takes the lane's default times, the door budget of this gate, and the
// times that the file changes.
func (r raw) rules(p *problems, g Gate) lane.Rules {
	rules := lane.DefaultRules()
	rules.Door = lane.Budget(g.OpenMax, max(g.EntryHold, g.ExitHold), g.CloseMax)
	rules.DoorSlow = lane.Budget(g.OpenMax, lane.LongHold(max(g.EntryHold, g.ExitHold)), g.CloseMax)
	fields := map[string]*time.Duration{
		"doc_read": &rules.DocRead, "qualify": &rules.Qualify, "take_doc_prompt": &rules.TakeDocPrompt, "take_doc": &rules.TakeDoc,
		"inside": &rules.Inside, "decide": &rules.Decide, "wait_db": &rules.WaitDB, "review_alarm": &rules.ReviewAlarm,
		"review": &rules.Review, "intend": &rules.Intend, "check_empty": &rules.CheckEmpty, "commit": &rules.Commit,
		"divert_out": &rules.DivertOut, "multi": &rules.Multi, "luggage_alarm": &rules.LuggageAlarm, "hold_alarm": &rules.HoldAlarm,
		"trapped": &rules.Trapped,
	}
	for name, d := range r.Timers {
		f, ok := fields[name]
		if !ok {
			p.add("timers."+name, "is not a timer of the lane")
			continue
		}
		// Longer than the table is never safer for the person inside.
		if v := time.Duration(d); v <= 0 || (name == "trapped" && v > *f) {
			p.add("timers."+name, "%v is out of range", v)
			continue
		}
		*f = time.Duration(d)
	}
	if err := rules.Validate(); err != nil {
		p.list = append(p.list, err)
	}
	return rules
}

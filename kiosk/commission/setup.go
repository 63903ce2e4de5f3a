package commission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"passage/drivers/gate"
	"passage/drivers/gate/regmap"
	"passage/drivers/pcsc"
	"passage/durable"
	"passage/keys"
	"passage/kiosk/config"
	"passage/kiosk/fleet"
)

// Draft is a configuration in the making: the tables of lane.toml, as far as
// they are known.
type Draft map[string]any

// ReadDraft reads an answers file: tables of lane.toml, and [commission] for
// what is not part of a configuration.
func ReadDraft(b []byte) (Draft, error) {
	d := Draft{}
	if err := toml.NewDecoder(bytes.NewReader(b)).Decode(&d); err != nil {
		return nil, fmt.Errorf("commission: answers: %w", err)
	}
	return d, nil
}

// Auto is the answer that leaves a question to what is found.
const Auto = "auto"

func (d Draft) table(key string) (map[string]any, string) {
	name, leaf, _ := strings.Cut(key, ".")
	t, ok := d[name].(map[string]any)
	if !ok {
		t = map[string]any{}
		d[name] = t
	}
	return t, leaf
}

// Get is what the draft says to a key such as "gate.tty"; "" for nothing yet.
func (d Draft) Get(key string) string {
	name, leaf, _ := strings.Cut(key, ".")
	t, _ := d[name].(map[string]any)
	v, ok := t[leaf]
	if !ok || v == Auto {
		return ""
	}
	return fmt.Sprint(v)
}

func (d Draft) set(key string, v any) {
	t, leaf := d.table(key)
	t[leaf] = v
}

// list is a list of texts.
func (d Draft) list(key string) (out []string) {
	name, leaf, _ := strings.Cut(key, ".")
	t, _ := d[name].(map[string]any)
	v, _ := t[leaf].([]any)
	for _, x := range v {
		out = append(out, fmt.Sprint(x))
	}
	return out
}

// TOML is the configuration as a file.
func (d Draft) TOML() ([]byte, error) {
	conf := Draft{}
	for name, t := range d {
		if m, ok := t.(map[string]any); name != "commission" && (!ok || len(m) > 0) {
			conf[name] = t
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by passage commission on %s. examples/lane.toml explains every option.\n\n", time.Now().UTC().Format(time.DateOnly))
	e := toml.NewEncoder(&b)
	e.SetIndentTables(false)
	if err := e.Encode(map[string]any(conf)); err != nil {
		return nil, fmt.Errorf("commission: %w", err)
	}
	return b.Bytes(), nil
}

// Asker answers questions: somebody at a terminal, or nobody. choices may be
// empty; fallback is the answer of one who only agrees, "" for none.
type Asker interface {
	Ask(ctx context.Context, key, question string, choices []string, fallback string) (string, error)
	Say(format string, args ...any)
}

// Nobody answers with what is found, and fails where that is not one thing.
type Nobody struct {
	Tell func(format string, args ...any)
}

// Ask takes the fallback.
func (n Nobody) Ask(_ context.Context, key, question string, choices []string, fallback string) (string, error) {
	if fallback == "" {
		return "", fmt.Errorf("commission: %s is not answered: %s %v", key, question, choices)
	}
	return fallback, nil
}

// Say tells.
func (n Nobody) Say(format string, args ...any) { n.Tell(format, args...) }

// Finder finds devices.
type Finder struct {
	Ports   func() []string // serial devices by names that stay
	Readers func() ([]string, error)
	Cameras func() []string
	Maps    []string // register maps to try
}

// Machine finds what is connected to this machine. maps is a folder of register
// maps, "" for none.
func Machine(maps string) Finder {
	glob := func(patterns ...string) (list []string) {
		for _, p := range patterns {
			if got, err := filepath.Glob(p); err == nil { // the patterns are ours
				list = append(list, got...)
			}
		}
		return list
	}
	f := Finder{
		Ports: func() []string { return glob("/dev/serial/by-id/*") }, Readers: pcsc.List,
		Cameras: func() []string {
			var list []string
			for _, p := range glob("/dev/v4l/by-id/*-index0") {
				list = append(list, "v4l2://"+p)
			}
			return list
		},
	}
	if maps != "" {
		f.Maps = glob(filepath.Join(maps, "*.toml"))
	}
	return f
}

// Setup asks for what the draft lacks, with what is found as the answer. It
// enrols the lane where a console and a code are given, and makes the store's
// key where there is none.
func Setup(ctx context.Context, d Draft, ask Asker, find Finder) error {
	q := func(key, question, fallback string, choices ...string) error {
		if d.Get(key) != "" {
			return nil
		}
		v, err := ask.Ask(ctx, key, question, choices, fallback)
		if err == nil {
			d.set(key, v)
		}
		return err
	}
	zone := "UTC"
	if b, err := os.ReadFile("/etc/timezone"); err == nil {
		zone = strings.TrimSpace(string(b))
	}
	for _, x := range []struct {
		key, question, fallback string
		choices                 []string
	}{
		{"lane.id", "What is the lane called?", "", nil},
		{"lane.site", "Which crossing point is it at?", "", nil},
		{"lane.direction", "Do travellers enter or leave the country here?", "", []string{"entry", "exit"}},
		{"lane.timezone", "Which time zone counts the days of stay?", zone, nil},
	} {
		if err := q(x.key, x.question, x.fallback, x.choices...); err != nil {
			return err
		}
	}
	ports := find.Ports()
	if given := d.list("commission.ports"); given != nil {
		ports = given
	}
	if err := gateQuestions(ctx, d, ask, find, ports, q); err != nil {
		return err
	}
	if d.Get("mrz.pages") == "" {
		ports = slices.DeleteFunc(slices.Clone(ports), func(p string) bool { return p == d.Get("gate.tty") })
		if err := q("mrz.tty", "Which serial device is the MRZ reader?", only(ports), ports...); err != nil {
			return err
		}
	}
	if t := d.Get("reader.type"); t == "" || t == "pcsc" {
		names, err := find.Readers()
		if err != nil {
			ask.Say("PC/SC: %v: systemctl start pcscd.socket", err)
		}
		if err := q("reader.name", "Which PC/SC reader reads the chips?", only(names), names...); err != nil {
			return err
		}
	}
	cameras := find.Cameras()
	for _, x := range []struct {
		key, question, fallback string
		choices                 []string
	}{
		{"camera.url", "Where is the camera? (v4l2:///dev/…, rtsp://…, http://…)", only(cameras), cameras},
		{"vision.program", "Where is visiond?", present("/usr/bin/visiond"), nil},
		{"vision.packs", "Where are the model packs?", present("/usr/share/passage/packs"), nil},
		{"register.url", "Where is the register? (https://…)", "", nil},
		{"register.ca", "Where is the register's authority (PEM)?", present("/etc/passage/ca.pem"), nil},
		{"register.cert", "Where is the lane's certificate for the register (PEM)?", present("/etc/passage/lane.pem"), nil},
		{"register.key", "And its key?", present("/etc/passage/lane.key"), nil},
		{"trust.dir", "Where is the trust store?", present("/var/lib/passage/trust"), nil},
		{"web.listen", "Where are the lane's pages served?", "127.0.0.1:8080", nil},
		{"store.path", "Where is the lane's store?", "/var/lib/passage/lane.db", nil},
		{"store.key", "Where is the key of its store? It is made if it is not there.", "/etc/passage/lane.key32", nil},
	} {
		if err := q(x.key, x.question, x.fallback, x.choices...); err != nil {
			return err
		}
	}
	return finish(ctx, d, ask)
}

// only is the one thing that was found, "" for none or several.
func only(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return ""
}

func present(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// gateQuestions finds the gate among the ports, if the draft does not name it.
func gateQuestions(ctx context.Context, d Draft, ask Asker, find Finder, ports []string, q func(key, question, fallback string, choices ...string) error) error {
	if d.Get("gate.tty") != "" {
		return nil
	}
	ask.Say("looking for the gate on %d serial devices", len(ports))
	g, err := FindGate(ctx, ports, find.Maps)
	if err != nil {
		ask.Say("%v", err)
		return q("gate.tty", "Which serial device is the gate?", "", ports...)
	}
	ask.Say("gate: %s at %s, %d %s", g.Name, g.TTY, g.Baud, g.Format)
	d.set("gate.tty", g.TTY)
	d.set("gate.baud", g.Baud)
	d.set("gate.format", g.Format)
	if g.Map != "" {
		d.set("gate.map", g.Map)
		if g.Asks {
			return q("gate.fallback_frees", "This gate cannot say which leaf it frees when it is left alone. Which? (The test will try it.)", "", "entry", "exit")
		}
	}
	return nil
}

// Gate is a gate that was found.
type Gate struct {
	TTY, Format, Map, Name string
	Baud                   int
	Asks                   bool // the map has no register for the leaf that is freed
}

// ErrNoGate says that no gate was found.
var ErrNoGate = errors.New("no gate answers")

// FindGate tries every port at every rate: ABC-LANE first, then each map. It
// asks who is there and writes nothing; a port on which nobody answers takes
// five seconds.
func FindGate(ctx context.Context, ports, maps []string) (Gate, error) {
	var trouble []error
	var known []*regmap.Map
	var paths []string
	for _, path := range maps {
		m, err := regmap.Load(path)
		if err != nil {
			trouble = append(trouble, err)
			continue
		}
		known, paths = append(known, m), append(paths, path)
	}
	for _, tty := range ports {
		for _, line := range []struct {
			baud   int
			format string
		}{{19200, "8E1"}, {19200, "8N1"}, {115200, "8E1"}, {115200, "8N1"}, {38400, "8E1"}, {38400, "8N1"}, {9600, "8E1"}, {9600, "8N1"}, {57600, "8N1"}} {
			if ctx.Err() != nil {
				return Gate{}, ctx.Err()
			}
			g, err := whoIs(tty, line.baud, line.format, known, paths)
			if err == nil {
				return g, nil
			}
			if !errors.Is(err, gate.ErrLink) {
				trouble = append(trouble, err)
				break
			}
		}
	}
	return Gate{}, errors.Join(append([]error{fmt.Errorf("commission: %w on %v", ErrNoGate, ports)}, trouble...)...)
}

// whoIs asks one line at one rate. Its error is a gate.ErrLink where nobody
// answers.
func whoIs(tty string, baud int, format string, maps []*regmap.Map, paths []string) (Gate, error) {
	port, err := gate.OpenPort(tty, baud, format)
	if err != nil {
		return Gate{}, err
	}
	defer port.Close()
	g := Gate{TTY: tty, Baud: baud, Format: format}
	p, native := gate.Probe(port, gate.Config{Address: 1, Baud: baud})
	if g.Name = p.Name; native == nil {
		return g, nil
	}
	if errors.Is(native, gate.ErrLink) {
		return Gate{}, native
	}
	for i, m := range maps {
		if g.Name, _, err = gate.ReadMap(port, gate.Config{Address: 1, Baud: baud, Map: m}); err == nil {
			g.Map, g.Asks = paths[i], m.Egress.Fallback == nil
			return g, nil
		}
	}
	return Gate{}, fmt.Errorf("%s at %d: somebody answers who is no ABC-LANE gate and fits none of %d register maps: %w", tty, baud, len(maps), native)
}

// finish does what makes something: the key of the store, and the enrolment.
func finish(ctx context.Context, d Draft, ask Asker) error {
	if key := d.Get("store.key"); !strings.Contains(key, ":") {
		if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
			if err := keys.New(key); err != nil {
				return err
			}
			ask.Say("made the store's key %s: keep a copy elsewhere", key)
		}
	}
	if _, officers := d["officer"]; !officers && d.Get("fleet.dir") == "" && d.Get("commission.code") == "" {
		ask.Say("nobody may sign in yet: enrol the lane at its site, or add an [[officer]] (passage pin)")
	}
	code := d.Get("commission.code")
	if code == "" {
		return nil
	}
	if d.Get("fleet.dir") == "" {
		d.set("fleet.dir", "/etc/passage/fleet")
	}
	lane, _, err := fleet.Enrol(ctx, strings.TrimSuffix(d.Get("commission.console"), "/"), code, d.Get("fleet.dir"))
	if err != nil {
		return err
	}
	if lane != d.Get("lane.id") {
		return fmt.Errorf("commission: the code is lane %s's, and this is lane %s: ask the site for another code", lane, d.Get("lane.id"))
	}
	ask.Say("enrolled as lane %s", lane)
	return nil
}

// Check validates a draft as kioskd does.
func Check(d Draft) (config.Config, []byte, error) {
	b, err := d.TOML()
	if err != nil {
		return config.Config{}, nil, err
	}
	c, err := config.Parse(b)
	if err != nil {
		return c, b, fmt.Errorf("commission: the answers make no configuration:\n%w", err)
	}
	return c, b, nil
}

// ErrThere says that a configuration exists that may not be replaced.
var ErrThere = errors.New("exists already: --replace keeps it as a backup and writes the new one")

// WriteConfig writes a configuration whole or not at all, for its owner, and as
// root for whom its folder is for (durable.Hand). It never overwrites one unless
// replace; then backup is where the old one is.
func WriteConfig(path string, b []byte, replace bool) (backup string, err error) {
	err = durable.Create(path, b, 0o600)
	if errors.Is(err, fs.ErrExist) && replace {
		backup = fmt.Sprintf("%s.%s.bak", path, time.Now().UTC().Format("20060102T150405.000"))
		if err = os.Link(path, backup); err == nil {
			err = durable.Replace(path, b, 0o600)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("commission: %s %w", path, ErrThere)
	}
	if err != nil {
		return "", fmt.Errorf("commission: write %s: %w", path, err)
	}
	return backup, nil
}

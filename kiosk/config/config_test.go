package config

import (
	"strings"
	"testing"
	"time"
)

// good is a whole file; the tests change one thing each.
const good = `
[lane]
id = "E1"
site = "Testport"
direction = "entry"
timezone = "Europe/Paris"

[reader]
type = "vpcd"
address = "127.0.0.1:35963"

[mrz]
tty = "/dev/ttyS0"

[gate]
tty = "/dev/ttyS1"
entry_hold = "6s"

[camera]
url = "http://127.0.0.1:8090/stream"

[vision]
program = "bin/visiond"
packs = ".cache/packs"

[register]
url = "https://127.0.0.1:8443"
ca = "ca.pem"
cert = "lane.pem"
key = "lane.key"

[trust]
dir = "trust"

[web]
listen = "127.0.0.1:8080"

[store]
path = "lane.db"
key = "lane.key32"

[[officer]]
id = "anna"
role = "supervisor"
pin = "pbkdf2-sha256$1$aa$bb"
`

func TestParse(t *testing.T) {
	c, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if c.Gate.Baud != 19200 || c.Gate.EntryHold != 6*time.Second || c.Officers[0].Role != "supervisor" {
		t.Errorf("gate %+v, officers %+v", c.Gate, c.Officers)
	}
	// 2 × 3 s + 8 s (the longer hold) + 2 × 3 s + 1 s
	if c.Kiosk.Rules.Door != 21*time.Second {
		t.Errorf("door budget %v", c.Kiosk.Rules.Door)
	}
	// The same with the hold doubled.
	if c.Kiosk.Rules.DoorSlow != 29*time.Second {
		t.Errorf("door budget with more time %v", c.Kiosk.Rules.DoorSlow)
	}
	if c.Kiosk.BothWays || c.Kiosk.Policy.Direction != "entry" {
		t.Errorf("direction %s, both %v", c.Kiosk.Policy.Direction, c.Kiosk.BothWays)
	}
	both, err := Parse([]byte(strings.Replace(good, `direction = "entry"`, `directions = ["exit", "entry"]`, 1)))
	if err != nil || !both.Kiosk.BothWays || both.Kiosk.Policy.Direction != "exit" {
		t.Errorf("both directions: %s, %v, %v", both.Kiosk.Policy.Direction, both.Kiosk.BothWays, err)
	}
	if c.Kiosk.Policy.Production != true || c.Kiosk.Policy.TCNEntry != "officer_confirm" {
		t.Errorf("policy is not the cautious one: %+v", c.Kiosk.Policy)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", `id = "E1"`, "id = \"E1\"\ncolour = \"red\"", "colour"},
		{"syntax", `[lane]`, `[lane`, "line 2"},
		{"no direction", `direction = "entry"`, "", "lane.direction"},
		{"direction", `"entry"`, `"sideways"`, "sideways"},
		{"a direction twice", `direction = "entry"`, `directions = ["entry", "entry"]`, "lane.directions"},
		{"no directions", `direction = "entry"`, `directions = []`, "lane.directions"},
		{"another direction", `direction = "entry"`, `directions = ["entry", "up"]`, "lane.direction"},
		{"direction and directions", `direction = "entry"`, "direction = \"entry\"\ndirections = [\"entry\"]", "lane.directions"},
		{"time zone", `Europe/Paris`, `Europe/Atlantis`, "lane.timezone"},
		{"bare number", `entry_hold = "6s"`, `entry_hold = "6"`, "not a duration"},
		{"hold too long", `entry_hold = "6s"`, `entry_hold = "31s"`, "gate.entry_hold"},
		{"reader", `type = "vpcd"`, `type = "magic"`, "reader.type"},
		{"http register", `https://127.0.0.1:8443`, `http://127.0.0.1:8443`, "https"},
		{"listen", `listen = "127.0.0.1:8080"`, `listen = "8080"`, "web.listen"},
		{"pages for everybody", `listen = "127.0.0.1:8080"`, `listen = "0.0.0.0:8080"`, "web.listen"},
		{"pages on a network", `listen = "127.0.0.1:8080"`, `listen = "192.0.2.20:8080"`, "web.listen"},
		{"plain PIN", `pbkdf2-sha256$1$aa$bb`, `1234`, "officer[0].pin"},
		{"trapped longer", `[trust]`, "[timers]\ntrapped = \"200s\"\n[trust]", "timers.trapped"},
		{"timer nobody knows", `[trust]`, "[timers]\nnap = \"2s\"\n[trust]", "timers.nap"},
		{"prompt after end", `[trust]`, "[timers]\ntake_doc = \"10s\"\n[trust]", "take_doc_prompt"},
		{"extract", `[trust]`, "[policy]\nees_offline = \"extract\"\n[trust]", "register.extract_key"},
		{"lists without folder", `[trust]`, "[policy]\nlocal_lists = [\"SIS\"]\n[trust]", "register.lists"},
		{"mode without basis", `[trust]`, "[[policy.mode]]\nees_mode = \"off\"\n[trust]", "policy.mode[0].basis"},
		{"mode's date", `[trust]`, "[[policy.mode]]\nees_mode = \"off\"\nbasis = \"x\"\nfrom = \"1.7.2026\"\n[trust]", "policy.mode[0].from"},
		{"mode's end", `[trust]`, "[[policy.mode]]\nees_mode = \"off\"\nbasis = \"x\"\nfrom = \"2026-07-01\"\nto = \"2026-06-01\"\n[trust]", "ends before"},
		{"mode", `[trust]`, "[[policy.mode]]\nees_mode = \"half\"\nbasis = \"x\"\n[trust]", "policy.mode[0].ees_mode"},
		{"an unknown list", `[trust]`, "[policy]\nlocal_lists = [\"sis\"]\n[trust]", "policy.local_lists[0]"},
		{"loose faces", `program = "bin/visiond"`, "program = \"v\"\nfmr = 0.05", "vision.fmr"},
		{"many attempts", `program = "bin/visiond"`, "program = \"v\"\nattempts = 4", "vision.attempts"},
		{"no frames", `program = "bin/visiond"`, "program = \"v\"\nframes = -1", "vision.frames"},
		{"quality", `program = "bin/visiond"`, "program = \"v\"\nquality = { yaw = 101 }", "vision.quality.yaw"},
		{"neighbours without key", `[trust]`, "[site]\npeers = [\"https://127.0.0.1:1\"]\n[trust]", "site.key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("the good file has no %q", c.old)
			}
			_, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestParseReportsEverything(t *testing.T) {
	bad := strings.NewReplacer(`"entry"`, `"up"`, `https://127.0.0.1:8443`, `ftp://x`).Replace(good)
	_, err := Parse([]byte(bad))
	for _, want := range []string{"lane.direction", "register.url"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err == nil && (c.Kiosk.Rules.Validate() != nil || c.Kiosk.Lane == "" || c.Store.Path == "") {
			t.Errorf("accepted a configuration without what a lane needs: %+v", c)
		}
	})
}

// A foreign gate's map is part of the configuration, and so is what it lacks.
func TestGateMap(t *testing.T) {
	for _, c := range []struct{ name, gate, want string }{
		{"whole", `map = "../../examples/gates/counters.toml"`, ""},
		{"nobody knows which leaf it frees", `map = "../../examples/gates/status-word.toml"`, "leaf freed on failure"},
		{"the entry", "map = \"../../examples/gates/status-word.toml\"\nfallback_frees = \"entry\"", ""},
		{"the exit", "map = \"../../examples/gates/status-word.toml\"\nfallback_frees = \"exit\"", "exit_on_failure"},
		{"no such leaf", "map = \"../../examples/gates/status-word.toml\"\nfallback_frees = \"both\"", "none of entry, exit"},
		{"the gate says it itself", "map = \"../../examples/gates/counters.toml\"\nfallback_frees = \"entry\"", "leave it out"},
		{"no map", `fallback_frees = "entry"`, "without gate.map"},
		{"no such file", `map = "nowhere.toml"`, "nowhere.toml"},
		{"too slow a line", "map = \"../../examples/gates/counters.toml\"\nbaud = 9600", "poll"},
		{"a rate of ours", `baud = 9600`, "none of"},
	} {
		got, err := Parse([]byte(strings.Replace(good, "entry_hold = \"6s\"", "entry_hold = \"6s\"\n"+c.gate, 1)))
		switch {
		case c.want == "" && (err != nil || got.Gate.Map == nil):
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

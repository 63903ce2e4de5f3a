package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"passage/drivers/gate/regmap"
	"passage/eesclient"
	"passage/hwsim/lanesim"
)

// pin is every simulated officer's.
const pin = "4711"

// laneConf is the part of a kioskd configuration that simulated devices fill.
// reader is the body of its table, matcher the socket of one that several lanes
// share, if they do.
func laneConf(d *lanesim.Devices, direction, reader, matcher, trust string) string {
	return fmt.Sprintf(`[lane]
id = %q
site = "Simulation"
direction = %q
timezone = "UTC"
[reader]
%s
[mrz]
tty = %q
[gate]
tty = %q
entry_hold = "6s"
exit_hold = "6s"
[camera]
url = "http://%s/stream"
[vision]
program = "bin/visiond"
packs = ".cache/packs"
pad = "http://%s/pad"
matcher = %q
light = true
[trust]
dir = %q
`, d.Name, direction, reader, d.MRZPath(), d.GatePath(), d.Camera, d.Camera, matcher, trust)
}

// withMap adds to a lane's configuration the register map that its gate speaks by.
// The simulated gate frees its entry when it is left alone; where the map cannot
// say so, the configuration does.
func withMap(conf, path string, m *regmap.Map) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	lines := fmt.Sprintf("[gate]\nmap = %q\n", path)
	if m.Egress.Fallback == nil {
		lines += "fallback_frees = \"entry\"\n"
	}
	return strings.Replace(conf, "[gate]\n", lines, 1), nil
}

// registerConf is how a lane reaches a simulated register.
func registerConf(addr string, f eesclient.Files) string {
	return fmt.Sprintf(`[register]
url = "https://%s"
ca = %q
cert = %q
key = %q
`, addr, f.CA, f.Cert, f.Key)
}

// deskConf is a lane's pages, its store at base.db with a key that is made
// where there is none, and two officers.
func deskConf(listen, base, hash string) (string, error) {
	key := base + ".key32"
	if _, err := os.Stat(key); errors.Is(err, os.ErrNotExist) {
		b := make([]byte, 32)
		rand.Read(b)
		if err := os.WriteFile(key, b, 0o600); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf(`[web]
listen = %q
[store]
path = %q
key = %q
[[officer]]
id = "anna"
name = "Anna Amt"
role = "guard"
pin = %q
[[officer]]
id = "bert"
name = "Bert Bund"
role = "supervisor"
pin = %q
`, listen, base+".db", key, hash, hash), nil
}

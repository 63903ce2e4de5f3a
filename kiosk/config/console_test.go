package config

import (
	"os"
	"strings"
	"testing"
)

func TestBridges(t *testing.T) {
	example, err := os.ReadFile("../../examples/console.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, bridge, wrong string }{
		{"a room", "kind = \"matrix\"\nurl = \"https://matrix.example\"\nroom = \"!a:matrix.example\"\ntoken = \"token\"\npriority = [\"urgent\"]", ""},
		{"a hook on this machine", "kind = \"webhook\"\nurl = \"http://127.0.0.1:8080/alarm\"", ""},
		{"a hook in clear", "kind = \"webhook\"\nurl = \"http://hook.example/alarm\"", "bridge[0].url"},
		{"a room by its alias", "kind = \"matrix\"\nurl = \"https://matrix.example\"\nroom = \"#a:matrix.example\"\ntoken = \"token\"", "bridge[0].room"},
		{"no such kind", "kind = \"pigeon\"\nurl = \"https://loft.example\"", "bridge[0].kind"},
		{"no such priority", "kind = \"webhook\"\nurl = \"https://hook.example\"\npriority = [\"loud\"]", "bridge[0].priority"},
	} {
		conf, err := ParseConsole([]byte(string(example) + "\n[[bridge]]\n" + c.bridge + "\n"))
		if c.wrong == "" && (err != nil || len(conf.Bridges) != 1) || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
}

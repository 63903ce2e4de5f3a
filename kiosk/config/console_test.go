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

func TestDirectory(t *testing.T) {
	example, err := os.ReadFile("../../examples/console.toml")
	if err != nil {
		t.Fatal(err)
	}
	const good = "issuer = \"https://login.example/realms/border\"\nclient = \"passage\"\n"
	const roles = "[directory.roles]\n\"CN=Border Guards,OU=x\" = \"guard\"\nleads = \"shift_lead\"\n"
	for _, c := range []struct{ name, directory, wrong string }{
		{"a whole one", good + "secret = \"s\"\nscopes = [\"groups\"]\ngroups = \"realm_access.roles\"\nhosts = [\"tokens.example\", \"keys.example:8443\"]\nrecheck = \"5m\"\noffline = \"8h\"\n" + roles, ""},
		{"nobody without it", good + "offline = \"0s\"\n" + roles, ""},
		{"on this machine", "issuer = \"http://localhost:9000\"\nclient = \"passage\"\n" + roles, ""},
		{"in clear", "issuer = \"http://login.example\"\nclient = \"passage\"\n" + roles, "directory.issuer"},
		{"with a query", "issuer = \"https://login.example?x=y\"\nclient = \"passage\"\n" + roles, "directory.issuer"},
		{"with a password", "issuer = \"https://a:b@login.example\"\nclient = \"passage\"\n" + roles, "directory.issuer"},
		{"no client", "issuer = \"https://login.example\"\n" + roles, "directory.client"},
		{"no roles", good, "directory.roles"},
		{"no such role", good + "[directory.roles]\nall = \"admin\"\n", "directory.roles"},
		{"a group without a name", good + "[directory.roles]\n\"\" = \"guard\"\n", "directory.roles"},
		{"asked too seldom", good + "recheck = \"2h\"\n" + roles, "directory.recheck"},
		{"believed for too long", good + "offline = \"100h\"\n" + roles, "directory.offline"},
		{"a host that is an address", good + "hosts = [\"https://tokens.example\"]\n" + roles, "directory.hosts"},
		{"two scopes in one", good + "scopes = [\"a b\"]\n" + roles, "directory.scopes"},
		{"an unknown key", good + "password = \"x\"\n" + roles, "password"},
	} {
		conf, err := ParseConsole([]byte(string(example) + "\n[directory]\n" + c.directory))
		if c.wrong == "" && (err != nil || conf.Directory == nil || conf.Directory.Roles["leads"] != "shift_lead") || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
}

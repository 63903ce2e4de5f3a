package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every command teaches by an example of itself.
func TestHelpTeaches(t *testing.T) {
	k, err := kong.New(&cli{}, kong.Name("consoled"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range k.Model.Leaves(true) {
		if path := strings.Fields(n.FullPath()); !strings.Contains(n.Detail, "\n  "+strings.Join(path, " ")) {
			t.Errorf("%s --help has no example of itself", n.FullPath())
		}
	}
}

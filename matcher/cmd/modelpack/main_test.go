package main

import (
	"os"
	"path/filepath"
	"testing"

	"passage/matcher/pack"
)

// The packages convert to the very bytes whose hashes the manifest states, so
// two machines have the same models.
func TestReproducible(t *testing.T) {
	c := cli{
		Human:   filepath.Join("..", "..", "..", ".cache", "npm", "vladmandic-human-3.3.6"),
		FaceAPI: filepath.Join("..", "..", "..", ".cache", "npm", "vladmandic-face-api-1.7.15"), Out: t.TempDir(),
	}
	for _, d := range []string{c.Human, c.FaceAPI} {
		if _, err := os.Stat(d); err != nil {
			t.Skipf("make setup fetches the packages: %v", err)
		}
	}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Open(c.Out); err != nil {
		t.Error(err)
	}
}

func TestManifest(t *testing.T) {
	p, err := pack.Parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Models() {
		if len(m.Golden) == 0 {
			t.Errorf("%s has no golden output", m.File)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompareFaces(t *testing.T) {
	v := worker(t)
	portraits := filepath.Join(filepath.Dir(v.Packs), "portraits")
	a, b := filepath.Join(portraits, "p01.jpg"), filepath.Join(portraits, "p02.jpg")
	if _, err := os.Stat(b); err != nil {
		t.Skipf("%s is missing: make setup", b)
	}
	for _, c := range []struct {
		a, b, verdict, fails string
	}{
		{a, a, "match", ""},
		{a, b, "non_match", ""},
		{a, "face_test.go", "", "neither JPEG"},
		{filepath.Join(portraits, "none.jpg"), b, "", "no such file"},
	} {
		cmd := compareCmd{engine: engine{Program: v.Program, Pack: filepath.Join(v.Packs, v.Pack)}, A: c.a, B: c.b, FMR: 0.001}
		p, err := cmd.open()
		if err != nil {
			t.Fatal(err)
		}
		if cmd.Threshold, err = cmd.threshold(p); err != nil {
			t.Fatal(err)
		}
		r, err := cmd.compare(t.Context(), p)
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s, %s: %v, want %q", c.a, c.b, err, c.fails)
			}
		case err != nil || r.Verdict != c.verdict || (r.Shown >= 60) != (c.verdict == "match"):
			t.Errorf("%s, %s: %+v, %v, want %s", c.a, c.b, r, err, c.verdict)
		}
	}
}

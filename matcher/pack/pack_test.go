package pack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// manifest describes a pack whose models hold the given bytes.
func manifest(models ...string) string {
	sum := func(i int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(models[i]))) }
	const common = `origin = "here"
licence = "CC0-1.0"
channels = "bgr"
mean = [0.0, 0.0, 0.0]
scale = 1.0
input_name = "input"
`
	return `format = 1
name = "sample"
metric = "cosine"
[detector]
meaning = "yunet"
file = "detect.onnx"
input = [320, 320]
outputs = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
sha256 = "` + sum(0) + "\"\n" + common + `[[embedding]]
name = "e"
file = "embed.onnx"
input = [112, 112]
outputs = ["y"]
size = 128
align = [[38.0, 52.0], [74.0, 52.0], [56.0, 72.0], [42.0, 92.0], [71.0, 92.0]]
sha256 = "` + sum(1) + "\"\n" + common
}

const calibrated = `[calibration]
data = "sample"
date = "2026-11-25"
people = 10
genuine = 100
impostor = 10000
genuine_mean = 0.9
impostor_mean = 0.1
eer = 0.01
llr = [[0.1, -2.0], [0.5, 0.0], [0.9, 4.0]]
[[calibration.fmr]]
fmr = 0.01
threshold = 0.4
fmr_interval = [0.008, 0.012]
fnmr = 0.02
fnmr_interval = [0.0, 0.07]
[[calibration.fmr]]
fmr = 0.001
threshold = 0.5
fmr_interval = [0.0005, 0.002]
fnmr = 0.04
fnmr_interval = [0.01, 0.1]
`

func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, s := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen(t *testing.T) {
	good := map[string]string{"detect.onnx": model, "embed.onnx": other, "manifest.toml": manifest(model, other)}
	change := func(file, from, to string) map[string]string {
		m := map[string]string{}
		for k, v := range good {
			m[k] = v
		}
		m[file] = strings.Replace(m[file], from, to, 1)
		return m
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		fails string
	}{
		{"good", good, ""},
		{"flipped model", change("embed.onnx", "112", "113"), "embed.onnx is not the file of the manifest"},
		{"swapped models", map[string]string{"detect.onnx": other, "embed.onnx": model, "manifest.toml": manifest(model, other)}, "detect.onnx is not the file"},
		{"no manifest", map[string]string{}, "no such file"},
		{"no model", map[string]string{"manifest.toml": manifest(model, other)}, "no such file"},
		{"not TOML", change("manifest.toml", "format", "[[["), "manifest.toml"},
		{"unknown key", change("manifest.toml", "size", "sise"), "unknown keys"},
		{"of another folder", change("manifest.toml", "embed.onnx", "../embed.onnx"), "own folder"},
		{"of another format", change("manifest.toml", "format = 1", "format = 2"), "format 2"},
		{"of another metric", change("manifest.toml", "cosine", "hamming"), "metric"},
		{"of no licence", change("manifest.toml", `licence = "CC0-1.0"`, `licence = ""`), "licence"},
		{"of huge input", change("manifest.toml", "[112, 112]", "[112, 99999]"), "input"},
		{"of a mean that is none", change("manifest.toml", "[0.0, 0.0, 0.0]", "[nan, 0.0, 0.0]"), "mean"},
		{"that extends itself", change("manifest.toml", "metric", "extends = \"sample\"\nmetric"), "itself"},
		{"that extends upwards", change("manifest.toml", "metric", "extends = \"../x\"\nmetric"), "sibling"},
		{"not an ONNX", map[string]string{"detect.onnx": "MZ", "embed.onnx": other, "manifest.toml": manifest("MZ", other)}, "detect.onnx"},
	} {
		p, err := Open(write(t, filepath.Join(t.TempDir(), "sample"), c.files))
		switch {
		case c.fails == "" && (err != nil || len(p.Models()) != 2 || string(p.Models()[1].Bytes()) != other):
			t.Errorf("%s: %v", c.name, err)
		case c.fails != "" && (!errors.Is(err, ErrPack) || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: %v, want %q", c.name, err, c.fails)
		}
	}
}

func TestExtends(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "base"), map[string]string{"detect.onnx": model, "embed.onnx": other, "manifest.toml": manifest(model, other) + calibrated})
	m := manifest(model, other)
	dir := write(t, filepath.Join(root, "more"), map[string]string{"detect.onnx": model, "manifest.toml": strings.Replace(m[:strings.Index(m, "[[embedding]]")], "metric", "extends = \"base\"\nmetric", 1)})
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Embeddings) != 1 || string(p.Embeddings[0].Bytes()) != other {
		t.Error("the base's embedding is missing")
	}
	// Another detector aligns otherwise: the base's calibration says nothing.
	if _, err := p.Threshold(0.01); !errors.Is(err, ErrCalibration) {
		t.Errorf("an uncalibrated pack has a threshold: %v", err)
	}
}

func TestThreshold(t *testing.T) {
	p, err := Parse([]byte(manifest(model, other) + calibrated))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ fmr, want float64 }{{0.01, 0.4}, {0.5, 0.4}, {0.005, 0.5}, {0.001, 0.5}} {
		if got, err := p.Threshold(c.fmr); err != nil || got != c.want {
			t.Errorf("FMR %g is %g, %v; want %g", c.fmr, got, err, c.want)
		}
	}
	if _, err := p.Threshold(0.0001); err == nil {
		t.Error("a rate that nobody measured has a threshold")
	}
	for _, c := range []struct{ score, want float64 }{{0, -2}, {0.1, -2}, {0.3, -1}, {0.5, 0}, {0.7, 2}, {1, 4}} {
		if got := p.Calibration.Likelihood(c.score); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("likelihood of %g is %g, want %g", c.score, got, c.want)
		}
	}
	for _, c := range []struct{ from, to, fails string }{
		{"impostor = 10000", "impostor = 100", "beyond"},
		{"threshold = 0.5", "threshold = 0.3", "rise"},
		{"[0.9, 4.0]", "[0.9, -4.0]", "llr"},
		{"fmr = 0.001", "fmr = 0.0", "FMR 0"},
	} {
		if _, err := Parse([]byte(manifest(model, other) + strings.Replace(calibrated, c.from, c.to, 1))); err == nil || !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", c.to, err, c.fails)
		}
	}
}

func TestShown(t *testing.T) {
	c := &Calibration{ImpostorMean: .5}
	for _, x := range []struct {
		score float64
		want  int
	}{{1, 100}, {.8, 60}, {.5, 25}, {0, 0}, {.9, 80}} {
		if got := c.Shown(x.score, .8); got != x.want {
			t.Errorf("%.2f is shown as %d, want %d", x.score, got, x.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(manifest(model, other) + calibrated))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		for _, m := range p.Models() {
			if m.File != filepath.Base(m.File) || m.Input[0] > maxSide || m.Input[1] > maxSide {
				t.Errorf("accepted %q of %v", m.File, m.Input)
			}
		}
	})
}

// A golden output is compared with sums that a manifest states: picture and
// sums are the same on every machine, for ever.
func TestGoldenIsFixed(t *testing.T) {
	b := Noise(5, 3)
	x := uint32(2463534242)
	for i := range b {
		if x = 1664525*x + 1013904223; b[i] != byte(x>>24) {
			t.Fatalf("byte %d of the picture is %d", i, b[i])
		}
	}
	if len(b) != 45 {
		t.Errorf("%d bytes", len(b))
	}
	if got := Digest([]float32{1, 2, 3, 4, 5, 6, 10, 20, 30}); !slices.Equal(got, []float32{11, 22, 33, 4, 5, 6}) {
		t.Errorf("sums %v", got)
	}
}

// Package pack reads model packs: a folder with models in ONNX and
// manifest.toml, which says where they come from, how they are fed and what
// their scores mean. A pack is a folder and a manifest; it needs no code.
//
// Nothing reaches a vision library that is not, byte for byte, the file that
// the manifest names: the library aborts on a corrupt model, and a swapped one
// would open gates.
package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ErrPack says that a pack cannot be used.
var ErrPack = errors.New("pack")

// Limits of a pack, all generous.
const (
	maxManifest = 1 << 20
	maxModel    = 512 << 20
	maxSide     = 2048
	maxOutputs  = 4096
)

// Manifest is a pack's description, manifest.toml.
type Manifest struct {
	Format      int    `toml:"format"` // 1
	Name        string `toml:"name"`
	Version     string `toml:"version"`
	Description string `toml:"description"`
	// Extends names a sibling folder whose stages stand in for those that
	// this manifest does not have.
	Extends string `toml:"extends"`
	// Metric of two descriptors; "cosine" is the only one. Euclidean distance
	// of normalised descriptors orders pairs alike.
	Metric      string       `toml:"metric"`
	Detector    *Detector    `toml:"detector"`
	Landmarks   *Landmarks   `toml:"landmarks"`
	Embeddings  []Embedding  `toml:"embedding"`
	Calibration *Calibration `toml:"calibration"`
}

// Model is one network: the file and how a picture becomes its input, which is
// scale × (pixel − mean) with pixels from 0 to 255.
type Model struct {
	File      string     `toml:"file"`
	SHA256    string     `toml:"sha256"`
	Origin    string     `toml:"origin"`
	Licence   string     `toml:"licence"`
	Input     [2]int     `toml:"input"`    // width, height
	Channels  string     `toml:"channels"` // "rgb" or "bgr"
	Mean      [3]float64 `toml:"mean"`     // in the order of Channels
	Scale     float64    `toml:"scale"`
	InputName string     `toml:"input_name"`
	Outputs   []string   `toml:"outputs"` // names, in the order that the meaning wants
	// Golden are the sums of the first output for the picture that Noise
	// makes, as Digest takes them; a worker whose library computes others does
	// not start.
	Golden []float32 `toml:"golden"`

	dir   string
	bytes []byte
}

// Bytes is the file, checked against its hash.
func (m *Model) Bytes() []byte { return m.bytes }

// Detector finds faces.
type Detector struct {
	Model
	Meaning string `toml:"meaning"` // "blazeface" (256, two scales) or "yunet" (three scales)
}

// Landmarks finds points in a face that was found.
type Landmarks struct {
	Model
	Meaning string `toml:"meaning"` // "facemesh": 468 points and a belief
}

// Embedding describes a face.
type Embedding struct {
	Model
	Name string `toml:"name"`
	Size int    `toml:"size"` // numbers
	// Align is where eyes, nose and corners of the mouth (five pairs x, y)
	// come to lie in the input.
	Align [5][2]float64 `toml:"align"`
	// Mirror adds the mirrored picture's descriptor.
	Mirror bool `toml:"mirror"`
	// Weight in the pack's score, among several embeddings; 1 by default.
	Weight float64 `toml:"weight"`
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Open reads the pack in dir with all its models, and checks each. The error
// says which file is wrong and how; it wraps ErrPack.
func Open(dir string) (*Manifest, error) {
	m, err := Read(dir)
	if err != nil {
		return nil, err
	}
	for _, x := range m.Models() {
		if err := x.load(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrPack, m.Name, err)
		}
	}
	return m, nil
}

// Read reads a pack's manifest, and its base's, without the models: enough for
// names, figures and thresholds.
func Read(dir string) (*Manifest, error) {
	m, err := read(dir)
	if err != nil {
		return nil, err
	}
	if m.Extends != "" {
		base, err := read(filepath.Join(filepath.Dir(filepath.Clean(dir)), m.Extends))
		if err == nil && base.Extends != "" {
			err = fmt.Errorf("%w: %s itself extends another pack", ErrPack, m.Extends)
		}
		if err != nil {
			return nil, fmt.Errorf("%s extends %s: %w", m.Name, m.Extends, err)
		}
		if m.Detector == nil {
			m.Detector = base.Detector
		}
		if m.Landmarks == nil {
			m.Landmarks = base.Landmarks
		}
		if len(m.Embeddings) == 0 {
			m.Embeddings = base.Embeddings
		}
	}
	if m.Detector == nil || len(m.Embeddings) == 0 {
		return nil, fmt.Errorf("%w: %s has no detector or no embedding", ErrPack, m.Name)
	}
	if m.Landmarks == nil && m.Detector.Meaning == "blazeface" {
		return nil, fmt.Errorf("%w: %s: blazeface's own points are too coarse to align a face; add landmarks", ErrPack, m.Name)
	}
	return m, nil
}

// read reads one manifest.
func read(dir string) (*Manifest, error) {
	f, err := os.Open(filepath.Join(dir, "manifest.toml"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPack, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPack, err)
	}
	m, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "manifest.toml"), err)
	}
	for _, x := range m.Models() {
		x.dir = dir
	}
	return m, nil
}

// Parse reads a manifest. Unknown keys are errors, and so is whatever a vision
// library would choke on.
func Parse(b []byte) (*Manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("%w: the manifest is longer than %d bytes", ErrPack, maxManifest)
	}
	var m Manifest
	if err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(&m); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("%w: unknown keys: %s", ErrPack, strict.String())
		}
		return nil, fmt.Errorf("%w: %w", ErrPack, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPack, err)
	}
	return &m, nil
}

// check says everything that is wrong with a manifest.
func (m *Manifest) check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Format != 1 {
		add("format %d is not known; this is 1", m.Format)
	}
	if !name.MatchString(m.Name) {
		add("name %q is not of small letters, digits, dot, dash", m.Name)
	}
	if m.Extends != "" && !name.MatchString(m.Extends) {
		add("extends %q is not the name of a sibling folder", m.Extends)
	}
	if m.Extends != "" && m.Extends == m.Name {
		add("%s extends itself", m.Name)
	}
	if m.Metric != "cosine" {
		add("metric %q is not known; there is cosine", m.Metric)
	}
	if d := m.Detector; d != nil {
		outputs := map[string]int{"blazeface": 4, "yunet": 12}[d.Meaning]
		if outputs == 0 {
			add("detector: meaning %q is not known; there are blazeface, yunet", d.Meaning)
		} else if len(d.Outputs) != outputs {
			add("detector: %s has %d outputs, not %d", d.Meaning, outputs, len(d.Outputs))
		}
		if d.Input[0] != d.Input[1] || d.Input[0]%32 != 0 {
			add("detector: an input of %d × %d is not a square of a multiple of 32", d.Input[0], d.Input[1])
		}
		if d.Meaning == "blazeface" && d.Input[0] != 256 {
			add("detector: blazeface has an input of 256")
		}
		d.check("detector", add)
	}
	if l := m.Landmarks; l != nil {
		if l.Meaning != "facemesh" {
			add("landmarks: meaning %q is not known; there is facemesh", l.Meaning)
		} else if len(l.Outputs) != 2 {
			add("landmarks: facemesh has 2 outputs, not %d", len(l.Outputs))
		}
		if l.Input[0] != l.Input[1] {
			add("landmarks: the input is not square")
		}
		l.check("landmarks", add)
	}
	total := 0
	for i := range m.Embeddings {
		e := &m.Embeddings[i]
		what := fmt.Sprintf("embedding %d", i+1)
		if e.Weight == 0 {
			e.Weight = 1
		}
		if !(e.Weight > 0 && e.Weight <= 1000) {
			add("%s: weight %g is not above 0", what, e.Weight)
		}
		if e.Size < 1 || e.Size > maxOutputs || len(e.Outputs) != 1 {
			add("%s: one output of 1 to %d numbers is wanted", what, maxOutputs)
		}
		total += e.Size
		for _, p := range e.Align {
			if !(p[0] >= 0 && p[0] <= float64(e.Input[0]) && p[1] >= 0 && p[1] <= float64(e.Input[1])) {
				add("%s: align point %v is outside the input", what, p)
			}
		}
		if e.Align[0] == e.Align[1] {
			add("%s: align puts both eyes in one place", what)
		}
		e.check(what, add)
	}
	if total > maxOutputs {
		add("the embeddings have %d numbers together, more than %d", total, maxOutputs)
	}
	if m.Calibration != nil {
		if err := m.Calibration.check(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (m *Model) check(what string, add func(string, ...any)) {
	if m.File == "" || m.File != filepath.Base(m.File) || strings.HasPrefix(m.File, ".") {
		add("%s: %q is not a file of the pack's own folder", what, m.File)
	}
	if b, err := hex.DecodeString(m.SHA256); err != nil || len(b) != sha256.Size {
		add("%s: sha256 %q is not a SHA-256", what, m.SHA256)
	}
	if m.Origin == "" || m.Licence == "" {
		add("%s: origin and licence must be said", what)
	}
	if m.Input[0] < 16 || m.Input[0] > maxSide || m.Input[1] < 16 || m.Input[1] > maxSide {
		add("%s: an input of %d × %d is not within 16 to %d", what, m.Input[0], m.Input[1], maxSide)
	}
	if m.Channels != "rgb" && m.Channels != "bgr" {
		add("%s: channels %q are neither rgb nor bgr", what, m.Channels)
	}
	if !(m.Scale > 0 && m.Scale <= 1000) {
		add("%s: scale %g is not above 0", what, m.Scale)
	}
	for _, v := range m.Mean {
		if !(v >= -1000 && v <= 1000) {
			add("%s: mean %g", what, v)
		}
	}
	if len(m.Golden) != 0 && len(m.Golden) != 6 {
		add("%s: golden has %d sums, not 6", what, len(m.Golden))
	}
	if m.InputName == "" {
		add("%s: input_name is missing", what)
	}
}

// load reads the model and compares it with what the manifest says of it.
func (m *Model) load() error {
	b, err := readModel(filepath.Join(m.dir, m.File))
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != strings.ToLower(m.SHA256) {
		return fmt.Errorf("%s is not the file of the manifest (SHA-256 %x)", m.File, sum)
	}
	m.bytes = b
	if err := m.fits(); err != nil {
		return fmt.Errorf("%s: %w", m.File, err)
	}
	return nil
}

// Models are the networks, in the order of their use.
func (m *Manifest) Models() []*Model {
	var list []*Model
	if m.Detector != nil {
		list = append(list, &m.Detector.Model)
	}
	if m.Landmarks != nil {
		list = append(list, &m.Landmarks.Model)
	}
	for i := range m.Embeddings {
		list = append(list, &m.Embeddings[i].Model)
	}
	return list
}

func readModel(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxModel+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxModel {
		return nil, fmt.Errorf("%s is larger than %d MB", path, maxModel>>20)
	}
	return b, nil
}

// Digest adds up an output for golden: six sums, number i goes into sum i
// modulo 6.
func Digest(output []float32) []float32 {
	var sums [6]float64
	for i, v := range output {
		sums[i%len(sums)] += float64(v)
	}
	list := make([]float32, len(sums))
	for i, v := range sums {
		list[i] = float32(v)
	}
	return list
}

// Noise is the picture for golden outputs: width × height pixels of three
// bytes from a linear congruential generator, the same everywhere.
func Noise(width, height int) []byte {
	b := make([]byte, 3*width*height)
	x := uint32(2463534242)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

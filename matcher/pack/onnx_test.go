package pack

import (
	"encoding/binary"
	"strings"
	"testing"
)

// field appends a length-delimited field of a protocol buffer.
func field(n int, inner ...string) string {
	s := strings.Join(inner, "")
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n)<<3|2), uint64(len(s)))) + s
}

// value is a ValueInfoProto.
func value(name string, dims ...uint64) string {
	shape := ""
	for _, d := range dims {
		shape += field(1, string(binary.AppendUvarint([]byte{1 << 3}, d)))
	}
	return field(1, name) + field(2, field(1, field(2, shape)))
}

// model and other are the smallest files that the test manifest's detector and
// embedding could be.
var (
	model = field(7, field(11, value("input", 1, 3, 320, 320)), field(12, value("a")), field(12, value("b")), field(12, value("c")),
		field(12, value("d")), field(12, value("e")), field(12, value("f")), field(12, value("g")), field(12, value("h")),
		field(12, value("i")), field(12, value("j")), field(12, value("k")), field(12, value("l")))
	other = field(7, field(2, "112"), field(11, value("input", 0, 3, 112, 112)), field(12, value("y", 1, 128)))
)

func TestFits(t *testing.T) {
	for _, c := range []struct {
		name, onnx, fails string
	}{
		{"good", other, ""},
		{"another input", field(7, field(11, value("data", 1, 3, 112, 112)), field(12, value("y"))), `no input "input"`},
		{"another shape", field(7, field(11, value("input", 1, 3, 96, 112)), field(12, value("y"))), "shape"},
		{"channels last", field(7, field(11, value("input", 1, 112, 112, 3)), field(12, value("y"))), "shape"},
		{"another output", field(7, field(11, value("input", 1, 3, 112, 112)), field(12, value("z"))), `no output "y"`},
		{"no graph", field(2, "maker"), "no graph"},
		{"cut", other[:len(other)-3], "not an ONNX"},
		{"empty", "", "no graph"},
	} {
		m := Model{InputName: "input", Input: [2]int{112, 112}, Outputs: []string{"y"}, bytes: []byte(c.onnx)}
		err := m.fits()
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.fails)
		}
	}
}

func FuzzFits(f *testing.F) {
	f.Add([]byte(model))
	f.Add([]byte(other))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := Model{InputName: "input", Input: [2]int{112, 112}, Outputs: []string{"y"}, bytes: b}
		if err := m.fits(); err == nil && !strings.Contains(string(b), "input") {
			t.Error("a model without the input fits")
		}
	})
}

package convert

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestHalf(t *testing.T) {
	for h, want := range map[uint16]float32{0x3C00: 1, 0xC000: -2, 0x3555: 0.33325195, 0x0001: 5.9604645e-08, 0x8000: 0, 0x7BFF: 65504} {
		if got := half(h); math.Abs(float64(got-want)) > 1e-9 {
			t.Errorf("%04X is %g, want %g", h, got, want)
		}
	}
}

const tiny = `{"signature":{"inputs":{},"outputs":{"out":{"name":"pool:0","tensorShape":{"dim":[{"size":"1"},{"size":"2"},{"size":"2"},{"size":"2"}]}}}},
"modelTopology":{"node":[
 {"name":"in","op":"Placeholder"},{"name":"w","op":"Const"},{"name":"b","op":"Const"},
 {"name":"conv","op":"_FusedConv2D","input":["in","w","b"],"attr":{"strides":{"list":{"i":["1","2","2","1"]}},"padding":{"s":"U0FNRQ=="},"fused_ops":{"list":{"s":["Qmlhc0FkZA==","UmVsdQ=="]}}}},
 {"name":"pool","op":"MaxPool","input":["conv"],"attr":{"strides":{"list":{"i":["1","2","2","1"]}},"ksize":{"list":{"i":["1","2","2","1"]}},"padding":{"s":"U0FNRQ=="}}}]},
"weightsManifest":[{"weights":[{"name":"w","shape":[3,3,3,2],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.5,"min":-1}},{"name":"b","shape":[2],"dtype":"float32"}]}]}`

func TestGraphModelIsDeterministic(t *testing.T) {
	data := append(make([]byte, 54), 0, 0, 128, 63, 0, 0, 0, 64)
	a, err := GraphModel("tiny", []byte(tiny), data, 8, map[string]string{"out": "y"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := GraphModel("tiny", []byte(tiny), data, 8, map[string]string{"out": "y"})
	if err != nil || !bytes.Equal(a, b) {
		t.Error("two conversions differ", err)
	}
	for _, op := range []string{"Conv", "Relu", "MaxPool", "Pad"} { // 8 px, stride 2, 3 × 3: SAME pads unevenly
		if !bytes.Contains(a, []byte(op)) {
			t.Errorf("no %s in the model", op)
		}
	}
	if _, err := GraphModel("tiny", []byte(tiny), data[:60], 8, map[string]string{"out": "y"}); !errors.Is(err, ErrModel) {
		t.Errorf("missing weights: %v", err)
	}
	if _, err := GraphModel("tiny", []byte(tiny), append(data, 0), 8, map[string]string{"out": "y"}); !errors.Is(err, ErrModel) {
		t.Errorf("weights left over: %v", err)
	}
	if _, err := GraphModel("tiny", []byte(tiny), data, 8, map[string]string{"other": "y"}); !errors.Is(err, ErrModel) {
		t.Errorf("another output: %v", err)
	}
}

// ReLU6 is spelt as three operations, normalisation as two.
func TestSpelling(t *testing.T) {
	const topology = `{"signature":{"outputs":{"out":{"name":"mean","tensorShape":{"dim":[{"size":"1"},{"size":"2"}]}}}},
"modelTopology":{"node":[{"name":"in","op":"Placeholder"},
 {"name":"conv","op":"Conv2D","input":["in","w"],"attr":{"strides":{"list":{"i":["1","1","1","1"]}},"padding":{"s":"U0FNRQ=="}}},
 {"name":"mul","op":"Mul","input":["conv","k"]},{"name":"relu","op":"Relu","input":["mul"]},
 {"name":"min","op":"Minimum","input":["relu","six"]},{"name":"max","op":"Maximum","input":["min","zero"]},
 {"name":"mean","op":"Mean","input":["max","axes"]}]},
"weightsManifest":[{"weights":[{"name":"w","shape":[1,1,3,2],"dtype":"float32"},{"name":"k","shape":[2],"dtype":"float32"},
 {"name":"six","shape":[],"dtype":"float32"},{"name":"zero","shape":[],"dtype":"float32"},{"name":"axes","shape":[2],"dtype":"int32"}]}]}`
	data := append(make([]byte, 24+8), 0, 0, 192, 64, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0)
	b, err := GraphModel("t", []byte(topology), data, 8, map[string]string{"out": "y"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("Clip")) || bytes.Contains(b, []byte("Relu")) || !bytes.Contains(b, []byte("GlobalAveragePool")) {
		t.Error("ReLU6 is not one Clip, or the mean no pool")
	}
	if _, err := GraphModel("t", []byte(strings.Replace(topology, "\"Minimum\"", "\"Relu\"", 1)), data, 8, map[string]string{"out": "y"}); !errors.Is(err, ErrModel) {
		t.Errorf("another maximum: %v", err)
	}
}

func FuzzGraphModel(f *testing.F) {
	f.Add([]byte(tiny), make([]byte, 62))
	f.Fuzz(func(t *testing.T, topology, data []byte) {
		if b, err := GraphModel("x", topology, data, 8, map[string]string{"out": "y"}); err == nil && len(b) == 0 {
			t.Error("an empty model")
		}
	})
}

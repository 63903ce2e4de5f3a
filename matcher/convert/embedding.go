package convert

import (
	"encoding/json"
	"fmt"
)

// Embedding converts face-api's face_recognition weights (a ResNet-34 of
// dlib's, 128 numbers for a chip of 150 pixels) whose graph is not in the
// package: it is rebuilt here.
func Embedding(manifest, data []byte) ([]byte, error) {
	var groups []struct {
		Weights []entry `json:"weights"`
	}
	if err := json.Unmarshal(manifest, &groups); err != nil || len(groups) != 1 {
		return nil, fmt.Errorf("%w: manifest: %w", ErrModel, err)
	}
	w, err := weights(groups[0].Weights, data)
	if err != nil {
		return nil, err
	}
	c := &converter{g: &graph{}, w: w, shape: map[string][3]int{"input": {3, 150, 150}}}
	c.g.inputs = append(c.g.inputs, value("input", 1, 3, 150, 150))
	r := &resnet{c: c}
	x := r.relu(r.layer("conv32_down", "input", 2, false))
	x = r.pool("MaxPool", x, 3, 2)
	for _, b := range []struct {
		name string
		down bool
	}{
		{"conv32_1", false},
		{"conv32_2", false},
		{"conv32_3", false},
		{"conv64_down", true},
		{"conv64_1", false},
		{"conv64_2", false},
		{"conv64_3", false},
		{"conv128_down", true},
		{"conv128_1", false},
		{"conv128_2", false},
		{"conv256_down", true},
		{"conv256_1", false},
		{"conv256_2", false},
		{"conv256_down_out", true},
	} {
		x = r.block(b.name, x, b.down)
	}
	if r.err != nil {
		return nil, r.err
	}
	x = c.g.node("GlobalAveragePool", c.g.fresh("mean"), []string{x})
	x = c.g.node("Flatten", c.g.fresh("flat"), []string{x}, attr{"axis", 1})
	fc := w["fc"]
	if len(fc.f) != 256*128 {
		return nil, fmt.Errorf("%w: fc", ErrModel)
	}
	t := make([]float32, len(fc.f)) // Gemm wants [out, in]
	for i := range 256 {
		for o := range 128 {
			t[o*256+i] = fc.f[i*128+o]
		}
	}
	c.g.node("Gemm", "descriptor", []string{x, c.g.floats("fc", []int{128, 256}, t), c.g.floats("zero", []int{128}, make([]float32, 128))},
		attr{"transB", 1}, attr{"alpha", float32(1)}, attr{"beta", float32(1)})
	c.g.outputs = append(c.g.outputs, value("descriptor", 1, 128))
	return c.g.model("face_recognition"), nil
}

// resnet keeps the first error while the blocks are laid.
type resnet struct {
	c   *converter
	err error
}

// layer is a convolution whose output is scaled by channel: both fold into one.
func (r *resnet) layer(name, in string, stride int, same bool) string {
	if r.err != nil {
		return ""
	}
	w := r.c.w
	f, bias, scale, shift := w[name+"/conv/filters"], w[name+"/conv/bias"].f, w[name+"/scale/weights"].f, w[name+"/scale/biases"].f
	if len(f.shape) != 4 || len(scale) != f.shape[3] || len(bias) != len(scale) || len(shift) != len(scale) {
		r.err = fmt.Errorf("%w: layer %s", ErrModel, name)
		return ""
	}
	folded := weight{shape: f.shape, f: make([]float32, len(f.f))}
	for i, v := range f.f {
		folded.f[i] = v * scale[i%len(scale)]
	}
	b := make([]float32, len(bias))
	for i := range b {
		b[i] = float32(bias[i]*scale[i]) + shift[i] // rounded twice on every machine: no fused multiply-add
	}
	out, err := r.c.convolve(r.c.g.fresh(name), in, folded, b, []int{1, stride, stride, 1}, same, false)
	r.err = err
	return out
}

func (r *resnet) relu(in string) string {
	out := r.c.g.node("Relu", r.c.g.fresh("relu"), []string{in})
	r.c.shape[out] = r.c.shape[in]
	return out
}

func (r *resnet) pool(op, in string, k, stride int) string {
	s := r.c.shape[in]
	out := r.c.g.node(op, r.c.g.fresh("pool"), []string{in}, attr{"kernel_shape", []int{k, k}}, attr{"strides", []int{stride, stride}}, attr{"pads", []int{0, 0, 0, 0}})
	r.c.shape[out] = [3]int{s[0], (s[1]-k)/stride + 1, (s[2]-k)/stride + 1}
	return out
}

// grow pads with zeros behind: channels, rows, columns.
func (r *resnet) grow(in string, to [3]int) string {
	s := r.c.shape[in]
	if s == to || r.err != nil {
		return in
	}
	out := r.c.g.node("Pad", r.c.g.fresh("grow"), []string{in}, attr{"mode", "constant"}, attr{"value", float32(0)},
		attr{"pads", []int{0, 0, 0, 0, 0, to[0] - s[0], to[1] - s[1], to[2] - s[2]}})
	r.c.shape[out] = to
	return out
}

// block is a residual block; a down block halves the picture and doubles the
// channels.
func (r *resnet) block(name, in string, down bool) string {
	if r.err != nil {
		return ""
	}
	stride := 1
	if down {
		stride = 2
	}
	x := r.layer(name+"/conv1", in, stride, !down)
	if r.err != nil {
		return ""
	}
	x = r.layer(name+"/conv2", r.relu(x), 1, true)
	if r.err != nil {
		return ""
	}
	short := in
	if down {
		short = r.pool("AveragePool", in, 2, 2)
	}
	a, b := r.c.shape[x], r.c.shape[short]
	to := [3]int{max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2])}
	sum := r.c.g.node("Add", r.c.g.fresh("add"), []string{r.grow(x, to), r.grow(short, to)})
	r.c.shape[sum] = to
	return r.relu(sum)
}

package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ErrModel says that a model is not of the form that is known here.
var ErrModel = errors.New("convert: unknown model")

// weight is a tensor in TensorFlow's layout.
type weight struct {
	shape []int
	f     []float32
	i     []int
}

// entry is one weight of a manifest.
type entry struct {
	Name         string `json:"name"`
	Shape        []int  `json:"shape"`
	Dtype        string `json:"dtype"`
	Quantization *struct {
		Dtype string  `json:"dtype"`
		Scale float64 `json:"scale"`
		Min   float64 `json:"min"`
	} `json:"quantization"`
}

// weights walks a manifest's entries through the bytes of its files, which it
// must use up.
func weights(list []entry, data []byte) (map[string]weight, error) {
	out := map[string]weight{}
	for _, e := range list {
		n := 1
		for _, d := range e.Shape {
			if d < 0 || d > 1<<26 || n*d > 1<<26 {
				return nil, fmt.Errorf("%w: weight %q of shape %d", ErrModel, e.Name, e.Shape)
			}
			n *= d
		}
		kind := e.Dtype
		if e.Quantization != nil {
			kind = e.Quantization.Dtype
		}
		size := map[string]int{"float32": 4, "int32": 4, "float16": 2, "uint8": 1}[kind]
		if size == 0 || len(data) < n*size || (kind == "uint8" && e.Quantization == nil) {
			return nil, fmt.Errorf("%w: weight %q of type %q", ErrModel, e.Name, kind)
		}
		w := weight{shape: e.Shape}
		for k := range n {
			b := data[k*size:]
			switch kind {
			case "float32":
				w.f = append(w.f, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			case "int32":
				w.i = append(w.i, int(int32(binary.LittleEndian.Uint32(b))))
			case "float16":
				w.f = append(w.f, half(binary.LittleEndian.Uint16(b)))
			case "uint8":
				w.f = append(w.f, float32(float64(float64(b[0])*e.Quantization.Scale)+e.Quantization.Min))
			}
		}
		out[e.Name] = w
		data = data[n*size:]
	}
	if len(data) != 0 {
		return nil, fmt.Errorf("%w: %d bytes of weights are left over", ErrModel, len(data))
	}
	return out, nil
}

// half reads an IEEE 754 half-precision number.
func half(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0:
		f := float32(frac) / (1 << 24)
		if sign != 0 {
			f = -f
		}
		return f
	case 31:
		return math.Float32frombits(sign | 0xFF<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// tfNode is a node of a graph model.
type tfNode struct {
	Name  string                     `json:"name"`
	Op    string                     `json:"op"`
	Input []string                   `json:"input"`
	Attr  map[string]json.RawMessage `json:"attr"`
}

type tensorInfo struct {
	Name  string `json:"name"`
	Shape struct {
		Dim []struct {
			Size string `json:"size"`
		} `json:"dim"`
	} `json:"tensorShape"`
}

type signature struct {
	Inputs  map[string]tensorInfo `json:"inputs"`
	Outputs map[string]tensorInfo `json:"outputs"`
}

type graphModel struct {
	Signature signature `json:"signature"`
	Meta      struct {
		Signature signature `json:"signature"`
	} `json:"userDefinedMetadata"`
	Topology struct {
		Node []tfNode `json:"node"`
	} `json:"modelTopology"`
	Manifest []struct {
		Weights []entry `json:"weights"`
	} `json:"weightsManifest"`
}

// GraphModel converts a TensorFlow.js graph model. size is the input's side.
// Outputs get the names that rename gives them; the others are left out.
func GraphModel(name string, topology, data []byte, size int, rename map[string]string) ([]byte, error) {
	var m graphModel
	if err := json.Unmarshal(topology, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if len(m.Manifest) != 1 {
		return nil, fmt.Errorf("%w: %d weight groups", ErrModel, len(m.Manifest))
	}
	w, err := weights(m.Manifest[0].Weights, data)
	if err != nil {
		return nil, err
	}
	c := &converter{g: &graph{}, w: w, nodes: map[string]tfNode{}, shape: map[string][3]int{}}
	for _, n := range m.Topology.Node {
		c.nodes[n.Name] = n
		if n.Op == "Placeholder" {
			c.shape[n.Name] = [3]int{3, size, size}
			c.g.inputs = append(c.g.inputs, value(n.Name, 1, 3, size, size))
		}
	}
	s := m.Signature
	if len(s.Outputs) == 0 {
		s = m.Meta.Signature
	}
	var keys []string
	for k := range rename {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		info, ok := s.Outputs[k]
		if !ok {
			return nil, fmt.Errorf("%w: no output %q", ErrModel, k)
		}
		from, err := c.build(strings.TrimSuffix(info.Name, ":0"))
		if err != nil {
			return nil, err
		}
		c.g.node("Identity", rename[k], []string{from})
		if len(info.Shape.Dim) == 0 {
			return nil, fmt.Errorf("%w: output %q has no shape", ErrModel, k)
		}
		dims := []int{1}
		for _, d := range info.Shape.Dim[1:] {
			n, err := strconv.Atoi(d.Size)
			if err != nil {
				return nil, fmt.Errorf("%w: output shape", ErrModel)
			}
			dims = append(dims, n)
		}
		c.g.outputs = append(c.g.outputs, value(rename[k], dims...))
	}
	return c.g.model(name), nil
}

// converter walks a graph model from its outputs; shapes are C, H, W.
type converter struct {
	g     *graph
	w     map[string]weight
	nodes map[string]tfNode
	shape map[string][3]int
	done  map[string]string
	depth int
}

func (c *converter) build(name string) (string, error) {
	if c.done == nil {
		c.done = map[string]string{}
	}
	if out, ok := c.done[name]; ok {
		return out, nil
	}
	n, ok := c.nodes[name]
	if !ok {
		return "", fmt.Errorf("%w: no node %q", ErrModel, name)
	}
	if n.Op == "Placeholder" {
		return name, nil
	}
	if c.depth++; c.depth > 1000 {
		return "", fmt.Errorf("%w: nested too deeply", ErrModel)
	}
	defer func() { c.depth-- }()
	if len(n.Input) == 0 {
		return "", fmt.Errorf("%w: %s has no input", ErrModel, n.Name)
	}
	var in string
	if n.Op != "Maximum" { // which looks for its own
		var err error
		if in, err = c.build(n.Input[0]); err != nil {
			return "", err
		}
	}
	out, err := c.convert(n, in)
	if err != nil {
		return "", fmt.Errorf("%s (%s): %w", n.Name, n.Op, err)
	}
	c.done[name] = out
	return out, nil
}

// list reads an attribute's integers.
func (n tfNode) list(name string) []int {
	var v struct {
		List struct {
			I []string `json:"i"`
		} `json:"list"`
	}
	if json.Unmarshal(n.Attr[name], &v) != nil {
		return nil
	}
	var out []int
	for _, s := range v.List.I {
		i, err := strconv.Atoi(s)
		if err != nil {
			return nil
		}
		out = append(out, i)
	}
	return out
}

// same says whether padding is SAME.
func (n tfNode) same() bool {
	var v struct {
		S string `json:"s"`
	}
	if json.Unmarshal(n.Attr["padding"], &v) != nil {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(v.S)
	return err == nil && string(b) == "SAME"
}

func (n tfNode) fused() []string {
	var v struct {
		List struct {
			S []string `json:"s"`
		} `json:"list"`
	}
	if json.Unmarshal(n.Attr["fused_ops"], &v) != nil {
		return nil
	}
	var out []string
	for _, s := range v.List.S {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil
		}
		out = append(out, string(b))
	}
	return out
}

// arity is how many inputs an operation has at least, where it is more than one.
var arity = map[string]int{
	"Add": 2, "Mul": 2, "Maximum": 2, "Conv2D": 2, "Mean": 2, "AddV2": 2, "Prelu": 2,
	"_FusedConv2D": 3, "DepthwiseConv2dNative": 2, "Pad": 2, "Reshape": 2,
}

func (c *converter) convert(n tfNode, in string) (string, error) {
	if len(n.Input) < arity[n.Op] {
		return "", fmt.Errorf("%w: %d inputs", ErrModel, len(n.Input))
	}
	s := c.shape[in]
	switch n.Op {
	case "Identity":
		return in, nil
	case "Relu", "Sigmoid":
		out := c.g.node(n.Op, n.Name, []string{in})
		c.shape[out] = s
		return out, nil
	case "Add", "Mul":
		// A constant for each channel: batch normalisation.
		k := c.w[n.Input[1]]
		if len(k.f) == 0 || len(k.f) != s[0] {
			return "", fmt.Errorf("%w: constant", ErrModel)
		}
		out := c.g.node(n.Op, n.Name, []string{in, c.g.floats(c.g.fresh("channel"), []int{1, len(k.f), 1, 1}, k.f)})
		c.shape[out] = s
		return out, nil
	case "Maximum":
		return c.clip(n)
	case "Conv2D":
		w := c.w[n.Input[1]]
		if len(w.shape) != 4 {
			return "", fmt.Errorf("%w: filter", ErrModel)
		}
		return c.convolve(n.Name, in, w, nil, n.list("strides"), n.same(), false)
	case "Mean":
		if !slices.Equal(c.w[n.Input[1]].i, []int{1, 2}) {
			return "", fmt.Errorf("%w: mean over other axes", ErrModel)
		}
		out := c.g.node("GlobalAveragePool", c.g.fresh(n.Name), []string{in})
		return c.g.node("Flatten", n.Name, []string{out}, attr{"axis", 1}), nil
	case "AddV2":
		other, err := c.build(n.Input[1])
		if err != nil {
			return "", err
		}
		out := c.g.node("Add", n.Name, []string{in, other})
		c.shape[out] = s
		return out, nil
	case "Prelu":
		return c.prelu(n.Name, in, c.w[n.Input[1]])
	case "_FusedConv2D":
		return c.conv(n, in)
	case "DepthwiseConv2dNative":
		w := c.w[n.Input[1]]
		if len(w.shape) != 4 {
			return "", fmt.Errorf("%w: filter", ErrModel)
		}
		return c.convolve(n.Name, in, w, nil, n.list("strides"), n.same(), true)
	case "MaxPool":
		k, st := n.list("ksize"), n.list("strides")
		if !sides(k) || !sides(st) {
			return "", fmt.Errorf("%w: pool", ErrModel)
		}
		in, pads := c.pad(in, k[1], st[1], n.same(), -1e30)
		p := c.shape[in]
		out := c.g.node("MaxPool", n.Name, []string{in}, attr{"kernel_shape", []int{k[1], k[2]}}, attr{"strides", []int{st[1], st[2]}}, attr{"pads", pads})
		c.shape[out] = [3]int{p[0], (p[1]+pads[0]+pads[2]-k[1])/st[1] + 1, (p[2]+pads[1]+pads[3]-k[2])/st[2] + 1}
		return out, nil
	case "Pad":
		v := c.w[n.Input[1]].i
		if len(v) != 8 || slices.Min(v) < 0 || slices.Max(v) > most {
			return "", fmt.Errorf("%w: pad", ErrModel)
		}
		// rows N, H, W, C become N, C, H, W
		out := c.g.node("Pad", n.Name, []string{in}, attr{"mode", "constant"}, attr{"value", float32(0)},
			attr{"pads", []int{v[0], v[6], v[2], v[4], v[1], v[7], v[3], v[5]}})
		c.shape[out] = [3]int{s[0] + v[6] + v[7], s[1] + v[2] + v[3], s[2] + v[4] + v[5]}
		return out, nil
	case "Reshape":
		t := c.g.node("Transpose", c.g.fresh(n.Name), []string{in}, attr{"perm", []int{0, 2, 3, 1}})
		dims := slices.Clone(c.w[n.Input[1]].i)
		if len(dims) == 0 {
			return "", fmt.Errorf("%w: reshape", ErrModel)
		}
		dims[0] = 1
		return c.g.node("Reshape", n.Name, []string{t, c.g.ints(c.g.fresh("shape"), dims...)}), nil
	}
	return "", fmt.Errorf("%w: operation", ErrModel)
}

// clip makes one operation of a rectifier, a minimum and a maximum: that is how
// ReLU6 is spelt.
func (c *converter) clip(n tfNode) (string, error) {
	least, lower := c.nodes[n.Input[0]], c.w[n.Input[1]]
	if least.Op != "Minimum" || len(least.Input) != 2 || len(lower.f) != 1 || lower.f[0] != 0 {
		return "", fmt.Errorf("%w: maximum", ErrModel)
	}
	relu, upper := c.nodes[least.Input[0]], c.w[least.Input[1]]
	if relu.Op != "Relu" || len(relu.Input) != 1 || len(upper.f) != 1 {
		return "", fmt.Errorf("%w: minimum", ErrModel)
	}
	in, err := c.build(relu.Input[0])
	if err != nil {
		return "", err
	}
	out := c.g.node("Clip", n.Name, []string{in}, attr{"min", float32(0)}, attr{"max", upper.f[0]})
	c.shape[out] = c.shape[in]
	return out, nil
}

func (c *converter) prelu(name, in string, w weight) (string, error) {
	if len(w.f) == 0 {
		return "", fmt.Errorf("%w: prelu", ErrModel)
	}
	alpha := c.g.floats(c.g.fresh("alpha"), []int{len(w.f), 1, 1}, w.f)
	out := c.g.node("PRelu", name, []string{in, alpha})
	c.shape[out] = c.shape[in]
	return out, nil
}

func (c *converter) conv(n tfNode, in string) (string, error) {
	w, ops := c.w[n.Input[1]], n.fused()
	if len(w.shape) != 4 || len(ops) == 0 || ops[0] != "BiasAdd" {
		return "", fmt.Errorf("%w: convolution", ErrModel)
	}
	bias := c.w[n.Input[2]].f
	if len(ops) == 1 {
		return c.convolve(n.Name, in, w, bias, n.list("strides"), n.same(), false)
	}
	out, err := c.convolve(c.g.fresh(n.Name), in, w, bias, n.list("strides"), n.same(), false)
	if err != nil {
		return "", err
	}
	switch ops[1] {
	case "Relu":
		r := c.g.node("Relu", n.Name, []string{out})
		c.shape[r] = c.shape[out]
		return r, nil
	case "Prelu":
		if len(n.Input) < 4 {
			return "", fmt.Errorf("%w: prelu without its slopes", ErrModel)
		}
		return c.prelu(n.Name, out, c.w[n.Input[3]])
	}
	return "", fmt.Errorf("%w: fused %s", ErrModel, ops[1])
}

// most bounds strides, windows and padding.
const most = 1 << 12

// sides reports whether v is an attribute of four sides, N, H, W and C.
func sides(v []int) bool { return len(v) == 4 && slices.Min(v) > 0 && slices.Max(v) <= most }

// pad computes SAME padding; an uneven one becomes a node of its own.
func (c *converter) pad(in string, k, stride int, same bool, fill float32) (string, []int) {
	if !same {
		return in, []int{0, 0, 0, 0}
	}
	s := c.shape[in]
	side := func(n int) (int, int) {
		total := max(((n+stride-1)/stride-1)*stride+k-n, 0)
		return total / 2, total - total/2
	}
	t, b := side(s[1])
	l, r := side(s[2])
	if t == b && l == r {
		return in, []int{t, l, b, r}
	}
	out := c.g.node("Pad", c.g.fresh("pad"), []string{in}, attr{"mode", "constant"}, attr{"value", fill}, attr{"pads", []int{0, 0, t, l, 0, 0, b, r}})
	c.shape[out] = [3]int{s[0], s[1] + t + b, s[2] + l + r}
	return out, []int{0, 0, 0, 0}
}

// convolve adds a convolution; filters turn from HWIO to OIHW, or from HWCM to
// (C·M)1HW where every channel has its own.
func (c *converter) convolve(name, in string, w weight, bias []float32, strides []int, same, depthwise bool) (string, error) {
	if !sides(strides) {
		return "", fmt.Errorf("%w: strides", ErrModel)
	}
	if len(w.f) == 0 {
		return "", fmt.Errorf("%w: a filter without weights", ErrModel)
	}
	kh, kw, ci, co := w.shape[0], w.shape[1], w.shape[2], w.shape[3]
	dims, group := []int{co, ci, kh, kw}, 1
	if depthwise {
		dims, group = []int{ci * co, 1, kh, kw}, ci
	}
	f := make([]float32, len(w.f))
	for y := range kh {
		for x := range kw {
			for i := range ci {
				for o := range co {
					from := ((y*kw+x)*ci+i)*co + o
					to := ((o*ci+i)*kh+y)*kw + x
					if depthwise {
						to = ((i*co+o)*kh+y)*kw + x
					}
					f[to] = w.f[from]
				}
			}
		}
	}
	in, pads := c.pad(in, kh, strides[1], same, 0)
	s := c.shape[in]
	inputs := []string{in, c.g.floats(c.g.fresh("filter"), dims, f)}
	if bias != nil {
		inputs = append(inputs, c.g.floats(c.g.fresh("bias"), []int{len(bias)}, bias))
	}
	out := c.g.node("Conv", name, inputs, attr{"kernel_shape", []int{kh, kw}}, attr{"strides", []int{strides[1], strides[2]}},
		attr{"pads", pads}, attr{"group", group}, attr{"dilations", []int{1, 1}})
	c.shape[out] = [3]int{dims[0], (s[1]+pads[0]+pads[2]-kh)/strides[1] + 1, (s[2]+pads[1]+pads[3]-kw)/strides[2] + 1}
	return out, nil
}

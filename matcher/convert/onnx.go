// Package convert turns face models from TensorFlow.js form into ONNX that
// OpenCV 4.6 reads: opset 9, NCHW, batch 1. Its output is the same bytes for
// the same input.
package convert

import (
	"encoding/binary"
	"math"
)

// proto is a protocol buffer being written. Field numbers are ONNX's
// (onnx.proto3, IR version 5).
type proto []byte

func (p *proto) key(field, wire int) { p.varint(uint64(field)<<3 | uint64(wire)) }

func (p *proto) varint(v uint64) { *p = binary.AppendUvarint(*p, v) }

func (p *proto) int(field int, v int64) {
	p.key(field, 0)
	p.varint(uint64(v))
}

func (p *proto) bytes(field int, b []byte) {
	p.key(field, 2)
	p.varint(uint64(len(b)))
	*p = append(*p, b...)
}

func (p *proto) string(field int, s string) { p.bytes(field, []byte(s)) }

func (p *proto) float(field int, f float32) {
	p.key(field, 5)
	*p = binary.LittleEndian.AppendUint32(*p, math.Float32bits(f))
}

// graph is an ONNX graph being written.
type graph struct {
	nodes, initializers, inputs, outputs []proto
	made                                 int
}

// attr is a node's attribute.
type attr struct {
	name string
	v    any // int, []int, float32, string
}

// node adds an operation and returns its output's name.
func (g *graph) node(op, output string, inputs []string, attrs ...attr) string {
	var n proto
	for _, i := range inputs {
		n.string(1, i)
	}
	n.string(2, output)
	n.string(3, output)
	n.string(4, op)
	for _, a := range attrs {
		var p proto
		p.string(1, a.name)
		switch v := a.v.(type) {
		case int:
			p.int(3, int64(v))
			p.int(20, 2)
		case []int:
			for _, x := range v {
				p.int(8, int64(x))
			}
			p.int(20, 7)
		case float32:
			p.float(2, v)
			p.int(20, 1)
		case string:
			p.string(4, v)
			p.int(20, 3)
		}
		n.bytes(5, p)
	}
	g.nodes = append(g.nodes, n)
	return output
}

// fresh returns a name that nothing has.
func (g *graph) fresh(base string) string {
	g.made++
	return base + "_x" + string(rune('a'+g.made/676%26)) + string(rune('a'+g.made/26%26)) + string(rune('a'+g.made%26))
}

// floats adds a constant.
func (g *graph) floats(name string, dims []int, v []float32) string {
	var t proto
	for _, d := range dims {
		t.int(1, int64(d))
	}
	t.int(2, 1)
	t.string(8, name)
	raw := make([]byte, 0, 4*len(v))
	for _, f := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	t.bytes(9, raw)
	g.initializers = append(g.initializers, t)
	return name
}

// ints adds an integer constant, such as a shape.
func (g *graph) ints(name string, v ...int) string {
	var t proto
	t.int(1, int64(len(v)))
	t.int(2, 7)
	t.string(8, name)
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	t.bytes(9, raw)
	g.initializers = append(g.initializers, t)
	return name
}

func value(name string, dims ...int) proto {
	var shape, tensor, typ, v proto
	for _, d := range dims {
		var dim proto
		dim.int(1, int64(d))
		shape.bytes(1, dim)
	}
	tensor.int(1, 1)
	tensor.bytes(2, shape)
	typ.bytes(1, tensor)
	v.string(1, name)
	v.bytes(2, typ)
	return v
}

// model writes the whole file.
func (g *graph) model(name string) []byte {
	var gp proto
	for _, n := range g.nodes {
		gp.bytes(1, n)
	}
	gp.string(2, name)
	for _, t := range g.initializers {
		gp.bytes(5, t)
	}
	for _, v := range g.inputs {
		gp.bytes(11, v)
	}
	for _, v := range g.outputs {
		gp.bytes(12, v)
	}
	var opset, m proto
	opset.string(1, "")
	opset.int(2, 9)
	m.int(1, 5)
	m.string(2, "passage")
	m.bytes(7, gp)
	m.bytes(8, opset)
	return m
}

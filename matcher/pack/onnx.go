package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// fits compares a model with what the manifest says of it: the input must be
// there with the manifest's shape, and so must the outputs by their names.
// OpenCV aborts the process on a model that is fed otherwise. Only as much of
// ONNX (a protocol buffer, onnx.proto3) is read as this needs.
func (m *Model) fits() error {
	var graph []byte
	if err := fields(m.bytes, func(field int, b []byte) error {
		if field == 7 { // ModelProto.graph
			graph = b
		}
		return nil
	}); err != nil {
		return fmt.Errorf("not an ONNX model: %w", err)
	}
	if graph == nil {
		return errors.New("not an ONNX model: no graph")
	}
	inputs, outputs := map[string][]int64{}, map[string]bool{}
	if err := fields(graph, func(field int, b []byte) error {
		if field != 11 && field != 12 { // GraphProto.input, .output
			return nil
		}
		name, dims, err := valueInfo(b)
		if err != nil {
			return err
		}
		if field == 11 {
			inputs[name] = dims
		} else {
			outputs[name] = true
		}
		return nil
	}); err != nil {
		return fmt.Errorf("not an ONNX graph: %w", err)
	}
	dims, ok := inputs[m.InputName]
	if !ok {
		return fmt.Errorf("no input %q", m.InputName)
	}
	want := []int64{1, 3, int64(m.Input[1]), int64(m.Input[0])}
	if len(dims) != len(want) {
		return fmt.Errorf("the input has shape %v, not %v", dims, want)
	}
	for i, d := range dims {
		if d != want[i] && d > 0 { // 0 is a dimension that is left open
			return fmt.Errorf("the input has shape %v, not %v", dims, want)
		}
	}
	for _, o := range m.Outputs {
		if !outputs[o] {
			return fmt.Errorf("no output %q", o)
		}
	}
	return nil
}

// valueInfo reads a ValueInfoProto: name, and the dimensions of its tensor.
func valueInfo(b []byte) (name string, dims []int64, err error) {
	err = fields(b, func(field int, b []byte) error {
		switch field {
		case 1:
			name = string(b)
		case 2: // TypeProto
			return descend(b, []int{1, 2, 1}, func(dim []byte) error { // tensor_type, shape, dim
				var d int64
				err := numbers(dim, func(field int, v uint64) {
					if field == 1 {
						d = int64(v)
					}
				})
				dims = append(dims, d)
				return err
			})
		}
		return nil
	})
	return name, dims, err
}

// descend calls do for every message at the end of a path of fields.
func descend(b []byte, path []int, do func([]byte) error) error {
	return fields(b, func(field int, inner []byte) error {
		switch {
		case field != path[0]:
			return nil
		case len(path) == 1:
			return do(inner)
		}
		return descend(inner, path[1:], do)
	})
}

var errProto = errors.New("malformed protocol buffer")

// fields calls do for every length-delimited field of a message.
func fields(b []byte, do func(field int, b []byte) error) error {
	return walk(b, do, nil)
}

// numbers calls do for every varint field of a message.
func numbers(b []byte, do func(field int, v uint64)) error {
	return walk(b, nil, do)
}

func walk(b []byte, inner func(int, []byte) error, number func(int, uint64)) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 || key>>3 > 1<<29 {
			return errProto
		}
		b = b[n:]
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errProto
			}
			if number != nil {
				number(int(key>>3), v)
			}
			b = b[n:]
		case 1, 5:
			size := 8
			if key&7 == 5 {
				size = 4
			}
			if len(b) < size {
				return errProto
			}
			b = b[size:]
		case 2:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return errProto
			}
			if inner != nil {
				if err := inner(int(key>>3), b[n:n+int(size)]); err != nil {
					return err
				}
			}
			b = b[n+int(size):]
		default:
			return errProto
		}
	}
	return nil
}

package ocr

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Alphabet is what may stand in a machine readable zone.
const Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"

// The network looks through a window of Height × Width values, 0 for paper and
// 1 for ink, in which a character is 16 high and its neighbours 16 away:
// 5 × 5 convolution in steps of 2, 3 × 3 convolution, 2 × 2 maximum, two dense
// layers. Its answers are Alphabet and, last, "no character is centred here".
const (
	Height  = 24
	Width   = 20
	Pitch   = 16
	classes = len(Alphabet) + 1
	Off     = classes - 1 // the class of a window between characters

	k1, c1     = 5, 8
	h1, w1     = (Height-k1)/2 + 1, (Width-k1)/2 + 1
	k2, c2     = 3, 24
	h2, w2     = h1 - k2 + 1, w1 - k2 + 1
	hp, wp     = h2 / 2, w2 / 2
	features   = hp * wp * c2
	hidden     = 64
	parameters = c1*(k1*k1+1) + c2*(k2*k2*c1+1) + hidden*(features+1) + classes*(hidden+1)
)

// Net is the trained network. Weights of a unit stand together, its bias
// behind them.
type Net struct {
	conv1 [c1][k1*k1 + 1]float32
	conv2 [c2][k2*k2*c1 + 1]float32
	dense [hidden][features + 1]float32
	out   [classes][hidden + 1]float32
}

// layers returns the weights of all units, layer by layer.
func (n *Net) layers() [4][][]float32 {
	var l [4][][]float32
	for i := range n.conv1 {
		l[0] = append(l[0], n.conv1[i][:])
	}
	for i := range n.conv2 {
		l[1] = append(l[1], n.conv2[i][:])
	}
	for i := range n.dense {
		l[2] = append(l[2], n.dense[i][:])
	}
	for i := range n.out {
		l[3] = append(l[3], n.out[i][:])
	}
	return l
}

// weights were made by matcher/cmd/ocrmodel.
//
//go:embed ocrb.bin
var weights []byte

// ErrModel says that weights do not fit the network.
var ErrModel = errors.New("ocr: not the weights of this network")

// Default is the network for OCR-B that comes with the program.
func Default() (*Net, error) { return Unmarshal(weights) }

// Unmarshal reads weights: for each layer a scale, then 16-bit steps of it.
func Unmarshal(b []byte) (*Net, error) {
	if len(b) != 4*4+2*parameters {
		return nil, fmt.Errorf("%w: %d bytes", ErrModel, len(b))
	}
	n := &Net{}
	for _, layer := range n.layers() {
		scale := math.Float32frombits(binary.BigEndian.Uint32(b))
		if !(scale > 0 && scale < 1) {
			return nil, fmt.Errorf("%w: a scale of %g", ErrModel, scale)
		}
		b = b[4:]
		for _, unit := range layer {
			for i := range unit {
				unit[i] = scale * float32(int16(binary.BigEndian.Uint16(b)))
				b = b[2:]
			}
		}
	}
	return n, nil
}

// Marshal writes weights as Unmarshal reads them.
func (n *Net) Marshal() []byte {
	var b []byte
	for _, layer := range n.layers() {
		most := float32(1e-6)
		for _, unit := range layer {
			for _, w := range unit {
				most = max(most, w, -w)
			}
		}
		scale := most / 32767
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(scale))
		for _, unit := range layer {
			for _, w := range unit {
				b = binary.BigEndian.AppendUint16(b, uint16(int16(math.Round(float64(w/scale)))))
			}
		}
	}
	return b
}

func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

// activations are what the layers make of a strip, each row by row and its
// channels together.
type activations struct {
	width  int // of the strip
	a1, a2 []float32
	n1, n2 int // columns of a1 and a2
}

// convolve runs the convolutions over a strip of Height rows.
func (n *Net) convolve(strip []float32, width int) activations {
	a := activations{width: width, n1: (width-k1)/2 + 1}
	a.n2 = a.n1 - k2 + 1
	a.a1 = make([]float32, h1*a.n1*c1)
	var patch [k1 * k1]float32
	for y := range h1 {
		for x := range a.n1 {
			for j := range k1 {
				copy(patch[j*k1:(j+1)*k1], strip[(2*y+j)*width+2*x:])
			}
			to := a.a1[(y*a.n1+x)*c1:]
			for c := range c1 {
				to[c] = max(0, dot(patch[:], n.conv1[c][:k1*k1])+n.conv1[c][k1*k1])
			}
		}
	}
	a.a2 = make([]float32, h2*a.n2*c2)
	var patch2 [k2 * k2 * c1]float32
	for y := range h2 {
		for x := range a.n2 {
			for j := range k2 {
				copy(patch2[j*k2*c1:(j+1)*k2*c1], a.a1[((y+j)*a.n1+x)*c1:])
			}
			to := a.a2[(y*a.n2+x)*c2:]
			for c := range c2 {
				to[c] = max(0, dot(patch2[:], n.conv2[c][:k2*k2*c1])+n.conv2[c][k2*k2*c1])
			}
		}
	}
	return a
}

// pool takes the maxima of the window that begins at column at of a2, and
// where they were.
func (a activations) pool(at int, into *[features]float32, from *[features]int32) {
	for y := range hp {
		for x := range wp {
			for c := range c2 {
				best := ((2*y)*a.n2+at+2*x)*c2 + c
				for _, i := range [3]int{best + c2, best + a.n2*c2, best + a.n2*c2 + c2} {
					if a.a2[i] > a.a2[best] {
						best = i
					}
				}
				i := (y*wp+x)*c2 + c
				into[i], from[i] = a.a2[best], int32(best)
			}
		}
	}
}

// classify runs the dense layers and returns log probabilities.
func (n *Net) classify(f *[features]float32, h *[hidden]float32) (p [classes]float32) {
	for i := range h {
		h[i] = max(0, dot(f[:], n.dense[i][:features])+n.dense[i][features])
	}
	most := float32(math.Inf(-1))
	for i := range p {
		p[i] = dot(h[:], n.out[i][:hidden]) + n.out[i][hidden]
		most = max(most, p[i])
	}
	sum := 0.0
	for _, v := range p {
		sum += math.Exp(float64(v - most))
	}
	log := most + float32(math.Log(sum))
	for i := range p {
		p[i] -= log
	}
	return p
}

// Scan returns the log probabilities of the classes for a window at every
// second column of a strip of Height rows; window i is centred at column
// 2i + Width/2.
func (n *Net) Scan(strip []float32, width int) [][classes]float32 {
	if width < Width || len(strip) != Height*width {
		return nil
	}
	a := n.convolve(strip, width)
	var list [][classes]float32
	var f [features]float32
	var from [features]int32
	var h [hidden]float32
	for at := 0; at+w2 <= a.n2; at++ {
		a.pool(at, &f, &from)
		list = append(list, n.classify(&f, &h))
	}
	return list
}

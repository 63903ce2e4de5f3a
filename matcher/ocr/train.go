package ocr

import (
	"math"
	"math/rand/v2"
)

// Trainer fits a network to samples by Adam (Kingma and Ba, 2014). With the
// same seed and samples it gives the same weights on the same architecture.
type Trainer struct {
	Net         Net
	grad, m, v  Net
	steps       int
	Loss, Right float64 // sums over the samples since they were last set to 0
}

// NewTrainer begins with random weights.
func NewTrainer(r *rand.Rand) *Trainer {
	t := &Trainer{}
	for _, layer := range t.Net.layers() {
		for _, unit := range layer {
			s := float32(math.Sqrt(2 / float64(len(unit)-1)))
			for i := range unit[:len(unit)-1] {
				unit[i] = s * float32(r.NormFloat64())
			}
		}
	}
	return t
}

// Add adds a window's gradient; class is an index of Alphabet or Off.
func (t *Trainer) Add(window []float32, class int) {
	a := t.Net.convolve(window, Width)
	var f, df [features]float32
	var from [features]int32
	var h, dh [hidden]float32
	a.pool(0, &f, &from)
	p := t.Net.classify(&f, &h)
	t.Loss -= float64(p[class])
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	if best == class {
		t.Right++
	}
	for i := range p {
		d := float32(math.Exp(float64(p[i])))
		if i == class {
			d--
		}
		g, w := &t.grad.out[i], &t.Net.out[i]
		g[hidden] += d
		for j := range h {
			g[j] += d * h[j]
			dh[j] += d * w[j]
		}
	}
	for i, v := range h {
		d := dh[i]
		if v == 0 || d == 0 {
			continue
		}
		g, w := &t.grad.dense[i], &t.Net.dense[i]
		g[features] += d
		for j := range f {
			g[j] += d * f[j]
			df[j] += d * w[j]
		}
	}
	d2 := make([]float32, len(a.a2))
	for i, j := range from {
		if f[i] > 0 {
			d2[j] += df[i]
		}
	}
	d1 := make([]float32, len(a.a1))
	for y := range h2 {
		for x := range w2 {
			for c := range c2 {
				d := d2[(y*w2+x)*c2+c]
				if d == 0 {
					continue
				}
				g, w := &t.grad.conv2[c], &t.Net.conv2[c]
				g[k2*k2*c1] += d
				for j := range k2 {
					at := ((y+j)*w1 + x) * c1
					in, back := a.a1[at:at+k2*c1], d1[at:at+k2*c1]
					gj, wj := g[j*k2*c1:(j+1)*k2*c1], w[j*k2*c1:(j+1)*k2*c1]
					for i, v := range in {
						gj[i] += d * v
						back[i] += d * wj[i]
					}
				}
			}
		}
	}
	for y := range h1 {
		for x := range w1 {
			for c := range c1 {
				i := (y*w1+x)*c1 + c
				d := d1[i]
				if d == 0 || a.a1[i] == 0 {
					continue
				}
				g := &t.grad.conv1[c]
				g[k1*k1] += d
				for j := range k1 {
					in := window[(2*y+j)*Width+2*x:]
					for k := range k1 {
						g[j*k1+k] += d * in[k]
					}
				}
			}
		}
	}
}

// Step changes the weights by the gradients of the n samples added since the
// last step; rate is the learning rate.
func (t *Trainer) Step(n int, rate float64) {
	t.steps++
	const b1, b2 = 0.9, 0.999
	rate *= math.Sqrt(1-math.Pow(b2, float64(t.steps))) / (1 - math.Pow(b1, float64(t.steps)))
	w, g, m, v := t.Net.layers(), t.grad.layers(), t.m.layers(), t.v.layers()
	for l := range w {
		for u := range w[l] {
			for i := range w[l][u] {
				d := g[l][u][i] / float32(n)
				m[l][u][i] += (1 - b1) * (d - m[l][u][i])
				v[l][u][i] += (1 - b2) * (d*d - v[l][u][i])
				w[l][u][i] -= float32(rate) * m[l][u][i] / (float32(math.Sqrt(float64(v[l][u][i]))) + 1e-8)
				g[l][u][i] = 0
			}
		}
	}
}

package ocr

import "slices"

// normalise makes paper 0 and ink 1 along a strip of Height rows, by what is
// light and dark in the neighbourhood of each column: light and contrast
// change along a line.
func normalise(strip []float32, width int) {
	const step, reach = 8, 28
	n := (width + step - 1) / step
	light, dark := make([]float32, n+1), make([]float32, n+1)
	var v []float32
	for i := range light {
		v = v[:0]
		from, to := max(0, i*step-reach), min(width, i*step+reach)
		for y := 2; y < Height-2; y += 2 { // every fourth value will do
			for x := from + y/2%2; x < to; x += 2 {
				v = append(v, strip[y*width+x])
			}
		}
		slices.Sort(v)
		light[i], dark[i] = v[len(v)*85/100], v[len(v)*5/100]
	}
	for x := range width {
		i, f := x/step, float32(x%step)/step
		l, d := light[i]+f*(light[i+1]-light[i]), dark[i]+f*(dark[i+1]-dark[i])
		contrast := max(l-d, .04)
		for y := range Height {
			p := &strip[y*width+x]
			*p = min(1.5, max(-.5, (l-*p)/contrast))
		}
	}
}

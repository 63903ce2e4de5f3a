package matcher

import "math"

// Fuse compares several descriptors of one capture with a reference: the mean
// of their cosines, weighted. A cosine with the descriptors' average would be
// the higher the less the frames agree, for impostors too, and a threshold
// that was measured on single pictures would let more of them through.
func Fuse(descriptors [][]float32, weights []float64, reference []float32) float64 {
	var sum, total float64
	for i, d := range descriptors {
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		sum += w * Cosine(d, reference)
		total += w
	}
	if total == 0 || math.IsNaN(sum) {
		return 0
	}
	return sum / total
}

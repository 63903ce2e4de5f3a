package matcher

import (
	"math"

	"passage/matcher/pad"
	"passage/matcher/quality"
)

// MaxDescriptor bounds the numbers of a descriptor, all embeddings of a pack
// together.
const MaxDescriptor = 4096

// maxFaces bounds the faces of an analysis.
const maxFaces = 64

// Face is one face of an analysis. Positions are pixels of the frame.
type Face struct {
	X     int     `json:"x"`
	Y     int     `json:"y"`
	W     int     `json:"w"`
	H     int     `json:"h"`
	Score float64 `json:"score"` // detector, 0 to 1
	Flag  float64 `json:"flag"`  // landmark model's own belief, 0 to 1
	// Marks are the middles of the right and the left eye, the tip of the
	// nose, and the right and the left corner of the mouth; x, y.
	Marks [5][2]float64 `json:"marks"`
	Eyes  float64       `json:"eyes"`  // distance between the eyes, pixels
	Yaw   float64       `json:"yaw"`   // degrees, positive towards the face's own left
	Pitch float64       `json:"pitch"` // degrees, positive upwards
	Roll  float64       `json:"roll"`  // degrees, positive clockwise in the picture
	// Lids are the openings of the right and the left eye, height by width:
	// about 0.3 open, below 0.12 shut. Lips is the mouth's, about 0 closed.
	Lids    [2]float64     `json:"lids"`
	Lips    float64        `json:"lips"`
	Quality quality.Report `json:"quality"`
}

// Analysis is what the worker found in a frame. The first face is the one
// nearest the marks; Descriptor is its: the pack's embeddings one after the
// other, so weighted that the cosine of two descriptors is the pack's score.
// It is nil if there is no face.
type Analysis struct {
	Faces      []Face    `json:"faces"`
	Descriptor []float32 `json:"descriptor,omitempty"`
	// Cues are what attack detection measured on the first face; nil if it is
	// too small.
	Cues *pad.Cues `json:"cues,omitempty"`
	// InferenceUS is the time inside the networks, in microseconds: what an
	// analysis would cost without us.
	InferenceUS int64 `json:"inference_us,omitempty"`
}

// valid refuses what a worker could not honestly have found.
func (a Analysis) valid() bool {
	if len(a.Faces) > maxFaces || len(a.Descriptor) > MaxDescriptor {
		return false
	}
	if a.Cues != nil && !a.Cues.Valid() {
		return false
	}
	for _, f := range a.Faces {
		if !f.Quality.Valid() || !(f.Eyes >= 0) || math.IsInf(f.Eyes, 0) {
			return false
		}
	}
	for _, v := range a.Descriptor {
		if !(v >= -1.01 && v <= 1.01) {
			return false
		}
	}
	return true
}

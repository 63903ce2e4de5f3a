// Package quality judges how fit a picture of a face is for comparison, after
// the components of ISO/IEC 29794-5: each from 0 to 100, higher is better, and
// one unified score. Its measures are plain ones of our own, not those of the
// reference implementation (OFIQ): the names agree, the numbers do not.
package quality

import (
	"fmt"
	"math"
)

// Component is one quality component.
type Component int

// The components, with the names ISO/IEC 29794-5 gives what they are nearest to.
const (
	Yaw         Component = iota // HeadPoseYaw
	Pitch                        // HeadPosePitch
	Roll                         // HeadPoseRoll
	EyeDistance                  // InterEyeDistance
	Framing                      // crop of the face image
	Sharpness                    // Sharpness
	Exposure                     // UnderExposurePrevention, OverExposurePrevention
	Contrast                     // DynamicRange
	Uniformity                   // IlluminationUniformity
	EyesOpen                     // EyesOpen
	MouthClosed                  // MouthClosed
	Unoccluded                   // FaceOcclusionPrevention, EyesVisible
	Background                   // BackgroundUniformity
	Count
)

var names = [Count]string{
	"yaw", "pitch", "roll", "eye_distance", "framing", "sharpness", "exposure", "contrast", "uniformity",
	"eyes_open", "mouth_closed", "unoccluded", "background",
}

// String is the component's name in configurations and reports.
func (c Component) String() string {
	if c < 0 || c >= Count {
		return fmt.Sprintf("component %d", int(c))
	}
	return names[c]
}

// Parse finds a component by its name.
func Parse(name string) (Component, error) {
	for c, n := range names {
		if n == name {
			return Component(c), nil
		}
	}
	return 0, fmt.Errorf("quality: no component %q; there are %v", name, names)
}

// NeedMesh are the components that only a pack with landmarks measures.
var NeedMesh = []Component{Pitch, EyesOpen, MouthClosed, Unoccluded}

// Unmeasured stands for a component that nobody looked at.
const Unmeasured = -1

// Report is one face's quality.
type Report struct {
	Unified int        `json:"unified"`
	Values  [Count]int `json:"values"` // 0 to 100, or Unmeasured
}

// Valid says whether all values are within their range.
func (r Report) Valid() bool {
	for _, v := range r.Values {
		if v < Unmeasured || v > 100 {
			return false
		}
	}
	return r.Unified >= Unmeasured && r.Unified <= 100
}

// weights are how much a component bears on the unified score. What the
// embedding hardly minds counts little; the background does not count.
var weights = [Count]float64{
	Yaw: 3, Pitch: 2, Roll: 0.5, EyeDistance: 2, Framing: 1, Sharpness: 2, Exposure: 1.5, Contrast: 1, Uniformity: 1,
	EyesOpen: 1, MouthClosed: 0.5, Unoccluded: 2,
}

// New makes a report of values. The unified score is their weighted geometric
// mean, so that one bad component spoils it whatever the others are.
func New(values [Count]int) Report {
	r := Report{Values: values, Unified: Unmeasured}
	var sum, total float64
	for c, v := range values {
		if v == Unmeasured {
			continue
		}
		sum += weights[c] * math.Log(max(float64(v), 1)/100)
		total += weights[c]
	}
	if total > 0 {
		r.Unified = int(math.Round(100 * math.Exp(sum/total)))
	}
	return r
}

// Ideal is a report without a fault, for simulated workers.
func Ideal() Report {
	var v [Count]int
	for c := range v {
		v[c] = 100
	}
	return New(v)
}

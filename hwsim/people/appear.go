package people

import "passage/hwsim/camera"

// Appearance is how a person comes before the camera.
type Appearance struct {
	Faces []int // 0 their own, 1 somebody else's
	By    camera.Instrument
	Fault string // of the camera, by their doing
}

// Appear is how a person of a script comes before the camera.
func Appear(script string) Appearance {
	switch script {
	case "tailgate":
		return Appearance{Faces: []int{0, 1}}
	case "mask":
		return Appearance{Faces: []int{1}, By: camera.Video} // somebody else's face, on a telephone
	case "help", "fire":
		return Appearance{} // looks elsewhere
	case "cover":
		return Appearance{Fault: "covered"}
	case "blur":
		return Appearance{Faces: []int{0}, Fault: "blur"}
	}
	return Appearance{Faces: []int{0}}
}

//go:build customenv

// Package opencv finds faces and computes descriptors with OpenCV's DNN
// module. It is the only user of gocv. OpenCV aborts the process on bad input:
// everything is validated before it gets there, and the process may die.
package opencv

import (
	"errors"

	"gocv.io/x/gocv"

	"passage/matcher"
)

// Mat copies a frame into OpenCV.
func Mat(f matcher.Frame) (gocv.Mat, error) {
	if !f.Valid() {
		return gocv.Mat{}, errors.New("opencv: not a frame")
	}
	return gocv.NewMatFromBytes(f.Height, f.Width, gocv.MatTypeCV8UC3, f.Pixels)
}

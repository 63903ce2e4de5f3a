package devices

import (
	"time"

	"passage/drivers/camera"
	"passage/matcher"
)

// exposure has the camera expose for the face that is compared: a lane's
// window or lamp behind a traveller makes a camera's own control choose wrong.
type exposure struct {
	camera *camera.Camera
	last   time.Time
	moved  bool
}

// A well lit face, as the mean of its luminance; what is near it is left
// alone, and a camera gets time to follow.
const (
	faceLevel  = 120
	levelSlack = 25
	follow     = 300 * time.Millisecond
)

// face looks at how bright a face is. An error is the camera's to report: its
// next frame fails as well.
func (e *exposure) face(f matcher.Frame, x matcher.Face, now time.Time) {
	mean, ok := brightness(f, x)
	if !ok || now.Sub(e.last) < follow || mean > faceLevel-levelSlack && mean < faceLevel+levelSlack {
		return
	}
	e.last, e.moved = now, true
	_ = e.camera.Adjust(max(mean, 1), faceLevel)
}

// end gives the exposure back to the camera: the next traveller may stand in
// another light.
func (e *exposure) end() {
	if e.moved {
		_ = e.camera.Adjust(0, 0) // see face
	}
}

// brightness is the mean luminance of the middle half of a face.
func brightness(f matcher.Frame, x matcher.Face) (mean float64, ok bool) {
	if !f.Valid() {
		return 0, false
	}
	left, right := max(0, x.X+x.W/4), min(f.Width, x.X+x.W*3/4)
	top, bottom := max(0, x.Y+x.H/4), min(f.Height, x.Y+x.H*3/4)
	sum, n := 0, 0
	for row := top; row < bottom; row += 4 {
		for column := left; column < right; column += 4 {
			p := f.Pixels[3*(row*f.Width+column):]
			sum += 29*int(p[0]) + 150*int(p[1]) + 77*int(p[2])
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	return float64(sum) / 256 / float64(n), true
}

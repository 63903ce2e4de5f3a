package camera_test

import (
	"image"
	"image/color"
	"image/draw"
	"testing"

	"passage/hwsim/camera"
	"passage/matcher/pad"
)

// A bright face has room for the screen's light, a dark one is left as it is.
func TestExposure(t *testing.T) {
	middle := func(level uint8, l pad.Light) color.RGBA {
		face := image.NewRGBA(image.Rect(0, 0, 360, 480))
		draw.Draw(face, face.Rect, image.NewUniform(color.RGBA{level, level, level, 255}), image.Point{}, draw.Src)
		img := image.NewRGBA(image.Rect(0, 0, camera.Width, camera.Height))
		camera.Paint(img, camera.Scene{Faces: []image.Image{face}, Light: camera.Shine(l)}, 0)
		return img.RGBAAt(camera.Width/2, camera.Height/2)
	}
	for _, level := range []uint8{40, 100, 230, 255} {
		dim, warm, cool := middle(level, pad.Dim), middle(level, pad.Warm), middle(level, pad.Cool)
		if level <= 100 && (dim.G < level*8/10 || dim.G > level) {
			t.Errorf("level %d is shown as %d", level, dim.G)
		}
		// A fifth at least, of the two fifths that the nose takes: noise is 4 of 255.
		if int(warm.R)*5 < int(cool.R)*6 || int(cool.B)*5 < int(warm.B)*6 || max(warm.R, cool.B) > 240 {
			t.Errorf("level %d: %v in warm light, %v in cool", level, warm, cool)
		}
	}
}

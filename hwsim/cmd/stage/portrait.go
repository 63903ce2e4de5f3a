package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"sync"
)

// portraits are two pictures of a person whom nobody is: as a document has it,
// and as a camera saw it, a little turned and lit from the side.
var portraits = sync.OnceValue(func() [2][]byte { return [2][]byte{draw(0), draw(1)} })

func portrait(n int) []byte { return portraits()[n] }

func draw(live float64) []byte {
	const w, h = 360, 480
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	type oval struct {
		x, y, rx, ry float64
		c            color.RGBA
	}
	lean := 5 * live
	skin, shade, hair := color.RGBA{222, 178, 148, 255}, color.RGBA{196, 148, 120, 255}, color.RGBA{74, 52, 40, 255}
	shirt, white, iris, lip := color.RGBA{58, 84, 118, 255}, color.RGBA{250, 250, 250, 255}, color.RGBA{64, 88, 74, 255}, color.RGBA{176, 96, 92, 255}
	if live > 0 {
		shirt = color.RGBA{96, 108, 84, 255}
	}
	ovals := []oval{
		{180, 196, 118, 138, hair},
		{180, 470, 168, 118, shirt},
		{180, 350, 50, 70, shade},
		{80 + lean, 226, 18, 30, shade},
		{280 + lean, 226, 18, 30, shade},
		{180 + lean, 222, 98, 126, skin},
		{180, 118, 98, 44, hair},
		{140 + 2*lean, 212, 20, 10, white},
		{220 + 2*lean, 212, 20, 10, white},
		{141 + 2*lean, 212, 8, 9, iris},
		{219 + 2*lean, 212, 8, 9, iris},
		{141 + 2*lean, 212, 4, 4, color.RGBA{20, 20, 20, 255}},
		{219 + 2*lean, 212, 4, 4, color.RGBA{20, 20, 20, 255}},
		{140 + 2*lean, 190, 26, 5, hair},
		{220 + 2*lean, 190, 26, 5, hair},
		{181 + 3*lean, 254, 13, 9, shade},
		{180 + 2*lean, 292, 32, 9, lip},
	}
	for y := range h {
		for x := range w {
			ground := 232 - 40*live - float64(y)/24
			c := color.RGBA{uint8(ground - 6), uint8(ground), uint8(ground + 6), 255}
			for _, o := range ovals {
				d := math.Hypot((float64(x)-o.x)/o.rx, (float64(y)-o.y)/o.ry)
				if d < 1 {
					light := 1 - .10*d - live*.12*(float64(x)-o.x)/o.rx
					c = color.RGBA{dim(o.c.R, light), dim(o.c.G, light), dim(o.c.B, light), 255}
				}
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, &jpeg.Options{Quality: 88}) // a buffer takes everything
	return b.Bytes()
}

func dim(v uint8, by float64) uint8 { return uint8(min(255, float64(v)*by)) }

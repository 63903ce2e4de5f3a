//go:build customenv

// Package opencv finds faces and computes descriptors with OpenCV's DNN
// module. It is the only user of gocv. OpenCV aborts the process on bad input:
// everything is validated before it gets there, and the process may die.
package opencv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"

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

// Decode turns an image file of any kind into a frame of at most side pixels
// a side. The header's size must have been checked before.
func Decode(b []byte, side int) (matcher.Frame, error) {
	if len(b) == 0 {
		return matcher.Frame{}, errors.New("opencv: empty image")
	}
	raw, err := gocv.IMDecode(b, gocv.IMReadUnchanged) // grey JPEG 2000 fails as colour
	if err != nil {
		return matcher.Frame{}, fmt.Errorf("opencv: decode: %w", err)
	}
	defer raw.Close()
	if raw.Empty() || raw.Rows()*raw.Cols() > matcher.MaxPixels {
		return matcher.Frame{}, errors.New("opencv: not an image")
	}
	img := gocv.NewMat()
	defer img.Close()
	if raw.Type() != gocv.MatTypeCV8UC1 && raw.Type() != gocv.MatTypeCV8UC3 && raw.Type() != gocv.MatTypeCV8UC4 {
		return matcher.Frame{}, errors.New("opencv: pixels are not of 8 bits")
	}
	switch raw.Channels() {
	case 1:
		gocv.CvtColor(raw, &img, gocv.ColorGrayToBGR)
	case 4:
		gocv.CvtColor(raw, &img, gocv.ColorBGRAToBGR)
	default:
		raw.CopyTo(&img)
	}
	return Frame(img, side), nil
}

// Frame copies a colour Mat out, made smaller where a side exceeds the limit.
func Frame(img gocv.Mat, side int) matcher.Frame {
	if long := max(img.Rows(), img.Cols()); long > side {
		k := float64(side) / float64(long)
		small := gocv.NewMat()
		defer small.Close()
		gocv.Resize(img, &small, image.Pt(max(1, int(float64(img.Cols())*k)), max(1, int(float64(img.Rows())*k))), 0, 0, gocv.InterpolationArea)
		return matcher.Frame{Width: small.Cols(), Height: small.Rows(), Pixels: small.ToBytes()}
	}
	return matcher.Frame{Width: img.Cols(), Height: img.Rows(), Pixels: img.ToBytes()}
}

// Size reads an image's dimensions from its header without decoding: JPEG SOF,
// JPEG 2000 SIZ or ihdr. It returns an error for anything else.
func Size(b []byte) (w, h int, err error) {
	be := binary.BigEndian
	for i := 0; i+44 <= len(b) && i < 4096; i++ {
		if be.Uint32(b[i:]) == 0xFF4FFF51 { // SOC, SIZ
			x, y, ox, oy := be.Uint32(b[i+8:]), be.Uint32(b[i+12:]), be.Uint32(b[i+16:]), be.Uint32(b[i+20:])
			if ox > x || oy > y || x-ox > 1<<20 || y-oy > 1<<20 {
				return 0, 0, errors.New("opencv: JPEG 2000 size")
			}
			return int(x - ox), int(y - oy), nil
		}
	}
	if len(b) < 4 || b[0] != 0xFF || b[1] != 0xD8 {
		return 0, 0, errors.New("opencv: neither JPEG nor JPEG 2000")
	}
	for i := 2; i+9 < len(b); {
		if b[i] != 0xFF {
			return 0, 0, errors.New("opencv: JPEG marker")
		}
		m := b[i+1]
		if m >= 0xC0 && m <= 0xCF && m != 0xC4 && m != 0xC8 && m != 0xCC {
			return int(be.Uint16(b[i+7:])), int(be.Uint16(b[i+5:])), nil
		}
		if m == 0xFF {
			i++
			continue
		}
		i += 2 + int(be.Uint16(b[i+2:]))
	}
	return 0, 0, errors.New("opencv: JPEG without a size")
}

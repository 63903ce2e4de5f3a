//go:build customenv

package opencv

import (
	"errors"
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"passage/matcher"
	"passage/matcher/picture"
)

// streamPixels bounds JPEG 2000 images: their decoder holds each component of
// each pixel twice in 32 bits, and 256 MB are all that it gets.
const streamPixels = 8_000_000

// Decode turns an image file, JPEG, JPEG 2000 or PNG, into an upright frame of
// at most side pixels a side. Its header is judged before OpenCV sees it.
func Decode(b []byte, side int) (matcher.Frame, error) {
	h, err := picture.Examine(b, matcher.MaxPixels)
	if err != nil {
		return matcher.Frame{}, err
	}
	flags, by := gocv.IMReadUnchanged, 1 // grey JPEG 2000 fails as colour
	switch h.Kind {
	case picture.JPEG:
		// The large ones are decoded at a half, a quarter or an eighth: less
		// memory, less time.
		flags = gocv.IMReadColor
		for ; by < 8 && max(h.Width, h.Height) >= 2*by*side; by *= 2 {
			flags = map[int]gocv.IMReadFlag{1: gocv.IMReadReducedColor2, 2: gocv.IMReadReducedColor4, 4: gocv.IMReadReducedColor8}[by]
		}
		flags |= gocv.IMReadIgnoreOrientation // ours works for every kind of picture
	case picture.JP2, picture.J2K:
		if h.Width*h.Height > streamPixels {
			return matcher.Frame{}, fmt.Errorf("%w: %d × %d pixels, at most %d in JPEG 2000", picture.ErrSize, h.Width, h.Height, streamPixels)
		}
	}
	raw, err := gocv.IMDecode(b[h.Start:], flags)
	if err != nil {
		return matcher.Frame{}, fmt.Errorf("opencv: decode: %w", err)
	}
	if raw.Empty() && h.Kind == picture.JP2 { // the file around it is broken, the picture may be whole
		raw.Close()
		if raw, err = gocv.IMDecode(b[h.Stream:], flags); err != nil {
			return matcher.Frame{}, fmt.Errorf("opencv: decode: %w", err)
		}
	}
	defer raw.Close()
	if raw.Empty() {
		return matcher.Frame{}, fmt.Errorf("opencv: the %s cannot be decoded", h.Kind)
	}
	if up := by - 1; raw.Cols() != (h.Width+up)/by || raw.Rows() != (h.Height+up)/by {
		return matcher.Frame{}, fmt.Errorf("opencv: the %s is of %d × %d pixels, not of %d × %d as it says", h.Kind, raw.Cols(), raw.Rows(), h.Width, h.Height)
	}
	img := gocv.NewMat()
	defer img.Close()
	if err := bgr(raw, &img); err != nil {
		return matcher.Frame{}, err
	}
	f := Frame(img, side)
	f.Pixels, f.Width, f.Height = picture.Upright(f.Pixels, f.Width, f.Height, h.Orientation)
	return f, nil
}

// bgr makes 8-bit colour of what a decoder gave.
func bgr(raw gocv.Mat, out *gocv.Mat) error {
	eight := raw
	if raw.Type()&7 == gocv.MatTypeCV16U { // the depth is in the lowest three bits
		eight = gocv.NewMat()
		defer eight.Close()
		raw.ConvertToWithParams(&eight, gocv.MatTypeCV8U, 1.0/256, 0)
	}
	switch eight.Type() {
	case gocv.MatTypeCV8UC1:
		gocv.CvtColor(eight, out, gocv.ColorGrayToBGR)
	case gocv.MatTypeCV8UC3:
		eight.CopyTo(out)
	case gocv.MatTypeCV8UC4:
		gocv.CvtColor(eight, out, gocv.ColorBGRAToBGR)
	default:
		return errors.New("opencv: pixels are not of 8 bits")
	}
	return nil
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

//go:build customenv

// Visiond sees: it reads the camera, finds and describes faces, and decodes
// untrusted images, each in a process of its own that may die.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"gocv.io/x/gocv"

	"passage/matcher"
	"passage/matcher/opencv"
)

type cli struct {
	NoSandbox bool `help:"Do not confine the process. For tests only."`

	Capture   captureCmd   `cmd:"" help:"Read a camera and write its newest frames to standard output."`
	Match     matchCmd     `cmd:"" help:"Analyse frames from standard input with the models of a pack."`
	Decode    decodeCmd    `cmd:"" help:"Decode one image from standard input into pixels, then end."`
	Golden    goldenCmd    `cmd:"" help:"Print golden outputs for a pack's manifest."`
	Portraits portraitsCmd `cmd:"" help:"Cut the faces of pictures to passport framing, for virtual passports."`
}

func main() {
	log.SetFlags(0)
	var c cli
	k := kong.Parse(&c, kong.Name("visiond"), kong.Description("Passage's eyes. kioskd starts one process for each role; they speak length-prefixed messages on standard input and output."))
	if err := k.Run(&c); err != nil {
		log.Fatal("visiond: ", err)
	}
}

// side is the longest side of what is handed on.
const side = 1280

type captureCmd struct {
	URL string `required:"" help:"Camera: MJPEG over HTTP, RTSP, a device such as /dev/video0, or a file."`
}

// readTimeout is OpenCV's property 54, in ms: without it a stalled stream
// blocks a read for 30 s.
const readTimeout = 54

func (c captureCmd) Run(*cli) error {
	v, err := gocv.OpenVideoCapture(c.URL)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	defer v.Close()
	v.Set(readTimeout, 2000)
	// One goroutine reads as fast as the camera gives, so that nothing is
	// buffered; the other one hands on the newest frame.
	newest := make(chan matcher.Frame, 1)
	failed := make(chan error, 1)
	go func() {
		img := gocv.NewMat()
		defer img.Close()
		for {
			if !v.Read(&img) || img.Empty() || img.Type() != gocv.MatTypeCV8UC3 {
				failed <- errors.New("capture: the stream ended")
				return
			}
			f := opencv.Frame(img, side)
			f.AgeMS = time.Now().UnixMilli()
			select {
			case <-newest:
			default:
			}
			newest <- f
		}
	}()
	for {
		select {
		case err := <-failed:
			return err
		case f := <-newest:
			f.AgeMS = time.Now().UnixMilli() - f.AgeMS
			if err := matcher.WriteFrame(os.Stdout, f); err != nil {
				return err
			}
		}
	}
}

type decodeCmd struct{}

const maxStream = 2 << 20

func (decodeCmd) Run(c *cli) error {
	if err := confine(c.NoSandbox, 256<<20); err != nil {
		return err
	}
	fail := func(why error) error { return matcher.Write(os.Stdout, matcher.FrameHeader{Error: why.Error()}, nil) }
	b, err := io.ReadAll(io.LimitReader(os.Stdin, maxStream+1))
	if err != nil {
		return err
	}
	if len(b) > maxStream {
		return fail(errors.New("the image file is too long"))
	}
	w, h, err := opencv.Size(b)
	if err != nil {
		return fail(err)
	}
	if w <= 0 || h <= 0 || w*h > matcher.MaxPixels {
		return fail(fmt.Errorf("an image of %d × %d pixels is refused", w, h))
	}
	f, err := opencv.Decode(b, side)
	if err != nil {
		return fail(err)
	}
	return matcher.WriteFrame(os.Stdout, f)
}

//go:build customenv

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"gocv.io/x/gocv"

	"passage/drivers/camera/mjpeg"
	"passage/matcher"
	"passage/matcher/opencv"
	"passage/matcher/picture"
	"passage/matcher/sandbox"
)

type captureCmd struct {
	URL string `required:"" help:"The camera: v4l2:///dev/video0, rtsp://…, http://… (MJPEG), gst:PIPELINE ending in appsink, or file:///…"`
}

// What a camera may give: 4K at 60 Hz is looked at, and handed on smaller and
// less often.
const (
	mostPixels  = 4096 * 2304
	fastest     = time.Second / 30
	readTimeout = 54 // OpenCV's property, in ms: without it a dead stream blocks for 30 s
)

// eye is an opened camera. read blocks until there is a picture; the time is
// when it was taken, as nearly as anybody knows.
type eye interface {
	read() (matcher.Frame, time.Time, error)
	adjust(matcher.Light)
}

// Run opens the camera, reads one picture, confines itself, and hands on the
// newest one from then on. It never opens the camera again: whoever started it
// starts another one.
func (c captureCmd) Run(k *cli) error {
	e, err := c.open()
	if err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	first, at, err := e.read()
	if err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	if err := k.confine(sandbox.Capture); err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	if err := matcher.Write(os.Stdout, matcher.KindHello, matcher.Hello{Role: "capture"}, nil); err != nil {
		return err
	}
	type shot struct {
		frame matcher.Frame
		at    time.Time
	}
	newest, failed := make(chan shot, 1), make(chan error, 2)
	newest <- shot{first, at}
	// One goroutine reads as fast as the camera gives, so that nothing is
	// buffered anywhere; this one hands on the newest picture.
	go func() {
		for {
			f, at, err := e.read()
			if err != nil {
				failed <- err
				return
			}
			select {
			case <-newest:
			default:
			}
			newest <- shot{f, at}
		}
	}()
	go func() {
		for {
			var l matcher.Light
			if _, err := matcher.Read(os.Stdin, matcher.KindLight, &l); err != nil {
				failed <- errors.New("capture: nobody listens")
				return
			}
			e.adjust(l)
		}
	}()
	for {
		began := time.Now()
		select {
		case err := <-failed:
			return matcher.WriteProblem(os.Stdout, err)
		case s := <-newest:
			s.frame.AgeMS = max(0, time.Since(s.at).Milliseconds())
			if err := matcher.WriteFrame(os.Stdout, s.frame); err != nil {
				return err
			}
		}
		time.Sleep(fastest - time.Since(began))
	}
}

// open opens the camera that the URL names.
func (c captureCmd) open() (eye, error) {
	scheme, rest, _ := strings.Cut(c.URL, ":")
	switch scheme {
	case "http", "https":
		s, err := mjpeg.Dial(context.Background(), c.URL)
		if err != nil {
			return nil, fmt.Errorf("capture: %w", err)
		}
		return newStream(s), nil
	case "v4l2", "file":
		u, err := url.Parse(c.URL)
		if err != nil || u.Path == "" {
			return nil, fmt.Errorf("capture: %s: a path such as %s:///… is needed", scheme, scheme)
		}
		if _, err := os.Stat(u.Path); err != nil {
			return nil, fmt.Errorf("capture: %w", err)
		}
		if scheme == "v4l2" {
			return openVideo(u.Path, gocv.VideoCaptureV4L2)
		}
		v, err := openVideo(u.Path, gocv.VideoCaptureFFmpeg)
		if err != nil {
			return nil, err
		}
		if rate := v.v.Get(gocv.VideoCaptureFPS); rate >= 1 && rate <= 120 {
			v.pace = time.Duration(float64(time.Second) / rate)
		} else {
			v.pace = time.Second / 25
		}
		return v, nil
	case "rtsp", "rtsps":
		// Over TCP: after the opening no further socket may be had. The times
		// are in µs: of a connection that says nothing, and of looking at the
		// stream for what it is.
		if err := os.Setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|timeout;4000000|analyzeduration;3000000"); err != nil {
			return nil, fmt.Errorf("capture: %w", err)
		}
		return openVideo(c.URL, gocv.VideoCaptureFFmpeg)
	case "gst":
		return openVideo(strings.TrimSpace(rest), gocv.VideoCaptureGstreamer)
	}
	return nil, fmt.Errorf("capture: %.20q is none of http, https, rtsp, rtsps, v4l2, gst and file", scheme)
}

// stream is a camera that sends JPEG over HTTP. Pictures are read as they come
// and decoded only if they are still the newest.
type stream struct {
	raw    chan raw
	failed chan error
}

type raw struct {
	b  []byte
	at time.Time
}

func newStream(s *mjpeg.Stream) *stream {
	x := &stream{make(chan raw, 1), make(chan error, 1)}
	go func() {
		for {
			b, at, err := s.Next()
			if err != nil {
				x.failed <- fmt.Errorf("capture: %w", err)
				return
			}
			select {
			case <-x.raw:
			default:
			}
			x.raw <- raw{b, at}
		}
	}()
	return x
}

// wrong is how many pictures in a row may be garbage: networks lose bytes.
const wrong = 30

func (x *stream) read() (matcher.Frame, time.Time, error) {
	var why error
	for range wrong {
		select {
		case err := <-x.failed:
			return matcher.Frame{}, time.Time{}, err
		case r := <-x.raw:
			h, err := picture.Examine(r.b, mostPixels)
			if err == nil && h.Kind != picture.JPEG {
				err = fmt.Errorf("the camera sends %s", h.Kind)
			}
			var f matcher.Frame
			if err == nil {
				f, err = opencv.Decode(r.b, side)
			}
			if err == nil {
				return f, r.at, nil
			}
			why = err
		}
	}
	return matcher.Frame{}, time.Time{}, fmt.Errorf("capture: %d pictures in a row cannot be used: %w", wrong, why)
}

// adjust does nothing: HTTP knows no exposure.
func (*stream) adjust(matcher.Light) {}

// video is a camera that OpenCV reads.
type video struct {
	v    *gocv.VideoCapture
	img  gocv.Mat
	pace time.Duration // between pictures of a file
	next time.Time
	can  bool // set the exposure
}

func openVideo(name string, api gocv.VideoCaptureAPI) (*video, error) {
	v, err := gocv.OpenVideoCaptureWithAPI(name, api)
	if err != nil || !v.IsOpened() {
		return nil, errors.New("capture: the camera cannot be opened")
	}
	v.Set(readTimeout, 2000)
	v.Set(gocv.VideoCaptureBufferSize, 1)
	return &video{v: v, img: gocv.NewMat(), can: api == gocv.VideoCaptureV4L2}, nil
}

func (x *video) read() (matcher.Frame, time.Time, error) {
	if x.pace > 0 {
		time.Sleep(time.Until(x.next))
		x.next = time.Now().Add(x.pace)
	}
	if !x.v.Read(&x.img) || x.img.Empty() {
		return matcher.Frame{}, time.Time{}, errors.New("capture: the stream ended")
	}
	at := time.Now()
	if x.img.Rows()*x.img.Cols() > mostPixels {
		return matcher.Frame{}, at, fmt.Errorf("capture: a picture of %d × %d pixels", x.img.Cols(), x.img.Rows())
	}
	switch x.img.Type() {
	case gocv.MatTypeCV8UC3:
	case gocv.MatTypeCV8UC1:
		gocv.CvtColor(x.img, &x.img, gocv.ColorGrayToBGR)
	default:
		return matcher.Frame{}, at, errors.New("capture: pixels are not of 8 bits")
	}
	return opencv.Frame(x.img, side), at, nil
}

// adjust moves the exposure towards a well lit face. V4L2 counts it in steps of
// 100 µs, and takes over from the camera's own control by its mode 1, "manual".
func (x *video) adjust(l matcher.Light) {
	if x.can && l == (matcher.Light{}) {
		x.v.Set(gocv.VideoCaptureAutoExposure, 3) // V4L2's "aperture priority": its own control again
		return
	}
	now := x.v.Get(gocv.VideoCaptureExposure)
	if !x.can || now <= 0 || l.Mean <= 0 || l.Want <= 0 {
		return
	}
	x.v.Set(gocv.VideoCaptureAutoExposure, 1)
	x.v.Set(gocv.VideoCaptureExposure, now*min(1.5, max(0.67, l.Want/l.Mean)))
}

//go:build customenv

package main

import (
	"errors"
	"io"
	"os"

	"passage/matcher"
	"passage/matcher/ocr"
	"passage/matcher/opencv"
	"passage/matcher/sandbox"
)

type pageCmd struct{}

// pageSide is the longest side of a page that is read: 16 pixels to a
// character of a passport's zone and room around it, twice over.
const pageSide = 2000

// Run reads one page. It is confined before it reads the first byte.
func (pageCmd) Run(c *cli) error {
	n, err := ocr.Default()
	if err == nil {
		err = c.confine(sandbox.Page)
	}
	if err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	if err := matcher.Write(os.Stdout, matcher.KindHello, matcher.Hello{Role: "page"}, nil); err != nil {
		return err
	}
	b, err := matcher.Read(os.Stdin, matcher.KindImage, &struct{}{})
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := opencv.Decode(b, pageSide)
	if err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	grey := make([]byte, f.Width*f.Height)
	for i := range grey { // the weights of ITU-R BT.601
		p := f.Pixels[3*i:]
		grey[i] = byte((114*int(p[0]) + 587*int(p[1]) + 299*int(p[2])) / 1000)
	}
	return matcher.WriteZones(os.Stdout, n.Read(grey, f.Width, f.Height))
}

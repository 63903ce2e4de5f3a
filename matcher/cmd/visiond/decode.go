//go:build customenv

package main

import (
	"errors"
	"io"
	"os"

	"passage/matcher"
	"passage/matcher/opencv"
	"passage/matcher/sandbox"
)

type decodeCmd struct {
	Images uint64 `default:"1" help:"Images, one after the other, before it ends. More than one is for tests: a lane's decoder never sees a second one."`
}

// Run decodes what it is sent. It is confined before it reads the first byte.
func (d decodeCmd) Run(c *cli) error {
	p := sandbox.Decode
	p.Seconds *= d.Images
	if err := c.confine(p); err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	if err := matcher.Write(os.Stdout, matcher.KindHello, matcher.Hello{Role: "decode"}, nil); err != nil {
		return err
	}
	for range d.Images {
		b, err := matcher.Read(os.Stdin, matcher.KindImage, &struct{}{})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := opencv.Decode(b, side)
		if err != nil {
			err = matcher.WriteProblem(os.Stdout, err)
		} else {
			err = matcher.WriteFrame(os.Stdout, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

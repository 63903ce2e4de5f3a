//go:build customenv

// Visiond sees: it reads the camera, finds and describes faces, and decodes
// untrusted images, each in a process of its own that may die.
package main

import (
	"log"
	"os"
	"strconv"

	"github.com/alecthomas/kong"

	"passage/matcher/sandbox"
)

type cli struct {
	NoSandbox bool `help:"Do not confine the process. For tests only."`
	Threads   int  `help:"Threads of one inference; 0 takes one for each core."`

	Capture   captureCmd   `cmd:"" help:"Read a camera and hand on its newest frames."`
	Match     matchCmd     `cmd:"" help:"Analyse frames from standard input with the models of a pack."`
	Decode    decodeCmd    `cmd:"" help:"Decode one untrusted image into pixels, then end."`
	Page      pageCmd      `cmd:"" help:"Look for a machine readable zone in the untrusted image of a page, then end."`
	Golden    goldenCmd    `cmd:"" help:"Print golden outputs for a pack's manifest."`
	Portraits portraitsCmd `cmd:"" help:"Cut the faces of pictures to passport framing, for virtual passports."`
}

func main() {
	log.SetFlags(0)
	var c cli
	k := kong.Parse(&c, kong.Name("visiond"), kong.Description("Passage's eyes. kioskd starts one process for each role; they speak framed CBOR messages on standard input and output."))
	if c.Threads > 0 { // OpenCV reads it once, before its first parallel loop
		_ = os.Setenv("OPENCV_FOR_THREADS_NUM", strconv.Itoa(c.Threads)) // the name is valid
	}
	if err := k.Run(&c); err != nil {
		log.Fatal("visiond: ", err)
	}
}

// side is the longest side of what is handed on.
const side = 1280

// confine leaves the process what its role needs. What it needs to open is
// open by then.
func (c *cli) confine(p sandbox.Profile) error {
	if c.NoSandbox {
		return nil
	}
	return sandbox.Confine(p)
}

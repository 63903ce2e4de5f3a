//go:build customenv

// Visiond sees: it reads the camera, finds and describes faces, and decodes
// untrusted images, each in a process of its own that may die.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
	"gocv.io/x/gocv"

	"passage/matcher"
	"passage/matcher/opencv"
)

type cli struct {
	NoSandbox bool `help:"Do not confine the process. For tests only."`

	Capture   captureCmd   `cmd:"" help:"Read a camera and write its newest frames to standard output."`
	Match     matchCmd     `cmd:"" help:"Analyse frames from standard input with the models of a pack."`
	Decode    decodeCmd    `cmd:"" help:"Decode one image from standard input into pixels, then end."`
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

type matchCmd struct {
	Pack string `required:"" type:"existingdir" help:"Folder of the model pack."`
}

// manifest is as much of a pack's manifest as is checked here.
type manifest struct {
	Model []struct {
		File   string `toml:"file"`
		SHA256 string `toml:"sha256"`
	} `toml:"model"`
}

// check compares every file of a pack with its hash: a corrupt model aborts
// the process, a foreign one may do worse.
func check(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "manifest.toml"))
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	var m manifest
	if err := toml.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if len(m.Model) == 0 {
		return errors.New("pack: the manifest lists no model")
	}
	for _, x := range m.Model {
		b, err := os.ReadFile(filepath.Join(dir, filepath.Base(x.File)))
		if err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != x.SHA256 {
			return fmt.Errorf("pack: %s is not the file of the manifest", x.File)
		}
	}
	return nil
}

func (m matchCmd) Run(c *cli) error {
	if err := check(m.Pack); err != nil {
		return matcher.Write(os.Stdout, matcher.Analysis{Error: err.Error()}, nil)
	}
	e, err := opencv.Load(m.Pack)
	if err != nil {
		return matcher.Write(os.Stdout, matcher.Analysis{Error: err.Error()}, nil)
	}
	if err := confine(c.NoSandbox, 0); err != nil {
		return err
	}
	if err := matcher.Write(os.Stdout, matcher.Analysis{}, nil); err != nil {
		return err
	}
	for in := bufio.NewReaderSize(os.Stdin, 1<<20); ; {
		f, err := matcher.ReadFrame(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := e.Analyse(f)
		if err != nil {
			a = matcher.Analysis{Error: err.Error()}
		}
		if err := matcher.Write(os.Stdout, a, nil); err != nil {
			return err
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

type portraitsCmd struct {
	Pack  string   `required:"" type:"existingdir" help:"Folder of the model pack."`
	Out   string   `required:"" help:"Folder for p01.jpg, p02.jpg, …"`
	Files []string `arg:"" type:"existingfile" help:"Pictures with faces."`
}

// Portraits must be told apart by the matcher: look-alikes are dropped.
const alike = 0.925

func (p portraitsCmd) Run(*cli) error {
	if err := check(p.Pack); err != nil {
		return err
	}
	e, err := opencv.Load(p.Pack)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.Out, 0o755); err != nil {
		return err
	}
	var known [][]float32
	for _, file := range p.Files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := opencv.Decode(b, 4096)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for n := range 16 {
			img, a, ok, err := e.Portrait(f, n, 360, 480)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			face := a.Faces[0]
			why := ""
			for _, k := range known {
				if matcher.Cosine(k, a.Descriptor) > alike {
					why = "looks like another one"
				}
			}
			if face.Eyes < 28 || face.Yaw < -.35 || face.Yaw > .35 {
				why = fmt.Sprintf("too small or turned (eyes %.0f px, yaw %.2f)", face.Eyes, face.Yaw)
			}
			if why == "" {
				known = append(known, a.Descriptor)
				name := filepath.Join(p.Out, fmt.Sprintf("p%02d.jpg", len(known)))
				if !gocv.IMWriteWithParams(name, img, []int{gocv.IMWriteJpegQuality, 92}) {
					return fmt.Errorf("%s cannot be written", name)
				}
				why = filepath.Base(name)
			}
			fmt.Printf("%-14s face %2d: %s\n", filepath.Base(file), n+1, why)
			img.Close()
		}
	}
	fmt.Printf("%d portraits\n", len(known))
	return nil
}
